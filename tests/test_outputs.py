"""Results are complete or absent, and harmless in spreadsheets."""

import csv
import os
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS
from analyzer.errors import CannotWork
from analyzer.labels import Labelling
from analyzer.outputs import TIMELINE_COLUMNS, harmless, number, replacing, write_csv, write_text, write_timeline
from analyzer.timeline import Row

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
shown = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)


def test_a_file_is_there_whole_with_the_folders_above_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "süß\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "süß\n".encode()
    assert os.listdir(tmp_path / "a" / "b") == ["c.txt"]


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.csv"
    write_text(path, "old")
    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(CannotWork, match="No space left on device") as caught:
        write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWork, match="cannot be written"):
        write_text(tmp_path / "file" / "a.csv", "new")


def test_a_result_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.csv", "new")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o640


def test_a_reader_of_the_old_file_never_meets_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_text(path, "old")
    with open(path) as reader:
        write_text(path, "new")
        assert reader.read() == "old"


@given(st.lists(st.tuples(shown, shown), max_size=5))
def test_a_table_reads_back_as_it_was_written(rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        write_csv(path, ("one", "two"), rows)
        with open(path, encoding="utf-8", newline="") as handle:
            found = list(csv.reader(handle))
    assert found == [["one", "two"], *map(list, rows)]


def test_lines_end_in_a_line_feed(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("a", "b"), [(1, "x"), ("", 'say "x"')])
    assert (tmp_path / "a.csv").read_bytes() == b'a,b\n1,x\n,"say ""x"""\n'


@given(texts)
def test_no_text_starts_a_formula(text: str) -> None:
    made = harmless(text)
    assert not made.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert made in (text, "'" + text)


@pytest.mark.parametrize("text", ["=1+1", "+49 30", "-x", "@SUM(A1)", "\tx", "\rx"])
def test_what_would_start_a_formula_gets_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (None, 3, ""),
        (0, 3, "0.000"),
        (1.23456, 3, "1.235"),
        (-20.04, 1, "-20.0"),
        (2.0, 0, "2"),
        (1e9, 0, "1000000000"),
    ],
)
def test_numbers_have_a_fixed_count_of_decimals(value: float | None, decimals: int, text: str) -> None:
    assert number(value, decimals) == text


def test_a_timeline_has_the_columns_of_the_design_in_its_decimals(tmp_path: Path) -> None:
    probabilities = (0.05, 0.05, 0.1, 0.1, 0.5, 0.1, 0.05, 0.05)
    write_timeline(tmp_path / "t.csv", [Row(0.5, 2.25, 2, "angry", probabilities, -23.4)], ("channel 1", "channel 2"))
    header, line = (tmp_path / "t.csv").read_text().splitlines()
    assert header == (
        "start,end,channel,speaker,emotion,confidence,neutral,calm,happy,sad,angry,fearful,disgust,surprised,level_db"
    )
    assert line == (
        "0.500,2.250,2,channel 2,angry,0.5000,0.0500,0.0500,0.1000,0.1000,0.5000,0.1000,0.0500,0.0500,-23.4"
    )
    assert TIMELINE_COLUMNS[6:14] == EMOTIONS


def test_a_timeline_of_nothing_is_a_header(tmp_path: Path) -> None:
    write_timeline(tmp_path / "t.csv", [], ())
    assert (tmp_path / "t.csv").read_text() == ",".join(TIMELINE_COLUMNS) + "\n"


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda p: sum(p) > 0))
def test_the_probabilities_of_a_line_sum_to_one(tmp_path_factory: pytest.TempPathFactory, raw: list[float]) -> None:
    from analyzer.speech import Segment
    from analyzer.timeline import row

    path = tmp_path_factory.getbasetemp() / "sums.csv"
    shares = np.array(raw) / sum(raw)
    write_timeline(
        path, [row(Segment(0, 1, np.ones(8000, np.float32), True), 1, shares, Labelling(0.5, 0.4))], ("channel 1",)
    )
    with open(path, newline="") as handle:
        (line,) = csv.DictReader(handle)
    assert abs(sum(float(line[emotion]) for emotion in EMOTIONS) - 1) <= 0.0005
    assert line["confidence"] == max(line[emotion] for emotion in EMOTIONS)
