"""Output paths that are not regular files: links are kept, pipes and devices are never replaced."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from analyzer.commands.main import main
from analyzer.errors import CannotWrite
from analyzer.runtime import destinations
from analyzer.store.outputs import clear_unfinished, delete, files_below, make_folders, write_text, write_text_or_stream
from tests.helpers.runs import Analyze, Run, a_call, contents, copied, read_csv, read_workbook

METRIC = "call_emotions_last_run_exit_status"


@contextmanager
def reader(path: Path) -> Iterator[int]:
    """Create a named pipe and open it for reading; yields the descriptor."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_all(descriptor: int) -> str:
    data = b""
    with suppress(BlockingIOError):
        while piece := os.read(descriptor, 65536):
            data += piece
    return data.decode()


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return a_call(tmp_path / "calls" / "a.wav").parent


# Links.


@pytest.mark.parametrize("relative", [True, False])
def test_link_target_is_replaced(tmp_path: Path, relative: bool) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "real.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to("far/real.txt" if relative else target)
    with open(target) as reader:
        write_text(link, "new")
        assert reader.read() == "old"
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.listdir(tmp_path / "far") == ["real.txt"]
    assert sorted(os.listdir(tmp_path)) == ["far", "link.txt"]


def test_chain_of_links_is_followed(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("three")
    write_text(tmp_path / "one", "new")
    assert (tmp_path / "three").read_text() == "new"
    assert not (tmp_path / "three").is_symlink()
    assert (tmp_path / "one").is_symlink() and (tmp_path / "two").is_symlink()


@pytest.mark.parametrize("target", ["missing/real.txt", "link.txt", "folder"])
def test_link_to_an_invalid_target_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.txt").symlink_to(target)
    with pytest.raises(CannotWrite, match=r"link\.txt cannot be written"):
        write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert not (tmp_path / "missing").exists()
    assert os.listdir(tmp_path / "folder") == []


def test_link_of_another_user_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "real.txt").write_text("old")
    (shared / "link.txt").symlink_to(tmp_path / "real.txt")
    write_text(shared / "link.txt", "mine")
    assert (tmp_path / "real.txt").read_text() == "mine"
    original = os.lstat

    def of_another_user(path: object, **options: object) -> os.stat_result:
        state = original(path, **options)  # type: ignore[call-overload]
        return os.stat_result((*state[:4], state.st_uid + 1, *state[5:])) if stat.S_ISLNK(state.st_mode) else state

    monkeypatch.setattr(os, "lstat", of_another_user)
    with pytest.raises(CannotWrite, match="another user"):
        write_text(shared / "link.txt", "new")
    assert (tmp_path / "real.txt").read_text() == "mine"


def test_results_through_links_are_equal(good_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    real, linked = tmp_path / "real", tmp_path / "linked"
    for folder in ("out", "elsewhere/timelines", "elsewhere/tables"):
        (real / folder).mkdir(parents=True)
    linked.symlink_to(real / "out")
    (real / "out" / "timelines").symlink_to(real / "elsewhere" / "timelines")
    for name in ("summary.xlsx", "recordings.csv", "run.json"):
        (real / "out" / name).symlink_to(real / "elsewhere" / "tables" / name)
    assert analyze(good_run.calls, "-o", linked) == good_run.status
    assert analyze(good_run.calls, "-o", linked) == 0
    assert linked.is_symlink()
    for name in ("timelines", "summary.xlsx", "recordings.csv", "run.json"):
        assert (real / "out" / name).is_symlink()
    assert contents(linked / "timelines") == contents(good_run.output / "timelines")
    assert (linked / "recordings.csv").read_bytes() == (good_run.output / "recordings.csv").read_bytes()
    assert read_workbook(real / "elsewhere" / "tables" / "summary.xlsx").keys() == good_run.cells().keys()


def test_prune_deletes_through_links(good_run: Run, tmp_path: Path) -> None:
    output = copied(good_run, tmp_path / "out").output
    for name in ("timelines", "recordings.csv", "run.json"):
        (output / name).rename(tmp_path / name)
        (output / name).symlink_to(tmp_path / name)
    count = len(list((tmp_path / "timelines").rglob("*.csv")))
    assert main(["prune", "-o", str(output), "--match", "*/mp3.mp3"]) == 0
    assert len(list((tmp_path / "timelines").rglob("*.csv"))) == count - 1
    assert not any("mp3.mp3" in row["recording"] for row in read_csv(tmp_path / "recordings.csv"))
    assert not (tmp_path / "run.json").exists()
    assert all((output / name).is_symlink() for name in ("timelines", "recordings.csv", "run.json"))


def test_delete_removes_link_and_target(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "real.csv").write_text("old content")
    (tmp_path / "out" / "a.csv").symlink_to(tmp_path / "real.csv")
    delete(tmp_path / "out" / "a.csv", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []
    assert not (tmp_path / "real.csv").exists()


def test_unfinished_files_in_linked_folder_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "far" / "calls").mkdir(parents=True)
    (tmp_path / "far" / "calls" / ".writing-0123.tmp").touch()
    (tmp_path / "far" / "calls" / "a.tmp").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "timelines").symlink_to(tmp_path / "far")
    clear_unfinished(tmp_path / "out")
    assert os.listdir(tmp_path / "far" / "calls") == ["a.tmp"]


