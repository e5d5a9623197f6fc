"""A recording as a stream of blocks, and the limits on its size.

Recordings are untrusted input, so nothing that a file declares may cost excessive memory or time: recordings beyond
the limits are refused.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from analyzer.audio.levels import scale_note
from analyzer.errors import UnreadableRecording
from analyzer.names import show

#: A recording that lacks up to this share of the data declared in its header is complete: recorders pad and round.
TOLERATED_LOSS = 0.001
#: Seconds of sound in a block.
BLOCK_S = 10.0
#: No recorder has more channels. A header that declares more is corrupt, or made to exhaust memory.
MOST_CHANNELS = 32
#: Samples per second. Telephony has 8,000, studios up to 384,000.
LOWEST_RATE, HIGHEST_RATE = 1_000, 384_000
#: Hours of sound. A few hundred kilobytes of FLAC can expand to years of silence, which take days to analyse.
LONGEST_HOURS = 24
#: Samples in a block, over all channels: 16 MB. Ten seconds of stereo at any usual rate stay below this.
MOST_IN_BLOCK = 1 << 22
#: Bytes that FFmpeg may read for the headers or for one packet: it keeps either in memory as a whole.
MOST_READ = 64 << 20


class AudioStream:
    """An open recording.

    Attributes
    ----------
    codec : container and encoding, such as `wav ulaw`.
    rate : samples per second.
    channels : number of channels.
    length_s : length in seconds according to the header, 0 if it gives none.
    missing_share : share of the data declared in a WAV header that is missing, 0 to 1; 0 if unknown.
    notes : problems found in the file; complete once `blocks` has been read to its end.
    find_scale : reads the whole file and returns the sample value that is full scale; None if that is 1.
    """

    def __init__(self, codec: str, rate: int, channels: int, length_s: float, missing_share: float = 0.0) -> None:
        if channels < 1 or rate < 1:
            raise UnreadableRecording(f"its header makes no sense: {channels} channels at {rate} samples per second")
        if channels > MOST_CHANNELS:
            raise UnreadableRecording(f"its header claims {channels} channels: more than {MOST_CHANNELS} are not read")
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise UnreadableRecording(
                f"its header claims {rate:,} samples per second: only {LOWEST_RATE:,} to {HIGHEST_RATE:,} are read"
            )
        self.codec, self.rate, self.channels, self.length_s = codec, rate, channels, length_s
        self.missing_share = missing_share
        self.notes: list[str] = []
        self.find_scale: Callable[[], float] | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples from start to end, in blocks shaped (channels, samples), float32.

        A stream can be read only once. Raises UnreadableRecording if nothing can be decoded, and as soon as there is
        more than `LONGEST_HOURS` of sound.
        """
        samples_read = 0
        scale = self.find_scale() if self.find_scale else 1.0
        if scale != 1:
            self.notes.append(scale_note(scale))
        for block in self._decoded():
            samples_read += block.shape[1]
            check_length(samples_read / self.rate)
            yield block if scale == 1 else block / np.float32(scale)
        if self.missing_share > TOLERATED_LOSS:
            present_s, present_share = samples_read / self.rate, max(1 - self.missing_share, 1e-9)
            self.notes.append(
                f"truncated: {format_duration(present_s)} of {format_duration(present_s / present_share)}"
            )

    def _decoded(self) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def block_size(self) -> int:
        """Return the number of samples per channel in a block."""
        return min(int(BLOCK_S * self.rate), MOST_IN_BLOCK // self.channels)


def check_length(seconds: float) -> None:
    """Raise UnreadableRecording if there is more than `LONGEST_HOURS` of sound."""
    if seconds > LONGEST_HOURS * 3600:
        raise UnreadableRecording(f"it unpacks to more than {LONGEST_HOURS} hours of sound, which is more than is read")


class Source:
    """A file object for libsndfile and FFmpeg.

    Its position does not change if a damaged header makes libsndfile seek to before the start of the file. It stores
    the error of a failed read, as on a network share that has become unavailable, because libsndfile takes that for the
    end of the file.
    """

    def __init__(self, file: Any) -> None:
        self._file, self._position = file, 0
        self._last_mover: list[Source | None] = [None]  # the twin that moved the file last, shared by all twins
        self._remaining_bytes: int | None = None
        self.error: Exception | None = None

    def twin(self) -> "Source":
        """Return another source on the same file, with its own position."""
        twin = Source(self._file)
        twin._last_mover = self._last_mover
        return twin

    def tell(self) -> int:
        """Return the position, which reads by another source on the file do not change."""
        return self._position

    def allow(self, size: int) -> None:
        """Limit further reads by `read` to `size` bytes in total; if one goes beyond, it fails and `check` raises."""
        self._remaining_bytes = size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none if reading failed."""
        try:
            self._enforce_limit(size)
            self._restore_position()
            content = bytes(self._file.read(size))
        except Exception as error:
            self.error = error
            return b""
        self._position += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer and return the number of bytes; 0 if reading failed."""
        try:
            self._restore_position()
            length = int(self._file.readinto(buffer))
        except Exception as error:
            self.error = error
            return 0
        self._position += length
        return length

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move like any file and return the new position; -1 if it is invalid, which FFmpeg takes for an error."""
        self._last_mover[0] = None
        try:
            if whence != os.SEEK_END:
                offset, whence = offset + (self._position if whence == os.SEEK_CUR else 0), os.SEEK_SET
            self._file.seek(offset, whence)
            self._position = int(self._file.tell())
            self._last_mover[0] = self
        except (OSError, ValueError, OverflowError):
            return -1
        return self._position

    def check(self) -> None:
        """Raise UnreadableRecording if a read has failed."""
        if isinstance(self.error, UnreadableRecording):
            raise self.error
        if self.error:
            reason = getattr(self.error, "strerror", None) or f"{type(self.error).__name__}: {self.error}"
            raise UnreadableRecording(f"reading it failed: {show(reason)}")

    def _restore_position(self) -> None:
        """Move the file to the position of this source, unless it is there already."""
        if self._last_mover[0] is not self:
            self._file.seek(self._position)
            self._last_mover[0] = self

    def _enforce_limit(self, size: int) -> None:
        if self._remaining_bytes is None:
            return
        self._remaining_bytes -= size
        if self._remaining_bytes < 0:
            raise UnreadableRecording(f"its header or a packet of it is larger than {MOST_READ >> 20} MB")


def format_duration(seconds: float) -> str:
    """Format seconds as m:ss, or as h:mm:ss from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
