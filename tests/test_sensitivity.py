"""Sensitivity from the option to the results: labels, reanalysis, and messages."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

import analyzer
from analyzer import EmotionStream
from analyzer.commands.listen import ListenSettings
from analyzer.commands.listen import run as listen
from analyzer.emotions import EMOTIONS, NEGATIVE, SENSITIVITIES
from analyzer.runtime.signals import StopSignals
from analyzer.timeline.timeline import Row
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.runs import Analyze, read_csv, read_workbook
from tests.helpers.tiny_model import EXTREMES, make_tiny_model

TERMS = {"business_use": True, "licence": "trained on own calls"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "model", sensitivities=EXTREMES, **TERMS)


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call of five turns."""
    sound = voices.call(20, [(0.5, 2), (4, 6), (8, 9), (11, 13), (15, 18)])
    return write_wav(tmp_path_factory.mktemp("calls") / "calls" / "a.wav", sound)


def rows_of(output: Path) -> list[dict[str, str]]:
    return read_csv(output / "timelines" / "calls" / "a.wav.csv")


def negative(labels: list[str]) -> int:
    return sum(label in NEGATIVE for label in labels)


def test_higher_sensitivity_finds_more_negatives(tmp_path: Path, analyze: Analyze, model: Path, call: Path) -> None:
    labels, other_columns = [], []
    for name in SENSITIVITIES:
        assert analyze(call.parent, "-o", tmp_path / name, "--sensitivity", name, model=model) == 0
        rows = rows_of(tmp_path / name)
        labels.append([row.pop("emotion") for row in rows])
        other_columns.append(rows)
    low, normal, high = labels
    assert other_columns[0] == other_columns[1] == other_columns[2]
    assert negative(low) < negative(high) == len(high) >= 5
    assert all(
        label in NEGATIVE
        for lower, higher in ((low, normal), (normal, high))
        for label in labels_of_negatives(lower, higher)
    )


def labels_of_negatives(lower: list[str], higher: list[str]) -> list[str]:
    """Return the labels at a higher sensitivity of the segments that are negative at a lower one."""
    return [label for old_label, label in zip(lower, higher, strict=True) if old_label in NEGATIVE]


def test_default_sensitivity_is_normal(tmp_path: Path, analyze: Analyze, model: Path, call: Path) -> None:
    assert analyze(call.parent, "-o", tmp_path / "a", model=model) == 0
    assert analyze(call.parent, "-o", tmp_path / "b", "--sensitivity", "normal", model=model) == 0
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    assert analyze(call.parent, "-o", tmp_path / "b", "--dry-run", model=model) == 0


def test_new_sensitivity_repeats_the_analysis(
    tmp_path: Path, analyze: Analyze, model: Path, call: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def analysed(*options: str) -> dict[str, object]:
        assert analyze(call.parent, "-o", tmp_path / "out", *options, model=model) == 0
        return json.loads((tmp_path / "out" / "run.json").read_text())

    first = analysed()
    at_normal = rows_of(tmp_path / "out")
    assert (first["analysed"], first["settings"]["sensitivity"]) == ({"ok": 1}, "normal")
    assert (analysed()["analysed"], analysed("--sensitivity", "normal")["unchanged"]) == ({}, 1)
    second = analysed("--sensitivity", "high")
    assert (second["analysed"], second["settings"]["sensitivity"]) == ({"ok": 1}, "high")
    assert second["fingerprint"] != first["fingerprint"]
    assert rows_of(tmp_path / "out") != at_normal
    assert analysed()["fingerprint"] == first["fingerprint"]
    assert rows_of(tmp_path / "out") == at_normal


def test_configuration_sets_sensitivity(tmp_path: Path, analyze: Analyze, model: Path, call: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('sensitivity = "high"\n')
    assert analyze(call.parent, "-o", tmp_path / "out", "--config", config, model=model) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["sensitivity"] == "high"
    assert negative([row["emotion"] for row in rows_of(tmp_path / "out")]) >= 5


def test_api_and_listen_give_equal_labels(tmp_path: Path, analyze: Analyze, model: Path, call: Path) -> None:
    for name in SENSITIVITIES:
        assert analyze(call.parent, "-o", tmp_path / name, "--sensitivity", name, model=model) == 0
        expected = [row["emotion"] for row in rows_of(tmp_path / name)]
        timeline = analyzer.analyze(call, str(model), sensitivity=name)
        assert [row.emotion for row in timeline.rows] == expected
        assert timeline.about["sensitivity"] == name
        assert [row.emotion for row in streamed(model, name)] == expected
        assert [line["emotion"] for line in lines_of(model, name, tmp_path / "raw")] == expected


def samples() -> np.ndarray:
    """Return the sound of the call as integers, as in its file."""
    sound = voices.call(20, [(0.5, 2), (4, 6), (8, 9), (11, 13), (15, 18)])
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2")


def streamed(model: Path, sensitivity: str) -> list[Row]:
    stream = EmotionStream(8000, 1, str(model), sensitivity=sensitivity)
    return stream.push(samples()) + stream.finish()


def lines_of(model: Path, sensitivity: str, path: Path) -> list[dict[str, object]]:
    """Return what `listen` prints."""
    path.write_bytes(samples().tobytes())
    settings = ListenSettings(model=os.fspath(model), sensitivity=sensitivity)
    printed = io.StringIO()
    with open(path, "rb") as source, StopSignals() as stop:
        assert listen(settings, source, printed, stop) == 0
    return [json.loads(line) for line in printed.getvalue().splitlines()]


def test_single_segment_has_equal_labels_under_both_priors(tmp_path: Path, analyze: Analyze, tiny_model: Path) -> None:
    recording = write_wav(tmp_path / "calls" / "a.wav", voices.call(3, [(0.5, 2.3)]))
    for name in SENSITIVITIES:
        for prior in ("calls", "even"):
            options = ("--sensitivity", name, "--prior", prior)
            assert analyze(recording.parent, "-o", tmp_path / name / prior, *options, model=tiny_model) == 0
        (on_calls,), (even,) = (rows_of(tmp_path / name / prior) for prior in ("calls", "even"))
        assert on_calls["emotion"] == even["emotion"]
        assert [on_calls[emotion] for emotion in EMOTIONS] != [even[emotion] for emotion in EMOTIONS]


def test_reports_state_sensitivity_and_terms(tmp_path: Path, analyze: Analyze, model: Path, call: Path) -> None:
    options = ("--sensitivity", "low", "--format", "csv,xlsx,html")
    assert analyze(call.parent, "-o", tmp_path / "out", *options, model=model) == 0
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (manifest["business_use"], manifest["licence"]) == (True, "trained on own calls")
    sheets = read_workbook(tmp_path / "out" / "summary.xlsx")
    overview = {row[0]: row[1] for row in sheets["Overview"]}
    assert overview["Business use of the model"] == "yes, trained on own calls"
    assert overview["Sensitivity"] == (
        "low (used here): not measured; normal: finds 51 % of the negative clips, and labels 5 % of the neutral and "
        "calm clips negative; high: not measured"
    )
    assert ("sensitivity", "low") in [row[:2] for row in sheets["Settings"]]
    page = (tmp_path / "out" / "html" / "calls" / "a.wav.html").read_text(encoding="utf-8")
    assert "<dt>sensitivity</dt><dd>low</dd>" in page


def test_unstated_terms_are_null_in_run_json(tmp_path: Path, analyze: Analyze, call: Path) -> None:
    assert analyze(call.parent, "-o", tmp_path / "out") == 0
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (manifest["business_use"], manifest["licence"]) == (None, "not stated")
