"""Whether the two channels of a recording carry two speakers, or one conversation twice.

A mono mix that was stored as stereo is seldom bit-identical on both channels: a lossy codec, another gain, a filter or
a short delay makes them differ. So the decision is made from the levels of both channels over the whole recording:

1. Two speakers: each channel is at times clearly louder than the other one, for 0.3 s and longer. Where both channels
   carry one mix, whatever its gain, delay, filter or noise, at most one of them is ever the louder one.
2. Where this does not decide it, the channels carry one conversation if both are active at similar levels and their
   waveforms are coherent: two people who always talk at once have similar levels, but unrelated waveforms.

Measured on composed calls of two actors and a real call:

- 60 forms of one conversation (MP3, AAC, Opus and AMR at 5 to 128 kbit/s, gains to 12 dB, delays to 50 ms, filters,
  mu-law, noise, clicks, automatic gain, lost packets, clock drift, polarity, offset, and mixtures of these): the
  channel that leads less led for at most 0.1 % of the active time; coherence was at least 0.68, and 0.86 for delays of
  up to 20 ms.
- 40 forms of two speakers (crosstalk of -12 to -40 dB, delayed by up to 100 ms, low bit rates, gains, 75 % hold music
  on both channels, two seconds of speech on one): each led for at least 2.8 %, but for two seconds that lay within the
  other's speech, with crosstalk of -12 dB.
- Two who always talk at once, also voices made by a program: coherence of at most 0.44 in four seconds, 0.24 in ten and
  0.12 in thirty; with crosstalk of -20 dB 0.25 in ten and more. With crosstalk of -12 dB it is up to 0.85, so that they
  may count as one conversation where neither ever talks alone.
- With crosstalk of -6 dB the channels count as one conversation, from -8 dB on as two speakers; with crosstalk of -6 dB
  that is 100 ms late as two speakers.

The limits were chosen by these same measurements, so the margins on other recordings may be smaller.

Some cases look the same in the levels: crosstalk of -12 dB beside a side that says nothing counts as one conversation,
and one conversation with a gain difference of more than 16 dB as two channels, one of which has crosstalk only.
"""

from dataclasses import dataclass

import numpy as np

SAME_CONVERSATION = "both channels carry the same conversation"
FAKE_STEREO = "fake stereo"

#: Two channels whose difference is this far below their sum are identical.
_IDENTICAL_DB = 40.0

#: A frame is 0.1 s. Its power is the mean variance of pieces of 2.5 ms, which an offset or mains hum does not change.
FRAME_S = 0.1
_PIECES = 40
#: Levels are counted in bins of 1 dB from here on. Float samples may be far above full scale.
_LOWEST_DB, _BINS = -100, 201
_OWN_BIN, _OTHER_BIN = np.ogrid[:_BINS, :_BINS]
#: Levels are averaged over so many frames, and compared over so many of these averages, so that neither an onset that
#: is delayed on one channel nor a single syllable makes a channel the louder one.
_SMOOTH, _HOLD = 5, 3

#: Noise of a channel: this quantile of its levels, of those that are no digital silence.
_NOISE_QUANTILE, _SILENT_DB, _LEAST_NOISE_DB = 0.05, -85, -70
#: A channel is active this far above its noise. It leads where it is active and so much louder than the other one.
_ACTIVE_DB, _LEADS_DB = 10, 7
#: Each of two speakers leads for so long at least, and for so much of the active time.
_LEAST_LEAD_S, _LEAST_LEAD_SHARE = 0.3, 0.01
#: A channel that leads for so much more of the active time than the other one is the fuller one of one conversation.
_FULLER_SHARE = 0.1
#: Channels whose levels differ by more do not carry one sound: what is softer by so much is crosstalk.
_MOST_GAIN_DB = 16
#: One conversation: both are active at similar levels for so long, and for so much of the time of the less active one.
_LEAST_SHARED_S, _LEAST_SHARED_SHARE = 0.5, 0.5


@dataclass(frozen=True)
class Verdict:
    """What two channels are.

    Attributes
    ----------
    is_one : whether they carry one conversation, and are to be analysed as one channel.
    channel : the channel to analyse then, counted from 1: the fuller one, where one leads.
    note : what a reader should know; empty where nothing is odd.
    """

    is_one: bool
    channel: int
    note: str


#: The verdict on recordings that do not have two channels.
NOT_STEREO = Verdict(False, 1, "")


