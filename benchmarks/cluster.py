"""A Dask cluster of processes on this machine, and the number of recordings that its scheduler can handle."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil

from analyzer.batch import cluster
from analyzer.batch.plan import NEW, Job
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.inputs.discovery import Found
from analyzer.names import Identity
from analyzer.runtime.signals import StopSignals
from analyzer.store.entry import Entry
from analyzer.timeline.channel_statistics import ChannelStatistics, EmotionStatistics
from analyzer.timeline.timeline import DrawingData

WORKERS = 2
#: Number of bundles between samples of the scheduler's memory.
_SAMPLE_EVERY = 50


def dask(*arguments: object) -> subprocess.Popen[bytes]:
    """Start one of Dask's own commands, as an operator would."""
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and wait for its end."""
    process.kill()
    process.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, int]]:
    """Run a scheduler; yield its address and its process id."""
    from distributed import Client

    file = folder / "scheduler.json"
    process = dask("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    try:
        with Client(scheduler_file=str(file), timeout=60) as client:
            address = client.scheduler.address
        yield address, process.pid
    finally:
        stop(process)


@contextmanager
def workers(
    address: str, folder: Path, count: int = 1, threads: int = 1, nanny: bool = False, preload: str = ""
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run worker processes of a scheduler; yield them once they are connected.

    With a nanny, a killed worker is restarted; `preload` is a script that each worker runs first.
    """
    options = ["--nanny" if nanny else "--no-nanny", "--no-dashboard", "--nthreads", threads, "--host", "127.0.0.1"]
    options += ["--preload", preload] if preload else []
    processes = [dask("worker", address, *options, "--local-directory", folder / str(k)) for k in range(count)]
    try:
        with cluster.connected(address) as client:
            client.wait_for_workers(count, timeout=60)
        yield processes
    finally:
        for process in processes:
            stop(process)


def dummy_results(bundle: cluster.Bundle) -> list[tuple[Entry, DrawingData]]:
    """Return dummy results for a bundle: a ledger entry and a sketch of three minutes per recording."""
    shares, means = dict.fromkeys((*EMOTIONS, UNCERTAIN), 0.1234), dict.fromkeys(EMOTIONS, 0.1234)
    emotions = EmotionStatistics(shares, means, means, 0.1234, 0.1234, 0, None)
    statistics = {channel: ChannelStatistics("agent", 90.0, 0.0, 30.0, 5.0, -20.0, emotions) for channel in (1, 2)}
    recordings = [job.recording for job in bundle]
    drawing = DrawingData(bytes(2000), ())
    return [
        (Entry(recording.identity, recording.size, recording.mtime_ns, "ok", statistics=statistics), drawing)
        for recording in recordings
    ]


def throughput(folder: Path, counts: Sequence[int]) -> pd.DataFrame:
    """Measure recordings per second through the scheduler, and its peak memory in MB, for each count of recordings."""
    rows = []
    with scheduler(folder) as (address, pid), workers(address, folder, WORKERS), cluster.connected(address) as client:
        for count in counts:
            started, peak = time.perf_counter(), 0
            names = (f"{k:07d}.wav" for k in range(count))
            jobs = (Job(Found(Identity("calls", name), f"s3://bucket/{name}", 1 << 20), NEW) for name in names)
            for number, (_, result) in enumerate(
                cluster.as_completed_results(client, dummy_results, cluster.bundled(jobs), StopSignals())
            ):
                if isinstance(result, BaseException):
                    raise result
                if number % _SAMPLE_EVERY == 0:
                    peak = max(peak, psutil.Process(pid).memory_info().rss)
            rows.append((count, WORKERS, count / (time.perf_counter() - started), peak / (1 << 20)))
    return pd.DataFrame(rows, columns=["recordings", "workers", "recordings_per_second", "scheduler_mb"])
