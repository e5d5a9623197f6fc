"""Discovery of files, and their stable names."""

import os
from pathlib import Path

import pytest

from analyzer.discovery import Found, Input, looks_like_audio, parse_inputs, walk
from analyzer.errors import UnreadableRecording, UsageError
from analyzer.names import Identity
from tests import voices
from tests.encoders import write_wav

NOWHERE = Path("/nowhere")


def found_below(folder: Path, output: Path = NOWHERE, follow_links: bool = False) -> dict[str, Found]:
    """Return the files that a walk finds, by path below the folder."""
    (source,) = parse_inputs([str(folder)])
    return {found.identity.path: found for found in walk(source, output, follow_links)}


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def test_a_recording_is_called_by_its_folder_and_its_path_below(calls: Path) -> None:
    path = write_wav(calls / "monday" / "0001.wav", voices.speech(0.1))
    (found,) = found_below(calls).values()
    assert found.identity == Identity("calls", "monday/0001.wav")
    assert (found.path, found.size, found.mtime_ns) == (path, path.stat().st_size, path.stat().st_mtime_ns)
    assert found.named_as_recording
    assert not found.problem


def test_a_single_file_is_called_by_its_folder(calls: Path) -> None:
    path = write_wav(calls / "0001.wav", voices.speech(0.1))
    write_wav(calls / "0002.wav", voices.speech(0.1))
    assert parse_inputs([str(path)]) == [Input("calls", calls, "0001.wav")]
    assert [found.identity for found in walk(parse_inputs([str(path)])[0], NOWHERE)] == [Identity("calls", "0001.wav")]


def test_files_come_in_the_order_of_their_bytes(calls: Path) -> None:
    names = ["b.wav", "B.wav", "a b.wav", "ä.wav", os.fsdecode(b"\xff.wav"), "10.wav", "9.wav", "-.wav", "=1.wav"]
    for name in names:
        (calls / name).touch()
    assert list(found_below(calls)) == sorted(names, key=os.fsencode)


def test_a_relative_path_is_called_as_an_absolute_one(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absolute = parse_inputs([str(calls)])
    monkeypatch.chdir(calls)
    assert parse_inputs(["."]) == absolute
    assert parse_inputs([str(calls) + "/"]) == parse_inputs(["../calls"]) == absolute


def test_the_same_input_twice_is_one_input(calls: Path) -> None:
    assert len(parse_inputs([str(calls), str(calls) + "/", f"{calls}/../calls"])) == 1


def test_a_file_named_beside_its_folder_is_the_same_recording(calls: Path) -> None:
    write_wav(calls / "a.wav", voices.speech(0.1))
    assert len(parse_inputs([str(calls), str(calls / "a.wav")])) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("calls", "calls/2026"),
        ("calls", "x=calls/2026"),
        ("all=calls", "calls/2026/a.wav"),
        ("calls", "calls/2026/a.wav"),
        ("calls", "x=calls/b.wav"),
        ("calls", "link"),
        ("link/2026", "calls"),
        ("calls/2026", "x=calls/2026"),
        ("calls/b.wav", "x=link/b.wav"),
        ("calls/b.wav", "b-link.wav"),
        ("calls", "."),
    ],
)
def test_inputs_that_hold_the_same_recordings_are_refused(
    calls: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str
) -> None:
    monkeypatch.chdir(calls.parent)
    for path in (calls / "2026" / "a.wav", calls / "b.wav"):
        path.parent.mkdir(exist_ok=True)
        write_wav(path, voices.speech(0.1))
    Path("link").symlink_to(calls)
    Path("b-link.wav").symlink_to(calls / "b.wav")
    for arguments in ([one, other], [other, one]):
        with pytest.raises(UsageError, match="overlap, so that recordings would count twice") as refused:
            parse_inputs(arguments)
        for argument in arguments:
            assert os.path.abspath(argument.rpartition("=")[2]) in str(refused.value)


def test_inputs_beside_each_other_do_not_overlap(calls: Path) -> None:
    for name in ("2026", "2026-extra", "2027"):
        (calls / name).mkdir()
    assert len(parse_inputs(str(calls / name) for name in ("2026", "2026-extra", "2027"))) == 3


def test_two_folders_of_one_name_need_a_label(tmp_path: Path) -> None:
    for city in ("berlin", "munich"):
        (tmp_path / city / "calls").mkdir(parents=True)
    berlin, munich = str(tmp_path / "berlin" / "calls"), str(tmp_path / "munich" / "calls")
    with pytest.raises(UsageError, match=r"LABEL=FOLDER") as caught:
        parse_inputs([berlin, munich])
    assert berlin in str(caught.value)
    assert munich in str(caught.value)
    assert [source.label for source in parse_inputs([f"munich={munich}", berlin])] == ["munich", "calls"]


