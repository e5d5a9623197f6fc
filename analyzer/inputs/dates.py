"""Parse dates and times in text, such as names of recordings; common forms are found without a pattern."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

#: Dates with the year first or last; with the year last, day and month may be in either order.
_YEAR_FIRST = re.compile(r"(\d{4})\D?(\d{2})\D?(\d{2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-._/])(\d{1,2})\2(\d{4})")
_TIME = re.compile(r"(\d{2})\D?(\d{2})(?:\D?(\d{2}))?")
#: Years of dates that a pattern of the user finds; digits with another year are a number, not a date.
_YEARS = range(1900, 2100)
#: Earliest year of dates that are found without a pattern; the latest is the year after the current one.
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
#: A date in a name that is not part of a longer number, and the time of day after it.
_DATES_IN_NAMES = tuple(
    re.compile(rf"(?<!\d)(?<![+]){day}(?:{_CLOCK})?(?!\d)", re.VERBOSE)
    for day in (
        r"(?P<day> \d{4} (?P<sep>[-._/]) \d{2} (?P=sep) \d{2} )",
        r"(?P<day> \d{8} (?![A-SU-Za-z]) )",
        r"(?<!\d[-._/]) (?P<day> \d{1,2} (?P<sep>[-._/]) \d{1,2} (?P=sep) \d{4} )",
    )
)
_COMPACT_DATE_TIME = re.compile(r"(?<![\d+])(?P<day>\d{8})(?P<spaced>\d{6})(?P<utc>Z(?![A-Za-z])|_?UTC)?(?![\dA-Za-z])")
#: Seconds since 1970 with a fraction, as telephone systems write them into names.
_UNIX_TIME = re.compile(r"(?<![\d.+])(\d{10})\.\d{1,6}(?![\d])")


@dataclass(frozen=True)
class _Candidate:
    """A possible date: the days that it can mean, and the local time of day, empty if there is none."""

    days: frozenset[str]
    clock: str = ""


def parse_day(text: str | None) -> str:
    """Parse a date such as 20261124, 2026-11-24 or 24.11.2026 to ISO 8601; empty if it is invalid or ambiguous."""
    days = _possible_days(text or "", _YEARS)
    return next(iter(days)) if len(days) == 1 else ""


def parse_time(text: str | None) -> str:
    """Parse a time of day such as 0915, 091500 or 09-15-00 to ISO 8601; empty if it is invalid."""
    match = _TIME.fullmatch(text or "")
    hour, minute, second = (int(part or 0) for part in match.groups()) if match else (24, 0, 0)
    return time(hour, minute, second).isoformat() if hour < 24 and max(minute, second) < 60 else ""


def find_in_name(name: str, zone: ZoneInfo, today: date) -> str:
    """Return the only date that a name can mean, with its time of day, as shown in tables; empty if there is none.

    The file's own name is searched first, then its folders, the nearest first. A date does not count if its year is
    before 1990 or after next year, or if it is part of a longer number. Two different dates count as none.
    """
    *folders, file_name = name.split("/")
    folder_path = "/".join(folders)
    for part in (file_name, *reversed(folders)):
        if moment := _only_moment(_find_candidates(part, zone, today)) or _only_moment(_unix_times(part, zone, today)):
            return moment
    return _only_moment(_find_candidates(folder_path, zone, today))  # nested folders for year, month and day


def _only_moment(candidates: Iterator[_Candidate]) -> str:
    """Return the only day that all candidates can mean, with the time of day if there is just one.

    Empty if there are several such days or none.
    """
    possible = list(candidates)
    days = frozenset[str].intersection(*(candidate.days for candidate in possible)) if possible else frozenset()
    if len(days) != 1:
        return ""
    clocks = {candidate.clock for candidate in possible if candidate.clock}
    return " ".join([*days, *(clocks if len(clocks) == 1 else ())])


def _find_candidates(text: str, zone: ZoneInfo, today: date) -> Iterator[_Candidate]:
    for pattern in (*_DATES_IN_NAMES, _COMPACT_DATE_TIME):
        for match in pattern.finditer(text):
            groups = match.groupdict()
            days = _possible_days(groups["day"], range(_FIRST_YEAR, today.year + 2))
            clock_time = parse_time((groups["spaced"] or groups.get("short") or "").replace("h", ":"))
            if pattern is _COMPACT_DATE_TIME and not clock_time:
                continue
            is_utc = groups["utc"] or text[: match.start()].endswith(("GMT", "UTC"))
            if is_utc and clock_time and len(days) == 1:
                yield _local_candidate(datetime.fromisoformat(f"{next(iter(days))} {clock_time}+00:00"), zone)
            elif days:
                yield _Candidate(days, clock_time)


def _unix_times(text: str, zone: ZoneInfo, today: date) -> Iterator[_Candidate]:
    for match in _UNIX_TIME.finditer(text):
        moment = datetime.fromtimestamp(int(match[1]), UTC)
        if _FIRST_YEAR <= moment.year <= today.year + 1:
            yield _local_candidate(moment, zone)


def _local_candidate(moment: datetime, zone: ZoneInfo) -> _Candidate:
    local = moment.astimezone(zone)
    return _Candidate(frozenset((local.date().isoformat(),)), local.time().isoformat("seconds"))


def _possible_days(text: str, years: range) -> frozenset[str]:
    """Return the days that a text can mean, as shown in tables.

    With the year last and dots, the first number is the day if that gives a valid date.
    """
    if match := _YEAR_FIRST.fullmatch(text):
        year, month, day_of_month = map(int, match.groups())
        days = [_iso_day(year, month, day_of_month)]
    elif match := _YEAR_LAST.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        days = [_iso_day(year, second, first), _iso_day(year, first, second)]
        days = days[:1] if match[2] == "." and days[0] else days
    else:
        return frozenset()
    return frozenset(candidate for candidate in days if candidate and int(candidate[:4]) in years)


def _iso_day(year: int, month: int, day_of_month: int) -> str:
    try:
        return date(year, month, day_of_month).isoformat()
    except ValueError:
        return ""
