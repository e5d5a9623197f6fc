"""One fold of a model's evaluation trained anew, and compared with the committed rows."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analyzer.errors import UsageError
from training import evaluation_measures as measures
from training import folds, ship
from training import recipe as recipes
from training.corpora import RAVDESS
from training.evaluation_rows import ROWS_SUFFIX, read_rows
from training.recipe import Recipe

#: How far a fold that is trained anew may be from its row.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Refitted:
    """UAR of one fold through the telephone, mean over seeds, trained anew and as committed."""

    anew: float
    committed: float

    @property
    def agrees(self) -> bool:
        """Whether the committed row is borne out."""
        return abs(self.anew - self.committed) <= TOLERANCE


def refit(recipe: Recipe, fold: int, corpora: Path, cache: Path, probabilities: Path) -> Refitted:
    """Train one fold of a recipe anew, with every seed of the committed rows.

    Parameters
    ----------
    corpora, cache : as `training.ship.ship` takes them.
    probabilities : folder of the committed rows.

    Raises
    ------
    UsageError
        Where the fold has no committed rows.
    """
    rows = read_rows(probabilities / f"{recipe.name}{ROWS_SUFFIX}")
    committed = _chosen(rows[rows["fold"] == str(fold)])
    if not len(committed):
        raise UsageError(f"fold {fold} of {recipe.name} has no rows in {probabilities}: give one of 1 to 5")
    seeds = sorted(int(seed) for seed in committed["seed"].unique())
    clips, ears = recipes.read_clips(corpora, cache, recipe), ship.ears_of(recipe, corpora, cache)
    (group,) = (group for group in ears.groups if fold in group)
    material = ears.hear(clips, ears.without(group), recipe, seeds)
    found = folds.out_of_fold(material, recipe, seeds, (fold,), ears.taught(group))
    return Refitted(measures.uar(_chosen(found.rows)), measures.uar(committed))


def _chosen(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["corpus"] == RAVDESS) & (rows["condition"] == "telephone")]
