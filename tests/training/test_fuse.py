"""Fusing operations of networks that Keras exports: the same results from fewer operations."""

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from analyzer.speech.features import FrontEnd
from training.encoders.whisper import gelu
from training.export.fuse import fuse
from training.export.model_files import export_network

FRONT_END = FrontEnd(bands=12, frames=200, padded=False)
EPSILON = 0.01
KINDS = ("LayerNormalization", "Gelu", "Erf", "Sqrt")


@pytest.fixture
def exact(tmp_path) -> Path:
    """A network with two layer normalisations, and two dense layers with GELU."""
    keras.utils.set_random_seed(1)
    frames = layers.Input((None, FRONT_END.bands))
    hidden = frames
    for name in ("one", "two"):
        hidden = layers.LayerNormalization(epsilon=EPSILON, name=f"layer_normalization_{name}")(hidden)
        hidden = hidden + layers.Dense(FRONT_END.bands, activation=gelu, bias_initializer="normal")(hidden)
    network = keras.Model(frames, layers.GlobalAveragePooling1D()(hidden))
    for layer in network.layers:
        if isinstance(layer, layers.LayerNormalization):
            layer.set_weights([np.linspace(0.5, 2, FRONT_END.bands), np.linspace(-1, 1, FRONT_END.bands)])
    export_network(network, FRONT_END, tmp_path / "exact.onnx")
    return tmp_path / "exact.onnx"


def run(path: Path, frames: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: frames})[0]


def operations(path: Path) -> Counter:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_normalisation_and_gelu_are_fused(exact, tmp_path):
    fuse(exact, tmp_path / "fused.onnx", EPSILON)
    assert [operations(exact)[kind] for kind in KINDS] == [0, 0, 2, 2]
    assert [operations(tmp_path / "fused.onnx")[kind] for kind in KINDS] == [2, 2, 0, 0]


@pytest.mark.parametrize("count", [1, 7, 200])
def test_fused_network_has_same_outputs(exact, tmp_path, count):
    fuse(exact, tmp_path / "fused.onnx", EPSILON)
    frames = np.random.default_rng(count).normal(size=(1, count, FRONT_END.bands)).astype(np.float32)
    expected = run(exact, frames)
    assert np.abs(expected).max() > 0.1
    assert np.abs(run(tmp_path / "fused.onnx", frames) - expected).max() < 1e-5


def test_offsets_follow_their_product(exact, tmp_path):
    fuse(exact, tmp_path / "fused.onnx", EPSILON)
    nodes = onnx.load(tmp_path / "fused.onnx").graph.node
    users = {name: node.op_type for node in nodes for name in node.input}
    products = [node for node in nodes if node.op_type == "MatMul"]
    assert len(products) == 2
    assert all(users[node.output[0]] == "Add" for node in products)


def test_no_unused_weights_remain(exact, tmp_path):
    fuse(exact, tmp_path / "fused.onnx", EPSILON)
    graph = onnx.load(tmp_path / "fused.onnx").graph
    assert {tensor.name for tensor in graph.initializer} <= {name for node in graph.node for name in node.input}
