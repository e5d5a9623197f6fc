"""A model's probabilities: independent of the batch, and moved to the prior of calls; errors of broken models."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.emotions import CALL_PRIOR, EMOTIONS, SENSITIVITIES
from analyzer.errors import CannotWork
from analyzer.model.classifier import (
    BATCH,
    SETTINGS_FILE,
    Classifier,
    ModelSettings,
    Sensitivities,
    Sensitivity,
    business_use_in_words,
    find_model,
    load_classifier,
    model_hash,
    packaged_models,
    read_settings,
)
from analyzer.speech.features import FrontEnd, network_input
from tests.helpers import voices
from tests.helpers.tiny_model import make_tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that a test may damage."""
    return make_tiny_model(tmp_path / "model")


def inputs(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 300, 40)).astype(np.float32)


def edit(model: Path, **changes: object) -> None:
    """Change fields of a model's settings; None removes a field."""
    fields = json.loads((model / SETTINGS_FILE).read_text()) | changes
    fields = {key: value for key, value in fields.items() if value is not None}
    (model / SETTINGS_FILE).write_text(json.dumps(fields))


RANGE = {"usual": 0.1, "high": 0.2}
POINT = {"negative_from": 0.5, "found": None, "false": None}


def points(**changed: object) -> dict[str, object]:
    """Return the field `sensitivities`, with some points changed."""
    return {"low": POINT, "normal": POINT, "high": POINT, **changed}


MANY = inputs(BATCH * 2 + 5)


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(MANY) - 1), min_size=1, max_size=40))
def test_result_does_not_depend_on_the_batch(classifier: Classifier, chosen: list[int]) -> None:
    alone = np.concatenate([classifier.probabilities(MANY[index : index + 1]) for index in range(len(MANY))])
    assert np.array_equal(classifier.probabilities(MANY[chosen]), alone[chosen])


def test_each_row_sums_to_one(classifier: Classifier) -> None:
    rows = classifier.probabilities(MANY)
    assert rows.shape == (len(MANY), 8)
    assert rows.dtype == np.float32
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-6
    assert (rows >= 0).all()


def test_no_segments_give_no_rows(classifier: Classifier) -> None:
    assert classifier.probabilities(inputs(0)).shape == (0, 8)


