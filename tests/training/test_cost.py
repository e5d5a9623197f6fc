"""Cost of a network: multiply-adds equal a count by hand, and speed is measured."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from analyzer.speech.features import FrontEnd
from tests.helpers.tiny_model import make_tiny_model
from training import recipes
from training.encoders import small_network
from training.export import cost
from training.export.cost import SEGMENT_S, multiply_adds, speed
from training.export.model_files import export_network

FRONT_END = FrontEnd(rate=8000, hop=80, bands=10, frames=500, padded=False)
FRAMES = 300
assert SEGMENT_S * 100 == FRAMES


def network(path: Path, nodes: list, **weights: np.ndarray) -> Path:
    """Write an ONNX network from `x`, shaped (1, time, 10), to `y`."""
    graph = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "time", 10])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def segment_cost(path: Path) -> float:
    """Return the multiply-adds of a segment."""
    return multiply_adds(path, FRONT_END) * SEGMENT_S


def test_cost_of_matrix_product(tmp_path):
    path = network(tmp_path / "n.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], w=ones(10, 7))
    assert segment_cost(path) == FRAMES * 10 * 7


def test_cost_of_dense_layer(tmp_path):
    mean = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0)
    for transposed, weights in ((0, ones(10, 6)), (1, ones(6, 10))):
        dense = helper.make_node("Gemm", ["mean", "w", "b"], ["y"], transB=transposed)
        path = network(tmp_path / "n.onnx", [mean, dense], w=weights, b=ones(6))
        assert segment_cost(path) == 10 * 6


@pytest.mark.parametrize(("options", "outputs"), [({}, 298), ({"strides": [2]}, 149), ({"dilations": [4]}, 292)])
def test_cost_of_convolution(tmp_path, options, outputs):
    transposed = helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 2, 1])
    conv = helper.make_node("Conv", ["channels", "w"], ["y"], **options)
    path = network(tmp_path / "n.onnx", [transposed, conv], w=ones(6, 10, 3))
    assert segment_cost(path) == outputs * 6 * 10 * 3


def test_cost_of_grouped_convolution(tmp_path):
    transposed = helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 2, 1])
    conv = helper.make_node("Conv", ["channels", "w"], ["y"], group=5)
    path = network(tmp_path / "n.onnx", [transposed, conv], w=ones(10, 2, 3))
    assert segment_cost(path) == 298 * 10 * 2 * 3


def test_cost_of_product_of_activations(tmp_path):
    """As in attention, which multiplies every frame with every other."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    assert segment_cost(network(tmp_path / "n.onnx", nodes)) == FRAMES * FRAMES * 10


def test_int8_weights_cost_as_much(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["small", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    small = np.ones((10, 7), np.int8)
    assert segment_cost(network(tmp_path / "n.onnx", nodes, small=small, scale=np.float32(1))) == FRAMES * 10 * 7


def test_only_products_count(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Mul", ["b", "b"], ["c"]),
        helper.make_node("MatMul", ["c", "second"], ["y"]),
    ]
    path = network(tmp_path / "n.onnx", nodes, first=ones(10, 7), second=ones(7, 5))
    assert segment_cost(path) == FRAMES * (10 * 7 + 7 * 5)


def test_counting_keeps_the_file(tmp_path):
    path = network(tmp_path / "n.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], w=ones(10, 7))
    before = path.read_bytes()
    multiply_adds(path, FRONT_END)
    assert path.read_bytes() == before


def test_student_cost_is_below_40_million(tmp_path):
    network = small_network.with_statistics(small_network.build_network())
    export_network(network, recipes.FRONT_END, tmp_path / "encoder.onnx")
    count = multiply_adds(tmp_path / "encoder.onnx", recipes.FRONT_END)
    # The lower bound: the weights that are used 25 times a second.
    assert 25 * 900_000 < count < 40_000_000


# Speed


class Clock:
    """A clock on which each interval between readings is a second longer than the one before."""

    def __init__(self) -> None:
        self.now, self.readings = 0.0, 0

    def perf_counter(self) -> float:
        self.readings += 1
        self.now += self.readings
        return self.now


@pytest.mark.parametrize("front_end", [FRONT_END, FrontEnd(bands=10, frames=200)], ids=["free", "padded"])
def test_speed_is_that_of_the_fastest_run(tmp_path, monkeypatch, front_end):
    monkeypatch.setattr(cost, "time", Clock())
    folder = make_tiny_model(tmp_path / "model", front_end=front_end)
    speech_s = 16 * (2 if front_end.padded else SEGMENT_S)
    # The first run takes two seconds on this clock, the next four, and so on.
    assert speed(folder, runs=3) == pytest.approx(speech_s / 2)


def test_tiny_model_is_faster_than_real_time(tmp_path):
    assert 1 < speed(make_tiny_model(tmp_path / "model"), runs=2) < float("inf")


def test_machine_has_a_name():
    assert cost.machine().strip()
