"""Telephone numbers in names, replaced by a keyed hash: the same number by the same, and none can be told from it."""

import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.names import Identity

#: Longer runs of digits may be a number that somebody can be called at.
LONGEST_KEPT = 6
_RUN = re.compile(rf"\d{{{LONGEST_KEPT + 1},}}")
#: The groups of a name pattern whose digits are a date and a time, not a number to call.
KEPT_GROUPS = ("date", "time")


@dataclass(frozen=True)
class Mask:
    """Replaces runs of seven digits or more by eight hex digits of a hash that nobody without the key can make.

    What the groups `date` and `time` of `pattern` find in a name stays as it is.
    """

    key: bytes
    pattern: re.Pattern[str] | None = None

    def text(self, text: str) -> str:
        """A text with its runs of digits replaced."""
        return _RUN.sub(lambda run: self._hash(run[0]), text)

    def identity(self, identity: Identity) -> Identity:
        """The name of a recording with its runs of digits replaced, but for date and time."""
        return Identity(self._name(identity.label), self._name(identity.path))

    def _name(self, name: str) -> str:
        kept = sorted(found_spans(self.pattern, name, KEPT_GROUPS))
        pieces, at = [], 0
        for start, end in kept:
            pieces += [self.text(name[at:start]), name[max(at, start) : end]]
            at = max(at, end)
        return "".join(pieces) + self.text(name[at:])

    def _hash(self, run: str) -> str:
        """Eight hex digits; anew where so many of them are digits that they look like a number themselves."""
        for count in range(1 << 16):
            told = hmac.digest(self.key, b"%d:" % count + os.fsencode(run), "sha256").hex()[:8]
            if not _RUN.search(told):
                break
        return told


def found(pattern: re.Pattern[str] | None, name: str) -> tuple[re.Match[str] | None, int]:
    """Where a pattern matches: in the last part of a name, else in the whole; and at what position that begins."""
    if pattern is None:
        return None, 0
    start = name.rfind("/") + 1
    match = pattern.search(name[start:])
    return (match, start) if match else (pattern.search(name), 0)


def found_spans(pattern: re.Pattern[str] | None, name: str, groups: Sequence[str]) -> list[tuple[int, int]]:
    """Start and end, in a name, of what the named groups of a pattern match."""
    match, offset = found(pattern, name)
    if match is None:
        return []
    spans = [match.span(group) for group in groups if group in match.re.groupindex]
    return [(start + offset, end + offset) for start, end in spans if end > start >= 0]
