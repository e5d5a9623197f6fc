"""Pruning: which results are deleted, and that nothing else changes; see also test_privacy.py."""

import os
import re
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.commands import prune
from analyzer.commands.main import main
from analyzer.commands.prune import parse_age
from analyzer.names import Identity
from analyzer.runtime.lock import run_lock
from analyzer.runtime.signals import StopSignals
from analyzer.store.entry import Entry
from analyzer.store.formats import EXTENSIONS, FORMATS
from analyzer.store.ledger import FILE_NAME, Ledger
from tests.helpers.kills import a_large_ledger, killed_at
from tests.helpers.leaks import leaks
from tests.helpers.runs import Analyze, Run, copied, read_workbook, states
from tests.helpers.workspace import Workspace

Capture = pytest.CaptureFixture[str]
ALL = ("--format", ",".join(FORMATS))


@pytest.fixture
def three(work: Workspace) -> Workspace:
    """Three calls, one of them in a separate folder, and their results."""
    work.write_calls("secrets/secret.wav", "b.wav", "c.wav")
    assert work() == 0
    return work


def unlocked_states(work: Workspace) -> dict[str, tuple[int, int, bytes]]:
    return {name: state for name, state in states(work.output).items() if name != ".lock"}


# Selection.


def ago(days: int) -> datetime:
    return datetime.now() - timedelta(days=days)


@pytest.fixture(scope="module")
def various(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Workspace:
    """Calls of 10 and 100 days ago by metadata, by modification time and by name, then a file without a time."""
    folder = tmp_path_factory.mktemp("various")
    work = Workspace(folder / "calls", folder / "out", analyze)
    work.write_calls("a.wav", "b.wav", "c.wav", "d.wav", f"e-{ago(10):%Y%m%d}.wav", f"f-{ago(100):%Y%m%d}.wav")
    for name, days in (("c.wav", 10), ("d.wav", 100)):
        os.utime(work.calls / name, (ago(days).timestamp(),) * 2)
    (work.calls / "g.wav").symlink_to("nowhere")
    rows = f"a.wav,{ago(10).isoformat()},4711,Süd", f"b.wav,{ago(100):%Y-%m-%d},0811,Süd"
    rows += "c.wav,,4711,Nord", "d.wav,,+49 30,Nord"
    options = work.metadata("file,recorded,customer,branch", *rows)
    assert work("--name-pattern", r"(?P<day>^[ab])|(?P<date>\d{8})", *options) == 1
    return work


@pytest.mark.parametrize(
    ("options", "deleted"),
    [
        (["--older-than", "5d"], "abcdef"),
        (["--older-than", "1w"], "abcdef"),
        (["--older-than", "30d"], "bdf"),
        (["--older-than", "3m"], "bdf"),
        (["--older-than", "4m"], ""),
        (["--older-than", "1y"], ""),
        (["--match", "*"], "abcdefg"),
        (["--match", "calls/*"], "abcdefg"),
        (["--match", "calls/?.wav"], "abcdg"),
        (["--match", "*b*"], "b"),
        (["--match", "b"], ""),
        (["--match", "*B*"], ""),
        (["--match", ""], ""),
        (["--match", "*/?.wav", "--older-than", "30d"], "bd"),
        (["--where", "customer=4711"], "ac"),
        (["--where", "customer=471"], ""),
        (["--where", "customer=*"], ""),
        (["--where", "CUSTOMER = 4711 "], "ac"),
        (["--where", "branch=Su\u0308d"], "ab"),
        (["--where", "branch=süd"], ""),
        (["--where", "customer=+49 30"], "d"),
        (["--where", "customer='+49 30"], "d"),
        (["--where", "customer=4711", "--where", "branch=Nord"], "c"),
        (["--where", "day=a"], "a"),
        (["--where", "customer=4711", "--where", "day=b"], ""),
        (["--where", "customer=4711", "--match", "*/a*"], "a"),
        (["--where", "customer=4711", "--older-than", "99y"], ""),
    ],
)
def test_recordings_that_meet_all_criteria_are_pruned(
    various: Workspace, tmp_path: Path, options: list[str], deleted: str
) -> None:
    work = replace(various, output=Path(shutil.copytree(various.output, tmp_path / "out")))
    before = work.files()
    assert work.prune(*options) == 0
    kept = work.files()
    assert [name for name in before if name not in kept] == [name for name in before if name[6] in deleted]
    assert len(list(work.output.glob("timelines/**/*.csv"))) == 6 - len(deleted.strip("g"))


@given(st.integers(1, 99999), st.sampled_from("dwmy"))
def test_every_age_is_a_number_of_days(number: int, unit: str) -> None:
    days = parse_age(f"{number}{unit}")
    assert days == number * {"d": 1, "w": 7, "m": 30, "y": 365}[unit]
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        ledger.record(Entry(Identity("calls", "a.wav"), 1, 1, "ok", recorded="1950-01-01", recorded_from="name"))
        settings = prune.PruneSettings(Path("out"), days=days)
        age = (datetime.now() - datetime(1950, 1, 1)).days
        assert bool(list(prune._chosen(ledger, settings))) == (days <= age)


AGES = ("", "90", "d", "0d", "-1d", "1.5y", "90 d", "090d", "9h", "1000000d", "90D", "٣d")
VALUES = ("customer", "=4711", "customer=", " = ")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        *((f"--older-than={age}", "is not an age") for age in AGES),
        *((f"--where={value}", "is not of the form") for value in VALUES),
        ("-q", "--older-than"),
    ],
)
def test_invalid_or_missing_criteria_are_refused(work: Workspace, option: str, words: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="2"):
        work.prune(option)
    assert words in capsys.readouterr().err


