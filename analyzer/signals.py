"""Ctrl-C and SIGTERM: a run stops at the next place where nothing is half done, and a second one stops it at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


class Stopped(BaseException):
    """A signal asked for the run to stop; `exit_status` is 128 and its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


class StopSignals:
    """Takes note of signals while its block runs, in the main thread; elsewhere none arrive.

    They are raised as Stopped where the run asks for them with `check`, and at once where it is `waiting`.
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
            signal.signal(number, handler)  # type: ignore[arg-type]  # it is what signal.signal gave

    def check(self) -> None:
        """Raise Stopped if a signal has come."""
        if self._number is not None:
            raise Stopped(self._number)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """In this block a signal raises Stopped at once: for waits that have nothing half done."""
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
