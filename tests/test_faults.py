"""Whatever fault occurs in a run, later runs leave the same files as a run without faults."""

import random
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from analyzer.ledger import Ledger
from tests.faults import (
    Command,
    interrupted_at_points,
    killed_at_points,
    mixed_calls,
    on_a_small_disk,
    room_for,
    workers_killed_at_points,
)
from tests.nights import Analyze, contents

FORMATS = "csv,xlsx,jsonl,html"
#: Suffixes of the files that are compared. The workbook is left out, because it contains the time of writing.
COMPARED = (".csv", ".jsonl", ".html")
TABLES = ("recordings.csv", "files.csv", "html/index.html")
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 220))]


@dataclass(frozen=True)
class Undisturbed:
    """A run over sixty mixed files without faults: its number of points, and every file that it leaves."""

    calls: Path
    command: Command
    points: int
    files: dict[str, bytes]


def left_in(output: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(output, "**/*.*").items() if name.endswith(COMPARED)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    command = Command(mixed_calls(folder / "calls"), tiny_model, "--format", FORMATS)
    ended = command.run_with_faults(folder / "out", "kill")
    assert (ended.status, ended.said.count("failed: ")) == (1, 9)  # a line for each of eight files, and the last line
    files = left_in(folder / "out")
    assert len(files) == 3 + 3 * 51  # tables and index; timeline, JSON lines and page per recording
    return Undisturbed(folder / "calls", command, ended.points, files)


@pytest.fixture
def output(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """An output folder next to the recordings, so that links from pages to recordings are the same in all runs."""
    return undisturbed.calls.parent / f"{tmp_path.parent.name}-{tmp_path.name}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_that_is_killed_again_and_again_is_completed(undisturbed: Undisturbed, output: Path, seed: int) -> None:
    killed_at_points(undisturbed.command, output, undisturbed.points, random.Random(seed))
    assert left_in(output) == undisturbed.files
    assert not list(output.rglob(".writing-*"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_whose_workers_are_killed_comes_to_its_end(undisturbed: Undisturbed, output: Path, seed: int) -> None:
    assert workers_killed_at_points(undisturbed.command, output, undisturbed.points, random.Random(seed)) > 0
    assert left_in(output) == undisturbed.files


@pytest.mark.parametrize("seed", SEEDS)
def test_a_disk_that_is_full_costs_nothing_that_was_finished(
    undisturbed: Undisturbed, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    rng, status = random.Random(seed), 3
    for _ in range(4):
        if status == 1:
            break
        with room_for(files=rng.randrange(160), pages=rng.randrange(8, 60)):
            status = analyze(undisturbed.calls, "-o", output, "-q", "--format", FORMATS)
        said = capsys.readouterr().err.splitlines()
        assert status in (1, 3)
        if status == 3:
            (line,) = [line for line in said if line.startswith("call-emotions: ")]
            assert "No space left" in line or "full" in line
        left = {name: content for name, content in left_in(output).items() if name not in TABLES}
        assert left == {name: undisturbed.files[name] for name in left}
        with closing(Ledger(output, writable=False)) as ledger:
            done = {str(e.identity.result_path(Path("timelines"), ".csv")) for e in ledger.entries() if e.figures}
        assert done <= set(left)
    if status == 3:
        assert analyze(undisturbed.calls, "-o", output, "-q", "--format", FORMATS) == 1
    assert left_in(output) == undisturbed.files


@pytest.mark.parametrize("seed", SEEDS[:30])
def test_a_run_that_is_stopped_by_signals_is_completed(undisturbed: Undisturbed, output: Path, seed: int) -> None:
    statuses = interrupted_at_points(undisturbed.command, output, undisturbed.points, random.Random(seed))
    assert set(statuses) <= {1, 130, 143}
    assert left_in(output) == undisturbed.files


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [8, 64, 150, 200, 250, 300, 400, 600])
def test_a_file_system_that_is_really_full_costs_nothing(
    undisturbed: Undisturbed, output: Path, kilobytes: int
) -> None:
    first, second = on_a_small_disk(undisturbed.command, output, kilobytes)
    assert first == 3 or kilobytes >= 300  # 300 kB may be just enough
    assert second == 1
    assert left_in(output) == undisturbed.files
