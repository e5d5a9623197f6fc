"""The label of a segment: whether it is negative is decided first, which emotion second.

The four negative emotions are often confused with one another and less often with the others, so their sum says more
than the highest of the eight probabilities. How high the sum has to be is the sensitivity of a run, see
`classifier.Sensitivities`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.emotions import EMOTIONS, NEGATIVE, UNCERTAIN

_NEGATIVE_AT = tuple(EMOTIONS.index(emotion) for emotion in NEGATIVE)
_DECIMALS = 4


@dataclass(frozen=True)
class Labelling:
    """How probabilities of the eight emotions become a label.

    Attributes
    ----------
    negative_from : a segment is negative from this sum of the probabilities of the negative emotions on.
    uncertain_below : another emotion is a label only where it is the most probable of all and not below this.
    to_calls : ratios of the call prior to the prior of the probabilities, in the order of EMOTIONS; None where they are
        under the call prior already. Both thresholds are about probabilities under the call prior.
    """

    negative_from: float
    uncertain_below: float
    to_calls: tuple[float, ...] | None = None

    def label(self, probabilities: np.ndarray) -> str:
        """The label of a segment, by its probabilities shaped (8,)."""
        on_calls = rounded(self._on_calls(probabilities))
        if negative_probability(on_calls) >= self.negative_from:
            return EMOTIONS[max(_NEGATIVE_AT, key=lambda k: on_calls[k])]
        likeliest = on_calls.index(max(on_calls))
        if likeliest in _NEGATIVE_AT or on_calls[likeliest] < self.uncertain_below:
            return UNCERTAIN
        return EMOTIONS[likeliest]

    def _on_calls(self, probabilities: np.ndarray) -> np.ndarray:
        """The probabilities under the call prior, by Bayes' rule."""
        if self.to_calls is None:
            return probabilities
        weighted = np.asarray(probabilities, float) * self.to_calls
        return np.asarray(weighted / weighted.sum())


def rounded(probabilities: Iterable[float]) -> tuple[float, ...]:
    """Probabilities with the decimals of a timeline; labels are decided by these, so that its columns explain them."""
    return tuple(round(float(p), _DECIMALS) for p in probabilities)


def negative_probability(probabilities: Sequence[float]) -> float:
    """Sum of the probabilities of the negative emotions, with the decimals of a timeline."""
    return round(sum(probabilities[k] for k in _NEGATIVE_AT), _DECIMALS)
