"""Adjustment to a speaker: ordinary speech that sounds negative or lively to a model, and upset speakers."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import CALL_PRIOR, EMOTIONS, LIVELY, NEGATIVE
from analyzer.model.baseline import RECENT, GroupRange, LevelSpeech, Speaker, log_odds, reduction

LEVEL = LevelSpeech(lively=GroupRange(0.12, 0.2), negative=GroupRange(0.15, 0.25))
UNCHANGED_PRIOR = np.ones(8)
shares = st.lists(st.floats(0.001, 1), min_size=8, max_size=8).map(lambda values: np.array(values) / sum(values))
calls = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=RECENT).map(lambda values: [log_odds(v) for v in values])


def total(probabilities: np.ndarray, emotions: Sequence[str]) -> float:
    return float(sum(probabilities[EMOTIONS.index(emotion)] for emotion in emotions))


def segment(negative: float = 0.1, lively: float = 0.1) -> np.ndarray:
    """Probabilities of a segment: angry, happy, and the rest neutral."""
    values = {"angry": negative, "happy": lively, "neutral": 1 - negative - lively}
    return np.array([values.get(emotion, 0.0) for emotion in EMOTIONS])


def last_adjusted(segments: Sequence[np.ndarray]) -> np.ndarray:
    speaker = Speaker(LEVEL, UNCHANGED_PRIOR)
    return [speaker.adjusted(probabilities) for probabilities in segments][-1]


def negative_after(negative: Sequence[float]) -> float:
    return total(last_adjusted([segment(probability) for probability in negative]), NEGATIVE)


def test_voice_that_sounds_negative_throughout_becomes_ordinary() -> None:
    assert negative_after([0.28] * 30) == pytest.approx(0.15, abs=0.01)


def test_voice_that_sounds_lively_throughout_becomes_ordinary() -> None:
    adjusted = last_adjusted([segment(0.1, 0.18)] * 30)
    assert total(adjusted, LIVELY) == pytest.approx(0.12, abs=0.01)


def test_ordinary_voice_is_not_adjusted() -> None:
    assert last_adjusted([segment()] * 30) == pytest.approx(segment())


def test_clearly_negative_speech_stays_negative_for_a_whole_call() -> None:
    assert negative_after([0.5] * RECENT) > LEVEL.negative.high


def test_upset_passage_of_an_ordinary_voice_is_not_adjusted() -> None:
    assert negative_after([0.15] * 20 + [0.4] * 40) == pytest.approx(0.4)


def test_first_segment_is_not_adjusted() -> None:
    assert negative_after([0.3]) == pytest.approx(0.3)


def test_only_recent_segments_count() -> None:
    assert negative_after([0.28] * 50 + [0.15] * RECENT) == pytest.approx(0.15)


@given(shares, st.integers(2, 10))
def test_adjustment_does_not_depend_on_the_prior(probabilities: np.ndarray, count: int) -> None:
    to_calls = np.array(CALL_PRIOR) * 8
    on_calls = probabilities * to_calls / (probabilities @ to_calls)
    even, calls = Speaker(LEVEL, to_calls), Speaker(LEVEL, UNCHANGED_PRIOR)
    for _ in range(count):
        adjusted, adjusted_on_calls = even.adjusted(probabilities), calls.adjusted(on_calls)
    assert adjusted * to_calls / (adjusted @ to_calls) == pytest.approx(adjusted_on_calls)


@given(calls)
def test_reduction_is_between_zero_and_the_limit(values: list[float]) -> None:
    assert 0 <= reduction(values, LEVEL.negative) <= LEVEL.negative.limit


@given(calls, st.floats(0, 3))
def test_more_negative_channel_is_reduced_more(values: list[float], more: float) -> None:
    higher = [value + more for value in values]
    assert reduction(higher, LEVEL.negative) >= reduction(values, LEVEL.negative) - 1e-9


@given(st.lists(shares, min_size=1, max_size=20))
def test_adjusted_probabilities_sum_to_one_and_keep_ratios_within_groups(segments: list[np.ndarray]) -> None:
    adjusted = last_adjusted(segments)
    assert adjusted.sum() == pytest.approx(1)
    for group in (NEGATIVE, LIVELY, ("neutral", "calm")):
        indices = [EMOTIONS.index(emotion) for emotion in group]
        kept = segments[-1][indices] / segments[-1][indices].sum()
        assert adjusted[indices] / adjusted[indices].sum() == pytest.approx(kept)
    assert total(adjusted, ("neutral", "calm")) >= total(segments[-1], ("neutral", "calm")) - 1e-9


def test_log_odds_are_finite() -> None:
    assert np.isfinite([log_odds(0.0), log_odds(1.0)]).all()
