"""The plain network: convolutions with max-pooling and dropout, dense layers, softmax."""

from typing import Any

import keras
from keras import layers

from analyzer.emotions import EMOTIONS
from analyzer.features import FrontEnd

#: Channels of the convolutions. Each halves time and bands after it, so deeper ones are wider at the same cost.
CHANNELS = (16, 32, 64, 96)
DENSE = (128, 64)
CONVOLUTION_DROPOUT, DENSE_DROPOUT = 0.2, 0.4


def build_network(front_end: FrontEnd) -> Any:
    """A new network, its weights drawn from Keras's random seed.

    Input is shaped (batch, frames, bands), as `analyzer.features.network_input` makes it, output (batch, 8):
    probabilities in the order of EMOTIONS, under the shares of the clips that it is trained on.
    """
    parts: list[Any] = [
        layers.Input((front_end.frames, front_end.bands), name="frames"),
        layers.Reshape((front_end.frames, front_end.bands, 1)),
    ]
    for depth, channels in enumerate(CHANNELS):
        # The first takes every second frame: at 10 ms a hop little is lost, and its layers are the dearest to fit.
        # Normalising after pooling costs a quarter of what it does before.
        parts += [
            layers.Conv2D(channels, 3, strides=(2, 1) if depth == 0 else 1, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(momentum=0.9),  # a training has a thousand steps
            layers.Dropout(CONVOLUTION_DROPOUT),
        ]
    parts.append(layers.Flatten())
    for width in DENSE:
        parts += [layers.Dense(width, activation="relu"), layers.Dropout(DENSE_DROPOUT)]
    parts.append(layers.Dense(len(EMOTIONS), activation="softmax", name="emotions"))
    return keras.Sequential(parts, name="emotions")


def multiply_adds(network: Any) -> int:
    """Multiplications with addition that one network input costs, in the convolutions and dense layers."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * layer.kernel.shape.num_elements()
        elif isinstance(layer, layers.Dense):
            total += layer.kernel.shape.num_elements()
    return int(total)
