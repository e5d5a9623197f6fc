"""Result files: written beside their place and moved into it, so that a reader never meets half of one."""

import csv
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from analyzer import destinations
from analyzer.emotions import EMOTIONS
from analyzer.errors import CannotWrite, DamagedResult
from analyzer.formats import EXTENSIONS
from analyzer.names import Identity, show
from analyzer.timeline import Row

#: The folder of timelines below the output.
TIMELINES = "timelines"
TIMELINE_COLUMNS = ("start", "end", "channel", "speaker", "emotion", "confidence", *EMOTIONS, "level_db")
#: A spreadsheet runs a text cell that begins with one of these as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


_UNFINISHED = ".writing-"


@contextmanager
def replacing(path: Path, suffix: str = ".tmp", mode: int | None = None) -> Iterator[Path]:
    """A temporary path in the same folder, that takes the place of `path` when the block ends well.

    It ends in `suffix`, for writers who look at that. Results tell of people: they are for the owner and the group
    alone, unless `mode` says otherwise. Of a symbolic link the target is replaced, and the link stays. Raises
    CannotWrite where the file system refuses, or where `path` is a folder, a pipe or a device.
    """
    with _refusing(path, "written"):
        make_folders(path.parent)
        target = destinations.regular_file(path)
        temporary = target.parent / f"{_UNFINISHED}{secrets.token_hex(8)}{suffix}"
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
def _refusing(path: Path, what: str) -> Iterator[None]:
    """Raise CannotWrite where the file system refuses what is done with a file."""
    try:
        yield
    except OSError as error:
        said = f"{show(str(path))} cannot be {what}: {error.strerror or error}"
        raise CannotWrite(said, path, error.errno) from error


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing; raises OSError. No depth is too deep for it."""
    missing = takewhile(lambda above: not above.exists(), (folder, *folder.parents))
    for above in reversed(list(missing)):
        above.mkdir(exist_ok=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, links and special files too; nothing where it cannot be listed.

    Links to folders are followed only where `folder` itself is one. No depth is too deep for it.
    """
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as found:
            for one in found:
                if one.is_dir(follow_symlinks=False):
                    folders.append(Path(one.path))
                else:
                    yield Path(one.path)


def clear_unfinished(output: Path) -> None:
    """Remove what a run that was killed left half written, also where a folder of results is a link."""
    linked = [path for name in (TIMELINES, *EXTENSIONS) if (path := output / name).is_symlink()]
    for folder in (output, *linked):
        for path in files_below(folder):
            if path.name.startswith(_UNFINISHED) and path.suffix == ".tmp":
                path.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file whole, as UTF-8 with plain line feeds."""
    with replacing(path, mode=mode) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_text_or_stream(path: Path, text: str, mode: int | None = None) -> None:
    """Write a text file as `write_text` does, or into the pipe or device that stands there; raises CannotWrite."""
    with _refusing(path, "written"):
        descriptor = destinations.open_stream(path)
        if descriptor is not None:
            destinations.write_stream(descriptor, text.encode())
            return
    write_text(path, text, mode)


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


def timeline_path(output: Path, identity: Identity) -> Path:
    """Where the timeline of a recording lies."""
    return identity.result_path(output / TIMELINES, ".csv")


def format_path(output: Path, identity: Identity, name: str) -> Path:
    """Where a recording is written in a format for people or for other tools."""
    return identity.result_path(output / name, EXTENSIONS[name])


def format_paths(output: Path, identity: Identity) -> list[Path]:
    """Every file that is made from the timeline of a recording."""
    return [format_path(output, identity, name) for name in EXTENSIONS]


def remove_empty_folders(folder: Path, output: Path) -> None:
    """Remove a folder of results and those above it, as far as they are empty: names of folders tell of people, too."""
    with suppress(OSError):  # the first one that is not empty
        while folder not in (output, *output.parents):
            folder.rmdir()
            folder = folder.parent


def delete_results(output: Path, identity: Identity) -> None:
    """Delete every file that tells of this recording alone; raises CannotWork where the file system refuses."""
    delete_formats(output, identity)
    delete(timeline_path(output, identity), output)


def delete_formats(output: Path, identity: Identity, but: Collection[str] = ()) -> None:
    """Delete what was made of a recording that is not told so any more; raises CannotWork as above.

    `but` are formats that are written anew anyway.
    """
    for name in EXTENSIONS:
        path = format_path(output, identity, name)
        if name not in but and path.exists():
            delete(path, output)


def delete(path: Path, output: Path, keep_link: bool = False) -> None:
    """Delete a result, and the folders above it that are empty then; raises CannotWrite where that is refused.

    Of a link the target is deleted, which was written through it, and the link as well unless it is to be kept.
    """
    with _refusing(path, "deleted"):
        if path.is_symlink() and (target := _target(path)):
            target.unlink(missing_ok=True)
        if not (keep_link and path.is_symlink()):
            path.unlink(missing_ok=True)
    remove_empty_folders(path.parent, output)


def _target(link: Path) -> Path | None:
    """The file that is written through a link; None where nothing is."""
    try:
        return destinations.regular_file(link)
    except OSError:
        return None


def write_timeline(path: Path, rows: Iterable[Row], speakers: Sequence[str]) -> None:
    """Write the timeline of one recording; `speakers` are those of its channels."""
    lines = (
        (
            number(row.start, 3),
            number(row.end, 3),
            row.channel,
            harmless(speakers[row.channel - 1]),
            row.emotion,
            number(row.confidence, 4),
            *(number(p, 4) for p in row.probabilities or [None] * len(EMOTIONS)),
            number(row.level_db, 1),
        )
        for row in rows
    )
    write_csv(path, TIMELINE_COLUMNS, lines)


def read_timeline(path: Path) -> list[Row]:
    """The rows of a timeline that `write_timeline` wrote; raises DamagedResult where it is none."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            lines = csv.DictReader(handle)
            if not {*TIMELINE_COLUMNS} <= {*(lines.fieldnames or ())}:
                raise ValueError("its columns have no names")
            return [_read_row(line) for line in lines]
    except FileNotFoundError as error:
        raise DamagedResult(f"{show(str(path))} is gone: it is made anew where its recording is still there") from error
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DamagedResult(
            f"{show(str(path))} is no timeline any more ({error}): delete it, it is made anew"
        ) from error


def _read_row(line: dict[str, str]) -> Row:
    probabilities = tuple(float(line[emotion]) for emotion in EMOTIONS) if line["emotion"] else ()
    times = float(line["start"]), float(line["end"])
    return Row(*times, int(line["channel"]), line["emotion"], probabilities, float(line["level_db"]))
