"""Streaming voice activity detection for one channel: samples in, segments of speech out.

Two tests use short spectra between 200 and 3400 Hz, the band of a telephone line:

1. Is the frame well above the noise floor, the minimum level of the last seconds (minimum statistics: Martin, 2001)?
2. Does the spectrum of a segment change from syllable to syllable and cover more than a few spectral lines, as in
   speech? Steady noise does not change, and telephone tones consist of two lines. Speech in noise changes little; then
   a network may decide.

Nothing waits for the end of the recording. Memory use is therefore constant, and a live stream gets the same segments
as a file.
"""

from dataclasses import dataclass

import numpy as np

from analyzer.audio.levels import without_offset
from analyzer.speech.features import band_spectra

FRAME_S = 0.032
HOP_S = 0.016
#: Seconds of frame levels to keep: more than the longest segment and the pause after it.
LEVELS_S = 6.0
_BAND_EDGES_HZ = (200, 330, 460, 600, 760, 950, 1180, 1450, 1780, 2200, 2750, 3400)
_POWER_FLOOR = 1e-12
#: Frames over which the level is averaged before its minimum is taken as the noise floor.
_SMOOTHING_FRAMES = 6
#: Initial noise floor, so that a recording may begin in the middle of a word.
_INITIAL_NOISE_DB = -52.0
#: Frames for which a level must last to count as sustained: longer than a click.
_SUSTAINED_FRAMES = 12
#: How far below the loudest sustained level of the last minute speech may be, if that level is low.
_BELOW_SUSTAINED_DB = 28.0
#: Pitch range of voices, band for the autocorrelation, and minimum normalised autocorrelation of a voiced frame.
_PITCHES_HZ, _HARMONICS_HZ, _VOICED_CORRELATION = (65, 400), (150, 1600), 0.25
#: Minimum distance between the loudest frame of speech and its mean level.
_PEAK_OVER_MEAN_DB = 5.0
#: How far a soft frame next to speech must be above the softest frame there.
_EDGE_CONTRAST_DB = 3.0
#: Frames over which the level is averaged to find the softest place for a cut.
_CUT_SMOOTHING = 5
#: Frames per block when spectral change is measured; levels are clipped this far below the loudest one.
_BLOCK_FRAMES = 4
_RANGE_DB = 45.0
#: Spectral lines that two tones occupy: a Hann window widens each tone to three lines.
_TONE_LINES = 6


