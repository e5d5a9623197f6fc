"""End-to-end training of a network on crops, with checkpoints from which an interrupted fit resumes.

Runs on any Keras backend; on a CPU in bfloat16, which halves the time if the CPU supports it.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from training.data.cache import save_arrays
from training.encoders.emotion_network import blocks_of
from training.recipes import Options

#: Steps between checkpoints, and between progress lines.
CHECKPOINT_STEPS = 100
#: Number of batches drawn in advance.
_PREFETCH = 3

#: Returns the network inputs and targets of a step. They depend on the step alone, so a resumed fit has the same
#: batches.
DrawBatch = Callable[[int], tuple[np.ndarray, Any]]


class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW that multiplies the learning rate of each variable by a factor, given by the variable's path."""

    def __init__(self, *arguments: Any, factor: Callable[[str], float], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._factor = factor

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        path = self._trainable_variables[self._get_variable_index(variable)].path
        super().update_step(gradient, variable, learning_rate * self._factor(path))


def rate_factor(path: str, blocks: int, options: Options) -> float:
    """Return the learning rate factor of a variable; `path` is Keras's, such as `block2/expand/kernel`."""
    layer = path.partition("/")[0]
    if layer.startswith("head"):
        return options.head_rate / options.rate
    number = layer.removeprefix("block")
    return options.block_decay ** (blocks - (int(number) if number.isdigit() else 0))


def fit(network: keras.Model, loss: Any, draw: DrawBatch, options: Options, checkpoint: Path) -> None:
    """Train a network; afterwards it has the moving average of its weights.

    Parameters
    ----------
    network : changed in place. Its blocks are layers named `block1`, `block2` and so on.
    loss : a function of targets and outputs, as Keras takes it; a list of them for several outputs.
    draw : returns the batch of each step, counted from 0.
    options : training options.
    checkpoint : a file, `.npz`. If it exists, the fit resumes from it; it is deleted at the end.
    """
    blocks = len(blocks_of(network))
    warm_up = max(1, round(options.warm_up * options.steps))
    optimizer = LayerwiseAdamW(
        keras.optimizers.schedules.CosineDecay(
            0.0, max(1, options.steps - warm_up), warmup_target=options.rate, warmup_steps=warm_up
        ),
        weight_decay=options.weight_decay,
        clipnorm=1.0,
        use_ema=True,
        ema_momentum=options.average,
        factor=lambda path: rate_factor(path, blocks, options),
    )
    optimizer.build(network.trainable_variables)
    network.compile(optimizer=optimizer, loss=loss, jit_compile=False)
    state = [*network.variables, *optimizer.variables]
    first_step = _restore(state, checkpoint)
    losses: list[float] = []
    batches = tqdm(
        _prefetched_batches(draw, range(first_step, options.steps)),
        total=options.steps,
        initial=first_step,
        disable=None,
    )
    for step, (inputs, targets) in enumerate(batches, start=first_step + 1):
        losses.append(float(np.ravel(network.train_on_batch(inputs, targets))[0]))  # the total loss comes first
        network.reset_metrics()
        if step % CHECKPOINT_STEPS == 0:
            tqdm.write(f"step {step}: loss {np.mean(losses[-CHECKPOINT_STEPS:]):.3f}")
            arrays = {f"v{number}": keras.ops.convert_to_numpy(variable) for number, variable in enumerate(state)}
            save_arrays(checkpoint, step=step, **arrays)
    optimizer.finalize_variable_values(network.trainable_variables)
    checkpoint.unlink(missing_ok=True)


def _restore(state: list[Any], checkpoint: Path) -> int:
    """Load a checkpoint into the variables and return the step after which it was written; 0 if there is none."""
    if not checkpoint.is_file():
        return 0
    with np.load(checkpoint) as content:
        for number, variable in enumerate(state):
            variable.assign(content[f"v{number}"])
        return int(content["step"])


def _prefetched_batches(draw: DrawBatch, steps: range) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield the batches of the steps in order; they are drawn in the background while the network computes."""
    with ThreadPoolExecutor(max_workers=max(1, (os.cpu_count() or 1) // 2)) as executor:
        pending = [executor.submit(draw, step) for step in steps[:_PREFETCH]]
        for step in steps:
            yield pending.pop(0).result()
            if step + _PREFETCH < steps.stop:
                pending.append(executor.submit(draw, step + _PREFETCH))
