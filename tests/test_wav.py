"""The sound of a WAV file is found at any position, and notes say what is read and what is not."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio.reader import open_audio
from analyzer.audio.splice import Spliced
from analyzer.audio.wav import Wav, is_placeholder_length, read_wav
from tests.helpers import voices
from tests.helpers.encoders import write_wav

kinds = st.sampled_from([b"LIST", b"bext", b"fact", b"JUNK", b"cue ", b"iXML", b"abcd", b"id3 "])
chunks = st.lists(st.tuples(kinds, st.binary(max_size=61)), max_size=5)
FORMAT = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
PLACEHOLDERS = [
    *(0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000, 0xFFFFFFDB, 0xFFFFFFFE, 0xFFFFF000),
    *(0x7FFFFFFF - 36, 0x7FFFFFD0, 0x7FFFFF00, 0x80000000 - 44, 0xFFFFFFFF - 36, 0xFFFFFFFF - 44, 0x7FFF0000),
]


def chunk(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    """A chunk, padded to an even length as RIFF requires."""
    return kind + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)


def riff(*parts: bytes, kind: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(parts)
    return kind + struct.pack("<I", len(body)) + body


def with_chunks(before: list, between: list, data: bytes, after: list, size: int | None = None) -> bytes:
    """A WAV file with other chunks around its fmt and data chunks."""
    extra = [b"".join(chunk(*fields) for fields in group if fields[0] != b"fact") for group in (before, between, after)]
    return riff(extra[0], chunk(b"fmt ", FORMAT), extra[1], chunk(b"data", data, size), extra[2])


def parse(content: bytes) -> Wav:
    wav = read_wav(io.BytesIO(content))
    assert wav is not None
    return wav


def sound_of(content: bytes) -> bytes:
    """Return the sound of a WAV file, as the decoder gets it."""
    return b"".join(content[start:end] for start, end in parse(content).ranges)


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    with open_audio(path) as stream:
        return np.concatenate(list(stream.blocks()), axis=1), stream.notes


@given(before=chunks, between=chunks, data=st.binary(min_size=1, max_size=300), after=chunks)
def test_data_is_found_among_chunks(before: list, between: list, data: bytes, after: list) -> None:
    content = with_chunks(before, between, data, after)
    wav = parse(content)
    assert sound_of(content) == data
    assert (wav.promised_bytes, wav.missing_share, wav.is_plain, wav.notes) == (len(data), 0, True, [])


@given(between=chunks, data=st.binary(min_size=2, max_size=300), share=st.floats(0, 0.99))
def test_missing_bytes_are_counted(between: list, data: bytes, share: float) -> None:
    kept = int(len(data) * share)
    content = (
        riff(chunk(b"fmt ", FORMAT), *(chunk(*fields) for fields in between)) + b"data" + struct.pack("<I", len(data))
    )
    wav = parse(content + data[:kept])
    assert (wav.promised_bytes, wav.present_bytes) == (len(data), kept)
    assert wav.missing_share == 1 - kept / len(data)


@given(between=chunks, data=st.binary(max_size=300), size=st.sampled_from(PLACEHOLDERS))
def test_unknown_length_is_resolved(between: list, data: bytes, size: int) -> None:
    content = (
        riff(chunk(b"fmt ", FORMAT), *(chunk(*fields) for fields in between)) + b"data" + struct.pack("<I", size) + data
    )
    wav = parse(content)
    assert (wav.promised_bytes, wav.present_bytes, wav.missing_share) == (None, len(data), 0)


def test_true_length_is_no_placeholder() -> None:
    assert is_placeholder_length(0x7FFFFFFF, 1000)
    assert not is_placeholder_length(0x7FFFFFFF, 0x7FFFFFFF)
    assert not is_placeholder_length(3_000_000_000, 1000)


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
def test_ds64_chunk_gives_the_length(kind: bytes) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, 400, 200, 0))
    content = riff(sizes, chunk(b"fmt ", FORMAT), chunk(b"data", bytes(300), 0xFFFFFFFF), kind=kind)
    wav = parse(content)
    assert (wav.promised_bytes, wav.present_bytes, wav.missing_share) == (400, 300, 0.25)


def test_bw64_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    original = voices.speech(2)
    with open(path, "w+b") as handle:
        soundfile.write(handle, original, 8000, format="RF64", subtype="PCM_16")
    expected = read(path)
    content = path.read_bytes()
    path.write_bytes(b"BW64" + content[4:] if content[:4] == b"RF64" else content)
    samples, notes = read(path)
    assert np.array_equal(samples, expected[0])
    assert notes == []


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_safely(content: bytes) -> None:
    assert read_wav(io.BytesIO(content)) is None
    wav = read_wav(io.BytesIO(riff(content)))
    assert wav is None or 0 <= wav.present_bytes <= len(content)


def test_search_for_data_is_limited() -> None:
    content = riff(chunk(b"JUNK", bytes(1 << 20)), chunk(b"data", bytes(4)))
    assert read_wav(io.BytesIO(content)) is None


@given(samples=st.lists(st.integers(-32768, 32767), min_size=1, max_size=100), between=chunks)
def test_decoder_gets_true_length(samples: list[int], between: list) -> None:
    body = struct.pack(f"<{len(samples)}h", *samples)
    for size in PLACEHOLDERS:
        handle = io.BytesIO(with_chunks(between, between, body, [], size))
        wav = read_wav(handle)
        assert wav
        with soundfile.SoundFile(Spliced(handle, wav.pieces())) as sound:
            assert sound.read(dtype="int16").tolist() == samples


def test_over_4_gib_gets_rf64_header() -> None:
    wav = Wav(header=chunk(b"fmt ", FORMAT), ranges=[(100, 100 + (5 << 30))])
    header, sound = wav.pieces()
    assert isinstance(header, bytes)
    assert sound == (100, 100 + (5 << 30))
    with soundfile.SoundFile(Spliced(io.BytesIO(), [header, bytes(1000)])) as opened:
        assert (opened.format, opened.channels, opened.samplerate) == ("RF64", 1, 8000)
    assert header[20:36] == struct.pack("<QQ", len(header) - 8 + (5 << 30), 5 << 30)


#: Encodings of WAV files that are tested with a stale header.
CODECS = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "GSM610", "IMA_ADPCM", "MS_ADPCM"]


@settings(max_examples=60, deadline=None)
@given(
    subtype=st.sampled_from(CODECS),
    share=st.floats(0.01, 0.95),
    gain=st.sampled_from([1.0, 0.1, 0.01]),
    channels=st.integers(1, 2),
    seed=st.integers(0, 5),
)
def test_stale_header_hides_no_sound(
    tmp_path_factory: pytest.TempPathFactory, subtype: str, share: float, gain: float, channels: int, seed: int
) -> None:
    channels = 1 if subtype == "GSM610" else channels
    original = np.stack([gain * voices.speech(12, seed=seed + number) for number in range(channels)])
    path = write_wav(tmp_path_factory.getbasetemp() / "stale.wav", original, subtype=subtype)
    complete, _ = read(path)
    content = bytearray(path.read_bytes())
    size_at, format_at = content.index(b"data") + 4, content.index(b"fmt ") + 8
    block = struct.unpack_from("<H", content, format_at + 12)[0]
    size = int(struct.unpack_from("<I", content, size_at)[0] * share) // block * block
    struct.pack_into("<I", content, size_at, max(size, block))
    path.write_bytes(content)
    samples, notes = read(path)
    assert np.array_equal(samples[:, : complete.shape[1]], complete[:, : samples.shape[1]])
    assert samples.shape[1] == pytest.approx(complete.shape[1], abs=4100)
    assert len(notes) == 1
    assert notes[0].startswith("its header gives 0:")


def test_overflowed_length_is_read(tmp_path: Path) -> None:
    """If a recorder exceeds 4 GiB, the header holds a remainder of the length, which may end within a sample."""
    path = write_wav(tmp_path / "a.wav", np.stack([voices.speech(20, seed=1)] * 3))
    expected, _ = read(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, 12_347)
    path.write_bytes(content)
    assert np.array_equal(read(path)[0], expected)


rng = np.random.default_rng(1)
GARBAGE = {
    "random bytes": rng.bytes(100_000),
    "text": b"Dear colleague, this is what was said on the telephone yesterday.\n" * 2000,
    "XML": b"<recording><agent>17</agent><queue>billing</queue></recording>\n" * 2000,
}


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW", "IMA_ADPCM"])
@pytest.mark.parametrize("rest", GARBAGE)
def test_trailing_garbage_is_noted(tmp_path: Path, subtype: str, rest: str) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(3), subtype=subtype)
    expected, _ = read(path)
    path.write_bytes(path.read_bytes() + GARBAGE[rest])
    samples, notes = read(path)
    assert np.array_equal(samples, expected)
    assert notes == [f"not read: the last {len(GARBAGE[rest]):,} bytes, which are no sound of this encoding"]


@pytest.mark.parametrize(
    "rest",
    [
        chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 8) + b"recorder"),
        chunk(b"id3 ", b"ID3\x04" + bytes(5001)) + chunk(b"LIST", bytes(400)),
        chunk(b"\xa9abc"[:3] + b"d", b"")[:3],
        chunk(b"mine", rng.bytes(60_001)) + chunk(b"also", rng.bytes(7)),
        bytes(200_000),
        b"\xff" * 100_000,
        b"TAG" + bytes(125),
        b"LIST\x00\x10\x00\x00INFO",
        b"\r\n",
    ],
    ids=["LIST", "id3", "three bytes", "own chunks", "zeros", "ones", "ID3v1", "cut", "line end"],
)
def test_trailing_metadata_is_ignored(tmp_path: Path, rest: bytes) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(3))
    expected, _ = read(path)
    path.write_bytes(path.read_bytes() + rest)
    samples, notes = read(path)
    assert np.array_equal(samples, expected)
    assert notes == []


@settings(max_examples=40, deadline=None)
@given(between=chunks, after=chunks, count=st.integers(2, 4), odd=st.booleans())
def test_several_data_chunks_are_read(
    tmp_path_factory: pytest.TempPathFactory, between: list, after: list, count: int, odd: bool
) -> None:
    sounds = [voices.speech(1, seed=seed) for seed in range(count)]
    bodies = [(sound * 32767).astype("<i2").tobytes() for sound in sounds]
    extra = b"".join(chunk(*fields) for fields in between)
    parts = [chunk(b"data", body + bytes(odd)) + extra for body in bodies]
    path = tmp_path_factory.getbasetemp() / "chunks.wav"
    path.write_bytes(riff(chunk(b"fmt ", FORMAT), *parts, *(chunk(*fields) for fields in after)))
    samples, notes = read(path)
    assert np.array_equal(np.rint(samples[0] * 32768), np.concatenate([np.frombuffer(body, "<i2") for body in bodies]))
    assert notes == []


def test_joined_recordings_are_read(tmp_path: Path) -> None:
    sounds = [voices.speech(2, seed=number) for number in range(3)]
    parts = [write_wav(tmp_path / f"{number}.wav", sound).read_bytes() for number, sound in enumerate(sounds)]
    expected = [read(tmp_path / f"{number}.wav")[0] for number in range(3)]
    path = tmp_path / "a.wav"
    path.write_bytes(b"".join(parts))
    samples, notes = read(path)
    assert np.array_equal(samples, np.concatenate(expected, axis=1))
    assert notes == []


def test_second_format_is_noted(tmp_path: Path) -> None:
    first, second = (write_wav(tmp_path / f"{rate}.wav", voices.speech(2, rate), rate) for rate in (8000, 16_000))
    path = tmp_path / "a.wav"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    samples, notes = read(path)
    assert samples.shape[1] == 16_000
    assert notes == ["not read: a second recording in it, of another encoding"]


def test_cut_second_chunk_is_noted(tmp_path: Path) -> None:
    body = (voices.speech(10) * 32767).astype("<i2").tobytes()
    path = tmp_path / "a.wav"
    path.write_bytes(riff(chunk(b"fmt ", FORMAT), chunk(b"data", body), chunk(b"data", body))[:-80_000])
    samples, notes = read(path)
    assert samples.shape[1] == 120_000
    assert notes == ["truncated: 0:15 of 0:20"]


def test_empty_data_before_chunks_stays_empty(tmp_path: Path) -> None:
    content = with_chunks([], [], b"", [(b"LIST", bytes(400))])
    assert parse(content).present_bytes == 0


@given(
    kind=st.sampled_from([b"LIST", b"bext", b"JUNK"]),
    body=st.binary(max_size=61).filter(lambda content: len(content) % 2),
)
def test_missing_padding_is_accepted(kind: bytes, body: bytes) -> None:
    unpadded = kind + struct.pack("<I", len(body)) + body
    data = bytes(range(100))
    assert sound_of(riff(unpadded, chunk(b"fmt ", FORMAT), chunk(b"data", data))) == data
    assert sound_of(riff(chunk(b"fmt ", FORMAT), unpadded, chunk(b"data", data))) == data
    assert not parse(riff(chunk(b"fmt ", FORMAT), unpadded, chunk(b"data", data))).is_plain
