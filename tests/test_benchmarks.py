"""The benchmarks measure what they claim: calls of the requested length, complete processes, every stage."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from analyzer.audio.reader import open_audio
from analyzer.model.classifier import Classifier
from benchmarks import calls, capacity, cli, measure, plot, stages, tables
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.runs import read_csv


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("voices")
    for k in range(2):
        write_wav(folder / f"{k}.wav", voices.call(30, [(1, 9), (10, 19), (20, 29)], seed=k))
    return calls.speech_of(folder)


@pytest.fixture
def material(tmp_path: Path, speech: list[np.ndarray]) -> tables.Material:
    return tables.Material(tmp_path, speech, calls=2, minutes=0.2, many=3)


@pytest.mark.parametrize("encoding", tables.ENCODINGS)
def test_calls_have_the_requested_length(tmp_path: Path, speech: list[np.ndarray], encoding: str) -> None:
    folder = calls.make_calls(tmp_path / "calls", 12, 0.1, encoding, speech)
    assert [path.name for path in sorted(folder.iterdir())] == [f"{k:05d}.{encoding}" for k in range(12)]
    for path in folder.iterdir():
        with open_audio(path) as stream:
            assert (stream.channels, stream.rate) == (2, 8000)
            samples = sum(block.shape[1] for block in stream.blocks())
            assert samples == pytest.approx(48_000, abs=0 if encoding == "wav" else 3000)
    assert len({path.read_bytes() for path in folder.iterdir()}) == calls.DISTINCT


def test_calls_are_three_quarters_speech(speech: list[np.ndarray]) -> None:
    sound = np.concatenate(list(calls.call(1, 3, speech)), axis=1)
    assert sound.shape == (2, 3 * 60 * calls.RATE)
    # Each row is a tenth of a second.
    loud = np.sqrt(np.square(sound.reshape(2, -1, 800)).mean(axis=2)) > 0.003
    assert loud.any(axis=0).mean() > 0.75
    assert (loud.mean(axis=1) > 0.25).all()


def test_calls_are_reproducible(speech: list[np.ndarray]) -> None:
    first, repeated, other = (np.concatenate(list(calls.call(seed, 0.1, speech)), axis=1) for seed in (1, 1, 2))
    assert np.array_equal(first, repeated) and not np.array_equal(first, other)


def test_folder_without_speech_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no speech"):
        calls.speech_of(tmp_path)


def test_every_stage_is_timed(tmp_path: Path, material: tables.Material, classifier: Classifier) -> None:
    paths = sorted(material.made(2, 0.2).iterdir())
    seconds = stages.seconds_by_stage(paths, classifier, tmp_path / "out")
    assert set(stages.STAGES) | {"length", "talk"} == set(seconds)
    assert all(seconds[stage] > 0 for stage in stages.STAGES)
    assert seconds["length"] == pytest.approx(24)
    assert seconds["talk"] > 0.6 * 24
    for path in paths:
        assert read_csv(tmp_path / "out" / f"{path.name}.csv")
    assert stages.decoding_alone(paths) > 0


def test_memory_includes_child_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resident = measure._resident

    def watched_resident(process: psutil.Process) -> int:
        """Return the resident memory; creates a file named by the process id if it is more than 64 MB."""
        memory = resident(process)
        if memory > 64 << 20:
            (tmp_path / str(process.pid)).touch()
        return memory

    monkeypatch.setattr(measure, "_resident", watched_resident)
    is_seen = f"os.path.exists(f'{tmp_path}/{{os.getpid()}}')"
    hold = f"import os, time\nheld = bytearray(64 << 20)\nwhile not {is_seen}: time.sleep(0.01)"
    alone = measure.run([sys.executable, "-c", hold])
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with_child = measure.run([sys.executable, "-c", child])
    assert alone.parent_mb > 64 and alone.tree_mb == alone.parent_mb
    assert with_child.parent_mb < 64 < with_child.tree_mb
    assert measure.run([sys.executable, "-c", "import time; time.sleep(0.2)"]).seconds > 0.2


def test_failing_command_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="no such luck"):
        measure.run([sys.executable, "-c", "raise SystemExit('no such luck')"])


def test_second_run_analyses_nothing(material: tables.Material) -> None:
    table = tables.many(material)
    assert list(table["night"]) == ["first", "nothing new"]
    assert (table["seconds"] > 0).all()


def test_synthetic_archive_is_reported(material: tables.Material) -> None:
    table = tables.report(material)
    assert list(table["formats"]) == ["csv", "csv,xlsx"]
    output = material.folder / "out"
    assert len(pd.read_csv(output / "recordings.csv")) == 2 * material.many
    assert len(pd.read_excel(output / "summary.xlsx", sheet_name="Recordings")) == 2 * material.many


def test_machine_is_described_beside_the_table(tmp_path: Path) -> None:
    write_wav(tmp_path / "speech" / "a.wav", voices.call(5, [(1, 4)]))
    arguments = ["--out", tmp_path / "out", "--speech", tmp_path / "speech", "--work", tmp_path, "--only", "many"]
    assert cli.main([*map(str, arguments), "--many", "2"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"machine.txt", "many.csv"}
    assert "cores" in (tmp_path / "out" / "machine.txt").read_text()


def test_plot_needs_all_tables(tmp_path: Path) -> None:
    (tmp_path / "machine.txt").write_text("Abacus, 2 cores\n")
    ways = ["notebook", "accurate", "default", "decoding alone"]
    speed = pd.DataFrame({"encoding": "wav", "way": ways, "times_real_time": [30, 300, 1900, 20000]})
    by_stage = pd.DataFrame(
        {"encoding": ["wav"], "model": ["default"], **dict.fromkeys(stages.STAGES, 0.5), "all": 2.5}
    )
    scaling = pd.DataFrame({"of": "calls", "calls": [10, 100], "seconds": [1.0, 9.0]})
    length = pd.DataFrame({"minutes": [1, 600], "tree_mb": [150.0, 160.0]})
    for name, table in {"speed": speed, "by_stage": by_stage, "scaling": scaling, "length": length}.items():
        plot.draw(tmp_path)
        assert not (tmp_path / plot.FILE).exists()
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    plot.draw(tmp_path)
    assert (tmp_path / plot.FILE).read_bytes().startswith(b"\x89PNG")


def test_capacity_follows_from_speed(tmp_path: Path) -> None:
    ways = ["notebook", "default", "accurate"]
    speed = pd.DataFrame({"encoding": "wav", "way": ways, "audio_h_per_hour_per_core": [16.0, 1000.0, 100.0]})
    speed.to_csv(tmp_path / "speed.csv", index=False)
    capacity.write(tmp_path)
    table = pd.read_csv(tmp_path / capacity.FILE).set_index(["model", "hours_of_calls"])
    assert table.loc[("default", 1_000_000), "core_hours"] == 1000
    assert table.loc[("accurate", 1_000_000), "cores_for_a_night"] == pytest.approx(10_000 / 8)
