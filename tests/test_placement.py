"""Frames are placed at their times: jitter does not add up, overlaps are kept once, wrong times do little harm."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UnreadableRecording
from analyzer.placement import TOLERATED_S, Placement

RATE, FRAME = 1000, 20
FRAME_S = FRAME / RATE


def placed(frames: list[tuple[int, float | None]], most: int = 777) -> tuple[np.ndarray, Placement]:
    """Place frames, each given as the value of all its samples and its time; return all samples."""
    placement = Placement(RATE, 1, most)
    blocks = []
    for number, at_s in frames:
        blocks += placement.place(np.full((1, FRAME), number, np.float32), at_s)
    blocks += placement.finish()
    assert all(0 < block.shape[1] <= max(most, FRAME) for block in blocks)
    return np.concatenate([np.empty((1, 0), np.float32), *blocks], axis=1)[0], placement


def first_of(samples: np.ndarray, number: int) -> float:
    """Return the start of a frame, in seconds."""
    return int(np.flatnonzero(samples == number)[0]) / RATE


@given(
    gaps=st.lists(st.one_of(st.just(0.0), st.floats(0.05, 200)), min_size=1, max_size=40),
    jitter=st.lists(st.floats(-0.015, 0.015), min_size=40, max_size=40),
)
def test_no_frame_is_further_from_its_time_than_is_tolerated(gaps: list[float], jitter: list[float]) -> None:
    times = [at + late for at, late in zip(accumulate(gap + FRAME_S for gap in gaps), jitter, strict=False)]
    times.append(times[-1] + FRAME_S)  # confirms a long gap before the last frame
    samples, placement = placed([(k + 1, at) for k, at in enumerate(times)])
    for k, at in enumerate(times):
        assert abs(first_of(samples, k + 1) - at) <= TOLERATED_S + 1 / RATE
    assert placement.restarts == []


@given(st.lists(st.floats(-0.019, 0.019), min_size=1, max_size=200))
def test_jitter_alone_neither_adds_nor_takes_anything(jitter: list[float]) -> None:
    times = [max(0.0, k * FRAME_S + late) for k, late in enumerate(jitter)]
    samples, _ = placed([(k + 1, at) for k, at in enumerate(times)])
    assert samples.tolist() == [k + 1 for k in range(len(jitter)) for _ in range(FRAME)]


@given(st.floats(0.0001, 0.02))
def test_times_that_are_a_little_slower_or_quicker_do_not_drift_apart(drift: float) -> None:
    times = [k * FRAME_S * (1 + drift) for k in range(1000)]
    samples, _ = placed([(k + 1, at) for k, at in enumerate(times)])
    assert abs(first_of(samples, 1000) - times[-1]) <= TOLERATED_S + 1 / RATE


def test_what_overlaps_is_there_once() -> None:
    times = [k * FRAME_S for k in (*range(10), *range(4, 20))]
    samples, placement = placed([(round(at / FRAME_S) + 1, at) for at in times])
    assert samples.tolist() == [k + 1 for k in range(20) for _ in range(FRAME)]
    assert placement.restarts == []


def test_what_is_due_before_the_start_is_left_out() -> None:
    samples, _ = placed([(k + 1, (k - 1.5) * FRAME_S) for k in range(5)])
    assert samples.tolist() == [2] * 10 + [3] * 20 + [4] * 20 + [5] * 20


@given(back_s=st.floats(1.5, 1e6))
def test_times_that_jump_back_go_on_from_there(back_s: float) -> None:
    """As in two recordings joined to one file, or after the overflow of a 33-bit clock."""
    times = [*(k * FRAME_S for k in range(100)), *(2 - back_s + k * FRAME_S for k in range(100))]
    samples, placement = placed([(k + 1, at) for k, at in enumerate(times)])
    assert samples.tolist() == [k + 1 for k in range(200) for _ in range(FRAME)]
    assert placement.restarts == [2.0]


@given(wrong_s=st.one_of(st.floats(-1e9, -1.5), st.floats(63, 1e9)), at=st.integers(1, 98))
def test_a_single_wrong_time_moves_nothing(wrong_s: float, at: int) -> None:
    times = [k * FRAME_S + (wrong_s if k == at else 0) for k in range(100)]
    samples, placement = placed([(k + 1, at) for k, at in enumerate(times)])
    assert samples.tolist() == [k + 1 for k in range(100) for _ in range(FRAME)]
    assert placement.restarts == []


def test_a_wrong_last_time_does_not_make_the_recording_longer() -> None:
    samples, _ = placed([(1, 0.0), (2, 5000.0)])
    assert samples.tolist() == [1] * FRAME + [2] * FRAME


def test_a_frame_without_a_time_follows_the_last() -> None:
    samples, _ = placed([(1, None), (2, None), (3, 0.5), (4, None)])
    assert first_of(samples, 3) == 0.5
    assert first_of(samples, 4) == 0.52


def test_a_gap_that_makes_a_recording_too_long_is_refused_before_it_is_filled() -> None:
    placement = Placement(RATE, 1, 1000)
    list(placement.place(np.ones((1, FRAME), np.float32), 25 * 3600.0))
    with pytest.raises(UnreadableRecording, match="hours of sound"):
        next(placement.place(np.ones((1, FRAME), np.float32), 25 * 3600.0 + FRAME_S))
