"""`summary.xlsx`, the report that people open first: one sheet per question."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from openpyxl import Workbook

from analyzer.emotions import NEGATIVE
from analyzer.entry import Entry
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.outputs import format_path, replacing
from analyzer.report import charts, models, views
from analyzer.report.intervals import difference_interval, share_interval
from analyzer.report.selection import Selection
from analyzer.report.sheets import Column, Link, add_page, add_table, append_table, append_told, save
from analyzer.report.summary import (
    AGENT,
    HEARD,
    LABELS,
    Passage,
    Summary,
    Tally,
    Week,
    is_agent,
    selected,
    summarise,
    weeks,
)
from analyzer.stream import clock

FILE_NAME = "summary.xlsx"
#: Minimum number of recordings of a group that is shown: a smaller one could reveal single people.
LEAST_IN_GROUP = 10
#: Minimum number of calls with counted emotions in each of two weeks, for a verdict on their difference.
_LEAST_TO_COMPARE = 10
_OVERVIEW_WIDTHS = (28, *(14,) * 7)
#: Maximum width of the column of names in characters.
_WIDEST_NAME = 70
#: Maximum number of calls on the sheet Review first.
_MOST_TO_REVIEW = 200

_WHOSE = (
    f"everybody's but those of speakers called {AGENT} and of channels that --only leaves out. A call counts as heard "
    "where somebody's do"
)
_NEGATIVE_PASSAGE = (
    "somebody sounds sad, angry, fearful or disgusted for three seconds of speech or more, with twelve seconds at most "
    "in between. Review first has the strongest"
)
_WHAT_IT_IS_NOT = (
    "what a person feels, or a fact about them: it is which acted emotion a voice resembles. Listen before you "
    "conclude, and decide nothing about a person by it"
)

_EMOTION_COLUMNS = tuple(Column(label, "percent", 10, shaded=label in NEGATIVE) for label in LABELS)
_UPSET_COLUMNS = (
    Column("calls heard", "count"),
    Column("with a negative passage", "count", 12),
    Column("share of the calls heard", "percent", 12, barred=True),
    Column("95 % interval, from", "percent", 12),
    Column("95 % interval, to", "percent", 12),
)
_COUNTED_COLUMNS = (
    Column("recordings", "count", 12),
    Column("not analysed", "count"),
    Column("hours", "hours"),
    Column("hours of talk", "hours"),
)


def write_workbook(path: Path, ledger: Ledger, zone: ZoneInfo, selection: Selection, pages: bool) -> None:
    """Write the workbook of the selected recordings, with links to their pages if there are `pages`."""
    summary = summarise(ledger, zone, selection)
    book = Workbook(write_only=True)
    overview = add_page(book, "Overview", _OVERVIEW_WIDTHS)
    review = _add_review(book, summary, path.parent if pages else None)
    _add_recordings(book, ledger, zone, selection, summary)
    days = _add_days(book, summary)
    _add_weeks(book, summary)
    _add_groups(book, summary)
    _add_files(book, ledger, selection)
    _add_settings(book, ledger)
    told = list(what_to_know(summary, ledger, zone))
    rows = append_told(overview, "Emotions heard in calls", told, _OVERVIEW_WIDTHS)
    _add_charts(overview, rows + 1, summary, review, days)
    with replacing(path) as temporary:
        save(book, temporary)


def what_to_know(summary: Summary, ledger: Ledger, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """Yield the topics that a reader should know first, each with its text."""
    total = summary.total
    facts = [models.facts(ledger, fingerprint) for _, fingerprint in summary.models]
    yield "Period", _period(summary, zone)
    yield "Recordings", _recordings(total)
    yield (
        "Hours",
        f"{total.length_s / 3600:,.1f} of sound; {total.talk_s / 3600:,.1f} of talk whose emotions were heard",
    )
    yield "Whose emotions count", _WHOSE
    yield "Model", views.listened(summary.models)
    yield "Business use of the model", models.in_words(facts, models.business_use)
    yield "How well it hears strangers", _told_of_models(facts, "on_strangers")
    yield "How often it cries wolf", _told_of_models(facts, "on_level_voices")
    yield "Sensitivity", models.in_words(facts, models.sensitivity)
    yield "What uncertain means", _uncertain(total, facts)
    yield "What a negative passage is", _NEGATIVE_PASSAGE
    yield "What it is not", _WHAT_IT_IS_NOT


def _recordings(total: Tally) -> str:
    analysed = total.recordings - total.failed - total.waiting
    told = f"{total.recordings:,}, of which {analysed:,} were analysed"
    told += f"; {total.failed:,} failed (Files has these, and those of other days)" if total.failed else "; none failed"
    return told + (f"; {total.waiting:,} not whole yet" if total.waiting else "")


def _uncertain(total: Tally, facts: Sequence[Mapping[str, Any]]) -> str:
    chosen = (fact["sensitivities"][fact["sensitivity"]] for fact in facts if "sensitivity" in fact)
    negative = _limits([point["negative_from"] for point in chosen])
    other = _limits([fact["uncertain_below"] for fact in facts if fact])
    share = total.share("uncertain") or 0
    return (
        f"sad, angry, fearful and disgusted together are too improbable to call a segment negative{negative}, and none "
        f"of the other emotions is the most probable of all and probable enough to be named{other}. That is so for "
        f"{share:.0%} of the talk here"
    )


def _limits(limits: Sequence[float]) -> str:
    """Format limits below which a probability is too low, in brackets; empty if none is known."""
    percents = dict.fromkeys(f"{limit:.0%}" for limit in sorted(limits))
    return f" (under {' or '.join(percents)})" if percents else ""


def _period(summary: Summary, zone: ZoneInfo) -> str:
    days = [day for day in summary.days if day]
    if not days:
        return "not known: nothing tells the days of these recordings" if summary.days else "no recordings"
    since, until = summary.period.since or days[0], summary.period.until or days[-1]
    return f"{since} to {until}, local time {zone.key}; there are recordings of {len(days):,} of these days"


def _told_of_models(facts: Sequence[Mapping[str, Any]], key: str) -> str:
    told = (f"{fact['name']} {fact.get(key) or 'was not measured: see its card'}" for fact in facts if fact)
    return "; ".join(dict.fromkeys(told)) or "not known"


def _add_charts(sheet: Any, start: int, summary: Summary, review: Any, days: Any) -> None:
    """Add the table of emotions to the first sheet, from row `start` on, and the charts beside and below it."""
    total = summary.total
    if total.talk_s:
        columns = (Column("emotion"), Column("share of the talk", "percent"), Column("hours", "hours"))
        shares = ((label, total.share(label), total.emotion_s[label]) for label in LABELS)
        append_table(sheet, start, columns, shares)
        sheet.add_chart(charts.talk_by_emotion(sheet, start, len(LABELS)), f"D{start}")
        start += charts.rows_of(charts.LOW_CM)
    if len(summary.days) > 1:
        sheet.add_chart(charts.upset_by_day(days, len(summary.days), 8), f"A{start}")
        start += charts.rows_of(charts.LOW_CM)
    if shown := min(len(summary.review), charts.MOST_CALLS):
        sheet.add_chart(charts.emotion_shares(review, shown, 11, len(LABELS), 1), f"A{start}")


def _name_column(summary: Summary) -> Column:
    return Column("recording", width=min(max(summary.longest_name + 4, 20), _WIDEST_NAME))


def _add_review(book: Any, summary: Summary, output: Path | None) -> Any:
    """Add the calls to review first, with links to their pages if the output folder is given."""
    columns = (
        Column("place", "count", 7),
        _name_column(summary),
        Column("recorded", width=21),
        Column("speaker", width=13),
        Column("from", "clock", 10),
        Column("to", "clock", 10),
        Column("emotion", width=11),
        Column("negative for", "clock", 10),
        Column("mean probability", "percent", 12),
        Column("why it is listed", width=48),
        *_EMOTION_COLUMNS,
    )
    rows = (_review_row(place, passage, output) for place, passage in enumerate(summary.review, start=1))
    count = len(summary.review)
    sheet = add_table(book, "Review first", columns, rows, count, "Recordings", _MOST_TO_REVIEW)
    if not count:
        when = f" of {summary.review_day}" if summary.review_day else ""
        sheet.append([None, f"no negative passage in the calls{when}"])
    return sheet


def _review_row(place: int, passage: Passage, output: Path | None) -> tuple[Any, ...]:
    name = passage.identity.shown
    link = Link(name, _page_address(output, passage.identity), f"t={passage.start_s}") if output else name
    seconds = clock(passage.negative_s)
    lasted = clock(passage.end_s - passage.start_s)
    more = f"; {passage.more} more in this call" if passage.more else ""
    why = f"mostly {passage.emotion}, negative for {seconds} within {lasted}{more}"
    told = (passage.recorded, passage.speaker, passage.start_s, passage.end_s, passage.emotion)
    shares = (passage.shares[label] for label in LABELS)
    return (place, link, *told, passage.negative_s, passage.mean, why, *shares)


def _page_address(output: Path, identity: Identity) -> str:
    """Return the address of the page of a recording, relative to the workbook."""
    return quote(format_path(output, identity, "html").relative_to(output).as_posix(), errors="surrogateescape")


def _add_recordings(book: Any, ledger: Ledger, zone: ZoneInfo, selection: Selection, summary: Summary) -> None:
    columns = (
        _name_column(summary),
        Column("channel", "count", 9),
        Column("speaker", width=13),
        Column("status", width=12),
        Column("recorded", width=21),
        Column("length", "clock"),
        Column("talk", "clock"),
        Column("silence", "clock"),
        Column("both speak", "clock"),
        Column("negative", "percent", shaded=True),
        *_EMOTION_COLUMNS,
        Column("negative, first third", "percent", 12),
        Column("negative, last third", "percent", 12),
        Column("change", "change", shaded=True),
        Column("negative passages", "count", 12),
        Column("strongest at", "clock"),
        Column("level, dBFS", "level"),
        Column("model", width=12),
        Column("note", width=40),
    )
    rows = (
        row
        for entry, recorded in selected(ledger, zone, selection, summary.period)
        for row in recording_rows(entry, recorded)
    )
    add_table(book, "Recordings", columns, rows, summary.total.rows, views.RECORDINGS_FILE)


def recording_rows(entry: Entry, recorded: str) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a recording on the sheet Recordings, one per channel."""
    figures: dict[Any, dict[str, Any]] = {**entry.figures} if entry.figures else {None: {}}
    name = entry.identity.shown
    for channel, told in figures.items():
        get = told.get
        shares = [get(f"share_{label}") for label in LABELS]
        negative = None if shares[0] is None else sum(told[f"share_{label}"] for label in NEGATIVE)
        first, last = get("first_third"), get("last_third")
        change = None if first is None or last is None else last - first
        yield (
            *(name, channel, get("speaker"), entry.status, recorded, entry.length_s),
            *(get("talk_s"), get("silence_s"), get("both_s"), negative, *shares),
            *(first, last, change, get("passages"), get("passage_start_s")),
            *(get("level_db"), entry.model, entry.reason),
        )


