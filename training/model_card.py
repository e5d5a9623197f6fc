"""Model card and metrics of a model fitted by training.release."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analyzer.classifier import SENSITIVITIES, ModelSettings
from analyzer.emotions import EMOTIONS, OTHER
from training import cost, published
from training import evaluation_tables as tables
from training.card import HOW_IT_WAS_MADE
from training.corpora import RAVDESS, Clip
from training.recipes import EncoderRecipe, Recipe, StudentRecipe

CARD = """\
# Model card: {name}

{introduction} For `call-emotions analyze --model {name}`.

**{use}** Licence of the weights: {licence}.

## Scores on speakers, and on whole corpora, that were left out of training

All through a telephone line: 300 to 3400 Hz, mu-law, 8 kHz. The shipped weights are those of a fit on everything;
each score is that of a fit of the same recipe without the speakers that are scored. UAR is the mean recall among the
emotions that a corpus has.

Speakers left out by folds, clips of the same corpora in training:

| corpus | speakers | UAR (95 % interval) |
|---|---|---|
{by_folds}

By fold of RAVDESS: {ravdess_folds}.

Corpora left out whole. ROC area is that of the probability of a negative emotion (sad, angry, fearful, disgusted),
those clips against neutral and calm ones. Found and false are the shares of both that are called negative at normal
sensitivity, with a threshold taken from the other corpora that were left out. MELD, a television comedy, is never
trained on.

| corpus | speakers | UAR | ROC area | found | false | calibration error | speech taken for non-speech |
|---|---|---|---|---|---|---|---|
{left_out}

| | |
|---|---|
{others}

Every table comes from `python -m training evaluate`: [the report](../../reports/evaluation/report.md).

## Cost

{weights:,} weights, {millions:.0f} million multiply-adds per second of speech, {speed:,.0f} times real time of speech
on one core of the machine that made it ({machine}).{rounding}

## Data and licences

{data}

Whisper's weights are under the MIT licence (Radford et al., 2022). The music is synthetic.

## Method

Sound at 8 kHz, 80 mel bands, 100 frames a second. {encoder} Each corpus constrains only the emotions that it has. Batches are
balanced over corpora and, within each, over emotions: {shares}. Linear heads take mean and deviation over time of its
layers: a discriminant with shrinkage {shrinkage:g}{distilled}. A corpus's weight in them: {corpus_weights}.

Calibration and thresholds come from corpora that were left out ({calibrated_on}), never from those that the fit was
trained on. On calls it expects these shares: {call_prior}. A segment is called negative where the four negative
emotions together reach {sensitivities} (`--sensitivity`), and uncertain where they do not and no other emotion is the
most probable and reaches {uncertain_below:g}.

## Limits

- Most of the speech is acted. People who are really upset sound different, and less clear.
- {weak}
- An emotion in a voice is not what a person feels. Use it to choose what to listen to, never to judge, pay, hire or
  refuse a person.

"""
INTRODUCTIONS = {
    EncoderRecipe: "Whisper base's encoder, trained end to end on acted emotions in telephone sound, and linear heads that "
    "give eight emotions of a few seconds of one voice, or say that it is not speech.",
    StudentRecipe: "A convolutional network, trained on labels and on the outputs of `{teacher}`, and linear heads that give "
    "eight emotions of a few seconds of one voice, or say that it is not speech.",
}
ENCODERS = {
    EncoderRecipe: "{size.blocks} blocks of Whisper base's encoder; pairs of frames are averaged after the first {size.pairs_after}. It is "
    "trained for {options.steps} steps of {batch} crops through lines drawn at random (AdamW, highest rate {options.rate:g}, "
    "times {options.block_decay:g} for each block further down). The weights that are used lie {tuned:g} of the way from "
    "Whisper's to the trained ones.",
    StudentRecipe: "Residual convolutions over time (dilated 1, 2, 4), 25 frames a second, each block scaled by what the "
    "whole segment is like. It is trained for {options.steps} steps of {batch} crops through lines drawn at random (AdamW, "
    "highest rate {options.rate:g}) on labels, and on logits and frames of the fit of `{teacher.name}` that left out the "
    "same speakers.",
}
ROUNDING = """ Most matrix products are
computed in int8: on {clips} clips no probability changed by more than {largest_change:.3f}, and {decisions_kept:.0%} of the
decisions stayed. A processor without VNNI takes longer."""
DISTILLED = ", mixed with one fitted to the teacher's logits (share {share:g})"
BUSINESS = "May be used for business, with attribution of the corpora below."
NON_COMMERCIAL = "Non-commercial use only: the licences of some recordings that it was trained on allow no other."


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
class Made:
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
    corpora = [corpus for corpus in published.LICENCES if corpus in recipe.corpora]
    named = ", ".join(f"{published.LICENCES[corpus].split(';')[0].split(' (')[0]}" for corpus in corpora)
    if any(map(published.is_non_commercial, recipe.corpora)):
        return f"trained on {named}; some of them allow no commercial use"
    return f"trained on {named}; all of them allow business use, with attribution"


def metrics(made: Made) -> dict[str, Any]:
    """Return the content of `metrics.json`."""
    models = {made.recipe.name: made.rows}
    folds = tables.by_fold(models, RAVDESS).set_index("fold")
    corpora = tables.by_corpus(models).set_index("corpus")
    left_out = tables.left_out(models).set_index("corpus")
    level = tables.false_alarms(models).set_index("corpus")["negative"]
    sounds = tables.not_speech(models)
    non_speech = sounds[(sounds["sound"] == OTHER) & (sounds["corpus"] == tables.ALL)]["called_other"]
    found: dict[str, Any] = {
        "by_folds": {
            corpus: _rounded(row, ("speakers", "uar", "uar_low", "uar_high")) for corpus, row in corpora.iterrows()
        },
        "ravdess_folds": {
            str(fold): round(float(row["uar"]), 3)
            for fold, row in folds.iterrows()
            if row["clips"] or fold == tables.MEAN
        },
        "left_out": {
            corpus: _rounded(row, ("speakers", "uar", "roc_area", "found", "false", "calibration_error", "dropped"))
            for corpus, row in left_out.iterrows()
        },
        "called_negative": {corpus: round(float(share), 4) for corpus, share in level.items()},
        "non_speech_recognised": round(float(non_speech.mean()), 4),
        "weights": made.weights,
        "multiply_adds": made.multiply_adds,
        "speed": round(made.speed),
    }
    return {**_in_words(found), **found}


def _rounded(row: "pd.Series[Any]", names: Sequence[str]) -> dict[str, float | None]:
    return {name: None if pd.isna(row[name]) else round(float(row[name]), 4) for name in names}


def _in_words(found: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the two sentences that the workbook shows."""
    left = {corpus: row for corpus, row in found["left_out"].items() if row["uar"] is not None}
    areas = ", ".join(f"{corpus} {row['uar']:.2f} and {row['roc_area']:.2f}" for corpus, row in left.items())
    level = found["called_negative"].get(published.NEUTRAL_SPEECH)
    return {
        "on_strangers": f"mean recall among a corpus's emotions, and ROC area of negative against level speech, on "
        f"corpora that were left out of training: {areas}"
        if left
        else None,
        "on_level_voices": None if level is None else f"calls {level:.1%} of the time of calm reading negative",
    }


