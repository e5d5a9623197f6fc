"""Negative passages: where they begin and end, how much negative speech they hold, and that none is missed."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, NEGATIVE, UNCERTAIN
from analyzer.timeline.channel_statistics import channel_statistics
from analyzer.timeline.passages import Passage, passages
from analyzer.timeline.timeline import Row


def segment(start: float, end: float, channel: int = 1, **emotions: float) -> Row:
    """A segment with the given probabilities of emotions; the rest is neutral. From 35 % it is labelled negative."""
    rest = round(1 - sum(emotions.values()), 4)
    probabilities = tuple(emotions.get(emotion, rest if emotion == "neutral" else 0.0) for emotion in EMOTIONS)
    likeliest = max(NEGATIVE, key=lambda emotion: emotions.get(emotion, 0.0))
    is_negative = round(sum(emotions.get(emotion, 0.0) for emotion in NEGATIVE), 4) >= 0.35
    return Row(start, end, channel, likeliest if is_negative else UNCERTAIN, probabilities, -20.0)


def masked(start: float, end: float) -> Row:
    return Row(start, end, 1, "", (), -20.0)


def places(rows: Sequence[Row]) -> list[tuple[float, float]]:
    return [(passage.start, passage.end) for passage in passages(rows)]


def test_passage_needs_three_negative_seconds() -> None:
    assert places([segment(4, 7, angry=0.9)]) == [(4, 7)]
    assert places([segment(4, 6.999, angry=0.9)]) == []


def test_seconds_add_up_over_segments() -> None:
    assert places([segment(0, 1.2, angry=0.9), segment(2, 3.2, sad=0.9), segment(4, 4.6, angry=0.9)]) == [(0, 4.6)]
    assert places([segment(0, 1.2, angry=0.9), segment(2, 3.2, sad=0.9), segment(4, 4.5, angry=0.9)]) == []


def test_limits_tolerate_rounding_errors() -> None:
    """A segment of 3 s may last 2.9999999999999996 s."""
    for milliseconds in range(0, 2000, 7):
        start = milliseconds / 1000
        thirds = [segment(round(start + k, 3), round(start + k + 1, 3), angry=0.9) for k in range(3)]
        assert len(passages(thirds)) == 1
        end, later = round(start + 3, 3), round(start + 15, 3)
        assert len(passages([segment(start, end, angry=0.9), segment(later, later + 3, angry=0.9)])) == 1


@pytest.mark.parametrize("emotion", (*EMOTIONS, UNCERTAIN))
def test_passages_consist_of_segments_with_a_negative_label(emotion: str) -> None:
    row = replace(segment(0, 3, angry=0.5), emotion=emotion)
    assert places([row]) == ([(0, 3)] if emotion in NEGATIVE else [])


def test_gap_is_at_most_twelve_seconds() -> None:
    assert places([segment(0, 3, angry=0.9), segment(15, 18, angry=0.9)]) == [(0, 18)]
    assert places([segment(0, 3, angry=0.9), segment(15.001, 18.001, angry=0.9)]) == [(0, 3), (15.001, 18.001)]


def test_gap_starts_at_the_last_negative_segment() -> None:
    rows = [segment(0, 3, angry=0.9), segment(3, 12, happy=0.9), segment(12, 15, angry=0.1), segment(16, 19, angry=0.9)]
    assert places(rows) == [(0, 3), (16, 19)]


def test_negative_seconds_exclude_calm_segments() -> None:
    rows = [segment(0, 3, angry=0.8), segment(3, 10, happy=1.0), segment(10, 13, angry=0.6)]
    assert passages(rows) == [Passage(0, 13, "angry", 4.2, 0.7)]


def test_negative_seconds_are_weighted() -> None:
    (passage,) = passages([segment(0, 2, angry=0.9), segment(2, 6, sad=0.3, fearful=0.2)])
    assert passage.negative_s == pytest.approx(2 * 0.9 + 4 * 0.5)
    assert passage.mean == pytest.approx(3.8 / 6, abs=0.0001)


def test_emotion_is_most_probable_overall() -> None:
    (passage,) = passages([segment(0, 1, angry=0.9), segment(1, 3, sad=0.4), segment(3, 5, sad=0.4, fearful=0.1)])
    assert passage.emotion == "sad"


def test_masked_channel_has_no_passages() -> None:
    assert passages([masked(0, 30), masked(31, 60)]) == []


def test_no_rows_give_no_passage() -> None:
    assert passages([]) == []


#: Pauses and lengths in milliseconds, and probabilities of the four negative emotions in ten-thousandths.
pieces = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 400), st.sampled_from((11_999, 12_000, 12_001)), st.integers(0, 30_000)),
        st.one_of(st.integers(150, 3000), st.sampled_from((500, 1000, 1500, 3000))),
        st.lists(st.one_of(st.integers(0, 2500), st.sampled_from((0, 1000, 1500, 2500))), min_size=4, max_size=4),
    ),
    max_size=20,
)


def rows_of(pieces: Sequence[tuple[int, int, list[int]]]) -> list[Row]:
    time, rows = 0, []
    for pause, length, shares in pieces:
        start, time = time + pause, time + pause + length
        emotions = {emotion: share / 10_000 for emotion, share in zip(NEGATIVE, shares, strict=True)}
        rows.append(segment(start / 1000, time / 1000, **emotions))
    return rows


def by_hand(pieces: Sequence[tuple[int, int, list[int]]]) -> list[tuple[float, float]]:
    """Return starts and ends of passages, computed in integer milliseconds and ten-thousandths."""
    time, runs = 0, list[list[tuple[int, int]]]()
    for pause, length, shares in pieces:
        start, time = time + pause, time + pause + length
        if sum(shares) >= 3500:
            if not runs or start - runs[-1][-1][1] > 12_000:
                runs.append([])
            runs[-1].append((start, time))
    return [(r[0][0] / 1000, r[-1][1] / 1000) for r in runs if sum(end - start for start, end in r) >= 3000]


@given(pieces)
@example([(100, 1000, [1000, 2500, 0, 0]), (0, 2000, [2500, 1000, 0, 0])])
def test_passages_equal_integer_arithmetic(pieces: list[tuple[int, int, list[int]]]) -> None:
    assert places(rows_of(pieces)) == by_hand(pieces)


@given(pieces)
def test_passages_are_ordered_and_apart(pieces: list[tuple[int, int, list[int]]]) -> None:
    rows = rows_of(pieces)
    call_passages = passages(rows)
    assert {passage.start for passage in call_passages} <= {row.start for row in rows}
    assert {passage.end for passage in call_passages} <= {row.end for row in rows}
    assert all(passage.start < passage.end for passage in call_passages)
    assert all(second.start - first.end > 11.9999 for first, second in pairwise(call_passages))


@given(pieces)
def test_passage_has_three_close_negative_seconds(
    pieces: list[tuple[int, int, list[int]]],
) -> None:
    rows = rows_of(pieces)
    for passage in passages(rows):
        inside = [row for row in rows if passage.start <= row.start < passage.end and row.emotion in NEGATIVE]
        assert sum(row.seconds for row in inside) > 2.9999
        assert all(second.start - first.end < 12.0001 for first, second in pairwise(inside))
        assert passage.negative_s == pytest.approx(sum(row.seconds * (row.negative or 0) for row in inside), abs=0.001)
        assert 0.35 <= passage.mean <= 1
        assert passage.emotion in NEGATIVE


@given(pieces)
def test_other_segments_do_not_matter(pieces: list[tuple[int, int, list[int]]]) -> None:
    rows = rows_of(pieces)
    assert passages(rows) == passages([row for row in rows if row.emotion in NEGATIVE])


@given(pieces, pieces)
def test_distant_passages_are_separate(
    before: list[tuple[int, int, list[int]]], after: list[tuple[int, int, list[int]]]
) -> None:
    apart = [(30_000, 150, [0, 0, 0, 0]), *after]
    offset = sum(pause + length for pause, length, _ in before)
    joined, later = rows_of([*before, *apart]), rows_of([(offset, 0, [0, 0, 0, 0]), *apart])
    assert passages(joined) == [*passages(rows_of(before)), *passages(later)]


@given(pieces)
def test_figures_describe_the_longest_passage(
    pieces: list[tuple[int, int, list[int]]],
) -> None:
    rows = rows_of(pieces)
    call_passages = passages(rows)
    figures = channel_statistics(1, rows, [], 600.0, speaker="customer", masked=False)
    columns = figures.columns()
    values = [columns[f"passage_{name}"] for name in ("start_s", "end_s", "emotion", "negative_s", "mean")]
    if call_passages:
        longest_s = max(passage.negative_s for passage in call_passages)
        longest = next(passage for passage in call_passages if passage.negative_s == longest_s)
        assert values == list(vars(longest).values())
    else:
        assert values == [None] * 5
    assert columns["passages"] == (len(call_passages) if rows else None)
