"""Rows and the figures computed from them, compared with a count by hand."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.model.labels import Labelling
from analyzer.speech.detector import Segment
from analyzer.store.outputs import number
from analyzer.timeline.channel_statistics import channel_statistics, covered, from_columns, overlap
from analyzer.timeline.timeline import Row, Span, ordered, row

SAMPLES = np.full(8000, 0.1, np.float32)
LABELLING = Labelling(0.5, 0.4)
#: For segments with equal probabilities of all emotions.
ALMOST_ANY = Labelling(0.9, 0.1)

posteriors = hnp.arrays(np.float32, 8, elements=st.floats(0, 1, width=32)).map(
    lambda p: (p + np.float32(1e-6)) / (p + np.float32(1e-6)).sum()
)


def columns_of(channel: int, rows: list[Row], other: list[Span], length_s: float) -> dict:
    """Return the columns of recordings.csv for a channel."""
    found = channel_statistics(channel, rows, other, length_s, speaker=f"channel {channel}", masked=False)
    assert from_columns(found.columns()) == found
    return found.columns()


def segment(start: float, end: float) -> Segment:
    return Segment(start, end, SAMPLES, True)


@given(posteriors)
def test_rounded_probabilities_still_sum_to_one(probabilities: np.ndarray) -> None:
    result = row(segment(0, 1), 1, probabilities, LABELLING)
    assert abs(sum(result.probabilities) - 1) <= 0.0005
    assert all(p == float(f"{p:.4f}") for p in result.probabilities)


@given(posteriors)
def test_confidence_is_the_highest_probability(probabilities: np.ndarray) -> None:
    result = row(segment(0, 1), 1, probabilities, LABELLING)
    assert result.confidence == max(result.probabilities)
    if result.emotion == UNCERTAIN:
        assert result.probability == result.confidence
    else:
        assert result.probability == result.probabilities[EMOTIONS.index(result.emotion)]


def test_rows_are_rounded() -> None:
    result = row(segment(1.23456, 2.34567), 2, np.full(8, 0.125), ALMOST_ANY)
    assert (result.start, result.end, result.channel, result.level_db) == (1.235, 2.346, 2, -20.0)
    assert result.seconds == pytest.approx(1.111)


def rows_of(channel: int, lengths: list[tuple[int, int]], seed: int) -> list[Row]:
    """Consecutive rows on a channel: pairs of a pause and a length, in tenths of a second."""
    rng, time, result = np.random.default_rng(seed), 0, []
    for pause, length in lengths:
        start, time = time + pause, time + pause + length
        result.append(row(segment(start / 10, time / 10), channel, rng.dirichlet(np.full(8, 0.5)), LABELLING))
    return result


lengths = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 29)), max_size=8)
conversations = st.tuples(lengths, lengths, lengths, st.integers(0, 99))


def spans_of(channel: int, pieces: list[tuple[int, int]], rows: list[Row]) -> list[Span]:
    """Spans of non-speech, where that channel has no speech."""
    time, result = 0, []
    for pause, length in pieces:
        start, time = (time + pause) / 10, time + pause + length
        if all(time / 10 <= r.start or r.end <= start for r in rows if r.channel == channel):
            result.append(Span(start, time / 10, channel))
    return result


def grid(rows: list[Row], other: list[Span], length_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of channels with speech, and with other sound, in every tenth of a second."""
    speaking, sounding = np.zeros(round(length_s * 10), int), np.zeros(round(length_s * 10), int)
    for counts, spans in ((speaking, rows), (sounding, other)):
        for span in spans:
            counts[round(span.start * 10) : round(span.end * 10)] += 1
    return speaking, sounding


@given(conversations)
def test_seconds_equal_a_count_by_tenths(conversation: tuple) -> None:
    first, second, tones, seed = conversation
    rows = ordered([*rows_of(1, first, seed), *rows_of(2, second, seed + 1)])
    other = spans_of(1, tones, rows)
    length_s = max([0.5, *(r.end for r in rows), *(s.end for s in other)])
    speaking, sounding = grid(rows, other, length_s)
    for channel in (1, 2):
        figures = columns_of(channel, rows, other, length_s)
        channel_rows = [r for r in rows if r.channel == channel]
        assert figures["talk_s"] == pytest.approx(sum(r.seconds for r in channel_rows), abs=0.0006)
        assert figures["both_s"] == pytest.approx((speaking >= 2).sum() / 10, abs=0.0006)
        assert figures["silence_s"] == pytest.approx(((speaking + sounding) == 0).sum() / 10, abs=0.0006)
        other_s = sum(s.end - s.start for s in other if s.channel == channel)
        assert figures["other_s"] == pytest.approx(other_s, abs=0.0006)


