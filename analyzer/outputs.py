"""Result files: written beside their place and moved into it, so that a reader never meets half of one."""

import csv
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from analyzer.emotions import EMOTIONS
from analyzer.errors import CannotWork
from analyzer.names import show
from analyzer.timeline import Row

TIMELINE_COLUMNS = ("start", "end", "channel", "speaker", "emotion", "confidence", *EMOTIONS, "level_db")
#: A spreadsheet runs a text cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


_UNFINISHED = ".writing-"


@contextmanager
def replacing(path: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """A temporary path in the same folder, that takes the place of `path` when the block ends well.

    It ends in `suffix`, for writers who look at that. Raises CannotWork where the file system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, suffix=suffix, dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWork(f"{show(str(path))} cannot be written: {error.strerror or error}") from error


def clear_unfinished(output: Path) -> None:
    """Remove what a run that was killed left half written."""
    for path in output.rglob(f"{_UNFINISHED}*.tmp"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, as UTF-8 with plain line feeds."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV: comma, dot, line feed. Numbers come formatted, text harmless for spreadsheets."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def harmless(text: str) -> str:
    """Text that no spreadsheet runs as a formula: an apostrophe before what would start one."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def number(value: float | None, decimals: int) -> str:
    """A number with a fixed count of decimals; nothing for None."""
    return "" if value is None else f"{value:.{decimals}f}"


def speaker(channel: int) -> str:
    """What the speaker of a channel is called."""
    return f"channel {channel}"


def write_timeline(path: Path, rows: Iterable[Row]) -> None:
    """Write the timeline of one recording."""
    lines = (
        (
            number(row.start, 3),
            number(row.end, 3),
            row.channel,
            speaker(row.channel),
            row.emotion,
            number(row.confidence, 4),
            *(number(p, 4) for p in row.probabilities),
            number(row.level_db, 1),
        )
        for row in rows
    )
    write_csv(path, TIMELINE_COLUMNS, lines)
