"""Where somebody speaks: one channel's samples in, segments of speech out, as the sound goes by.

Two questions are asked, both of short spectra between 200 and 3400 Hz, the band of a telephone line. Is this frame
well above the noise of the line, the least level of the last seconds (minimum statistics: Martin, 2001)? And does the
spectrum of a piece that is, move from syllable to syllable and hold more than a few lines, as in speech, or stand still
as in steady noise, or hold two lines as the tones of a telephone do? Speech behind noise moves little: then a network
may decide. Nothing waits for the end of the recording, so
memory stays the same however long it is, and whoever listens while somebody speaks gets the same segments.
"""

from dataclasses import dataclass

import numpy as np

from analyzer.features import band_spectra
from analyzer.levels import without_offset

FRAME_S = 0.032
HOP_S = 0.016
#: Seconds of levels that are kept: more than the longest segment and the pause after it.
LEVELS_S = 6.0
_BAND_EDGES_HZ = (200, 330, 460, 600, 760, 950, 1180, 1450, 1780, 2200, 2750, 3400)
_POWER_FLOOR = 1e-12
#: Frames over which the level is averaged before its minimum is taken for the noise.
_SMOOTH = 6
#: The noise of the line before anything was heard of it, so that a recording may begin in the middle of a word.
_FIRST_NOISE_DB = -52.0
#: Frames for which a level has to last to count as sustained: longer than a click.
_SUSTAINED = 12
#: How far below the loudest sustained level of the last minute speech may be, where that is soft.
_BELOW_SUSTAINED_DB = 28.0
#: Pitches of voices; and how alike a frame and itself a period later have to be.
_PITCHES_HZ, _HARMONICS_HZ, _VOICED = (65, 400), (150, 1600), 0.25
#: How far the loudest frame of speech is above its mean level, at least.
_PEAKS_DB = 5.0
#: How far a soft frame beside speech has to be above the softest one there.
_STANDS_OUT_DB = 3.0
#: Frames over which it is measured how soft a place is.
_SOFT = 5
#: Frames in one step of the movement of the spectrum; bands this far below the loudest count as still.
_BLOCK = 4
_RANGE_DB = 45.0
#: Lines that two tones fill: a Hann window widens each to three.
_LINES = 6


