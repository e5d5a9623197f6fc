"""The label of a segment: first decide whether it is negative, then which emotion it is.

The four negative emotions are often confused with one another and less often with the others. Their sum is therefore
more reliable than the highest of the eight probabilities. The threshold of the sum depends on the sensitivity of the
run, see `classifier.Sensitivities`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.emotions import EMOTIONS, NEGATIVE, UNCERTAIN

_NEGATIVE_AT = tuple(EMOTIONS.index(emotion) for emotion in NEGATIVE)
_DECIMALS = 4


@dataclass(frozen=True)
class Labelling:
    """Decision rule from the probabilities of the eight emotions to a label.

    Most speech on calls is neutral, so whether a segment is negative is decided under the call prior. Under that prior,
    an emotion that is rare on calls would hardly ever be the most probable one, so which emotion it is is decided under
    a uniform prior.

    Attributes
    ----------
    negative_from : a segment is negative if the probabilities of the negative emotions sum to at least this.
    uncertain_below : any other emotion is the label only if it is the most probable of all eight and at least this.
    to_calls, to_even : ratios of the call prior, and of a uniform prior, to the prior of the probabilities, in the
        order of EMOTIONS; None if they are equal.
    """

    negative_from: float
    uncertain_below: float
    to_calls: tuple[float, ...] | None = None
    to_even: tuple[float, ...] | None = None

    def label(self, probabilities: np.ndarray) -> str:
        """Return the label of a segment from its probabilities, shaped (8,)."""
        even = rounded(_reweighted(probabilities, self.to_even))
        if negative_probability(rounded(_reweighted(probabilities, self.to_calls))) >= self.negative_from:
            return EMOTIONS[max(_NEGATIVE_AT, key=lambda k: even[k])]
        likeliest = even.index(max(even))
        if likeliest in _NEGATIVE_AT or even[likeliest] < self.uncertain_below:
            return UNCERTAIN
        return EMOTIONS[likeliest]


def _reweighted(probabilities: np.ndarray, ratios: tuple[float, ...] | None) -> np.ndarray:
    """Convert probabilities to another prior, by Bayes' rule; `ratios` are those of the priors."""
    if ratios is None:
        return probabilities
    weighted = np.asarray(probabilities, float) * ratios
    return np.asarray(weighted / weighted.sum())


def rounded(probabilities: Iterable[float]) -> tuple[float, ...]:
    """Round probabilities as in a timeline; labels are based on these, so they can be derived from its columns."""
    return tuple(round(float(p), _DECIMALS) for p in probabilities)


def negative_probability(probabilities: Sequence[float]) -> float:
    """Return the sum of the probabilities of the negative emotions, rounded as in a timeline."""
    return round(sum(probabilities[k] for k in _NEGATIVE_AT), _DECIMALS)
