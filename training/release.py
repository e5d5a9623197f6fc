"""From fits to a model that ships: its evaluation, its operating point, its network in int8, and its card."""

import json
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.classifier import SETTINGS_FILE, Classifier, ModelSettings
from analyzer.emotions import EMOTIONS, EVEN_PRIOR, OTHER
from analyzer.errors import CannotWork
from analyzer.features import FrontEnd, network_input
from training import cost, encoding, export, fits, model_card, published
from training.calibrated_rows import calibrated
from training.card import CARD_FILE, METRICS_FILE
from training.corpora import RAVDESS, Clip
from training.evaluation_measures import moved, probabilities_of, truth_of
from training.evaluation_rows import ROWS_SUFFIX, Heard, TrainedOn, write_rows
from training.evaluation_tables import calibrated_on
from training.fits import Heads
from training.operating_point import Calibration
from training.quantize import quantize
from training.raw_scores import TELEPHONE
from training.recipe import FOLDS
from training.recipes import ALL, FRONT_END, PLUS, Recipe, held_out
from training.sounds import Sounds, read_sounds
from training.splits import refuse_leak

SEEDS = (1, 2, 3)
#: Clips by which weights are rounded, and others on which the result is compared with the exact network.
ROUNDED_BY, CHECKED = 240, 120
#: What rounding may change of a probability.
TOLERANCE = 0.03
#: Of the segments that are not called uncertain, this share is to be right on calls.
KEPT_RIGHT = 0.8


@dataclass(frozen=True)
class Rounding:
    """How the network in int8 compares with the exact one.

    Attributes
    ----------
    largest_change : of a probability.
    decisions_kept : the share of clips whose most probable emotion stays.
    """

    largest_change: float
    decisions_kept: float


def release(recipe: Recipe, corpora: Path, cache: Path, output: Path, probabilities: Path) -> Path:
    """Make a model and its out-of-fold probabilities; returns the path of its card.

    Every fit is kept in the cache, so a release that was interrupted goes on where it stopped.

    Parameters
    ----------
    recipe : of the model.
    corpora : folder of corpora, named as in training.published.
    cache : folder for sounds, networks and statistics.
    output, probabilities : the model's folder, and that of the files which `evaluate` reads.
    """
    sounds = read_sounds(fits.read_clips(corpora, cache), cache)
    found = calibrated(raw_rows(recipe, sounds, cache), calibrated_on(recipe.name))
    write_rows(probabilities / f"{recipe.name}{ROWS_SUFFIX}", found.rows, trained_on(recipe, sounds.clips))
    heads = fits.fit_heads(recipe, ALL, SEEDS[0], sounds, cache)
    network = with_heads(fits.encoder(recipe.encoder, ALL, sounds, cache).build(), heads, found.calibration)
    business_use = not any(map(published.is_non_commercial, recipe.corpora))
    settings = ModelSettings(
        recipe.name,
        export.NETWORK_FILE,
        FRONT_END,
        EVEN_PRIOR,
        recipe.call_prior,
        uncertain_below(found.rows, recipe.call_prior),
        hears_other=True,
        sensitivities=found.sensitivities,
        business_use=business_use,
        licence=model_card.licence(recipe),
    )
    clips = [clip for clip in sounds.clips if clip.corpus in recipe.corpora]
    with export.beside(output) as folder:
        rounding = write_network(folder, network, settings, clips)
        made = model_card.Made(
            recipe, settings, found.rows, clips, network.count_params(),
            cost.multiply_adds(folder / export.NETWORK_FILE, FRONT_END), cost.speed(folder),
            rounding.largest_change, rounding.decisions_kept, CHECKED,
        )  # fmt: skip
        figures = model_card.metrics(made)
        (folder / CARD_FILE).write_text(model_card.card(made, figures), encoding="utf-8")
        (folder / METRICS_FILE).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return output / CARD_FILE


def raw_rows(recipe: Recipe, sounds: Sounds, cache: Path) -> pd.DataFrame:
    """Raw scores of all parts. RAVDESS is scored with every seed, all else with the first.

    Corpora for evaluation are scored by the fit on everything. Raises Leak where the same sound stands among the clips
    that a fit was trained on and those that it is scored on.
    """
    tables = []
    for part in recipe.parts:
        excluded = held_out(part, sounds.clips)
        scored = [clip for clip in sounds.clips if fits.is_scored(clip, excluded)]
        refuse_leak(_trained(recipe, sounds.clips, excluded), scored)
        if not scored:
            continue
        for seed in SEEDS if part in map(str, FOLDS) else SEEDS[:1]:
            rows = fits.scored(recipe, part, seed, sounds, cache)
            if part != ALL:
                rows = rows[~rows["corpus"].isin(published.EVALUATION_ONLY)]
            tables.append(rows if seed == SEEDS[0] else rows[rows["corpus"] == RAVDESS])
    return pd.concat(tables, ignore_index=True)


def trained_on(recipe: Recipe, clips: Sequence[Clip]) -> TrainedOn:
    """The speakers that the fits were trained on, for each fold of the rows."""
    found = {}
    for part in recipe.parts:
        excluded = held_out(part, clips)
        speakers = frozenset(clip.speaker for clip in _trained(recipe, clips, excluded))
        for fold in published.EVALUATION_ONLY if part == ALL else part.split(PLUS):
            found[fold] = {"training": Heard(speakers)}
    return found


