"""Masking of telephone numbers in names: none is left, and equal numbers get equal masks."""

import os
import re
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from analyzer.cli import main
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.masking import Mask
from analyzer.name_pattern import NamePattern
from analyzer.names import Identity
from tests.nights import MTIME, Analyze, Night, a_call, contents, read_csv
from tests.test_roles import a_dialogue, analysed

NUMBER = "0821123456"
#: The most common pattern of date and time in names.
PATTERN = r"(?P<date>\d{8})[_-](?P<time>\d{6})"
MASK = Mask(b"key", NamePattern(PATTERN))
HEX = "[0-9a-f]{8}"


def named(path: str, mask: Mask = MASK) -> str:
    return mask.identity(Identity("calls", path)).path


# Names.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{NUMBER}.wav", f"{HEX}\\.wav"),
        (f"+49{NUMBER}-7.wav", f"\\+{HEX}-7\\.wav"),
        (f"{NUMBER}/{NUMBER}.wav", f"({HEX})/\\1\\.wav"),
        (f"{NUMBER}_20261124_091500.wav", f"{HEX}_20261124_091500\\.wav"),
        (f"20261124-091500-{NUMBER}.wav", f"20261124-091500-{HEX}\\.wav"),
        (f"{NUMBER}/20261124_091500.wav", f"{HEX}/20261124_091500\\.wav"),
        (f"20261124_091500/{NUMBER}.wav", f"20261124_091500/{HEX}\\.wav"),
        ("20261124_091500_123456.wav", "20261124_091500_123456\\.wav"),
        ("2026-11-24_123456.wav", "2026-11-24_123456\\.wav"),
        ("20261124.wav", f"{HEX}\\.wav"),  # the pattern does not match, so it may be a number
        ("99999999_091500.wav", f"{HEX}_091500\\.wav"),  # there is no such day
        ("0820150101_091500.wav", f"{HEX}_091500\\.wav"),  # a date inside a number is not a date
        ("20150101_0915001.wav", f"{HEX}_{HEX}\\.wav"),
        ("٠١٢٣٤٥٦٧٨٩.wav", f"{HEX}\\.wav"),
    ],
)
def test_numbers_are_replaced_and_dates_are_kept(name: str, expected: str) -> None:
    assert re.fullmatch(expected, named(name))


def test_a_date_and_a_time_may_be_one_run_of_digits() -> None:
    mask = Mask(b"key", NamePattern(r"(?P<date>\d{8})(?P<time>\d{6})"))
    assert named("20261124091500.wav", mask) == "20261124091500.wav"
    assert re.fullmatch(f"{HEX}-20261124091500.wav", named(f"{NUMBER}-20261124091500.wav", mask))


def test_the_same_number_has_the_same_mask_and_another_has_another() -> None:
    assert named(f"a-{NUMBER}.wav")[2:10] == named(f"b/{NUMBER}.mp3")[2:10] == MASK.text(NUMBER)
    assert len({MASK.text(f"08211234{k:03d}") for k in range(1000)}) == 1000
    assert MASK.text(NUMBER) != Mask(b"another key").text(NUMBER)


digits = st.text("0123456789", min_size=1, max_size=16)
words = st.one_of(digits, st.text("ab/_-. \udce9é", min_size=1, max_size=4))
names = st.lists(words, min_size=1, max_size=8).map("".join)


@given(names, st.binary(max_size=8))
@example("0821123456", b"")
def test_no_name_keeps_a_number(name: str, key: bytes) -> None:
    masked = Mask(key).identity(Identity(name, name))
    assert not re.search(r"\d{7}", masked.label + "\n" + masked.path)
    assert os.fsencode(masked.path).count(b"\xe9") == os.fsencode(name).count(b"\xe9")


@given(st.text("0123456789", min_size=7, max_size=20), st.binary(max_size=8))
def test_a_mask_is_eight_hex_digits_that_look_like_no_number(number: str, key: bytes) -> None:
    told = Mask(key).text(f"x{number}y")
    assert re.fullmatch(f"x{HEX}y", told)
    assert not re.search(r"\d{7}", told)


