"""Plot the benchmark tables as one PNG."""

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.stages import STAGES

FILE = "benchmarks.png"
_REQUIRED_TABLES = ("speed", "by_stage", "scaling", "length")


def draw(folder: Path) -> None:
    """Plot the tables of a folder as a PNG beside them, if every table that it shows has been measured."""
    if not all((folder / f"{name}.csv").is_file() for name in _REQUIRED_TABLES):
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    speed, by_stage, scaling, length = (pd.read_csv(folder / f"{name}.csv") for name in _REQUIRED_TABLES)
    figure, ((speed_axes, stage_axes), (scaling_axes, memory_axes)) = pyplot.subplots(
        2, 2, figsize=(12, 8), layout="constrained"
    )
    _draw_speed(speed_axes, speed)
    _draw_stages(stage_axes, by_stage)
    calls = scaling[scaling["of"] == "calls"]
    scaling_axes.plot(calls["calls"] / 60, calls["seconds"], "o-")
    scaling_axes.set(
        title="More calls of a minute", xlabel="hours of sound", ylabel="seconds", xscale="log", yscale="log"
    )
    memory_axes.plot(length["minutes"], length["tree_mb"], "o-")
    memory_axes.set(title="One recording, in one process", xlabel="its minutes", ylabel="MB at most", xscale="log")
    memory_axes.set_ylim(0, 1.1 * length["tree_mb"].max())
    figure.suptitle((folder / "machine.txt").read_text(encoding="utf-8").replace("\n", ". ").strip())
    figure.savefig(folder / FILE, dpi=110)
    pyplot.close(figure)


def _draw_speed(axes: Any, speed: pd.DataFrame) -> None:
    table = speed[speed["way"] != "decoding alone"].pivot(index="way", columns="encoding", values="times_real_time")
    table.loc[["notebook", "accurate", "default"]].plot.barh(ax=axes, logx=True)
    for bars in axes.containers:
        axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set(title="Whole processes, all cores", xlabel="times real time", ylabel="")
    axes.margins(x=0.15)


def _draw_stages(axes: Any, by_stage: pd.DataFrame) -> None:
    labels = by_stage["model"] + ", " + by_stage["encoding"]
    shares = by_stage[list(STAGES)].div(by_stage["all"], axis=0)
    shares.set_axis(labels).plot.barh(ax=axes, stacked=True)
    axes.set(title="Where the time goes, one core", xlabel="share of the time", ylabel="", xlim=(0, 1))
    axes.legend(ncols=len(STAGES), loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False)
