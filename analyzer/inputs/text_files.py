"""Read text files in the encodings that common programs, such as Notepad and Excel, write."""

import codecs
from pathlib import Path

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: First bytes of files that are not text, and what such a file is.
_NO_TEXT = (
    (b"PK\x03\x04", "a workbook or another packed file"),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old version of Excel"),
    (b"%PDF", "a PDF file"),
)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, in UTF-16, in UTF-32 with a byte order mark, or otherwise in Windows-1252.

    Raises OSError if the file cannot be read, ValueError if it is not text.
    """
    data = path.read_bytes()
    if what := next((what for start, what in _NO_TEXT if data.startswith(start)), None):
        raise ValueError(f"it is {what}: save it as text")
    text = _decoded(data)
    if "\0" in text:
        raise ValueError("it is no text: it holds zero bytes")
    return text


def _decoded(data: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    encoding = encoding or _utf_16_without_mark(data) or "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise
    return data.decode("cp1252")


def _utf_16_without_mark(data: bytes) -> str | None:
    """Return the UTF-16 encoding of a file without a byte order mark; None if it is not UTF-16.

    It is detected by the zero bytes of its first characters, which are ASCII in all files that this tool reads.
    """
    start = data[:8]
    if len(start) == 8 and len(data) % 2 == 0:
        if start[1::2] == bytes(4) and 0 not in start[::2]:
            return "utf-16-le"
        if start[::2] == bytes(4) and 0 not in start[1::2]:
            return "utf-16-be"
    return None
