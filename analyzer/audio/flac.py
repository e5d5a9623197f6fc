"""Count the FLAC frames in some bytes."""

import re

_SYNC = re.compile(rb"\xff[\xf8\xf9]")
#: Bytes of the coded frame number, by the number of 1 bits that its first byte begins with.
_NUMBER_BYTES = {0: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7}
_BLOCK_BYTES, _RATE_BYTES = {6: 1, 7: 2}, {12: 1, 13: 2, 14: 2}


def has_more_frames(content: bytes, most: int) -> bool:
    """Whether more frames than `most` begin in some bytes; only headers with a correct checksum count."""
    if content.count(b"\xff\xf8") + content.count(b"\xff\xf9") <= most:
        return False
    count = 0
    for match in _SYNC.finditer(content):
        count += _is_frame(content[match.start() : match.start() + 16])
        if count > most:
            return True
    return False


def _is_frame(head: bytes) -> bool:
    if len(head) < 6 or head[3] & 1:
        return False
    first = f"{head[4]:08b}".find("0") % 9  # 8, from the -1 of all bits set, is invalid
    size = 4 + _NUMBER_BYTES.get(first, 1)
    size += _BLOCK_BYTES.get(head[2] >> 4, 0) + _RATE_BYTES.get(head[2] & 15, 0)
    return size < len(head) and _crc_8(head[:size]) == head[size]


def _crc_8(content: bytes) -> int:
    rest = 0
    for byte in content:
        rest = _TABLE[rest ^ byte]
    return rest


def _table() -> list[int]:
    table = []
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = rest << 1 ^ (0x107 if rest & 0x80 else 0)
        table.append(rest)
    return table


_TABLE = _table()
