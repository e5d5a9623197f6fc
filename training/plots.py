"""Plots and tables of a training run: learning curves, confusion matrix, per-class report."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import seaborn
from matplotlib.figure import Figure

from analyzer.emotions import EMOTIONS
from training.dataset import Examples
from training.scores import Scores

if TYPE_CHECKING:  # fit imports tensorflow, which a plot does not need
    from training.fit import Fitted

CURVES_FILE, CONFUSION_FILE, REPORT_FILE = "learning_curves.png", "confusion_matrix.png", "per_class.csv"
REPORT_COLUMNS = ("side", "emotion", "precision", "recall", "f1", "support")


def write_reports(folder: Path, fitted: "Fitted", scores: Mapping[str, Scores]) -> None:
    """Write learning curves and confusion matrix as PNG, and the per-class report as CSV, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    learning_curves(fitted).savefig(folder / CURVES_FILE, dpi=120)
    confusion_matrix(scores["test"]).savefig(folder / CONFUSION_FILE, dpi=120)
    write_per_class(folder / REPORT_FILE, scores)


def learning_curves(fitted: "Fitted") -> Figure:
    """Plot accuracy and loss after each epoch, for training and validation speakers, and mark the kept epoch."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    epochs = range(1, len(fitted.history["loss"]) + 1)
    for axes, measure in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(epochs, fitted.history[measure], marker=".", label="training speakers")
        axes.plot(epochs, fitted.history[f"val_{measure}"], marker=".", label="validation speakers")
        axes.axvline(fitted.kept_epoch, color="grey", linestyle=":", label=f"kept: epoch {fitted.kept_epoch}")
        axes.set(xlabel="epoch", ylabel="cross-entropy" if measure == "loss" else "share of clips that is right")
        axes.set_title(measure.capitalize())
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def confusion_matrix(scores: Scores) -> Figure:
    """Plot, per true emotion, the share and number of clips classified as each; a row sums to 1."""
    return confusion_heatmap(
        scores.confusion(),
        f"{len(scores.clips)} clips of unseen speakers: UAR {scores.uar:.3f}, accuracy {scores.accuracy:.3f}",
    )


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


def example_inputs(examples: Examples) -> Figure:
    """Plot the network input for the first clip of each emotion: time to the right, mel bands upwards."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    classes = examples.classes.tolist()
    for axes, emotion in zip(figure.subplots(2, 4, sharex=True, sharey=True).flat, EMOTIONS, strict=True):
        axes.set_title(emotion)
        if EMOTIONS.index(emotion) in classes:
            axes.imshow(examples.inputs[classes.index(EMOTIONS.index(emotion))].T, origin="lower", aspect="auto")
    figure.supxlabel("frame")
    figure.supylabel("mel band")
    return figure


def write_per_class(path: Path, scores: Mapping[str, Scores]) -> None:
    """Write a row per subset and emotion: precision, recall, f1 (four decimals) and support (clips)."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, REPORT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for side, found in scores.items():
            for row in found.by_emotion():
                shown = {
                    key: f"{value:.4f}" if key in {"precision", "recall", "f1"} else value for key, value in row.items()
                }
                writer.writerow({"side": side, **shown})
