"""From corpora to a shipped model: its recipe scored on strangers, fitted on all, checked, with its card."""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.classifier import SETTINGS_FILE, ModelSettings, Sensitivities, Sensitivity, read_settings
from analyzer.emotions import EMOTIONS, EVEN_PRIOR, OTHER
from analyzer.features import FrontEnd, network_input
from training import cost, encoding, export, folds, halved, lessons, recipe_card, whisper
from training import recipe as recipes
from training.card import CARD_FILE, METRICS_FILE
from training.corpora import RAVDESS, RAVDESS_SONG, Clip
from training.encoding import Encoder
from training.evaluation_measures import moved, probabilities_of, truth_of
from training.evaluation_rows import ROWS_SUFFIX, write_rows
from training.folds import OutOfFold
from training.fuse import fuse
from training.published import read_all
from training.quantize import quantize
from training.recipe import ACCURATE, FOLDS, Material, Recipe
from training.release import compare, lowest_kept_right, spread
from training.splits import actors_of

SEEDS = (1, 2, 3)
#: A student for the score of every fold, which heard all actors but the fold's.
STUDENT_GROUPS = tuple((fold,) for fold in FOLDS)
#: Ways of hearing RAVDESS that are scored beside the plain line.
CONDITIONS = ("studio", "alaw", "gsm", "mp3", "opus", "amr")
CHECKED_CLIPS = 120
#: Clips of all corpora by which weights are rounded.
ROUNDED_BY = 240
#: Not measured: with these, labels differ least from those by the most probable of the eight emotions.
SENSITIVITIES = Sensitivities(Sensitivity(0.65), Sensitivity(0.55), Sensitivity(0.35))
LICENCE = (
    "trained on RAVDESS (CC BY-NC-SA 4.0), TESS (CC BY-NC-ND 4.0), nEMO (CC BY-NC-SA 4.0), Korean EmotionTTS "
    "(CC BY-NC-SA) and others: not for commercial use"
)


@dataclass(frozen=True)
class Shipped:
    """What is known of a shipped model; the card and metrics.json are made from it.

    Attributes
    ----------
    recipe, settings : what it is.
    rows : its recipe's probabilities of people whom it never heard.
    learned, taught : clips from which heads, and a student, learned.
    weights, multiply_adds, speed, machine : their number, what a second of speech costs, times real time, and where.
    rounded_by, checked, largest_change, decisions_kept : clips by which weights were rounded, and on which the result
        was compared with the exact network; what that changed of probabilities, and how many decisions it left.
    """

    recipe: Recipe
    settings: ModelSettings
    rows: pd.DataFrame
    learned: tuple[Clip, ...]
    taught: tuple[Clip, ...]
    weights: int
    multiply_adds: int
    speed: float
    machine: str
    rounded_by: int
    checked: int
    largest_change: float
    decisions_kept: float


