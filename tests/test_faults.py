"""After any fault in a run, later runs leave the same files as a run without faults."""

import random
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from analyzer.store.ledger import Ledger
from tests.helpers.faults import (
    Command,
    interrupted_at_points,
    killed_at_points,
    mixed_calls,
    on_a_small_disk,
    room_for,
    workers_killed_at_points,
)
from tests.helpers.runs import Analyze, contents

FORMATS = "csv,xlsx,jsonl,html"
#: Suffixes of the files that are compared. The workbook is left out, because it contains the time of writing.
COMPARED = (".csv", ".jsonl", ".html")
TABLES = ("recordings.csv", "files.csv", "html/index.html")
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 220))]


@dataclass(frozen=True)
class UndisturbedRun:
    """A run over sixty mixed files without faults: its number of points, and every file that it leaves."""

    calls: Path
    command: Command
    points: int
    files: dict[str, bytes]


def compared_files(output: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(output, "**/*.*").items() if name.endswith(COMPARED)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> UndisturbedRun:
    folder = tmp_path_factory.mktemp("undisturbed")
    command = Command(mixed_calls(folder / "calls"), tiny_model, "--format", FORMATS)
    ended = command.run_with_faults(folder / "out", "kill")
    assert (ended.status, ended.printed.count("failed: ")) == (
        1,
        9,
    )  # a line for each of eight files, and the last line
    files = compared_files(folder / "out")
    assert len(files) == 3 + 3 * 51  # tables and index; timeline, JSON lines and page per recording
    return UndisturbedRun(folder / "calls", command, ended.points, files)


@pytest.fixture
def output(undisturbed: UndisturbedRun, tmp_path: Path) -> Path:
    """An output folder next to the recordings, so that links from pages to recordings are the same in all runs."""
    return undisturbed.calls.parent / f"{tmp_path.parent.name}-{tmp_path.name}"


@pytest.mark.parametrize("seed", SEEDS)
def test_run_killed_repeatedly_is_completed(undisturbed: UndisturbedRun, output: Path, seed: int) -> None:
    killed_at_points(undisturbed.command, output, undisturbed.points, random.Random(seed))
    assert compared_files(output) == undisturbed.files
    assert not list(output.rglob(".writing-*"))


@pytest.mark.parametrize("seed", SEEDS)
def test_run_survives_killed_workers(undisturbed: UndisturbedRun, output: Path, seed: int) -> None:
    assert workers_killed_at_points(undisturbed.command, output, undisturbed.points, random.Random(seed)) > 0
    assert compared_files(output) == undisturbed.files


@pytest.mark.parametrize("seed", SEEDS)
def test_full_disk_keeps_finished_results(
    undisturbed: UndisturbedRun, output: Path, analyze: Analyze, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    generator, status = random.Random(seed), 3
    for _ in range(4):
        if status == 1:
            break
        with room_for(files=generator.randrange(160), pages=generator.randrange(8, 60)):
            status = analyze(undisturbed.calls, "-o", output, "-q", "--format", FORMATS)
        messages = capsys.readouterr().err.splitlines()
        assert status in (1, 3)
        if status == 3:
            (line,) = [line for line in messages if line.startswith("call-emotions: ")]
            assert "No space left" in line or "full" in line
        result_files = {name: content for name, content in compared_files(output).items() if name not in TABLES}
        assert result_files == {name: undisturbed.files[name] for name in result_files}
        with closing(Ledger(output, writable=False)) as ledger:
            finished = {
                str(entry.identity.result_path(Path("timelines"), ".csv"))
                for entry in ledger.entries()
                if entry.statistics
            }
        assert finished <= set(result_files)
    if status == 3:
        assert analyze(undisturbed.calls, "-o", output, "-q", "--format", FORMATS) == 1
    assert compared_files(output) == undisturbed.files


@pytest.mark.parametrize("seed", SEEDS[:30])
def test_run_stopped_by_signals_is_completed(undisturbed: UndisturbedRun, output: Path, seed: int) -> None:
    statuses = interrupted_at_points(undisturbed.command, output, undisturbed.points, random.Random(seed))
    assert set(statuses) <= {1, 130, 143}
    assert compared_files(output) == undisturbed.files


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [8, 64, 150, 200, 250, 300, 400, 600])
def test_full_file_system_loses_nothing(undisturbed: UndisturbedRun, output: Path, kilobytes: int) -> None:
    first, second = on_a_small_disk(undisturbed.command, output, kilobytes)
    assert first == 3 or kilobytes >= 300  # 300 kB may be just enough
    assert second == 1
    assert compared_files(output) == undisturbed.files
