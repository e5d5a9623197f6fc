"""Locate the sound in a WAV file, whose header often declares less, or more, than the file holds.

libsndfile trusts the header: it reads a truncated WAV without a warning, nothing if a crashed recorder left the length
at 0, and only the beginning if the length is out of date or does not fit into 32 bits.
"""

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from analyzer.splice import Piece
from analyzer.stream import clock
from analyzer.wav_rest import Form, is_padding, is_sound

#: Programs that write to a pipe use one of these as the length, minus a header or rounded to blocks.
_PLACEHOLDERS, _ROUNDED_BY = (0x7FFFFFFF, 0xFFFFFFFF, (1 << 64) - 1), 1 << 16
_LONGEST_HEADER = 1 << 20
#: IDs of the other chunks that many programs write before and after the sound.
_CHUNKS = (
    b"LISTid3 ID3 bextcue smplfactiXMLaxmlaXMLJUNKjunkFLLRPAD PEAKDISPchnaplstlablnoteinstafsplevlumidcart_PMXMD5 minf"
    b"elm1regnSNDMacidstrcwavlslntafmddbmdovwfLGWV"
)
_USUAL_CHUNKS = frozenset(_CHUNKS[at : at + 4] for at in range(0, len(_CHUNKS), 4))
#: Maximum number of chunks and appended recordings after the sound that are examined.
_MOST_PARTS = 10_000
_MAGIC = (b"RIFF", b"RF64", b"BW64")


@dataclass
class Wav:
    """The sound of a WAV file.

    Attributes
    ----------
    header : the complete chunks `fmt ` and `fact`; empty if there are none.
    ranges : byte ranges of the sound in the file, (start, end) each.
    promised_bytes : length of the sound according to the header, None if it does not give one.
    is_plain : whether libsndfile finds exactly these ranges with the header of the file.
    notes : problems to report to the user.
    """

    header: bytes = b""
    ranges: list[tuple[int, int]] = field(default_factory=list)
    promised_bytes: int | None = None
    is_plain: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def present_bytes(self) -> int:
        """Number of bytes of sound in the file."""
        return sum(end - start for start, end in self.ranges)

    @property
    def missing_share(self) -> float:
        """Share of the declared data that is missing, 0 to 1."""
        if not self.promised_bytes:
            return 0.0
        return max(0.0, 1 - self.present_bytes / self.promised_bytes)

    def pieces(self) -> list[Piece]:
        """Return the sound after a correct header; as RF64 if it is too long for RIFF."""
        size = self.present_bytes
        if size + len(self.header) + 20 < 0xFFFFFFFF:
            start = struct.pack("<4sI4s", b"RIFF", 12 + len(self.header) + size, b"WAVE") + self.header
            return [start + struct.pack("<4sI", b"data", size), *self.ranges]
        long_sizes = struct.pack("<4sIQQQI", b"ds64", 28, 48 + len(self.header) + size, size, 0, 0)
        start = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + long_sizes + self.header
        return [start + struct.pack("<4sI", b"data", 0xFFFFFFFF), *self.ranges]


def read_wav(handle: BinaryIO) -> Wav | None:
    """Find the sound of a RIFF, RF64 or BW64 WAV file; return None if there is none within the first MiB."""
    return _read(handle, 0, handle.seek(0, os.SEEK_END))


def _read(handle: BinaryIO, at: int, end: int, with_rest: bool = True) -> Wav | None:
    """Read the WAV that begins at `at`; `with_rest` includes what follows its first chunk of sound."""
    handle.seek(at)
    head = handle.read(12)
    if len(head) < 12 or head[:4] not in _MAGIC or head[8:12] != b"WAVE":
        return None
    wav, long_size, begins = Wav(is_plain=head[:4] != b"BW64"), None, at
    at += 12
    while at - begins < _LONGEST_HEADER:
        handle.seek(at)
        chunk = handle.read(8)
        if len(chunk) < 8:
            return None
        kind, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if kind == b"data":
            if size in (0, 0xFFFFFFFF) and long_size is not None:
                size = long_size
            _add_sound(wav, handle, at + 8, size, end, with_rest)
            return wav
        body = handle.read(min(size, 1 << 10))
        if kind == b"ds64" and len(body) >= 16:
            long_size = struct.unpack("<Q", body[8:16])[0]
        elif kind in (b"fmt ", b"fact") and len(body) == size:
            wav.header += chunk + body + bytes(size % 2)
        at += 8 + size
        if size % 2:
            handle.seek(at)
            is_padded = handle.read(4) not in _USUAL_CHUNKS | {b"data", b"fmt "}
            at, wav.is_plain = at + is_padded, wav.is_plain and is_padded
    return None