class ChannelComparison:
    """Compares two channels of any length in constant memory; the verdict does not depend on the size of blocks.

    Parameters
    ----------
    rate : samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._piece = max(2, round(rate * FRAME_S / _PIECES))
        self._rest = np.empty((2, 0), np.float32)
        self._powers = np.zeros((2, 0), np.float32)
        #: How often the channels had which levels at the same time, shaped (bins, bins).
        self._levels = np.zeros((_BINS, _BINS), np.int64)
        #: The same, of each channel's lowest and the other one's highest averaged level of 0.3 s.
        self._sustained = np.zeros((2, _BINS, _BINS), np.int64)
        self._power = self._product = 0.0
        self._coherence = _Coherence(rate)

    def push(self, block: np.ndarray) -> None:
        """Take the next samples, shaped (2, samples)."""
        samples = np.concatenate([self._rest, block], axis=1)
        frame = self._piece * _PIECES
        frames = samples.shape[1] // (2 * frame) * 2
        whole, self._rest = np.ascontiguousarray(samples[:, : frames * frame]), samples[:, frames * frame :].copy()
        if not frames:
            return
        first, second = whole.reshape(2, frames, frame)
        pieces = whole.reshape(2, frames, _PIECES, self._piece)
        squares = np.einsum("cfps,cfps->cfp", pieces, pieces) / self._piece
        means = np.einsum("cfps->cfp", pieces) / self._piece
        powers = np.maximum(squares - np.square(means), 0).mean(axis=2)
        products = np.einsum("fs,fs->f", first, second) / frame
        # One by one, so that the sums do not depend on how many frames come at a time.
        for power, product in zip(squares.mean(axis=2).sum(axis=0), products, strict=True):
            self._power += float(power)
            self._product += float(product)
        self._count(powers)
        self._coherence.push(whole.reshape(2, frames // 2, 2 * frame), powers.reshape(2, -1, 2).mean(axis=2))

    def _count(self, powers: np.ndarray) -> None:
        """Count the levels of new frames, whose powers are shaped (2, frames)."""
        self._levels += _counted(*_bins(powers))
        window = np.lib.stride_tricks.sliding_window_view
        known = np.concatenate([self._powers, powers], axis=1)
        self._powers = known[:, -(_SMOOTH + _HOLD - 2) :]
        if known.shape[1] < _SMOOTH + _HOLD - 1:
            return
        held = window(_bins(window(known, _SMOOTH, axis=1).mean(axis=2)), _HOLD, axis=1)
        lowest, highest = held.min(axis=2), held.max(axis=2)
        self._sustained[0] += _counted(lowest[0], highest[1])
        self._sustained[1] += _counted(lowest[1], highest[0])

    @property
    def verdict(self) -> Verdict:
        """What the channels are, by all samples so far; one conversation where it cannot be decided."""
        if self._is_identical:
            return Verdict(True, 1, FAKE_STEREO)
        silent = [not self._levels.sum(axis=1 - channel)[1:].any() for channel in range(2)]
        if any(silent):
            return Verdict(False, 1, "" if all(silent) else f"channel {1 + silent.index(True)} is silent")
        if self._both_lead or not self._share_speech or not self._coherence.is_high:
            return NOT_STEREO
        first, second = self._lead_s
        if second - first > _FULLER_SHARE * self._active_s:
            return Verdict(True, 2, f"{SAME_CONVERSATION}, channel 2 was analysed")
        return Verdict(True, 1, SAME_CONVERSATION)

    @property
    def may_be_one(self) -> bool:
        """Whether the channels may carry one conversation, as long as there is little to go by."""
        return self._is_identical or (self._coherence.is_high and not self._both_lead)

    @property
    def _is_identical(self) -> bool:
        sum_power, difference_power = self._power + 2 * self._product, self._power - 2 * self._product
        return self._power > 0 and difference_power <= sum_power * 10 ** (-_IDENTICAL_DB / 10)

    @property
    def _active_from(self) -> list[int]:
        """The bin from which on each channel is active."""
        return [_noise_bin(self._levels.sum(axis=1 - channel)) + _ACTIVE_DB for channel in range(2)]

    @property
    def _active_s(self) -> float:
        """Seconds in which at least one channel is active."""
        first, second = self._active_from
        return float(self._levels.sum() - self._levels[:first, :second].sum()) * FRAME_S

    @property
    def _lead_s(self) -> list[float]:
        """Seconds in which each channel leads."""
        leads = _OWN_BIN - _OTHER_BIN >= _LEADS_DB
        return [
            float(counts[leads & (active_from <= _OWN_BIN)].sum()) * FRAME_S
            for counts, active_from in zip(self._sustained, self._active_from, strict=True)
        ]

    @property
    def _both_lead(self) -> bool:
        """Whether each channel is the louder one for long enough."""
        return min(self._lead_s) >= max(_LEAST_LEAD_S, _LEAST_LEAD_SHARE * self._active_s)

    @property
    def _share_speech(self) -> bool:
        """Whether both channels are active together, at levels that a difference in gain explains."""
        first, second = self._active_from
        alike = np.abs(_OWN_BIN - _OTHER_BIN) <= _MOST_GAIN_DB
        shared = int(self._levels[alike & (first <= _OWN_BIN) & (second <= _OTHER_BIN)].sum())
        less_active = min(int(self._levels[first:].sum()), int(self._levels[:, second:].sum()))
        return shared * FRAME_S >= _LEAST_SHARED_S and shared >= _LEAST_SHARED_SHARE * less_active


def _bins(power: np.ndarray) -> np.ndarray:
    """The bin of each power."""
    level = 10 * np.log10(np.maximum(power, 10 ** (_LOWEST_DB / 10)))
    return np.clip(np.rint(level - _LOWEST_DB), 0, _BINS - 1).astype(np.intp)


def _counted(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How often each pair of bins occurs, shaped (bins, bins)."""
    return np.bincount(own * _BINS + other, minlength=_BINS * _BINS).reshape(_BINS, _BINS)


