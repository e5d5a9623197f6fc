"""A voice that leaks from one channel into another is not counted as speech there."""

import numpy as np
import pytest

from analyzer.crosstalk import is_leak
from analyzer.speech import Segment, SpeechDetector, SpeechSettings
from tests import voices

RATE = 8000
AGENT = voices.call(20, [(1, 5), (7, 13), (15, 19)], seed=4, pitch=110)


def on_first(sound: np.ndarray, block: int = 40_000) -> list[tuple[Segment, bool]]:
    """Return the speech segments on the first channel of a sound shaped (2, samples), and whether each is a leak."""
    detectors, found = [SpeechDetector(RATE, SpeechSettings()) for _ in sound], []
    for at in range(0, sound.shape[1], block):
        segments, _ = (
            detector.push(samples[at : at + block]) for detector, samples in zip(detectors, sound, strict=True)
        )
        found += [(each, is_leak(each, detectors[0], detectors)) for each in segments if each.is_speech]
    last = [each for each in detectors[0].finish() if each.is_speech]
    return found + [(each, is_leak(each, detectors[0], detectors)) for each in last]


def line(level_db: float) -> np.ndarray:
    return voices.noise(20, level_db=level_db, seed=77)


@pytest.mark.parametrize("below_db", [-30, -35, -40])
@pytest.mark.parametrize("delay_s", [0, 0.01, 0.06])
def test_a_leak_is_no_speech(below_db: float, delay_s: float) -> None:
    leak = np.roll(AGENT, round(delay_s * RATE)) * np.float32(10 ** (below_db / 20))
    found = on_first(np.stack([leak + line(-85), AGENT]))
    assert len(found) >= 3
    assert all(leaks for _, leaks in found)


@pytest.mark.parametrize("below_db", [0, -20, -40])
def test_a_soft_voice_is_no_leak_of_a_loud_one_that_speaks_at_other_times(below_db: float) -> None:
    customer = voices.call(20, [(5.2, 6.8), (13.2, 14.8)], seed=9, pitch=200) * np.float32(10 ** (below_db / 20))
    found = on_first(np.stack([customer + line(-100), AGENT]))
    assert len(found) == 2
    assert not any(leaks for _, leaks in found)


@pytest.mark.parametrize("below_db", [0, -20])
def test_two_who_speak_at_once_are_no_leaks_of_each_other(below_db: float) -> None:
    customer = voices.call(20, [(2, 4.5), (8, 12)], seed=9, pitch=200) * np.float32(10 ** (below_db / 20))
    found = on_first(np.stack([customer + line(-85), AGENT]))
    assert len(found) >= 3
    assert not any(leaks for _, leaks in found)


@pytest.mark.parametrize("block", [64, 1000, 160_000])
def test_what_is_a_leak_does_not_depend_on_the_blocks(block: int) -> None:
    customer = voices.call(20, [(5.2, 6.8)], seed=9, pitch=200)
    sound = np.stack([customer + AGENT * np.float32(0.02) + line(-85), AGENT])
    expected = [(each.start, each.end, leaks) for each, leaks in on_first(sound)]
    assert {leaks for *_, leaks in expected} == {True, False}
    assert [(each.start, each.end, leaks) for each, leaks in on_first(sound, block)] == expected


def test_a_leak_is_found_after_an_hour_at_any_rate() -> None:
    rate, hour = 11_025, np.zeros(11_025 * 60, np.float32)
    said = voices.call(6, [(1, 5)], rate, seed=4)
    detectors = [SpeechDetector(rate, SpeechSettings()) for _ in range(2)]
    for detector in detectors:
        for _ in range(60):
            detector.push(hour)
    found = detectors[0].push(said * np.float32(0.02))
    detectors[1].push(said)
    assert [each.is_speech for each in found] == [True, True]
    assert all(is_leak(each, detectors[0], detectors) for each in found)
