"""Dates and times in text, such as names of recordings: what is one, and which common forms need no pattern."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

#: Days with the year first or last; where it is last, day and month in either order.
_YEAR_FIRST = re.compile(r"(\d{4})\D?(\d{2})\D?(\d{2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-._/])(\d{1,2})\2(\d{4})")
_TIME = re.compile(r"(\d{2})\D?(\d{2})(?:\D?(\d{2}))?")
#: Where a pattern of the user's finds them, days of other years are no dates, but numbers.
_YEARS = range(1900, 2100)
#: Where nobody says that it is a date, recordings are no older than this, and no newer than the year after this.
_FIRST_YEAR = 1990

_CLOCK = r"""
    (?: (?: [ ]at[ ] | [ ]um[ ] | [ ]?[T_.-]{1,2}[ ]? | [ ] ) (?P<spaced>
            (?: [01]\d | 2[0-3] ) (?P<colon>[-:._h]) [0-5]\d (?: (?P=colon) [0-5]\d )?+
            | (?: [01]\d | 2[0-3] ) [0-5]\d [0-5]\d
        )
      | T (?P<short> (?: [01]\d | 2[0-3] ) [0-5]\d )
    )
    (?: [.,]\d{1,6} (?= Z | _?UTC) )? (?P<utc> Z (?![A-Za-z]) | _?UTC )? (?! \d | [ _]?[AaPp][Mm]\b )
"""
#: A day in a name that is no part of a longer number, and the time of day behind it.
_IN_NAMES = tuple(
    re.compile(rf"(?<!\d)(?<![+]){day}(?:{_CLOCK})?(?!\d)", re.VERBOSE)
    for day in (
        r"(?P<day> \d{4} (?P<sep>[-._/]) \d{2} (?P=sep) \d{2} )",
        r"(?P<day> \d{8} (?![A-SU-Za-z]) )",
        r"(?<!\d[-._/]) (?P<day> \d{1,2} (?P<sep>[-._/]) \d{1,2} (?P=sep) \d{4} )",
    )
)
_RUN_TOGETHER = re.compile(r"(?<![\d+])(?P<day>\d{8})(?P<spaced>\d{6})(?P<utc>Z(?![A-Za-z])|_?UTC)?(?![\dA-Za-z])")
#: Seconds since 1970 as telephone systems write them into names: with a fraction.
_EPOCH = re.compile(r"(?<![\d.+])(\d{10})\.\d{1,6}(?![\d])")


@dataclass(frozen=True)
class _Candidate:
    """What may be a date: the days that it can mean, and the local time of day, empty where there is none."""

    days: frozenset[str]
    clock: str = ""


def day(text: str | None) -> str:
    """A date such as 20261124, 2026-11-24 or 24.11.2026, as tables show it; empty where it is none, or not clear."""
    days = _days(text or "", _YEARS)
    return next(iter(days)) if len(days) == 1 else ""


def clock(text: str | None) -> str:
    """A time of day such as 0915, 091500 or 09-15-00, as tables show it; empty where it is none."""
    match = _TIME.fullmatch(text or "")
    hour, minute, second = (int(part or 0) for part in match.groups()) if match else (24, 0, 0)
    return time(hour, minute, second).isoformat() if hour < 24 and max(minute, second) < 60 else ""


def in_name(name: str, zone: ZoneInfo, today: date) -> str:
    """The only date that a name can mean, with its time of day, as tables show them; empty where there is none.

    The file's own name is looked at first, then its folders, the nearest first. A date with a year before 1990 or later
    than the next is none, nor is one that is part of a longer number. Two different dates are none either.
    """
    *folders, own = name.split("/")
    above = "/".join(folders)
    for part in (own, *reversed(folders)):
        if found := _only_moment(_candidates(part, zone, today)) or _only_moment(_epochs(part, zone, today)):
            return found
    return _only_moment(_candidates(above, zone, today))  # a folder for each year, month and day


def _only_moment(candidates: Iterator[_Candidate]) -> str:
    """The day that all candidates can mean, with the only time of day; empty where there are several days or none."""
    found = list(candidates)
    days = frozenset[str].intersection(*(one.days for one in found)) if found else frozenset()
    if len(days) != 1:
        return ""
    clocks = {one.clock for one in found if one.clock}
    return " ".join([*days, *(clocks if len(clocks) == 1 else ())])


def _candidates(text: str, zone: ZoneInfo, today: date) -> Iterator[_Candidate]:
    for form in (*_IN_NAMES, _RUN_TOGETHER):
        for match in form.finditer(text):
            parts = match.groupdict()
            days = _days(parts["day"], range(_FIRST_YEAR, today.year + 2))
            at = clock((parts["spaced"] or parts.get("short") or "").replace("h", ":"))
            if form is _RUN_TOGETHER and not at:
                continue
            in_utc = parts["utc"] or text[: match.start()].endswith(("GMT", "UTC"))
            if in_utc and at and len(days) == 1:
                yield _local(datetime.fromisoformat(f"{next(iter(days))} {at}+00:00"), zone)
            elif days:
                yield _Candidate(days, at)


def _epochs(text: str, zone: ZoneInfo, today: date) -> Iterator[_Candidate]:
    for match in _EPOCH.finditer(text):
        moment = datetime.fromtimestamp(int(match[1]), UTC)
        if _FIRST_YEAR <= moment.year <= today.year + 1:
            yield _local(moment, zone)


def _local(moment: datetime, zone: ZoneInfo) -> _Candidate:
    local = moment.astimezone(zone)
    return _Candidate(frozenset((local.date().isoformat(),)), local.time().isoformat("seconds"))


def _days(text: str, years: range) -> frozenset[str]:
    """The days that a text can mean, as tables show them; with the year last and dots, the first number is the day."""
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, number = map(int, match.groups())
        found = [_real_day(year, month, number)]
    elif match := _YEAR_LAST.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        found = [_real_day(year, second, first), _real_day(year, first, second)]
        found = found[:1] if match[2] == "." and found[0] else found
    else:
        return frozenset()
    return frozenset(one for one in found if one and int(one[:4]) in years)


def _real_day(year: int, month: int, number: int) -> str:
    try:
        return date(year, month, number).isoformat()
    except ValueError:
        return ""
