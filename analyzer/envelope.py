"""How a recording looks from afar: least and greatest sample per 0.1 s of each channel, kept for pictures."""

import zlib

import numpy as np

from analyzer.levels import NOTED_OFFSET

STEP_S = 0.1


class Envelope:
    """The envelope of samples that go by; its size grows by two bytes per channel and 0.1 s once it is packed.

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
        """Take the next samples of all channels, shaped (channels, samples)."""
        block = np.concatenate([self._rest, block], axis=1)
        whole = block.shape[1] // self._step * self._step
        pieces = block[:, :whole].reshape(len(block), -1, self._step)
        self._drawn.append(np.stack([pieces.min(axis=2), pieces.max(axis=2)], axis=2))
        # Added up one after the other, so that the sum does not depend on the blocks.
        sums = np.concatenate([self._total[:, None], pieces.sum(axis=2, dtype=np.float64)], axis=1)
        self._total, self._samples = np.add.accumulate(sums, axis=1)[:, -1], self._samples + whole
        self._rest = block[:, whole:]

    @property
    def offsets(self) -> np.ndarray:
        """The mean sample of each channel so far, but for what is left of the last step; shaped (channels,)."""
        return self._total / max(1, self._samples)

    def finish(self) -> np.ndarray:
        """The whole envelope, shaped (channels, points, 2), without a constant offset that is worth a note."""
        rest = self._rest
        if rest.shape[1]:
            self._drawn.append(np.stack([rest.min(axis=1), rest.max(axis=1)], axis=1)[:, None])
        offsets = np.where(np.abs(self.offsets) >= NOTED_OFFSET, self.offsets, 0).astype(np.float32)
        return np.concatenate(self._drawn, axis=1) - offsets[:, None, None]


def pack(envelope: np.ndarray) -> bytes:
    """Bytes for the ledger of an envelope shaped (channels, points, 2), samples between -1 and 1."""
    steps = np.rint(np.clip(envelope, -1, 1) * 127).astype(np.int8)
    return zlib.compress(steps.tobytes())


def unpack(packed: bytes, channels: int) -> np.ndarray:
    """The envelope that `pack` packed, shaped (channels, points, 2), float32, to 1/127."""
    steps = np.frombuffer(zlib.decompress(packed), np.int8)
    return steps.reshape(channels, -1, 2).astype(np.float32) / 127


def coarser(envelope: np.ndarray, points: int) -> np.ndarray:
    """An envelope of at most so many points, each the least and greatest of those that it stands for."""
    together = -(-envelope.shape[1] // points)
    if together <= 1:
        return envelope
    starts = np.arange(0, envelope.shape[1], together)
    least = np.minimum.reduceat(envelope[:, :, 0], starts, axis=1)
    greatest = np.maximum.reduceat(envelope[:, :, 1], starts, axis=1)
    return np.stack([least, greatest], axis=2)
