"""An error with one file, at any stage, only affects the row of that file."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.audio import storage
from analyzer.batch import batch, job, plan, relabel
from analyzer.batch.run_summary import RunSummary
from analyzer.commands.main import main
from analyzer.errors import CannotWork, CannotWrite, DamagedResult
from analyzer.inputs import discovery
from analyzer.inputs.resolution import MetadataResolver
from analyzer.names import Identity
from analyzer.report import picture, rendering, views
from analyzer.runtime.isolation import format_error, is_fatal, traceback_of
from analyzer.store import outputs
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from tests.helpers.runs import Analyze, a_call, contents, read_csv

FORMATS = ("--format", "csv,xlsx,html,png,jsonl")
ErrorFactory = Callable[[], BaseException]

ERRORS: dict[str, ErrorFactory] = {
    "ValueError": lambda: ValueError("boom"),
    "OverflowError": lambda: OverflowError("Python int too large to convert to SQLite INTEGER"),
    "UnicodeEncodeError": lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    "OSError": lambda: OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)),
    "KeyError": lambda: KeyError("boom"),
    "RecursionError": lambda: RecursionError("maximum recursion depth exceeded"),
    "MemoryError": MemoryError,
}


def concerns(value: object, name: str) -> bool:
    """Whether an argument of a function concerns the file of this name."""
    if isinstance(value, plan.Job):
        return concerns(value.recording, name)
    if isinstance(value, Entry | discovery.Found):
        return value.identity.path == name
    if isinstance(value, rendering.Task):
        return concerns(value.entry, name)
    if isinstance(value, Identity):
        return value.path == name
    return isinstance(value, str | Path) and Path(value).name.startswith(name)


@contextmanager
def failing(
    owner: object, function: str, error: ErrorFactory, name: str = "b.wav", condition: Callable[..., bool] | None = None
) -> Iterator[None]:
    """Make a function raise an error if it is called for the file of this name."""
    original = getattr(owner, function)

    def fail(*arguments: Any, **options: Any) -> Any:
        concerned = any(concerns(value, name) for value in (*arguments, *options.values()))
        if concerned and (condition is None or condition(*arguments)):
            raise error()
        return original(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, function, fail)
        yield


@dataclass(frozen=True)
class Recordings:
    """Three recordings, and the output folder of a run without errors."""

    calls: Path
    expected: Path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Recordings:
    folder = tmp_path_factory.mktemp("three")
    for index, name in enumerate("abc"):
        a_call(folder / "calls" / f"{name}.wav", seed=index)
    assert analyze(folder / "calls", "-o", folder / "out", *FORMATS) == 0
    return Recordings(folder / "calls", folder / "out")


@pytest.fixture
def output(recordings: Recordings, tmp_path: Path) -> Path:
    """An output folder next to the recordings, so that links from pages to recordings are the same in all runs."""
    return recordings.calls.parent / f"{tmp_path.parent.name}-{tmp_path.name}"


def rows_of(output: Path, table: str, name: str = "b.wav") -> list[dict[str, str]]:
    key = "file" if table == "files.csv" else "recording"
    return [row for row in read_csv(output / table) if row[key] == f"calls/{name}"]


def names_error(error: str, reason: str) -> bool:
    """Whether a reason names the type of an error, or the system's message for it."""
    return error in reason or (error == "OSError" and "File name too long" in reason)


def other_rows(output: Path, table: str) -> list[dict[str, str]]:
    return [
        row for row in read_csv(output / table) if "b.wav" not in row["file" if table == "files.csv" else "recording"]
    ]


def other_results(output: Path) -> dict[str, bytes]:
    """Return all result files of the recordings other than b.wav."""
    results = contents(output, "*/calls/*.*")
    return {name: content for name, content in results.items() if "b.wav" not in name}


def assert_others_unaffected(output: Path, expected: Path) -> None:
    results = other_results(output)
    assert len(results) == 2 * 4  # timeline, page, picture, JSON lines
    assert results == other_results(expected)
    for table in ("recordings.csv", "files.csv"):
        assert other_rows(output, table) == other_rows(expected, table)
    assert not list(output.rglob(".writing-*"))


