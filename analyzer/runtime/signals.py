"""Ctrl-C and SIGTERM: the first signal stops a run at the next safe point, a second one stops it at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Stopped(BaseException):
    """A signal requested the run to stop; `exit_status` is 128 plus the signal number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


class StopSignals:
    """Handle stop signals while the block runs. This needs the main thread; other threads receive no signals.

    A signal raises Stopped at the next call of `check`, or at once inside a `waiting` block.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._waits = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # the value that signal.signal returned

    def check(self) -> None:
        """Raise Stopped if a signal has arrived."""
        if self._number is not None:
            raise Stopped(self._number)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal in this block raise Stopped at once: for waits during which no work is half done."""
        self._waits = True
        try:
            self.check()
            yield
        finally:
            self._waits = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._number = number
        if self._waits:
            raise Stopped(number)
