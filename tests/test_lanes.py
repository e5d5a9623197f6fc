"""The lanes of pictures of a timeline, checked against a count by hundredths of a second."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.report.lanes import both_speaking, joined, lanes, scale, silences
from analyzer.timeline.channel_statistics import covered, overlap
from analyzer.timeline.timeline import Row, Span, Timeline, ordered

#: Start and length in hundredths of a second, and channel.
segment_lists = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 600), st.integers(1, 3)), max_size=20)


def rows_of(parts: list[tuple[int, int, int]]) -> list[Row]:
    """Return rows that do not overlap within a channel."""
    rows: list[Row] = []
    for start, length, channel in sorted(parts):
        if all(row.end <= start / 100 for row in rows if row.channel == channel):
            rows.append(Row(start / 100, (start + length) / 100, channel, "calm", (0.0, 1.0), -20.0))
    return ordered(rows)


def a_timeline(rows: list[Row], other: list[Span] = [], envelope: np.ndarray | None = None) -> Timeline:  # noqa: B006
    peaks = np.empty((0, 0, 2), np.float32) if envelope is None else envelope
    return Timeline("call", 60.0, ("customer", "agent", "other"), tuple(rows), tuple(other), peaks)


@given(segment_lists)
def test_both_speaking_matches_overlap(parts: list[tuple[int, int, int]]) -> None:
    rows = rows_of(parts)
    intervals = both_speaking(rows)
    assert covered(intervals) == pytest.approx(overlap(rows))
    assert all(end < start for (_, end), (start, _) in pairwise(intervals))


@given(segment_lists, segment_lists)
def test_silences_last_five_seconds(
    speech_parts: list[tuple[int, int, int]], other_parts: list[tuple[int, int, int]]
) -> None:
    other = [Span(start / 100, (start + length) / 100, channel) for start, length, channel in other_parts]
    rows = rows_of(speech_parts)
    sounds = np.zeros(6000, bool)
    for segment in (*rows, *other):
        sounds[round(segment.start * 100) : round(segment.end * 100)] = True
    changes = np.flatnonzero(np.diff(sounds, prepend=True, append=True))
    expected = [
        (first / 100, last / 100)
        for first, last in zip(changes[::2], changes[1::2], strict=True)
        if last - first >= 500
    ]
    assert silences(a_timeline(rows, other)) == expected


def test_touching_segments_do_not_overlap() -> None:
    first = Row(0, 2, 1, "calm", (), -20.0)
    assert both_speaking([first, Row(2, 3, 2, "calm", (), -20.0)]) == []
    assert joined([(3, 3), (1, 2), (2, 3)]) == [(1, 3)]


def test_lane_has_rows_of_its_channel() -> None:
    rows = [Row(0, 1, 1, "calm", (), -20.0), Row(1, 2, 2, "sad", (), -20.0)]
    first, second, third = lanes(a_timeline(rows, [Span(5, 6, 3)]))
    assert (first.rows, second.rows, third.rows) == ((rows[0],), (rows[1],), ())
    assert (first.speaker, third.channel, third.other) == ("customer", 3, (Span(5, 6, 3),))


def test_reduced_waveform_keeps_peaks() -> None:
    envelope = np.random.default_rng(0).uniform(-1, 1, (3, 601, 2)).astype(np.float32)
    envelope[1, 600] = -1, 1
    lane = lanes(a_timeline([], envelope=envelope), points=100)[1]
    assert lane.waveform.shape == (86, 2)
    assert lane.step_s == pytest.approx(0.7)
    assert tuple(lane.waveform[-1]) == (-1, 1)
    assert (lanes(a_timeline([], envelope=envelope))[1].waveform == envelope[1]).all()


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_channels_without_envelope_are_flat(channels: int) -> None:
    envelope = np.full((channels, 600 if channels else 0, 2), 0.5, np.float32)
    channel_lanes = lanes(a_timeline([], envelope=envelope))
    assert [lane.waveform.shape for lane in channel_lanes] == [(600, 2)] * 3
    assert [bool(lane.waveform.any()) for lane in channel_lanes] == [number < channels for number in range(3)]


def test_extra_envelope_channels_are_ignored() -> None:
    assert [lane.channel for lane in lanes(a_timeline([], envelope=np.ones((8, 600, 2), np.float32)))] == [1, 2, 3]


def test_scale_is_loudest_peak_with_minimum() -> None:
    envelope = np.full((3, 600, 2), 0.001, np.float32)
    assert scale(lanes(a_timeline([], envelope=envelope))) == pytest.approx(0.02)
    envelope[2, 7, 0] = -0.5
    assert scale(lanes(a_timeline([], envelope=envelope))) == 0.5
    assert scale([]) > 0
