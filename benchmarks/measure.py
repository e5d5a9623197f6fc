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

_SAMPLE_INTERVAL_S = 0.02
_MB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """Cost of a command: seconds, and peak memory in MB of its process tree and of its first process."""

    seconds: float
    tree_mb: float
    parent_mb: float


def run(command: Sequence[object]) -> Cost:
    """Run a command to its end; raise SystemExit with the end of its output if it fails."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
        sampler = _Watch(process.pid)
        status = process.wait()
        seconds = time.perf_counter() - started
        sampler.stop()
        if status:
            output.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} ended with {status}:\n{output.read()[-2000:]}")
    return Cost(seconds, sampler.tree / _MB, sampler.parent / _MB)


class _Watch(threading.Thread):
    """Sample the memory of a process tree until `stop` is called.

    Memory that processes share, such as a library's code, counts once for each: the sum is slightly too high.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.tree = self.parent = 0
        self._root, self._stop_event = psutil.Process(pid), threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stop_event.wait(_SAMPLE_INTERVAL_S):
            memory = [_resident(process) for process in _tree(self._root)]
            self.tree = max(self.tree, sum(memory))
            self.parent = max(self.parent, memory[0] if memory else 0)

    def stop(self) -> None:
        """Stop sampling."""
        self._stop_event.set()
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
