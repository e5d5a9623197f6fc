"""Read the packets of all tracks of a container, in one pass over the file as long as the tracks are interleaved."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

from analyzer.audio.stream import MOST_READ, Source

#: Maximum bytes of packets queued while another track is read, and overhead per packet.
_MOST_WAITING, _OVERHEAD = 16 << 20, 1 << 10

#: Opens the same container again; it is closed with the stack.
Reopen = Callable[[ExitStack], tuple[Any, Source]]


class Packets:
    """Provides the packets of each track separately.

    If a track has more packets before the next packet of another track than fit into the queue, the rest of the former
    is read in a separate pass.

    Parameters
    ----------
    container, source : the open container, and the source that it is read from.
    tracks : indices of the wanted streams.
    reopen : opens the container again for a separate pass.
    stack : closes what `reopen` opens.

    Attributes
    ----------
    broken : number of passes that ended with a read error.
    """

    def __init__(self, container: Any, source: Source, tracks: Sequence[int], reopen: Reopen, stack: ExitStack) -> None:
        self._all = self._read(container, source)
        self._waiting: dict[int, deque[Any]] = {track: deque() for track in tracks}
        self._held = 0
        self._reopen, self._stack = reopen, stack
        self.broken = 0

    def of(self, track: int) -> Iterator[Any]:
        """Yield the packets of a track in file order."""
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
        """Read the next packet; return whether there was one."""
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
        """Yield the packets of all streams; raises UnreadableRecording for one that takes over `MOST_READ` to read."""
        import av

        packets = container.demux()
        source.allow(MOST_READ)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                break
            except IndexError:  # raised by PyAV at the end if a track began that was unknown at the start
                break
            except av.error.FFmpegError:
                self.broken += 1
                break
            source.check()
            source.allow(MOST_READ)
            yield packet
        source.check()
