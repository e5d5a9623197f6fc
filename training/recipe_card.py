"""The cards and figures of `models/default` and `models/accurate`."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, EVEN_PRIOR, NEGATIVE
from training import evaluation_measures as measures
from training import evaluation_tables as tables
from training import halved, published, whisper
from training.card import HOW_IT_WAS_MADE
from training.corpora import RAVDESS
from training.folds import LEFT_OUT
from training.student import TARGETS

if TYPE_CHECKING:
    from training.ship import Shipped


#: What is told of a model beside what all cards have in common.
INTRODUCTIONS = {
    "accurate": """\
A piece of Whisper base's encoder (its first {blocks} blocks, taught to make do with half as many frames and fewer neurons) and
a linear head, which name the emotion acted in a few seconds of one voice, or say that it is no speech. For `call-emotions analyze --model accurate`: for archives that a
machine can hear at this model's price, or for the calls that `default` has picked; it hears strangers better.
""",
    "default": """\
A convolutional network and a linear head, which name the emotion acted in a few seconds of one voice. The network was taught, frame by frame, to say what a piece of Whisper base's encoder says. It is what
`call-emotions analyze` takes unless told otherwise: for whole archives, at next to no cost.
""",
}
EARS = {
    "accurate": """\
Sound at 16 kHz, 80 mel bands, as Whisper takes it. Pairs of frames are averaged before the first block, 25 a second, and
of the {whole} neurons in the dense network of each block those are kept that add most: {neurons}. All weights were then
taught to say what the blocks say without that, of the same speech through the plain line, while they heard it through that
and another one: {lessons}. No label was given there, no actor of RAVDESS heard. Mean and
deviation over time of the outputs of blocks {layers}, where frames within 10 dB of the loudest count in full and those 30 dB
below it hardly.
""",
    "default": """\
Sound at 8 kHz, 64 mel bands, 100 frames a second; residual convolutions over time (dilated 1, 2, 4), 25 frames a second,
each block weighed by what the whole segment is like; mean and deviation over time of what the network says and of its
last hidden layer. It was taught to say {targets} principal components of the outputs of blocks 2 and 3 of Whisper's
encoder, which heard the same speech through the plain line, while the network heard it through that or another one:
{lessons}. No label was given there. Actors of RAVDESS were heard; in the students of the score, none of those scored, but
others who say the same two sentences in the same room. Of a corpus of which it heard nobody, it catches about half as much
of what the encoder hears.
""",
}
SMALL = """\
Its large matrix products, but for those of block 1 and of the attention in block 2, are computed in int8, the weights rounded by {rounded_by} clips of all corpora:
on {clips} other clips no probability changed by more than {change:.3f}, and {kept:.0%} of the decisions stayed. A processor
without VNNI takes longer."""

ADVICE = """

Of what the emotions' head says, {share:.0%} are another linear head's, fitted by ridge regression to advice: to what a discriminant, which
learned from the same clips, says of each where it hears by Whisper's own first {blocks} blocks, at all frames and with all
neurons. Who advised on a fold had heard nobody of it."""

CARD = """\
# Model card: {name}

{introduction}
**Non-commercial use only**: the licences of the recordings that it learned from allow no other.

## Score

**Unweighted average recall (UAR) {uar:.3f} through the telephone, on actors it never heard** (RAVDESS, 8 emotions, chance
0.125; EmoBox folds 1 to 5, 20 actors, each fold trained without its actors' speech and song; seeds {seeds}; the mean over
folds and seeds). By fold: {by_fold}. Telephone means 300 to 3400 Hz, mu-law, 8 kHz.

A seed draws anew the lines of the copies that the heads learn from; the encoder is the same under all.
The shipped weights were then fitted on all speakers: this is the score of the recipe on strangers, not of these weights.

| | |
|---|---|
{rows}

Every table, with intervals, by line, emotion, sex and length, comes from `python -m training evaluate`:
[the report](../../reports/evaluation/report.md).

## Cost

{weights_count:,} weights, {multiply_adds:.0f} million multiply-adds per second of speech, {speed:,.0f} times real time of speech on one
core of the machine that made it ({machine}). {small}

## Data and licences

{data}

Whisper's weights are under the MIT licence (Radford et al., 2022). Music to tell from speech was made up.

## How it hears

{ear}
A linear discriminant with shrinkage {recipe.shrinkage:g} tells the emotions, in which what differs between corpora is told from
what differs between emotions, and then counts as noise; another one tells what is no speech. Clips were learned through a
plain telephone line and, at {recipe.drawn_weight:g} of the weight, through one drawn at random (band, codec, level, noise, echo,
speed, lost packets). A clip's weight: {corpus_weights}.{advice}

Probabilities are calibrated, fold by fold, by the speakers of the four others, whom the heads that tell of them had not
heard either: a temperature, and a share of an even guess. On calls it expects these
shares: {call_prior}.
A segment is called negative where the four negative emotions together reach {negative_from:g} (`--sensitivity normal`), and
uncertain where they do not and no other emotion is the most probable and reaches {uncertain_below:g}: the lowest level at which
four of five of the most probable emotions are right.

## Limits

- Actors in studios, reading given sentences. People who are really upset sound different, and less clear.
- Languages and rooms other than those above were not learned: expect less of them.
- An emotion heard in a voice is not what a person feels. Use it to choose what to listen to, never to judge, pay, hire or
  refuse anybody.

