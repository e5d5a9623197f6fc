"""Teaching: the student learns to say, frame by frame, what the teacher says of the same speech on a better line."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow
from tqdm import tqdm

from analyzer.features import segment_scaled
from training.lessons import Lessons, places
from training.student import FRONT_END, STRIDE, build_student

#: Frames of the teacher in a cut, and cuts in a step: 1, 2 and 3.2 s, as segments of calls are.
CUTS = ((25, 96), (50, 48), (80, 30))
#: What is said counts by the square root of the inverse of its variance: between as it is and all directions alike.
_WHITENED = 0.5
_HIDDEN_BANDS = (2, 8)
_REPORTED_EVERY = 100


@dataclass(frozen=True)
class TeachOptions:
    """How the student is taught.

    Attributes
    ----------
    steps : of Adam, each on one batch of cuts.
    learning_rate : its height after the warm-up; it falls to 0 as a cosine does.
    seed : of weights and cuts.
    """

    steps: int
    learning_rate: float = 2e-3
    seed: int = 1


def teach(
    lessons: Lessons, options: TeachOptions, student: keras.Model | None = None, weights: np.ndarray | None = None
) -> keras.Model:
    """A student that has learned from `lessons`; the same options and type of machine give the same weights.

    Parameters
    ----------
    lessons, options : what is learned, and how.
    student : who goes on to learn; None for a new one.
    weights : what a frame of each piece weighs when cuts are drawn, shaped (pieces,); None for all alike.
    """
    keras.utils.set_random_seed(options.seed)
    student = student or build_student()

    def loss(log_mel: Any, said: Any) -> Any:
        return tensorflow.reduce_mean(tensorflow.square(student(log_mel, training=True)[0] - said))

    descend(student, loss, cuts(lessons, np.random.default_rng(options.seed), weights), options)
    return student


def descend(
    network: keras.Model, loss: Callable[..., Any], batches: Iterator[tuple[np.ndarray, ...]], options: TeachOptions
) -> None:
    """Change a network's weights so that `loss`, a function of what a batch holds, becomes less."""
    tensorflow.config.experimental.enable_op_determinism()
    warm_up = min(100, options.steps // 10 + 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, options.steps - warm_up, warmup_target=options.learning_rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0)
    optimizer.build(network.trainable_variables)

    @tensorflow.function(jit_compile=False)  # XLA's convolutions on a processor take half as long again
    def step(*batch: Any) -> Any:
        with tensorflow.GradientTape() as tape:
            found = loss(*batch)
        slopes = tape.gradient(found, network.trainable_variables)
        optimizer.apply_gradients(zip(slopes, network.trainable_variables, strict=True))
        return found

    losses = []
    for number in tqdm(range(1, options.steps + 1), desc="teaching", unit="step", disable=None):
        losses.append(float(step(*next(batches))))
        if number % _REPORTED_EVERY == 0:
            tqdm.write(f"step {number}: squared error {np.mean(losses[-_REPORTED_EVERY:]):.3f}")


def cuts(
    lessons: Lessons, random: np.random.Generator, weights: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches without end: scaled log-mel frames of cuts through any of the lines, and what the teacher says of them.

    They are cut at `training.lessons.places`. In half of the cuts a few bands are hidden (Park and others, 2019).
    """
    scale = lessons.variances ** (-_WHITENED / 2)
    scale = (scale / np.sqrt(np.mean(lessons.variances * scale**2))).astype(np.float32)
    for frames, first, lines in places(lessons.lengths, CUTS, len(lessons.log_mel), random, weights):
        log_mel = np.stack(
            [_cut(lessons.log_mel[line], at, frames, random) for line, at in zip(lines, first, strict=True)]
        )
        said = np.stack([lessons.said[at : at + frames] for at in first]).astype(np.float32) * scale
        yield log_mel, said


def _cut(log_mel: np.ndarray, first: int, frames: int, random: np.random.Generator) -> np.ndarray:
    """One cut, scaled as a segment."""
    cut = segment_scaled(log_mel[STRIDE * first : STRIDE * (first + frames)].astype(np.float32))
    if random.random() < 0.5:
        lowest = random.integers(0, FRONT_END.bands)
        cut[:, lowest : lowest + random.integers(*_HIDDEN_BANDS, endpoint=True)] = 0
    return cut
