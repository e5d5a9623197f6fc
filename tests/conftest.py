"""What the tests of the analyzer share: their model, their sounds, their nights."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from analyzer.cli import main, one_thread_per_process

# As the command does before it loads numpy: here the night runs in this process, and numpy reads these once.
one_thread_per_process()

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from analyzer import batch
from analyzer.classifier import Classifier
from analyzer.plan import Due
from analyzer.signals import StopSignals
from analyzer.work import Result, Work, analyse_due
from analyzer.workers import until
from tests import voices
from tests.encoders import ENCODINGS, Encoding
from tests.nights import Analyze, Calendar, Night, bad_calls, good_calls
from tests.tiny_model import make_tiny_model

# The same examples every time: a suite that is red today was red yesterday.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that is small and always the same."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def classifier(tiny_model: Path) -> Classifier:
    return Classifier(tiny_model)


@pytest.fixture(scope="session")
def analyze(tiny_model: Path) -> Analyze:
    """`call-emotions analyze` in this process, with the tiny model and one job unless told otherwise.

    One job is done in this very process, where tests can put faults into the way of a recording, and which starts
    sooner; more jobs are done by processes, as the command does.
    """

    def run(*arguments: object, jobs: int = 1, model: Path = tiny_model) -> int:
        with pytest.MonkeyPatch.context() as context:
            if jobs == 1:
                context.setattr(batch, "analyse_here", in_this_process)
            return main(["analyze", *(os.fspath(a) for a in arguments), "-j", str(jobs), "--model", str(model)])

    return run


def in_this_process(
    due: Sequence[Due], work: Work, processes: int, stop: StopSignals, ends_at: float | None
) -> Iterator[Result]:
    for item in until(ends_at, due):
        yield analyse_due(item, work)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    """The clock of `analyze`, for a test that runs it on several days."""
    calendar = Calendar()
    monkeypatch.setattr(batch, "current_time", calendar.seconds)
    return calendar


@pytest.fixture
def encoding(request: pytest.FixtureRequest) -> Encoding:
    """An encoding by its name in tests/encoders.py, given by indirect parametrisation."""
    return ENCODINGS[request.param]


@pytest.fixture
def recording(encoding: Encoding, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Four seconds of speech in that encoding, and what was said: shaped (1, samples)."""
    said = voices.speech(4, encoding.rate)[None]
    return encoding.write(tmp_path, said), said


@pytest.fixture(scope="session")
def good_night(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Night:
    """A night without a fault, analysed once; tests only read it."""
    folder = tmp_path_factory.mktemp("good")
    calls = good_calls(folder / "calls")
    return Night(calls, folder / "out", analyze(calls, "-o", folder / "out"))


@pytest.fixture(scope="session")
def bad_night(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Night:
    """A night with every fault there is, analysed once; tests only read it."""
    folder = tmp_path_factory.mktemp("bad")
    calls = bad_calls(folder / "calls")
    return Night(calls, folder / "out", analyze(calls, "-o", folder / "out"))
