"""Speech is found where it is; silence, tones and steady noise are not speech."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.features import FrontEnd
from analyzer.speech import Segment, SpeechDetector, SpeechSettings, movement, running, tonality, voiced_share
from tests import voices


def segments(sound: np.ndarray, rate: int = 8000) -> list[Segment]:
    detector = SpeechDetector(rate, SpeechSettings())
    return detector.push(sound) + detector.finish()


def stretches(found: list[Segment]) -> list[tuple[float, float]]:
    """Return the segments of speech, with adjoining ones merged."""
    joined: list[tuple[float, float]] = []
    for segment in found:
        if not segment.is_speech:
            continue
        if joined and segment.start - joined[-1][1] < 0.01:
            joined[-1] = (joined[-1][0], segment.end)
        else:
            joined.append((segment.start, segment.end))
    return joined


def stepped(sound: np.ndarray, levels: int = 32768) -> np.ndarray:
    """Quantise samples, by default to 16 bits."""
    return (np.rint(sound * levels) / levels).astype(np.float32)


def coming_and_going(sound: np.ndarray, on_s: float, off_s: float, rate: int = 8000) -> np.ndarray:
    """Interrupt a sound by digital silence, as in comfort noise."""
    at_s = np.arange(len(sound)) / rate % (on_s + off_s)
    return np.where(at_s < on_s, sound, np.float32(0))


def around(sound: np.ndarray, before_s: float, after_s: float, rate: int = 8000) -> np.ndarray:
    return np.pad(sound, (round(before_s * rate), round(after_s * rate)))


NO_SPEECH = {
    "silence": np.zeros(160_000, np.float32),
    "a constant offset": np.full(160_000, 0.25, np.float32),
    "the dial tone of America": voices.tones(20, 350, 440),
    "the dial tone of Europe": voices.tones(20, 425),
    "the busy signal": voices.cadence(20, 0.5, 0.5, 480, 620),
    "the reorder signal": voices.cadence(20, 0.25, 0.25, 480, 620),
    "the ringing of America": voices.cadence(24, 2, 4, 440, 480),
    "the ringing of Europe": voices.cadence(20, 1, 4, 425),
    "the ringing of Britain": voices.cadence(20, 0.4, 0.2, 400, 450),
    "a fax that calls": voices.cadence(20, 0.5, 3, 1100),
    "a number keyed in slowly": voices.dialled("18005551234#*69", 0.2, 0.2),
    "a number keyed in": voices.dialled("18005551234#*69", 0.1, 0.1),
    "a number keyed in by a machine": voices.dialled("18005551234#*69" * 2, 0.07, 0.07),
    "a number keyed in as fast as exchanges do": voices.dialled("18005551234#*69" * 2, 0.05, 0.05),
    "a number keyed in on a line that hisses": voices.dialled("18005551234", 0.1, 0.1)
    + voices.noise(2.2, level_db=-60),
    "the dither of 16 bits": stepped(voices.noise(20, level_db=-96)),
    "a line whose last bit flickers": stepped(voices.noise(20, level_db=-103)),
    **{
        f"comfort noise at {level} dB that comes and goes in {on_s} s": stepped(
            coming_and_going(voices.noise(20, level_db=level), on_s, 0.4)
        )
        for level in (-60, -65, -70)
        for on_s in (0.2, 0.5, 3)
    },
    **{f"faint noise at {level} dB": stepped(voices.noise(90, level_db=level, pink=True)) for level in (-60, -75, -85)},
    "faint mains hum": stepped(voices.tones(90, 50, 100, 150, 200, 250, 300, 350, 400, peak=0.001)),
    "mains hum": voices.tones(20, 50, 100, 150, 200, 250, 300, 350, 400),
    **{f"white noise at {level} dB": voices.noise(20, level_db=level) for level in (-70, -50, -40, -30, -20, -10)},
    **{f"pink noise at {level} dB": voices.noise(20, level_db=level, pink=True) for level in (-50, -40, -30, -20, -10)},
}


@pytest.mark.parametrize("what", NO_SPEECH)
def test_what_is_no_speech_gives_no_speech(what: str) -> None:
    assert not any(segment.is_speech or segment.may_be_speech for segment in segments(NO_SPEECH[what]))


@pytest.mark.parametrize("ratio_db", [20, 10, 5, 0])
def test_speech_behind_steady_noise_is_or_may_be_speech(ratio_db: int) -> None:
    sound = voices.speech(8) + voices.noise(8, level_db=-20 - ratio_db)
    found = segments(around(sound, 1, 1))
    assert sum(s.end - s.start for s in found if s.may_be_speech) == pytest.approx(8, abs=0.5)
    assert all(segment.may_be_speech for segment in found)


def test_silence_and_a_quiet_line_give_nothing_at_all() -> None:
    assert segments(np.zeros(80_000, np.float32)) == []
    assert segments(voices.noise(20, level_db=-70)) == []


def test_a_tone_sounds_but_is_not_speech() -> None:
    found = segments(around(voices.tones(4, 425), 2, 2))
    assert sum(segment.end - segment.start for segment in found) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("pitch", [90, 120, 180, 240, 300])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_speech_is_found_within_a_tenth_of_a_second_of_where_it_is(pitch: float, rate: int) -> None:
    spoken = [(1, 3.5), (5, 8), (9, 9.8), (12, 20)]
    found = segments(voices.call(22, spoken, rate, pitch=pitch, seed=int(pitch)), rate)
    assert all(segment.is_speech for segment in found)
    assert len(stretches(found)) == len(spoken)
    assert np.abs(np.array(stretches(found)) - np.array(spoken)).max() < 0.1


@pytest.mark.parametrize("peak", [1.0, 0.1, 0.03, 0.015, 0.005, 0.001])
def test_quiet_speech_is_found_as_loud_speech_is(peak: float) -> None:
    found = stretches(segments(around(voices.speech(4, peak=peak), 1, 1)))
    assert len(found) == 1
    assert np.abs(np.array(found[0]) - [1, 5]).max() < 0.1


@pytest.mark.parametrize("silent_s", [1, 20, 100])
def test_a_soft_voice_is_found_in_steps_of_16_bits_however_long_it_was_silent(silent_s: float) -> None:
    sound = stepped(around(voices.speech(4, peak=0.002), silent_s, 1))
    found = stretches(segments(sound))
    assert len(found) == 1
    assert np.abs(np.array(found[0]) - [silent_s, silent_s + 4]).max() < 0.1


def test_what_is_soft_beside_a_loud_voice_is_not_taken_for_one() -> None:
    loud, faint = around(voices.speech(3), 1, 20), around(voices.speech(3, peak=0.002), 20, 1)
    assert stretches(segments(stepped(loud + faint))) == stretches(segments(stepped(loud)))


def test_the_soft_end_of_a_word_belongs_to_it() -> None:
    word = voices.speech(1, seed=3)
    tail = word[-1600:] * np.float32(10 ** (-24 / 20))
    line = voices.noise(7, level_db=-62)
    with_tail = stretches(segments(line + around(np.concatenate([word, tail]), 3, 2.8)))
    without = stretches(segments(line + around(word, 3, 3)))
    assert with_tail[0][0] == without[0][0]
    assert 4.1 < with_tail[0][1] <= 4.3
    assert without[0][1] < 4.1


def test_voices_repeat_and_noise_does_not() -> None:
    assert voiced_share(voices.speech(3), 8000) > 0.7
    assert voiced_share(voices.speech(3, 16000, pitch=240), 16000) > 0.7
    assert voiced_share(voices.noise(3), 8000) < 0.05
    assert voiced_share(voices.noise(3, pink=True), 8000) < 0.05
    assert voiced_share(np.zeros(8000, np.float32), 8000) == 0
    assert voiced_share(np.zeros(10, np.float32), 8000) == 0


@pytest.mark.parametrize("level_db", [-65, -55, -45])
@pytest.mark.parametrize("pink", [False, True])
def test_speech_on_a_noisy_line_is_found(level_db: float, pink: bool) -> None:
    line = voices.noise(12, level_db=level_db, pink=pink)
    found = stretches(segments(line + around(voices.speech(4), 3, 5)))
    assert len(found) == 1
    assert np.abs(np.array(found[0]) - [3, 7]).max() < 0.1


def test_a_recording_may_begin_and_end_in_the_middle_of_a_word() -> None:
    found = stretches(segments(voices.speech(3)[200:-200]))
    assert len(found) == 1
    assert found[0][0] < 0.1
    assert found[0][1] > 2.85


def test_speech_after_a_tone_is_told_from_it() -> None:
    sound = np.concatenate([voices.tones(3, 350, 440), np.zeros(8000, np.float32), voices.speech(3)])
    found = stretches(segments(sound))
    assert len(found) == 1
    assert np.abs(np.array(found[0]) - [4, 7]).max() < 0.1


@pytest.mark.parametrize("soft_at", [2.54, 2.6, 2.66])
def test_long_talk_is_cut_where_it_is_softest(soft_at: float) -> None:
    sound = voices.speech(8)
    sound[round((soft_at - 0.05) * 8000) : round((soft_at + 0.05) * 8000)] *= 0.05
    assert segments(sound)[0].end == pytest.approx(soft_at, abs=0.03)


@settings(max_examples=40)
@given(st.floats(2, 12), st.integers(0, 100))
def test_nothing_of_long_talk_is_lost_where_it_is_cut(length_s: float, seed: int) -> None:
    found = segments(around(voices.speech(length_s, seed=seed), 1, 1))
    assert len(stretches(found)) == 1
    assert np.abs(np.array(stretches(found)[0]) - [1, 1 + length_s]).max() < 0.1


def test_a_click_is_not_speech() -> None:
    sound = np.zeros(40_000, np.float32)
    sound[20_000:20_040] = 0.9
    assert segments(sound) == []


def test_the_samples_of_a_segment_are_those_of_the_recording() -> None:
    sound = voices.call(12, [(1, 3), (4, 9.5)])
    for segment in segments(sound):
        start = round(segment.start * 8000)
        assert np.array_equal(segment.samples, sound[start : start + len(segment.samples)])
        assert segment.end == pytest.approx(segment.start + len(segment.samples) / 8000)


def test_a_full_scale_square_wave_is_at_zero_decibels() -> None:
    assert Segment(0, 1, np.ones(8000, np.float32), True).level_db == pytest.approx(0, abs=1e-6)
    assert Segment(0, 1, np.full(8000, 0.1, np.float32), True).level_db == pytest.approx(-20, abs=1e-4)


#: A recording with a bit of everything, to be cut into blocks.
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


def told(found: list[Segment]) -> list[tuple[float, float, bool, bytes]]:
    return [(s.start, s.end, s.is_speech, s.samples.tobytes()) for s in found]


@settings(max_examples=25)
@given(st.lists(st.integers(1, 30_000), max_size=60), st.sampled_from([256, 997, 1000, 4096, 80_000]))
def test_what_is_found_does_not_depend_on_the_blocks(cuts: list[int], rest: int) -> None:
    detector, found, at = SpeechDetector(8000, SpeechSettings()), [], 0
    for size in [*cuts, *[rest] * (len(MIXED) // rest + 1)]:
        found += detector.push(MIXED[at : at + size])
        at += size
    found += detector.finish()
    assert told(found) == told(segments(MIXED))


def test_what_is_found_does_not_depend_on_blocks_of_a_sample() -> None:
    detector, sound = SpeechDetector(8000, SpeechSettings()), voices.call(1.5, [(0.2, 0.9)])
    found = [segment for k in range(len(sound)) for segment in detector.push(sound[k : k + 1])]
    assert told(found + detector.finish()) == told(segments(sound))


sounds = st.lists(
    st.tuples(st.sampled_from(["speech", "silence", "tone", "white", "hiss"]), st.floats(0.02, 6), st.integers(0, 50)),
    min_size=1,
    max_size=8,
)


def composed(parts: list[tuple[str, float, int]]) -> np.ndarray:
    make = {
        "speech": lambda s, k: voices.speech(s, seed=k, pitch=90 + 4 * k),
        "silence": lambda s, k: np.zeros(round(s * 8000), np.float32),
        "tone": lambda s, k: voices.tones(s, 300 + 40 * k),
        "white": lambda s, k: voices.noise(s, level_db=-k, seed=k),
        "hiss": lambda s, k: voices.noise(s, level_db=-50 - k, seed=k),
    }
    return np.concatenate([make[kind](seconds, k) for kind, seconds, k in parts])


@settings(max_examples=60)
@given(sounds)
def test_segments_are_in_order_inside_the_recording_apart_and_short_enough(parts: list[tuple[str, float, int]]) -> None:
    sound = composed(parts)
    found = segments(sound)
    for segment in found:
        assert 0 <= segment.start < segment.end <= len(sound) / 8000 + 1e-9
        assert segment.end - segment.start <= FrontEnd().longest_s
        assert len(segment.samples) == round((segment.end - segment.start) * 8000)
    for one, next_one in pairwise(found):
        assert one.end <= next_one.start + 1e-9


@settings(max_examples=60)
@given(st.lists(st.floats(-1, 1, width=32), max_size=2000))
def test_any_samples_are_taken(samples: list[float]) -> None:
    for segment in segments(np.array(samples, np.float32)):
        assert np.isfinite(segment.level_db)


@pytest.mark.parametrize("what", ["silence", "noise", "a tone", "speech without a pause"])
def test_after_an_hour_no_more_is_kept_than_after_a_minute(what: str) -> None:
    minute = {
        "silence": np.zeros(480_000, np.float32),
        "noise": voices.noise(60, level_db=-30),
        "a tone": voices.tones(60, 425),
        "speech without a pause": voices.speech(60),
    }[what]
    detector = SpeechDetector(8000, SpeechSettings())
    for _ in range(60):
        detector.push(minute)
        kept = sum(value.nbytes for value in vars(detector).values() if isinstance(value, np.ndarray))
        held_s = len(detector._samples) / 8000
        assert held_s < 5, "samples of an open segment, no more"
        assert kept < 1_000_000


def test_a_spectrum_that_stands_still_does_not_move() -> None:
    still = np.tile(np.linspace(1, 2, 11), (40, 1))
    assert movement(still) == 0
    assert movement(still[:4]) == 0
    turned = still.copy()
    turned[np.arange(40) // 4 % 2 == 1] *= 10
    assert movement(turned) == pytest.approx(10)


def test_all_power_in_few_lines_is_a_tone() -> None:
    spectra = np.zeros((10, 100))
    spectra[:, [3, 4, 5]] = 1
    assert tonality(spectra) == pytest.approx(1)
    assert tonality(np.ones((10, 100))) == pytest.approx(0.06)


@given(st.lists(st.floats(-120, 0, width=32), min_size=1, max_size=60), st.integers(1, 60))
def test_the_extremes_of_the_last_values_are_those_of_every_window(values, size):
    size = min(size, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(np.array(values, np.float32), size)
    assert np.array_equal(running(np.minimum, np.array(values, np.float32), size), windows.min(axis=1))
    assert np.array_equal(running(np.maximum, np.array(values, np.float32), size), windows.max(axis=1))


@given(st.lists(st.lists(st.floats(2**-20, 1, width=32), min_size=8, max_size=8), min_size=1, max_size=30))
def test_tonality_is_the_median_share_of_the_strongest_lines_over_the_loud_frames(frames):
    spectra = np.array(frames, np.float32)
    power = spectra.sum(axis=1)
    shares = np.sort(spectra, axis=1)[:, -6:].sum(axis=1) / power
    assert tonality(spectra) == pytest.approx(np.median(shares[power >= np.median(power) / 2]), rel=1e-4)
