"""Crosstalk detection: the voice of another channel leaks into a channel, far softer and at the same times."""

from collections.abc import Iterable

import numpy as np

from analyzer.speech.detector import Segment, SpeechDetector

#: A leak is at least this far below the other channel, in at least this share of the loud frames of the segment.
_BELOW_DB, _SHARE = 25.0, 0.8
#: Minimum correlation of the levels of both channels, and maximum delay of a leak in frames.
_LIKENESS, _LONGEST_DELAY = 0.6, 6
#: Levels this far below the loudest of a segment are considered line noise.
_RANGE_DB = 25.0


def is_leak(segment: Segment, detector: SpeechDetector, others: Iterable[SpeechDetector]) -> bool:
    """Whether a segment is crosstalk from another channel.

    Parameters
    ----------
    segment : a segment returned by the last push to `detector`.
    detector : the detector of the segment's channel.
    others : the detectors of all channels, with or without `detector`; the same number of samples must have been
        pushed to each.
    """
    first = detector.level_at(segment.start)
    own = detector.levels[first : detector.level_at(segment.end)]
    return any(_leaks(own, other.levels, first) for other in others if other is not detector)


def _leaks(own: np.ndarray, other: np.ndarray, first: int) -> bool:
    """Whether the levels of a segment follow those of another channel with a delay of at most a few frames."""
    loud = own >= own.max(initial=-120.0) - _RANGE_DB / 2
    if not loud.any() or other[max(0, first - _LONGEST_DELAY) : first + len(own)].max() < own.max() + _BELOW_DB:
        return False
    for delay in range(min(_LONGEST_DELAY, first) + 1):
        source = other[first - delay :][: len(own)]
        if np.mean((source - own)[loud] >= _BELOW_DB) >= _SHARE and _likeness(source, own) >= _LIKENESS:
            return True
    return False


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two level curves in dBFS, clipped far below their maximum; 0 if one is constant."""
    above = [np.maximum(levels, levels.max() - _RANGE_DB) for levels in (one, other)]
    one, other = (levels - levels.mean() for levels in above)
    power = float(np.sum(one * one) * np.sum(other * other))
    return float(np.sum(one * other)) / power**0.5 if power > 0 else 0.0
