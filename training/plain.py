"""The plain recipe and the frozen encoder on people whom they never heard: rows to measure the others by."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.features import FrontEnd
from training import folds, published, recipe, ship, splits, whisper
from training.corpora import RAVDESS, TESS, Clip
from training.dataset import SplitExamples, load_split
from training.encoding import Encoder, key_of
from training.evaluation_rows import ROWS_SUFFIX, write_rows
from training.fit import FitOptions, fit_network
from training.folds import OutOfFold
from training.recipe import FOLDS

NAME = "plain"
#: What the plain recipe learns from, in the studio's sound.
LEARNED = (RAVDESS, TESS)


class _AsTheyAre:
    """Takes what the network said for probabilities; it has no ninth output."""

    def probabilities(self, said: np.ndarray) -> np.ndarray:
        """Shaped (rows, 9)."""
        return np.column_stack([said / said.sum(axis=1, keepdims=True), np.zeros(len(said), np.float32)])


def write(corpora: Path, cache: Path, probabilities: Path) -> None:
    """Write the rows of the plain recipe, trained on every fold, and of Whisper's encoder as it is."""
    clips = recipe.read_clips(corpora, cache, recipe.DEFAULT)
    measured = {
        NAME: on_strangers(clips, published.read_all(corpora), cache),
        recipe.FROZEN_ENCODER.name: frozen_on_strangers(clips, cache),
    }
    for name, found in measured.items():
        write_rows(probabilities / f"{name}{ROWS_SUFFIX}", found.rows, found.trained_on)


def frozen_on_strangers(clips: Sequence[Clip], cache: Path) -> OutOfFold:
    """A head on Whisper's encoder, on every fold and on a corpus left out; one seed."""
    seed, of = recipe.FIRST_SEED, recipe.FROZEN_ENCODER
    material = recipe.gather(clips, whisper.encoder(), cache, (seed,), ship.CONDITIONS)
    return folds.together(folds.out_of_fold(material, of, (seed,)), folds.corpus_left_out(material, of, seed))


def on_strangers(
    scored: Sequence[Clip],
    clips: Sequence[Clip],
    cache: Path,
    of_folds: Sequence[int] = FOLDS,
    options: FitOptions | None = None,
) -> OutOfFold:
    """Fit the plain recipe once per fold without the fold's actors, and hear these.

    The epoch is chosen by the actors of the next fold, so each network learns from four of five.

    Parameters
    ----------
    scored : clips that the speakers of the fold are taken from.
    clips : of which those of LEARNED are learned from.
    cache : folder for the networks, fitted where it does not hold them, and for what they heard.
    """
    options, front_end = options or FitOptions(), FrontEnd()
    dealt = recipe.deal(clip for clip in scored if clip.corpus in folds.SCORED)
    parts = []
    for fold in of_folds:
        tested, chosen_by = (sorted(splits.actors_of(one)) for one in (fold, fold % len(FOLDS) + 1))
        learned = [clip for clip in clips if clip.corpus in LEARNED]
        split = load_split(splits.split_by_speaker(learned, options.seed, tested, chosen_by), front_end)
        key = key_of([*split.training.clips, *split.validation.clips], vars(options))[:24]
        encoder = Encoder(f"{NAME}-{key}", front_end, partial(_network, split, front_end, options))
        own = [clip for clip in scored if dealt.get(clip.speaker) == fold]
        told = recipe.hear_ways(own, encoder, cache, partial(recipe.scored_ways, conditions=ship.CONDITIONS))
        heard = {"training": split.training.clips, "validation": split.validation.clips}
        trained_on = {str(fold): {part: folds.heard_of(clips) for part, clips in heard.items()}}
        parts.append(OutOfFold(folds.rows_of(told, _AsTheyAre(), str(fold), options.seed), trained_on))
    return folds.together(*parts)


def _network(split: SplitExamples, front_end: FrontEnd, options: FitOptions) -> Any:
    return fit_network(split, front_end, options).network
