"""Decide whether bytes that no header describes are sound of an encoding, padding, or anything else."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

_PCM, _MS_ADPCM, _FLOAT, _ALAW, _MULAW, _IMA_ADPCM, _EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0xFFFE
#: Number of pieces examined, spread over the whole range, and blocks in each.
_EXAMINED_PIECES, _BLOCKS_PER_PIECE = 64, 4096
#: Samples whose mean step from one to the next exceeds this share of their mean level are noise. Noise above this RMS
#: does not occur in recordings, and is more likely other data.
_NOISE_STEP_RATIO, _LOUD_NOISE_RMS = 1.1, 0.15
#: Text looks like samples of one sign only. So does quiet sound with a constant offset, but at 16 bits or more that
#: offset is below this.
_LARGE_OFFSET = 0.3


@dataclass(frozen=True)
class WavFormat:
    """The contents of the `fmt ` chunk of a WAV."""

    tag: int
    channels: int
    rate: int
    byte_rate: int
    block_bytes: int
    bits: int

    @staticmethod
    def read(header: bytes) -> "WavFormat | None":
        """Parse the `fmt ` chunk among the chunks in `header`; return None if it is missing or invalid."""
        position = 0
        while position + 24 <= len(header):
            chunk_id, size = struct.unpack_from("<4sI", header, position)
            if chunk_id == b"fmt " and size >= 16:
                tag, channels, rate, byte_rate, block_bytes, bits = struct.unpack_from("<HHIIHH", header, position + 8)
                if tag == _EXTENSIBLE and size >= 26:
                    tag = struct.unpack_from("<H", header, position + 32)[0]
                return (
                    WavFormat(tag, channels, rate, byte_rate, block_bytes, bits) if block_bytes and channels else None
                )
            position += 8 + size + size % 2
        return None


def is_padding(handle: BinaryIO, start: int, end: int) -> bool:
    """Whether a range of a file repeats a single byte, as reserved space does."""
    handle.seek(start)
    first_byte = handle.read(1)
    while start < end:
        content = handle.read(min(1 << 20, end - start))
        if content.count(first_byte) < len(content) or not content:
            return not content
        start += len(content)
    return True


def is_sound(handle: BinaryIO, form: WavFormat, aligned: int, start: int, end: int) -> bool:
    """Whether a range of a file looks like sound of an encoding, in blocks aligned to `aligned`."""
    start += (aligned - start) % form.block_bytes
    if form.tag in (_PCM, _FLOAT, _ALAW, _MULAW):
        return _looks_like_samples(handle, form, start, end)
    if form.tag in (_IMA_ADPCM, _MS_ADPCM):
        return _looks_like_adpcm(handle, form, start, end)
    # Other encodings cannot be distinguished from other data, but other data seldom end with a whole block.
    return form.block_bytes >= 32 and (end - aligned) % form.block_bytes == 0


def _read_pieces(handle: BinaryIO, form: WavFormat, start: int, end: int) -> list[bytes]:
    """Read whole blocks, spread over a range."""
    block_count = (end - start) // form.block_bytes
    blocks_per_piece = min(_BLOCKS_PER_PIECE, max(1, (1 << 16) // form.block_bytes), block_count)
    pieces = []
    for first_block in np.unique(np.linspace(0, block_count - blocks_per_piece, _EXAMINED_PIECES).astype(np.int64)):
        handle.seek(start + int(first_block) * form.block_bytes)
        pieces.append(handle.read(blocks_per_piece * form.block_bytes))
    return [piece for piece in pieces if len(piece) == blocks_per_piece * form.block_bytes]


def _looks_like_samples(handle: BinaryIO, form: WavFormat, start: int, end: int) -> bool:
    step_sum = level_sum = power_sum = sample_count = 0.0
    pieces, one_sided_pieces, varied_pieces = _read_pieces(handle, form, start, end), 0, 0
    minimum_offset = _LARGE_OFFSET if form.bits > 8 else 0.0
    for piece in pieces:
        samples = _decode_samples(piece, form)
        if samples is None or not np.isfinite(samples).all() or (form.tag == _FLOAT and _is_implausible(samples)):
            return False
        if not np.ptp(samples):
            continue
        varied_pieces += 1
        one_sided_pieces += bool(((samples > 0).all() or (samples < 0).all()) and abs(samples.mean()) >= minimum_offset)
        centred = samples - samples.mean(axis=0)
        step_sum += float(np.abs(np.diff(samples, axis=0)).sum())
        level_sum += float(np.abs(centred).sum())
        power_sum += float(np.square(centred).sum())
        sample_count += samples.size
    if not varied_pieces:
        return bool(pieces)
    is_noise = step_sum > _NOISE_STEP_RATIO * level_sum and (power_sum / sample_count) ** 0.5 > _LOUD_NOISE_RMS
    return not is_noise and one_sided_pieces * 2 < varied_pieces


def _is_implausible(samples: np.ndarray) -> bool:
    """Whether over 1 % of floating-point numbers have a size that samples never have, scaled to 1 or to integers."""
    magnitudes = np.abs(samples)
    return float(((magnitudes > 1e10) | ((magnitudes > 0) & (magnitudes < 1e-20))).mean()) > 0.01


def _decode_samples(piece: bytes, form: WavFormat) -> np.ndarray | None:
    """Return samples shaped (samples, channels), full scale at 1.

    Return None if the encoding is not supported, or the number of samples is no multiple of the channels.
    """
    sample_types = {
        (_PCM, 16): ("<i2", 2**15),
        (_PCM, 32): ("<i4", 2**31),
        (_FLOAT, 32): ("<f4", 1),
        (_FLOAT, 64): ("<f8", 1),
    }
    if form.tag in (_ALAW, _MULAW):
        flat = _COMPANDING_TABLES[form.tag][np.frombuffer(piece, np.uint8)]
    elif (form.tag, form.bits) == (_PCM, 8):
        flat = np.frombuffer(piece, np.uint8) / 128.0 - 1
    elif (form.tag, form.bits) == (_PCM, 24):
        flat = np.frombuffer(piece, np.uint8).reshape(-1, 3)[:, 1:].copy().view("<i2")[:, 0] / 32768.0
    elif (form.tag, form.bits) in sample_types:
        sample_type, full_scale = sample_types[form.tag, form.bits]
        with np.errstate(all="ignore"):
            flat = np.frombuffer(piece, sample_type).astype(np.float64) / full_scale
    else:
        return None
    return flat.reshape(-1, form.channels) if flat.size % form.channels == 0 else None


def _companding_tables() -> dict[int, np.ndarray]:
    """Return the sample of each A-law and mu-law byte by format tag, accurate enough for these checks."""
    codes = np.arange(256)
    mu_law, a_law = ~codes & 0xFF, codes ^ 0x55
    mu_law_size = ((((mu_law & 15) << 3) + 132) << (mu_law >> 4 & 7)) - 132
    exponent = a_law >> 4 & 7
    a_law_size = np.where(exponent, (((a_law & 15) << 4) + 264) << np.maximum(exponent - 1, 0), ((a_law & 15) << 4) + 8)
    return {
        _MULAW: np.where(mu_law & 128, -mu_law_size, mu_law_size) / 32768.0,
        _ALAW: np.where(a_law & 128, a_law_size, -a_law_size) / 32768.0,
    }


_COMPANDING_TABLES = _companding_tables()


def _looks_like_adpcm(handle: BinaryIO, form: WavFormat, start: int, end: int) -> bool:
    """Whether blocks begin like ADPCM blocks: IMA's step index is at most 88, Microsoft's predictor index at most 6."""
    valid_blocks = block_count = 0
    for piece in _read_pieces(handle, form, start, end):
        blocks = np.frombuffer(piece, np.uint8).reshape(-1, form.block_bytes)
        if form.tag == _IMA_ADPCM and form.block_bytes >= 4 * form.channels:
            block_headers = blocks[:, : 4 * form.channels].reshape(len(blocks), form.channels, 4)
            is_valid = (block_headers[:, :, 2] <= 88).all(axis=1) & (block_headers[:, :, 3] == 0).all(axis=1)
        else:
            is_valid = (blocks[:, : form.channels] <= 6).all(axis=1)
        valid_blocks, block_count = valid_blocks + int(is_valid.sum()), block_count + len(blocks)
    return valid_blocks > 0.9 * block_count
