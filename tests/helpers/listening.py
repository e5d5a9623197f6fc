"""What `call-emotions listen` reads, and the lines that it writes."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from analyzer.commands import listen as live
from analyzer.commands.listen import ListenSettings
from analyzer.runtime.signals import StopSignals
from tests.helpers import voices

RATE = 8000


def two_speakers() -> np.ndarray:
    """Return two speakers, shaped (2, samples), int16."""
    caller = voices.call(12, [(1, 4.4), (9, 10.2)], seed=1, pitch=200)
    agent = voices.call(12, [(4.5, 8.5)], seed=2, pitch=110)
    return np.rint(np.stack([caller, agent]) * 32767).astype(np.int16)


def raw(sound: np.ndarray) -> bytes:
    """Return samples as raw PCM."""
    return np.ascontiguousarray(sound.T).astype("<i2").tobytes()


@contextmanager
def piped(pieces: list[bytes]) -> Iterator[BinaryIO]:
    """Open a pipe into which these pieces are written one after the other; yields its reading end."""
    reading, writing = os.pipe()

    def write() -> None:
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)

    writer = threading.Thread(target=write)
    with os.fdopen(reading, "rb") as source:
        writer.start()
        yield source
        writer.join()


def listen_to(settings: ListenSettings, pieces: list[bytes]) -> list[str]:
    """Return the lines for a sound that arrives in these pieces."""
    sink = io.StringIO()
    with piped(pieces) as source, StopSignals() as stop:
        assert live.run(settings, source, sink, stop) == 0
    return sink.getvalue().splitlines()


@pytest.fixture(scope="module")
def two_channels(tiny_model: Path) -> ListenSettings:
    return ListenSettings(channels=2, model=str(tiny_model))
