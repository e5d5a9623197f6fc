"""Find where the sound of a file begins, after tags, padding or half a frame."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from analyzer.signatures import sniff, sniff_sync_word

#: Bytes after any tags that are searched for the beginning, and further bytes that a chain of frames may extend into.
_SEARCHED, _REACH = 1 << 18, 1 << 16
_MOST_TAGS = 100
#: This many matching frames, each where the previous one ends, are no coincidence; up to the very end of a file fewer
#: suffice.
_FRAMES, _FRAMES_TO_THE_END = 4, 2
_ID3_HEADER = 10

_MPEG1, _LAYER_3 = 3, 1
_BIT_RATES = {  # in kbit/s, by whether it is MPEG-1 or else MPEG-2, and the layer as coded (3 is layer 1)
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
#: Signatures that unambiguously begin a file of another format.
_MARKS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22", b"OggS\x00\x02")

#: Length of a frame in bytes, and the header fields that are equal in all frames of a file.
_Frame = tuple[int, tuple[int, ...]]


def find_beginning(handle: BinaryIO, head: bytes) -> tuple[str | None, int]:
    """Return the format of a file with an audio file name, and the offset at which it begins.

    `head` holds the first bytes of the file. The format is None if nothing but the name indicates audio.
    """
    known = sniff(head)
    if known and known != "mp3":
        return known, 0
    start = _after_tags(handle)
    handle.seek(start)
    content = handle.read(_SEARCHED + _REACH)
    is_whole = len(content) < _SEARCHED + _REACH
    found = _earliest(content, is_whole)
    if found is None:
        return known or sniff_sync_word(head), 0
    demuxer, at = found
    # FFmpeg skips tags before MP3 by itself, and uses the length that some of them give.
    return demuxer, 0 if (demuxer == "mp3" and at == 0) else start + at


def _after_tags(handle: BinaryIO) -> int:
    """Return the offset at which the ID3 tags at the start of a file end."""
    at = 0
    for _ in range(_MOST_TAGS):
        handle.seek(at)
        head = handle.read(_ID3_HEADER)
        if len(head) < _ID3_HEADER or head[:3] != b"ID3" or max(head[6:10]) > 127:
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        end = at + _ID3_HEADER + size + (_ID3_HEADER if head[5] & 0x10 else 0)
        handle.seek(end)
        if not handle.read(1):
            return at + _ID3_HEADER  # its size is wrong, so its contents are searched
        at = end
    return at


def _earliest(content: bytes, is_whole: bool) -> tuple[str, int] | None:
    """Return the format that begins first in some bytes, and its offset; None if there is none."""
    if known := sniff(content):
        return known, 0
    found = []
    for mark in _MARKS:
        if (at := content.find(mark, 0, _SEARCHED)) >= 0:
            found.append((at, "flac" if mark.startswith(b"fLaC") else "ogg"))
    at = content.find(b"WAVEfmt ", 0, _SEARCHED)
    if at >= 8 and sniff(content[at - 8 : at + 4]) == "wav":
        found.append((at - 8, "wav"))
    found += [(at, demuxer) for at, demuxer in _chains(content, is_whole)]
    return min(((demuxer, at) for at, demuxer in found), key=lambda one: one[1], default=None)


def _chains(content: bytes, is_whole: bool) -> Iterator[tuple[int, str]]:
    """Yield the offset and format of the first consecutive frames of MP3 or AAC, if there are any."""
    at = content.find(b"\xff", 0, _SEARCHED)
    while at >= 0:
        for demuxer, read in (("aac", _aac_frame), ("mp3", _mpeg_frame)):
            if _is_chain(content, at, read, is_whole):
                yield at, demuxer
                return
        at = content.find(b"\xff", at + 1, _SEARCHED)


def _is_chain(content: bytes, at: int, read: Callable[[bytes], _Frame | None], is_whole: bool) -> bool:
    count, alike = 0, None
    while count < _FRAMES:
        frame = read(content[at : at + 8])
        if frame is None or frame[1] != (alike or frame[1]):
            return is_whole and count >= _FRAMES_TO_THE_END and at >= len(content)
        count, alike, at = count + 1, frame[1], at + frame[0]
    return True


def _aac_frame(head: bytes) -> _Frame | None:
    """Parse the header of an AAC frame in ADTS; return None if it is not one."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return None
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (size, (head[1], head[2], head[3] & 0xC0)) if size > 7 else None


def _mpeg_frame(head: bytes) -> _Frame | None:
    """Parse the header of an MPEG audio frame, layers 1 to 3; return None if it is not one."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or not layer or rate == 3 or bit_rate in (0, 15):
        return None
    bits = _BIT_RATES[version == _MPEG1, layer][bit_rate - 1] * 1000
    samples = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 3:  # which is layer 1
        size = (12 * bits // samples + padding) * 4
    else:
        size = (144 if layer == 2 or version == _MPEG1 else 72) * bits // samples + padding
    return size, (version, layer, rate)
