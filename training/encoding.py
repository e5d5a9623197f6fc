"""Encoder statistics of clips through telephone lines; computed once and cached on disk."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.features import FrontEnd, network_input
from analyzer.outputs import replacing
from training import telephone
from training.corpora import Clip
from training.dataset import load_samples

#: In seconds: longest part of a clip, taken from its start; lengths of a random crop, as long as segments are; lengths
#: of a short crop.
LONGEST_S, CUT_S, SHORT_S = 4.0, (1.2, 3.2), (0.3, 1.2)
#: Cache version; increase it whenever the same clip would give other statistics.
_VERSION = 2


@dataclass(frozen=True)
class Encoder:
    """An encoder, from frames of its front end to statistics over time.

    Attributes
    ----------
    name : unique id, used in cache keys and as file name.
    front_end : the front end of its input frames.
    build : builds the Keras network, from (batch, frames, bands) to (batch, width).
    """

    name: str
    front_end: FrontEnd
    build: Callable[[], Any]


@dataclass(frozen=True)
class ClipStatistics:
    """Encoder statistics of clips.

    Attributes
    ----------
    clips : with the digest of their audio.
    statistics : shaped (clips, width), float32.
    lengths_s : encoded seconds of each clip, shaped (clips,).
    """

    clips: tuple[Clip, ...]
    statistics: np.ndarray
    lengths_s: np.ndarray

    def of(self, chosen: np.ndarray) -> "ClipStatistics":
        """Select the clips for which `chosen`, shaped (clips,), is true."""
        return ClipStatistics(tuple(compress(self.clips, chosen)), self.statistics[chosen], self.lengths_s[chosen])


def studio(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the first LONGEST_S of the clip at 8 kHz, without a telephone line."""
    del random
    return samples[: int(LONGEST_S * telephone.RATE)]


