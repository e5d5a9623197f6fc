"""The small network: 25 frames a second of any number, few weights, and the same as Keras, as files and as ONNX."""

import keras
import numpy as np
import onnxruntime
import pytest

from analyzer.features import network_input
from tests import voices
from training.export import export_network, read_network, write_keras
from training.student import FRONT_END, STRIDE, TARGETS, build_student, with_statistics


@pytest.fixture(scope="module")
def student():
    """With weights at random, those of the normalisation as well, as nothing was taught."""
    keras.utils.set_random_seed(3)
    network = build_student()
    random = np.random.default_rng(3)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()])
    return network


@pytest.fixture(scope="module")
def encoder(student):
    return with_statistics(student)


def frames(count: int, seed: int = 0) -> np.ndarray:
    """One segment, scaled as the front end scales it."""
    return np.random.default_rng(seed).normal(size=(1, count, FRONT_END.bands)).astype(np.float32)


def heard(network, segment: np.ndarray) -> np.ndarray:
    return np.asarray(network(segment, training=False))


@pytest.mark.parametrize("count", [4, 100, 248, 500])
def test_it_says_25_frames_for_100_that_it_hears_whatever_their_number(student, count):
    said, hidden = student(frames(count), training=False)
    assert said.shape == (1, count // STRIDE, TARGETS)
    assert hidden.shape[:2] == (1, count // STRIDE)


def test_a_second_is_heard_in_100_frames_at_the_rate_of_telephones():
    segment = network_input(voices.speech(2, FRONT_END.rate), FRONT_END)
    assert FRONT_END.rate == 8000
    assert len(segment) == pytest.approx(200, abs=3)
    assert FRONT_END.longest_s == 5


def test_it_has_less_than_a_million_weights(student, encoder):
    assert student.count_params() < 1_000_000
    assert encoder.count_params() == student.count_params()


def test_hidden_frames_are_not_negative_and_what_is_said_is_linear_in_them(student):
    said, hidden = (np.asarray(part)[0] for part in student(frames(80), training=False))
    assert (hidden >= 0).all() and (hidden > 0).any()
    kernel, bias = student.get_layer("said").get_weights()
    assert said == pytest.approx(hidden @ kernel + bias, abs=1e-4)


def test_statistics_are_mean_and_deviation_over_time_of_all_that_it_gives(student, encoder):
    parts = [np.asarray(part)[0] for part in student(frames(120), training=False)]
    expected = np.concatenate([statistic for part in parts for statistic in (part.mean(axis=0), part.std(axis=0))])
    assert encoder.output_shape == (None, len(expected))
    assert heard(encoder, frames(120))[0] == pytest.approx(expected, abs=1e-4)
    assert not encoder.trainable_weights


def test_what_is_heard_does_not_depend_on_other_segments(encoder):
    batch = np.concatenate([frames(60, seed) for seed in range(3)])
    together = heard(encoder, batch)
    alone = np.concatenate([heard(encoder, one[None]) for one in batch])
    assert together == pytest.approx(alone, abs=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.01


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_the_shortest_segments_give_numbers(encoder, count):
    assert np.isfinite(heard(encoder, frames(count))).all()


def test_json_and_weights_alone_rebuild_the_encoder(encoder, tmp_path):
    write_keras(tmp_path, encoder)
    again = read_network(tmp_path)
    for count in (40, 333):
        assert np.array_equal(heard(again, frames(count)), heard(encoder, frames(count)))


def test_the_exported_encoder_hears_as_the_keras_one_at_any_length(encoder, tmp_path):
    export_network(encoder, FRONT_END, tmp_path / "ear.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "ear.onnx"), providers=["CPUExecutionProvider"])
    for count in (37, 300):
        (found,) = session.run(None, {session.get_inputs()[0].name: frames(count)})
        assert found == pytest.approx(heard(encoder, frames(count)), abs=1e-4)
