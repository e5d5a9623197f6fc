"""Negative passages: where they begin and end, how much negative speech they hold, and that none is missed."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, NEGATIVE, UNCERTAIN
from analyzer.figures import channel_figures
from analyzer.passages import Passage, passages
from analyzer.timeline import Row


def said(start: float, end: float, channel: int = 1, **emotions: float) -> Row:
    """A segment with the given probabilities of emotions; the rest is neutral."""
    rest = round(1 - sum(emotions.values()), 4)
    probabilities = tuple(emotions.get(emotion, rest if emotion == "neutral" else 0.0) for emotion in EMOTIONS)
    return Row(start, end, channel, UNCERTAIN, probabilities, -20.0)


def masked(start: float, end: float) -> Row:
    return Row(start, end, 1, "", (), -20.0)


def places(rows: Sequence[Row]) -> list[tuple[float, float]]:
    return [(passage.start, passage.end) for passage in passages(rows)]


def test_three_negative_seconds_are_a_passage_and_less_are_none() -> None:
    assert places([said(4, 7, angry=0.9)]) == [(4, 7)]
    assert places([said(4, 6.999, angry=0.9)]) == []


def test_seconds_are_counted_over_several_segments() -> None:
    assert places([said(0, 1.2, angry=0.9), said(2, 3.2, sad=0.9), said(4, 4.6, angry=0.9)]) == [(0, 4.6)]
    assert places([said(0, 1.2, angry=0.9), said(2, 3.2, sad=0.9), said(4, 4.5, angry=0.9)]) == []


def test_nothing_is_lost_where_seconds_do_not_add_up_to_the_last_bit() -> None:
    """A segment of 3 s may last 2.9999999999999996 s, and probabilities may sum to slightly less than 0.35."""
    for milliseconds in range(0, 2000, 7):
        start = milliseconds / 1000
        thirds = [said(round(start + k, 3), round(start + k + 1, 3), angry=0.9) for k in range(3)]
        assert len(passages(thirds)) == 1
        at, later = round(start + 3, 3), round(start + 15, 3)
        assert len(passages([said(start, at, angry=0.9), said(later, later + 3, angry=0.9)])) == 1
    assert passages([said(0, 3, sad=0.04, angry=0.24, fearful=0.03, disgust=0.04)])


def test_a_segment_belongs_to_a_passage_from_35_percent_on() -> None:
    assert places([said(0, 3, angry=0.35)]) == [(0, 3)]
    assert places([said(0, 3, sad=0.15, fearful=0.2)]) == [(0, 3)]
    assert places([said(0, 3, angry=0.3499)]) == []


def test_only_sadness_anger_fear_and_disgust_are_negative() -> None:
    found = [emotion for emotion in EMOTIONS[1:] if passages([said(0, 3, **{emotion: 1.0})])]
    assert found == list(NEGATIVE)


def test_a_passage_goes_on_across_twelve_seconds_and_no_longer() -> None:
    assert places([said(0, 3, angry=0.9), said(15, 18, angry=0.9)]) == [(0, 18)]
    assert places([said(0, 3, angry=0.9), said(15.001, 18.001, angry=0.9)]) == [(0, 3), (15.001, 18.001)]


def test_twelve_seconds_are_counted_from_the_last_that_was_negative() -> None:
    rows = [said(0, 3, angry=0.9), said(3, 12, happy=0.9), said(12, 15, angry=0.1), said(16, 19, angry=0.9)]
    assert places(rows) == [(0, 3), (16, 19)]


def test_what_is_calm_within_a_passage_is_no_part_of_its_negative_seconds() -> None:
    rows = [said(0, 3, angry=0.8), said(3, 10, happy=1.0), said(10, 13, angry=0.6)]
    assert passages(rows) == [Passage(0, 13, "angry", 4.2, 0.7)]


def test_negative_seconds_are_weighed_by_their_probability() -> None:
    (passage,) = passages([said(0, 2, angry=0.9), said(2, 6, sad=0.3, fearful=0.2)])
    assert passage.negative_s == pytest.approx(2 * 0.9 + 4 * 0.5)
    assert passage.mean == pytest.approx(3.8 / 6, abs=0.0001)


def test_the_emotion_is_the_one_that_is_most_probable_over_all_of_it() -> None:
    (passage,) = passages([said(0, 1, angry=0.9), said(1, 3, sad=0.4), said(3, 5, sad=0.4, fearful=0.1)])
    assert passage.emotion == "sad"


def test_a_masked_channel_has_no_passages() -> None:
    assert passages([masked(0, 30), masked(31, 60)]) == []


def test_where_nothing_is_said_there_is_no_passage() -> None:
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
    at, made = 0, []
    for pause, length, parts in pieces:
        start, at = at + pause, at + pause + length
        emotions = {emotion: part / 10_000 for emotion, part in zip(NEGATIVE, parts, strict=True)}
        made.append(said(start / 1000, at / 1000, **emotions))
    return made


def by_hand(pieces: Sequence[tuple[int, int, list[int]]]) -> list[tuple[float, float]]:
    """Return starts and ends of passages, computed in whole milliseconds and ten-thousandths."""
    at, runs = 0, list[list[tuple[int, int]]]()
    for pause, length, parts in pieces:
        start, at = at + pause, at + pause + length
        if sum(parts) >= 3500:
            if not runs or start - runs[-1][-1][1] > 12_000:
                runs.append([])
            runs[-1].append((start, at))
    return [(r[0][0] / 1000, r[-1][1] / 1000) for r in runs if sum(end - start for start, end in r) >= 3000]


@given(pieces)
@example([(100, 1000, [1000, 2500, 0, 0]), (0, 2000, [2500, 1000, 0, 0])])
def test_passages_are_those_of_a_count_in_whole_milliseconds(pieces: list[tuple[int, int, list[int]]]) -> None:
    assert places(rows_of(pieces)) == by_hand(pieces)


@given(pieces)
def test_passages_lie_in_the_call_in_order_and_far_enough_apart(pieces: list[tuple[int, int, list[int]]]) -> None:
    rows = rows_of(pieces)
    found = passages(rows)
    assert {passage.start for passage in found} <= {row.start for row in rows}
    assert {passage.end for passage in found} <= {row.end for row in rows}
    assert all(passage.start < passage.end for passage in found)
    assert all(second.start - first.end > 11.9999 for first, second in pairwise(found))


@given(pieces)
def test_a_passage_holds_three_negative_seconds_that_are_close_together(
    pieces: list[tuple[int, int, list[int]]],
) -> None:
    rows = rows_of(pieces)
    for passage in passages(rows):
        inside = [
            row for row in rows if passage.start <= row.start < passage.end and round(row.negative or 0, 4) >= 0.35
        ]
        assert sum(row.seconds for row in inside) > 2.9999
        assert all(second.start - first.end < 12.0001 for first, second in pairwise(inside))
        assert passage.negative_s == pytest.approx(sum(row.seconds * (row.negative or 0) for row in inside), abs=0.001)
        assert 0.35 <= passage.mean <= 1
        assert passage.emotion in NEGATIVE


@given(pieces)
def test_what_is_not_negative_changes_no_passage(pieces: list[tuple[int, int, list[int]]]) -> None:
    rows = rows_of(pieces)
    assert passages(rows) == passages([row for row in rows if round(row.negative or 0, 4) >= 0.35])


@given(pieces, pieces)
def test_what_is_far_apart_is_told_apart(
    before: list[tuple[int, int, list[int]]], after: list[tuple[int, int, list[int]]]
) -> None:
    apart = [(30_000, 150, [0, 0, 0, 0]), *after]
    at = sum(pause + length for pause, length, _ in before)
    both, later = rows_of([*before, *apart]), rows_of([(at, 0, [0, 0, 0, 0]), *apart])
    assert passages(both) == [*passages(rows_of(before)), *passages(later)]


@given(pieces)
def test_the_figures_tell_of_the_passage_that_is_negative_for_the_longest(
    pieces: list[tuple[int, int, list[int]]],
) -> None:
    rows = rows_of(pieces)
    found = passages(rows)
    figures = channel_figures(1, rows, [], 600.0, speaker="customer", masked=False)
    told = [figures[f"passage_{name}"] for name in ("start_s", "end_s", "emotion", "negative_s", "mean")]
    if found:
        most = max(passage.negative_s for passage in found)
        strongest = next(passage for passage in found if passage.negative_s == most)
        assert told == list(vars(strongest).values())
    else:
        assert told == [None] * 5
    assert figures["passages"] == (len(found) if rows else None)
