"""Masking of telephone numbers in names: equal numbers get equal masks, and dates stay."""

import os
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from analyzer.inputs.masking import Mask
from analyzer.inputs.name_pattern import NamePattern
from analyzer.names import Identity
from analyzer.store.formats import FORMATS
from analyzer.store.ledger import Ledger
from tests.helpers.leaks import leaks
from tests.helpers.pages import Parsed
from tests.helpers.runs import read_csv
from tests.helpers.telephone_numbers import NUMBER, PATTERN, private_calls
from tests.helpers.workspace import Workspace

MASK = Mask(b"key", NamePattern(PATTERN))
HEX = "[0-9a-f]{8}"
MASKED = ("--mask-names", "--name-pattern", PATTERN)


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
    masked = Mask(key).text(f"x{number}y")
    assert re.fullmatch(f"x{HEX}y", masked)
    assert not re.search(r"\d{7}", masked)


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


# Whole runs; see also test_privacy.py.


@pytest.fixture
def private(work: Workspace, tmp_path: Path) -> Workspace:
    return replace(work, calls=private_calls(tmp_path / NUMBER / f"calls-{NUMBER}"))


def details(private: Workspace) -> tuple[str, str]:
    row = f"in-{NUMBER}.wav,caller {NUMBER},{NUMBER},sales {NUMBER}"
    return private.metadata("file,channel_1,customer,queue", row, f"{NUMBER}.mp3,,x,y")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_and_terminal_show_no_number(private: Workspace, log_format: str, capfd: pytest.CaptureFixture) -> None:
    logs, options = private.output.parent / "logs", [*MASKED, *details(private), "--checksum"]
    noisy = ["--log-file", logs / "log", "--log-format", log_format, "--metrics-file", logs / "metrics.prom", "-v"]
    assert private(*options, *noisy) == 1
    assert leaks(private.output, NUMBER) == leaks(logs, NUMBER) == []
    assert (logs / "log").stat().st_size > 500
    assert private(*options, "--dry-run") == 0
    assert private.prune("--match", f"*{NUMBER}*") == 0
    assert NUMBER not in "".join(capfd.readouterr())


def test_masked_results_are_as_complete_as_others(private: Workspace) -> None:
    assert private(*MASKED, *details(private)) == 1
    with closing(Ledger(private.output)) as ledger:
        mask = Mask(ledger.key()).text(NUMBER)
        (entry,) = [entry for entry in ledger.entries() if entry.identity.path == f"in-{mask}.wav"]
    files = read_csv(private.output / "files.csv")
    assert {row["file"].removeprefix(f"calls-{mask}/"): row["status"] for row in files} == {
        f"{mask}/{mask}_20261124_091500.wav": "ok",
        f"in-{mask}.wav": "ok",
        rf"caf\xe9-{mask}.wav": "ok",
        f"{mask}.mp3": "failed",
        f"{mask}.txt": "skipped",
        f"link-{mask}.wav": "failed",
        f"{mask}.wav.part": "incomplete",
    }
    rows = {row["recording"]: (row["recorded"], row["note"]) for row in read_csv(private.output / "recordings.csv")}
    dated = f"calls-{mask}/{mask}/{mask}_20261124_091500.wav"
    assert rows[dated] == ("2026-11-24 09:15:00", "recorded: from the name")
    assert (private.output / "timelines" / f"calls-{mask}" / f"in-{mask}.wav.csv").is_file()
    assert entry.groups == entry.metadata.groups == {"customer": mask, "queue": f"sales {mask}"}
    assert {channel.speaker for channel in (entry.statistics or {}).values()} == {f"caller {mask}"}


def test_a_date_in_a_common_form_is_recognised_where_it_is_masked(work: Workspace) -> None:
    work.write_calls(f"{NUMBER}_20261124-101307.wav")
    for _ in range(2):
        assert work("--mask-names", "--time-zone", "UTC") == 0
        (row,) = read_csv(work.output / "recordings.csv")
        assert re.fullmatch(f"calls/{HEX}_{HEX}-101307.wav", row["recording"])
        assert (row["recorded"], row["note"]) == ("2026-11-24 10:13:07", "recorded: from the name")


