"""Exceptions that the tool raises on purpose, with the exit status that they lead to."""

from pathlib import Path


class CallEmotionsError(Exception):
    """An error whose message says what the user can do; `exit_status` is that of the command."""

    exit_status = 3


class UsageError(CallEmotionsError):
    """The command line or the configuration is invalid."""

    exit_status = 2


class CannotWork(CallEmotionsError):
    """The command cannot work at all: no model, no way to write, an input that has vanished."""

    exit_status = 3


class CannotWrite(CannotWork):
    """The file system refuses to write, rename or delete the result at `path`; `errno` is as in OSError."""

    def __init__(self, message: str, path: Path, errno: int | None) -> None:
        super().__init__(message)
        self.path, self.errno = path, errno

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.path, self.errno)


class DamagedResult(CannotWork):
    """A stored result of one recording is needed again, but is missing or was changed by hand."""


class AnotherRun(CallEmotionsError):
    """Another run holds the output folder."""

    exit_status = 75


class UnreadableRecording(Exception):
    """One recording cannot be analysed; the message is the reason given in files.csv. The run continues."""


class IncompleteRecording(UnreadableRecording):
    """A recording is still being written; a later run analyses it."""


class VanishedRecording(UnreadableRecording):
    """A recording existed when its folder was listed, but does not exist any more."""
