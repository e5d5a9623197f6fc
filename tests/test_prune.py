"""Results deleted for good: nothing is left of them, and nothing else changes."""

import os
import re
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import outputs, prune
from analyzer.cli import main
from analyzer.entry import Entry
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.lock import held
from analyzer.names import Identity
from analyzer.prune import parse_age
from analyzer.report import tables
from analyzer.signals import StopSignals
from tests.nights import Analyze, Night, a_call, contents, copied, read_csv, read_workbook, states
from tests.test_relabel import a_large_ledger, killed_at
from tests.test_roles import analysed

PATTERN = r"(?P<date>\d{8})"


def pruned(output: Path, *arguments: str) -> int:
    return main(["prune", "-o", str(output), *arguments])


def shown(output: Path) -> list[str]:
    return [row["file"] for row in read_csv(output / "files.csv")]


def holding(output: Path, name: str) -> list[str]:
    """Return where a name occurs below an output folder: in names, contents, and cells of the workbook."""
    found = [str(path) for path in output.rglob("*") if name in str(path.relative_to(output))]
    found += [f"in {path}" for path in output.rglob("*") if path.is_file() and name.encode() in path.read_bytes()]
    cells = (cell for rows in read_workbook(output / "summary.xlsx").values() for row in rows for cell in row)
    return found + [f"in a cell: {cell}" for cell in cells if name in str(cell)]


def ago(days: float) -> datetime:
    return datetime.now() - timedelta(days=days)


@pytest.fixture
def aged(tmp_path: Path, analyze: Analyze) -> tuple[Path, Path]:
    """Calls whose age is known by name, by metadata or by modification time, and their results."""
    calls, output, told = tmp_path / "calls", tmp_path / "out", tmp_path / "metadata.csv"
    for days in (10, 100):
        a_call(calls / "by name" / f"{ago(days):%Y%m%d}.wav", seed=days)
        a_call(calls / f"told-{days}.wav", seed=days + 1)
        path = a_call(calls / f"file-{days}.wav", seed=days + 2)
        os.utime(path, (ago(days).timestamp(),) * 2)
    told.write_text(f"file,recorded\ntold-10.wav,{ago(10).isoformat()}\ntold-100.wav,{ago(100):%Y-%m-%d}\n")
    assert analyze(calls, "-o", output, "--name-pattern", PATTERN, "--metadata", told) == 0
    return calls, output


@pytest.fixture
def three(tmp_path: Path, analyze: Analyze) -> tuple[Path, Path]:
    """Three calls, one of them in a separate folder, and their results."""
    calls = tmp_path / "calls"
    for k, name in enumerate(("secrets/secret.wav", "b.wav", "c.wav")):
        a_call(calls / name, seed=k)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    return calls, tmp_path / "out"


# Selection by age and name.


@pytest.mark.parametrize(("age", "left"), [("30d", 3), ("5d", 0), ("1w", 0), ("4m", 6), ("3m", 3), ("1y", 6)])
def test_what_is_old_by_name_metadata_or_time_is_deleted(aged: tuple[Path, Path], age: str, left: int) -> None:
    _, output = aged
    before = contents(output / "timelines")
    assert pruned(output, "--older-than", age) == 0
    assert len(shown(output)) == left
    kept = contents(output / "timelines")
    assert len(kept) == left
    assert kept.items() <= before.items()
    assert not any(re.search(r"100|" + f"{ago(100):%Y%m%d}", name) for name in shown(output)) or left == 6


def test_age_and_pattern_together_delete_only_what_both_mean(aged: tuple[Path, Path]) -> None:
    _, output = aged
    assert pruned(output, "--older-than", "30d", "--match", "*/told-*") == 0
    assert len(shown(output)) == 5
    assert "calls/told-100.wav" not in shown(output)


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [("*", 3), ("calls/*", 3), ("*secret*", 1), ("calls/?.wav", 2), ("secret", 0), ("*SECRET*", 0), ("", 0)],
)
def test_a_pattern_is_about_the_whole_name(three: tuple[Path, Path], pattern: str, gone: int) -> None:
    _, output = three
    assert pruned(output, "--match", pattern) == 0
    assert len(shown(output)) == 3 - gone


@given(st.integers(1, 99999), st.sampled_from("dwmy"))
def test_every_age_is_a_number_of_days_and_can_be_asked_for(number: int, unit: str) -> None:
    days = parse_age(f"{number}{unit}")
    assert days == number * {"d": 1, "w": 7, "m": 30, "y": 365}[unit]
    with closing(Ledger(None)) as ledger:
        ledger.record(Entry(Identity("calls", "a.wav"), 1, 1, "ok", recorded="1950-01-01", recorded_from="name"))
        settings = prune.PruneSettings(Path("out"), days=days)
        age = (datetime.now() - datetime(1950, 1, 1)).days
        assert bool(list(prune._chosen(ledger, settings))) == (days <= age)


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5y", "90 d", "090d", "9h", "1000000d", "90D", "٣d"])
def test_what_is_no_age_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no age"):
        parse_age(text)
    with pytest.raises(SystemExit) as refused:
        pruned(tmp_path, f"--older-than={text}")
    assert refused.value.code == 2


