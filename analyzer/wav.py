"""What the header of a WAV file promises, against what the file holds.

libsndfile reads a truncated WAV without a word, and finds nothing where a crashed recorder left the length at 0.
"""

import io
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

#: Recorders write these as the length of a stream whose end they do not know yet.
UNKNOWN_SIZES = (0, 0xFFFFFFFF)
#: A file that lacks less than this share of its data is whole: recorders pad and round.
TOLERATED_LOSS = 0.001
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class WavData:
    """The data chunk of a WAV file.

    Attributes
    ----------
    promised_bytes : length that the header gives, None where it says that it does not know.
    present_bytes : how much of it the file holds.
    size_at, riff_size_at : where in the file the two lengths stand.
    """

    promised_bytes: int | None
    present_bytes: int
    size_at: int
    riff_size_at: int = 4

    @property
    def missing_share(self) -> float:
        """The part of the promised data that is not there, 0 to 1."""
        if not self.promised_bytes:
            return 0.0
        return max(0.0, 1 - self.present_bytes / self.promised_bytes)


def read_wav_data(handle: BinaryIO) -> WavData | None:
    """Find the data chunk of a RIFF or RF64 WAV file; None where there is none within the first MiB."""
    file_bytes = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    head = handle.read(12)
    if len(head) < 12 or head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    long_data_size = None
    while handle.tell() < _LONGEST_HEADER:
        chunk = handle.read(8)
        if len(chunk) < 8:
            return None
        kind, size = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        if kind == b"data":
            start = handle.tell()
            if size in UNKNOWN_SIZES:
                size = long_data_size
            held = file_bytes - start
            return WavData(size, held if size is None else min(size, held), start - 4)
        body = handle.read(min(size, 28))
        if kind == b"ds64" and len(body) >= 16:
            long_data_size = struct.unpack("<Q", body[8:16])[0] or None
        handle.seek(size - len(body) + size % 2, os.SEEK_CUR)
    return None


class WavWithTrueSize(io.RawIOBase):
    """A WAV file whose header seems to say how much data really follows; nothing is written to the file.

    For files whose recorder crashed before it could write the length, so that they read to their end.
    """

    def __init__(self, handle: BinaryIO, data: WavData) -> None:
        self._handle = handle
        size = struct.pack("<I", min(data.present_bytes, 0xFFFFFFFE))
        riff_size = struct.pack("<I", min(data.size_at - 4 + data.present_bytes, 0xFFFFFFFE))
        self._patches = ((data.size_at, size), (data.riff_size_at, riff_size))
        self._handle.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        return self._handle.tell()

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # any writable buffer
        start = self._handle.tell()
        found = bytearray(self._handle.read(len(buffer)))
        for at, patch in self._patches:
            for k, value in enumerate(patch):
                if start <= at + k < start + len(found):
                    found[at + k - start] = value
        buffer[: len(found)] = found
        return len(found)
