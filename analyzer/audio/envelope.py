"""Waveform envelope for drawing: minimum and maximum sample per 0.1 s of each channel."""

import zlib

import numpy as np

from analyzer.audio.levels import NOTED_OFFSET

STEP_S = 0.1


class Envelope:
    """Streaming computation of the envelope.

    The packed envelope takes two bytes per channel and 0.1 s before compression.

    Parameters
    ----------
    rate : samples per second.
    channels : number of channels.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._step = round(STEP_S * rate)
        self._total, self._samples = np.zeros(channels), 0
        self._drawn: list[np.ndarray] = []
        self._rest = np.empty((channels, 0), np.float32)

    def push(self, block: np.ndarray) -> None:
        """Process the next samples of all channels, shaped (channels, samples)."""
        block = np.concatenate([self._rest, block], axis=1)
        whole = block.shape[1] // self._step * self._step
        pieces = block[:, :whole].reshape(len(block), -1, self._step)
        self._drawn.append(np.stack([pieces.min(axis=2), pieces.max(axis=2)], axis=2))
        # Added one by one, so that rounding of the sum does not depend on the block size.
        sums = np.concatenate([self._total[:, None], pieces.sum(axis=2, dtype=np.float64)], axis=1)
        self._total, self._samples = np.add.accumulate(sums, axis=1)[:, -1], self._samples + whole
        self._rest = block[:, whole:]

    @property
    def offsets(self) -> np.ndarray:
        """Mean sample of each channel so far, excluding an incomplete last step; shaped (channels,)."""
        return self._total / max(1, self._samples)

    def finish(self) -> np.ndarray:
        """Return the envelope, shaped (channels, points, 2); a constant offset of NOTED_OFFSET or more is removed."""
        rest = self._rest
        if rest.shape[1]:
            self._drawn.append(np.stack([rest.min(axis=1), rest.max(axis=1)], axis=1)[:, None])
        offsets = np.where(np.abs(self.offsets) >= NOTED_OFFSET, self.offsets, 0).astype(np.float32)
        return np.concatenate(self._drawn, axis=1) - offsets[:, None, None]


def pack(envelope: np.ndarray) -> bytes:
    """Compress an envelope, shaped (channels, points, 2), for the ledger; samples are clipped to -1 to 1."""
    steps = np.rint(np.clip(envelope, -1, 1) * 127).astype(np.int8)
    return zlib.compress(steps.tobytes())


def unpack(packed: bytes, channels: int) -> np.ndarray:
    """Return the envelope compressed by `pack`, shaped (channels, points, 2), float32, in steps of 1/127."""
    steps = np.frombuffer(zlib.decompress(packed), np.int8)
    return steps.reshape(channels, -1, 2).astype(np.float32) / 127


def coarser(envelope: np.ndarray, points: int) -> np.ndarray:
    """Reduce an envelope to at most `points` points, each the minimum and maximum of the points that it replaces."""
    together = -(-envelope.shape[1] // points)
    if together <= 1:
        return envelope
    starts = np.arange(0, envelope.shape[1], together)
    least = np.minimum.reduceat(envelope[:, :, 0], starts, axis=1)
    greatest = np.maximum.reduceat(envelope[:, :, 1], starts, axis=1)
    return np.stack([least, greatest], axis=2)
