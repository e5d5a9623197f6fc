"""Logging: to standard error, for a person or the mail of cron, and optionally to a file."""

import json
import logging
import logging.handlers
import sys
from contextlib import suppress
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path

from analyzer.errors import CannotWork
from analyzer.names import show
from analyzer.runtime import destinations

LOGGER = "call-emotions"
FORMATS = ("text", "json")
#: Extra attributes of log records that the JSON format writes as fields.
_EXTRA_FIELDS = ("recording", "status", "reason", "length_s", "exit_status", "statuses", "audio_s", "traceback")


def set_up(quiet: bool = False, verbose: bool = False, file: Path | None = None, form: str = "text") -> None:
    """Set up logging: only warnings and errors if `quiet`, a line per recording if `verbose`.

    A `file` receives all messages with times, in the given form; `quiet` does not affect it, but lines per recording
    need `verbose`. Without a file, the form applies to standard error. Raises CannotWork if the file cannot be written.
    """
    logging.raiseExceptions = False  # a failed log write, as on a full disk, must not end the run
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
    """Remove and close the handlers that `set_up` added."""
    logger = logging.getLogger(LOGGER)
    for handler in list(logger.handlers):
        if isinstance(handler, logging.StreamHandler):  # the file handler is a subclass of it
            logger.removeHandler(handler)
            with suppress(OSError):  # such as on a full disk
                handler.close()


class _LogFile(logging.handlers.WatchedFileHandler):
    """Log file that is reopened after logrotate has moved it.

    It may also be a pipe or a device; logging never waits for the reader of one.
    """

    def _open(self) -> TextIOWrapper:
        descriptor = destinations.open_stream(Path(self.baseFilename))
        if descriptor is None:
            return super()._open()
        return open(descriptor, "w", encoding=self.encoding, errors=self.errors)


class _Plain(logging.Formatter):
    """Console format: the message, with the name of the tool before errors, and tracebacks if `verbose`."""

    def __init__(self, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        message = f"{LOGGER}: {record.getMessage()}" if record.levelno >= logging.ERROR else record.getMessage()
        return message + (_indented_traceback(record) if self._verbose else "")


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


def _indented_traceback(record: logging.LogRecord) -> str:
    """Return the traceback of a record on separate, indented lines; empty for most records."""
    return "".join(f"\n  {line}" for line in (getattr(record, "traceback", None) or "").splitlines())


class _Dated(logging.Formatter):
    """Log file format: time (ISO 8601 with UTC offset), level and message."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_timestamp(record)} {record.levelname} {record.getMessage()}{_indented_traceback(record)}"


class _Json(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"time": _timestamp(record), "level": record.levelname.lower(), "message": record.getMessage()}
        fields |= {name: value for name in _EXTRA_FIELDS if (value := getattr(record, name, None)) is not None}
        return json.dumps(fields, ensure_ascii=False)
