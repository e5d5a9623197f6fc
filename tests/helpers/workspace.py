"""A folder of calls and an output folder for their results, with the commands that change these."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.commands.main import main
from tests.helpers.dialogues import analysed
from tests.helpers.metadata import metadata
from tests.helpers.runs import Analyze, a_call, contents, read_csv


@dataclass(frozen=True)
class Workspace:
    """Called with options, it analyses the calls and returns the exit status; so does `prune`."""

    calls: Path
    output: Path
    analyze: Analyze

    def __call__(self, *options: object) -> int:
        return self.analyze(self.calls, "-o", self.output, *options)

    def prune(self, *options: str) -> int:
        return main(["prune", "-o", str(self.output), *options])

    def beside(self, name: str) -> "Workspace":
        """Return a workspace with the same calls and another output folder."""
        return replace(self, output=self.output.parent / name)

    def write_calls(self, *names: str, write: Callable[[Path, int], Path] = a_call) -> None:
        """Write recordings that differ, with names below the calls."""
        for seed, name in enumerate(names):
            write(self.calls / name, seed)

    def metadata(self, *lines: str) -> tuple[str, str]:
        """Write a file of metadata; return the options that name it."""
        return "--metadata", str(metadata(self.output.parent, *lines))

    def analysed(self) -> dict[str, int]:
        """Return how many recordings of each status the last run analysed."""
        return analysed(self.output)

    def contents(self) -> dict[str, bytes]:
        """Return all tables and timelines."""
        return contents(self.output)

    def files(self) -> list[str]:
        """Return the names of all files in files.csv."""
        return [row["file"] for row in read_csv(self.output / "files.csv")]
