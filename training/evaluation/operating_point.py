"""Calibration and thresholds of a network, from corpora that were held out of its training.

On its training corpora, a network is more confident, and more often correct, than on other corpora.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analyzer.emotions import CALL_PRIOR, EMOTIONS, NEGATIVE, OTHER
from analyzer.model.baseline import GROUPS, HIGH, USUAL, GroupRange, LevelSpeech
from training.evaluation.measures import probabilities_of, share, with_prior

NON_NEGATIVE = ("neutral", "calm")
#: False-alarm rate of each sensitivity: the share of neutral and calm clips that it may label negative.
FALSE_ALARMS = {"low": 0.02, "normal": 0.05, "high": 0.1}
#: Share of speech that may be classified as non-speech.
DROPPED = 0.005
#: Share of non-speech among the segments of calls, an assumption: when unsure, a segment is speech.
NON_SPEECH_SHARE = 0.05
LOGITS = tuple(f"logit_{name}" for name in (*EMOTIONS, OTHER))
#: Thresholds are multiples of 1 / _STEPS.
_STEPS = 10_000
_TEMPERATURES = np.geomspace(0.5, 50, 400)


@dataclass(frozen=True)
class Calibration:
    """Conversion of logits to probabilities.

    Attributes
    ----------
    temperature : divisor of the emotion logits.
    non_speech_scale, non_speech_offset : factor on the log odds of non-speech, and what is then added to them.
    """

    temperature: float = 1.0
    non_speech_scale: float = 1.0
    non_speech_offset: float = 0.0


def calibration(rows: pd.DataFrame, non_speech: pd.DataFrame) -> Calibration:
    """Fit a calibration to held-out corpora; every corpus has the same weight.

    The temperature minimises the cross-entropy among the emotions of each corpus (Guo et al., On Calibration of Modern
    Neural Networks, 2017). The log odds of non-speech are fitted by logistic regression (Platt scaling) with equal
    weights of speech and non-speech, converted to the prior NON_SPEECH_SHARE, and lowered where more than DROPPED of
    the speech would be classified as non-speech.

    Parameters
    ----------
    rows : labelled clips of held-out corpora, with the columns LOGITS, `corpus` and `emotion`.
    non_speech : held-out clips of non-speech, with the columns LOGITS and `corpus`.
    """
    losses = np.zeros(len(_TEMPERATURES))
    for _, corpus_rows in rows.groupby("corpus"):
        emotion_indices = [k for k, emotion in enumerate(EMOTIONS) if (corpus_rows["emotion"] == emotion).any()]
        truth = (
            corpus_rows["emotion"]
            .map({EMOTIONS[k]: position for position, k in enumerate(emotion_indices)})
            .to_numpy(int)
        )
        logits = corpus_rows[list(LOGITS)].to_numpy(float)[:, emotion_indices]
        correct_logits = logits[np.arange(len(corpus_rows)), truth]
        for number, temperature in enumerate(_TEMPERATURES):
            losses[number] += np.mean(np.logaddexp.reduce(logits / temperature, axis=1) - correct_logits / temperature)
    return Calibration(float(_TEMPERATURES[losses.argmin()]), *_non_speech_calibration(rows, non_speech))


def _non_speech_calibration(speech: pd.DataFrame, non_speech: pd.DataFrame) -> tuple[float, float]:
    """Return scale and offset of the log odds of non-speech."""
    from sklearn.linear_model import LogisticRegression

    log_odds = [rows[LOGITS[-1]].to_numpy(float) for rows in (speech, non_speech)]
    weights = [_equal_corpus_weights(rows["corpus"]) for rows in (speech, non_speech)]
    unit = np.abs(np.concatenate(log_odds)).mean()
    regression = LogisticRegression(C=1e4).fit(
        np.concatenate(log_odds)[:, None] / unit,
        np.repeat([0, 1], [len(values) for values in log_odds]),
        np.concatenate([values / values.sum() for values in weights]),
    )
    scale = float(regression.coef_[0, 0]) / unit
    offset = float(regression.intercept_[0]) + math.log(NON_SPEECH_SHARE / (1 - NON_SPEECH_SHARE))
    return scale, offset - max(0.0, weighted_quantile(scale * log_odds[0] + offset, 1 - DROPPED, weights[0]))


def probabilities(rows: pd.DataFrame, found: Calibration) -> np.ndarray:
    """Return the probabilities of the eight emotions under a uniform prior, then of non-speech; shaped (rows, 9)."""
    logits = rows[list(LOGITS)].to_numpy(float)
    scaled = logits[:, :-1] / found.temperature
    emotions = np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))
    other = 1 / (1 + np.exp(-(found.non_speech_scale * logits[:, -1] + found.non_speech_offset)))
    return np.column_stack([emotions, other])


def negative(emotions: np.ndarray, prior: Sequence[float] = CALL_PRIOR) -> np.ndarray:
    """Return the probability of a negative emotion under `prior`, shaped (rows,); that of `emotions` is uniform."""
    return _of_group(emotions, prior, NEGATIVE)


def _of_group(emotions: np.ndarray, prior: Sequence[float], group: Sequence[str]) -> np.ndarray:
    """Return the summed probability of a group of emotions under `prior`, shaped (rows,)."""
    return with_prior(emotions, prior)[:, [EMOTIONS.index(emotion) for emotion in group]].sum(axis=1)


def held_out_corpus_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of labelled clips whose whole corpus was held out."""
    return rows[rows["emotion"].isin(EMOTIONS) & (rows["fold"] == rows["corpus"])]


