"""Folders of calls, and the analyzer's results for them."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import openpyxl

from tests.helpers import voices
from tests.helpers.encoders import ENCODINGS, write_wav

#: Fixed modification time of files, 2026-11-24 12:00:00 UTC, so that runs can be compared.
MTIME = 1_795_521_600

#: Every bad file, and words that the reason of its failure must contain.
BAD = {
    "empty.wav": "empty",
    "header.wav": "no sound",
    "text.wav": "unsupported",
    "playlist.m4a": "unsupported",
    "damaged.ogg": "decoded",
    "dangling.wav": "leads nowhere",
    "x.wav": "folder",
    "pipe.wav": "pipe",
}
#: Awkward names of valid recordings.
AWKWARD = tuple(
    os.fsdecode(name)
    for name in (
        b"=1+1.wav",
        b"-x.wav",
        b"+49.wav",
        b"@a.wav",
        b"a\nb.wav",
        b'say "x", y.wav',
        b"caf\xe9.wav",
        b"\ttab.wav",
    )
)


@dataclass(frozen=True)
class Run:
    """A folder of calls, its output folder, and the exit status of the run."""

    calls: Path
    output: Path
    status: int

    def table(self, name: str) -> list[dict[str, str]]:
        return read_csv(self.output / name)

    def file(self, path: str) -> dict[str, str]:
        """Return the row of files.csv for a file, by its path below the calls."""
        (row,) = [row for row in self.table("files.csv") if row["file"] == f"{self.calls.name}/{path}"]
        return row

    def timeline(self, path: str) -> list[dict[str, str]]:
        return read_csv(self.output / "timelines" / self.calls.name / f"{path}.csv")

    def cells(self) -> dict[str, list[tuple[object, ...]]]:
        return read_workbook(self.output / "summary.xlsx")


@dataclass
class Calendar:
    """A clock that only tests move."""

    now: datetime = datetime(2026, 12, 1, 2, tzinfo=UTC)

    def seconds(self) -> float:
        """Return the time in seconds since 1970."""
        return self.now.timestamp()

    def pass_time(self, **by: float) -> None:
        """Move the clock forward; takes the arguments of timedelta."""
        self.now += timedelta(**by)


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def read_workbook(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the values of all cells, by sheet."""
    book = openpyxl.load_workbook(path)
    return {sheet.title: list(sheet.values) for sheet in book}


def manifest(output: Path) -> dict:
    """Return what run.json says of the last run."""
    return json.loads((output / "run.json").read_text())


def contents(folder: Path, pattern: str = "**/*.csv") -> dict[str, bytes]:
    """Return the bytes of all files below a folder that match a pattern, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob(pattern))}


def states(folder: Path, pattern: str = "**/*") -> dict[str, tuple[int, int, bytes]]:
    """Return inode, modification time and bytes of all files below a folder that match a pattern, by relative path."""
    found = {}
    for path in sorted(folder.glob(pattern)):
        if path.is_file():
            state = path.stat()
            found[str(path.relative_to(folder))] = (state.st_ino, state.st_mtime_ns, path.read_bytes())
    return found


def good_calls(folder: Path) -> Path:
    """Write nine valid recordings and a text file into one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    caller = voices.call(10, [(0.5, 3), (6, 9)], seed=1, pitch=200)
    agent = voices.call(10, [(3.2, 5.8), (8, 9.5)], seed=2, pitch=110)
    write_wav(folder / "two-speakers.wav", np.stack([caller, agent]), subtype="ULAW")
    write_wav(folder / "alike.wav", np.stack([caller, caller]))
    ENCODINGS["gsm.wav"].write(folder, agent, "voicemail.WAV")
    ENCODINGS["mp3.mp3"].write(folder, voices.call(6, [(1, 5)], 16000, seed=3))
    ENCODINGS["call.alaw"].write(folder, voices.call(6, [(1, 5)], seed=4))
    ENCODINGS["opus.webm"].write(folder, voices.call(4, [(1, 3)], 48000, seed=5))
    write_wav(folder / "silence.wav", np.zeros(40_000, np.float32))
    write_wav(folder / "tones.wav", voices.cadence(5, 0.5, 0.5, 480, 620))
    write_wav(folder / "noise.wav", voices.noise(5, level_db=-30))
    (folder / "README.md").write_text("# Last night's calls\n")
    return at_noon(folder)


def bad_calls(folder: Path) -> Path:
    """Write every kind of file that cannot be analysed, and recordings with awkward names; see BAD and AWKWARD."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty.wav").touch()
    (folder / "header.wav").write_bytes(write_wav(folder / "header.wav", np.zeros(8)).read_bytes()[:44])
    (folder / "text.wav").write_text("Dear colleague,\n" * 20)
    (folder / "playlist.m4a").write_text("#EXTM3U\nhttp://example.com/a.mp3\n")
    (folder / "damaged.ogg").write_bytes(b"OggS" + bytes(200))
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    (folder / "x.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    (folder / "latest").symlink_to("nowhere")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    for k, name in enumerate(AWKWARD):
        write_wav(folder / name, voices.call(2, [(0.3, 1.7)], seed=10 + k))
    cut = write_wav(folder / "cut.wav", voices.call(20, [(1, 9), (12, 19)], seed=30))
    cut.write_bytes(cut.read_bytes()[: 44 + 160_000])
    return at_noon(folder)


def at_noon(folder: Path) -> Path:
    """Give all files below a folder the modification time MTIME."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (MTIME, MTIME))
    return folder


def copied(run: Run, folder: Path) -> Run:
    """Copy the results of a run to another folder, for tests that change them; the calls stay where they are."""
    shutil.copytree(run.output, folder)
    return Run(run.calls, folder, run.status)


Analyze = Callable[..., int]


def a_call(path: Path, seed: int = 0) -> Path:
    """Write a short recording with speech."""
    write_wav(path, voices.call(2, [(0.3, 1.7)], seed=seed))
    os.utime(path, (MTIME, MTIME))
    return path
