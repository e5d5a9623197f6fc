"""Options in a file: named and checked as on the command line, which overrides them."""

import json
import os
import sys
from pathlib import Path

import pytest

from analyzer.commands.main import main
from tests.helpers.runs import Analyze, a_call, read_csv


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return a_call(tmp_path / "calls" / "a.wav").parent


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_file_sets_command_line_options(calls: Path, tiny_model: Path) -> None:
    config = write(
        calls.parent / "run.toml",
        f'inputs = ["one={calls}"]\noutput = "{calls.parent}/out"\nmodel = "{tiny_model}"\njobs = 1\nquiet = true\n'
        'format = ["csv"]\nmin-age = 0.5\nspeakers = ["agent", "customer"]\nname_pattern = "(?P<queue>a)"\n',
    )
    assert main(["analyze", "--config", str(config)]) == 0
    assert [row["recording"] for row in read_csv(calls.parent / "out" / "recordings.csv")] == ["one/a.wav"]
    assert not (calls.parent / "out" / "summary.xlsx").exists()
    assert json.loads((calls.parent / "out" / "run.json").read_text())["settings"]["speakers"] == ["agent", "customer"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_file_may_have_any_encoding(calls: Path, analyze: Analyze, encoding: str) -> None:
    config = calls.parent / "run.toml"
    config.write_bytes('# für alle\r\noutput = "Küche"\r\n'.encode(encoding))
    assert analyze(calls, "--config", config) == 0
    assert (calls.parent / "Küche" / "files.csv").exists()


def test_command_line_overrides_the_file(calls: Path, analyze: Analyze) -> None:
    config = write(calls.parent / "run.toml", 'inputs = ["/nowhere"]\noutput = "/nowhere"\nquiet = true\n')
    assert analyze(calls, "-o", calls.parent / "out", "--config", config) == 0
    assert len(read_csv(calls.parent / "out" / "files.csv")) == 1


@pytest.mark.parametrize(("option", "quiet", "verbose"), [("-v", "true", True), ("-q", "false", False)])
def test_command_line_overrides_verbosity(
    calls: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], option: str, quiet: str, verbose: bool
) -> None:
    config = write(calls.parent / "run.toml", f"quiet = {quiet}\nverbose = {'false' if verbose else 'true'}\n")
    assert analyze(calls, "-o", calls.parent / "out", "--config", config, option) == 0
    assert ("calls/a.wav: ok" in capsys.readouterr().err) == verbose


def test_default_file_is_in_the_working_folder(calls: Path, analyze: Analyze) -> None:
    write(calls.parent / "call-emotions.toml", 'output = "elsewhere"\n')
    assert analyze(calls) == 0
    assert (calls.parent / "elsewhere" / "files.csv").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min-agee = 3", "unknown setting min-agee: did you mean min-age?"),
        ("min_agee = 3", "did you mean min-age?"),
        ("on_succes = ['x']", "did you mean on_success?"),
        ("zzz = 3", "known are"),
        ("help = true", "unknown setting help"),
        ("config = 'x'", "unknown setting config"),
        ("min-age = -1", "is not a number of seconds"),
        ("min-age = 'soon'", "is not a number of seconds"),
        ("min-age = true", "is not what is asked for"),
        ("max-hours = 0", "is not a number of hours"),
        ("jobs = 0", "is not a number of recordings"),
        ("jobs = 1.5", "is not a number of recordings"),
        ("force = 1", "is true or false, not 1"),
        ("force = 'yes'", "is true or false"),
        ("prior = 'odd'", "is none of calls, even"),
        ("sensitivity = 'medium'", "is none of low, normal, high"),
        ("sensitvity = 'low'", "did you mean sensitivity?"),
        ("format = ['pdf']", "unknown format 'pdf'"),
        ("name-pattern = '('", "is no regular expression"),
        ("time-zone = 'Mars/Olympus'", "is no time zone"),
        ("speakers = ['a', 'a']", "given twice"),
        ("speakers = [1, 2]", "is not what is asked for"),
        ("on_failure = 'mail root'", "is a list of a program and its arguments"),
        ("on_failure = []", "is a list of a program and its arguments"),
        ("[analyze]\nmin-age = 3", "unknown setting analyze"),
        ("min-age = ", "cannot be read"),
        ("min-age = 3\nmin-age = 4", "cannot be read"),
        ("caf\udce9 = 3", "cannot be read"),
    ],
)
def test_error_in_file_is_a_usage_error(
    calls: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    config = calls.parent / "run.toml"
    config.write_bytes(os.fsencode(text))
    assert analyze(calls, "-o", calls.parent / "out", "--config", config) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert "run.toml" in line
    assert not (calls.parent / "out").exists()


def test_missing_file_is_a_usage_error(calls: Path, analyze: Analyze) -> None:
    assert analyze(calls, "--config", calls.parent / "nowhere.toml") == 2


def hook(path: Path, name: str) -> str:
    """Return a setting whose command appends the exit status and its own name to a file."""
    code = f"import os; open({str(path)!r}, 'a').write(os.environ['CALL_EMOTIONS_STATUS'] + ' {name}; ')"
    return f"{name} = {json.dumps([sys.executable, '-c', code])}\n"


def test_hooks_depend_on_exit_status(calls: Path, analyze: Analyze) -> None:
    record, output = calls.parent / "record", calls.parent / "out"
    config = write(calls.parent / "run.toml", hook(record, "on_success") + hook(record, "on_failure"))
    assert analyze(calls, "-o", output, "--config", config) == 0
    (calls / "bad.wav").touch()
    assert analyze(calls, "-o", output, "--config", config) == 1
    assert analyze(calls, "-o", output, "--config", config, model=Path("./nowhere")) == 3
    assert analyze(calls, "-o", output, "--config", config, "--dry-run") == 0
    assert record.read_text() == "0 on_success; 1 on_failure; 3 on_failure; "


def test_hooks_use_no_shell(calls: Path, analyze: Analyze, capfd: pytest.CaptureFixture[str]) -> None:
    config = write(calls.parent / "run.toml", 'on_success = ["echo", "$HOME; touch owned"]\n')
    assert analyze(calls, "-o", calls.parent / "out", "--config", config) == 0
    assert "$HOME; touch owned" in capfd.readouterr().out
    assert not (calls.parent / "owned").exists()


@pytest.mark.parametrize("command", ["/no/such/program", sys.executable])
def test_failing_hook_is_reported(
    calls: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    config = write(calls.parent / "run.toml", f'on_success = ["{command}", "/no/such/file.py"]\n')
    assert analyze(calls, "-o", calls.parent / "out", "--config", config, "-q") == 0
    assert "the command" in capsys.readouterr().err


def test_hooks_need_a_named_file(calls: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str]) -> None:
    write(calls.parent / "call-emotions.toml", hook(calls.parent / "record", "on_success"))
    assert analyze(calls, "-o", calls.parent / "out") == 2
    assert "--config" in capsys.readouterr().err
    assert not (calls.parent / "record").exists()
    assert analyze(calls, "-o", calls.parent / "out", "--config", calls.parent / "call-emotions.toml") == 0
    assert (calls.parent / "record").exists()