def _add_days(book: Any, summary: Summary) -> Any:
    columns = (Column("day", width=14), *_COUNTED_COLUMNS, *_UPSET_COLUMNS, *_EMOTION_COLUMNS)
    rows = (
        (day or "not known", *_counted(tally), *_upset(tally), *_shares(tally)) for day, tally in summary.days.items()
    )
    return add_table(book, "Days", columns, rows, len(summary.days))


def _counted(tally: Tally) -> tuple[Any, ...]:
    return tally.recordings, tally.failed + tally.waiting, tally.length_s, tally.talk_s


def _upset(tally: Tally) -> tuple[Any, ...]:
    if not tally.heard:
        return 0, 0, None, None, None
    return tally.heard, tally.upset, tally.upset / tally.heard, *share_interval(tally.upset, tally.heard)


def _shares(tally: Tally) -> tuple[Any, ...]:
    return tuple(tally.share(label) for label in LABELS)


def _add_weeks(book: Any, summary: Summary) -> None:
    columns = (
        Column("week from Monday", width=14),
        Column("days with calls", "count"),
        *_COUNTED_COLUMNS,
        *_UPSET_COLUMNS,
        Column("change to the week before", "change", 12),
        Column("95 % interval, from", "change", 12),
        Column("95 % interval, to", "change", 12),
        Column("what that says", width=58),
        *_EMOTION_COLUMNS,
    )
    found = weeks(summary.days)
    rows = [_week_row(before, week) for before, week in zip([None, *found], found, strict=False)]
    add_table(book, "Weeks", columns, rows, len(rows))


