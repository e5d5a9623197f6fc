"""Cost of a deployable network: multiply-adds, counted, and speed on one core, measured."""

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.model.classifier import BATCH, Classifier
from analyzer.speech.features import FrontEnd

_PRODUCTS = ("Conv", "MatMul", "MatMulInteger", "Gemm")
#: Segment length in seconds for both; the speed of a model with a padded front end is measured on full inputs instead.
SEGMENT_S = 3.0


def multiply_adds(network: Path, front_end: FrontEnd) -> int:
    """Return the multiply-adds per second of speech in the convolutions and matrix products of an ONNX network."""
    import onnx

    model = onnx.load(network)
    nodes = [node for node in model.graph.node if node.op_type in _PRODUCTS]
    frames = round(SEGMENT_S * front_end.rate / front_end.hop)
    shapes = _shapes(model, np.zeros((1, frames, front_end.bands), np.float32))
    shapes |= {initializer.name: tuple(initializer.dims) for initializer in model.graph.initializer}
    total = 0
    for node in nodes:
        outputs, weights = int(np.prod(shapes[node.output[0]])), shapes[node.input[1]]
        # A convolution kernel is shaped (outputs, inputs, width), a matrix (inputs, outputs).
        total += outputs * (int(np.prod(weights[1:])) if node.op_type == "Conv" else shapes[node.input[0]][-1])
    return round(total / SEGMENT_S)


def _shapes(model: Any, frames: np.ndarray) -> dict[str, tuple[int, ...]]:
    """Return the shape of the input and of every tensor that a network computes from `frames`, by name."""
    import onnxruntime
    from onnx import helper

    shapes = {model.graph.input[0].name: frames.shape}
    names = [name for node in model.graph.node for name in node.output if name]
    existing = {output.name for output in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in existing)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results = session.run(names, {model.graph.input[0].name: frames})
    return shapes | {name: np.shape(result) for name, result in zip(names, results, strict=True)}


def speed(folder: Path, runs: int = 10) -> float:
    """Measure the speed of the model in `folder` on one core, in times real time; return the best of `runs` runs."""
    classifier = Classifier(folder)
    front_end = classifier.settings.front_end
    frames = front_end.frames if front_end.padded else round(SEGMENT_S * front_end.rate / front_end.hop)
    segment = np.random.default_rng(0).standard_normal((frames, front_end.bands)).astype(np.float32)
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        classifier.probabilities([segment] * BATCH)
        seconds.append(time.perf_counter() - started)
    return BATCH * frames * front_end.hop / front_end.rate / min(seconds)


def machine() -> str:
    """Return the processor of this machine, and whether it has VNNI, which determines the speed of int8."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {name.strip(): value.split() for name, _, value in (line.partition(":") for line in lines)}
    vnni = " with VNNI" if {"avx512_vnni", "avx_vnni"} & set(fields.get("flags", ())) else ""
    return (" ".join(fields.get("model name", ())) or platform.machine()) + vnni
