"""Refit one fold of a model's evaluation, and compare it with the committed rows."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analyzer.errors import UsageError
from training.data.corpora import RAVDESS
from training.data.sounds import read_sounds
from training.evaluation import measures
from training.evaluation.operating_point import Calibration
from training.evaluation.rows import ROWS_SUFFIX, read_rows, read_trained_on
from training.heads import fits
from training.heads.calibrated_rows import with_probabilities
from training.heads.raw_scores import TELEPHONE
from training.recipes import Recipe

#: Largest allowed difference between the UAR of a refitted fold and that of its committed rows.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Refitted:
    """UAR on one fold of RAVDESS through the telephone, averaged over seeds: refitted and as committed."""

    again: float
    committed: float

    @property
    def agrees(self) -> bool:
        """Whether the two values agree within TOLERANCE."""
        return abs(self.again - self.committed) <= TOLERANCE


def refit(recipe: Recipe, fold: int, corpora: Path, cache: Path, probabilities: Path) -> Refitted:
    """Refit one fold of a recipe, with every seed of the committed rows.

    Parameters
    ----------
    corpora, cache : as in `training.release.release`. Cached fits of the fold are not trained again.
    probabilities : folder of the committed rows.

    Raises
    ------
    UsageError
        If the fold has no committed rows, or they were made with other training data.
    """
    path = probabilities / f"{recipe.name}{ROWS_SUFFIX}"
    rows = read_rows(path)
    committed = _ravdess_rows(rows[rows["fold"] == str(fold)])
    if not len(committed):
        raise UsageError(f"fold {fold} of {recipe.name} has no rows in {probabilities}: give one of 1 to 5")
    clips = fits.read_clips(corpora, cache)
    trained_on = read_trained_on(path)
    if trained_on and trained_on[str(fold)] != fits.training_data(recipe, str(fold), clips):
        raise UsageError(
            f"the rows of {recipe.name} in {probabilities} were made by another recipe and cannot be compared: make "
            f"them again with `python -m training fit --recipe {recipe.name}`"
        )
    sounds = read_sounds(clips, cache)
    seeds = sorted(int(seed) for seed in committed["seed"].unique())
    raw = pd.concat([fits.scored(recipe, str(fold), seed, sounds, cache) for seed in seeds], ignore_index=True)
    # No calibration is needed: it does not change the most probable emotion.
    return Refitted(measures.uar(_ravdess_rows(with_probabilities(raw, Calibration()))), measures.uar(committed))


def _ravdess_rows(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["corpus"] == RAVDESS) & (rows["condition"] == TELEPHONE)]
