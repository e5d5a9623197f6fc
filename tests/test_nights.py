"""Repeated runs: what is retried, waits or is given up, and what a run leaves for the next."""

import os
import shutil
import struct
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from analyzer import batch, recording, work, workers
from analyzer.ledger import Ledger
from analyzer.names import Identity
from tests import voices
from tests.encoders import write_wav
from tests.nights import MTIME, Analyze, Calendar, a_call, contents, read_csv, read_workbook, states
from tests.test_batch import manifest


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return a_call(tmp_path / "calls" / "a.wav").parent


def files(output: Path) -> dict[str, str]:
    """Return the status of each file."""
    return {row["file"].removeprefix("calls/"): row["status"] for row in read_csv(output / "files.csv")}


def reasons(output: Path) -> dict[str, str]:
    return {row["file"].removeprefix("calls/"): row["reason"] for row in read_csv(output / "files.csv")}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that were analysed, in order."""
    names: list[str] = []
    really = work.analyse

    def analyse(path: Path, *rest: object, **more: object) -> object:
        names.append(path.name)
        return really(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "analyse", analyse)
    return names


# Failures.


def runs(analyze: Analyze, calendar: Calendar, calls: Path, output: Path, days: int) -> list[int]:
    """Run once a day for `days` days; return the exit statuses."""
    statuses = []
    for _ in range(days):
        statuses.append(analyze(calls, "-o", output))
        calendar.pass_time(days=1)
    return statuses


def test_what_fails_on_three_days_is_given_up_and_does_not_count_any_more(
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


def test_several_failures_on_one_day_count_once(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar
) -> None:
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
def test_a_day_ends_at_midnight_in_the_time_zone_of_the_results(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, zone: str, attempted: int
) -> None:
    (calls / "empty.wav").touch()
    calendar.now = datetime(2026, 12, 1, 22, 30, tzinfo=UTC)  # 23:30 in Berlin
    for _ in range(2):
        assert analyze(calls, "-o", tmp_path / "out", "--time-zone", zone) == 1
        calendar.pass_time(hours=1)
    assert attempts(tmp_path / "out")["empty.wav"] == attempted


def test_the_last_line_says_what_is_given_up_now_and_what_was_earlier(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (calls / "first.wav").touch()
    runs(analyze, calendar, calls, out, days=1)
    (calls / "second.wav").touch()
    runs(analyze, calendar, calls, out, days=1)
    said = []
    for _ in range(3):
        capsys.readouterr()
        runs(analyze, calendar, calls, out, days=1)
        said.append(capsys.readouterr().err.splitlines()[-1])
    assert ("given up now" in said[0], "given up earlier" in said[0]) == (True, False)
    assert "1 given up now, 1 given up earlier" in said[1]
    assert ("given up now" in said[2], "2 given up earlier" in said[2]) == (False, True)


def test_what_was_given_up_is_tried_again_when_that_is_asked(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar
) -> None:
    (calls / "empty.wav").touch()
    out = tmp_path / "out"
    runs(analyze, calendar, calls, out, days=3)
    assert analyze(calls, "-o", out, "--retry-failed") == 1
    assert files(out)["empty.wav"] == "failed"  # given up after two more days
    calendar.pass_time(days=1)
    assert runs(analyze, calendar, calls, out, days=3) == [1, 1, 0]
    assert files(out)["empty.wav"] == "given_up"


def test_what_was_given_up_is_tried_again_when_it_has_changed(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar
) -> None:
    (calls / "late.wav").touch()
    assert runs(analyze, calendar, calls, tmp_path / "out", days=4)[-1] == 0
    a_call(calls / "late.wav", seed=1)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["late.wav"] == "ok"


def test_what_cannot_even_be_opened_is_given_up_as_well(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar
) -> None:
    (calls / "gone.wav").symlink_to("nowhere.wav")
    assert [analyze(calls, "-o", tmp_path / "out") for _ in range(2)] == [1, 1]
    assert attempts(tmp_path / "out")["gone.wav"] == 1
    calendar.pass_time(days=1)
    assert runs(analyze, calendar, calls, tmp_path / "out", days=3) == [1, 1, 0]
    assert files(tmp_path / "out")["gone.wav"] == "given_up"
    assert analyze(calls, "-o", tmp_path / "out", "--retry-failed") == 1


def test_a_folder_whose_listing_fails_is_never_given_up_and_its_recordings_are_not_gone(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name == "day":
            raise OSError(5, "Input/output error")
        return really(path)

    a_call(calls / "day" / "b.wav", seed=1)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    monkeypatch.setattr(os, "listdir", listdir)
    for _ in range(5):
        assert runs(analyze, calendar, calls, tmp_path / "out", days=1) == [1]
        rows = {row["file"]: row for row in read_csv(tmp_path / "out" / "files.csv")}
        assert rows["calls/day"]["status"] == "failed"
        assert (rows["calls/day/b.wav"]["status"], rows["calls/day/b.wav"]["present"]) == ("ok", "yes")


def test_runs_that_are_killed_and_begun_again_on_one_day_count_once(
    calls: Path, tmp_path: Path, analyze: Analyze, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    (calls / "empty.wav").touch()
    really = work.analyse

    class Killed(BaseException):
        pass

    def analyse(path: Path, *rest: object, **more: object) -> object:
        if path.name == "a.wav":
            raise Killed
        return really(path, *rest, **more)  # type: ignore[arg-type]

    os.utime(calls / "a.wav", (1, 1))
    with monkeypatch.context() as context:
        context.setattr(work, "analyse", analyse)
        context.setattr("analyzer.plan._urgency", lambda due: due.found.size)  # the empty file comes first
        for _ in range(5):
            with pytest.raises(Killed):
                analyze(calls, "-o", tmp_path / "out")
    assert runs(analyze, calendar, calls, tmp_path / "out", days=4) == [1, 1, 1, 0]


# Files that are still being written.


def test_a_file_that_changed_lately_waits(calls: Path, tmp_path: Path, analyze: Analyze, heard: list[str]) -> None:
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
    assert heard == ["a.wav", "fresh.wav"]


def test_a_file_that_changes_after_it_was_analysed_is_told_of_no_more_until_it_is_whole(
    calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    os.utime(a_call(calls / "a.wav", seed=7))
    assert analyze(calls, "-o", tmp_path / "out", "--min-age", "300") == 0
    assert files(tmp_path / "out") == {"a.wav": "incomplete"}
    assert not list((tmp_path / "out" / "timelines").rglob("*.csv"))


def test_without_a_least_age_nothing_waits_for_its_age(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    os.utime(a_call(calls / "fresh.wav", seed=1))
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["fresh.wav"] == "ok"


@pytest.mark.parametrize(("ahead_s", "status"), [(3600, "incomplete"), (400 * 24 * 3600, "ok")])
def test_a_file_from_the_future_waits_only_as_long_as_clocks_differ(
    calls: Path, tmp_path: Path, analyze: Analyze, ahead_s: int, status: str
) -> None:
    later = time.time() + ahead_s
    os.utime(a_call(calls / "later.wav", seed=1), (later, later))
    assert analyze(calls, "-o", tmp_path / "out", "--min-age", "300") == 0
    assert files(tmp_path / "out")["later.wav"] == status


@pytest.mark.parametrize(
    "name", ["b.wav.part", "b.wav.tmp", "B.MP3.PART", "b.wav.filepart", "b.wav.crdownload", "b.tmp"]
)
def test_a_copy_on_its_way_waits_under_its_name_and_is_forgotten_when_it_has_arrived(
    calls: Path, tmp_path: Path, analyze: Analyze, name: str
) -> None:
    a_call(tmp_path / "whole.wav", seed=1).rename(calls / name)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok", name: "incomplete"}
    (calls / name).rename(calls / "b.wav")
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok", "b.wav": "ok"}


def test_a_temporary_file_that_is_no_recording_is_skipped(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    (calls / "notes.tmp").write_text("call them back")
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["notes.tmp"] == "skipped"


def cut(path: Path, age_s: float) -> Path:
    """Write a call of which only the first half exists so far, last modified `age_s` seconds ago."""
    write_wav(path, voices.call(20, [(1, 9), (12, 19)], seed=30))
    path.write_bytes(path.read_bytes()[: 44 + 160_000])
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_wav_that_is_shorter_than_its_header_says_waits_for_a_day(
    calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
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


def test_a_wav_that_grew_is_analysed_whole(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    path = cut(calls / "cut.wav", age_s=60)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    write_wav(path, voices.call(20, [(1, 9), (12, 19)], seed=30))
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert (files(tmp_path / "out")["cut.wav"], reasons(tmp_path / "out")["cut.wav"]) == ("ok", "")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_whose_length_is_not_known_yet_does_not_wait(
    calls: Path, tmp_path: Path, analyze: Analyze, size: int
) -> None:
    path = write_wav(calls / "open.wav", voices.call(4, [(1, 3)]))
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out")["open.wav"] == "ok"


def test_a_file_that_grows_while_it_is_listened_to_waits(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_call(calls / "grows.wav", seed=1)
    really = recording.read_at

    def read_at(stream: object, rate: int) -> object:
        with open(calls / "grows.wav", "ab") as handle:
            handle.write(bytes(100))
        return really(stream, rate)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(recording, "read_at", read_at)
        assert analyze(calls / "grows.wav", "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"grows.wav": "incomplete"}
    assert not list((tmp_path / "out" / "timelines").rglob("*.csv"))
    assert analyze(calls / "grows.wav", "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"grows.wav": "ok"}


def test_a_file_that_changed_since_the_folder_was_listed_waits(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed_first(due: object) -> int:
        os.utime(calls / "a.wav", (5, 5))
        return 0

    with monkeypatch.context() as context:
        context.setattr("analyzer.plan._urgency", changed_first)
        assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "incomplete"}


# Files that appear and disappear.


def test_a_folder_that_gains_a_file_during_the_run_has_it_analysed_by_the_next(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = work.analyse

    def analyse(path: Path, *rest: object, **more: object) -> object:
        a_call(calls / "b.wav", seed=1)
        return really(path, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(work, "analyse", analyse)
        assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok"}
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok", "b.wav": "ok"}
    assert manifest(tmp_path / "out")["unchanged"] == 1


def vanishing(calls: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete a recording after its folder was listed."""

    def gone(due: object) -> int:
        (calls / name).unlink(missing_ok=True)
        return 0

    monkeypatch.setattr("analyzer.plan._urgency", gone)


