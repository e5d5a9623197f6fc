"""Nights that go wrong, on purpose: runs that are killed, worker processes that die, disks that are full."""

import errno
import os
import random
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from analyzer import ledger
from tests import voices
from tests.encoders import ENCODINGS, write_wav
from tests.nights import at_noon, bad_calls, good_calls

#: A run that takes longer has stopped for good.
_LONGEST_S = 120


def mixed_calls(folder: Path) -> Path:
    """Sixty files: calls of many encodings and lengths, in folders, with bad files and awkward names among them."""
    good_calls(folder / "good")
    bad_calls(folder / "bad")
    for k in range(3):
        (folder / f"day-{k}").mkdir()
    for k in range(60 - sum(path.is_file() or path.is_symlink() for path in folder.rglob("*"))):
        length = 1.5 + k % 4
        said = voices.call(length, [(0.2, length - 0.2)], seed=100 + k)
        if k % 5:
            write_wav(folder / f"day-{k % 3}" / f"{k:02d}.wav", np.stack([said, said[::-1]]))
        else:
            ENCODINGS["mp3.mp3"].write(folder / f"day-{k % 3}", said, f"{k:02d}.mp3")
    return at_noon(folder)


class Command:
    """`call-emotions analyze` over a folder, as a process of its own with two worker processes."""

    def __init__(self, calls: Path, model: Path, *options: str) -> None:
        self._calls, self._options = calls, ("--model", str(model), "-j", "2", "-q", *options)

    def arguments(self, output: Path) -> list[str]:
        """The command line of a run."""
        return [sys.executable, "-m", "analyzer", "analyze", str(self._calls), "-o", str(output), *self._options]

    def start(self, output: Path) -> "subprocess.Popen[str]":
        """Start a run."""
        return subprocess.Popen(
            self.arguments(output), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )

    def run(self, output: Path) -> tuple[int, str]:
        """Run to the end; returns the exit status and what was said on standard error."""
        process = self.start(output)
        _, said = process.communicate(timeout=_LONGEST_S)
        return process.returncode, said


def killed_at_random(command: Command, output: Path, night_s: float, rng: random.Random) -> int:
    """Run, and kill the run after a random time, again and again until one comes to its end; returns how many died."""
    for kills in range(100):
        process = command.start(output)
        try:
            _, said = process.communicate(timeout=rng.uniform(0.05, 1.1) * night_s)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
            if process.returncode < 0:
                continue
        assert process.returncode in (0, 1), said
        return kills
    raise AssertionError("no run came to its end")


def workers_killed_at_random(command: Command, output: Path, rng: random.Random) -> int:
    """Run, and kill some of the worker processes meanwhile; returns how many died."""
    process, died = command.start(output), 0
    while process.poll() is None:
        time.sleep(rng.uniform(0.1, 0.8))
        workers = worker_processes(process.pid)
        if workers and died < 6:
            rng.choice(workers).kill()
            died += 1
    _, said = process.communicate()
    assert process.returncode in (0, 1), said
    assert command.run(output)[0] in (0, 1)  # whoever died twice has failed, and is tried again
    return died


def worker_processes(parent: int) -> list[psutil.Process]:
    """The processes that analyse recordings for a run; not the one that loky keeps for its own housekeeping."""
    found = []
    try:
        for child in psutil.Process(parent).children():
            if "LokyProcess" in " ".join(child.cmdline()):
                found.append(child)
    except psutil.NoSuchProcess:
        pass
    return found


def interrupted_at_random(command: Command, output: Path, night_s: float, rng: random.Random) -> list[int]:
    """Run, and send SIGTERM or SIGINT after a random time, until a run comes to its end; returns exit statuses."""
    statuses: list[int] = []
    while not statuses or statuses[-1] not in (0, 1):
        process = command.start(output)
        try:
            process.communicate(timeout=rng.uniform(0.1, 1.1) * night_s)
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
            process.communicate(timeout=_LONGEST_S)
        statuses.append(process.returncode)
    return statuses


@contextmanager
def room_for(files: int, pages: int) -> Iterator[None]:
    """A disk that takes so many more files, and a ledger of so many pages, until the block ends."""
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
    """Run on a file system of that size, and once more after it has been made large; returns both exit statuses.

    The results are copied to `folder`, beside which they were made: pages lead from there to recordings. Needs Linux'
    namespaces, in which anybody may mount.
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