"""

#: What is told in the table, and the figure without which it is not.
ROWS = {
    ("expected calibration error", "{calibration_error:.3f}"): "calibration_error",
    ("calm read speech of strangers called sad, angry, fearful or disgusted, share of clips, as `analyze` tells",
     "{false_alarms:.1%}"): "false_alarms",
    ("the same under `--prior even`", "{false_alarms_even:.1%}"): "false_alarms_even",
    ("all of nEMO left out (Polish, another studio): UAR over its 6 emotions with 8 to choose from, even prior",
     "{left_out:.3f}"): "left_out",
    ("there, as `analyze` tells: negative clips found / level clips called negative",
     "{found:.0%} / {cried:.0%}"): "left_out",
    ("music, tones and noise of recordings never heard, taken for no speech", "{other:.1%}"): "other",
    ("speech taken for no speech", "{lost:.1%}"): "lost",
}  # fmt: skip


def card(shipped: "Shipped") -> str:
    """The text of the card."""
    found, name = figures(shipped), shipped.recipe.name
    counts = Counter({clip.path: clip.corpus for clip in (*shipped.learned, *shipped.taught)}.values())
    data = "\n".join(
        f"- `{corpus}`, {count} clips. {published.LICENCES.get(corpus, 'Made up for this project')}"
        for corpus, count in sorted(counts.items())
    )
    lessons = Counter(clip.corpus for clip in shipped.taught)
    told = {
        "blocks": len(halved.NEURONS),
        "layers": ", ".join(map(str, halved.LAYERS)),
        "whole": whisper.NEURONS,
        "neurons": ", ".join(map(str, halved.NEURONS)),
        "targets": TARGETS,
        "lessons": ", ".join(f"{corpus} {count}" for corpus, count in sorted(lessons.items())),
    }
    small = SMALL.format(
        rounded_by=shipped.rounded_by, clips=shipped.checked, change=shipped.largest_change, kept=shipped.decisions_kept
    )
    return (CARD + HOW_IT_WAS_MADE).format(
        **{**found, "multiply_adds": found["multiply_adds"] / 1e6},
        name=name,
        introduction=INTRODUCTIONS[name].format(**told),
        ear=EARS[name].format(**told),
        rows="\n".join(
            f"| {what} | {figure.format(**found)} |"
            for (what, figure), needed in ROWS.items()
            if found[needed] is not None
        ),
        recipe=shipped.recipe,
        data=data,
        by_fold=" ".join(f"{value:.3f}" for value in found["uar_by_fold"].values()),
        corpus_weights=", ".join(f"{corpus} {weight:g}" for corpus, weight in shipped.recipe.weights.items()),
        call_prior=", ".join(
            f"{name} {share:g}" for name, share in zip(EMOTIONS, shipped.recipe.call_prior, strict=True)
        ),
        negative_from=shipped.settings.sensitivities.normal.negative_from,
        machine=shipped.machine,
        small=small if shipped.largest_change > 1e-4 else "",
        advice=ADVICE.format(share=advice.share, **told) if (advice := shipped.recipe.advice) else "",
    )


def figures(shipped: "Shipped") -> dict[str, Any]:
    """What metrics.json holds."""
    telephone = shipped.rows[shipped.rows["condition"] == "telephone"]
    acted = telephone[telephone["corpus"] == RAVDESS]
    by_fold = {str(fold): round(measures.uar(part), 4) for fold, part in acted.groupby("fold")}
    read = telephone[telephone["corpus"] == published.NEUTRAL_SPEECH]
    left_out = telephone[telephone["fold"] == LEFT_OUT]
    negative, level = left_out["emotion"].isin(NEGATIVE), left_out["emotion"] == "neutral"
    no_speech, speech = telephone["emotion"] == "other", telephone["emotion"] != "other"
    taken = telephone["other"].to_numpy(float) > 0.5
    uar, seeds = float(np.mean(list(by_fold.values()))), ", ".join(map(str, sorted(acted["seed"].unique())))
    call_prior = shipped.recipe.call_prior
    cried = _share_negative(read, call_prior)
    return {
        "on_strangers": (
            f"recognises {100 * uar:.1f} % of the emotions of {acted['speaker'].nunique()} actors whom it never heard, through "
            f"a telephone (mean recall of eight emotions, chance 12.5 %; RAVDESS, {len(by_fold)} folds, seeds {seeds})"
        ),
        "on_level_voices": None
        if cried is None
        else f"calls {100 * cried:.1f} % of the clips of calm readers sad, angry, fearful or disgusted",
        "uar": round(uar, 4),
        "uar_by_fold": by_fold,
        "seeds": seeds,
        "calibration_error": round(_calibration_error(acted), 4),
        "false_alarms": cried,
        "false_alarms_even": _share_negative(read, EVEN_PRIOR),
        "left_out": round(measures.uar(left_out), 4) if len(left_out) else None,
        "found": _share_negative(left_out[negative], call_prior),
        "cried": _share_negative(left_out[level], call_prior),
        "other": round(float(taken[no_speech].mean()), 4),
        "lost": round(float(taken[speech].mean()), 4),
        "weights_count": shipped.weights,
        "multiply_adds": shipped.multiply_adds,
        "speed": round(shipped.speed),
        "uncertain_below": shipped.settings.uncertain_below,
    }


def _calibration_error(rows: pd.DataFrame) -> float:
    """As the report has it: under the prior of the corpus's clips, all folds together."""
    found = tables.calibration({"model": rows}, RAVDESS)
    return float(found.loc[found["fold"] == tables.ALL, "ece"].iloc[0])


def _share_negative(rows: pd.DataFrame, prior: Sequence[float]) -> float | None:
    if not len(rows):
        return None
    heard = np.array(EMOTIONS)[measures.moved(measures.probabilities_of(rows), prior).argmax(axis=1)]
    return round(float(np.isin(heard, NEGATIVE).mean()), 4)
