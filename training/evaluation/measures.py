"""Metrics of out-of-fold probabilities, with bootstrap confidence intervals.

Metrics are computed for every seed over all selected clips, then averaged over the seeds. Intervals are 95 % intervals.
The bootstrap resamples speakers, then the clips of each speaker; all models have the same resamples.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS

MEASURES = ("uar", "accuracy", "macro_f1")
BINS = 15
DRAWS = 1000

#: A metric of rows and of their weights in each resample, shaped (draws, rows); its values are shaped (draws, ...).
Metric = Callable[[pd.DataFrame, np.ndarray], np.ndarray]

_INDICES = {emotion: index for index, emotion in enumerate(EMOTIONS)}


def with_prior(probabilities: np.ndarray, prior: Sequence[float] | np.ndarray) -> np.ndarray:
    """Convert posteriors under a uniform prior to another prior; shaped (clips, 8)."""
    weighted = np.maximum(probabilities, 1e-12) * np.asarray(prior)
    return weighted / weighted.sum(axis=1, keepdims=True)


def probabilities_of(rows: pd.DataFrame) -> np.ndarray:
    """Return the probabilities of the eight emotions, shaped (rows, 8), normalised to sum to exactly 1."""
    probabilities = rows[list(EMOTIONS)].to_numpy(float)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


# Bootstrap


@dataclass(frozen=True)
class Sample:
    """Clips scored once per seed, with bootstrap weights.

    Attributes
    ----------
    rows : one row per clip and seed.
    clips : clip index of each row.
    weights : how often each clip counts in each resample, shaped (1 + DRAWS, clips); in the first, each counts once.
    """

    rows: pd.DataFrame
    clips: np.ndarray
    weights: np.ndarray

    def by_seed(self) -> Iterable[tuple[pd.DataFrame, np.ndarray]]:
        """Yield the rows of each seed with their weights, shaped (1 + DRAWS, rows)."""
        seeds = self.rows["seed"].to_numpy()
        for seed in np.unique(seeds):
            yield self.rows[seeds == seed], self.weights[:, self.clips[seeds == seed]]

    def mean(self, figure: Metric) -> np.ndarray:
        """Average a metric of rows and weights, shaped (1 + DRAWS, ...), over the seeds."""
        return np.mean([figure(rows, weights) for rows, weights in self.by_seed()], axis=0)

    def counts(self) -> dict[str, Any]:
        """Return the numbers of clips, speakers and seeds."""
        speakers, seeds = self.rows["speaker"].nunique(), self.rows["seed"].nunique()
        return {"clips": self.weights.shape[1], "speakers": speakers, "seeds": seeds}


def sample(rows: pd.DataFrame) -> Sample:
    """Resample the speakers of rows, then the clips of each; a clip without a speaker is resampled on its own."""
    clip_ids = (rows["corpus"] + "/" + rows["clip"] + "/" + rows["fold"]).to_numpy(str)
    clips, first, indices = np.unique(clip_ids, return_index=True, return_inverse=True)
    speakers = rows["speaker"].to_numpy(str)[first]
    units = np.where(speakers == "", clips, speakers)
    return Sample(rows, indices, _bootstrap_weights(tuple(np.unique(units, return_inverse=True)[1].tolist())))


@lru_cache(maxsize=16)
def _bootstrap_weights(speakers: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng(0)
    clips_by_speaker = [np.flatnonzero(np.array(speakers) == speaker) for speaker in range(max(speakers) + 1)]
    speaker_counts = generator.multinomial(
        len(clips_by_speaker), np.full(len(clips_by_speaker), 1 / len(clips_by_speaker)), size=DRAWS
    )
    weights = np.ones((1 + DRAWS, len(speakers)), np.float32)
    for clips, counts in zip(clips_by_speaker, speaker_counts.T, strict=True):
        weights[1:, clips] = generator.multinomial(counts * len(clips), np.full(len(clips), 1 / len(clips)))
    weights.flags.writeable = False
    return weights


def interval(name: str, figures: np.ndarray) -> dict[str, float]:
    """Return a metric and its 95 % interval; `figures` are its value on the data, then one value per resample."""
    value = float(figures[0])
    low, high = np.nanpercentile(figures[1:], [2.5, 97.5]) if np.isfinite(value) else (np.nan, np.nan)
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


# Metrics of confusion matrices, shaped (draws, 8 true, 8 predicted)


def confusions(rows: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Count how often each emotion is predicted for each true emotion, shaped (draws, 8, 8)."""
    return confusions_of(rows, weights, probabilities_of(rows))


