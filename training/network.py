"""The plain network: convolutions with max-pooling and dropout, dense layers, softmax."""

from typing import Any

import keras
from keras import layers

from analyzer.emotions import EMOTIONS
from analyzer.features import FrontEnd

#: Channels of the convolutions. Pooling halves time and bands between them, so deeper ones can be wider at little cost.
CHANNELS = (16, 32, 64, 96)
DENSE = (128, 64)
CONVOLUTION_DROPOUT, DENSE_DROPOUT = 0.15, 0.3


def build_network(front_end: FrontEnd) -> Any:
    """Build a new network, with weights drawn from Keras's random seed.

    Input is shaped (batch, frames, bands), as `analyzer.features.network_input` makes it. Output is shaped (batch, 8):
    probabilities in the order of EMOTIONS, under the prior of the training clips.
    """
    frames = layers.Input((front_end.frames, front_end.bands), name="frames")
    found = layers.Reshape((front_end.frames, front_end.bands, 1))(frames)
    for depth, channels in enumerate(CHANNELS):
        # Stride 2 in time: at a hop of 10 ms little is lost, and the first layers are the most expensive.
        strides = (2, 1) if depth == 0 else 1
        found = layers.Conv2D(channels, 3, strides=strides, padding="same", activation="relu")(found)
        if depth < len(CHANNELS) - 1:
            found = layers.MaxPooling2D(2)(found)
        else:
            # Average over time, so that the dense layers need not be trained for every time position separately.
            found = layers.AveragePooling2D((found.shape[1], 2))(found)
        found = layers.BatchNormalization(momentum=0.9)(found)  # suits a training of about a thousand steps
        found = layers.Dropout(CONVOLUTION_DROPOUT)(found)
    found = layers.Flatten()(found)
    for width in DENSE:
        found = layers.Dense(width, activation="relu")(found)
        found = layers.Dropout(DENSE_DROPOUT)(found)
    found = layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")(found)
    return keras.Model(frames, found, name="emotions")


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