def _add_sound(wav: Wav, handle: BinaryIO, start: int, size: int, end: int, with_rest: bool) -> None:
    """Add the `data` chunk and, if `with_rest`, the sound that follows it."""
    handle.seek(start)
    is_empty = size == 0 and handle.read(4) in _USUAL_CHUNKS
    if is_unknown(size, end - start) and not is_empty:
        wav.is_plain = False
        wav.ranges.append((start, end))
        return
    wav.promised_bytes = size
    wav.ranges.append((start, min(start + size, end)))
    form = Form.read(wav.header)
    if with_rest and start + size < end and form:
        found = _Rest(wav, handle, form, end).read(start, size)
        wav.is_plain &= not found


def is_unknown(size: int, held: int) -> bool:
    """Whether a length is a placeholder of a program that did not know it; the file has `held` bytes left."""
    if size == 0:
        return True
    return size > held and any(abs(size - placeholder) <= _ROUNDED_BY for placeholder in _PLACEHOLDERS)


class _Rest:
    """What follows the sound that the header describes: chunks of other kinds, or more sound."""

    def __init__(self, wav: Wav, handle: BinaryIO, form: Form, end: int) -> None:
        self._wav, self._handle, self._form, self._end = wav, handle, form, end

    def read(self, start: int, size: int) -> bool:
        """Add further sound to the WAV, and notes about what is not read; return whether there was any sound.

        `start` and `size` are those of the first chunk of sound.
        """
        found, doubtful, at = False, None, self._next(start, size)
        for _ in range(_MOST_PARTS):
            self._handle.seek(at)
            chunk = self._handle.read(12)
            if len(chunk) < 8:
                return found
            kind, size = chunk[:4], struct.unpack("<I", chunk[4:8])[0]
            if kind in _MAGIC and chunk[8:] == b"WAVE":
                end = self._second(at)
                if end is None:
                    return found
                found, doubtful, at = True, None, end
                continue
            if kind == b"data":
                if is_unknown(size, self._end - at - 8):
                    size = self._end - at - 8
                found |= self._add(at + 8, min(at + 8 + size, self._end), size)
            elif kind not in _USUAL_CHUNKS:
                if not (kind.isascii() and kind.decode().isprintable() and at + 8 + size <= self._end):
                    return self._unmarked(at if doubtful is None else doubtful) or found
                doubtful = at if doubtful is None else doubtful
            if kind in _USUAL_CHUNKS or kind == b"data":
                doubtful = None
            at = self._next(at + 8, size)
            if at >= self._end:
                return found
        return found

    def _next(self, start: int, size: int) -> int:
        """Return where the next chunk begins: after a padding byte if the size is odd, unless it was omitted."""
        self._handle.seek(start + size)
        is_padded = size % 2 and self._handle.read(4) not in _USUAL_CHUNKS | {b"data", *_MAGIC}
        return start + size + bool(is_padded)

    def _second(self, at: int) -> int | None:
        """Add another WAV appended to the same file; return where it ends, None if it cannot be added."""
        other = _read(self._handle, at, self._end, with_rest=False)
        if other is None:
            self._note(at)
        elif Form.read(other.header) != self._form:
            self._wav.notes.append("not read: a second recording in it, of another encoding")
        else:
            start, end = other.ranges[0]
            promised = end - start if other.promised_bytes is None else other.promised_bytes
            self._add(start, end, promised)
            return self._next(start, promised)
        return None

    def _unmarked(self, at: int) -> bool:
        """Add bytes that belong to no chunk if they are sound, as with an outdated header; return whether they are."""
        first_start, first_end = self._wav.ranges[0]
        goes_on = len(self._wav.ranges) == 1 and at <= first_end + 1
        start = first_end if goes_on else at
        if self._end - start < max(256, self._form.byte_rate // 20) or is_padding(self._handle, start, self._end):
            return False
        if not is_sound(self._handle, self._form, first_start if goes_on else start, start, self._end):
            self._note(start)
            return False
        given = clock((first_end - first_start) / self._form.byte_rate) if self._form.byte_rate else "another length"
        self._wav.notes.append(f"its header gives {given}: read on to the end")
        if goes_on:
            self._wav.ranges[0] = (first_start, self._end)
            self._wav.promised_bytes = self._end - first_start
            return True
        return self._add(start, self._end, self._end - start)

    def _add(self, start: int, end: int, promised: int) -> bool:
        """Cut the last range to whole blocks and append another range; return whether that holds any sound."""
        last_start, last_end = self._wav.ranges[-1]
        self._wav.ranges[-1] = (last_start, last_end - (last_end - last_start) % self._form.block_bytes)
        if end <= start:
            return False
        self._wav.ranges.append((start, end))
        self._wav.promised_bytes = (self._wav.promised_bytes or 0) + promised
        return True

    def _note(self, at: int) -> None:
        self._wav.notes.append(f"not read: the last {self._end - at:,} bytes, which are no sound of this encoding")
