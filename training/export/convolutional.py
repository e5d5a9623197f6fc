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

from training.export.pooling import VARIANCE_FLOOR

_OPSET = 17
_ACTIVATIONS = {"linear": None, "relu": "Relu", "sigmoid": "Sigmoid", "softmax": "Softmax"}


def supports(network: Any) -> bool:
    """Whether `write` supports every layer of a Keras network."""
    return all(map(_is_supported, network.operations))


def _is_supported(operation: Any) -> bool:
    activation = getattr(operation, "activation", None)
    supported = type(operation).__name__ in _WRITERS and (activation is None or activation.__name__ in _ACTIVATIONS)
    return supported and getattr(operation, "padding", "same") == "same" and getattr(operation, "groups", 1) == 1


def write(network: Any, path: Path) -> None:
    """Write a Keras network as ONNX: (batch, frames, bands), with any number of frames, to (batch, width)."""
    import onnx
    from onnx import helper

    graph = _Graph()
    for operation in network.operations:
        inputs = operation.input if isinstance(operation.input, list) else [operation.input]
        input_names = [graph.names[id(tensor)] for tensor in inputs if id(tensor) in graph.names]
        graph.names[id(operation.output)] = _WRITERS[type(operation).__name__](graph, operation, input_names)
    bands, width = network.input.shape[-1], network.output.shape[-1]
    graph.add("Squeeze", [graph.names[id(network.output)], graph.hold(np.array([2, 3]))], output="probabilities")
    frames = helper.make_tensor_value_info("frames", onnx.TensorProto.FLOAT, ["batch", "frames", bands])
    output = helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["batch", width])
    onnx_graph = helper.make_graph(graph.nodes, network.name, [frames], [output], graph.held)
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
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
        array = values if values.dtype.kind == "i" else values.astype(np.float32)
        self.held.append(numpy_helper.from_array(array, name))
        return name


def _add_input(graph: _Graph, _: Any, __: list[str]) -> str:
    transposed = graph.add("Transpose", ["frames"], perm=[0, 2, 1])
    return graph.add("Unsqueeze", [transposed, graph.hold(np.array([2]))])


def _add_convolution(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    kernel, bias = (np.asarray(weight) for weight in (layer.kernel, layer.bias))
    constants = [graph.hold(kernel.transpose(2, 1, 0)[:, :, None]), graph.hold(bias)]
    attributes: dict[str, Any] = {"strides": [1, *layer.strides], "dilations": [1, *layer.dilation_rate]}
    if layer.strides == (1,):
        padding = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        attributes["pads"] = [0, padding // 2, 0, padding - padding // 2]
    else:  # the padding depends on whether the number of frames is even
        attributes["auto_pad"] = "SAME_UPPER"
    return _add_activation(graph, layer, graph.add("Conv", [*inputs, *constants], **attributes))


def _add_dense(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    kernel, bias = (np.asarray(weight) for weight in (layer.kernel, layer.bias))
    constants = [graph.hold(kernel.T[:, :, None, None]), graph.hold(bias)]
    return _add_activation(graph, layer, graph.add("Conv", [*inputs, *constants]))


def _add_activation(graph: _Graph, layer: Any, name: str) -> str:
    kind = _ACTIVATIONS[layer.activation.__name__]
    if kind is None:
        return name
    return graph.add(kind, [name], axis=1) if kind == "Softmax" else graph.add(kind, [name])


def _add_normalisation(graph: _Graph, layer: Any, inputs: list[str]) -> str:
    parameters = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    constants = [graph.hold(np.asarray(parameter)) for parameter in parameters]
    return graph.add("BatchNormalization", [*inputs, *constants], epsilon=layer.epsilon)


def _add_statistics(graph: _Graph, _: Any, inputs: list[str]) -> str:
    mean = graph.add("GlobalAveragePool", inputs)
    deviation = graph.add("Sub", [*inputs, mean])
    variance = graph.add("GlobalAveragePool", [graph.add("Mul", [deviation, deviation])])
    clipped = graph.add("Max", [variance, graph.hold(np.array(VARIANCE_FLOOR, np.float32))])
    return graph.add("Concat", [mean, graph.add("Sqrt", [clipped])], axis=1)


def _simple_operation(kind: str, **attributes: Any) -> Callable[[_Graph, Any, list[str]], str]:
    return lambda graph, _, inputs: graph.add(kind, inputs, **attributes)


#: `Mean` is `keras.ops.mean`, which these networks use over time only.
_WRITERS: dict[str, Callable[[_Graph, Any, list[str]], str]] = {
    "InputLayer": _add_input,
    "Conv1D": _add_convolution,
    "Dense": _add_dense,
    "BatchNormalization": _add_normalisation,
    "ReLU": _simple_operation("Relu"),
    "Mean": _simple_operation("GlobalAveragePool"),
    "Multiply": _simple_operation("Mul"),
    "Add": _simple_operation("Add"),
    "Concatenate": _simple_operation("Concat", axis=1),
    "Statistics": _add_statistics,
}
