"""The command `doctor`: one line per check, and the exit status of the worst result."""

from pathlib import Path

import pytest

from analyzer import doctor
from analyzer.classifier import packaged_names
from analyzer.cli import main
from tests.nights import Analyze, a_call
from tests.tiny_model import make_tiny_model


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """Return the lines of standard output, by `ok` and `FAIL`."""
    said: dict[str, list[str]] = {"ok": [], "FAIL": []}
    for line in capsys.readouterr().out.splitlines():
        said[line.split()[0]].append(line)
    return said


def test_all_works_here(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    assert analyze(calls, "-o", tmp_path / "out") == 0
    capsys.readouterr()
    assert main(["doctor", str(calls), "-o", str(tmp_path / "out")]) == 0
    said = lines(capsys)
    assert said["FAIL"] == []
    text = "\n".join(said["ok"])
    for told in (
        "onnxruntime",
        "cores",
        "default, ",
        "gsm.wav",
        "1 recordings known",
        "no run is at work",
        "called calls",
    ):
        assert told in text


def test_it_looks_at_nothing_that_it_is_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert not [line for line in lines(capsys)["ok"] if "results" in line or "recordings" in line]


def test_it_checks_a_configuration_and_what_that_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    config = tmp_path / "night.toml"
    config.write_text(f'inputs = ["{calls}"]\noutput = "{tmp_path}/out"\nmodel = "accurate"\n')
    assert main(["doctor", "--config", str(config)]) == 0
    text = capsys.readouterr().out
    assert "accurate, " in text
    assert "will be made by the first run" in text
    assert not (tmp_path / "out").exists()
    config.write_text("min-agee = 3\n")
    assert main(["doctor", "--config", str(config)]) == 2


def test_an_input_that_is_empty_may_not_be_mounted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calls").mkdir()
    assert main(["doctor", str(tmp_path / "calls")]) == 3
    (line,) = lines(capsys)["FAIL"]
    assert "is it mounted?" in line


def test_a_model_that_is_damaged_is_found(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in tiny_model.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes()[:200])
    assert doctor.run([], None, str(damaged)) == 3
    (line,) = lines(capsys)["FAIL"]
    assert line.startswith("FAIL  model: ")


def test_it_says_of_every_packaged_model_whether_it_may_be_used_for_business(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 0
    said = [line for line in lines(capsys)["ok"] if "business" in line]
    assert len(said) == len(packaged_names()) >= 2
    for line, name in zip(said, packaged_names(), strict=True):
        assert line.startswith(f"ok    business use: {name}: no, trained on RAVDESS (CC BY-NC-SA 4.0), TESS")


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({}, "not stated"),
        ({"business_use": True, "licence": "trained on own calls"}, "yes, trained on own calls"),
        ({"business_use": False, "licence": "a \x1b[31m licence"}, "no, a \\x1b[31m licence"),
    ],
)
def test_it_says_of_a_model_of_one_s_own_what_that_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], terms: dict[str, object], said: str
) -> None:
    model = make_tiny_model(tmp_path / "mine", name="mine", **terms)
    assert doctor.run([], None, str(model)) == 0
    assert f"ok    model: business use of mine: {said}\n" in capsys.readouterr().out


def test_a_disk_that_is_nearly_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_ROOM", 1 << 60)
    assert main(["doctor", "-o", str(tmp_path)]) == 3
    assert "MiB are free" in lines(capsys)["FAIL"][0]


def test_an_output_below_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["doctor", "-o", str(tmp_path / "file" / "out")]) == 3
    assert len(lines(capsys)["FAIL"]) == 1


def test_a_decoder_that_does_not_give_back_what_was_written_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    really = soundfile.write
    monkeypatch.setattr(soundfile, "write", lambda path, sound, *rest, **more: really(path, sound * 0, *rest, **more))
    assert main(["doctor"]) == 3
    assert "does not come back" in lines(capsys)["FAIL"][0]


def test_it_looks_for_what_a_configuration_needs_in_the_night(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (tmp_path / "calls.csv").write_text("file,channel_1\na.wav,customer\n")
    (tmp_path / "file").touch()
    config = tmp_path / "night.toml"
    text = f'inputs = ["{calls}"]\noutput = "{tmp_path}/out"\nmetadata = "{tmp_path}/calls.csv"\n'
    config.write_text(f'{text}log-file = "{tmp_path}/log"\non_failure = ["env"]\n')
    assert main(["doctor", "--config", str(config)]) == 0
    said = "\n".join(lines(capsys)["ok"])
    assert "log can be written" in said
    assert "1 recordings in" in said
    assert "env is there" in said
    config.write_text(f'{text}on_failure = ["/no/such/program"]\n')
    assert main(["doctor", "--config", str(config)]) == 3
    assert "/no/such/program" in lines(capsys)["FAIL"][0]
