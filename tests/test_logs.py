"""Output of the tool: for users, cron mail, log files and Prometheus."""

import json
import logging
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from analyzer.runtime import logs
from tests.helpers.faults import Command
from tests.helpers.runs import Analyze, a_call

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (INFO|DEBUG|WARNING|ERROR) ")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    a_call(tmp_path / "calls" / "a.wav")
    return a_call(tmp_path / "calls" / "b\nc.wav", seed=1).parent


def test_last_line_summarises_the_run(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"analysed 2 recordings \(0\.00 hours\) in \d+:\d\d, \d+ x real time; 0 failed, 0 unchanged", line
    )


def test_last_line_names_failures(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(7):
        (calls / f"empty-{k}.wav").touch()
    assert analyze(calls, "-o", tmp_path / "out", "-q") == 1
    *lines, last = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert "7 failed" in last
    assert "failed: calls/empty-0.wav, " in last
    assert last.endswith("calls/empty-4.wav and 2 more")


def test_quiet_run_prints_nothing(calls: Path, tmp_path: Path, analyze: Analyze, capfd: pytest.CaptureFixture) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "-q") == 0
    assert analyze(calls, "-o", tmp_path / "out", "-q") == 0
    assert capfd.readouterr() == ("", "")


def test_log_file_ignores_quiet(calls: Path, tmp_path: Path, analyze: Analyze, capfd: pytest.CaptureFixture) -> None:
    log = tmp_path / "log" / "run.log"
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--log-file", log) == 0
    (calls / "empty.wav").touch()
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--log-file", log) == 1
    lines = log.read_text(encoding="utf-8").splitlines()
    assert all(ISO.match(line) for line in lines)
    assert ["analysed" in line for line in lines] == [True, False, True]
    assert "calls/empty.wav: failed: the file is empty" in lines[1]
    assert "calls/empty.wav: failed" in capfd.readouterr().err


def test_verbose_log_has_a_line_per_recording(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "-v", "--log-file", tmp_path / "log") == 0
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert sum(": ok, 0:02" in line for line in lines) == 2
    assert r"calls/b\x0ac.wav: ok" in "\n".join(lines)


def test_json_log_has_an_object_per_line(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    (calls / "empty.wav").touch()
    arguments = ("-o", tmp_path / "out", "-v", "--log-file", tmp_path / "log", "--log-format", "json")
    assert analyze(calls, *arguments) == 1
    log_entries = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in log_entries)
    by_name = {line["recording"]: line for line in log_entries if "recording" in line}
    assert by_name["calls/empty.wav"]["status"] == "failed"
    assert by_name["calls/empty.wav"]["reason"] == "the file is empty"
    assert by_name["calls/empty.wav"]["level"] == "warning"
    assert by_name[r"calls/b\x0ac.wav"]["length_s"] == 2.0
    assert log_entries[-1]["exit_status"] == 1
    assert log_entries[-1]["statuses"] == {"failed": 1, "ok": 2}


def test_json_goes_to_standard_error(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "--log-format", "json") == 0
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["level"] == "info"


def test_fatal_error_is_logged(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "--log-file", tmp_path / "log", model=Path("./nowhere")) == 3
    assert " ERROR " in (tmp_path / "log").read_text(encoding="utf-8")


def test_unusable_log_file_ends_with_3(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "file").touch()
    assert analyze(calls, "-o", tmp_path / "out", "--log-file", tmp_path / "file" / "log") == 3
    assert not (tmp_path / "out").exists()


def test_rotated_log_continues_in_a_new_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logs.set_up(quiet=True, file=log)
    logging.getLogger(logs.LOGGER).info("before")
    log.rename(tmp_path / "log.1")
    logging.getLogger(logs.LOGGER).info("after")
    logs.close()
    assert "before" in (tmp_path / "log.1").read_text()
    assert "after" in log.read_text()
    assert "before" not in log.read_text()


