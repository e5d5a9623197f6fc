"""Short clips of speech, and folders of clips."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def voice(speaker: int, emotion: int, take: int, seconds: float = 0.8) -> np.ndarray:
    """A voiced sound between two silences: harmonics in syllables, with a pitch set by speaker and emotion."""
    generator = np.random.default_rng((speaker, emotion, take))
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 90 + 12 * speaker + 25 * emotion + generator.uniform(-4, 4)
    harmonics = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
    syllables = np.maximum(0, np.sin(2 * np.pi * (2 + emotion / 2) * time))
    noise = generator.standard_normal(len(time)) * 0.01
    sound = 0.1 * harmonics * syllables + noise * (syllables > 0)
    silence = np.zeros(RATE // 10)
    return np.concatenate([silence, sound, silence]).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write a clip in the format of its extension; Ogg Opus for .opus."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".opus":
        soundfile.write(path, samples, rate, format="OGG", subtype="OPUS")
    else:  # integers, as libsndfile scales floats differently for WAV and FLAC
        soundfile.write(path, np.round(samples * 32767).astype(np.int16), rate)
    return path


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder
