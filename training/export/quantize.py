"""Quantisation of a network's large matrix products to int8: a quarter of the bytes and a third of the time.

Weights are rounded once, with the least error on calibration inputs. Activations are quantised per segment, by the
segment's own largest value, so that no segment's result depends on another's.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: Weights with fewer elements, such as those of a head, stay in float.
SMALLEST = 100_000
#: Weights are integers from -LARGEST to LARGEST: two products of them with 255 fit into 16 bits, the size in which CPUs
#: without VNNI add them. With 127 such CPUs overflow, and give other emotions than those with VNNI.
LARGEST = 64
#: The same for weights that are converted to float before use.
LARGEST_STORED = 127
#: SmoothQuant migration strength alpha: how much of the unevenness of inputs is moved to the weights (Xiao et al.,
#: 2022).
SMOOTHING_STRENGTH = 0.7
#: Added to the diagonal of the second moments of inputs, as a share of its mean. The lower, the more the calibration
#: segments count.
DAMPING = 0.01
#: Number of inputs that are rounded before their errors are passed on to all later ones at once.
_BLOCK = 128


def quantize(source: Path, target: Path, segments: Sequence[np.ndarray], sensitive: str = "(?!)") -> None:
    """Write an ONNX network whose products with large matrices are computed in int8.

    First, the inputs of a product are made as even as the weights allow (SmoothQuant; Xiao et al., 2022). Then its
    weights are rounded one input after the other, and the error of each rounding is compensated by the weights of the
    later inputs (GPTQ; Frantar et al., 2022).

    Parameters
    ----------
    segments : calibration segments, as the network takes them, each shaped (frames, bands).
    sensitive : a regular expression; products whose names contain a match are computed in float, with weights stored as
        int8.
    """
    import onnx
    from onnx import numpy_helper

    network = onnx.load(source)
    initializers = {initializer.name: initializer for initializer in network.graph.initializer}
    products = [
        node
        for node in network.graph.node
        if node.op_type == "MatMul"
        and node.input[1] in initializers
        and np.prod(initializers[node.input[1]].dims) >= SMALLEST
    ]
    for node in list(network.graph.node):
        if node.op_type == "Conv" and np.prod(initializers[node.input[1]].dims) >= SMALLEST:
            _store_convolution(network, initializers[node.input[1]])
    statistics = _activation_statistics(network, [node.input[0] for node in products], segments)
    for node in products:
        largest, moments = statistics[node.input[0]]
        if re.search(sensitive, node.name):
            weights = initializers[node.input[1]]
            integers, scale = rounded(numpy_helper.to_array(weights), moments, LARGEST_STORED)
            _store(network, weights, integers, scale, axis=1)
        else:
            _compute_in_int8(network, node, initializers[node.input[1]], largest, moments)
    onnx.save(network, target)


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return `count` evenly spaced items, or all if there are fewer: for calibration."""
    return [items[round(k)] for k in np.linspace(0, len(items) - 1, min(count, len(items)))]


