"""Bytes before the sound of a file are skipped, and nothing else is taken for sound."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio.leading import find_beginning
from analyzer.audio.reader import open_audio
from analyzer.audio.signatures import sniff, sniff_sync_word
from analyzer.errors import UnreadableRecording
from tests.helpers import voices
from tests.helpers.encoders import ENCODINGS, write_with_ffmpeg

NAMES = ("mp3.mp3", "aac.aac", "flac.flac", "opus.opus", "vorbis.ogg", "pcm16.wav", "mp2.mp2")


def read(path: Path) -> tuple[np.ndarray, str]:
    with open_audio(path) as stream:
        return np.concatenate(list(stream.blocks()), axis=1), stream.codec


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    for name in NAMES:
        if name == "mp2.mp2":
            write_with_ffmpeg(folder / name, voices.speech(3, 16_000), 16_000, "mp2", "mp2")
        else:
            ENCODINGS[name].write(folder, voices.speech(3, ENCODINGS[name].rate))
    return {name: (folder / name).read_bytes() for name in NAMES}


def tag(body: bytes, *, footer: bool = False) -> bytes:
    """Return an ID3v2 tag."""
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    flags = b"\x10" if footer else b"\0"
    return b"ID3\x04\0" + flags + size + body + (b"3DI\x04\0" + flags + size if footer else b"")


NOISE = np.random.default_rng(2).bytes(200_000)
LEADING = {
    "zeros": bytes(417),
    "many zeros": bytes(70_000),
    "a line end": b"\r\n",
    "a byte order mark": b"\xef\xbb\xbf",
    "HTTP": b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 17\r\n\r\n",
    "a tag": tag(b"TIT2\0\0\0\5\0\0\0call"),
    "a tag with a footer": tag(bytes(300), footer=True),
    "a tag with a picture": tag(NOISE),
    "two tags": tag(bytes(3000)) + tag(NOISE[:100]),
    "a tag and zeros": tag(bytes(300)) + bytes(2048),
    "other bytes": NOISE[:5000],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("leading", LEADING)
def test_leading_bytes_are_skipped(tmp_path: Path, originals: dict[str, bytes], name: str, leading: str) -> None:
    path = tmp_path / name
    path.write_bytes(originals[name])
    expected, expected_codec = read(path)
    path.write_bytes(LEADING[leading] + originals[name])
    samples, codec = read(path)
    assert codec == expected_codec
    assert abs(samples.shape[1] - expected.shape[1]) <= 2400  # the frame with only the encoder's settings may differ
    shared = min(samples.shape[1], expected.shape[1])
    assert np.abs(samples[0, -shared:] - expected[0, -shared:]).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["mp3.mp3", "aac.aac", "mp2.mp2"]), cut=st.integers(1, 4000))
def test_file_starting_within_a_frame_is_read(
    tmp_path_factory: pytest.TempPathFactory, originals: dict[str, bytes], name: str, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"cut-{name}"
    path.write_bytes(originals[name])
    complete, _ = read(path)
    path.write_bytes(originals[name][cut:])
    samples, _ = read(path)
    bytes_per_sample = len(originals[name]) / complete.shape[1]
    assert samples.shape[1] == pytest.approx(complete.shape[1] - cut / bytes_per_sample, abs=6000)
    assert np.std(samples[0, -16_000:]) == pytest.approx(np.std(complete[0, -16_000:]), rel=0.1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 1 << 32))
def test_other_bytes_are_not_sound(head: bytes, seed: int) -> None:
    content = head + np.random.default_rng(seed).bytes(20_000)
    if sniff(head) is None and sniff_sync_word(content) is None:
        assert find_beginning(io.BytesIO(content), content[:1024]) == (None, 0)


@pytest.mark.parametrize("name", ["a.mp3", "a.aac", "a.flac"])
@pytest.mark.parametrize("content", [NOISE, bytes(200_000), b"\xff" * 50_000, b"\xff\xfb" * 20_000, tag(NOISE)])
def test_other_bytes_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableRecording):
        read(path)


def test_wrong_tag_size_is_harmless(tmp_path: Path, originals: dict[str, bytes]) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(500) + originals["mp3.mp3"])
    assert read(path)[0].shape[1] == pytest.approx(48_000, abs=4000)


def test_search_is_limited(tmp_path: Path, originals: dict[str, bytes]) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(bytes(1 << 20) + originals["mp3.mp3"])
    with pytest.raises(UnreadableRecording):
        read(path)
