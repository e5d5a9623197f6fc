"""Decide whether bytes that no header describes are sound of an encoding, padding, or anything else."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

_PCM, _MS_ADPCM, _FLOAT, _ALAW, _MULAW, _IMA_ADPCM, _EXTENSIBLE = 1, 2, 3, 6, 7, 0x11, 0xFFFE
#: Number of pieces examined, spread over the whole range, and blocks in each.
_PIECES, _BLOCKS = 64, 4096
#: Samples whose mean step from one to the next exceeds this share of their mean level are noise. Noise above this RMS
#: does not occur in recordings, and is more likely other data.
_NOISE, _LOUD = 1.1, 0.15
#: Text looks like samples of one sign only. So does quiet sound with a constant offset, but at 16 bits or more that
#: offset is below this.
_LARGE_OFFSET = 0.3


@dataclass(frozen=True)
class Form:
    """The contents of the `fmt ` chunk of a WAV."""

    tag: int
    channels: int
    rate: int
    byte_rate: int
    block_bytes: int
    bits: int

    @staticmethod
    def read(header: bytes) -> "Form | None":
        """Parse the `fmt ` chunk among the chunks in `header`; return None if it is missing or invalid."""
        at = 0
        while at + 24 <= len(header):
            kind, size = struct.unpack_from("<4sI", header, at)
            if kind == b"fmt " and size >= 16:
                tag, channels, rate, byte_rate, block_bytes, bits = struct.unpack_from("<HHIIHH", header, at + 8)
                if tag == _EXTENSIBLE and size >= 26:
                    tag = struct.unpack_from("<H", header, at + 32)[0]
                return Form(tag, channels, rate, byte_rate, block_bytes, bits) if block_bytes and channels else None
            at += 8 + size + size % 2
        return None


def is_padding(handle: BinaryIO, start: int, end: int) -> bool:
    """Whether a range of a file repeats a single byte, as reserved space does."""
    handle.seek(start)
    first = handle.read(1)
    while start < end:
        content = handle.read(min(1 << 20, end - start))
        if content.count(first) < len(content) or not content:
            return not content
        start += len(content)
    return True


def is_sound(handle: BinaryIO, form: Form, aligned: int, start: int, end: int) -> bool:
    """Whether a range of a file looks like sound of an encoding, in blocks aligned to `aligned`."""
    start += (aligned - start) % form.block_bytes
    if form.tag in (_PCM, _FLOAT, _ALAW, _MULAW):
        return _is_sound_of_samples(handle, form, start, end)
    if form.tag in (_IMA_ADPCM, _MS_ADPCM):
        return _is_sound_of_adpcm(handle, form, start, end)
    # Other encodings cannot be distinguished from other data, but other data seldom end with a whole block.
    return form.block_bytes >= 32 and (end - aligned) % form.block_bytes == 0


def _pieces(handle: BinaryIO, form: Form, start: int, end: int) -> list[bytes]:
    """Read whole blocks, spread over a range."""
    blocks = (end - start) // form.block_bytes
    size = min(_BLOCKS, max(1, (1 << 16) // form.block_bytes), blocks)
    found = []
    for at in np.unique(np.linspace(0, blocks - size, _PIECES).astype(np.int64)):
        handle.seek(start + int(at) * form.block_bytes)
        found.append(handle.read(size * form.block_bytes))
    return [piece for piece in found if len(piece) == size * form.block_bytes]


def _is_sound_of_samples(handle: BinaryIO, form: Form, start: int, end: int) -> bool:
    steps = level = power = count = 0.0
    pieces, one_sided, varied = _pieces(handle, form, start, end), 0, 0
    least_offset = _LARGE_OFFSET if form.bits > 8 else 0.0
    for piece in pieces:
        samples = _samples(piece, form)
        if samples is None or not np.isfinite(samples).all() or (form.tag == _FLOAT and _is_absurd(samples)):
            return False
        if not np.ptp(samples):
            continue
        varied += 1
        one_sided += bool(((samples > 0).all() or (samples < 0).all()) and abs(samples.mean()) >= least_offset)
        centred = samples - samples.mean(axis=0)
        steps += float(np.abs(np.diff(samples, axis=0)).sum())
        level += float(np.abs(centred).sum())
        power += float(np.square(centred).sum())
        count += samples.size
    if not varied:
        return bool(pieces)
    is_noise = steps > _NOISE * level and (power / count) ** 0.5 > _LOUD
    return not is_noise and one_sided * 2 < varied


def _is_absurd(samples: np.ndarray) -> bool:
    """Whether over 1 % of floating-point numbers have a size that samples never have, scaled to 1 or to integers."""
    sizes = np.abs(samples)
    return float(((sizes > 1e10) | ((sizes > 0) & (sizes < 1e-20))).mean()) > 0.01


def _samples(piece: bytes, form: Form) -> np.ndarray | None:
    """Return samples shaped (samples, channels), full scale at 1.

    Return None if the encoding is not supported, or the number of samples is no multiple of the channels.
    """
    kinds = {(_PCM, 16): ("<i2", 2**15), (_PCM, 32): ("<i4", 2**31), (_FLOAT, 32): ("<f4", 1), (_FLOAT, 64): ("<f8", 1)}
    if form.tag in (_ALAW, _MULAW):
        flat = _CURVES[form.tag][np.frombuffer(piece, np.uint8)]
    elif (form.tag, form.bits) == (_PCM, 8):
        flat = np.frombuffer(piece, np.uint8) / 128.0 - 1
    elif (form.tag, form.bits) == (_PCM, 24):
        flat = np.frombuffer(piece, np.uint8).reshape(-1, 3)[:, 1:].copy().view("<i2")[:, 0] / 32768.0
    elif (form.tag, form.bits) in kinds:
        kind, full_scale = kinds[form.tag, form.bits]
        with np.errstate(all="ignore"):
            flat = np.frombuffer(piece, kind).astype(np.float64) / full_scale
    else:
        return None
    return flat.reshape(-1, form.channels) if flat.size % form.channels == 0 else None


def _curves() -> dict[int, np.ndarray]:
    """Return the sample of each A-law and mu-law byte by format tag, accurate enough for these checks."""
    codes = np.arange(256)
    mu, a = ~codes & 0xFF, codes ^ 0x55
    mu_size = ((((mu & 15) << 3) + 132) << (mu >> 4 & 7)) - 132
    exponent = a >> 4 & 7
    a_size = np.where(exponent, (((a & 15) << 4) + 264) << np.maximum(exponent - 1, 0), ((a & 15) << 4) + 8)
    return {
        _MULAW: np.where(mu & 128, -mu_size, mu_size) / 32768.0,
        _ALAW: np.where(a & 128, a_size, -a_size) / 32768.0,
    }


_CURVES = _curves()


def _is_sound_of_adpcm(handle: BinaryIO, form: Form, start: int, end: int) -> bool:
    """Whether blocks begin like ADPCM blocks: IMA's step index is at most 88, Microsoft's predictor index at most 6."""
    likely = blocks = 0
    for piece in _pieces(handle, form, start, end):
        found = np.frombuffer(piece, np.uint8).reshape(-1, form.block_bytes)
        if form.tag == _IMA_ADPCM and form.block_bytes >= 4 * form.channels:
            heads = found[:, : 4 * form.channels].reshape(len(found), form.channels, 4)
            good = (heads[:, :, 2] <= 88).all(axis=1) & (heads[:, :, 3] == 0).all(axis=1)
        else:
            good = (found[:, : form.channels] <= 6).all(axis=1)
        likely, blocks = likely + int(good.sum()), blocks + len(found)
    return likely > 0.9 * blocks
