"""Recordings in object storage, read from a real S3-compatible server that the tests start."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from analyzer.audio import storage
from analyzer.errors import CannotWork, UnreadableRecording, UsageError
from analyzer.inputs.discovery import parse_inputs, walk
from tests.helpers import voices
from tests.helpers.bucket import put
from tests.helpers.encoders import write_wav
from tests.helpers.runs import MTIME, Analyze, a_call, contents, read_csv


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Two recordings in two folders, and a file that is not a recording."""
    folder = tmp_path / "calls"
    (folder / "tuesday").mkdir(parents=True)
    a_call(folder / "a.wav", seed=1)
    a_call(folder / "tuesday" / "ä b.wav", seed=2)
    (folder / "README.md").write_text("# Calls\n")
    os.utime(folder / "README.md", (MTIME, MTIME))
    return folder


def test_bucket_gives_same_results_as_folder(bucket: str, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    put(calls, f"{bucket}/2026/calls")
    assert analyze(calls, "-o", tmp_path / "local") == 0
    assert analyze(f"{bucket}/2026/calls", "-o", tmp_path / "remote") == 0
    assert contents(tmp_path / "remote" / "timelines") == contents(tmp_path / "local" / "timelines")
    statuses = {row["file"]: row["status"] for row in read_csv(tmp_path / "remote" / "files.csv")}
    assert statuses == {"calls/README.md": "skipped", "calls/a.wav": "ok", "calls/tuesday/ä b.wav": "ok"}


def test_workers_read_buckets(bucket: str, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    put(calls, f"{bucket}/calls")
    assert analyze(f"{bucket}/calls", "-o", tmp_path / "one") == 0
    assert analyze(f"{bucket}/calls", "-o", tmp_path / "two", jobs=2) == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def analysed_count(output: Path) -> int:
    """Return how many recordings the last run analysed."""
    return sum(json.loads((output / "run.json").read_text())["analysed"].values())


def test_only_changes_are_fetched_again(bucket: str, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    put(calls, f"{bucket}/calls")
    output = tmp_path / "out"
    assert analyze(f"{bucket}/calls", "-o", output) == 0
    assert analyze(f"{bucket}/calls/", "-o", output) == 0
    assert analysed_count(output) == 0
    longer = write_wav(tmp_path / "longer.wav", voices.call(3, [(0.3, 2.7)]))
    put(longer, f"{bucket}/calls/a.wav")
    put(longer, f"{bucket}/calls/new.wav")
    assert analyze(f"{bucket}/calls", "-o", output) == 0
    assert analysed_count(output) == 2


def test_new_version_checks_skipped_once(
    bucket: str, calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    (calls / "film.bin").write_bytes((calls / "a.wav").read_bytes())
    (calls / "old.bin").write_bytes(b"MAC \x96\x0f" + bytes(100))
    put(calls, f"{bucket}/calls")
    output, read_names, original = tmp_path / "out", [], storage.head

    def head(location: str, size: int) -> bytes:
        read_names.append(location.rpartition("/")[2])
        return original(location, size)

    monkeypatch.setattr("analyzer.audio.storage.head", head)
    with monkeypatch.context() as earlier:
        earlier.setattr("analyzer.batch.batch.ANALYSIS_VERSION", 1)
        earlier.setattr("analyzer.audio.signatures._FORMS", {})
        earlier.setattr("analyzer.audio.signatures._SIGNATURES", {})
        for expected in (3, 0):
            analyze(f"{bucket}/calls", "-o", output)
            assert len({*read_names} & {"film.bin", "old.bin", "README.md"}) == expected
            read_names.clear()
    assert {row["status"] for row in read_csv(output / "files.csv") if row["file"].endswith(".bin")} == {"skipped"}
    analyze(f"{bucket}/calls", "-o", output)
    assert {*read_names} >= {"film.bin", "old.bin", "README.md"}
    statuses = {row["file"]: row["status"] for row in read_csv(output / "files.csv")}
    assert (statuses["calls/film.bin"], statuses["calls/old.bin"]) == ("ok", "skipped")
    read_names.clear()
    analyze(f"{bucket}/calls", "-o", output)
    assert not {*read_names} & {"old.bin", "README.md"}


def test_deleted_object_keeps_its_results(bucket: str, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    put(calls, f"{bucket}/calls")
    assert analyze(f"{bucket}/calls", "-o", tmp_path / "out") == 0
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).rm(f"{bucket}/calls/a.wav")
    assert analyze(f"{bucket}/calls", "-o", tmp_path / "out") == 0
    present = {row["file"]: row["present"] for row in read_csv(tmp_path / "out" / "files.csv")}
    assert present["calls/a.wav"] == "no"
    assert (tmp_path / "out" / "timelines" / "calls" / "a.wav.csv").is_file()


def test_inputs_may_be_objects_or_buckets(bucket: str, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    put(calls, f"{bucket}/calls")
    assert analyze(f"{bucket}/calls/a.wav", "-o", tmp_path / "one") == 0
    assert [row["file"] for row in read_csv(tmp_path / "one" / "files.csv")] == ["calls/a.wav"]
    assert analyze(f"archive={bucket}", "-o", tmp_path / "all") == 0
    assert {row["file"] for row in read_csv(tmp_path / "all" / "files.csv")} == {
        "archive/calls/README.md",
        "archive/calls/a.wav",
        "archive/calls/tuesday/ä b.wav",
    }


def test_folder_markers_are_ignored(bucket: str, calls: Path, server: str) -> None:
    put(calls, f"{bucket}/calls")
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).call_s3("put_object", Bucket="recordings", Key="calls/", Body=b"")
    assert [entry.name for entry in storage.listing(f"{bucket}/calls/")] == ["README.md", "a.wav", "tuesday"]


def test_system_files_are_not_listed(bucket: str, calls: Path, tmp_path: Path) -> None:
    for name in ("._a.wav", ".DS_Store", "@eaDir/a.wav", "day/#snapshot/a.wav", "day/b.wav"):
        put(calls / "a.wav", f"{bucket}/{name}")
    (source,) = parse_inputs([bucket])
    assert [file.identity.path for file in walk(source, tmp_path)] == ["day/b.wav"]
    (source,) = parse_inputs([f"{bucket}/._a.wav"])
    assert [file.identity.path for file in walk(source, tmp_path)] == ["._a.wav"]
    (source,) = parse_inputs([f"{bucket}/@eaDir"])
    assert [file.identity.path for file in walk(source, tmp_path)] == ["a.wav"]


def test_keys_with_empty_parts_stay_apart(bucket: str, tmp_path: Path, analyze: Analyze) -> None:
    keys = ("calls/b.wav", "calls//b.wav", "calls//x/c.wav", "calls/t//d.wav", "calls///e.wav", "/calls/f.wav")
    for seed, key in enumerate(keys):
        put(a_call(tmp_path / f"{seed}.wav", seed=seed), f"{bucket}/{key}")
    output = tmp_path / "out"
    for count in (6, 0):
        assert analyze(f"all={bucket}", "-o", output) == 0
        assert analysed_count(output) == count
        assert {row["file"]: row["status"] for row in read_csv(output / "files.csv")} == {
            f"all/{key}": "ok" for key in keys
        }
    assert len(list((output / "timelines").rglob("*.csv"))) == 6
    assert analyze(f"{bucket}/calls", "-o", tmp_path / "folder") == 0
    files = [row["file"] for row in read_csv(tmp_path / "folder" / "files.csv")]
    assert files == sorted(key for key in keys if key.startswith("calls"))


def test_input_below_an_empty_part(bucket: str, tmp_path: Path, analyze: Analyze) -> None:
    put(a_call(tmp_path / "b.wav"), f"{bucket}/calls//b.wav")
    assert analyze(f"{bucket}/calls//b.wav", "-o", tmp_path / "out") == 0
    assert [row["file"] for row in read_csv(tmp_path / "out" / "files.csv")] == ["calls//b.wav"]


def test_scheme_may_be_in_capitals(bucket: str, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    put(calls, f"{bucket}/calls")
    for scheme, count in (("S3", 2), ("s3", 0)):
        assert analyze(f"{scheme}://recordings/calls", "-o", tmp_path / "out") == 0
        assert analysed_count(tmp_path / "out") == count


def test_overlapping_addresses_are_refused(bucket: str, calls: Path) -> None:
    put(calls, f"{bucket}/calls")
    for other in (f"{bucket}/calls/tuesday", f"x={bucket}/calls/a.wav", f"x={bucket}", "x=S3://recordings/calls/"):
        for inputs in ([f"{bucket}/calls", other], [other, f"{bucket}/calls"]):
            with pytest.raises(UsageError, match="overlap"):
                parse_inputs(inputs)
    assert len(parse_inputs([f"{bucket}/calls/tuesday", f"{bucket}/calls/a.wav"])) == 2


@pytest.fixture
def web(calls: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server with the recordings, which lists its folders as pages."""
    (calls / "call").write_bytes((calls / "a.wav").read_bytes())
    handler = partial(SimpleHTTPRequestHandler, directory=str(calls.parent))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["", "/", "/calls", "/calls/", "/calls/tuesday", "/calls/README.md"])
def test_web_folder_is_refused(web: str, path: str) -> None:
    with pytest.raises(UsageError, match="give the address of each recording, or download them"):
        parse_inputs([f"{web}{path}"])


@pytest.mark.parametrize("name", ["a.wav", "call"])
def test_web_recording_is_analysed(web: str, tmp_path: Path, analyze: Analyze, name: str) -> None:
    assert analyze(f"{web}/calls/{name}", "-o", tmp_path / "out") == 0
    assert [(row["file"], row["status"]) for row in read_csv(tmp_path / "out" / "files.csv")] == [
        (f"calls/{name}", "ok")
    ]


def test_recording_is_fetched_in_pieces(bucket: str, calls: Path) -> None:
    put(calls / "a.wav", f"{bucket}/a.wav")
    with storage.open_to_read(f"{bucket}/a.wav") as handle:
        assert handle.read(4) == b"RIFF"
        assert handle.seek(0, os.SEEK_END) == (calls / "a.wav").stat().st_size
    assert storage.head(f"{bucket}/a.wav", 4) == b"RIFF"


def test_empty_address_is_a_usage_error(bucket: str, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(f"{bucket}/nowhere", "-o", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()


def test_unknown_scheme_is_a_usage_error(tmp_path: Path, analyze: Analyze) -> None:
    assert analyze("carrier-pigeon://loft/calls", "-o", tmp_path / "out") == 2


def test_unreachable_server_changes_nothing(
    bucket: str,
    calls: Path,
    tmp_path: Path,
    analyze: Analyze,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(calls, f"{bucket}/calls")
    assert analyze(f"{bucket}/calls", "-o", tmp_path / "out") == 0
    before = contents(tmp_path / "out")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        assert analyze(f"{bucket}/calls", "-o", tmp_path / "out") == 3
        assert f"Connect call failed ('127.0.0.1', {unused.getsockname()[1]})" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


def test_paths_are_no_addresses() -> None:
    assert not any(map(storage.is_address, ("/srv/calls", "calls", "C:\\calls", "a=b", "s3:/x", "label=s3://bucket")))
    assert all(map(storage.is_address, ("s3://bucket", "gs://bucket/calls", "abfs://container@account/calls")))


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.core

    def refuse(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(UsageError, match=r"call-emotions\[s3\]"):
        storage.is_file("s3://bucket/calls")


def test_broken_listing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def ls(self, *_: object, **__: object) -> None:
            raise RuntimeError("connection reset")

    monkeypatch.setattr(storage, "_opened", lambda address: (Broken(), "bucket"))
    with pytest.raises(CannotWork, match="connection reset"):
        storage.listing("s3://bucket")


class Refusing:
    """Storage on which every access to a file fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def cat_file(self, *_: object, **__: object) -> None:
        raise self._error

    def open(self, *_: object, **__: object) -> None:
        raise self._error


def test_failed_fetch_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage, "_opened", lambda address: (Refusing(RuntimeError("reset")), "bucket/a"))
    with pytest.raises(CannotWork, match="reset"):
        storage.head("s3://bucket/a", 64)
    with pytest.raises(UnreadableRecording, match="cannot be fetched"):
        storage.open_to_read("s3://bucket/a.wav")
    monkeypatch.setattr(storage, "_opened", lambda address: (Refusing(PermissionError(13, "no")), "bucket/a"))
    for access in (lambda: storage.head("s3://bucket/a", 64), lambda: storage.open_to_read("s3://bucket/a")):
        with pytest.raises(PermissionError):
            access()
