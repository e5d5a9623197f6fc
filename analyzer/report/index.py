"""`html/index.html`: the list of the recordings of a period, each with a link to its page."""

from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer.audio.stream import format_duration
from analyzer.emotions import NEGATIVE
from analyzer.report.index_page import IndexRow, write_index
from analyzer.report.page import link
from analyzer.report.selection import Period, Selection, newest_day, tomorrow
from analyzer.report.summary import ANALYSED, counted, is_agent, selected, strongest_passage
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import atomic_write, format_path

FILE_NAME = "html/index.html"


def write(path: Path, ledger: Ledger, zone: ZoneInfo, selection: Selection) -> None:
    """Write the index of the selected recordings."""
    days = (recorded[:10] for _, recorded in selected(ledger, zone, selection, None))
    newest = newest_day(days, tomorrow(zone))
    period = selection.days(newest)
    rows = (row(path, entry, recorded) for entry, recorded in selected(ledger, zone, selection, period))
    with atomic_write(path) as temporary:
        write_index(rows, temporary, _describe_period(period, newest))


def _describe_period(period: Period, newest: str) -> str:
    if not newest:
        return "There are no recordings yet."
    return f"Recordings from {period.since or 'the first one'} to {period.until or newest}."


def row(index: Path, entry: Entry, recorded: str) -> IndexRow:
    """Return the index row of a recording."""
    analysed = entry.status in ANALYSED
    statistics = list((entry.statistics or {}).values())
    passage = strongest_passage(entry, recorded)
    return IndexRow(
        recording=entry.identity.shown,
        href=link(index, format_path(index.parent.parent, entry.identity, "html")) if analysed else None,
        recorded=recorded,
        speakers=", ".join(found.speaker for found in statistics),
        status=entry.status,
        length_s=entry.length_s,
        talk_s=sum(found.talk_s for found in statistics) if analysed else None,
        negative=_negative_share(entry),
        passage_start_s=passage.start_s if passage else None,
        passage=f"{passage.emotion} {format_duration(passage.negative_s)}" if passage else "",
        note=entry.reason,
        passage_s=passage.negative_s if passage else None,
        # Without agents: a list that can be sorted must not rank employees.
        groups=", ".join(f"{kind} {name}" for kind, name in entry.groups.items() if not is_agent(kind)),
    )


def _negative_share(entry: Entry) -> float | None:
    """Return the share of negative speech on the channels whose emotions are counted; None if they have no speech."""
    channels = [(found.talk_s, emotions) for found, emotions in counted(entry).values()]
    talk_s = sum(seconds for seconds, _ in channels)
    if not talk_s:
        return None
    return sum(seconds * emotions.shares[name] for seconds, emotions in channels for name in NEGATIVE) / talk_s
