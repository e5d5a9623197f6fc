"""Any file is read or refused with a reason; none hangs, fills the memory or opens other files."""

import csv
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio import ffmpeg, reader
from analyzer.audio.signatures import AUDIO_EXTENSIONS, sniff
from tests.helpers import hostile, voices
from tests.helpers.encoders import write_wav
from tests.helpers.hostile import CRASHES, PLAYLISTS, SIGNATURES, outcome, referring, write_corpus
from tests.helpers.runs import Analyze, at_noon, read_csv

#: Maximum growth of memory in MB while any file is read. A block is 16 MB and exists several times while it is cleaned
#: and resampled; FFmpeg may hold a packet of 64 MB, or the index of an MP4, 200 MB at most.
MOST_MB = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "calls"
    path.mkdir()
    write_corpus(path)
    return path


@pytest.fixture(params=[5, pytest.param(1, marks=pytest.mark.slow)], ids=["every fifth", "all"])
def sample(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a sample of the hostile files, and slow.wav, which is read first."""
    path = tmp_path / "calls"
    path.mkdir()
    for hostile_file in {*sorted(folder.iterdir())[:: request.param], folder / "slow.wav"}:
        os.link(hostile_file, path / hostile_file.name)
    return path


@pytest.fixture
def web_server() -> Iterator[tuple[str, list[str]]]:
    """The address of a web server on this machine, and the paths requested from it."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))  # checks for shutdown every 0.01 s
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/secret.wav", requests
        server.shutdown()
        thread.join()


def test_corpus_has_every_extension(folder: Path) -> None:
    names = [path.name for path in folder.iterdir()]
    assert len(names) > 1000
    assert {name.rpartition(".")[2] for name in names} >= {ext[1:] for ext in AUDIO_EXTENSIONS}


def test_hostile_files_are_read_or_refused(sample: Path) -> None:
    """Runs in a separate process, so that the crash of a decoder is detected."""
    command = [sys.executable, "-m", "tests.helpers.hostile", str(sample), "60"]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    lines = process.stdout.splitlines()
    assert process.returncode == 0, f"it died (status {process.returncode}) at: {lines[-1:]}\n{process.stderr[-2000:]}"
    assert [line for line in lines if line.startswith("  WORSE")] == []
    assert sum(line.startswith("reading ") for line in lines) == len(list(sample.iterdir()))
    peak = re.fullmatch(r"peak (-?\d+) MB", lines[-1])
    assert peak
    assert int(peak[1]) < MOST_MB, [line for line in lines if "grown" in line]


def test_run_has_a_row_for_each_hostile_file(
    sample: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analyzer.audio.stream.LONGEST_HOURS", 0.05)  # analysing a day of silence takes a minute
    for name in CRASHES:
        (sample / name).unlink(missing_ok=True)
    at_noon(sample)
    assert analyze(sample, "-o", tmp_path / "out", "--quiet") == 1
    rows = read_csv(tmp_path / "out" / "files.csv")
    assert len(rows) == len({row["file"] for row in rows}) == len(list(sample.iterdir()))
    assert {row["status"] for row in rows} == {"ok", "no_speech", "failed", "skipped"}
    assert all(row["reason"] for row in rows if row["status"] in ("failed", "skipped"))
    for name in ("files.csv", "recordings.csv"):
        with open(tmp_path / "out" / name, encoding="utf-8", newline="") as handle:
            assert all(cell.isprintable() for row in csv.reader(handle) for cell in row)


@pytest.mark.parametrize("extension", ["mp3", "m4a", "wav", "ogg", "aac", "webm"])
@pytest.mark.parametrize("playlist", PLAYLISTS)
def test_playlist_opens_nothing(
    tmp_path: Path, web_server: tuple[str, list[str]], playlist: str, extension: str
) -> None:
    address, requests = web_server
    path = tmp_path / f"a.{extension}"
    secret = write_wav(tmp_path / "secret.wav", voices.speech(1))
    for target in (address, str(secret), "secret.wav"):
        path.write_text(PLAYLISTS[playlist].format(target=target), encoding="latin-1")
        assert outcome(path) != "read"
    assert requests == []


def test_reference_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(referring(str(write_wav(tmp_path / "secret.wav", voices.speech(1)))))
    with reader.open_audio(path) as stream:
        assert not any(block.any() for block in stream.blocks())


def test_references_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"enable_drefs": "1", "use_absolute_path": "1"}
    path = tmp_path / "a.m4a"
    path.write_bytes(referring(str(write_wav(tmp_path / "secret.wav", voices.speech(1)))))
    with open(path, "rb") as handle, av.open(handle, "r", format="mov", container_options=options) as unguarded:
        assert any(frame.to_ndarray().any() for frame in unguarded.decode(audio=0)), (
            "the file does not refer to another"
        )
    monkeypatch.setattr(ffmpeg, "_ffmpeg_options", lambda: options)
    assert "refers to another file" in outcome(path)


def test_ffmpeg_has_no_file_protocol(tmp_path: Path) -> None:
    path, secret = tmp_path / "a.m4a", write_wav(tmp_path / "secret.wav", voices.speech(1))
    path.write_bytes(referring(str(secret)))
    options = ffmpeg._ffmpeg_options() | {"enable_drefs": "1", "use_absolute_path": "1"}
    with open(path, "rb") as handle, av.open(handle, "r", format="mov", container_options=options) as guarded:
        assert not any(frame.to_ndarray().any() for frame in guarded.decode(audio=0))


def test_picture_decoders_are_off() -> None:
    decoders = ffmpeg._ffmpeg_options()["codec_whitelist"].split(",")
    assert {"aac", "mp3float", "opus", "pcm_s16le", "g726"} <= set(decoders)
    assert not {"h264", "hevc", "vp9", "mjpeg", "png", "subrip"} & set(decoders)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("channels-33.wav", "33 channels"),
        ("channels-64.au", "64 channels"),
        ("rate-4000000000.au", "4,000,000,000 samples per second|cannot be decoded"),
        ("rate-999.wav", "999 samples per second"),
        ("rate-384001.wav", "384,001 samples per second"),
        ("packets-67108864.m4a", "67,108,864 packets"),
        ("fragment-67108864.m4a", "67,108,8.. packets"),
        ("chunks-80.m4a", "packets, more than a day"),
        ("edits-1000000.m4a", "packets, more than a day"),
        ("crowded.m4a", "holds more sound than packets do"),
        ("crowded.webm", "holds more sound than packets do"),
    ],
)
def test_reason_names_the_problem(folder: Path, name: str, reason: str) -> None:
    assert re.search(reason, outcome(folder / name))


