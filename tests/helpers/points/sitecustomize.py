"""Faults at defined points of a run: Python loads this module in every process of a run whose PYTHONPATH names it.

A point is an operation of the run on its files: a file or folder below POINTS_BELOW is opened, listed, created,
renamed, truncated or removed, a file is synchronised with its disk, or the ledger executes a statement that is not a
query. The points of all processes are counted together, in the order in which they occur. A fault is placed at the n-th
point and not at a time, which would be another point on a slower machine.

POINTS_NOTES is a folder: its file `points` gets a byte per point, and every fault creates a file there. Each point of
POINTS_AT ("12 40") causes a fault of the kind that POINTS_FAULT names:

    kill        the run is killed before the operation
    kill-amid   the run is killed during the operation
    worker      the first worker process to reach that point, or one after it, is killed
    hold        the run waits until there is a file `go` in POINTS_NOTES
    2 or 15     the run gets this signal
"""

import os
import signal
import sqlite3
import sys
import threading
import time
from typing import Any

_FILE_EVENTS = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.truncate"}

_below = os.environ["POINTS_BELOW"]
_fault, _notes = os.environ["POINTS_FAULT"], os.environ["POINTS_NOTES"]
_faults = [int(number) for number in os.environ["POINTS_AT"].split()]
# The first process is the run; the others inherit its environment.
_run = int(os.environ.setdefault("POINTS_RUN", str(os.getpid())))
_counter = os.open(os.path.join(_notes, "points"), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
_fsync, _connect = os.fsync, sqlite3.connect


def _point() -> None:
    os.write(_counter, b".")
    at = os.fstat(_counter).st_size
    while _faults and at >= _faults[0] and not (_fault == "worker" and _run == os.getpid()):
        _cause(_faults.pop(0))


def _cause(number: int) -> None:
    """Cause the fault of that point, unless another process has done so."""
    try:
        os.close(os.open(os.path.join(_notes, str(number)), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if _fault == "kill":
        os.kill(_run, signal.SIGKILL)
    elif _fault == "kill-amid":
        _kill_amid()
    elif _fault == "worker":
        os.kill(os.getpid(), signal.SIGKILL)
    elif _fault == "hold":
        while not os.path.exists(os.path.join(_notes, "go")):
            time.sleep(0.01)
    else:
        os.kill(_run, int(_fault))


def _kill_amid() -> None:
    """Kill the run from a thread that is scheduled when the operation waits in a system call."""
    begins = threading.Event()
    threading.Thread(target=lambda: begins.wait() and os.kill(_run, signal.SIGKILL), daemon=True).start()
    begins.set()


def _fsync_at_a_point(descriptor: int) -> None:
    _point()
    _fsync(descriptor)


def _connect_with_points(*arguments: Any, **more: Any) -> sqlite3.Connection:
    connection = _connect(*arguments, **more)
    connection.set_trace_callback(lambda statement: None if statement.startswith("SELECT") else _point())
    return connection


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in _FILE_EVENTS:
        path = arguments[0]
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(_below):
            _point()


os.fsync, sqlite3.connect = _fsync_at_a_point, _connect_with_points
sys.addaudithook(_audit)