def test_what_to_delete_has_to_be_said(three: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as refused:
        pruned(three[1])
    assert refused.value.code == 2
    assert "--older-than" in capsys.readouterr().err


def test_without_results_there_is_nothing_to_prune(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for output in (tmp_path, tmp_path / "nowhere"):
        assert pruned(output, "--match", "*") == 2
        assert "no results" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_whose_time_nobody_knows_does_not_grow_old(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (calls / "dangling.wav").symlink_to("nowhere")
    assert analyze(calls, "-o", tmp_path / "out") == 1
    assert pruned(tmp_path / "out", "--older-than", "1d") == 0
    assert "calls/dangling.wav" in shown(tmp_path / "out")


# Selection by metadata and name patterns.

TOLD = "file,customer,branch\na.wav,4711,Süd\nb.wav,0811,Süd\nc.wav,4711,Nord\nd.wav,+49 30,Nord\n"


@pytest.fixture
def customers(tmp_path: Path, analyze: Analyze) -> tuple[Path, Path]:
    """Calls whose customers only the metadata name, and their results."""
    calls, told = tmp_path / "calls", tmp_path / "metadata.csv"
    for k, name in enumerate("abcd"):
        a_call(calls / f"{name}.wav", seed=k)
    told.write_text(TOLD, encoding="utf-8")
    formats = ("--format", "csv,xlsx,html")
    assert analyze(calls, "-o", tmp_path / "out", "--metadata", told, "--name-pattern", "^(?P<day>[ab])", *formats) == 0
    return calls, tmp_path / "out"


@pytest.mark.parametrize(
    ("where", "left"),
    [
        (["customer=4711"], "bd"),
        (["customer=471"], "abcd"),
        (["customer=*"], "abcd"),
        (["CUSTOMER = 4711 "], "bd"),
        (["branch=Su\u0308d"], "cd"),
        (["branch=süd"], "abcd"),
        (["customer=+49 30"], "abc"),
        (["customer='+49 30"], "abc"),
        (["customer=4711", "branch=Nord"], "abd"),
        (["day=a"], "bcd"),
        (["customer=4711", "day=b"], "abcd"),
    ],
)
def test_any_column_of_metadata_or_pattern_finds_its_recordings(
    customers: tuple[Path, Path], where: list[str], left: str
) -> None:
    _, output = customers
    assert pruned(output, *(part for one in where for part in ("--where", one))) == 0
    assert shown(output) == [f"calls/{name}.wav" for name in left]


def test_nothing_is_left_of_a_customer_whom_only_the_metadata_know(
    customers: tuple[Path, Path], analyze: Analyze
) -> None:
    calls, output = customers
    assert len(holding(output, "0811")) >= 3  # a page, the index, the ledger
    assert pruned(output, "--where", "customer=0811") == 0
    assert holding(output, "0811") == [] == holding(output, "b.wav")
    assert shown(output) == ["calls/a.wav", "calls/c.wav", "calls/d.wav"]
    assert analyze(calls, "-o", output, "--format", "csv,xlsx,html", "--name-pattern", "^(?P<day>[ab])") == 0
    assert holding(output, "0811") == [] == holding(output, "b.wav")


def test_a_column_together_with_name_and_age_deletes_only_what_all_mean(customers: tuple[Path, Path]) -> None:
    _, output = customers
    assert pruned(output, "--where", "customer=4711", "--match", "*/a*") == 0
    assert shown(output) == ["calls/b.wav", "calls/c.wav", "calls/d.wav"]
    assert pruned(output, "--where", "customer=4711", "--older-than", "99y") == 0
    assert shown(output) == ["calls/b.wav", "calls/c.wav", "calls/d.wav"]


@pytest.mark.parametrize("column", ["caller", "file", "recorded", "speaker"])
def test_a_column_that_no_recording_has_is_wrong_usage_and_deletes_nothing(
    customers: tuple[Path, Path], column: str, capsys: pytest.CaptureFixture
) -> None:
    _, output = customers
    before = {name: state for name, state in states(output).items() if name != ".lock"}
    assert pruned(output, "--where", f"{column}=4711") == 2
    assert "known are branch, customer, day" in capsys.readouterr().err
    assert {name: state for name, state in states(output).items() if name != ".lock"} == before


@pytest.mark.parametrize("text", ["customer", "=4711", "customer=", " = "])
def test_a_column_needs_a_value(customers: tuple[Path, Path], text: str) -> None:
    with pytest.raises(SystemExit) as refused:
        pruned(customers[1], "--where", text)
    assert refused.value.code == 2


def test_a_masked_number_in_a_column_is_found_by_the_number_itself(tmp_path: Path, analyze: Analyze) -> None:
    calls, told, output = tmp_path / "calls", tmp_path / "metadata.csv", tmp_path / "out"
    for k, name in enumerate("ab"):
        a_call(calls / f"{name}.wav", seed=k)
    told.write_text("file,customer\na.wav,4915112345678\nb.wav,4915187654321\n")
    assert analyze(calls, "-o", output, "--metadata", told, "--mask-names") == 0
    assert holding(output, "4915112345678") == []
    assert pruned(output, "--where", "customer=49151123456") == 0
    assert len(shown(output)) == 2
    assert pruned(output, "--where", "customer=4915112345678") == 0
    assert shown(output) == ["calls/b.wav"]


def test_before_anything_is_deleted_it_says_how_many_of_which(
    customers: tuple[Path, Path], capsys: pytest.CaptureFixture
) -> None:
    _, output = customers
    capsys.readouterr()
    with killed_at(Ledger, "mark_pruned", 1):
        pruned(output, "--where", "customer=4711", "--match", "calls/*")
    first, *listed = capsys.readouterr().out.splitlines()
    assert first == "2 of 4 recordings named calls/* and with customer 4711: their results are deleted"
    assert [line.partition(":")[0] for line in listed] == ["calls/a.wav", "calls/c.wav"]


# Output and deletion.


def test_a_dry_run_says_what_would_go_and_deletes_nothing(
    three: tuple[Path, Path], capsys: pytest.CaptureFixture
) -> None:
    _, output = three
    before = {name: state for name, state in states(output).items() if name != ".lock"}
    capsys.readouterr()
    assert pruned(output, "--match", "*secret*", "--dry-run") == 0
    assert [name for name in ("secrets/secret", "b.wav", "c.wav") if name in capsys.readouterr().out] == [
        "secrets/secret"
    ]
    assert {name: state for name, state in states(output).items() if name != ".lock"} == before


def test_what_is_deleted_is_said_before(
    three: tuple[Path, Path], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, output = three
    capsys.readouterr()
    with killed_at(Ledger, "mark_pruned", 1):
        pruned(output, "--match", "*secret*")
    said = capsys.readouterr().out
    assert "calls/secrets/secret.wav" in said and "2026-11-24" in said and "b.wav" not in said
    assert len(contents(output / "timelines")) == 3


def test_nothing_is_left_of_what_is_pruned_and_nothing_else_is_touched(three: tuple[Path, Path]) -> None:
    _, output = three
    assert len(holding(output, "secret")) >= 5
    before = states(output / "timelines")
    assert pruned(output, "--match", "*secret*") == 0
    assert holding(output, "secret") == []
    after = states(output / "timelines")
    assert after == {name: state for name, state in before.items() if "secret" not in name}
    assert shown(output) == ["calls/b.wav", "calls/c.wav"]


def test_tables_without_what_is_pruned_are_as_if_it_had_never_been(
    three: tuple[Path, Path], tmp_path: Path, analyze: Analyze
) -> None:
    calls, output = three
    assert pruned(output, "--match", "*secret*") == 0
    (calls / "secrets" / "secret.wav").unlink()
    assert analyze(calls, "-o", tmp_path / "fresh") == 0
    assert contents(output) == contents(tmp_path / "fresh")
    assert read_workbook(output / "summary.xlsx") == read_workbook(tmp_path / "fresh" / "summary.xlsx")


def test_names_are_in_no_free_corner_of_a_large_ledger(tmp_path: Path) -> None:
    """When SQLite rearranges the pages of a table, it leaves copies that secure_delete does not overwrite."""
    a_large_ledger(tmp_path)
    assert pruned(tmp_path, "--match", "*secret*") == 0
    assert not re.findall(rb"secret-\d+", (tmp_path / FILE_NAME).read_bytes())


def test_an_empty_selection_is_fine_and_touches_nothing(
    three: tuple[Path, Path], capsys: pytest.CaptureFixture
) -> None:
    before = {name: state for name, state in states(three[1]).items() if name != ".lock"}
    for options in (["--match", "nobody"], ["--older-than", "90y"]):
        assert pruned(three[1], *options) == 0
        assert "0 recordings" in capsys.readouterr().out
    assert {name: state for name, state in states(three[1]).items() if name != ".lock"} == before


def test_a_workbook_is_not_made_for_who_wants_none(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    assert analyze(calls, "-o", tmp_path / "out", "--format", "csv") == 0
    assert pruned(tmp_path / "out", "--match", "*") == 0
    assert shown(tmp_path / "out") == []
    assert not (tmp_path / "out" / "summary.xlsx").exists()


def test_what_failed_and_what_was_skipped_can_be_pruned(bad_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    night = copied(bad_night, tmp_path / "out")
    assert pruned(night.output, "--match", "*") == 0
    assert shown(night.output) == []
    assert not (night.output / "timelines").exists()
    assert analyze(night.calls, "-o", night.output) == 0
    assert shown(night.output) == []


def test_another_run_is_not_disturbed(three: tuple[Path, Path], capsys: pytest.CaptureFixture) -> None:
    _, output = three
    before = contents(output)
    with StopSignals() as stop, held(output, 0, stop):
        for dry in ([], ["--dry-run"]):
            assert pruned(output, "--match", "*", *dry) == 75
            assert "--lock-wait" in capsys.readouterr().err
    assert contents(output) == before


# After pruning.


def test_what_is_pruned_is_not_analysed_again_nor_shown(
    three: tuple[Path, Path], analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    calls, output = three
    assert pruned(output, "--match", "*secret*") == 0
    before = contents(output)
    for options in ([], ["--force"], ["--checksum"], ["--retry-failed"], ["--speakers", "agent,customer"]):
        assert analyze(calls, "-o", output, *options) == 0
        assert analysed(output) == ({"ok": 2} if options == ["--force"] else {})
        assert holding(output, "secret") == []
    assert analyze(calls, "-o", output) == 0
    assert contents(output) == before
    capsys.readouterr()
    assert analyze(calls, "-o", output, "--dry-run") == 0
    assert "secret" not in capsys.readouterr().out


def test_all_pruned_and_all_gone_is_no_share_that_is_not_mounted(three: tuple[Path, Path], analyze: Analyze) -> None:
    calls, output = three
    assert pruned(output, "--match", "*") == 0
    for path in list(calls.rglob("*.wav")):
        path.unlink()
    assert analyze(calls, "-o", output) == 0


@pytest.mark.parametrize("change", ["time", "size"])
def test_another_recording_of_the_same_name_is_analysed(
    three: tuple[Path, Path], analyze: Analyze, change: str
) -> None:
    calls, output = three
    path = calls / "secrets" / "secret.wav"
    state = path.stat()
    assert pruned(output, "--match", "*secret*") == 0
    if change == "size":
        path.write_bytes(path.read_bytes() + b"\0" * 16)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + (change == "time")))
    assert analyze(calls, "-o", output) == 0
    assert analysed(output) == {"ok": 1}
    assert "calls/secrets/secret.wav" in shown(output)
    assert pruned(output, "--match", "*secret*") == 0
    assert holding(output, "secret") == []


def test_prune_takes_away_what_is_gone_as_well(three: tuple[Path, Path], analyze: Analyze) -> None:
    calls, output = three
    (calls / "secrets" / "secret.wav").unlink()
    assert analyze(calls, "-o", output) == 0
    assert pruned(output, "--match", "*secret*") == 0
    assert holding(output, "secret") == []


# Killed while pruning.

STEPS: dict[str, tuple[object, str, int]] = {
    "before it is noted": (Ledger, "mark_pruned", 1),
    "before the first file": (outputs.Path, "unlink", 1),
    "before the second file": (outputs, "delete", 2),
    "before its folder": (outputs, "remove_empty_folders", 1),
    "before the ledger": (Ledger, "end_pruning", 1),
    "before the second one in the ledger": (Ledger, "end_pruning", 2),
    "before the tables": (tables, "bring_up_to_date", 1),
    "between the tables": (Ledger, "views_are_fresh", 1),
}


def by_prune(calls: Path, output: Path, analyze: Analyze) -> None:
    assert pruned(output, "--match", "nothing else") == 0


def by_analyze(calls: Path, output: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", output) == 0
    assert analysed(output) == {}


@pytest.mark.parametrize("complete", [by_prune, by_analyze])
@pytest.mark.parametrize("step", STEPS)
def test_pruning_that_is_killed_is_completed(
    three: tuple[Path, Path], analyze: Analyze, step: str, complete: Callable[[Path, Path, Analyze], None]
) -> None:
    """The next prune or run completes it; before anything is noted, nothing has changed."""
    calls, output = three
    assert analyze(calls, "-o", output, "--name-pattern", r"(?<!c)\.(?P<goes>wav)$") == 0
    before = contents(output)
    with killed_at(*STEPS[step]):
        pruned(output, "--where", "goes=wav")
    if step == "before it is noted":
        assert contents(output) == before
        return
    complete(calls, output, analyze)
    assert shown(output) == ["calls/c.wav"]
    assert analyze(calls, "-o", output) == 0
    assert analysed(output) == {}
    assert holding(output, "secret") == []
