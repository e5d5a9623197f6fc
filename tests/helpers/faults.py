"""Runs with injected faults: killed runs, dying worker processes, full disks."""

import errno
import os
import random
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from analyzer.store import ledger
from tests.helpers import voices
from tests.helpers.encoders import ENCODINGS, write_wav
from tests.helpers.runs import at_noon, bad_calls, good_calls


def mixed_calls(folder: Path) -> Path:
    """Write sixty files: calls of many encodings and lengths in several folders, bad files, and awkward names."""
    good_calls(folder / "good")
    bad_calls(folder / "bad")
    for k in range(3):
        (folder / f"day-{k}").mkdir()
    for k in range(60 - sum(path.is_file() or path.is_symlink() for path in folder.rglob("*"))):
        length = 1.5 + k % 4
        samples = voices.call(length, [(0.2, length - 0.2)], seed=100 + k)
        if k % 5:
            write_wav(folder / f"day-{k % 3}" / f"{k:02d}.wav", np.stack([samples, samples[::-1]]))
        else:
            ENCODINGS["mp3.mp3"].write(folder / f"day-{k % 3}", samples, f"{k:02d}.mp3")
    return at_noon(folder)


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit status, standard error, number of points reached, and number of faults caused."""

    status: int
    printed: str
    points: int = 0
    faults: int = 0


class Command:
    """`call-emotions analyze` over a folder, in a separate process with two worker processes."""

    def __init__(self, calls: Path, model: Path, *options: str) -> None:
        self._calls, self._options = calls, ("--model", str(model), "-j", "2", "-q", *options)

    def arguments(self, output: Path) -> list[str]:
        """Return the command line of a run."""
        return [sys.executable, "-m", "analyzer", "analyze", str(self._calls), "-o", str(output), *self._options]

    def start(self, output: Path, **environment: str) -> "subprocess.Popen[str]":
        """Start a run."""
        return subprocess.Popen(
            self.arguments(output),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **environment},
        )

    def run(self, output: Path) -> tuple[int, str]:
        """Run to the end; returns the exit status and standard error."""
        process = self.start(output)
        _, printed = process.communicate()
        return process.returncode, printed

    def run_with_faults(self, output: Path, fault: str, *at: int) -> Ended:
        """Run with faults of this kind at these points; see tests/helpers/points/sitecustomize.py."""
        with tempfile.TemporaryDirectory() as folder:
            process = self.start(output, **faults(self._calls.parent, Path(folder), fault, *at))
            _, printed = process.communicate()
            points, caused = Path(folder, "points").stat().st_size, len(os.listdir(folder)) - 1
        return Ended(process.returncode, printed, points, caused)


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait without a time limit until a condition holds; fails if the process ends before."""
    while not holds():
        assert process.poll() is None, "it has ended"
        time.sleep(0.01)


def faults(below: Path, notes: Path, fault: str, *at: int) -> dict[str, str]:
    """Return the environment of a run in which the n-th operations on files below a folder cause faults of this kind.

    `notes` is a folder in which the processes of the run record the points.
    """
    return {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "points"), os.environ.get("PYTHONPATH", "")]),
        "POINTS_BELOW": str(below),
        "POINTS_NOTES": str(notes),
        "POINTS_FAULT": fault,
        "POINTS_AT": " ".join(map(str, sorted(at))),
    }


def points_of_runs(points: int, rng: random.Random) -> Iterator[int]:
    """Yield a random point for each of four runs, each of which continues the work of the previous one.

    A point is drawn from about as many as the run still has. `points` is the number of points of a run that has
    everything to do; a run that has nothing to do has a twelfth of them, in its planning and its tables.
    """
    left = points
    for _ in range(4):
        point = rng.randint(1, left)
        yield point
        left = max(left - point, points // 12)


def killed_at_points(command: Command, output: Path, points: int, rng: random.Random) -> int:
    """Run up to four times, each killed at a point, and then to the end; returns how many runs were killed."""
    for kills, point in enumerate(points_of_runs(points, rng)):
        ended = command.run_with_faults(output, rng.choice(["kill", "kill-amid"]), point)
        if ended.status != -signal.SIGKILL:
            assert (ended.status in (0, 1), ended.points < point) == (True, True), ended.printed
            return kills
    status, printed = command.run(output)
    assert status in (0, 1), printed
    return 4


def workers_killed_at_points(command: Command, output: Path, points: int, rng: random.Random) -> int:
    """Run with up to six worker processes killed, each at a point; returns how many died."""
    ended = command.run_with_faults(output, "worker", *rng.sample(range(1, points + 1), 6))
    assert ended.status in (0, 1), ended.printed
    assert command.run(output)[0] in (0, 1)  # retries recordings whose worker died twice
    return ended.faults


def worker_processes(parent: int) -> list[psutil.Process]:
    """Return the worker processes of a run, without the process that loky uses for its own housekeeping."""
    found = []
    try:
        for child in psutil.Process(parent).children():
            if "LokyProcess" in " ".join(child.cmdline()):
                found.append(child)
    except psutil.NoSuchProcess:
        pass
    return found


def interrupted_at_points(command: Command, output: Path, points: int, rng: random.Random) -> list[int]:
    """Run up to four times, each with SIGTERM or SIGINT at a point, and then to the end; returns the exit statuses."""
    statuses = []
    for point in points_of_runs(points, rng):
        number = rng.choice([signal.SIGINT, signal.SIGTERM])
        statuses.append(command.run_with_faults(output, str(int(number)), point).status)
        if statuses[-1] in (0, 1):
            return statuses
    return [*statuses, command.run(output)[0]]


@contextmanager
def room_for(files: int, pages: int) -> Iterator[None]:
    """Simulate a disk with room for this many more files and a ledger of this many pages, until the block ends."""
    left, really, connect = files, os.fsync, ledger._connect

    def fsync(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(descriptor)

    def connect_to_small_disk(path: Path | None, writable: bool) -> sqlite3.Connection:
        connection = connect(path, writable)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(ledger, "_connect", connect_to_small_disk)
        yield


def on_a_small_disk(command: Command, folder: Path, kilobytes: int) -> tuple[int, int]:
    """Run on a file system of this size, and again after it was enlarged; returns both exit statuses.

    The results are copied to `folder`. They were written next to it, so that links from pages to recordings remain
    valid. Needs Linux namespaces, in which any user may mount.
    """
    disk = folder.with_suffix(".disk")
    disk.mkdir()
    run = shlex.join(command.arguments(disk))
    script = f"""
        mount -t tmpfs -o size={kilobytes}k tmpfs {disk} || exit 99
        {run}; first=$?
        mount -o remount,size=100m {disk} || exit 99
        {run}; second=$?
        cp -r {disk} {folder} && echo $first $second
    """
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    first, second = done.stdout.split()
    return int(first), int(second)