#: Functions that process a file, by stage.
STAGES: dict[str, tuple[object, str]] = {
    "name": (discovery, "is_recording_name"),
    "look": (discovery, "_look"),
    "stat": (os, "stat"),
    "details": (MetadataResolver, "details"),
    "known": (Ledger, "is_pruned"),
    "first bytes": (plan, "_verdict"),
    "looked at again": (job, "check_unchanged"),
    "analysis": (job, "analyse"),
    "checksum": (storage, "digest"),
    "old files": (job, "delete_formats"),
    "timeline": (job, "write_timeline"),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("stage", STAGES)
def test_error_with_one_file_fails_only_it(
    recordings: Recordings, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], stage: str, error: str
) -> None:
    with failing(*STAGES[stage], ERRORS[error]):
        assert analyze(recordings.calls, "-o", output, "-q", "--checksum", *FORMATS) == 1
    (row,) = rows_of(output, "files.csv")
    assert row["status"] == "failed"
    assert names_error(error, row["reason"])
    (row,) = rows_of(output, "recordings.csv")
    assert (row["status"], row["channel"]) == ("failed", "")
    assert_others_unaffected(output, recordings.expected)
    printed = capsys.readouterr().err
    assert "calls/b.wav: failed: " in printed
    assert "1 failed" in printed
    assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 0
    assert contents(output, "*.csv") == contents(recordings.expected, "*.csv")
    assert other_results(output) == other_results(recordings.expected)


@pytest.mark.parametrize("error", ERRORS)
def test_unstorable_result_is_a_failure(recordings: Recordings, output: Path, analyze: Analyze, error: str) -> None:
    with failing(Ledger, "record", ERRORS[error], condition=lambda *given: given[1].status == "ok"):
        assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 1
    (row,) = rows_of(output, "files.csv")
    assert (row["status"], error in row["reason"]) == ("failed", True)
    assert not list(output.rglob("b.wav.*"))
    assert_others_unaffected(output, recordings.expected)
    assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 0
    assert contents(output, "*.csv") == contents(recordings.expected, "*.csv")


@pytest.mark.parametrize("error", [sqlite3.DataError("too big"), sqlite3.IntegrityError("NOT NULL constraint failed")])
def test_values_refused_by_sqlite_fail_one_file(
    recordings: Recordings, output: Path, analyze: Analyze, error: sqlite3.Error
) -> None:
    with failing(Ledger, "record", lambda: error, condition=lambda *given: given[1].status == "ok"):
        assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 1
    assert type(error).__name__ in rows_of(output, "files.csv")[0]["reason"]
    assert_others_unaffected(output, recordings.expected)


