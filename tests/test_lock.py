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

from analyzer.lock import held
from analyzer.signals import StopSignals
from tests.faults import Command, faults
from tests.nights import Analyze, a_call, read_csv

HOLD = """
import sys, time
from pathlib import Path
from analyzer.lock import held
from analyzer.signals import StopSignals
with held(Path(sys.argv[1]), 0, StopSignals()):
    print("held", flush=True)
    time.sleep(100_000)
"""


@contextmanager
def another_run(output: Path) -> Iterator["subprocess.Popen[str]"]:
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


def test_a_second_run_says_who_is_at_work_and_ends_with_75(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    with another_run(tmp_path / "out") as other:
        assert analyze(calls, "-o", tmp_path / "out") == 75
    (line,) = capsys.readouterr().err.splitlines()
    assert f"process {other.pid} on " in line
    assert "--lock-wait" in line
    assert not (tmp_path / "out" / "ledger.sqlite").exists()


def test_a_lock_that_is_free_names_nobody(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out" / ".lock").read_bytes() == b""


def test_a_run_that_was_killed_holds_nothing(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with another_run(tmp_path / "out") as other:
        other.kill()
        other.wait()
        assert analyze(calls, "-o", tmp_path / "out") == 0


def test_a_run_can_wait_for_another(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with another_run(tmp_path / "out") as other:
        threading.Timer(1, other.kill).start()
        assert analyze(calls, "-o", tmp_path / "out", "--lock-wait", "60") == 0


def test_a_run_waits_no_longer_than_it_is_told(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with another_run(tmp_path / "out"):
        started = time.monotonic()
        assert analyze(calls, "-o", tmp_path / "out", "--lock-wait", "0.5") == 75
        assert time.monotonic() - started >= 0.5


def test_a_run_that_waits_can_be_stopped(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    with another_run(tmp_path / "out"):
        # By its eighth point, the run has tried to open the lock file more than once.
        command = Command(calls, tiny_model, "--lock-wait", "600000")
        assert command.run_with_faults(tmp_path / "out", str(int(signal.SIGTERM)), 8).status == 143


def test_another_output_folder_is_free(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with another_run(tmp_path / "out"):
        assert analyze(calls, "-o", tmp_path / "other") == 0


def test_a_dry_run_needs_no_lock(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    with another_run(tmp_path / "out"):
        assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0


def test_the_lock_is_free_after_the_block_also_where_that_failed(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), held(tmp_path, 0, StopSignals()):
            raise ZeroDivisionError


def test_of_two_starts_at_once_one_works_and_one_ends_with_75(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    """The run that has the lock is held at its twentieth point, during planning, until the other has ended."""
    command, both = Command(calls, tiny_model), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        both.append(command.start(tmp_path / "out", **faults(tmp_path / "out", tmp_path / name, "hold", 20)))
    while all(process.poll() is None for process in both):
        time.sleep(0.01)
    for name in ("one", "two"):
        (tmp_path / name / "go").touch()
    for process in both:
        process.communicate()
    assert sorted(process.returncode for process in both) == [0, 75]
    assert [row["status"] for row in read_csv(tmp_path / "out" / "files.csv")] == ["ok"]


def test_a_night_is_over_when_the_folder_was_left_in_good_order(tmp_path: Path) -> None:
    with held(tmp_path, 0, StopSignals()) as first:
        assert not first.died_before
        first.over = False  # as in a run that is stopped
    with held(tmp_path, 0, StopSignals()) as second:
        assert second.died_before
    with held(tmp_path, 0, StopSignals()) as third:
        assert third.died_before  # the second holder did not finish that run
        third.over = True
    with held(tmp_path, 0, StopSignals()) as fourth:
        assert not fourth.died_before


def test_a_killed_holder_has_not_come_to_the_end_of_its_night(tmp_path: Path) -> None:
    with another_run(tmp_path) as other:
        other.kill()
        other.wait()
        with held(tmp_path, 0, StopSignals()) as after:
            assert after.died_before