def test_full_disk_for_log_does_not_end_the_run(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    command = Command(calls, tiny_model, "--log-file", "/dev/full").arguments(tmp_path / "out")
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")


def test_unread_standard_error_does_not_end_the_run(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    (calls / "empty.wav").touch()
    read, write = os.pipe()
    os.close(read)
    command = Command(calls, tiny_model).arguments(tmp_path / "out")
    process = subprocess.run(command, stderr=write, stdout=write, check=False)
    os.close(write)
    assert process.returncode == 1


# Metrics.


def metrics(path: Path) -> dict[str, float]:
    """Return the samples of a file in the text format of Prometheus, by name and labels."""
    samples = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP call_emotions_\w+ .+\.|TYPE call_emotions_\w+ gauge)", line)
        else:
            match = re.fullmatch(r'(call_emotions_\w+(?:\{status="\w+"\})?) (\S+)', line)
            assert match
            samples[match[1]] = float(match[2])
    return samples


def test_metrics_describe_run_and_ledger(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    (calls / "empty.wav").touch()
    path = tmp_path / "collector" / "call_emotions.prom"
    assert analyze(calls, "-o", tmp_path / "out", "--metrics-file", path) == 1
    first = metrics(path)
    assert first['call_emotions_last_run_recordings{status="ok"}'] == 2
    assert first['call_emotions_last_run_recordings{status="failed"}'] == 1
    assert first["call_emotions_last_run_audio_seconds"] == 4
    assert first["call_emotions_last_run_exit_status"] == 1
    (calls / "empty.wav").unlink()
    assert analyze(calls, "-o", tmp_path / "out", "--metrics-file", path) == 0
    second = metrics(path)
    assert second["call_emotions_last_run_unchanged_recordings"] == 2
    assert second['call_emotions_known_recordings{status="failed"}'] == 1
    assert (
        second["call_emotions_last_run_end_timestamp_seconds"] > first["call_emotions_last_run_end_timestamp_seconds"]
    )
    assert path.stat().st_mode & 0o777 == 0o644  # the node exporter runs as another user
    assert list(path.parent.iterdir()) == [path]


def test_metrics_describe_a_failed_run(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    path = tmp_path / "call_emotions.prom"
    assert analyze(calls, "-o", tmp_path / "out", "--metrics-file", path, model=Path("./nowhere")) == 3
    assert metrics(path)["call_emotions_last_run_exit_status"] == 3


def test_waiting_files_are_counted_in_every_run(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    a_call(calls / "d.wav").rename(calls / "d.wav.part")
    (calls / "gone.wav").symlink_to("nowhere.wav")
    for _ in range(2):
        assert analyze(calls, "-o", tmp_path / "out", "--metrics-file", tmp_path / "m.prom") == 1
        assert "1 failed" in capsys.readouterr().err.splitlines()[-1]
        samples = metrics(tmp_path / "m.prom")
        assert samples["call_emotions_last_run_incomplete_recordings"] == 1
        assert samples['call_emotions_last_run_recordings{status="failed"}'] == 1


def test_unwritable_metrics_are_a_warning(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--metrics-file", tmp_path / "file" / "m.prom") == 0
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "out" / "recordings.csv").exists()


def test_dry_run_writes_no_metrics(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    arguments = ("--dry-run", "--metrics-file", tmp_path / "m.prom")
    assert analyze(calls, "-o", tmp_path / "out", *arguments) == 0
    assert analyze(calls, "-o", tmp_path / "out", *arguments, model=Path("./nowhere")) == 3
    assert not (tmp_path / "m.prom").exists()


def test_home_folder_stays_empty(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    """By default, ONNX Runtime writes a device name to the home folder and sends reports to its vendor."""
    home = tmp_path / "home"
    home.mkdir()
    command = Command(calls, tiny_model).arguments(tmp_path / "out")
    process = subprocess.run(
        command, env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}, check=False
    )
    assert process.returncode == 0
    assert list(home.rglob("*")) == []


def test_results_are_private_to_owner_and_group(calls: Path, tmp_path: Path, tiny_model: Path) -> None:
    command = Command(calls, tiny_model, "--log-file", str(tmp_path / "out" / "log")).arguments(tmp_path / "out")
    for mask, forbidden in ((0o000, 0o027), (0o077, 0o077)):
        code = f"import os, subprocess, sys; os.umask({mask}); sys.exit(subprocess.call(sys.argv[1:]))"
        subprocess.run([sys.executable, "-c", code, *command, "--force"], check=True)
        paths = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
        assert len(paths) > 8
        loose = [path for path in paths if path.stat().st_mode & forbidden]
        assert [path for path in loose if mask == 0 or path.suffix == ".csv"] == []
