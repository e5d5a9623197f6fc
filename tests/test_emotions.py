"""The eight emotions, and their prior on calls."""

from analyzer.emotions import CALL_PRIOR, EMOTIONS, UNCERTAIN


def test_emotions_are_in_column_order() -> None:
    assert EMOTIONS == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    assert UNCERTAIN not in EMOTIONS


def test_call_prior_sums_to_one() -> None:
    assert CALL_PRIOR == (0.36, 0.18, 0.15, 0.07, 0.09, 0.07, 0.04, 0.04)
    assert abs(sum(CALL_PRIOR) - 1) < 1e-12
