"""Model card and metrics of a model fitted by training.release."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER, SENSITIVITIES
from analyzer.model.classifier import ModelSettings
from training.baseline.card import render
from training.data import published
from training.data.corpora import RAVDESS, Clip
from training.evaluation import tables
from training.export import cost
from training.recipes import Recipe


@dataclass(frozen=True)
class Rounding:
    """Comparison of an int8 network with the exact one.

    Attributes
    ----------
    clips : number of clips compared.
    largest_change : largest change of a probability.
    decisions_kept : share of clips whose most probable emotion is unchanged.
    """

    clips: int
    largest_change: float
    decisions_kept: float


@dataclass(frozen=True)
class CardInput:
    """Input of the card and of metrics.json.

    Attributes
    ----------
    recipe, settings : of the model.
    rows : probabilities that the recipe gives to clips of held-out speakers.
    clips : the training clips of the model.
    weights, multiply_adds, speed : number of weights, multiply-adds per second of speech, speed in times real time.
    rounding : effect of int8; None if the network computes in float.
    """

    recipe: Recipe
    settings: ModelSettings
    rows: pd.DataFrame
    clips: Sequence[Clip]
    weights: int
    multiply_adds: int
    speed: float
    rounding: Rounding | None


def licence(recipe: Recipe) -> str:
    """Return the terms of the weights in a few words, as in `classifier.json`."""
    restricted = sorted(filter(published.is_non_commercial, recipe.corpora))
    if restricted:
        return f"trained on {', '.join(restricted)}, whose licences allow no commercial use"
    return "trained on corpora whose licences all allow business use, with the attribution on its card"


def metrics(made: CardInput) -> dict[str, Any]:
    """Return the content of `metrics.json`."""
    models = {made.recipe.name: made.rows}
    by_fold = tables.by_fold(models, RAVDESS)
    folds = by_fold[(by_fold["clips"] > 0) | (by_fold["fold"] == tables.MEAN)].set_index("fold")["uar"]
    false_alarm_rates = tables.false_alarms(models).set_index("corpus")["negative"]
    non_speech = tables.not_speech(models).set_index(["sound", "corpus"])["called_other"]
    content: dict[str, Any] = {
        "by_folds": _by_corpus(tables.by_corpus(models), ("speakers", "uar", "uar_low", "uar_high")),
        "ravdess_folds": {str(fold): round(float(uar), 3) for fold, uar in folds.items()},
        "left_out": _by_corpus(
            tables.left_out(models),
            ("speakers", "uar", "roc_area", "found_at_5", "found", "false", "calibration_error", "dropped"),
        ),
        "called_negative": {corpus: round(float(share), 4) for corpus, share in false_alarm_rates.items()},
        "non_speech_recognised": round(float(non_speech.loc[(OTHER, tables.ALL)]), 4),
        "weights": made.weights,
        "multiply_adds": made.multiply_adds,
        "speed": round(made.speed),
    }
    return {**_summary_sentences(content), **content}


def _by_corpus(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return columns of a table with four decimals, by corpus; None instead of NaN."""
    return {
        row["corpus"]: {name: None if pd.isna(row[name]) else round(float(row[name]), 4) for name in columns}
        for _, row in table.iterrows()
    }


def _summary_sentences(content: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the two sentences that the workbook shows."""
    scored_corpora = {corpus: row for corpus, row in content["left_out"].items() if row["uar"] is not None}
    areas, recalls = (
        ", ".join(f"{corpus} {row[name]:.2f}" for corpus, row in scored_corpora.items()) for name in ("roc_area", "uar")
    )
    on_unseen_speakers = (
        "on corpora that are not in training: ROC area of negative against neutral and calm clips (chance 0.5) "
        f"{areas}; mean recall of the emotions of each corpus {recalls}"
    )
    rate = content["called_negative"].get(published.NEUTRAL_SPEECH)
    on_read_speech = None if rate is None else f"{100 * rate:.1f} % of the time of calm reading is labelled negative"
    return {
        "on_unseen_speakers": on_unseen_speakers if scored_corpora else None,
        "false_alarms_on_read_speech": on_read_speech,
    }


def card(made: CardInput, found: Mapping[str, Any]) -> str:
    """Return the model card in Markdown; `found` is the result of `metrics`."""
    recipe = made.recipe
    emotion_counts = Counter(clip.emotion for clip in made.clips if clip.corpus in recipe.weights)
    return render(
        "model_card.md.j2",
        Counter(clip.corpus for clip in made.clips),
        **found,
        recipe=recipe,
        encoder=recipe.encoder,
        settings=made.settings,
        exact_speed=made.speed,
        rounding=made.rounding,
        machine=cost.machine(),
        shares=lambda values: ", ".join(f"{name} {share:g}" for name, share in values.items()),
        calibrated_on=tables.calibrated_on(recipe.name),
        call_prior=dict(zip(EMOTIONS, recipe.call_prior, strict=True)),
        sensitivities=SENSITIVITIES,
        rare=[emotion for emotion in EMOTIONS if emotion_counts[emotion] < emotion_counts.total() / 50],
    )
