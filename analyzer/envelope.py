"""How a recording looks from afar: least and greatest sample per 0.1 s of each channel, kept for pictures."""

import zlib

import numpy as np

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
        self._drawn: list[np.ndarray] = []
        self._rest = np.empty((channels, 0), np.float32)

    def push(self, block: np.ndarray) -> None:
        """Take the next samples of all channels, shaped (channels, samples)."""
        block = np.concatenate([self._rest, block], axis=1)
        whole = block.shape[1] // self._step * self._step
        pieces = block[:, :whole].reshape(len(block), -1, self._step)
        self._drawn.append(np.stack([pieces.min(axis=2), pieces.max(axis=2)], axis=2))
        self._rest = block[:, whole:]

    def finish(self) -> np.ndarray:
        """The whole envelope, shaped (channels, points, 2)."""
        rest = self._rest
        if rest.shape[1]:
            self._drawn.append(np.stack([rest.min(axis=1), rest.max(axis=1)], axis=1)[:, None])
        return np.concatenate(self._drawn, axis=1)


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