@dataclass(frozen=True)
class SpeechSettings:
    """Parameters of voice activity detection and segmentation.

    Attributes
    ----------
    margin_db : minimum level of speech above the noise floor.
    least_db : minimum level of speech in dBFS, however low the noise floor. It is lowered in quiet recordings, see
        `quietest_db`.
    below_peak_db : a frame this far below the peak level of the last `memory_s` is not speech.
    memory_s : seconds over which the noise floor and the peak level are tracked.
    quietest_db : lower limit of the minimum level. If the loudest level sustained within the last `quiet_memory_s` is
        less than 28 dB above `least_db`, the minimum level is 28 dB below that loudest level, but not below this.
    quiet_memory_s : seconds over which the loudest sustained level is tracked.
    voiced_share : minimum share of periodic (voiced) frames among the loud frames of a segment below `least_db`.
    edge_db : a segment is extended by adjacent frames that are below the threshold by at most this much.
    before_s, after_s : maximum length of that extension at the start and at the end.
    bridge_s : pauses up to this length do not end a segment.
    least_s : a shorter segment is a click, not speech.
    pad_s : padding before and after a segment, for soft consonants.
    longest_s : a longer segment is cut.
    cut_from_s, cut_to_s : the cut is at the softest place between these ages of the segment. The end of a segment is
        therefore known at most `bridge_s` plus (`longest_s` - `cut_from_s`) after it. A stream must return it within
        one second, see `api`.
    movement_db : minimum spectral change from syllable to syllable.
    doubtful_db, doubtful_voiced : speech in steady noise changes less. From this spectral change on, or from this share
        of periodic frames on, a segment may still be speech.
    tonality : a sound with at least this share of its power in a few spectral lines is a tone.
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
    """A segment of one channel that contains sound: speech or anything else.

    Attributes
    ----------
    start, end : seconds from the start of the recording.
    samples : audio, shaped (samples,), at the sample rate of the detector.
    is_speech : whether it is classified as speech; otherwise it is a tone, noise or similar.
    may_be_speech : whether it is speech or possibly speech in noise or music; a network must decide.
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
    """Streaming voice activity detector for one channel.

    The result does not depend on the block size of the pushed samples.

    Parameters
    ----------
    rate : samples per second.
    settings : parameters of the detector.

    Attributes
    ----------
    levels : in-band levels of the frames since `levels_from`, in dBFS, shaped (frames,): the frames of the last push
        and of the `LEVELS_S` before it.
    levels_from : number of the first frame in `levels`.
    """

    def __init__(self, rate: int, settings: SpeechSettings) -> None:
        self.rate, self.settings = rate, settings
        self._frame, self._hop = round(FRAME_S * rate), round(HOP_S * rate)
        self._in_band, self._bands = _band_filters(rate, self._frame)
        self._memory = self._frame_count(settings.memory_s)
        self._samples = np.empty(0, np.float32)
        self._spectra = np.empty((0, len(self._bands)), np.float32)
        self._first_kept = 0  # number of the first frame of the kept samples and spectra
        self._past_power = np.full(self._memory + _SMOOTHING_FRAMES - 1, 10 ** (_INITIAL_NOISE_DB / 10), np.float32)
        self._sustained_levels = np.full(
            self._frame_count(settings.quiet_memory_s), 10 * np.log10(_POWER_FLOOR), np.float32
        )
        self.levels, self.levels_from = np.empty(0, np.float32), 0
        self._thresholds = np.empty(0, np.float32)  # threshold in dBFS of each kept frame
        self._segment_start: int | None = None
        self._last_active = 0
        self._ended_at = 0.0  # end of the last segment in seconds

    def push(self, samples: np.ndarray) -> list[Segment]:
        """Process the next samples, shaped (samples,); return the segments that have ended, in order."""
        self._samples = np.concatenate([self._samples, samples])
        first_new = self._first_kept + len(self._spectra)
        unframed = self._samples[len(self._spectra) * self._hop :]
        spectra = band_spectra(unframed, self._frame, self._hop, self._in_band)
        self._spectra = np.concatenate([self._spectra, spectra])
        power = spectra.sum(axis=1) * self._bands.max()
        levels, thresholds = _decibel(power), self._speech_thresholds(power)
        self._thresholds = np.concatenate([self._thresholds, thresholds])
        self.levels_from += max(0, len(self.levels) - self._frame_count(LEVELS_S))
        self.levels = np.concatenate([self.levels[-self._frame_count(LEVELS_S) :], levels])
        active = first_new + np.flatnonzero(levels > thresholds)
        segments = self._extend_segment(active)
        last = first_new + len(spectra) - 1
        if self._segment_start is not None and last - self._last_active >= self._frame_count(self.settings.bridge_s):
            segments += self._close_segment()
        self._discard_old()
        return segments

    def finish(self) -> list[Segment]:
        """Return the segments that end with the recording."""
        return self._close_segment() if self._segment_start is not None else []

    def level_at(self, seconds: float) -> int:
        """Return the index into `levels` of the frame that starts at this time."""
        return round(seconds * self.rate / self._hop) - self.levels_from

    def _frame_count(self, seconds: float) -> int:
        return max(1, round(seconds / HOP_S))

    def _speech_thresholds(self, power: np.ndarray) -> np.ndarray:
        """Return the speech threshold in dBFS of each new frame; `power` is shaped (frames,)."""
        if not len(power):
            return np.empty(0, np.float32)
        history = np.concatenate([self._past_power, power])
        self._past_power = history[-len(self._past_power) :]
        levels = _decibel(np.lib.stride_tricks.sliding_window_view(history, _SMOOTHING_FRAMES).mean(axis=1))[1:]
        settings = self.settings
        thresholds = np.maximum(
            running(np.minimum, levels, self._memory) + settings.margin_db, self._minimum_level(levels)
        )
        raised: np.ndarray = np.maximum(thresholds, running(np.maximum, levels, self._memory) - settings.below_peak_db)
        return raised

    def _minimum_level(self, levels: np.ndarray) -> np.ndarray:
        """Return the minimum level of speech, which is lower if all of the last minute was soft."""
        new = running(np.minimum, levels[self._memory - _SUSTAINED_FRAMES :], _SUSTAINED_FRAMES)
        sustained = np.concatenate([self._sustained_levels[1:], new])
        self._sustained_levels = np.concatenate([self._sustained_levels, new])[-len(self._sustained_levels) :]
        loudest = running(np.maximum, sustained, len(self._sustained_levels))
        return np.clip(loudest - _BELOW_SUSTAINED_DB, self.settings.quietest_db, self.settings.least_db)

    def _extend_segment(self, active: np.ndarray) -> list[Segment]:
        """Extend the open segment with new active frames, given by number; return the segments that ended."""
        segments: list[Segment] = []
        bridge = self._frame_count(self.settings.bridge_s)
        breaks = np.flatnonzero(np.diff(active) > bridge) + 1
        for run in np.split(active, breaks):
            if not len(run):
                continue
            if self._segment_start is not None and run[0] - self._last_active > bridge:
                segments += self._close_segment()
            if self._segment_start is None:
                self._segment_start = int(run[0])
            self._last_active = int(run[-1])
            segments += self._cut_long_segment()
        return segments

    def _cut_long_segment(self) -> list[Segment]:
        """Cut the open segment while it is too long; return the segments cut off."""
        assert self._segment_start is not None
        segments = []
        while self._last_active - self._segment_start >= self._frame_count(self.settings.longest_s):
            cut_frame = self._softest_frame()
            segments.append(self._make_segment(self._segment_start, cut_frame, is_cut=True))
            self._segment_start = cut_frame
        return segments

    def _softest_frame(self) -> int:
        """Return the softest frame of the open segment within the range where it may be cut."""
        assert self._segment_start is not None
        first, last = (
            self._segment_start + self._frame_count(s) for s in (self.settings.cut_from_s, self.settings.cut_to_s)
        )
        levels = self._spectra[first - self._first_kept : last - self._first_kept].sum(axis=1)
        return first + _CUT_SMOOTHING // 2 + int(np.convolve(levels, np.ones(_CUT_SMOOTHING), mode="valid").argmin())

    def _close_segment(self) -> list[Segment]:
        """Close the open segment at its last active frame; return it unless it is too short."""
        assert self._segment_start is not None
        first, self._segment_start = self._segment_start, None
        if self._last_active - first + 1 < self._frame_count(self.settings.least_s):
            return []
        return [self._make_segment(first, self._last_active + 1)]

    def _make_segment(self, first: int, last: int, is_cut: bool = False) -> Segment:
        """Return the segment of frames `first` to `last` (exclusive), with soft edges; `is_cut`: no edge at its end."""
        settings, first_kept, pad = self.settings, self._first_kept, round(self.settings.pad_s * self.rate)
        longest_extension = max(0, self._frame_count(settings.longest_s) - (last - first))
        before = _leading_count(
            self._edge_flags(max(first_kept, first - self._frame_count(settings.before_s)), first)[::-1],
            longest_extension,
        )
        start = max((first - before) * self._hop - pad, round(self._ended_at * self.rate), first_kept * self._hop)
        if is_cut:
            end = last * self._hop
        else:
            after = _leading_count(
                self._edge_flags(last, last + self._frame_count(settings.after_s)), longest_extension - before
            )
            end = (last - 1 + after) * self._hop + self._frame + pad
        samples = without_offset(self._samples[start - first_kept * self._hop : end - first_kept * self._hop])
        self._ended_at = (start + len(samples)) / self.rate
        return Segment(start / self.rate, self._ended_at, samples, *self._classify(first, last, samples))

    def _edge_flags(self, first: int, last: int) -> np.ndarray:
        """Return which frames reach the lower threshold for edges and are clearly above the softest of them."""
        levels = self.levels[first - self.levels_from : last - self.levels_from]
        thresholds = self._thresholds[first - self._first_kept : last - self._first_kept] - self.settings.edge_db
        above: np.ndarray = levels > np.maximum(thresholds, levels.min(initial=0.0) + _EDGE_CONTRAST_DB)
        return above

    def _classify(self, first: int, last: int, samples: np.ndarray) -> tuple[bool, bool]:
        """Whether a segment of these frames is speech, and whether it may be speech.

        Speech is not a tone, and soft speech must be voiced. Its spectrum must change; in noise, less change or enough
        voiced frames make it possible speech.
        """
        settings, spectra = self.settings, self._spectra[first - self._first_kept : last - self._first_kept]
        if tonality(spectra) >= settings.tonality:
            return False, False
        change = movement(spectra @ self._bands)
        is_soft = (
            self.levels[first - self.levels_from : last - self.levels_from].max()
            < settings.least_db + _PEAK_OVER_MEAN_DB
        )
        if change >= settings.movement_db and not is_soft:
            return True, True
        voiced = voiced_share(samples, self.rate)
        if is_soft and voiced < settings.voiced_share:
            return False, False
        return change >= settings.movement_db, change >= settings.doubtful_db or voiced >= settings.doubtful_voiced

    def _discard_old(self) -> None:
        """Drop the samples and frames that no later segment can need."""
        next_frame = self._first_kept + len(self._spectra)
        first = next_frame if self._segment_start is None else self._segment_start
        margin = self._frame_count(self.settings.before_s) + self._frame_count(self.settings.pad_s) + 1
        drop = max(0, first - margin - self._first_kept)
        self._spectra, self._thresholds = self._spectra[drop:], self._thresholds[drop:]
        self._samples = self._samples[drop * self._hop :]
        self._first_kept += drop


