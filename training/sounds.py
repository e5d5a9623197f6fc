"""Samples of clips at the telephone rate, decoded once and cached in one file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analyzer.outputs import replacing
from training import telephone
from training.corpora import Clip
from training.dataset import load_samples
from training.encoding import keep, key_of

#: Longest part of a clip in seconds, taken from its start.
LONGEST_S = 12.0
_CLIPS_OF_A_PART = 256
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
        found = tuple(replace(clip, audio=str(d)) for clip, d in zip(clips, content["digests"], strict=True))
        return Sounds(found, np.load(samples, mmap_mode="r"), np.concatenate([[0], np.cumsum(content["lengths"])]))


def _decode(clips: Sequence[Clip], samples: Path, lengths: Path) -> None:
    from joblib import Parallel, delayed
    from tqdm import tqdm

    parts = [clips[start : start + _CLIPS_OF_A_PART] for start in range(0, len(clips), _CLIPS_OF_A_PART)]
    # Decoding and resampling release the GIL, so threads suffice.
    parallel = Parallel(n_jobs=os.cpu_count() or 1, prefer="threads", return_as="generator")
    results = parallel(delayed(_decode_part)(part) for part in parts)
    progress = tqdm(results, total=len(parts), desc="decoding", unit=f"{_CLIPS_OF_A_PART} clips", disable=None)
    decoded = [clip for part in progress for clip in part]
    with replacing(samples, ".npy") as temporary:
        np.save(temporary, np.concatenate([found for found, _ in decoded]))
    keep(lengths, lengths=[len(found) for found, _ in decoded], digests=[digest for _, digest in decoded])


def _decode_part(clips: Sequence[Clip]) -> list[tuple[np.ndarray, str]]:
    decoded = []
    for clip in clips:
        samples, digest = load_samples(clip.path, telephone.RATE)
        cut = samples[: int(LONGEST_S * telephone.RATE)]
        decoded.append((np.clip(np.rint(cut * 32767), -32768, 32767).astype(np.int16), digest))
    return decoded
