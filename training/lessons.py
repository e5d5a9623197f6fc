"""Lessons for the student: log-mel frames of speech, and beside them what the teacher hears there.

The teacher is the frozen piece of Whisper's encoder. It hears every clip once, through the plain line; the student is
given the same clip through other lines too, so that it learns to hear through what lines do. No emotion and no label is
taught here.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.features import log_mel, network_input
from training import telephone, whisper
from training.corpora import Clip, thinned
from training.dataset import load_samples
from training.encoding import Encoder, encoder_file, keep, key_of, open_network
from training.student import FRONT_END, STRIDE, TARGETS

#: Corpora that lessons are made from, and of how many clips one is taken.
CORPORA = {
    "nemo": 1, "tess": 4, "emogator": 2, "rakshak": 1, "emotiontts-ko": 1, "speechocean762": 1, "picovoice-sti": 1,
    "ami": 1,
}  # fmt: skip
#: Of how many clips of each one is heard to find the directions in which the teacher's layers differ most.
BASIS_EVERY = 40
#: A longer clip is heard in pieces of this length.
PIECE_S = 5.0
SHORTEST_S = 0.3
#: The plain line, and others drawn at random.
LINES = 2
_CLIPS_OF_A_PART = 128
_VERSION = 1


@dataclass(frozen=True)
class Basis:
    """Principal components of the teacher's layers.

    Attributes
    ----------
    mean, components, variances : shaped (1024,), (1024, TARGETS) and (TARGETS,).
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray) -> "Basis":
        """The directions in which `frames`, shaped (frames, 1024), differ most."""
        mean = frames.mean(axis=0)
        variances, components = np.linalg.eigh(np.cov((frames - mean).T))
        return cls(mean, components[:, ::-1][:, :TARGETS].astype(np.float32), variances[::-1][:TARGETS])


@dataclass(frozen=True)
class Lessons:
    """Pieces of clips, one after the other.

    Attributes
    ----------
    clips : the clip of each piece.
    log_mel : shaped (lines, STRIDE * frames, bands), in dB; frames of all pieces.
    said : what the teacher says, shaped (frames, TARGETS).
    lengths : frames of each piece, shaped (pieces,).
    variances : of the teacher's principal components.
    """

    clips: tuple[Clip, ...]
    log_mel: np.ndarray
    said: np.ndarray
    lengths: np.ndarray
    variances: np.ndarray

    def of(self, chosen: np.ndarray) -> "Lessons":
        """The pieces for which `chosen`, shaped (pieces,), is true."""
        frames = np.repeat(chosen, self.lengths)
        return Lessons(
            clips=tuple(compress(self.clips, chosen)),
            log_mel=self.log_mel[:, np.repeat(frames, STRIDE)],
            said=self.said[frames],
            lengths=self.lengths[chosen],
            variances=self.variances,
        )

    @property
    def hours(self) -> float:
        """Hours of speech, each line counted once."""
        return float(self.lengths.sum()) * STRIDE * FRONT_END.hop / FRONT_END.rate / 3600


def together(first: Lessons, second: Lessons) -> Lessons:
    """Both, of the same teacher's directions, one after the other."""
    return Lessons(
        clips=first.clips + second.clips,
        log_mel=np.concatenate([first.log_mel, second.log_mel], axis=1),
        said=np.concatenate([first.said, second.said]),
        lengths=np.concatenate([first.lengths, second.lengths]),
        variances=first.variances,
    )


def chosen(clips: Sequence[Clip]) -> list[Clip]:
    """The clips that lessons are made from."""
    return thinned(clips, CORPORA)


def key(clips: Sequence[Clip]) -> str:
    """Tells lessons from others."""
    return key_of(clips, _VERSION, teacher().name, PIECE_S, LINES)[:12]


def prepare(clips: Sequence[Clip], cache: Path, basis_of: Sequence[Clip] = ()) -> Lessons:
    """Make lessons of `clips`, or take them from the cache, where the same were made before.

    The teacher's directions are those that lessons of the clips `basis_of` have, else those of `clips` themselves.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    ear = encoder_file(teacher(), cache)
    basis = _basis(basis_of or clips, ear, cache)
    folder = cache / f"lessons-{key([*clips, *basis_of])}"
    parts = [clips[start : start + _CLIPS_OF_A_PART] for start in range(0, len(clips), _CLIPS_OF_A_PART)]
    paths = [folder / f"part-{number:04d}.npz" for number in range(len(parts))]
    parallel = Parallel(n_jobs=os.cpu_count() or 1, return_as="generator")
    done = parallel(delayed(_write_part)(part, ear, basis, path) for part, path in zip(parts, paths, strict=True))
    for _ in tqdm(done, total=len(parts), desc="lessons", unit=f"{_CLIPS_OF_A_PART} clips", disable=None):
        pass
    return _read(clips, paths, basis)


def teacher() -> Encoder:
    """The outputs of blocks 2 and 3 of Whisper's encoder, pairs of frames averaged."""
    return Encoder(
        "whisper-base-teacher-23", whisper.FRONT_END, lambda: whisper.build_teacher(whisper.load_weights(), (2, 3))
    )


def _basis(clips: Sequence[Clip], ear: Path, cache: Path) -> Basis:
    path = cache / f"basis-{key(clips)}.npz"
    if not path.is_file():
        few = list(clips[::BASIS_EVERY])
        session = open_network(ear)
        basis = Basis.of(np.concatenate([_teacher_says(session, piece) for _, piece in pieces(few)]))
        keep(path, **vars(basis))
    with np.load(path) as content:
        return Basis(**content)


