"""Fusion of operations that Keras exports in pieces into single, much faster operations of ONNX Runtime.

ONNX Runtime fuses the patterns that it knows; Keras's are not among them.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

#: ONNX Runtime's domain for operations that are in no version of ONNX, or in later ones than Keras exports.
RUNTIME = "com.microsoft"
#: Part of the names of normalisation layers, and so of the names of their exported operations.
NORMALISATION = "layer_normalization"


def fuse(source: Path, target: Path, epsilon: float) -> None:
    """Write an ONNX network with fused layer normalisations, GELUs and biases of dense layers.

    Parameters
    ----------
    source : each normalisation layer has NORMALISATION in its name, and normalises the last axis.
    epsilon : what these layers add to the variance.
    """
    import onnx
    from onnx import helper

    network = onnx.load(source)
    for nodes in _normalisations(network):
        _replace(network, nodes, _normalisation(network, nodes, epsilon))
    for nodes in _gelus(network):
        _replace(network, nodes, helper.make_node("Gelu", nodes[0].input[:1], nodes[-1].output, domain=RUNTIME))
    _move_biases(network)
    used = {name for node in network.graph.node for name in node.input}
    for initializer in [initializer for initializer in network.graph.initializer if initializer.name not in used]:
        network.graph.initializer.remove(initializer)
    network.opset_import.append(helper.make_opsetid(RUNTIME, 1))
    onnx.save(network, target)


def _normalisations(network: Any) -> list[list[Any]]:
    """Return the operations of each normalisation layer, in order."""
    layers = defaultdict(list)
    for node in network.graph.node:
        matches = [component for component in node.name.split("/") if NORMALISATION in component]
        if matches:
            layers[node.name[: node.name.index(matches[0]) + len(matches[0])]].append(node)
    return list(layers.values())


def _normalisation(network: Any, nodes: list[Any], epsilon: float) -> Any:
    from onnx import helper, numpy_helper

    initializers = {tensor.name: tensor for tensor in network.graph.initializer}
    produced = {name for node in nodes for name in node.output}
    (source,) = {name for node in nodes for name in node.input} - produced - initializers.keys()
    operands = [(node.op_type, initializers[name]) for node in nodes for name in node.input if name in initializers]
    vectors = [(op_type, tensor) for op_type, tensor in operands if np.prod(tensor.dims) > 1]
    (scale,) = (tensor for op_type, tensor in vectors if op_type == "Mul")
    (offset,) = (tensor for op_type, tensor in vectors if op_type == "Add")
    for tensor in (scale, offset):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).reshape(-1).copy(), tensor.name))
    inputs = [source, scale.name, offset.name]
    return helper.make_node("LayerNormalization", inputs, nodes[-1].output, axis=-1, epsilon=epsilon)


def _gelus(network: Any) -> list[list[Any]]:
    """Return the five operations of each GELU: x / root 2, its error function, that plus 1, x / 2, and the product."""
    producers = {name: node for node in network.graph.node for name in node.output}
    consumers = defaultdict(list)
    for node in network.graph.node:
        for name in node.input:
            consumers[name].append(node)
    groups = []
    for node in network.graph.node:
        if node.op_type == "Erf":
            divided = producers[node.input[0]]
            (incremented,) = consumers[node.output[0]]
            (product,) = consumers[incremented.output[0]]
            (half,) = (producers[name] for name in product.input if name != incremented.output[0])
            groups.append([divided, half, node, incremented, product])
    return groups


def _move_biases(network: Any) -> None:
    """Add the bias of a dense layer before its product is reshaped, so that ONNX Runtime can fuse product and bias."""
    initializers = {initializer.name: initializer for initializer in network.graph.initializer}
    producers = {name: node for node in network.graph.node for name in node.output}
    for node in list(network.graph.node):
        is_bias_add = (
            node.op_type == "Add" and node.input[1] in initializers and len(initializers[node.input[1]].dims) == 1
        )
        reshape = producers.get(node.input[0])
        if not is_bias_add or reshape is None or reshape.op_type != "Reshape" or reshape.input[0] not in producers:
            continue
        product = producers[reshape.input[0]]
        if product.op_type == "MatMul":
            output_name = node.output[0]
            node.input[0], node.output[0] = product.output[0], reshape.output[0]
            reshape.input[0], reshape.output[0] = node.output[0], output_name
            network.graph.node.remove(node)
            network.graph.node.insert(list(network.graph.node).index(reshape), node)


def _replace(network: Any, nodes: list[Any], replacement: Any) -> None:
    """Replace nodes by one node, at the position of the last of them."""
    network.graph.node.insert(list(network.graph.node).index(nodes[-1]), replacement)
    for node in nodes:
        network.graph.node.remove(node)
