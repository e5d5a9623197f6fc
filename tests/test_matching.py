"""Matching of metadata rows to recordings."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.discovery import Input
from analyzer.masking import Mask
from analyzer.matching import Rows, match_rows
from analyzer.names import Identity
from tests.nights import Analyze, a_call, read_csv
from tests.test_metadata import metadata

CALLS = Input("calls", Path("/srv/calls"))


def rows(names: list[str], *paths: str, source: Input = CALLS) -> Rows:
    found = [Identity(source.label, path) for path in paths]
    return match_rows(names, [(identity, identity, source) for identity in found])


def meant(name: str, *paths: str, source: Input = CALLS) -> str | None:
    """Return the path that a row matches, or `as it is` if its name equals that of a recording, or None."""
    found = rows([name], *paths, source=source)
    return next((identity.path for identity in found.matched), "as it is" if found.used else None)


@pytest.mark.parametrize(
    "name",
    [
        "2026\\Müller.wav",
        ".\\2026\\Müller.wav",
        "./2026/Müller.wav",
        "2026//Müller.wav",
        "2026/./Müller.wav",
        unicodedata.normalize("NFD", "2026/Müller.wav"),
        unicodedata.normalize("NFD", "Müller.wav"),
        "2026/MÜLLER.WAV",
        "müller.wav",
        "2026/Müller",
        "Müller",
        "MÜLLER",
        "calls\\2026\\Müller.wav",
        "CALLS/2026/müller",
        "/srv/calls/2026/Müller.wav",
        "/srv/calls/2026/Müller",
        "/SRV/Calls/2026/müller.wav",
        "file:///srv/calls/2026/M%C3%BCller.wav",
        "file://localhost/srv/calls/2026/Müller.wav",
        "D:\\backup\\calls\\2026\\Müller.wav",
        "\\\\server\\share\\calls\\2026\\Müller.wav",
        "file:///D:/calls/2026/M%C3%BCller.wav",
    ],
)
def test_what_plainly_is_the_same_file_is_found(name: str) -> None:
    assert meant(name, "2026/Müller.wav", "2026/other.wav", "notes.txt") == "2026/Müller.wav"


@pytest.mark.parametrize(
    "name",
    [
        "elsewhere/Müller.wav",
        "/elsewhere/Müller.wav",
        "/elsewhere/2026/Müller.wav",
        "Müller.mp3",
        "Muller.wav",
        "2027/Müller.wav",
        "Müll",
        "",
        ".",
        "/",
        "calls",
        "calls/2026",
    ],
)
def test_what_may_be_another_file_is_not_found(name: str) -> None:
    found = rows([name], "2026/Müller.wav", "2026/other.wav")
    assert (found.matched, found.used, found.unmatched) == ({}, {}, [name])


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("A.WAV", ["a.wav", "A.wav"]),
        ("a", ["a.wav", "a.mp3"]),
        ("x\\a", ["x/a.wav", "x/a.mp3"]),
        ("A.wav", ["2026/a.wav", "2027/a.wav"]),
        ("A", ["2026/a.wav", "2027/a.wav"]),
        ("A.wav", ["a.wav", "2027/a.wav"]),
        ("calls/A.wav", ["a.wav", "calls/a.wav"]),
    ],
)
def test_a_row_that_may_mean_several_recordings_means_none(name: str, paths: list[str]) -> None:
    found = rows([name], *paths)
    assert (found.matched, found.ambiguous, found.unmatched) == ({}, [name], [])


def test_two_rows_that_mean_one_recording_mean_none() -> None:
    found = rows(["A.WAV", "a"], "a.wav")
    assert (found.matched, sorted(found.ambiguous)) == ({}, ["A.WAV", "a"])


def test_the_name_as_it_is_always_wins() -> None:
    found = rows(["A.WAV", "a.wav"], "a.wav")
    assert (found.used, found.matched, found.ambiguous) == ({"a.wav": 1}, {}, ["A.WAV"])


@pytest.mark.parametrize(
    ("name", "paths", "expected"),
    [
        (".\\a.wav", ["A.wav", "a.wav"], "a.wav"),  # the same case takes precedence
        ("A", ["A.wav", "a.wav"], "A.wav"),
        ("/srv/calls/A.wav", ["a.wav", "srv/calls/a.wav"], "a.wav"),  # an absolute path is not taken as relative
        ("a", ["a", "a.wav"], "as it is"),
        ("call.1", ["call.1.wav", "call.wav"], "call.1.wav"),
        ("notes", ["notes.txt", "notes.wav"], "notes.wav"),  # only a recording's extension may be omitted
    ],
)
def test_the_nearest_name_is_meant(name: str, paths: list[str], expected: str) -> None:
    assert meant(name, *paths) == expected


def test_a_bare_name_of_several_recordings_is_counted_for_each() -> None:
    found = rows(["0001.wav", "b.wav"], "monday/0001.wav", "tuesday/0001.wav", "b.wav")
    assert (found.used, found.of_several) == ({"0001.wav": 2, "b.wav": 1}, ["0001.wav"])


def test_the_folder_is_known_by_its_name_where_it_has_a_label(tmp_path: Path) -> None:
    source = Input("berlin", Path("/srv/Anrufe"), said=True)
    for name in ("Anrufe/a.wav", "berlin\\a.wav", "/srv/anrufe/a.wav", "E:\\Anrufe\\a.wav"):
        assert meant(name, "a.wav", source=source) == "a.wav"
    (tmp_path / "link").symlink_to(tmp_path)
    source = Input("link", tmp_path / "link")
    for folder in (tmp_path, tmp_path / "link"):
        assert meant(f"{folder}/a.wav", "a.wav", source=source) == "a.wav"


def test_an_address_names_a_recording_in_object_storage() -> None:
    source = Input("calls", "s3://bucket/2026/calls")
    for name in ("s3://bucket/2026/calls/x/a.wav", "S3://bucket/2026/calls/x/a", "calls/x/A.wav"):
        assert meant(name, "x/a.wav", source=source) == "x/a.wav"
    assert meant("s3://other/2026/calls/x/a.wav", "x/a.wav", source=source) is None


parts = st.text("aAbBüÜ. _-1", min_size=1, max_size=5).filter(lambda part: part.strip() == part and part.strip("."))
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@given(paths, st.sets(paths, max_size=5))
def test_a_row_for_windows_in_capitals_is_found_or_is_not_clear(path: str, others: set[str]) -> None:
    name = unicodedata.normalize("NFD", f"D:\\calls\\{path}.wav".replace("/", "\\").upper())
    found = rows([name], *{f"{one}.wav" for one in {path, *others}})
    assert found.unmatched == []
    assert all(identity.path.upper() == f"{path}.wav".upper() for identity in found.matched)


@given(st.lists(paths, max_size=6, unique=True), st.lists(paths, max_size=6, unique=True))
def test_every_row_is_used_matched_ambiguous_or_unmatched_whatever_the_order(
    names: list[str], files: list[str]
) -> None:
    found, again = rows(names, *files), rows(names[::-1], *files[::-1])
    assert sorted([*found.used, *found.matched.values(), *found.ambiguous, *found.unmatched]) == sorted(names)
    assert (found.used, found.matched) == (again.used, again.matched)
    assert sorted(found.ambiguous) == sorted(again.ambiguous)


# Whole runs.


def speakers(output: Path) -> dict[str, str]:
    return {row["recording"]: row["speaker"] for row in read_csv(output / "recordings.csv")}


def test_a_row_that_plainly_means_a_recording_counts_for_it_and_is_kept(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / "2026" / unicodedata.normalize("NFD", "Müller.wav"))
    told = metadata(tmp_path, "file;channel_1", "2026\\MÜLLER;agent")
    assert analyze(calls, "-o", output, "--metadata", told) == 0
    assert list(speakers(output).values()) == ["agent"]
    assert analyze(calls, "-o", output) == 0
    assert list(speakers(output).values()) == ["agent"]


def test_rows_without_a_recording_are_counted_and_named_also_in_a_quiet_run(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    gone = a_call(calls / "gone.wav", seed=1)
    told = metadata(tmp_path, "file,queue", "a.wav,x", "gone.wav,x", *(f"elsewhere/{k}.wav,x" for k in range(7)))
    said = (
        "--metadata: 7 of 9 rows match no recording: elsewhere/0.wav, elsewhere/1.wav, elsewhere/2.wav, "
        "elsewhere/3.wav, elsewhere/4.wav and 2 more\n"
    )
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--metadata", told) == 0
    assert capsys.readouterr().err == said
    gone.unlink()  # rows of recordings that earlier runs have seen are not reported
    for dry in ([], ["--dry-run"]):
        assert analyze(calls, "-o", tmp_path / "out", "-q", "--metadata", told, *dry) == 0
        assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["file"], "the file has no rows"),
        (["file,queue", "A,x"], "1 of 1 rows may mean several recordings, or one that another row means, too"),
        (["file,queue", "0001.wav,x"], "1 of 1 rows are about several recordings each"),
    ],
)
def test_rows_that_do_not_do_what_is_meant_are_named(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], lines: list[str], said: str
) -> None:
    for name in ("a.wav", "x/a.wav", "x/0001.wav", "y/0001.wav"):
        a_call(tmp_path / "calls" / name)
    told = metadata(tmp_path, *lines)
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-q", "--metadata", told) == 0
    assert said in capsys.readouterr().err


def test_masked_names_are_matched_by_their_numbers_and_not_shown(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, output, number = tmp_path / "calls", tmp_path / "out", "0821123456"
    a_call(calls / "in" / f"{number}-a.wav")
    gone = a_call(calls / "in" / f"{number}-gone.wav", seed=1)
    told = metadata(
        tmp_path, "file,channel_1", f"IN\\{number}-A.WAV,agent", f"in/{number}-gone.wav,agent", f"x/{number}.wav,agent"
    )
    for _ in range(2):
        assert analyze(calls, "-o", output, "-q", "--mask-names", "--metadata", told) == 0
        said = capsys.readouterr().err
        assert "--metadata: 1 of 3 rows match no recording: x/" in said
        assert number not in said
        assert set(speakers(output).values()) == {"agent"}
        gone.unlink(missing_ok=True)


def test_masked_and_real_names_are_both_exact() -> None:
    mask, identity = Mask(b"key"), Identity("calls", "0821123456.wav")
    called = mask.identity(identity)
    found = match_rows([called.path, "other"], [(identity, called, CALLS)])
    assert (found.used, found.unmatched) == ({called.path: 1}, ["other"])


def test_bytes_that_are_no_text_match_as_tables_show_them() -> None:
    identity = Identity("calls", os.fsdecode(b"caf\xe9.wav"))
    found = match_rows([identity.shown], [(identity, identity, CALLS)])
    assert found.used == {identity.shown: 1}
