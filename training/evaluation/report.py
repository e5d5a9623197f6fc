"""Evaluation: one report on several models, from their out-of-fold probabilities.

`evaluate` reads the files that training.evaluation.rows describes and writes `report.md`, every table as CSV with four
decimals, and the plots. Nothing is trained here, so every number can be checked against the same files.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analyzer.emotions import OTHER
from analyzer.errors import CannotWork, UsageError
from training.data.corpora import RAVDESS
from training.data.published import MELD, NEUTRAL_SPEECH
from training.evaluation import plots, tables
from training.evaluation.measures import DRAWS
from training.evaluation.rows import CONDITIONS, FOLDS, ROWS_SUFFIX, model_name, read_rows, read_trained_on

REPORT_FILE = "report.md"
DASH = "-"
CREMA_D = "crema-d"
CURVE = tuple(share / 100 for share in range(5, 101))

INTRODUCTION = """\
# Evaluation

Written by `python -m training evaluate` from the out-of-fold probabilities in this folder: each clip is scored by a
network that was not trained on its speaker. Figures are those of {corpus}, folds {first} to {last}, through a telephone
line (300 to 3400 Hz, mu-law, 8 kHz), unless another corpus or condition is named. They are computed for each seed over
all folds together, then averaged over the seeds; in brackets: 95 % interval (bootstrap over speakers, then their clips,
{draws:,} draws). UAR is the mean recall over the emotions; chance is 0.125. A dash: the model has no such rows. Every
table is also a CSV with more columns.

"""


@dataclass(frozen=True)
class Section:
    """One table of the report.

    Attributes
    ----------
    file : name of the CSV, without its extension.
    title, text : heading of the table, and introductory text.
    columns : columns of the CSV whose values become columns of the report.
    figures : metrics, with the title of each. Every metric has a table of its own; a single one has no title.
    pictures : PNG plots below the tables.
    """

    file: str
    title: str
    text: str
    columns: tuple[str, ...]
    figures: dict[str, str]
    pictures: tuple[str, ...] = ()


def evaluate(files: Sequence[Path], out: Path, corpus: str = RAVDESS) -> Path:
    """Write the report on models to a folder and return the path of its page.

    Parameters
    ----------
    files : MODEL.csv.gz files, in the order of the models in every table.
    out : the report folder.
    corpus : the main corpus: that of the tables by condition, fold, emotion, sex and length, and of confusion,
        calibration and abstaining.

    Raises
    ------
    UsageError, Leak
        If an input file is invalid; nothing is written then.
    CannotWork
        If the report cannot be written.
    """
    if not files:
        raise UsageError(f"no probabilities to evaluate: give files called MODEL{ROWS_SUFFIX}")
    models: dict[str, pd.DataFrame] = {}
    for path in files:
        if model_name(path) in models:
            raise UsageError(f"two files are called {path.name}: a model's name must be its own")
        models[model_name(path)] = read_rows(path)
    report_tables = all_tables(models, corpus)
    curve = tables.risk_coverage(models, corpus, CURVE)
    bins = tables.reliability(models, corpus)
    leak_checked = {model_name(path): read_trained_on(path) is not None for path in files}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, table in {**report_tables, "risk_coverage_curve": curve, "reliability": bins}.items():
            table.to_csv(out / f"{name}.csv", index=False, float_format="%.4f", lineterminator="\n", encoding="utf-8")
        plots.write_conditions(out, report_tables["conditions"])
        confusions = plots.write_confusions(out, report_tables["confusion"], report_tables["conditions"])
        plots.write_reliability(out, bins, report_tables["calibration"])
        plots.write_risk_coverage(out, curve)
        page = "\n\n".join([_introduction(models, leak_checked, corpus), *_sections(report_tables, confusions)]) + "\n"
        (out / REPORT_FILE).write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise CannotWork(f"the report cannot be written to {out}: {error}") from error
    return out / REPORT_FILE


def probability_files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold a model's probabilities, by name; raise UsageError if there are none."""
    files = sorted(folder.glob(f"*{ROWS_SUFFIX}")) if folder.is_dir() else []
    if not files:
        raise UsageError(f"{folder} holds no MODEL{ROWS_SUFFIX}: give the folder of out-of-fold probabilities")
    return files


