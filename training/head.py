"""The head of a frozen encoder: a linear discriminant on its statistics, and how sure it may be of itself."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Head:
    """A linear classifier; its probabilities are under an even prior.

    Attributes
    ----------
    kernel, bias : shaped (width, classes) and (classes,); of the statistics as they come, unscaled.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, statistics: np.ndarray) -> np.ndarray:
        """Logarithms of probabilities up to a constant, shaped (clips, classes)."""
        return statistics @ self.kernel + self.bias

    def cooled(self, temperature: float) -> "Head":
        """The same decisions, less sure of themselves for a temperature above 1 (Guo et al., 2017)."""
        return Head(self.kernel / temperature, self.bias / temperature)

    def mixed(self, other: "Head", share: float) -> "Head":
        """The mean of both heads' logits, in which the other's have this share."""
        kernel = (1 - share) * self.kernel + share * other.kernel
        return Head(kernel, (1 - share) * self.bias + share * other.bias)


def fit_head(
    statistics: np.ndarray,
    classes: np.ndarray,
    weights: np.ndarray,
    shrinkage: float,
    rooms: np.ndarray | None = None,
    held_back: float = 1e-3,
) -> Head:
    """Fit a linear discriminant whose covariance is shrunk towards independence (Friedman, 1989).

    As good here as logistic regression, in closed form, and a hundred times as quick. What differs between rooms (the
    corpora: their studios, languages, ways to act) is told from what differs between classes: both are fitted at once,
    each room with a shift of its own, so that a room in which one class alone was recorded teaches nothing of that
    class. How far apart the shifts lie is then noise to the classes, as differences between speakers are (compare the
    within-class covariance of Hatch, Kajarekar and Stolcke, 2006), so what tells a room is not listened to.

    Parameters
    ----------
    statistics : shaped (clips, width).
    classes : shaped (clips,), indices from 0; each occurs.
    weights : of the clips, shaped (clips,).
    shrinkage : 0 for the covariance as it is found, 1 for none between statistics.
    rooms : shaped (clips,), any integers; None for one room.
    held_back : how strongly shifts of rooms are held back, as a share of all clips: the more, the more of what is
        common to a room of one class is taken for that class.
    """
    from scipy.linalg import cho_factor, cho_solve

    share, mean, deviation, scaled = _scaled(statistics, weights)
    centres, shifts, rest = _parted(
        scaled, classes, np.zeros_like(classes) if rooms is None else rooms, share, held_back
    )
    if shrinkage < 1:
        covariance = (1 - shrinkage) * ((rest * share[:, None]).T @ rest + shifts.T @ shifts / len(shifts))
        covariance[np.diag_indices_from(covariance)] += shrinkage
        kernel = cho_solve(cho_factor(covariance), centres.T)
    else:
        kernel = centres.T
    bias = -0.5 * np.sum(centres.T * kernel, axis=0)
    kernel = kernel / deviation[:, None]
    return Head(kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32))


def follow_head(statistics: np.ndarray, advice: np.ndarray, weights: np.ndarray, penalty: float) -> Head:
    """Fit by ridge regression a head that says of each clip what a better one says (distillation; Hinton et al., 2015).

    A label tells of a clip what was meant; advice tells how much of it can be heard, and what else it sounds like. So a
    head on poorer statistics learns from it which of their differences matter in voices and rooms that are none of its
    labels' own.

    Parameters
    ----------
    statistics : shaped (clips, width).
    advice : logits of the better head, shaped (clips, classes).
    weights : of the clips, shaped (clips,).
    penalty : on the kernel of scaled statistics: 0 for none.
    """
    from scipy.linalg import cho_factor, cho_solve

    share, mean, deviation, scaled = _scaled(statistics, weights)
    # What is added to all logits of a clip changes no probability.
    wanted = advice - advice.mean(axis=1, keepdims=True)
    middle = share @ wanted
    weighted = (scaled * share[:, None]).T
    covariance = weighted @ scaled
    covariance[np.diag_indices_from(covariance)] += penalty
    kernel = cho_solve(cho_factor(covariance), weighted @ (wanted - middle)) / deviation[:, None]
    return Head(kernel.astype(np.float32), (middle - mean @ kernel).astype(np.float32))


def _scaled(statistics: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shares of the clips, mean and deviation of the statistics by these, and the statistics scaled by them."""
    share = (weights / weights.sum()).astype(np.float32)
    mean = share @ statistics
    deviation = np.sqrt(share @ np.square(statistics - mean)) + 1e-6
    return share, mean, deviation, (statistics - mean) / deviation


def _parted(
    scaled: np.ndarray, classes: np.ndarray, rooms: np.ndarray, share: np.ndarray, held_back: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of the classes in the mean room, shifts of the rooms from it, and what neither explains of each clip."""
    numbers = np.unique(rooms, return_inverse=True)[1]
    count = int(classes.max()) + 1
    member = np.eye(count, dtype=np.float32)[classes]
    design = np.concatenate([member, np.eye(numbers.max() + 1, dtype=np.float32)[numbers]], axis=1)
    weighted = (design * share[:, None]).T
    # A class and a room that occur together alone cannot be parted; a touch on the rooms leaves it to the class.
    ridge = np.diag(np.where(np.arange(design.shape[1]) < count, 1e-6, held_back))
    effects = np.linalg.solve((weighted @ design).astype(np.float64) + ridge, weighted @ scaled)
    rest = scaled - design @ effects.astype(np.float32)
    mean_room = effects[count:].mean(axis=0)
    parts = effects[:count] + mean_room, effects[count:] - mean_room
    return parts[0].astype(np.float32), parts[1].astype(np.float32), rest


def posterior(logits: np.ndarray) -> np.ndarray:
    """Probabilities, shaped (clips, classes)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """The temperature under which held-out clips, given by their logits and classes, are most likely."""
    from scipy.optimize import minimize_scalar

    def surprise(logarithm: float) -> float:
        chosen = posterior(logits / np.exp(logarithm))[np.arange(len(classes)), classes]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-2, 4), method="bounded").x))


def doubted(probabilities: np.ndarray, doubt: float) -> np.ndarray:
    """Probabilities with a share `doubt` of an even guess among them, shaped (clips, classes)."""
    return (1 - doubt) * probabilities + doubt / probabilities.shape[1]


def least_brier(logits: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """The temperature and the doubt under which held-out clips have the least Brier score (Brier, 1950).

    A temperature alone is too sure of its surest clips where it is right about the others: however clear a stranger
    sounds, some act in a way that nobody did before. The classes are as frequent as they are among the clips.
    """
    from scipy.optimize import minimize

    truth = np.eye(logits.shape[1])[classes]
    prior = truth.mean(axis=0)
    start = np.log(temperature(logits + np.log(np.maximum(prior, 1e-12)), classes))

    def score(chosen: np.ndarray) -> float:
        guess = doubted(posterior(logits / np.exp(chosen[0])), chosen[1]) * prior
        return float(np.square(guess / guess.sum(axis=1, keepdims=True) - truth).sum(axis=1).mean())

    bounds = [(start - 2, start + 2), (0.0, 0.3)]
    # Given, since the one that SciPy makes is too small to leave a boundary where `start` is near 0.
    simplex = [(start, 0.02), (start - 0.5, 0.02), (start, 0.15)]
    options = {"xatol": 1e-4, "fatol": 1e-8, "initial_simplex": simplex}
    found = minimize(score, simplex[0], method="Nelder-Mead", bounds=bounds, options=options)
    return float(np.exp(found.x[0])), float(found.x[1])
