"""Linear heads on the statistics of an encoder."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Head:
    """A linear classifier; its probabilities are under a uniform prior.

    Attributes
    ----------
    kernel, bias : shaped (width, classes) and (classes,); for unscaled statistics.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, statistics: np.ndarray) -> np.ndarray:
        """Return log probabilities up to a constant, shaped (clips, classes)."""
        return statistics @ self.kernel + self.bias

    def with_temperature(self, temperature: float) -> "Head":
        """Apply a temperature: the same decisions; above 1, probabilities are closer to uniform (Guo et al., 2017)."""
        return Head(self.kernel / temperature, self.bias / temperature)

    def mixed(self, other: "Head", share: float) -> "Head":
        """Return the weighted mean of both heads' logits, in which `share` is the weight of the other head."""
        kernel = (1 - share) * self.kernel + share * other.kernel
        return Head(kernel, (1 - share) * self.bias + share * other.bias)


def fit_head(
    statistics: np.ndarray,
    classes: np.ndarray,
    weights: np.ndarray,
    shrinkage: float,
    scales: np.ndarray | float = 1.0,
) -> Head:
    """Fit a linear discriminant whose covariance is shrunk towards independence (Friedman, 1989).

    Parameters
    ----------
    statistics : shaped (clips, width).
    classes : shaped (clips,), indices from 0; each occurs.
    weights : weights of the clips, shaped (clips,).
    shrinkage : 0 for the empirical covariance, 1 for no covariance between statistics.
    scales : standard deviation that each statistic is scaled to, shaped (width,). The smaller it is, the less the
        statistic counts, because shrinkage adds the same to all.
    """
    clip_weights, mean, divisor, scaled = _standardise(statistics, weights, scales)
    membership = np.eye(int(classes.max()) + 1, dtype=np.float32)[classes] * clip_weights[:, None]
    centres = (membership.T @ scaled) / membership.sum(axis=0)[:, None]
    residuals = (scaled - centres[classes]) * np.sqrt(clip_weights)[:, None]
    kernel = (
        _solve_regularised((1 - shrinkage) * (residuals.T @ residuals), shrinkage, centres.T)
        if shrinkage < 1
        else centres.T
    )
    bias = -0.5 * np.sum(centres.T * kernel, axis=0)
    return _unscale(kernel, bias, mean, divisor)


def distil_head(statistics: np.ndarray, wanted: np.ndarray, weights: np.ndarray, penalty: float) -> Head:
    """Distil a teacher head: ridge regression from statistics to the teacher's logits (Hinton et al., 2015).

    Parameters
    ----------
    statistics : shaped (clips, width).
    wanted : logits of the teacher, shaped (clips, classes).
    weights : weights of the clips, shaped (clips,).
    penalty : ridge penalty on the kernel of scaled statistics; 0 for none.
    """
    clip_weights, mean, divisor, scaled = _standardise(statistics, weights)
    # A constant added to all logits of a clip does not change its probabilities.
    centred = wanted - wanted.mean(axis=1, keepdims=True)
    mean_logits = clip_weights @ centred
    weighted = (scaled * clip_weights[:, None]).T
    return _unscale(
        _solve_regularised(weighted @ scaled, penalty, weighted @ (centred - mean_logits)), mean_logits, mean, divisor
    )


def _standardise(
    statistics: np.ndarray, weights: np.ndarray, scales: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the normalised weights of the clips, mean and divisor of the statistics, and the scaled statistics."""
    clip_weights = (weights / weights.sum()).astype(np.float32)
    mean = clip_weights @ statistics
    divisor = ((np.sqrt(clip_weights @ np.square(statistics - mean)) + 1e-6) / scales).astype(np.float32)
    return clip_weights, mean, divisor, (statistics - mean) / divisor


def _solve_regularised(matrix: np.ndarray, penalty: float, right_hand_side: np.ndarray) -> np.ndarray:
    """Solve a symmetric system after adding `penalty` to the diagonal of the matrix, in place."""
    from scipy.linalg import cho_factor, cho_solve

    matrix[np.diag_indices_from(matrix)] += penalty
    return np.asarray(cho_solve(cho_factor(matrix, overwrite_a=True), right_hand_side))


def _unscale(kernel: np.ndarray, bias: np.ndarray, mean: np.ndarray, divisor: np.ndarray) -> Head:
    """Convert a head for scaled statistics to one for unscaled statistics."""
    kernel = kernel / divisor[:, None]
    return Head(kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32))
