"""Recipes that are trained end to end: who is left out, what is kept, and how a network is scored."""

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.errors import UsageError
from tests.training.tiny_ear import random_weights
from training import tuned_recipe, tuning, whisper
from training.corpora import RAVDESS, Clip, read_ravdess
from training.emotion_network import OUTPUTS, Size
from training.published import is_non_commercial
from training.sounds import read_sounds
from training.splits import actors_of
from training.tuned_recipe import TUNED_RECIPES, TunedRecipe, figures, fitted, held_out, score, scored_by
from training.tuning import Options

TINY = TunedRecipe("tiny", {RAVDESS: 1.0}, Size(blocks=1), Options(steps=2), batch=2, crop_s=0.3)


@pytest.fixture(scope="module")
def sounds(tiny_ravdess, tmp_path_factory):
    return read_sounds(read_ravdess(tiny_ravdess), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module", autouse=True)
def _installed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whisper, "load_weights", lambda: random_weights(1))
        yield


@pytest.fixture(scope="module")
def network(sounds, cache):
    return fitted(TINY, "1", 1, sounds, cache)


def test_a_fold_leaves_out_its_actors_of_speech_and_song(sounds):
    assert held_out("1", sounds.clips) == actors_of(1) & {clip.speaker for clip in sounds.clips}


def test_a_corpus_is_left_out_with_all_of_its_speakers():
    clips = [Clip("x", "sad", f"crema-d-{k}", "crema-d") for k in range(7)] + [Clip("y", "sad", "nemo-1", "nemo")]
    assert held_out("crema-d", clips) == {f"crema-d-{k}" for k in range(7)}
    assert held_out("all", clips) == frozenset()


@pytest.mark.parametrize("part", ["0", "6", "ravdess", "crema-d", ""])
def test_a_part_without_speakers_is_a_usage_error(sounds, part):
    with pytest.raises(UsageError, match="give a fold, one of crema-d, nemo, banglaser, tess, or all"):
        held_out(part, sounds.clips)


def test_corpora_for_evaluation_are_scored_and_in_no_recipe(sounds):
    assert all("meld" not in recipe.shares for recipe in TUNED_RECIPES)
    with_meld = sounds.__class__(
        (*sounds.clips, Clip("m", "sad", "meld-unknown", "meld")), sounds.samples, sounds.starts
    )
    assert scored_by("all", with_meld) == [len(sounds.clips)]


def test_the_open_recipe_takes_only_corpora_for_business_use():
    (recipe,) = (recipe for recipe in TUNED_RECIPES if recipe.name == "open-accurate")
    assert not [corpus for corpus in recipe.shares if is_non_commercial(corpus)]


def test_a_network_never_sees_the_speakers_that_it_is_scored_on(sounds, tmp_path, monkeypatch):
    seen = set()
    real = tuned_recipe.crops.draw_batch

    def draw_batch(mixture, *others):
        seen.update(sounds.clips[number].speaker for number in mixture.numbers)
        return real(mixture, *others)

    monkeypatch.setattr(tuned_recipe.crops, "draw_batch", draw_batch)
    monkeypatch.setattr(tuning, "fit", lambda network, loss, draw, options, checkpoint: draw(0))
    fitted(TINY, "2", 1, sounds, tmp_path)
    scored = {sounds.clips[number].speaker for number in scored_by("2", sounds)}
    assert scored
    assert seen == {clip.speaker for clip in sounds.clips} - scored


def test_a_fitted_network_is_read_from_the_cache_the_next_time(network, sounds, cache, monkeypatch):
    monkeypatch.setattr(tuning, "fit", None)
    again = fitted(TINY, "1", 1, sounds, cache)
    assert all((a == b).all() for a, b in zip(network.get_weights(), again.get_weights(), strict=True))
    (kept,) = cache.iterdir()
    assert kept.name.endswith(".weights.h5")
    assert kept.stat().st_size < 5 * network.count_params()  # four bytes each, and no optimizer


def test_scores_do_not_depend_on_the_order_of_clips(network, sounds):
    numbers = [3, 40, 90]
    assert score(network, sounds, numbers)[::-1] == pytest.approx(score(network, sounds, numbers[::-1]), abs=0.02)


def clips_and_logits(seed):
    random = np.random.default_rng(seed)
    labels = [*EMOTIONS, "angry", "calm", None, "neutral"] * 20
    clips = [Clip(f"{k}", label, f"s{k}", "acted") for k, label in enumerate(labels)]
    return clips, random.normal(size=(len(labels), OUTPUTS))


def test_figures_agree_with_scikit_learn():
    clips, logits = clips_and_logits(1)
    (row,) = figures(clips, logits).to_dict("records")
    labels = np.array([clip.emotion or "" for clip in clips])
    labelled = labels != ""
    said = np.array(EMOTIONS)[logits[:, :8].argmax(axis=1)]
    assert row["uar"] == pytest.approx(recall_score(labels[labelled], said[labelled], average="macro"))
    negative = np.isin(labels, ["sad", "angry", "fearful", "disgust"])
    either = negative | np.isin(labels, ["neutral", "calm"])
    exponentials = np.exp(logits[:, :8])
    probability = exponentials[:, 3:7].sum(axis=1) / exponentials.sum(axis=1)
    assert row["area"] == pytest.approx(roc_auc_score(negative[either], probability[either]))
    assert row["non_speech"] == pytest.approx((logits[:, 8] > 0).mean())


def test_negative_clips_are_found_at_five_per_cent_of_false_alarms():
    clips = [Clip(f"{k}", "neutral" if k < 100 else "sad", "s", "acted") for k in range(200)]
    logits = np.zeros((200, OUTPUTS))
    logits[:100, EMOTIONS.index("sad")] = np.arange(100) / 100  # the highest five stay below 1
    logits[100:, EMOTIONS.index("sad")] = np.where(np.arange(100) < 30, 5, 0.9)
    assert figures(clips, logits)["found"].tolist() == [0.3]


def test_sounds_that_are_not_speech_have_no_emotion_to_score():
    table = figures([Clip("a", OTHER, "n", "non-speech")] * 4, np.eye(OUTPUTS)[[8, 8, 8, 0]])
    assert table["non_speech"].tolist() == [0.75]
    assert table[["uar", "area", "found"]].isna().all().all()
