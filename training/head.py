"""The head of a frozen encoder: a linear classifier on statistics, and how sure it may be of itself."""

from dataclasses import dataclass

import numpy as np

#: Principal directions that a head is fitted in.
DIRECTIONS = 768


@dataclass(frozen=True)
class Head:
    """A linear classifier.

    Attributes
    ----------
    kernel, bias : shaped (width, classes) and (classes,); of the statistics as they come, unscaled.
    prior : what each class weighed in its training, shaped (classes,).
    """

    kernel: np.ndarray
    bias: np.ndarray
    prior: np.ndarray

    def logits(self, statistics: np.ndarray) -> np.ndarray:
        """Logarithms of probabilities up to a constant, shaped (clips, classes)."""
        return statistics @ self.kernel + self.bias

    def cooled(self, temperature: float) -> "Head":
        """The same decisions, less sure of themselves for a temperature above 1 (Guo et al., 2017)."""
        return Head(self.kernel / temperature, self.bias / temperature, self.prior)


def fit_head(statistics: np.ndarray, classes: np.ndarray, weights: np.ndarray, regularity: float) -> Head:
    """Multinomial logistic regression with a squared penalty.

    Parameters
    ----------
    statistics : shaped (clips, width).
    classes : shaped (clips,), indices.
    weights : of the clips, shaped (clips,).
    regularity : the inverse of the penalty, sklearn's C, for statistics of deviation 1 and weights of mean 1.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = statistics.mean(axis=0), statistics.std(axis=0) + 1e-6
    scaled = (statistics - mean) / deviation
    weights = weights / weights.mean()
    directions = _principal_directions(scaled)
    model = LogisticRegression(C=regularity, max_iter=500, tol=1e-4)
    model.fit(scaled @ directions, classes, sample_weight=weights)
    kernel = (directions @ model.coef_.T) / deviation[:, None]
    prior = np.bincount(classes, weights, minlength=kernel.shape[1]) / weights.sum()
    return Head(kernel, model.intercept_ - mean @ kernel, prior)


def _principal_directions(scaled: np.ndarray) -> np.ndarray:
    """The directions in which clips differ most, shaped (width, DIRECTIONS or fewer).

    A rotation changes nothing of a squared penalty; what is left out is weak, and a fit is ten times as quick.
    """
    from scipy.linalg import eigh

    width = scaled.shape[1]
    count = min(DIRECTIONS, len(scaled), width)
    covariance = scaled.T @ scaled / len(scaled)
    return eigh(covariance, subset_by_index=(width - count, width - 1))[1].astype(np.float32)


def posterior(logits: np.ndarray) -> np.ndarray:
    """Probabilities, shaped (clips, classes)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """The temperature under which held-out clips are most likely."""
    from scipy.optimize import minimize_scalar

    def surprise(logarithm: float) -> float:
        chosen = posterior(logits / np.exp(logarithm))[np.arange(len(classes)), classes]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-2, 3), method="bounded").x))
