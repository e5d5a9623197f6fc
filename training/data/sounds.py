"""Samples of clips at the telephone rate, decoded once and cached in one file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analyzer.store.outputs import atomic_write
from training.data import telephone
from training.data.cache import key_of, save_arrays
from training.data.corpora import Clip
from training.data.dataset import load_samples
from training.data.parallel import in_chunks

#: Longest part of a clip in seconds, taken from its start.
LONGEST_S = 12.0
_CLIPS_PER_CHUNK = 256
#: Cache version; increase it whenever the same clip would give other samples.
_VERSION = 1


@dataclass(frozen=True)
class Sounds:
    """Samples of clips, one after the other.

    Attributes
    ----------
    clips : with the digest of their audio.
    samples : 16-bit integers at `telephone.RATE` per second, shaped (samples,); read from disk on demand
        (memory-mapped).
    starts : index of the first sample of each clip, and the end of the last; shaped (clips + 1,).
    """

    clips: tuple[Clip, ...]
    samples: np.ndarray
    starts: np.ndarray

    def of(self, number: int) -> np.ndarray:
        """Return one clip, shaped (samples,), float32 within -1 to 1."""
        return self.samples[self.starts[number] : self.starts[number + 1]].astype(np.float32) / 32768


def read_sounds(clips: Sequence[Clip], cache: Path) -> Sounds:
    """Return the samples of clips, from the cache if the same clips were read before.

    Raises UsageError if a clip cannot be decoded.
    """
    name = f"sounds-{key_of(clips, _VERSION, LONGEST_S)[:24]}"
    samples, lengths = cache / f"{name}.npy", cache / f"{name}.npz"
    if not (samples.is_file() and lengths.is_file()):
        _decode(clips, samples, lengths)
    with np.load(lengths) as content:
        clips_with_digests = tuple(
            replace(clip, audio=str(digest)) for clip, digest in zip(clips, content["digests"], strict=True)
        )
        return Sounds(
            clips_with_digests, np.load(samples, mmap_mode="r"), np.concatenate([[0], np.cumsum(content["lengths"])])
        )


def _decode(clips: Sequence[Clip], samples: Path, lengths: Path) -> None:
    chunks = in_chunks(_decode_chunk, clips, len(clips), _CLIPS_PER_CHUNK, "decoding", threads=True)
    decoded = [clip for chunk in chunks for clip in chunk]
    with atomic_write(samples, ".npy") as temporary:
        np.save(temporary, np.concatenate([clip_samples for clip_samples, _ in decoded]))
    save_arrays(
        lengths, lengths=[len(clip_samples) for clip_samples, _ in decoded], digests=[digest for _, digest in decoded]
    )


def _decode_chunk(clips: Sequence[Clip]) -> list[tuple[np.ndarray, str]]:
    decoded = []
    for clip in clips:
        samples, digest = load_samples(clip.path, telephone.RATE)
        excerpt = samples[: int(LONGEST_S * telephone.RATE)]
        decoded.append((np.clip(np.rint(excerpt * 32767), -32768, 32767).astype(np.int16), digest))
    return decoded
