"""The network of `default`: convolutions over time, small enough for large archives.

It reduces 100 frames per second to 25. It is trained on labels and by distillation from the network of `accurate`,
whose frames it also predicts (Hinton et al., Distilling the Knowledge in a Neural Network, 2015; Romero et al.,
FitNets, 2015).
"""

from typing import Any

import keras
from keras import layers, ops

from training.encoders import whisper
from training.encoders.emotion_network import OUTPUTS
from training.export.pooling import Statistics
from training.recipes import FRONT_END

_NARROW, _WIDE, _HIDDEN, _DROPOUT = 128, 256, 128, 0.3
#: Dilation of the convolution in each block.
_DILATIONS = (1, 2, 4)
#: Width of a block divided by that of the hidden layer of its gate.
_GATE = 8
#: Added to the variance of a channel in batch normalisation.
_EPSILON = 1e-3


def build_network() -> keras.Model:
    """Build the network for training, from (batch, frames, 80) to logits and predicted teacher frames.

    Logits are shaped (batch, OUTPUTS), frames (batch, frames / 4, whisper.WIDTH). Any number of frames is accepted.
    """
    frames = layers.Input((None, FRONT_END.bands), name="frames")
    hidden = layers.Conv1D(_NARROW, 5, strides=2, padding="same", name="first")(frames)
    hidden = _normalised(_block(hidden, 1, "block0"))
    hidden = layers.Conv1D(_WIDE, 4, strides=2, padding="same", name="second")(hidden)
    for number, dilation in enumerate(_DILATIONS, start=1):
        hidden = _block(hidden, dilation, f"block{number}")
    hidden = _normalised(hidden, "hidden")
    pooled = Statistics(dtype="float32", name="head_statistics")(hidden)
    dense = layers.Dropout(_DROPOUT)(layers.Dense(_HIDDEN, activation="relu", dtype="float32", name="head")(pooled))
    logits = layers.Dense(OUTPUTS, dtype="float32", name="head_logits")(dense)
    predicted = layers.Dense(whisper.WIDTH, dtype="float32", name="head_frames")(hidden)
    return keras.Model(frames, [logits, predicted], name="small_network")


def with_statistics(network: keras.Model) -> keras.Model:
    """Return the encoder of a network: concatenated mean and standard deviation over time of its last blocks."""
    names = [*(f"block{number}" for number in range(1, len(_DILATIONS))), "hidden"]
    statistics = [
        Statistics(dtype="float32", name=f"statistics_{name}")(network.get_layer(name).output) for name in names
    ]
    return keras.Model(network.input, layers.Concatenate(name="statistics")(statistics))


def _normalised(inputs: Any, name: str | None = None) -> Any:
    return layers.ReLU(name=name)(layers.BatchNormalization(momentum=0.95, epsilon=_EPSILON)(inputs))


def _block(inputs: Any, dilation: int, name: str) -> Any:
    """A residual block with channel gates (Hu et al., Squeeze-and-Excitation Networks, 2018)."""
    width = inputs.shape[-1]
    hidden = layers.Conv1D(width, 3, padding="same", dilation_rate=dilation)(_normalised(inputs))
    mean = ops.mean(hidden, axis=1, keepdims=True)
    gate = layers.Dense(width, activation="sigmoid")(layers.Dense(width // _GATE, activation="relu")(mean))
    return layers.Add(name=name)([inputs, layers.Multiply()([hidden, gate])])
