"""From fits to a model that ships: what is left out, the operating point, the network, and its card."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from training import fits, music, operating_point, release
from training.calibrated_rows import calibrated
from training.corpora import RAVDESS
from training.head import Head, fit_head
from training.operating_point import LOGITS, Calibration
from training.recipes import OPEN, OPEN_ACCURATE, RECIPES, EncoderRecipe, Recipe


def test_a_model_of_corpora_for_business_may_be_used_for_business():
    recipe = Recipe("tiny", encoder=EncoderRecipe("tiny", shares={"crema-d": 1.0}), weights={"banglaser": 1.0})
    assert "all of them allow business use" in release.model_card.licence(recipe)


def test_everything_that_a_model_is_trained_on_is_attributed_and_apart_where_it_forbids_business():
    text = (Path(__file__).parents[2] / "models" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    both, others = text.split("## In models that are not for business use as well")
    open_corpora = OPEN.corpora | OPEN_ACCURATE.corpora
    for recipe in RECIPES:
        for corpus in recipe.corpora - {music.CORPUS}:
            assert f"`{corpus}`" in (both if corpus in open_corpora else others)


def rows_of(corpus, fold, labels, seed, sharpness=3.0):
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (len(labels), 9))
    for row, label in zip(logits, labels, strict=True):
        row[(*EMOTIONS, OTHER).index(label)] += sharpness
    table = pd.DataFrame({
        "corpus": corpus, "clip": [f"{corpus}-{k}.wav" for k in range(len(labels))], "speaker": f"{corpus}-1",
        "sex": "", "emotion": labels, "fold": fold, "seed": 1, "condition": "telephone", "length_s": 2.0,
    })  # fmt: skip
    return table.assign(**dict(zip(LOGITS, logits.T, strict=True)))


def test_a_corpus_has_no_part_in_its_own_calibration():
    noise = rows_of("non-speech", "1", [OTHER] * 40, 3)
    first = rows_of("crema-d", "crema-d", ["neutral", "angry"] * 40, 1)
    second = rows_of("banglaser", "banglaser", ["neutral", "sad"] * 40, 2)
    found = calibrated(pd.concat([first, second, noise], ignore_index=True), ("crema-d", "banglaser"))
    harder = first.assign(**{name: first[name] * 4 for name in LOGITS})
    changed = calibrated(pd.concat([harder, second, noise], ignore_index=True), ("crema-d", "banglaser"))
    own = operating_point.calibration(second, noise)
    expected = operating_point.probabilities(harder, own)
    of_crema = changed.rows[changed.rows["corpus"] == "crema-d"]
    assert of_crema[list(EMOTIONS)].to_numpy() == pytest.approx(expected[:, :8], abs=1e-4)
    assert found.calibration != changed.calibration


def test_sensitivities_state_what_is_found_with_the_threshold_of_the_other_corpora():
    parts = [
        rows_of(name, name, ["neutral", "angry", "happy"] * 60, seed) for seed, name in enumerate(("crema-d", "nemo"))
    ]
    parts.append(rows_of("non-speech", "1", [OTHER] * 40, 3))
    points = calibrated(pd.concat(parts, ignore_index=True), ("crema-d", "nemo")).sensitivities
    assert points.low.negative_from >= points.normal.negative_from >= points.high.negative_from
    assert points.low.found <= points.normal.found <= points.high.found
    assert points.normal.false < 0.3 < points.normal.found


def test_the_network_gives_the_calibrated_probabilities_of_its_heads():
    import keras

    random = np.random.default_rng(3)
    values = random.normal(size=(400, 6)).astype(np.float32)
    classes = np.tile(np.arange(8), 50)
    emotions = fit_head(values, classes, np.ones(400), 0.5)
    sides = Head(random.normal(size=(6, 2)).astype(np.float32), random.normal(size=2).astype(np.float32))
    heads, calibration = fits.Heads(emotions, sides), Calibration(1.7, 0.2, -0.4)
    inputs = keras.Input((6,))
    network = release.with_heads(keras.Model(inputs, keras.layers.Identity()(inputs)), heads, calibration)
    logits = pd.DataFrame(heads.logits(values), columns=list(LOGITS))
    expected = operating_point.probabilities(logits, calibration)
    assert np.asarray(network(values)) == pytest.approx(expected, abs=1e-5)


def test_uncertain_is_what_is_less_probable_than_right_decisions_are():
    sure = rows_of(RAVDESS, "1", ["neutral", "happy", "angry"] * 40, 5, sharpness=8.0)
    unsure = rows_of(RAVDESS, "1", ["neutral", "happy", "angry"] * 40, 5, sharpness=0.5)
    limits = []
    for raw in (sure, unsure):
        table = raw.assign(**dict(zip(EMOTIONS, operating_point.probabilities(raw, Calibration()).T, strict=False)))
        limits.append(release.uncertain_below(table, (0.125,) * 8))
    assert limits[0] == pytest.approx(0.3)
    assert limits[1] > limits[0]
