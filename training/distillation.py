"""Distillation: train a small network on labels and on the outputs of a larger one, its teacher.

The teacher's outputs for all augmented copies are computed once and cached, so that a training step only costs the
small network.
"""

from collections.abc import Callable
from dataclasses import dataclass
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

#: Front-end frames per network frame.
STRIDE = 4
#: Distillation temperature: logits are divided by it, so that the less probable emotions count as well.
TEMPERATURE = 1.5
#: Standard deviation that the teacher's logits are scaled to: those of a linear discriminant are far too large for
#: probabilities.
SCALE = 2.0
#: The teacher's frames are stored as integer multiples of 1 / _STEPS.
_STEPS = 24
_COUNT = len(EMOTIONS)
_COPIES_OF_A_PART = 256


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
    """Return an encoder of training.emotion_network with its normalised frames, 25 per second, as a second output.

    The frames are the mean over all blocks after the averaging of frame pairs, shaped (batch, frames / STRIDE,
    whisper.WIDTH).
    """
    pairs = encoder.layers.index(encoder.get_layer(whisper.PAIRS))
    upper = [block for block in emotion_network.blocks_of(encoder) if encoder.layers.index(block) > pairs]

    def normalised(inputs: Any, name: str) -> Any:
        norm = layers.LayerNormalization(epsilon=whisper.EPSILON, center=False, scale=False, name=name)
        return norm(inputs)

    # These names must differ from the normalisation layers of the blocks, which training.fuse fuses.
    outputs = [normalised(block.output, f"scaled_{block.name}") for block in upper]
    mean = layers.Average()(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(encoder.input, [encoder.output, normalised(mean, "scaled_mean")])


def teacher_outputs(
    network: Path, logits: Callable[[np.ndarray], np.ndarray], copies: DrawnFrames, used: np.ndarray, path: Path
) -> TeacherOutputs:
    """Return the outputs of a teacher for augmented copies, from the cache if they were computed before.

    Parameters
    ----------
    network : the result of `with_frames` as ONNX.
    logits : function from statistics to emotion logits, shaped (copies, 8).
    copies : the input frames of the teacher.
    used : whether the student is trained on a copy, shaped (copies,); the others get no frames, and logits of zero.
    path : cache file, `.npz`; the frames are stored beside it as `.i8`.
    """
    frames = path.with_suffix(".i8")
    bounds = np.stack([copies.starts[:-1], copies.starts[1:]], axis=1)
    if not (path.is_file() and frames.is_file()):
        scaled = _compute(network, logits, copies.frames, bounds[used], frames)
        kept = np.zeros((len(used), _COUNT), np.float32)
        kept[used] = SCALE * scaled / scaled.std()
        keep(path, logits=kept)
    with np.load(path) as content:
        found = content["logits"]
    sizes = np.where(used, (bounds[:, 1] - bounds[:, 0]) // STRIDE, 0)
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    return TeacherOutputs(found, np.memmap(frames, np.int8, "r").reshape(-1, whisper.WIDTH), starts)


def _compute(
    network: Path, logits: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, bounds: np.ndarray, frames: Path
) -> np.ndarray:
    """Write the teacher's frames of copies to a file; return their logits, with a mean of 0 for each copy."""
    from joblib import Parallel, cpu_count, delayed
    from tqdm import tqdm

    parts = [bounds[k : k + _COPIES_OF_A_PART] for k in range(0, len(bounds), _COPIES_OF_A_PART)]
    parallel = Parallel(n_jobs=cpu_count(), return_as="generator")
    results = parallel(delayed(_outputs)(network, inputs, part) for part in parts)
    found = []
    with replacing(frames) as temporary, temporary.open("wb") as file:
        for statistics, integers in tqdm(results, total=len(parts), desc="teacher", disable=None):
            found.append(logits(statistics))
            file.write(integers.tobytes())
    scaled = np.concatenate(found)
    return scaled - scaled.mean(axis=1, keepdims=True)


def _outputs(network: Path, frames: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = open_network(network)
    name = session.get_inputs()[0].name
    statistics, integers = [], []
    for start, end in bounds:
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
    """Draw inputs shaped (count, length, bands), and their targets: for `logits_loss`, and the teacher's frames.

    `length` is a multiple of STRIDE; crops begin at the start of a teacher frame.
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
    """Return the loss on labels plus the Kullback-Leibler divergence from the teacher; shaped (batch,).

    `targets` are shaped (batch, TARGETS + 8): those of training.crops, then the teacher's emotion logits.
    """
    wanted = ops.softmax(targets[:, TARGETS:] / TEMPERATURE, axis=1)
    found = ops.log_softmax(logits[:, :_COUNT] / TEMPERATURE, axis=1)
    divergence = ops.sum(wanted * (ops.log(wanted + 1e-9) - found), axis=1)
    return emotion_network.loss(targets[:, :TARGETS], logits) + TEMPERATURE**2 * divergence


def frames_loss(targets: Any, predicted: Any) -> Any:
    """Mean squared error against the teacher's frames, shaped (batch,); inputs are shaped (batch, frames, width)."""
    return ops.mean(ops.square(targets - predicted), axis=(1, 2))