@dataclass(frozen=True)
class SpeechSettings:
    """What counts as speech, and how it is cut.

    Attributes
    ----------
    margin_db : how far above the noise of the line speech has to be.
    least_db : and above which level in dBFS, however quiet the line, once somebody has spoken louder than that.
    below_peak_db : and how far below the loudest of the last `memory_s` it may be.
    memory_s : seconds over which the noise and the loudest level are followed.
    quietest_db : stands in for `least_db` where nothing louder than `least_db` plus `below_peak_db` was sustained
        within the last `quiet_memory_s`.
    voiced_share : of a stretch below `least_db`, the share of loud frames that has to be periodic, as a voice is.
    edge_db : a stretch that counts as speech also takes in what is so much softer before and after it,
    before_s, after_s : for so long.
    bridge_s : pauses up to this length do not end a stretch of speech.
    least_s : a shorter stretch is a click, not speech.
    pad_s : added before and after a stretch, for soft consonants.
    longest_s : a stretch that grows longer is cut,
    cut_from_s, cut_to_s : where it is softest between these ages. So a segment's end is known `bridge_s` and what lies
        between `cut_from_s` and `longest_s` after it: a stream has a second, see `api`.
    movement_db : how far the spectrum has to move from syllable to syllable.
    doubtful_db, doubtful_voiced : speech in steady noise moves less. From this movement on, or with this share of
        periodic frames, a segment may still be speech.
    tonality : share of the power in a few lines from which on a sound is a tone.
    """

    margin_db: float = 9.0
    least_db: float = -58.0
    below_peak_db: float = 34.0
    memory_s: float = 12.0
    quietest_db: float = -84.0
    quiet_memory_s: float = 60.0
    voiced_share: float = 0.2
    edge_db: float = 6.0
    before_s: float = 0.2
    after_s: float = 0.22
    bridge_s: float = 0.25
    least_s: float = 0.15
    pad_s: float = 0.03
    longest_s: float = 2.85
    cut_from_s: float = 2.5
    cut_to_s: float = 2.7
    movement_db: float = 3.0
    doubtful_db: float = 1.5
    doubtful_voiced: float = 0.2
    tonality: float = 0.99


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of one channel in which something sounds.

    Attributes
    ----------
    start, end : seconds from the start of the recording.
    samples : the sound, shaped (samples,), at the rate of the detector.
    is_speech : whether it sounds like speech; else it is a tone, noise or the like.
    may_be_speech : whether it sounds like speech, or like speech in noise or music: a network has to decide.
    """

    start: float
    end: float
    samples: np.ndarray
    is_speech: bool
    may_be_speech: bool = True

    @property
    def level_db(self) -> float:
        """Mean level in dBFS (0 is a full-scale square wave)."""
        return 10 * float(np.log10(np.mean(np.square(self.samples, dtype=np.float64)) + _POWER_FLOOR))


class SpeechDetector:
    """Finds the segments of one channel in samples that are pushed to it piece by piece.

    What it finds does not depend on how the samples are cut into pieces.

    Parameters
    ----------
    rate : samples per second.
    settings : what counts as speech.

    Attributes
    ----------
    levels : of the frames since `levels_from`, in dBFS in the band, shaped (frames,): those of the last push, and of
        `LEVELS_S` before it.
    """

    def __init__(self, rate: int, settings: SpeechSettings) -> None:
        self.rate, self.settings = rate, settings
        self._frame, self._hop = round(FRAME_S * rate), round(HOP_S * rate)
        self._in_band, self._bands = _band_filters(rate, self._frame)
        self._memory = self._frames(settings.memory_s)
        self._samples = np.empty(0, np.float32)
        self._spectra = np.empty((0, len(self._bands)), np.float32)
        self._kept_from = 0  # the frame at which the kept samples and spectra begin
        self._past = np.full(self._memory + _SMOOTH - 1, 10 ** (_FIRST_NOISE_DB / 10), np.float32)
        self._sustained = np.full(self._frames(settings.quiet_memory_s), 10 * np.log10(_POWER_FLOOR), np.float32)
        self.levels, self.levels_from = np.empty(0, np.float32), 0
        self._least = np.empty(0, np.float32)  # the level in dBFS above which each kept frame counts
        self._open_at: int | None = None
        self._last_active = 0
        self._ended_at = 0.0  # seconds; where the last segment ended

    def push(self, samples: np.ndarray) -> list[Segment]:
        """Take the next samples, shaped (samples,); returns the segments that have ended by now, in order."""
        self._samples = np.concatenate([self._samples, samples])
        framed = self._kept_from + len(self._spectra)
        fresh = self._samples[len(self._spectra) * self._hop :]
        spectra = band_spectra(fresh, self._frame, self._hop, self._in_band)
        self._spectra = np.concatenate([self._spectra, spectra])
        power = spectra.sum(axis=1) * self._bands.max()
        levels, least = _decibel(power), self._least_levels(power)
        self._least = np.concatenate([self._least, least])
        self.levels_from += max(0, len(self.levels) - self._frames(LEVELS_S))
        self.levels = np.concatenate([self.levels[-self._frames(LEVELS_S) :], levels])
        active = framed + np.flatnonzero(levels > least)
        found = self._follow(active)
        last = framed + len(spectra) - 1
        if self._open_at is not None and last - self._last_active >= self._frames(self.settings.bridge_s):
            found += self._end()
        self._forget()
        return found

    def finish(self) -> list[Segment]:
        """The segments that the end of the recording ends."""
        return self._end() if self._open_at is not None else []

    def level_at(self, seconds: float) -> int:
        """The index into `levels` of the frame that begins at a time."""
        return round(seconds * self.rate / self._hop) - self.levels_from

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds / HOP_S))

    def _least_levels(self, power: np.ndarray) -> np.ndarray:
        """Above which level in dBFS each new frame stands out of the last seconds; `power` is shaped (frames,)."""
        if not len(power):
            return np.empty(0, np.float32)
        known = np.concatenate([self._past, power])
        self._past = known[-len(self._past) :]
        recent = _decibel(np.lib.stride_tricks.sliding_window_view(known, _SMOOTH).mean(axis=1))[1:]
        settings = self.settings
        least = np.maximum(running(np.minimum, recent, self._memory) + settings.margin_db, self._floor(recent))
        return np.maximum(least, running(np.maximum, recent, self._memory) - settings.below_peak_db)

    def _floor(self, recent: np.ndarray) -> np.ndarray:
        """The level that counts as too soft for speech: lower where all of the last minute was soft."""
        new = running(np.minimum, recent[self._memory - _SUSTAINED :], _SUSTAINED)
        known = np.concatenate([self._sustained[1:], new])
        self._sustained = np.concatenate([self._sustained, new])[-len(self._sustained) :]
        loudest = running(np.maximum, known, len(self._sustained))
        return np.clip(loudest - _BELOW_SUSTAINED_DB, self.settings.quietest_db, self.settings.least_db)

    def _follow(self, active: np.ndarray) -> list[Segment]:
        """Carry the stretch under way through the new active frames, given by their numbers."""
        found: list[Segment] = []
        bridge = self._frames(self.settings.bridge_s)
        breaks = np.flatnonzero(np.diff(active) > bridge) + 1
        for run in np.split(active, breaks):
            if not len(run):
                continue
            if self._open_at is not None and run[0] - self._last_active > bridge:
                found += self._end()
            if self._open_at is None:
                self._open_at = int(run[0])
            self._last_active = int(run[-1])
            found += self._cut()
        return found

    def _cut(self) -> list[Segment]:
        """End segments inside a stretch that has grown longer than one may be."""
        assert self._open_at is not None
        found = []
        while self._last_active - self._open_at >= self._frames(self.settings.longest_s):
            at = self._softest()
            found.append(self._segment(self._open_at, at, is_cut=True))
            self._open_at = at
        return found

    def _softest(self) -> int:
        """The frame at which the stretch under way is softest, of those where it may be cut."""
        assert self._open_at is not None
        first, last = (self._open_at + self._frames(s) for s in (self.settings.cut_from_s, self.settings.cut_to_s))
        levels = self._spectra[first - self._kept_from : last - self._kept_from].sum(axis=1)
        return first + _SOFT // 2 + int(np.convolve(levels, np.ones(_SOFT), mode="valid").argmin())

    def _end(self) -> list[Segment]:
        """End the stretch under way at its last active frame."""
        assert self._open_at is not None
        first, self._open_at = self._open_at, None
        if self._last_active - first + 1 < self._frames(self.settings.least_s):
            return []
        return [self._segment(first, self._last_active + 1)]

    def _segment(self, first: int, last: int, is_cut: bool = False) -> Segment:
        """The segment of the frames from `first` up to `last` and softer ones around, after it unless it `is_cut`."""
        settings, kept, pad = self.settings, self._kept_from, round(self.settings.pad_s * self.rate)
        room = max(0, self._frames(settings.longest_s) - (last - first))
        before = _leading(self._is_soft(max(kept, first - self._frames(settings.before_s)), first)[::-1], room)
        start = max((first - before) * self._hop - pad, round(self._ended_at * self.rate), kept * self._hop)
        if is_cut:
            end = last * self._hop
        else:
            after = _leading(self._is_soft(last, last + self._frames(settings.after_s)), room - before)
            end = (last - 1 + after) * self._hop + self._frame + pad
        samples = without_offset(self._samples[start - kept * self._hop : end - kept * self._hop])
        self._ended_at = (start + len(samples)) / self.rate
        return Segment(start / self.rate, self._ended_at, samples, *self._is_speech(first, last, samples))

    def _is_soft(self, first: int, last: int) -> np.ndarray:
        """Which of these frames are not quite loud enough, but stand out of the softest of them."""
        levels = self.levels[first - self.levels_from : last - self.levels_from]
        least = self._least[first - self._kept_from : last - self._kept_from] - self.settings.edge_db
        return levels > np.maximum(least, levels.min(initial=0.0) + _STANDS_OUT_DB)

    def _is_speech(self, first: int, last: int, samples: np.ndarray) -> tuple[bool, bool]:
        """Whether a segment of these frames is speech, and whether it may be.

        Speech is no tone and, where it is soft, has a voice in it; and it moves, or may do so behind noise.
        """
        settings, spectra = self.settings, self._spectra[first - self._kept_from : last - self._kept_from]
        if tonality(spectra) >= settings.tonality:
            return False, False
        moves = movement(spectra @ self._bands)
        is_soft = self.levels[first - self.levels_from : last - self.levels_from].max() < settings.least_db + _PEAKS_DB
        if moves >= settings.movement_db and not is_soft:
            return True, True
        voiced = voiced_share(samples, self.rate)
        if is_soft and voiced < settings.voiced_share:
            return False, False
        return moves >= settings.movement_db, moves >= settings.doubtful_db or voiced >= settings.doubtful_voiced

    def _forget(self) -> None:
        """Let go of what no later segment can begin in."""
        next_frame = self._kept_from + len(self._spectra)
        first = next_frame if self._open_at is None else self._open_at
        margin = self._frames(self.settings.before_s) + self._frames(self.settings.pad_s) + 1
        drop = max(0, first - margin - self._kept_from)
        self._spectra, self._least = self._spectra[drop:], self._least[drop:]
        self._samples = self._samples[drop * self._hop :]
        self._kept_from += drop


def voiced_share(samples: np.ndarray, rate: int) -> float:
    """The share of the louder 40 ms frames that repeat with the pitch of a voice, 0 to 1; near 0 for noise.

    `samples` is shaped (samples,). The autocorrelation is that of the square root of the power spectrum in the band of
    the lower harmonics, so that low frequencies, which repeat in noise as well, do not outweigh the rest.
    """
    size, hop = round(0.04 * rate), round(0.02 * rate)
    if len(samples) < size:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.mean(np.square(frames), axis=1)
    spectra = np.abs(np.fft.rfft(frames[power >= _median(power)] * np.hanning(size), 2 * size))
    hz = np.fft.rfftfreq(2 * size, 1 / rate)
    correlation = np.fft.irfft(spectra * ((hz >= _HARMONICS_HZ[0]) & (hz < _HARMONICS_HZ[1])))
    lags = correlation[:, round(rate / _PITCHES_HZ[1]) : round(rate / _PITCHES_HZ[0])].max(axis=1)
    return float(np.mean(lags > _VOICED * correlation[:, 0]))


def _leading(flags: np.ndarray, most: int) -> int:
    """How many of the first flags are set one after the other, at most `most`."""
    clear = np.flatnonzero(~flags[:most])
    return int(clear[0]) if len(clear) else min(len(flags), max(0, most))


def running(extreme: np.ufunc, values: np.ndarray, size: int) -> np.ndarray:
    """The least or greatest (`extreme` is np.minimum or np.maximum) of each `size` values in a row.

    Parameters
    ----------
    values : shaped (values,), at least `size`.

    Returns
    -------
    shaped (values - size + 1,): two passes over blocks instead of `size` looks at each value (van Herk, 1992).
    """
    blocks = np.pad(values, (0, -len(values) % size), mode="edge").reshape(-1, size)
    so_far = extreme.accumulate(blocks, axis=1).ravel()
    to_come = extreme.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    count = len(values) - size + 1
    return extreme(to_come[:count], so_far[size - 1 : size - 1 + count])


def movement(power: np.ndarray) -> float:
    """How far the spectrum moves from one 64 ms to the next, in dB: the median of the mean over bands.

    `power` is shaped (frames, bands). About 1 for tones and steady noise, 5 and more for speech.
    """
    whole = len(power) // _BLOCK * _BLOCK
    if whole < 2 * _BLOCK:
        return 0.0
    blocks = power[:whole].reshape(-1, _BLOCK, power.shape[1]).mean(axis=1)
    levels = _decibel(np.maximum(blocks, blocks.max() * 10 ** (-_RANGE_DB / 10)))
    return _median(np.abs(np.diff(levels, axis=0)).mean(axis=1))


def tonality(spectra: np.ndarray) -> float:
    """The share of the power that lies in the six strongest lines, two tones' worth: the median over loud frames.

    `spectra` is shaped (frames, lines). Over 0.98 for the tones of a telephone; under it for nearly all speech.
    """
    power = spectra.sum(axis=1)
    strongest = np.partition(spectra, -_LINES, axis=1)[:, -_LINES:].sum(axis=1)
    loud = power >= _median(power) / 2
    return _median(strongest[loud] / (power[loud] + _POWER_FLOOR))


def _median(values: np.ndarray) -> float:
    """As numpy's, without its checks, which take several times as long for the few frames of a segment."""
    middle = [(len(values) - 1) // 2, len(values) // 2]
    return float(np.partition(values, middle)[middle].mean())


def _decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, _POWER_FLOOR))


def _band_filters(rate: int, frame: int) -> tuple[range, np.ndarray]:
    """Which lines of a spectrum are in the band, and weights that sum those into mean squares per sub-band."""
    lines = np.arange(frame // 2 + 1) * rate / frame
    in_band = (lines >= _BAND_EDGES_HZ[0]) & (lines < _BAND_EDGES_HZ[-1])
    sub_band = np.searchsorted(_BAND_EDGES_HZ, lines[in_band], side="right") - 1
    # Parseval, for one half of the spectrum and a Hann window, whose mean square is 3/8.
    weights = np.eye(len(_BAND_EDGES_HZ) - 1)[sub_band] * (2 / (0.375 * frame * frame))
    first = int(in_band.argmax())
    return range(first, first + len(sub_band)), weights.astype(np.float32)
