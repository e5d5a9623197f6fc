"""The network of `accurate`: Whisper's first blocks, trained end to end with a head that pools over time.

The layers are summed with learned weights, as for other encoders (Yang et al., SUPERB, 2021), and pooled by attention
into mean and deviation (Okabe et al., Attentive Statistics Pooling, 2018).
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from analyzer.emotions import EMOTIONS
from training import whisper
from training.recipes import Size

#: Logits of the emotions, and the log odds of a sound that is not speech.
OUTPUTS = len(EMOTIONS) + 1
_ATTENTION, _HIDDEN, _DROPOUT = 128, 256, 0.3
NON_SPEECH_WEIGHT = 0.3
_VARIANCE_FLOOR = 1e-5
#: The layer whose output is the network's view of each frame.
SUMMED = "head_sum"


@keras.saving.register_keras_serializable("call-emotions")
class WeightedSum(layers.Layer):
    """Sum of several layers with learned weights, normalised.

    Takes a list of tensors shaped (batch, frames, width) and returns one, float32.
    """

    def build(self, input_shape: Any) -> None:
        self.layer_weights = self.add_weight(shape=(len(input_shape),), initializer="zeros", name="layer_weights")
        self.norm = layers.LayerNormalization(epsilon=whisper.EPSILON, dtype="float32")
        self.norm.build(input_shape[0])

    def call(self, inputs: Any) -> Any:
        shares = ops.softmax(ops.cast(self.layer_weights, "float32"))
        return self.norm(sum(shares[k] * ops.cast(layer, "float32") for k, layer in enumerate(inputs)))


@keras.saving.register_keras_serializable("call-emotions")
class AttentiveStatistics(layers.Layer):
    """Mean and deviation over time, frames weighted by attention, float32.

    Takes a tensor shaped (batch, frames, width) and returns (batch, 2 * width).
    """

    def build(self, input_shape: Any) -> None:
        self.score_hidden = layers.Dense(_ATTENTION, activation="tanh", dtype="float32")
        self.score = layers.Dense(1, dtype="float32")
        self.score_hidden.build(input_shape)
        self.score.build((*input_shape[:-1], _ATTENTION))

    def call(self, inputs: Any) -> Any:
        attention = ops.transpose(ops.softmax(self.score(self.score_hidden(inputs)), axis=1), (0, 2, 1))
        # Products of matrices: ONNX Runtime takes ten times as long for the same sums over time.
        mean = ops.matmul(attention, inputs)
        variance = ops.matmul(attention, ops.square(inputs - mean))
        return ops.concatenate([mean[:, 0], ops.sqrt(ops.maximum(variance[:, 0], _VARIANCE_FLOOR))], axis=-1)


@keras.saving.register_keras_serializable("call-emotions")
class Statistics(layers.Layer):
    """Mean and deviation over time; takes a tensor shaped (batch, frames, width), returns (batch, 2 * width)."""

    def call(self, inputs: Any) -> Any:
        mean = ops.mean(inputs, axis=1, keepdims=True)
        variance = ops.mean(ops.square(inputs - mean), axis=1)
        return ops.concatenate([mean[:, 0], ops.sqrt(ops.maximum(variance, _VARIANCE_FLOOR))], axis=-1)


def build_network(weights: Mapping[str, np.ndarray], size: Size) -> keras.Model:
    """The network with Whisper's weights and a new head, from (batch, frames, 80) to (batch, OUTPUTS).

    `weights` are as `whisper.load_weights` returns them.
    """
    frames, outputs, _ = whisper.stack(weights, whisper.whole(size.blocks), size.pairs)
    summed = WeightedSum(name=SUMMED)(outputs)
    pooled = AttentiveStatistics(name="head_pooling", dtype="float32")(summed)
    hidden = layers.Dropout(_DROPOUT)(layers.Dense(_HIDDEN, activation=whisper.gelu, name="head_hidden")(pooled))
    logits = layers.Dense(OUTPUTS, dtype="float32", name="head_logits")(hidden)
    return keras.Model(frames, logits, name="emotion_network")


def with_statistics(network: keras.Model) -> keras.Model:
    """The encoder of a network: mean and deviation over time of the output of each block, beside each other."""
    blocks = [layer for layer in network.layers if layer.name.removeprefix("block").isdigit()]
    statistics = [Statistics(name=f"statistics_{layer.name}")(layer.output) for layer in blocks]
    return keras.Model(network.input, layers.Concatenate(name="statistics")(statistics))


def loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy among the emotions of each clip's corpus, and that of speech against non-speech; shaped (batch,).

    `targets` are those of training.crops, shaped (batch, TARGETS), `logits` shaped (batch, OUTPUTS).
    """
    count = len(EMOTIONS)
    wanted, possible, non_speech = targets[:, :count], targets[:, count:-1], targets[:, -1]
    emotions = logits[:, :count] + (possible - 1) * 1e4
    log_probabilities = ops.log_softmax(emotions, axis=1)
    labelled = -ops.sum(wanted * log_probabilities * possible, axis=1)
    odds = logits[:, count]
    speech = ops.softplus(odds) - odds * non_speech
    return labelled + NON_SPEECH_WEIGHT * speech
