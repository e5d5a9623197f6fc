"""Distillation: train a small network on labels and on the outputs of a larger one, its teacher.

The teacher's outputs for all augmented copies are computed once and cached, so that a training step only costs the
small network.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from analyzer.emotions import EMOTIONS
from analyzer.speech.features import whisper_scaled
from analyzer.store.outputs import atomic_write
from training.data.cache import save_arrays
from training.data.crops import TARGETS, Mixture, masked
from training.data.drawn import DrawnFrames
from training.data.parallel import in_chunks
from training.encoders import emotion_network, whisper
from training.encoders.encoding import open_network
from training.export.quantize import quantize, spread
from training.recipes import FRONT_END

#: Front-end frames per network frame.
STRIDE = 4
#: Distillation temperature: logits are divided by it, so that the less probable emotions count as well.
TEMPERATURE = 1.5
#: Standard deviation that the teacher's logits are scaled to: those of a linear discriminant are far too large for
#: probabilities.
SCALE = 2.0
#: The teacher's frames are stored as integer multiples of 1 / _STEPS.
_STEPS = 24
_EMOTION_COUNT = len(EMOTIONS)
_COPIES_PER_CHUNK = 256
#: Number of copies that calibrate the quantisation.
_QUANTIZATION_COPIES = 240


@dataclass(frozen=True)
class TeacherOutputs:
    """Outputs of a teacher for augmented copies.

    Attributes
    ----------
    logits : of the emotions, one vector per copy, shaped (copies, 8).
    frames : normalised, 25 per second, in steps of 1 / _STEPS, int8, shaped (frames, whisper.WIDTH).
    starts : index of the first frame of each copy, shaped (copies,).
    """

    logits: np.ndarray
    frames: np.ndarray
    starts: np.ndarray


def with_frames(encoder: keras.Model) -> keras.Model:
    """Return an encoder of `emotion_network` with further outputs: those of all blocks after the averaging of pairs.

    These outputs have 25 frames per second and are shaped (batch, frames / STRIDE, whisper.WIDTH).
    """
    pairs = encoder.layers.index(encoder.get_layer(whisper.PAIRS))
    upper = [block for block in emotion_network.blocks_of(encoder) if encoder.layers.index(block) > pairs]
    return keras.Model(encoder.input, [encoder.output, *(block.output for block in upper)])


def mean_frames(block_frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return the normalised mean of the normalised frames of some blocks, each shaped (frames, width)."""
    return _normalised(np.mean([_normalised(frames) for frames in block_frames], axis=0))


def _normalised(frames: np.ndarray) -> np.ndarray:
    """Scale every frame to a mean of 0 and a variance of 1."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt(centred.var(axis=1, keepdims=True) + whisper.EPSILON))


def teacher_outputs(
    network: Path, logits: Callable[[np.ndarray], np.ndarray], copies: DrawnFrames, used: np.ndarray, path: Path
) -> TeacherOutputs:
    """Return the outputs of a teacher for augmented copies, from the cache if they were computed before.

    Parameters
    ----------
    network : the result of `with_frames` as ONNX; it is computed in int8, which takes half the time.
    logits : function from statistics to emotion logits, shaped (copies, 8).
    copies : the input frames of the teacher.
    used : whether the student is trained on a copy, shaped (copies,); the others get no frames, and logits of zero.
    path : cache file, `.npz`; the frames are stored beside it as `.i8`.
    """
    frames = path.with_suffix(".i8")
    ranges = np.stack([copies.starts[:-1], copies.starts[1:]], axis=1)
    if not (path.is_file() and frames.is_file()):
        chosen = spread(ranges[used], _QUANTIZATION_COPIES)
        segments = [piece for start, end in chosen for piece in _pieces(copies.frames[start:end])]
        with tempfile.TemporaryDirectory() as scratch:
            quantized = Path(scratch) / network.name
            quantize(network, quantized, segments, whisper.SENSITIVE)
            scaled = _compute_outputs(quantized, logits, copies.frames, ranges[used], frames)
        all_logits = np.zeros((len(used), _EMOTION_COUNT), np.float32)
        all_logits[used] = SCALE * scaled / scaled.std()
        save_arrays(path, logits=all_logits)
    with np.load(path) as content:
        emotion_logits = content["logits"]
    sizes = np.where(used, (ranges[:, 1] - ranges[:, 0]) // STRIDE, 0)
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    return TeacherOutputs(emotion_logits, np.memmap(frames, np.int8, "r").reshape(-1, whisper.WIDTH), starts)


def _compute_outputs(
    network: Path, logits: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, ranges: np.ndarray, frames: Path
) -> np.ndarray:
    """Write the teacher's frames of copies to a file; return their logits, with a mean of 0 for each copy."""
    compute = partial(_chunk_outputs, network=network, frames=inputs)
    chunk_logits = []
    with atomic_write(frames) as temporary, temporary.open("wb") as file:
        for statistics, integers in in_chunks(compute, ranges, len(ranges), _COPIES_PER_CHUNK, "teacher"):
            chunk_logits.append(logits(statistics))
            file.write(integers.tobytes())
    scaled = np.concatenate(chunk_logits)
    return scaled - scaled.mean(axis=1, keepdims=True)


