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

from analyzer import batch, cluster
from analyzer.cli import main
from analyzer.discovery import Found
from analyzer.names import Identity
from analyzer.plan import NEW, Due
from analyzer.signals import StopSignals
from benchmarks.cluster import scheduler, throughput, workers
from tests.nights import Analyze, Night, a_call, contents, read_csv
from tests.test_sensitivity import EXTREMES
from tests.tiny_model import make_tiny_model

#: Preloaded by workers: a decoder that ends its process.
DEADLY = """
import os
from analyzer import audio
audio.sniff = lambda head, really=audio.sniff: os._exit(9) if head == b"deadly" else really(head)
"""
REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Some short recordings."""
    folder = tmp_path / "calls"
    folder.mkdir()
    for k in range(24):
        a_call(folder / f"{k:02d}.wav", seed=k % 3)
    return folder


def on(address: str, *arguments: object, model: Path) -> int:
    """Run `call-emotions analyze --cluster` in this process."""
    return main(["analyze", *map(str, arguments), "--cluster", address, "--model", str(model)])


def test_a_cluster_gives_the_bytes_of_one_machine(good_night: Night, tiny_model: Path, tmp_path: Path) -> None:
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path, threads=2):
        assert on(address, good_night.calls, "-o", tmp_path / "out", model=tiny_model) == 0
    assert contents(tmp_path / "out") == contents(good_night.output)


def test_a_cluster_labels_as_one_machine_does_at_another_sensitivity(
    calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    model = make_tiny_model(tmp_path / "model", sensitivities=EXTREMES)
    assert analyze(calls, "-o", tmp_path / "here", "--sensitivity", "high", model=model) == 0
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path):
        assert on(address, calls, "-o", tmp_path / "there", "--sensitivity", "high", model=model) == 0
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_worker_that_dies_half_way_costs_no_recording(
    calls: Path, tmp_path: Path, tiny_model: Path, analyze: Analyze
) -> None:
    assert analyze(calls, "-o", tmp_path / "here") == 0
    output = tmp_path / "there"
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path, count=2) as (first, _):
        command = [sys.executable, "-m", "analyzer", "analyze", calls, "-o", output, "--model", tiny_model]
        night = subprocess.Popen([*map(str, command), "--cluster", address], cwd=REPOSITORY)
        while night.poll() is None and len(list(output.glob("timelines/calls/*.csv"))) < 8:
            time.sleep(0.001)
        os.kill(first.pid, signal.SIGKILL)
        assert night.wait() == 0
    assert contents(output) == contents(tmp_path / "here")


def test_a_bad_recording_fails_there_as_it_does_here(
    bad_night: Night, tiny_model: Path, tmp_path: Path, analyze: Analyze
) -> None:
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path):
        assert on(address, bad_night.calls, "-o", tmp_path / "out", model=tiny_model) == 1
    assert contents(tmp_path / "out") == contents(bad_night.output)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"version": "0"}, "has version"), ({"model_hash": "0"}, "another model"), ({"folders": "nowhere"}, "not see")],
    ids=["version", "model", "share"],
)
def test_a_worker_whose_results_would_differ_ends_the_run(
    calls: Path,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    change: dict[str, str],
    said: str,
) -> None:
    prepare = batch._prepare
    changes: dict = {**change, **({"folders": (tmp_path / "nowhere",)} if "folders" in change else {})}
    monkeypatch.setattr(batch, "_prepare", lambda *given: replace(prepare(*given), **changes))
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path):
        assert on(address, calls, "-o", tmp_path / "out", model=tiny_model) == 3
    assert said in capsys.readouterr().err
    assert read_csv(tmp_path / "out" / "recordings.csv") == []


def test_no_scheduler_at_the_address_is_a_usage_error(
    calls: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "_ANSWERS_S", 1)
    assert on("tcp://127.0.0.1:1", calls, "-o", tmp_path / "out", model=tiny_model) == 2
    assert "dask scheduler" in capsys.readouterr().err
    assert on("no address at all", calls, "-o", tmp_path / "out", model=tiny_model) == 2


def test_a_scheduler_without_workers_is_said_to_have_none(
    calls: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "_WORKERS_S", 1)
    with scheduler(tmp_path) as (address, _):
        assert on(address, calls, "-o", tmp_path / "out", model=tiny_model) == 3
    assert "has no workers" in capsys.readouterr().err


def test_without_dask_the_message_says_what_to_install(
    calls: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert on("tcp://127.0.0.1:1", calls, "-o", tmp_path / "out", model=tiny_model) == 2
    assert "pip install 'call-emotions[cluster]'" in capsys.readouterr().err


def test_jobs_are_about_this_machine_alone(calls: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["analyze", str(calls), "--cluster", "tcp://127.0.0.1:1", "-j", "2"])
    assert stopped.value.code == 2


def due(*sizes: int) -> list[Due]:
    return [Due(Found(Identity("calls", f"{k}.wav"), Path(f"{k}.wav"), size), NEW) for k, size in enumerate(sizes)]


def test_short_recordings_go_together_and_long_ones_by_themselves() -> None:
    long, short = cluster.BUNDLE_BYTES, cluster.BUNDLE_BYTES // 10
    found = cluster.bundled(due(3 * long, long, *[short] * 25))
    assert [len(bundle) for bundle in found] == [1, 1, 10, 10, 5]
    assert [item for bundle in found for item in bundle] == due(3 * long, long, *[short] * 25)
    assert [len(bundle) for bundle in cluster.bundled(due(*[1] * 70))] == [32, 32, 6]
    assert [len(bundle) for bundle in cluster.bundled(due(*[1] * 5), most=2)] == [2, 2, 1]
    assert cluster.bundled([]) == []


def test_a_recording_that_kills_workers_fails_and_its_companions_do_not(
    calls: Path, tmp_path: Path, tiny_model: Path
) -> None:
    """Dask gives up a task only after four workers died of it; a nanny restarts the worker each time."""
    deadly = calls / "00.wav"
    deadly.write_bytes(b"deadly")
    with scheduler(tmp_path) as (address, _), workers(address, tmp_path, preload=DEADLY, nanny=True):
        assert on(address, calls, "-o", tmp_path / "out", model=tiny_model) == 1
    reasons = {row["file"]: row["reason"] for row in read_csv(tmp_path / "out" / "files.csv") if row["status"] != "ok"}
    assert set(reasons) == {"calls/00.wav"}
    assert "died" in reasons["calls/00.wav"]


def test_few_tasks_are_in_hand_at_a_time(tmp_path: Path) -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        for k in range(200):
            asked.append(k)
            yield k

    with scheduler(tmp_path) as (address, _), workers(address, tmp_path), cluster.connected(address) as client:
        seen = 0
        for number, doubled in cluster.in_turn(client, _double, numbers(), StopSignals()):
            assert doubled == 2 * number
            seen += 1
            assert len(asked) - seen <= cluster.IN_HAND
    assert seen == 200


def _double(number: int) -> int:
    return 2 * number


def test_the_benchmark_of_the_scheduler_counts_recordings_and_memory(tmp_path: Path) -> None:
    found = throughput(tmp_path, [5, 20])
    assert list(found["recordings"]) == [5, 20]
    assert (found["recordings_per_second"] > 0).all() and (found["scheduler_mb"] > 10).all()