def _noise_bin(counts: np.ndarray) -> int:
    """The bin of a channel's noise by its counted levels, shaped (bins,)."""
    sounding = np.where(np.arange(_BINS) >= _SILENT_DB - _LOWEST_DB, counts, 0)
    if not sounding.any():
        return _BINS
    quantile = int(np.searchsorted(np.cumsum(sounding), _NOISE_QUANTILE * sounding.sum(), side="right"))
    return max(quantile, _LEAST_NOISE_DB - _LOWEST_DB)


class _Coherence:
    """The coherence of two waveforms, over frames of 0.2 s in which both channels sound at similar levels.

    It is 1 where one channel is the other one through any filter, polarity and gain, falls with the delay, and is low
    for unrelated waveforms. It is measured over stretches of 3.2 s of such frames and averaged, so that clocks that
    drift and delays that change do not matter. Of a long recording a part of the stretches is enough.
    """

    _STRETCH = 16
    _ALL_OF, _THEN_ONE_IN = 12, 8  # stretches
    _BAND_HZ = (200, 3400)
    _LEAST_DB = -70.0
    _HIGH = 0.55

    def __init__(self, rate: int) -> None:
        size = 2 * _PIECES * max(2, round(rate * FRAME_S / _PIECES))
        self._window = np.hanning(size).astype(np.float32)
        self._lines = slice(*(round(hz * size / rate) for hz in self._BAND_HZ))
        self._begin_stretch()
        self._seen = 0
        self._coherent = self._total = 0.0

    def push(self, frames: np.ndarray, powers: np.ndarray) -> None:
        """Take the next frames, shaped (2, frames, samples), and their powers, shaped (2, frames)."""
        level = 10 * np.log10(np.maximum(powers, 1e-12))
        alike = np.abs(level[0] - level[1]) <= _MOST_GAIN_DB
        for k in np.flatnonzero(alike & (level.min(axis=0) > self._LEAST_DB)):
            stretch, number = divmod(self._seen, self._STRETCH)
            self._seen += 1
            if stretch < self._ALL_OF or stretch % self._THEN_ONE_IN == 0:
                self._add(frames[:, k], powers[:, k])
                if number == self._STRETCH - 1:
                    self._end_stretch()

    def _begin_stretch(self) -> None:
        self._cross = np.zeros(self._lines.stop - self._lines.start, np.complex128)
        self._own = np.zeros((2, len(self._cross)))

    def _add(self, frame: np.ndarray, power: np.ndarray) -> None:
        # Loud frames count for more, since noise matters less in them, but not as much more as they are louder.
        spectra = np.fft.rfft(frame * self._window)[:, self._lines] / power[:, None] ** 0.25
        self._cross += spectra[0] * spectra[1].conj()
        self._own += np.square(np.abs(spectra))

    def _end_stretch(self) -> None:
        coherent, total = self._stretch()
        self._coherent += coherent
        self._total += total
        self._begin_stretch()

    def _stretch(self) -> tuple[float, float]:
        """The coherent power of the present stretch, and all of its power."""
        return float(np.square(np.abs(self._cross)).sum()), float(np.prod(self._own, axis=0).sum())

    @property
    def is_high(self) -> bool:
        """Whether the waveforms are too coherent for two speakers."""
        return self.value >= self._HIGH

    @property
    def value(self) -> float:
        """Between 0 and 1; 0 where there was nothing to compare, 1 of a single frame."""
        coherent, total = (self._coherent, self._total) if self._total else self._stretch()
        return coherent / total if total else 0.0
