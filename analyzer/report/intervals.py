"""95 % confidence intervals of shares of calls, so that three calls are not read as a trend."""

from math import sqrt

#: The 97.5 % quantile of the standard normal distribution.
_Z = 1.959964


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Return the interval of a share: Wilson's score interval (1927).

    It is valid for few calls and for shares near 0 and 1. Without any calls it is the whole range.
    """
    if not of:
        return 0.0, 1.0
    share, z2 = count / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference_interval(count: int, of: int, before: int, of_before: int) -> tuple[float, float]:
    """Return the interval of the change of a share: Newcombe's hybrid score interval (1998, method 10)."""
    if not of or not of_before:
        return -1.0, 1.0
    share, earlier = count / of, before / of_before
    low, high = share_interval(count, of)
    earlier_low, earlier_high = share_interval(before, of_before)
    change = share - earlier
    return (
        change - sqrt((share - low) ** 2 + (earlier_high - earlier) ** 2),
        change + sqrt((high - share) ** 2 + (earlier - earlier_low) ** 2),
    )
