"""Training a small network on labels and on the outputs of a larger one, its teacher.

The teacher's outputs for all drawn copies are computed once and kept, so that a step costs no more than the small
network does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from analyzer.emotions import EMOTIONS
from analyzer.features import whisper_scaled
from analyzer.outputs import replacing
from training import emotion_network, whisper
from training.crops import TARGETS, Mixture, masked
from training.drawn import DrawnFrames
from training.encoding import keep, open_network

#: Frames of the front end to one of a network.
STRIDE = 4
#: By which logits are divided, so that the less probable emotions count as well.
TEMPERATURE = 1.5
#: The deviation that the teacher's logits are scaled to: those of a discriminant are far too large for probabilities.
SCALE = 2.0
#: The blocks whose outputs, normalised, make the teacher's frames.
FIRST_BLOCK = 3
#: The teacher's frames are kept as whole multiples of 1 / _STEPS.
_STEPS = 24
_COUNT = len(EMOTIONS)
_COPIES_OF_A_PART = 256


@dataclass(frozen=True)
class TeacherOutputs:
    """What a teacher gives for drawn copies.

    Attributes
    ----------
    logits : of the emotions, for each copy as a whole, shaped (copies, 8).
    frames : normalised, 25 a second, in steps of 1 / _STEPS, int8, shaped (frames, whisper.WIDTH).
    starts : where the frames of each copy begin, shaped (copies,).
    """

    logits: np.ndarray
    frames: np.ndarray
    starts: np.ndarray


def with_frames(encoder: keras.Model) -> keras.Model:
    """An encoder of training.emotion_network with its normalised frames, 25 a second, as a second output.

    These are the mean of its upper blocks, shaped (batch, frames / STRIDE, whisper.WIDTH).
    """
    blocks = emotion_network.blocks_of(encoder)
    upper = blocks[FIRST_BLOCK - 1 :] or blocks

    def normalised(inputs: Any, name: str) -> Any:
        norm = layers.LayerNormalization(epsilon=whisper.EPSILON, center=False, scale=False, name=name)
        return norm(inputs)

    # Named otherwise than the layers of the blocks, which training.fuse puts together.
    outputs = [normalised(block.output, f"scaled_{block.name}") for block in upper]
    mean = layers.Average()(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(encoder.input, [encoder.output, normalised(mean, "scaled_mean")])


def teacher_outputs(
    network: Path, logits: Callable[[np.ndarray], np.ndarray], copies: DrawnFrames, path: Path
) -> TeacherOutputs:
    """What a teacher gives for drawn copies, from the cache where it was computed before.

    Parameters
    ----------
    network : `with_frames` as ONNX.
    logits : of the emotions, shaped (copies, 8), of statistics.
    copies : the frames that the teacher takes.
    path : of the cache, `.npz`; the frames lie beside it, `.i8`.
    """
    frames = path.with_suffix(".i8")
    sizes = np.diff(copies.starts) // STRIDE
    if not (path.is_file() and frames.is_file()):
        _compute(network, logits, copies, path, frames)
    with np.load(path) as content:
        found = content["logits"]
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    return TeacherOutputs(found, np.memmap(frames, np.int8, "r").reshape(-1, whisper.WIDTH), starts)


def _compute(
    network: Path, logits: Callable[[np.ndarray], np.ndarray], copies: DrawnFrames, path: Path, frames: Path
) -> None:
    from joblib import Parallel, cpu_count, delayed
    from tqdm import tqdm

    starts = copies.starts
    parts = [
        slice(k, min(k + _COPIES_OF_A_PART, len(starts) - 1)) for k in range(0, len(starts) - 1, _COPIES_OF_A_PART)
    ]
    parallel = Parallel(n_jobs=cpu_count(), return_as="generator")
    results = parallel(delayed(_outputs)(network, copies.frames, starts[part.start : part.stop + 1]) for part in parts)
    found = []
    with replacing(frames) as temporary, temporary.open("wb") as file:
        for statistics, integers in tqdm(results, total=len(parts), desc="teacher", disable=None):
            found.append(logits(statistics))
            file.write(integers.tobytes())
    scaled = np.concatenate(found)
    scaled -= scaled.mean(axis=1, keepdims=True)
    keep(path, logits=(SCALE * scaled / scaled.std()).astype(np.float32))


def _outputs(network: Path, frames: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = open_network(network)
    name = session.get_inputs()[0].name
    statistics, integers = [], []
    for start, end in pairwise(starts):
        inputs = whisper_scaled(frames[start : start + (end - start) // STRIDE * STRIDE].astype(np.float32))
        found, own = session.run(None, {name: inputs[None]})
        statistics.append(found[0])
        integers.append(np.clip(np.rint(own[0] * _STEPS), -127, 127).astype(np.int8))
    return np.stack(statistics), np.concatenate(integers)


def draw_batch(
    mixture: Mixture,
    copies: DrawnFrames,
    teacher: TeacherOutputs,
    length: int,
    count: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Inputs shaped (count, length, bands), and their targets: for `logits_loss`, and the teacher's frames.

    `length` is a multiple of STRIDE; crops begin where a frame of the teacher does.
    """
    inputs, targets, frames = [], [], []
    for clip in mixture.draw(count, random):
        copy, offset = copies.place(clip, length, random, STRIDE)
        start = copies.starts[copy] + STRIDE * offset
        inputs.append(masked(whisper_scaled(copies.frames[start : start + length].astype(np.float32)), random))
        targets.append(np.concatenate([mixture.target_of(clip), teacher.logits[copy]]))
        own = teacher.starts[copy] + offset
        frames.append(teacher.frames[own : own + length // STRIDE].astype(np.float32) / _STEPS)
    return np.stack(inputs), [np.stack(targets), np.stack(frames)]


def logits_loss(targets: Any, logits: Any) -> Any:
    """The loss of labels, and the divergence from the teacher; shaped (batch,).

    `targets` are shaped (batch, TARGETS + 8): those of training.crops, then the teacher's logits of the emotions.
    """
    wanted = ops.softmax(targets[:, TARGETS:] / TEMPERATURE, axis=1)
    found = ops.log_softmax(logits[:, :_COUNT] / TEMPERATURE, axis=1)
    divergence = ops.sum(wanted * (ops.log(wanted + 1e-9) - found), axis=1)
    return emotion_network.loss(targets[:, :TARGETS], logits) + TEMPERATURE**2 * divergence


def frames_loss(targets: Any, predicted: Any) -> Any:
    """Mean squared error of the teacher's frames, shaped (batch,); both are shaped (batch, frames, width)."""
    return ops.mean(ops.square(targets - predicted), axis=(1, 2))
