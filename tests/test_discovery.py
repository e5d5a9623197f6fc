"""Discovery of files, and their stable names."""

import os
from pathlib import Path

import pytest

from analyzer.errors import UnreadableRecording, UsageError
from analyzer.inputs.discovery import Found, Input, looks_like_audio, parse_inputs, walk
from analyzer.names import Identity
from tests.helpers import voices
from tests.helpers.encoders import write_wav

NO_OUTPUT = Path("/nowhere")


def files_below(folder: Path, output: Path = NO_OUTPUT, follow_links: bool = False) -> dict[str, Found]:
    """Return the files of a walk, by path below the folder."""
    (source,) = parse_inputs([str(folder)])
    return {file.identity.path: file for file in walk(source, output, follow_links)}


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def test_identity_is_folder_and_path(calls: Path) -> None:
    path = write_wav(calls / "monday" / "0001.wav", voices.speech(0.1))
    (file,) = files_below(calls).values()
    assert file.identity == Identity("calls", "monday/0001.wav")
    assert (file.path, file.size, file.mtime_ns) == (path, path.stat().st_size, path.stat().st_mtime_ns)
    assert file.named_as_recording
    assert not file.problem


def test_label_of_a_single_file(calls: Path) -> None:
    path = write_wav(calls / "0001.wav", voices.speech(0.1))
    write_wav(calls / "0002.wav", voices.speech(0.1))
    assert parse_inputs([str(path)]) == [Input("calls", calls, "0001.wav")]
    assert [file.identity for file in walk(parse_inputs([str(path)])[0], NO_OUTPUT)] == [Identity("calls", "0001.wav")]


def test_files_are_sorted_by_bytes(calls: Path) -> None:
    names = ["b.wav", "B.wav", "a b.wav", "ä.wav", os.fsdecode(b"\xff.wav"), "10.wav", "9.wav", "-.wav", "=1.wav"]
    for name in names:
        (calls / name).touch()
    assert list(files_below(calls)) == sorted(names, key=os.fsencode)


