"""Augmented copies of clips, through random telephone lines, as log-mel frames; computed once, shared by all fits.

Simulating the lines in every step of every fit would take a third of the training time on a CPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soxr

from analyzer.speech.features import FrontEnd, centred_log_mel
from analyzer.store.outputs import atomic_write
from training.data import telephone
from training.data.cache import key_of, save_arrays
from training.data.parallel import in_chunks
from training.data.sounds import Sounds

#: Seconds of a clip in a copy, at most and at least; a shorter clip is padded.
LONGEST_S, SHORTEST_S = 6.0, 3.0
_SPEEDS = (0.88, 1.12)
#: In half of the copies, a shorter clip is repeated after a pause of this length in seconds; otherwise silence follows
#: it.
_PAUSE_S = (0.05, 0.3)
#: Probabilities of telephone.CODECS. FFmpeg's codecs take ten times as long as the others.
_CODEC_SHARES = (0.45, 0.25, 0.2, 0.04, 0.03, 0.03)
#: Extra samples that resampling needs at the end.
_RESAMPLING_MARGIN = 400
_CLIPS_PER_CHUNK = 128
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
    clips = ((sounds.of(number), clip.audio, counts[number]) for number, clip in enumerate(sounds.clips))
    draw = partial(_augmented_copies, front_end=front_end)
    chunks = in_chunks(draw, clips, len(sounds.clips), _CLIPS_PER_CHUNK, "drawing")
    sizes, lengths = [], []
    with atomic_write(frames) as temporary, temporary.open("wb") as file:
        for copies in chunks:
            for copy_frames, length in copies:
                file.write(copy_frames.astype(np.float16).tobytes())
                sizes.append(len(copy_frames))
                lengths.append(length)
    save_arrays(index, sizes=sizes, lengths=lengths)


def _augmented_copies(clips: list[tuple[np.ndarray, str, int]], front_end: FrontEnd) -> list[tuple[np.ndarray, int]]:
    """Return the frames of each copy, and their number before the padding with silence."""
    copies = []
    for samples, digest, count in clips:
        for copy in range(count):
            random = np.random.default_rng([copy, int((digest or "0")[:12], 16)])
            sound, length = _crop_and_pad(samples, random)
            augmented = telephone.simulate_line(sound, _draw_line(random), random)
            copies.append((centred_log_mel(augmented, front_end), length // front_end.hop))
    return copies


def _crop_and_pad(samples: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return a random piece of a clip at a random speed, at least SHORTEST_S long, and its length without padding.

    The piece is shaped (samples,). Padding is the silence at its end.
    """
    speed, shortest = random.uniform(*_SPEEDS), int(SHORTEST_S * telephone.RATE)
    needed = int(LONGEST_S * telephone.RATE * speed) + _RESAMPLING_MARGIN
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
