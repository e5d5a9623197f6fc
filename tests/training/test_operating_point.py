"""Calibration and thresholds from held-out corpora."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS
from training.evaluation.operating_point import (
    FALSE_ALARMS,
    LOGITS,
    Calibration,
    calibration,
    negative,
    probabilities,
    thresholds,
    weighted_quantile,
)


def raw_rows(corpus, labels, logits):
    table = pd.DataFrame({"corpus": corpus, "emotion": labels})
    return table.assign(**dict(zip(LOGITS, np.asarray(logits, float).T, strict=True)))


def drawn_rows(count, sharpness, seed, corpus="left-out", labels=EMOTIONS):
    """Clips whose emotions are drawn by their logits; the returned logits are `sharpness` times too large."""
    random = np.random.default_rng(seed)
    columns = [EMOTIONS.index(emotion) for emotion in labels]
    logits = random.normal(0, 1.5, (count, len(LOGITS)))
    shares = np.exp(logits[:, columns])
    shares /= shares.sum(axis=1, keepdims=True)
    truth = [labels[random.choice(len(columns), p=share)] for share in shares]
    return raw_rows(corpus, truth, logits * sharpness)


def other_sound(count=400, odds=60.0, seed=9):
    """Clips of non-speech, whose log odds are around `odds`."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1, (count, len(LOGITS)))
    logits[:, -1] = generator.normal(odds, 30, count)
    return raw_rows("music", ["other"] * count, logits)


@pytest.mark.parametrize("sharpness", [0.7, 1.0, 3.0])
def test_temperature_corrects_sharpness(sharpness):
    assert calibration(drawn_rows(4000, sharpness, 1), other_sound()).temperature == pytest.approx(sharpness, rel=0.08)


def test_missing_emotions_are_ignored():
    rows = drawn_rows(4000, 2.0, 2, labels=("neutral", "sad", "angry"))
    rows[LOGITS[EMOTIONS.index("calm")]] = 50.0
    assert calibration(rows, other_sound()).temperature == pytest.approx(2.0, rel=0.08)


def test_corpora_have_equal_weight():
    large, small = drawn_rows(6000, 1.0, 3, "large"), drawn_rows(600, 4.0, 4, "small")
    assert 1.2 < calibration(pd.concat([large, small]), other_sound()).temperature < 3.5


def test_speech_is_rarely_taken_for_non_speech():
    """Even if two percent of the speech is as far from other speech as music is."""
    odds = np.where(np.arange(4000) % 50 == 0, 60, -40) + np.random.default_rng(1).normal(0, 10, 4000)
    rows = drawn_rows(4000, 1.0, 5).assign(**{LOGITS[-1]: odds})
    shares = probabilities(rows, calibration(rows, other_sound()))
    assert 0.003 < (shares[:, -1] > 0.5).mean() <= 0.005


def test_unclear_sound_is_speech():
    rows = drawn_rows(4000, 1.0, 5).assign(**{LOGITS[-1]: np.random.default_rng(1).normal(0, 30, 4000)})
    shares = probabilities(other_sound(), calibration(rows, other_sound(odds=0.0)))
    assert shares[:, -1].mean() == pytest.approx(0.05, abs=0.02)


def test_limit_is_not_moved_towards_distant_speech():
    rows = drawn_rows(4000, 1.0, 5).assign(**{LOGITS[-1]: np.random.default_rng(1).normal(-200, 30, 4000)})
    fitted = calibration(rows, other_sound())
    limit = -fitted.non_speech_offset / fitted.non_speech_scale
    assert -120 < limit < 20
    assert (probabilities(other_sound(seed=10), fitted)[:, -1] > 0.5).mean() > 0.9


def test_probabilities_of_emotions_sum_to_one():
    shares = probabilities(drawn_rows(50, 3.0, 6), Calibration(1.7, 0.5, -2.0))
    assert shares[:, :-1].sum(axis=1) == pytest.approx(np.ones(50))
    assert ((shares >= 0) & (shares <= 1)).all()


def test_sensitivities_have_their_false_alarm_rates():
    rows = drawn_rows(4000, 1.0, 7)
    rows = rows.assign(**dict(zip(EMOTIONS, probabilities(rows, Calibration()).T, strict=False)))
    limits = thresholds(rows)
    assert limits["low"] > limits["normal"] > limits["high"]
    neutral = rows[rows["emotion"].isin(["neutral", "calm"])]
    for name, share in FALSE_ALARMS.items():
        is_negative = negative(neutral[list(EMOTIONS)].to_numpy()) >= limits[name]
        assert is_negative.mean() == pytest.approx(share, abs=0.002)


def test_ties_do_not_exceed_false_alarm_rate():
    rows = pd.DataFrame({"corpus": "left-out", "emotion": ["neutral"] * 100, **dict.fromkeys(EMOTIONS, 0.125)})
    for limit in thresholds(rows).values():
        assert not (negative(rows[list(EMOTIONS)].to_numpy()) >= limit).any()


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 5)), min_size=1), st.floats(0, 1))
def test_weighted_quantile_limits_weight_above_it(pairs, share):
    values, weights = np.array(pairs).T
    quantile = weighted_quantile(values, share, weights)
    assert weights[values > quantile].sum() <= (1 - share) * weights.sum() + 1e-6
    assert quantile in values
