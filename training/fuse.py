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
    for pieces in _normalisations(network):
        _replace(network, pieces, _normalisation(network, pieces, epsilon))
    for pieces in _gelus(network):
        _replace(network, pieces, helper.make_node("Gelu", pieces[0].input[:1], pieces[-1].output, domain=RUNTIME))
    _add_at_once(network)
    used = {name for node in network.graph.node for name in node.input}
    for one in [one for one in network.graph.initializer if one.name not in used]:
        network.graph.initializer.remove(one)
    network.opset_import.append(helper.make_opsetid(RUNTIME, 1))
    onnx.save(network, target)


def _normalisations(network: Any) -> list[list[Any]]:
    """Return the operations of each normalisation layer, in order."""
    layers = defaultdict(list)
    for node in network.graph.node:
        place = [part for part in node.name.split("/") if NORMALISATION in part]
        if place:
            layers[node.name[: node.name.index(place[0]) + len(place[0])]].append(node)
    return list(layers.values())


def _normalisation(network: Any, pieces: list[Any], epsilon: float) -> Any:
    from onnx import helper, numpy_helper

    held = {one.name: one for one in network.graph.initializer}
    made = {name for node in pieces for name in node.output}
    (source,) = {name for node in pieces for name in node.input} - made - held.keys()
    operands = [(node.op_type, held[name]) for node in pieces for name in node.input if name in held]
    wide = [(kind, one) for kind, one in operands if np.prod(one.dims) > 1]
    (scale,) = (one for kind, one in wide if kind == "Mul")
    (offset,) = (one for kind, one in wide if kind == "Add")
    for one in (scale, offset):
        one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one).reshape(-1).copy(), one.name))
    inputs = [source, scale.name, offset.name]
    return helper.make_node("LayerNormalization", inputs, pieces[-1].output, axis=-1, epsilon=epsilon)


def _gelus(network: Any) -> list[list[Any]]:
    """Return the five operations of each GELU: x / root 2, its error function, that plus 1, x / 2, and the product."""
    makers = {name: node for node in network.graph.node for name in node.output}
    users = defaultdict(list)
    for node in network.graph.node:
        for name in node.input:
            users[name].append(node)
    found = []
    for node in network.graph.node:
        if node.op_type == "Erf":
            divided = makers[node.input[0]]
            (raised,) = users[node.output[0]]
            (product,) = users[raised.output[0]]
            (half,) = (makers[name] for name in product.input if name != raised.output[0])
            found.append([divided, half, node, raised, product])
    return found


def _add_at_once(network: Any) -> None:
    """Add the bias of a dense layer before its product is reshaped, so that ONNX Runtime can fuse product and bias."""
    held = {one.name: one for one in network.graph.initializer}
    makers = {name: node for node in network.graph.node for name in node.output}
    for node in list(network.graph.node):
        added = node.op_type == "Add" and node.input[1] in held and len(held[node.input[1]].dims) == 1
        shaped = makers.get(node.input[0])
        if not added or shaped is None or shaped.op_type != "Reshape" or shaped.input[0] not in makers:
            continue
        product = makers[shaped.input[0]]
        if product.op_type == "MatMul":
            given = node.output[0]
            node.input[0], node.output[0] = product.output[0], shaped.output[0]
            shaped.input[0], shaped.output[0] = node.output[0], given
            network.graph.node.remove(node)
            network.graph.node.insert(list(network.graph.node).index(shaped), node)


def _replace(network: Any, pieces: list[Any], whole: Any) -> None:
    """Replace the pieces by `whole`, at the position of the last one."""
    network.graph.node.insert(list(network.graph.node).index(pieces[-1]), whole)
    for node in pieces:
        network.graph.node.remove(node)
