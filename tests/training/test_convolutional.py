"""Networks that are written layer by layer say what Keras's say, in few operations."""

import keras
import numpy as np
import onnx
import pytest
from keras import layers, ops

from tests.training.tiny_ear import random_weights
from training import convolutional, student, whisper
from training.encoding import open_network
from training.recipe import Heads, build_network

BANDS = student.FRONT_END.bands


def restless(network: keras.Model) -> keras.Model:
    """The network with weights at random, so that no normalisation and no offset is left at nothing."""
    random = np.random.default_rng(0)
    moved = [weight + random.uniform(0.01, 0.2, weight.shape) * (weight.ndim == 1) for weight in network.get_weights()]
    network.set_weights(moved)
    return network


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """The student with heads, as it ships."""
    from training.encoding import Encoder
    from training.head import Head

    random = np.random.default_rng(0)
    ear = student.with_statistics(student.build_student())
    width = ear.output.shape[-1]
    heads = [Head(random.normal(0, 0.05, (width, count)), random.normal(0, 1, count)) for count in (8, 2)]
    encoder = Encoder("student", student.FRONT_END, lambda: ear)
    return restless(build_network(encoder, Heads(*heads, doubt=0.1), "default"))


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
    network = restless(keras.Model(frames, layers.Rescaling(2.0, 0.5)(mixed)))
    convolutional.write(network, tmp_path / "network.onnx")
    session = open_network(tmp_path / "network.onnx")
    heard = np.random.default_rng(2).standard_normal((2, 9, 3)).astype(np.float32)
    found = session.run(None, {session.get_inputs()[0].name: heard})[0]
    assert np.allclose(found, network(heard).numpy(), atol=1e-5)
    assert np.allclose(found.sum(axis=1), 2 + 4 * 0.5, atol=1e-4)


def test_networks_with_other_layers_are_left_to_keras(network):
    assert convolutional.knows(network)
    assert not convolutional.knows(whisper.build_encoder(random_weights(1), 1, (1,)))
    frames = layers.Input((None, 3))
    for other in (layers.LSTM(2), layers.Dense(2, "tanh"), layers.Conv1D(2, 3), layers.Conv1D(3, 3, groups=3)):
        assert not convolutional.knows(keras.Model(frames, other(frames)))
