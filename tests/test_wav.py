"""The sound of a WAV file is found at any position, and notes say what is read and what is not."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio import open_audio
from analyzer.splice import Spliced
from analyzer.wav import Wav, is_unknown, read_wav
from tests import voices
from tests.encoders import write_wav

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


def laid_out(before: list, between: list, data: bytes, after: list, size: int | None = None) -> bytes:
    """A WAV file with other chunks around its fmt and data chunks."""
    extra = [b"".join(chunk(*one) for one in some if one[0] != b"fact") for some in (before, between, after)]
    return riff(extra[0], chunk(b"fmt ", FORMAT), extra[1], chunk(b"data", data, size), extra[2])


def found_in(content: bytes) -> Wav:
    wav = read_wav(io.BytesIO(content))
    assert wav is not None
    return wav


def sound_of(content: bytes) -> bytes:
    """Return the sound of a WAV file, as the decoder gets it."""
    return b"".join(content[start:end] for start, end in found_in(content).ranges)


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    with open_audio(path) as stream:
        return np.concatenate(list(stream.blocks()), axis=1), stream.notes


@given(before=chunks, between=chunks, data=st.binary(min_size=1, max_size=300), after=chunks)
def test_the_data_are_found_among_any_chunks(before: list, between: list, data: bytes, after: list) -> None:
    content = laid_out(before, between, data, after)
    wav = found_in(content)
    assert sound_of(content) == data
    assert (wav.promised_bytes, wav.missing_share, wav.is_plain, wav.notes) == (len(data), 0, True, [])


@given(between=chunks, data=st.binary(min_size=2, max_size=300), share=st.floats(0, 0.99))
def test_what_is_missing_is_counted(between: list, data: bytes, share: float) -> None:
    kept = int(len(data) * share)
    content = riff(chunk(b"fmt ", FORMAT), *(chunk(*one) for one in between)) + b"data" + struct.pack("<I", len(data))
    wav = found_in(content + data[:kept])
    assert (wav.promised_bytes, wav.present_bytes) == (len(data), kept)
    assert wav.missing_share == 1 - kept / len(data)


@given(between=chunks, data=st.binary(max_size=300), size=st.sampled_from(PLACEHOLDERS))
def test_an_unknown_length_reaches_to_the_end(between: list, data: bytes, size: int) -> None:
    content = riff(chunk(b"fmt ", FORMAT), *(chunk(*one) for one in between)) + b"data" + struct.pack("<I", size) + data
    wav = found_in(content)
    assert (wav.promised_bytes, wav.present_bytes, wav.missing_share) == (None, len(data), 0)


def test_a_length_that_is_there_is_no_placeholder() -> None:
    assert is_unknown(0x7FFFFFFF, 1000)
    assert not is_unknown(0x7FFFFFFF, 0x7FFFFFFF)
    assert not is_unknown(3_000_000_000, 1000)


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
def test_a_long_file_has_its_length_in_its_own_chunk(kind: bytes) -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, 400, 200, 0))
    content = riff(sizes, chunk(b"fmt ", FORMAT), chunk(b"data", bytes(300), 0xFFFFFFFF), kind=kind)
    wav = found_in(content)
    assert (wav.promised_bytes, wav.present_bytes, wav.missing_share) == (400, 300, 0.25)


def test_a_bw64_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    said = voices.speech(2)
    with open(path, "w+b") as handle:
        soundfile.write(handle, said, 8000, format="RF64", subtype="PCM_16")
    whole = read(path)
    content = path.read_bytes()
    path.write_bytes(b"BW64" + content[4:] if content[:4] == b"RF64" else content)
    found, notes = read(path)
    assert np.array_equal(found, whole[0])
    assert notes == []


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_for_what_they_are(content: bytes) -> None:
    assert read_wav(io.BytesIO(content)) is None
    found = read_wav(io.BytesIO(riff(content)))
    assert found is None or 0 <= found.present_bytes <= len(content)


def test_data_that_are_nowhere_near_are_given_up() -> None:
    far = riff(chunk(b"JUNK", bytes(1 << 20)), chunk(b"data", bytes(4)))
    assert read_wav(io.BytesIO(far)) is None


@given(samples=st.lists(st.integers(-32768, 32767), min_size=1, max_size=100), between=chunks)
def test_the_decoder_gets_the_true_length(samples: list[int], between: list) -> None:
    body = struct.pack(f"<{len(samples)}h", *samples)
    for size in PLACEHOLDERS:
        handle = io.BytesIO(laid_out(between, between, body, [], size))
        wav = read_wav(handle)
        assert wav
        with soundfile.SoundFile(Spliced(handle, wav.pieces())) as sound:
            assert sound.read(dtype="int16").tolist() == samples


def test_more_sound_than_32_bits_can_say_gets_a_header_of_64() -> None:
    wav = Wav(header=chunk(b"fmt ", FORMAT), ranges=[(100, 100 + (5 << 30))])
    header, sound = wav.pieces()
    assert isinstance(header, bytes)
    assert sound == (100, 100 + (5 << 30))
    with soundfile.SoundFile(Spliced(io.BytesIO(), [header, bytes(1000)])) as opened:
        assert (opened.format, opened.channels, opened.samplerate) == ("RF64", 1, 8000)
    assert header[20:36] == struct.pack("<QQ", len(header) - 8 + (5 << 30), 5 << 30)


#: Encodings of WAV files that are tested with a header that is out of date.
STALE = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "GSM610", "IMA_ADPCM", "MS_ADPCM"]


@settings(max_examples=60, deadline=None)
@given(
    subtype=st.sampled_from(STALE),
    share=st.floats(0.01, 0.95),
    level=st.sampled_from([1.0, 0.1, 0.01]),
    channels=st.integers(1, 2),
    seed=st.integers(0, 5),
)
def test_a_header_that_is_out_of_date_does_not_hide_sound(
    tmp_path_factory: pytest.TempPathFactory, subtype: str, share: float, level: float, channels: int, seed: int
) -> None:
    channels = 1 if subtype == "GSM610" else channels
    said = np.stack([level * voices.speech(12, seed=seed + k) for k in range(channels)])
    path = write_wav(tmp_path_factory.getbasetemp() / "stale.wav", said, subtype=subtype)
    whole, _ = read(path)
    content = bytearray(path.read_bytes())
    at, fmt = content.index(b"data") + 4, content.index(b"fmt ") + 8
    block = struct.unpack_from("<H", content, fmt + 12)[0]
    size = int(struct.unpack_from("<I", content, at)[0] * share) // block * block
    struct.pack_into("<I", content, at, max(size, block))
    path.write_bytes(content)
    found, notes = read(path)
    assert np.array_equal(found[:, : whole.shape[1]], whole[:, : found.shape[1]])
    assert found.shape[1] == pytest.approx(whole.shape[1], abs=4100)
    assert len(notes) == 1
    assert notes[0].startswith("its header gives 0:")


def test_a_length_that_did_not_fit_32_bits_is_read_on(tmp_path: Path) -> None:
    """If a recorder exceeds 4 GiB, the header holds a remainder of the length, which may end within a sample."""
    path = write_wav(tmp_path / "a.wav", np.stack([voices.speech(20, seed=1)] * 3))
    whole, _ = read(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, 12_347)
    path.write_bytes(content)
    assert np.array_equal(read(path)[0], whole)


rng = np.random.default_rng(1)
RESTS = {
    "random bytes": rng.bytes(100_000),
    "text": b"Dear colleague, this is what was said on the telephone yesterday.\n" * 2000,
    "XML": b"<recording><agent>17</agent><queue>billing</queue></recording>\n" * 2000,
}


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW", "IMA_ADPCM"])
@pytest.mark.parametrize("rest", RESTS)
def test_what_is_no_sound_is_not_read_and_noted(tmp_path: Path, subtype: str, rest: str) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(3), subtype=subtype)
    whole, _ = read(path)
    path.write_bytes(path.read_bytes() + RESTS[rest])
    found, notes = read(path)
    assert np.array_equal(found, whole)
    assert notes == [f"not read: the last {len(RESTS[rest]):,} bytes, which are no sound of this encoding"]


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
def test_what_programs_write_after_the_sound_is_neither_read_nor_noted(tmp_path: Path, rest: bytes) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(3))
    whole, _ = read(path)
    path.write_bytes(path.read_bytes() + rest)
    found, notes = read(path)
    assert np.array_equal(found, whole)
    assert notes == []


@settings(max_examples=40, deadline=None)
@given(between=chunks, after=chunks, count=st.integers(2, 4), odd=st.booleans())
def test_more_chunks_of_sound_are_read(
    tmp_path_factory: pytest.TempPathFactory, between: list, after: list, count: int, odd: bool
) -> None:
    said = [voices.speech(1, seed=k) for k in range(count)]
    bodies = [(sound * 32767).astype("<i2").tobytes() for sound in said]
    extra = b"".join(chunk(*one) for one in between)
    parts = [chunk(b"data", body + bytes(odd)) + extra for body in bodies]
    path = tmp_path_factory.getbasetemp() / "chunks.wav"
    path.write_bytes(riff(chunk(b"fmt ", FORMAT), *parts, *(chunk(*one) for one in after)))
    found, notes = read(path)
    assert np.array_equal(np.rint(found[0] * 32768), np.concatenate([np.frombuffer(body, "<i2") for body in bodies]))
    assert notes == []


def test_recordings_one_after_the_other_are_read(tmp_path: Path) -> None:
    said = [voices.speech(2, seed=k) for k in range(3)]
    parts = [write_wav(tmp_path / f"{k}.wav", sound).read_bytes() for k, sound in enumerate(said)]
    whole = [read(tmp_path / f"{k}.wav")[0] for k in range(3)]
    path = tmp_path / "a.wav"
    path.write_bytes(b"".join(parts))
    found, notes = read(path)
    assert np.array_equal(found, np.concatenate(whole, axis=1))
    assert notes == []


def test_a_second_recording_of_another_encoding_is_noted(tmp_path: Path) -> None:
    one, two = (write_wav(tmp_path / f"{rate}.wav", voices.speech(2, rate), rate) for rate in (8000, 16_000))
    path = tmp_path / "a.wav"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    found, notes = read(path)
    assert found.shape[1] == 16_000
    assert notes == ["not read: a second recording in it, of another encoding"]


def test_a_chunk_of_sound_that_is_cut_off_counts_as_missing(tmp_path: Path) -> None:
    body = (voices.speech(10) * 32767).astype("<i2").tobytes()
    path = tmp_path / "a.wav"
    path.write_bytes(riff(chunk(b"fmt ", FORMAT), chunk(b"data", body), chunk(b"data", body))[:-80_000])
    found, notes = read(path)
    assert found.shape[1] == 120_000
    assert notes == ["truncated: 0:15 of 0:20"]


def test_a_recording_of_no_sound_with_chunks_after_it_stays_empty(tmp_path: Path) -> None:
    content = laid_out([], [], b"", [(b"LIST", bytes(400))])
    assert found_in(content).present_bytes == 0


@given(kind=st.sampled_from([b"LIST", b"bext", b"JUNK"]), body=st.binary(max_size=61).filter(lambda b: len(b) % 2))
def test_padding_that_a_chunk_before_the_sound_lacks_is_not_missed(kind: bytes, body: bytes) -> None:
    unpadded = kind + struct.pack("<I", len(body)) + body
    data = bytes(range(100))
    assert sound_of(riff(unpadded, chunk(b"fmt ", FORMAT), chunk(b"data", data))) == data
    assert sound_of(riff(chunk(b"fmt ", FORMAT), unpadded, chunk(b"data", data))) == data
    assert not found_in(riff(chunk(b"fmt ", FORMAT), unpadded, chunk(b"data", data))).is_plain
