"""Training is reproducible, and its results can be used on their own."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from analyzer.classifier import SETTINGS_FILE, Classifier
from analyzer.emotions import CALL_PRIOR, EMOTIONS
from analyzer.errors import CannotWork
from analyzer.features import FrontEnd
from training import corpora, splits

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
    from training.export import read_network

    return read_network(tiny_model.folder).predict(inputs, verbose=0)


def test_a_fit_leaves_every_file_that_it_promises_and_nothing_else(tiny_model):
    assert {path.name for path in tiny_model.folder.iterdir()} == MODEL_FILES
    assert {path.name for path in tiny_model.reports.iterdir()} == REPORT_FILES
    assert [path.name for path in tiny_model.folder.parent.iterdir()] == ["tiny"]


def test_a_fit_says_how_far_it_is_and_where_to_look(tiny_model):
    assert "epoch 2/2: accuracy" in tiny_model.stderr
    assert "unseen speakers: UAR" in tiny_model.stderr
    assert "card.md" in tiny_model.stdout and "confusion_matrix.png" in tiny_model.stdout


def test_the_analyzer_loads_the_model_and_hears_eight_emotions(tiny_model, inputs):
    classifier = Classifier(tiny_model.folder)
    found = classifier.probabilities(inputs)
    assert found.shape == (20, 8)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert classifier.settings.name == "tiny"
    assert classifier.settings.call_prior == CALL_PRIOR
    assert classifier.settings.front_end == FrontEnd()


def test_its_sensitivities_are_generic_and_its_terms_are_left_to_whoever_trained_it(tiny_model):
    written = json.loads((tiny_model.folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    assert {name: point["negative_from"] for name, point in written["sensitivities"].items()} == {
        "low": 0.65,
        "normal": 0.5,
        "high": 0.35,
    }
    assert {point[key] for point in written["sensitivities"].values() for key in ("found", "false")} == {None}
    assert (written["business_use"], written["licence"]) == (None, "not stated")


def test_the_training_prior_is_the_shares_of_the_emotions_when_every_speaker_is_heard_equally_often(tiny_model):
    prior = Classifier(tiny_model.folder).settings.training_prior
    of_an_actor = 2 / 16  # each emotion in two sentences; TESS's two speakers have no calm
    assert prior[EMOTIONS.index("calm")] == pytest.approx(4 * of_an_actor / 6, abs=0.03)


def test_json_and_weights_alone_rebuild_the_network_in_a_fresh_process(tiny_model, inputs, keras_output, tmp_path):
    for name in ("model.json", "model.weights.h5"):
        shutil.copy(tiny_model.folder / name, tmp_path)
    np.save(tmp_path / "in.npy", inputs)
    subprocess.run([sys.executable, "-c", REBUILD, tmp_path, tmp_path / "in.npy", tmp_path / "out.npy"], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), keras_output, atol=1e-6)


@pytest.mark.parametrize("count", [1, 16, 20])
def test_the_onnx_network_agrees_with_keras_for_any_number_of_inputs(tiny_model, inputs, keras_output, count):
    import onnxruntime

    path = tiny_model.folder / "network.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs[:count]})
    assert np.abs(found - keras_output[:count]).max() < 1e-4


def test_training_is_repeatable_from_its_seed(tiny_ravdess):
    from training.dataset import load_split
    from training.fit import FitOptions, fit_network

    split = splits.split_by_speaker(corpora.read_ravdess(tiny_ravdess), 1)
    few = splits.Split(split.training[::3], split.validation[::2], split.test[:1])
    examples = load_split(few, FrontEnd())
    first, again, other = (
        fit_network(examples, FrontEnd(), FitOptions(epochs=1, batch=8, seed=seed)).network.get_weights()
        for seed in (7, 7, 8)
    )
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_the_weights_kept_are_those_of_the_best_epoch_on_validation_speakers(tiny_model):
    history = tiny_model.metrics["history"]["val_accuracy"]
    assert tiny_model.metrics["kept_epoch"] == 1 + history.index(max(history))
    assert tiny_model.metrics["validation"]["accuracy"] == pytest.approx(max(history), abs=1e-4)


def test_the_metrics_name_the_speakers_of_each_side_and_no_path_of_this_machine(tiny_model):
    metrics = tiny_model.metrics
    assert metrics["test"]["speakers"] == ["ravdess-01"]
    assert metrics["validation"]["speakers"] == ["ravdess-04"]
    assert set(metrics["training"]["speakers"]) >= {"tess-oaf", "tess-yaf", "ravdess-02"}
    assert (metrics["seed"], metrics["epochs"], metrics["batch"]) == (3, 2, 16)
    assert metrics["multiply_adds_per_input"] < 40e6 and metrics["weights"] < 1e6
    written = (tiny_model.folder / "card.md").read_text() + json.dumps(metrics)
    assert str(tiny_model.folder.parent) not in written


def test_the_card_states_licences_protocol_score_and_command(tiny_model):
    card = (tiny_model.folder / "card.md").read_text()
    for stated in ("CC BY-NC-SA 4.0", "CC BY-NC-ND 4.0", "Non-commercial", "tested on: ravdess-01", "no information"):
        assert stated in card
    assert f"(UAR) {tiny_model.metrics['test']['uar']:.3f} on speakers it never heard" in card
    assert "--ravdess RAVDESS --tess TESS --epochs 2 --batch 16 --seed 3 -o models/tiny" in card


def test_the_per_class_report_covers_training_and_test_speakers(tiny_model):
    with (tiny_model.reports / "per_class.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {(row["side"], row["emotion"]) for row in rows} >= {(s, e) for s in ("training", "test") for e in EMOTIONS}
    assert all(row["support"] == "2" for row in rows if row["side"] == "test")


def test_the_pictures_are_pictures(tiny_model):
    for name in ("confusion_matrix.png", "learning_curves.png"):
        assert (tiny_model.reports / name).read_bytes().startswith(b"\x89PNG")


def test_export_makes_the_deployable_network_anew(tiny_model, tmp_path, capsys):
    from training.cli import main

    folder = shutil.copytree(tiny_model.folder, tmp_path / "copy")
    (folder / "network.onnx").unlink()
    assert main(["export", str(folder)]) == 0
    assert "network.onnx" in capsys.readouterr().out
    inputs = np.zeros((1, 300, 40), np.float32)
    np.testing.assert_allclose(
        Classifier(folder).probabilities(inputs), Classifier(tiny_model.folder).probabilities(inputs), atol=1e-6
    )


def test_an_export_that_differs_from_keras_is_refused_and_leaves_the_folder_as_it_was(
    tiny_model, tmp_path, monkeypatch
):
    from training import export

    folder = shutil.copytree(tiny_model.folder, tmp_path / "copy")
    before = (folder / "network.onnx").read_bytes()
    right = export.read_network

    def spoiled(where):
        network = right(where)
        network.set_weights([weights + 0.1 for weights in network.get_weights()])
        return network

    monkeypatch.setattr(export, "read_network", lambda where: spoiled(where) if where == folder else right(where))
    with pytest.raises(CannotWork, match="away from Keras's"):
        export.export_again(folder)
    assert (folder / "network.onnx").read_bytes() == before
