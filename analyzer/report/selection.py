"""Which recordings a workbook, an index or a deletion is about: of which days, and called what."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from analyzer.ledger import Ledger
from analyzer.masking import NUMBER, Mask

#: A pattern in pieces: numbers that may be masked, and single characters.
_PIECES = re.compile(f"{NUMBER.pattern}|.", re.DOTALL)
#: Days up to the newest recording that are told of where nobody asks for others.
DAYS = 35


@dataclass(frozen=True)
class Period:
    """The days from `since` to `until`, both included, as `2026-11-24`; open where None."""

    since: str | None = None
    until: str | None = None

    def holds(self, day: str) -> bool:
        """Whether a day lies in it; one that is not known lies only in a period that is open on both sides."""
        if not day:
            return self.since is None and self.until is None
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


@dataclass(frozen=True)
class Selection:
    """Recordings of a period whose names fit a pattern; without a period, of the days up to the newest of them."""

    period: Period | None = None
    pattern: re.Pattern[str] | None = None

    def fits(self, name: str) -> bool:
        """Whether a recording of this name, as tables show it, is one of them, whatever its day."""
        return self.pattern is None or self.pattern.match(name) is not None

    def days(self, newest: str) -> Period:
        """The period, given the newest day on which there is a recording; `newest` is empty where there is none."""
        if self.period or not newest:
            return self.period or Period()
        first = max(1, date.fromisoformat(newest).toordinal() - (DAYS - 1))
        return Period(date.fromordinal(first).isoformat(), newest)


def tomorrow(zone: ZoneInfo) -> str:
    """The latest day that a clock gives which is only a little ahead."""
    return (datetime.now(zone).date() + timedelta(1)).isoformat()


def newest_day(days: Iterable[str], latest: str) -> str:
    """The newest of some days that is not after the `latest`, else the newest; empty where there is none.

    A recording that is dated in the future must not move the days that are shown.
    """
    return max(days, key=lambda day: (bool(day) and day <= latest, day), default="")


#: What is told of where nobody asks for anything else.
LATEST = Selection()


def told_of_nothing_found(ledger: Ledger, pattern: str) -> str | None:
    """What to say to whoever asks for names that no recording has, and may have to ask otherwise; None if nothing."""
    if ledger.note("masked with") is None or not re.search(r"\d", pattern):
        return None
    return "numbers in these names are masked: only a whole number finds its recordings, no part of it"


def name_pattern(pattern: str, ledger: Ledger) -> re.Pattern[str]:
    """What a pattern finds in which only * and ? are special, among whole names.

    Where numbers in names are masked, a number in the pattern stands for its mask, too.
    """
    mask = stored_mask(ledger)
    first, *others = re.split(r"\*+", pattern)
    written = _literally(first, mask)
    for k, part in enumerate(others, start=1):
        literal = _literally(part, mask)
        # The first place where a part fits is as good as any other, except at the end of the name. So only that one is
        # tried (an atomic group): a pattern of many asterisks would take for ever. A masked number and its mask differ
        # in length, so there the first place may not be the best.
        atomic = k < len(others) and "(?:" not in literal
        written += f"(?>.*?{literal})" if atomic else f".*{literal}"
    return re.compile(f"(?s:{written})\\Z")


def stored_mask(ledger: Ledger) -> Mask | None:
    """How numbers in the names of a ledger are masked; None where they are not."""
    return Mask(ledger.key()) if ledger.note("masked with") is not None else None


def _literally(part: str, mask: Mask | None) -> str:
    """A regular expression for a part of a pattern between asterisks, in which ? is any character."""
    found = []
    for piece in _PIECES.findall(part):
        masked = mask.text(piece) if mask else piece
        literal = "." if piece == "?" else re.escape(piece)
        found.append(literal if masked == piece else f"(?:{literal}|{masked})")
    return "".join(found)