def all_tables(models: tables.Models, corpus: str) -> dict[str, pd.DataFrame]:
    """Compute every table, by the name of its CSV."""
    report_tables = {
        "conditions": tables.by_condition(models, corpus),
        "folds": tables.by_fold(models, corpus),
        "emotions": tables.by_emotion(models, corpus),
        "sexes": tables.by_sex(models, corpus),
        "lengths": tables.by_length(models, corpus),
        "corpora": tables.by_corpus(models),
        "left_out": tables.left_out(models),
        "confusion": tables.confusion(models, corpus),
        "calibration": tables.calibration(models, corpus),
        "abstaining": tables.risk_coverage(models, corpus, tables.COVERAGES),
        "false_alarms": tables.false_alarms(models),
        "not_speech": tables.not_speech(models),
    }
    return {"summary": summary(models, report_tables), **report_tables}


def summary(models: tables.Models, found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the metrics by which a network is chosen, one row per model."""

    def lookup(table: str, metric: str, **filters: str) -> Callable[[str], float]:
        rows = found[table]
        for column, value in filters.items():
            rows = rows[rows[column] == value]
        values = dict(zip(rows["model"], rows[metric], strict=True))
        return lambda model: float(values.get(model, "nan"))

    crema_d, meld = {"corpus": CREMA_D}, {"corpus": MELD}
    columns = {
        "RAVDESS, UAR over folds and seeds": lookup("folds", "uar", fold=tables.MEAN),
        "CREMA-D, UAR over folds": lookup("corpora", "uar", corpus=CREMA_D),
        "CREMA-D held out, UAR": lookup("left_out", "uar", **crema_d),
        "ROC area": lookup("left_out", "roc_area", **crema_d),
        "found at 5 % false": lookup("left_out", "found_at_5", **crema_d),
        "found": lookup("left_out", "found", **crema_d),
        "false": lookup("left_out", "false", **crema_d),
        "MELD, ROC area": lookup("left_out", "roc_area", **meld),
        "MELD, found at 5 % false": lookup("left_out", "found_at_5", **meld),
        "MELD, false": lookup("left_out", "false", **meld),
        "calm reading labelled negative": lookup("false_alarms", "negative", corpus=NEUTRAL_SPEECH),
        "CREMA-D held out, classified as non-speech": lookup("left_out", "dropped", **crema_d),
        "MELD, classified as non-speech": lookup("left_out", "dropped", **meld),
        "non-speech recognised": lookup("not_speech", "called_other", sound=OTHER, corpus=tables.ALL),
    }
    return pd.DataFrame(
        [{"model": model, **{name: metric_of(model) for name, metric_of in columns.items()}} for model in models]
    )


SECTIONS = (
    Section(
        "conditions", "Studio, telephone, codecs", "", ("condition",),
        {"uar": "UAR", "accuracy": "Accuracy", "macro_f1": "Macro F1"}, (plots.CONDITIONS_FILE,),
    ),
    Section(
        "folds", "By fold",
        "UAR. The last column is the mean over folds and seeds.",
        ("fold",), {"uar": "UAR"},
    ),
    Section(
        "emotions", "By emotion", "The share of the clips of an emotion that are classified correctly, and F1.",
        ("emotion",), {"recall": "Recall", "f1": "F1"},
    ),
    Section("sexes", "By sex", "UAR.", ("sex",), {"uar": "UAR"}),
    Section(
        "lengths", "By length of the clip", "UAR over the emotions of clips of this length.",
        ("length",), {"uar": "UAR"},
    ),
    Section(
        "corpora", "By corpus", "UAR among the emotions of each corpus; speakers held out by fold.",
        ("corpus",), {"uar": "UAR"},
    ),
    Section(
        "left_out", "Held-out corpora",
        "No clip of these corpora is in training; MELD, a television comedy, is in no training at all. UAR is among "
        "the emotions of the corpus. Negative: angry, sad, fearful or disgust; level: neutral or calm. Found and "
        "false: the shares of both that are labelled negative at normal sensitivity, with the threshold of the other "
        "held-out corpora.",
        ("corpus",),
        {
            "uar": "UAR",
            "roc_area": "ROC area, negative against level",
            "found": "Found: negative clips labelled negative",
            "false": "False: level clips labelled negative",
            "found_at_5": "Found with the threshold that 5 % of the corpus's own level clips exceed",
            "calibration_error": "Expected calibration error",
            "dropped": "Share of clips classified as non-speech",
        },
    ),
    Section("confusion", "Confusion", "Clips per seed and share of the row, through a telephone line.", (), {}),
    Section(
        "calibration", "Calibration",
        "Expected calibration error: distance of the highest probability from the accuracy, in 15 bins, with emotions "
        "as frequent as among the clips. A single fold has few clips per bin, which adds to its error. Bins of fewer "
        "than ten clips are not drawn.",
        ("fold",), {"ece": "Expected calibration error"}, (plots.RELIABILITY_FILE,),
    ),
    Section(
        "abstaining", "Accuracy of the most confident clips",
        "If only the most confident clips get a label: their accuracy, and the highest probability of the least "
        "confident of them, with emotions as frequent as among the clips.",
        ("coverage",), {"accuracy": "Accuracy", "threshold": "Threshold"}, (plots.RISK_FILE,),
    ),
    Section(
        "false_alarms", "False alarms on ordinary speech",
        "Speech without acted emotions: the share of its time that is labelled negative at normal sensitivity, each "
        "clip on its own.",
        ("corpus",), {"negative": "Labelled negative"},
    ),
    Section(
        "not_speech", "Non-speech",
        f"The share of clips whose probability of `{OTHER}` is above 0.5. It should be high for non-speech; speech "
        "classified so is lost.",
        ("sound", "corpus"), {"called_other": f"Classified as {OTHER}"},
    ),
)  # fmt: skip


def _introduction(models: tables.Models, leak_checked: dict[str, bool], corpus: str) -> str:
    rows = [
        [
            model,
            f"{len(model_rows):,}",
            str(model_rows["seed"].nunique()),
            " ".join(condition for condition in CONDITIONS if (model_rows["condition"] == condition).any()),
            "yes" if leak_checked[model] else "no list of training speakers",
        ]
        for model, model_rows in models.items()
    ]
    header = ["model", "rows", "seeds", "conditions", "checked against its training speakers"]
    introduction = INTRODUCTION.format(corpus=corpus, first=FOLDS[0], last=FOLDS[-1], draws=DRAWS)
    return introduction + _markdown_table(header, rows)


def _sections(report_tables: dict[str, pd.DataFrame], confusions: Sequence[str]) -> list[str]:
    summary_table = report_tables["summary"]
    rows = [[row["model"], *map(_format_number, row.drop("model"))] for _, row in summary_table.iterrows()]
    parts = ["## At a glance", _markdown_table(list(summary_table.columns), rows)]
    for section in SECTIONS:
        parts.append(f"## {section.title}")
        if section.text:
            parts.append(section.text)
        for metric, title in section.figures.items():
            if len(section.figures) > 1:
                parts.append(f"**{title}**")
            parts.append(_side_by_side(report_tables[section.file], section.columns, metric))
        pictures = confusions if section.file == "confusion" else section.pictures
        parts += [f"![{picture.removesuffix('.png').replace('_', ' ')}]({picture})" for picture in pictures]
        if section.file == "confusion" and not confusions:
            parts.append(DASH)
    return parts


def _side_by_side(table: pd.DataFrame, columns: Sequence[str], metric: str) -> str:
    """Format a metric as a Markdown table: one row per model, one column per combination of `columns`."""
    cells: dict[str, dict[str, str]] = {}
    for _, row in table.iterrows():
        column = ", ".join(f"{row[name]:.0%}" if isinstance(row[name], float) else str(row[name]) for name in columns)
        cell = _format_number(row[metric])
        if f"{metric}_low" in table and cell != DASH:
            cell += f" ({_format_number(row[f'{metric}_low'])}-{_format_number(row[f'{metric}_high'])})"
        cells.setdefault(row["model"], {})[column] = cell
    header = list(dict.fromkeys(column for model_cells in cells.values() for column in model_cells))
    if not header:
        return DASH
    rows = [[model, *(model_cells.get(column, DASH) for column in header)] for model, model_cells in cells.items()]
    return _markdown_table(["model", *header], rows)


def _format_number(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:.3f}"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', ' ') for cell in line)} |" for line in lines)
