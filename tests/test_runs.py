"""Repeated runs: retries, waiting files, failures given up, and work left for the next run."""

import os
import shutil
import struct
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from analyzer.analysis import recording
from analyzer.batch import batch, job, local
from analyzer.names import Identity
from analyzer.store.ledger import Ledger
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.runs import MTIME, Analyze, Calendar, a_call, contents, manifest, read_csv, read_workbook, states


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return a_call(tmp_path / "calls" / "a.wav").parent


def files(output: Path) -> dict[str, str]:
    """Return the status of each file."""
    return {row["file"].removeprefix("calls/"): row["status"] for row in read_csv(output / "files.csv")}


def reasons(output: Path) -> dict[str, str]:
    return {row["file"].removeprefix("calls/"): row["reason"] for row in read_csv(output / "files.csv")}


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that were analysed, in order."""
    names: list[str] = []
    original = job.analyse

    def analyse(path: Path, *rest: object, **more: object) -> object:
        names.append(path.name)
        return original(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(job, "analyse", analyse)
    return names


# Failures.


def runs(analyze: Analyze, calendar: Calendar, calls: Path, output: Path, days: int) -> list[int]:
    """Run once a day for `days` days; return the exit statuses."""
    statuses = []
    for _ in range(days):
        statuses.append(analyze(calls, "-o", output))
        calendar.pass_time(days=1)
    return statuses


def test_given_up_after_three_days(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, capsys: pytest.CaptureFixture[str]
) -> None:
    (calls / "empty.wav").touch()
    out = tmp_path / "out"
    assert runs(analyze, calendar, calls, out, days=2) == [1, 1]
    assert files(out) == {"a.wav": "ok", "empty.wav": "failed"}
    assert runs(analyze, calendar, calls, out, days=1) == [1]
    assert files(out) == {"a.wav": "ok", "empty.wav": "given_up"}
    capsys.readouterr()
    before = states(out, "*.csv")
    assert analyze(calls, "-o", out) == 0
    assert "1 given up earlier" in capsys.readouterr().err
    assert states(out, "*.csv") == before
    assert manifest(out)["given_up"] == 1


def test_failures_count_once_a_day(calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar) -> None:
    (calls / "empty.wav").touch()
    out = tmp_path / "out"
    for failed_on_days in (1, 2):
        for _ in range(4):
            assert analyze(calls, "-o", out) == 1
            assert attempts(out)["empty.wav"] == failed_on_days
            calendar.pass_time(minutes=1)
        calendar.pass_time(days=1)
    assert files(out)["empty.wav"] == "failed"
    assert analyze(calls, "-o", out) == 1
    assert files(out)["empty.wav"] == "given_up"


def attempts(output: Path) -> dict[str, int]:
    """Return the number of attempts for each file."""
    with closing(Ledger(output, writable=False)) as ledger:
        return {entry.identity.path: entry.attempts for entry in ledger.entries()}


@pytest.mark.parametrize(("zone", "attempted"), [("Europe/Berlin", 2), ("UTC", 1)])
def test_day_ends_at_midnight_in_stored_zone(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, zone: str, attempted: int
) -> None:
    (calls / "empty.wav").touch()
    calendar.now = datetime(2026, 12, 1, 22, 30, tzinfo=UTC)  # 23:30 in Berlin
    for _ in range(2):
        assert analyze(calls, "-o", tmp_path / "out", "--time-zone", zone) == 1
        calendar.pass_time(hours=1)
    assert attempts(tmp_path / "out")["empty.wav"] == attempted


def test_last_line_counts_given_up(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (calls / "first.wav").touch()
    runs(analyze, calendar, calls, out, days=1)
    (calls / "second.wav").touch()
    runs(analyze, calendar, calls, out, days=1)
    last_lines = []
    for _ in range(3):
        capsys.readouterr()
        runs(analyze, calendar, calls, out, days=1)
        last_lines.append(capsys.readouterr().err.splitlines()[-1])
    assert ("given up now" in last_lines[0], "given up earlier" in last_lines[0]) == (True, False)
    assert "1 given up now, 1 given up earlier" in last_lines[1]
    assert ("given up now" in last_lines[2], "2 given up earlier" in last_lines[2]) == (False, True)


def test_retry_failed_retries_given_up(calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar) -> None:
    (calls / "empty.wav").touch()
    out = tmp_path / "out"
    runs(analyze, calendar, calls, out, days=3)
    assert analyze(calls, "-o", out, "--retry-failed") == 1
    assert files(out)["empty.wav"] == "failed"  # given up after two more days
    calendar.pass_time(days=1)
    assert runs(analyze, calendar, calls, out, days=3) == [1, 1, 0]
    assert files(out)["empty.wav"] == "given_up"


def test_changed_file_is_retried(calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar) -> None:
    (calls / "late.wav").touch()
    assert runs(analyze, calendar, calls, tmp_path / "out", days=4)[-1] == 0
    a_call(calls / "late.wav", seed=1)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["late.wav"] == "ok"


def test_dangling_link_is_given_up(calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar) -> None:
    (calls / "gone.wav").symlink_to("nowhere.wav")
    assert [analyze(calls, "-o", tmp_path / "out") for _ in range(2)] == [1, 1]
    assert attempts(tmp_path / "out")["gone.wav"] == 1
    calendar.pass_time(days=1)
    assert runs(analyze, calendar, calls, tmp_path / "out", days=3) == [1, 1, 0]
    assert files(tmp_path / "out")["gone.wav"] == "given_up"
    assert analyze(calls, "-o", tmp_path / "out", "--retry-failed") == 1


def test_unlistable_folder_is_never_given_up(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name == "day":
            raise OSError(5, "Input/output error")
        return original(path)

    a_call(calls / "day" / "b.wav", seed=1)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    monkeypatch.setattr(os, "listdir", listdir)
    for _ in range(5):
        assert runs(analyze, calendar, calls, tmp_path / "out", days=1) == [1]
        rows = {row["file"]: row for row in read_csv(tmp_path / "out" / "files.csv")}
        assert rows["calls/day"]["status"] == "failed"
        assert (rows["calls/day/b.wav"]["status"], rows["calls/day/b.wav"]["present"]) == ("ok", "yes")


def test_killed_runs_of_a_day_count_once(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    (calls / "empty.wav").touch()
    original = job.analyse

    class Killed(BaseException):
        pass

    def analyse(path: Path, *rest: object, **more: object) -> object:
        if path.name == "a.wav":
            raise Killed
        return original(path, *rest, **more)  # type: ignore[arg-type]

    os.utime(calls / "a.wav", (1, 1))
    with monkeypatch.context() as context:
        context.setattr(job, "analyse", analyse)
        context.setattr("analyzer.batch.plan._urgency", lambda job: job.recording.size)  # the empty file comes first
        for _ in range(5):
            with pytest.raises(Killed):
                analyze(calls, "-o", tmp_path / "out")
    assert runs(analyze, calendar, calls, tmp_path / "out", days=4) == [1, 1, 1, 0]


# Files that are still being written.


def test_recently_changed_file_waits(calls: Path, tmp_path: Path, analyze: Analyze, analysed: list[str]) -> None:
    fresh = a_call(calls / "fresh.wav", seed=1)
    os.utime(fresh)
    assert analyze(calls, "-o", tmp_path / "out", "--min-age", "300") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok", "fresh.wav": "incomplete"}
    assert "300 s" in reasons(tmp_path / "out")["fresh.wav"]
    before = states(tmp_path / "out", "*.csv")
    assert analyze(calls, "-o", tmp_path / "out", "--min-age", "300") == 0
    assert states(tmp_path / "out", "*.csv") == before
    os.utime(fresh, (MTIME, MTIME))
    assert analyze(calls, "-o", tmp_path / "out", "--min-age", "300") == 0
    assert files(tmp_path / "out")["fresh.wav"] == "ok"
    assert analysed == ["a.wav", "fresh.wav"]


def test_changing_file_loses_its_results(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    os.utime(a_call(calls / "a.wav", seed=7))
    assert analyze(calls, "-o", tmp_path / "out", "--min-age", "300") == 0
    assert files(tmp_path / "out") == {"a.wav": "incomplete"}
    assert not list((tmp_path / "out" / "timelines").rglob("*.csv"))


def test_new_file_is_analysed_without_min_age(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    os.utime(a_call(calls / "fresh.wav", seed=1))
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["fresh.wav"] == "ok"


@pytest.mark.parametrize(("ahead_s", "status"), [(3600, "incomplete"), (400 * 24 * 3600, "ok")])
def test_only_near_future_times_wait(calls: Path, tmp_path: Path, analyze: Analyze, ahead_s: int, status: str) -> None:
    later = time.time() + ahead_s
    os.utime(a_call(calls / "later.wav", seed=1), (later, later))
    assert analyze(calls, "-o", tmp_path / "out", "--min-age", "300") == 0
    assert files(tmp_path / "out")["later.wav"] == status


@pytest.mark.parametrize(
    "name", ["b.wav.part", "b.wav.tmp", "B.MP3.PART", "b.wav.filepart", "b.wav.crdownload", "b.tmp"]
)
def test_partial_copy_waits_until_renamed(calls: Path, tmp_path: Path, analyze: Analyze, name: str) -> None:
    a_call(tmp_path / "whole.wav", seed=1).rename(calls / name)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok", name: "incomplete"}
    (calls / name).rename(calls / "b.wav")
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok", "b.wav": "ok"}


def test_other_temporary_file_is_skipped(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    (calls / "notes.tmp").write_text("call them back")
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["notes.tmp"] == "skipped"


def cut(path: Path, age_s: float) -> Path:
    """Write a call of which only the first half exists so far, last modified `age_s` seconds ago."""
    write_wav(path, voices.call(20, [(1, 9), (12, 19)], seed=30))
    path.write_bytes(path.read_bytes()[: 44 + 160_000])
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_short_wav_waits_for_a_day(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    path = cut(calls / "cut.wav", age_s=3600)
    for _ in range(4):  # it is never given up
        assert analyze(calls, "-o", tmp_path / "out") == 0
        assert files(tmp_path / "out")["cut.wav"] == "incomplete"
    assert "50%" in reasons(tmp_path / "out")["cut.wav"]
    assert not (tmp_path / "out" / "timelines" / "calls" / "cut.wav.csv").exists()
    os.utime(path, (time.time() - 25 * 3600,) * 2)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["cut.wav"] == "ok"
    assert reasons(tmp_path / "out")["cut.wav"] == "truncated: 0:10 of 0:20"


def test_grown_wav_is_analysed_completely(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    path = cut(calls / "cut.wav", age_s=60)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    write_wav(path, voices.call(20, [(1, 9), (12, 19)], seed=30))
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert (files(tmp_path / "out")["cut.wav"], reasons(tmp_path / "out")["cut.wav"]) == ("ok", "")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_wav_of_unknown_length_does_not_wait(calls: Path, tmp_path: Path, analyze: Analyze, size: int) -> None:
    path = write_wav(calls / "open.wav", voices.call(4, [(1, 3)]))
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["open.wav"] == "ok"


def test_file_growing_during_analysis_waits(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_call(calls / "grows.wav", seed=1)
    original = recording.read_at

    def read_at(stream: object, rate: int) -> object:
        with open(calls / "grows.wav", "ab") as handle:
            handle.write(bytes(100))
        return original(stream, rate)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(recording, "read_at", read_at)
        assert analyze(calls / "grows.wav", "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"grows.wav": "incomplete"}
    assert not list((tmp_path / "out" / "timelines").rglob("*.csv"))
    assert analyze(calls / "grows.wav", "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"grows.wav": "ok"}


def test_file_changed_since_listing_waits(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(task: object) -> int:
        os.utime(calls / "a.wav", (5, 5))
        return 0

    with monkeypatch.context() as context:
        context.setattr("analyzer.batch.plan._urgency", touch)
        assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "incomplete"}


# Files that appear or vanish.


def test_file_added_in_a_run_waits_for_the_next(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = job.analyse

    def analyse(path: Path, *rest: object, **more: object) -> object:
        a_call(calls / "b.wav", seed=1)
        return original(path, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(job, "analyse", analyse)
        assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok"}
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok", "b.wav": "ok"}
    assert manifest(tmp_path / "out")["unchanged"] == 1


def delete_after_listing(calls: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete a recording after its folder was listed."""

    def delete(task: object) -> int:
        (calls / name).unlink(missing_ok=True)
        return 0

    monkeypatch.setattr("analyzer.batch.plan._urgency", delete)