def _activation_statistics(
    network: Any, names: Sequence[str], segments: Sequence[np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return largest absolute values, shaped (width,), and second moments, shaped (width, width), of named tensors."""
    import onnx
    import onnxruntime
    from onnx import helper

    if not names:
        return {}
    instrumented = onnx.ModelProto()
    instrumented.CopyFrom(network)
    instrumented.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names))
    session = onnxruntime.InferenceSession(instrumented.SerializeToString(), providers=["CPUExecutionProvider"])
    (frames,) = (tensor.name for tensor in session.get_inputs())
    largest: dict[str, Any] = dict.fromkeys(names, 0)
    moments: dict[str, Any] = dict.fromkeys(names, 0)
    for segment in segments:
        for name, values in zip(largest, session.run(list(largest), {frames: segment[None]}), strict=True):
            rows = values.reshape(-1, values.shape[-1])
            largest[name] = np.maximum(largest[name], np.abs(rows).max(axis=0))
            moments[name] = moments[name] + (rows.T @ rows).astype(np.float64)
    return {name: (largest[name], moments[name]) for name in names}


def _store_convolution(network: Any, initializer: Any) -> None:
    """Replace the weights of a convolution by int8 weights, with one scale per output."""
    from onnx import numpy_helper

    weights = numpy_helper.to_array(initializer)
    scale = np.maximum(np.abs(weights).max(axis=tuple(range(1, weights.ndim))) / LARGEST_STORED, 1e-12)
    integers = np.rint(weights / scale.reshape(-1, *[1] * (weights.ndim - 1))).astype(np.int8)
    _store(network, initializer, integers, scale.astype(np.float32), axis=0)


def _store(network: Any, initializer: Any, integers: np.ndarray, scale: np.ndarray, axis: int) -> None:
    """Replace weights by int8 weights that are converted to float before use."""
    from onnx import helper, numpy_helper

    names = [f"{initializer.name}_int8", f"{initializer.name}_scale"]
    network.graph.initializer.remove(initializer)
    network.graph.initializer.extend(
        numpy_helper.from_array(array, name) for array, name in zip((integers, scale), names, strict=True)
    )
    network.graph.node.insert(0, helper.make_node("DequantizeLinear", names, [initializer.name], axis=axis))


def _compute_in_int8(network: Any, node: Any, initializer: Any, largest: np.ndarray, moments: np.ndarray) -> None:
    """Replace a matrix product by integer operations."""
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.to_array(initializer)
    smoothing = np.maximum(largest, 1e-5) ** SMOOTHING_STRENGTH / np.maximum(np.abs(weights).max(axis=1), 1e-5) ** (
        1 - SMOOTHING_STRENGTH
    )
    integers, scale = rounded(weights * smoothing[:, None], moments / np.outer(smoothing, smoothing))
    constants = {"evening": (1 / smoothing).astype(np.float32), "int8": integers, "scale": scale}
    names = {
        suffix: f"{node.output[0]}_{suffix}"
        for suffix in (*constants, "even", "uint8", "step", "zero", "sum", "sums", "size")
    }
    operations = [
        helper.make_node("Mul", [node.input[0], names["evening"]], [names["even"]]),
        helper.make_node("DynamicQuantizeLinear", [names["even"]], [names["uint8"], names["step"], names["zero"]]),
        helper.make_node("MatMulInteger", [names["uint8"], names["int8"], names["zero"]], [names["sum"]]),
        helper.make_node("Cast", [names["sum"]], [names["sums"]], to=TensorProto.FLOAT),
        helper.make_node("Mul", [names["step"], names["scale"]], [names["size"]]),
        helper.make_node("Mul", [names["sums"], names["size"]], list(node.output)),
    ]
    index = list(network.graph.node).index(node)
    network.graph.node.remove(node)
    for operation in reversed(operations):
        network.graph.node.insert(index, operation)
    network.graph.initializer.remove(initializer)
    network.graph.initializer.extend(
        numpy_helper.from_array(array, names[suffix]) for suffix, array in constants.items()
    )


def rounded(weights: np.ndarray, moments: np.ndarray, largest: int = LARGEST) -> tuple[np.ndarray, np.ndarray]:
    """Round weights to integers with one step size per column, with the least error on inputs with these moments.

    Parameters
    ----------
    weights, moments : shaped (inputs, outputs) and (inputs, inputs).
    largest : largest integer, at most 127.

    Returns
    -------
    int8 weights of the same shape, and step sizes, float32, shaped (outputs,).
    """
    from scipy.linalg import cholesky, inv

    scale = np.maximum(np.abs(weights).max(axis=0) / largest, 1e-12)
    count = len(weights)
    damped = moments + np.eye(count) * max(DAMPING * np.trace(moments) / count, 1e-12)
    factor = cholesky(inv(damped))
    remaining, integers = weights.astype(np.float64), np.empty(weights.shape, np.int8)
    for start in range(0, count, _BLOCK):
        end = min(start + _BLOCK, count)
        errors = np.empty((end - start, weights.shape[1]))
        for row in range(start, end):
            integers[row] = np.clip(np.rint(remaining[row] / scale), -largest, largest)
            errors[row - start] = (remaining[row] - integers[row] * scale) / factor[row, row]
            remaining[row + 1 : end] -= np.outer(factor[row, row + 1 : end], errors[row - start])
        remaining[end:] -= factor[start:end, end:].T @ errors
    return integers, scale.astype(np.float32)
