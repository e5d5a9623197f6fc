"""A small, deterministic model: eight random projections of a segment's mean spectrum."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from analyzer.emotions import CALL_PRIOR
from analyzer.model.classifier import SETTINGS_FILE, ModelSettings, Sensitivities, Sensitivity
from analyzer.speech.features import FrontEnd

#: Sensitivities so far apart that hardly any segment is negative at `low`, and nearly all are at `high`.
EXTREMES = Sensitivities(Sensitivity(0.995), Sensitivity(0.5, 0.51, 0.05), Sensitivity(0.005))


def make_tiny_model(
    folder: Path,
    *,
    name: str = "tiny",
    seed: int = 0,
    outputs: int = 8,
    uncertain_below: float = 0.4,
    front_end: FrontEnd | None = None,
    **settings: Any,
) -> Path:
    """Write the folder of a model; another seed gives another model.

    The model accepts segments of any length if the front end does not pad. `settings` are further fields of
    ModelSettings.
    """
    front_end = front_end or FrontEnd()
    time = front_end.frames if front_end.padded else "time"
    weights = np.random.default_rng(seed).normal(size=(front_end.bands, outputs)).astype(np.float32) * 2
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["sums"]),
            helper.make_node("Softmax", ["sums"], ["y"], axis=-1),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", time, front_end.bands])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(weights, "weights")],
    )
    folder.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "network.onnx")
    settings = {"call_prior": CALL_PRIOR, "has_non_speech_output": outputs == 9, **settings}
    written = ModelSettings(name, "network.onnx", front_end, (0.125,) * 8, uncertain_below=uncertain_below, **settings)
    (folder / SETTINGS_FILE).write_text(written.to_json(), encoding="utf-8")
    return folder
