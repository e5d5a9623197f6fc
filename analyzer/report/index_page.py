"""Page over all recordings: lists, sorts and filters them, and links their pages; a single file that works offline."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from analyzer.report.page import write

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


def write_index(rows: Iterable[IndexRow], path: Path, covers: str) -> None:
    """Write the list of recordings, row by row; `covers` is a sentence that says which recordings these are."""
    listed = _Listed(rows)
    write("index.html.j2", path, rows=iter(listed), listed=listed, covers=covers)


class _Listed:
    """Rows in the form that the script of the page reads, for one iteration.

    The first rows are kept for browsers without scripts.

    Attributes
    ----------
    first : the rows kept.
    count : number of rows yielded so far.
    """

    def __init__(self, rows: Iterable[IndexRow]) -> None:
        self._rows = rows
        self.first: list[IndexRow] = []
        self.count = 0

    def __iter__(self) -> Iterator[list[str | float | None]]:
        for row in self._rows:
            self.count += 1
            if self.count <= _WITHOUT_SCRIPTS:
                self.first.append(row)
            yield [round(value, 3) if isinstance(value, float) else value for value in astuple(row)]
