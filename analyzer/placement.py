"""Decoded sound at the times that its container gives: gaps become silence, and what overlaps is there once."""

from collections.abc import Iterator

import numpy as np

from analyzer.stream import check_length

#: Times of frames are rounded and jitter: sound is moved only where it would be further than this from its time.
TOLERATED_S = 0.04
#: Sound whose time lies so far back does not overlap with other sound: its clock was set back.
_LONGEST_OVERLAP_S = 1.0
#: A gap as long as this has to be confirmed by the next frame, since the time of a single one may be damaged.
_LONG_GAP_S = 60.0


class Placement:
    """Puts one track together from frames and their times, without gaps and from 0 on.

    Parameters
    ----------
    rate, channels : of the track.
    most : samples per channel of silence in one block.

    Attributes
    ----------
    restarts : the positions, in seconds, at which the times of the container jumped back.
    """

    def __init__(self, rate: int, channels: int, most: int) -> None:
        self._rate, self._channels, self._most = rate, channels, most
        self._done, self._shift_s, self._overlaps = 0, 0.0, False
        self._doubtful: tuple[np.ndarray, float] | None = None
        self.restarts: list[float] = []

    def place(self, samples: np.ndarray, at_s: float | None) -> Iterator[np.ndarray]:
        """The blocks that a frame adds, shaped (channels, samples) as it is; without a time, it follows the last one.

        A gap is filled in many blocks of silence, so that a long one takes no memory. Raises UnreadableRecording where
        it makes the recording longer than any that is read.
        """
        if self._doubtful:
            yield from self._confirmed(at_s)
        late_s = self._late_s(at_s)
        if at_s is not None and not -_LONGEST_OVERLAP_S <= late_s <= _LONG_GAP_S:
            self._doubtful = (samples, at_s)
        else:
            yield from self._placed(samples, late_s)

    def finish(self) -> Iterator[np.ndarray]:
        """What is left, once all frames have been placed."""
        if self._doubtful:
            yield from self._confirmed(None)

    def _late_s(self, at_s: float | None) -> float:
        """How long after the end of what has been placed a frame is due."""
        return 0.0 if at_s is None else at_s + self._shift_s - self._done / self._rate

    def _confirmed(self, next_s: float | None) -> Iterator[np.ndarray]:
        """A frame that is due at an unlikely time, now that the time of the next one is known."""
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
        # Once sound overlaps, it is left out to the last sample; and so is what is due before the start.
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
