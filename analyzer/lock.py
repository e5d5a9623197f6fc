"""One run at a time per output folder: a lock of the kernel's, which a crash frees."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from analyzer.errors import AnotherRun, CannotWork
from analyzer.names import show
from analyzer.signals import StopSignals

FILE_NAME = ".lock"


@contextmanager
def held(output: Path, wait_s: float, stop: StopSignals) -> Iterator[None]:
    """Hold an output folder while the block runs; it is made where there is none.

    Raises AnotherRun where another run holds it for longer than `wait_s` seconds, CannotWork where the folder cannot
    be used.
    """
    from filelock import FileLock, Timeout

    path = output / FILE_NAME
    # Never a lock file without the kernel: that would stay after a crash.
    lock = FileLock(path, mode=0o640, poll_interval=0.2, fallback_to_soft=False, on_acquired=_say_who)
    try:
        output.mkdir(parents=True, exist_ok=True)
        with stop.waiting():
            lock.acquire(timeout=wait_s)
    except Timeout:
        raise AnotherRun(
            f"{_holder(path)} is at work in {show(str(output))}: let it end, or wait for it with --lock-wait"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise CannotWork(f"the output folder {show(str(output))} cannot be used: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _say_who(descriptor: int) -> None:
    """Write into the file who holds it, for those who come second."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    who = f"process {os.getpid()} on {socket.gethostname()}, since {now}"
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, who.encode())


def _holder(path: Path) -> str:
    with suppress(OSError):
        if who := path.read_text(encoding="utf-8", errors="replace").strip():
            return f"another run ({show(who)})"
    return "another run"
