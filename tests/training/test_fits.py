"""Fits of encoders and heads: which speakers are left out, what is cached, and what is scored."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from analyzer.emotions import CALL_PRIOR, EMOTIONS, OTHER
from analyzer.errors import UsageError
from tests.training.conftest import write
from tests.training.random_whisper import random_weights
from training import fits, recipes, tuning, whisper
from training.corpora import RAVDESS, Clip, read_ravdess
from training.emotion_network import OUTPUTS, build_network
from training.encoding import ClipStatistics
from training.fits import CONDITIONS, Heads, figures, is_scored, scored
from training.head import Head
from training.operating_point import LOGITS
from training.published import NON_SPEECH, is_non_commercial
from training.raw_scores import TELEPHONE
from training.recipes import RECIPES, EncoderRecipe, Options, Recipe, Size, StudentRecipe, held_out
from training.sounds import read_sounds
from training.splits import actors_of

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
def _installed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whisper, "load_weights", lambda: random_weights(1))
        yield


@pytest.fixture(scope="module")
def rows(sounds, cache):
    return scored(TINY, "1", 1, sounds, cache)


def test_a_fold_leaves_out_its_actors_of_speech_and_song(sounds):
    actors = {speaker for speaker in held_out("1", sounds.clips) if speaker.startswith(RAVDESS)}
    assert actors == actors_of(1) & {clip.speaker for clip in sounds.clips}


def test_a_corpus_is_left_out_with_all_of_its_speakers():
    clips = [Clip("x", "sad", f"crema-d-{k}", "crema-d") for k in range(7)] + [Clip("y", "sad", "nemo-1", "nemo")]
    assert held_out("crema-d", clips) == {f"crema-d-{k}" for k in range(7)}
    assert held_out("crema-d+nemo", clips) == {clip.speaker for clip in clips}
    assert held_out("all", clips) == frozenset()


@pytest.mark.parametrize("part", ["0", "6", "ravdess", "crema-d", "", "1+2"])
def test_a_part_without_speakers_is_a_usage_error(sounds, part):
    with pytest.raises(UsageError, match="give a fold, one or more of crema-d, nemo, banglaser, tess joined by"):
        held_out(part, sounds.clips)


def test_corpora_for_evaluation_are_scored_and_in_no_recipe():
    assert all("meld" not in (*recipe.weights, *recipe.encoder.shares) for recipe in RECIPES)
    assert is_scored(Clip("m", "sad", "meld-unknown", "meld"), frozenset())
    assert not is_scored(Clip("n", "sad", "nemo-1", "nemo"), frozenset())


def test_models_for_business_use_and_their_encoder_take_only_corpora_that_allow_it():
    for recipe in (recipes.OPEN_ACCURATE, recipes.OPEN, recipes.OPEN.encoder.teacher):
        assert not [corpus for corpus in recipe.corpora if is_non_commercial(corpus)]


def test_a_source_that_a_recipe_excludes_is_in_no_fit(sounds, cache):
    source = f"{NON_SPEECH}-0"
    assert source in {clip.speaker for clip in sounds.clips}
    recipe = replace(TINY, encoder=replace(ENCODER, excluded=(source,)))
    for part in ("1", "all"):
        numbers = fits.mixture_of(recipe.encoder, part, sounds).numbers
        assert {sounds.clips[number].speaker for number in numbers} & {f"{NON_SPEECH}-1"}
        assert source not in {sounds.clips[number].speaker for number in numbers}


def test_an_encoder_never_sees_the_speakers_that_are_left_out(sounds, tmp_path, monkeypatch):
    seen = set()
    real = fits.crops.draw_batch

    def draw_batch(mixture, *others):
        seen.update(sounds.clips[number].speaker for number in mixture.numbers)
        return real(mixture, *others)

    monkeypatch.setattr(fits.crops, "draw_batch", draw_batch)
    monkeypatch.setattr(tuning, "fit", lambda network, loss, draw, options, checkpoint: draw(0))
    fits.encoder(ENCODER, "2", sounds, tmp_path)
    left_out = held_out("2", sounds.clips)
    assert left_out
    assert seen == {clip.speaker for clip in sounds.clips} - left_out


STUDENT = StudentRecipe("student", TINY, ENCODER.shares, Options(steps=1), batch=2, crop_frames=(32,))
SMALL = Recipe("small", STUDENT, {RAVDESS: 1.0}, block_scales=(1.0,), distilled=0.5)


def test_a_student_and_its_teacher_leave_out_the_same_speakers(sounds, cache, monkeypatch):
    parts = []
    real = fits.mixture_of

    def mixture_of(recipe, part, sounds):
        parts.append((recipe.name, part))
        return real(recipe, part, sounds)

    monkeypatch.setattr(fits, "mixture_of", mixture_of)
    rows = scored(SMALL, "1", 1, sounds, cache)
    assert {part for _, part in parts} == {"1"}
    assert {name for name, _ in parts} == {"tiny", "student"}
    assert set(rows["speaker"]) == held_out("1", sounds.clips)
    assert np.isfinite(rows[list(LOGITS)].to_numpy()).all()


def test_the_head_of_a_student_is_between_its_discriminant_and_its_teacher(sounds, cache):
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
    wanted = fits.fit_heads(TINY, "1", 1, sounds, cache).emotions.logits(teacher.statistics).argmax(axis=1)
    found = heads[1.0].logits(values.statistics).argmax(axis=1)
    assert (found == wanted).mean() > 0.8


def test_heads_are_fitted_without_the_speakers_that_are_left_out(sounds, tmp_path, monkeypatch):
    def statistics(recipe, part, sounds, cache, condition, seed=0, corpora=None):
        clips = tuple(clip for clip in sounds.clips if corpora is None or clip.corpus in corpora)
        is_out = np.array([clip.speaker in held_out("1", sounds.clips) for clip in clips])
        values = np.random.default_rng(1).normal(size=(len(clips), 4)).astype(np.float32)
        values[is_out] = np.nan
        return ClipStatistics(clips, values, np.ones(len(clips)))

    monkeypatch.setattr(fits, "statistics", statistics)
    heads = fits.fit_heads(TINY, "1", 1, sounds, tmp_path)
    assert np.isfinite(heads.logits(np.zeros((1, 4)))).all()


def test_no_head_is_trained_on_a_corpus_that_its_recipe_does_not_name(sounds, tmp_path, monkeypatch):
    def statistics(recipe, part, sounds, cache, condition, seed=0, corpora=None):
        clips = tuple(clip for clip in sounds.clips if corpora is None or clip.corpus in corpora)
        values = np.random.default_rng(1).normal(size=(len(clips), 4)).astype(np.float32)
        values[[clip.corpus == "nemo" for clip in clips]] = np.nan
        return ClipStatistics(clips, values, np.ones(len(clips)))

    monkeypatch.setattr(fits, "statistics", statistics)
    others = tuple(Clip(f"{k}", "sad", f"nemo-{k}", "nemo", audio="0") for k in range(5))
    heads = fits.fit_heads(TINY, "1", 1, replace(sounds, clips=(*sounds.clips, *others)), tmp_path)
    assert np.isfinite(heads.logits(np.zeros((1, 4)))).all()


def test_the_weights_that_are_used_lie_between_the_trained_ones_and_those_of_whisper(sounds, cache, rows):
    (path,) = cache.glob("tiny-*.weights.h5")
    network = build_network(random_weights(1), ENCODER.size)
    whole = network.get_layer("conv2").get_weights()[0]
    network.load_weights(path)
    trained = network.get_layer("conv2").get_weights()[0]
    found = fits.encoder(ENCODER, "1", sounds, cache).build().get_layer("conv2").get_weights()[0]
    assert np.abs(trained - whole).max() > 0
    assert found == pytest.approx(0.3 * whole + 0.7 * trained, abs=1e-6)
    assert path.stat().st_size < 5 * network.count_params()  # four bytes per parameter, and no optimizer


def test_an_encoder_is_read_from_the_cache_the_next_time(sounds, cache, rows, monkeypatch):
    monkeypatch.setattr(fits, "_train", None)
    assert scored(TINY, "1", 1, sounds, cache).equals(rows)


def test_raw_scores_are_those_of_the_held_out_speakers(sounds, rows):
    assert set(rows["speaker"]) == held_out("1", sounds.clips)
    assert (rows["fold"] == "1").all()
    assert set(rows.loc[rows["corpus"] == RAVDESS, "condition"]) == {TELEPHONE, *CONDITIONS}
    assert set(rows.loc[rows["corpus"] != RAVDESS, "condition"]) <= {TELEPHONE}


def test_logits_are_those_of_the_emotions_and_the_log_odds_of_non_speech():
    random = np.random.default_rng(1)
    emotions, sides = (Head(random.normal(size=(5, k)), random.normal(size=k)) for k in (8, 2))
    values = random.normal(size=(3, 5))
    found = Heads(emotions, sides).logits(values)
    assert found[:, :8] == pytest.approx(emotions.logits(values))
    assert found[:, 8] == pytest.approx(sides.logits(values) @ [-1, 1])


def raw(labels, logits, corpus="acted"):
    """Rows of raw scores with the given logits."""
    emotions = [label or "" for label in labels]
    table = pd.DataFrame({"corpus": corpus, "emotion": emotions, "condition": TELEPHONE})
    return table.assign(**dict(zip(LOGITS, np.asarray(logits, float).T, strict=True)))


def test_figures_agree_with_scikit_learn():
    labels = np.array([*EMOTIONS, "angry", "calm", "", "neutral"] * 20)
    logits = np.random.default_rng(1).normal(size=(len(labels), OUTPUTS))
    (row,) = figures(raw(labels, logits)).to_dict("records")
    labelled = labels != ""
    said = np.array(EMOTIONS)[logits[:, :8].argmax(axis=1)]
    assert row["uar"] == pytest.approx(recall_score(labels[labelled], said[labelled], average="macro"))
    is_negative = np.isin(labels, ["sad", "angry", "fearful", "disgust"])
    either = is_negative | np.isin(labels, ["neutral", "calm"])
    weighted = np.exp(logits[:, :8]) * CALL_PRIOR
    probability = weighted[:, 3:7].sum(axis=1) / weighted.sum(axis=1)
    assert row["area"] == pytest.approx(roc_auc_score(is_negative[either], probability[either]))
    assert row["non_speech"] == pytest.approx((logits[:, 8] > 0).mean())


def test_negative_clips_are_found_at_five_per_cent_of_false_alarms():
    logits = np.zeros((200, OUTPUTS))
    logits[:100, EMOTIONS.index("sad")] = np.arange(100) / 100  # even the highest five, the false alarms, stay below 1
    logits[100:, EMOTIONS.index("sad")] = np.where(np.arange(100) < 30, 5, 0.9)
    assert figures(raw(["neutral"] * 100 + ["sad"] * 100, logits))["found"].tolist() == [0.3]


def test_sounds_that_are_not_speech_have_no_emotion_to_score():
    table = figures(raw([OTHER] * 4, np.eye(OUTPUTS)[[8, 8, 8, 0]]))
    assert table["non_speech"].tolist() == [0.75]
    assert table[["uar", "area", "found"]].isna().all().all()
