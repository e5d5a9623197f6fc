"""Synthetic sounds for tests: speech, and other sounds of a telephone line."""

from collections.abc import Sequence

import numpy as np

#: Three formants of each of five vowels, in Hz.
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
_BANDWIDTHS = (80, 110, 160)


def speech(seconds: float, rate: int = 8000, *, pitch: float = 120.0, seed: int = 0, peak: float = 0.4) -> np.ndarray:
    """Return syllables, about four per second, each a noise burst and a vowel of gliding pitch; shaped (samples,)."""
    rng, wanted = np.random.default_rng(seed), round(seconds * rate)
    pieces, held = [], 0
    while held < wanted:
        burst = _burst(rng, rng.uniform(0.03, 0.05), rate)
        vowel = _vowel(rng, pitch, rng.uniform(0.14, 0.19), rate)
        closure = np.zeros(round(rng.uniform(0.03, 0.06) * rate))
        pieces += [burst, vowel, closure]
        held += len(burst) + len(vowel) + len(closure)
    sound = np.concatenate(pieces)[:wanted]
    return (sound * (peak / np.abs(sound).max())).astype(np.float32)


def _burst(rng: np.random.Generator, seconds: float, rate: int) -> np.ndarray:
    noise = np.diff(rng.normal(size=round(seconds * rate) + 1))
    return 0.08 * noise * np.hanning(len(noise))


def _vowel(rng: np.random.Generator, pitch: float, seconds: float, rate: int) -> np.ndarray:
    """Return a train of glottal pulses, filtered by three formants."""
    count = round(seconds * rate)
    glide = pitch * rng.uniform(0.85, 1.2) * np.linspace(1, rng.uniform(0.8, 1.25), count)
    pulses = np.diff(np.floor(np.cumsum(glide) / rate), prepend=0)
    hz = np.fft.rfftfreq(count, 1 / rate)
    response = 1 / (1 + (hz / 500) ** 2) + 0j
    for centre, width in zip(_VOWELS[rng.integers(len(_VOWELS))], _BANDWIDTHS, strict=True):
        response *= centre**2 / (centre**2 - hz**2 + 1j * hz * width)
    voiced = np.fft.irfft(np.fft.rfft(pulses) * response * 1j * hz, count)
    return voiced / np.abs(voiced).max() * rng.uniform(0.7, 1.0) * np.hanning(count) ** 0.5


def call(
    length_s: float, spoken: Sequence[tuple[float, float]], rate: int = 8000, *, pitch: float = 120.0, seed: int = 0
) -> np.ndarray:
    """Return one side of a call: speech in the given (start, end) in seconds on a quiet line; shaped (samples,)."""
    sound = noise(length_s, rate, level_db=-75, seed=seed + 1)
    for k, (start, end) in enumerate(spoken):
        words = speech(end - start, rate, pitch=pitch, seed=1000 * seed + k)
        first = round(start * rate)
        sound[first : first + len(words)] += words
    return sound


def noise(
    seconds: float, rate: int = 8000, *, level_db: float = -40.0, pink: bool = False, seed: int = 0
) -> np.ndarray:
    """Return steady noise at a level in dBFS, white or pink; shaped (samples,)."""
    sound = np.random.default_rng(seed).normal(size=round(seconds * rate))
    if pink:
        spectrum = np.fft.rfft(sound)
        sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), len(sound))
    return (sound / sound.std() * 10 ** (level_db / 20)).astype(np.float32)


def tones(seconds: float, *hz: float, rate: int = 8000, peak: float = 0.3) -> np.ndarray:
    """Return a sum of sine tones; shaped (samples,)."""
    t = np.arange(round(seconds * rate)) / rate
    return (peak / len(hz) * sum(np.sin(2 * np.pi * f * t) for f in hz)).astype(np.float32)


def cadence(seconds: float, on_s: float, off_s: float, *hz: float, rate: int = 8000) -> np.ndarray:
    """Return tones that are switched on and off, as in a busy signal; shaped (samples,)."""
    sound = tones(seconds, *hz, rate=rate)
    t = np.arange(len(sound)) / rate
    return sound * (t % (on_s + off_s) < on_s).astype(np.float32)


def dialled(number: str, on_s: float, off_s: float, rate: int = 8000) -> np.ndarray:
    """Return the DTMF tones of a dialled number; shaped (samples,)."""
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    pieces = []
    for key in number:
        row, column = divmod("123456789*0#".index(key), 3)
        pieces += [tones(on_s, rows[row], columns[column], rate=rate), np.zeros(round(off_s * rate), np.float32)]
    return np.concatenate(pieces)
