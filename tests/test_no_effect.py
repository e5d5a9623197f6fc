"""Settings that have no effect, or another effect than intended, are reported at the end of a run."""

import os
import re
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from analyzer.commands.main import main
from analyzer.store.ledger import Ledger
from tests.helpers.dialogues import a_dialogue
from tests.helpers.runs import Analyze, a_call, read_csv

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture) -> str:
    return capsys.readouterr().err


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Three recordings, two of which have a queue in their names, and a file that is not a recording."""
    folder = tmp_path / "calls"
    for seed, name in enumerate(("sales-1.wav", "sales-2.wav", "3.wav")):
        a_call(folder / name, seed=seed)
    (folder / "notes.txt").write_text("x")
    return folder


# The name pattern.


def test_pattern_without_matches_is_reported(calls: Path, tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    for dry_run in (["--dry-run"], [], []):  # also if nothing is left to analyse
        assert analyze(calls, "-o", tmp_path / "out", "-q", "--name-pattern", r"zzz(?P<queue>\d+)", *dry_run) == 0
        assert printed(capsys) == "--name-pattern matched 0 of 3 recordings\n"


def test_partly_matching_pattern_is_counted(calls: Path, tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    options = ["-o", tmp_path / "out", "--name-pattern", r"(?P<queue>[a-z]+)-\d"]
    assert analyze(calls, *options) == 0
    assert "--name-pattern matched 2 of 3 recordings\n" in printed(capsys)
    assert analyze(calls, *options, "-q") == 0
    assert printed(capsys) == ""


def test_matching_pattern_is_not_reported(calls: Path, tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "--name-pattern", r"(?P<number>\d)") == 0
    assert "pattern" not in printed(capsys)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"(?P<date>\d)", "its group date found no date in the 3 names that it matched"),
        (r"(?P<time>\d)", "a group time, but none called date"),
    ],
)
def test_group_without_dates_is_reported(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: Capture, pattern: str, line: str
) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--name-pattern", pattern) == 0
    assert line in printed(capsys)


# Inputs.


def test_last_line_counts_skipped_files(calls: Path, tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    for line in ("analysed 3 recordings .*, 1 skipped \\(see files.csv\\)\n", "analysed 0 recordings .*, 1 skipped"):
        assert analyze(calls, "-o", tmp_path / "out") == 0
        assert re.search(line, printed(capsys))


def test_last_line_counts_unsupported_formats(calls: Path, tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    for index in range(12):
        (calls / f"{index}.vox").write_bytes(b"\x80no audio" * 9)
    line = "13 skipped (12 of them in formats that this version cannot read, see files.csv)"
    for _ in range(2):
        assert analyze(calls, "-o", tmp_path / "out") == 0
        assert line in printed(capsys)


def test_inputs_without_recordings_are_reported(tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    (tmp_path / "calls").mkdir()
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-q") == 0
    assert printed(capsys) == "there is no file below the inputs\n"
    for index in range(12):
        (tmp_path / "calls" / f"{index}.xyz").write_bytes(b"\x80no audio")
    for _ in range(2):
        assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-q") == 0
        line = "no file below the inputs can be read as a recording: 12 skipped, files.csv has the reasons\n"
        assert printed(capsys) == line


def test_pruned_input_is_not_reported(calls: Path, tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "-q") == 0
    assert main(["prune", "-o", str(tmp_path / "out"), "--match", "*", "-q"]) == 0
    assert analyze(calls, "-o", tmp_path / "out", "-q") == 0
    assert printed(capsys) == ""


def test_overlap_with_earlier_input_is_reported(tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    a_call(tmp_path / "calls" / "2026" / "a.wav")
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-q") == 0
    assert analyze(tmp_path / "calls" / "2026", "-o", tmp_path / "out", "-q") == 0
    line = "the input 2026 overlaps with calls of earlier runs, so that recordings count twice"
    assert printed(capsys) == f"{line}: see prune --match 'calls/*'\n"


# Roles.


def role_messages(capsys: Capture) -> list[str]:
    return [line for line in printed(capsys).splitlines() if line.startswith(("--speakers", "--only"))]


def test_roles_without_channels_are_reported(tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    a_call(tmp_path / "calls" / "a.wav")
    options = [tmp_path / "calls", "-o", tmp_path / "out", "--speakers", "agent,customer"]
    mono = "--speakers names 2 roles, and every recording analysed in this run has one channel"
    mono = f"{mono}, so that its speaker is called mixed"
    assert analyze(*options) == 0
    assert role_messages(capsys) == [mono]
    assert analyze(*options) == 0  # nothing is analysed, so the channels are unknown
    assert role_messages(capsys) == []
    assert analyze(*options, "--only", "customer", "--force") == 0
    only = "--only customer: no recording analysed in this run has a channel with that speaker"
    assert role_messages(capsys) == [mono, f"{only}, so no emotions were inferred"]


def test_surplus_roles_are_reported(tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    a_dialogue(tmp_path / "calls" / "a.wav")
    options = [tmp_path / "calls", "-o", tmp_path / "out", "--force"]
    assert analyze(*options, "--speakers", "agent,customer,manager") == 0
    line = "--speakers names 3 roles, and no recording analysed in this run has more than 2 channels"
    assert role_messages(capsys) == [line]
    assert analyze(*options, "--speakers", "agent,customer", "--only", "customer") == 0
    assert role_messages(capsys) == []


def test_unassigned_role_is_reported(tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    a_dialogue(tmp_path / "calls" / "a.wav")
    (tmp_path / "m.csv").write_text("file,channel_1,channel_2\na.wav,agent,caller\n")
    options = [tmp_path / "calls", "-o", tmp_path / "out", "--metadata", tmp_path / "m.csv"]
    assert analyze(*options, "--only", "customer") == 0
    assert [line.partition(":")[0] for line in role_messages(capsys)] == ["--only customer"]
    assert analyze(*options, "--only", "caller") == 0
    assert role_messages(capsys) == []


# Times in the future.


@pytest.fixture
def future(tmp_path: Path) -> Path:
    """Three recordings of the last days, and one from a telephone whose clock says 2037."""
    folder = tmp_path / "calls"
    for days in range(3):
        path = a_call(folder / f"call{days}.wav", seed=days)
        os.utime(path, (time.time() - 86400 * days,) * 2)
    os.utime(a_call(folder / "handset.wav", seed=9), (2_114_380_800,) * 2)
    return folder


def test_future_time_becomes_day_of_the_run(future: Path, tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    output = tmp_path / "out"
    assert analyze(future, "-o", output, "-q", "--format", "csv,html", "--time-zone", "UTC") == 0
    line = "1 recordings have a time in the future and are shown with the day of this run: calls/handset.wav\n"
    assert printed(capsys) == line
    index = (output / "html" / "index.html").read_text()
    assert all(f"{name}.wav" in index for name in ("call0", "call1", "call2", "handset"))
    rows = {row["recording"]: row for row in read_csv(output / "recordings.csv")}
    today = rows["calls/handset.wav"]["recorded"]
    assert datetime.now(ZoneInfo("UTC")).toordinal() - datetime.fromisoformat(today).toordinal() in (0, 1)
    note = "recorded: day of the first run that saw it, since its time lies in the future"
    assert rows["calls/handset.wav"]["note"] == note
    before = (output / "recordings.csv").read_bytes()
    assert analyze(future, "-o", output, "-q", "--force") == 0
    assert printed(capsys) == ""
    assert (output / "recordings.csv").read_bytes() == before


def test_day_of_first_run_is_kept(future: Path, tmp_path: Path, analyze: Analyze) -> None:
    output = tmp_path / "out"
    assert analyze(future, "-o", output) == 0
    with closing(Ledger(output)) as ledger:
        (handset,) = [entry for entry in ledger.entries() if entry.identity.path == "handset.wav"]
        ledger.amend(replace(handset, recorded="2026-11-20"))
    assert analyze(future, "-o", output) == 0
    recorded = {row["recording"]: row["recorded"] for row in read_csv(output / "recordings.csv")}
    assert recorded["calls/handset.wav"] == "2026-11-20"


@pytest.mark.parametrize("name", ["20991231-101307.wav", "2099-12-31.wav"])
def test_future_date_in_a_name_is_ignored(tmp_path: Path, analyze: Analyze, name: str) -> None:
    a_call(tmp_path / "calls" / name)
    pattern = r"(?P<date>\d{4}-?\d\d-?\d\d)"
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "--name-pattern", pattern, "--time-zone", "UTC") == 0
    (row,) = read_csv(tmp_path / "out" / "recordings.csv")
    assert row["recorded"] < "2099"
    assert row["note"].endswith("since its time lies in the future")


# Reports.


def test_empty_period_is_reported(tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output, "-q", "--time-zone", "UTC") == 0
    assert main(["report", str(output), "-q", "--since", "2025-01-01", "--until", "2025-01-31"]) == 0
    assert printed(capsys) == "no recording is of these days: there are some from 2026-11-24 to 2026-11-24\n"
    assert main(["report", str(output), "-q", "--since", "2026-11-24"]) == 0
    assert printed(capsys) == ""


def test_undated_recording_keeps_known_period(tmp_path: Path, analyze: Analyze, capsys: Capture) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    a_call(calls / "z.wav")
    assert analyze(calls, "-o", output, "-q", "--time-zone", "UTC") == 0
    with closing(Ledger(output)) as ledger:
        last = list(ledger.entries())[-1]
        ledger.amend(replace(last, recorded="", mtime_ns=0))
    assert main(["report", str(output), "-q", "--since", "2025-01-01", "--until", "2025-01-31"]) == 0
    assert printed(capsys) == "no recording is of these days: there are some from 2026-11-24 to 2026-11-24\n"
