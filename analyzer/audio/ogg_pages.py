"""Read the pages of an Ogg file: which belong together, and where some are missing.

FFmpeg reads an Ogg file as one stream without gaps. So each stretch without a gap is read as a separate file, with the
headers before it: its first page then gives its time. A file may also hold several recordings one after the other
("chained"), each with its own headers.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from analyzer.audio.splice import Piece

#: Maximum number of pieces of a file; a file with more damage is read from there on as if nothing were missing.
_MOST_PIECES = 2_000
_FIRST_PAGE_FLAG = 2
_SEARCH_BLOCK_BYTES = 1 << 16
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
#: First bytes of the first packet of an encoding, and its number of header packets.
_HEADER_PACKETS = {b"OpusHead": 2, b"\x01vorbis": 3, b"Speex   ": 2}
_OTHER_HEADER_PACKETS = 3


@dataclass(frozen=True)
class Page:
    """A page: its place in the file, its header fields, how many packets end in it, and the head of its body."""

    start: int
    end: int
    flags: int
    granule: int
    serial: int
    number: int
    packets: int
    head: bytes

    @property
    def begins(self) -> bool:
        """Whether it is the first page of a stream."""
        return bool(self.flags & _FIRST_PAGE_FLAG)


@dataclass
class Run:
    """A stretch of a recording without a gap: its pieces of the file, and when it ends."""

    pieces: list[Piece] = field(default_factory=list)
    end_s: float = 0.0


@dataclass
class Link:
    """One of the chained recordings of a file.

    Attributes
    ----------
    headers : the pages before any sound.
    runs : stretches without a gap.
    starts_whole : whether no page is missing between headers and sound.
    has_orphan_pages : whether it contains pages of a stream whose first page is missing.
    channels, rate, length_s : sum of the channels, highest sample rate and longest length of its tracks; 0 if unknown.
    """

    headers: list[Piece] = field(default_factory=list)
    runs: list["Run"] = field(default_factory=list)
    starts_whole: bool = True
    has_orphan_pages: bool = False
    channels: int = 0
    rate: int = 0
    length_s: float = 0.0
    _tracks: dict[int, "_Track"] = field(default_factory=dict)

    def takes_tracks(self) -> bool:
        """Whether the next first page may add a track: all first pages come before any other page."""
        return all(track.is_new for track in self._tracks.values())

    def begin(self, page: Page) -> None:
        """Add the track that this page begins."""
        track = self._tracks[page.serial] = _Track(page)
        self.headers.append((page.start, page.end))
        self.channels += track.channels
        self.rate = max(self.rate, track.rate)

    def add(self, page: Page, may_split: bool) -> int:
        """Add a page unless it is a duplicate or belongs to no track; return the number of new pieces."""
        track = self._tracks.get(page.serial)
        self.has_orphan_pages |= track is None
        if track is None or track.is_duplicate(page):
            return 0
        has_gap = track.misses(page)
        track.take(page)
        if track.headers > 0 or (page.granule == 0 and not self.runs):
            track.headers -= page.packets
            return _append_page(self.headers, page, may_split)
        if not self.runs:
            self.runs.append(Run())
            self.starts_whole = not has_gap
        elif has_gap and may_split:
            self.runs.append(Run())
        self.length_s = max(self.length_s, track.length_s)
        self.runs[-1].end_s = track.length_s
        return _append_page(self.runs[-1].pieces, page, may_split)


class _Track:
    """The state of a logical stream of a link."""

    def __init__(self, page: Page) -> None:
        head = page.head
        self.number, self.granule, self._pre_skip = page.number, 0, 0
        self.headers = next(
            (count for signature, count in _HEADER_PACKETS.items() if head.startswith(signature)), _OTHER_HEADER_PACKETS
        )
        self.channels = self.rate = 0
        if head.startswith(b"OpusHead") and len(head) >= 12:
            self.channels, self.rate, self._pre_skip = head[9], 48_000, int.from_bytes(head[10:12], "little")
        elif head.startswith(b"\x01vorbis") and len(head) >= 16:
            self.channels, self.rate = struct.unpack_from("<BI", head, 11)
        elif head.startswith(b"Speex   ") and len(head) >= 52:
            self.rate, _, _, self.channels = struct.unpack_from("<IIII", head, 36)
        elif head.startswith(b"\x7fFLAC") and len(head) >= 35:
            self.headers = 1 + int.from_bytes(head[7:9], "big")
            packed_fields = int.from_bytes(head[27:30], "big")
            self.rate, self.channels = packed_fields >> 4, (packed_fields >> 1 & 7) + 1
        self.headers -= page.packets
        self.is_new = True

    @property
    def length_s(self) -> float:
        """End of its last page in seconds."""
        return max(0, self.granule - self._pre_skip) / self.rate if self.rate else 0.0

    def is_duplicate(self, page: Page) -> bool:
        """Whether a page is a duplicate of an earlier one."""
        return page.number <= self.number and 0 < page.granule <= self.granule

    def misses(self, page: Page) -> bool:
        """Whether pages are missing between the last page and this one."""
        return page.number > self.number + 1

    def take(self, page: Page) -> None:
        """Update the state with the next page."""
        self.number, self.is_new = page.number, False
        self.granule = page.granule if page.granule > 0 else self.granule


def read_links(handle: BinaryIO) -> list[Link]:
    """Return the recordings that the undamaged pages of an Ogg file hold."""
    links, pieces = list[Link](), 0
    for page in _pages(handle):
        may_split = pieces < _MOST_PIECES
        if page.begins:
            if not links or not links[-1].takes_tracks():
                if not may_split:
                    break
                links.append(Link())
            links[-1].begin(page)
            pieces += 1
        elif links:
            pieces += links[-1].add(page, may_split)
    return [link for link in links if link.runs]


def _append_page(pieces: list[Piece], page: Page, may_split: bool) -> int:
    last = pieces[-1] if pieces else None
    if isinstance(last, tuple) and (last[1] == page.start or not may_split):
        pieces[-1] = (last[0], page.end)
        return 0
    pieces.append((page.start, page.end))
    return 1


def _pages(handle: BinaryIO) -> Iterator[Page]:
    """Yield the undamaged pages of a file and skip the others."""
    position: int | None = 0
    while position is not None:
        page = _page(handle, position)
        if page:
            yield page
            position = page.end
        else:
            position = _next_page(handle, position + (page is None))


def _page(handle: BinaryIO, position: int) -> Page | None:
    """Read the page at an offset; return None if there is none, or if it is damaged."""
    handle.seek(position)
    head = handle.read(27)
    if len(head) < 27 or head[:5] != b"OggS\0":
        return None
    lengths = handle.read(head[26])
    body = handle.read(sum(lengths))
    if len(lengths) < head[26] or len(body) < sum(lengths):
        return None
    granule, serial, number, checksum = struct.unpack_from("<qIII", head, 6)
    if checksum != _checksum(head[:22] + bytes(4) + head[26:] + lengths + body):
        return None
    completed_packets = sum(length < 255 for length in lengths)
    end = position + 27 + len(lengths) + len(body)
    return Page(position, end, head[5], granule, serial, number, completed_packets, body[:64])


def _checksum(page: bytes) -> int:
    """Return the CRC of Ogg: that of zlib with the bits of all bytes reversed, and without its inversions."""
    reversed_crc = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reversed_crc:032b}"[::-1], 2)


def _next_page(handle: BinaryIO, position: int) -> int | None:
    """Return the offset at which the next page may begin; None if there is no more."""
    while True:
        handle.seek(position)
        content = handle.read(_SEARCH_BLOCK_BYTES)
        found = content.find(b"OggS\0")
        if found >= 0:
            return position + found
        if len(content) < _SEARCH_BLOCK_BYTES:
            return None
        position += len(content) - 4
