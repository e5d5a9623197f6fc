"""Tables of an evaluation, from out-of-fold probabilities; each has rows for every model.

The first columns of a table identify a row. A metric is NaN if the model has no rows for it. The columns `_low` and
`_high` are the bounds of a metric's 95 % interval.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from training.evaluation_measures import (
    BINS,
    MEASURES,
    binned,
    confusions,
    expected_calibration_error,
    f1s,
    interval,
    measures,
    moved,
    probabilities_of,
    recalls,
    sample,
    share,
    surest,
    truth_of,
    uar_of_own,
)
from training.evaluation_rows import CONDITIONS, FOLDS
from training.operating_point import LEVEL, called_negative, negative, of_left_out, roc_area, thresholds
from training.recipes import CALIBRATING, RECIPES

#: Condition of the tables that name no condition.
MAIN_CONDITION = "telephone"
LENGTHS = ("below 1.5 s", "1.5 to 2.5 s", "above 2.5 s")
COVERAGES = (1.0, 0.9, 0.75, 0.5)
MEAN = "mean"
ALL = "all"

_INDICES = {emotion: index for index, emotion in enumerate(EMOTIONS)}

#: Rows of out-of-fold probabilities, by model.
Models = Mapping[str, pd.DataFrame]


def calibrated_on(model: str) -> tuple[str, ...]:
    """Return the corpora on which the model of this name may be calibrated if they were held out."""
    recipes = {recipe.name: recipe for recipe in RECIPES}
    return tuple(corpus for corpus in CALIBRATING if model not in recipes or corpus in recipes[model].weights)


def labelled(rows: pd.DataFrame, corpus: str | None = None, condition: str | None = None) -> pd.DataFrame:
    """Select clips with an emotion whose speakers were held out by fold; of one corpus and condition if given."""
    chosen = rows["emotion"].isin(EMOTIONS) & rows["fold"].isin(FOLDS)
    if corpus is not None:
        chosen &= rows["corpus"] == corpus
    if condition is not None:
        chosen &= rows["condition"] == condition
    return rows[chosen]


def scored(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of clips, speakers and seeds, and every metric with its interval."""
    if not len(rows):
        return dict.fromkeys(("clips", "speakers", "seeds"), 0)
    drawn = sample(rows)
    found = drawn.mean(lambda own, weights: measures(confusions(own, weights)))
    figures = drawn.counts()
    for name, column in zip(MEASURES, found.T, strict=True):
        figures |= interval(name, column)
    return figures


