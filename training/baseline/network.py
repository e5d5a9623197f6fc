"""The plain network: convolutions with max-pooling and dropout, dense layers, softmax."""

from typing import Any

import keras
from keras import layers

from analyzer.emotions import EMOTIONS
from analyzer.speech.features import FrontEnd

#: Channels of the convolutions. Pooling halves time and bands between them, so deeper ones can be wider at little cost.
CHANNELS = (16, 32, 64, 96)
DENSE = (128, 64)
CONVOLUTION_DROPOUT, DENSE_DROPOUT = 0.15, 0.3


def build_network(front_end: FrontEnd) -> Any:
    """Build a new network, with weights drawn from Keras's random seed.

    Input is shaped (batch, frames, bands), as `network_input` makes it. Output is shaped (batch, 8):
    probabilities in the order of EMOTIONS, under the prior of the training clips.
    """
    frames = layers.Input((front_end.frames, front_end.bands), name="frames")
    hidden = layers.Reshape((front_end.frames, front_end.bands, 1))(frames)
    for depth, channels in enumerate(CHANNELS):
        # Stride 2 in time: at a hop of 10 ms little is lost, and the first layers are the most expensive.
        strides = (2, 1) if depth == 0 else 1
        hidden = layers.Conv2D(channels, 3, strides=strides, padding="same", activation="relu")(hidden)
        if depth < len(CHANNELS) - 1:
            hidden = layers.MaxPooling2D(2)(hidden)
        else:
            # Average over time, so that the dense layers need not be trained for every time position separately.
            hidden = layers.AveragePooling2D((hidden.shape[1], 2))(hidden)
        hidden = layers.BatchNormalization(momentum=0.9)(hidden)  # suits a training of about a thousand steps
        hidden = layers.Dropout(CONVOLUTION_DROPOUT)(hidden)
    hidden = layers.Flatten()(hidden)
    for width in DENSE:
        hidden = layers.Dense(width, activation="relu")(hidden)
        hidden = layers.Dropout(DENSE_DROPOUT)(hidden)
    hidden = layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")(hidden)
    return keras.Model(frames, hidden, name="emotions")


def multiply_adds(network: Any) -> int:
    """Return the multiply-adds per network input in the convolutions and dense layers."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * layer.kernel.shape.num_elements()
        elif isinstance(layer, layers.Dense):
            total += layer.kernel.shape.num_elements()
    return int(total)