def test_probabilities_follow_ratio_of_priors(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(model, "calls")
    posterior = np.array([[0.1, 0.1, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1]], np.float32)
    monkeypatch.setattr(classifier, "_run", lambda batch, _: posterior[: len(batch)])
    # By hand: each probability times its prior on calls over 1/8, so in the ratio 36:18:15:7:9*3:7:4:4, sum 118.
    expected = np.array([36, 18, 15, 7, 27, 7, 4, 4]) / 118
    assert classifier.probabilities(inputs(1))[0] == pytest.approx(expected, abs=1e-6)


def test_equal_priors_change_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(model, call_prior=[0.125] * 8)
    classifier = Classifier(model, "calls")
    posterior = np.array([[0.05, 0.1, 0.15, 0.2, 0.3, 0.1, 0.06, 0.04]], np.float32)
    monkeypatch.setattr(classifier, "_run", lambda *_: posterior)
    assert classifier.probabilities(inputs(1)) == pytest.approx(posterior, abs=1e-6)


def test_zero_probability_stays_zero(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier(model)
    monkeypatch.setattr(classifier, "_run", lambda *_: np.array([[0, 0, 0, 0, 1, 0, 0, 0]], np.float32))
    assert classifier.probabilities(inputs(1))[0].tolist() == pytest.approx([0, 0, 0, 0, 1, 0, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: (m / SETTINGS_FILE).write_text("{"), "cannot be used"),
        (lambda m: (m / SETTINGS_FILE).write_text("null"), "cannot be used"),
        (lambda m: (m / SETTINGS_FILE).write_text("[]"), "cannot be used"),
        (lambda m: (m / SETTINGS_FILE).write_text('"a text"'), "cannot be used"),
        (lambda m: (m / SETTINGS_FILE).write_bytes(b"\xff\xfe"), "cannot be used"),
        (lambda m: edit(m, labels=["angry", "calm"]), "eight emotions"),
        (lambda m: edit(m, labels=None), "cannot be used"),
        (lambda m: edit(m, network=None), "cannot be used"),
        (lambda m: edit(m, front_end=5), "cannot be used"),
        (lambda m: edit(m, front_end={"colour": "red"}), "cannot be used"),
        (lambda m: edit(m, surprise=1), "cannot be used"),
        (lambda m: edit(m, call_prior=[0.5, 0.5]), "call_prior needs eight"),
        (lambda m: edit(m, training_prior=[0.0] + [0.2] * 7), "training_prior needs eight"),
        (lambda m: edit(m, training_prior=["much"] * 8), "cannot be used"),
        (lambda m: edit(m, level_speech=[0.1, 0.2]), "level_speech has to be an object"),
        (lambda m: edit(m, level_speech={"negative": 0.2}), "cannot be used"),
        (lambda m: edit(m, level_speech={"negative": RANGE}), "cannot be used"),
        (
            lambda m: edit(m, level_speech={"negative": RANGE, "lively": RANGE | {"high": 0.05}}),
            "level_speech lively has",
        ),
        (lambda m: edit(m, sensitivities=[0.6, 0.5, 0.4]), "an object of low, normal, high"),
        (lambda m: edit(m, sensitivities={"low": POINT, "normal": POINT}), "an object of low, normal, high"),
        (lambda m: edit(m, sensitivities=points() | {"highest": POINT}), "and nothing else"),
        (lambda m: edit(m, sensitivities=points(normal=0.5)), "sensitivity normal has to be an object"),
        (lambda m: edit(m, sensitivities=points(normal={"found": 0.5})), "sensitivity normal has to be an object"),
        (lambda m: edit(m, sensitivities=points(high=POINT | {"seen": 1})), "high has an unknown field seen"),
        (lambda m: edit(m, sensitivities=points(low=POINT | {"negative_from": 1})), "low: negative_from is 1, and has"),
        (lambda m: edit(m, sensitivities=points(low=POINT | {"negative_from": 0.0})), "above 0 and below 1"),
        (lambda m: edit(m, sensitivities=points(low=POINT | {"negative_from": True})), "negative_from is True"),
        (lambda m: edit(m, sensitivities=points(low=POINT | {"negative_from": "0.5"})), "negative_from is '0.5'"),
        (lambda m: edit(m, sensitivities=points(low=POINT | {"negative_from": float("nan")})), "negative_from is nan"),
        (
            lambda m: edit(m, sensitivities=points(high=POINT | {"found": 51})),
            "high: found is 51, and has to be a share",
        ),
        (lambda m: edit(m, sensitivities=points(high=POINT | {"false": -0.1})), "high: false is -0.1"),
        (
            lambda m: edit(m, sensitivities=points(low=POINT | {"negative_from": 0.4})),
            r"low 0\.4, normal 0\.5, high 0\.5",
        ),
        (lambda m: edit(m, business_use="no"), "business_use is 'no', and has to be true, false or null"),
        (lambda m: edit(m, business_use=0), "business_use is 0"),
        (lambda m: edit(m, licence=5), "licence has to be a line of text"),
        (lambda m: edit(m, licence=" "), "licence has to be a line of text"),
        (lambda m: edit(m, licence="MIT\nor not"), "licence has to be a line of text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_settings_are_an_error(model: Path, damage: object, message: str) -> None:
    damage(model)
    with pytest.raises(CannotWork, match=message) as caught:
        read_settings(model)
    assert str(model) in str(caught.value)


def test_model_without_network_is_incomplete(model: Path) -> None:
    (model / "network.onnx").unlink()
    with pytest.raises(CannotWork, match=r"is incomplete.*network\.onnx"):
        model_hash(model)
    with pytest.raises(CannotWork, match="cannot be loaded"):
        Classifier(model)


@pytest.mark.parametrize("content", [b"", b"this is no network", b"\x08\x09"])
def test_damaged_network_cannot_be_loaded(model: Path, content: bytes) -> None:
    (model / "network.onnx").write_bytes(content)
    with pytest.raises(CannotWork, match="cannot be loaded"):
        Classifier(model).probabilities(inputs(1))


def test_network_must_match_settings(tmp_path: Path) -> None:
    with pytest.raises(CannotWork):
        Classifier(make_tiny_model(tmp_path / "five", outputs=5)).probabilities(inputs(1))
    wide = make_tiny_model(tmp_path / "wide")
    edit(wide, front_end=vars(FrontEnd(bands=64)))
    with pytest.raises(CannotWork):
        Classifier(wide).probabilities(np.zeros((1, 300, 64), np.float32))


def test_error_for_missing_model_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(CannotWork, match=r"no model at .*--model.*classifier\.json"):
        find_model(str(tmp_path))
    with pytest.raises(CannotWork, match="no model at"):
        find_model("no-such-model")


def test_model_is_a_packaged_name_or_a_path(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model(str(model)) == model
    assert find_model("./model") == Path("./model")
    with pytest.raises(CannotWork):
        find_model("model")
    monkeypatch.setattr("analyzer.model.classifier.packaged_models", lambda: tmp_path)
    assert find_model("model") == model
    with pytest.raises(CannotWork, match="one of model,"):
        find_model("other")


def test_hash_depends_on_settings_and_network(model: Path, tmp_path: Path) -> None:
    first = model_hash(model)
    (model / "card.md").write_text("a card")
    assert model_hash(model) == first == model_hash(make_tiny_model(tmp_path / "again"))
    edit(model, uncertain_below=0.5)
    second = model_hash(model)
    network = model / "network.onnx"
    network.write_bytes(network.read_bytes() + b"\x00")
    assert len({first, second, model_hash(model), model_hash(make_tiny_model(tmp_path / "other", seed=1))}) == 4
    assert len(first) == 16


def test_settings_survive_json() -> None:
    written = ModelSettings("m", "n.onnx", FrontEnd(bands=64), (0.125,) * 8, CALL_PRIOR, 0.35)
    assert ModelSettings.from_json(written.to_json()) == written
    assert ModelSettings.from_json(replace(written, uncertain_below=0.3).to_json()) != written


def test_sensitivities_and_terms_survive_json() -> None:
    measured = Sensitivities(Sensitivity(0.7, 0.25, 0.004), Sensitivity(0.5, 0.51, 0.05), Sensitivity(0.5, None, 0))
    terms = {"business_use": True, "licence": "trained on CREMA-D under ODbL 1.0"}
    written = ModelSettings("m", "n", VARIABLE_LENGTH, (0.125,) * 8, CALL_PRIOR, 0.35, sensitivities=measured, **terms)
    assert ModelSettings.from_json(written.to_json()) == written
    fields = json.loads(written.to_json())
    assert fields["sensitivities"]["normal"] == {"negative_from": 0.5, "found": 0.51, "false": 0.05}
    assert (fields["business_use"], fields["licence"]) == (True, terms["licence"])


def test_older_model_gets_default_sensitivities(model: Path) -> None:
    fields = json.loads((model / SETTINGS_FILE).read_text())
    for newer_field in ("sensitivities", "business_use", "licence"):
        del fields[newer_field]
    (model / SETTINGS_FILE).write_text(json.dumps(fields))
    settings_read = read_settings(model)
    assert settings_read.sensitivities == Sensitivities(Sensitivity(0.65), Sensitivity(0.5), Sensitivity(0.35))
    assert (settings_read.business_use, settings_read.licence) == (None, "not stated")
    assert [Classifier(model, sensitivity=name).labelling.negative_from for name in SENSITIVITIES] == [0.65, 0.5, 0.35]


@pytest.mark.parametrize("name", ["default", "accurate"])
def test_packaged_model_forbids_business_use(name: str) -> None:
    model_settings = read_settings(find_model(name))
    assert model_settings.business_use is False
    for source in ("ravdess", "tess", "nemo", "korean" if name == "default" else "emotiontts-ko", "commercial use"):
        assert source in model_settings.licence.lower()


def test_packaged_model_states_what_its_sensitivities_find() -> None:
    points = read_settings(find_model("accurate")).sensitivities
    found, false = zip(*((point.found, point.false) for point in vars(points).values()), strict=True)
    assert sorted(found) == list(found)
    assert sorted(false) == list(false)
    assert points.normal.found > 4 * points.normal.false


@pytest.mark.parametrize(
    ("allowed", "licence", "text"),
    [
        (None, "not stated", "not stated"),
        (None, "CC BY 4.0", "not stated, CC BY 4.0"),
        (True, "not stated", "yes, its licence is not stated"),
        (False, "trained on TESS: not for commercial use", "no, trained on TESS: not for commercial use"),
    ],
)
def test_business_use_is_yes_no_or_not_stated(allowed: bool | None, licence: str, text: str) -> None:
    assert business_use_in_words(allowed, licence) == text


def test_model_is_loaded_once_per_process(model: Path) -> None:
    load_classifier.cache_clear()
    assert load_classifier(model) is load_classifier(model)
    load_classifier.cache_clear()


def test_another_process_gives_equal_probabilities(classifier: Classifier, tiny_model: Path) -> None:
    code = (
        "import sys, numpy as np; from pathlib import Path; from analyzer.model.classifier import Classifier\n"
        "x = np.random.default_rng(3).normal(size=(20, 300, 40)).astype(np.float32)\n"
        "sys.stdout.buffer.write(Classifier(Path(sys.argv[1])).probabilities(x).tobytes())"
    )
    process = subprocess.run([sys.executable, "-c", code, tiny_model], capture_output=True, check=True)
    assert process.stdout == classifier.probabilities(inputs(20, seed=3)).tobytes()


@pytest.mark.skipif(
    not (packaged_models() / "default" / SETTINGS_FILE).is_file(), reason="models/default is not there yet"
)
def test_default_model_has_eight_emotions() -> None:
    folder = find_model("default")
    model = Classifier(folder)
    assert model.settings.name == "default"
    front_end = model.settings.front_end
    utterances = [
        voices.speech(s, front_end.rate, seed=k, pitch=100 + 20 * k) for k, s in enumerate((0.2, 1.5, 2.9, 2.9))
    ]
    rows = model.probabilities([network_input(sound, front_end) for sound in utterances])[:, : len(EMOTIONS)]
    assert rows.shape == (4, len(EMOTIONS))
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-5
    assert model.settings.front_end.longest_s >= 2.98, "the longest segment has to fit"
    assert os.path.getsize(folder / model.settings.network) < 20_000_000


def test_ninth_output_is_non_speech(tmp_path: Path) -> None:
    classifier = Classifier(make_tiny_model(tmp_path / "model", outputs=9))
    rows = classifier.probabilities(inputs(5))
    assert rows.shape == (5, 9)
    assert rows[:, :8].sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert len(set(rows[:, 8].tolist())) == 5


def test_even_prior_weights_all_emotions_equally(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    on_calls, even = (Classifier(folder, prior).probabilities(inputs(3)) for prior in ("calls", "even"))
    shifted = even * np.array(CALL_PRIOR)
    assert on_calls == pytest.approx(shifted / shifted.sum(axis=1, keepdims=True), abs=1e-6)


# Segments of variable length

VARIABLE_LENGTH = FrontEnd(16000, 400, 160, 400, 80, 0.0, 8000.0, 500, scaling="whisper", padded=False)


def variable_inputs(*counts: int) -> list[np.ndarray]:
    return [np.random.default_rng(count).normal(size=(count, 80)).astype(np.float32) for count in counts]


@pytest.fixture
def variable_length(tmp_path: Path) -> Classifier:
    """A model with nine outputs for segments of any length."""
    return Classifier(make_tiny_model(tmp_path / "free", outputs=9, front_end=VARIABLE_LENGTH))


def test_variable_length_does_not_depend_on_batch(variable_length: Classifier) -> None:
    segments = variable_inputs(500, 3, 120, 120, 1, 77)
    together = variable_length.probabilities(segments)
    assert together.shape == (6, 9)
    assert together.dtype == np.float32
    assert np.array_equal(together, np.concatenate([variable_length.probabilities([segment]) for segment in segments]))
    assert np.array_equal(together[::-1], variable_length.probabilities(segments[::-1]))
    assert together[:, :8].sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_variable_length_is_not_padded(variable_length: Classifier) -> None:
    (segment,) = variable_inputs(50)
    assert variable_length.probabilities([np.tile(segment, (2, 1))]) == pytest.approx(
        variable_length.probabilities([segment]), abs=1e-5
    )
    assert (
        np.abs(
            variable_length.probabilities([np.pad(segment, ((0, 50), (0, 0)))])
            - variable_length.probabilities([segment])
        ).max()
        > 1e-3
    )


def test_no_variable_length_segments_give_no_rows(variable_length: Classifier) -> None:
    assert variable_length.probabilities([]).shape == (0, 9)


@pytest.mark.parametrize("padded", [True, False])
def test_padding_must_match_the_network(tmp_path: Path, padded: bool) -> None:
    folder = make_tiny_model(tmp_path / "model", front_end=replace(VARIABLE_LENGTH, padded=padded))
    Classifier(folder)
    edit(folder, front_end=vars(replace(VARIABLE_LENGTH, padded=not padded)))
    with pytest.raises(CannotWork, match="does not fit"):
        Classifier(folder)


def test_variable_length_settings_survive_json() -> None:
    written = ModelSettings("m", "n.onnx", VARIABLE_LENGTH, (0.125,) * 8, CALL_PRIOR, 0.35, has_non_speech_output=True)
    assert ModelSettings.from_json(written.to_json()) == written
    assert written.labels == [*EMOTIONS, "other"]


def test_settings_without_scaling_get_the_default(model: Path) -> None:
    older_fields = {key: value for key, value in vars(FrontEnd()).items() if key not in ("scaling", "padded")}
    edit(model, front_end=older_fields)
    assert read_settings(model).front_end == FrontEnd()


def test_unknown_scaling_is_an_error(model: Path) -> None:
    edit(model, front_end=vars(FrontEnd()) | {"scaling": "loud"})
    with pytest.raises(CannotWork, match="no scaling 'loud'") as caught:
        read_settings(model)
    assert str(model) in str(caught.value)
