"""Release of a model from its fits: evaluation, operating point, int8 network and model card."""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
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
from training.evaluation_rows import ROWS_SUFFIX, TrainedOn, TrainingData, write_rows
from training.evaluation_tables import calibrated_on
from training.fits import Heads
from training.model_card import Rounding
from training.operating_point import Calibration
from training.quantize import quantize
from training.raw_scores import TELEPHONE
from training.recipes import ALL, FOLDS, FRONT_END, PLUS, Recipe, StudentRecipe, held_out
from training.sounds import Sounds, read_sounds
from training.splits import refuse_leak

SEEDS = (1, 2, 3)
#: Number of clips that calibrate the quantisation, and of other clips for comparing the result with the exact network.
ROUNDED_BY, CHECKED = 240, 300
#: Share of clips whose most probable emotion quantisation must not change.
KEPT = 0.97
#: Required accuracy on calls of the segments that are not labelled uncertain.
KEPT_RIGHT = 0.8


def release(recipe: Recipe, corpora: Path, cache: Path, output: Path, probabilities: Path) -> Path:
    """Create a model and its out-of-fold probabilities; return the path of its card.

    Every fit is cached, so an interrupted release resumes where it stopped.

    Parameters
    ----------
    recipe : of the model.
    corpora : folder of corpora, named as in training.published.
    cache : cache folder of sounds, networks and statistics.
    output, probabilities : the model's folder, and that of the files that `evaluate` reads.
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
    clips = _trained(recipe, sounds.clips, frozenset())
    with export.beside(output) as folder:
        if isinstance(recipe.encoder, StudentRecipe):
            export.write_files(folder, network, settings)
            rounding = None
        else:
            rounding = write_rounded(folder, network, settings, clips)
        made = model_card.Made(
            recipe, settings, found.rows, clips, network.count_params(),
            cost.multiply_adds(folder / export.NETWORK_FILE, FRONT_END), cost.speed(folder),
            rounding,
        )  # fmt: skip
        figures = model_card.metrics(made)
        (folder / CARD_FILE).write_text(model_card.card(made, figures), encoding="utf-8")
        (folder / METRICS_FILE).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return output / CARD_FILE


def raw_rows(recipe: Recipe, sounds: Sounds, cache: Path) -> pd.DataFrame:
    """Return the raw scores of all parts. RAVDESS is scored with every seed, all other corpora with the first.

    Evaluation-only corpora are scored by the fit on everything. Raises Leak if the training clips of a fit and the
    clips that it is scored on overlap.
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
    """Return the training speakers of the fits, for each fold of the rows."""
    return {
        fold: training_data(recipe, part, clips)
        for part in recipe.parts
        for fold in (published.EVALUATION_ONLY if part == ALL else part.split(PLUS))
    }


def training_data(recipe: Recipe, part: str, clips: Sequence[Clip]) -> Mapping[str, TrainingData]:
    """Return the training speakers of the fit that holds out a part."""
    speakers = (clip.speaker for clip in _trained(recipe, clips, held_out(part, clips)))
    return {"training": TrainingData(frozenset(speakers))}


def _trained(recipe: Recipe, clips: Sequence[Clip], excluded: Collection[str]) -> list[Clip]:
    """Return the training clips of a fit that holds out some speakers."""
    left_out = {*excluded, *recipe.encoder.excluded}
    return [clip for clip in clips if clip.corpus in recipe.corpora and clip.speaker not in left_out]


def with_heads(encoder: Any, heads: Heads, calibration: Calibration) -> Any:
    """Combine encoder and calibrated heads into one Keras network, from (batch, frames, bands) to (batch, 9)."""
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
    scale, offset = calibration.non_speech_scale, calibration.non_speech_offset
    other.set_weights([scale * np.diff(sides.kernel, axis=1), scale * np.diff(sides.bias) + offset])
    return network


def uncertain_below(rows: pd.DataFrame, call_prior: Sequence[float]) -> float:
    """Return the probability below which a segment is labelled uncertain.

    This is the lowest of 0.30, 0.35, ... 0.90 at which at least KEPT_RIGHT of the clips that reach it are correct. It
    is measured on clips of speakers held out by fold, through the telephone, weighted so that corpora count equally and
    emotions are as frequent as on calls.
    """
    folds = tuple(map(str, FOLDS))
    acted = rows[rows["emotion"].isin(EMOTIONS) & rows["fold"].isin(folds) & (rows["condition"] == TELEPHONE)]
    acted = acted[acted.groupby("corpus")["emotion"].transform("nunique") > 2]
    truth, on_calls = truth_of(acted), moved(probabilities_of(acted), call_prior)
    alike = 1 / acted.groupby(["corpus", "emotion"])["emotion"].transform("size").to_numpy(float)
    weights = np.array(call_prior)[truth] * alike
    return lowest_kept_right(on_calls.argmax(axis=1) == truth, on_calls.max(axis=1), weights)


def lowest_kept_right(right: np.ndarray, highest: np.ndarray, weights: np.ndarray) -> float:
    """Return the lowest of 0.30, 0.35, ... 0.90 at which at least KEPT_RIGHT of the clips that reach it are correct.

    `right` is whether the most probable emotion of a clip is correct, `highest` its probability; all are shaped
    (clips,).
    """
    for level in np.arange(30, 95, 5) / 100:
        kept = highest >= level
        if kept.any() and np.average(right[kept], weights=weights[kept]) >= KEPT_RIGHT:
            return float(level)
    return 0.9


def write_rounded(folder: Path, network: Any, settings: ModelSettings, clips: Sequence[Clip]) -> Rounding:
    """Write an int8 network and its settings; compare it with the exact one on clips not used for its quantisation.

    Raises CannotWork if quantisation changes the most probable emotion of too many clips, see KEPT.
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

    Raises CannotWork if the most probable emotions of too many inputs differ, see KEPT.
    """
    session = encoding.open_network(exact)
    name = session.get_inputs()[0].name
    expected = np.concatenate([session.run(None, {name: frames[None]})[0] for frames in inputs])
    found = Classifier(folder, "even").probabilities(inputs)
    eight = slice(len(EMOTIONS))
    kept = float((found[:, eight].argmax(axis=1) == expected[:, eight].argmax(axis=1)).mean())
    if kept < KEPT:
        raise CannotWork(f"rounding to int8 changes the emotion of {1 - kept:.1%} of the clips: nothing was written")
    return Rounding(len(inputs), float(np.abs(found - expected).max()), kept)


def spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """Return `count` evenly spaced clips, or all if there are fewer."""
    return [clips[round(k)] for k in np.linspace(0, len(clips) - 1, min(count, len(clips)))]


def _frames(clip: Clip, front_end: FrontEnd) -> np.ndarray:
    return network_input(encoding.sound_of(clip, TELEPHONE, front_end.rate)[0], front_end)