def test_a_folder_without_results_is_refused(work: Workspace, tmp_path: Path, capsys: Capture) -> None:
    for output in (tmp_path, tmp_path / "missing"):
        assert replace(work, output=output).prune("--match", "*") == 2
        assert "no results" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("column", ["caller", "file", "recorded", "speaker"])
def test_an_unknown_column_is_refused(various: Workspace, column: str, capsys: Capture) -> None:
    before = unlocked_states(various)
    assert various.prune("--where", f"{column}=4711") == 2
    assert "known are branch, customer, day" in capsys.readouterr().err
    assert unlocked_states(various) == before


def test_a_masked_value_is_found_by_its_number(work: Workspace) -> None:
    work.write_calls("a.wav", "b.wav")
    assert work("--mask-names", *work.metadata("file,customer", "a.wav,4915112345678", "b.wav,4915187654321")) == 0
    assert leaks(work.output, "4915112345678") == []
    for value, left in (("49151123456", 2), ("4915112345678", 1)):
        assert work.prune("--where", f"customer={value}") == 0
        assert len(work.files()) == left


# Output and deletion.


def test_the_recordings_are_listed_before_their_results_are_deleted(various: Workspace, capsys: Capture) -> None:
    before = various.contents()
    with killed_at(Ledger, "mark_pruned", 1):
        various.prune("--where", "customer=4711", "--match", "calls/*")
    assert re.fullmatch(
        r"2 of 7 recordings named calls/\* and with customer 4711: their results are deleted\n"
        rf"calls/a.wav: {ago(10):%Y-%m}.*\ncalls/c.wav: {ago(10):%Y-%m}.*\n",
        capsys.readouterr().out,
    )
    assert various.contents() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--match", "*secret*", "--dry-run"], "would delete the results of 1 recordings"),
        (["--match", "nobody"], "0 recordings"),
        (["--older-than", "90y"], "0 recordings"),
    ],
)
def test_a_dry_run_or_an_empty_selection_changes_nothing(
    three: Workspace, options: list[str], words: str, capsys: Capture
) -> None:
    before = unlocked_states(three)
    capsys.readouterr()
    assert three.prune(*options) == 0
    output = capsys.readouterr().out
    assert words in output and ("secrets/secret.wav" in output) == ("*secret*" in options) and "b.wav" not in output
    assert unlocked_states(three) == before


