"""`html/index.html`: the list of the recordings of a period, each with a link to its page."""

from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer.emotions import NEGATIVE
from analyzer.entry import Entry
from analyzer.ledger import Ledger
from analyzer.outputs import format_path, replacing
from analyzer.report.index_page import IndexRow, write_index
from analyzer.report.page import link
from analyzer.report.selection import Period, Selection, newest_day, tomorrow
from analyzer.report.summary import HEARD, counted, is_agent, selected, strongest_passage
from analyzer.stream import clock

FILE_NAME = "html/index.html"


def write(path: Path, ledger: Ledger, zone: ZoneInfo, selection: Selection) -> None:
    """Write the index of the selected recordings."""
    days = (recorded[:10] for _, recorded in selected(ledger, zone, selection, None))
    newest = newest_day(days, tomorrow(zone))
    period = selection.days(newest)
    rows = (row(path, entry, recorded) for entry, recorded in selected(ledger, zone, selection, period))
    with replacing(path) as temporary:
        write_index(rows, temporary, _covers(period, newest))


def _covers(period: Period, newest: str) -> str:
    if not newest:
        return "There are no recordings yet."
    return f"Recordings from {period.since or 'the first one'} to {period.until or newest}."


def row(index: Path, entry: Entry, recorded: str) -> IndexRow:
    """Return the index row of a recording."""
    heard = entry.status in HEARD
    figures = list((entry.figures or {}).values())
    passage = strongest_passage(entry, recorded)
    return IndexRow(
        recording=entry.identity.shown,
        href=link(index, format_path(index.parent.parent, entry.identity, "html")) if heard else None,
        recorded=recorded,
        speakers=", ".join(str(told["speaker"]) for told in figures),
        status=entry.status,
        length_s=entry.length_s,
        talk_s=sum(float(told["talk_s"] or 0) for told in figures) if heard else None,
        negative=_negative(entry),
        passage_start_s=passage.start_s if passage else None,
        passage=f"{passage.emotion} {clock(passage.negative_s)}" if passage else "",
        note=entry.reason,
        passage_s=passage.negative_s if passage else None,
        # Without agents: a list that can be sorted must not rank employees.
        groups=", ".join(f"{kind} {name}" for kind, name in entry.groups.items() if not is_agent(kind)),
    )


def _negative(entry: Entry) -> float | None:
    """Return the share of negative speech on the channels whose emotions are counted; None if they have no speech."""
    told = list(counted(entry).values())
    talk_s = sum(float(figures["talk_s"] or 0) for figures in told)
    if not talk_s:
        return None
    shares = (
        (float(figures["talk_s"] or 0), float(figures[f"share_{name}"] or 0)) for figures in told for name in NEGATIVE
    )
    return sum(seconds * share for seconds, share in shares) / talk_s
