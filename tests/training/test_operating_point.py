"""Calibration and thresholds from left-out corpora."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS
from training.operating_point import (
    FALSE_ALARMS,
    LOGITS,
    Calibration,
    calibration,
    negative,
    probabilities,
    thresholds,
    weighted_quantile,
)


def raw(corpus, labels, logits):
    table = pd.DataFrame({"corpus": corpus, "emotion": labels})
    return table.assign(**dict(zip(LOGITS, np.asarray(logits, float).T, strict=True)))


def drawn(count, sharpness, seed, corpus="left-out", labels=EMOTIONS):
    """Clips whose emotions are drawn by their logits; the returned logits are `sharpness` times too large."""
    random = np.random.default_rng(seed)
    places = [EMOTIONS.index(emotion) for emotion in labels]
    logits = random.normal(0, 1.5, (count, len(LOGITS)))
    shares = np.exp(logits[:, places])
    shares /= shares.sum(axis=1, keepdims=True)
    truth = [labels[random.choice(len(places), p=share)] for share in shares]
    return raw(corpus, truth, logits * sharpness)


def other_sound(count=400, odds=60.0, seed=9):
    """Clips of non-speech, whose log odds are around `odds`."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (count, len(LOGITS)))
    logits[:, -1] = random.normal(odds, 30, count)
    return raw("music", ["other"] * count, logits)


@pytest.mark.parametrize("sharpness", [0.7, 1.0, 3.0])
def test_the_temperature_undoes_how_sharp_the_logits_are(sharpness):
    assert calibration(drawn(4000, sharpness, 1), other_sound()).temperature == pytest.approx(sharpness, rel=0.08)


def test_emotions_that_a_corpus_lacks_do_not_count():
    rows = drawn(4000, 2.0, 2, labels=("neutral", "sad", "angry"))
    rows[LOGITS[EMOTIONS.index("calm")]] = 50.0
    assert calibration(rows, other_sound()).temperature == pytest.approx(2.0, rel=0.08)


def test_corpora_count_alike_however_many_clips_they_have():
    large, small = drawn(6000, 1.0, 3, "large"), drawn(600, 4.0, 4, "small")
    assert 1.2 < calibration(pd.concat([large, small]), other_sound()).temperature < 3.5


def test_hardly_any_speech_is_taken_for_non_speech():
    rows = drawn(4000, 1.0, 5)
    found = probabilities(rows, calibration(rows, other_sound(odds=0.0)))
    assert 0.003 < (found[:, -1] > 0.5).mean() <= 0.005


def test_speech_far_from_non_speech_does_not_move_the_limit_towards_speech():
    rows = drawn(4000, 1.0, 5).assign(**{LOGITS[-1]: np.random.default_rng(1).normal(-200, 30, 4000)})
    found = calibration(rows, other_sound())
    limit = -found.non_speech_offset / found.non_speech_scale
    assert -120 < limit < 20
    assert (probabilities(other_sound(seed=10), found)[:, -1] > 0.5).mean() > 0.9


def test_probabilities_of_emotions_sum_to_one():
    found = probabilities(drawn(50, 3.0, 6), Calibration(1.7, 0.5, -2.0))
    assert found[:, :-1].sum(axis=1) == pytest.approx(np.ones(50))
    assert ((found >= 0) & (found <= 1)).all()


def test_each_sensitivity_calls_its_share_of_level_clips_negative():
    rows = drawn(4000, 1.0, 7)
    rows = rows.assign(**dict(zip(EMOTIONS, probabilities(rows, Calibration()).T, strict=False)))
    found = thresholds(rows)
    assert found["low"] > found["normal"] > found["high"]
    level = rows[rows["emotion"].isin(["neutral", "calm"])]
    for name, share in FALSE_ALARMS.items():
        called = negative(level[list(EMOTIONS)].to_numpy()) >= found[name]
        assert called.mean() == pytest.approx(share, abs=0.002)


def test_no_more_than_its_share_is_called_negative_where_many_clips_have_the_same_probability():
    rows = pd.DataFrame({"corpus": "left-out", "emotion": ["neutral"] * 100, **dict.fromkeys(EMOTIONS, 0.125)})
    for limit in thresholds(rows).values():
        assert not (negative(rows[list(EMOTIONS)].to_numpy()) >= limit).any()


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 5)), min_size=1), st.floats(0, 1))
def test_a_weighted_quantile_leaves_at_most_the_rest_of_the_weight_above_it(pairs, share):
    values, weights = np.array(pairs).T
    found = weighted_quantile(values, share, weights)
    assert weights[values > found].sum() <= (1 - share) * weights.sum() + 1e-6
    assert found in values