@given(names)
def test_what_is_short_stays_as_it_is(name: str) -> None:
    assume(not re.search(r"\d{7}", name))
    assert named(name) == name


@pytest.mark.parametrize("pattern", [PATTERN, r"(?P<date>\d{8})", r"(?P<date>\d{8})(?P<time>\d{6})", r"(?P<date>\d*)"])
@given(name=names)
@example(name="0821123456_20261124_091500")
@example(name="20150101_0821123456_20261124_091500")
@example(name="202611240821123456_20261124091500")
def test_nothing_but_a_real_date_and_time_is_kept_and_masking_twice_is_masking_once(pattern: str, name: str) -> None:
    mask = Mask(b"key", NamePattern(pattern))
    masked = named(name, mask)
    for run in re.findall(r"\d{7,}", masked):
        assert re.fullmatch(r"(19|20)\d\d(0[1-9]|1[012])([012]\d|3[01])(([01]\d|2[0-3])([0-5]\d){2})?", run)
        assert run in re.findall(r"\d+", name)
    assert named(masked, mask) == masked


# Whole runs.


def private_calls(folder: Path) -> Path:
    """Write calls with telephone numbers in folders, names and link targets."""
    a_call(folder / NUMBER / f"{NUMBER}_20261124_091500.wav")
    a_call(folder / f"in-{NUMBER}.wav", seed=1)
    a_call(folder / os.fsdecode(b"caf\xe9-0821123456.wav"), seed=2)
    (folder / f"{NUMBER}.mp3").write_bytes(b"no sound")
    (folder / f"{NUMBER}.txt").write_text("a note")
    (folder / f"link-{NUMBER}.wav").symlink_to(f"nowhere-{NUMBER}")
    (folder / f"{NUMBER}.wav.part").write_bytes(b"RIFF")
    return folder


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return private_calls(tmp_path / NUMBER / f"calls-{NUMBER}")


@pytest.fixture
def told(tmp_path: Path) -> Path:
    path = tmp_path / "metadata.csv"
    path.write_text(
        f"file,channel_1,customer,queue\nin-{NUMBER}.wav,caller {NUMBER},{NUMBER},sales {NUMBER}\n{NUMBER}.mp3,,x,y\n"
    )
    return path


def holding(output: Path, what: bytes) -> list[str]:
    """Return where a number occurs below an output folder: in names, files, parts of the workbook, and the ledger."""
    found = [str(path) for path in output.rglob("*") if what in os.fsencode(path.relative_to(output))]
    for path in output.rglob("*"):
        if path.is_file() and what in path.read_bytes():
            found.append(f"in {path}")
        if path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                found += [f"in {path}: {name}" for name in book.namelist() if what in book.read(name)]
    with closing(sqlite3.connect(output / FILE_NAME)) as ledger:
        found += [line for line in ledger.iterdump() if what.hex().upper() in line.upper()]
    return found


def shown(output: Path) -> set[str]:
    return {row["file"] for row in read_csv(output / "files.csv")}


