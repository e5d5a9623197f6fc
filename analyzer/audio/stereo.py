"""Detection of both channels identical: whether two channels carry two speakers, or the same conversation twice.

A mono mix stored as stereo is seldom bit-identical on both channels: a lossy codec, a different gain, a filter or a
short delay makes them differ. The decision is therefore based on the levels of both channels over the whole recording:

1. Two speakers: each channel is at times clearly louder than the other, for 0.3 s and longer (it "leads"). If both
   channels carry one mix, at most one of them ever leads, whatever the gain, delay, filter or noise.
2. If at most one channel leads, the channels carry one conversation if both are active at similar levels and their
   waveforms are coherent. Two people who always talk at the same time have similar levels, but unrelated waveforms.

Measured on composed calls of two actors and on a real call:

- 60 variants of one conversation (MP3, AAC, Opus and AMR at 5 to 128 kbit/s, gains up to 12 dB, delays up to 50 ms,
  filters, mu-law, noise, clicks, automatic gain, lost packets, clock drift, polarity, offset, and combinations): the
  channel that leads less led for at most 0.1 % of the active time. Coherence was at least 0.68, and at least 0.86 for
  delays of up to 20 ms.
- 40 variants of two speakers (crosstalk of -12 to -40 dB, delayed by up to 100 ms, low bit rates, gains, 75 % hold
  music on both channels, two seconds of speech on one): each channel led for at least 2.8 %. The exception is two
  seconds of speech within the other speaker's speech, with crosstalk of -12 dB.
- Two speakers who always talk at the same time, including synthetic voices: coherence of at most 0.44 over 4 s, 0.24
  over 10 s and 0.12 over 30 s; with crosstalk of -20 dB, 0.25 over 10 s and more. With crosstalk of -12 dB it reaches
  0.85, so they may count as one conversation if neither ever talks alone.
- With crosstalk of -6 dB the channels count as one conversation, from -8 dB on as two speakers. With crosstalk of -6 dB
  delayed by 100 ms they count as two speakers.

The thresholds were chosen on these same measurements, so the margins on other recordings may be smaller.

Levels cannot distinguish some cases. A silent speaker's channel with crosstalk of -12 dB counts as one conversation.
One conversation with a gain difference of more than 16 dB counts as two channels, one of which has only crosstalk.
"""

from dataclasses import dataclass

import numpy as np

SAME_CONVERSATION = "both channels carry the same conversation"
FAKE_STEREO = "both channels identical"

#: Two channels whose difference is this far below their sum are identical.
_IDENTICAL_DB = 40.0

#: Frame length in seconds. The power of a frame is the mean variance of pieces of 2.5 ms, so that a constant offset or
#: mains hum does not change it.
FRAME_S = 0.1
_PIECES = 40
#: Lowest level and number of the histogram bins of 1 dB. Float samples may be far above full scale.
_LOWEST_DB, _BINS = -100, 201
_ROW_BIN, _COLUMN_BIN = np.ogrid[:_BINS, :_BINS]
#: Levels are averaged over `_SMOOTHING_FRAMES`, and compared over `_COMPARED_AVERAGES`, so that neither a delayed
#: onset on one channel nor a single syllable makes a channel the louder one.
_SMOOTHING_FRAMES, _COMPARED_AVERAGES = 5, 3

#: Noise level of a channel: this quantile of its levels, without digital silence, but at least `_LEAST_NOISE_DB`.
_NOISE_QUANTILE, _SILENT_DB, _LEAST_NOISE_DB = 0.05, -85, -70
#: A channel is active this far above its noise level. It leads if it is active and this much louder than the other.
_ACTIVE_DB, _LEADS_DB = 10, 7
#: Minimum time for which each of two speakers leads, and minimum share of the active time.
_LEAST_LEAD_S, _LEAST_LEAD_SHARE = 0.3, 0.01
#: If the channels carry one conversation, the second is the more complete one if its lead is longer by this share of
#: the active time.
_MORE_COMPLETE_SHARE = 0.1
#: Maximum level difference of channels with the same audio: a channel that is softer by more carries crosstalk.
_MOST_GAIN_DB = 16
#: One conversation: minimum time for which both are active at similar levels, and minimum share of the active time of
#: the less active channel.
_LEAST_SHARED_S, _LEAST_SHARED_SHARE = 0.5, 0.5


@dataclass(frozen=True)
class Verdict:
    """Result of comparing two channels.

    Attributes
    ----------
    is_one : whether they carry one conversation and must be analysed as one channel.
    channel : the channel to analyse in that case, counted from 1: the more complete one, if one leads.
    note : anything unusual about the channels; empty if there is nothing.
    """

    is_one: bool
    channel: int
    note: str


