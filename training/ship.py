"""From corpora to `models/accurate`: scored on strangers, fitted on all, made small, checked, with its card."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.classifier import SETTINGS_FILE, Classifier, ModelSettings
from analyzer.emotions import CALL_PRIOR, EMOTIONS, EVEN_PRIOR, OTHER
from analyzer.errors import CannotWork
from analyzer.features import network_input
from training import accurate, accurate_card, encoding, export, folds, whisper
from training.accurate import Material, Recipe
from training.card import CARD_FILE, METRICS_FILE
from training.corpora import RAVDESS, Clip
from training.evaluation_rows import ROWS_SUFFIX, write_rows
from training.quantize import quantize

NAME = "accurate"
SEEDS = (1,)
CHECKED_CLIPS = 120
#: What quantising may change of a probability.
TOLERANCE = 0.03
#: Of the segments that are not called uncertain, this share is to be heard right on calls.
KEPT_RIGHT = 0.8


@dataclass(frozen=True)
class Shipped:
    """What is known of a shipped model; the card and metrics.json are made from it."""

    recipe: Recipe
    rows: pd.DataFrame
    learned: tuple[Clip, ...]
    settings: ModelSettings
    weights: int
    largest_change: float
    decisions_kept: float


def ship(corpora: Path, cache: Path, output: Path, probabilities: Path, recipe: Recipe) -> Path:
    """Make the model and its out-of-fold probabilities; returns the path of its card.

    Parameters
    ----------
    corpora : folder of corpora, named as in training.published.
    cache : folder for what the encoder heard; most of the time goes there once.
    output, probabilities : the model's folder, and that of the files which `evaluate` reads.
    """
    clips = accurate.read_clips(corpora, cache)
    material = accurate.gather(clips, recipe, cache, SEEDS)
    scored = folds.together(
        folds.out_of_fold(material, recipe, SEEDS), folds.corpus_left_out(material, recipe, SEEDS[0])
    )
    write_rows(probabilities / f"{NAME}{ROWS_SUFFIX}", scored.rows, scored.trained_on)
    cooling = np.exp(np.log(scored.temperatures).mean(axis=0))
    heads = accurate.fit_heads(material, recipe, SEEDS[0]).cooled(*cooling)
    network = accurate.build_network(recipe, heads)
    settings = ModelSettings(
        NAME, export.NETWORK_FILE, whisper.FRONT_END, EVEN_PRIOR, CALL_PRIOR, threshold(scored.rows), hears_other=True
    )
    with export.beside(output) as folder:
        with tempfile.TemporaryDirectory() as scratch:
            exact = Path(scratch) / "exact.onnx"
            export.export_network(network, whisper.FRONT_END, exact)
            quantize(exact, folder / export.NETWORK_FILE)
            (folder / SETTINGS_FILE).write_text(settings.to_json(), encoding="utf-8")
            change, kept = check(exact, folder, clips)
        learned = learned_from(material, recipe)
        shipped = Shipped(recipe, scored.rows, learned, settings, network.count_params(), change, kept)
        (folder / CARD_FILE).write_text(accurate_card.card(shipped), encoding="utf-8")
        figures = json.dumps(accurate_card.figures(shipped), indent=2)
        (folder / METRICS_FILE).write_text(figures + "\n", encoding="utf-8")
    return output / CARD_FILE


def learned_from(material: Material, recipe: Recipe) -> tuple[Clip, ...]:
    """The clips that taught emotions or what is no speech, each once."""
    clips = {clip.path: clip for clip in material.clips if clip.corpus in recipe.weights or clip.emotion == OTHER}
    return tuple(clips.values())


def threshold(rows: pd.DataFrame) -> float:
    """The probability below which a segment is called uncertain.

    Clips of strangers through the telephone, weighed so that emotions are as frequent as on calls, with probabilities
    as they are there: the lowest of 0.30, 0.35, ... 0.90 at which at least KEPT_RIGHT of what reaches it is right.
    """
    acted = rows[(rows["corpus"] == RAVDESS) & (rows["condition"] == "telephone")]
    truth = np.array([EMOTIONS.index(emotion) for emotion in acted["emotion"]])
    on_calls = acted[list(EMOTIONS)].to_numpy() * np.array(CALL_PRIOR)
    on_calls /= on_calls.sum(axis=1, keepdims=True)
    weights = (np.array(CALL_PRIOR) / np.bincount(truth, minlength=len(EMOTIONS)))[truth]
    right, highest = on_calls.argmax(axis=1) == truth, on_calls.max(axis=1)
    for level in np.arange(30, 95, 5) / 100:
        kept = highest >= level
        if kept.any() and np.average(right[kept], weights=weights[kept]) >= KEPT_RIGHT:
            return float(level)
    return 0.9


def check(exact: Path, folder: Path, clips: list[Clip]) -> tuple[float, float]:
    """Compare the quantised network with the exact one on real clips.

    Returns the largest change of a probability and the share of clips whose most probable emotion stays; raises
    CannotWork where the change is larger than TOLERANCE.
    """
    inputs = [_frames(clip) for clip in [c for c in clips if c.corpus == RAVDESS][:: max(1, 1200 // CHECKED_CLIPS)]]
    session = encoding.open_network(exact)
    name = session.get_inputs()[0].name
    expected = np.concatenate([session.run(None, {name: frames[None]})[0] for frames in inputs])
    found = Classifier(folder, "even").probabilities(inputs)
    change = float(np.abs(found - expected).max())
    if change > TOLERANCE:
        raise CannotWork(f"quantising changes a probability by {change:.3f}: nothing was written")
    eight = slice(len(EMOTIONS))
    return change, float((found[:, eight].argmax(axis=1) == expected[:, eight].argmax(axis=1)).mean())


def _frames(clip: Clip) -> Any:
    return network_input(encoding.sound_of(clip, "telephone", whisper.FRONT_END.rate)[0], whisper.FRONT_END)


def timed(corpora: Path, cache: Path, output: Path, probabilities: Path) -> tuple[Path, float]:
    """`ship` with the recipe as it stands; returns the card's path and the minutes it took."""
    started = time.monotonic()
    card = ship(corpora, cache, output, probabilities, Recipe())
    return card, (time.monotonic() - started) / 60
