"""Calibration and thresholds of a network, from corpora that were left out of its training.

On the corpora that it was trained on a network is surer, and more often right, than anywhere else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analyzer.emotions import CALL_PRIOR, EMOTIONS, NEGATIVE, OTHER
from training.evaluation_measures import moved, probabilities_of, share

LEVEL = ("neutral", "calm")
#: The share of level clips that each sensitivity may call negative.
FALSE_ALARMS = {"low": 0.02, "normal": 0.05, "high": 0.1}
#: The share of speech that may be taken for non-speech.
DROPPED = 0.005
LOGITS = tuple(f"logit_{name}" for name in (*EMOTIONS, OTHER))
#: Thresholds are multiples of 1 / _STEPS.
_STEPS = 10_000
_TEMPERATURES = np.geomspace(0.5, 5, 200)
_NEGATIVE_AT = [EMOTIONS.index(emotion) for emotion in NEGATIVE]


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities.

    Attributes
    ----------
    temperature : that the logits of emotions are divided by.
    non_speech_offset : added to the log odds of non-speech.
    """

    temperature: float = 1.0
    non_speech_offset: float = 0.0


def calibration(rows: pd.DataFrame) -> Calibration:
    """Fit a calibration to corpora that were left out; each corpus counts alike.

    `rows` have the columns LOGITS, `corpus` and `emotion`. The temperature is that of the least cross-entropy among
    the emotions of each corpus (Guo et al., On Calibration of Modern Neural Networks, 2017).
    """
    losses = np.zeros(len(_TEMPERATURES))
    for _, own in rows.groupby("corpus"):
        acted = [k for k, emotion in enumerate(EMOTIONS) if (own["emotion"] == emotion).any()]
        truth = own["emotion"].map({EMOTIONS[k]: place for place, k in enumerate(acted)}).to_numpy(int)
        logits = own[list(LOGITS)].to_numpy(float)[:, acted]
        right = logits[np.arange(len(own)), truth]
        for number, temperature in enumerate(_TEMPERATURES):
            losses[number] += np.mean(np.logaddexp.reduce(logits / temperature, axis=1) - right / temperature)
    odds = rows[LOGITS[-1]].to_numpy(float)
    offset = -weighted_quantile(odds, 1 - DROPPED, _alike(rows["corpus"]))
    return Calibration(float(_TEMPERATURES[losses.argmin()]), offset)


def probabilities(rows: pd.DataFrame, found: Calibration) -> np.ndarray:
    """The eight emotions under an even prior, then non-speech; shaped (rows, 9)."""
    logits = rows[list(LOGITS)].to_numpy(float)
    scaled = logits[:, :-1] / found.temperature
    eight = np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))
    other = 1 / (1 + np.exp(-(logits[:, -1] + found.non_speech_offset)))
    return np.column_stack([eight, other])


def negative(emotions: np.ndarray, prior: Sequence[float] = CALL_PRIOR) -> np.ndarray:
    """The probability of a negative emotion under a prior, shaped (rows,); `emotions` are under an even one."""
    return moved(emotions, prior)[:, _NEGATIVE_AT].sum(axis=1)


def of_left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of labelled clips whose whole corpus was left out."""
    return rows[rows["emotion"].isin(EMOTIONS) & (rows["fold"] == rows["corpus"])]


def called_negative(rows: pd.DataFrame, weights: np.ndarray, threshold: float) -> np.ndarray:
    """The shares of negative and of level clips that are called negative, shaped (draws, 2).

    `weights` are those of the rows, shaped (draws, rows). NaN for a threshold that is NaN.
    """
    called = (negative(probabilities_of(rows)) >= threshold) if np.isfinite(threshold) else np.full(len(rows), np.nan)
    kinds = [rows["emotion"].isin(kind).to_numpy() for kind in (NEGATIVE, LEVEL)]
    return np.stack([share(weights @ (called * kind), weights @ kind.astype(float)) for kind in kinds], axis=1)


def roc_area(rows: pd.DataFrame) -> float:
    """The area under the ROC curve of the probability of a negative emotion, negative clips against level ones.

    `rows` are as `thresholds` takes them, and of one seed. NaN where there are not both kinds of clips.
    """
    from sklearn.metrics import roc_auc_score

    chosen = rows[rows["emotion"].isin((*NEGATIVE, *LEVEL))]
    truth = chosen["emotion"].isin(NEGATIVE)
    if truth.nunique() < 2:
        return float("nan")
    return float(roc_auc_score(truth, negative(probabilities_of(chosen))))


def thresholds(rows: pd.DataFrame, prior: Sequence[float] = CALL_PRIOR) -> dict[str, float]:
    """The probability of a negative emotion from which each sensitivity calls a clip negative.

    `rows` are those of corpora that were left out, with the columns `corpus`, `emotion` and the eight probabilities
    under an even prior. The level clips of each corpus count alike.
    """
    level = rows[rows["emotion"].isin(LEVEL)]
    scores = negative(level[list(EMOTIONS)].to_numpy(float), prior)
    weights = _alike(level["corpus"])
    quantiles = {name: weighted_quantile(scores, 1 - limit, weights) for name, limit in FALSE_ALARMS.items()}
    # A clip that has the threshold itself is negative.
    return {name: (math.floor(quantile * _STEPS) + 1) / _STEPS for name, quantile in quantiles.items()}


def weighted_quantile(values: np.ndarray, share: float, weights: np.ndarray) -> float:
    """The least value that at least a share of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order[min(int(np.searchsorted(reached, share - 1e-12)), len(values) - 1)]])


def _alike(corpora: "pd.Series[str]") -> np.ndarray:
    """Weights of rows by which every corpus counts alike."""
    return 1 / corpora.map(corpora.value_counts()).to_numpy(float)