def test_a_label_is_said_before_an_equals_sign(calls: Path) -> None:
    assert parse_inputs([f"last night={calls}"]) == [Input("last night", calls, None, said=True)]
    (calls / "a=b.wav").touch()
    assert parse_inputs([f"x={calls}/a=b.wav"]) == [Input("x", calls, "a=b.wav", said=True)]


def test_a_folder_whose_name_holds_an_equals_sign_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b").mkdir()
    Path("=c").mkdir()
    assert [(source.label, source.said) for source in parse_inputs(["a=b", "=c"])] == [("a=b", False), ("=c", False)]


@pytest.mark.parametrize("argument", ["/no/such/folder", "label=/no/such/folder", "no-such-file.wav"])
def test_an_input_that_does_not_exist_is_a_usage_error(argument: str) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        parse_inputs([argument])


@pytest.mark.parametrize("argument", ["", "calls="])
def test_an_input_without_a_name_is_not_the_folder_one_stands_in(
    calls: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.chdir(calls)
    with pytest.raises(UsageError):
        parse_inputs([argument])


@pytest.mark.parametrize("argument", ["/", "..=/tmp", ".=/tmp"])
def test_what_has_no_name_needs_a_label(argument: str) -> None:
    with pytest.raises(UsageError, match="LABEL="):
        parse_inputs([argument])


def test_the_output_folder_is_never_walked(calls: Path) -> None:
    write_wav(calls / "a.wav", voices.speech(0.1))
    write_wav(calls / "sub" / "reports" / "b.wav", voices.speech(0.1))
    assert list(found_below(calls, calls / "sub" / "reports")) == ["a.wav"]
    (calls.parent / "other-name").symlink_to(calls / "sub" / "reports")
    assert list(found_below(calls, calls.parent / "other-name")) == ["a.wav"]


def test_a_link_that_leads_nowhere_says_so(calls: Path) -> None:
    (calls / "a.wav").symlink_to("gone.wav")
    assert found_below(calls)["a.wav"].problem == "a link that leads nowhere"


def test_a_link_to_a_recording_is_a_recording(calls: Path) -> None:
    path = write_wav(calls / "store" / "x.wav", voices.speech(0.1))
    (calls / "a.wav").symlink_to(path)
    found = found_below(calls)["a.wav"]
    assert (found.problem, found.size) == ("", path.stat().st_size)


def test_a_link_out_of_the_input_is_not_followed_unless_asked(calls: Path) -> None:
    path = write_wav(calls.parent / "store" / "x.wav", voices.speech(0.1))
    (calls / "a.wav").symlink_to(path)
    (calls / "folder").symlink_to(calls.parent / "store")
    found = found_below(calls)
    assert sorted(found) == ["a.wav", "folder"]
    assert all(one.is_link_out and one.size == 0 for one in found.values())
    followed = found_below(calls, follow_links=True)
    assert sorted(followed) == ["a.wav", "folder/x.wav"]
    assert {one.size for one in followed.values()} == {path.stat().st_size}


def test_a_link_out_that_is_named_itself_is_meant(calls: Path) -> None:
    path = write_wav(calls.parent / "store" / "x.wav", voices.speech(0.1))
    (calls / "a.wav").symlink_to(path)
    (found,) = walk(parse_inputs([str(calls / "a.wav")])[0], calls.parent / "out")
    assert found.size == path.stat().st_size


def test_links_in_a_circle_come_to_an_end(calls: Path) -> None:
    elsewhere = write_wav(calls.parent / "elsewhere" / "b.wav", voices.speech(0.1)).parent
    (calls / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(calls)
    (elsewhere / "self").symlink_to(elsewhere)
    (calls / "loop").symlink_to(calls)
    found = found_below(calls, follow_links=True)
    assert sorted(name for name, one in found.items() if not one.problem) == ["link/b.wav"]


def test_a_link_to_itself_is_told_and_stops_nothing(calls: Path) -> None:
    (calls / "a.wav").symlink_to("a.wav")
    write_wav(calls / "b.wav", voices.speech(0.1))
    found = found_below(calls)
    assert found["a.wav"].problem
    assert not found["b.wav"].problem


def test_a_folder_called_x_wav_is_told_and_what_lies_in_it_is_found(calls: Path) -> None:
    write_wav(calls / "x.wav" / "y.wav", voices.speech(0.1))
    found = found_below(calls)
    assert found["x.wav"].problem == "it is a folder, not a recording"
    assert not found["x.wav/y.wav"].problem


def test_a_pipe_is_never_opened(calls: Path) -> None:
    os.mkfifo(calls / "a.wav")
    assert found_below(calls)["a.wav"].problem == "it is a device or a pipe, not a file"


def test_a_folder_that_cannot_be_listed_is_told(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (calls / "locked").mkdir()
    write_wav(calls / "z.wav", voices.speech(0.1))
    really = os.listdir

    def listdir(folder: Path) -> list[str]:
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return really(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    found = found_below(calls)
    assert found["locked"].problem == "the folder cannot be listed: no permission to read it"
    assert found["locked"].is_folder
    assert "z.wav" in found


def test_a_folder_whose_files_cannot_be_looked_at_stops_nothing(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may be listed but not entered, such as one with mode r--."""
    write_wav(calls / "readable-only" / "a.wav", voices.speech(0.1))
    write_wav(calls / "z.wav", voices.speech(0.1))
    really = os.stat

    def stat(path: object, *arguments: object, **options: object) -> os.stat_result:
        if "readable-only/" in str(path):
            raise PermissionError(13, "Permission denied")
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    found = found_below(calls)
    assert found["readable-only/a.wav"].problem == "no permission to read it"
    assert not found["z.wav"].problem


def test_folders_deeper_than_a_path_may_be_long_are_told(calls: Path) -> None:
    write_wav(calls / "z.wav", voices.speech(0.1))
    where = os.open(calls, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=where)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = deeper
    os.close(where)
    found = found_below(calls)
    assert not found["z.wav"].problem
    assert [one.problem for path, one in found.items() if path != "z.wav"]


def test_names_that_are_not_utf_8_are_found(calls: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \n\"'=.wav")
    write_wav(calls / name, voices.speech(0.1))
    assert found_below(calls)[name].identity.shown == r"calls/caf\xe9 \x0a" + "\"'=.wav"


@pytest.mark.parametrize(
    ("name", "content", "is_audio"),
    [
        ("a.wav", b"anything", True),
        ("a.SLN16", b"", True),
        ("README.md", b"# Calls", False),
        ("a.txt", b"", False),
        ("call", b"RIFF\0\0\0\0WAVEfmt ", True),
        ("call.bin", b"OggS", True),
        ("note.txt", b"\xff\xfe\x41\x00", False),
        ("photo.jpg", b"\xff\xd8\xff\xe0", False),
    ],
)
def test_a_file_is_audio_by_its_name_or_by_its_first_bytes(
    calls: Path, name: str, content: bytes, is_audio: bool
) -> None:
    (calls / name).write_bytes(content)
    assert looks_like_audio(found_below(calls)[name]) == is_audio


def test_a_file_that_cannot_be_opened_is_not_taken_for_audio(tmp_path: Path) -> None:
    gone = Found(Identity("calls", "notes"), tmp_path / "notes")
    with pytest.raises(UnreadableRecording, match="No such file"):
        looks_like_audio(gone)


# System files.

SYSTEM_FILES = (
    *("._call.wav", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", ".nfs000000000a1b2c3d00000001"),
    *("@eaDir/call.wav/SYNOINDEX_MEDIA_INFO", "#snapshot/daily.0/call.wav", ".snapshot/hourly.2026/call.wav"),
    *(".Trash-1000/files/call.wav", ".Trashes/501/call.wav", ".Spotlight-V100/Store-V2/x", ".fseventsd/0001"),
    *("System Volume Information/x", "$RECYCLE.BIN/S-1-5/$R1.wav", "$Recycle.Bin/call.wav", "lost+found/#12"),
    *(
        "day/._call.wav",
        "day/@eaDir/call.wav",
        "a/b/#recycle/call.wav",
        ".zfs/snapshot/x/call.wav",
        "@GMT-2026.11.24-02.00.00/call.wav",
        "Icon\r",
    ),
)


@pytest.mark.parametrize("name", SYSTEM_FILES)
def test_files_of_the_system_are_not_looked_at(calls: Path, name: str) -> None:
    (calls / "day").mkdir()
    (calls / "day" / "call.wav").touch()
    (calls / name).parent.mkdir(parents=True, exist_ok=True)
    (calls / name).touch()
    assert list(found_below(calls)) == ["day/call.wav"]


@pytest.mark.parametrize(
    "name", [".call.wav", "_call.wav", "#1.wav", "@home/call.wav", "snapshot/call.wav", "._/call.wav", "lost/found.wav"]
)
def test_names_that_only_resemble_them_are_recordings(calls: Path, name: str) -> None:
    (calls / name).parent.mkdir(parents=True, exist_ok=True)
    (calls / name).touch()
    assert list(found_below(calls)) == [name]


def test_a_folder_of_the_system_that_cannot_be_listed_is_no_fault(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (calls / "lost+found").mkdir()
    really = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert found_below(calls) == {}


@pytest.mark.parametrize("named", ["#snapshot/daily.0", "#snapshot", "@eaDir", "._calls"])
def test_one_that_is_named_as_input_is_meant(calls: Path, named: str) -> None:
    (calls / named).mkdir(parents=True)
    (calls / named / "call.wav").touch()
    (calls / named / "._call.wav").touch()
    assert [Path(path).name for path in found_below(calls / named)] == ["call.wav"]
    assert list(found_below(calls / named / "._call.wav")) == ["._call.wav"]
