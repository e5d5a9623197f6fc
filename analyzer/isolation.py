"""Whose error it is: one file's, which becomes the row of that file, or the machine's, which ends the run."""

import errno
import logging
import sqlite3
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from analyzer.errors import CallEmotionsError, CannotWrite, DamagedResult, UnreadableRecording
from analyzer.logs import LOGGER
from analyzer.masking import Mask
from analyzer.names import show

log = logging.getLogger(LOGGER)

#: What the file system says where no other file could be written either.
_MACHINE_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENFILE", "ENODEV", "ENXIO", "ESTALE", "ENOTCONN")
    if hasattr(errno, name)
)
#: What SQLite says of a single row.
_ROW_ERRORS = (
    *(sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError),
    *(sqlite3.ProgrammingError, sqlite3.NotSupportedError),
)
#: Packages whose errors say that a file is damaged.
_DECODERS = ("av", "soundfile")
#: Characters of a message that a row shows.
_LONGEST_MESSAGE = 400


class Failure(NamedTuple):
    """What went wrong with one file: what the file is called, the reason in words, and the traceback or nothing."""

    name: str
    reason: str
    traceback: str

    def tell(self) -> None:
        """Say it, in the log file with the traceback."""
        log.warning("%s: failed: %s", self.name, self.reason, extra={"traceback": self.traceback})


def is_machines(error: Exception, output: Path) -> bool:
    """Whether an error over one file's results or its row in the ledger would meet every other file, too.

    It writes a file in the output folder to find out, where the error itself does not say.
    """
    if isinstance(error, CannotWrite):
        return error.errno in _MACHINE_ERRORS or not _takes_files(output, error.path)
    if isinstance(error, DamagedResult):
        return False
    if isinstance(error, CallEmotionsError):
        return True
    if isinstance(error, sqlite3.Error):
        return not is_of_one_row(error)
    return isinstance(error, OSError) and (error.errno in _MACHINE_ERRORS or not _takes_files(output, output))


def is_of_one_row(error: sqlite3.Error) -> bool:
    """Whether SQLite refuses the values of one row, and not to work at all."""
    return isinstance(error, _ROW_ERRORS)


def _takes_files(output: Path, path: Path) -> bool:
    """Whether files can be made in the output folder, and in those that results at `path` share with many others.

    These are the folder of a format and in it the folder of a label.
    """
    shared = path.relative_to(output).parts[:-1][:2] if path.is_relative_to(output) else ()
    folders = [output, *(output.joinpath(*shared[:depth]) for depth in range(1, len(shared) + 1))]
    try:
        for folder in folders:
            if folder == output or folder.exists():
                with tempfile.TemporaryFile(dir=folder):
                    pass
    except OSError:
        return False
    return True


@contextmanager
def isolated(name: str, output: Path, failures: list[Failure], mask: Mask | None = None) -> Iterator[None]:
    """Add to the failures what goes wrong in the block with the file of this name; raises what is the machine's.

    `mask` replaces numbers in what is said of it.
    """
    try:
        yield
    except Exception as error:
        if is_machines(error, output):
            raise
        said = (in_words(error), traceback_of(error))
        failures.append(Failure(name, *(map(mask.text, said) if mask else said)))


def in_words(error: BaseException) -> str:
    """An error as a row shows it: the message, before it the type unless the message was written for a reader."""
    foreseen = isinstance(error, CallEmotionsError | UnreadableRecording)
    said = show(str(error) if foreseen else f"{type(error).__name__}: {error}")
    half = _LONGEST_MESSAGE // 2
    return said if len(said) <= _LONGEST_MESSAGE else f"{said[:half]} … {said[-half:]}"


def traceback_of(error: BaseException) -> str:
    """Where an error comes from, for the log; nothing for one that is foreseen, as of a damaged file."""
    foreseen = isinstance(error, CallEmotionsError | UnreadableRecording | OSError | MemoryError)
    if foreseen or type(error).__module__.partition(".")[0] in _DECODERS:
        return ""
    return "".join(traceback.format_exception(error))
