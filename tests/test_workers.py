"""Worker processes: a failure of one costs no more than the recording that it is processing."""

import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from analyzer import workers
from analyzer.ledger import Ledger
from tests.faults import Command, wait_until, worker_processes
from tests.nights import Analyze, a_call, contents, read_csv

#: Loaded first by the worker processes: some recordings crash or hang the process that reads them.
_DEADLY = """
import os, sys, time
from pathlib import Path

def deadly(path):
    if path.stem == "deadly":
        os._exit(9)
    if path.stem == "once" and not (marker := path.parent.parent / "died").exists():
        marker.touch()
        os.kill(os.getpid(), 9)
    if path.stem == "hanging":
        Path(os.environ["HANGING"], str(os.getpid())).touch()
        time.sleep(10_000)
    return open_audio(path)

if any("popen_loky" in argument for argument in sys.orig_argv):
    from analyzer import recording, workers
    from analyzer.audio import open_audio
    recording.open_audio = deadly
    if "NO_MODEL" in os.environ:
        recording.open_audio = workers.load_classifier = lambda *_: os._exit(9)
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some short recordings, and worker processes that some other recordings crash or hang."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_DEADLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parent.parent)]))
    (tmp_path / "hanging").mkdir()
    monkeypatch.setenv("HANGING", str(tmp_path / "hanging"))
    for k in range(4):
        a_call(tmp_path / "calls" / f"{k}.wav", seed=k)
    return tmp_path / "calls"


def hanging(folder: Path) -> int:
    """Return how many processes hang in a recording."""
    return len(list((folder / "hanging").iterdir()))


def recorded(output: Path) -> int:
    """Return how many recordings a run in progress has recorded as analysed; each already has its timeline."""
    with closing(Ledger(output, writable=False)) as ledger:
        return sum(entry.status == "ok" for entry in ledger.entries())


def statuses(output: Path) -> dict[str, str]:
    return {row["file"]: row["status"] for row in read_csv(output / "files.csv")}


def test_a_recording_that_kills_every_process_fails_alone(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    a_call(calls / "deadly.wav")
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 1
    assert statuses(tmp_path / "out") == {
        **{f"calls/{k}.wav": "ok" for k in range(4)},
        "calls/deadly.wav": "failed",
    }
    (failed,) = [row for row in read_csv(tmp_path / "out" / "files.csv") if row["status"] == "failed"]
    assert "died twice" in failed["reason"]


def test_a_recording_whose_process_was_killed_has_another_chance(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    a_call(calls / "once.wav")
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 0
    assert (tmp_path / "died").exists()
    assert set(statuses(tmp_path / "out").values()) == {"ok"}


def test_a_decoder_that_hangs_is_stopped_and_costs_its_recording_an_attempt(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_call(calls / "hanging.wav")
    os.truncate(calls / "hanging.wav", 1000)
    monkeypatch.setattr(workers, "limit_s", lambda size: 0.1 if size == 1000 else 1000.0)
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 1
    (failed,) = [row for row in read_csv(tmp_path / "out" / "files.csv") if row["status"] != "ok"]
    assert (failed["file"], failed["status"]) == ("calls/hanging.wav", "failed")
    assert "hangs" in failed["reason"]


def test_a_long_recording_has_longer_than_a_short_one() -> None:
    assert workers.limit_s(0) == workers.LEAST_S
    hour_of_amr = 600 * 3600  # AMR at 4.75 kbit/s, the lowest bit rate of telephones
    assert 180 < workers.limit_s(hour_of_amr) < 3600


def test_a_machine_on_which_no_process_lives_is_not_the_recordings_fault(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_MODEL", "1")
    monkeypatch.setattr(workers, "_STARTS", 2)
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 3
    assert "is memory short?" in capsys.readouterr().err
    assert read_csv(tmp_path / "out" / "files.csv") == []
    monkeypatch.delenv("NO_MODEL")
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 0


def test_processes_leave_when_the_run_is_killed(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    for name in ("hanging", "also/hanging"):
        a_call(calls / f"{name}.wav")
    process = Command(calls, tiny_model).start(tmp_path / "out")
    wait_until(lambda: hanging(tmp_path) == 2, process)
    children = worker_processes(process.pid)
    assert len(children) == 2
    process.kill()
    process.communicate()
    psutil.wait_procs(children)  # the recordings would block them for hours


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drops_what_is_in_hand_and_tables_tell_of_what_is_done(
    calls: Path, tmp_path: Path, tiny_model: Path, number: signal.Signals
) -> None:
    for folder in ("one", "two"):
        a_call(calls / folder / "hanging.wav")
        os.truncate(calls / folder / "hanging.wav", 1000)  # shorter than the others, so that they come last
    output = tmp_path / "out"
    process = Command(calls, tiny_model).start(output)
    wait_until(lambda: hanging(tmp_path) == 2 and recorded(output) == 4, process)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert number.name in said.splitlines()[-1]
    assert statuses(output) == {f"calls/{k}.wav": "ok" for k in range(4)}


def test_a_signal_to_the_whole_group_is_one_as_well(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    """As by Ctrl-C at a terminal, or by systemd when it stops a service."""
    for folder in ("one", "two"):
        a_call(calls / folder / "hanging.wav")
    arguments = Command(calls, tiny_model).arguments(tmp_path / "out")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: hanging(tmp_path) == 2, process)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == 143
    assert "Traceback" not in said
    assert "failed" not in statuses(tmp_path / "out").values()


def test_processes_give_what_one_process_gives(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "one") == 0
    assert analyze(calls, "-o", tmp_path / "two", jobs=2) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_error_of_the_machine_ends_the_run_and_is_no_recording_s_fault(
    calls: Path, tmp_path: Path, tiny_model: Path
) -> None:
    output = tmp_path / "out"
    (output / "timelines").mkdir(parents=True)
    (output / "timelines" / "calls").write_text("in the way")
    done = subprocess.run([*Command(calls, tiny_model).arguments(output)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert read_csv(output / "files.csv") == []