def test_results_are_as_if_the_recording_had_never_existed(three: Workspace) -> None:
    before, fresh = states(three.output / "timelines"), three.beside("fresh")
    assert three.prune("--match", "*secret*") == 0
    assert states(three.output / "timelines").items() == {(k, v) for k, v in before.items() if "secret" not in k}
    (three.calls / "secrets" / "secret.wav").unlink()
    assert fresh() == 0
    assert three.contents() == fresh.contents()
    assert read_workbook(three.output / "summary.xlsx") == read_workbook(fresh.output / "summary.xlsx")


def test_pruned_names_are_in_no_free_page_of_a_large_ledger(tmp_path: Path) -> None:
    """When SQLite rearranges the pages of a table, it leaves copies that secure_delete does not overwrite."""
    a_large_ledger(tmp_path)
    assert main(["prune", "-o", str(tmp_path), "--match", "*secret*"]) == 0
    assert not re.findall(rb"secret-\d+", (tmp_path / FILE_NAME).read_bytes())


def test_prune_writes_only_existing_tables(work: Workspace) -> None:
    work.write_calls("a.wav")
    assert work("--format", "csv") == work.prune("--match", "*") == 0
    assert not (work.output / "summary.xlsx").exists()


def test_a_workbook_is_written_even_if_a_table_is_missing(three: Workspace) -> None:
    assert three(*ALL) == 0
    (three.output / "recordings.csv").unlink()
    assert three.prune("--match", "*secret*") == 0
    assert leaks(three.output, "secret") == []
    assert three.files() == ["calls/b.wav", "calls/c.wav"]


def test_a_report_shows_no_recording_whose_results_are_being_deleted(three: Workspace) -> None:
    with closing(Ledger(three.output)) as ledger:
        ledger.mark_pruned([entry.identity for entry in ledger.entries() if "secret" in entry.identity.path])
    assert main(["report", str(three.output), *ALL]) == 0
    assert not [place for place, _ in leaks(three.output, "secret") if place.partition("/")[0] in EXTENSIONS]
    assert three(*ALL) == 0
    assert leaks(three.output, "secret") == []


def test_failed_and_skipped_files_can_be_pruned(bad_run: Run, work: Workspace) -> None:
    run = replace(work, calls=bad_run.calls, output=copied(bad_run, work.output).output)
    assert run.prune("--match", "*") == 0
    assert run.files() == []
    assert not (run.output / "timelines").exists()
    assert run() == 0
    assert run.files() == []


def test_prune_does_not_disturb_another_run(three: Workspace, capsys: Capture) -> None:
    before = three.contents()
    with StopSignals() as stop, run_lock(three.output, 0, stop):
        for dry in ([], ["--dry-run"]):
            assert three.prune("--match", "*", *dry) == 75
            assert "--lock-wait" in capsys.readouterr().err
    assert three.contents() == before


# After pruning.


def test_pruned_recordings_are_not_analysed_again(three: Workspace, capsys: Capture) -> None:
    assert three.prune("--match", "*secret*") == 0
    before = three.contents()
    for options in ([], ["--force"], ["--checksum"], ["--retry-failed"], ["--speakers", "agent,customer"], []):
        assert three(*options) == 0
        assert three.analysed() == ({"ok": 2} if options == ["--force"] else {})
        assert leaks(three.output, "secret") == []
    assert three.contents() == before
    capsys.readouterr()
    assert three("--dry-run") == 0
    assert "secret" not in capsys.readouterr().out


def test_an_input_that_is_empty_after_pruning_is_no_error(three: Workspace) -> None:
    assert three.prune("--match", "*") == 0
    for path in list(three.calls.rglob("*.wav")):
        path.unlink()
    assert three() == 0


@pytest.mark.parametrize("change", ["time", "size"])
def test_another_recording_of_the_same_name_is_analysed(three: Workspace, change: str) -> None:
    path = three.calls / "secrets" / "secret.wav"
    state = path.stat()
    assert three.prune("--match", "*secret*") == 0
    if change == "size":
        path.write_bytes(path.read_bytes() + b"\0" * 16)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + (change == "time")))
    assert three() == 0
    assert three.analysed() == {"ok": 1}
    assert "calls/secrets/secret.wav" in three.files()
    assert three.prune("--match", "*secret*") == 0
    assert leaks(three.output, "secret") == []