def _write_part(clips: Sequence[Clip], ear: Path, basis: Basis, path: Path) -> None:
    if path.is_file():
        return
    session = open_network(ear)
    # All may be too short, or silent.
    said, heard = [np.empty((0, TARGETS), np.float16)], [np.empty((LINES, 0, FRONT_END.bands), np.float16)]
    lengths: list[int] = []
    owners: list[int] = []
    for number, (owner, piece) in enumerate(pieces(clips)):
        said.append(((_teacher_says(session, piece) - basis.mean) @ basis.components).astype(np.float16))
        random = np.random.default_rng([zlib.crc32(clips[owner].path.name.encode()), number])
        heard.append(np.stack([_student_hears(piece, line, len(said[-1]), random) for line in lines(random)]))
        lengths.append(len(said[-1]))
        owners.append(owner)
    counts = {"lengths": np.array(lengths, int), "owners": np.array(owners, int)}
    keep(path, said=np.concatenate(said), log_mel=np.concatenate(heard, axis=1), **counts)


def pieces(clips: Sequence[Clip]) -> Iterator[tuple[int, np.ndarray]]:
    """Every clip in pieces at 8000 per second, some faster or slower, each with the number of its clip."""
    import soxr

    for number, clip in enumerate(clips):
        samples, digest = load_samples(clip.path, telephone.RATE)
        random = np.random.default_rng(int(digest[:12], 16))
        if random.random() < 0.4:
            samples = soxr.resample(samples, telephone.RATE * random.uniform(0.88, 1.12), telephone.RATE)
        size = int(PIECE_S * telephone.RATE)
        for start in range(0, len(samples), size):
            piece = samples[start : start + size]
            if len(piece) >= SHORTEST_S * telephone.RATE and piece.any():
                yield number, piece


def lines(random: np.random.Generator) -> list[telephone.Line]:
    """The plain line and others drawn at random, none faster or slower: that would be out of time with the teacher."""
    return [telephone.PLAIN, *(replace(telephone.draw_line(random), speed=1) for _ in range(LINES - 1))]


def places(
    lengths: np.ndarray,
    kinds: Sequence[tuple[int, int]],
    lines: int,
    random: np.random.Generator,
    weights: np.ndarray | None = None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Where to cut pieces that stand one after the other: a length, the first frames of some cuts, and their lines.

    Pieces are drawn by their length, cuts of one length at a time, from pieces that are long enough, so that nothing is
    padded.

    Parameters
    ----------
    lengths : frames of each piece, shaped (pieces,).
    kinds : frames of a cut, and how many cuts of that length there are at a time.
    lines : how many there are to draw from.
    weights : what a frame of each piece weighs, shaped (pieces,); None for all alike.
    """
    starts = np.cumsum(lengths) - lengths
    possible = [(frames, size) for frames, size in kinds if (lengths >= frames).any()]
    weighed = lengths if weights is None else lengths * weights
    chances = [weighed * (lengths >= frames) for frames, _ in possible]
    while True:
        kind = random.integers(len(possible))
        frames, size = possible[kind]
        drawn = random.choice(len(starts), size, p=chances[kind] / chances[kind].sum())
        first = starts[drawn] + random.integers(0, lengths[drawn] - frames + 1)
        yield frames, first, random.integers(0, lines, size)


def whisper_frames(sound: np.ndarray) -> np.ndarray:
    """Sound at 8000 per second as Whisper takes it, shaped (frames, 80)."""
    import soxr

    heard = soxr.resample(sound.astype(np.float32), telephone.RATE, whisper.FRONT_END.rate)
    return network_input(heard, whisper.FRONT_END)


def _teacher_says(session: Any, piece: np.ndarray) -> np.ndarray:
    """Shaped (frames, 1024), 25 a second."""
    frames = whisper_frames(telephone.through(piece, telephone.PLAIN, np.random.default_rng(0)))[None]
    return session.run(None, {session.get_inputs()[0].name: frames})[0][0]


def _student_hears(piece: np.ndarray, line: telephone.Line, frames: int, random: np.random.Generator) -> np.ndarray:
    """Log-mel frames in dB, shaped (STRIDE * frames, bands), float16, in time with the teacher's."""
    edge = (FRONT_END.window - FRONT_END.hop) // 2
    sound = np.pad(telephone.through(piece, line, random), (edge, FRONT_END.window)).astype(np.float32)
    heard = log_mel(sound, FRONT_END)[: STRIDE * frames]
    return np.pad(heard, ((0, STRIDE * frames - len(heard)), (0, 0)), mode="edge").astype(np.float16)


def _read(clips: Sequence[Clip], paths: Sequence[Path], basis: Basis) -> Lessons:
    parts = []
    for path in paths:
        with np.load(path) as content:
            parts.append(dict(content))
    owners = [_CLIPS_OF_A_PART * number + owner for number, part in enumerate(parts) for owner in part["owners"]]
    return Lessons(
        clips=tuple(clips[owner] for owner in owners),
        log_mel=np.concatenate([part["log_mel"] for part in parts], axis=1),
        said=np.concatenate([part["said"] for part in parts]),
        lengths=np.concatenate([part["lengths"] for part in parts]),
        variances=basis.variances,
    )
