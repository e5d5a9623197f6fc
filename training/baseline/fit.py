"""Fitting a network with the plain recipe, reproducible from its seed."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow
from tqdm import tqdm

from analyzer.speech.features import FrontEnd
from training.baseline.network import build_network
from training.data.dataset import Examples, SplitExamples


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit with Adam and categorical cross-entropy.

    Attributes
    ----------
    epochs : passes over the training clips.
    batch : clips per step.
    learning_rate : of Adam.
    seed : of weights, dropout and the order of clips.
    """

    epochs: int = 25
    batch: int = 64
    learning_rate: float = 1e-3
    seed: int = 1


@dataclass(frozen=True)
class Fitted:
    """A fitted network.

    Attributes
    ----------
    network : the Keras model, with the weights of `kept_epoch`.
    training_examples : the clips of one epoch, balanced over the training speakers.
    history : accuracy, loss, val_accuracy and val_loss after each epoch.
    kept_epoch : the first epoch with the highest accuracy on the validation speakers, counted from 1.
    """

    network: Any
    training_examples: Examples
    history: Mapping[str, list[float]]
    kept_epoch: int


def fit_network(examples: SplitExamples, front_end: FrontEnd, options: FitOptions) -> Fitted:
    """Fit the plain network on the training speakers and keep the epoch with the highest validation accuracy.

    Test speakers are not used. The same examples, options and type of machine give the same weights.
    """
    keras.utils.set_random_seed(options.seed)
    tensorflow.config.experimental.enable_op_determinism()
    network = build_network(front_end)
    network.compile(
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA's convolutions on a CPU take 50 % longer
    )
    balanced = examples.training.balanced(options.seed)
    best = _BestEpoch()
    history = network.fit(
        balanced.inputs,
        balanced.one_hot,
        validation_data=(examples.validation.inputs, examples.validation.one_hot),
        epochs=options.epochs,
        batch_size=options.batch,
        verbose=0,
        callbacks=[best, _Progress(options.epochs)],
    )
    network.set_weights(best.weights)
    values_by_metric = {key: [float(value) for value in values] for key, values in history.history.items()}
    return Fitted(network, balanced, values_by_metric, best.epoch)


class _BestEpoch(keras.callbacks.Callback):
    """Keep the weights of the first epoch with the highest validation accuracy."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Any] = []
        self.epoch = 0
        self._accuracy = -1.0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        accuracy = (logs or {})["val_accuracy"]
        if accuracy > self._accuracy:
            self._accuracy, self.epoch, self.weights = accuracy, epoch + 1, self.model.get_weights()


class _Progress(keras.callbacks.Callback):
    """Progress bar over the steps on a terminal; otherwise one line per epoch, so that a log stays readable."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._bar: Any = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._bar = tqdm(total=self._epochs * self.params["steps"], desc="fitting", unit="step", disable=None)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        metrics = logs or {}
        line = (
            f"epoch {epoch + 1}/{self._epochs}: accuracy {metrics['accuracy']:.3f} loss {metrics['loss']:.3f}, "
            f"validation accuracy {metrics['val_accuracy']:.3f} loss {metrics['val_loss']:.3f}"
        )
        if self._bar.disable:
            tqdm.write(line, file=sys.stderr)
        else:
            self._bar.set_postfix_str(line.partition(": ")[2])

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._bar.close()
