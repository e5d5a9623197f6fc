"""Calls whose names contain telephone numbers."""

import os
from pathlib import Path

from tests.helpers.runs import a_call

NUMBER = "0821123456"
#: The most common pattern of date and time in names.
PATTERN = r"(?P<date>\d{8})[_-](?P<time>\d{6})"


def private_calls(folder: Path) -> Path:
    """Write calls with telephone numbers in folders, names and link targets."""
    a_call(folder / NUMBER / f"{NUMBER}_20261124_091500.wav")
    a_call(folder / f"in-{NUMBER}.wav", seed=1)
    a_call(folder / os.fsdecode(b"caf\xe9-0821123456.wav"), seed=2)
    (folder / f"{NUMBER}.mp3").write_bytes(b"no sound")
    (folder / f"{NUMBER}.txt").write_text("a note")
    (folder / f"link-{NUMBER}.wav").symlink_to(f"nowhere-{NUMBER}")
    (folder / f"{NUMBER}.wav.part").write_bytes(b"RIFF")
    return folder
