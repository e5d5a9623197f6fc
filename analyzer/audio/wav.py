"""Locate the sound in a WAV file, whose header often declares less, or more, than the file holds.

libsndfile trusts the header: it reads a truncated WAV without a warning, nothing if a crashed recorder left the length
at 0, and only the beginning if the length is out of date or does not fit into 32 bits.
"""

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from analyzer.audio.splice import Piece
from analyzer.audio.stream import format_duration
from analyzer.audio.wav_rest import WavFormat, is_padding, is_sound

#: Programs that write to a pipe use one of these as the length, minus a header or rounded to blocks.
_PLACEHOLDER_LENGTHS, _PLACEHOLDER_TOLERANCE = (0x7FFFFFFF, 0xFFFFFFFF, (1 << 64) - 1), 1 << 16
_LONGEST_HEADER_BYTES = 1 << 20
#: IDs of the other chunks that many programs write before and after the sound.
_CHUNK_IDS = (
    b"LISTid3 ID3 bextcue smplfactiXMLaxmlaXMLJUNKjunkFLLRPAD PEAKDISPchnaplstlablnoteinstafsplevlumidcart_PMXMD5 minf"
    b"elm1regnSNDMacidstrcwavlslntafmddbmdovwfLGWV"
)
_KNOWN_CHUNK_IDS = frozenset(_CHUNK_IDS[at : at + 4] for at in range(0, len(_CHUNK_IDS), 4))
#: Maximum number of chunks and appended recordings after the sound that are examined.
_MOST_CHUNKS = 10_000
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
            wav_header = struct.pack("<4sI4s", b"RIFF", 12 + len(self.header) + size, b"WAVE") + self.header
            return [wav_header + struct.pack("<4sI", b"data", size), *self.ranges]
        long_sizes = struct.pack("<4sIQQQI", b"ds64", 28, 48 + len(self.header) + size, size, 0, 0)
        wav_header = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + long_sizes + self.header
        return [wav_header + struct.pack("<4sI", b"data", 0xFFFFFFFF), *self.ranges]


def read_wav(handle: BinaryIO) -> Wav | None:
    """Find the sound of a RIFF, RF64 or BW64 WAV file; return None if there is none within the first MiB."""
    return _parse_wav(handle, 0, handle.seek(0, os.SEEK_END))


def _parse_wav(handle: BinaryIO, position: int, end: int, with_trailing_data: bool = True) -> Wav | None:
    """Read the WAV that begins at `position`; `with_trailing_data` includes what follows its first chunk of sound."""
    handle.seek(position)
    head = handle.read(12)
    if len(head) < 12 or head[:4] not in _MAGIC or head[8:12] != b"WAVE":
        return None
    wav, long_size, wav_start = Wav(is_plain=head[:4] != b"BW64"), None, position
    position += 12
    while position - wav_start < _LONGEST_HEADER_BYTES:
        handle.seek(position)
        chunk_header = handle.read(8)
        if len(chunk_header) < 8:
            return None
        chunk_id, size = chunk_header[:4], struct.unpack("<I", chunk_header[4:])[0]
        if chunk_id == b"data":
            if size in (0, 0xFFFFFFFF) and long_size is not None:
                size = long_size
            _add_sound(wav, handle, position + 8, size, end, with_trailing_data)
            return wav
        body = handle.read(min(size, 1 << 10))
        if chunk_id == b"ds64" and len(body) >= 16:
            long_size = struct.unpack("<Q", body[8:16])[0]
        elif chunk_id in (b"fmt ", b"fact") and len(body) == size:
            wav.header += chunk_header + body + bytes(size % 2)
        position += 8 + size
        if size % 2:
            handle.seek(position)
            is_padded = handle.read(4) not in _KNOWN_CHUNK_IDS | {b"data", b"fmt "}
            position, wav.is_plain = position + is_padded, wav.is_plain and is_padded
    return None


def _add_sound(wav: Wav, handle: BinaryIO, start: int, size: int, end: int, with_trailing_data: bool) -> None:
    """Add the `data` chunk and, if `with_trailing_data`, the sound that follows it."""
    handle.seek(start)
    is_empty = size == 0 and handle.read(4) in _KNOWN_CHUNK_IDS
    if is_placeholder_length(size, end - start) and not is_empty:
        wav.is_plain = False
        wav.ranges.append((start, end))
        return
    wav.promised_bytes = size
    wav.ranges.append((start, min(start + size, end)))
    form = WavFormat.read(wav.header)
    if with_trailing_data and start + size < end and form:
        has_more_sound = _Rest(wav, handle, form, end).read(start, size)
        wav.is_plain &= not has_more_sound


