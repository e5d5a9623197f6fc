"""Synthetic hold music for training on non-speech: random plucked chords, pads, melodies and drums."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from analyzer.emotions import OTHER
from training.data.corpora import Clip

RATE = 8000
CORPUS = "music"
_SCALE = (0, 2, 4, 5, 7, 9, 11)
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 4, 7, 10), (0, 5, 9), (0, 3, 7, 10))

Random = np.random.Generator


def write_music(folder: Path, count: int, seed: int, seconds: float = 4.0) -> tuple[Clip, ...]:
    """Write clips of synthetic music to `folder`, unless they exist.

    Every ten clips share a `speaker`, so that a split by speaker keeps them together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for number in range(count):
        path = folder / f"music-{seed}-{number:04d}.flac"
        if not path.is_file():
            soundfile.write(path, make_music(np.random.default_rng([seed, number]), seconds), RATE)
        clips.append(Clip(path, OTHER, f"{CORPUS}-{seed}-{number // 10}", CORPUS))
    return tuple(clips)


def make_music(random: Random, seconds: float) -> np.ndarray:
    """Generate music for one to three instruments, shaped (samples,), float32, at 8000 per second."""
    instruments: list[Callable[[Random, float, float, float], np.ndarray]] = [_plucked, _pad, _melody, _drums]
    chosen = random.permutation(len(instruments))[: random.integers(1, 4)]
    beat_s, root_hz = float(random.uniform(0.25, 0.7)), float(110 * 2 ** random.uniform(0, 2))
    mixed = np.zeros(int(seconds * RATE))
    for index in chosen:
        sound = instruments[index](random, seconds, beat_s, root_hz)
        mixed += sound / (np.sqrt(np.mean(sound**2)) + 1e-9) * random.uniform(0.3, 1)
    return (0.1 * mixed / (np.sqrt(np.mean(mixed**2)) + 1e-9)).clip(-1, 1).astype(np.float32)


def _plucked(random: Random, seconds: float, beat_s: float, root_hz: float) -> np.ndarray:
    """Chords played one note at a time, each note decaying."""
    chord, decay = _CHORDS[random.integers(len(_CHORDS))], float(random.uniform(1.5, 6))

    def note(times: np.ndarray) -> np.ndarray:
        pitch = root_hz * 2 ** (random.choice(chord) / 12 + random.integers(0, 2))
        return np.exp(-decay * times) * _harmonics(times, pitch, brightness=1.0, count=6)

    return _place_on_beats(seconds, beat_s * float(random.choice((0.5, 1))), note)


def _pad(random: Random, seconds: float, beat_s: float, root_hz: float) -> np.ndarray:
    """Sustained chords that swell and fade, slightly detuned."""
    chord = _CHORDS[random.integers(len(_CHORDS))]

    def note(times: np.ndarray) -> np.ndarray:
        step = random.choice((0, 5, 7, 9))
        swell = np.minimum(1, times / 0.3) * np.exp(-0.5 * times)
        voices = (
            _harmonics(times, root_hz * 2 ** ((step + tone) / 12) * random.uniform(0.997, 1.003), 1.5, 5)
            for tone in chord
        )
        return swell * sum(voices)

    return _place_on_beats(seconds, beat_s * 4, note)


def _melody(random: Random, seconds: float, beat_s: float, root_hz: float) -> np.ndarray:
    """A melody with some vibrato, like that of a flute or a fiddle."""
    brightness, depth, speed = random.uniform(0.7, 2), random.uniform(0, 0.01), random.uniform(4, 7)

    def note(times: np.ndarray) -> np.ndarray:
        pitch = 2 * root_hz * 2 ** (random.choice(_SCALE) / 12)
        vibrato_times = times + depth / speed * np.sin(2 * np.pi * speed * times)
        return np.minimum(1, times / 0.04) * np.exp(-1.0 * times) * _harmonics(vibrato_times, pitch, brightness, 8)

    return _place_on_beats(seconds, beat_s * float(random.choice((0.5, 1, 2))), note)


def _drums(random: Random, seconds: float, beat_s: float, root_hz: float) -> np.ndarray:
    """A beat of low drums and short bursts of noise."""
    del root_hz

    def stroke(times: np.ndarray) -> np.ndarray:
        if random.random() < 0.5:
            return np.exp(-18 * times) * np.sin(2 * np.pi * 90 * times * np.exp(-2 * times))
        return 0.4 * np.exp(-30 * times) * random.normal(size=len(times))

    return _place_on_beats(seconds, beat_s / 2, stroke)


def _harmonics(times: np.ndarray, pitch: float, brightness: float, count: int) -> np.ndarray:
    audible = [k for k in range(1, count + 1) if k * pitch < RATE / 2]
    return sum((np.sin(2 * np.pi * k * pitch * times) / k**brightness for k in audible), np.zeros(len(times)))


def _place_on_beats(seconds: float, beat_s: float, note: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Place a note on every beat; each lasts two seconds at most."""
    sound = np.zeros(int(seconds * RATE))
    for start in np.arange(0, seconds, beat_s):
        first = int(start * RATE)
        times = np.arange(min(len(sound) - first, 2 * RATE)) / RATE
        sound[first : first + len(times)] += note(times)
    return sound
