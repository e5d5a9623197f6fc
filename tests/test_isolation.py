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

from analyzer import batch, discovery, outputs, plan, relabel, storage, work
from analyzer.account import Account
from analyzer.cli import main
from analyzer.details import Naming
from analyzer.entry import Entry
from analyzer.errors import CannotWork, CannotWrite, DamagedResult
from analyzer.isolation import in_words, is_machines, traceback_of
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.report import picture, rendering, views
from tests.nights import Analyze, a_call, contents, read_csv

FORMATS = ("--format", "csv,xlsx,html,png,jsonl")
Error = Callable[[], BaseException]

ERRORS: dict[str, Error] = {
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
    if isinstance(value, plan.Due):
        return concerns(value.found, name)
    if isinstance(value, Entry | discovery.Found):
        return value.identity.path == name
    if isinstance(value, rendering.Task):
        return concerns(value.entry, name)
    if isinstance(value, Identity):
        return value.path == name
    return isinstance(value, str | Path) and Path(value).name.startswith(name)


@contextmanager
def failing(
    owner: object, function: str, error: Error, name: str = "b.wav", when: Callable[..., bool] | None = None
) -> Iterator[None]:
    """Make a function raise an error if it is called for the file of this name."""
    really = getattr(owner, function)

    def fail(*arguments: Any, **options: Any) -> Any:
        about = any(concerns(value, name) for value in (*arguments, *options.values()))
        if about and (when is None or when(*arguments)):
            raise error()
        return really(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, function, fail)
        yield


@dataclass(frozen=True)
class Three:
    """Three recordings, and the output folder of a run without errors."""

    calls: Path
    undisturbed: Path


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Three:
    folder = tmp_path_factory.mktemp("three")
    for k, name in enumerate("abc"):
        a_call(folder / "calls" / f"{name}.wav", seed=k)
    assert analyze(folder / "calls", "-o", folder / "out", *FORMATS) == 0
    return Three(folder / "calls", folder / "out")


@pytest.fixture
def output(three: Three, tmp_path: Path) -> Path:
    """An output folder next to the recordings, so that links from pages to recordings are the same in all runs."""
    return three.calls.parent / f"{tmp_path.parent.name}-{tmp_path.name}"


def rows(output: Path, table: str, name: str = "b.wav") -> list[dict[str, str]]:
    key = "file" if table == "files.csv" else "recording"
    return [row for row in read_csv(output / table) if row[key] == f"calls/{name}"]


def is_named(error: str, reason: str) -> bool:
    """Whether a reason names the type of an error, or the system's message for it."""
    return error in reason or (error == "OSError" and "File name too long" in reason)


def others(output: Path, table: str) -> list[dict[str, str]]:
    return [
        row for row in read_csv(output / table) if "b.wav" not in row["file" if table == "files.csv" else "recording"]
    ]


def of_others(output: Path) -> dict[str, bytes]:
    """Return all result files of the recordings other than b.wav."""
    found = contents(output, "*/calls/*.*")
    return {name: content for name, content in found.items() if "b.wav" not in name}


def assert_the_others_never_noticed(output: Path, undisturbed: Path) -> None:
    left = of_others(output)
    assert len(left) == 2 * 4  # timeline, page, picture, JSON lines
    assert left == of_others(undisturbed)
    for table in ("recordings.csv", "files.csv"):
        assert others(output, table) == others(undisturbed, table)
    assert not list(output.rglob(".writing-*"))


#: Functions that process a file, by stage.
STAGES: dict[str, tuple[object, str]] = {
    "name": (discovery, "is_recording_name"),
    "look": (discovery, "_look"),
    "stat": (os, "stat"),
    "details": (Naming, "details"),
    "known": (Ledger, "is_pruned"),
    "first bytes": (plan, "_verdict"),
    "looked at again": (work, "check_unchanged"),
    "analysis": (work, "analyse"),
    "checksum": (storage, "digest"),
    "old files": (work, "delete_formats"),
    "timeline": (work, "write_timeline"),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("stage", STAGES)
def test_an_error_over_one_file_is_its_row_and_the_others_never_notice(
    three: Three, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], stage: str, error: str
) -> None:
    with failing(*STAGES[stage], ERRORS[error]):
        assert analyze(three.calls, "-o", output, "-q", "--checksum", *FORMATS) == 1
    (row,) = rows(output, "files.csv")
    assert row["status"] == "failed"
    assert is_named(error, row["reason"])
    (row,) = rows(output, "recordings.csv")
    assert (row["status"], row["channel"]) == ("failed", "")
    assert_the_others_never_noticed(output, three.undisturbed)
    said = capsys.readouterr().err
    assert "calls/b.wav: failed: " in said
    assert "1 failed" in said
    assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 0
    assert contents(output, "*.csv") == contents(three.undisturbed, "*.csv")
    assert of_others(output) == of_others(three.undisturbed)


@pytest.mark.parametrize("error", ERRORS)
def test_a_ledger_that_takes_one_result_not_has_a_row_that_says_so(
    three: Three, output: Path, analyze: Analyze, error: str
) -> None:
    with failing(Ledger, "record", ERRORS[error], when=lambda *given: given[1].status == "ok"):
        assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 1
    (row,) = rows(output, "files.csv")
    assert (row["status"], error in row["reason"]) == ("failed", True)
    assert not list(output.rglob("b.wav.*"))
    assert_the_others_never_noticed(output, three.undisturbed)
    assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 0
    assert contents(output, "*.csv") == contents(three.undisturbed, "*.csv")


@pytest.mark.parametrize("error", [sqlite3.DataError("too big"), sqlite3.IntegrityError("NOT NULL constraint failed")])
def test_values_that_sqlite_refuses_are_of_one_row(
    three: Three, output: Path, analyze: Analyze, error: sqlite3.Error
) -> None:
    with failing(Ledger, "record", lambda: error, when=lambda *given: given[1].status == "ok"):
        assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 1
    assert type(error).__name__ in rows(output, "files.csv")[0]["reason"]
    assert_the_others_never_noticed(output, three.undisturbed)


def test_a_ledger_that_takes_not_even_the_failure_ends_the_run(
    three: Three, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing(Ledger, "record", ERRORS["ValueError"]):
        assert analyze(three.calls, "-o", output, "-q") == 3
    assert "the ledger cannot be written: ValueError: boom" in capsys.readouterr().err


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("stage", ["read", "draw", "place", "sketch"])
def test_an_error_over_the_files_of_one_recording_stands_in_its_row_until_they_are_written(
    three: Three, output: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, stage: str, error: str
) -> None:
    def draw(timeline: Any, path: Path) -> None:
        if timeline.recording == "calls/b.wav":
            raise ERRORS[error]()
        really(timeline, path)

    really = picture.write_picture
    owners: dict[str, tuple[object, str]] = {
        "read": (rendering, "told"),
        "place": (rendering, "_place"),
        "sketch": (Ledger, "sketch"),
    }
    with monkeypatch.context() as patch:
        if stage == "draw":
            patch.setattr(picture, "write_picture", draw)
            assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 1
        else:
            with failing(*owners[stage], ERRORS[error]):
                assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 1
    (row,) = rows(output, "files.csv")
    assert row["status"] == "ok"  # the analysis is still valid
    assert is_named(error, row["reason"])
    (row,) = rows(output, "recordings.csv")
    assert is_named(error, row["note"]) and row["talk_s"]
    assert_the_others_never_noticed(output, three.undisturbed)
    assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 0
    for pattern in ("*.csv", "html/*.html", "*/calls/*.*"):
        assert contents(output, pattern) == contents(three.undisturbed, pattern)


@pytest.mark.parametrize("error", ["ValueError", "KeyError", "RecursionError"])
@pytest.mark.parametrize("view", ["_recording_rows", "_file_row"])
def test_a_recording_of_which_no_rows_can_be_made_fails_and_the_tables_are_written(
    three: Three, output: Path, analyze: Analyze, view: str, error: str
) -> None:
    def is_heard(entry: Entry, *_: object) -> bool:
        return bool(entry.figures)

    with failing(views, view, ERRORS[error], when=is_heard):
        assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 1
    (row,) = rows(output, "files.csv")
    assert (row["status"], error in row["reason"]) == ("failed", True)
    for table in ("recordings.csv", "files.csv"):
        assert others(output, table) == others(three.undisturbed, table)
    assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 0
    assert contents(output, "*.csv") == contents(three.undisturbed, "*.csv")


def test_a_row_of_the_ledger_that_is_damaged_is_made_anew(three: Three, output: Path, analyze: Analyze) -> None:
    assert analyze(three.calls, "-o", output, *FORMATS) == 0
    with closing(sqlite3.connect(output / "ledger.sqlite")) as ledger:
        ledger.execute("UPDATE recording SET figures = '{' WHERE path = CAST('b.wav' AS BLOB)")
        ledger.commit()
    with closing(Ledger(output, writable=False)) as read:
        damaged = read.get(Identity("calls", "b.wav"))
    assert damaged and (damaged.status, "JSONDecodeError" in damaged.reason) == ("failed", True)
    assert analyze(three.calls, "-o", output, *FORMATS) == 0
    assert contents(output, "*.csv") == contents(three.undisturbed, "*.csv")


# Stored results that cannot be rewritten.


def test_a_timeline_that_is_damaged_costs_its_recording_when_roles_change(
    three: Three, output: Path, analyze: Analyze
) -> None:
    assert analyze(three.calls, "-o", output) == 0
    (output / "timelines" / "calls" / "b.wav.csv").write_text("start,end\n1,2\n")
    assert analyze(three.calls, "-o", output, "-q", "--speakers", "agent") == 1
    (row,) = rows(output, "files.csv")
    assert (row["status"], "is no timeline any more" in row["reason"]) == ("failed", True)
    assert not (output / "timelines" / "calls" / "b.wav.csv").exists()
    assert [row["speaker"] for row in others(output, "recordings.csv")] == ["agent", "agent"]
    assert analyze(three.calls, "-o", output, "-q", "--speakers", "agent") == 0
    assert [row["speaker"] for row in read_csv(output / "recordings.csv")] == ["agent"] * 3


def test_a_timeline_that_is_damaged_is_deleted_when_emotions_are_to_be_blanked(
    three: Three, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged timeline cannot be blanked; its recording still exists, so the same run analyses it again."""
    options = ("--speakers", "agent", "--only", "mixed", "-q")
    assert analyze(three.calls, "-o", output, "--speakers", "agent") == 0
    (output / "timelines" / "calls" / "b.wav.csv").write_text("start,end\n1,2\nangry")
    assert analyze(three.calls, "-o", output, *options) == 1
    assert "calls/b.wav: failed: " in capsys.readouterr().err
    for name in "abc":
        assert {row["emotion"] for row in read_csv(output / "timelines" / "calls" / f"{name}.wav.csv")} == {""}
    assert analyze(three.calls, "-o", output, *options) == 0


def test_a_result_that_cannot_be_masked_costs_its_recording_and_is_tried_again(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for k, name in enumerate(("a-0301234567.wav", "b-0307654321.wav")):
        a_call(calls / name, seed=k)
    assert analyze(calls, "-o", output) == 0
    capsys.readouterr()
    with failing(relabel, "_move_timeline", ERRORS["ValueError"], "b-0307654321.wav"):
        assert analyze(calls, "-o", output, "-q", "--mask-names") == 1
    said = capsys.readouterr().err
    assert "ValueError: boom" in said and "0307654321" not in said
    for number in ("0301234567", "0307654321"):
        assert not [path for path in output.rglob("*") if number in path.name]
        assert number.encode() not in (output / "files.csv").read_bytes()
    assert analyze(calls, "-o", output, "-q", "--mask-names") == 0
    assert {row["status"] for row in read_csv(output / "files.csv")} == {"ok"}


def test_results_that_cannot_be_deleted_do_not_keep_others_from_being_pruned(
    three: Three, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    assert analyze(three.calls, "-o", output) == 0
    refused = lambda: CannotWrite("b.wav.csv cannot be deleted: Permission denied", output, errno.EACCES)  # noqa: E731
    with failing(outputs, "delete_results", refused):
        assert main(["prune", "-o", str(output), "--match", "*/[abc].wav"]) == 0
        assert main(["prune", "-o", str(output), "--match", "*/?.wav"]) == 1
    said = capsys.readouterr()
    assert "calls/b.wav: failed: b.wav.csv cannot be deleted: Permission denied" in said.err
    assert "deleted the results of 2 recordings" in said.out and "those of 1 could not be deleted" in said.out
    assert read_csv(output / "files.csv") == []
    assert main(["prune", "-o", str(output), "--match", "nothing"]) == 0
    assert not list((output / "timelines").rglob("*.csv"))


# Faults of the machine.


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("stage", ["timeline", "page"])
def test_what_every_file_would_meet_ends_the_run(
    three: Three, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], stage: str, number: int
) -> None:
    owner, name = (work, "write_timeline") if stage == "timeline" else (rendering, "replacing")
    error = CannotWrite(f"b.wav.csv cannot be written: {os.strerror(number)}", output / "b.wav.csv", number)
    with failing(owner, name, lambda: error):
        assert analyze(three.calls, "-o", output, "-q", *FORMATS) == 3
    assert os.strerror(number) in capsys.readouterr().err


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database or disk is full"), sqlite3.DatabaseError("no")])
def test_a_ledger_that_cannot_be_written_ends_the_run(
    three: Three, output: Path, analyze: Analyze, error: sqlite3.Error
) -> None:
    with failing(Ledger, "record", lambda: error):
        assert analyze(three.calls, "-o", output, "-q") == 3


def refusing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder refuse new files, even for root, which ignores permissions and may run the tests."""
    really = os.open

    def refuse(path: Any, flags: int, *more: Any, **options: Any) -> int:
        inside = folder in Path(os.path.abspath(os.fsdecode(path))).parents or Path(os.fsdecode(path)) == folder
        if inside and flags & (os.O_CREAT | getattr(os, "O_TMPFILE", 0)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return really(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)


def test_a_folder_of_one_recording_that_takes_no_files_fails_that_one_alone(
    three: Three, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for k, name in enumerate(("a/a.wav", "b/b.wav", "c/c.wav")):
        a_call(calls / name, seed=k)
    (output / "timelines" / "calls" / "b").mkdir(parents=True)
    refusing(monkeypatch, output / "timelines" / "calls" / "b")
    assert analyze(calls, "-o", output, "-q") == 1
    found = {row["file"]: (row["status"], row["reason"]) for row in read_csv(output / "files.csv")}
    assert [status for status, _ in found.values()] == ["ok", "failed", "ok"]
    assert "Permission denied" in found["calls/b/b.wav"][1]


@pytest.mark.parametrize("folder", [".", "timelines"])
def test_an_output_folder_that_takes_no_files_ends_the_run(
    three: Three, output: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (output / "timelines").mkdir(parents=True)
    real = batch._work_through

    def from_now_on(*given: Any) -> None:
        refusing(monkeypatch, output / folder)
        real(*given)

    monkeypatch.setattr(batch, "_work_through", from_now_on)
    assert analyze(three.calls, "-o", output, "-q") == 3


def test_what_nobody_foresaw_ends_a_run_with_3_and_says_what_it_was(
    three: Three, output: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(Account, "begin", break_down)
    assert analyze(three.calls, "-o", output, "-q", "--metrics-file", output.parent / "metrics.prom") == 3
    said = capsys.readouterr().err
    assert "ZeroDivisionError: boom" in said and "Traceback" in said
    assert "call_emotions_last_run_exit_status 3" in (output.parent / "metrics.prom").read_text()


# Messages and logs.


def test_a_log_has_the_traceback_of_what_nobody_foresaw_and_not_of_damaged_files(
    three: Three, output: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing(work, "analyse", ERRORS["KeyError"]):
        assert analyze(three.calls, "-o", output, "-q", "--log-file", tmp_path / "log") == 1
    log = (tmp_path / "log").read_text()
    assert "  KeyError: 'boom'\n" in log and "  Traceback (most recent call last):\n" in log
    assert "Traceback" not in capsys.readouterr().err
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "damaged.ogg").write_bytes(b"OggS" + bytes(200))
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-q", "--log-file", tmp_path / "other") == 1
    assert "Traceback" not in (tmp_path / "other").read_text()


def test_numbers_are_masked_in_reasons_and_tracebacks(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "b-0307654321.wav").parent
    error = lambda: ValueError("b-0307654321.wav is odd")  # noqa: E731
    for owner, function, name in (
        (work, "analyse", "b-0307654321.wav"),
        (plan, "_sort_in", "b-0307654321.wav"),
        (work, "write_timeline", "b-"),
    ):
        output = tmp_path / function
        with failing(owner, function, error, name):
            assert analyze(calls, "-o", output, "-q", "--mask-names", "--log-file", output / "log") == 1
        assert "is odd" in (output / "files.csv").read_text()
        assert not [path for path in output.rglob("*.*") if b"0307654321" in path.read_bytes()]


def test_a_message_is_one_line_of_a_bearable_length() -> None:
    assert in_words(ValueError("a\nb")) == "ValueError: a\\x0ab"
    assert len(in_words(ValueError("x" * 100_000))) < 420
    assert in_words(DamagedResult("it is gone")) == "it is gone"
    assert traceback_of(DamagedResult("it is gone")) == ""


def test_whose_error_it_is(tmp_path: Path) -> None:
    assert is_machines(CannotWork("no model"), tmp_path)
    assert not is_machines(DamagedResult("gone"), tmp_path)
    assert not is_machines(ValueError(), tmp_path)
    assert not is_machines(OSError(errno.EINVAL, "odd"), tmp_path)
    assert is_machines(OSError(errno.EINVAL, "odd"), tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


def test_a_file_that_cannot_be_looked_at_is_given_up_after_three_days(
    three: Three, output: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses, real = [], batch._rules
    with failing(plan, "_verdict", ERRORS["ValueError"]):
        for day in (20261124, 20261124, 20261125, 20261126, 20261127):
            monkeypatch.setattr(batch, "_rules", lambda *given, day=day: replace(real(*given), today=day))
            statuses.append((analyze(three.calls, "-o", output, "-q"), rows(output, "files.csv")[0]["status"]))
    assert statuses == [*[(1, "failed")] * 3, (1, "given_up"), (0, "given_up")]
