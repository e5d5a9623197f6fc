"""Large products in int8: small files, results near the exact ones, and the same on every kind of processor."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.quantize import LARGEST, SMALLEST, quantize, rounded

INPUTS, OUTPUTS = 400, 300


def product(path: Path, weights: np.ndarray) -> Path:
    """Write a network of one matrix product."""
    rows, columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"], name="block/product")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "frames", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "frames", columns])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9), path)
    return path


def run(path: Path, frames: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": frames[None].astype(np.float32)})[0][0]


def weights_of(random: np.random.Generator) -> np.ndarray:
    return random.normal(size=(INPUTS, OUTPUTS)) * random.uniform(0.01, 10, OUTPUTS)


def segments(random: np.random.Generator, number: int, sizes: float | np.ndarray = 1.0) -> list[np.ndarray]:
    """Segments of frames with correlated inputs, as in speech, scaled by `sizes`."""
    mixed = random.normal(size=(20, INPUTS)) + 0.1 * random.normal(size=(20, INPUTS))
    return [((random.normal(size=(60, 20)) @ mixed) * sizes).astype(np.float32) for _ in range(number)]


def error(network: Path, exact: Path, frames: np.ndarray) -> float:
    """Return the relative error of the outputs, averaged with equal weights."""
    right = run(exact, frames)
    return float(np.mean(np.std(run(network, frames) - right, axis=0) / np.std(right, axis=0)))


def test_large_weights_take_a_quarter_of_the_bytes_and_give_nearly_the_same(tmp_path):
    random = np.random.default_rng(0)
    *heard, new = segments(random, 20)
    exact = product(tmp_path / "exact.onnx", weights_of(random))
    quantize(exact, tmp_path / "small.onnx", heard)
    assert (tmp_path / "small.onnx").stat().st_size < exact.stat().st_size / 3.5
    assert 0 < error(tmp_path / "small.onnx", exact, new) < 0.02


def test_an_input_that_is_much_larger_than_the_others_does_not_drown_them(tmp_path):
    errors = []
    for size in (1.0, 100.0):
        random = np.random.default_rng(1)
        sizes = np.where(np.arange(INPUTS) == 7, size, 1.0)
        *heard, new = segments(random, 20, sizes)
        weights = weights_of(random)
        weights[7] /= size
        exact = product(tmp_path / "exact.onnx", weights)
        quantize(exact, tmp_path / "small.onnx", heard)
        errors.append(error(tmp_path / "small.onnx", exact, new))
    assert errors[1] < 1.2 * errors[0]


def test_a_sensitive_product_is_stored_as_small_and_nearer_to_the_exact_one(tmp_path):
    random = np.random.default_rng(5)
    *heard, new = segments(random, 20)
    exact = product(tmp_path / "exact.onnx", weights_of(random))
    quantize(exact, tmp_path / "quick.onnx", heard, sensitive="/other")
    quantize(exact, tmp_path / "stored.onnx", heard, sensitive="block/prod")
    assert (tmp_path / "stored.onnx").stat().st_size < exact.stat().st_size / 3.5
    assert 0 < error(tmp_path / "stored.onnx", exact, new) < 0.8 * error(tmp_path / "quick.onnx", exact, new)


def test_small_weights_stay_as_they_are(tmp_path):
    weights = np.random.default_rng(0).normal(size=(100, 8))
    assert weights.size < SMALLEST
    exact = product(tmp_path / "exact.onnx", weights)
    quantize(exact, tmp_path / "small.onnx", [np.ones((3, 100), np.float32)])
    frames = np.ones((2, 100), np.float32)
    assert np.array_equal(run(tmp_path / "small.onnx", frames), run(exact, frames))


def test_what_rounding_takes_is_made_good_by_inputs_that_go_along():
    random = np.random.default_rng(2)
    weights, heard = weights_of(random), np.concatenate(segments(random, 20))
    integers, scale = rounded(weights, (heard.T @ heard).astype(float))
    nearest = np.rint(weights / scale) * scale
    lost = np.square(heard @ (integers * scale - weights)).sum(axis=0)
    assert np.all(lost < 0.5 * np.square(heard @ (nearest - weights)).sum(axis=0))


@pytest.mark.parametrize("rank", [0, 5])
def test_inputs_that_say_nothing_do_no_harm(rank):
    """With hardly any calibration inputs, the rounding error of weights stays bounded."""
    random = np.random.default_rng(3)
    weights, heard = weights_of(random), random.normal(size=(rank, INPUTS))
    integers, scale = rounded(weights, heard.T @ heard)
    assert np.abs(integers * scale - weights).max() <= 60 * scale.max()
    assert np.isfinite(scale).all()


def test_a_processor_that_adds_two_products_in_16_bits_does_not_overflow():
    integers, _ = rounded(weights_of(np.random.default_rng(4)), np.eye(INPUTS))
    assert np.abs(integers).max() == LARGEST
    assert 2 * 255 * LARGEST < 2**15


def test_a_convolution_is_stored_in_int8_and_computed_in_float(tmp_path):
    random = np.random.default_rng(0)
    weights = (random.normal(size=(300, 200, 3)) * random.uniform(0.01, 10, (300, 1, 1))).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "weights"], ["y"])],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 200, "frames"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 300, "frames"])],
        [numpy_helper.from_array(weights, "weights")],
    )
    exact, small = tmp_path / "exact.onnx", tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9), exact)
    quantize(exact, small, [])
    assert small.stat().st_size < exact.stat().st_size / 3.5
    frames = random.normal(size=(200, 50))
    right = run(exact, frames)
    assert 0 < np.abs(run(small, frames) - right).std() < 0.02 * right.std()