def test_without_masking_the_search_finds_numbers(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", tmp_path / "out") == 1
    found = holding(tmp_path / "out", NUMBER.encode())
    assert len({re.sub(r".*/out/", "", line.partition(":")[0]) for line in found}) > 8


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_masked_run_leaves_a_number_nowhere(
    calls: Path, told: Path, tmp_path: Path, analyze: Analyze, log_format: str, capfd: pytest.CaptureFixture
) -> None:
    output, said = tmp_path / "out", tmp_path / "said"
    noisy = ["--log-file", said / "log", "--log-format", log_format, "--metrics-file", said / "metrics.prom", "-v"]
    options = ["--mask-names", "--name-pattern", PATTERN, "--metadata", told, "--checksum"]
    assert analyze(calls, "-o", output, *options, *noisy) == 1
    assert holding(output, NUMBER.encode()) == []
    assert all(NUMBER.encode() not in path.read_bytes() for path in said.iterdir())
    assert (said / "log").stat().st_size > 500
    assert NUMBER not in "".join(capfd.readouterr())
    assert analyze(calls, "-o", output, *options, "--dry-run") == 0
    assert NUMBER not in "".join(capfd.readouterr())


def test_a_masked_run_says_as_much_as_another(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, "--mask-names", "--name-pattern", PATTERN) == 1
    with closing(Ledger(output)) as ledger:
        mask = Mask(ledger.key()).text(NUMBER)
    files = {row["file"]: row for row in read_csv(output / "files.csv")}
    below = {name.removeprefix(f"calls-{mask}/"): row["status"] for name, row in files.items()}
    assert below == {
        f"{mask}/{mask}_20261124_091500.wav": "ok",
        f"in-{mask}.wav": "ok",
        rf"caf\xe9-{mask}.wav": "ok",
        f"{mask}.mp3": "failed",
        f"{mask}.txt": "skipped",
        f"link-{mask}.wav": "failed",
        f"{mask}.wav.part": "incomplete",
    }
    when = {row["recording"]: (row["recorded"], row["note"]) for row in read_csv(output / "recordings.csv")}
    assert when[f"calls-{mask}/{mask}/{mask}_20261124_091500.wav"] == (
        "2026-11-24 09:15:00",
        "recorded: from the name",
    )
    assert (output / "timelines" / f"calls-{mask}" / f"in-{mask}.wav.csv").is_file()


def test_a_date_in_a_common_form_is_recognised_where_it_is_masked(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / f"{NUMBER}_20261124-101307.wav")
    for _ in range(2):
        assert analyze(calls, "-o", output, "--mask-names", "--time-zone", "UTC") == 0
        (row,) = read_csv(output / "recordings.csv")
        assert re.fullmatch(f"calls/{HEX}_{HEX}-101307.wav", row["recording"])
        assert (row["recorded"], row["note"]) == ("2026-11-24 10:13:07", "recorded: from the name")


def test_each_output_folder_has_masks_of_its_own(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    for name in ("a", "b"):
        assert analyze(calls, "-o", tmp_path / name, "--mask-names") == 1
    assert not shown(tmp_path / "a") & shown(tmp_path / "b")


def test_a_second_masked_run_analyses_nothing(calls: Path, told: Path, tmp_path: Path, analyze: Analyze) -> None:
    output = tmp_path / "out"
    (calls / f"{NUMBER}.mp3").unlink()
    (calls / f"link-{NUMBER}.wav").unlink()
    for _ in range(2):
        assert analyze(calls, "-o", output, "--mask-names", "--metadata", told) == 0
        before = contents(output)
    assert analysed(output) == {}
    assert analyze(calls, "-o", output, "--mask-names") == 0
    assert analysed(output) == {}
    assert contents(output) == before


def test_masking_turned_on_later_renames_what_is_there(
    calls: Path, told: Path, tmp_path: Path, analyze: Analyze
) -> None:
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    gone = a_dialogue(calls / "gone" / f"{NUMBER}.wav")
    os.utime(gone, (MTIME, MTIME))
    options = ["--name-pattern", PATTERN, "--metadata", told]
    assert analyze(calls, "-o", output, *options) == 1
    gone.unlink()
    before = sorted(contents(output / "timelines").values())
    assert analyze(calls, "-o", output, *options, "--mask-names") == 1
    assert analysed(output) == {"failed": 1}
    assert holding(output, NUMBER.encode()) == []
    assert {path.name for path in (output / "timelines").iterdir()} == {next(iter(shown(output))).partition("/")[0]}
    # All timelines are moved unchanged, except the one in which a speaker role contains a number.
    assert len(set(before) & set(contents(output / "timelines").values())) == len(before) - 1
    with closing(Ledger(output)) as ledger, closing(Ledger(fresh)) as other:
        other.remember("key", ledger.key().decode())
    gone.parent.rmdir()
    a_dialogue(gone)
    os.utime(gone, (MTIME, MTIME))
    assert analyze(calls, "-o", fresh, *options, "--mask-names") == 1
    assert contents(output, "timelines/**/*.csv") == contents(fresh, "timelines/**/*.csv")
    assert contents(output, "recordings.csv") == contents(fresh, "recordings.csv")


def test_roles_of_recordings_that_are_gone_are_masked_too(tmp_path: Path, analyze: Analyze) -> None:
    calls, output, told = tmp_path / "calls", tmp_path / "out", tmp_path / "metadata.csv"
    a_dialogue(calls / "a.wav")
    told.write_text(f"file,channel_1,channel_2\na.wav,agent,{NUMBER}\n")
    assert analyze(calls, "-o", output, "--metadata", told) == 0
    (calls / "a.wav").unlink()
    a_call(calls / "b.wav")
    assert analyze(calls, "-o", output, "--mask-names") == 0
    assert holding(output, NUMBER.encode()) == []


@pytest.mark.parametrize(
    ("later", "words"),
    [
        ([], "--mask-names"),
        (["--mask-names"], "--name-pattern"),
        (["--mask-names", "--name-pattern", r"(?P<date>\d{6})"], "--name-pattern"),
    ],
)
def test_names_once_masked_are_masked_alike_for_good(
    calls: Path, tmp_path: Path, analyze: Analyze, later: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, "--mask-names", "--name-pattern", PATTERN) == 1
    before = contents(output)
    capsys.readouterr()
    for dry in ([], ["--dry-run"]):
        assert analyze(calls, "-o", output, *later, *dry) == 2
        said = capsys.readouterr().err
        assert words in said and "masked" in said and NUMBER not in said
    assert contents(output) == before


def test_numbers_in_metadata_are_masked_in_the_ledger(
    calls: Path, told: Path, tmp_path: Path, analyze: Analyze
) -> None:
    assert analyze(calls, "-o", tmp_path / "out", "--mask-names", "--metadata", told) == 1
    with closing(Ledger(tmp_path / "out")) as ledger:
        mask = Mask(ledger.key()).text(NUMBER)
        (entry,) = [entry for entry in ledger.entries() if entry.identity.path == f"in-{mask}.wav"]
    assert dict(entry.groups) == {"customer": mask, "queue": f"sales {mask}"}
    assert entry.told.groups == entry.groups
    assert {figures["speaker"] for figures in (entry.figures or {}).values()} == {f"caller {mask}"}


def test_metadata_may_name_recordings_as_masked_tables_do(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    output, told = tmp_path / "out", tmp_path / "metadata.csv"
    assert analyze(calls, "-o", output, "--mask-names") == 1
    (name,) = [file for file in shown(output) if "/in-" in file]
    told.write_text(f"file,recorded\n{name},2020-02-02\n")
    assert analyze(calls, "-o", output, "--mask-names", "--metadata", told) == 1
    (when,) = [row["recorded"] for row in read_csv(output / "recordings.csv") if row["recording"] == name]
    assert when == "2020-02-02"


@pytest.mark.parametrize(
    ("pattern", "deleted"),
    [
        (f"*{NUMBER}*", 7),
        (f"*/{NUMBER}_20261124_*", 1),
        ("*20261124*", 1),
        (f"*in-{NUMBER}.wav", 1),
        ("*0821999999*", 0),
    ],
)
def test_masked_names_are_found_by_their_numbers_and_their_dates(
    calls: Path, tmp_path: Path, analyze: Analyze, pattern: str, deleted: int, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, "--mask-names", "--name-pattern", PATTERN) == 1
    capsys.readouterr()
    assert main(["prune", "-o", str(output), "--match", pattern]) == 0
    assert len(shown(output)) == 7 - deleted
    assert NUMBER not in "".join(capsys.readouterr())


def test_what_was_pruned_before_masking_is_not_analysed_again(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / f"{NUMBER}.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    assert main(["prune", "-o", str(output), "--match", f"*{NUMBER}*"]) == 0
    assert analyze(calls, "-o", output, "--mask-names") == 0
    assert analysed(output) == {}


def test_a_dry_run_can_ask_what_masking_would_do(good_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / f"{NUMBER}.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    assert analyze(calls, "-o", output, "--mask-names", "--dry-run") == 0
