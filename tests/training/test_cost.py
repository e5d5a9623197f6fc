"""Cost of a network: multiply-adds equal a count by hand, and speed is measured."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from analyzer.features import FrontEnd
from tests.tiny_model import make_tiny_model
from training import cost, student
from training.cost import SEGMENT_S, multiply_adds, speed
from training.export import export_network

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


def counted(path: Path) -> float:
    """Return the multiply-adds of the whole segment."""
    return multiply_adds(path, FRONT_END) * SEGMENT_S


def test_a_matrix_product_costs_rows_times_inputs_times_outputs(tmp_path):
    path = network(tmp_path / "n.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], w=ones(10, 7))
    assert counted(path) == FRAMES * 10 * 7


def test_so_does_a_dense_layer_with_its_matrix_turned_or_not(tmp_path):
    mean = helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0)
    for turned, weights in ((0, ones(10, 6)), (1, ones(6, 10))):
        dense = helper.make_node("Gemm", ["mean", "w", "b"], ["y"], transB=turned)
        path = network(tmp_path / "n.onnx", [mean, dense], w=weights, b=ones(6))
        assert counted(path) == 10 * 6


@pytest.mark.parametrize(("options", "outputs"), [({}, 298), ({"strides": [2]}, 149), ({"dilations": [4]}, 292)])
def test_a_convolution_costs_its_kernel_at_every_place_where_it_is_laid(tmp_path, options, outputs):
    turned = helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 2, 1])
    conv = helper.make_node("Conv", ["channels", "w"], ["y"], **options)
    path = network(tmp_path / "n.onnx", [turned, conv], w=ones(6, 10, 3))
    assert counted(path) == outputs * 6 * 10 * 3


def test_a_convolution_in_groups_costs_a_share(tmp_path):
    turned = helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 2, 1])
    conv = helper.make_node("Conv", ["channels", "w"], ["y"], group=5)
    path = network(tmp_path / "n.onnx", [turned, conv], w=ones(10, 2, 3))
    assert counted(path) == 298 * 10 * 2 * 3


def test_a_product_of_what_was_computed_is_counted_as_well(tmp_path):
    """As in attention, which multiplies every frame with every other."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    assert counted(network(tmp_path / "n.onnx", nodes)) == FRAMES * FRAMES * 10


def test_weights_that_are_stored_as_int8_cost_as_much(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["small", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    small = np.ones((10, 7), np.int8)
    assert counted(network(tmp_path / "n.onnx", nodes, small=small, scale=np.float32(1))) == FRAMES * 10 * 7


def test_parts_add_up_and_what_is_no_product_is_free(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Mul", ["b", "b"], ["c"]),
        helper.make_node("MatMul", ["c", "second"], ["y"]),
    ]
    path = network(tmp_path / "n.onnx", nodes, first=ones(10, 7), second=ones(7, 5))
    assert counted(path) == FRAMES * (10 * 7 + 7 * 5)


def test_counting_leaves_the_file_as_it_was(tmp_path):
    path = network(tmp_path / "n.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], w=ones(10, 7))
    before = path.read_bytes()
    multiply_adds(path, FRONT_END)
    assert path.read_bytes() == before


def test_a_second_of_speech_costs_the_student_less_than_40_million(tmp_path):
    export_network(student.with_statistics(student.build_student()), student.FRONT_END, tmp_path / "ear.onnx")
    found = multiply_adds(tmp_path / "ear.onnx", student.FRONT_END)
    # The lower bound: the weights that are used 25 times a second.
    assert 25 * 900_000 < found < 40_000_000


# Speed


class Clock:
    """A clock on which each interval between readings is a second longer than the one before."""

    def __init__(self) -> None:
        self.now, self.looks = 0.0, 0

    def perf_counter(self) -> float:
        self.looks += 1
        self.now += self.looks
        return self.now


@pytest.mark.parametrize("front_end", [FRONT_END, FrontEnd(bands=10, frames=200)], ids=["free", "padded"])
def test_speed_is_speech_heard_in_the_quickest_of_some_runs(tmp_path, monkeypatch, front_end):
    monkeypatch.setattr(cost, "time", Clock())
    folder = make_tiny_model(tmp_path / "model", front_end=front_end)
    heard_s = 16 * (2 if front_end.padded else SEGMENT_S)
    # The first run takes two seconds on this clock, the next four, and so on.
    assert speed(folder, runs=3) == pytest.approx(heard_s / 2)


def test_a_tiny_model_takes_some_time_and_far_less_than_speech_does(tmp_path):
    assert 1 < speed(make_tiny_model(tmp_path / "model"), runs=2) < float("inf")


def test_the_machine_has_a_name():
    assert cost.machine().strip()
