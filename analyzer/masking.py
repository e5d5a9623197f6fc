"""Telephone numbers in names, replaced by a keyed hash: the same number by the same, and none can be told from it."""

import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from analyzer.name_pattern import NamePattern
from analyzer.names import Identity

#: Digits that may be a number that somebody can be called at.
NUMBER = re.compile(r"\d{7,}")


@dataclass(frozen=True)
class Mask:
    """Replaces runs of seven digits or more by eight hex digits of a hash that nobody without the key can make.

    The date and the time that `pattern` finds in a name stay as they are, unless they may be part of such a number.
    """

    key: bytes
    pattern: NamePattern | None = None

    def text(self, text: str) -> str:
        """A text with its runs of digits replaced."""
        return NUMBER.sub(lambda run: self._hash(run[0]), text)

    def texts(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The same of several texts, whatever they are about."""
        return {key: self.text(text) for key, text in texts.items()}

    def identity(self, identity: Identity) -> Identity:
        """The name of a recording with its runs of digits replaced, but for date and time."""
        return Identity(self._name(identity.label), self._name(identity.path))

    def _name(self, name: str) -> str:
        pieces, at = [], 0
        found = self.pattern.find(name) if self.pattern else None
        for start, end in sorted(found.spans) if found else ():
            pieces += [self.text(name[at:start]), name[max(at, start) : end]]
            at = max(at, end)
        return "".join(pieces) + self.text(name[at:])

    def _hash(self, run: str) -> str:
        """Eight hex digits; anew where so many of them are digits that they look like a number themselves."""
        for count in range(1 << 16):
            told = hmac.digest(self.key, b"%d:" % count + os.fsencode(run), "sha256").hex()[:8]
            if not NUMBER.search(told):
                break
        return told
