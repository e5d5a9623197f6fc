"""A complete release of a model from tiny corpora."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analyzer.emotions import OTHER
from analyzer.errors import CannotWork
from analyzer.model.classifier import Classifier
from tests.helpers.clips import write
from tests.helpers.random_whisper import random_weights
from training import release
from training.data.corpora import RAVDESS, Clip, read_ravdess
from training.data.published import NEUTRAL_SPEECH, NON_SPEECH
from training.data.splits import Leak
from training.encoders import whisper
from training.evaluation.rows import read_rows, read_trained_on
from training.heads import fits
from training.recipes import EncoderRecipe, Options, Recipe, Size, held_out

pytestmark = pytest.mark.slow

ENCODER = EncoderRecipe(
    "tiny", {RAVDESS: 3.0, "crema-d": 2.0, "banglaser": 2.0, NON_SPEECH: 1.0}, Size(blocks=1, pairs_after=0),
    Options(steps=1), batch=2, crop_frames=(32,),
)  # fmt: skip
SEGMENT = np.random.default_rng(0).normal(size=(120, 80)).astype(np.float32)
TINY = Recipe("tiny", ENCODER, {RAVDESS: 1.0, "crema-d": 1.0, "banglaser": 1.0}, block_scales=(1.0,))


def spoken(folder, corpus, speakers=5):
    """Clips of a corpus: two emotions per speaker, which differ in pitch."""
    clips = []
    for number in range(speakers):
        for emotion, hz in (("neutral", 150), ("angry", 260)):
            path = folder / f"{corpus}-{number}-{emotion}.wav"
            random = np.random.default_rng([number, hz, len(corpus)])
            times = np.arange(8000) / 8000
            write(path, 0.2 * np.sin(2 * np.pi * hz * times) + random.normal(0, 0.01, 8000))
            clips.append(Clip(path, emotion, f"{corpus}-{number}", corpus, sex="female"))
    return clips


@pytest.fixture(scope="module")
def clips(tiny_ravdess, tmp_path_factory):
    """The tiny RAVDESS, two corpora of five speakers each, and clips of noise."""
    folder = tmp_path_factory.mktemp("corpora")
    noises = []
    for number in range(5):
        write(folder / f"{number}.wav", np.random.default_rng(number).normal(0, 0.1, 8000))
        noises.append(Clip(folder / f"{number}.wav", OTHER, f"{NON_SPEECH}-{number}", NON_SPEECH))
    return [*read_ravdess(tiny_ravdess), *spoken(folder, "crema-d"), *spoken(folder, "banglaser"), *noises]


@pytest.fixture(scope="module")
def released(clips, tmp_path_factory):
    """A folder with a released model and its rows."""
    folder = tmp_path_factory.mktemp("release")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whisper, "load_weights", lambda: random_weights(1))
        patch.setattr(fits, "read_clips", lambda corpora, cache: clips)
        patch.setattr(fits, "CONDITIONS", ("studio",))
        patch.setattr(release, "SEEDS", (1, 2))
        patch.setattr(release, "REQUIRED_AGREEMENT", 0.0)  # the weights are random
        card = release.release(TINY, folder, folder / "cache", folder / "model", folder / "rows")
    assert card == folder / "model" / "card.md"
    return folder


def test_scored_speakers_are_held_out(released):
    rows, trained_on = read_rows(released / "rows" / "tiny.csv.gz"), read_trained_on(released / "rows" / "tiny.csv.gz")
    for fold, fold_rows in rows.groupby("fold"):
        assert not set(fold_rows["speaker"]) & trained_on[fold]["training"].speakers
    assert {"crema-d", "banglaser"} <= set(rows["fold"])
    assert set(rows.loc[rows["corpus"] == RAVDESS, "seed"]) == {1, 2}
    assert set(rows.loc[rows["corpus"] != RAVDESS, "seed"]) == {1}


def test_model_runs_and_states_licence(released):
    classifier = Classifier(released / "model", "even")
    probabilities = classifier.probabilities([np.zeros((120, 80), np.float32)])
    assert probabilities.shape == (1, 9)
    assert probabilities[0, :8].sum() == pytest.approx(1, abs=1e-5)
    assert classifier.settings.business_use is False
    assert "some of them allow no commercial use" in classifier.settings.licence


def test_card_scores_only_evaluated_corpora(released):
    card = (released / "model" / "card.md").read_text(encoding="utf-8")
    assert card.index("Speakers left out by folds") < card.index("Corpora left out whole")
    for corpus in ("crema-d", "banglaser"):
        assert card.count(f"| {corpus} |") == 2
    assert "Non-commercial use only" in card


def test_metrics_match_the_card(released):
    metrics = json.loads((released / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["left_out"]) == {"crema-d", "banglaser"}
    assert "crema-d" in metrics["on_unseen_speakers"]
    assert set(metrics["ravdess_folds"]) <= {"1", "2", "3", "4", "5", "mean"}


def test_duplicate_sound_is_refused(clips, released, monkeypatch, tmp_path):
    copy = replace(clips[-7], path=tmp_path / "copy.wav", speaker="crema-d-99", corpus="crema-d")
    copy.path.write_bytes(clips[-7].path.read_bytes())
    monkeypatch.setattr(fits, "scored", lambda *arguments: pd.DataFrame({"corpus": []}))
    sounds = release.read_sounds([*clips, copy], tmp_path)
    with pytest.raises(Leak, match="the same audio"):
        release.raw_rows(TINY, sounds, tmp_path)


def test_inaccurate_rounding_is_refused(released, monkeypatch):
    exact = released / "model" / "network.onnx"
    assert release.compare(exact, released / "model", [SEGMENT]).decisions_kept == 1
    monkeypatch.setattr(release, "REQUIRED_AGREEMENT", 1.1)
    with pytest.raises(CannotWork, match="rounding to int8 changes the emotion"):
        release.compare(exact, released / "model", [SEGMENT])


def test_parts_hold_out_speakers(clips):
    for part in TINY.parts[:-1]:
        assert held_out(part, clips)
    assert TINY.parts[-1] == "all"
    assert NEUTRAL_SPEECH not in TINY.corpora
