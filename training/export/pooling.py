"""The pooling layer of all encoders, which `convolutional` knows how to write."""

from typing import Any

import keras
from keras import layers, ops

#: Lowest variance whose square root is taken.
VARIANCE_FLOOR = 1e-5


@keras.saving.register_keras_serializable("call-emotions")
class Statistics(layers.Layer):
    """Pooled mean and standard deviation over time, from (batch, frames, width) to (batch, 2 * width)."""

    def call(self, inputs: Any) -> Any:
        mean = ops.mean(inputs, axis=1, keepdims=True)
        variance = ops.mean(ops.square(inputs - mean), axis=1)
        return ops.concatenate([mean[:, 0], ops.sqrt(ops.maximum(variance, VARIANCE_FLOOR))], axis=-1)
