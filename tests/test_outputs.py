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
from analyzer.model.labels import Labelling
from analyzer.store.outputs import (
    TIMELINE_COLUMNS,
    atomic_write,
    escape_formula,
    number,
    write_csv,
    write_text,
    write_timeline,
)
from analyzer.timeline.timeline import Row

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)


def test_file_and_its_folders_are_created(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "süß\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "süß\n".encode()
    assert os.listdir(tmp_path / "a" / "b") == ["c.txt"]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half of the ne")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def raise_no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.csv"
    write_text(path, "old")
    monkeypatch.setattr(os, step, raise_no_space)
    with pytest.raises(CannotWork, match="No space left on device") as caught:
        write_text(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.csv"]


def test_unwritable_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWork, match="cannot be written"):
        write_text(tmp_path / "file" / "a.csv", "new")


def test_umask_sets_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.csv", "new")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o640


def test_open_reader_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_text(path, "old")
    with open(path) as reader:
        write_text(path, "new")
        assert reader.read() == "old"


@given(st.lists(st.tuples(printable, printable), max_size=5))
def test_table_survives_a_round_trip(rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        write_csv(path, ("one", "two"), rows)
        with open(path, encoding="utf-8", newline="") as handle:
            table = list(csv.reader(handle))
    assert table == [["one", "two"], *map(list, rows)]


def test_lines_end_in_a_line_feed(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("a", "b"), [(1, "x"), ("", 'say "x"')])
    assert (tmp_path / "a.csv").read_bytes() == b'a,b\n1,x\n,"say ""x"""\n'


@given(texts)
def test_no_text_starts_a_formula(text: str) -> None:
    escaped = escape_formula(text)
    assert not escaped.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert escaped in (text, "'" + text)


@pytest.mark.parametrize("text", ["=1+1", "+49 30", "-x", "@SUM(A1)", "\tx", "\rx"])
def test_formula_gets_an_apostrophe(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


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
def test_numbers_have_fixed_decimals(value: float | None, decimals: int, text: str) -> None:
    assert number(value, decimals) == text


def test_timeline_columns_and_decimals(tmp_path: Path) -> None:
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


def test_empty_timeline_is_a_header(tmp_path: Path) -> None:
    write_timeline(tmp_path / "t.csv", [], ())
    assert (tmp_path / "t.csv").read_text() == ",".join(TIMELINE_COLUMNS) + "\n"


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda p: sum(p) > 0))
def test_probabilities_of_a_line_sum_to_one(tmp_path_factory: pytest.TempPathFactory, raw: list[float]) -> None:
    from analyzer.speech.detector import Segment
    from analyzer.timeline.timeline import row

    path = tmp_path_factory.getbasetemp() / "sums.csv"
    shares = np.array(raw) / sum(raw)
    write_timeline(
        path, [row(Segment(0, 1, np.ones(8000, np.float32), True), 1, shares, Labelling(0.5, 0.4))], ("channel 1",)
    )
    with open(path, newline="") as handle:
        (line,) = csv.DictReader(handle)
    assert abs(sum(float(line[emotion]) for emotion in EMOTIONS) - 1) <= 0.0005
    assert line["confidence"] == max(line[emotion] for emotion in EMOTIONS)