def card(made: Made, found: Mapping[str, Any]) -> str:
    """Return the model card in Markdown; `found` is the result of `metrics`."""
    recipe, encoder = made.recipe, made.recipe.encoder
    counts = Counter(clip.corpus for clip in made.clips)
    acted = Counter(clip.emotion for clip in made.clips if clip.corpus in recipe.weights)
    few = [emotion for emotion in EMOTIONS if acted[emotion] < acted.total() / 50]
    return (CARD + HOW_IT_WAS_MADE).format(
        name=recipe.name,
        introduction=INTRODUCTIONS[type(encoder)].format(teacher=getattr(encoder, "teacher", recipe).name),
        use=BUSINESS if made.settings.business_use else NON_COMMERCIAL,
        licence=made.settings.licence,
        by_folds=_lines(
            (corpus, f"{row['speakers']:.0f}", f"{row['uar']:.3f} ({row['uar_low']:.3f} to {row['uar_high']:.3f})")
            for corpus, row in found["by_folds"].items()
            if row["uar"] is not None
        ),
        ravdess_folds=" ".join(f"{fold}: {uar:.3f}" for fold, uar in found["ravdess_folds"].items()),
        left_out=_lines(
            (
                corpus,
                f"{row['speakers'] or 0:.0f}",
                *(_cell(value) for name, value in row.items() if name != "speakers"),
            )
            for corpus, row in found["left_out"].items()
        ),
        others=_lines(
            [
                *(
                    (f"`{name}`: time called negative", f"{share:.1%}")
                    for name, share in found["called_negative"].items()
                ),
                ("music, tones and noise recognised as non-speech", f"{found['non_speech_recognised']:.1%}"),
            ]
        ),
        weights=made.weights,
        millions=made.multiply_adds / 1e6,
        speed=made.speed,
        machine=cost.machine(),
        rounding=ROUNDING.format(**vars(made.rounding)) if made.rounding else "",
        data="\n".join(
            f"- `{corpus}`, {count} clips. {published.LICENCES.get(corpus, 'Made for this project')}"
            for corpus, count in sorted(counts.items())
        ),
        encoder=ENCODERS[type(encoder)].format(**vars(encoder)),
        shares=", ".join(f"{corpus} {share:g}" for corpus, share in encoder.shares.items()),
        distilled=DISTILLED.format(share=recipe.distilled) if recipe.distilled else "",
        shrinkage=recipe.shrinkage,
        corpus_weights=", ".join(f"{corpus} {weight:g}" for corpus, weight in recipe.weights.items()),
        calibrated_on=", ".join(tables.calibrated_on(recipe.name)),
        call_prior=", ".join(f"{name} {share:g}" for name, share in zip(EMOTIONS, recipe.call_prior, strict=True)),
        sensitivities=", ".join(
            f"{made.settings.sensitivities.at(name).negative_from:g} ({name})" for name in SENSITIVITIES
        ),
        uncertain_below=made.settings.uncertain_below,
        weak=f"Few clips of it are {' or '.join(few)}: expect these to be missed."
        if few
        else "Languages and rooms other than those above were not in training: expect less there.",
    )


def _lines(rows: Any) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