def test_unstorable_failure_ends_the_run(
    recordings: Recordings, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing(Ledger, "record", ERRORS["ValueError"]):
        assert analyze(recordings.calls, "-o", output, "-q") == 3
    assert "the ledger cannot be written: ValueError: boom" in capsys.readouterr().err


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("stage", ["read", "draw", "place", "drawing"])
def test_rendering_error_is_noted_until_retried(
    recordings: Recordings, output: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, stage: str, error: str
) -> None:
    def draw(timeline: Any, path: Path) -> None:
        if timeline.recording == "calls/b.wav":
            raise ERRORS[error]()
        original(timeline, path)

    original = picture.write_picture
    owners: dict[str, tuple[object, str]] = {
        "read": (rendering, "load_timeline"),
        "place": (rendering, "_place"),
        "drawing": (Ledger, "drawing"),
    }
    with monkeypatch.context() as patch:
        if stage == "draw":
            patch.setattr(picture, "write_picture", draw)
            assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 1
        else:
            with failing(*owners[stage], ERRORS[error]):
                assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 1
    (row,) = rows_of(output, "files.csv")
    assert row["status"] == "ok"  # the analysis is still valid
    assert names_error(error, row["reason"])
    (row,) = rows_of(output, "recordings.csv")
    assert names_error(error, row["note"]) and row["talk_s"]
    assert_others_unaffected(output, recordings.expected)
    assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 0
    for pattern in ("*.csv", "html/*.html", "*/calls/*.*"):
        assert contents(output, pattern) == contents(recordings.expected, pattern)


@pytest.mark.parametrize("error", ["ValueError", "KeyError", "RecursionError"])
@pytest.mark.parametrize("view", ["_recording_rows", "_file_row"])
def test_recording_without_rows_fails(
    recordings: Recordings, output: Path, analyze: Analyze, view: str, error: str
) -> None:
    def is_analysed(entry: Entry, *_: object) -> bool:
        return bool(entry.statistics)

    with failing(views, view, ERRORS[error], condition=is_analysed):
        assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 1
    (row,) = rows_of(output, "files.csv")
    assert (row["status"], error in row["reason"]) == ("failed", True)
    for table in ("recordings.csv", "files.csv"):
        assert other_rows(output, table) == other_rows(recordings.expected, table)
    assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 0
    assert contents(output, "*.csv") == contents(recordings.expected, "*.csv")


def test_damaged_ledger_row_is_repaired(recordings: Recordings, output: Path, analyze: Analyze) -> None:
    assert analyze(recordings.calls, "-o", output, *FORMATS) == 0
    with closing(sqlite3.connect(output / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE recording SET figures = '{' WHERE path = CAST('b.wav' AS BLOB)")
        ledger.commit()
    with closing(Ledger(output, writable=False)) as reader:
        damaged = reader.get(Identity("calls", "b.wav"))
    assert damaged and (damaged.status, "JSONDecodeError" in damaged.reason) == ("failed", True)
    assert analyze(recordings.calls, "-o", output, *FORMATS) == 0
    assert contents(output, "*.csv") == contents(recordings.expected, "*.csv")


# Stored results that cannot be rewritten.


def test_damaged_timeline_fails_when_roles_change(recordings: Recordings, output: Path, analyze: Analyze) -> None:
    assert analyze(recordings.calls, "-o", output) == 0
    (output / "timelines" / "calls" / "b.wav.csv").write_text("start,end\n1,2\n")
    assert analyze(recordings.calls, "-o", output, "-q", "--speakers", "agent") == 1
    (row,) = rows_of(output, "files.csv")
    assert (row["status"], "is not a valid timeline" in row["reason"]) == ("failed", True)
    assert not (output / "timelines" / "calls" / "b.wav.csv").exists()
    assert [row["speaker"] for row in other_rows(output, "recordings.csv")] == ["agent", "agent"]
    assert analyze(recordings.calls, "-o", output, "-q", "--speakers", "agent") == 0
    assert [row["speaker"] for row in read_csv(output / "recordings.csv")] == ["agent"] * 3


def test_damaged_timeline_is_deleted_when_blanking(
    recordings: Recordings, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged timeline cannot be blanked; its recording still exists, so the same run analyses it again."""
    options = ("--speakers", "agent", "--only", "mixed", "-q")
    assert analyze(recordings.calls, "-o", output, "--speakers", "agent") == 0
    (output / "timelines" / "calls" / "b.wav.csv").write_text("start,end\n1,2\nangry")
    assert analyze(recordings.calls, "-o", output, *options) == 1
    assert "calls/b.wav: failed: " in capsys.readouterr().err
    for name in "abc":
        assert {row["emotion"] for row in read_csv(output / "timelines" / "calls" / f"{name}.wav.csv")} == {""}
    assert analyze(recordings.calls, "-o", output, *options) == 0


def test_failed_masking_is_retried(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for index, name in enumerate(("a-0301234567.wav", "b-0307654321.wav")):
        a_call(calls / name, seed=index)
    assert analyze(calls, "-o", output) == 0
    capsys.readouterr()
    with failing(relabel, "_move_timeline", ERRORS["ValueError"], "b-0307654321.wav"):
        assert analyze(calls, "-o", output, "-q", "--mask-names") == 1
    printed = capsys.readouterr().err
    assert "ValueError: boom" in printed and "0307654321" not in printed
    for number in ("0301234567", "0307654321"):
        assert not [path for path in output.rglob("*") if number in path.name]
        assert number.encode() not in (output / "files.csv").read_bytes()
    assert analyze(calls, "-o", output, "-q", "--mask-names") == 0
    assert {row["status"] for row in read_csv(output / "files.csv")} == {"ok"}


def test_prune_continues_after_a_failure(
    recordings: Recordings, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(recordings.calls, "-o", output) == 0
    refused = lambda: CannotWrite("b.wav.csv cannot be deleted: Permission denied", output, errno.EACCES)  # noqa: E731
    with failing(outputs, "delete_results", refused):
        assert main(["prune", "-o", str(output), "--match", "*/[abc].wav"]) == 0
        assert main(["prune", "-o", str(output), "--match", "*/?.wav"]) == 1
    printed = capsys.readouterr()
    assert "calls/b.wav: failed: b.wav.csv cannot be deleted: Permission denied" in printed.err
    assert "deleted the results of 2 recordings" in printed.out and "those of 1 could not be deleted" in printed.out
    assert read_csv(output / "files.csv") == []
    assert main(["prune", "-o", str(output), "--match", "nothing"]) == 0
    assert not list((output / "timelines").rglob("*.csv"))


# Faults of the machine.


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("stage", ["timeline", "page"])
def test_disk_errors_end_the_run(
    recordings: Recordings, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], stage: str, number: int
) -> None:
    owner, name = (job, "write_timeline") if stage == "timeline" else (rendering, "atomic_write")
    error = CannotWrite(f"b.wav.csv cannot be written: {os.strerror(number)}", output / "b.wav.csv", number)
    with failing(owner, name, lambda: error):
        assert analyze(recordings.calls, "-o", output, "-q", *FORMATS) == 3
    assert os.strerror(number) in capsys.readouterr().err


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database or disk is full"), sqlite3.DatabaseError("no")])
def test_unwritable_ledger_ends_the_run(
    recordings: Recordings, output: Path, analyze: Analyze, error: sqlite3.Error
) -> None:
    with failing(Ledger, "record", lambda: error):
        assert analyze(recordings.calls, "-o", output, "-q") == 3


def refuse_new_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder refuse new files, even for root, which ignores permissions and may run the tests."""
    original = os.open

    def refuse(path: Any, flags: int, *more: Any, **options: Any) -> int:
        inside = folder in Path(os.path.abspath(os.fsdecode(path))).parents or Path(os.fsdecode(path)) == folder
        if inside and flags & (os.O_CREAT | getattr(os, "O_TMPFILE", 0)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)


def test_unwritable_subfolder_fails_one_file(
    recordings: Recordings, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for index, name in enumerate(("a/a.wav", "b/b.wav", "c/c.wav")):
        a_call(calls / name, seed=index)
    (output / "timelines" / "calls" / "b").mkdir(parents=True)
    refuse_new_files(monkeypatch, output / "timelines" / "calls" / "b")
    assert analyze(calls, "-o", output, "-q") == 1
    results = {row["file"]: (row["status"], row["reason"]) for row in read_csv(output / "files.csv")}
    assert [status for status, _ in results.values()] == ["ok", "failed", "ok"]
    assert "Permission denied" in results["calls/b/b.wav"][1]


@pytest.mark.parametrize("folder", [".", "timelines"])
def test_unwritable_output_folder_ends_the_run(
    recordings: Recordings, output: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (output / "timelines").mkdir(parents=True)
    original = batch._work_through

    def refuse_then_work(*given: Any) -> None:
        refuse_new_files(monkeypatch, output / folder)
        original(*given)

    monkeypatch.setattr(batch, "_work_through", refuse_then_work)
    assert analyze(recordings.calls, "-o", output, "-q") == 3


def test_unexpected_error_exits_with_3(
    recordings: Recordings,
    output: Path,
    analyze: Analyze,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(RunSummary, "begin", break_down)
    assert analyze(recordings.calls, "-o", output, "-q", "--metrics-file", output.parent / "metrics.prom") == 3
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: boom" in printed and "Traceback" in printed
    assert "call_emotions_last_run_exit_status 3" in (output.parent / "metrics.prom").read_text()


# Messages and logs.


def test_log_has_tracebacks_of_unexpected_errors(
    recordings: Recordings, output: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing(job, "analyse", ERRORS["KeyError"]):
        assert analyze(recordings.calls, "-o", output, "-q", "--log-file", tmp_path / "log") == 1
    log = (tmp_path / "log").read_text()
    assert "  KeyError: 'boom'\n" in log and "  Traceback (most recent call last):\n" in log
    assert "Traceback" not in capsys.readouterr().err
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "damaged.ogg").write_bytes(b"OggS" + bytes(200))
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-q", "--log-file", tmp_path / "other") == 1
    assert "Traceback" not in (tmp_path / "other").read_text()


def test_reasons_and_tracebacks_are_masked(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "b-0307654321.wav").parent
    error = lambda: ValueError("b-0307654321.wav is odd")  # noqa: E731
    for owner, function, name in (
        (job, "analyse", "b-0307654321.wav"),
        (plan, "_plan_file", "b-0307654321.wav"),
        (job, "write_timeline", "b-"),
    ):
        output = tmp_path / function
        with failing(owner, function, error, name):
            assert analyze(calls, "-o", output, "-q", "--mask-names", "--log-file", output / "log") == 1
        assert "is odd" in (output / "files.csv").read_text()
        assert not [path for path in output.rglob("*.*") if b"0307654321" in path.read_bytes()]


def test_messages_are_short_lines() -> None:
    assert format_error(ValueError("a\nb")) == "ValueError: a\\x0ab"
    assert len(format_error(ValueError("x" * 100_000))) < 420
    assert format_error(DamagedResult("it is gone")) == "it is gone"
    assert traceback_of(DamagedResult("it is gone")) == ""


def test_fatal_errors(tmp_path: Path) -> None:
    assert is_fatal(CannotWork("no model"), tmp_path)
    assert not is_fatal(DamagedResult("gone"), tmp_path)
    assert not is_fatal(ValueError(), tmp_path)
    assert not is_fatal(OSError(errno.EINVAL, "odd"), tmp_path)
    assert is_fatal(OSError(errno.EINVAL, "odd"), tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_inaccessible_file_is_given_up(
    recordings: Recordings, output: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses, original = [], batch._rules
    with failing(plan, "_verdict", ERRORS["ValueError"]):
        for day in (20261124, 20261124, 20261125, 20261126, 20261127):
            monkeypatch.setattr(batch, "_rules", lambda *given, day=day: replace(original(*given), today=day))
            statuses.append((analyze(recordings.calls, "-o", output, "-q"), rows_of(output, "files.csv")[0]["status"]))
    assert statuses == [*[(1, "failed")] * 3, (1, "given_up"), (0, "given_up")]
