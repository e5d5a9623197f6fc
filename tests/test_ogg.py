"""All recordings of an Ogg file are read, and sound after missing pages keeps its time."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio import ogg_pages
from analyzer.audio.reader import open_audio
from analyzer.errors import UnreadableRecording
from tests.helpers.containers import Track, bursts, onsets, write_tracks, write_vorbis

CODECS = {"libopus": 48_000, "vorbis": 16_000, "flac": 16_000}
every_codec = pytest.mark.parametrize("codec", CODECS)
NEAR = 0.05


def write_ogg(path: Path, codec: str, seconds: float, times: list[float], channels: int = 1) -> bytes:
    """Write an Ogg file with bursts at the given times; return its bytes."""
    rate = CODECS[codec]
    sound = np.stack([bursts(seconds, rate, times)] * channels)
    if codec == "vorbis":
        return write_vorbis(path, sound, rate).read_bytes()
    return write_tracks(path, "ogg", Track(sound, rate, codec)).read_bytes()


def split_pages(content: bytes) -> list[bytes]:
    """Split an Ogg file into its pages, which must follow each other without gaps."""
    pages = list(ogg_pages._pages(io.BytesIO(content)))
    assert b"".join(content[page.start : page.end] for page in pages) == content
    return [content[page.start : page.end] for page in pages]


def read(path: Path) -> tuple[np.ndarray, int, list[str]]:
    """Return all samples, the sample rate and the notes."""
    with open_audio(path) as stream:
        sound = np.concatenate(list(stream.blocks()), axis=1)
        return sound, stream.rate, stream.notes


@every_codec
def test_complete_file_has_no_notes(tmp_path: Path, codec: str) -> None:
    write_ogg(tmp_path / "a.ogg", codec, 8, [0.5, 3, 6.5])
    sound, rate, notes = read(tmp_path / "a.ogg")
    assert onsets(sound[0], rate) == pytest.approx([0.5, 3, 6.5], abs=NEAR)
    assert sound.shape[1] / rate == pytest.approx(8, abs=0.05)
    assert notes == []


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Twenty seconds in each encoding, with a burst every second."""
    folder = tmp_path_factory.mktemp("whole")
    return {codec: write_ogg(folder / codec, codec, 20, [second + 0.3 for second in range(20)]) for codec in CODECS}


@settings(max_examples=60, deadline=None)
@given(codec=st.sampled_from(sorted(CODECS)), data=st.data())
def test_sound_around_lost_pages_keeps_its_time(
    tmp_path_factory: pytest.TempPathFactory, complete: dict[str, bytes], codec: str, data: st.DataObject
) -> None:
    pages = split_pages(complete[codec])
    lost = data.draw(st.sets(st.integers(3, len(pages) - 2), max_size=6))
    is_damaged = data.draw(st.booleans())
    content = [
        page if number not in lost else page[:-9] + b"overwrite" if is_damaged else b""
        for number, page in enumerate(pages)
    ]
    path = tmp_path_factory.getbasetemp() / "lost.ogg"
    path.write_bytes(b"".join(content))
    sound, rate, notes = read(path)
    granules = [struct.unpack_from("<q", page, 6)[0] / CODECS[codec] for page in pages]
    gaps = [(granules[number - 1], granules[number]) for number in lost]
    times = [number + 0.3 for number in range(20)]
    detected = onsets(sound[0], rate)
    for at in times:
        if all(at + 0.3 < start or at - 0.4 > end for start, end in gaps):
            assert min(abs(onset - at) for onset in detected) < NEAR
    assert len(detected) <= 20 + len(gaps)
    assert sound.shape[1] / rate == pytest.approx(20, abs=0.1)
    assert bool(notes) == bool(lost)
    assert all(note.startswith("damaged: data are missing") or "damaged packets" in note for note in notes)


def test_duplicate_pages_are_read_once(tmp_path: Path, complete: dict[str, bytes]) -> None:
    pages = split_pages(complete["libopus"])
    (tmp_path / "a.ogg").write_bytes(b"".join([*pages[:9], *pages[5:9], *pages[9:]]))
    sound, rate, notes = read(tmp_path / "a.ogg")
    assert onsets(sound[0], rate) == pytest.approx([second + 0.3 for second in range(20)], abs=NEAR)
    assert notes == []


def test_lost_first_page_is_silence(tmp_path: Path, complete: dict[str, bytes]) -> None:
    pages = split_pages(complete["libopus"])
    (tmp_path / "a.ogg").write_bytes(b"".join(pages[:2] + pages[3:]))
    sound, rate, notes = read(tmp_path / "a.ogg")
    assert onsets(sound[0], rate)[-1] == pytest.approx(19.3, abs=NEAR)
    assert notes == ["damaged: data are missing"]


@every_codec
@pytest.mark.parametrize("after", CODECS)
def test_chained_recordings_are_read(tmp_path: Path, codec: str, after: str) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    path = tmp_path / "a.ogg"
    path.write_bytes(write_ogg(first, codec, 5, [1.0, 4.0]) + write_ogg(second, after, 6, [0.5, 5.0]))
    sound, rate, notes = read(path)
    assert onsets(sound[0], rate) == pytest.approx([1.0, 4.0, 5.5, 10.0], abs=NEAR)
    assert rate == max(CODECS[codec], CODECS[after])
    assert sound.shape[1] / rate == pytest.approx(11, abs=0.1)
    assert notes == []


def test_change_of_channels_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    parts = [write_ogg(tmp_path / str(number), "libopus", 5, [1.0], channels) for number, channels in enumerate((1, 2))]
    path.write_bytes(b"".join(parts))
    sound, rate, notes = read(path)
    assert [onsets(channel, rate) for channel in sound] == [pytest.approx([1.0, 6.0], abs=NEAR)] * 2
    assert notes == ["from 0:00 on it has 1 of 2 channels"]


def test_missing_beginning_is_noted(tmp_path: Path, complete: dict[str, bytes]) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(write_ogg(tmp_path / "1", "libopus", 5, [1.0]) + b"".join(split_pages(complete["vorbis"])[3:]))
    sound, rate, notes = read(path)
    assert sound.shape[1] / rate == pytest.approx(5, abs=0.05)
    assert notes == ["a part of it was not read: its beginning is missing"]


def test_two_tracks_are_channels(tmp_path: Path) -> None:
    tracks = [Track(bursts(6, 48_000, [at]), 48_000, "libopus") for at in (1.0, 4.0)]
    sound, rate, _ = read(write_tracks(tmp_path / "a.ogg", "ogg", *tracks))
    assert [onsets(channel, rate) for channel in sound] == [pytest.approx([at], abs=NEAR) for at in (1.0, 4.0)]


def test_late_times_start_at_zero(tmp_path: Path) -> None:
    """As from a recorder of a radio stream, whose timestamps began long before."""
    path = write_tracks(tmp_path / "a.ogg", "ogg", Track(bursts(5, 48_000, [1.0]), 48_000, "libopus", late_s=5000))
    sound, rate, notes = read(path)
    assert onsets(sound[0], rate) == pytest.approx([1.0], abs=NEAR)
    assert notes == []


def test_headers_alone_are_refused(tmp_path: Path, complete: dict[str, bytes]) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(b"".join(split_pages(complete["libopus"])[:2]))
    with pytest.raises(UnreadableRecording):
        read(path)


def test_checksum_is_that_of_ogg(complete: dict[str, bytes]) -> None:
    page = bytearray(split_pages(complete["vorbis"])[0])
    assert ogg_pages._page(io.BytesIO(page), 0)
    page[-1] ^= 1
    assert ogg_pages._page(io.BytesIO(page), 0) is None