@given(st.lists(st.integers(150, 2900), min_size=1, max_size=12))
@example([635, 544, 2674, 803, 2474, 500, 752, 2248])
def test_silence_is_never_negative(milliseconds: list[int]) -> None:
    ends = np.cumsum(milliseconds) / 1000
    pieces = zip([0.0, *ends[:-1]], ends, strict=True)
    rows = [row(segment(float(start), float(end)), 1, np.full(8, 0.125), ALMOST_ANY) for start, end in pieces]
    figures = columns_of(1, rows, [], rows[-1].end)
    assert number(figures["silence_s"], 3) == "0.000"
    assert number(figures["both_s"], 3) == "0.000"


@given(conversations)
def test_shares_of_talking_time_sum_to_one(conversation: tuple) -> None:
    rows = rows_of(1, conversation[0] or [(0, 5)], conversation[3])
    figures = columns_of(1, rows, [], 100)
    shares = [figures[f"share_{label}"] for label in (*EMOTIONS, UNCERTAIN)]
    assert sum(shares) == pytest.approx(1, abs=0.0005)
    assert sum(figures[f"mean_{emotion}"] for emotion in EMOTIONS) == pytest.approx(1, abs=0.001)
    talk_s = sum(r.seconds for r in rows)
    for label, share in zip((*EMOTIONS, UNCERTAIN), shares, strict=True):
        assert share == pytest.approx(sum(r.seconds for r in rows if r.emotion == label) / talk_s, abs=0.0001)


@given(conversations)
def test_peak_is_the_start_of_the_strongest_segment(conversation: tuple) -> None:
    rows = rows_of(2, conversation[1] or [(3, 5)], conversation[3])
    figures = columns_of(2, rows, [], 100)
    for k, emotion in enumerate(EMOTIONS):
        strongest = max(r.probabilities[k] for r in rows)
        assert figures[f"peak_{emotion}_s"] == next(r.start for r in rows if r.probabilities[k] == strongest)


def test_mean_is_weighted_by_length() -> None:
    angry = np.eye(8)[EMOTIONS.index("angry")]
    rows = [row(segment(0, 1), 1, angry, LABELLING), row(segment(1, 4), 1, np.full(8, 0.125), ALMOST_ANY)]
    figures = columns_of(1, rows, [], 5)
    assert figures["mean_angry"] == pytest.approx(0.25 * 1 + 0.75 * 0.125, abs=0.0001)
    assert figures["level_db"] == -20.0
    assert figures["silence_s"] == 1.0


def test_channel_without_speech_has_no_emotions() -> None:
    figures = columns_of(2, rows_of(1, [(0, 10)], 0), [Span(2, 3, 2)], 4)
    assert (figures["talk_s"], figures["other_s"], figures["silence_s"], figures["both_s"]) == (0, 1, 2, 0)
    assert {value for column, value in figures.items() if not column.endswith(("talk_s", "other_s"))} >= {None}
    assert figures["mean_angry"] is figures["peak_angry_s"] is figures["share_uncertain"] is figures["level_db"] is None


def test_all_channels_have_the_same_columns() -> None:
    rows = rows_of(1, [(0, 10)], 0)
    assert list(columns_of(1, rows, [], 4)) == list(columns_of(2, rows, [], 4))


def test_rows_are_ordered_by_start_then_channel() -> None:
    rows = [*rows_of(2, [(0, 3), (2, 3)], 0), *rows_of(1, [(0, 2), (3, 3)], 0)]
    assert [(r.start, r.channel) for r in ordered(rows)] == [(0, 1), (0, 2), (0.5, 1), (0.5, 2)]


def test_adjacent_segments_do_not_overlap() -> None:
    assert overlap(rows_of(1, [(0, 3), (0, 3)], 0)) == 0
    assert overlap([*rows_of(1, [(0, 3)], 0), *rows_of(2, [(3, 3)], 0)]) == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=10))
def test_covered_counts_each_second_once(pieces: list[tuple[int, int]]) -> None:
    by_hand = np.zeros(80, bool)
    for start, length in pieces:
        by_hand[start : start + length] = True
    assert covered([(float(s), float(s + n)) for s, n in pieces]) == by_hand.sum()
