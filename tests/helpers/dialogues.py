"""Recordings of an agent and a customer, and their results."""

import json
from pathlib import Path

import numpy as np

from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.runs import at_noon, read_csv

BOTH = ("--speakers", "agent,customer")
CUSTOMER = (*BOTH, "--only", "customer")


def a_side(seed: int, pitch: float) -> np.ndarray:
    return voices.call(4, [(0.3, 1.7), (2.3, 3.6)], seed=seed, pitch=pitch)


def a_dialogue(path: Path, seed: int = 0) -> Path:
    """A recording with an agent on the first channel and a customer on the second."""
    write_wav(path, np.stack([a_side(seed, 110), a_side(seed + 50, 200)]))
    at_noon(path.parent)
    return path


def analysed(output: Path) -> dict[str, int]:
    return json.loads((output / "run.json").read_text())["analysed"]


def timelines(output: Path, name: str = "*.csv") -> list[dict[str, str]]:
    """Return the rows of all timelines whose files have this name."""
    return [row for path in sorted((output / "timelines").rglob(name)) for row in read_csv(path)]