def plain_line(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pass the clip through the line that is used for every telephone score."""
    return telephone.through(samples[: int(LONGEST_S * telephone.RATE)], telephone.PLAIN, random)


def coded_line(samples: np.ndarray, random: np.random.Generator, codec: str) -> np.ndarray:
    """Pass the clip through a good line with another codec."""
    line = replace(telephone.PLAIN, codec=codec)
    return telephone.through(samples[: int(LONGEST_S * telephone.RATE)], line, random)


def drawn_line(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pass a random crop of the clip through a random line: augmentation for training, never for scores."""
    return telephone.through(_piece(samples, CUT_S, random), telephone.draw_line(random), random)


def short_piece(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pass a word or two of the clip through a random line: augmentation for training, never for scores."""
    return telephone.through(_piece(samples, SHORT_S, random), telephone.draw_line(random), random)


def _piece(samples: np.ndarray, lengths_s: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    length = int(random.uniform(*lengths_s) * telephone.RATE)
    start = int(random.integers(0, max(1, len(samples) - length + 1)))
    return samples[start : start + length]


CONDITIONS: dict[str, Any] = {
    "studio": studio,
    "telephone": plain_line,
    "drawn": drawn_line,
    "short": short_piece,
    **{codec: partial(coded_line, codec=codec) for codec in telephone.CODECS if codec != telephone.PLAIN.codec},
}


def key_of(clips: Sequence[Clip], *settings: object) -> str:
    """Return a hexadecimal cache key for a result that was computed from clips with some settings."""
    names = [f"{clip.corpus}/{clip.path.name}" for clip in clips]
    return hashlib.sha256(json.dumps([*settings, names]).encode()).hexdigest()


def keep(path: Path, **arrays: Any) -> None:
    """Write arrays to a cache file, atomically."""
    with replacing(path, ".npz") as temporary:
        np.savez(temporary, **arrays)


def encoder_file(encoder: Encoder, cache: Path) -> Path:
    """Return the ONNX file of an encoder; export it if the cache has none."""
    path = cache / f"{encoder.name}.onnx"
    if not path.is_file():
        from training.export import export_network
        from training.fuse import fuse
        from training.whisper import EPSILON

        with replacing(path, ".onnx") as temporary:
            export_network(encoder.build(), encoder.front_end, temporary)
            fuse(temporary, temporary, EPSILON)
    return path


def clip_statistics(
    clips: Sequence[Clip], condition: str, network: Path, front_end: FrontEnd, cache: Path, seed: int = 0
) -> ClipStatistics:
    """Return the statistics of clips under a condition, from the cache if they were computed before.

    Parameters
    ----------
    clips : each is encoded once.
    condition : a name of CONDITIONS.
    network : the encoder as ONNX, from frames of `front_end` to statistics; its file name identifies it.
    cache : cache folder of statistics.
    seed : random seed of the condition; the draws for a clip depend on nothing but the seed and the clip.
    """
    kept = cache / f"{condition}-{key_of(clips, _VERSION, network.name, condition, seed)[:24]}.npz"
    if not kept.is_file():
        _keep(kept, _compute(clips, condition, network, front_end, cache, seed))
    with np.load(kept) as content:
        digests, statistics, lengths = content["digests"], content["statistics"], content["lengths_s"]
    known = tuple(replace(clip, audio=str(digest)) for clip, digest in zip(clips, digests, strict=True))
    return ClipStatistics(known, statistics.astype(np.float32), lengths)


def _keep(path: Path, found: list[tuple[str, np.ndarray, float]]) -> None:
    digests, statistics, lengths = zip(*found, strict=True)
    keep(
        path,
        digests=np.array(digests),
        statistics=np.stack(statistics).astype(np.float16),
        lengths_s=np.array(lengths, np.float32),
    )


def _compute(
    clips: Sequence[Clip], condition: str, network: Path, front_end: FrontEnd, cache: Path, seed: int
) -> list[tuple[str, np.ndarray, float]]:
    from joblib import Parallel, delayed
    from tqdm import tqdm

    size = 64
    parts = [clips[start : start + size] for start in range(0, len(clips), size)]
    parallel = Parallel(n_jobs=os.cpu_count() or 1, return_as="generator")
    results = parallel(delayed(_compute_part)(part, condition, network, front_end, cache, seed) for part in parts)
    progress = tqdm(results, total=len(parts), desc=f"statistics ({condition})", unit=f"{size} clips", disable=None)
    return [one for part in progress for one in part]


def _compute_part(
    clips: Sequence[Clip], condition: str, network: Path, front_end: FrontEnd, cache: Path, seed: int
) -> list[tuple[str, np.ndarray, float]]:
    import soxr

    session = open_network(network)
    name = session.get_inputs()[0].name
    found = []
    for sound, digest in _sounds_of(clips, condition, cache, seed):
        samples = soxr.resample(sound, telephone.RATE, front_end.rate)
        statistics = session.run(None, {name: network_input(samples, front_end)[None]})[0][0]
        found.append((digest, statistics, len(samples) / front_end.rate))
    return found


def _sounds_of(clips: Sequence[Clip], condition: str, cache: Path, seed: int) -> list[tuple[np.ndarray, str]]:
    """Return clips under a condition, at 8 kHz, with their digests; cached, because several encoders use them."""
    path = cache / "sounds" / f"{condition}-{key_of(clips, _VERSION, condition, seed)[:24]}.npz"
    if not path.is_file():
        sounds, digests = zip(*(_sound(clip, condition, seed) for clip in clips), strict=True)
        keep(path, sounds=np.concatenate(sounds), lengths=[len(sound) for sound in sounds], digests=digests)
    with np.load(path) as content:
        ends = np.cumsum(content["lengths"])
        return list(zip(np.split(content["sounds"], ends[:-1]), map(str, content["digests"]), strict=True))


def sound_of(clip: Clip, condition: str, rate: int, seed: int = 0) -> tuple[np.ndarray, str]:
    """Return a clip under a condition, shaped (samples,) at `rate` per second, and the digest of its file's audio."""
    import soxr

    samples, digest = _sound(clip, condition, seed)
    return soxr.resample(samples, telephone.RATE, rate), digest


def _sound(clip: Clip, condition: str, seed: int) -> tuple[np.ndarray, str]:
    samples, digest = load_samples(clip.path, telephone.RATE)
    random = np.random.default_rng([seed, int(digest[:12], 16)])
    return CONDITIONS[condition](samples, random).astype(np.float32), digest


def open_network(network: Path) -> Any:
    """Open an ONNX network that runs on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
