"""The benchmark tables. Ratios within a table are of one run; seconds depend on the machine."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analyzer.model.classifier import Classifier, find_model
from benchmarks import archive, calls, cluster, measure, stages

MODELS, ENCODINGS = ("default", "accurate"), ("wav", "mp3")
CORES = os.cpu_count() or 1
#: Number of whole calls for the notebook approach: enough that the time of its imports matters little.
NOTEBOOK_CALLS = 3
#: `accurate` is measured on one call in FEWER.
ACCURATE_REDUCTION = 5
_REPEATS = 3


@dataclass(frozen=True)
class Material:
    """Input of the measurements.

    Attributes
    ----------
    folder : for calls and results; its creator empties it afterwards.
    speech : pieces of speech, see `benchmarks.calls`.
    calls, minutes : number and length of the calls that speed is measured on.
    many : number of short recordings.
    """

    folder: Path
    speech: list[np.ndarray]
    calls: int
    minutes: float
    many: int

    def made(self, count: int, minutes: float, encoding: str = "wav") -> Path:
        """Return a folder of calls, which is created only once."""
        folder = self.folder / f"{count}x{minutes:g}-{encoding}"
        return folder if folder.is_dir() else calls.make_calls(folder, count, minutes, encoding, self.speech)

    def output(self) -> Path:
        """Return the path of the output folder, after deleting it."""
        folder = self.folder / "out"
        shutil.rmtree(folder, ignore_errors=True)
        return folder


def speed(material: Material) -> pd.DataFrame:
    """Compare the analyzer with the notebook approach and with decoding alone, as whole processes."""
    rows = [row for encoding in ENCODINGS for row in _speed(material, encoding)]
    table = pd.DataFrame(rows, columns=["encoding", "way", "processes", "audio_h", "seconds", "tree_mb"])
    table["times_real_time"] = table["audio_h"] * 3600 / table["seconds"]
    table["audio_h_per_hour_per_core"] = table["times_real_time"] / CORES
    notebook_speed = table[table["way"] == "notebook"].set_index("encoding")["times_real_time"]
    decoding_speed = table[table["way"] == "decoding alone"].set_index("encoding")["times_real_time"]
    table["times_notebook"] = table["times_real_time"] / table["encoding"].map(notebook_speed)
    table["times_decoding"] = table["times_real_time"] / table["encoding"].map(decoding_speed)
    return table


def _speed(material: Material, encoding: str) -> Iterator[tuple[object, ...]]:
    folder = material.made(material.calls, material.minutes, encoding)
    hours = material.calls * material.minutes / 60
    # Without ffmpeg on the system, pydub reads WAV only; the notebook always gets WAV, which is to its advantage.
    notebook_calls = material.made(NOTEBOOK_CALLS, material.minutes, "wav")
    notebook_costs = [measure.notebook(notebook_calls, material.output(), material.minutes * 60)]
    default_costs = [measure.analyze(folder, material.output(), "-j", CORES) for _ in range(_REPEATS)]
    few_calls = material.made(max(CORES, material.calls // ACCURATE_REDUCTION), material.minutes, encoding)
    accurate_cost = measure.analyze(few_calls, material.output(), "-j", CORES, "--model", "accurate")
    notebook_costs.append(measure.notebook(notebook_calls, material.output(), material.minutes * 60))
    mean_seconds = sum(cost.seconds for cost in notebook_costs) / len(notebook_costs)
    yield encoding, "notebook", 1, NOTEBOOK_CALLS * material.minutes / 60, mean_seconds, notebook_costs[0].tree_mb
    median_cost = sorted(default_costs, key=lambda cost: cost.seconds)[_REPEATS // 2]
    yield encoding, "default", CORES, hours, median_cost.seconds, max(cost.tree_mb for cost in default_costs)
    yield (
        encoding,
        "accurate",
        CORES,
        len(list(few_calls.iterdir())) * material.minutes / 60,
        accurate_cost.seconds,
        accurate_cost.tree_mb,
    )
    yield encoding, "decoding alone", 1, hours, stages.decoding_alone(sorted(folder.iterdir())), np.nan


def by_stage(material: Material) -> pd.DataFrame:
    """Seconds per stage on one core for an hour of sound."""
    rows = []
    for encoding in ENCODINGS:
        paths = sorted(material.made(calls.DISTINCT, material.minutes, encoding).iterdir())
        for model in MODELS:
            classifier, chosen = Classifier(find_model(model)), paths if model == "default" else paths[:2]
            stages.seconds_by_stage(paths[:1], classifier, material.output())  # warm-up, for what is done only once
            seconds = stages.seconds_by_stage(chosen, classifier, material.output())
            per_hour = {stage: seconds[stage] / seconds["length"] * 3600 for stage in stages.STAGES}
            talk = seconds["talk"] / seconds["length"]
            rows.append({"encoding": encoding, "model": model, "talk": talk, **per_hour, "all": sum(per_hour.values())})
    return pd.DataFrame(rows)


def scaling(material: Material) -> pd.DataFrame:
    """Seconds, memory and speed in times real time, for more processes and for more calls."""
    rows = []
    folder = material.made(material.calls, material.minutes)
    for jobs in (1, CORES, 2 * CORES):
        cost = measure.analyze(folder, material.output(), "-j", jobs)
        rows.append(("processes", jobs, material.calls, material.minutes, cost.seconds, cost.tree_mb, cost.parent_mb))
    for count in (10, 20, 100, 200, 500, 1000):
        cost = measure.analyze(material.made(count, 1), material.output(), "-j", CORES)
        rows.append(("calls", CORES, count, 1, cost.seconds, cost.tree_mb, cost.parent_mb))
    columns = ["of", "processes", "calls", "minutes_each", "seconds", "tree_mb", "parent_mb"]
    table = pd.DataFrame(rows, columns=columns)
    table["times_real_time"] = table["calls"] * table["minutes_each"] * 60 / table["seconds"]
    return table


def length(material: Material) -> pd.DataFrame:
    """Time and memory for one recording of growing length in one process; the memory should stay constant."""
    rows = []
    for minutes in (1, 10, 60, 600):
        folder = material.made(1, minutes)
        cost = measure.analyze(folder, material.output(), "-j", 1)
        rows.append((minutes, cost.seconds, minutes * 60 / cost.seconds, cost.tree_mb))
        shutil.rmtree(folder)
    return pd.DataFrame(rows, columns=["minutes", "seconds", "times_real_time", "tree_mb"])


def many(material: Material) -> pd.DataFrame:
    """Time and memory for many short recordings: a first run, and a run without new recordings."""
    folder, output = calls.make_short(material.folder / "many", material.many), material.output()
    rows = []
    for run in ("first", "nothing new"):
        cost = measure.analyze(folder, output, "-j", CORES, "--format", "csv")
        rows.append((run, material.many, cost.seconds, cost.tree_mb, cost.parent_mb))
    shutil.rmtree(folder)
    return pd.DataFrame(rows, columns=["night", "recordings", "seconds", "tree_mb", "parent_mb"])


def report(material: Material) -> pd.DataFrame:
    """Time and memory for regenerating the tables of an archive of `many` recordings, without and with workbook."""
    output = archive.make_archive(material.output(), material.many)
    rows = []
    for formats in ("csv", "csv,xlsx"):
        cost = measure.run([sys.executable, "-m", "analyzer", "report", output, "--format", formats])
        rows.append((formats, material.many, cost.seconds, cost.tree_mb))
    return pd.DataFrame(rows, columns=["formats", "recordings", "seconds", "tree_mb"])


def clusters(material: Material) -> pd.DataFrame:
    """Capacity of a Dask scheduler, with a stand-in for the analysis."""
    return cluster.throughput(material.folder, [material.many // 10, material.many, 10 * material.many])


def start(material: Material) -> pd.DataFrame:
    """Time of the whole command if there is almost nothing to do; the best of several runs."""
    short = material.made(1, 1 / 6)
    rows = []
    for model in MODELS:
        options = ("-j", CORES, "--model", model)
        seconds = [measure.analyze(short, material.output(), *options).seconds for _ in range(_REPEATS)]
        rows.append((f"a recording of 10 s, {model}", min(seconds)))
    help_seconds = [measure.run([sys.executable, "-m", "analyzer", "--help"]).seconds for _ in range(_REPEATS)]
    return pd.DataFrame([("--help", min(help_seconds)), *rows], columns=["what", "seconds"])
