"""Run a command as a process, and measure its time and the peak memory of the process and its children."""

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
    """Cost of a command: seconds, and peak memory in MB of its process tree and of its first process."""

    seconds: float
    tree_mb: float
    parent_mb: float


def run(command: Sequence[object]) -> Cost:
    """Run a command to its end; raise SystemExit with the end of its output if it fails."""
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
    """Sample the memory of a process tree until `stop` is called.

    Memory that processes share, such as a library's code, counts once for each: the sum is slightly too high.
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
        """Stop sampling."""
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
    """Measure `call-emotions analyze` in quiet mode."""
    return run([sys.executable, "-m", "analyzer", "analyze", calls, "-o", output, "-q", *options])


def notebook(calls: Path, output: Path, limit_s: float) -> Cost:
    """Measure the notebook approach, see `benchmarks.notebook`, on the first seconds of every call."""
    return run([sys.executable, "-m", "benchmarks.notebook", calls, output, "--limit", limit_s])
