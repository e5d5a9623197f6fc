"""The command `doctor`: one line per check, and the exit status of the worst result."""

from pathlib import Path

import pytest

from analyzer.commands import doctor
from analyzer.commands.main import main
from analyzer.model.classifier import packaged_names
from tests.helpers.runs import Analyze, a_call
from tests.helpers.tiny_model import make_tiny_model


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """Return the lines of standard output, by `ok` and `FAIL`."""
    lines_by_status: dict[str, list[str]] = {"ok": [], "FAIL": []}
    for line in capsys.readouterr().out.splitlines():
        lines_by_status[line.split()[0]].append(line)
    return lines_by_status


def test_all_checks_pass(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    assert analyze(calls, "-o", tmp_path / "out") == 0
    capsys.readouterr()
    assert main(["doctor", str(calls), "-o", str(tmp_path / "out")]) == 0
    lines_by_status = lines(capsys)
    assert lines_by_status["FAIL"] == []
    text = "\n".join(lines_by_status["ok"])
    for expected in (
        "onnxruntime",
        "cores",
        "default, ",
        "gsm.wav",
        "1 recordings known",
        "no run is using it",
        "called calls",
    ):
        assert expected in text


def test_paths_are_checked_only_if_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert not [line for line in lines(capsys)["ok"] if "results" in line or "recordings" in line]


def test_configuration_and_its_paths_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    config = tmp_path / "run.toml"
    config.write_text(f'inputs = ["{calls}"]\noutput = "{tmp_path}/out"\nmodel = "accurate"\n')
    assert main(["doctor", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert "accurate, " in text
    assert "will be made by the first run" in text
    assert not (tmp_path / "out").exists()
    config.write_text("min-agee = 3\n")
    assert main(["doctor", "--config", str(config)]) == 2


def test_empty_input_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calls").mkdir()
    assert main(["doctor", str(tmp_path / "calls")]) == 3
    (line,) = lines(capsys)["FAIL"]
    assert "is it mounted?" in line


def test_damaged_model_fails(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in tiny_model.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes()[:200])
    assert doctor.run([], None, str(damaged)) == 3
    (line,) = lines(capsys)["FAIL"]
    assert line.startswith("FAIL  model: ")


def test_business_use_of_packaged_models_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 0
    business_lines = [line for line in lines(capsys)["ok"] if "business" in line]
    assert len(business_lines) == len(packaged_names()) >= 2
    for line, name in zip(business_lines, packaged_names(), strict=True):
        assert line.startswith(f"ok    business use: {name}: no, trained on ")
        assert "commercial use" in line


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({}, "not stated"),
        ({"business_use": True, "licence": "trained on own calls"}, "yes, trained on own calls"),
        ({"business_use": False, "licence": "a \x1b[31m licence"}, "no, a \\x1b[31m licence"),
    ],
)
def test_terms_of_a_given_model_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], terms: dict[str, object], message: str
) -> None:
    model = make_tiny_model(tmp_path / "mine", name="mine", **terms)
    assert doctor.run([], None, str(model)) == 0
    assert f"ok    model: business use of mine: {message}\n" in capsys.readouterr().out


def test_nearly_full_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_ROOM", 1 << 60)
    assert main(["doctor", "-o", str(tmp_path)]) == 3
    assert "MiB are free" in lines(capsys)["FAIL"][0]


def test_output_below_a_file_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["doctor", "-o", str(tmp_path / "file" / "out")]) == 3
    assert len(lines(capsys)["FAIL"]) == 1


def test_wrong_decoder_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    original = soundfile.write
    monkeypatch.setattr(
        soundfile, "write", lambda path, sound, *rest, **options: original(path, sound * 0, *rest, **options)
    )
    assert main(["doctor"]) == 3
    assert "does not come back" in lines(capsys)["FAIL"][0]


def test_configured_files_and_programs_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (tmp_path / "calls.csv").write_text("file,channel_1\na.wav,customer\n")
    (tmp_path / "file").touch()
    config = tmp_path / "run.toml"
    text = f'inputs = ["{calls}"]\noutput = "{tmp_path}/out"\nmetadata = "{tmp_path}/calls.csv"\n'
    config.write_text(f'{text}log-file = "{tmp_path}/log"\non_failure = ["env"]\n')
    assert main(["doctor", "--config", str(config)]) == 0
    output = "\n".join(lines(capsys)["ok"])
    assert "log can be written" in output
    assert "1 recordings in" in output
    assert "env is there" in output
    config.write_text(f'{text}on_failure = ["/no/such/program"]\n')
    assert main(["doctor", "--config", str(config)]) == 3
    assert "/no/such/program" in lines(capsys)["FAIL"][0]