SCORED_COLUMNS = ("clips", "speakers", "seeds", *(f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")))


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


# Tables


def by_condition(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics for studio, telephone and each codec with which any model was scored."""
    present = {condition for rows in models.values() for condition in labelled(rows, corpus)["condition"].unique()}
    conditions = [c for c in CONDITIONS if c in present | {"studio", MAIN_CONDITION}]
    return _table(
        [
            {"model": model, "condition": condition, **scored(labelled(rows, corpus, condition))}
            for model, rows in models.items()
            for condition in conditions
        ],
        ("model", "condition", *SCORED_COLUMNS),
    )


def by_fold(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics per fold, and their mean over folds and seeds, with the lowest and highest UAR of a seed."""
    found = []
    for model, rows in models.items():
        chosen = labelled(rows, corpus, MAIN_CONDITION)
        folds = [_fold(fold, chosen[chosen["fold"] == fold]) for fold in FOLDS]
        present = pd.DataFrame([row for row in folds if row["clips"]], columns=["clips", *MEASURES])
        mean: dict[str, Any] = {"fold": MEAN, **scored(chosen)}
        if len(present):
            mean |= {name: float(present[name].mean()) for name in MEASURES}
            mean |= _of_seeds(chosen)
        found += [{"model": model, **row} for row in (*folds, mean)]
    return _table(found, ("model", "fold", *SCORED_COLUMNS, "uar_lowest_seed", "uar_highest_seed"))


def _fold(fold: str, rows: pd.DataFrame) -> dict[str, Any]:
    return {"fold": fold, **scored(rows), **_of_seeds(rows)}


def _of_seeds(rows: pd.DataFrame) -> dict[str, float]:
    """Return the lowest and highest UAR of a seed; the UAR of a seed is the mean over its folds."""
    seeds = []
    for _, own in rows.groupby("seed"):
        folds = [measures(confusions(part, np.ones((1, len(part)), np.float32))) for _, part in own.groupby("fold")]
        seeds.append(float(np.mean([fold[0, 0] for fold in folds])))
    return {"uar_lowest_seed": min(seeds), "uar_highest_seed": max(seeds)} if seeds else {}


def by_emotion(models: Models, corpus: str) -> pd.DataFrame:
    """Recall (with its interval), precision and F1 of each emotion."""
    found = []
    for model, rows in models.items():
        chosen = labelled(rows, corpus, MAIN_CONDITION)
        if len(chosen):
            drawn = sample(chosen)
            recall = drawn.mean(lambda own, weights: recalls(confusions(own, weights)))
            precise = drawn.mean(lambda own, weights: recalls(confusions(own, weights[:1]).transpose(0, 2, 1)))[0]
            f1 = drawn.mean(lambda own, weights: f1s(confusions(own, weights[:1])))[0]
            acted = chosen.drop_duplicates(["clip", "fold"])["emotion"].value_counts()
        for index, emotion in enumerate(EMOTIONS):
            row: dict[str, Any] = {"model": model, "emotion": emotion, "clips": 0}
            if len(chosen):
                row["clips"] = int(acted.get(emotion, 0))
                row |= interval("recall", recall[:, index])
                row |= {"precision": float(precise[index]), "f1": float(f1[index])}
            found.append(row)
    return _table(found, ("model", "emotion", "clips", "recall", "recall_low", "recall_high", "precision", "f1"))


def by_sex(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics for women and men."""
    return _apart(models, corpus, "sex", ("female", "male"), lambda rows: rows["sex"].to_numpy())


def by_length(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics for short, medium and long clips."""

    def which(rows: pd.DataFrame) -> np.ndarray:
        seconds = rows["length_s"].to_numpy()
        return np.select([seconds < 1.5, seconds <= 2.5], LENGTHS[:2], LENGTHS[2])

    return _apart(models, corpus, "length", LENGTHS, which)


def _apart(
    models: Models, corpus: str, name: str, groups: Sequence[str], which: Callable[[pd.DataFrame], np.ndarray]
) -> pd.DataFrame:
    found = []
    for model, rows in models.items():
        chosen = labelled(rows, corpus, MAIN_CONDITION)
        own = which(chosen)
        found += [{"model": model, name: group, **scored(chosen[own == group])} for group in groups]
    return _table(found, ("model", name, *SCORED_COLUMNS))


def by_corpus(models: Models) -> pd.DataFrame:
    """UAR of each corpus with several emotions, among its emotions; for speakers held out by fold."""
    found = []
    for model, rows in models.items():
        for corpus in _corpora(models, lambda rows: labelled(rows)[~_is_ordinary(labelled(rows))]):
            chosen = labelled(rows, corpus, MAIN_CONDITION)
            row: dict[str, Any] = {"model": model, "corpus": corpus, "clips": 0}
            if len(chosen):
                drawn = sample(chosen)
                row |= drawn.counts() | interval("uar", drawn.mean(uar_of_own))
            found.append(row)
    return _table(found, ("model", "corpus", "clips", "speakers", "seeds", "uar", "uar_low", "uar_high"))


def left_out(models: Models) -> pd.DataFrame:
    """Metrics on whole corpora that were held out of training.

    `uar` is among the emotions of the corpus. `roc_area` is that of the probability of a negative emotion, negative
    clips against neutral and calm ones. `found` is the share of negative clips that are labelled negative at normal
    sensitivity, `false` that of neutral and calm clips (false-alarm rate). The threshold comes from the other held-out
    corpora, so it does not depend on the corpus itself. `calibration_error` is among the emotions of the corpus.
    `dropped` is the share of clips classified as non-speech.
    """
    found = []
    for model, rows in models.items():
        for corpus in _corpora(models, of_left_out):
            chosen = of_left_out(rows)
            chosen = chosen[(chosen["corpus"] == corpus) & (chosen["condition"] == MAIN_CONDITION)]
            row: dict[str, Any] = {"model": model, "corpus": corpus, "clips": 0}
            if len(chosen):
                threshold = normal_threshold(model, rows, without=corpus)
                drawn = sample(chosen)
                row |= drawn.counts() | interval("uar", drawn.mean(uar_of_own))
                called = drawn.mean(partial(called_negative, threshold=threshold))
                row |= interval("found", called[:, 0]) | interval("false", called[:, 1])
                row |= {"roc_area": _roc_area(chosen), "calibration_error": _error_among_own(chosen)}
                row["dropped"] = float((chosen[OTHER] > 0.5).mean()) if chosen[OTHER].notna().all() else float("nan")
            found.append(row)
    ends = [f"{name}{end}" for name in ("uar", "found", "false") for end in ("", "_low", "_high")]
    columns = ("clips", "speakers", "seeds", *ends, "roc_area", "calibration_error", "dropped")
    return _table(found, ("model", "corpus", *columns))


def normal_threshold(model: str, rows: pd.DataFrame, without: str = "") -> float:
    """Return the probability of a negative emotion from which a clip is labelled negative at normal sensitivity.

    It comes from the held-out corpora that may calibrate the model, except `without`. NaN if there are none.
    """
    chosen = of_left_out(rows)
    allowed = chosen["corpus"].isin(calibrated_on(model)) & (chosen["corpus"] != without)
    chosen = chosen[allowed & (chosen["condition"] == MAIN_CONDITION)]
    if not chosen["emotion"].isin(LEVEL).any():
        return float("nan")
    return thresholds(chosen)["normal"]


def _roc_area(rows: pd.DataFrame) -> float:
    """Return the ROC area, averaged over the seeds."""
    return float(np.mean([roc_area(own) for _, own in rows.groupby("seed")]))


def _error_among_own(rows: pd.DataFrame) -> float:
    """Expected calibration error among the emotions that occur in the rows, averaged over the seeds."""
    errors = []
    for _, own in rows.groupby("seed"):
        among = probabilities_of(own) * np.isin(np.arange(len(EMOTIONS)), truth_of(own))
        among /= among.sum(axis=1, keepdims=True)
        correct = among.argmax(axis=1) == truth_of(own)
        errors.append(expected_calibration_error(pd.DataFrame({"confidence": among.max(axis=1), "correct": correct})))
    return float(np.mean(errors))


def confusion(models: Models, corpus: str) -> pd.DataFrame:
    """Predictions per true emotion: number of clips (mean over the seeds) and share of the row."""
    found = []
    for model, rows in models.items():
        chosen = labelled(rows, corpus, MAIN_CONDITION)
        if not len(chosen):
            continue
        counts = sample(chosen).mean(lambda own, weights: confusions(own, weights[:1]))[0]
        shares = share(counts, counts.sum(axis=1, keepdims=True))
        found += [
            {"model": model, "acted": acted, "predicted": predicted, "clips": counts[i, j], "share": shares[i, j]}
            for i, acted in enumerate(EMOTIONS)
            for j, predicted in enumerate(EMOTIONS)
        ]
    return _table(found, ("model", "acted", "predicted", "clips", "share"))


# Calibration and confidence


def _confidences(rows: pd.DataFrame, corpus: str) -> pd.DataFrame:
    """Return fold, seed, highest probability under the prior of the corpus's clips, and whether it is correct."""
    chosen = labelled(rows, corpus, MAIN_CONDITION)
    truth = truth_of(chosen)
    shares = np.bincount(truth, minlength=len(EMOTIONS)) / max(len(truth), 1)
    probabilities = moved(probabilities_of(chosen), shares) if len(chosen) else probabilities_of(chosen)
    return pd.DataFrame(
        {
            "fold": chosen["fold"].to_numpy(),
            "seed": chosen["seed"].to_numpy(),
            "confidence": probabilities.max(axis=1),
            "correct": probabilities.argmax(axis=1) == truth,
        }
    )


def calibration(models: Models, corpus: str) -> pd.DataFrame:
    """Expected calibration error, mean confidence and accuracy, per fold and over all folds."""
    found = []
    for model, rows in models.items():
        every = _confidences(rows, corpus)
        for fold in (*FOLDS, ALL):
            own = every if fold == ALL else every[every["fold"] == fold]
            row: dict[str, Any] = {"model": model, "fold": fold, "clips": 0}
            if len(own):
                seeds = [part for _, part in own.groupby("seed")]
                row["clips"] = round(len(own) / len(seeds))
                row["ece"] = float(np.mean([expected_calibration_error(part) for part in seeds]))
                row |= {"confidence": float(own["confidence"].mean()), "accuracy": float(own["correct"].mean())}
            found.append(row)
    return _table(found, ("model", "fold", "clips", "ece", "confidence", "accuracy"))


def reliability(models: Models, corpus: str) -> pd.DataFrame:
    """Bins of the reliability diagram, over all folds and seeds."""
    found = []
    for model, rows in models.items():
        bins = binned(_confidences(rows, corpus))
        for number, bin_ in bins.iterrows():
            found.append({"model": model, "from": (int(str(number)) - 1) / BINS, "to": int(str(number)) / BINS, **bin_})
    return _table(found, ("model", "from", "to", "clips", "confidence", "accuracy"))


def risk_coverage(models: Models, corpus: str, coverages: Sequence[float]) -> pd.DataFrame:
    """Accuracy and lowest confidence of the most confident clips at each coverage, averaged over the seeds."""
    found = []
    for model, rows in models.items():
        every = _confidences(rows, corpus)
        curves = [surest(own, coverages) for _, own in every.groupby("seed")]
        accuracy, threshold = np.mean(curves, axis=0) if curves else np.full((2, len(coverages)), np.nan)
        for number, coverage in enumerate(coverages):
            found.append(
                {
                    "model": model,
                    "coverage": coverage,
                    "accuracy": accuracy[number],
                    "risk": 1 - accuracy[number],
                    "threshold": threshold[number],
                }
            )
    return _table(found, ("model", "coverage", "accuracy", "risk", "threshold"))


# Speech without acted emotions, and non-speech


def false_alarms(models: Models) -> pd.DataFrame:
    """Share of time labelled negative at normal sensitivity, in speech without acted emotions."""
    found = []
    for model, rows in models.items():
        threshold = normal_threshold(model, rows)
        for corpus in _corpora(models, _ordinary):
            chosen = _ordinary(rows)
            chosen = chosen[(chosen["corpus"] == corpus) & (chosen["condition"] == MAIN_CONDITION)]
            row: dict[str, Any] = {"model": model, "corpus": corpus, "clips": 0}
            if len(chosen):
                drawn = sample(chosen)
                row |= drawn.counts()
                row["minutes"] = float(chosen["length_s"].sum() / 60 / row["seeds"])
                row |= interval("negative", drawn.mean(partial(_time_called_negative, threshold=threshold)))
            found.append(row)
    columns = ("clips", "speakers", "seeds", "minutes", "negative", "negative_low", "negative_high")
    return _table(found, ("model", "corpus", *columns))


def _ordinary(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["fold"].isin(FOLDS) & _is_ordinary(rows)]


def _is_ordinary(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a row is unlabelled speech, or of a corpus with neutral and calm clips only."""
    level = rows["emotion"].isin(("", *LEVEL)).groupby(rows["corpus"]).transform("all")
    return (rows["emotion"] == "") | level.astype(bool)


def _time_called_negative(rows: pd.DataFrame, weights: np.ndarray, threshold: float) -> np.ndarray:
    if not np.isfinite(threshold):
        return np.full(len(weights), np.nan)
    seconds = rows["length_s"].to_numpy()
    return (weights @ (seconds * (negative(probabilities_of(rows)) >= threshold))) / (weights @ seconds)


def not_speech(models: Models) -> pd.DataFrame:
    """Share of clips with more than half of the probability on `other`, for non-speech and for speech, per corpus."""
    found = []
    corpora = _corpora(models, lambda rows: rows[rows[OTHER].notna()])
    kinds = {OTHER: lambda rows: rows["emotion"] == OTHER, "speech": lambda rows: rows["emotion"] != OTHER}
    for model, rows in models.items():
        known = rows[rows[OTHER].notna() & rows["fold"].isin(FOLDS) & (rows["condition"] == MAIN_CONDITION)]
        for kind, is_kind in kinds.items():
            of_kind = known[is_kind(known)]
            for corpus in (ALL, *corpora):
                chosen = of_kind if corpus == ALL else of_kind[of_kind["corpus"] == corpus]
                row: dict[str, Any] = {"model": model, "sound": kind, "corpus": corpus, "clips": 0}
                if len(chosen):
                    drawn = sample(chosen)
                    row |= drawn.counts()
                    row |= interval("called_other", drawn.mean(_called_other))
                if len(chosen) or corpus == ALL:
                    found.append(row)
    columns = ("clips", "speakers", "seeds", "called_other", "called_other_low", "called_other_high")
    return _table(found, ("model", "sound", "corpus", *columns))


def _called_other(rows: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    return (weights @ (rows[OTHER].to_numpy() > 0.5)) / weights.sum(axis=1)


def _corpora(models: Models, which: Callable[[pd.DataFrame], pd.DataFrame]) -> list[str]:
    return sorted({corpus for rows in models.values() for corpus in which(rows)["corpus"].unique()})
