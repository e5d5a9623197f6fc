"""The small network: a convolutional ear that is taught, frame by frame, to hear what Whisper's encoder hears.

From log-mel frames at 100 a second it makes 25 a second: what the teacher's layers would say there, and the hidden
frames that it says it from. The statistics of both over time are what a head sees.
"""

from typing import Any

import keras
from keras import layers, ops

from analyzer.features import FrontEnd

FRONT_END = FrontEnd(
    rate=8000, window=256, hop=80, fft=512, bands=64, low_hz=200.0, high_hz=3600.0, frames=500, padded=False
)
#: Log-mel frames to one of what the network says.
STRIDE = 4
TARGETS = 192
_NARROW, _WIDE = 128, 256
#: How far apart in time the frames are that each block looks at, one beside the other.
_DILATIONS = (1, 2, 4)


def build_student() -> keras.Model:
    """A network from (batch, frames, 64) to what the teacher says and the hidden frames, both 25 a second.

    The number of frames is free. 974,000 weights, most of them used 25 times a second.
    """
    frames = layers.Input((None, FRONT_END.bands), name="frames")
    heard = layers.Conv1D(_NARROW, 5, strides=2, padding="same", name="first")(frames)
    heard = _rectified(_block(heard, 1))
    heard = layers.Conv1D(_WIDE, 4, strides=2, padding="same", name="second")(heard)
    for dilation in _DILATIONS:
        heard = _block(heard, dilation)
    hidden = _rectified(heard)
    return keras.Model(frames, [layers.Dense(TARGETS, name="said")(hidden), hidden], name="student")


def _rectified(heard: Any) -> Any:
    return layers.ReLU()(layers.BatchNormalization()(heard))


def _block(heard: Any, dilation: int) -> Any:
    """A residual block, whose channels are weighed by what the whole segment is like (Hu and others, 2018)."""
    width = heard.shape[-1]
    new = layers.Conv1D(width, 3, padding="same", dilation_rate=dilation)(_rectified(heard))
    whole = layers.GlobalAveragePooling1D(keepdims=True)(new)
    gate = layers.Dense(width, activation="sigmoid")(layers.Dense(width // 4, activation="relu")(whole))
    return layers.Add()([heard, layers.Multiply()([new, gate])])


def with_statistics(student: keras.Model) -> keras.Model:
    """The student as an encoder: mean and deviation over time of all that it gives, shaped (batch, 896)."""
    parts = [part(output, axis=1) for output in student.outputs for part in (ops.mean, ops.std)]
    encoder = keras.Model(student.input, layers.Concatenate(name="statistics")(parts), name="encoder")
    encoder.trainable = False
    return encoder
