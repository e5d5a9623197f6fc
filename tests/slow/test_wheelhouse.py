"""The wheelhouse for a server without a network: its content, and that it is sufficient."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.runs import contents, read_csv

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
#: An environment without settings of pip, which must find everything in the wheelhouse.
BARE_ENVIRONMENT = {"PATH": os.defpath, "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make wheelhouse` fills; this needs a package index."""
    folder = tmp_path_factory.mktemp("server") / "wheelhouse"
    subprocess.run(["make", "wheelhouse", f"WHEELHOUSE={folder}"], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def tool(wheelhouse: Path) -> Path:
    """The command, installed from the wheelhouse alone, as `make wheelhouse` explains."""
    environment = wheelhouse.parent / "venv"
    run(sys.executable, "-m", "venv", environment)
    run(environment / "bin" / "pip", "install", "--no-index", "--find-links", wheelhouse, "call-emotions")
    return environment / "bin" / "call-emotions"


def run(*command: object) -> str:
    """Run a command that must succeed, in a folder without files of this project; return its output."""
    arguments = [os.fspath(argument) for argument in command]
    completed = subprocess.run(arguments, cwd="/", env=BARE_ENVIRONMENT, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_wheelhouse_contains_pinned_wheels(wheelhouse: Path) -> None:
    assert {path.suffix for path in wheelhouse.iterdir()} == {".whl"}
    names = [path.name.split("-")[:2] for path in wheelhouse.iterdir()]
    collected = {name.lower().replace("_", "-"): version for name, version in names}
    assert len(collected) == len(names)
    pinned = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert all((name, version) in pinned for name, version in collected.items() if name != "call-emotions")


def test_wheelhouse_has_no_training_packages(wheelhouse: Path) -> None:
    names = {path.name.partition("-")[0].lower() for path in wheelhouse.iterdir()}
    assert "call_emotions" in names
    assert not names & {"tensorflow", "keras", "librosa", "seaborn", "pytest", "distributed", "s3fs"}


def test_installed_tool_passes_doctor(tool: Path) -> None:
    checks = run(tool, "doctor").splitlines()
    assert checks
    assert all(line.startswith("ok ") for line in checks)
    assert any(f"in {tool.parents[1]}" in line for line in checks)  # the tool's own model, not the checkout's


def test_installed_tool_gives_same_bytes(tool: Path, tmp_path: Path) -> None:
    options = [ROOT / "examples" / "calls", "--quiet", "--format", "csv,xlsx,html,png,jsonl"]
    run(tool, "analyze", *options, "--output", tmp_path / "there")
    run(Path(sys.executable).with_name("call-emotions"), "analyze", *options, "--output", tmp_path / "here")
    rows = read_csv(tmp_path / "there" / "files.csv")
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "no_speech"]
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    for name, count in (("html", 5), ("png", 4), ("jsonl", 4)):
        files = sorted(path for path in (tmp_path / "there" / name).rglob("*") if path.is_file())
        assert len(files) == count
        assert all(
            path.read_bytes() == (tmp_path / "here" / path.relative_to(tmp_path / "there")).read_bytes()
            for path in files
        )
