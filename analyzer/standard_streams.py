"""Standard input, output and error as a process finds them: closed, non-blocking, on a full disk, without a reader."""

import errno
import io
import os
import select
import sys
from typing import TextIO

from analyzer.errors import CannotWork


class _LastingWriter(io.RawIOBase):
    """Writes to a descriptor; after an error nothing more is written, and nothing is raised.

    A run does not end because nobody reads what it prints.
    """

    def __init__(self, descriptor: int, error: OSError | None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.error = error

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # Buffer has no name before Python 3.12
        if self.error is None:
            try:
                write_all(self._descriptor, data)
            except OSError as error:
                self.error = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return self.error is None and os.isatty(self._descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data; where the descriptor is non-blocking and takes no more now, wait until it does."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def read_some(descriptor: int, most: int) -> bytes:
    """Read what is there, at most so many bytes and nothing at the end; wait for it also where that is non-blocking."""
    while True:
        try:
            return os.read(descriptor, most)
        except BlockingIOError:
            select.select([descriptor], [], [])


def install() -> None:
    """Have printing and logging end no run, whatever standard output and error are.

    Descriptors that are closed are opened on the null device, also for the processes that this one starts: else the
    next file that is opened, such as the ledger, would be written to by whatever prints.
    """
    closed = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]
    for descriptor in range(3):
        _open_if_closed(descriptor)
    sys.stdout = _lasting(sys.stdout, 1, closed[1])
    sys.stderr = _lasting(sys.stderr, 2, closed[2])


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)


def _lasting(stream: TextIO | None, descriptor: int, is_closed: bool) -> TextIO:
    """A text stream that writes where a standard stream does, and goes on after an error."""
    if stream and os.name == "nt" and stream.isatty():
        return stream  # its console takes no bytes
    error = OSError(errno.EBADF, "it is closed") if is_closed else None
    writer = io.BufferedWriter(_LastingWriter(descriptor, error))
    by_line = descriptor == 2 or writer.isatty() or bool(getattr(stream, "write_through", False))
    encoding = stream.encoding if stream else "utf-8"
    # A name that a terminal cannot show ends no run either.
    return io.TextIOWrapper(writer, encoding, errors="backslashreplace", line_buffering=by_line)


def flush(stream: TextIO) -> None:
    """Flush a stream, also one that another program has made non-blocking; raises OSError as `flush` does."""
    while True:
        try:
            return stream.flush()
        except BlockingIOError:  # what was not written is still in the buffer
            select.select([], [stream], [])


def lost_by(stream: TextIO | None) -> OSError | None:
    """Why lines that were printed are lost; None where they are not."""
    if stream is None:
        return OSError(errno.EBADF, "it is closed")
    try:
        flush(stream)
    except OSError as error:
        return error
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, _LastingWriter) else None


def is_closed(stream: TextIO | None) -> bool:
    """Whether a standard stream was closed when this process began."""
    error = lost_by(stream)
    return error is not None and error.errno == errno.EBADF


def is_unwanted(error: OSError) -> bool:
    """Whether lines were lost since nobody wants them: the reader has gone, as of `| head`, or there never was one."""
    return isinstance(error, BrokenPipeError) or error.errno == errno.EBADF


def check_printed() -> None:
    """Raise CannotWork where lines that a command was started for could not be printed."""
    error = lost_by(sys.stdout)
    if error and not is_unwanted(error):
        raise CannotWork(f"standard output cannot be written: {error.strerror or error}")
