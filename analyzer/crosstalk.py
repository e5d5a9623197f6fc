"""The voice of another channel that leaks into a channel: far softer than there, and at the same times."""

import numpy as np

from analyzer.speech import Segment

_STEP_S = 0.016
#: How far below the other channel, in how much of the loud part of a segment, a leak is at least.
_BELOW_DB, _SHARE = 25.0, 0.8
#: How alike the levels of both have to go up and down, and how much later those of a leak may.
_LIKENESS, _LONGEST_DELAY = 0.6, 6
#: Levels this far below the loudest of a segment are the noise of the line.
_RANGE_DB = 25.0
#: Seconds of levels that are kept: more than the longest segment and the pause after it.
_KEPT_S = 6.0


class Crosstalk:
    """Finds segments of a channel that are the voice of another channel; its size does not grow with the sound.

    Parameters
    ----------
    rate : samples per second.
    channels : number of channels.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._step, self._rate = round(_STEP_S * rate), rate
        self._rest = np.empty((channels, 0), np.float32)
        self._levels = np.empty((channels, 0))  # in dBFS
        self._kept_from = 0  # the step at which the kept levels begin

    def push(self, block: np.ndarray) -> None:
        """Take the next samples of all channels, shaped (channels, samples), before asking for segments in them."""
        drop = max(0, self._levels.shape[1] - round(_KEPT_S / _STEP_S))
        self._kept_from += drop
        block = np.concatenate([self._rest, block], axis=1)
        whole = block.shape[1] // self._step * self._step
        frames = block[:, :whole].reshape(len(block), -1, self._step)
        power = np.square(frames).mean(axis=2) - np.square(frames.mean(axis=2))  # without a constant offset
        levels = 10 * np.log10(np.maximum(power, 1e-12))
        self._levels = np.concatenate([self._levels[:, drop:], levels], axis=1)
        self._rest = block[:, whole:]

    def is_leak(self, segment: Segment, channel: int) -> bool:
        """Whether the segment of the channel, counted from 1, is a voice of another channel."""
        first, last = (round(at * self._rate) // self._step - self._kept_from for at in (segment.start, segment.end))
        own = self._levels[channel - 1, first:last]
        others = [k for k in range(len(self._levels)) if k != channel - 1]
        return any(self._leaks(own, self._levels[k], first) for k in others)

    def _leaks(self, own: np.ndarray, other: np.ndarray, first: int) -> bool:
        """Whether the levels of a segment follow those of another channel, some steps before at most."""
        loud = own >= own.max(initial=-120.0) - _RANGE_DB / 2
        delays = range(min(_LONGEST_DELAY, first) + 1) if loud.any() else ()
        for delay in delays:
            source = other[first - delay :][: len(own)]
            if len(source) < len(own):
                continue
            if np.mean((source - own)[loud] >= _BELOW_DB) >= _SHARE and _likeness(source, own) >= _LIKENESS:
                return True
        return False


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two rows of levels in dBFS, without what is far below their loudest; 0 if steady."""
    above = [np.maximum(levels, levels.max() - _RANGE_DB) for levels in (one, other)]
    one, other = (levels - levels.mean() for levels in above)
    power = float(np.sum(one * one) * np.sum(other * other))
    return float(np.sum(one * other)) / power**0.5 if power > 0 else 0.0
