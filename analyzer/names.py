"""What a recording is called, in tables and as a file name. See `Identity`."""

import hashlib
import os
import re
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path

#: The longest file name in bytes that results are given; file systems take 255, a temporary name needs some of it.
LONGEST_NAME = 200
#: The longest path that the system takes: characters on Windows, else bytes without the zero at its end.
LONGEST_PATH = {"win32": 259, "darwin": 1023}.get(sys.platform, 4095)
#: Bytes of the name of a temporary file beside a result, see `outputs.replacing`.
_TEMPORARY_NAME = 32
#: Bytes of its name that a result keeps whose whole path is too long.
_LONGEST_END = 60
_FORBIDDEN = frozenset('<>:"\\|?*%/')
#: Characters that turn the direction of what follows: behind one `vaw.exe` looks like `exe.wav`.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")


@dataclass(frozen=True)
class Identity:
    """The name of a recording for good: the label of its input, and its path below that input.

    `label` and `path` are strings as the operating system gives them (undecodable bytes as surrogates); `path` has
    `/` between its parts on every system.
    """

    label: str
    path: str

    @property
    def sort_key(self) -> bytes:
        """Orders by the bytes of label and path, the same on every machine."""
        return os.fsencode(f"{self.label}/{self.path}")

    @property
    def shown(self) -> str:
        """The name as tables show it."""
        return show(f"{self.label}/{self.path}")

    def result_path(self, folder: Path, extension: str) -> Path:
        """Where a result of this recording lies below `folder`: its path, its extension kept, and one more.

        A folder that has that extension already, such as `a.wav.csv` beside `a.wav`, gets another name. Where the
        system does not take a path of that length, the result lies directly in the folder of its label, and is called
        by a hash of the recording's name and the end of it.
        """
        *folders, name = (self.label, *self.path.split("/"))
        escaped = [file_name(part) for part in folders]
        apart = [part.replace(".", "%2E") if part.endswith(extension) else part for part in escaped]
        last = file_name(name + extension)
        found = folder.joinpath(*apart, last)
        if _is_taken(found):
            return found
        digest = hashlib.sha256(self.sort_key).hexdigest()[:16]
        end = last.encode()[-_LONGEST_END:].decode(errors="ignore")
        return folder / apart[0] / f"%~{digest}-{end}"


def _is_taken(path: Path) -> bool:
    """Whether the system takes a path of this length, and that of a temporary file beside it."""
    folder = os.path.abspath(path.parent)
    lengths = map(len, (folder, path.name) if sys.platform == "win32" else map(os.fsencode, (folder, path.name)))
    of_folder, of_name = lengths
    return of_folder + 1 + max(of_name, _TEMPORARY_NAME) <= LONGEST_PATH


def show(name: str) -> str:
    r"""A name as text that any table, log or terminal takes: undecodable bytes and control characters become \xNN.

    Those that turn the direction of what follows, too: a name must not look like another.
    """
    return name if name.isprintable() else "".join(_shown(character) for character in name)


def _shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character in _TURNING or unicodedata.category(character) in ("Cc", "Cn", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def file_name(name: str) -> str:
    """One part of a path as a file name that Linux, macOS and Windows take; different names stay different.

    What is forbidden somewhere becomes %NN, as in addresses; a name that is too long ends in %~ and a hash of it. An
    empty one, which only object storage knows, becomes %~.
    """
    if not name:
        return "%~"
    escaped = "".join(_escaped(character) for character in name)
    if escaped.endswith((".", " ")):
        escaped = escaped[:-1] + f"%{ord(escaped[-1]):02X}"
    if _RESERVED.match(escaped):
        escaped = f"%{ord(escaped[0]):02X}" + escaped[1:]
    if len(escaped.encode()) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        escaped = escaped.encode()[: LONGEST_NAME - 20].decode(errors="ignore") + "%~" + digest
    return escaped


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"%{code - 0xDC00:02X}"
    if code < 0x20 or code == 0x7F or character in _FORBIDDEN:
        return f"%{code:02X}"
    return character if code < 0xD800 or code > 0xDFFF else f"%u{code:04X}"
