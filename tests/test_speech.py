"""Speech is found where it is; silence, tones and steady noise are not speech."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.speech.detector import Segment, SpeechDetector, SpeechSettings, movement, running, tonality, voiced_share
from analyzer.speech.features import FrontEnd
from tests.helpers import voices


def segments(sound: np.ndarray, rate: int = 8000) -> list[Segment]:
    detector = SpeechDetector(rate, SpeechSettings())
    return detector.push(sound) + detector.finish()


def speech_intervals(detected: list[Segment]) -> list[tuple[float, float]]:
    """Return the segments of speech, with adjoining ones merged."""
    joined: list[tuple[float, float]] = []
    for segment in detected:
        if not segment.is_speech:
            continue
        if joined and segment.start - joined[-1][1] < 0.01:
            joined[-1] = (joined[-1][0], segment.end)
        else:
            joined.append((segment.start, segment.end))
    return joined


def quantised(sound: np.ndarray, levels: int = 32768) -> np.ndarray:
    """Quantise samples, by default to 16 bits."""
    return (np.rint(sound * levels) / levels).astype(np.float32)


def interrupted(sound: np.ndarray, on_s: float, off_s: float, rate: int = 8000) -> np.ndarray:
    """Interrupt a sound by digital silence, as in comfort noise."""
    at_s = np.arange(len(sound)) / rate % (on_s + off_s)
    return np.where(at_s < on_s, sound, np.float32(0))


def padded(sound: np.ndarray, before_s: float, after_s: float, rate: int = 8000) -> np.ndarray:
    return np.pad(sound, (round(before_s * rate), round(after_s * rate)))


NO_SPEECH = {
    "silence": np.zeros(160_000, np.float32),
    "constant offset": np.full(160_000, 0.25, np.float32),
    "American dial tone": voices.tones(20, 350, 440),
    "European dial tone": voices.tones(20, 425),
    "busy signal": voices.cadence(20, 0.5, 0.5, 480, 620),
    "reorder signal": voices.cadence(20, 0.25, 0.25, 480, 620),
    "American ringing": voices.cadence(24, 2, 4, 440, 480),
    "European ringing": voices.cadence(20, 1, 4, 425),
    "British ringing": voices.cadence(20, 0.4, 0.2, 400, 450),
    "calling fax": voices.cadence(20, 0.5, 3, 1100),
    "slow dialling": voices.dialled("18005551234#*69", 0.2, 0.2),
    "dialling": voices.dialled("18005551234#*69", 0.1, 0.1),
    "fast dialling": voices.dialled("18005551234#*69" * 2, 0.07, 0.07),
    "fastest dialling": voices.dialled("18005551234#*69" * 2, 0.05, 0.05),
    "dialling on a noisy line": voices.dialled("18005551234", 0.1, 0.1) + voices.noise(2.2, level_db=-60),
    "16-bit dither": quantised(voices.noise(20, level_db=-96)),
    "flickering last bit": quantised(voices.noise(20, level_db=-103)),
    **{
        f"comfort noise at {level} dB in bursts of {on_s} s": quantised(
            interrupted(voices.noise(20, level_db=level), on_s, 0.4)
        )
        for level in (-60, -65, -70)
        for on_s in (0.2, 0.5, 3)
    },
    **{
        f"faint noise at {level} dB": quantised(voices.noise(90, level_db=level, pink=True))
        for level in (-60, -75, -85)
    },
    "faint mains hum": quantised(voices.tones(90, 50, 100, 150, 200, 250, 300, 350, 400, peak=0.001)),
    "mains hum": voices.tones(20, 50, 100, 150, 200, 250, 300, 350, 400),
    **{f"white noise at {level} dB": voices.noise(20, level_db=level) for level in (-70, -50, -40, -30, -20, -10)},
    **{f"pink noise at {level} dB": voices.noise(20, level_db=level, pink=True) for level in (-50, -40, -30, -20, -10)},
}


@pytest.mark.parametrize("kind", NO_SPEECH)
def test_other_sounds_are_no_speech(kind: str) -> None:
    assert not any(segment.is_speech or segment.may_be_speech for segment in segments(NO_SPEECH[kind]))


@pytest.mark.parametrize("ratio_db", [20, 10, 5, 0])
def test_noisy_speech_may_be_speech(ratio_db: int) -> None:
    sound = voices.speech(8) + voices.noise(8, level_db=-20 - ratio_db)
    detected = segments(padded(sound, 1, 1))
    assert sum(segment.end - segment.start for segment in detected if segment.may_be_speech) == pytest.approx(
        8, abs=0.5
    )
    assert all(segment.may_be_speech for segment in detected)


def test_quiet_line_has_no_segments() -> None:
    assert segments(np.zeros(80_000, np.float32)) == []
    assert segments(voices.noise(20, level_db=-70)) == []


def test_tone_is_not_speech() -> None:
    detected = segments(padded(voices.tones(4, 425), 2, 2))
    assert sum(segment.end - segment.start for segment in detected) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("pitch", [90, 120, 180, 240, 300])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_speech_is_found_within_100_ms(pitch: float, rate: int) -> None:
    spoken = [(1, 3.5), (5, 8), (9, 9.8), (12, 20)]
    detected = segments(voices.call(22, spoken, rate, pitch=pitch, seed=int(pitch)), rate)
    assert all(segment.is_speech for segment in detected)
    assert len(speech_intervals(detected)) == len(spoken)
    assert np.abs(np.array(speech_intervals(detected)) - np.array(spoken)).max() < 0.1


@pytest.mark.parametrize("peak", [1.0, 0.1, 0.03, 0.015, 0.005, 0.001])
def test_quiet_speech_is_found(peak: float) -> None:
    intervals = speech_intervals(segments(padded(voices.speech(4, peak=peak), 1, 1)))
    assert len(intervals) == 1
    assert np.abs(np.array(intervals[0]) - [1, 5]).max() < 0.1


@pytest.mark.parametrize("silent_s", [1, 20, 100])
def test_soft_16_bit_voice_is_found_after_silence(silent_s: float) -> None:
    sound = quantised(padded(voices.speech(4, peak=0.002), silent_s, 1))
    intervals = speech_intervals(segments(sound))
    assert len(intervals) == 1
    assert np.abs(np.array(intervals[0]) - [silent_s, silent_s + 4]).max() < 0.1


def test_faint_sound_after_loud_voice_is_ignored() -> None:
    loud, faint = padded(voices.speech(3), 1, 20), padded(voices.speech(3, peak=0.002), 20, 1)
    assert speech_intervals(segments(quantised(loud + faint))) == speech_intervals(segments(quantised(loud)))


def test_soft_word_end_is_included() -> None:
    word = voices.speech(1, seed=3)
    tail = word[-1600:] * np.float32(10 ** (-24 / 20))
    line = voices.noise(7, level_db=-62)
    with_tail = speech_intervals(segments(line + padded(np.concatenate([word, tail]), 3, 2.8)))
    without = speech_intervals(segments(line + padded(word, 3, 3)))
    assert with_tail[0][0] == without[0][0]
    assert 4.1 < with_tail[0][1] <= 4.3
    assert without[0][1] < 4.1


def test_voices_are_periodic_and_noise_is_not() -> None:
    assert voiced_share(voices.speech(3), 8000) > 0.7
    assert voiced_share(voices.speech(3, 16000, pitch=240), 16000) > 0.7
    assert voiced_share(voices.noise(3), 8000) < 0.05
    assert voiced_share(voices.noise(3, pink=True), 8000) < 0.05
    assert voiced_share(np.zeros(8000, np.float32), 8000) == 0
    assert voiced_share(np.zeros(10, np.float32), 8000) == 0


@pytest.mark.parametrize("level_db", [-65, -55, -45])
@pytest.mark.parametrize("pink", [False, True])
def test_speech_in_noise_is_found(level_db: float, pink: bool) -> None:
    line = voices.noise(12, level_db=level_db, pink=pink)
    intervals = speech_intervals(segments(line + padded(voices.speech(4), 3, 5)))
    assert len(intervals) == 1
    assert np.abs(np.array(intervals[0]) - [3, 7]).max() < 0.1


def test_word_may_be_cut_at_both_ends() -> None:
    intervals = speech_intervals(segments(voices.speech(3)[200:-200]))
    assert len(intervals) == 1
    assert intervals[0][0] < 0.1
    assert intervals[0][1] > 2.85


def test_speech_after_tone_is_found() -> None:
    sound = np.concatenate([voices.tones(3, 350, 440), np.zeros(8000, np.float32), voices.speech(3)])
    intervals = speech_intervals(segments(sound))
    assert len(intervals) == 1
    assert np.abs(np.array(intervals[0]) - [4, 7]).max() < 0.1


@pytest.mark.parametrize("soft_at", [2.54, 2.6, 2.66])
def test_long_speech_is_cut_where_softest(soft_at: float) -> None:
    sound = voices.speech(8)
    sound[round((soft_at - 0.05) * 8000) : round((soft_at + 0.05) * 8000)] *= 0.05
    assert segments(sound)[0].end == pytest.approx(soft_at, abs=0.03)


@settings(max_examples=40)
@given(st.floats(2, 12), st.integers(0, 100))
def test_cuts_lose_no_speech(length_s: float, seed: int) -> None:
    detected = segments(padded(voices.speech(length_s, seed=seed), 1, 1))
    assert len(speech_intervals(detected)) == 1
    assert np.abs(np.array(speech_intervals(detected)[0]) - [1, 1 + length_s]).max() < 0.1


def test_click_is_no_speech() -> None:
    sound = np.zeros(40_000, np.float32)
    sound[20_000:20_040] = 0.9
    assert segments(sound) == []


def test_segments_keep_the_samples() -> None:
    sound = voices.call(12, [(1, 3), (4, 9.5)])
    for segment in segments(sound):
        start = round(segment.start * 8000)
        assert np.array_equal(segment.samples, sound[start : start + len(segment.samples)])
        assert segment.end == pytest.approx(segment.start + len(segment.samples) / 8000)


def test_full_scale_square_is_0_db() -> None:
    assert Segment(0, 1, np.ones(8000, np.float32), True).level_db == pytest.approx(0, abs=1e-6)
    assert Segment(0, 1, np.full(8000, 0.1, np.float32), True).level_db == pytest.approx(-20, abs=1e-4)


#: A recording with several kinds of sound, to be cut into blocks.
MIXED = np.concatenate(
    [
        voices.speech(4, seed=5),
        voices.cadence(3, 0.5, 0.5, 480, 620),
        voices.call(8, [(0.5, 7)], seed=6),
        voices.noise(4, level_db=-35),
        voices.dialled("5551234", 0.1, 0.1),
        voices.speech(2.5, seed=7, peak=0.05),
    ]
)


def segment_values(detected: list[Segment]) -> list[tuple[float, float, bool, bytes]]:
    return [(segment.start, segment.end, segment.is_speech, segment.samples.tobytes()) for segment in detected]


@settings(max_examples=25)
@given(st.lists(st.integers(1, 30_000), max_size=60), st.sampled_from([256, 997, 1000, 4096, 80_000]))
def test_blocks_change_no_segment(cuts: list[int], rest: int) -> None:
    detector, detected, at = SpeechDetector(8000, SpeechSettings()), [], 0
    for size in [*cuts, *[rest] * (len(MIXED) // rest + 1)]:
        detected += detector.push(MIXED[at : at + size])
        at += size
    detected += detector.finish()
    assert segment_values(detected) == segment_values(segments(MIXED))


def test_sample_blocks_change_no_segment() -> None:
    detector, sound = SpeechDetector(8000, SpeechSettings()), voices.call(1.5, [(0.2, 0.9)])
    detected = [segment for index in range(len(sound)) for segment in detector.push(sound[index : index + 1])]
    assert segment_values(detected + detector.finish()) == segment_values(segments(sound))


sounds = st.lists(
    st.tuples(st.sampled_from(["speech", "silence", "tone", "white", "hiss"]), st.floats(0.02, 6), st.integers(0, 50)),
    min_size=1,
    max_size=8,
)


def composed(parts: list[tuple[str, float, int]]) -> np.ndarray:
    make = {
        "speech": lambda seconds, number: voices.speech(seconds, seed=number, pitch=90 + 4 * number),
        "silence": lambda seconds, number: np.zeros(round(seconds * 8000), np.float32),
        "tone": lambda seconds, number: voices.tones(seconds, 300 + 40 * number),
        "white": lambda seconds, number: voices.noise(seconds, level_db=-number, seed=number),
        "hiss": lambda seconds, number: voices.noise(seconds, level_db=-50 - number, seed=number),
    }
    return np.concatenate([make[kind](seconds, number) for kind, seconds, number in parts])


@settings(max_examples=60)
@given(sounds)
def test_segments_are_in_order(parts: list[tuple[str, float, int]]) -> None:
    sound = composed(parts)
    detected = segments(sound)
    for segment in detected:
        assert 0 <= segment.start < segment.end <= len(sound) / 8000 + 1e-9
        assert segment.end - segment.start <= FrontEnd().longest_s
        assert len(segment.samples) == round((segment.end - segment.start) * 8000)
    for before, after in pairwise(detected):
        assert before.end <= after.start + 1e-9


@settings(max_examples=60)
@given(st.lists(st.floats(-1, 1, width=32), max_size=2000))
def test_any_samples_are_accepted(samples: list[float]) -> None:
    for segment in segments(np.array(samples, np.float32)):
        assert np.isfinite(segment.level_db)


@pytest.mark.parametrize("kind", ["silence", "noise", "tone", "continuous speech"])
def test_memory_does_not_grow(kind: str) -> None:
    minute = {
        "silence": np.zeros(480_000, np.float32),
        "noise": voices.noise(60, level_db=-30),
        "tone": voices.tones(60, 425),
        "continuous speech": voices.speech(60),
    }[kind]
    detector = SpeechDetector(8000, SpeechSettings())
    for _ in range(60):
        detector.push(minute)
        array_bytes = sum(value.nbytes for value in vars(detector).values() if isinstance(value, np.ndarray))
        held_s = len(detector._samples) / 8000
        assert held_s < 5, "samples of an open segment, no more"
        assert array_bytes < 1_000_000


def test_constant_spectrum_is_static() -> None:
    constant = np.tile(np.linspace(1, 2, 11), (40, 1))
    assert movement(constant) == 0
    assert movement(constant[:4]) == 0
    alternating = constant.copy()
    alternating[np.arange(40) // 4 % 2 == 1] *= 10
    assert movement(alternating) == pytest.approx(10)


def test_power_in_few_bins_is_a_tone() -> None:
    spectra = np.zeros((10, 100))
    spectra[:, [3, 4, 5]] = 1
    assert tonality(spectra) == pytest.approx(1)
    assert tonality(np.ones((10, 100))) == pytest.approx(0.06)


@given(st.lists(st.floats(-120, 0, width=32), min_size=1, max_size=60), st.integers(1, 60))
def test_running_extremes_match_the_windows(values, size):
    size = min(size, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(np.array(values, np.float32), size)
    assert np.array_equal(running(np.minimum, np.array(values, np.float32), size), windows.min(axis=1))
    assert np.array_equal(running(np.maximum, np.array(values, np.float32), size), windows.max(axis=1))


@given(st.lists(st.lists(st.floats(2**-20, 1, width=32), min_size=8, max_size=8), min_size=1, max_size=30))
def test_tonality_is_a_median_over_loud_frames(frames):
    spectra = np.array(frames, np.float32)
    power = spectra.sum(axis=1)
    shares = np.sort(spectra, axis=1)[:, -6:].sum(axis=1) / power
    assert tonality(spectra) == pytest.approx(np.median(shares[power >= np.median(power) / 2]), rel=1e-4)
