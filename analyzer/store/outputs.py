"""Result files: written to a temporary file and moved into place, so that a reader never sees a partial file."""

import csv
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from analyzer.emotions import EMOTIONS
from analyzer.errors import CannotWrite, DamagedResult
from analyzer.names import Identity, show
from analyzer.runtime import destinations
from analyzer.store.formats import EXTENSIONS
from analyzer.timeline.timeline import Row

#: The folder of timelines below the output folder.
TIMELINES = "timelines"
TIMELINE_COLUMNS = ("start", "end", "channel", "speaker", "emotion", "confidence", *EMOTIONS, "level_db")
#: A spreadsheet evaluates a text cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


_TEMPORARY_PREFIX = ".writing-"


@contextmanager
def atomic_write(path: Path, suffix: str = ".tmp", mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file replaces `path` if the block succeeds.

    The temporary name ends in `suffix`, for writers that depend on the extension. Results are personal data: they are
    accessible to the owner and the group only, unless `mode` is given. If `path` is a symbolic link, its target is
    replaced and the link stays. Raises CannotWrite if the file system refuses, or if `path` is a folder, a pipe or a
    device.
    """
    with _raising_cannot_write(path, "written"):
        make_folders(path.parent)
        target = destinations.regular_file(path)
        temporary = target.parent / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}{suffix}"
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
        try:
            yield temporary
            if mode is not None:
                os.chmod(temporary, mode)
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _raising_cannot_write(path: Path, action: str) -> Iterator[None]:
    """Raise CannotWrite if the file system refuses the operation on a file in this block."""
    try:
        yield
    except OSError as error:
        message = f"{show(str(path))} cannot be {action}: {error.strerror or error}"
        raise CannotWrite(message, path, error.errno) from error


def make_folders(folder: Path) -> None:
    """Create a folder and its missing parents, at any depth; raises OSError."""
    missing = takewhile(lambda parent: not parent.exists(), (folder, *folder.parents))
    for parent in reversed(list(missing)):
        parent.mkdir(exist_ok=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, at any depth, including links and special files.

    Folders that cannot be listed are ignored. Links to folders are not followed, except `folder` itself.
    """
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def clear_unfinished(output: Path) -> None:
    """Remove the partial files of a killed run, also below folders of results that are links."""
    linked = [path for name in (TIMELINES, *EXTENSIONS) if (path := output / name).is_symlink()]
    for folder in (output, *linked):
        for path in files_below(folder):
            if path.name.startswith(_TEMPORARY_PREFIX) and path.suffix == ".tmp":
                path.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file with `atomic_write`, as UTF-8 with plain line feeds."""
    with atomic_write(path, mode=mode) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_text_or_stream(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file as `write_text` does, or into the pipe or device at `path`; raises CannotWrite."""
    with _raising_cannot_write(path, "written"):
        descriptor = destinations.open_stream(path)
        if descriptor is not None:
            destinations.write_stream(descriptor, text.encode())
            return
    write_text(path, text, mode)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV, with commas and line feeds.

    The caller has formatted the numbers, with a decimal point, and escaped text, see `escape_formula`.
    """
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def escape_formula(text: str) -> str:
    """Return text that no spreadsheet evaluates as a formula: an apostrophe precedes what would start one."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def number(value: float | None, decimals: int) -> str:
    """Format a number with a fixed number of decimals; None becomes an empty text."""
    return "" if value is None else f"{value:.{decimals}f}"


def timeline_path(output: Path, identity: Identity) -> Path:
    """Return the path of the timeline of a recording."""
    return identity.result_path(output / TIMELINES, ".csv")


def format_path(output: Path, identity: Identity, name: str) -> Path:
    """Return the path of a recording's file in the format `name`, for people or for other tools."""
    return identity.result_path(output / name, EXTENSIONS[name])


def format_paths(output: Path, identity: Identity) -> list[Path]:
    """Return the paths of all files that are made from the timeline of a recording."""
    return [format_path(output, identity, name) for name in EXTENSIONS]


def remove_empty_folders(folder: Path, output: Path) -> None:
    """Remove a folder of results and its parents as far as they are empty.

    Names of folders can be personal data, too.
    """
    with suppress(OSError):  # raised by the first folder that is not empty
        while folder not in (output, *output.parents):
            folder.rmdir()
            folder = folder.parent


def delete_results(output: Path, identity: Identity) -> None:
    """Delete every file about this recording alone; raises CannotWrite if the file system refuses."""
    delete_formats(output, identity)
    delete(timeline_path(output, identity), output)


def delete_formats(output: Path, identity: Identity, but: Collection[str] = ()) -> None:
    """Delete the files made from a recording's timeline, once they are out of date; raises CannotWrite as above.

    `but` are formats to leave, because they will be rewritten anyway.
    """
    for name in EXTENSIONS:
        path = format_path(output, identity, name)
        if name not in but and path.exists():
            delete(path, output)


def delete(path: Path, output: Path, keep_link: bool = False) -> None:
    """Delete a result, and its parent folders that are empty then; raises CannotWrite if the file system refuses.

    If `path` is a link, its target is deleted, since the result was written there, and so is the link unless
    `keep_link` is set.
    """
    with _raising_cannot_write(path, "deleted"):
        if path.is_symlink() and (target := _link_target(path)):
            target.unlink(missing_ok=True)
        if not (keep_link and path.is_symlink()):
            path.unlink(missing_ok=True)
    remove_empty_folders(path.parent, output)


def _link_target(link: Path) -> Path | None:
    """Return the file that is written through a link; None if there is none."""
    try:
        return destinations.regular_file(link)
    except OSError:
        return None


def write_timeline(path: Path, rows: Iterable[Row], speakers: Sequence[str]) -> None:
    """Write the timeline of one recording; `speakers` are the names by channel."""
    lines = (
        (
            number(row.start, 3),
            number(row.end, 3),
            row.channel,
            escape_formula(speakers[row.channel - 1]),
            row.emotion,
            number(row.confidence, 4),
            *(number(probability, 4) for probability in row.probabilities or [None] * len(EMOTIONS)),
            number(row.level_db, 1),
        )
        for row in rows
    )
    write_csv(path, TIMELINE_COLUMNS, lines)


def read_timeline(path: Path) -> list[Row]:
    """Read the rows of a timeline that `write_timeline` wrote; raises DamagedResult if it is missing or invalid."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            lines = csv.DictReader(handle)
            if not {*TIMELINE_COLUMNS} <= {*(lines.fieldnames or ())}:
                raise ValueError("its columns have no names")
            return [_read_row(line) for line in lines]
    except FileNotFoundError as error:
        raise DamagedResult(
            f"{show(str(path))} is missing: the next run writes it again if its recording still exists"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DamagedResult(
            f"{show(str(path))} is not a valid timeline ({error}): delete it, and the next run writes it again"
        ) from error


def _read_row(line: dict[str, str]) -> Row:
    probabilities = tuple(float(line[emotion]) for emotion in EMOTIONS) if line["emotion"] else ()
    times = float(line["start"]), float(line["end"])
    return Row(*times, int(line["channel"]), line["emotion"], probabilities, float(line["level_db"]))
