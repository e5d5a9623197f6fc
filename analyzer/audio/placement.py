"""Place decoded sound at the times that its container gives: gaps become silence, overlapping sound is kept once."""

from collections.abc import Iterator

import numpy as np

from analyzer.audio.stream import check_length

#: Timestamps of frames are rounded and jitter: sound is moved only if it would be off by more than this, in seconds.
TOLERATED_S = 0.04
#: A timestamp further back than this is no overlap: the clock was set back.
_LONGEST_OVERLAP_S = 1.0
#: A gap longer than this must be confirmed by the next frame, since a single timestamp may be damaged.
_LONG_GAP_S = 60.0


class Placement:
    """Assembles one track from frames and their times, without gaps and starting at 0.

    Parameters
    ----------
    rate, channels : sample rate and number of channels of the track.
    most : maximum number of samples per channel in a block of silence.

    Attributes
    ----------
    restarts : positions, in seconds, at which the times of the container jumped back.
    """

    def __init__(self, rate: int, channels: int, most: int) -> None:
        self._rate, self._channels, self._most = rate, channels, most
        self._done, self._shift_s, self._overlaps = 0, 0.0, False
        self._doubtful: tuple[np.ndarray, float] | None = None
        self.restarts: list[float] = []

    def place(self, samples: np.ndarray, at_s: float | None) -> Iterator[np.ndarray]:
        """Yield the blocks that a frame adds, shaped (channels, samples) like the frame.

        A frame without a time follows the previous one. A gap is filled with many blocks of silence, so that a long one
        needs no memory. Raises UnreadableRecording if a gap makes the recording too long.
        """
        if self._doubtful:
            yield from self._confirmed(at_s)
        late_s = self._late_s(at_s)
        if at_s is not None and not -_LONGEST_OVERLAP_S <= late_s <= _LONG_GAP_S:
            self._doubtful = (samples, at_s)
        else:
            yield from self._placed(samples, late_s)

    def finish(self) -> Iterator[np.ndarray]:
        """Yield what is left after all frames have been placed."""
        if self._doubtful:
            yield from self._confirmed(None)

    def _late_s(self, at_s: float | None) -> float:
        """Return how many seconds after the end of the placed sound a frame starts; negative for an overlap."""
        return 0.0 if at_s is None else at_s + self._shift_s - self._done / self._rate

    def _confirmed(self, next_s: float | None) -> Iterator[np.ndarray]:
        """Place a frame with an unlikely time, now that the time of the next one is known."""
        assert self._doubtful
        samples, at_s = self._doubtful
        self._doubtful = None
        late_s = self._late_s(at_s)
        is_back = late_s < 0
        if is_back:
            is_wrong = next_s is not None and next_s > at_s + _LONGEST_OVERLAP_S
        else:
            is_wrong = next_s < at_s - _LONGEST_OVERLAP_S if next_s is not None else self._done > 0
        if is_back and not is_wrong:
            if self._done:
                self.restarts.append(self._done / self._rate)
            self._shift_s -= late_s
        yield from self._placed(samples, 0.0 if is_back or is_wrong else late_s)

    def _placed(self, samples: np.ndarray, late_s: float) -> Iterator[np.ndarray]:
        late = round(late_s * self._rate)
        # Once sound overlaps, it is cut to the exact sample, without a tolerance; so is sound before the start.
        self._overlaps = late_s < -TOLERATED_S or (late < 0 and (self._overlaps or not self._done))
        if self._overlaps:
            samples = samples[:, -late:]
        elif late_s > TOLERATED_S:
            yield from self._silence(late)
        self._done += samples.shape[1]
        if samples.size:
            yield samples

    def _silence(self, count: int) -> Iterator[np.ndarray]:
        self._done += count
        check_length(self._done / self._rate)
        for start in range(0, count, self._most):
            yield np.zeros((self._channels, min(self._most, count - start)), np.float32)
