"""Networks exported layer by layer: the same outputs as Keras, from few operations."""

import keras
import numpy as np
import onnx
import pytest
from keras import layers, ops

from analyzer.emotions import EMOTIONS
from tests.helpers.random_whisper import random_weights
from training import release
from training.encoders import emotion_network, small_network
from training.encoders.encoding import open_network
from training.evaluation.operating_point import Calibration
from training.export import convolutional
from training.heads.fits import Heads
from training.heads.head import Head
from training.recipes import FRONT_END, Size

BANDS = FRONT_END.bands


def perturbed(network: keras.Model) -> keras.Model:
    """Add random values to all vectors of weights, so that no normalisation or bias is trivial."""
    random = np.random.default_rng(0)
    noisy = [weight + random.uniform(0.01, 0.2, weight.shape) * (weight.ndim == 1) for weight in network.get_weights()]
    network.set_weights(noisy)
    return network


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """The student with heads, as released."""
    random = np.random.default_rng(0)
    encoder = small_network.with_statistics(small_network.build_network())
    width = encoder.output.shape[-1]
    heads = [
        Head(random.normal(0, 0.05, (width, classes)), random.normal(0, 1, classes)) for classes in (len(EMOTIONS), 2)
    ]
    return perturbed(release.with_heads(encoder, Heads(*heads), Calibration(1.3, -0.2)))


@pytest.mark.parametrize("frames", [20, 101, 102, 103, 500])
def test_outputs_equal_those_of_keras(network, tmp_path, frames):
    convolutional.write(network, tmp_path / "network.onnx")
    inputs = np.random.default_rng(1).standard_normal((3, frames, BANDS)).astype(np.float32)
    session = open_network(tmp_path / "network.onnx")
    (name,) = (tensor.name for tensor in session.get_inputs())
    expected = network(inputs).numpy()
    assert expected.std(axis=0).min() > 1e-5
    assert np.abs(session.run(None, {name: inputs})[0] - expected).max() < 1e-5


def test_outputs_ignore_earlier_segments(network, tmp_path):
    convolutional.write(network, tmp_path / "network.onnx")
    inputs = np.random.default_rng(1).standard_normal((1, 120, BANDS)).astype(np.float32)
    session = open_network(tmp_path / "network.onnx")
    (name,) = (tensor.name for tensor in session.get_inputs())
    first = session.run(None, {name: inputs})[0]
    session.run(None, {name: inputs[:, :50] * 3})
    assert np.array_equal(session.run(None, {name: inputs})[0], first)


def test_network_has_few_operations(network, tmp_path):
    convolutional.write(network, tmp_path / "network.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "network.onnx").graph.node]
    assert len(kinds) < 80
    assert not {"Shape", "Reshape", "Slice", "Gather", "Cast"} & set(kinds)


def test_every_activation_is_exported(tmp_path):
    frames = layers.Input((None, 3))
    values = layers.Conv1D(4, 3, padding="same", activation="relu")(frames)
    values = layers.Conv1D(5, 2, strides=2, padding="same", activation="sigmoid")(values)
    outputs = layers.Dense(4, activation="softmax")(ops.mean(values, axis=1))
    network = perturbed(keras.Model(frames, outputs))
    convolutional.write(network, tmp_path / "network.onnx")
    session = open_network(tmp_path / "network.onnx")
    values = np.random.default_rng(2).standard_normal((2, 9, 3)).astype(np.float32)
    results = session.run(None, {session.get_inputs()[0].name: values})[0]
    assert np.allclose(results, network(values).numpy(), atol=1e-5)
    assert np.allclose(results.sum(axis=1), 1, atol=1e-4)


def test_other_layers_are_not_supported(network):
    assert convolutional.supports(network)
    assert not convolutional.supports(emotion_network.build_network(random_weights(1), Size(1, 0)))
    frames = layers.Input((None, 3))
    for layer in (layers.LSTM(2), layers.Dense(2, "tanh"), layers.Conv1D(2, 3), layers.Conv1D(3, 3, groups=3)):
        assert not convolutional.supports(keras.Model(frames, layer(frames)))