#: Verdict on two separate channels, and on recordings that do not have two channels.
NOT_STEREO = Verdict(False, 1, "")


class ChannelComparison:
    """Comparison of two channels of any length in constant memory; the verdict does not depend on the block size.

    Parameters
    ----------
    rate : samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._piece = max(2, round(rate * FRAME_S / _PIECES))
        self._rest = np.empty((2, 0), np.float32)
        self._powers = np.zeros((2, 0), np.float32)
        #: Joint histogram of the simultaneous levels of both channels, shaped (bins, bins).
        self._levels = np.zeros((_BINS, _BINS), np.int64)
        #: Per channel: the same of its lowest and the other channel's highest averaged level within 0.3 s.
        self._sustained = np.zeros((2, _BINS, _BINS), np.int64)
        self._power = self._product = 0.0
        self._coherence = _Coherence(rate)

    def push(self, block: np.ndarray) -> None:
        """Process the next samples, shaped (2, samples)."""
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
        # Added one by one, so that rounding of the sums does not depend on the block size.
        for power, product in zip(squares.mean(axis=2).sum(axis=0), products, strict=True):
            self._power += float(power)
            self._product += float(product)
        self._add_to_histograms(powers)
        self._coherence.push(whole.reshape(2, frames // 2, 2 * frame), powers.reshape(2, -1, 2).mean(axis=2))

    def _add_to_histograms(self, powers: np.ndarray) -> None:
        """Add new frames to the histograms; `powers` is shaped (2, frames)."""
        self._levels += _pair_counts(*_bins(powers))
        window = np.lib.stride_tricks.sliding_window_view
        history = np.concatenate([self._powers, powers], axis=1)
        self._powers = history[:, -(_SMOOTHING_FRAMES + _COMPARED_AVERAGES - 2) :]
        if history.shape[1] < _SMOOTHING_FRAMES + _COMPARED_AVERAGES - 1:
            return
        windows = window(_bins(window(history, _SMOOTHING_FRAMES, axis=1).mean(axis=2)), _COMPARED_AVERAGES, axis=1)
        lowest, highest = windows.min(axis=2), windows.max(axis=2)
        self._sustained[0] += _pair_counts(lowest[0], highest[1])
        self._sustained[1] += _pair_counts(lowest[1], highest[0])

    @property
    def verdict(self) -> Verdict:
        """The verdict on all samples so far; two separate channels unless the checks establish one conversation."""
        if self._is_identical:
            return Verdict(True, 1, FAKE_STEREO)
        silent = [not self._levels.sum(axis=1 - channel)[1:].any() for channel in range(2)]
        if any(silent):
            return Verdict(False, 1, "" if all(silent) else f"channel {1 + silent.index(True)} is silent")
        if self._both_lead or not self._share_speech or not self._coherence.is_high:
            return NOT_STEREO
        first, second = self._lead_s
        if second - first > _MORE_COMPLETE_SHARE * self._active_s:
            return Verdict(True, 2, f"{SAME_CONVERSATION}, channel 2 was analysed")
        return Verdict(True, 1, SAME_CONVERSATION)

    @property
    def may_be_one(self) -> bool:
        """Whether the channels may carry one conversation; a check for streams, usable after few samples."""
        return self._is_identical or (self._coherence.is_high and not self._both_lead)

    @property
    def _is_identical(self) -> bool:
        sum_power, difference_power = self._power + 2 * self._product, self._power - 2 * self._product
        return self._power > 0 and difference_power <= sum_power * 10 ** (-_IDENTICAL_DB / 10)

    @property
    def _active_from(self) -> list[int]:
        """Lowest bin at which each channel is active."""
        return [_noise_bin(self._levels.sum(axis=1 - channel)) + _ACTIVE_DB for channel in range(2)]

    @property
    def _active_s(self) -> float:
        """Seconds in which at least one channel is active."""
        first, second = self._active_from
        return float(self._levels.sum() - self._levels[:first, :second].sum()) * FRAME_S

    @property
    def _lead_s(self) -> list[float]:
        """Seconds in which each channel leads."""
        leads = _ROW_BIN - _COLUMN_BIN >= _LEADS_DB
        return [
            float(counts[leads & (active_from <= _ROW_BIN)].sum()) * FRAME_S
            for counts, active_from in zip(self._sustained, self._active_from, strict=True)
        ]

    @property
    def _both_lead(self) -> bool:
        """Whether each channel leads for long enough to be a speaker of its own."""
        return min(self._lead_s) >= max(_LEAST_LEAD_S, _LEAST_LEAD_SHARE * self._active_s)

    @property
    def _share_speech(self) -> bool:
        """Whether both channels are active at the same time, at levels that a difference in gain can explain."""
        first, second = self._active_from
        similar = np.abs(_ROW_BIN - _COLUMN_BIN) <= _MOST_GAIN_DB
        shared = int(self._levels[similar & (first <= _ROW_BIN) & (second <= _COLUMN_BIN)].sum())
        less_active = min(int(self._levels[first:].sum()), int(self._levels[:, second:].sum()))
        return shared * FRAME_S >= _LEAST_SHARED_S and shared >= _LEAST_SHARED_SHARE * less_active


def _bins(power: np.ndarray) -> np.ndarray:
    """Return the histogram bin of each power."""
    level = 10 * np.log10(np.maximum(power, 10 ** (_LOWEST_DB / 10)))
    bins: np.ndarray = np.clip(np.rint(level - _LOWEST_DB), 0, _BINS - 1).astype(np.intp)
    return bins


def _pair_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the counts of all pairs of bins, shaped (bins, bins)."""
    return np.bincount(first * _BINS + second, minlength=_BINS * _BINS).reshape(_BINS, _BINS)


