"""What is shipped: weights stored as int8, a threshold for `uncertain`, figures and card of the accurate model."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from analyzer.classifier import ModelSettings
from analyzer.emotions import CALL_PRIOR, EMOTIONS, EVEN_PRIOR
from training import accurate_card, whisper
from training.accurate import Recipe
from training.corpora import Clip
from training.quantize import SMALLEST, quantize
from training.ship import Shipped, threshold


def product(path: Path, weights: np.ndarray) -> Path:
    """A network of one matrix product."""
    rows, columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def run(path: Path, inputs: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": inputs})[0]


def test_large_weights_are_stored_in_a_quarter_of_the_bytes_and_give_nearly_the_same(tmp_path):
    random = np.random.default_rng(0)
    weights = random.normal(size=(400, 300)).astype(np.float32) * random.uniform(0.01, 10, 300).astype(np.float32)
    inputs = random.normal(size=(5, 400)).astype(np.float32)
    exact = product(tmp_path / "exact.onnx", weights)
    quantize(exact, tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").stat().st_size < exact.stat().st_size / 3.5
    error = run(tmp_path / "small.onnx", inputs) - run(exact, inputs)
    # A step is 1/127 of the largest weight of a column, and errors add up as the root of their number.
    assert np.abs(error).max() < (np.abs(weights).max(axis=0) / 254 * np.sqrt(400) * 4).max()
    assert np.abs(error).max() > 0


def test_small_weights_stay_as_they_are(tmp_path):
    weights = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    assert weights.size < SMALLEST
    exact = product(tmp_path / "exact.onnx", weights)
    quantize(exact, tmp_path / "small.onnx")
    inputs = np.ones((2, 100), np.float32)
    assert np.array_equal(run(tmp_path / "small.onnx", inputs), run(exact, inputs))


def rows(sure: float, right: bool) -> pd.DataFrame:
    """One clip of each emotion, heard with a certainty; the rest of the probability is spread evenly."""
    table = []
    for k, emotion in enumerate(EMOTIONS):
        heard = np.full(8, (1 - sure) / 7)
        heard[k if right else (k + 1) % 8] = sure
        table.append({"corpus": "ravdess", "condition": "telephone", "fold": "1", "seed": 1, "emotion": emotion,
                      **dict(zip(EMOTIONS, heard, strict=True)), "other": 0.1})  # fmt: skip
    return pd.DataFrame(table)


def test_who_is_always_right_is_hardly_ever_uncertain_and_who_is_always_wrong_nearly_always():
    assert threshold(rows(0.95, right=True)) == 0.3
    assert threshold(rows(0.95, right=False)) == 0.9


def test_the_threshold_is_the_lowest_at_which_four_of_five_are_right():
    surely_right, doubtful = rows(0.99, right=True), rows(0.3, right=False)
    level = threshold(pd.concat([surely_right, doubtful]))
    assert 0.3 < level < 0.9


@pytest.fixture
def shipped() -> Shipped:
    settings = ModelSettings("accurate", "network.onnx", whisper.FRONT_END, EVEN_PRIOR, CALL_PRIOR, 0.5, True)
    scored = pd.concat([rows(0.9, right=True), rows(0.9, right=False).assign(fold="2")])
    read = rows(0.9, right=True).assign(corpus="neutral-speech", emotion="neutral")
    left_out = rows(0.9, right=True).assign(corpus="nemo", fold="nemo")
    music = rows(0.9, right=True).assign(corpus="music", emotion="other", other=0.9)
    learned = (Clip(Path("a.wav"), "happy", "ravdess-01", "ravdess"), Clip(Path("b.flac"), "other", "music-1", "music"))
    return Shipped(Recipe(), pd.concat([scored, read, left_out, music]), learned, settings, 10, 0.02, 0.99)


def test_the_figures_of_the_card_are_counted_from_the_rows(shipped):
    found = accurate_card.figures(shipped)
    assert (found["uar_by_fold"], found["uar"]) == ({"1": 1.0, "2": 0.0}, 0.5)
    assert (found["other"], found["lost"]) == (1.0, 0.0)
    assert found["false_alarms_even"] == 0.5
    assert found["left_out"] == 1.0


def test_the_card_states_score_licences_and_command(shipped):
    text = accurate_card.card(shipped)
    assert "(UAR) 0.500 through the telephone" in text
    assert "By fold: 1.000 0.000" in text
    assert "CC BY-NC-SA 4.0" in text
    assert "--recipe accurate" in text
    assert "{" not in text
