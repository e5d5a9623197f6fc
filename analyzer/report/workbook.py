"""`summary.xlsx`, the report that people open first: one sheet per question."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from openpyxl import Workbook

from analyzer.audio.stream import format_duration
from analyzer.emotions import NEGATIVE
from analyzer.report import charts, models, views
from analyzer.report.intervals import difference_interval, share_interval
from analyzer.report.page import link
from analyzer.report.selection import Selection
from analyzer.report.sheets import Column, Link, add_page, add_table, append_table, save
from analyzer.report.summary import (
    AGENT,
    ANALYSED,
    LABELS,
    Passage,
    Summary,
    Tally,
    is_agent,
    selected,
    summarise,
    weeks,
)
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import atomic_write, format_path

FILE_NAME = "summary.xlsx"
#: Minimum number of recordings of a group that is shown: a smaller one could reveal single people.
LEAST_IN_GROUP = 10
#: Minimum number of calls with counted emotions in each of two weeks, for a verdict on their difference.
_MIN_TO_COMPARE = 10
_OVERVIEW_WIDTHS = (28, *(14,) * 7)
#: Maximum width of the column of names in characters.
_MAX_NAME_WIDTH = 70
#: Maximum number of calls on the sheet Review first.
_MOST_TO_REVIEW = 200

_COUNTED_SPEAKERS = (
    f"all except those called {AGENT} and the channels that --only excludes. A call counts as analysed if at least one "
    "speaker is included"
)
_NEGATIVE_PASSAGE = (
    "three or more seconds of speech of one speaker that is labelled sad, angry, fearful or disgusted, with pauses of "
    "at most twelve seconds. The sheet Review first lists the strongest"
)
_LIMITATIONS = (
    "the labels say which acted emotion a voice resembles, not what a person feels. Listen to a call before you draw a "
    "conclusion, and base no decision about a person on them"
)

_EMOTION_COLUMNS = tuple(Column(label, "percent", 10, shaded=label in NEGATIVE) for label in LABELS)
_COUNT_COLUMNS = (
    Column("recordings", "count", 12),
    Column("not analysed", "count"),
    Column("hours", "hours"),
    Column("hours of talk", "hours"),
    Column("calls analysed", "count"),
    Column("with a negative passage", "count", 12),
    Column("share of the calls analysed", "percent", 12, barred=True),
    Column("95 % interval, from", "percent", 12),
    Column("95 % interval, to", "percent", 12),
)


def write_workbook(path: Path, ledger: Ledger, zone: ZoneInfo, selection: Selection, pages: bool) -> None:
    """Write the workbook of the selected recordings, with links to their pages if there are `pages`."""
    summary = summarise(ledger, zone, selection)
    book = Workbook(write_only=True)
    facts = list(what_to_know(summary, ledger, zone))
    overview, next_row = add_page(book, "Overview", "Emotions in calls", facts, _OVERVIEW_WIDTHS)
    review = _add_review(book, summary, path if pages else None)
    _add_recordings(book, ledger, zone, selection, summary)
    days = _add_days(book, summary)
    _add_weeks(book, summary)
    _add_groups(book, summary)
    _add_files(book, ledger, selection)
    _add_settings(book, ledger)
    _add_charts(overview, next_row, summary, review, days)
    with atomic_write(path) as temporary:
        save(book, temporary)


def what_to_know(summary: Summary, ledger: Ledger, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """Yield the topics that a reader should know first, each with its text."""
    total = summary.total
    facts = [models.facts(ledger, fingerprint) for _, fingerprint in summary.models]
    yield "Period", _describe_period(summary, zone)
    yield "Recordings", _describe_recordings(total)
    yield "Hours", f"{total.length_s / 3600:,.1f} of audio; {total.talk_s / 3600:,.1f} of analysed speech"
    yield "Speakers included", _COUNTED_SPEAKERS
    yield "Model", views.describe_models(summary.models)
    yield "Business use of the model", models.join_descriptions(facts, models.business_use)
    yield "Accuracy on unseen speakers", _format_measurements(facts, "on_unseen_speakers")
    yield "False-alarm rate", _format_measurements(facts, "false_alarms_on_read_speech")
    yield "Sensitivity", models.join_descriptions(facts, models.sensitivity)
    yield "What uncertain means", _describe_uncertain(total, facts)
    yield "What a negative passage is", _NEGATIVE_PASSAGE
    yield "Limitations", _LIMITATIONS


def _describe_recordings(total: Tally) -> str:
    analysed = total.recordings - total.failed - total.waiting
    failed = f"{total.failed:,} failed (see the sheet Files, which covers all days)" if total.failed else "none failed"
    waiting = f"; {total.waiting:,} incomplete" if total.waiting else ""
    return f"{total.recordings:,}, {analysed:,} of them analysed; {failed}{waiting}"


def _describe_uncertain(total: Tally, facts: Sequence[Mapping[str, Any]]) -> str:
    chosen = (fact["sensitivities"][fact["sensitivity"]] for fact in facts if "sensitivity" in fact)
    negative = _format_limits([point["negative_from"] for point in chosen])
    other = _format_limits([fact["uncertain_below"] for fact in facts if fact])
    share = total.share("uncertain") or 0
    return (
        f"sad, angry, fearful or disgust is the most probable emotion, but the four together are below the limit for "
        f"negative{negative}; or no emotion reaches the limit for a label{other}. This applies to {share:.0%} of the "
        "speech here"
    )


def _format_limits(limits: Sequence[float]) -> str:
    """Format limits below which a probability is too low, in brackets; empty if none is known."""
    percents = dict.fromkeys(f"{limit:.0%}" for limit in sorted(limits))
    return f" ({' or '.join(percents)})" if percents else ""


def _describe_period(summary: Summary, zone: ZoneInfo) -> str:
    days = [day for day in summary.days if day]
    if not days:
        return "not known: these recordings have no dates" if summary.days else "no recordings"
    since, until = summary.period.since or days[0], summary.period.until or days[-1]
    return f"{since} to {until}, local time {zone.key}; there are recordings of {len(days):,} of these days"


def _format_measurements(facts: Sequence[Mapping[str, Any]], key: str) -> str:
    texts = (f"{fact['name']}: {fact.get(key) or 'not measured, see its card'}" for fact in facts if fact)
    return "; ".join(dict.fromkeys(texts)) or "not known"


def _add_charts(sheet: Any, start: int, summary: Summary, review: Any, days: Any) -> None:
    """Add the table of emotions to the first sheet, from row `start` on, and the charts beside and below it."""
    total = summary.total
    if total.talk_s:
        columns = (Column("emotion"), Column("share of the talk", "percent"), Column("hours", "hours"))
        shares = ((label, total.share(label), total.emotion_s[label]) for label in LABELS)
        append_table(sheet, start, columns, shares)
        sheet.add_chart(charts.talk_by_emotion(sheet, start, len(LABELS)), f"D{start}")
        start += charts.LOW_ROWS
    if len(summary.days) > 1:
        sheet.add_chart(charts.negative_passages_by_day(days, len(summary.days), 8), f"A{start}")
        start += charts.LOW_ROWS
    if shown := min(len(summary.review), charts.MOST_CALLS):
        sheet.add_chart(charts.emotion_shares(review, shown, 11), f"A{start}")


def _name_column(summary: Summary) -> Column:
    return Column("recording", width=min(max(summary.longest_name + 4, 20), _MAX_NAME_WIDTH))


def _add_review(book: Any, summary: Summary, path: Path | None) -> Any:
    """Add the calls to review first, with links to their pages if the path of the workbook is given."""
    columns = (
        Column("rank", "count", 7),
        _name_column(summary),
        Column("recorded", width=21),
        Column("speaker", width=13),
        Column("from", "clock", 10),
        Column("to", "clock", 10),
        Column("emotion", width=11),
        Column("negative time", "clock", 10),
        Column("mean probability", "percent", 12),
        Column("why it is listed", width=48),
        *_EMOTION_COLUMNS,
    )
    rows = (_review_row(rank, passage, path) for rank, passage in enumerate(summary.review, start=1))
    count = len(summary.review)
    sheet = add_table(book, "Review first", columns, rows, count, "Recordings", _MOST_TO_REVIEW)
    if not count:
        when = f" of {summary.review_day}" if summary.review_day else ""
        sheet.append([None, f"no negative passage in the calls{when}"])
    return sheet


def _review_row(rank: int, passage: Passage, path: Path | None) -> tuple[Any, ...]:
    name: str | Link = passage.identity.shown
    if path:
        page = format_path(path.parent, passage.identity, "html")
        name = Link(passage.identity.shown, link(path, page), f"t={passage.start_s}")
    seconds = format_duration(passage.negative_s)
    duration = format_duration(passage.end_s - passage.start_s)
    more = f"; {passage.more} more in this call" if passage.more else ""
    reason = f"mostly {passage.emotion}, negative for {seconds} within {duration}{more}"
    details = (passage.recorded, passage.speaker, passage.start_s, passage.end_s, passage.emotion)
    shares = (passage.shares[label] for label in LABELS)
    return (rank, name, *details, passage.negative_s, passage.mean, reason, *shares)


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
    name = entry.identity.shown
    channels: dict[Any, dict[str, Any]] = {k: found.columns() for k, found in (entry.statistics or {}).items()}
    for channel, values in (channels or {None: {}}).items():
        get = values.get
        shares = [get(f"share_{label}") for label in LABELS]
        negative = None if shares[0] is None else sum(values[f"share_{label}"] for label in NEGATIVE)
        first, last = get("first_third"), get("last_third")
        change = None if first is None or last is None else last - first
        yield (
            *(name, channel, get("speaker"), entry.status, recorded, entry.length_s),
            *(get("talk_s"), get("silence_s"), get("both_s"), negative, *shares),
            *(first, last, change, get("passages"), get("passage_start_s")),
            *(get("level_db"), entry.model, entry.reason),
        )


def _add_days(book: Any, summary: Summary) -> Any:
    columns = (Column("day", width=14), *_COUNT_COLUMNS, *_EMOTION_COLUMNS)
    rows = ((day or "not known", *_counts(tally), *_shares(tally)) for day, tally in summary.days.items())
    return add_table(book, "Days", columns, rows, len(summary.days))


def _counts(tally: Tally) -> tuple[Any, ...]:
    """Return the values of `_COUNT_COLUMNS`."""
    recordings = tally.recordings, tally.failed + tally.waiting, tally.length_s, tally.talk_s
    if not tally.analysed:
        return *recordings, 0, 0, None, None, None
    with_passage, analysed = tally.with_negative_passage, tally.analysed
    interval = share_interval(with_passage, analysed)
    return *recordings, analysed, with_passage, with_passage / analysed, *interval


def _shares(tally: Tally) -> tuple[Any, ...]:
    return tuple(tally.share(label) for label in LABELS)


def _add_weeks(book: Any, summary: Summary) -> None:
    columns = (
        Column("week from Monday", width=14),
        Column("days with calls", "count"),
        *_COUNT_COLUMNS,
        Column("change to the week before", "change", 12),
        Column("95 % interval, from", "change", 12),
        Column("95 % interval, to", "change", 12),
        Column("interpretation", width=58),
        *_EMOTION_COLUMNS,
    )
    all_weeks = weeks(summary.days)
    rows = []
    for previous, week in zip([None, *all_weeks], all_weeks, strict=False):
        tally, earlier = week.tally, previous.tally if previous and week.follows(previous) else None
        rows.append((week.monday, week.days, *_counts(tally), *_change(tally, earlier), *_shares(tally)))
    add_table(book, "Weeks", columns, rows, len(rows))


def _change(current: Tally, earlier: Tally | None) -> tuple[Any, ...]:
    """Return the change of the share of calls with a negative passage, its interval, and a verdict in words.

    `earlier` is the tally of the week before; None if it has no recordings.
    """
    if earlier is None or not earlier.analysed:
        return None, None, None, "no week before to compare with"
    if not current.analysed:
        return None, None, None, "nothing analysed to compare"
    low, high = difference_interval(
        current.with_negative_passage, current.analysed, earlier.with_negative_passage, earlier.analysed
    )
    change = current.with_negative_passage / current.analysed - earlier.with_negative_passage / earlier.analysed
    if min(current.analysed, earlier.analysed) < _MIN_TO_COMPARE:
        verdict = f"no trend: fewer than {_MIN_TO_COMPARE} calls in one of the weeks"
    elif low > 0:
        verdict = "more calls with a negative passage than the week before"
    elif high < 0:
        verdict = "fewer calls with a negative passage than the week before"
    else:
        verdict = "no statistically significant change"
    return change, low, high, verdict


def _add_groups(book: Any, summary: Summary) -> None:
    columns = (Column("group", width=16), Column("name", width=28), *_COUNT_COLUMNS, *_EMOTION_COLUMNS)
    shown = {group: tally for group, tally in summary.groups.items() if tally.recordings >= LEAST_IN_GROUP}
    rows = [(*group, *_group_row(group[0], tally)) for group, tally in shown.items()]
    sheet = add_table(book, "Groups", columns, rows, len(rows))
    if hidden := len(summary.groups) - len(shown):
        sheet.append([f"{hidden} groups hidden (under {LEAST_IN_GROUP} recordings each)"])
    if not summary.groups:
        sheet.append(["none: --name-pattern finds groups in names, --metadata gives them"])


def _group_row(kind: str, tally: Tally) -> tuple[Any, ...]:
    """Return the counts of a group; for a group of employees only the numbers and hours of recordings."""
    values = (*_counts(tally), *_shares(tally))
    return (*values[:3], *(None,) * len(values[3:])) if is_agent(kind) else values


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
        if entry.status not in (*ANALYSED, "skipped") and selection.fits(entry.identity.shown)
    ]
    sheet = add_table(book, "Files", columns, rows, len(rows), views.FILES_FILE)
    if not rows:
        sheet.append(["no failed or incomplete files"])


def _add_settings(book: Any, ledger: Ledger) -> None:
    settings: dict[str, Any] = json.loads(ledger.state.settings or "{}")
    rows = [(key, str(value)) for key, value in settings.items()]
    add_table(book, "Settings", (Column("setting", width=30), Column("value", width=80)), rows, len(rows))
