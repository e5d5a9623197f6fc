"""Which recordings a workbook, an index or a deletion is about: of which days, and called what."""

import re
from dataclasses import dataclass
from datetime import date
from fnmatch import translate

from analyzer.ledger import Ledger
from analyzer.masking import NUMBER, Mask

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


#: What is told of where nobody asks for anything else.
LATEST = Selection()


def told_of_nothing_found(ledger: Ledger, pattern: str) -> str | None:
    """What to say to whoever asks for names that no recording has, and may have to ask otherwise; None if nothing."""
    if ledger.note("masked with") is None or not re.search(r"\d", pattern):
        return None
    return "numbers in these names are masked: only a whole number finds its recordings, no part of it"


def name_pattern(pattern: str, ledger: Ledger) -> re.Pattern[str]:
    """What a pattern with * and ? finds; where numbers in names are masked, a number in it stands for its mask, too."""
    written = translate(pattern)
    if ledger.note("masked with") is not None:
        mask = Mask(ledger.key())
        written = NUMBER.sub(lambda number: f"(?:{number[0]}|{mask.text(number[0])})", written)
    return re.compile(written)
