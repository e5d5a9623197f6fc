"""ONNX export of convolutional Keras networks, layer by layer.

Keras's own exporter goes through TensorFlow and produces three hundred operations for the network of `models/default`,
most of which compute shapes or split dilated convolutions. Written layer by layer, the network has fifty operations,
which ONNX Runtime can convert to the memory layout that its convolutions prefer. The result is a third faster.

All tensors are shaped (batch, channels, 1, time): ONNX Runtime is fast for convolutions over images of height 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.emotion_network import VARIANCE_FLOOR

_OPSET = 17
_ACTIVATIONS = {"linear": None, "relu": "Relu", "sigmoid": "Sigmoid", "softmax": "Softmax"}


def knows(network: Any) -> bool:
    """Whether `write` supports every layer of a Keras network."""
    return all(map(_knows, network.operations))


def _knows(operation: Any) -> bool:
    activation = getattr(operation, "activation", None)
    known = type(operation).__name__ in _WRITERS and (activation is None or activation.__name__ in _ACTIVATIONS)
    return known and getattr(operation, "padding", "same") == "same" and getattr(operation, "groups", 1) == 1


def write(network: Any, path: Path) -> None:
    """Write a Keras network as ONNX: (batch, frames, bands), with any number of frames, to (batch, width)."""
    import onnx
    from onnx import helper

    graph = _Graph()
    for operation in network.operations:
        inputs = operation.input if isinstance(operation.input, list) else [operation.input]
        named = [graph.names[id(tensor)] for tensor in inputs if id(tensor) in graph.names]
        graph.names[id(operation.output)] = _WRITERS[type(operation).__name__](graph, operation, named)
    bands, width = network.input.shape[-1], network.output.shape[-1]
    graph.add("Squeeze", [graph.names[id(network.output)], graph.hold(np.array([2, 3]))], output="probabilities")
    frames = helper.make_tensor_value_info("frames", onnx.TensorProto.FLOAT, ["batch", "frames", bands])
    found = helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["batch", width])
    whole = helper.make_graph(graph.nodes, network.name, [frames], [found], graph.held)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


class _Graph:
    """ONNX nodes and constants written so far, and the ONNX name of each Keras tensor."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.held: list[Any] = []
        self.names: dict[int, str] = {}

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add an operation; return the name of its output."""
        from onnx import helper

        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def hold(self, values: np.ndarray) -> str:
        """Add a constant; return its name. Non-integer values become float32."""
        from onnx import numpy_helper

        name = f"held_{len(self.held)}"
        kept = values if values.dtype.kind == "i" else values.astype(np.float32)
        self.held.append(numpy_helper.from_array(kept, name))
        return name


def _frames(graph: _Graph, _: Any, __: list[str]) -> str:
    turned = graph.add("Transpose", ["frames"], perm=[0, 2, 1])
    return graph.add("Unsqueeze", [turned, graph.hold(np.array([2]))])


def _convolution(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    kernel, bias = (np.asarray(weight) for weight in (layer.kernel, layer.bias))
    held = [graph.hold(kernel.transpose(2, 1, 0)[:, :, None]), graph.hold(bias)]
    attributes: dict[str, Any] = {"strides": [1, *layer.strides], "dilations": [1, *layer.dilation_rate]}
    if layer.strides == (1,):
        around = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        attributes["pads"] = [0, around // 2, 0, around - around // 2]
    else:  # the padding depends on whether the number of frames is even
        attributes["auto_pad"] = "SAME_UPPER"
    return _activated(graph, layer, graph.add("Conv", [*inputs, *held], **attributes))


def _dense(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    kernel, bias = (np.asarray(weight) for weight in (layer.kernel, layer.bias))
    held = [graph.hold(kernel.T[:, :, None, None]), graph.hold(bias)]
    return _activated(graph, layer, graph.add("Conv", [*inputs, *held]))


def _activated(graph: _Graph, layer: Any, name: str) -> str:
    kind = _ACTIVATIONS[layer.activation.__name__]
    if kind is None:
        return name
    return graph.add(kind, [name], axis=1) if kind == "Softmax" else graph.add(kind, [name])


def _normalisation(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    parts = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    held = [graph.hold(np.asarray(part)) for part in parts]
    return graph.add("BatchNormalization", [*inputs, *held], epsilon=layer.epsilon)


def _statistics(graph: _Graph, _: Any, inputs: list[str]) -> str:
    mean = graph.add("GlobalAveragePool", inputs)
    apart = graph.add("Sub", [*inputs, mean])
    variance = graph.add("GlobalAveragePool", [graph.add("Mul", [apart, apart])])
    floored = graph.add("Max", [variance, graph.hold(np.array(VARIANCE_FLOOR, np.float32))])
    return graph.add("Concat", [mean, graph.add("Sqrt", [floored])], axis=1)


def _plainly(kind: str, **attributes: Any) -> Callable[[_Graph, Any, list[str]], str]:
    return lambda graph, _, inputs: graph.add(kind, inputs, **attributes)


#: `Mean` is `keras.ops.mean`, which these networks use over time only.
_WRITERS: dict[str, Callable[[_Graph, Any, list[str]], str]] = {
    "InputLayer": _frames,
    "Conv1D": _convolution,
    "Dense": _dense,
    "BatchNormalization": _normalisation,
    "ReLU": _plainly("Relu"),
    "Mean": _plainly("GlobalAveragePool"),
    "Multiply": _plainly("Mul"),
    "Add": _plainly("Add"),
    "Concatenate": _plainly("Concat", axis=1),
    "Statistics": _statistics,
}
