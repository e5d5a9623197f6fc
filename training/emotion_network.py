"""The network of `accurate`: Whisper's first blocks, trained end to end with a head that pools over time.

The layers are summed with learned weights, as for other self-supervised and supervised encoders (Yang et al., SUPERB,
2021), and pooled by attention into mean and deviation (Okabe et al., Attentive Statistics Pooling, 2018).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from analyzer.emotions import EMOTIONS
from analyzer.features import FrontEnd
from training import whisper

#: Whisper's frames, computed from telephone sound: the same bands, of which those above 4 kHz stay empty.
FRONT_END = FrontEnd(
    rate=8000, window=200, hop=80, fft=200, bands=80, low_hz=0.0, high_hz=8000.0, frames=500, scaling="whisper",
    padded=False,
)  # fmt: skip
#: Logits of the emotions, and the log odds of a sound that is not speech.
OUTPUTS = len(EMOTIONS) + 1
_ATTENTION, _HIDDEN, _DROPOUT = 128, 256, 0.3
_NON_SPEECH_WEIGHT = 0.3
_VARIANCE_FLOOR = 1e-5


@dataclass(frozen=True)
class Size:
    """How much of Whisper base's encoder a network keeps.

    Attributes
    ----------
    blocks : the first so many of six.
    pairs : whether frames are averaged two by two before the first block: 25 a second instead of 50.
    """

    blocks: int = 4
    pairs: bool = True


@keras.saving.register_keras_serializable("call-emotions")
class AttentiveStatistics(layers.Layer):
    """Mean and deviation over time, frames weighted by attention; from several layers, summed with learned weights.

    Takes a list of tensors shaped (batch, frames, width) and returns (batch, 2 * width), float32.
    """

    def build(self, input_shape: Any) -> None:
        width = input_shape[0][-1]
        self.layer_weights = self.add_weight(shape=(len(input_shape),), initializer="zeros", name="layer_weights")
        self.norm = layers.LayerNormalization(dtype="float32")
        self.score_hidden = layers.Dense(_ATTENTION, activation="tanh", dtype="float32")
        self.score = layers.Dense(1, dtype="float32")
        for part, size in ((self.norm, width), (self.score_hidden, width), (self.score, _ATTENTION)):
            part.build((None, None, size))

    def call(self, inputs: Any) -> Any:
        shares = ops.softmax(ops.cast(self.layer_weights, "float32"))
        summed = self.norm(sum(shares[k] * ops.cast(layer, "float32") for k, layer in enumerate(inputs)))
        attention = ops.transpose(ops.softmax(self.score(self.score_hidden(summed)), axis=1), (0, 2, 1))
        # Products of matrices: ONNX Runtime takes ten times as long for the same sums over time.
        mean = ops.matmul(attention, summed)
        variance = ops.matmul(attention, ops.square(summed - mean))
        return ops.concatenate([mean[:, 0], ops.sqrt(ops.maximum(variance[:, 0], _VARIANCE_FLOOR))], axis=-1)


def build_network(weights: Mapping[str, np.ndarray], size: Size) -> keras.Model:
    """The network with Whisper's weights and a new head, from (batch, frames, 80) to (batch, OUTPUTS).

    `weights` are as `whisper.load_weights` returns them.
    """
    frames, outputs, _ = whisper.stack(weights, whisper.whole(size.blocks), size.pairs)
    pooled = AttentiveStatistics(name="head_pooling")(outputs)
    hidden = layers.Dropout(_DROPOUT)(layers.Dense(_HIDDEN, activation=whisper.gelu, name="head_hidden")(pooled))
    logits = layers.Dense(OUTPUTS, dtype="float32", name="head_logits")(hidden)
    return keras.Model(frames, logits, name="emotion_network")


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
    return labelled + _NON_SPEECH_WEIGHT * speech
