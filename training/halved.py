"""The encoder of `models/accurate`: the first blocks of Whisper's, taught to make do with less.

Averaging pairs of frames before the first block halves what the blocks cost, neurons that say little are left out, and
both garble what the blocks say. Listening for a while to what the whole encoder says of the same speech mends that. No
emotion and no label is taught here, no actor of RAVDESS is heard, nor anybody who is scored.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.outputs import replacing
from training import lessons, telephone, whisper
from training.corpora import Clip, thinned
from training.encoding import Encoder, keep, key_of

#: Corpora that are heard, and of how many clips one is taken; not nEMO, which is to be left out as a whole, and no
#: readers, whose false alarms are counted.
CORPORA = {
    "tess": 2, "emogator": 1, "rakshak": 1, "emotiontts-ko": 1, "speechocean762": 1, "picovoice-sti": 1, "ami": 1,
}  # fmt: skip
STEPS, LEARNING_RATE = 2400, 3e-4
#: The layers whose statistics heads see: what is deeper knows more of words, and of languages and rooms from elsewhere.
LAYERS = (1, 2, 3, 5)
#: Of Whisper's 2048 neurons in the dense network of each block, how many it keeps; the last blocks need few.
NEURONS = (1408, 1408, 1408, 512, 512)
#: Log-mel frames to one that is said.
STRIDE = 4
#: Log-mel frames in a cut, and cuts in a step: 1, 2 and 3.2 s, as segments of calls are.
CUTS = ((100, 48), (200, 24), (320, 15))
#: Batches by which it is told how much each number that is said differs.
_MEASURED = 20
#: Log-mel frames in a cut, and cuts, by which neurons are chosen.
_CHOSEN_BY = (200, 60)
_CLIPS_OF_A_PART = 128
_VERSION = 1


@dataclass(frozen=True)
class Frames:
    """Log-mel frames of pieces of clips, one after the other.

    Attributes
    ----------
    heard : shaped (lines, frames, 80), float16; the first line is the plain one.
    lengths : frames of each piece, shaped (pieces,).
    """

    heard: np.ndarray
    lengths: np.ndarray


def chosen(clips: Sequence[Clip]) -> list[Clip]:
    """The clips that are heard."""
    return thinned(clips, CORPORA)


def encoder(clips: Sequence[Clip], cache: Path, seed: int = 1) -> Encoder:
    """The halved encoder, taught from `clips` where the cache does not hold one that was."""
    name = f"halved-{key_of(clips, _VERSION, STEPS, LEARNING_RATE, LAYERS, NEURONS, CUTS, seed)[:12]}"
    weights = cache / f"{name}.weights.h5"

    def build() -> Any:
        if not weights.is_file():
            taught = teach(prepare(clips, cache), STEPS, seed)
            with replacing(weights, ".weights.h5") as temporary:
                taught.save_weights(temporary)
        # Which neurons these are does not matter: all weights are replaced.
        halved = whisper.build_halved(whisper.load_weights(), LAYERS, [np.arange(count) for count in NEURONS])
        halved.load_weights(weights)
        return whisper.with_statistics(halved)

    return Encoder(name, whisper.FRONT_END, build)


def prepare(clips: Sequence[Clip], cache: Path) -> Frames:
    """Frames of clips through the plain line and through a drawn one, from the cache where they were made before."""
    from joblib import Parallel, delayed

    path = cache / f"frames-{key_of(clips, _VERSION, lessons.PIECE_S)[:12]}.npz"
    if not path.is_file():
        parts = [clips[start : start + _CLIPS_OF_A_PART] for start in range(0, len(clips), _CLIPS_OF_A_PART)]
        pieces = [one for part in Parallel(n_jobs=os.cpu_count() or 1)(map(delayed(_heard), parts)) for one in part]
        keep(path, heard=np.concatenate(pieces, axis=1), lengths=np.array([one.shape[1] for one in pieces]))
    with np.load(path) as content:
        return Frames(**content)


def _heard(clips: Sequence[Clip]) -> list[np.ndarray]:
    """Pieces of clips, each shaped (lines, frames, 80)."""
    found = []
    for number, (owner, piece) in enumerate(lessons.pieces(clips)):
        random = np.random.default_rng([zlib.crc32(clips[owner].path.name.encode()), number])
        through = [lessons.whisper_frames(telephone.through(piece, line, random)) for line in lessons.lines(random)]
        shortest = min(map(len, through))
        found.append(np.stack([frames[:shortest] for frames in through]).astype(np.float16))
    return found


def teach(frames: Frames, steps: int, seed: int) -> Any:
    """A halved encoder that has learned to say of any line what the whole one says of the plain line."""
    import keras
    import tensorflow

    from training.teach import TeachOptions, descend

    keras.utils.set_random_seed(seed)
    weights = whisper.load_weights()
    teacher = whisper.build_teacher(weights, LAYERS)
    heard = next(cuts(frames, (_CHOSEN_BY,), np.random.default_rng(seed)))[0]
    halved = whisper.build_halved(weights, LAYERS, whisper.busiest(weights, NEURONS, heard))
    batches = cuts(frames, CUTS, np.random.default_rng(seed))
    said = np.concatenate(
        [teacher(next(batches)[0]).numpy().reshape(-1, teacher.output.shape[-1]) for _ in range(_MEASURED)]
    )
    deviation = np.maximum(said.std(axis=0), 1e-3)
    # Between as it is said and all numbers alike: squared errors count by the inverse of the deviation.
    scale = (1 / np.sqrt(deviation * deviation.mean())).astype(np.float32)

    def loss(heard: Any, said: Any) -> Any:
        return tensorflow.reduce_mean(tensorflow.square((halved(heard, training=True) - said) * scale))

    descend(halved, loss, _lessons(teacher, batches), TeachOptions(steps, LEARNING_RATE, seed))
    return halved


def _lessons(teacher: Any, batches: Iterator[Sequence[np.ndarray]]) -> Iterator[tuple[np.ndarray, Any]]:
    """What is heard and what the teacher says of it; every cut through all lines, since the teacher takes longest."""
    for lines in batches:
        said = teacher(lines[0], training=False)
        yield from ((heard, said) for heard in lines)


def cuts(
    frames: Frames, kinds: Sequence[tuple[int, int]], random: np.random.Generator
) -> Iterator[Sequence[np.ndarray]]:
    """Batches without end: the same cuts through each of the lines, the plain one first."""
    for length, first, _ in lessons.places(frames.lengths, kinds, len(frames.heard), random):
        yield [np.stack([line[at : at + length] for at in first]).astype(np.float32) for line in frames.heard]
