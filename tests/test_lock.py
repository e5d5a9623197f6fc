"""One run at a time per output folder; a crash does not block later runs."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analyzer.runtime.lock import run_lock
from analyzer.runtime.signals import StopSignals
from tests.helpers.faults import Command, faults
from tests.helpers.runs import Analyze, a_call, read_csv

HOLD = """
import sys, time
from pathlib import Path
from analyzer.runtime.lock import run_lock
from analyzer.runtime.signals import StopSignals
with run_lock(Path(sys.argv[1]), 0, StopSignals()):
    print("held", flush=True)
    time.sleep(100_000)
"""


@contextmanager
def running_process(output: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start another process that holds the lock of the output folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return a_call(tmp_path / "calls" / "a.wav").parent


def test_second_run_names_the_first_process(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_process(tmp_path / "out") as other:
        assert analyze(calls, "-o", tmp_path / "out") == 75
    (line,) = capsys.readouterr().err.splitlines()
    assert f"process {other.pid} on " in line
    assert "--lock-wait" in line
    assert not (tmp_path / "out" / "ledger.sqlite").exists()


def test_free_lock_file_is_empty(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out" / ".lock").read_bytes() == b""


def test_killed_run_releases_the_lock(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with running_process(tmp_path / "out") as other:
        other.kill()
        other.wait()
        assert analyze(calls, "-o", tmp_path / "out") == 0


def test_run_can_wait_for_another(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with running_process(tmp_path / "out") as other:
        threading.Timer(1, other.kill).start()
        assert analyze(calls, "-o", tmp_path / "out", "--lock-wait", "60") == 0


def test_wait_is_limited(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with running_process(tmp_path / "out"):
        started = time.monotonic()
        assert analyze(calls, "-o", tmp_path / "out", "--lock-wait", "0.5") == 75
        assert time.monotonic() - started >= 0.5


def test_waiting_run_can_be_stopped(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    with running_process(tmp_path / "out"):
        # By its eighth point, the run has tried to open the lock file more than once.
        command = Command(calls, tiny_model, "--lock-wait", "600000")
        assert command.run_with_faults(tmp_path / "out", str(int(signal.SIGTERM)), 8).status == 143


def test_another_output_folder_is_unlocked(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with running_process(tmp_path / "out"):
        assert analyze(calls, "-o", tmp_path / "other") == 0


def test_dry_run_needs_no_lock(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    with running_process(tmp_path / "out"):
        assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0


def test_lock_is_released_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), run_lock(tmp_path, 0, StopSignals()):
            raise ZeroDivisionError


def test_one_of_two_simultaneous_runs_works(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    """The run that has the lock is held at its twentieth point, during planning, until the other has ended."""
    command, processes = Command(calls, tiny_model), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        processes.append(command.start(tmp_path / "out", **faults(tmp_path / "out", tmp_path / name, "hold", 20)))
    while all(process.poll() is None for process in processes):
        time.sleep(0.01)
    for name in ("one", "two"):
        (tmp_path / name / "go").touch()
    for process in processes:
        process.communicate()
    assert sorted(process.returncode for process in processes) == [0, 75]
    assert [row["status"] for row in read_csv(tmp_path / "out" / "files.csv")] == ["ok"]


def test_unfinished_run_counts_as_died(tmp_path: Path) -> None:
    with run_lock(tmp_path, 0, StopSignals()) as first:
        assert not first.previous_run_died
        first.finished = False  # as in a run that is stopped
    with run_lock(tmp_path, 0, StopSignals()) as second:
        assert second.previous_run_died
    with run_lock(tmp_path, 0, StopSignals()) as third:
        assert third.previous_run_died  # the second holder did not finish that run
        third.finished = True
    with run_lock(tmp_path, 0, StopSignals()) as fourth:
        assert not fourth.previous_run_died


def test_killed_run_counts_as_died(tmp_path: Path) -> None:
    with running_process(tmp_path) as other:
        other.kill()
        other.wait()
        with run_lock(tmp_path, 0, StopSignals()) as lock_state:
            assert lock_state.previous_run_died