def _week_row(before: Week | None, week: Week) -> tuple[Any, ...]:
    tally = week.tally
    return week.monday, week.days, *_counted(tally), *_upset(tally), *_change(week, before), *_shares(tally)


def _change(week: Week, before: Week | None) -> tuple[Any, ...]:
    """Return the change of the share of calls with a negative passage, its interval, and a verdict in words."""
    if before is None or not week.follows(before) or not before.tally.heard:
        return None, None, None, "no week before to compare with"
    if not week.tally.heard:
        return None, None, None, "nothing heard to compare"
    now, then = week.tally, before.tally
    low, high = difference_interval(now.upset, now.heard, then.upset, then.heard)
    change = now.upset / now.heard - then.upset / then.heard
    if min(now.heard, then.heard) < _LEAST_TO_COMPARE:
        verdict = f"no trend: fewer than {_LEAST_TO_COMPARE} calls in one of the weeks"
    elif low > 0:
        verdict = "more calls with a negative passage than the week before"
    elif high < 0:
        verdict = "fewer calls with a negative passage than the week before"
    else:
        verdict = "no change that these numbers of calls could show"
    return change, low, high, verdict


def _add_groups(book: Any, summary: Summary) -> None:
    columns = (
        Column("group", width=16),
        Column("name", width=28),
        *_COUNTED_COLUMNS,
        *_UPSET_COLUMNS,
        *_EMOTION_COLUMNS,
    )
    shown = {group: tally for group, tally in summary.groups.items() if tally.recordings >= LEAST_IN_GROUP}
    rows = [(*group, *_group_row(group[0], tally)) for group, tally in shown.items()]
    sheet = add_table(book, "Groups", columns, rows, len(rows))
    if hidden := len(summary.groups) - len(shown):
        sheet.append([f"not shown: {hidden} of fewer than {LEAST_IN_GROUP} recordings"])
    if not summary.groups:
        sheet.append(["none: --name-pattern finds groups in names, --metadata gives them"])


