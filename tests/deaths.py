"""What processes die of in tests: in a module that a process loads in a moment."""

import os
from pathlib import Path


def exits_for_nine(item: int) -> int:
    """The item with its sign changed; the process that is given 9 ends."""
    return os._exit(9) if item == 9 else -item


def dies_once(marker: Path) -> str:
    """Ends the first process that does this, which leaves a marker."""
    if not marker.exists():
        marker.touch()
        os._exit(9)
    return "made"