def test_a_new_file_that_vanishes_before_it_is_read_is_no_failure(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_call(calls / "b.wav", seed=1)
    vanishing(calls, "b.wav", monkeypatch)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"a.wav": "ok"}
    assert "1 vanished" in capsys.readouterr().err.splitlines()[-1]


def test_a_known_file_that_vanishes_before_it_is_read_again_keeps_its_results(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    timeline = contents(tmp_path / "out", "timelines/**/b.wav.csv")
    vanishing(calls, "b.wav", monkeypatch)
    assert analyze(calls, "-o", tmp_path / "out", "--force") == 0
    (row,) = [row for row in read_csv(tmp_path / "out" / "files.csv") if row["file"] == "calls/b.wav"]
    assert (row["status"], row["present"]) == ("ok", "no")
    assert contents(tmp_path / "out", "timelines/**/b.wav.csv") == timeline


@pytest.mark.parametrize("how", ["removed", "emptied", "moved"])
def test_a_share_that_goes_away_in_the_night_ends_the_run_and_no_recording_is_blamed(
    tmp_path: Path,
    analyze: Analyze,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    for k in range(6):
        a_call(calls / f"{k}.wav", seed=k)
    really, count = work.analyse, 0

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
        return really(path, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(work, "analyse", analyse)
        assert analyze(calls, "-o", out, "-q") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "is it still mounted?" in line
    assert set(files(out).values()) == {"ok"}
    assert len(files(out)) == 2
    shutil.rmtree(calls, ignore_errors=True)
    shutil.copytree(tmp_path / "saved", calls)
    assert analyze(calls, "-o", out) == 0
    assert len(files(out)) == 6
    with closing(Ledger(out, writable=False)) as ledger:
        assert {entry.attempts for entry in ledger.entries()} == {0}


def test_an_input_that_is_gone_and_held_recordings_ends_with_3(
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


def test_a_result_that_cannot_even_be_looked_at_ends_with_3(
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


def test_two_recordings_of_one_masked_name_are_not_forgotten_silently(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("analyzer.masking.Mask._hash", lambda mask, run: "deadbeef")
    a_call(calls / "08211234567.wav", seed=1)
    a_call(calls / "08217654321.wav", seed=2)
    assert analyze(calls, "-o", tmp_path / "out", "--mask-names") == 1
    assert "calls/deadbeef.wav: failed: another recording is called so, too" in capsys.readouterr().err


# Unchanged files.


def test_with_checksums_a_file_that_was_only_touched_is_the_same(
    calls: Path, tmp_path: Path, analyze: Analyze, heard: list[str]
) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    os.utime(calls / "a.wav", (MTIME + 9, MTIME + 9))
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    assert heard == ["a.wav"]
    (row,) = read_csv(tmp_path / "out" / "recordings.csv")
    assert row["recorded"].endswith(":09")  # the current modification time of the file
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert heard == ["a.wav"]


def test_with_checksums_a_file_that_was_changed_behind_its_time_is_found(
    calls: Path, tmp_path: Path, analyze: Analyze, heard: list[str]
) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0  # computes the checksums of known recordings
    assert heard == ["a.wav"]
    a_call(calls / "a.wav", seed=5)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert heard == ["a.wav"]
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    assert heard == ["a.wav", "a.wav"]
    assert analyze(calls, "-o", tmp_path / "out", "--checksum") == 0
    assert heard == ["a.wav", "a.wav"]


# Time limit, order of work, mixed models, killed runs.


def test_a_night_that_is_too_short_leaves_the_rest_and_says_how_much(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    for k in range(5):
        a_call(calls / f"{k}.wav", seed=k)
    really, now = work.analyse, 0.0

    def slow(path: Path, *rest: object, **more: object) -> object:
        nonlocal now
        now += 0.4
        return really(path, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(work, "analyse", slow)
        for module in (batch, workers):
            context.setattr(module, "time", SimpleNamespace(**{**vars(time), "monotonic": lambda: now}))
        assert analyze(calls, "-o", out, "--max-hours", str(1 / 3600)) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    done, left = len(files(out)), manifest(out)["left"]
    assert (done, left) == (3, 2)
    assert f"{left} left for the next run" in last
    assert analyze(calls, "-o", out, "--max-hours", "10") == 0
    assert len(files(out)) == 5


def test_new_comes_before_changed_before_stale(calls: Path, tmp_path: Path, analyze: Analyze, heard: list[str]) -> None:
    for k, name in enumerate(("older.wav", "newer.wav", "changed.wav")):
        os.utime(a_call(calls / name, seed=k), (MTIME + k + 1, MTIME + k + 1))
    assert analyze(calls, "-o", tmp_path / "out") == 0
    heard.clear()
    a_call(calls / "changed.wav", seed=9)
    os.utime(calls / "changed.wav", (1, 1))
    a_call(calls / "new.wav", seed=10)
    assert analyze(calls, "-o", tmp_path / "out", "--prior", "even") == 0
    assert heard == ["new.wav", "changed.wav", "newer.wav", "older.wav", "a.wav"]


def listened(output: Path) -> str:
    """Return which models made the results, according to the first sheet of the workbook."""
    told = {row[0]: row[1] for row in read_workbook(output / "summary.xlsx")["Overview"]}
    return str(told["Model"])


def test_a_workbook_says_when_models_are_mixed(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    out = tmp_path / "out"
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", out) == 0
    assert listened(out) == "tiny (2 recordings)"
    (calls / "b.wav").unlink()
    assert analyze(calls, "-o", out, "--prior", "even") == 0
    assert listened(out).startswith("MIXED: tiny (1 recordings), tiny (1 recordings).")


def test_a_dry_run_after_a_killed_run_reads_the_ledger(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
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
