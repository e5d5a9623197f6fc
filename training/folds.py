"""A recipe on people whom it never heard: fold by fold, and a whole corpus left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from training import music, published
from training.corpora import RAVDESS, Clip
from training.evaluation_rows import Heard, TrainedOn
from training.recipe import FOLDS, LEARNED_ONLY, Heads, Material, Recipe, deal, fit_heads, temperatures

#: Corpora that are scored in folds; of others everybody is only learned from.
SCORED = (RAVDESS, published.NEUTRAL_SPEECH, published.NON_SPEECH, published.IVR, music.CORPUS)
LEFT_OUT = "nemo"
#: Folds whose speakers calibrate another one's probabilities; what one of them tells depends much on its speakers.
CALIBRATED_BY = 2


@dataclass(frozen=True)
class OutOfFold:
    """What a recipe gives for clips of people whom it never heard.

    Attributes
    ----------
    rows : with the columns of training.evaluation_rows.
    trained_on : who was heard, by fold.
    temperatures : of emotions and of what is no speech, as calibrated in each fold and seed.
    """

    rows: pd.DataFrame
    trained_on: TrainedOn
    temperatures: tuple[tuple[float, float], ...] = ()


def out_of_fold(
    material: Material,
    recipe: Recipe,
    seeds: Sequence[int],
    folds: Sequence[int] = FOLDS,
    lessons: Sequence[Clip] = (),
) -> OutOfFold:
    """Fit the recipe once per fold and seed without the fold's speakers, and hear these.

    `lessons` are the clips that the encoder was taught from, for the guard.

    A fold's calibration comes from heads that were fitted without the next fold either, on that one's speakers, and
    from others fitted without the one after that.
    """
    dealt = deal(clip for clip in material.clips if clip.corpus in SCORED)
    fold_of = np.array([dealt.get(clip.speaker, 0) for clip in material.clips])
    tables, found, trained_on = [], [], {}
    for fold in folds:
        tested = fold_of == fold
        for seed in seeds:
            heads = fit_heads(material.of(~tested), recipe, seed)
            told = []
            for later in range(1, CALIBRATED_BY + 1):
                held_out = fold_of == (fold + later - 1) % len(FOLDS) + 1
                without = fit_heads(material.of(~tested & ~held_out), recipe, seed)
                told.append(temperatures(material.of(held_out), without))
            found.append(mean_temperatures(told))
            tables.append(_rows(material.of(tested), heads.cooled(*found[-1]), str(fold), seed))
        trained_on[str(fold)] = _parts(material.of(~tested).clips, lessons)
    return OutOfFold(pd.concat(tables, ignore_index=True), trained_on, tuple(found))


def mean_temperatures(found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The geometric means, of emotions and of what is no speech."""
    of_emotions, of_other = np.exp(np.log(found).mean(axis=0))
    return float(of_emotions), float(of_other)


def corpus_left_out(
    material: Material, recipe: Recipe, seed: int, corpus: str = LEFT_OUT, lessons: Sequence[Clip] = ()
) -> OutOfFold:
    """Fit the recipe once without a corpus, and hear all of it; calibrated on the speakers of fold 1."""
    tested = material.column("corpus") == corpus
    kept = material.of(~tested)
    dealt = deal(clip for clip in kept.clips if clip.corpus in SCORED)
    held_out = np.array([dealt.get(clip.speaker, 0) == 1 for clip in kept.clips])
    found = temperatures(kept.of(held_out), fit_heads(kept.of(~held_out), recipe, seed))
    rows = _rows(material.of(tested), fit_heads(kept, recipe, seed).cooled(*found), corpus, seed)
    return OutOfFold(rows, {corpus: _parts(kept.clips, lessons)})


def together(*parts: OutOfFold) -> OutOfFold:
    """The rows and the guards of several runs."""
    trained_on = {fold: heard for part in parts for fold, heard in part.trained_on.items()}
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    return OutOfFold(rows, trained_on, tuple(pair for part in parts for pair in part.temperatures))


def _parts(clips: Sequence[Clip], lessons: Sequence[Clip]) -> dict[str, Heard]:
    parts = {"training": _heard(clips)}
    return {**parts, "lessons": _heard(lessons)} if lessons else parts


def _heard(clips: Sequence[Clip]) -> Heard:
    """Who and what was heard, for the guard; without paths, which belong to one machine."""
    return Heard(
        speakers=frozenset(clip.speaker for clip in clips), audio=frozenset(clip.audio for clip in clips if clip.audio)
    )


def _rows(material: Material, heads: Heads, fold: str, seed: int) -> pd.DataFrame:
    corpora = (*SCORED, LEFT_OUT) if fold == LEFT_OUT else SCORED
    scored = material.of(~np.isin(material.conditions, LEARNED_ONLY) & np.isin(material.column("corpus"), corpora))
    probabilities = heads.probabilities(scored.statistics)
    table = pd.DataFrame(
        {
            "corpus": scored.column("corpus"),
            "clip": [f"{clip.path.parent.name}/{clip.path.name}" for clip in scored.clips],
            "speaker": scored.column("speaker"),
            "sex": scored.column("sex"),
            "emotion": scored.column("emotion"),
            "fold": fold,
            "seed": seed,
            "condition": scored.conditions,
            "audio": scored.column("audio"),
            "length_s": np.round(scored.lengths_s.astype(float), 2),
        }
    )
    return table.assign(**{name: probabilities[:, k] for k, name in enumerate((*EMOTIONS, OTHER))})
