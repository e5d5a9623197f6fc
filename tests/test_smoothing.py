"""Smoothing: earlier segments of a channel count less the older they are, and a first segment stays as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS
from analyzer.smoothing import Told, follow

FADES_S = 3.0


@st.composite
def probabilities(draw: st.DrawFn) -> np.ndarray:
    weights = np.array(draw(st.lists(st.floats(0.001, 1), min_size=8, max_size=8)))
    return weights / weights.sum()


def mostly(emotion: str, sure: float = 0.6) -> np.ndarray:
    found = np.full(8, (1 - sure) / 7)
    found[EMOTIONS.index(emotion)] = sure
    return found


@given(probabilities())
def test_a_first_segment_keeps_its_probabilities(heard: np.ndarray) -> None:
    told = follow(heard, 1.0, 3.0, None, FADES_S)
    assert np.array_equal(told.probabilities, heard)
    assert (told.end, told.seconds) == (3.0, 2.0)


@given(probabilities(), probabilities(), st.floats(0.01, 100))
def test_what_is_told_lies_between_what_was_told_and_what_is_heard(
    heard: np.ndarray, before: np.ndarray, pause_s: float
) -> None:
    told = follow(heard, 3.0 + pause_s, 5.0 + pause_s, Told(3.0, 2.0, before), FADES_S).probabilities
    assert told.sum() == pytest.approx(1)
    assert (told >= np.minimum(heard, before) - 1e-12).all()
    assert (told <= np.maximum(heard, before) + 1e-12).all()


@given(probabilities(), probabilities())
def test_after_a_long_while_nothing_of_before_is_left(heard: np.ndarray, before: np.ndarray) -> None:
    told = follow(heard, 3.0 + 100 * FADES_S, 5.0 + 100 * FADES_S, Told(3.0, 2.0, before), FADES_S).probabilities
    assert told == pytest.approx(heard, abs=1e-9)


def test_a_long_segment_counts_more_than_a_short_one_and_a_late_one_less() -> None:
    sad = EMOTIONS.index("sad")

    def left(seconds: float, pause_s: float) -> float:
        before = Told(10.0, seconds, mostly("sad", 0.9))
        return float(follow(mostly("calm"), 10.0 + pause_s, 12.0 + pause_s, before, FADES_S).probabilities[sad])

    assert left(3.0, 0.0) > left(1.0, 0.0) > left(1.0, 2.0) > mostly("calm")[sad]


def test_by_hand() -> None:
    told = follow(mostly("calm"), 5.0, 6.0, Told(3.0, 2.0, mostly("sad")), fades_s=3.0)
    kept = 2.0 * np.exp(-1.0)
    assert told.seconds == pytest.approx(kept + 1.0)
    assert told.probabilities == pytest.approx((kept * mostly("sad") + mostly("calm")) / (kept + 1.0))


@given(st.floats(0.2, 0.9), st.integers(2, 50))
def test_many_doubtful_segments_are_no_surer_than_one(sure: float, count: int) -> None:
    """Otherwise a voice that always sounds slightly angry would be labelled angry with certainty."""
    told = None
    for number in range(count):
        told = follow(mostly("angry", sure), 3.0 * number, 3.0 * number + 2.5, told, FADES_S)
    assert told is not None
    assert told.probabilities == pytest.approx(mostly("angry", sure))