def _noise_bin(counts: np.ndarray) -> int:
    """Return the bin of a channel's noise level, given its histogram `counts`, shaped (bins,)."""
    non_silent = np.where(np.arange(_BINS) >= _SILENT_DB - _LOWEST_DB, counts, 0)
    if not non_silent.any():
        return _BINS
    quantile = int(np.searchsorted(np.cumsum(non_silent), _NOISE_QUANTILE * non_silent.sum(), side="right"))
    return max(quantile, _LEAST_NOISE_DB - _LOWEST_DB)


class _Coherence:
    """Coherence of two waveforms, over frames of 0.2 s in which both channels have sound at similar levels.

    It is 1 if one channel is a filtered, inverted or scaled copy of the other. It decreases with the delay between them
    and is low for unrelated waveforms. It is measured over stretches of 3.2 s of such frames and averaged, so that
    clock drift and changing delays do not matter. Of a long recording, only a part of the stretches is used.
    """

    _STRETCH = 16
    _FIRST_STRETCHES, _LATER_STEP = 12, 8  # stretches
    _BAND_HZ = (200, 3400)
    _LEAST_DB = -70.0
    _THRESHOLD = 0.55

    def __init__(self, rate: int) -> None:
        size = 2 * _PIECES * max(2, round(rate * FRAME_S / _PIECES))
        self._window = np.hanning(size).astype(np.float32)
        self._lines = slice(*(round(hz * size / rate) for hz in self._BAND_HZ))
        self._begin_stretch()
        self._frames_seen = 0
        self._coherent = self._total = 0.0

    def push(self, frames: np.ndarray, powers: np.ndarray) -> None:
        """Process the next frames, shaped (2, frames, samples), and their powers, shaped (2, frames)."""
        level = 10 * np.log10(np.maximum(powers, 1e-12))
        similar = np.abs(level[0] - level[1]) <= _MOST_GAIN_DB
        for k in np.flatnonzero(similar & (level.min(axis=0) > self._LEAST_DB)):
            stretch, number = divmod(self._frames_seen, self._STRETCH)
            self._frames_seen += 1
            if stretch < self._FIRST_STRETCHES or stretch % self._LATER_STEP == 0:
                self._add(frames[:, k], powers[:, k])
                if number == self._STRETCH - 1:
                    self._end_stretch()

    def _begin_stretch(self) -> None:
        self._cross_spectrum = np.zeros(self._lines.stop - self._lines.start, np.complex128)
        self._auto_spectra = np.zeros((2, len(self._cross_spectrum)))

    def _add(self, frame: np.ndarray, power: np.ndarray) -> None:
        # Loud frames weigh more because noise matters less in them, but less than in proportion to their power.
        spectra = np.fft.rfft(frame * self._window)[:, self._lines] / power[:, None] ** 0.25
        self._cross_spectrum += spectra[0] * spectra[1].conj()
        self._auto_spectra += np.square(np.abs(spectra))

    def _end_stretch(self) -> None:
        coherent, total = self._stretch_power()
        self._coherent += coherent
        self._total += total
        self._begin_stretch()

    def _stretch_power(self) -> tuple[float, float]:
        """Return the coherent power and the total power of the current stretch."""
        return float(np.square(np.abs(self._cross_spectrum)).sum()), float(np.prod(self._auto_spectra, axis=0).sum())

    @property
    def is_high(self) -> bool:
        """Whether the waveforms are too coherent for two speakers."""
        return self.value >= self._THRESHOLD

    @property
    def value(self) -> float:
        """The coherence, between 0 and 1; 0 if there was nothing to compare, 1 for a single frame."""
        coherent, total = (self._coherent, self._total) if self._total else self._stretch_power()
        return coherent / total if total else 0.0
