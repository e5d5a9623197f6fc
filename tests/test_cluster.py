"""Runs on a Dask cluster: a real scheduler and real workers, in processes on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.batch import batch, cluster
from analyzer.batch.plan import NEW, Job
from analyzer.commands.main import main
from analyzer.inputs.discovery import Found
from analyzer.names import Identity
from analyzer.runtime.signals import StopSignals
from benchmarks.cluster import scheduler, throughput, workers
from tests.helpers.runs import Analyze, Run, a_call, contents, read_csv
from tests.helpers.tiny_model import EXTREMES, make_tiny_model

#: Preloaded by workers: a decoder that ends its process.
DEADLY = """
import os
from analyzer.audio import reader
reader.sniff = lambda head, really=reader.sniff: os._exit(9) if head == b"deadly" else really(head)
"""
REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Some short recordings."""
    folder = tmp_path / "calls"
    folder.mkdir()
    for index in range(24):
        a_call(folder / f"{index:02d}.wav", seed=index % 3)
    return folder


def analyze_on(address: str, *arguments: object, model: Path) -> int:
    """Run `call-emotions analyze --cluster` in this process."""
    return main(["analyze", *map(str, arguments), "--cluster", address, "--model", str(model)])


def test_cluster_gives_same_bytes(good_run: Run, tiny_model: Path, tmp_path: Path) -> None:
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path, threads=2):
        assert analyze_on(address, good_run.calls, "-o", tmp_path / "out", model=tiny_model) == 0
    assert contents(tmp_path / "out") == contents(good_run.output)


def test_cluster_applies_sensitivity(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    model = make_tiny_model(tmp_path / "model", sensitivities=EXTREMES)
    assert analyze(calls, "-o", tmp_path / "here", "--sensitivity", "high", model=model) == 0
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path):
        assert analyze_on(address, calls, "-o", tmp_path / "there", "--sensitivity", "high", model=model) == 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_killed_worker_loses_no_recording(calls: Path, tmp_path: Path, tiny_model: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "here") == 0
    output = tmp_path / "there"
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path, count=2) as (first, _):
        command = [sys.executable, "-m", "analyzer", "analyze", calls, "-o", output, "--model", tiny_model]
        run = subprocess.Popen([*map(str, command), "--cluster", address], cwd=REPOSITORY)
        while run.poll() is None and len(list(output.glob("timelines/calls/*.csv"))) < 8:
            time.sleep(0.001)
        os.kill(first.pid, signal.SIGKILL)
        assert run.wait() == 0
    assert contents(output) == contents(tmp_path / "here")


def test_bad_files_fail_on_a_cluster(bad_run: Run, tiny_model: Path, tmp_path: Path, analyze: Analyze) -> None:
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path):
        assert analyze_on(address, bad_run.calls, "-o", tmp_path / "out", model=tiny_model) == 1
    assert contents(tmp_path / "out") == contents(bad_run.output)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"version": "0"}, "has version"), ({"model_hash": "0"}, "another model"), ({"folders": "nowhere"}, "not see")],
    ids=["version", "model", "share"],
)
def test_differing_worker_ends_the_run(
    calls: Path,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    change: dict[str, str],
    message: str,
) -> None:
    prepare = batch._prepare
    changes: dict = {**change, **({"folders": (tmp_path / "nowhere",)} if "folders" in change else {})}
    monkeypatch.setattr(batch, "_prepare", lambda *given: replace(prepare(*given), **changes))
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path):
        assert analyze_on(address, calls, "-o", tmp_path / "out", model=tiny_model) == 3
    assert message in capsys.readouterr().err
    assert read_csv(tmp_path / "out" / "recordings.csv") == []


def test_missing_scheduler_is_a_usage_error(
    calls: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "_ANSWERS_S", 1)
    assert analyze_on("tcp://127.0.0.1:1", calls, "-o", tmp_path / "out", model=tiny_model) == 2
    assert "dask scheduler" in capsys.readouterr().err
    assert analyze_on("no address at all", calls, "-o", tmp_path / "out", model=tiny_model) == 2


def test_scheduler_without_workers(
    calls: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "_WORKERS_S", 1)
    with scheduler(tmp_path) as (address, _):
        assert analyze_on(address, calls, "-o", tmp_path / "out", model=tiny_model) == 3
    assert "has no workers" in capsys.readouterr().err


def test_missing_dask_is_named(
    calls: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert analyze_on("tcp://127.0.0.1:1", calls, "-o", tmp_path / "out", model=tiny_model) == 2
    assert "pip install 'call-emotions[cluster]'" in capsys.readouterr().err


def test_cluster_excludes_jobs_option(calls: Path) -> None:
    with pytest.raises(SystemExit) as error:
        main(["analyze", str(calls), "--cluster", "tcp://127.0.0.1:1", "-j", "2"])
    assert error.value.code == 2


def jobs_of(*sizes: int) -> list[Job]:
    return [
        Job(Found(Identity("calls", f"{index}.wav"), Path(f"{index}.wav"), size), NEW)
        for index, size in enumerate(sizes)
    ]


def test_short_recordings_are_bundled() -> None:
    long, short = cluster.BUNDLE_BYTES, cluster.BUNDLE_BYTES // 10
    bundles = cluster.bundled(jobs_of(3 * long, long, *[short] * 25))
    assert [len(bundle) for bundle in bundles] == [1, 1, 10, 10, 5]
    assert [item for bundle in bundles for item in bundle] == jobs_of(3 * long, long, *[short] * 25)
    assert [len(bundle) for bundle in cluster.bundled(jobs_of(*[1] * 70))] == [32, 32, 6]
    assert [len(bundle) for bundle in cluster.bundled(jobs_of(*[1] * 5), most=2)] == [2, 2, 1]
    assert cluster.bundled([]) == []


def test_recording_that_kills_workers_fails_alone(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    """Dask gives up a task only after four workers died of it; a nanny restarts the worker each time."""
    deadly = calls / "00.wav"
    deadly.write_bytes(b"deadly")
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path, preload=DEADLY, nanny=True):
        assert analyze_on(address, calls, "-o", tmp_path / "out", model=tiny_model) == 1
    reasons = {row["file"]: row["reason"] for row in read_csv(tmp_path / "out" / "files.csv") if row["status"] != "ok"}
    assert set(reasons) == {"calls/00.wav"}
    assert "died" in reasons["calls/00.wav"]


def test_queue_of_tasks_is_short(tmp_path: Path) -> None:
    submitted: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(200):
            submitted.append(number)
            yield number

    with scheduler(tmp_path) as (address, _), workers(address, tmp_path), cluster.connected(address) as client:
        completed = 0
        for value, doubled in cluster.as_completed_results(client, _double, numbers(), StopSignals()):
            assert doubled == 2 * value
            completed += 1
            assert len(submitted) - completed <= cluster.PREFETCH
    assert completed == 200


def _double(number: int) -> int:
    return 2 * number


def test_benchmark_measures_speed_and_memory(tmp_path: Path) -> None:
    table = throughput(tmp_path, [5, 20])
    assert list(table["recordings"]) == [5, 20]
    assert (table["recordings_per_second"] > 0).all() and (table["scheduler_mb"] > 10).all()
