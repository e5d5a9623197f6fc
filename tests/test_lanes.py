"""The lanes of pictures of a timeline, checked against a count by hundredths of a second."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.figures import covered, spoken_together
from analyzer.report.lanes import both_speaking, joined, lanes, scale, silences
from analyzer.timeline import Row, Span, Timeline, ordered

#: Start and length in hundredths of a second, and channel.
pieces = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 600), st.integers(1, 3)), max_size=20)


def rows_of(parts: list[tuple[int, int, int]]) -> list[Row]:
    """Return rows that do not overlap within a channel."""
    made: list[Row] = []
    for start, length, channel in sorted(parts):
        if all(row.end <= start / 100 for row in made if row.channel == channel):
            made.append(Row(start / 100, (start + length) / 100, channel, "calm", (0.0, 1.0), -20.0))
    return ordered(made)


def timeline(rows: list[Row], other: list[Span] = [], envelope: np.ndarray | None = None) -> Timeline:  # noqa: B006
    shown = np.empty((0, 0, 2), np.float32) if envelope is None else envelope
    return Timeline("call", 60.0, ("customer", "agent", "other"), tuple(rows), tuple(other), shown)


@given(pieces)
def test_both_speak_as_long_as_the_figures_say(parts: list[tuple[int, int, int]]) -> None:
    rows = rows_of(parts)
    together = both_speaking(rows)
    assert covered(together) == pytest.approx(spoken_together(rows))
    assert all(end < start for (_, end), (start, _) in pairwise(together))


@given(pieces, pieces)
def test_silence_is_where_no_hundredth_of_five_seconds_sounds(
    spoken: list[tuple[int, int, int]], heard: list[tuple[int, int, int]]
) -> None:
    other = [Span(start / 100, (start + length) / 100, channel) for start, length, channel in heard]
    rows = rows_of(spoken)
    sounds = np.zeros(6000, bool)
    for piece in (*rows, *other):
        sounds[round(piece.start * 100) : round(piece.end * 100)] = True
    changes = np.flatnonzero(np.diff(sounds, prepend=True, append=True))
    expected = [(a / 100, b / 100) for a, b in zip(changes[::2], changes[1::2], strict=True) if b - a >= 500]
    assert silences(timeline(rows, other)) == expected


def test_nobody_speaks_with_himself_and_a_moment_is_not_together() -> None:
    one = Row(0, 2, 1, "calm", (), -20.0)
    assert both_speaking([one, Row(2, 3, 2, "calm", (), -20.0)]) == []
    assert joined([(3, 3), (1, 2), (2, 3)]) == [(1, 3)]


def test_a_lane_has_what_is_of_its_channel() -> None:
    rows = [Row(0, 1, 1, "calm", (), -20.0), Row(1, 2, 2, "sad", (), -20.0)]
    first, second, third = lanes(timeline(rows, [Span(5, 6, 3)]))
    assert (first.rows, second.rows, third.rows) == ((rows[0],), (rows[1],), ())
    assert (first.speaker, third.channel, third.other) == ("customer", 3, (Span(5, 6, 3),))


def test_a_waveform_has_as_many_points_as_are_asked_for_and_every_peak() -> None:
    envelope = np.random.default_rng(0).uniform(-1, 1, (3, 601, 2)).astype(np.float32)
    envelope[1, 600] = -1, 1
    lane = lanes(timeline([], envelope=envelope), points=100)[1]
    assert lane.waveform.shape == (86, 2)
    assert lane.step_s == pytest.approx(0.7)
    assert tuple(lane.waveform[-1]) == (-1, 1)
    assert (lanes(timeline([], envelope=envelope))[1].waveform == envelope[1]).all()


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_channels_whose_sound_is_not_known_are_flat(channels: int) -> None:
    envelope = np.full((channels, 600 if channels else 0, 2), 0.5, np.float32)
    told = lanes(timeline([], envelope=envelope))
    assert [lane.waveform.shape for lane in told] == [(600, 2)] * 3
    assert [bool(lane.waveform.any()) for lane in told] == [k < channels for k in range(3)]


def test_channels_that_are_not_told_are_not_drawn_either() -> None:
    assert [lane.channel for lane in lanes(timeline([], envelope=np.ones((8, 600, 2), np.float32)))] == [1, 2, 3]


def test_lanes_are_drawn_up_to_the_loudest_but_no_hiss_is_made_a_storm() -> None:
    envelope = np.full((3, 600, 2), 0.001, np.float32)
    assert scale(lanes(timeline([], envelope=envelope))) == pytest.approx(0.02)
    envelope[2, 7, 0] = -0.5
    assert scale(lanes(timeline([], envelope=envelope))) == 0.5
    assert scale([]) > 0
