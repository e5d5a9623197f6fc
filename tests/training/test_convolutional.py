"""Networks exported layer by layer: the same outputs as Keras, from few operations."""

import keras
import numpy as np
import onnx
import pytest
from keras import layers, ops

from analyzer.emotions import EMOTIONS
from tests.training.random_whisper import random_weights
from training import convolutional, emotion_network, release, small_network
from training.encoding import open_network
from training.fits import Heads
from training.head import Head
from training.operating_point import Calibration
from training.recipes import FRONT_END, Size

BANDS = FRONT_END.bands


def restless(network: keras.Model) -> keras.Model:
    """Add random values to all vectors of weights, so that no normalisation or bias is trivial."""
    random = np.random.default_rng(0)
    moved = [weight + random.uniform(0.01, 0.2, weight.shape) * (weight.ndim == 1) for weight in network.get_weights()]
    network.set_weights(moved)
    return network


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """The student with heads, as it ships."""
    random = np.random.default_rng(0)
    encoder = small_network.with_statistics(small_network.build_network())
    width = encoder.output.shape[-1]
    heads = [Head(random.normal(0, 0.05, (width, k)), random.normal(0, 1, k)) for k in (len(EMOTIONS), 2)]
    return restless(release.with_heads(encoder, Heads(*heads), Calibration(1.3, -0.2)))


@pytest.mark.parametrize("frames", [20, 101, 102, 103, 500])
def test_it_says_what_keras_says_for_any_number_of_frames(network, tmp_path, frames):
    convolutional.write(network, tmp_path / "network.onnx")
    heard = np.random.default_rng(1).standard_normal((3, frames, BANDS)).astype(np.float32)
    session = open_network(tmp_path / "network.onnx")
    (name,) = (one.name for one in session.get_inputs())
    expected = network(heard).numpy()
    assert expected.std(axis=0).min() > 1e-5
    assert np.abs(session.run(None, {name: heard})[0] - expected).max() < 1e-5


def test_a_segment_s_result_does_not_depend_on_what_it_stands_beside(network, tmp_path):
    convolutional.write(network, tmp_path / "network.onnx")
    heard = np.random.default_rng(1).standard_normal((1, 120, BANDS)).astype(np.float32)
    session = open_network(tmp_path / "network.onnx")
    (name,) = (one.name for one in session.get_inputs())
    first = session.run(None, {name: heard})[0]
    session.run(None, {name: heard[:, :50] * 3})
    assert np.array_equal(session.run(None, {name: heard})[0], first)


def test_it_has_few_operations_and_no_shapes_to_work_out(network, tmp_path):
    convolutional.write(network, tmp_path / "network.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "network.onnx").graph.node]
    assert len(kinds) < 80
    assert not {"Shape", "Reshape", "Slice", "Gather", "Cast"} & set(kinds)


def test_activations_of_every_kind_are_written(tmp_path):
    frames = layers.Input((None, 3))
    heard = layers.Conv1D(4, 3, padding="same", activation="relu")(frames)
    heard = layers.Conv1D(5, 2, strides=2, padding="same", activation="sigmoid")(heard)
    mixed = layers.Dense(4, activation="softmax")(ops.mean(heard, axis=1))
    network = restless(keras.Model(frames, mixed))
    convolutional.write(network, tmp_path / "network.onnx")
    session = open_network(tmp_path / "network.onnx")
    heard = np.random.default_rng(2).standard_normal((2, 9, 3)).astype(np.float32)
    found = session.run(None, {session.get_inputs()[0].name: heard})[0]
    assert np.allclose(found, network(heard).numpy(), atol=1e-5)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-4)


def test_networks_with_other_layers_are_left_to_keras(network):
    assert convolutional.knows(network)
    assert not convolutional.knows(emotion_network.build_network(random_weights(1), Size(1, 0)))
    frames = layers.Input((None, 3))
    for other in (layers.LSTM(2), layers.Dense(2, "tanh"), layers.Conv1D(2, 3), layers.Conv1D(3, 3, groups=3)):
        assert not convolutional.knows(keras.Model(frames, other(frames)))
