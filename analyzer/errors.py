"""Errors that the tool raises on purpose, each with the exit status it leads to."""

from pathlib import Path


class CallEmotionsError(Exception):
    """An error whose message tells the user what to do; `exit_status` is what the command ends with."""

    exit_status = 3


class UsageError(CallEmotionsError):
    """The command line or the configuration asks for something that cannot be meant."""

    exit_status = 2


class CannotWork(CallEmotionsError):
    """Nothing can be done at all: no model, no way to write, an input that has vanished."""

    exit_status = 3


class CannotWrite(CannotWork):
    """The file system refuses to write, rename or delete the result at `path`; `errno` says why, as of an OSError."""

    def __init__(self, message: str, path: Path, errno: int | None) -> None:
        super().__init__(message)
        self.path, self.errno = path, errno

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.path, self.errno)


class DamagedResult(CannotWork):
    """A result of one recording that is to be read again is gone, or was changed by hand."""


class AnotherRun(CallEmotionsError):
    """Another run holds the output folder."""

    exit_status = 75


class UnreadableRecording(Exception):
    """One recording cannot be analysed; the message is the reason that files.csv gives. The run goes on."""


class IncompleteRecording(UnreadableRecording):
    """A recording is still being written, and waits for another night."""


class VanishedRecording(UnreadableRecording):
    """A recording was there when its folder was listed, and is not any more."""