def ship(corpora: Path, cache: Path, output: Path, probabilities: Path, recipe: Recipe) -> Path:
    """Make the model and its out-of-fold probabilities; returns the path of its card.

    Parameters
    ----------
    corpora : folder of corpora, named as in training.published.
    cache : folder for what encoders heard, lessons and students; most of the time goes there once.
    output, probabilities : the model's folder, and that of the files which `evaluate` reads.
    """
    clips = recipes.read_clips(corpora, cache, recipe)
    ears = ears_of(recipe, corpora, cache)
    scored = on_strangers(clips, ears, recipe)
    write_rows(probabilities / f"{recipe.name}{ROWS_SUFFIX}", scored.rows, scored.trained_on)
    encoder = ears.without(())
    material = ears.hear(clips, encoder, recipe, SEEDS[:1])
    heads = recipes.fit_heads(material, recipe, SEEDS[0]).calibrated(recipes.mean_calibration(scored.calibrations))
    network = recipes.build_network(encoder, heads, recipe.name)
    settings = ModelSettings(
        recipe.name,
        export.NETWORK_FILE,
        encoder.front_end,
        EVEN_PRIOR,
        recipe.call_prior,
        threshold(scored.rows, recipe.call_prior),
        hears_other=True,
        sensitivities=SENSITIVITIES,
        business_use=False,
        licence=LICENCE,
    )
    with export.beside(output) as folder:
        change, kept = _write(folder, network, settings, clips, small=recipe is ACCURATE)
        shipped = Shipped(
            recipe=recipe,
            settings=settings,
            rows=scored.rows,
            learned=learned_from(material, recipe),
            taught=tuple(ears.taught(())),
            weights=network.count_params(),
            multiply_adds=cost.multiply_adds(folder / export.NETWORK_FILE, encoder.front_end),
            speed=cost.speed(folder),
            machine=cost.machine(),
            rounded_by=len(rounded_by(clips)),
            checked=len(compared(clips)),
            largest_change=change,
            decisions_kept=kept,
        )
        (folder / CARD_FILE).write_text(recipe_card.card(shipped), encoding="utf-8")
        figures = json.dumps(recipe_card.figures(shipped), indent=2)
        (folder / METRICS_FILE).write_text(figures + "\n", encoding="utf-8")
    return output / CARD_FILE


def ears_of(recipe: Recipe, corpora: Path, cache: Path) -> "Ears":
    """The encoders of a recipe."""
    clips = read_all(corpora)
    return Ears(cache, halved.chosen(clips)) if recipe is ACCURATE else Ears(cache, *course(clips))