def is_placeholder_length(size: int, held: int) -> bool:
    """Whether a length is a placeholder of a program that did not know it; the file has `held` bytes left."""
    if size == 0:
        return True
    return size > held and any(
        abs(size - placeholder) <= _PLACEHOLDER_TOLERANCE for placeholder in _PLACEHOLDER_LENGTHS
    )


class _Rest:
    """What follows the sound that the header describes: chunks of other kinds, or more sound."""

    def __init__(self, wav: Wav, handle: BinaryIO, form: WavFormat, end: int) -> None:
        self._wav, self._handle, self._form, self._end = wav, handle, form, end

    def read(self, start: int, size: int) -> bool:
        """Add further sound to the WAV, and notes about what is not read; return whether there was any sound.

        `start` and `size` are those of the first chunk of sound.
        """
        has_sound, doubtful_start, position = False, None, self._next_chunk(start, size)
        for _ in range(_MOST_CHUNKS):
            self._handle.seek(position)
            chunk_header = self._handle.read(12)
            if len(chunk_header) < 8:
                return has_sound
            chunk_id, size = chunk_header[:4], struct.unpack("<I", chunk_header[4:8])[0]
            if chunk_id in _MAGIC and chunk_header[8:] == b"WAVE":
                end = self._add_appended_wav(position)
                if end is None:
                    return has_sound
                has_sound, doubtful_start, position = True, None, end
                continue
            if chunk_id == b"data":
                if is_placeholder_length(size, self._end - position - 8):
                    size = self._end - position - 8
                has_sound |= self._add_range(position + 8, min(position + 8 + size, self._end), size)
            elif chunk_id not in _KNOWN_CHUNK_IDS:
                if not (chunk_id.isascii() and chunk_id.decode().isprintable() and position + 8 + size <= self._end):
                    return self._add_unmarked_bytes(position if doubtful_start is None else doubtful_start) or has_sound
                doubtful_start = position if doubtful_start is None else doubtful_start
            if chunk_id in _KNOWN_CHUNK_IDS or chunk_id == b"data":
                doubtful_start = None
            position = self._next_chunk(position + 8, size)
            if position >= self._end:
                return has_sound
        return has_sound

    def _next_chunk(self, start: int, size: int) -> int:
        """Return where the next chunk begins: after a padding byte if the size is odd, unless it was omitted."""
        self._handle.seek(start + size)
        is_padded = size % 2 and self._handle.read(4) not in _KNOWN_CHUNK_IDS | {b"data", *_MAGIC}
        return start + size + bool(is_padded)

    def _add_appended_wav(self, position: int) -> int | None:
        """Add another WAV appended to the same file; return where it ends, None if it cannot be added."""
        other = _parse_wav(self._handle, position, self._end, with_trailing_data=False)
        if other is None:
            self._note_unread(position)
        elif WavFormat.read(other.header) != self._form:
            self._wav.notes.append("not read: a second recording in it, of another encoding")
        else:
            start, end = other.ranges[0]
            declared_bytes = end - start if other.promised_bytes is None else other.promised_bytes
            self._add_range(start, end, declared_bytes)
            return self._next_chunk(start, declared_bytes)
        return None

    def _add_unmarked_bytes(self, position: int) -> bool:
        """Add bytes that belong to no chunk if they are sound, as with an outdated header; return whether they are."""
        first_start, first_end = self._wav.ranges[0]
        is_continuation = len(self._wav.ranges) == 1 and position <= first_end + 1
        start = first_end if is_continuation else position
        if self._end - start < max(256, self._form.byte_rate // 20) or is_padding(self._handle, start, self._end):
            return False
        if not is_sound(self._handle, self._form, first_start if is_continuation else start, start, self._end):
            self._note_unread(start)
            return False
        declared_length = (
            format_duration((first_end - first_start) / self._form.byte_rate)
            if self._form.byte_rate
            else "another length"
        )
        self._wav.notes.append(f"its header gives {declared_length}: read on to the end")
        if is_continuation:
            self._wav.ranges[0] = (first_start, self._end)
            self._wav.promised_bytes = self._end - first_start
            return True
        return self._add_range(start, self._end, self._end - start)

    def _add_range(self, start: int, end: int, declared_bytes: int) -> bool:
        """Cut the last range to whole blocks and append another range; return whether that holds any sound."""
        last_start, last_end = self._wav.ranges[-1]
        self._wav.ranges[-1] = (last_start, last_end - (last_end - last_start) % self._form.block_bytes)
        if end <= start:
            return False
        self._wav.ranges.append((start, end))
        self._wav.promised_bytes = (self._wav.promised_bytes or 0) + declared_bytes
        return True

    def _note_unread(self, position: int) -> None:
        self._wav.notes.append(
            f"not read: the last {self._end - position:,} bytes, which are no sound of this encoding"
        )
