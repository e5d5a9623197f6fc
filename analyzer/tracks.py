"""Packets of every track of a container, from one pass over the file as long as the tracks lie beside each other."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

from analyzer.stream import MOST_READ, Source

#: Bytes of packets that wait for another track, and what each takes besides.
_MOST_WAITING, _OVERHEAD = 16 << 20, 1 << 10

#: Opens the same container once more; the second is closed with the first.
Reopen = Callable[[ExitStack], tuple[Any, Source]]


class Packets:
    """Hands out the packets of tracks, each by itself.

    Where so much of one track lies before the next packet of another that it does not fit into memory, that one is
    read in a pass of its own.

    Parameters
    ----------
    container, source : the open container, and what it is read from.
    tracks : which streams of it are wanted.
    reopen : opens it again, for such a pass.
    stack : what is opened is closed with it.

    Attributes
    ----------
    broken : how often the container could not be read on.
    """

    def __init__(self, container: Any, source: Source, tracks: Sequence[int], reopen: Reopen, stack: ExitStack) -> None:
        self._all = self._read(container, source)
        self._waiting: dict[int, deque[Any]] = {track: deque() for track in tracks}
        self._held = 0
        self._reopen, self._stack = reopen, stack
        self.broken = 0

    def of(self, track: int) -> Iterator[Any]:
        """The packets of a track, in the order of the file."""
        given = 0
        while (waiting := self._waiting.get(track)) is not None:
            if waiting:
                packet = waiting.popleft()
                self._held -= packet.size + _OVERHEAD
                given += 1
                yield packet
            elif not self._read_one():
                return
        container, source = self._reopen(self._stack)
        own = (packet for packet in self._read(container, source) if packet.stream_index == track)
        yield from islice(own, given, None)

    def _read_one(self) -> bool:
        """Read on by a packet; whether there was one."""
        packet = next(self._all, None)
        if packet is None:
            return False
        if packet.stream_index in self._waiting:
            self._waiting[packet.stream_index].append(packet)
            self._held += packet.size + _OVERHEAD
        if self._held > _MOST_WAITING and len(self._waiting) > 1:
            ahead = max(self._waiting, key=lambda track: len(self._waiting[track]))
            self._held -= sum(packet.size + _OVERHEAD for packet in self._waiting.pop(ahead))
        return True

    def _read(self, container: Any, source: Source) -> Iterator[Any]:
        """Packets of all streams. What is read counts for each alone; raises UnreadableRecording for one too large."""
        import av

        packets = container.demux()
        source.allow(MOST_READ)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                break
            except IndexError:  # PyAV's, at the end, where a track has begun that was not known at the start
                break
            except av.error.FFmpegError:
                self.broken += 1
                break
            source.check()
            source.allow(MOST_READ)
            yield packet
        source.check()