def voiced_share(samples: np.ndarray, rate: int) -> float:
    """Return the share of the louder 40 ms frames that are periodic at a voice pitch, 0 to 1; near 0 for noise.

    `samples` is shaped (samples,). The autocorrelation is computed from the square root of the power spectrum in the
    band of the lower harmonics. Low frequencies, which are periodic in noise as well, thus do not dominate.
    """
    size, hop = round(0.04 * rate), round(0.02 * rate)
    if len(samples) < size:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.mean(np.square(frames), axis=1)
    spectra = np.abs(np.fft.rfft(frames[power >= _median(power)] * np.hanning(size), 2 * size))
    hz = np.fft.rfftfreq(2 * size, 1 / rate)
    correlation = np.fft.irfft(spectra * ((hz >= _HARMONICS_HZ[0]) & (hz < _HARMONICS_HZ[1])))
    peaks = correlation[:, round(rate / _PITCHES_HZ[1]) : round(rate / _PITCHES_HZ[0])].max(axis=1)
    return float(np.mean(peaks > _VOICED_CORRELATION * correlation[:, 0]))


def _leading_count(flags: np.ndarray, limit: int) -> int:
    """Return the number of consecutive set flags at the start, at most `limit`."""
    unset = np.flatnonzero(~flags[:limit])
    return int(unset[0]) if len(unset) else min(len(flags), max(0, limit))


