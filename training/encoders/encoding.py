"""Encoder statistics of clips through telephone lines; computed once and cached on disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.speech.features import FrontEnd, network_input
from analyzer.store.outputs import atomic_write
from training.data import telephone
from training.data.cache import key_of, save_arrays
from training.data.corpora import Clip
from training.data.dataset import load_samples
from training.data.parallel import in_chunks

#: In seconds: longest part of a clip, taken from its start; lengths of a random crop, as long as segments are; lengths
#: of a short crop.
LONGEST_S, CUT_S, SHORT_S = 4.0, (1.2, 3.2), (0.3, 1.2)
#: Cache version; increase it whenever the same clip would give other statistics.
_VERSION = 2
#: Clips whose sounds are cached together; the cache keys of sounds depend on it.
_CLIPS_PER_CHUNK = 64


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


def good_line(samples: np.ndarray, random: np.random.Generator, codec: str = telephone.PLAIN.codec) -> np.ndarray:
    """Pass the clip through a good line; with the codec of PLAIN it is that of every telephone score."""
    return telephone.simulate_line(studio(samples, random), replace(telephone.PLAIN, codec=codec), random)


def drawn_line(samples: np.ndarray, random: np.random.Generator, lengths_s: tuple[float, float] = CUT_S) -> np.ndarray:
    """Pass a random crop of the clip through a random line: augmentation for training, never for scores."""
    length = int(random.uniform(*lengths_s) * telephone.RATE)
    start = int(random.integers(0, max(1, len(samples) - length + 1)))
    return telephone.simulate_line(samples[start : start + length], telephone.draw_line(random), random)


CONDITIONS: dict[str, Any] = {
    "studio": studio,
    "telephone": good_line,
    "drawn": drawn_line,
    "short": partial(drawn_line, lengths_s=SHORT_S),
    **{codec: partial(good_line, codec=codec) for codec in telephone.CODECS if codec != telephone.PLAIN.codec},
}


def encoder_file(encoder: Encoder, cache: Path) -> Path:
    """Return the ONNX file of an encoder; export it if the cache has none."""
    path = cache / f"{encoder.name}.onnx"
    if not path.is_file():
        from training.encoders.whisper import EPSILON
        from training.export.fuse import fuse
        from training.export.model_files import export_network

        with atomic_write(path, ".onnx") as temporary:
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
    cache_file = cache / f"{condition}-{key_of(clips, _VERSION, network.name, condition, seed)[:24]}.npz"
    if not cache_file.is_file():
        digests, statistics, lengths = zip(*_compute(clips, condition, network, front_end, cache, seed), strict=True)
        values = {"statistics": np.stack(statistics).astype(np.float16), "lengths_s": np.array(lengths, np.float32)}
        save_arrays(cache_file, digests=np.array(digests), **values)
    with np.load(cache_file) as content:
        digested = tuple(replace(clip, audio=str(a)) for clip, a in zip(clips, content["digests"], strict=True))
        return ClipStatistics(digested, content["statistics"].astype(np.float32), content["lengths_s"])


def _compute(
    clips: Sequence[Clip], condition: str, network: Path, front_end: FrontEnd, cache: Path, seed: int
) -> list[tuple[str, np.ndarray, float]]:
    """Return digest, statistics and encoded seconds of each clip."""
    compute = partial(_compute_chunk, condition=condition, network=network, front_end=front_end, cache=cache, seed=seed)
    chunks = in_chunks(compute, clips, len(clips), _CLIPS_PER_CHUNK, f"statistics ({condition})")
    return [result for chunk in chunks for result in chunk]


def _compute_chunk(
    clips: Sequence[Clip], condition: str, network: Path, front_end: FrontEnd, cache: Path, seed: int
) -> list[tuple[str, np.ndarray, float]]:
    import soxr

    session = open_network(network)
    name = session.get_inputs()[0].name
    results = []
    for sound, digest in _sounds_of(clips, condition, cache, seed):
        samples = soxr.resample(sound, telephone.RATE, front_end.rate)
        statistics = session.run(None, {name: network_input(samples, front_end)[None]})[0][0]
        results.append((digest, statistics, len(samples) / front_end.rate))
    return results


def _sounds_of(clips: Sequence[Clip], condition: str, cache: Path, seed: int) -> list[tuple[np.ndarray, str]]:
    """Return clips under a condition, at 8 kHz, with their digests; cached, because several encoders use them."""
    path = cache / "sounds" / f"{condition}-{key_of(clips, _VERSION, condition, seed)[:24]}.npz"
    if not path.is_file():
        sounds, digests = zip(*(_sound(clip, condition, seed) for clip in clips), strict=True)
        save_arrays(path, sounds=np.concatenate(sounds), lengths=[len(sound) for sound in sounds], digests=digests)
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
