"""Augmented copies of clips, through random telephone lines, as log-mel frames; computed once, shared by all fits.

Simulating the lines in every step of every fit would take a third of the training time on a CPU.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr

from analyzer.features import FrontEnd, centred_log_mel
from analyzer.outputs import replacing
from training import telephone
from training.encoding import keep, key_of
from training.sounds import Sounds

#: Seconds of a clip in a copy, at most and at least; a shorter clip is padded.
LONGEST_S, SHORTEST_S = 6.0, 3.0
_SPEEDS = (0.88, 1.12)
#: In half of the copies, a shorter clip is repeated after a pause of this length in seconds; otherwise silence follows
#: it.
_PAUSE_S = (0.05, 0.3)
#: Probabilities of telephone.CODECS. FFmpeg's codecs take ten times as long as the others.
_CODEC_SHARES = (0.45, 0.25, 0.2, 0.04, 0.03, 0.03)
#: Extra samples that resampling needs at the end.
_EDGE = 400
_CLIPS_OF_A_PART = 128
#: Cache version; increase it whenever the same clips would give other frames.
_VERSION = 1


@dataclass(frozen=True)
class DrawnFrames:
    """Log-mel frames of augmented copies of clips, one copy after the other.

    Attributes
    ----------
    frames : decimal logarithms shaped (frames, bands), float16; read from disk on demand (memory-mapped).
    starts : index of the first frame of each copy, and the end of the last; shaped (copies + 1,).
    lengths : frames of each copy before its padding with silence, shaped (copies,).
    first : index of the first copy of each clip, and the number of all copies; shaped (clips + 1,).
    """

    frames: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    first: np.ndarray

    def crop(self, clip: int, length: int, random: np.random.Generator) -> np.ndarray:
        """Return a random crop of a random copy of a clip, shaped (length, bands), float32; at most SHORTEST_S long."""
        copy, offset = self.place(clip, length, random)
        start = self.starts[copy] + offset
        return self.frames[start : start + length].astype(np.float32)

    def place(self, clip: int, length: int, random: np.random.Generator, stride: int = 1) -> tuple[int, int]:
        """Draw a copy of a clip and the offset of a crop in it; the offset is in units of `stride` frames."""
        copy = int(random.integers(self.first[clip], self.first[clip + 1]))
        return copy, int(random.integers(max(0, self.lengths[copy] - length) // stride + 1))


def draw_frames(sounds: Sounds, copies: Mapping[str, int], front_end: FrontEnd, cache: Path) -> DrawnFrames:
    """Return augmented copies of all clips, from the cache if they were drawn before.

    Parameters
    ----------
    sounds : the clips.
    copies : number of copies per clip, by corpus; other corpora have none.
    front_end : front end of the frames; its rate is that of `sounds`.
    cache : cache folder.
    """
    settings = sorted(copies.items()), sorted(vars(front_end).items())
    name = f"drawn-{key_of(sounds.clips, _VERSION, *settings)[:24]}"
    frames, index = cache / f"{name}.f16", cache / f"{name}.npz"
    counts = np.array([copies.get(clip.corpus, 0) for clip in sounds.clips])
    if not (frames.is_file() and index.is_file()):
        _draw(sounds, counts, front_end, frames, index)
    with np.load(index) as content:
        sizes, lengths = content["sizes"], content["lengths"]
    return DrawnFrames(
        np.memmap(frames, np.float16, "r").reshape(-1, front_end.bands),
        np.concatenate([[0], np.cumsum(sizes)]),
        lengths,
        np.concatenate([[0], np.cumsum(counts)]),
    )


def _draw(sounds: Sounds, counts: np.ndarray, front_end: FrontEnd, frames: Path, index: Path) -> None:
    from joblib import Parallel, delayed
    from tqdm import tqdm

    parts = [
        range(start, min(start + _CLIPS_OF_A_PART, len(counts))) for start in range(0, len(counts), _CLIPS_OF_A_PART)
    ]
    parallel = Parallel(n_jobs=os.cpu_count() or 1, return_as="generator")
    results = parallel(
        delayed(_copies)([(sounds.of(k), sounds.clips[k].audio, counts[k]) for k in part], front_end) for part in parts
    )
    sizes: list[int] = []
    lengths: list[int] = []
    with replacing(frames) as temporary, temporary.open("wb") as file:
        for part in tqdm(results, total=len(parts), desc="drawing", unit=f"{_CLIPS_OF_A_PART} clips", disable=None):
            for found, length in part:
                file.write(found.astype(np.float16).tobytes())
                sizes.append(len(found))
                lengths.append(length)
    keep(index, sizes=sizes, lengths=lengths)


def _copies(clips: list[tuple[np.ndarray, str | None, int]], front_end: FrontEnd) -> list[tuple[np.ndarray, int]]:
    """Return the frames of each copy, and their number before the padding with silence."""
    found = []
    for samples, digest, count in clips:
        for copy in range(count):
            random = np.random.default_rng([copy, int((digest or "0")[:12], 16)])
            sound, length = _filled_up(samples, random)
            drawn = telephone.through(sound, _draw_line(random), random)
            found.append((centred_log_mel(drawn, front_end), length // front_end.hop))
    return found


def _filled_up(samples: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return a random piece of a clip at a random speed, at least SHORTEST_S long, and its length without padding.

    The piece is shaped (samples,). Padding is the silence at its end.
    """
    speed, shortest = random.uniform(*_SPEEDS), int(SHORTEST_S * telephone.RATE)
    needed = int(LONGEST_S * telephone.RATE * speed) + _EDGE
    start = random.integers(max(0, len(samples) - needed) + 1)
    samples = soxr.resample(samples[start : start + needed], telephone.RATE * speed, telephone.RATE, quality="LQ")
    samples = samples[: int(LONGEST_S * telephone.RATE)]
    if len(samples) >= shortest:
        return samples, len(samples)
    if random.random() < 0.5:
        pause = np.zeros(int(random.uniform(*_PAUSE_S) * telephone.RATE), np.float32)
        return np.resize(np.concatenate([samples, pause]), shortest), shortest
    return np.pad(samples, (0, shortest - len(samples))), len(samples)


def _draw_line(random: np.random.Generator) -> telephone.Line:
    """Draw a line like `telephone.draw_line`, but cheaper: filters are shared, and slow codecs are rare.

    The line does not change the speed, because the copy already has its own.
    """
    line = telephone.draw_line(random)
    return replace(
        line, speed=1, low_hz=round(line.low_hz, -1), high_hz=round(line.high_hz, -1),
        codec=str(random.choice(telephone.CODECS, p=_CODEC_SHARES)),
    )  # fmt: skip
