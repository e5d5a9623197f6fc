"""Release of a model from its fits: evaluation, operating point, int8 network and model card."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, EVEN_PRIOR, NEGATIVE, OTHER
from analyzer.errors import CannotWork
from analyzer.model.classifier import SETTINGS_FILE, Classifier, ModelSettings
from analyzer.speech.features import FrontEnd, network_input
from training import model_card
from training.baseline.card import CARD_FILE, METRICS_FILE
from training.data import published
from training.data.corpora import RAVDESS, Clip
from training.data.sounds import Sounds, read_sounds
from training.data.splits import refuse_leak
from training.encoders import encoding
from training.evaluation.measures import probabilities_of, threshold_of_accuracy, truth_of
from training.evaluation.operating_point import Calibration, negative
from training.evaluation.rows import ROWS_SUFFIX, TrainedOn, write_rows
from training.evaluation.tables import calibrated_on
from training.export import cost, model_files
from training.export.quantize import quantize, spread
from training.heads import fits
from training.heads.calibrated_rows import calibrate
from training.heads.fits import Heads
from training.heads.raw_scores import TELEPHONE
from training.model_card import Rounding
from training.recipes import ALL, CORPUS_SEPARATOR, FOLDS, FRONT_END, Recipe, StudentRecipe, held_out

SEEDS = (1, 2, 3)
#: Number of clips that calibrate the quantisation, and of other clips for comparing the result with the exact network.
QUANTIZATION_CLIPS, COMPARISON_CLIPS = 240, 300
#: Share of clips whose most probable emotion quantisation must not change.
REQUIRED_AGREEMENT = 0.97
#: Required accuracy on calls of the segments that are labelled neither negative nor uncertain.
REQUIRED_ACCURACY = 0.8


def release(recipe: Recipe, corpora: Path, cache: Path, output: Path, probabilities: Path) -> Path:
    """Create a model and its out-of-fold probabilities; return the path of its card.

    Every fit is cached, so an interrupted release resumes where it stopped.

    Parameters
    ----------
    recipe : of the model.
    corpora : folder of corpora, named as in training.data.published.
    cache : cache folder of sounds, networks and statistics.
    output, probabilities : the model's folder, and that of the files that `evaluate` reads.
    """
    sounds = read_sounds(fits.read_clips(corpora, cache), cache)
    evaluated = calibrate(raw_rows(recipe, sounds, cache), calibrated_on(recipe.name))
    write_rows(probabilities / f"{recipe.name}{ROWS_SUFFIX}", evaluated.rows, trained_on(recipe, sounds.clips))
    heads = fits.fit_heads(recipe, ALL, SEEDS[0], sounds, cache)
    network = with_heads(fits.encoder(recipe.encoder, ALL, sounds, cache).build(), heads, evaluated.calibration)
    business_use = not any(map(published.is_non_commercial, recipe.corpora))
    settings = ModelSettings(
        recipe.name,
        model_files.NETWORK_FILE,
        FRONT_END,
        EVEN_PRIOR,
        recipe.call_prior,
        uncertain_below(evaluated.rows, recipe.call_prior, evaluated.sensitivities.normal.negative_from),
        has_non_speech_output=True,
        sensitivities=evaluated.sensitivities,
        level_speech=evaluated.level_speech,
        business_use=business_use,
        licence=model_card.licence(recipe),
    )
    clips = fits.training_clips(recipe, sounds.clips, frozenset())
    with model_files.beside(output) as folder:
        if isinstance(recipe.encoder, StudentRecipe):
            model_files.write_files(folder, network, settings)
            rounding = None
        else:
            rounding = write_quantized(folder, network, settings, clips)
        card_input = model_card.CardInput(
            recipe, settings, evaluated.rows, clips, network.count_params(),
            cost.multiply_adds(folder / model_files.NETWORK_FILE, FRONT_END), cost.speed(folder),
            rounding,
        )  # fmt: skip
        figures = model_card.metrics(card_input)
        (folder / CARD_FILE).write_text(model_card.card(card_input, figures), encoding="utf-8")
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
        scored_clips = [clip for clip in sounds.clips if fits.is_scored(clip, excluded)]
        refuse_leak(fits.training_clips(recipe, sounds.clips, excluded), scored_clips)
        if not scored_clips:
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
        fold: fits.training_data(recipe, part, clips)
        for part in recipe.parts
        for fold in (published.EVALUATION_ONLY if part == ALL else part.split(CORPUS_SEPARATOR))
    }


def with_heads(encoder: Any, heads: Heads, calibration: Calibration) -> Any:
    """Combine encoder and calibrated heads into one Keras network, from (batch, frames, bands) to (batch, 9)."""
    import keras
    from keras import layers

    emotions = layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")
    other = layers.Dense(1, activation="sigmoid", name=OTHER)
    network = keras.Model(
        encoder.input, layers.Concatenate(name="probabilities")([emotions(encoder.output), other(encoder.output)])
    )
    emotion_head = heads.emotions.with_temperature(calibration.temperature)
    emotions.set_weights([emotion_head.kernel, emotion_head.bias])
    scale, offset = calibration.non_speech_scale, calibration.non_speech_offset
    non_speech_head = heads.non_speech
    other.set_weights([
        scale * np.diff(non_speech_head.kernel, axis=1), scale * np.diff(non_speech_head.bias) + offset,
    ])  # fmt: skip
    return network


def uncertain_below(rows: pd.DataFrame, call_prior: Sequence[float], negative_from: float) -> float:
    """Return the probability below which a segment that is not labelled negative is labelled uncertain.

    See `threshold_of_accuracy`. It is measured on clips of speakers held out by fold, through the telephone, weighted
    so that corpora count equally and emotions are as frequent as on calls.
    """
    folds = tuple(map(str, FOLDS))
    acted = rows[rows["emotion"].isin(EMOTIONS) & rows["fold"].isin(folds) & (rows["condition"] == TELEPHONE)]
    acted = acted[acted.groupby("corpus")["emotion"].transform("nunique") > 2]
    truth, acted_probabilities = truth_of(acted), probabilities_of(acted)
    group_weights = 1 / acted.groupby(["corpus", "emotion"])["emotion"].transform("size").to_numpy(float)
    weights = np.array(call_prior)[truth] * group_weights
    likeliest, highest = acted_probabilities.argmax(axis=1), acted_probabilities.max(axis=1)
    kept = negative(acted_probabilities, call_prior) < negative_from
    kept &= ~np.isin(likeliest, [EMOTIONS.index(emotion) for emotion in NEGATIVE])
    return threshold_of_accuracy((likeliest == truth)[kept], highest[kept], weights[kept], REQUIRED_ACCURACY)


def write_quantized(folder: Path, network: Any, settings: ModelSettings, clips: Sequence[Clip]) -> Rounding:
    """Write an int8 network and its settings; compare it with the exact one on clips not used for its quantisation.

    Raises CannotWork if quantisation changes the most probable emotion of too many clips, see REQUIRED_AGREEMENT.
    """
    from training.encoders.whisper import EPSILON, SENSITIVE
    from training.export.fuse import fuse

    (folder / SETTINGS_FILE).write_text(settings.to_json(), encoding="utf-8")
    checked = spread([clip for clip in clips if clip.emotion in EMOTIONS], COMPARISON_CLIPS)
    checked_paths = {clip.path for clip in checked}
    others = [clip for clip in clips if clip.path not in checked_paths]
    with tempfile.TemporaryDirectory() as scratch:
        exact = Path(scratch) / model_files.NETWORK_FILE
        model_files.export_network(network, settings.front_end, exact)
        fuse(exact, exact, EPSILON)
        frames = [_clip_input(clip, settings.front_end) for clip in spread(others, QUANTIZATION_CLIPS)]
        quantize(exact, folder / model_files.NETWORK_FILE, frames, SENSITIVE)
        return compare(exact, folder, [_clip_input(clip, settings.front_end) for clip in checked])


def compare(exact: Path, folder: Path, inputs: Sequence[np.ndarray]) -> Rounding:
    """Compare the network in a model's folder with the exact one.

    Raises CannotWork if the most probable emotions of too many inputs differ, see REQUIRED_AGREEMENT.
    """
    session = encoding.open_network(exact)
    name = session.get_inputs()[0].name
    expected = np.concatenate([session.run(None, {name: frames[None]})[0] for frames in inputs])
    actual = Classifier(folder, "even").probabilities(inputs)
    emotions = slice(len(EMOTIONS))
    agreement = float((actual[:, emotions].argmax(axis=1) == expected[:, emotions].argmax(axis=1)).mean())
    if agreement < REQUIRED_AGREEMENT:
        raise CannotWork(
            f"rounding to int8 changes the emotion of {1 - agreement:.1%} of the clips: nothing was written"
        )
    return Rounding(len(inputs), float(np.abs(actual - expected).max()), agreement)


def _clip_input(clip: Clip, front_end: FrontEnd) -> np.ndarray:
    return network_input(encoding.sound_of(clip, TELEPHONE, front_end.rate)[0], front_end)
