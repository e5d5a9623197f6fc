"""Find where the sound of a file begins, after tags, padding or half a frame."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from analyzer.audio.signatures import sniff, sniff_sync_word

#: Bytes after any tags that are searched for the beginning, and further bytes that a chain of frames may extend into.
_SEARCHED_BYTES, _CHAIN_BYTES = 1 << 18, 1 << 16
_MOST_TAGS = 100
#: This many matching frames, each where the previous one ends, are no coincidence; up to the very end of a file fewer
#: suffice.
_CHAIN_FRAMES, _CHAIN_FRAMES_AT_END = 4, 2
_ID3_HEADER = 10

_MPEG1 = 3
_BIT_RATES = {  # in kbit/s, by whether it is MPEG-1 or else MPEG-2, and the layer as coded (3 is layer 1)
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = (44_100, 48_000, 32_000)
#: Signatures that unambiguously begin a file of another format.
_START_SIGNATURES = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22", b"OggS\x00\x02")

#: Length of a frame in bytes, and the header fields that are equal in all frames of a file.
_Frame = tuple[int, tuple[int, ...]]


def find_beginning(handle: BinaryIO, head: bytes) -> tuple[str | None, int]:
    """Return the format of a file with an audio file name, and the offset at which it begins.

    `head` holds the first bytes of the file. The format is None if nothing but the name indicates audio.
    """
    sniffed_format = sniff(head)
    if sniffed_format and sniffed_format != "mp3":
        return sniffed_format, 0
    start = _skip_tags(handle)
    handle.seek(start)
    content = handle.read(_SEARCHED_BYTES + _CHAIN_BYTES)
    is_whole = len(content) < _SEARCHED_BYTES + _CHAIN_BYTES
    beginning = _find_earliest(content, is_whole)
    if beginning is None:
        return sniffed_format or sniff_sync_word(head), 0
    demuxer, offset = beginning
    # FFmpeg skips tags before MP3 by itself, and uses the length that some of them give.
    return demuxer, 0 if (demuxer == "mp3" and offset == 0) else start + offset


def _skip_tags(handle: BinaryIO) -> int:
    """Return the offset at which the ID3 tags at the start of a file end."""
    position = 0
    for _ in range(_MOST_TAGS):
        handle.seek(position)
        head = handle.read(_ID3_HEADER)
        if len(head) < _ID3_HEADER or head[:3] != b"ID3" or max(head[6:10]) > 127:
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        end = position + _ID3_HEADER + size + (_ID3_HEADER if head[5] & 0x10 else 0)
        handle.seek(end)
        if not handle.read(1):
            return position + _ID3_HEADER  # its size is wrong, so its contents are searched
        position = end
    return position


def _find_earliest(content: bytes, is_whole: bool) -> tuple[str, int] | None:
    """Return the format that begins first in some bytes, and its offset; None if there is none."""
    if sniffed_format := sniff(content):
        return sniffed_format, 0
    candidates = []
    for signature in _START_SIGNATURES:
        if (offset := content.find(signature, 0, _SEARCHED_BYTES)) >= 0:
            candidates.append((offset, "flac" if signature.startswith(b"fLaC") else "ogg"))
    offset = content.find(b"WAVEfmt ", 0, _SEARCHED_BYTES)
    if offset >= 8 and sniff(content[offset - 8 : offset + 4]) == "wav":
        candidates.append((offset - 8, "wav"))
    candidates += [(offset, demuxer) for offset, demuxer in _find_frame_chain(content, is_whole)]
    return min(((demuxer, offset) for offset, demuxer in candidates), key=lambda candidate: candidate[1], default=None)


def _find_frame_chain(content: bytes, is_whole: bool) -> Iterator[tuple[int, str]]:
    """Yield the offset and format of the first consecutive frames of MP3 or AAC, if there are any."""
    offset = content.find(b"\xff", 0, _SEARCHED_BYTES)
    while offset >= 0:
        for demuxer, parse_frame in (("aac", _parse_aac_frame), ("mp3", _parse_mpeg_frame)):
            if _is_frame_chain(content, offset, parse_frame, is_whole):
                yield offset, demuxer
                return
        offset = content.find(b"\xff", offset + 1, _SEARCHED_BYTES)


def _is_frame_chain(content: bytes, offset: int, parse_frame: Callable[[bytes], _Frame | None], is_whole: bool) -> bool:
    count, common_fields = 0, None
    while count < _CHAIN_FRAMES:
        frame = parse_frame(content[offset : offset + 8])
        if frame is None or frame[1] != (common_fields or frame[1]):
            return is_whole and count >= _CHAIN_FRAMES_AT_END and offset >= len(content)
        count, common_fields, offset = count + 1, frame[1], offset + frame[0]
    return True


def _parse_aac_frame(head: bytes) -> _Frame | None:
    """Parse the header of an AAC frame in ADTS; return None if it is not one."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return None
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return (size, (head[1], head[2], head[3] & 0xC0)) if size > 7 else None


def _parse_mpeg_frame(head: bytes) -> _Frame | None:
    """Parse the header of an MPEG audio frame, layers 1 to 3; return None if it is not one."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate_index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or not layer or rate_index == 3 or bit_rate_index in (0, 15):
        return None
    bits_per_s = _BIT_RATES[version == _MPEG1, layer][bit_rate_index - 1] * 1000
    sample_rate = _SAMPLE_RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 3:  # which is layer 1
        size = (12 * bits_per_s // sample_rate + padding) * 4
    else:
        size = (144 if layer == 2 or version == _MPEG1 else 72) * bits_per_s // sample_rate + padding
    return size, (version, layer, rate_index)
