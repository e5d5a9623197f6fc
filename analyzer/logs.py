"""Where the tool says what it does: on standard error, for a person or cron's mail; in a file, for later."""

import json
import logging
import logging.handlers
import sys
from contextlib import suppress
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path

from analyzer import destinations
from analyzer.errors import CannotWork
from analyzer.names import show

LOGGER = "call-emotions"
FORMATS = ("text", "json")
#: What a line may carry besides its message, as the fields of a JSON object.
_FIELDS = ("recording", "status", "reason", "length_s", "exit_status", "statuses", "audio_s", "traceback")


def set_up(quiet: bool = False, verbose: bool = False, file: Path | None = None, form: str = "text") -> None:
    """Say only trouble where it is `quiet`, and a line per recording where it is `verbose`.

    With a `file`, that gets everything as well but for lines per recording that are not asked for, with times, in the
    given form; without one the form is that of standard error. Raises CannotWork where the file cannot be written.
    """
    logging.raiseExceptions = False  # a disk that is full must not end the night by its log
    level = logging.DEBUG if verbose else logging.INFO
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level)
    close()
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.WARNING if quiet and not verbose else level)
    console.setFormatter(_Json() if form == "json" and not file else _Plain(verbose))
    logger.addHandler(console)
    if file:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handler = _LogFile(file, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise CannotWork(f"the log file {show(str(file))} cannot be written: {error.strerror}") from error
        handler.setFormatter(_Json() if form == "json" else _Dated())
        logger.addHandler(handler)


def close() -> None:
    """Let go of what `set_up` opened."""
    logger = logging.getLogger(LOGGER)
    for handler in list(logger.handlers):
        if isinstance(handler, logging.StreamHandler):  # the file's handler is one, too
            logger.removeHandler(handler)
            with suppress(OSError):  # as of a disk that is full
                handler.close()


class _LogFile(logging.handlers.WatchedFileHandler):
    """A file, opened again when logrotate has moved it away; or a pipe or a device, which is never waited for."""

    def _open(self) -> TextIOWrapper:
        descriptor = destinations.open_stream(Path(self.baseFilename))
        if descriptor is None:
            return super()._open()
        return open(descriptor, "w", encoding=self.encoding, errors=self.errors)


class _Plain(logging.Formatter):
    """For a person who watches: the message, and the tool's name where it fails; tracebacks where that is asked for."""

    def __init__(self, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        said = f"{LOGGER}: {record.getMessage()}" if record.levelno >= logging.ERROR else record.getMessage()
        return said + (_traceback(record) if self._verbose else "")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def _traceback(record: logging.LogRecord) -> str:
    """Where an error comes from, on lines of their own; nothing for most records."""
    return "".join(f"\n  {line}" for line in (getattr(record, "traceback", None) or "").splitlines())


class _Dated(logging.Formatter):
    """A line with time, ISO 8601 with its offset, and level."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname} {record.getMessage()}{_traceback(record)}"


class _Json(logging.Formatter):
    """An object per line."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"time": _time(record), "level": record.levelname.lower(), "message": record.getMessage()}
        told |= {name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None}
        return json.dumps(told, ensure_ascii=False)
