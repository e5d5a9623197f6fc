"""The voice of another channel that leaks into a channel: far softer than there, and at the same times."""

from collections.abc import Iterable

import numpy as np

from analyzer.speech import Segment, SpeechDetector

#: How far below the other channel, in how much of the loud part of a segment, a leak is at least.
_BELOW_DB, _SHARE = 25.0, 0.8
#: How alike the levels of both have to go up and down, and how many frames later those of a leak may.
_LIKENESS, _LONGEST_DELAY = 0.6, 6
#: Levels this far below the loudest of a segment are the noise of the line.
_RANGE_DB = 25.0


def is_leak(segment: Segment, detector: SpeechDetector, others: Iterable[SpeechDetector]) -> bool:
    """Whether a segment is the voice of another channel.

    Parameters
    ----------
    segment : what the last push to the detector of its channel has found.
    detector, others : of its channel and of the others, to which as many samples were pushed.
    """
    first = detector.level_at(segment.start)
    own = detector.levels[first : detector.level_at(segment.end)]
    return any(_leaks(own, other.levels, first) for other in others if other is not detector)


def _leaks(own: np.ndarray, other: np.ndarray, first: int) -> bool:
    """Whether the levels of a segment follow those of another channel, some frames before at most."""
    loud = own >= own.max(initial=-120.0) - _RANGE_DB / 2
    if not loud.any() or other[max(0, first - _LONGEST_DELAY) : first + len(own)].max() < own.max() + _BELOW_DB:
        return False
    for delay in range(min(_LONGEST_DELAY, first) + 1):
        source = other[first - delay :][: len(own)]
        if np.mean((source - own)[loud] >= _BELOW_DB) >= _SHARE and _likeness(source, own) >= _LIKENESS:
            return True
    return False


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two rows of levels in dBFS, without what is far below their loudest; 0 if steady."""
    above = [np.maximum(levels, levels.max() - _RANGE_DB) for levels in (one, other)]
    one, other = (levels - levels.mean() for levels in above)
    power = float(np.sum(one * one) * np.sum(other * other))
    return float(np.sum(one * other)) / power**0.5 if power > 0 else 0.0
