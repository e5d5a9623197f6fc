"""The network of `accurate`: Whisper's first blocks, trained end to end on pooled statistics of their outputs."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from analyzer.emotions import EMOTIONS
from training.encoders import whisper
from training.export.pooling import Statistics
from training.recipes import Size

#: Emotion logits, and the log odds of non-speech.
OUTPUTS = len(EMOTIONS) + 1
_DROPOUT = 0.3
_NON_SPEECH_WEIGHT = 0.3


def build_network(weights: Mapping[str, np.ndarray], size: Size) -> keras.Model:
    """Build the network with Whisper's weights and a new linear head, from (batch, frames, 80) to (batch, OUTPUTS).

    `weights` are as `whisper.load_weights` returns them.
    """
    frames, outputs = whisper.build_blocks(weights, size.blocks, size.pairs_after)
    normalised = [
        layers.LayerNormalization(epsilon=whisper.EPSILON, dtype="float32", name=f"head_norm{number}")(
            Statistics(dtype="float32", name=f"head_statistics{number}")(output)
        )
        for number, output in enumerate(outputs, start=1)
    ]
    statistics = layers.Dropout(_DROPOUT, dtype="float32")(layers.Concatenate(dtype="float32")(normalised))
    logits = layers.Dense(OUTPUTS, kernel_initializer="zeros", dtype="float32", name="head_logits")(statistics)
    return keras.Model(frames, logits, name="emotion_network")


def with_statistics(network: keras.Model) -> keras.Model:
    """Return the encoder of a network: concatenated mean and standard deviation over time of each block's output."""
    statistics = [Statistics(name=f"statistics_{layer.name}")(layer.output) for layer in blocks_of(network)]
    return keras.Model(network.input, layers.Concatenate(name="statistics")(statistics))


def blocks_of(network: keras.Model) -> list[keras.Layer]:
    """Return the layers named `block1`, `block2` and so on, in this order."""
    return [layer for layer in network.layers if layer.name.removeprefix("block").isdigit()]


def loss(targets: Any, logits: Any) -> Any:
    """Cross-entropy among the emotions of each clip's corpus, plus that of speech against non-speech; shaped (batch,).

    `targets` are those of training.data.crops, shaped (batch, TARGETS), `logits` are shaped (batch, OUTPUTS).
    """
    count = len(EMOTIONS)
    emotion_targets, in_corpus, non_speech = targets[:, :count], targets[:, count:-1], targets[:, -1]
    emotion_logits = logits[:, :count] + (in_corpus - 1) * 1e4
    log_probabilities = ops.log_softmax(emotion_logits, axis=1)
    emotion_loss = -ops.sum(emotion_targets * log_probabilities * in_corpus, axis=1)
    non_speech_logit = logits[:, count]
    speech_loss = ops.softplus(non_speech_logit) - non_speech_logit * non_speech
    return emotion_loss + _NON_SPEECH_WEIGHT * speech_loss
