"""Smoothing: earlier segments of a channel count less the older they are, and a first segment stays as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS
from analyzer.model.smoothing import SmoothedState, smooth

FADES_S = 3.0


@st.composite
def probabilities(draw: st.DrawFn) -> np.ndarray:
    weights = np.array(draw(st.lists(st.floats(0.001, 1), min_size=8, max_size=8)))
    return weights / weights.sum()


def mostly(emotion: str, share: float = 0.6) -> np.ndarray:
    shares = np.full(8, (1 - share) / 7)
    shares[EMOTIONS.index(emotion)] = share
    return shares


@given(probabilities())
def test_first_segment_is_unchanged(current: np.ndarray) -> None:
    state = smooth(current, 1.0, 3.0, None, FADES_S)
    assert np.array_equal(state.probabilities, current)
    assert (state.end, state.seconds) == (3.0, 2.0)


@given(probabilities(), probabilities(), st.floats(0.01, 100))
def test_result_lies_between_old_and_new_values(current: np.ndarray, before: np.ndarray, pause_s: float) -> None:
    smoothed = smooth(current, 3.0 + pause_s, 5.0 + pause_s, SmoothedState(3.0, 2.0, before), FADES_S).probabilities
    assert smoothed.sum() == pytest.approx(1)
    assert (smoothed >= np.minimum(current, before) - 1e-12).all()
    assert (smoothed <= np.maximum(current, before) + 1e-12).all()


@given(probabilities(), probabilities())
def test_long_pause_removes_the_past(current: np.ndarray, before: np.ndarray) -> None:
    smoothed = smooth(
        current, 3.0 + 100 * FADES_S, 5.0 + 100 * FADES_S, SmoothedState(3.0, 2.0, before), FADES_S
    ).probabilities
    assert smoothed == pytest.approx(current, abs=1e-9)


def test_weight_depends_on_length_and_pause() -> None:
    sad = EMOTIONS.index("sad")

    def remaining(seconds: float, pause_s: float) -> float:
        before = SmoothedState(10.0, seconds, mostly("sad", 0.9))
        return float(smooth(mostly("calm"), 10.0 + pause_s, 12.0 + pause_s, before, FADES_S).probabilities[sad])

    assert remaining(3.0, 0.0) > remaining(1.0, 0.0) > remaining(1.0, 2.0) > mostly("calm")[sad]


def test_weighted_mean_by_hand() -> None:
    state = smooth(mostly("calm"), 5.0, 6.0, SmoothedState(3.0, 2.0, mostly("sad")), fades_s=3.0)
    old_weight = 2.0 * np.exp(-1.0)
    assert state.seconds == pytest.approx(old_weight + 1.0)
    assert state.probabilities == pytest.approx((old_weight * mostly("sad") + mostly("calm")) / (old_weight + 1.0))


@given(st.floats(0.2, 0.9), st.integers(2, 50))
def test_repetition_adds_no_certainty(share: float, count: int) -> None:
    """Otherwise a voice that always sounds slightly angry would be labelled angry with certainty."""
    state = None
    for number in range(count):
        state = smooth(mostly("angry", share), 3.0 * number, 3.0 * number + 2.5, state, FADES_S)
    assert state is not None
    assert state.probabilities == pytest.approx(mostly("angry", share))
