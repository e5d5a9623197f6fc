"""A voice that leaks from one channel into another is not counted as speech there."""

import numpy as np
import pytest

from analyzer.speech.crosstalk import is_leak
from analyzer.speech.detector import Segment, SpeechDetector, SpeechSettings
from tests.helpers import voices

RATE = 8000
AGENT = voices.call(20, [(1, 5), (7, 13), (15, 19)], seed=4, pitch=110)


def first_channel(sound: np.ndarray, block: int = 40_000) -> list[tuple[Segment, bool]]:
    """Return the speech segments on the first channel of a sound shaped (2, samples), and whether each is a leak."""
    detectors, results = [SpeechDetector(RATE, SpeechSettings()) for _ in sound], []
    for at in range(0, sound.shape[1], block):
        segments, _ = (
            detector.push(samples[at : at + block]) for detector, samples in zip(detectors, sound, strict=True)
        )
        results += [(segment, is_leak(segment, detectors[0], detectors)) for segment in segments if segment.is_speech]
    last = [segment for segment in detectors[0].finish() if segment.is_speech]
    return results + [(segment, is_leak(segment, detectors[0], detectors)) for segment in last]


def line_noise(level_db: float) -> np.ndarray:
    return voices.noise(20, level_db=level_db, seed=77)


@pytest.mark.parametrize("below_db", [-30, -35, -40])
@pytest.mark.parametrize("delay_s", [0, 0.01, 0.06])
def test_leak_is_no_speech(below_db: float, delay_s: float) -> None:
    leak = np.roll(AGENT, round(delay_s * RATE)) * np.float32(10 ** (below_db / 20))
    results = first_channel(np.stack([leak + line_noise(-85), AGENT]))
    assert len(results) >= 3
    assert all(leaks for _, leaks in results)


@pytest.mark.parametrize("below_db", [0, -20, -40])
def test_soft_voice_at_other_times_is_no_leak(below_db: float) -> None:
    customer = voices.call(20, [(5.2, 6.8), (13.2, 14.8)], seed=9, pitch=200) * np.float32(10 ** (below_db / 20))
    results = first_channel(np.stack([customer + line_noise(-100), AGENT]))
    assert len(results) == 2
    assert not any(leaks for _, leaks in results)


@pytest.mark.parametrize("below_db", [0, -20])
def test_overlapping_voices_are_no_leaks(below_db: float) -> None:
    customer = voices.call(20, [(2, 4.5), (8, 12)], seed=9, pitch=200) * np.float32(10 ** (below_db / 20))
    results = first_channel(np.stack([customer + line_noise(-85), AGENT]))
    assert len(results) >= 3
    assert not any(leaks for _, leaks in results)


@pytest.mark.parametrize("block", [64, 1000, 160_000])
def test_blocks_do_not_change_leaks(block: int) -> None:
    customer = voices.call(20, [(5.2, 6.8)], seed=9, pitch=200)
    sound = np.stack([customer + AGENT * np.float32(0.02) + line_noise(-85), AGENT])
    expected = [(segment.start, segment.end, leaks) for segment, leaks in first_channel(sound)]
    assert {leaks for *_, leaks in expected} == {True, False}
    assert [(segment.start, segment.end, leaks) for segment, leaks in first_channel(sound, block)] == expected


def test_leak_is_found_after_an_hour() -> None:
    rate, silent_minute = 11_025, np.zeros(11_025 * 60, np.float32)
    speech = voices.call(6, [(1, 5)], rate, seed=4)
    detectors = [SpeechDetector(rate, SpeechSettings()) for _ in range(2)]
    for detector in detectors:
        for _ in range(60):
            detector.push(silent_minute)
    segments = detectors[0].push(speech * np.float32(0.02))
    detectors[1].push(speech)
    assert [segment.is_speech for segment in segments] == [True, True]
    assert all(is_leak(segment, detectors[0], detectors) for segment in segments)
