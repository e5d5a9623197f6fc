"""A recipe on people whom it never heard: fold by fold, and a whole corpus left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from training import music, published
from training.corpora import RAVDESS, Clip
from training.evaluation_rows import Heard, TrainedOn
from training.head import Head
from training.raw_scores import clip_rows
from training.recipe import (
    FOLDS,
    LEARNED_ONLY,
    Calibration,
    Heads,
    Material,
    Recipe,
    calibrate,
    deal,
    fit_adviser,
    fit_emotions,
    fit_heads,
    fit_other,
    tell,
)

#: Corpora that are scored in folds; of others everybody is only learned from.
SCORED = (RAVDESS, published.NEUTRAL_SPEECH, published.NON_SPEECH, published.IVR, music.CORPUS)
LEFT_OUT = "nemo"


@dataclass(frozen=True)
class OutOfFold:
    """What a recipe gives for clips of people whom it never heard.

    Attributes
    ----------
    rows : with the columns of training.evaluation_rows.
    trained_on : who was heard, by fold.
    calibrations : of each fold and seed.
    """

    rows: pd.DataFrame
    trained_on: TrainedOn
    calibrations: tuple[Calibration, ...] = ()


def out_of_fold(
    material: Material,
    recipe: Recipe,
    seeds: Sequence[int],
    folds: Sequence[int] = FOLDS,
    lessons: Sequence[Clip] = (),
) -> OutOfFold:
    """Fit the recipe once per fold and seed without the fold's speakers, and hear these.

    `lessons` are the clips that the encoder was taught from, for the guard.

    A fold's calibration comes from heads that were fitted without one other fold either, on that one's speakers, for
    each of the other folds.
    """
    dealt = deal(clip for clip in material.clips if clip.corpus in SCORED)
    fold_of = np.array([dealt.get(clip.speaker, 0) for clip in material.clips])

    def heard(left_out: frozenset[int]) -> Material:
        return material.of(~np.isin(fold_of, list(left_out)))

    @cache  # Two folds left out for the one's calibration serve the other's as well.
    def heads_without(left_out: frozenset[int], seed: int) -> Heads:
        kept = heard(left_out)
        return Heads(fit_emotions(kept, recipe, seed, adviser_without(left_out)), other_without(left_out))

    @cache  # These two depend on no seed.
    def adviser_without(left_out: frozenset[int]) -> Head | None:
        return fit_adviser(heard(left_out), recipe)

    @cache
    def other_without(left_out: frozenset[int]) -> Head:
        return fit_other(heard(left_out), recipe)

    tables, found, trained_on = [], [], {}
    for fold in folds:
        tested = fold_of == fold
        for seed in seeds:
            told = [
                tell(material.of(fold_of == later), heads_without(frozenset((fold, later)), seed))
                for later in FOLDS
                if later != fold
            ]
            found.append(calibrate(told))
            heads = heads_without(frozenset((fold,)), seed).calibrated(found[-1])
            tables.append(rows_of(material.of(tested), heads, str(fold), seed))
        trained_on[str(fold)] = _parts(material.of(~tested).clips, lessons)
    return OutOfFold(pd.concat(tables, ignore_index=True), trained_on, tuple(found))


def corpus_left_out(
    material: Material, recipe: Recipe, seed: int, corpus: str = LEFT_OUT, lessons: Sequence[Clip] = ()
) -> OutOfFold:
    """Fit the recipe once without a corpus, and hear all of it; calibrated on the speakers of fold 1."""
    tested = material.column("corpus") == corpus
    kept = material.of(~tested)
    dealt = deal(clip for clip in kept.clips if clip.corpus in SCORED)
    held_out = np.array([dealt.get(clip.speaker, 0) == 1 for clip in kept.clips])
    found = calibrate([tell(kept.of(held_out), fit_heads(kept.of(~held_out), recipe, seed))])
    rows = rows_of(material.of(tested), fit_heads(kept, recipe, seed).calibrated(found), corpus, seed)
    return OutOfFold(rows, {corpus: _parts(kept.clips, lessons)})


def together(*parts: OutOfFold) -> OutOfFold:
    """The rows and the guards of several runs."""
    trained_on = {fold: heard for part in parts for fold, heard in part.trained_on.items()}
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    return OutOfFold(rows, trained_on, tuple(one for part in parts for one in part.calibrations))


def _parts(clips: Sequence[Clip], lessons: Sequence[Clip]) -> dict[str, Heard]:
    parts = {"training": heard_of(clips)}
    return {**parts, "lessons": heard_of(lessons)} if lessons else parts


def heard_of(clips: Sequence[Clip]) -> Heard:
    """Who and what was heard, for the guard; without paths, which belong to one machine."""
    return Heard(
        speakers=frozenset(clip.speaker for clip in clips), audio=frozenset(clip.audio for clip in clips if clip.audio)
    )


class Telling(Protocol):
    """What turns statistics into the nine probabilities: heads, or a network that gave them already."""

    def probabilities(self, statistics: np.ndarray) -> np.ndarray:
        """Shaped (rows, 9)."""


def rows_of(material: Material, heads: Telling, fold: str, seed: int) -> pd.DataFrame:
    """The rows of an evaluation that a fold's heads give for those whom they never heard."""
    corpora = (*SCORED, LEFT_OUT) if fold == LEFT_OUT else SCORED
    scored = material.of(~np.isin(material.conditions, LEARNED_ONLY) & np.isin(material.column("corpus"), corpora))
    probabilities = heads.probabilities(scored.statistics)
    table = clip_rows(scored.clips, fold, scored.lengths_s, scored.conditions, seed)
    return table.assign(**{name: probabilities[:, k] for k, name in enumerate((*EMOTIONS, OTHER))})
