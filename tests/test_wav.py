"""The data of a WAV file are found whatever stands before them, and its true length is told."""

import io
import struct

import numpy as np
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from analyzer.wav import UNKNOWN_SIZES, WavData, WavWithTrueSize, read_wav_data

kinds = st.sampled_from([b"LIST", b"bext", b"fact", b"JUNK", b"cue ", b"iXML", b"\x00\x00\x00\x00", b"atad"])
chunks = st.lists(st.tuples(kinds, st.binary(max_size=61)), max_size=5)
FORMAT = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)


def chunk(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    """A chunk, padded to an even length as RIFF wants it."""
    return kind + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)


def riff(*parts: bytes, kind: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(parts)
    return kind + struct.pack("<I", len(body)) + body


def laid_out(before: list, between: list, data: bytes, after: list, size: int | None = None) -> bytes:
    """A WAV file with other chunks around its own two."""
    extra = [b"".join(chunk(*one) for one in some) for some in (before, between, after)]
    return riff(extra[0], chunk(b"fmt ", FORMAT), extra[1], chunk(b"data", data, size), extra[2])


@given(before=chunks, between=chunks, data=st.binary(min_size=1, max_size=300), after=chunks)
def test_the_data_are_found_among_any_chunks(before: list, between: list, data: bytes, after: list) -> None:
    content = laid_out(before, between, data, after)
    found = read_wav_data(io.BytesIO(content))
    assert found is not None
    start = found.size_at + 4
    assert content[start - 8 : start - 4] == b"data"
    assert content[start : start + found.present_bytes] == data
    assert (found.promised_bytes, found.missing_share) == (len(data), 0)


@given(between=chunks, data=st.binary(min_size=2, max_size=300), share=st.floats(0, 0.99))
def test_what_is_missing_is_counted(between: list, data: bytes, share: float) -> None:
    kept = int(len(data) * share)
    content = riff(chunk(b"fmt ", FORMAT), *(chunk(*one) for one in between)) + b"data" + struct.pack("<I", len(data))
    found = read_wav_data(io.BytesIO(content + data[:kept]))
    assert found is not None
    assert (found.promised_bytes, found.present_bytes) == (len(data), kept)
    assert found.missing_share == 1 - kept / len(data)


@given(between=chunks, data=st.binary(max_size=300), size=st.sampled_from(UNKNOWN_SIZES))
def test_an_unknown_length_reaches_to_the_end(between: list, data: bytes, size: int) -> None:
    content = riff(chunk(b"fmt ", FORMAT), *(chunk(*one) for one in between)) + b"data" + struct.pack("<I", size) + data
    found = read_wav_data(io.BytesIO(content))
    assert found is not None
    assert (found.promised_bytes, found.present_bytes, found.missing_share) == (None, len(data), 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_for_what_they_are(content: bytes) -> None:
    assert read_wav_data(io.BytesIO(content)) is None
    found = read_wav_data(io.BytesIO(riff(content)))
    assert found is None or 0 <= found.present_bytes <= len(content)


def test_a_long_file_tells_its_length_in_its_own_chunk() -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, 400, 200, 0))
    content = riff(sizes, chunk(b"fmt ", FORMAT), chunk(b"data", bytes(300), 0xFFFFFFFF), kind=b"RF64")
    found = read_wav_data(io.BytesIO(content))
    assert found is not None
    assert (found.promised_bytes, found.present_bytes, found.missing_share) == (400, 300, 0.25)


def test_data_that_are_nowhere_near_are_given_up() -> None:
    far = riff(chunk(b"JUNK", bytes(1 << 20)), chunk(b"data", bytes(4)))
    assert read_wav_data(io.BytesIO(far)) is None


@given(between=chunks, samples=st.lists(st.integers(-32768, 32767), min_size=1, max_size=100), data=st.data())
def test_a_file_with_its_true_length_reads_the_same_whatever_the_read_sizes(
    between: list, samples: list[int], data: st.DataObject
) -> None:
    body = struct.pack(f"<{len(samples)}h", *samples)
    content = laid_out(between, between, body, [])
    for size in UNKNOWN_SIZES:
        handle = io.BytesIO(laid_out(between, between, body, [], size))
        found = read_wav_data(handle)
        assert found is not None
        source = WavWithTrueSize(handle, found)
        pieces = []
        while piece := source.read(data.draw(st.integers(1, 64))):
            pieces.append(piece)
        assert b"".join(pieces) == content
        at = data.draw(st.integers(0, len(content)))
        assert source.seek(at) == source.tell() == at
        assert source.read(9) == content[at : at + 9]


def test_libsndfile_reads_all_of_a_file_whose_length_nobody_wrote() -> None:
    samples = np.arange(-500, 500, dtype=np.int16)
    handle = io.BytesIO(laid_out([(b"LIST", b"abc")], [], samples.tobytes(), [], 0))
    found = read_wav_data(handle)
    assert found is not None
    with soundfile.SoundFile(WavWithTrueSize(handle, found)) as sound:
        assert np.array_equal(sound.read(dtype="int16"), samples)


def test_nothing_is_missing_where_nothing_was_promised() -> None:
    assert WavData(None, 5, 40).missing_share == 0
    assert WavData(4, 5, 40).missing_share == 0
