"""Names: any bytes of a file system become a unique file name, and text that harms no output."""

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from analyzer.names import LONGEST_NAME, Identity, file_name, show

part_bytes = st.binary(min_size=1, max_size=255).map(lambda content: content.replace(b"/", b"").replace(b"\0", b""))
texts = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80)
awkward = st.text(st.sampled_from("conCON.prn1 %\\x0aFF~\x01é\udcff\udce9=-"), min_size=1, max_size=12)
#: Names as os.listdir gives them: undecodable bytes as surrogates.
names = st.one_of(part_bytes.map(os.fsdecode), texts, awkward.map(lambda text: os.fsdecode(os.fsencode(text)))).filter(
    bool
)
paths = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join)
identities = st.builds(Identity, names.filter(lambda name: name not in (".", "..")), paths)

RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[1-9]|lpt[1-9])(\.|$)")


@settings(max_examples=300)
@given(names, names)
@example("a%41", "aA")
@example("\udcff", "%FF")
@example("x" * 201, "x" * 202)
@example("con", "%63on")
@example("a.", "a%2E")
def test_different_names_stay_different(first: str, second: str) -> None:
    assume(first != second)
    assert file_name(first) != file_name(second)


@settings(max_examples=300)
@given(names)
@example("nul.wav")
@example("..")
@example("ü" * 150)
@example("\udcff" * 255)
def test_file_names_are_valid_everywhere(name: str) -> None:
    result = file_name(name)
    assert result
    assert len(result.encode("utf-8")) <= LONGEST_NAME
    assert not set(result) & set('<>:"/\\|?*')
    assert not any(ord(character) < 32 or ord(character) == 127 for character in result)
    assert not result.endswith((".", " "))
    assert not RESERVED.match(result)


@given(st.text("abcXYZ019_äöü- 电", min_size=1, max_size=40))
def test_ordinary_names_are_kept(name: str) -> None:
    assert file_name(f"{name}.wav") == f"{name}.wav"


@given(identities)
def test_results_stay_below_their_folder(identity: Identity) -> None:
    target = identity.result_path(Path("/out/timelines"), ".csv")
    assert os.path.normpath(target) == str(target)
    assert target.is_relative_to("/out/timelines")
    assert len(target.relative_to("/out/timelines").parts) == 1 + len(identity.path.split("/"))


@pytest.mark.parametrize("path", ["../x.wav", "a/../../x.wav", "./x.wav", "..", "a/..\\..\\x.wav", "C:\\x.wav"])
def test_no_path_leaves_the_folder(path: str) -> None:
    target = Identity("..", path).result_path(Path("/out"), ".csv")
    assert Path(os.path.normpath(target)).is_relative_to("/out")
    assert ".." not in target.parts
    assert "\\" not in str(target)


@settings(max_examples=200)
@given(identities, identities)
def test_results_have_different_paths(first: Identity, second: Identity) -> None:
    assume(first != second)
    folder = Path("/out")
    assert first.result_path(folder, ".csv") != second.result_path(folder, ".csv")


def test_extensions_are_kept() -> None:
    assert Identity("calls", "day/a.wav").result_path(Path("/o"), ".csv") == Path("/o/calls/day/a.wav.csv")
    assert Identity("calls", "day/a.mp3").result_path(Path("/o"), ".csv") == Path("/o/calls/day/a.mp3.csv")


@settings(max_examples=300)
@given(names)
def test_shown_names_are_plain_text(name: str) -> None:
    shown = show(name)
    shown.encode("utf-8")
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb.wav", r"a\x0ab.wav"),
        ("caf\udce9.wav", r"caf\xe9.wav"),
        ("café.wav", "café.wav"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u2028b", r"a\u2028b"),
        ("a\x85b", r"a\x85b"),
        ("a\u202evaw.exe", r"a\u202evaw.exe"),
        ("שיחה.wav", "שיחה.wav"),
        ("=1+1 \"x\" 'y'", "=1+1 \"x\" 'y'"),
    ],
)
def test_bytes_and_controls_are_shown_as_hex(name: str, shown: str) -> None:
    assert show(name) == shown
    assert Identity("calls", name).shown == f"calls/{shown}"


@given(st.lists(identities, max_size=6))
def test_recordings_are_ordered_by_bytes(recordings: list[Identity]) -> None:
    ordered = sorted(recordings, key=lambda identity: identity.sort_key)
    assert [member.sort_key for member in ordered] == sorted(
        os.fsencode(member.label) + b"/" + os.fsencode(member.path) for member in recordings
    )
