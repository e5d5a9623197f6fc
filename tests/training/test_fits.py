"""Fits of encoders and heads: which speakers are held out, what is cached, and what is scored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from analyzer.emotions import CALL_PRIOR, EMOTIONS, OTHER
from analyzer.errors import UsageError
from tests.helpers.clips import write
from tests.helpers.random_whisper import random_weights
from training import recipes
from training.data.corpora import RAVDESS, Clip, read_ravdess
from training.data.published import NON_SPEECH, is_non_commercial
from training.data.sounds import read_sounds
from training.data.splits import actors_of
from training.encoders import tuning, whisper
from training.encoders.emotion_network import OUTPUTS, build_network
from training.encoders.encoding import ClipStatistics, Encoder
from training.evaluation.operating_point import LOGITS
from training.heads import fits
from training.heads.fits import CONDITIONS, Heads, figures, is_scored, scored
from training.heads.head import Head
from training.heads.raw_scores import TELEPHONE
from training.recipes import FRONT_END, RECIPES, EncoderRecipe, Options, Recipe, Size, StudentRecipe, held_out

ENCODER = EncoderRecipe(
    "tiny", {RAVDESS: 3.0, NON_SPEECH: 1.0}, Size(blocks=1, pairs_after=0), Options(steps=2), batch=2, crop_frames=(32,)
)
TINY = Recipe("tiny", ENCODER, {RAVDESS: 1.0}, block_scales=(1.0,))


@pytest.fixture(scope="module")
def sounds(tiny_ravdess, tmp_path_factory):
    """The clips of the tiny RAVDESS and two clips of noise."""
    folder = tmp_path_factory.mktemp("noises")
    noises = []
    for number in range(2):
        noise = np.random.default_rng(number).normal(0, 0.1, 16000)
        write(folder / f"{number}.wav", noise)
        noises.append(Clip(folder / f"{number}.wav", OTHER, f"{NON_SPEECH}-{number}", NON_SPEECH))
    return read_sounds([*read_ravdess(tiny_ravdess), *noises], tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module", autouse=True)
def _pretrained_weights():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whisper, "load_weights", lambda: random_weights(1))
        yield


@pytest.fixture(scope="module")
def rows(sounds, cache):
    return scored(TINY, "1", 1, sounds, cache)


def test_fold_holds_out_its_actors(sounds):
    actors = {speaker for speaker in held_out("1", sounds.clips) if speaker.startswith(RAVDESS)}
    assert actors == actors_of(1) & {clip.speaker for clip in sounds.clips}


def test_corpus_holds_out_all_its_speakers():
    clips = [Clip("x", "sad", f"crema-d-{number}", "crema-d") for number in range(7)] + [
        Clip("y", "sad", "nemo-1", "nemo")
    ]
    assert held_out("crema-d", clips) == {f"crema-d-{number}" for number in range(7)}
    assert held_out("crema-d+nemo", clips) == {clip.speaker for clip in clips}
    assert held_out("all", clips) == frozenset()


@pytest.mark.parametrize("part", ["0", "6", "ravdess", "crema-d", "", "1+2"])
def test_invalid_part_is_usage_error(sounds, part):
    with pytest.raises(UsageError, match="give a fold, one or more of crema-d, nemo, banglaser, tess joined by"):
        held_out(part, sounds.clips)


def test_evaluation_corpora_are_not_trained_on():
    assert all("meld" not in (*recipe.weights, *recipe.encoder.shares) for recipe in RECIPES)
    assert is_scored(Clip("m", "sad", "meld-unknown", "meld"), frozenset())
    assert not is_scored(Clip("n", "sad", "nemo-1", "nemo"), frozenset())


def test_open_models_use_only_open_corpora():
    for recipe in (recipes.OPEN_ACCURATE, recipes.OPEN, recipes.OPEN.encoder.teacher):
        assert not [corpus for corpus in recipe.corpora if is_non_commercial(corpus)]


def test_excluded_source_is_in_no_fit(sounds, cache):
    source = f"{NON_SPEECH}-0"
    assert source in {clip.speaker for clip in sounds.clips}
    recipe = replace(TINY, encoder=replace(ENCODER, excluded=(source,)))
    for part in ("1", "all"):
        numbers = fits.mixture_of(recipe.encoder, part, sounds).numbers
        assert {sounds.clips[number].speaker for number in numbers} & {f"{NON_SPEECH}-1"}
        assert source not in {sounds.clips[number].speaker for number in numbers}


def test_encoder_does_not_use_held_out_speakers(sounds, tmp_path, monkeypatch):
    seen = set()
    original = fits.crops.draw_batch

    def draw_batch(mixture, *others):
        seen.update(sounds.clips[number].speaker for number in mixture.numbers)
        return original(mixture, *others)

    monkeypatch.setattr(fits.crops, "draw_batch", draw_batch)
    monkeypatch.setattr(tuning, "fit", lambda network, loss, draw, options, checkpoint: draw(0))
    fits.encoder(ENCODER, "2", sounds, tmp_path)
    excluded = held_out("2", sounds.clips)
    assert excluded
    assert seen == {clip.speaker for clip in sounds.clips} - excluded


STUDENT = StudentRecipe("student", TINY, ENCODER.shares, Options(steps=1), batch=2, crop_frames=(32,))
SMALL = Recipe("small", STUDENT, {RAVDESS: 1.0}, block_scales=(1.0,), distilled=0.5)


@pytest.mark.slow
def test_student_and_teacher_hold_out_same_speakers(sounds, cache, monkeypatch):
    parts = []
    original = fits.mixture_of

    def mixture_of(recipe, part, sounds):
        parts.append((recipe.name, part))
        return original(recipe, part, sounds)

    monkeypatch.setattr(fits, "mixture_of", mixture_of)
    rows = scored(SMALL, "1", 1, sounds, cache)
    assert {part for _, part in parts} == {"1"}
    assert {name for name, _ in parts} == {"tiny", "student"}
    assert set(rows["speaker"]) == held_out("1", sounds.clips)
    assert np.isfinite(rows[list(LOGITS)].to_numpy()).all()


@pytest.mark.slow
def test_student_head_mixes_discriminant_and_teacher(sounds, cache):
    heads = {
        share: fits.fit_heads(replace(SMALL, distilled=share), "1", 1, sounds, cache).emotions
        for share in (0.0, 0.5, 1.0)
    }
    assert heads[0.5].kernel == pytest.approx((heads[0.0].kernel + heads[1.0].kernel) / 2, abs=1e-5)
    values = fits.statistics(SMALL, "1", sounds, cache, TELEPHONE).of(
        np.array([clip.corpus == RAVDESS and clip.speaker not in held_out("1", sounds.clips) for clip in sounds.clips])
    )
    teacher = fits.statistics(TINY, "1", sounds, cache, TELEPHONE).of(
        np.array([clip.corpus == RAVDESS and clip.speaker not in held_out("1", sounds.clips) for clip in sounds.clips])
    )
    expected = fits.fit_heads(TINY, "1", 1, sounds, cache).emotions.logits(teacher.statistics).argmax(axis=1)
    predicted = heads[1.0].logits(values.statistics).argmax(axis=1)
    assert (predicted == expected).mean() > 0.8


def test_heads_do_not_use_held_out_speakers(sounds, tmp_path, monkeypatch):
    def statistics(recipe, part, sounds, cache, condition, seed=0, corpora=None):
        clips = tuple(clip for clip in sounds.clips if corpora is None or clip.corpus in corpora)
        is_held_out = np.array([clip.speaker in held_out("1", sounds.clips) for clip in clips])
        values = np.random.default_rng(1).normal(size=(len(clips), 4)).astype(np.float32)
        values[is_held_out] = np.nan
        return ClipStatistics(clips, values, np.ones(len(clips)))

    monkeypatch.setattr(fits, "statistics", statistics)
    heads = fits.fit_heads(TINY, "1", 1, sounds, tmp_path)
    assert np.isfinite(heads.logits(np.zeros((1, 4)))).all()


def test_heads_use_only_corpora_of_recipe(sounds, tmp_path, monkeypatch):
    def statistics(recipe, part, sounds, cache, condition, seed=0, corpora=None):
        clips = tuple(clip for clip in sounds.clips if corpora is None or clip.corpus in corpora)
        values = np.random.default_rng(1).normal(size=(len(clips), 4)).astype(np.float32)
        values[[clip.corpus == "nemo" for clip in clips]] = np.nan
        return ClipStatistics(clips, values, np.ones(len(clips)))

    monkeypatch.setattr(fits, "statistics", statistics)
    monkeypatch.setattr(fits, "encoder", lambda *_: Encoder("tiny", FRONT_END, build=None))
    others = tuple(Clip(Path(f"{number}"), "sad", f"nemo-{number}", "nemo", audio="0") for number in range(5))
    heads = fits.fit_heads(TINY, "1", 1, replace(sounds, clips=(*sounds.clips, *others)), tmp_path)
    assert np.isfinite(heads.logits(np.zeros((1, 4)))).all()


def test_weights_are_mixed_with_those_of_whisper(sounds, cache, rows):
    (path,) = cache.glob("tiny-*.weights.h5")
    network = build_network(random_weights(1), ENCODER.size)
    pretrained = network.get_layer("conv2").get_weights()[0]
    network.load_weights(path)
    trained = network.get_layer("conv2").get_weights()[0]
    mixed = fits.encoder(ENCODER, "1", sounds, cache).build().get_layer("conv2").get_weights()[0]
    assert np.abs(trained - pretrained).max() > 0
    assert mixed == pytest.approx(0.3 * pretrained + 0.7 * trained, abs=1e-6)
    assert path.stat().st_size < 5 * network.count_params()  # four bytes per parameter, and no optimizer


def test_encoder_is_cached(sounds, cache, rows, monkeypatch):
    monkeypatch.setattr(fits, "_train", None)
    assert scored(TINY, "1", 1, sounds, cache).equals(rows)


def test_raw_scores_are_of_held_out_speakers(sounds, rows):
    assert set(rows["speaker"]) == held_out("1", sounds.clips)
    assert (rows["fold"] == "1").all()
    assert set(rows.loc[rows["corpus"] == RAVDESS, "condition"]) == {TELEPHONE, *CONDITIONS}
    assert set(rows.loc[rows["corpus"] != RAVDESS, "condition"]) <= {TELEPHONE}


def test_logits_include_non_speech_log_odds():
    random = np.random.default_rng(1)
    emotions, non_speech = (Head(random.normal(size=(5, classes)), random.normal(size=classes)) for classes in (8, 2))
    values = random.normal(size=(3, 5))
    logits = Heads(emotions, non_speech).logits(values)
    assert logits[:, :8] == pytest.approx(emotions.logits(values))
    assert logits[:, 8] == pytest.approx(non_speech.logits(values) @ [-1, 1])


def raw_rows(labels, logits, corpus="acted"):
    """Rows of raw scores with the given logits."""
    emotions = [label or "" for label in labels]
    table = pd.DataFrame({"corpus": corpus, "emotion": emotions, "condition": TELEPHONE})
    return table.assign(**dict(zip(LOGITS, np.asarray(logits, float).T, strict=True)))


def test_figures_agree_with_scikit_learn():
    labels = np.array([*EMOTIONS, "angry", "calm", "", "neutral"] * 20)
    logits = np.random.default_rng(1).normal(size=(len(labels), OUTPUTS))
    (row,) = figures(raw_rows(labels, logits)).to_dict("records")
    labelled = labels != ""
    predicted = np.array(EMOTIONS)[logits[:, :8].argmax(axis=1)]
    assert row["uar"] == pytest.approx(recall_score(labels[labelled], predicted[labelled], average="macro"))
    is_negative = np.isin(labels, ["sad", "angry", "fearful", "disgust"])
    is_used = is_negative | np.isin(labels, ["neutral", "calm"])
    weighted = np.exp(logits[:, :8]) * CALL_PRIOR
    probability = weighted[:, 3:7].sum(axis=1) / weighted.sum(axis=1)
    assert row["area"] == pytest.approx(roc_auc_score(is_negative[is_used], probability[is_used]))
    assert row["non_speech"] == pytest.approx((logits[:, 8] > 0).mean())


def test_recall_at_five_per_cent_false_alarms():
    logits = np.zeros((200, OUTPUTS))
    logits[:100, EMOTIONS.index("sad")] = np.arange(100) / 100  # even the highest five, the false alarms, stay below 1
    logits[100:, EMOTIONS.index("sad")] = np.where(np.arange(100) < 30, 5, 0.9)
    assert figures(raw_rows(["neutral"] * 100 + ["sad"] * 100, logits))["found"].tolist() == [0.3]


def test_non_speech_has_no_emotion_scores():
    table = figures(raw_rows([OTHER] * 4, np.eye(OUTPUTS)[[8, 8, 8, 0]]))
    assert table["non_speech"].tolist() == [0.75]
    assert table[["uar", "area", "found"]].isna().all().all()
