"""Check the size of an MP4 index: FFmpeg allocates memory for all of it on opening, and it may be wrong."""

import os
import struct
from collections.abc import Iterator

import numpy as np

from analyzer.audio.stream import MOST_READ, Source
from analyzer.errors import UnreadableRecording

#: Packets that the index of an MP4 may list: twice a day of the shortest ones. FFmpeg allocates 24 bytes for each at
#: once.
MOST_INDEXED = 1 << 23


def check_index(source: Source) -> int:
    """Return how many packets the index of an MP4 lists.

    Raises UnreadableRecording if that is more than a day of sound has, or if the index is compressed. FFmpeg allocates
    memory for all packets when it opens the file, and a dozen bytes can list hundreds of millions. Tables are searched
    byte by byte, not box by box, since FFmpeg also finds tables in boxes where they do not belong.
    """
    packets = 0
    for box in _boxes_without_sound(source):
        if b"cmov" in box:
            raise UnreadableRecording("its header is compressed, which is not read")
        packets += sum(count for _, count in _numbers(box, b"trun", 2))
        for track in box.split(b"trak"):
            edits = max((count for _, count in _numbers(track, b"elst", 2)), default=1)
            packets += _packets_of(track) * max(1, edits)
    if packets > MOST_INDEXED:
        raise UnreadableRecording(f"its header lists {packets:,} packets, more than a day of sound has")
    return packets


def _boxes_without_sound(source: Source) -> Iterator[bytes]:
    """Yield the outermost boxes of an MP4 except `mdat`, each whole; raises UnreadableRecording if one is too large."""
    at, end = 0, source.seek(0, os.SEEK_END)
    while at + 8 <= end:
        source.seek(at)
        source.allow(MOST_READ)
        size, kind = struct.unpack(">I4s", source.read(8))
        if size == 1:
            size = int.from_bytes(source.read(8), "big")
        if size == 0:
            size = end - at
        if size < 8:
            return
        if kind != b"mdat":
            yield source.read(min(size, end - at))
            source.check()
        at += size


def _packets_of(track: bytes) -> int:
    """Return how many packets FFmpeg will make of a track of an MP4."""
    chunks = max((count for kind in (b"stco", b"co64") for _, count in _numbers(track, kind, 2)), default=0)
    longest = max((int(run.max(initial=0)) for run in _chunk_lengths(track)), default=0)
    in_chunks = chunks * -(-longest // 1024)
    listed = max((count for _, _, count in _numbers(track, b"stsz", 3)), default=0)
    times = list(_numbers(track, b"stts", 4))
    # For PCM, the header lists each sample as a packet, but FFmpeg reads 1,024 at a time.
    is_plain = bool(times) and all((entries, duration) == (1, 1) for _, entries, _, duration in times)
    return in_chunks if is_plain else max(in_chunks, listed)


def _chunk_lengths(track: bytes) -> Iterator[np.ndarray]:
    """Yield the samples per chunk from each `stsc` table."""
    for at in _places(track, b"stsc"):
        rows = min(int.from_bytes(track[at + 8 : at + 12], "big"), (len(track) - at - 12) // 12)
        yield np.frombuffer(track, ">u4", 3 * max(0, rows), at + 12 if rows > 0 else 0)[1::3]


def _numbers(box: bytes, kind: bytes, count: int) -> Iterator[tuple[int, ...]]:
    """Yield the first `count` numbers of each table of that kind; the very first holds its version and flags."""
    for at in _places(box, kind):
        if at + 4 + 4 * count <= len(box):
            yield struct.unpack_from(f">{count}I", box, at + 4)


def _places(box: bytes, kind: bytes) -> Iterator[int]:
    at = box.find(kind)
    while at >= 0:
        yield at
        at = box.find(kind, at + 4)
