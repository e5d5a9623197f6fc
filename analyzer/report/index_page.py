"""The page over all recordings: lists, sorts and filters them, and links the page of each; one file, offline."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from analyzer.report.page import write

#: Recordings that are also listed for a browser without scripts.
_WITHOUT_SCRIPTS = 1000


@dataclass(frozen=True)
class IndexRow:
    """A recording in the list.

    Attributes
    ----------
    recording : what it is called.
    href : the URL of its page, relative to the list, see `page.link`; None where it has none.
    recorded : when it was made, in local time, as `2026-11-24 09:15:00`; empty where that is not known.
    speakers : what its speakers are called, in one text.
    status : one of `views.STATUSES`.
    length_s, talk_s : seconds of sound, and of speech.
    negative : share of that speech that is negative, 0 to 1.
    passage_start_s, passage : where its most negative passage begins, and what it is, such as `angry 0:42`.
    note : what a reader should know of it.
    groups : what it belongs to, in one text.
    passage_s : seconds of that passage that are negative, by which passages are sorted.
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
    """Write the list of recordings, row by row as they come; `covers` says in a sentence what it is about."""
    listed = _Listed(rows)
    write("index.html.j2", path, rows=iter(listed), listed=listed, covers=covers)


class _Listed:
    """Rows that go by once, as the script of the page takes them; the first are kept for those who have no scripts.

    Attributes
    ----------
    first : those rows.
    count : how many have gone by.
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