def test_relative_paths_are_resolved(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absolute = parse_inputs([str(calls)])
    monkeypatch.chdir(calls)
    assert parse_inputs(["."]) == absolute
    assert parse_inputs([str(calls) + "/"]) == parse_inputs(["../calls"]) == absolute


def test_repeated_input_counts_once(calls: Path) -> None:
    assert len(parse_inputs([str(calls), str(calls) + "/", f"{calls}/../calls"])) == 1


def test_file_and_its_folder_as_inputs(calls: Path) -> None:
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
def test_overlapping_inputs_are_refused(calls: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str) -> None:
    monkeypatch.chdir(calls.parent)
    for path in (calls / "2026" / "a.wav", calls / "b.wav"):
        path.parent.mkdir(exist_ok=True)
        write_wav(path, voices.speech(0.1))
    Path("link").symlink_to(calls)
    Path("b-link.wav").symlink_to(calls / "b.wav")
    for arguments in ([one, other], [other, one]):
        with pytest.raises(UsageError, match="overlap, so that recordings would count twice") as error:
            parse_inputs(arguments)
        for argument in arguments:
            assert os.path.abspath(argument.rpartition("=")[2]) in str(error.value)


def test_sibling_folders_do_not_overlap(calls: Path) -> None:
    for name in ("2026", "2026-extra", "2027"):
        (calls / name).mkdir()
    assert len(parse_inputs(str(calls / name) for name in ("2026", "2026-extra", "2027"))) == 3


def test_equal_folder_names_need_a_label(tmp_path: Path) -> None:
    for city in ("berlin", "munich"):
        (tmp_path / city / "calls").mkdir(parents=True)
    berlin, munich = str(tmp_path / "berlin" / "calls"), str(tmp_path / "munich" / "calls")
    with pytest.raises(UsageError, match=r"LABEL=FOLDER") as error:
        parse_inputs([berlin, munich])
    assert berlin in str(error.value)
    assert munich in str(error.value)
    assert [source.label for source in parse_inputs([f"munich={munich}", berlin])] == ["munich", "calls"]


def test_label_precedes_equals_sign(calls: Path) -> None:
    assert parse_inputs([f"last night={calls}"]) == [Input("last night", calls, None, label_given=True)]
    (calls / "a=b.wav").touch()
    assert parse_inputs([f"x={calls}/a=b.wav"]) == [Input("x", calls, "a=b.wav", label_given=True)]


def test_folder_name_with_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b").mkdir()
    Path("=c").mkdir()
    assert [(source.label, source.label_given) for source in parse_inputs(["a=b", "=c"])] == [
        ("a=b", False),
        ("=c", False),
    ]


@pytest.mark.parametrize("argument", ["/no/such/folder", "label=/no/such/folder", "no-such-file.wav"])
def test_missing_input_is_a_usage_error(argument: str) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        parse_inputs([argument])


@pytest.mark.parametrize("argument", ["", "calls="])
def test_empty_input_is_a_usage_error(calls: Path, monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    monkeypatch.chdir(calls)
    with pytest.raises(UsageError):
        parse_inputs([argument])


@pytest.mark.parametrize("argument", ["/", "..=/tmp", ".=/tmp"])
def test_nameless_folder_needs_a_label(argument: str) -> None:
    with pytest.raises(UsageError, match="LABEL="):
        parse_inputs([argument])


def test_output_folder_is_not_walked(calls: Path) -> None:
    write_wav(calls / "a.wav", voices.speech(0.1))
    write_wav(calls / "sub" / "reports" / "b.wav", voices.speech(0.1))
    assert list(files_below(calls, calls / "sub" / "reports")) == ["a.wav"]
    (calls.parent / "other-name").symlink_to(calls / "sub" / "reports")
    assert list(files_below(calls, calls.parent / "other-name")) == ["a.wav"]


def test_dangling_link_is_a_problem(calls: Path) -> None:
    (calls / "a.wav").symlink_to("gone.wav")
    assert files_below(calls)["a.wav"].problem == "a link that leads nowhere"


def test_link_to_a_recording_is_one(calls: Path) -> None:
    path = write_wav(calls / "store" / "x.wav", voices.speech(0.1))
    (calls / "a.wav").symlink_to(path)
    file = files_below(calls)["a.wav"]
    assert (file.problem, file.size) == ("", path.stat().st_size)


def test_links_out_are_followed_on_request(calls: Path) -> None:
    path = write_wav(calls.parent / "store" / "x.wav", voices.speech(0.1))
    (calls / "a.wav").symlink_to(path)
    (calls / "folder").symlink_to(calls.parent / "store")
    files = files_below(calls)
    assert sorted(files) == ["a.wav", "folder"]
    assert all(file.is_link_out and file.size == 0 for file in files.values())
    followed = files_below(calls, follow_links=True)
    assert sorted(followed) == ["a.wav", "folder/x.wav"]
    assert {file.size for file in followed.values()} == {path.stat().st_size}


def test_link_given_as_input_is_followed(calls: Path) -> None:
    path = write_wav(calls.parent / "store" / "x.wav", voices.speech(0.1))
    (calls / "a.wav").symlink_to(path)
    (file,) = walk(parse_inputs([str(calls / "a.wav")])[0], calls.parent / "out")
    assert file.size == path.stat().st_size


def test_circular_links_end(calls: Path) -> None:
    elsewhere = write_wav(calls.parent / "elsewhere" / "b.wav", voices.speech(0.1)).parent
    (calls / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(calls)
    (elsewhere / "self").symlink_to(elsewhere)
    (calls / "loop").symlink_to(calls)
    files = files_below(calls, follow_links=True)
    assert sorted(name for name, file in files.items() if not file.problem) == ["link/b.wav"]


def test_link_to_itself_is_a_problem(calls: Path) -> None:
    (calls / "a.wav").symlink_to("a.wav")
    write_wav(calls / "b.wav", voices.speech(0.1))
    files = files_below(calls)
    assert files["a.wav"].problem
    assert not files["b.wav"].problem


def test_folder_named_as_audio_is_walked(calls: Path) -> None:
    write_wav(calls / "x.wav" / "y.wav", voices.speech(0.1))
    files = files_below(calls)
    assert files["x.wav"].problem == "it is a folder, not a recording"
    assert not files["x.wav/y.wav"].problem


def test_pipe_is_not_opened(calls: Path) -> None:
    os.mkfifo(calls / "a.wav")
    assert files_below(calls)["a.wav"].problem == "it is a device or a pipe, not a file"


def test_unlistable_folder_is_reported(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (calls / "locked").mkdir()
    write_wav(calls / "z.wav", voices.speech(0.1))
    original = os.listdir

    def listdir(folder: Path) -> list[str]:
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return original(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    files = files_below(calls)
    assert files["locked"].problem == "the folder cannot be listed: no permission to read it"
    assert files["locked"].is_folder
    assert "z.wav" in files


def test_inaccessible_files_are_reported(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may be listed but not entered, such as one with mode r--."""
    write_wav(calls / "readable-only" / "a.wav", voices.speech(0.1))
    write_wav(calls / "z.wav", voices.speech(0.1))
    original = os.stat

    def stat(path: object, *arguments: object, **options: object) -> os.stat_result:
        if "readable-only/" in str(path):
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    files = files_below(calls)
    assert files["readable-only/a.wav"].problem == "no permission to read it"
    assert not files["z.wav"].problem


def test_too_deep_folders_are_reported(calls: Path) -> None:
    write_wav(calls / "z.wav", voices.speech(0.1))
    parent = os.open(calls, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=parent)
        child = os.open("d" * 200, os.O_RDONLY, dir_fd=parent)
        os.close(parent)
        parent = child
    os.close(parent)
    files = files_below(calls)
    assert not files["z.wav"].problem
    assert [file.problem for path, file in files.items() if path != "z.wav"]


def test_names_need_not_be_utf_8(calls: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \n\"'=.wav")
    write_wav(calls / name, voices.speech(0.1))
    assert files_below(calls)[name].identity.shown == r"calls/caf\xe9 \x0a" + "\"'=.wav"


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
def test_audio_by_name_or_first_bytes(calls: Path, name: str, content: bytes, is_audio: bool) -> None:
    (calls / name).write_bytes(content)
    assert looks_like_audio(files_below(calls)[name]) == is_audio


def test_missing_file_is_unreadable(tmp_path: Path) -> None:
    missing = Found(Identity("calls", "notes"), tmp_path / "notes")
    with pytest.raises(UnreadableRecording, match="No such file"):
        looks_like_audio(missing)


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
def test_system_files_are_ignored(calls: Path, name: str) -> None:
    (calls / "day").mkdir()
    (calls / "day" / "call.wav").touch()
    (calls / name).parent.mkdir(parents=True, exist_ok=True)
    (calls / name).touch()
    assert list(files_below(calls)) == ["day/call.wav"]


@pytest.mark.parametrize(
    "name", [".call.wav", "_call.wav", "#1.wav", "@home/call.wav", "snapshot/call.wav", "._/call.wav", "lost/found.wav"]
)
def test_similar_names_are_recordings(calls: Path, name: str) -> None:
    (calls / name).parent.mkdir(parents=True, exist_ok=True)
    (calls / name).touch()
    assert list(files_below(calls)) == [name]


def test_unlistable_system_folder_is_no_error(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (calls / "lost+found").mkdir()
    original = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert files_below(calls) == {}


@pytest.mark.parametrize("named", ["#snapshot/daily.0", "#snapshot", "@eaDir", "._calls"])
def test_system_file_given_as_input_is_used(calls: Path, named: str) -> None:
    (calls / named).mkdir(parents=True)
    (calls / named / "call.wav").touch()
    (calls / named / "._call.wav").touch()
    assert [Path(path).name for path in files_below(calls / named)] == ["call.wav"]
    assert list(files_below(calls / named / "._call.wav")) == ["._call.wav"]
