"""Classification of errors: one file's error becomes the record of that file, the machine's error ends the run."""

import errno
import logging
import sqlite3
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from analyzer.errors import CallEmotionsError, CannotWrite, DamagedResult, UnreadableRecording
from analyzer.names import show
from analyzer.runtime.logs import LOGGER

log = logging.getLogger(LOGGER)

#: Errors of the file system after which no other file could be written either.
_MACHINE_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENFILE", "ENODEV", "ENXIO", "ESTALE", "ENOTCONN")
    if hasattr(errno, name)
)
#: Errors of SQLite that the values of a single row cause.
_ROW_ERRORS = (
    *(sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError),
    *(sqlite3.ProgrammingError, sqlite3.NotSupportedError),
)
#: Packages whose errors mean that a file is damaged.
_DECODERS = ("av", "soundfile")
#: Messages in a record are shortened to about this many characters.
_MAX_MESSAGE_LENGTH = 400


class TextMask(Protocol):
    """Replaces numbers in texts, see analyzer.inputs.masking."""

    def text(self, text: str) -> str:
        """Return the text with its numbers replaced."""


class Failure(NamedTuple):
    """A failure of one file: the name of the file, the reason as text, and the traceback or an empty string."""

    name: str
    reason: str
    traceback: str

    def log(self) -> None:
        """Log the failure; its traceback appears in the log file, and on the console only in verbose mode."""
        log.warning("%s: failed: %s", self.name, self.reason, extra={"traceback": self.traceback})


def is_fatal(error: Exception, output: Path) -> bool:
    """Whether an error with one file's results or ledger row would affect every other file, too.

    If the error itself does not show it, this function creates a temporary file in the output folder to find out.
    """
    if isinstance(error, CannotWrite):
        return error.errno in _MACHINE_ERRORS or not _is_writable(output, error.path)
    if isinstance(error, DamagedResult):
        return False
    if isinstance(error, CallEmotionsError):
        return True
    if isinstance(error, sqlite3.Error):
        return not is_of_one_row(error)
    return isinstance(error, OSError) and (error.errno in _MACHINE_ERRORS or not _is_writable(output, output))


def is_of_one_row(error: sqlite3.Error) -> bool:
    """Whether SQLite rejects only the values of one row, rather than any operation."""
    return isinstance(error, _ROW_ERRORS)


def _is_writable(output: Path, path: Path) -> bool:
    """Whether files can be created in the output folder, and in the folders that the result at `path` shares.

    The shared folders are the folder of a format and, in it, the folder of a label.
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
def isolated(name: str, output: Path, failures: list[Failure], mask: TextMask | None = None) -> Iterator[None]:
    """Append an error of the block to `failures`, under the name of the file that the block processes.

    Errors that would affect every other file are raised, see `is_fatal`. `mask` replaces numbers in the reason and
    the traceback.
    """
    try:
        yield
    except Exception as error:
        if is_fatal(error, output):
            raise
        texts = (format_error(error), traceback_of(error))
        failures.append(Failure(name, *(map(mask.text, texts) if mask else texts)))


def format_error(error: BaseException) -> str:
    """Format an error for a record: its type and message, or only the message if it was written for users."""
    is_expected = isinstance(error, CallEmotionsError | UnreadableRecording)
    message = show(str(error) if is_expected else f"{type(error).__name__}: {error}")
    half = _MAX_MESSAGE_LENGTH // 2
    return message if len(message) <= _MAX_MESSAGE_LENGTH else f"{message[:half]} … {message[-half:]}"


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error for the log; empty for expected errors, such as those of a damaged file.

    Expected are the tool's own errors, OSError, MemoryError and the errors of the decoders.
    """
    is_expected = isinstance(error, CallEmotionsError | UnreadableRecording | OSError | MemoryError)
    if is_expected or type(error).__module__.partition(".")[0] in _DECODERS:
        return ""
    return "".join(traceback.format_exception(error))
