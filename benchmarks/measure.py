"""A command as a whole process: how long it took, and how much memory it and its children held at a time."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOK_EVERY_S = 0.02
_MB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds, and MB that the whole tree of processes and the first of them held at most."""

    seconds: float
    tree_mb: float
    parent_mb: float


def run(command: Sequence[object]) -> Cost:
    """Run a command to its end; raises SystemExit with its last words where it fails."""
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=said, stderr=said)
        watch = _Watch(process.pid)
        status = process.wait()
        seconds = time.perf_counter() - started
        watch.stop()
        if status:
            said.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} ended with {status}:\n{said.read()[-2000:]}")
    return Cost(seconds, watch.tree / _MB, watch.parent / _MB)


class _Watch(threading.Thread):
    """Looks at the memory of a tree of processes until it is told to stop.

    What processes share, such as a library's code, counts once for each: the sum is a little too high.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.tree = self.parent = 0
        self._root, self._over = psutil.Process(pid), threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            held = [_resident(process) for process in _tree(self._root)]
            self.tree = max(self.tree, sum(held))
            self.parent = max(self.parent, held[0] if held else 0)

    def stop(self) -> None:
        """End the looking."""
        self._over.set()
        self.join()


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def analyze(calls: Path, output: Path, *options: object) -> Cost:
    """`call-emotions analyze`, quietly."""
    return run([sys.executable, "-m", "analyzer", "analyze", calls, "-o", output, "-q", *options])


def notebook(calls: Path, output: Path, limit_s: float) -> Cost:
    """The way of a notebook, see `benchmarks.notebook`, over the first seconds of every call."""
    return run([sys.executable, "-m", "benchmarks.notebook", calls, output, "--limit", limit_s])
