"""Standard input, output and error in any state: closed, non-blocking, on a full disk, or without a reader."""

import errno
import io
import os
import select
import sys
from typing import TextIO

from analyzer.errors import CannotWork


class _LastingWriter(io.RawIOBase):
    """Write to a descriptor; after an error, discard all further data and raise nothing.

    A run must not end because nothing reads its output.
    """

    def __init__(self, descriptor: int, error: OSError | None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.error = error

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # collections.abc.Buffer needs Python 3.12
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
    """Write all of the data; if a non-blocking descriptor accepts no more at the moment, wait until it does."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def read_some(descriptor: int, most: int) -> bytes:
    """Read the available data: at most `most` bytes, none at the end of the file.

    Waits for data even if the descriptor is non-blocking.
    """
    while True:
        try:
            return os.read(descriptor, most)
        except BlockingIOError:
            select.select([descriptor], [], [])


def install() -> None:
    """Make sure that printing and logging never end a run, whatever the state of standard output and error.

    Opens closed descriptors on the null device, also for child processes. Otherwise the next file that is opened, such
    as the ledger, would get the descriptor of a standard stream and receive printed text.
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
    """Return a text stream that writes to the descriptor of a standard stream, and continues after an error."""
    if stream and os.name == "nt" and stream.isatty():
        return stream  # a Windows console does not accept bytes
    error = OSError(errno.EBADF, "it is closed") if is_closed else None
    writer = io.BufferedWriter(_LastingWriter(descriptor, error))
    by_line = descriptor == 2 or writer.isatty() or bool(getattr(stream, "write_through", False))
    encoding = stream.encoding if stream else "utf-8"
    # A name that the encoding cannot represent must not end the run either.
    return io.TextIOWrapper(writer, encoding, errors="backslashreplace", line_buffering=by_line)


def flush(stream: TextIO) -> None:
    """Flush a stream, even if another program has made it non-blocking; raises OSError as its `flush` does."""
    while True:
        try:
            return stream.flush()
        except BlockingIOError:  # the rest of the data is still in the buffer
            select.select([], [stream], [])


def lost_by(stream: TextIO | None) -> OSError | None:
    """Return the error by which printed lines were lost, or None if none were lost."""
    if stream is None:
        return OSError(errno.EBADF, "it is closed")
    try:
        flush(stream)
    except OSError as error:
        return error
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, _LastingWriter) else None


def is_closed(stream: TextIO | None) -> bool:
    """Whether a standard stream was closed when this process started."""
    error = lost_by(stream)
    return error is not None and error.errno == errno.EBADF


def is_unwanted(error: OSError) -> bool:
    """Whether lines were lost because nothing reads them: the reader has exited, as with `| head`, or never existed."""
    return isinstance(error, BrokenPipeError) or error.errno == errno.EBADF


def check_printed() -> None:
    """Raise CannotWork if printed lines, the purpose of the command, were lost although a reader exists."""
    error = lost_by(sys.stdout)
    if error and not is_unwanted(error):
        raise CannotWork(f"standard output cannot be written: {error.strerror or error}")
