"""Dates and times in the names of recordings, where a pattern of the user's says that they stand."""

import re
from collections.abc import Iterator
from datetime import date, time

_DATE = re.compile(r"(\d{4})\D?(\d{2})\D?(\d{2})")
_TIME = re.compile(r"(\d{2})\D?(\d{2})(?:\D?(\d{2}))?")
#: Eight digits that would be of another year are no date, but a number.
_YEARS = range(1900, 2100)


def found(pattern: re.Pattern[str] | None, name: str) -> tuple[re.Match[str] | None, int]:
    """Where a pattern matches: in the last part of a name, else in the whole; and at what position that begins.

    It is the first match whose group `date` is a date and no part of a longer number, as the first eight digits of
    `0821123456_20261124.wav` are; else the first with a date; else the first.
    """
    best: tuple[re.Match[str] | None, int] = (None, 0)
    for match, at in _matches(pattern, name) if pattern else ():
        if _stands_alone(match):
            return match, at
        if best[0] is None or (moment(match) and not moment(best[0])):
            best = match, at
    return best


def spans(pattern: re.Pattern[str] | None, name: str) -> list[tuple[int, int]]:
    """Start and end of date and time, as far as a pattern finds them in a name and they are no part of a number."""
    match, offset = found(pattern, name)
    if match is None or not _stands_alone(match):
        return []
    return [(start + offset, end + offset) for start, end in _real(match)]


def moment(match: re.Match[str]) -> str:
    """The date and the time of day that a pattern found, as tables show them; empty where there is no such day."""
    parts = match.groupdict()
    shown, at = _day(parts.get("date")), _clock(parts.get("time"))
    return f"{shown} {at}" if shown and at else shown


def _matches(pattern: re.Pattern[str], name: str) -> Iterator[tuple[re.Match[str], int]]:
    """Matches in the last part of a name and in the whole, overlapping ones too; one of each without dates."""
    for start in (name.rfind("/") + 1, 0):
        text, at = name[start:], 0
        while at <= len(text) and (match := pattern.search(text, at)):
            yield match, start
            at = match.start() + 1 if "date" in pattern.groupindex else len(text) + 1


def _real(match: re.Match[str]) -> list[tuple[int, int]]:
    """Start and end of the date and the time in a match, as far as they are such."""
    parts = match.groupdict()
    return [match.span(group) for group, read in (("date", _day), ("time", _clock)) if read(parts.get(group))]


def _stands_alone(match: re.Match[str]) -> bool:
    """Whether a match has a date, and date and time border on no other digits."""
    inside = {k for start, end in _real(match) for k in range(start, end)}
    borders = {k + step for k in inside for step in (-1, 1)} - inside
    return bool(moment(match)) and not any(match.string[k : k + 1].isdecimal() for k in borders if k >= 0)


def _day(text: str | None) -> str:
    """A date such as 20261124 or 2026-11-24, as tables show it; empty where it is none."""
    try:
        year, month, number = _numbers(_DATE, text)
        return date(year, month, number).isoformat() if year in _YEARS else ""
    except ValueError:
        return ""


def _clock(text: str | None) -> str:
    """A time of day such as 0915, 091500 or 09-15-00, as tables show it; empty where it is none."""
    try:
        hour, minute, second = _numbers(_TIME, text)
        return time(hour, minute, second).isoformat()
    except ValueError:
        return ""


def _numbers(pattern: re.Pattern[str], text: str | None) -> list[int]:
    match = pattern.fullmatch(text or "")
    if match is None:
        raise ValueError(text)
    return [int(part or 0) for part in match.groups()]