def called_negative(rows: pd.DataFrame, weights: np.ndarray, threshold: float) -> np.ndarray:
    """Return the shares of negative clips, and of neutral and calm ones, that are labelled negative; shaped (draws, 2).

    `weights` are those of the rows, shaped (draws, rows). NaN if the threshold is NaN.
    """
    is_negative = (
        (negative(probabilities_of(rows)) >= threshold) if np.isfinite(threshold) else np.full(len(rows), np.nan)
    )
    kinds = [rows["emotion"].isin(kind).to_numpy() for kind in (NEGATIVE, NON_NEGATIVE)]
    return np.stack([share(weights @ (is_negative * kind), weights @ kind.astype(float)) for kind in kinds], axis=1)


def roc_area(rows: pd.DataFrame) -> float:
    """Return the area under the ROC curve of the probability of a negative emotion.

    Negative clips are compared with neutral and calm ones. `rows` are as in `thresholds`, and of one seed. NaN unless
    both kinds of clips are present.
    """
    from sklearn.metrics import roc_auc_score

    chosen = rows[rows["emotion"].isin((*NEGATIVE, *NON_NEGATIVE))]
    truth = chosen["emotion"].isin(NEGATIVE)
    if truth.nunique() < 2:
        return float("nan")
    return float(roc_auc_score(truth, negative(probabilities_of(chosen))))


def found_at_own_threshold(rows: pd.DataFrame) -> float:
    """Return the share of negative clips above the threshold that 5 % of the neutral and calm clips of `rows` exceed.

    `rows` are as in `thresholds`, and of one seed. NaN unless both kinds of clips are present.
    """
    scores = negative(probabilities_of(rows))
    is_negative, is_level = (rows["emotion"].isin(kind).to_numpy() for kind in (NEGATIVE, NON_NEGATIVE))
    if not (is_negative.any() and is_level.any()):
        return float("nan")
    threshold = np.quantile(scores[is_level], 1 - FALSE_ALARMS["normal"])
    return float((scores[is_negative] > threshold).mean())


def thresholds(rows: pd.DataFrame, prior: Sequence[float] = CALL_PRIOR) -> dict[str, float]:
    """Return the probability of a negative emotion from which each sensitivity labels a clip negative.

    `rows` are those of held-out corpora, with the columns `corpus`, `emotion` and the eight probabilities under a
    uniform prior. The neutral and calm clips of each corpus have the same total weight.
    """
    quantiles = _level_quantiles(rows, prior, [1 - rate for rate in FALSE_ALARMS.values()])
    # A clip exactly at the threshold is negative, so the threshold is the next step above the quantile.
    found = [(math.floor(quantile * _STEPS) + 1) / _STEPS for quantile in quantiles]
    return dict(zip(FALSE_ALARMS, found, strict=True))


def level_speech(rows: pd.DataFrame, prior: Sequence[float] = CALL_PRIOR) -> LevelSpeech:
    """Return how neutral and calm clips are classified, see analyzer.model.baseline; `rows` as in `thresholds`."""
    ranges = {
        group: GroupRange(*(round(quantile, 4) for quantile in _level_quantiles(rows, prior, (USUAL, HIGH), emotions)))
        for group, emotions in GROUPS.items()
    }
    return LevelSpeech(**ranges)


def _level_quantiles(
    rows: pd.DataFrame, prior: Sequence[float], shares: Sequence[float], emotions: Sequence[str] = NEGATIVE
) -> list[float]:
    """Return quantiles of the probability of some emotions over neutral and calm clips, with equal corpus weights."""
    level = rows[rows["emotion"].isin(NON_NEGATIVE)]
    scores = _of_group(level[list(EMOTIONS)].to_numpy(float), prior, emotions)
    weights = _equal_corpus_weights(level["corpus"])
    return [weighted_quantile(scores, share, weights) for share in shares]


def weighted_quantile(values: np.ndarray, share: float, weights: np.ndarray) -> float:
    """Return the lowest value such that the values up to it have at least `share` of the weight."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order]) / weights.sum()
    return float(values[order[min(int(np.searchsorted(cumulative, share - 1e-12)), len(values) - 1)]])


def _equal_corpus_weights(corpora: "pd.Series[str]") -> np.ndarray:
    """Return row weights that give every corpus the same total weight."""
    return 1 / corpora.map(corpora.value_counts()).to_numpy(float)
