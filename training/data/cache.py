"""Files and keys of the cache."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.store.outputs import atomic_write
from training.data.corpora import Clip


def key_of(clips: Sequence[Clip], *settings: object) -> str:
    """Return a hexadecimal cache key for a result that was computed from clips with some settings."""
    names = [f"{clip.corpus}/{clip.path.name}" for clip in clips]
    return hashlib.sha256(json.dumps([*settings, names]).encode()).hexdigest()


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays to a cache file, atomically."""
    with atomic_write(path, ".npz") as temporary:
        np.savez(temporary, **arrays)
