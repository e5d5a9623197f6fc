"""`html/index.html`: lists, sorts and filters recordings, and links their pages; a single file that works offline."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer.audio.stream import format_duration
from analyzer.emotions import NEGATIVE
from analyzer.report.page import link, write
from analyzer.report.selection import Selection, newest_day, tomorrow
from analyzer.report.summary import ANALYSED, counted, is_agent, selected, strongest_passage
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import atomic_write, format_path

FILE_NAME = "html/index.html"
#: Number of recordings that are also listed for browsers without scripts.
_WITHOUT_SCRIPTS = 1000


@dataclass(frozen=True)
class IndexRow:
    """A recording in the list.

    Attributes
    ----------
    recording : name of the recording.
    href : URL of its page, relative to the list (see `page.link`); None if it has no page.
    recorded : local time of the recording, such as `2026-11-24 09:15:00`; empty if unknown.
    speakers : names of its speakers, as one text.
    status : its status in the ledger, see `Entry.status`.
    length_s, talk_s : seconds of audio and of speech.
    negative : share of negative speech on the channels whose emotions are counted, 0 to 1; None if there are none.
    passage_start_s, passage : start of its most negative passage in seconds, and a description such as `angry 0:42`.
    note : what a reader should know about it, such as why it failed.
    groups : the groups it belongs to, as one text.
    passage_s : probability-weighted seconds of negative speech in that passage; passages are sorted by it.
    """

    recording: str
    href: str | None
    recorded: str
    speakers: str
    status: str
    length_s: float | None
    talk_s: float | None
    negative: float | None
    passage_start_s: float | None
    passage: str
    note: str
    groups: str
    passage_s: float | None = None


def write_selected(path: Path, ledger: Ledger, zone: ZoneInfo, selection: Selection) -> None:
    """Write the list of the selected recordings."""
    newest = newest_day((recorded[:10] for _, recorded in selected(ledger, zone, selection, None)), tomorrow(zone))
    period = selection.days(newest)
    rows = (index_row(path, entry, recorded) for entry, recorded in selected(ledger, zone, selection, period))
    covers = f"Recordings from {period.since or 'the first one'} to {period.until or newest}."
    with atomic_write(path) as temporary:
        write_index(rows, temporary, covers if newest else "There are no recordings yet.")


def write_index(rows: Iterable[IndexRow], path: Path, covers: str) -> None:
    """Write the list of recordings, row by row; `covers` is a sentence that says which recordings these are."""
    first: list[IndexRow] = []
    write("index.html.j2", path, rows=_rows_for_script(rows, first), first=first, covers=covers)


def _rows_for_script(rows: Iterable[IndexRow], first: list[IndexRow]) -> Iterator[list[str | float | None]]:
    """Yield the rows as the script of the page reads them; keep the first in `first`, for browsers without scripts."""
    for row in rows:
        if len(first) < _WITHOUT_SCRIPTS:
            first.append(row)
        yield [round(value, 3) if isinstance(value, float) else value for value in astuple(row)]


def index_row(index: Path, entry: Entry, recorded: str) -> IndexRow:
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
