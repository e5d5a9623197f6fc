"""Large products in int8: small files, results near the exact ones, and the same on every kind of processor."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.export.quantize import LARGEST, SMALLEST, quantize, rounded

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
    mixing = random.normal(size=(20, INPUTS)) + 0.1 * random.normal(size=(20, INPUTS))
    return [((random.normal(size=(60, 20)) @ mixing) * sizes).astype(np.float32) for _ in range(number)]


def error(network: Path, exact: Path, frames: np.ndarray) -> float:
    """Return the relative error of the outputs, averaged with equal weights."""
    expected = run(exact, frames)
    return float(np.mean(np.std(run(network, frames) - expected, axis=0) / np.std(expected, axis=0)))


def test_large_weights_are_compressed(tmp_path):
    random = np.random.default_rng(0)
    *calibration, unseen = segments(random, 20)
    exact = product(tmp_path / "exact.onnx", weights_of(random))
    quantize(exact, tmp_path / "small.onnx", calibration)
    assert (tmp_path / "small.onnx").stat().st_size < exact.stat().st_size / 3.5
    assert 0 < error(tmp_path / "small.onnx", exact, unseen) < 0.02


def test_large_input_does_not_raise_error(tmp_path):
    errors = []
    for size in (1.0, 100.0):
        random = np.random.default_rng(1)
        sizes = np.where(np.arange(INPUTS) == 7, size, 1.0)
        *calibration, unseen = segments(random, 20, sizes)
        weights = weights_of(random)
        weights[7] /= size
        exact = product(tmp_path / "exact.onnx", weights)
        quantize(exact, tmp_path / "small.onnx", calibration)
        errors.append(error(tmp_path / "small.onnx", exact, unseen))
    assert errors[1] < 1.2 * errors[0]


def test_sensitive_product_is_more_exact(tmp_path):
    random = np.random.default_rng(5)
    *calibration, unseen = segments(random, 20)
    exact = product(tmp_path / "exact.onnx", weights_of(random))
    quantize(exact, tmp_path / "quick.onnx", calibration, sensitive="/other")
    quantize(exact, tmp_path / "stored.onnx", calibration, sensitive="block/prod")
    assert (tmp_path / "stored.onnx").stat().st_size < exact.stat().st_size / 3.5
    assert 0 < error(tmp_path / "stored.onnx", exact, unseen) < 0.8 * error(tmp_path / "quick.onnx", exact, unseen)


def test_small_weights_are_not_rounded(tmp_path):
    weights = np.random.default_rng(0).normal(size=(100, 8))
    assert weights.size < SMALLEST
    exact = product(tmp_path / "exact.onnx", weights)
    quantize(exact, tmp_path / "small.onnx", [np.ones((3, 100), np.float32)])
    frames = np.ones((2, 100), np.float32)
    assert np.array_equal(run(tmp_path / "small.onnx", frames), run(exact, frames))


def test_correlated_inputs_compensate_rounding():
    random = np.random.default_rng(2)
    weights, inputs = weights_of(random), np.concatenate(segments(random, 20))
    integers, scale = rounded(weights, (inputs.T @ inputs).astype(float))
    nearest = np.rint(weights / scale) * scale
    losses = np.square(inputs @ (integers * scale - weights)).sum(axis=0)
    assert np.all(losses < 0.5 * np.square(inputs @ (nearest - weights)).sum(axis=0))


@pytest.mark.parametrize("rank", [0, 5])
def test_rounding_error_is_bounded(rank):
    """With hardly any calibration inputs, the rounding error of weights stays bounded."""
    random = np.random.default_rng(3)
    weights, inputs = weights_of(random), random.normal(size=(rank, INPUTS))
    integers, scale = rounded(weights, inputs.T @ inputs)
    assert np.abs(integers * scale - weights).max() <= 60 * scale.max()
    assert np.isfinite(scale).all()


def test_sums_of_two_products_fit_16_bits():
    integers, _ = rounded(weights_of(np.random.default_rng(4)), np.eye(INPUTS))
    assert np.abs(integers).max() == LARGEST
    assert 2 * 255 * LARGEST < 2**15


def test_convolution_is_stored_in_int8(tmp_path):
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
    expected = run(exact, frames)
    assert 0 < np.abs(run(small, frames) - expected).std() < 0.02 * expected.std()
