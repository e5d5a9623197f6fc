"""From fits to a released model: held-out corpora, the operating point, the network, and its card."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from training import release
from training.data import music
from training.data.corpora import RAVDESS
from training.evaluation import operating_point
from training.evaluation.operating_point import LOGITS, Calibration
from training.heads import fits
from training.heads.calibrated_rows import calibrate
from training.heads.head import Head, fit_head
from training.recipes import OPEN, OPEN_ACCURATE, RECIPES, EncoderRecipe, Recipe


def test_open_corpora_allow_business_use():
    recipe = Recipe("tiny", encoder=EncoderRecipe("tiny", shares={"crema-d": 1.0}), weights={"banglaser": 1.0})
    assert "all allow business use" in release.model_card.licence(recipe)


def test_all_corpora_are_attributed():
    text = (Path(__file__).parents[2] / "models" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    open_text, other_text = text.split("## In models that are not for business use as well")
    open_corpora = OPEN.corpora | OPEN_ACCURATE.corpora
    for recipe in RECIPES:
        for corpus in recipe.corpora - {music.CORPUS}:
            assert f"`{corpus}`" in (open_text if corpus in open_corpora else other_text)


def rows_of(corpus, fold, labels, seed, sharpness=3.0):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (len(labels), 9))
    for row, label in zip(logits, labels, strict=True):
        row[(*EMOTIONS, OTHER).index(label)] += sharpness
    table = pd.DataFrame({
        "corpus": corpus, "clip": [f"{corpus}-{number}.wav" for number in range(len(labels))],
        "speaker": f"{corpus}-1", "sex": "", "emotion": labels, "fold": fold, "seed": 1,
        "condition": "telephone", "length_s": 2.0,
    })  # fmt: skip
    return table.assign(**dict(zip(LOGITS, logits.T, strict=True)))


def test_corpus_does_not_calibrate_itself():
    noise = rows_of("non-speech", "1", [OTHER] * 40, 3)
    first = rows_of("crema-d", "crema-d", ["neutral", "angry"] * 40, 1)
    second = rows_of("banglaser", "banglaser", ["neutral", "sad"] * 40, 2)
    original = calibrate(pd.concat([first, second, noise], ignore_index=True), ("crema-d", "banglaser"))
    harder = first.assign(**{name: first[name] * 4 for name in LOGITS})
    changed = calibrate(pd.concat([harder, second, noise], ignore_index=True), ("crema-d", "banglaser"))
    calibration = operating_point.calibration(second, noise)
    expected = operating_point.probabilities(harder, calibration)
    crema_rows = changed.rows[changed.rows["corpus"] == "crema-d"]
    assert crema_rows[list(EMOTIONS)].to_numpy() == pytest.approx(expected[:, :8], abs=1e-4)
    assert original.calibration != changed.calibration


def test_sensitivities_use_thresholds_of_other_corpora():
    parts = [
        rows_of(name, name, ["neutral", "angry", "happy"] * 60, seed) for seed, name in enumerate(("crema-d", "nemo"))
    ]
    parts.append(rows_of("non-speech", "1", [OTHER] * 40, 3))
    points = calibrate(pd.concat(parts, ignore_index=True), ("crema-d", "nemo")).sensitivities
    assert points.low.negative_from >= points.normal.negative_from >= points.high.negative_from
    assert points.low.found <= points.normal.found <= points.high.found
    assert points.normal.false < 0.3 < points.normal.found


def test_network_outputs_calibrated_probabilities():
    import keras

    random = np.random.default_rng(3)
    values = random.normal(size=(400, 6)).astype(np.float32)
    classes = np.tile(np.arange(8), 50)
    emotions = fit_head(values, classes, np.ones(400), 0.5)
    non_speech = Head(random.normal(size=(6, 2)).astype(np.float32), random.normal(size=2).astype(np.float32))
    heads, calibration = fits.Heads(emotions, non_speech), Calibration(1.7, 0.2, -0.4)
    inputs = keras.Input((6,))
    network = release.with_heads(keras.Model(inputs, keras.layers.Identity()(inputs)), heads, calibration)
    logits = pd.DataFrame(heads.logits(values), columns=list(LOGITS))
    expected = operating_point.probabilities(logits, calibration)
    assert np.asarray(network(values)) == pytest.approx(expected, abs=1e-5)


def test_uncertain_limit_follows_confidence():
    confident = rows_of(RAVDESS, "1", ["neutral", "happy", "angry"] * 40, 5, sharpness=8.0)
    unconfident = rows_of(RAVDESS, "1", ["neutral", "happy", "angry"] * 40, 5, sharpness=0.5)
    limits = []
    for logits in (confident, unconfident):
        table = logits.assign(
            **dict(zip(EMOTIONS, operating_point.probabilities(logits, Calibration()).T, strict=False))
        )
        limits.append(release.uncertain_below(table, (0.125,) * 8, 0.99))
    assert limits[0] == pytest.approx(0.15)
    assert limits[1] > limits[0]
