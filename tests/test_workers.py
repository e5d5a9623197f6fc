"""Worker processes: a failure of one costs no more than the recording that it is processing."""

import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from analyzer.batch import local
from analyzer.store.ledger import Ledger
from tests.helpers.faults import Command, wait_until, worker_processes
from tests.helpers.runs import Analyze, a_call, contents, read_csv

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
    from analyzer.analysis import recording
    from analyzer.batch import local
    from analyzer.audio.reader import open_audio
    recording.open_audio = deadly
    if "NO_MODEL" in os.environ:
        recording.open_audio = local.load_classifier = lambda *_: os._exit(9)
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some short recordings, and worker processes that some other recordings crash or hang."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_DEADLY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parent.parent)]))
    (tmp_path / "hanging").mkdir()
    monkeypatch.setenv("HANGING", str(tmp_path / "hanging"))
    for index in range(4):
        a_call(tmp_path / "calls" / f"{index}.wav", seed=index)
    return tmp_path / "calls"


def hanging_count(folder: Path) -> int:
    """Return how many processes hang in a recording."""
    return len(list((folder / "hanging").iterdir()))


def recorded_count(output: Path) -> int:
    """Return how many recordings a run in progress has recorded as analysed; each already has its timeline."""
    with closing(Ledger(output, writable=False)) as ledger:
        return sum(entry.status == "ok" for entry in ledger.entries())


def statuses(output: Path) -> dict[str, str]:
    return {row["file"]: row["status"] for row in read_csv(output / "files.csv")}


def test_recording_that_kills_workers_fails(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    a_call(calls / "deadly.wav")
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 1
    assert statuses(tmp_path / "out") == {
        **{f"calls/{index}.wav": "ok" for index in range(4)},
        "calls/deadly.wav": "failed",
    }
    (failed,) = [row for row in read_csv(tmp_path / "out" / "files.csv") if row["status"] == "failed"]
    assert "died twice" in failed["reason"]


def test_recording_of_killed_worker_is_retried(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    a_call(calls / "once.wav")
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 0
    assert (tmp_path / "died").exists()
    assert set(statuses(tmp_path / "out").values()) == {"ok"}


def test_hanging_decoder_is_stopped(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_call(calls / "hanging.wav")
    os.truncate(calls / "hanging.wav", 1000)
    monkeypatch.setattr(local, "timeout_s", lambda size: 0.1 if size == 1000 else 1000.0)
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 1
    (failed,) = [row for row in read_csv(tmp_path / "out" / "files.csv") if row["status"] != "ok"]
    assert (failed["file"], failed["status"]) == ("calls/hanging.wav", "failed")
    assert "hangs" in failed["reason"]


def test_timeout_grows_with_size() -> None:
    assert local.timeout_s(0) == local.MIN_TIMEOUT_S
    hour_of_amr = 600 * 3600  # AMR at 4.75 kbit/s, the lowest bit rate of telephones
    assert 180 < local.timeout_s(hour_of_amr) < 3600


def test_workers_that_never_start_end_the_run(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_MODEL", "1")
    monkeypatch.setattr(local, "_STARTS", 2)
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 3
    assert "may be out of memory" in capsys.readouterr().err
    assert read_csv(tmp_path / "out" / "files.csv") == []
    monkeypatch.delenv("NO_MODEL")
    assert analyze(calls, "-o", tmp_path / "out", jobs=2) == 0


def test_workers_end_with_a_killed_run(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    for name in ("hanging", "also/hanging"):
        a_call(calls / f"{name}.wav")
    process = Command(calls, tiny_model).start(tmp_path / "out")
    wait_until(lambda: hanging_count(tmp_path) == 2, process)
    children = worker_processes(process.pid)
    assert len(children) == 2
    process.kill()
    process.communicate()
    psutil.wait_procs(children)  # the recordings would block them for hours


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_keeps_finished_results(calls: Path, tmp_path: Path, tiny_model: Path, number: signal.Signals) -> None:
    for folder in ("one", "two"):
        a_call(calls / folder / "hanging.wav")
        os.truncate(calls / folder / "hanging.wav", 1000)  # shorter than the others, so that they come last
    output = tmp_path / "out"
    process = Command(calls, tiny_model).start(output)
    wait_until(lambda: hanging_count(tmp_path) == 2 and recorded_count(output) == 4, process)
    process.send_signal(number)
    _, printed = process.communicate()
    assert process.returncode == 128 + number
    assert number.name in printed.splitlines()[-1]
    assert statuses(output) == {f"calls/{index}.wav": "ok" for index in range(4)}


def test_signal_to_process_group(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    """As by Ctrl-C at a terminal, or by systemd when it stops a service."""
    for folder in ("one", "two"):
        a_call(calls / folder / "hanging.wav")
    arguments = Command(calls, tiny_model).arguments(tmp_path / "out")
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: hanging_count(tmp_path) == 2, process)
    os.killpg(process.pid, signal.SIGTERM)
    _, printed = process.communicate()
    assert process.returncode == 143
    assert "Traceback" not in printed
    assert "failed" not in statuses(tmp_path / "out").values()


def test_workers_give_same_results(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "one") == 0
    assert analyze(calls, "-o", tmp_path / "two", jobs=2) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_unwritable_output_ends_the_run(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    output = tmp_path / "out"
    (output / "timelines").mkdir(parents=True)
    (output / "timelines" / "calls").write_text("in the way")
    result = subprocess.run(
        [*Command(calls, tiny_model).arguments(output)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 3
    assert "cannot be written" in result.stderr.splitlines()[-1]
    assert read_csv(output / "files.csv") == []
