"""Bytes before the sound of a file are skipped, and nothing else is taken for sound."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio import open_audio
from analyzer.errors import UnreadableRecording
from analyzer.leading import find_beginning
from analyzer.signatures import sniff, sniff_sync_word
from tests import voices
from tests.encoders import ENCODINGS, write_with_ffmpeg

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


noise = np.random.default_rng(2).bytes(200_000)
LEADING = {
    "zeros": bytes(417),
    "many zeros": bytes(70_000),
    "a line end": b"\r\n",
    "a byte order mark": b"\xef\xbb\xbf",
    "HTTP": b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 17\r\n\r\n",
    "a tag": tag(b"TIT2\0\0\0\5\0\0\0call"),
    "a tag with a footer": tag(bytes(300), footer=True),
    "a tag with a picture": tag(noise),
    "two tags": tag(bytes(3000)) + tag(noise[:100]),
    "a tag and zeros": tag(bytes(300)) + bytes(2048),
    "other bytes": noise[:5000],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("leading", LEADING)
def test_what_lies_before_the_sound_is_passed_over(
    tmp_path: Path, originals: dict[str, bytes], name: str, leading: str
) -> None:
    path = tmp_path / name
    path.write_bytes(originals[name])
    whole, codec = read(path)
    path.write_bytes(LEADING[leading] + originals[name])
    found, codec_found = read(path)
    assert codec_found == codec
    assert abs(found.shape[1] - whole.shape[1]) <= 2400  # the frame with only the encoder's settings may differ
    shared = min(found.shape[1], whole.shape[1])
    assert np.abs(found[0, -shared:] - whole[0, -shared:]).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["mp3.mp3", "aac.aac", "mp2.mp2"]), cut=st.integers(1, 4000))
def test_a_file_that_begins_in_the_middle_of_a_frame_is_read_from_the_next(
    tmp_path_factory: pytest.TempPathFactory, originals: dict[str, bytes], name: str, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"cut-{name}"
    path.write_bytes(originals[name])
    whole, _ = read(path)
    path.write_bytes(originals[name][cut:])
    found, _ = read(path)
    rate = len(originals[name]) / whole.shape[1]
    assert found.shape[1] == pytest.approx(whole.shape[1] - cut / rate, abs=6000)
    assert np.std(found[0, -16_000:]) == pytest.approx(np.std(whole[0, -16_000:]), rel=0.1)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 1 << 32))
def test_other_bytes_are_not_taken_for_sound(head: bytes, seed: int) -> None:
    content = head + np.random.default_rng(seed).bytes(20_000)
    if sniff(head) is None and sniff_sync_word(content) is None:
        assert find_beginning(io.BytesIO(content), content[:1024]) == (None, 0)


@pytest.mark.parametrize("name", ["a.mp3", "a.aac", "a.flac"])
@pytest.mark.parametrize("content", [noise, bytes(200_000), b"\xff" * 50_000, b"\xff\xfb" * 20_000, tag(noise)])
def test_files_of_other_bytes_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableRecording):
        read(path)


def test_a_tag_whose_size_is_wrong_hides_nothing(tmp_path: Path, originals: dict[str, bytes]) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(500) + originals["mp3.mp3"])
    assert read(path)[0].shape[1] == pytest.approx(48_000, abs=4000)


def test_the_beginning_is_not_looked_for_without_end(tmp_path: Path, originals: dict[str, bytes]) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(bytes(1 << 20) + originals["mp3.mp3"])
    with pytest.raises(UnreadableRecording):
        read(path)