def running(extreme: np.ufunc, values: np.ndarray, size: int) -> np.ndarray:
    """Return the running minimum or maximum (`extreme` is np.minimum or np.maximum) over windows of `size` values.

    Uses two passes over blocks instead of `size` operations per value (van Herk, 1992).

    Parameters
    ----------
    values : shaped (values,), at least `size`.

    Returns
    -------
    shaped (values - size + 1,).
    """
    blocks = np.pad(values, (0, -len(values) % size), mode="edge").reshape(-1, size)
    forward = extreme.accumulate(blocks, axis=1).ravel()
    backward = extreme.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    count = len(values) - size + 1
    extremes: np.ndarray = extreme(backward[:count], forward[size - 1 : size - 1 + count])
    return extremes


def movement(power: np.ndarray) -> float:
    """Return the spectral change between successive blocks of 64 ms in dB: the median over time of the mean over bands.

    `power` is shaped (frames, bands). About 1 for tones and steady noise, 5 or more for speech.
    """
    whole = len(power) // _BLOCK_FRAMES * _BLOCK_FRAMES
    if whole < 2 * _BLOCK_FRAMES:
        return 0.0
    blocks = power[:whole].reshape(-1, _BLOCK_FRAMES, power.shape[1]).mean(axis=1)
    levels = _decibel(np.maximum(blocks, blocks.max() * 10 ** (-_RANGE_DB / 10)))
    return _median(np.abs(np.diff(levels, axis=0)).mean(axis=1))


def tonality(spectra: np.ndarray) -> float:
    """Return the share of the power in the six strongest lines (the width of two tones): the median over loud frames.

    `spectra` is shaped (frames, lines). Above 0.98 for telephone tones, below it for nearly all speech.
    """
    power = spectra.sum(axis=1)
    strongest = np.partition(spectra, -_TONE_LINES, axis=1)[:, -_TONE_LINES:].sum(axis=1)
    loud = power >= _median(power) / 2
    return _median(strongest[loud] / (power[loud] + _POWER_FLOOR))


def _median(values: np.ndarray) -> float:
    """Median like numpy's, but without its checks, which take several times as long for the few frames of a segment."""
    middle = [(len(values) - 1) // 2, len(values) // 2]
    return float(np.partition(values, middle)[middle].mean())


def _decibel(power: np.ndarray) -> np.ndarray:
    decibels: np.ndarray = 10 * np.log10(np.maximum(power, _POWER_FLOOR))
    return decibels


def _band_filters(rate: int, frame: int) -> tuple[range, np.ndarray]:
    """Return the spectral lines in the band, and weights that sum them to a mean square per sub-band."""
    lines = np.arange(frame // 2 + 1) * rate / frame
    in_band = (lines >= _BAND_EDGES_HZ[0]) & (lines < _BAND_EDGES_HZ[-1])
    sub_band = np.searchsorted(_BAND_EDGES_HZ, lines[in_band], side="right") - 1
    # Parseval, for one half of the spectrum and a Hann window, whose mean square is 3/8.
    weights = np.eye(len(_BAND_EDGES_HZ) - 1)[sub_band] * (2 / (0.375 * frame * frame))
    first = int(in_band.argmax())
    return range(first, first + len(sub_band)), weights.astype(np.float32)
