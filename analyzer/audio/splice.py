"""A file that consists of pieces of another: what lies between them is skipped, and nothing is copied."""

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

#: Literal bytes, or a range (start, end) of the other file.
Piece = bytes | tuple[int, int]


class Spliced(io.RawIOBase):
    """The concatenated pieces, as a readable file.

    Parameters
    ----------
    handle : the file that ranges refer to. Each read seeks first, so several objects may share it.
    pieces : bytes, and ranges (start, end) of `handle`.
    """

    def __init__(self, handle: BinaryIO, pieces: Sequence[Piece]) -> None:
        self._handle, self._pieces = handle, pieces
        sizes = (len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)
        self._starts = [0, *accumulate(sizes)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError(f"no such place in a file: {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # any writable buffer
        done = 0
        while done < len(buffer) and self._at < self._starts[-1]:
            k = bisect_right(self._starts, self._at) - 1
            piece, inside = self._pieces[k], self._at - self._starts[k]
            size = min(len(buffer) - done, self._starts[k + 1] - self._at)
            if isinstance(piece, bytes):
                found = piece[inside : inside + size]
            else:
                self._handle.seek(piece[0] + inside)
                found = self._handle.read(size)
            if not found:
                break  # the other file has become shorter
            buffer[done : done + len(found)] = found
            done, self._at = done + len(found), self._at + len(found)
        return done