def test_each_output_folder_has_its_own_masks(private: Workspace) -> None:
    other = private.beside("other")
    assert private("--mask-names") == other("--mask-names") == 1
    assert not {*private.files()} & {*other.files()}


def test_a_second_masked_run_analyses_nothing(private: Workspace) -> None:
    (private.calls / f"{NUMBER}.mp3").unlink()
    (private.calls / f"link-{NUMBER}.wav").unlink()
    assert private("--mask-names", *details(private)) == 0
    before = private.contents()
    for options in (details(private), ()):
        assert private("--mask-names", *options) == 0
        assert private.analysed() == {}
        assert private.contents() == before


def test_later_runs_must_mask_in_the_same_way(private: Workspace, capsys: pytest.CaptureFixture) -> None:
    assert private(*MASKED) == 1
    before = private.contents()
    capsys.readouterr()
    for later in ((), MASKED[:1], (*MASKED[:2], r"(?P<date>\d{6})")):
        for dry in ((), ("--dry-run",)):
            assert private(*later, *dry) == 2
            message = capsys.readouterr().err
            assert ("--name-pattern" if later else "--mask-names") in message
            assert "masked" in message and NUMBER not in message
    assert private.contents() == before


def test_metadata_may_name_recordings_as_masked_tables_do(private: Workspace) -> None:
    assert private("--mask-names") == 1
    (name,) = [file for file in private.files() if "/in-" in file]
    assert private("--mask-names", *private.metadata("file,recorded", f"{name},2020-02-02")) == 1
    rows = {row["recording"]: row["recorded"] for row in read_csv(private.output / "recordings.csv")}
    assert rows[name] == "2020-02-02"


def test_masked_names_are_found_by_their_numbers_and_their_dates(
    private: Workspace, capsys: pytest.CaptureFixture
) -> None:
    assert private(*MASKED) == 1
    found = {"*0821999999*": 0, f"*in-{NUMBER}.wav": 1, f"*/{NUMBER}_20261124_*": 1, "*20261124*": 1, f"*{NUMBER}*": 7}
    for pattern, count in found.items():
        assert private.prune("--match", pattern, "--dry-run") == 0
        assert f"would delete the results of {count} recordings" in capsys.readouterr().out


def test_recordings_pruned_before_masking_are_not_analysed_again(work: Workspace) -> None:
    work.write_calls(f"{NUMBER}.wav")
    assert work() == work.prune("--match", f"*{NUMBER}*") == 0
    assert work("--mask-names", "--dry-run") == 0
    assert work("--mask-names") == 0
    assert work.analysed() == {}


def test_a_number_in_a_folder_above_the_input_is_masked_too(work: Workspace, tmp_path: Path) -> None:
    """Links in pages contain the path, even if neither the label nor the names of recordings have the number."""
    above = replace(work, calls=tmp_path / NUMBER / "x")
    above.write_calls("a.wav")
    labelled = replace(above, calls=f"calls={above.calls}")
    assert labelled("--format", ",".join(FORMATS)) == 0
    assert leaks(work.output / "html", NUMBER)
    assert labelled("--format", ",".join(FORMATS), "--mask-names") == 0
    assert leaks(work.output, NUMBER) == []


@pytest.mark.parametrize("masked_from", [1, 2])
@pytest.mark.parametrize("embed", [[], ["--embed-audio"]])
def test_a_masked_page_has_no_audio_and_no_link_to_it(work: Workspace, masked_from: int, embed: list[str]) -> None:
    work.write_calls("a.wav")
    for run in (1, 2):
        assert work("--format", "html", *embed, *(["--mask-names"] if run >= masked_from else [])) == 0
    (page,) = work.output.glob("html/calls/*")
    assert not re.search("<audio|src=|data:audio/ogg|/calls/", page.read_text(encoding="utf-8"))
    assert "names are masked" in Parsed(page).text
