"""Training: reproducible, with files that can be used on their own."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from analyzer.emotions import CALL_PRIOR, EMOTIONS
from analyzer.errors import CannotWork
from analyzer.model.classifier import SETTINGS_FILE, Classifier
from analyzer.speech.features import FrontEnd
from training.data import corpora, splits

MODEL_FILES = {"card.md", "classifier.json", "metrics.json", "model.json", "model.weights.h5", "network.onnx"}
REPORT_FILES = {"confusion_matrix.png", "learning_curves.png", "per_class.csv"}

REBUILD = """
import sys, pathlib, numpy, keras
folder = pathlib.Path(sys.argv[1])
network = keras.models.model_from_json((folder / "model.json").read_text())
network.load_weights(folder / "model.weights.h5")
numpy.save(sys.argv[3], network.predict(numpy.load(sys.argv[2]), verbose=0))
"""


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(1).standard_normal((20, 300, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def keras_output(tiny_model, inputs):
    from training.export.model_files import read_network

    return read_network(tiny_model.folder).predict(inputs, verbose=0)


def test_fit_writes_all_files(tiny_model):
    assert {path.name for path in tiny_model.folder.iterdir()} == MODEL_FILES
    assert {path.name for path in tiny_model.reports.iterdir()} == REPORT_FILES
    assert [path.name for path in tiny_model.folder.parent.iterdir()] == ["tiny"]


def test_fit_prints_progress_and_results(tiny_model):
    assert "epoch 2/2: accuracy" in tiny_model.stderr
    assert "unseen speakers: UAR" in tiny_model.stderr
    assert "card.md" in tiny_model.stdout and "confusion_matrix.png" in tiny_model.stdout


def test_analyzer_loads_the_model(tiny_model, inputs):
    classifier = Classifier(tiny_model.folder)
    probabilities = classifier.probabilities(inputs)
    assert probabilities.shape == (20, 8)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert classifier.settings.name == "tiny"
    assert classifier.settings.call_prior == CALL_PRIOR
    assert classifier.settings.front_end == FrontEnd()


def test_sensitivities_are_generic(tiny_model):
    settings = json.loads((tiny_model.folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    assert {name: point["negative_from"] for name, point in settings["sensitivities"].items()} == {
        "low": 0.65,
        "normal": 0.5,
        "high": 0.35,
    }
    assert {point[key] for point in settings["sensitivities"].values() for key in ("found", "false")} == {None}
    assert (settings["business_use"], settings["licence"]) == (None, "not stated")


def test_training_prior_weights_speakers_equally(tiny_model):
    prior = Classifier(tiny_model.folder).settings.training_prior
    actor_share = 2 / 16  # two sentences per emotion; the two speakers of TESS have no calm
    assert prior[EMOTIONS.index("calm")] == pytest.approx(4 * actor_share / 6, abs=0.03)


def test_json_and_weights_rebuild_network(tiny_model, inputs, keras_output, tmp_path):
    for name in ("model.json", "model.weights.h5"):
        shutil.copy(tiny_model.folder / name, tmp_path)
    np.save(tmp_path / "in.npy", inputs)
    subprocess.run([sys.executable, "-c", REBUILD, tmp_path, tmp_path / "in.npy", tmp_path / "out.npy"], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), keras_output, atol=1e-6)


@pytest.mark.parametrize("count", [1, 16, 20])
def test_onnx_network_equals_keras(tiny_model, inputs, keras_output, count):
    import onnxruntime

    path = tiny_model.folder / "network.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: inputs[:count]})
    assert np.abs(outputs - keras_output[:count]).max() < 1e-4


@pytest.mark.slow
def test_training_is_reproducible(tiny_ravdess):
    from training.baseline.fit import FitOptions, fit_network
    from training.data.dataset import load_split

    split = splits.split_by_speaker(corpora.read_ravdess(tiny_ravdess), 1)
    subset = splits.Split(split.training[::3], split.validation[::2], split.test[:1])
    examples = load_split(subset, FrontEnd())
    first, again, other = (
        fit_network(examples, FrontEnd(), FitOptions(epochs=1, batch=8, seed=seed)).network.get_weights()
        for seed in (7, 7, 8)
    )
    assert all(np.array_equal(left, right) for left, right in zip(first, again, strict=True))
    assert not all(np.array_equal(left, right) for left, right in zip(first, other, strict=True))


def test_best_validation_epoch_is_kept(tiny_model):
    history = tiny_model.metrics["history"]["val_accuracy"]
    assert tiny_model.metrics["kept_epoch"] == 1 + history.index(max(history))
    assert tiny_model.metrics["validation"]["accuracy"] == pytest.approx(max(history), abs=1e-4)


def test_metrics_contain_speakers_but_no_paths(tiny_model):
    metrics = tiny_model.metrics
    assert metrics["test"]["speakers"] == ["ravdess-01"]
    assert metrics["validation"]["speakers"] == ["ravdess-04"]
    assert set(metrics["training"]["speakers"]) >= {"tess-oaf", "tess-yaf", "ravdess-02"}
    assert (metrics["seed"], metrics["epochs"], metrics["batch"]) == (3, 2, 16)
    assert metrics["multiply_adds_per_input"] < 40e6 and metrics["weights"] < 1e6
    texts = (tiny_model.folder / "card.md").read_text() + json.dumps(metrics)
    assert str(tiny_model.folder.parent) not in texts


def test_card_states_licences_and_scores(tiny_model):
    card = (tiny_model.folder / "card.md").read_text()
    for text in ("CC BY-NC-SA 4.0", "CC BY-NC-ND 4.0", "Non-commercial", "tested on: ravdess-01", "no information"):
        assert text in card
    assert f"(UAR) {tiny_model.metrics['test']['uar']:.3f} on unseen speakers" in card
    assert "--ravdess RAVDESS --tess TESS --epochs 2 --batch 16 --seed 3 -o models/tiny" in card


def test_per_class_report_covers_both_sides(tiny_model):
    with (tiny_model.reports / "per_class.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {(row["side"], row["emotion"]) for row in rows} >= {
        (side, emotion) for side in ("training", "test") for emotion in EMOTIONS
    }
    assert all(row["support"] == "2" for row in rows if row["side"] == "test")


def test_pictures_are_png_files(tiny_model):
    for name in ("confusion_matrix.png", "learning_curves.png"):
        assert (tiny_model.reports / name).read_bytes().startswith(b"\x89PNG")


def test_export_recreates_onnx_network(tiny_model, tmp_path, capsys):
    from training.cli import main

    folder = shutil.copytree(tiny_model.folder, tmp_path / "copy")
    (folder / "network.onnx").unlink()
    assert main(["export", str(folder)]) == 0
    assert "network.onnx" in capsys.readouterr().out
    inputs = np.zeros((1, 300, 40), np.float32)
    np.testing.assert_allclose(
        Classifier(folder).probabilities(inputs), Classifier(tiny_model.folder).probabilities(inputs), atol=1e-6
    )


def test_wrong_export_keeps_old_network(tiny_model, tmp_path, monkeypatch):
    from training.export import model_files

    folder = shutil.copytree(tiny_model.folder, tmp_path / "copy")
    before = (folder / "network.onnx").read_bytes()
    read_original = model_files.read_network

    def wrong_network(path):
        network = read_original(path)
        network.set_weights([weights + 0.1 for weights in network.get_weights()])
        return network

    monkeypatch.setattr(
        model_files, "read_network", lambda path: wrong_network(path) if path == folder else read_original(path)
    )
    with pytest.raises(CannotWork, match="away from Keras's"):
        model_files.re_export(folder)
    assert (folder / "network.onnx").read_bytes() == before
