"""The working folder was deleted or may not be entered: absolute paths work, others are a usage error."""

import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from analyzer import config
from analyzer.cli import main
from analyzer.errors import UsageError
from analyzer.working_folder import leave_if_unusable
from tests.nights import Night, contents

NOWHERE = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Simulate a deleted working folder; the list collects the folders that the process changes to."""
    folders: list[str] = []

    def getcwd() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", getcwd)
    monkeypatch.setattr(os, "chdir", folders.append)
    return folders


def from_nowhere(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in a separate process whose working folder has been deleted."""
    command = [sys.executable, "-m", "analyzer", *map(os.fspath, arguments)]  # type: ignore[call-overload]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.run(
        ["sh", "-c", NOWHERE, folder / "gone", *command], capture_output=True, text=True, check=False, env=environment
    )


def test_a_run_by_absolute_paths_works(good_night: Night, tmp_path: Path, tiny_model: Path) -> None:
    ran = from_nowhere(
        tmp_path, "analyze", good_night.calls, "-o", tmp_path / "out", "--model", tiny_model, "-j", "2", "-q"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert contents(tmp_path / "out") == contents(good_night.output)


@pytest.mark.parametrize("closed", [0, 1])
def test_a_folder_that_may_not_be_entered_is_left(monkeypatch: pytest.MonkeyPatch, closed: int) -> None:
    went: list[str] = []

    def chdir(path: str) -> None:
        if path != "/" and closed:
            raise PermissionError(13, "Permission denied")
        went.append(path)

    monkeypatch.setattr(os, "chdir", chdir)
    leave_if_unusable(Namespace(inputs=["/calls"], output=Path("/out")))
    assert went == (["/"] if closed else [os.getcwd()])


def test_a_relative_path_is_a_usage_error_that_names_it(good_night: Night, tmp_path: Path) -> None:
    ran = from_nowhere(tmp_path, "analyze", good_night.calls)
    assert ran.returncode == 2
    assert (
        "the working folder was deleted or may not be entered by this user, and reports is relative to it" in ran.stderr
    )


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": ["calls"]},
        {"inputs": ["/calls", "label=calls"]},
        {"inputs": ["./a=b"]},
        {"output": Path("out")},
        {"metadata": Path("m.csv")},
        {"log_file": Path("log")},
        {"metrics_file": Path("x.prom")},
        {"model": "./mine"},
    ],
)
def test_every_relative_path_is_refused(left: list[str], options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="relative"):
        leave_if_unusable(Namespace(**options))
    assert left == []


def test_absolute_paths_addresses_and_names_are_not(left: list[str]) -> None:
    inputs = ["/calls", "label=/calls", "s3://bucket/calls", "label=s3://bucket/calls", "/calls/a=b"]
    leave_if_unusable(Namespace(inputs=inputs, output=Path("/out"), model="default", metadata=None, match="in/*"))
    assert left == ["/"]


@pytest.mark.parametrize("command", [["report", "out"], ["prune", "--match", "x"], ["doctor", "calls"]])
def test_every_command_says_so(left: list[str], command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert "the working folder was deleted" in capsys.readouterr().err


def test_a_working_folder_that_may_not_be_entered_holds_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(*some: object, **more: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    parser = ArgumentParser()
    with monkeypatch.context() as context:
        context.setattr(os, "stat", stat)
        assert config.apply(parser, None) == config.Hooks()


def test_a_working_folder_that_is_there_is_not_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    leave_if_unusable(Namespace(inputs=["calls"], output=Path("reports")))
    assert Path.cwd() == tmp_path
