"""Adjustment to a speaker: ordinary speech that sounds negative to a model, and upset speakers, who stay negative."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, NEGATIVE
from analyzer.model import baseline
from analyzer.model.baseline import RECENT, Reference, log_odds, reduced, reduction

ORDINARY, THRESHOLD = 0.15, 0.25
COMPARED = baseline.reference(ORDINARY, THRESHOLD)
probabilities = st.lists(st.floats(0.001, 1), min_size=8, max_size=8).map(lambda values: np.array(values) / sum(values))
calls = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=RECENT).map(lambda values: [log_odds(v) for v in values])


def negative(values: np.ndarray) -> float:
    return float(sum(values[EMOTIONS.index(emotion)] for emotion in NEGATIVE))


def last_after(negative_probabilities: Sequence[float]) -> float:
    """The adjusted negative probability of the last segment of a channel."""
    values = [log_odds(probability) for probability in negative_probabilities]
    return 1 / (1 + np.exp(reduction(values, COMPARED) - values[-1]))


def test_voice_that_sounds_negative_throughout_falls_below_the_threshold() -> None:
    assert last_after([0.28] * 30) < THRESHOLD


def test_ordinary_voice_is_not_adjusted() -> None:
    assert last_after([ORDINARY] * 30) == pytest.approx(ORDINARY)
    assert last_after([0.05] * 30) == pytest.approx(0.05)


def test_clearly_negative_speech_stays_negative_for_a_whole_call() -> None:
    assert last_after([0.5] * RECENT) > THRESHOLD


def test_upset_passage_of_an_ordinary_voice_is_not_adjusted() -> None:
    assert last_after([ORDINARY] * 20 + [0.4] * 20) == pytest.approx(0.4)


def test_first_segment_is_not_adjusted() -> None:
    assert last_after([0.3]) == pytest.approx(0.3)


def test_limit_grows_with_the_distance_of_the_threshold() -> None:
    assert COMPARED.limit == pytest.approx(1.5 * (log_odds(THRESHOLD) - log_odds(ORDINARY)))
    assert baseline.reference(0.4, 0.3).limit == 0


@given(calls)
def test_reduction_is_between_zero_and_the_limit(values: list[float]) -> None:
    assert 0 <= reduction(values, COMPARED) <= COMPARED.limit


@given(calls, st.floats(0, 3))
def test_more_negative_channel_is_reduced_more(values: list[float], more: float) -> None:
    assert reduction([value + more for value in values], COMPARED) >= reduction(values, COMPARED) - 1e-9


@given(probabilities, st.floats(0, 3))
def test_only_the_log_odds_of_negative_emotions_change(values: np.ndarray, by: float) -> None:
    after = reduced(values, by)
    assert after.sum() == pytest.approx(1)
    assert log_odds(negative(after)) == pytest.approx(log_odds(negative(values)) - by, abs=1e-3)
    for kept in (NEGATIVE, [emotion for emotion in EMOTIONS if emotion not in NEGATIVE]):
        indices = [EMOTIONS.index(emotion) for emotion in kept]
        assert after[indices] / after[indices].sum() == pytest.approx(values[indices] / values[indices].sum())


def test_log_odds_are_finite() -> None:
    assert np.isfinite([log_odds(0.0), log_odds(1.0)]).all()
    assert reduction([log_odds(1.0)], Reference(0.0, 1.0)) <= 1