def test_link_to_the_input_is_no_output_folder(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(calls)
    assert analyze(calls, "-o", tmp_path / "link") == 2
    assert "the output folder is the input itself" in capsys.readouterr().err
    assert os.listdir(calls) == ["a.wav"]


def test_lock_must_not_be_a_link(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").symlink_to(tmp_path / "precious")
    assert analyze(calls, "-o", tmp_path / "out") == 3
    assert ".lock" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "mine"


# Pipes, devices, sockets.


def test_metrics_are_written_through_a_link(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "real.prom").write_text("old")
    (tmp_path / "link.prom").symlink_to("real.prom")
    assert analyze(calls, "-o", tmp_path / "out", "--metrics-file", tmp_path / "link.prom") == 0
    assert (tmp_path / "link.prom").is_symlink()
    assert f"\n{METRIC} 0\n" in (tmp_path / "real.prom").read_text()
    assert stat.S_IMODE((tmp_path / "real.prom").stat().st_mode) == 0o644


def test_metrics_are_written_into_a_pipe(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with reader(tmp_path / "pipe") as descriptor:
        assert analyze(calls, "-o", tmp_path / "out", "--metrics-file", tmp_path / "pipe") == 0
        assert f"\n{METRIC} 0\n" in read_all(descriptor)
    assert stat.S_ISFIFO(os.lstat(tmp_path / "pipe").st_mode)


@pytest.mark.parametrize(
    ("kind", "message"), [("pipe", "nothing reads from this pipe"), ("socket", "a socket"), ("folder", "a folder")]
)
def test_invalid_metrics_file_is_a_warning(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], kind: str, message: str
) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        path.mkdir()
    before = os.lstat(path)
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--metrics-file", path) == 0
    assert message in capsys.readouterr().err
    after = os.lstat(path)
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)


@pytest.mark.parametrize("option", ["--metrics-file", "--log-file"])
def test_null_device_is_not_replaced(calls: Path, tmp_path: Path, analyze: Analyze, option: str) -> None:
    """Also through a link, and even for a user who may replace devices, such as root."""
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (os.devnull, tmp_path / "link"):
        assert analyze(calls, "-o", tmp_path / "out", option, path) == 0
    assert stat.S_ISCHR(os.lstat(os.devnull).st_mode)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("option", ["--metrics-file", "--log-file"])
def test_file_behind_standard_output_is_not_replaced(
    calls: Path, tmp_path: Path, analyze: Analyze, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Under capfd, standard output is a regular file, as after `> file` in a shell."""
    if not Path("/dev/stdout").exists():
        pytest.skip("this system has no /dev/stdout")
    inode = os.fstat(1).st_ino
    os.write(1, b"before\n")
    assert analyze(calls, "-o", tmp_path / "out", "-q", option, "/dev/stdout") == 0
    os.write(1, b"after\n")
    output = capfd.readouterr().out
    assert output.startswith("before\n") and output.endswith("after\n")
    assert (METRIC if option == "--metrics-file" else " INFO analysed 1 recordings") in output
    assert os.fstat(1).st_ino == inode


def test_descriptor_of_an_open_file_is_refused(tmp_path: Path) -> None:
    folder = next((f for f in ("/proc/self/fd", "/dev/fd") if os.path.isdir(f)), None)
    if folder is None:
        pytest.skip("this system shows no descriptors")
    with open(tmp_path / "ledger", "w+") as handle:
        for write in (write_text, write_text_or_stream):
            with pytest.raises(CannotWrite, match="cannot be written"):
                write(Path(folder) / str(handle.fileno()), "new")
        assert (tmp_path / "ledger").read_text() == ""


def test_full_pipe_is_an_error(tmp_path: Path) -> None:
    with reader(tmp_path / "pipe"), pytest.raises(CannotWrite, match="the pipe is full"):
        write_text_or_stream(tmp_path / "pipe", "x" * (1 << 22))


def test_log_is_written_into_a_pipe(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    with reader(tmp_path / "pipe") as descriptor:
        assert analyze(calls, "-o", tmp_path / "out", "-q", "--log-file", tmp_path / "pipe") == 0
        assert " INFO analysed 1 recordings" in read_all(descriptor)
    assert stat.S_ISFIFO(os.lstat(tmp_path / "pipe").st_mode)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_log_without_a_reader_is_refused(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    assert analyze(calls, "-o", tmp_path / "out", "-q", "--log-file", path) == 3
    assert f"the log file {path} cannot be written" in capsys.readouterr().err
    assert not path.is_file()


@pytest.mark.parametrize("name", ["recordings.csv", "files.csv", "run.json"])
def test_table_must_not_be_a_pipe(
    calls: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / name)
    assert analyze(calls, "-o", tmp_path / "out", "-q") == 3
    assert f"{name} cannot be written: it is a pipe" in capsys.readouterr().err
    assert stat.S_ISFIFO(os.lstat(tmp_path / "out" / name).st_mode)


def test_block_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").touch()
    original = os.stat

    def as_block_device(path: object, **options: object) -> os.stat_result:
        state = original(path, **options)  # type: ignore[call-overload]
        return os.stat_result((stat.S_IFBLK | 0o660, *state[1:])) if str(path).endswith("disk") else state

    monkeypatch.setattr(os, "stat", as_block_device)
    with pytest.raises(OSError, match="it is a disk"):
        destinations.open_stream(tmp_path / "disk")


# Folders of any depth.


def test_folders_may_have_any_depth(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 1500)
    make_folders(deep)
    (deep / "f").touch()
    assert list(files_below(tmp_path)) == [deep / "f"]
    for folder in (deep, *deep.parents):  # pytest cannot delete folders this deep
        if folder == tmp_path:
            break
        (folder / "f").unlink(missing_ok=True)
        folder.rmdir()
