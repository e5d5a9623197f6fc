"""Matching of metadata rows to recordings."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.inputs.discovery import Input
from analyzer.inputs.masking import Mask
from analyzer.inputs.matching import Rows, match_rows
from analyzer.names import Identity
from tests.helpers.metadata import metadata
from tests.helpers.runs import Analyze, a_call, read_csv

CALLS = Input("calls", Path("/srv/calls"))


def match(names: list[str], *paths: str, source: Input = CALLS) -> Rows:
    identities = [Identity(source.label, path) for path in paths]
    return match_rows(names, [(identity, identity, source) for identity in identities])


def matched_path(name: str, *paths: str, source: Input = CALLS) -> str | None:
    """Return the path that a row matches, `as it is` if its name is exactly that of a recording, or None."""
    result = match([name], *paths, source=source)
    return next((identity.path for identity in result.matched), "as it is" if result.used else None)


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
def test_equivalent_names_match(name: str) -> None:
    assert matched_path(name, "2026/Müller.wav", "2026/other.wav", "notes.txt") == "2026/Müller.wav"


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
def test_names_of_other_files_do_not_match(name: str) -> None:
    result = match([name], "2026/Müller.wav", "2026/other.wav")
    assert (result.matched, result.used, result.unmatched) == ({}, {}, [name])


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
def test_ambiguous_name_matches_nothing(name: str, paths: list[str]) -> None:
    result = match([name], *paths)
    assert (result.matched, result.ambiguous, result.unmatched) == ({}, [name], [])


def test_two_rows_for_one_recording_match_nothing() -> None:
    result = match(["A.WAV", "a"], "a.wav")
    assert (result.matched, sorted(result.ambiguous)) == ({}, ["A.WAV", "a"])


def test_exact_name_takes_precedence() -> None:
    result = match(["A.WAV", "a.wav"], "a.wav")
    assert (result.used, result.matched, result.ambiguous) == ({"a.wav": 1}, {}, ["A.WAV"])


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
def test_nearest_name_matches(name: str, paths: list[str], expected: str) -> None:
    assert matched_path(name, *paths) == expected


def test_bare_name_counts_for_each_recording() -> None:
    result = match(["0001.wav", "b.wav"], "monday/0001.wav", "tuesday/0001.wav", "b.wav")
    assert (result.used, result.of_several) == ({"0001.wav": 2, "b.wav": 1}, ["0001.wav"])


def test_folder_name_matches_besides_label(tmp_path: Path) -> None:
    source = Input("berlin", Path("/srv/Anrufe"), label_given=True)
    for name in ("Anrufe/a.wav", "berlin\\a.wav", "/srv/anrufe/a.wav", "E:\\Anrufe\\a.wav"):
        assert matched_path(name, "a.wav", source=source) == "a.wav"
    (tmp_path / "link").symlink_to(tmp_path)
    source = Input("link", tmp_path / "link")
    for folder in (tmp_path, tmp_path / "link"):
        assert matched_path(f"{folder}/a.wav", "a.wav", source=source) == "a.wav"


def test_addresses_match() -> None:
    source = Input("calls", "s3://bucket/2026/calls")
    for name in ("s3://bucket/2026/calls/x/a.wav", "S3://bucket/2026/calls/x/a", "calls/x/A.wav"):
        assert matched_path(name, "x/a.wav", source=source) == "x/a.wav"
    assert matched_path("s3://other/2026/calls/x/a.wav", "x/a.wav", source=source) is None


parts = st.text("aAbBüÜ. _-1", min_size=1, max_size=5).filter(lambda part: part.strip() == part and part.strip("."))
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


@given(paths, st.sets(paths, max_size=5))
def test_windows_name_in_capitals_matches(path: str, others: set[str]) -> None:
    name = unicodedata.normalize("NFD", f"D:\\calls\\{path}.wav".replace("/", "\\").upper())
    result = match([name], *{f"{other}.wav" for other in {path, *others}})
    assert result.unmatched == []
    assert all(identity.path.upper() == f"{path}.wav".upper() for identity in result.matched)


@given(st.lists(paths, max_size=6, unique=True), st.lists(paths, max_size=6, unique=True))
def test_order_of_rows_does_not_matter(names: list[str], files: list[str]) -> None:
    result, reversed_result = match(names, *files), match(names[::-1], *files[::-1])
    assert sorted([*result.used, *result.matched.values(), *result.ambiguous, *result.unmatched]) == sorted(names)
    assert (result.used, result.matched) == (reversed_result.used, reversed_result.matched)
    assert sorted(result.ambiguous) == sorted(reversed_result.ambiguous)


# Complete runs.


def speakers(output: Path) -> dict[str, str]:
    return {row["recording"]: row["speaker"] for row in read_csv(output / "recordings.csv")}


def test_matched_row_is_kept(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / "2026" / unicodedata.normalize("NFD", "Müller.wav"))
    metadata_file = metadata(tmp_path, "file;channel_1", "2026\\MÜLLER;agent")
    assert analyze(calls, "-o", output, "--metadata", metadata_file) == 0
    assert list(speakers(output).values()) == ["agent"]
    assert analyze(calls, "-o", output) == 0
    assert list(speakers(output).values()) == ["agent"]


def test_unmatched_rows_are_listed(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    deleted = a_call(calls / "gone.wav", seed=1)
    metadata_file = metadata(
        tmp_path, "file,queue", "a.wav,x", "gone.wav,x", *(f"elsewhere/{number}.wav,x" for number in range(7))
    )
    message = (
        "--metadata: 7 of 9 rows match no recording: elsewhere/0.wav, elsewhere/1.wav, elsewhere/2.wav, "
        "elsewhere/3.wav, elsewhere/4.wav and 2 more\n"
    )
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--metadata", metadata_file) == 0
    assert capsys.readouterr().err == message
    deleted.unlink()  # rows of recordings that earlier runs have seen are not reported
    for dry_run in ([], ["--dry-run"]):
        assert analyze(calls, "-o", tmp_path / "out", "-q", "--metadata", metadata_file, *dry_run) == 0
        assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file"], "the file has no rows"),
        (["file,queue", "A,x"], "1 of 1 rows may mean several recordings, or one that another row means, too"),
        (["file,queue", "0001.wav,x"], "1 of 1 rows are about several recordings each"),
    ],
)
def test_ineffective_rows_are_reported(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], lines: list[str], message: str
) -> None:
    for name in ("a.wav", "x/a.wav", "x/0001.wav", "y/0001.wav"):
        a_call(tmp_path / "calls" / name)
    metadata_file = metadata(tmp_path, *lines)
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "-q", "--metadata", metadata_file) == 0
    assert message in capsys.readouterr().err


def test_rows_match_masked_names_and_stay_hidden(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, output, number = tmp_path / "calls", tmp_path / "out", "0821123456"
    a_call(calls / "in" / f"{number}-a.wav")
    deleted = a_call(calls / "in" / f"{number}-gone.wav", seed=1)
    metadata_file = metadata(
        tmp_path, "file,channel_1", f"IN\\{number}-A.WAV,agent", f"in/{number}-gone.wav,agent", f"x/{number}.wav,agent"
    )
    for _ in range(2):
        assert analyze(calls, "-o", output, "-q", "--mask-names", "--metadata", metadata_file) == 0
        message = capsys.readouterr().err
        assert "--metadata: 1 of 3 rows match no recording: x/" in message
        assert number not in message
        assert set(speakers(output).values()) == {"agent"}
        deleted.unlink(missing_ok=True)


def test_masked_name_matches_exactly() -> None:
    mask, identity = Mask(b"key"), Identity("calls", "0821123456.wav")
    masked = mask.identity(identity)
    result = match_rows([masked.path, "other"], [(identity, masked, CALLS)])
    assert (result.used, result.unmatched) == ({masked.path: 1}, ["other"])


def test_undecodable_name_matches_as_shown() -> None:
    identity = Identity("calls", os.fsdecode(b"caf\xe9.wav"))
    result = match_rows([identity.shown], [(identity, identity, CALLS)])
    assert result.used == {identity.shown: 1}
