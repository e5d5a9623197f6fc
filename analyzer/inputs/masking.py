"""Replace telephone numbers in names by a keyed hash.

Equal numbers get equal hashes, and no number can be derived from its hash.
"""

import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from analyzer.inputs.name_pattern import NamePattern
from analyzer.names import Identity

#: Digits that may be a telephone number.
NUMBER = re.compile(r"\d{7,}")


@dataclass(frozen=True)
class Mask:
    """Replaces runs of seven or more digits by eight hex digits of a hash that cannot be computed without the key.

    The date and the time that `pattern` finds in a name are kept, unless they may be part of such a number.
    """

    key: bytes
    pattern: NamePattern | None = None

    def text(self, text: str) -> str:
        """Return a text with its runs of digits replaced."""
        return NUMBER.sub(lambda run: self._hash(run[0]), text)

    def texts(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Return several texts with their runs of digits replaced; keys stay as they are."""
        return {key: self.text(text) for key, text in texts.items()}

    def identity(self, identity: Identity) -> Identity:
        """Return the name of a recording with its runs of digits replaced, except date and time."""
        return Identity(self._name(identity.label), self._name(identity.path))

    def _name(self, name: str) -> str:
        pieces, at = [], 0
        found = self.pattern.find(name) if self.pattern else None
        for start, end in sorted(found.spans) if found else ():
            pieces += [self.text(name[at:start]), name[max(at, start) : end]]
            at = max(at, end)
        return "".join(pieces) + self.text(name[at:])

    def _hash(self, run: str) -> str:
        """Return eight hex digits of the hash; hash again while they contain a run of seven decimal digits."""
        for count in range(1 << 16):
            digest = hmac.digest(self.key, b"%d:" % count + os.fsencode(run), "sha256").hex()[:8]
            if not NUMBER.search(digest):
                break
        return digest
