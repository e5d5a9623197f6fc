"""Intervals of shares and of differences, checked against published values and general properties."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analyzer.report.intervals import difference_interval, share_interval

#: Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), 857-872:
#: table I, method 3.
SHARES = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0.0000, 0.1611),
    (1, 29): (0.0061, 0.1718),
}
#: Newcombe, Interval estimation for the difference between independent proportions, the same volume, 873-890: table II,
#: method 10.
DIFFERENCES = {
    (56, 70, 48, 80): (0.0524, 0.3339),
    (9, 10, 3, 10): (0.1705, 0.8090),
    (6, 7, 2, 7): (0.0582, 0.8062),
    (5, 56, 0, 29): (-0.0381, 0.1926),
    (0, 10, 0, 20): (-0.1611, 0.2775),
    (0, 10, 0, 10): (-0.2775, 0.2775),
    (10, 10, 0, 20): (0.6791, 1.0000),
    (10, 10, 0, 10): (0.6075, 1.0000),
}

shares = st.integers(1, 100_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@pytest.mark.parametrize(("counted", "published"), SHARES.items(), ids=str)
def test_a_share_has_the_interval_that_is_published(counted: tuple[int, int], published: tuple[float, float]) -> None:
    assert share_interval(*counted) == pytest.approx(published, abs=0.00005)


@pytest.mark.parametrize(("counted", "published"), DIFFERENCES.items(), ids=str)
def test_a_difference_has_the_interval_that_is_published(
    counted: tuple[int, int, int, int], published: tuple[float, float]
) -> None:
    assert difference_interval(*counted) == pytest.approx(published, abs=0.00005)


def test_of_no_calls_nothing_is_known() -> None:
    assert share_interval(0, 0) == (0, 1)
    assert difference_interval(0, 0, 3, 9) == (-1, 1)
    assert difference_interval(3, 9, 0, 0) == (-1, 1)


@given(shares)
def test_the_share_lies_in_its_interval_and_that_among_shares(share: tuple[int, int]) -> None:
    low, high = share_interval(*share)
    assert -1e-12 <= low <= share[0] / share[1] + 1e-12
    assert share[0] / share[1] - 1e-12 <= high <= 1
    assert low < high


@given(shares)
def test_of_those_that_are_not_upset_the_interval_is_the_mirrored_one(share: tuple[int, int]) -> None:
    count, of = share
    low, high = share_interval(count, of)
    assert share_interval(of - count, of) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(shares)
def test_the_interval_of_a_share_is_where_the_score_test_does_not_reject_it(share: tuple[int, int]) -> None:
    """Wilson's derivation: the share lies 1.96 standard errors from each end, with the standard error of that end."""
    count, of = share
    for end in share_interval(count, of):
        assert (count / of - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / of, abs=1e-9)


@given(shares, st.integers(2, 50))
def test_more_calls_of_the_same_share_say_more(share: tuple[int, int], times: int) -> None:
    low, high = share_interval(*share)
    narrower = share_interval(share[0] * times, share[1] * times)
    assert narrower[1] - narrower[0] < high - low


@given(shares)
def test_one_more_upset_call_moves_both_ends_up(share: tuple[int, int]) -> None:
    count, of = share
    assume(count < of)
    low, high = share_interval(count, of)
    more = share_interval(count + 1, of)
    assert more[0] > low
    assert more[1] > high - 1e-12


@given(shares, shares)
def test_the_change_lies_in_its_interval_and_that_among_changes(now: tuple[int, int], then: tuple[int, int]) -> None:
    low, high = difference_interval(*now, *then)
    change = now[0] / now[1] - then[0] / then[1]
    assert -1 - 1e-12 <= low <= change <= high <= 1 + 1e-12


@given(shares, shares)
def test_backwards_the_change_is_the_opposite(now: tuple[int, int], then: tuple[int, int]) -> None:
    low, high = difference_interval(*now, *then)
    assert difference_interval(*then, *now) == pytest.approx((-high, -low), abs=1e-12)


@given(shares, st.integers(1, 100_000))
def test_the_same_share_is_never_a_change(share: tuple[int, int], times: int) -> None:
    low, high = difference_interval(*share, share[0] * times, share[1] * times)
    assert low < 0 < high