def _chunk_outputs(ranges: np.ndarray, network: Path, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the statistics of copies, and their frames as integers; `ranges` are those of the copies' input frames.

    A copy that is longer than the network's input is encoded in pieces; its statistics are their mean.
    """
    session = open_network(network)
    name = session.get_inputs()[0].name
    statistics, integers = [], []
    for start, end in ranges:
        outputs = [session.run(None, {name: piece[None]}) for piece in _pieces(frames[start:end])]
        piece_frames = [mean_frames([frames[0] for frames in block_frames]) for _, *block_frames in outputs]
        statistics.append(np.mean([piece_statistics[0] for piece_statistics, *_ in outputs], axis=0))
        integers.append(np.clip(np.rint(np.concatenate(piece_frames) * _STEPS), -127, 127).astype(np.int8))
    return np.stack(statistics), np.concatenate(integers)


def _pieces(frames: np.ndarray) -> list[np.ndarray]:
    """Return the frames of a copy as inputs of the network: the fewest pieces of at most FRONT_END.frames.

    Their lengths are multiples of STRIDE.
    """
    inputs = whisper_scaled(frames[: len(frames) // STRIDE * STRIDE].astype(np.float32))
    count = -(-len(inputs) // FRONT_END.frames)
    steps = np.linspace(0, len(inputs) // STRIDE, count + 1).round().astype(int)[1:-1]
    return np.split(inputs, STRIDE * steps)


def draw_batch(
    mixture: Mixture,
    copies: DrawnFrames,
    teacher: TeacherOutputs,
    length: int,
    count: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw inputs shaped (count, length, bands), and their targets: for `logits_loss`, and the teacher's frames.

    `length` is a multiple of STRIDE; crops begin at the start of a teacher frame.
    """
    inputs, targets, frames = [], [], []
    for clip in mixture.draw(count, random):
        copy, offset = copies.place(clip, length, random, STRIDE)
        start = copies.starts[copy] + STRIDE * offset
        inputs.append(masked(whisper_scaled(copies.frames[start : start + length].astype(np.float32)), random))
        targets.append(np.concatenate([mixture.target_of(clip), teacher.logits[copy]]))
        teacher_start = teacher.starts[copy] + offset
        frames.append(teacher.frames[teacher_start : teacher_start + length // STRIDE].astype(np.float32) / _STEPS)
    return np.stack(inputs), [np.stack(targets), np.stack(frames)]


def logits_loss(targets: Any, logits: Any) -> Any:
    """Return the loss on labels plus the Kullback-Leibler divergence from the teacher; shaped (batch,).

    `targets` are shaped (batch, TARGETS + 8): those of training.data.crops, then the teacher's emotion logits.
    """
    teacher_probabilities = ops.softmax(targets[:, TARGETS:] / TEMPERATURE, axis=1)
    log_probabilities = ops.log_softmax(logits[:, :_EMOTION_COUNT] / TEMPERATURE, axis=1)
    divergence = ops.sum(teacher_probabilities * (ops.log(teacher_probabilities + 1e-9) - log_probabilities), axis=1)
    return emotion_network.loss(targets[:, :TARGETS], logits) + TEMPERATURE**2 * divergence


def frames_loss(targets: Any, predicted: Any) -> Any:
    """Mean squared error against the teacher's frames, shaped (batch,); inputs are shaped (batch, frames, width)."""
    return ops.mean(ops.square(targets - predicted), axis=(1, 2))
