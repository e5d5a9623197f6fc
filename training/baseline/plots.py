"""Plots and tables of a training run: learning curves, confusion matrix, per-class report."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from analyzer.emotions import EMOTIONS
from training.baseline.scores import Scores
from training.data.dataset import Examples
from training.evaluation.plots import confusion_heatmap

if TYPE_CHECKING:  # fit imports tensorflow, which a plot does not need
    from training.baseline.fit import Fitted

CURVES_FILE, CONFUSION_FILE, REPORT_FILE = "learning_curves.png", "confusion_matrix.png", "per_class.csv"


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
    for axes, metric in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(epochs, fitted.history[metric], marker=".", label="training speakers")
        axes.plot(epochs, fitted.history[f"val_{metric}"], marker=".", label="validation speakers")
        axes.axvline(fitted.kept_epoch, color="grey", linestyle=":", label=f"kept: epoch {fitted.kept_epoch}")
        axes.set(xlabel="epoch", ylabel="cross-entropy" if metric == "loss" else "share of clips that is right")
        axes.set_title(metric.capitalize())
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
    rows = [{"side": subset, **row} for subset, found in scores.items() for row in found.by_emotion()]
    pd.DataFrame(rows).astype({"support": int}).to_csv(
        path, index=False, float_format="%.4f", lineterminator="\n", encoding="utf-8"
    )