def _trained(recipe: Recipe, clips: Sequence[Clip], excluded: Collection[str]) -> list[Clip]:
    """The clips that a fit without some speakers is trained on."""
    return [clip for clip in clips if clip.corpus in recipe.corpora and clip.speaker not in excluded]


def with_heads(encoder: Any, heads: Heads, calibration: Calibration) -> Any:
    """Encoder and calibrated heads as one Keras network, from (batch, frames, bands) to (batch, 9)."""
    import keras
    from keras import layers

    emotions = layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")
    other = layers.Dense(1, activation="sigmoid", name=OTHER)
    network = keras.Model(
        encoder.input, layers.Concatenate(name="probabilities")([emotions(encoder.output), other(encoder.output)])
    )
    cooled = heads.emotions.cooled(calibration.temperature)
    emotions.set_weights([cooled.kernel, cooled.bias])
    sides = heads.non_speech
    other.set_weights([np.diff(sides.kernel, axis=1), np.diff(sides.bias) + calibration.non_speech_offset])
    return network


def uncertain_below(rows: pd.DataFrame, call_prior: Sequence[float]) -> float:
    """The probability below which a segment is called uncertain.

    The lowest of 0.30, 0.35, ... 0.90 at which at least KEPT_RIGHT of what reaches it is right; on clips of speakers
    who were left out by folds, through the telephone, weighted so that corpora count alike and emotions are as frequent
    as on calls.
    """
    folds = tuple(map(str, FOLDS))
    acted = rows[rows["emotion"].isin(EMOTIONS) & rows["fold"].isin(folds) & (rows["condition"] == TELEPHONE)]
    acted = acted[acted.groupby("corpus")["emotion"].transform("nunique") > 2]
    truth, on_calls = truth_of(acted), moved(probabilities_of(acted), call_prior)
    alike = 1 / acted.groupby(["corpus", "emotion"])["emotion"].transform("size").to_numpy(float)
    weights = np.array(call_prior)[truth] * alike
    return lowest_kept_right(on_calls.argmax(axis=1) == truth, on_calls.max(axis=1), weights)


def lowest_kept_right(right: np.ndarray, highest: np.ndarray, weights: np.ndarray) -> float:
    """The lowest of 0.30, 0.35, ... 0.90 at which at least KEPT_RIGHT of the clips that reach it are right.

    `right` says whether the most probable emotion of a clip is, `highest` is its probability; all shaped (clips,).
    """
    for level in np.arange(30, 95, 5) / 100:
        kept = highest >= level
        if kept.any() and np.average(right[kept], weights=weights[kept]) >= KEPT_RIGHT:
            return float(level)
    return 0.9


def write_network(folder: Path, network: Any, settings: ModelSettings, clips: Sequence[Clip]) -> Rounding:
    """Write a network in int8 and its settings, and compare it with the exact one on clips that it is not rounded by.

    Raises CannotWork where rounding changes a probability by more than TOLERANCE.
    """
    from training.fuse import fuse
    from training.whisper import EPSILON, SENSITIVE

    (folder / SETTINGS_FILE).write_text(settings.to_json(), encoding="utf-8")
    checked = spread([clip for clip in clips if clip.emotion in EMOTIONS], CHECKED)
    paths = {clip.path for clip in checked}
    others = [clip for clip in clips if clip.path not in paths]
    with tempfile.TemporaryDirectory() as scratch:
        exact = Path(scratch) / export.NETWORK_FILE
        export.export_network(network, settings.front_end, exact)
        fuse(exact, exact, EPSILON)
        frames = [_frames(clip, settings.front_end) for clip in spread(others, ROUNDED_BY)]
        quantize(exact, folder / export.NETWORK_FILE, frames, SENSITIVE)
        return compare(exact, folder, [_frames(clip, settings.front_end) for clip in checked])


def compare(exact: Path, folder: Path, inputs: Sequence[np.ndarray]) -> Rounding:
    """Compare the network in a model's folder with the exact one.

    Raises CannotWork where a probability differs by more than TOLERANCE.
    """
    session = encoding.open_network(exact)
    name = session.get_inputs()[0].name
    expected = np.concatenate([session.run(None, {name: frames[None]})[0] for frames in inputs])
    found = Classifier(folder, "even").probabilities(inputs)
    change = float(np.abs(found - expected).max())
    if change > TOLERANCE:
        raise CannotWork(f"rounding to int8 changes a probability by {change:.3f}: nothing was written")
    eight = slice(len(EMOTIONS))
    return Rounding(change, float((found[:, eight].argmax(axis=1) == expected[:, eight].argmax(axis=1)).mean()))


def spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """So many clips at even distances, or all where there are fewer."""
    return [clips[round(k)] for k in np.linspace(0, len(clips) - 1, min(count, len(clips)))]


def _frames(clip: Clip, front_end: FrontEnd) -> np.ndarray:
    return network_input(encoding.sound_of(clip, TELEPHONE, front_end.rate)[0], front_end)
