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

shares = st.integers(1, 100_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@pytest.mark.parametrize(("counted", "published"), SHARES.items(), ids=str)
def test_published_share_intervals(counted: tuple[int, int], published: tuple[float, float]) -> None:
    assert share_interval(*counted) == pytest.approx(published, abs=0.00005)


@pytest.mark.parametrize(("counted", "published"), DIFFERENCES.items(), ids=str)
def test_published_difference_intervals(counted: tuple[int, int, int, int], published: tuple[float, float]) -> None:
    assert difference_interval(*counted) == pytest.approx(published, abs=0.00005)


def test_interval_of_no_calls() -> None:
    assert share_interval(0, 0) == (0, 1)
    assert difference_interval(0, 0, 3, 9) == (-1, 1)
    assert difference_interval(3, 9, 0, 0) == (-1, 1)


@given(shares)
def test_interval_contains_the_share(share: tuple[int, int]) -> None:
    low, high = share_interval(*share)
    assert -1e-12 <= low <= share[0] / share[1] + 1e-12
    assert share[0] / share[1] - 1e-12 <= high <= 1
    assert low < high


@given(shares)
def test_interval_of_complement_is_mirrored(share: tuple[int, int]) -> None:
    count, total = share
    low, high = share_interval(count, total)
    assert share_interval(total - count, total) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(shares)
def test_share_interval_inverts_score_test(share: tuple[int, int]) -> None:
    """Wilson's derivation: the share lies 1.96 standard errors from each end, with the standard error of that end."""
    count, total = share
    for end in share_interval(count, total):
        assert (count / total - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / total, abs=1e-9)


@given(shares, st.integers(2, 50))
def test_more_calls_narrow_the_interval(share: tuple[int, int], factor: int) -> None:
    low, high = share_interval(*share)
    narrower = share_interval(share[0] * factor, share[1] * factor)
    assert narrower[1] - narrower[0] < high - low


@given(shares)
def test_one_more_negative_call_moves_interval_up(share: tuple[int, int]) -> None:
    count, total = share
    assume(count < total)
    low, high = share_interval(count, total)
    moved = share_interval(count + 1, total)
    assert moved[0] > low
    assert moved[1] > high - 1e-12


@given(shares, shares)
def test_interval_contains_the_difference(current: tuple[int, int], previous: tuple[int, int]) -> None:
    low, high = difference_interval(*current, *previous)
    change = current[0] / current[1] - previous[0] / previous[1]
    assert -1 - 1e-12 <= low <= change <= high <= 1 + 1e-12


@given(shares, shares)
def test_swapped_difference_is_negated(current: tuple[int, int], previous: tuple[int, int]) -> None:
    low, high = difference_interval(*current, *previous)
    assert difference_interval(*previous, *current) == pytest.approx((-high, -low), abs=1e-12)


@given(shares, st.integers(1, 100_000))
def test_equal_shares_are_no_change(share: tuple[int, int], factor: int) -> None:
    low, high = difference_interval(*share, share[0] * factor, share[1] * factor)
    assert low < 0 < high
