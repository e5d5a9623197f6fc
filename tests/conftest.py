"""Shared fixtures of the analyzer tests: models, recordings and finished runs."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from analyzer.commands.main import main, one_thread_per_process

# The command does this before it imports numpy, which reads these variables only once. Here runs share this process.
one_thread_per_process()

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from analyzer.batch import batch
from analyzer.batch.job import JobSettings, Result, analyse_job
from analyzer.batch.local import until
from analyzer.batch.plan import Job
from analyzer.model.classifier import Classifier
from analyzer.runtime.signals import StopSignals
from tests.helpers import voices
from tests.helpers.bucket import bucket, server  # noqa: F401  # fixtures
from tests.helpers.encoders import ENCODINGS, Encoding
from tests.helpers.listening import two_channels  # noqa: F401  # a fixture
from tests.helpers.runs import Analyze, Calendar, Run, bad_calls, good_calls
from tests.helpers.tiny_model import make_tiny_model
from tests.helpers.workspace import Workspace

# Hypothesis draws the same examples every time, so that a failure can be reproduced.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small, deterministic model."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def classifier(tiny_model: Path) -> Classifier:
    return Classifier(tiny_model)


@pytest.fixture(scope="session")
def analyze(tiny_model: Path) -> Analyze:
    """Return a function that runs `call-emotions analyze` in this process, by default with the tiny model and one job.

    With one job the recordings are analysed in this process too, which starts faster and lets tests inject
    faults. With more jobs worker processes analyse them, as in the command.
    """

    def run(*arguments: object, jobs: int = 1, model: Path = tiny_model) -> int:
        with pytest.MonkeyPatch.context() as context:
            if jobs == 1:
                context.setattr(batch, "analyse_here", in_this_process)
            return main(["analyze", *(os.fspath(a) for a in arguments), "-j", str(jobs), "--model", str(model)])

    return run


def in_this_process(
    jobs: Sequence[Job], work: JobSettings, processes: int, stop: StopSignals, ends_at: float | None
) -> Iterator[Result]:
    for item in until(ends_at, jobs):
        yield analyse_job(item, work)


@pytest.fixture
def work(tmp_path: Path, analyze: Analyze) -> Workspace:
    return Workspace(tmp_path / "calls", tmp_path / "out", analyze)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    """Replace the clock of `analyze`, for tests that run it on several days."""
    calendar = Calendar()
    monkeypatch.setattr(batch, "current_time", calendar.seconds)
    return calendar


@pytest.fixture
def encoding(request: pytest.FixtureRequest) -> Encoding:
    """The encoding of tests/helpers/encoders.py that indirect parametrisation names."""
    return ENCODINGS[request.param]


@pytest.fixture
def recording(encoding: Encoding, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Four seconds of speech: a file in that encoding, and the original samples shaped (1, samples)."""
    samples = voices.speech(4, encoding.rate)[None]
    return encoding.write(tmp_path, samples), samples


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Run:
    """A run without failures, done once; tests must only read it."""
    folder = tmp_path_factory.mktemp("good")
    calls = good_calls(folder / "calls")
    return Run(calls, folder / "out", analyze(calls, "-o", folder / "out"))


@pytest.fixture(scope="session")
def bad_run(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Run:
    """A run with every kind of bad file, done once; tests must only read it."""
    folder = tmp_path_factory.mktemp("bad")
    calls = bad_calls(folder / "calls")
    return Run(calls, folder / "out", analyze(calls, "-o", folder / "out"))
