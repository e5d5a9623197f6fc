"""The regular expression of --name-pattern: what it finds in names, and its time limits."""

import re
import time
from collections.abc import Iterator
from typing import Any

from analyzer.errors import UsageError
from analyzer.inputs import dates

#: Maximum processor time of the search in one name, in seconds. A usual pattern takes some microseconds.
_TIMEOUT_S = 0.25
#: A name that takes longer than the first limit is slow; the second limits the total time of slow names.
_SLOW_S, _SLOW_TOTAL_S = 0.05, 2.5


class NamePattern:
    r"""A regular expression in the syntax of Python's `re`, whose search in a name is aborted after 0.25 s.

    Without that limit, a pattern such as `(\w+\s?)+-` does not end on some names. A name whose search is aborted
    counts as not matched.

    Attributes
    ----------
    text : the expression.
    too_long : names on which the search was aborted.
    """

    def __init__(self, text: str) -> None:
        """Compile an expression; raises ValueError if it is invalid or has no named group."""
        import regex  # searches as `re` does, but supports a timeout

        try:
            re.compile(text)
            self._compiled = regex.compile(text)
        except (re.error, regex.error) as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from error
        if not self.groups:
            raise ValueError(
                f"{text!r} names no group, so nothing would come of it: name what it finds, such as "
                r"(?P<date>\d{8}) or (?P<queue>[a-z]+)"
            )
        self.text = text
        self.too_long: list[str] = []
        self._slow_total_s = 0.0

    @property
    def groups(self) -> frozenset[str]:
        """The names of its groups."""
        return frozenset(self._compiled.groupindex)

    def find(self, name: str) -> "Found | None":
        """Return what the pattern finds in the last part of a name, else in the whole; None if it does not match.

        That is the first match whose group `date` is a date and not part of a longer number, as the first eight digits
        of `0821123456_20261124.wav` are; else the first with a date; else the first. Raises UsageError if slow searches
        take too long in total.
        """
        if name in self.too_long:
            return None
        started = time.process_time()
        try:
            return self._best_match(name, started)
        except TimeoutError:
            self.too_long.append(name)
            return None
        finally:
            self._count_slow(time.process_time() - started)

    def _best_match(self, name: str, started: float) -> "Found | None":
        best: Found | None = None
        for match in self._matches(name, started):
            if match.stands_alone:
                return match
            if best is None or (match.moment and not best.moment):
                best = match
        return best

    def _matches(self, name: str, started: float) -> "Iterator[Found]":
        """Yield the matches in the last part of a name, then in the whole name.

        With a group `date` that includes overlapping matches; without one, only the first match in each.
        """
        for start in (name.rfind("/") + 1, 0):
            text, position = name[start:], 0
            while position <= len(text):
                remaining_s = _TIMEOUT_S - (time.process_time() - started)
                match = self._compiled.search(text, position, timeout=max(remaining_s, 0.001))
                if not match:
                    break
                yield Found(match, start)
                position = match.start() + 1 if "date" in self.groups else len(text) + 1

    def _count_slow(self, duration_s: float) -> None:
        self._slow_total_s += duration_s if duration_s > _SLOW_S else 0
        if self._slow_total_s > _SLOW_TOTAL_S:
            raise UsageError(
                "the --name-pattern takes too long on many names: it tries more and more ways to match the same "
                r"characters. Give one without a repetition inside a repetition, such as (\w+\s?)+"
            )


class Found:
    """A match of a pattern in the part of a name that begins at position `offset`."""

    def __init__(self, match: Any, offset: int) -> None:
        self._match, self._groups, self._offset = match, match.groupdict(), offset

    @property
    def moment(self) -> str:
        """The date and the time of day, as shown in tables; empty if there is no valid date."""
        day, clock = dates.parse_day(self._groups.get("date")), dates.parse_time(self._groups.get("time"))
        return f"{day} {clock}" if day and clock else day

    @property
    def others(self) -> dict[str, str]:
        """The non-empty groups other than date and time."""
        return {key: value for key, value in self._groups.items() if value and key not in ("date", "time")}

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Start and end of date and time in the name, as far as they are valid and not part of a longer number."""
        return [(start + self._offset, end + self._offset) for start, end in self._spans] if self.stands_alone else []

    @property
    def stands_alone(self) -> bool:
        """Whether there is a valid date, and date and time are not adjacent to other digits."""
        inside = {index for start, end in self._spans for index in range(start, end)}
        borders = {index + step for index in inside for step in (-1, 1)} - inside
        text = self._match.string
        return bool(self.moment) and not any(text[index : index + 1].isdecimal() for index in borders if index >= 0)

    @property
    def _spans(self) -> list[tuple[int, int]]:
        """Start and end of the date and of the time in that part of the name; only of valid ones."""
        parsers = (("date", dates.parse_day), ("time", dates.parse_time))
        return [self._match.span(group) for group, parse in parsers if parse(self._groups.get(group))]
