"""How far shares of a few calls can be trusted: 95 % intervals, so that three calls are not read as a trend."""

from math import sqrt

#: The normal distribution's 97.5 % point.
_Z = 1.959964


def share_interval(count: int, of: int) -> tuple[float, float]:
    """The interval of a share: Wilson's score interval (1927), which holds for few calls and for shares near 0 and 1.

    The whole range where there is nothing to count.
    """
    if not of:
        return 0.0, 1.0
    share, z2 = count / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference_interval(count: int, of: int, before: int, of_before: int) -> tuple[float, float]:
    """The interval of how much a share has changed: Newcombe's hybrid score interval (1998, method 10)."""
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
