"""A tiny corpus in the publishers' layout, and a model trained on it that most tests here use."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from analyzer.emotions import EMOTIONS
from tests.helpers.clips import voice, write

ACTORS = ("01", "02", "03", "04", "05", "06")


def ravdess_name(emotion: int, take: int, actor: str) -> str:
    return f"03-01-{emotion + 1:02d}-01-01-{take:02d}-{actor}"


@pytest.fixture
def torn_arrays(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Return a function that runs some work and interrupts it within the first file of arrays that it writes."""

    def torn(path: Path, **_: object) -> None:
        path.write_bytes(b"half a file")
        raise KeyboardInterrupt

    def interrupted(work: Callable[[], object]) -> None:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(np, "savez", torn)
            work()

    return interrupted


@pytest.fixture(scope="session")
def tiny_ravdess(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "ravdess"
    for actor in ACTORS:
        for emotion in range(len(EMOTIONS)):
            for take in (1, 2):
                path = folder / f"Actor_{actor}" / f"{ravdess_name(emotion, take, actor)}.wav"
                write(path, voice(int(actor), emotion, take))
    return folder


@pytest.fixture(scope="session")
def tiny_tess(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "tess"
    for number, speaker in enumerate(("OAF", "YAF")):
        for emotion, label in enumerate(("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")):
            write(folder / f"{speaker}_{label}" / f"{speaker}_back_{label}.wav", voice(30 + number, emotion, 1))
    return folder


@dataclass(frozen=True)
class TinyModel:
    """A model folder, its reports, and the output of the command."""

    folder: Path
    reports: Path
    stdout: str
    stderr: str

    @property
    def metrics(self) -> dict:
        return json.loads((self.folder / "metrics.json").read_text())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_ravdess: Path, tiny_tess: Path) -> TinyModel:
    """The results of `python -m training fit` on the tiny corpora after two epochs."""
    import contextlib
    import io

    from training.cli import main

    out = tmp_path_factory.mktemp("trained")
    folder, reports = out / "models" / "tiny", out / "reports"
    stdout, stderr = io.StringIO(), io.StringIO()
    arguments = ["fit", "--ravdess", tiny_ravdess, "--tess", tiny_tess, "-o", folder, "--reports", reports]
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        status = main([str(part) for part in arguments] + ["--epochs", "2", "--batch", "16", "--seed", "3"])
    assert status == 0, stderr.getvalue()
    return TinyModel(folder, reports, stdout.getvalue(), stderr.getvalue())
