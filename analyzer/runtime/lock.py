"""One run at a time per output folder: a kernel lock, which is released if the process crashes."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from analyzer.errors import AnotherRun, CannotWork
from analyzer.names import show
from analyzer.runtime.signals import StopSignals

FILE_NAME = ".lock"


@dataclass
class LockState:
    """State of a locked output folder.

    Attributes
    ----------
    previous_run_died : whether the previous run in this folder did not finish.
    finished : whether this run has finished. The lock file stores it, for the next run, when the lock is released. The
        initial value keeps the state that the previous run left.
    """

    previous_run_died: bool
    finished: bool


@contextmanager
def run_lock(output: Path, wait_s: float, stop: StopSignals) -> Iterator[LockState]:
    """Lock an output folder while the block runs; creates the folder if it does not exist.

    The lock file names the process that holds the lock. A run that finishes empties it as its last action: a run killed
    before that counts as unfinished, and a run killed after it has nothing left to do. Raises AnotherRun if another run
    holds the lock for longer than `wait_s` seconds, CannotWork if the folder cannot be used.
    """
    from filelock import FileLock, Timeout

    path, previous_contents = output / FILE_NAME, list[bytes]()
    # No fallback to a lock without the kernel: its file would remain locked after a crash.
    lock = FileLock(
        path,
        mode=0o640,
        poll_interval=0.2,
        fallback_to_soft=False,
        on_acquired=lambda descriptor: previous_contents.append(_write_holder(descriptor)),
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OSError(f"{FILE_NAME} is not a file there, and whatever it is would be overwritten")
        with stop.waiting():
            lock.acquire(timeout=wait_s)
    except Timeout:
        raise AnotherRun(
            f"{_describe_holder(path)} is using {show(str(output))}: wait until it ends, or use --lock-wait"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise CannotWork(f"the output folder {show(str(output))} cannot be used: {error}") from error
    state = LockState(previous_run_died=bool(previous_contents[-1]), finished=not previous_contents[-1])
    try:
        yield state
    finally:
        if state.finished:
            with suppress(OSError):
                os.truncate(path, 0)
        lock.release()


def _write_holder(descriptor: int) -> bytes:
    """Write the holder into the lock file, for runs that find it locked; returns the previous content."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    holder = f"process {os.getpid()} on {socket.gethostname()}, since {now}"
    os.lseek(descriptor, 0, os.SEEK_SET)
    previous_content = os.read(descriptor, 1000)
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, holder.encode())
    return previous_content


def _describe_holder(path: Path) -> str:
    with suppress(OSError):
        if holder := path.read_text(encoding="utf-8", errors="replace").strip():
            return f"another run ({show(holder)})"
    return "another run"