def test_new_file_that_vanishes_is_no_failure(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_call(calls / "b.wav", seed=1)
    delete_after_listing(calls, "b.wav", monkeypatch)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok"}
    assert "1 vanished" in capsys.readouterr().err.splitlines()[-1]


def test_vanished_file_keeps_its_results(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    timeline = contents(tmp_path / "out", "timelines/**/b.wav.csv")
    delete_after_listing(calls, "b.wav", monkeypatch)
    assert analyze(calls, "-o", tmp_path / "out", "--force") == 0
    (row,) = [row for row in read_csv(tmp_path / "out" / "files.csv") if row["file"] == "calls/b.wav"]
    assert (row["status"], row["present"]) == ("ok", "no")
    assert contents(tmp_path / "out", "timelines/**/b.wav.csv") == timeline


@pytest.mark.parametrize("how", ["removed", "emptied", "moved"])
def test_lost_share_ends_the_run(
    tmp_path: Path,
    analyze: Analyze,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    for index in range(6):
        a_call(calls / f"{index}.wav", seed=index)
    original, count = job.analyse, 0

    def analyse(path: Path, *rest: object, **more: object) -> object:
        nonlocal count
        count += 1
        if count == 3:
            shutil.copytree(calls, tmp_path / "saved")
            if how == "moved":
                calls.rename(tmp_path / "elsewhere")
            else:
                shutil.rmtree(calls)
            if how == "emptied":
                calls.mkdir()
        return original(path, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(job, "analyse", analyse)
        assert analyze(calls, "-o", out, "-q") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "check that it is mounted" in line
    assert set(files(out).values()) == {"ok"}
    assert len(files(out)) == 2
    shutil.rmtree(calls, ignore_errors=True)
    shutil.copytree(tmp_path / "saved", calls)
    assert analyze(calls, "-o", out) == 0
    assert len(files(out)) == 6
    with closing(Ledger(out, writable=False)) as ledger:
        assert {entry.attempts for entry in ledger.entries()} == {0}


def test_lost_input_exits_with_3(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    before = states(tmp_path / "out", "**/*.csv")
    calls.rename(tmp_path / "elsewhere")
    assert analyze(calls, "-o", tmp_path / "out") == 3
    assert analyze(f"calls={calls}", "-o", tmp_path / "out") == 3
    assert "is it mounted?" in capsys.readouterr().err.splitlines()[-1]
    assert states(tmp_path / "out", "**/*.csv") == before
    assert analyze(f"never-seen={calls}", "-o", tmp_path / "out") == 2


def test_inaccessible_result_exits_with_3(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    capsys.readouterr()

    def is_file(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", is_file)
    assert analyze(calls, "-o", tmp_path / "out", "-q", model=Path("default")) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "Permission denied" in line


def test_equal_masked_names_are_a_failure(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("analyzer.inputs.masking.Mask._hash", lambda mask, run: "deadbeef")
    a_call(calls / "08211234567.wav", seed=1)
    a_call(calls / "08217654321.wav", seed=2)
    assert analyze(calls, "-o", tmp_path / "out", "--mask-names") == 1
    assert "calls/deadbeef.wav: failed: another recording has the same name" in capsys.readouterr().err


# Unchanged files.


def test_checksum_ignores_touched_file(calls: Path, tmp_path: Path, analyze: Analyze, analysed: list[str]) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    os.utime(calls / "a.wav", (MTIME + 9, MTIME + 9))
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    assert analysed == ["a.wav"]
    (row,) = read_csv(tmp_path / "out" / "recordings.csv")
    assert row["recorded"].endswith(":09")  # the current modification time of the file
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert analysed == ["a.wav"]


def test_checksum_detects_change_with_same_time(
    calls: Path, tmp_path: Path, analyze: Analyze, analysed: list[str]
) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0  # computes the checksums of known recordings
    assert analysed == ["a.wav"]
    a_call(calls / "a.wav", seed=5)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert analysed == ["a.wav"]
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    assert analysed == ["a.wav", "a.wav"]
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    assert analysed == ["a.wav", "a.wav"]


# Time limit, order of work, mixed models, killed runs.


def test_time_limit_leaves_the_rest(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    for index in range(5):
        a_call(calls / f"{index}.wav", seed=index)
    original, now = job.analyse, 0.0

    def slow(path: Path, *rest: object, **more: object) -> object:
        nonlocal now
        now += 0.4
        return original(path, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(job, "analyse", slow)
        for module in (batch, local):
            context.setattr(module, "time", SimpleNamespace(**{**vars(time), "monotonic": lambda: now}))
        assert analyze(calls, "-o", out, "--max-hours", str(1 / 3600)) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    done, left = len(files(out)), manifest(out)["left"]
    assert (done, left) == (3, 2)
    assert f"{left} left for the next run" in last
    assert analyze(calls, "-o", out, "--max-hours", "10") == 0
    assert len(files(out)) == 5


def test_new_before_changed_before_stale(calls: Path, tmp_path: Path, analyze: Analyze, analysed: list[str]) -> None:
    for index, name in enumerate(("older.wav", "newer.wav", "changed.wav")):
        os.utime(a_call(calls / name, seed=index), (MTIME + index + 1, MTIME + index + 1))
    assert analyze(calls, "-o", tmp_path / "out") == 0
    analysed.clear()
    a_call(calls / "changed.wav", seed=9)
    os.utime(calls / "changed.wav", (1, 1))
    a_call(calls / "new.wav", seed=10)
    assert analyze(calls, "-o", tmp_path / "out", "--prior", "calls") == 0
    assert analysed == ["new.wav", "changed.wav", "newer.wav", "older.wav", "a.wav"]


def models_listed(output: Path) -> str:
    """Return which models made the results, according to the first sheet of the workbook."""
    values = {row[0]: row[1] for row in read_workbook(output / "summary.xlsx")["Overview"]}
    return str(values["Model"])


def test_workbook_reports_mixed_models(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    out = tmp_path / "out"
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", out) == 0
    assert models_listed(out) == "tiny (2 recordings)"
    (calls / "b.wav").unlink()
    assert analyze(calls, "-o", out, "--prior", "calls") == 0
    assert models_listed(out).startswith("MIXED: tiny (1 recordings), tiny (1 recordings).")


def test_dry_run_after_killed_run(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    """A run that is killed while it writes leaves a journal, which must be rolled back before the ledger is read."""
    import subprocess
    import sys

    assert analyze(calls, "-o", tmp_path / "out") == 0
    code = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN')\n"
        "c.execute(\"UPDATE recording SET status = 'failed', envelope = randomblob(4000000)\")\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out" / "ledger.sqlite")], check=False)
    assert (tmp_path / "out" / "ledger.sqlite-journal").exists()
    assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0
    with closing(Ledger(tmp_path / "out", writable=False)) as ledger:
        entry = ledger.get(Identity("calls", "a.wav"))
    assert entry
    assert entry.status == "ok"
