"""The working folder was deleted or may not be entered: absolute paths work, others are a usage error."""

import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from analyzer.commands import config
from analyzer.commands.main import main
from analyzer.commands.working_folder import leave_if_unusable
from analyzer.errors import UsageError
from tests.helpers.runs import Run, contents

NOWHERE = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'


@pytest.fixture
def entered_folders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Simulate a deleted working folder; the list collects the folders that the process changes to."""
    folders: list[str] = []

    def getcwd() -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", getcwd)
    monkeypatch.setattr(os, "chdir", folders.append)
    return folders


def from_nowhere(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in a separate process whose working folder has been deleted."""
    command_line = [sys.executable, "-m", "analyzer", *map(os.fspath, arguments)]  # type: ignore[call-overload]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.run(
        ["sh", "-c", NOWHERE, folder / "gone", *command_line],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_absolute_paths_work(good_run: Run, tmp_path: Path, tiny_model: Path) -> None:
    process = from_nowhere(
        tmp_path, "analyze", good_run.calls, "-o", tmp_path / "out", "--model", tiny_model, "-j", "2", "-q"
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert contents(tmp_path / "out") == contents(good_run.output)


@pytest.mark.parametrize("inaccessible", [0, 1])
def test_inaccessible_folder_is_left(monkeypatch: pytest.MonkeyPatch, inaccessible: int) -> None:
    visited: list[str] = []

    def chdir(path: str) -> None:
        if path != "/" and inaccessible:
            raise PermissionError(13, "Permission denied")
        visited.append(path)

    monkeypatch.setattr(os, "chdir", chdir)
    leave_if_unusable(Namespace(inputs=["/calls"], output=Path("/out")))
    assert visited == (["/"] if inaccessible else [os.getcwd()])


def test_relative_path_is_a_usage_error(good_run: Run, tmp_path: Path) -> None:
    process = from_nowhere(tmp_path, "analyze", good_run.calls)
    assert process.returncode == 2
    assert (
        "the working folder was deleted or may not be entered by this user, and reports is relative to it"
        in process.stderr
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
def test_every_relative_path_is_refused(entered_folders: list[str], options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="relative"):
        leave_if_unusable(Namespace(**options))
    assert entered_folders == []


def test_absolute_paths_and_addresses_are_accepted(entered_folders: list[str]) -> None:
    inputs = ["/calls", "label=/calls", "s3://bucket/calls", "label=s3://bucket/calls", "/calls/a=b"]
    leave_if_unusable(Namespace(inputs=inputs, output=Path("/out"), model="default", metadata=None, match="in/*"))
    assert entered_folders == ["/"]


@pytest.mark.parametrize("command", [["report", "out"], ["prune", "--match", "x"], ["doctor", "calls"]])
def test_every_command_reports_the_error(
    entered_folders: list[str], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    assert "the working folder was deleted" in capsys.readouterr().err


def test_inaccessible_folder_has_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(*arguments: object, **options: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    parser = ArgumentParser()
    with monkeypatch.context() as context:
        context.setattr(os, "stat", stat)
        assert config.apply(parser, None) == config.Hooks()


def test_existing_working_folder_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    leave_if_unusable(Namespace(inputs=["calls"], output=Path("reports")))
    assert Path.cwd() == tmp_path
