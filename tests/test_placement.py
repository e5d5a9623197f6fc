"""Frames are placed at their times: jitter does not add up, overlaps are kept once, wrong times do little harm."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.audio.placement import TOLERATED_S, Placement
from analyzer.errors import UnreadableRecording

RATE, FRAME = 1000, 20
FRAME_S = FRAME / RATE


def place_frames(frames: list[tuple[int, float | None]], max_samples: int = 777) -> tuple[np.ndarray, Placement]:
    """Place frames, each given as the value of all its samples and its time; return all samples."""
    placement = Placement(RATE, 1, max_samples)
    blocks = []
    for number, at_s in frames:
        blocks += placement.place(np.full((1, FRAME), number, np.float32), at_s)
    blocks += placement.finish()
    assert all(0 < block.shape[1] <= max(max_samples, FRAME) for block in blocks)
    return np.concatenate([np.empty((1, 0), np.float32), *blocks], axis=1)[0], placement


def start_of(samples: np.ndarray, number: int) -> float:
    """Return the start of a frame, in seconds."""
    return int(np.flatnonzero(samples == number)[0]) / RATE


@given(
    gaps=st.lists(st.one_of(st.just(0.0), st.floats(0.05, 200)), min_size=1, max_size=40),
    jitter=st.lists(st.floats(-0.015, 0.015), min_size=40, max_size=40),
)
def test_frames_stay_within_tolerance(gaps: list[float], jitter: list[float]) -> None:
    times = [at + delay for at, delay in zip(accumulate(gap + FRAME_S for gap in gaps), jitter, strict=False)]
    times.append(times[-1] + FRAME_S)  # confirms a long gap before the last frame
    samples, placement = place_frames([(index + 1, at) for index, at in enumerate(times)])
    for index, at in enumerate(times):
        assert abs(start_of(samples, index + 1) - at) <= TOLERATED_S + 1 / RATE
    assert placement.restarts == []


@given(st.lists(st.floats(-0.019, 0.019), min_size=1, max_size=200))
def test_jitter_changes_no_sample(jitter: list[float]) -> None:
    times = [max(0.0, index * FRAME_S + delay) for index, delay in enumerate(jitter)]
    samples, _ = place_frames([(index + 1, at) for index, at in enumerate(times)])
    assert samples.tolist() == [index + 1 for index in range(len(jitter)) for _ in range(FRAME)]


@given(st.floats(0.0001, 0.02))
def test_clock_drift_stays_within_tolerance(drift: float) -> None:
    times = [index * FRAME_S * (1 + drift) for index in range(1000)]
    samples, _ = place_frames([(index + 1, at) for index, at in enumerate(times)])
    assert abs(start_of(samples, 1000) - times[-1]) <= TOLERATED_S + 1 / RATE


def test_overlap_is_kept_once() -> None:
    times = [index * FRAME_S for index in (*range(10), *range(4, 20))]
    samples, placement = place_frames([(round(at / FRAME_S) + 1, at) for at in times])
    assert samples.tolist() == [index + 1 for index in range(20) for _ in range(FRAME)]
    assert placement.restarts == []


def test_frames_before_0_are_dropped() -> None:
    samples, _ = place_frames([(index + 1, (index - 1.5) * FRAME_S) for index in range(5)])
    assert samples.tolist() == [2] * 10 + [3] * 20 + [4] * 20 + [5] * 20


@given(back_s=st.floats(1.5, 1e6))
def test_sound_continues_after_a_backward_jump(back_s: float) -> None:
    """As in two recordings joined to one file, or after the overflow of a 33-bit clock."""
    times = [*(index * FRAME_S for index in range(100)), *(2 - back_s + index * FRAME_S for index in range(100))]
    samples, placement = place_frames([(index + 1, at) for index, at in enumerate(times)])
    assert samples.tolist() == [index + 1 for index in range(200) for _ in range(FRAME)]
    assert placement.restarts == [2.0]


@given(wrong_s=st.one_of(st.floats(-1e9, -1.5), st.floats(63, 1e9)), position=st.integers(1, 98))
def test_single_wrong_time_moves_nothing(wrong_s: float, position: int) -> None:
    times = [index * FRAME_S + (wrong_s if index == position else 0) for index in range(100)]
    samples, placement = place_frames([(index + 1, at) for index, at in enumerate(times)])
    assert samples.tolist() == [index + 1 for index in range(100) for _ in range(FRAME)]
    assert placement.restarts == []


def test_wrong_last_time_adds_no_gap() -> None:
    samples, _ = place_frames([(1, 0.0), (2, 5000.0)])
    assert samples.tolist() == [1] * FRAME + [2] * FRAME


def test_frame_without_time_follows_the_last() -> None:
    samples, _ = place_frames([(1, None), (2, None), (3, 0.5), (4, None)])
    assert start_of(samples, 3) == 0.5
    assert start_of(samples, 4) == 0.52


def test_gap_past_limit_is_refused() -> None:
    placement = Placement(RATE, 1, 1000)
    list(placement.place(np.ones((1, FRAME), np.float32), 25 * 3600.0))
    with pytest.raises(UnreadableRecording, match="hours of sound"):
        next(placement.place(np.ones((1, FRAME), np.float32), 25 * 3600.0 + FRAME_S))
