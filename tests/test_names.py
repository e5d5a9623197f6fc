"""Names: any bytes of a file system become a unique file name, and text that harms no output."""

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from analyzer.names import LONGEST_NAME, Identity, file_name, show

part_bytes = st.binary(min_size=1, max_size=255).map(lambda b: b.replace(b"/", b"").replace(b"\0", b""))
texts = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80)
awkward = st.text(st.sampled_from("conCON.prn1 %\\x0aFF~\x01é\udcff\udce9=-"), min_size=1, max_size=12)
#: Names as os.listdir gives them: undecodable bytes as surrogates.
names = st.one_of(part_bytes.map(os.fsdecode), texts, awkward.map(lambda t: os.fsdecode(os.fsencode(t)))).filter(bool)
paths = st.lists(names.filter(lambda n: n not in (".", "..")), min_size=1, max_size=4).map("/".join)
identities = st.builds(Identity, names.filter(lambda n: n not in (".", "..")), paths)

RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[1-9]|lpt[1-9])(\.|$)")


@settings(max_examples=300)
@given(names, names)
@example("a%41", "aA")
@example("\udcff", "%FF")
@example("x" * 201, "x" * 202)
@example("con", "%63on")
@example("a.", "a%2E")
def test_different_names_stay_different(one: str, other: str) -> None:
    assume(one != other)
    assert file_name(one) != file_name(other)


@settings(max_examples=300)
@given(names)
@example("nul.wav")
@example("..")
@example("ü" * 150)
@example("\udcff" * 255)
def test_a_file_name_is_one_that_every_system_takes(name: str) -> None:
    found = file_name(name)
    assert found
    assert len(found.encode("utf-8")) <= LONGEST_NAME
    assert not set(found) & set('<>:"/\\|?*')
    assert not any(ord(c) < 32 or ord(c) == 127 for c in found)
    assert not found.endswith((".", " "))
    assert not RESERVED.match(found)


@given(st.text("abcXYZ019_äöü- 电", min_size=1, max_size=40))
def test_an_ordinary_name_stays_as_it_is(name: str) -> None:
    assert file_name(f"{name}.wav") == f"{name}.wav"


@given(identities)
def test_a_result_stays_below_its_folder(identity: Identity) -> None:
    found = identity.result_path(Path("/out/timelines"), ".csv")
    assert os.path.normpath(found) == str(found)
    assert found.is_relative_to("/out/timelines")
    assert len(found.relative_to("/out/timelines").parts) == 1 + len(identity.path.split("/"))


@pytest.mark.parametrize("path", ["../x.wav", "a/../../x.wav", "./x.wav", "..", "a/..\\..\\x.wav", "C:\\x.wav"])
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    found = Identity("..", path).result_path(Path("/out"), ".csv")
    assert Path(os.path.normpath(found)).is_relative_to("/out")
    assert ".." not in found.parts
    assert "\\" not in str(found)


@settings(max_examples=200)
@given(identities, identities)
def test_different_recordings_have_different_results(one: Identity, other: Identity) -> None:
    assume(one != other)
    folder = Path("/out")
    assert one.result_path(folder, ".csv") != other.result_path(folder, ".csv")


def test_the_extension_is_kept_so_that_a_wav_and_an_mp3_stay_apart() -> None:
    assert Identity("calls", "day/a.wav").result_path(Path("/o"), ".csv") == Path("/o/calls/day/a.wav.csv")
    assert Identity("calls", "day/a.mp3").result_path(Path("/o"), ".csv") == Path("/o/calls/day/a.mp3.csv")


@settings(max_examples=300)
@given(names)
def test_what_is_shown_is_text_without_control_characters(name: str) -> None:
    shown = show(name)
    shown.encode("utf-8")
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
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
def test_bytes_and_control_characters_are_shown_as_hex(name: str, shown: str) -> None:
    assert show(name) == shown
    assert Identity("calls", name).shown == f"calls/{shown}"


@given(st.lists(identities, max_size=6))
def test_recordings_are_ordered_by_the_bytes_of_label_and_path(some: list[Identity]) -> None:
    in_order = sorted(some, key=lambda identity: identity.sort_key)
    assert [i.sort_key for i in in_order] == sorted(os.fsencode(i.label) + b"/" + os.fsencode(i.path) for i in some)
