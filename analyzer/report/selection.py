"""Selection of recordings by day and by name, for the workbook, the index and deletions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from analyzer.inputs.masking import NUMBER, Mask
from analyzer.store.ledger import Ledger

#: Splits a pattern into numbers that may be masked and single characters.
_PIECES = re.compile(f"{NUMBER.pattern}|.", re.DOTALL)
#: Default number of days, up to the newest recording, that reports cover.
DAYS = 35


@dataclass(frozen=True)
class Period:
    """The days from `since` to `until`, both included, such as `2026-11-24`; None leaves an end open."""

    since: str | None = None
    until: str | None = None

    def holds(self, day: str) -> bool:
        """Whether a day lies in the period; an unknown day lies only in a period that is open at both ends."""
        if not day:
            return self.since is None and self.until is None
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


@dataclass(frozen=True)
class Selection:
    """Recordings of a period whose names match a pattern.

    Without a period, it covers the last `DAYS` days up to the newest recording.
    """

    period: Period | None = None
    pattern: re.Pattern[str] | None = None

    def fits(self, name: str) -> bool:
        """Whether a recording with this name, as shown in tables, is selected, regardless of its day."""
        return self.pattern is None or self.pattern.match(name) is not None

    def days(self, newest: str) -> Period:
        """Return the period, given the newest day with a recording; `newest` is empty if there is none."""
        if self.period or not newest:
            return self.period or Period()
        first = max(1, date.fromisoformat(newest).toordinal() - (DAYS - 1))
        return Period(date.fromordinal(first).isoformat(), newest)


def tomorrow(zone: ZoneInfo) -> str:
    """Return tomorrow's date: the latest plausible day of a recording, since a clock may be slightly ahead."""
    return (datetime.now(zone).date() + timedelta(1)).isoformat()


def newest_day(days: Iterable[str], latest: str) -> str:
    """Return the newest day that is not after `latest`, else the newest day; empty if there is none.

    A recording that is dated in the future must not move the days that are shown.
    """
    return max(days, key=lambda day: (bool(day) and day <= latest, day), default="")


#: The default selection.
LATEST = Selection()


def no_match_hint(ledger: Ledger, pattern: str) -> str | None:
    """Return a hint if a pattern may match no name because numbers in names are masked; None otherwise."""
    if ledger.state.mask_pattern is None or not re.search(r"\d", pattern):
        return None
    return "numbers in these names are masked: only a whole number finds its recordings, no part of it"


def name_pattern(pattern: str, ledger: Ledger) -> re.Pattern[str]:
    """Return a regular expression for a pattern of whole names, in which only * and ? are special.

    If numbers in names are masked, a number in the pattern also matches its mask.
    """
    mask = ledger.mask()
    first, *others = re.split(r"\*+", pattern)
    written = _literally(first, mask)
    for k, part in enumerate(others, start=1):
        literal = _literally(part, mask)
        # The first match of a part is as good as any other, except at the end of the name. An atomic group tries only
        # that one; otherwise a pattern with many asterisks would take forever. A masked number and its mask differ in
        # length, so there the first match may not be the best.
        atomic = k < len(others) and "(?:" not in literal
        written += f"(?>.*?{literal})" if atomic else f".*{literal}"
    return re.compile(f"(?s:{written})\\Z")


def _literally(part: str, mask: Mask | None) -> str:
    """Return a regular expression for the part of a pattern between asterisks; ? matches any character."""
    found = []
    for piece in _PIECES.findall(part):
        masked = mask.text(piece) if mask else piece
        literal = "." if piece == "?" else re.escape(piece)
        found.append(literal if masked == piece else f"(?:{literal}|{masked})")
    return "".join(found)
