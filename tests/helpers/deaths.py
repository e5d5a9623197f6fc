"""Tasks that end their worker process; a module of its own, so that a process imports it quickly."""

import os
from pathlib import Path


def exits_for_nine(item: int) -> int:
    """Return the item with its sign changed; end the process if the item is 9."""
    return os._exit(9) if item == 9 else -item


def dies_once(marker: Path) -> str:
    """End the process if the marker does not exist, after creating it."""
    if not marker.exists():
        marker.touch()
        os._exit(9)
    return "made"