def course(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """What a student is taught from: everybody but the actors of RAVDESS, and these."""
    return lessons.chosen(clips), [clip for clip in clips if clip.corpus in (RAVDESS, RAVDESS_SONG)]


@dataclass(frozen=True)
class Ears:
    """The encoders of a recipe: the halved one for everybody, or students who have not heard some of the actors.

    Attributes
    ----------
    cache : folder for encoders and what they are taught from.
    others : clips that all are taught from.
    actors : clips that students are taught from as well; None for the halved encoder, which hears no actor.
    """

    cache: Path
    others: Sequence[Clip]
    actors: Sequence[Clip] | None = None

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Folds that are scored with one encoder, which heard none of their actors."""
        return (FOLDS,) if self.actors is None else STUDENT_GROUPS

    def without(self, folds: Sequence[int]) -> Encoder:
        """The encoder that has not heard the actors of some folds."""
        if self.actors is None:
            return halved.encoder(self.others, self.cache)
        from training import taught

        return taught.encoder(self.others, self.actors, _actors_of(folds), self.cache)

    def hear(
        self,
        clips: Sequence[Clip],
        encoder: Encoder,
        recipe: Recipe,
        seeds: Sequence[int],
        conditions: Sequence[str] = (),
    ) -> Material:
        """What a recipe learns from and is scored on, as one of its encoders hears it.

        Where the recipe takes advice, Whisper's encoder as it is, up to the same layer, hears it besides.
        """
        material = recipes.gather(clips, encoder, self.cache, seeds, conditions)
        better = whisper.encoder(max(halved.LAYERS), halved.LAYERS)
        return recipes.advised(material, better, self.cache) if recipe.advice else material

    def taught(self, without: Sequence[int]) -> list[Clip]:
        """What that encoder was taught from."""
        actors = _actors_of(without)
        return [*self.others, *(clip for clip in self.actors or () if clip.speaker not in actors)]


def _actors_of(folds: Sequence[int]) -> frozenset[str]:
    return frozenset().union(*map(actors_of, folds))


def on_strangers(clips: Sequence[Clip], ears: Ears, recipe: Recipe, seeds: Sequence[int] = SEEDS) -> OutOfFold:
    """The recipe on every fold, and on a corpus left out where the encoder has not heard that."""
    parts = []
    for group in ears.groups:
        material = ears.hear(clips, ears.without(group), recipe, seeds, CONDITIONS)
        parts.append(folds.out_of_fold(material, recipe, seeds, group, ears.taught(group)))
        if ears.actors is None:
            parts.append(folds.corpus_left_out(material, recipe, seeds[0], lessons=ears.taught(group)))
    return folds.together(*parts)


def _write(
    folder: Path, network: Any, settings: ModelSettings, clips: Sequence[Clip], small: bool
) -> tuple[float, float]:
    """Write the network, as small as it ships or with Keras's own files, and compare it with the exact one."""
    (folder / SETTINGS_FILE).write_text(settings.to_json(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        exact = Path(scratch) / export.NETWORK_FILE
        if small:
            export.export_network(network, settings.front_end, exact)
            fused = Path(scratch) / "fused.onnx"
            fuse(exact, fused, whisper.EPSILON)
            heard = [_frames(clip, settings.front_end) for clip in rounded_by(clips)]
            quantize(fused, folder / export.NETWORK_FILE, heard, whisper.SENSITIVE)
        else:
            export.write_keras(folder, network)
            export.export_network(export.read_network(folder), settings.front_end, exact)
            (folder / export.NETWORK_FILE).write_bytes(exact.read_bytes())
            export.check_export(folder)
        return check(exact, folder, clips)


def learned_from(material: Material, recipe: Recipe) -> tuple[Clip, ...]:
    """The clips that taught emotions or what is no speech, each once."""
    clips = {clip.path: clip for clip in material.clips if clip.corpus in recipe.weights or clip.emotion == OTHER}
    return tuple(clips.values())


def threshold(rows: pd.DataFrame, call_prior: Sequence[float]) -> float:
    """The probability below which a segment is called uncertain.

    Clips of strangers through the telephone, weighed so that emotions are as frequent as on calls, with probabilities
    as they are there: the lowest of 0.30, 0.35, ... 0.90 at which at least KEPT_RIGHT of what reaches it is right.
    """
    acted = rows[(rows["corpus"] == RAVDESS) & (rows["condition"] == "telephone")]
    truth = truth_of(acted)
    on_calls = moved(probabilities_of(acted), call_prior)
    weights = (np.array(call_prior) / np.bincount(truth, minlength=len(EMOTIONS)))[truth]
    return lowest_kept_right(on_calls.argmax(axis=1) == truth, on_calls.max(axis=1), weights)


def check(exact: Path, folder: Path, clips: Sequence[Clip]) -> tuple[float, float]:
    """Compare the network that ships with the exact one on real clips.

    Returns the largest change of a probability and the share of clips whose most probable emotion stays; raises
    CannotWork where the change is larger than TOLERANCE.
    """
    front_end = read_settings(folder).front_end
    found = compare(exact, folder, [_frames(clip, front_end) for clip in compared(clips)])
    return found.largest_change, found.decisions_kept


def compared(clips: Sequence[Clip]) -> list[Clip]:
    """CHECKED_CLIPS of RAVDESS, or all where there are fewer, of everybody and of every emotion."""
    acted = [clip for clip in clips if clip.corpus == RAVDESS]
    return spread(acted, CHECKED_CLIPS)


def rounded_by(clips: Sequence[Clip]) -> list[Clip]:
    """ROUNDED_BY clips of all corpora, or all where there are fewer; none by which the result is checked."""
    checked = {clip.path for clip in compared(clips)}
    others = [clip for clip in clips if clip.path not in checked]
    return spread(others, ROUNDED_BY)


def _frames(clip: Clip, front_end: FrontEnd) -> Any:
    return network_input(encoding.sound_of(clip, "telephone", front_end.rate)[0], front_end)


def timed(corpora: Path, cache: Path, output: Path, probabilities: Path, recipe: Recipe) -> tuple[Path, float]:
    """`ship`; returns the card's path and the minutes it took."""
    started = time.monotonic()
    card = ship(corpora, cache, output, probabilities, recipe)
    return card, (time.monotonic() - started) / 60
