"""Plots of an evaluation; each model has the same colour in all of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyzer.emotions import EMOTIONS
from training.evaluation.tables import ALL, MAIN_CONDITION, SCORED_COLUMNS

CONDITIONS_FILE, RELIABILITY_FILE, RISK_FILE = "conditions.png", "reliability.png", "risk_coverage.png"
_DPI = 120
#: Bins with fewer clips are not drawn: with one or two clips, accuracy jumps between 0 and 1.
_MIN_CLIPS = 10


def confusion_file(model: str) -> str:
    """Return the file name of a model's confusion matrix plot."""
    return f"confusion_{model}.png"


def write_conditions(folder: Path, table: pd.DataFrame) -> None:
    """Plot UAR with its interval under every condition, models side by side; `table` comes from by_condition."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    conditions = list(dict.fromkeys(table["condition"]))
    models = list(dict.fromkeys(table["model"]))
    for number, (model, rows) in enumerate(_rows_by_model(table)):
        offset = (number - (len(models) - 1) / 2) * 0.8 / len(models)
        scores = rows.set_index("condition").reindex(conditions)[[*SCORED_COLUMNS]].astype(float)
        error_bars = [scores["uar"] - scores["uar_low"], scores["uar_high"] - scores["uar"]]
        axes.errorbar(np.arange(len(conditions)) + offset, scores["uar"], error_bars, fmt="o", capsize=3, label=model)
    axes.axhline(1 / len(EMOTIONS), color="grey", linestyle=":", label="guessing")
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set(ylim=(0, 1), ylabel="UAR")
    axes.set_title("Unseen speakers, with 95 % intervals")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    figure.savefig(folder / CONDITIONS_FILE, dpi=_DPI)


def write_confusions(folder: Path, table: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    """Plot the confusion matrix of each model that has one; return the file names."""
    names = []
    for model, rows in _rows_by_model(table):
        counts = rows.pivot(index="acted", columns="predicted", values="clips").loc[list(EMOTIONS), list(EMOTIONS)]
        model_scores = scores[(scores["model"] == model) & (scores["condition"] == MAIN_CONDITION)].iloc[0]
        title = (
            f"{model}, {MAIN_CONDITION}: UAR {model_scores['uar']:.3f}, {model_scores['clips']} clips, "
            f"seeds: {model_scores['seeds']}"
        )
        names.append(confusion_file(model))
        confusion_heatmap(counts.to_numpy(float), title).savefig(folder / names[-1], dpi=_DPI)
    return names


def confusion_heatmap(counts: np.ndarray, title: str) -> Figure:
    """Plot counts shaped (8 true, 8 predicted), coloured by their share of the row."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    labels = [
        [f"{share:.2f}\n{count:.0f}" for share, count in zip(*row, strict=True)]
        for row in zip(shares, counts, strict=True)
    ]
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots()
    seaborn.heatmap(
        shares,
        vmin=0,
        vmax=1,
        cmap="Blues",
        annot=labels,
        fmt="",
        annot_kws={"size": 8},
        square=True,
        xticklabels=EMOTIONS,
        yticklabels=EMOTIONS,
        cbar_kws={"label": "share of the clips of a row"},
        ax=axes,
    )
    axes.set(xlabel="predicted", ylabel="acted")
    axes.set_title(title)
    axes.tick_params(axis="x", rotation=45)
    return figure


def write_reliability(folder: Path, bins: pd.DataFrame, calibration: pd.DataFrame) -> None:
    """Plot accuracy against confidence, one panel per model, with the share of clips in every bin."""
    models = list(dict.fromkeys(calibration["model"]))
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(4 * columns, 4 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    errors = calibration[calibration["fold"] == ALL].set_index("model")["ece"]
    for number, (panel, model) in enumerate(zip(panels, models, strict=False)):
        _reliability_panel(panel, f"C{number}", bins[bins["model"] == model])
        panel.set_title(f"{model}: error {errors[model]:.3f}" if pd.notna(errors[model]) else f"{model}: no rows")
    for panel in panels[len(models) :]:
        panel.set_visible(False)
    figure.supxlabel("highest probability")
    figure.supylabel("share of clips that is right")
    figure.savefig(folder / RELIABILITY_FILE, dpi=_DPI)


def _reliability_panel(panel: Axes, colour: str, bins: pd.DataFrame) -> None:
    panel.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    shares = bins["clips"] / max(bins["clips"].sum(), 1)
    panel.bar(
        bins["from"], shares, bins["to"] - bins["from"], align="edge", color="lightgrey", label="share of the clips"
    )
    shown = bins[bins["clips"] >= _MIN_CLIPS]
    panel.plot(shown["confidence"], shown["accuracy"], marker="o", color=colour, label="share that is right")
    panel.set(xlim=(0, 1), ylim=(0, 1))
    panel.set_aspect("equal")
    panel.grid(alpha=0.3)
    panel.legend(loc="upper left", fontsize=8)


def write_risk_coverage(folder: Path, curve: pd.DataFrame) -> None:
    """Plot the error rate of the retained clips against their share; `curve` comes from risk_coverage."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for model, rows in _rows_by_model(curve):
        axes.plot(rows["coverage"], rows["risk"], label=model)
    axes.set(xlim=(0, 1), xlabel="coverage: share of the clips that are given an emotion, the surest first")
    axes.set(ylabel="risk: share of these that is wrong")
    axes.set_ylim(bottom=0)
    axes.set_title(f"What is gained by abstaining ({MAIN_CONDITION})")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(folder / RISK_FILE, dpi=_DPI)


def _rows_by_model(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of each model, in the order of the table."""
    for model in dict.fromkeys(table["model"]):
        yield model, table[table["model"] == model]
