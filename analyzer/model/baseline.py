"""Adjustment to a speaker: the ordinary speech of a channel is compared with that of other speakers.

Voices, rooms and lines differ, so a network classifies the ordinary speech of some speakers as more negative than that
of others. On a call, most speech is neutral. If even the least negative segments of a channel are classified as more
negative than ordinary speech of other speakers, the difference is therefore subtracted from the log odds of all its
segments. This follows Busso et al., Iterative Feature Normalization Scheme for Automatic Emotion Detection from Speech
(2013), which also normalises a speaker by his or her neutral speech; here only one quantity is normalised, and the
neutral speech is a quantile. A single segment is not changed, because nothing is known about its
speaker. The adjustment only uses earlier segments, so a stream gives the same results as a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.emotions import EMOTIONS, NEGATIVE

#: Share of a channel's segments that are taken for ordinary speech: this quantile of their log odds is compared.
SHARE = 0.25
#: Number of recent segments of a channel that are compared, about five minutes of speech.
RECENT = 100
#: Largest reduction, relative to the distance from ordinary speech to the threshold of normal sensitivity: clearly
#: negative speech stays negative, even if a speaker is upset throughout a call.
_LIMIT = 1.5
_NEGATIVE_INDICES = [EMOTIONS.index(emotion) for emotion in NEGATIVE]


@dataclass(frozen=True)
class Reference:
    """Ordinary speech of unseen speakers.

    Attributes
    ----------
    log_odds : the quantile SHARE of the log odds of a negative emotion over neutral and calm clips.
    limit : largest reduction of the log odds of a segment.
    """

    log_odds: float
    limit: float


def reference(level_negative: float, threshold: float) -> Reference:
    """Return the reference from two negative probabilities: of ordinary speech, and the threshold of a label."""
    ordinary, limit = log_odds(level_negative), log_odds(threshold)
    return Reference(ordinary, _LIMIT * max(0.0, limit - ordinary))


def log_odds(probability: float) -> float:
    """Return the log odds of a probability between 0 and 1, which are finite even for 0 and 1."""
    limited = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(limited / (1 - limited)))


def reduction(recent: Sequence[float], compared: Reference) -> float:
    """Return what is subtracted from the log odds of the last of the recent segments of a channel; at least 0.

    `recent` are the log odds of a negative emotion of at most RECENT segments, in order. The more there are, the more of
    the difference is subtracted: nothing for the first segment, half for the second.
    """
    difference = float(np.quantile(recent, SHARE)) - compared.log_odds
    return min(max(difference, 0.0), compared.limit) * (1 - 1 / len(recent))


def reduced(probabilities: np.ndarray, by: float) -> np.ndarray:
    """Return probabilities of the eight emotions whose log odds of a negative emotion are lower by `by`."""
    weighted = np.array(probabilities, float)
    weighted[_NEGATIVE_INDICES] *= np.exp(-by)
    return np.asarray(weighted / weighted.sum())
