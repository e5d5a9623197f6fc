"""Adjustment to a speaker: the ordinary speech of a channel is compared with neutral speech of other speakers.

Voices, rooms and lines differ, so a network classifies the ordinary speech of some speakers as more negative or more
lively than that of others. On a call, most speech is neutral. If even the least negative segments of a channel are
classified as more negative than neutral speech of other speakers, the difference is therefore subtracted from the log
odds of all its segments, up to a limit: clearly negative speech stays negative, even if a speaker is upset throughout a
call. Lively emotions are adjusted in the same way.

This follows Busso et al., Iterative Feature Normalization Scheme for Automatic Emotion Detection from Speech (2013),
which also normalises a speaker by his or her neutral speech. Here only the log odds of two groups of emotions are
normalised, and a quantile of the channel takes the place of its neutral speech. The adjustment only uses earlier
segments, so a stream gives the same results as a file. The first segment is not changed: nothing is known about its
speaker.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.emotions import EMOTIONS, LIVELY, NEGATIVE

#: Quantiles of the probability of a group over neutral and calm clips: `usual` and `high` of GroupRange. The first one
#: is also that of a channel's recent segments.
USUAL, HIGH = 0.25, 0.95
#: Number of recent segments of a channel that are compared, about five minutes of speech.
RECENT = 100
#: Largest reduction, relative to the distance between `usual` and `high` in log odds.
_LIMIT = 1.5
#: Groups of emotions by field of LevelSpeech, in the order in which they are adjusted.
GROUPS = {"lively": LIVELY, "negative": NEGATIVE}
_INDICES = {group: [EMOTIONS.index(emotion) for emotion in emotions] for group, emotions in GROUPS.items()}


@dataclass(frozen=True)
class GroupRange:
    """Probability of a group of emotions over neutral and calm clips of unseen speakers, under the call prior."""

    usual: float
    high: float

    @property
    def limit(self) -> float:
        """Largest reduction of the log odds of a segment."""
        return _LIMIT * max(0.0, log_odds(self.high) - log_odds(self.usual))


@dataclass(frozen=True)
class LevelSpeech:
    """Neutral and calm speech of unseen speakers, as a network classifies it."""

    lively: GroupRange
    negative: GroupRange


class Speaker:
    """The recent segments of a channel.

    Parameters
    ----------
    level : what they are compared with.
    to_calls : ratios of the call prior to the prior of the probabilities, in the order of EMOTIONS.
    """

    def __init__(self, level: LevelSpeech, to_calls: np.ndarray) -> None:
        self._level, self._to_calls = level, to_calls
        self._recent = {group: deque[float](maxlen=RECENT) for group in _INDICES}

    def adjusted(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the probabilities of the next segment, shaped (8,), adjusted to this speaker."""
        for group, indices in _INDICES.items():
            on_calls = probabilities * self._to_calls
            recent = self._recent[group]
            recent.append(log_odds(float(on_calls[indices].sum() / on_calls.sum())))
            probabilities = _reduced(probabilities, indices, reduction(recent, getattr(self._level, group)))
        return probabilities


def log_odds(probability: float) -> float:
    """Return the log odds of a probability between 0 and 1, which are finite even for 0 and 1."""
    limited = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(limited / (1 - limited)))


def reduction(recent: Sequence[float], compared: GroupRange) -> float:
    """Return what is subtracted from the log odds of a group, for the last of the recent segments; at least 0.

    `recent` are the log odds of the segments, in order. The more there are, the more of the difference is subtracted:
    nothing for the first segment, half for the second.
    """
    difference = float(np.quantile(recent, USUAL)) - log_odds(compared.usual)
    return min(max(difference, 0.0), compared.limit) * (1 - 1 / len(recent))


def _reduced(probabilities: np.ndarray, indices: Sequence[int], by: float) -> np.ndarray:
    """Return probabilities with lower log odds of the emotions at `indices`."""
    weighted = np.array(probabilities, float)
    weighted[indices] *= np.exp(-by)
    return np.asarray(weighted / weighted.sum())
