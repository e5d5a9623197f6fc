"""Tables of an evaluation, from out-of-fold probabilities; each has rows for every model.

The first columns of a table identify a row. A metric is NaN if the model has no rows for it. The columns `_low` and
`_high` are the bounds of a metric's 95 % interval.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from training.evaluation import measures, operating_point
from training.evaluation.rows import CONDITIONS, FOLDS
from training.recipes import CALIBRATING, RECIPES

#: Condition of the tables that name no condition.
MAIN_CONDITION = "telephone"
LENGTHS = ("below 1.5 s", "1.5 to 2.5 s", "above 2.5 s")
COVERAGES = (1.0, 0.9, 0.75, 0.5)
MEAN = "mean"
ALL = "all"

COUNTS = ("clips", "speakers", "seeds")
_NONE = dict.fromkeys(COUNTS, 0)

#: Rows of out-of-fold probabilities, by model.
Models = Mapping[str, pd.DataFrame]


def with_bounds(*names: str) -> tuple[str, ...]:
    """Return the columns of metrics and of the bounds of their intervals."""
    return tuple(f"{name}{end}" for name in names for end in ("", "_low", "_high"))


SCORED_COLUMNS = (*COUNTS, *with_bounds(*measures.MEASURES))


def calibrated_on(model: str) -> tuple[str, ...]:
    """Return the corpora on which the model of this name may be calibrated if they were held out."""
    recipes = {recipe.name: recipe for recipe in RECIPES}
    return tuple(corpus for corpus in CALIBRATING if model not in recipes or corpus in recipes[model].weights)


def labelled(rows: pd.DataFrame, corpus: str | None = None, condition: str | None = None) -> pd.DataFrame:
    """Select clips with an emotion whose speakers were held out by fold; of one corpus and condition if given."""
    mask = rows["emotion"].isin(EMOTIONS) & rows["fold"].isin(FOLDS)
    if corpus is not None:
        mask &= rows["corpus"] == corpus
    if condition is not None:
        mask &= rows["condition"] == condition
    return rows[mask]


def _table(
    models: Models,
    keys: Sequence[str],
    values: Iterable[tuple[str, ...]],
    select: Callable[..., pd.DataFrame],
    figures: Callable[[str, pd.DataFrame], Mapping[str, Any]],
    columns: Sequence[str],
    empty: Callable[..., Mapping[str, Any] | None] = lambda *_: {"clips": 0},
) -> pd.DataFrame:
    """Return a table with a row for every model and every combination of key values.

    Parameters
    ----------
    keys, values : columns that identify a row besides the model, and their values in each row.
    select : selects the rows of a model that belong to the values of a row: (model's rows, *values).
    figures : metrics of these rows if there are any: (model, selected rows).
    columns : names of all metrics.
    empty : metrics without any rows, from the values; None to leave out the row of the table.
    """
    table_rows = []
    for model, rows in models.items():
        for row_values in values:
            chosen = select(rows, *row_values)
            found = figures(model, chosen) if len(chosen) else empty(*row_values)
            if found is not None:
                table_rows.append({"model": model, **dict(zip(keys, row_values, strict=True)), **found})
    return pd.DataFrame(table_rows, columns=["model", *keys, *columns])


def _resampled(rows: pd.DataFrame, metrics: Mapping[tuple[str, ...], measures.Metric]) -> dict[str, Any]:
    """Return the numbers of clips, speakers and seeds, and metrics with intervals; one metric may have several names.

    A metric with several names returns values shaped (draws, names).
    """
    resampled = measures.sample(rows)
    row = resampled.counts()
    for names, metric in metrics.items():
        draws = resampled.mean(metric)
        for name, values in zip(names, draws.reshape(len(draws), -1).T, strict=True):
            row |= measures.interval(name, values)
    return row


# Scores by condition, fold, emotion, sex, length and corpus


def scored(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers of clips, speakers and seeds, and every metric with its interval."""
    if not len(rows):
        return _NONE
    return _resampled(rows, {measures.MEASURES: lambda *sampled: measures.measures(measures.confusions(*sampled))})


def _scored_table(
    models: Models, key: str, values: Iterable[str], select: Callable[[pd.DataFrame, str], pd.DataFrame]
) -> pd.DataFrame:
    keys = [(value,) for value in values]
    return _table(models, (key,), keys, select, lambda _, rows: scored(rows), SCORED_COLUMNS, lambda _: _NONE)


def by_condition(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics for studio, telephone and each codec with which any model was scored."""
    present = {condition for rows in models.values() for condition in labelled(rows, corpus)["condition"].unique()}
    conditions = [condition for condition in CONDITIONS if condition in present | {"studio", MAIN_CONDITION}]
    return _scored_table(models, "condition", conditions, lambda rows, condition: labelled(rows, corpus, condition))


def by_fold(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics per fold, and their mean over folds and seeds, with the lowest and highest UAR of a seed."""
    table_rows = []
    for model, rows in models.items():
        chosen = labelled(rows, corpus, MAIN_CONDITION)
        folds = {fold: chosen[chosen["fold"] == fold] for fold in FOLDS}
        found = {fold: {**scored(fold_rows), **_seed_range(fold_rows)} for fold, fold_rows in folds.items()}
        means = pd.DataFrame([row for row in found.values() if row["clips"]]).mean()
        found[MEAN] = scored(chosen) | {name: means[name] for name in measures.MEASURES if name in means}
        found[MEAN] |= _seed_range(chosen)
        table_rows += [{"model": model, "fold": fold, **row} for fold, row in found.items()]
    return pd.DataFrame(table_rows, columns=["model", "fold", *SCORED_COLUMNS, "uar_lowest_seed", "uar_highest_seed"])


def _seed_range(rows: pd.DataFrame) -> dict[str, float]:
    """Return the lowest and highest UAR of a seed; the UAR of a seed is the mean over its folds."""
    by_seed = [seed_rows for _, seed_rows in rows.groupby("seed")]
    uars = [float(np.mean([measures.uar(fold) for _, fold in seed_rows.groupby("fold")])) for seed_rows in by_seed]
    return {"uar_lowest_seed": min(uars), "uar_highest_seed": max(uars)} if uars else {}


def by_emotion(models: Models, corpus: str) -> pd.DataFrame:
    """Recall (with its interval), precision and F1 of each emotion."""

    def recall_precision_f1(rows: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
        confusion = measures.confusions(rows, weights)
        precision = measures.recalls(confusion.transpose(0, 2, 1))
        return np.stack([measures.recalls(confusion), precision, measures.f1s(confusion)])

    table_rows = []
    for model, rows in models.items():
        chosen = labelled(rows, corpus, MAIN_CONDITION)
        found: dict[str, dict[str, Any]] = {emotion: {"clips": 0} for emotion in EMOTIONS}
        if len(chosen):
            recall, precision, f1 = measures.sample(chosen).mean(recall_precision_f1)
            counts = chosen.drop_duplicates(["clip", "fold"])["emotion"].value_counts()
            for k, emotion in enumerate(EMOTIONS):
                row = {"clips": counts.get(emotion, 0), **measures.interval("recall", recall[:, k])}
                found[emotion] = {**row, "precision": precision[0, k], "f1": f1[0, k]}
        table_rows += [{"model": model, "emotion": emotion, **row} for emotion, row in found.items()]
    columns = ["clips", *with_bounds("recall"), "precision", "f1"]
    return pd.DataFrame(table_rows, columns=["model", "emotion", *columns])


def by_sex(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics for women and men."""

    def select(rows: pd.DataFrame, sex: str) -> pd.DataFrame:
        return labelled(rows[rows["sex"] == sex], corpus, MAIN_CONDITION)

    return _scored_table(models, "sex", ("female", "male"), select)


def by_length(models: Models, corpus: str) -> pd.DataFrame:
    """Metrics for short, medium and long clips."""

    def select(rows: pd.DataFrame, length: str) -> pd.DataFrame:
        seconds = rows["length_s"].to_numpy()
        lengths = np.select([seconds < 1.5, seconds <= 2.5], LENGTHS[:2], LENGTHS[2])
        return labelled(rows[lengths == length], corpus, MAIN_CONDITION)

    return _scored_table(models, "length", LENGTHS, select)


def _corpora(models: Models, select: Callable[[pd.DataFrame], pd.DataFrame]) -> list[tuple[str]]:
    """Return the corpora of the rows that `select` selects from any model, as values of a table's key."""
    return sorted({(corpus,) for rows in models.values() for corpus in select(rows)["corpus"].unique()})


def by_corpus(models: Models) -> pd.DataFrame:
    """UAR of each corpus with several emotions, among its emotions; for speakers held out by fold."""
    return _table(
        models,
        ("corpus",),
        _corpora(models, lambda rows: labelled(rows)[~_is_ordinary(labelled(rows))]),
        lambda rows, corpus: labelled(rows, corpus, MAIN_CONDITION),
        lambda _, rows: _resampled(rows, {("uar",): measures.uar_of_occurring}),
        (*COUNTS, *with_bounds("uar")),
    )


def left_out(models: Models) -> pd.DataFrame:
    """Metrics on whole corpora that were held out of training.

    `uar` is among the emotions of the corpus. `roc_area` is that of the probability of a negative emotion, negative
    clips against neutral and calm ones; `found_at_5` is the share of its negative clips above the threshold that 5 % of
    its neutral and calm clips exceed. `found` is the share of negative clips that are labelled negative at normal
    sensitivity, `false` that of neutral and calm clips (false-alarm rate). The threshold comes from the other held-out
    corpora, so it does not depend on the corpus itself. `calibration_error` is among the emotions of the corpus.
    `dropped` is the share of clips classified as non-speech.
    """

    def select(rows: pd.DataFrame, corpus: str) -> pd.DataFrame:
        chosen = operating_point.held_out_corpus_rows(rows)
        return chosen[(chosen["corpus"] == corpus) & (chosen["condition"] == MAIN_CONDITION)]

    def figures(model: str, rows: pd.DataFrame) -> dict[str, Any]:
        threshold = normal_threshold(model, models[model], without=rows["corpus"].iloc[0])
        rates = partial(operating_point.called_negative, threshold=threshold)
        by_seed = [seed_rows for _, seed_rows in rows.groupby("seed")]
        return {
            **_resampled(rows, {("uar",): measures.uar_of_occurring, ("found", "false"): rates}),
            "roc_area": np.mean(list(map(operating_point.roc_area, by_seed))),
            "found_at_5": np.mean(list(map(operating_point.found_at_own_threshold, by_seed))),
            "calibration_error": np.mean(list(map(_calibration_error, by_seed))),
            "dropped": (rows[OTHER] > 0.5).mean() if rows[OTHER].notna().all() else np.nan,
        }

    columns = (*COUNTS, *with_bounds("uar", "found", "false"), "roc_area", "found_at_5", "calibration_error", "dropped")
    return _table(models, ("corpus",), _corpora(models, operating_point.held_out_corpus_rows), select, figures, columns)


def normal_threshold(model: str, rows: pd.DataFrame, without: str = "") -> float:
    """Return the probability of a negative emotion from which a clip is labelled negative at normal sensitivity.

    It comes from the held-out corpora that may calibrate the model, except `without`. NaN if there are none.
    """
    chosen = operating_point.held_out_corpus_rows(rows)
    allowed = chosen["corpus"].isin(calibrated_on(model)) & (chosen["corpus"] != without)
    chosen = chosen[allowed & (chosen["condition"] == MAIN_CONDITION)]
    if not chosen["emotion"].isin(operating_point.NON_NEGATIVE).any():
        return float("nan")
    return operating_point.thresholds(chosen)["normal"]


def _calibration_error(rows: pd.DataFrame) -> float:
    """Expected calibration error among the emotions that occur in the rows."""
    probabilities = measures.probabilities_of(rows) * np.isin(np.arange(len(EMOTIONS)), measures.truth_of(rows))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return measures.expected_calibration_error(_predictions(rows, probabilities))


def confusion(models: Models, corpus: str) -> pd.DataFrame:
    """Predictions per true emotion: number of clips (mean over the seeds) and share of the row."""
    table_rows = []
    for model, rows in models.items():
        chosen = labelled(rows, corpus, MAIN_CONDITION)
        if len(chosen):
            counts = measures.sample(chosen).mean(lambda rows, weights: measures.confusions(rows, weights[:1]))[0]
            shares = measures.share(counts, counts.sum(axis=1, keepdims=True))
            table_rows += [
                (model, acted, predicted, counts[i, j], shares[i, j])
                for i, acted in enumerate(EMOTIONS)
                for j, predicted in enumerate(EMOTIONS)
            ]
    return pd.DataFrame(table_rows, columns=["model", "acted", "predicted", "clips", "share"])


# Calibration and confidence


def _predictions(rows: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return fold and seed of rows, the highest probability, and whether it is that of the true emotion."""
    correct = probabilities.argmax(axis=1) == measures.truth_of(rows)
    return rows[["fold", "seed"]].assign(confidence=probabilities.max(axis=1), correct=correct)


def _confidences(rows: pd.DataFrame, corpus: str) -> pd.DataFrame:
    """Return the predictions for the clips of a corpus, under the prior of these clips."""
    chosen = labelled(rows, corpus, MAIN_CONDITION)
    if not len(chosen):
        return _predictions(chosen, measures.probabilities_of(chosen))
    shares = np.bincount(measures.truth_of(chosen), minlength=len(EMOTIONS)) / len(chosen)
    return _predictions(chosen, measures.with_prior(measures.probabilities_of(chosen), shares))


def calibration(models: Models, corpus: str) -> pd.DataFrame:
    """Expected calibration error, mean confidence and accuracy, per fold and over all folds."""

    def select(rows: pd.DataFrame, fold: str) -> pd.DataFrame:
        confidences = _confidences(rows, corpus)
        return confidences if fold == ALL else confidences[confidences["fold"] == fold]

    def figures(_: str, rows: pd.DataFrame) -> dict[str, Any]:
        by_seed = [seed_rows for _, seed_rows in rows.groupby("seed")]
        return {
            "clips": round(len(rows) / len(by_seed)),
            "ece": np.mean(list(map(measures.expected_calibration_error, by_seed))),
            "confidence": rows["confidence"].mean(),
            "accuracy": rows["correct"].mean(),
        }

    folds = [(fold,) for fold in (*FOLDS, ALL)]
    return _table(models, ("fold",), folds, select, figures, ("clips", "ece", "confidence", "accuracy"))


def reliability(models: Models, corpus: str) -> pd.DataFrame:
    """Bins of the reliability diagram, over all folds and seeds."""
    bins = pd.concat({model: measures.binned(_confidences(rows, corpus)) for model, rows in models.items()})
    table = bins.astype(float).reset_index(names=["model", "bin"])
    edges = {"from": (table["bin"] - 1) / measures.BINS, "to": table["bin"] / measures.BINS}
    return table.assign(**edges)[["model", "from", "to", "clips", "confidence", "accuracy"]]


def risk_coverage(models: Models, corpus: str, coverages: Sequence[float]) -> pd.DataFrame:
    """Accuracy and lowest confidence of the most confident clips at each coverage, averaged over the seeds."""
    tables = []
    for model, rows in models.items():
        by_seed = _confidences(rows, corpus).groupby("seed")
        curves = [measures.accuracy_at_coverage(seed_rows, coverages) for _, seed_rows in by_seed]
        accuracy, threshold = np.mean(curves, axis=0) if curves else np.full((2, len(coverages)), np.nan)
        columns = {"coverage": coverages, "accuracy": accuracy, "risk": 1 - accuracy, "threshold": threshold}
        tables.append(pd.DataFrame({"model": model, **columns}))
    return pd.concat(tables, ignore_index=True)


# Speech without acted emotions, and non-speech


def false_alarms(models: Models) -> pd.DataFrame:
    """Share of time labelled negative at normal sensitivity, in speech without acted emotions."""

    def select(rows: pd.DataFrame, corpus: str) -> pd.DataFrame:
        chosen = _ordinary(rows)
        return chosen[(chosen["corpus"] == corpus) & (chosen["condition"] == MAIN_CONDITION)]

    def figures(model: str, rows: pd.DataFrame) -> dict[str, Any]:
        metric = partial(_time_called_negative, threshold=normal_threshold(model, models[model]))
        minutes = rows["length_s"].sum() / 60 / rows["seed"].nunique()
        return {**_resampled(rows, {("negative",): metric}), "minutes": minutes}

    columns = (*COUNTS, "minutes", *with_bounds("negative"))
    return _table(models, ("corpus",), _corpora(models, _ordinary), select, figures, columns)


def _ordinary(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["fold"].isin(FOLDS) & _is_ordinary(rows)]


def _is_ordinary(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a row is unlabelled speech, or of a corpus with neutral and calm clips only."""
    level = rows["emotion"].isin(("", *operating_point.NON_NEGATIVE)).groupby(rows["corpus"]).transform("all")
    return (rows["emotion"] == "") | level.astype(bool)


def _time_called_negative(rows: pd.DataFrame, weights: np.ndarray, threshold: float) -> np.ndarray:
    if not np.isfinite(threshold):
        return np.full(len(weights), np.nan)
    seconds = rows["length_s"].to_numpy()
    return (weights @ (seconds * (operating_point.negative(measures.probabilities_of(rows)) >= threshold))) / (
        weights @ seconds
    )


def not_speech(models: Models) -> pd.DataFrame:
    """Share of clips with more than half of the probability on `other`, for non-speech and for speech, per corpus."""

    def select(rows: pd.DataFrame, sound: str, corpus: str) -> pd.DataFrame:
        is_sound = (rows["emotion"] == OTHER) == (sound == OTHER)
        is_corpus = (rows["corpus"] == corpus) | (corpus == ALL)
        is_scored = rows[OTHER].notna() & rows["fold"].isin(FOLDS) & (rows["condition"] == MAIN_CONDITION)
        return rows[is_sound & is_corpus & is_scored]

    def called_other(rows: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
        return (weights @ (rows[OTHER].to_numpy() > 0.5)) / weights.sum(axis=1)

    corpora = [(ALL,), *_corpora(models, lambda rows: rows[rows[OTHER].notna()])]
    return _table(
        models,
        ("sound", "corpus"),
        [(sound, corpus) for sound in (OTHER, "speech") for (corpus,) in corpora],
        select,
        lambda _, rows: _resampled(rows, {("called_other",): called_other}),
        (*COUNTS, *with_bounds("called_other")),
        lambda _, corpus: {"clips": 0} if corpus == ALL else None,
    )