def confusions_of(rows: pd.DataFrame, weights: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Same as `confusions`, for other probabilities than those in the rows."""
    size = len(EMOTIONS)
    cells = truth_of(rows) * size + probabilities.argmax(axis=1)
    return (weights @ np.eye(size**2, dtype=np.float32)[cells]).reshape(-1, size, size).astype(float)


def truth_of(rows: pd.DataFrame) -> np.ndarray:
    """Return the true emotions as indices into EMOTIONS, shaped (rows,)."""
    return rows["emotion"].map(_INDICES).to_numpy(int)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return `part` divided by `whole`; NaN where `whole` is 0."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole > 0)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Return the recall of each emotion, shaped (draws, 8); NaN for an emotion without clips."""
    return share(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2))


def f1s(confusion: np.ndarray) -> np.ndarray:
    """Return the F1 of each emotion (harmonic mean of recall and precision), shaped (draws, 8); NaN without clips."""
    acted, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    f1 = share(2 * np.diagonal(confusion, axis1=1, axis2=2), acted + predicted)
    return np.where(acted > 0, f1, np.nan)


def measures(confusion: np.ndarray) -> np.ndarray:
    """Return UAR, accuracy and macro F1 over the emotions that occur, shaped (draws, 3)."""
    accuracy = np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2))
    return np.stack([np.nanmean(recalls(confusion), axis=1), accuracy, np.nanmean(f1s(confusion), axis=1)], axis=1)


def uar_of_occurring(rows: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Return the UAR among the emotions that occur in the rows, shaped (draws,); no others can be predicted."""
    probabilities = probabilities_of(rows) * np.isin(np.arange(len(EMOTIONS)), truth_of(rows))
    return np.nanmean(recalls(confusions_of(rows, weights, probabilities)), axis=1)


def uar(rows: pd.DataFrame) -> float:
    """Return the UAR of all rows together; if every seed has the same clips, it is the mean over the seeds."""
    return float(measures(confusions(rows, np.ones((1, len(rows)))))[0, 0])


# Confidence


def binned(found: pd.DataFrame) -> pd.DataFrame:
    """Return the number of clips, mean confidence and accuracy per bin of the highest probability."""
    bins = np.ceil(found["confidence"].to_numpy() * BINS).clip(1, BINS).astype(int)
    grouped = found.groupby(bins)
    return pd.DataFrame(
        {"clips": grouped.size(), "confidence": grouped["confidence"].mean(), "accuracy": grouped["correct"].mean()}
    )


def expected_calibration_error(found: pd.DataFrame) -> float:
    """Return the mean distance of confidence and accuracy over 15 equal confidence bins, weighted by their clips."""
    bins = binned(found)
    return float(((bins["confidence"] - bins["accuracy"]).abs() * bins["clips"]).sum() / bins["clips"].sum())


def accuracy_at_coverage(found: pd.DataFrame, coverages: Sequence[float]) -> np.ndarray:
    """Return accuracy and lowest confidence of the most confident clips at each coverage, shaped (2, coverages).

    Of clips with equal confidence, the fraction that the coverage requires is counted.
    """
    by_confidence = found.groupby("confidence")["correct"].agg(["size", "sum"]).sort_index(ascending=False)
    kept, correct = by_confidence["size"].cumsum().to_numpy(), by_confidence["sum"].cumsum().to_numpy()
    required = np.maximum(np.asarray(coverages) * len(found), 1)
    accuracy = np.interp(required, np.concatenate([[0], kept]), np.concatenate([[0], correct])) / required
    lowest = by_confidence.index.to_numpy(float)[np.searchsorted(kept, required - 1e-9).clip(max=len(kept) - 1)]
    return np.stack([accuracy, lowest])


def threshold_of_accuracy(correct: np.ndarray, highest: np.ndarray, weights: np.ndarray, required: float) -> float:
    """Return the lowest of 0.15, 0.20, ... 0.90 at which a `required` share of the clips that reach it is correct.

    Parameters
    ----------
    correct, highest : whether the most probable emotion of a clip is correct, and its probability; shaped (clips,).
    weights : of the clips, shaped (clips,).
    required : accuracy; if no threshold has it, the result is 0.90.
    """
    for threshold in np.arange(15, 95, 5) / 100:
        kept = highest >= threshold
        if kept.any() and np.average(correct[kept], weights=weights[kept]) >= required:
            return float(threshold)
    return 0.9
