"""Names of recordings, in tables and as file names. See `Identity`."""

import hashlib
import os
import re
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path

#: Maximum length in bytes of a result's file name. File systems allow 255; a temporary name needs some of it.
LONGEST_NAME = 200
#: Maximum path length of the system: in characters on Windows, otherwise in bytes without the terminating zero.
LONGEST_PATH = {"win32": 259, "darwin": 1023}.get(sys.platform, 4095)
#: Bytes reserved for the name of a temporary file beside a result, see `outputs.atomic_write`.
_TEMPORARY_NAME_BYTES = 32
#: Bytes kept from the end of a result's name if its whole path is too long.
_KEPT_END_BYTES = 60
_FORBIDDEN_CHARACTERS = frozenset('<>:"\\|?*%/')
#: Characters that change the text direction: after one of them, `vaw.exe` looks like `exe.wav`.
_DIRECTION_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RESERVED_NAMES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")


@dataclass(frozen=True)
class Identity:
    """The permanent name of a recording: the label of its input, and its path below that input.

    `label` and `path` are strings as the operating system gives them (undecodable bytes as surrogates); `path` has
    `/` between its parts on every system.
    """

    label: str
    path: str

    @property
    def sort_key(self) -> bytes:
        """Sort key by the bytes of label and path, for the same order on every machine."""
        return os.fsencode(f"{self.label}/{self.path}")

    @property
    def shown(self) -> str:
        """The name as shown in tables."""
        return show(f"{self.label}/{self.path}")

    def result_path(self, folder: Path, extension: str) -> Path:
        """Return the path of a result below `folder`: the recording's path with `extension` appended.

        A folder whose name ends in that extension already, such as `a.wav.csv` beside `a.wav`, gets another name. If
        the path is too long for the system, the result lies directly in the folder of its label, named after a hash of
        the recording's name and the end of that name.
        """
        *folders, name = (self.label, *self.path.split("/"))
        escaped = [file_name(part) for part in folders]
        distinct = [part.replace(".", "%2E") if part.endswith(extension) else part for part in escaped]
        result_name = file_name(name + extension)
        result = folder.joinpath(*distinct, result_name)
        if _fits_path_limit(result):
            return result
        digest = hashlib.sha256(self.sort_key).hexdigest()[:16]
        name_end = result_name.encode()[-_KEPT_END_BYTES:].decode(errors="ignore")
        return folder / distinct[0] / f"%~{digest}-{name_end}"


def _fits_path_limit(path: Path) -> bool:
    """Whether the system accepts a path of this length, and that of a temporary file beside it."""
    folder = os.path.abspath(path.parent)
    lengths = map(len, (folder, path.name) if sys.platform == "win32" else map(os.fsencode, (folder, path.name)))
    folder_length, name_length = lengths
    return folder_length + 1 + max(name_length, _TEMPORARY_NAME_BYTES) <= LONGEST_PATH


def show(name: str) -> str:
    r"""Return a name as printable text: undecodable bytes and control characters become \xNN or \uNNNN.

    Any table, log or terminal can show the result. Characters that change the text direction are escaped too, since a
    name must not look like another.
    """
    return name if name.isprintable() else "".join(_escape_unprintable(character) for character in name)


def _escape_unprintable(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character in _DIRECTION_CONTROLS or unicodedata.category(character) in ("Cc", "Cn", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def file_name(name: str) -> str:
    """Convert one part of a path to a file name valid on Linux, macOS and Windows; distinct names stay distinct.

    Characters that are forbidden on any of them become %NN, as in URLs. A name that is too long ends in %~ and a hash
    of it. An empty name, possible only in object storage, becomes %~.
    """
    if not name:
        return "%~"
    escaped = "".join(_escape_character(character) for character in name)
    if escaped.endswith((".", " ")):
        escaped = escaped[:-1] + f"%{ord(escaped[-1]):02X}"
    if _RESERVED_NAMES.match(escaped):
        escaped = f"%{ord(escaped[0]):02X}" + escaped[1:]
    if len(escaped.encode()) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        escaped = escaped.encode()[: LONGEST_NAME - 20].decode(errors="ignore") + "%~" + digest
    return escaped


def _escape_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"%{code - 0xDC00:02X}"
    if code < 0x20 or code == 0x7F or character in _FORBIDDEN_CHARACTERS:
        return f"%{code:02X}"
    return character if code < 0xD800 or code > 0xDFFF else f"%u{code:04X}"
