"""One run at a time per output folder: a lock of the kernel's, which a crash frees."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from analyzer.errors import AnotherRun, CannotWork
from analyzer.names import show
from analyzer.signals import StopSignals

FILE_NAME = ".lock"


@dataclass
class Hold:
    """An output folder that is held.

    Attributes
    ----------
    died_before : whether the last night there did not come to its end.
    over : whether that can be said of this one; once the folder is free, the next will know.
    """

    died_before: bool
    over: bool


@contextmanager
def held(output: Path, wait_s: float, stop: StopSignals) -> Iterator[Hold]:
    """Hold an output folder while the block runs; it is made where there is none.

    The lock file names who holds it, and whoever comes to the end of a night empties it. That is the last that a run
    does: one that is killed before has not ended, and one that is killed after has nothing left to do. Raises
    AnotherRun where another run holds the folder for longer than `wait_s` seconds, CannotWork where it cannot be used.
    """
    from filelock import FileLock, Timeout

    path, left = output / FILE_NAME, list[bytes]()
    # Never a lock file without the kernel: that would stay after a crash.
    lock = FileLock(
        path, mode=0o640, poll_interval=0.2, fallback_to_soft=False, on_acquired=lambda file: left.append(_sign(file))
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OSError(f"{FILE_NAME} is not a file there, and whatever it is would be overwritten")
        with stop.waiting():
            lock.acquire(timeout=wait_s)
    except Timeout:
        raise AnotherRun(
            f"{_holder(path)} is at work in {show(str(output))}: let it end, or wait for it with --lock-wait"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise CannotWork(f"the output folder {show(str(output))} cannot be used: {error}") from error
    hold = Hold(died_before=bool(left[-1]), over=not left[-1])
    try:
        yield hold
    finally:
        if hold.over:
            with suppress(OSError):
                os.truncate(path, 0)
        lock.release()


def _sign(descriptor: int) -> bytes:
    """Write into the file who holds it, for those who come second; returns what was left there."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    who = f"process {os.getpid()} on {socket.gethostname()}, since {now}"
    os.lseek(descriptor, 0, os.SEEK_SET)
    left = os.read(descriptor, 1000)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, who.encode())
    return left


def _holder(path: Path) -> str:
    with suppress(OSError):
        if who := path.read_text(encoding="utf-8", errors="replace").strip():
            return f"another run ({show(who)})"
    return "another run"