uint16, uint32, uint64 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, (1 << 64) - 1)
common_tags = st.sampled_from((1, 2, 3, 6, 7, 0x11, 0x31, 0x45, 0x55, 0x64, 0x161, 0xFFFE))


@settings(max_examples=500)
@given(
    magic=st.sampled_from((b"RIFF", b"RF64")),
    sizes=st.tuples(uint32, st.integers(14, 64) | uint32, uint32),
    long_sizes=st.none() | st.tuples(uint64, uint64, uint64),
    form=st.tuples(
        common_tags | uint16, st.integers(1, 8) | uint16, st.integers(1000, 48_000) | uint32, uint32, uint16, uint16
    ),
    data=st.binary(max_size=3000),
)
def test_any_wav_header_is_safe(
    tmp_path_factory: pytest.TempPathFactory,
    magic: bytes,
    sizes: tuple[int, int, int],
    long_sizes: tuple[int, int, int] | None,
    form: tuple[int, ...],
    data: bytes,
) -> None:
    riff, fmt, size = sizes
    fields = struct.pack("<HHIIHH", *form)
    content = struct.pack("<4sI4s", magic, riff, b"WAVE")
    if long_sizes:
        content += struct.pack("<4sI3QI", b"ds64", 28, *long_sizes, 0)
    content += struct.pack("<4sI", b"fmt ", fmt) + fields.ljust(min(fmt, 64), b"\0")
    path = tmp_path_factory.getbasetemp() / "header.wav"
    path.write_bytes(content + struct.pack("<4sI", b"data", size) + data)
    outcome(path)


@settings(max_examples=600)
@given(signature=st.sampled_from(sorted(SIGNATURES.values())), rest=st.binary(max_size=600))
def test_bytes_after_signature_are_safe(
    tmp_path_factory: pytest.TempPathFactory, signature: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "signature.mp3"
    path.write_bytes(signature + rest)
    outcome(path)


def test_corpus_has_every_signature() -> None:
    formats = {sniff(start.ljust(64, b"\0")) for start in SIGNATURES.values()} - {None}
    assert formats == {
        "wav",
        "mov",
        "aiff",
        "w64",
        "flac",
        "ogg",
        "au",
        "mp3",
        "amr",
        "caf",
        "asf",
        "matroska",
        "mpegts",
        "wv",
        "tta",
        "nistsphere",
        "voc",
        "avi",
        "flv",
        "mpeg",
        "dts",
        "ilbc",
        "dss",
    }


def test_corpus_is_reproducible(folder: Path) -> None:
    # Encoders write random serial numbers or the time into these.
    nondeterministic = re.compile(r"ogg|opus|webm|wma|float")
    for name, content in hostile.corpus().items():
        if not nondeterministic.search(name):
            assert (folder / name).read_bytes() == content, name