def _group_row(kind: str, tally: Tally) -> tuple[Any, ...]:
    """Return the counts of a group; for a group of employees only the numbers and hours of recordings."""
    if is_agent(kind):
        return *_counted(tally)[:3], None, *(None,) * (len(_UPSET_COLUMNS) + len(LABELS))
    return *_counted(tally), *_upset(tally), *_shares(tally)


def _add_files(book: Any, ledger: Ledger, selection: Selection) -> None:
    columns = (
        Column("file", width=60),
        Column("status", width=12),
        Column("reason", width=70),
        Column("still there", width=11),
        Column("bytes", "count", 14),
    )
    rows = [
        (entry.identity.shown, entry.status, entry.reason, "yes" if entry.present else "no", entry.size)
        for entry in ledger.entries()
        if entry.status not in (*HEARD, "skipped") and selection.fits(entry.identity.shown)
    ]
    sheet = add_table(book, "Files", columns, rows, len(rows), views.FILES_FILE)
    if not rows:
        sheet.append(["nothing failed, and nothing waits"])


def _add_settings(book: Any, ledger: Ledger) -> None:
    told: dict[str, Any] = json.loads(ledger.note("settings") or "{}")
    rows = [(key, str(value)) for key, value in told.items()]
    add_table(book, "Settings", (Column("setting", width=30), Column("value", width=80)), rows, len(rows))
