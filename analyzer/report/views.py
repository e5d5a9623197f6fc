"""The tables over all recordings, recordings.csv and files.csv, as views of the ledger."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.store import outputs
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import escape_formula, number

RECORDINGS_FILE, FILES_FILE = "recordings.csv", "files.csv"

_SECONDS = ("length_s", "talk_s", "other_s", "silence_s", "both_s")
_SHARES = tuple(f"share_{emotion}" for emotion in (*EMOTIONS, UNCERTAIN))
_MEANS = tuple(f"mean_{emotion}" for emotion in EMOTIONS)
_PEAKS = tuple(f"peak_{emotion}_s" for emotion in EMOTIONS)

RECORDINGS_COLUMNS = (
    *("recording", "channel", "speaker", "status", "recorded"),
    *(*_SECONDS, *_SHARES, *_MEANS, *_PEAKS, "level_db", "model", "note"),
)
FILES_COLUMNS = ("file", "status", "reason", "present", "bytes", "codec", "rate", "channels", "length_s")

#: Decimals of the numeric columns.
DECIMALS = {
    **dict.fromkeys(("channel", "bytes", "rate", "channels"), 0),
    **dict.fromkeys((*_SECONDS, *_PEAKS), 3),
    **dict.fromkeys((*_SHARES, *_MEANS), 4),
    "level_db": 1,
}


@dataclass(frozen=True)
class View:
    """A table made from the ledger.

    Attributes
    ----------
    columns : names of the columns.
    rows : returns a new iterator over all rows, each a mapping by column; missing values are empty.
    """

    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Mapping[str, object]]]


def describe_models(models: Mapping[tuple[str, str], int]) -> str:
    """Return the names of the models that made the results, with a warning if there are several.

    `models` has the form of `Ledger.models`.
    """
    if not models:
        return "no model yet"
    labels = [f"{model} ({count:,} recordings)" for (model, _), count in sorted(models.items())]
    if len(labels) == 1:
        return labels[0]
    return (
        f"MIXED: {', '.join(labels)}. Figures of different models, versions or settings do not compare; what is still "
        "there is analysed again by the next run that comes to its end"
    )


def recordings(ledger: Ledger, zone: ZoneInfo) -> View:
    """Return the view recordings.csv, with a row per recording and channel.

    A recording that could not be analysed has one row, without a channel.
    """

    def rows() -> Iterator[Mapping[str, object]]:
        for entry in ledger.entries():
            if entry.status != "skipped":
                yield from _recording_rows(entry, zone)

    return View(RECORDINGS_COLUMNS, rows)


def _recording_rows(entry: Entry, zone: ZoneInfo) -> Iterator[dict[str, object]]:
    notes = [entry.reason] if entry.reason else []
    common: dict[str, object] = {"recording": entry.identity.shown, "status": entry.status}
    common["recorded"], source = entry.when(zone)
    notes += [f"recorded: {source}"] if source else []
    common |= {"length_s": entry.length_s, "model": entry.model, "note": "; ".join(notes)}
    for channel, found in (entry.statistics or {}).items():
        yield common | {"channel": channel} | found.columns()
    if not entry.statistics:
        yield common


def files(ledger: Ledger) -> View:
    """Return the view files.csv, with a row per file in the ledger."""
    return View(FILES_COLUMNS, lambda: map(_file_row, ledger.entries()))


def check(entry: Entry, zone: ZoneInfo) -> None:
    """Raise any error that occurs when the rows of a recording are made."""
    for row in _recording_rows(entry, zone):
        _texts(row, RECORDINGS_COLUMNS)
    _texts(_file_row(entry), FILES_COLUMNS)


def _file_row(entry: Entry) -> dict[str, object]:
    return {
        "file": entry.identity.shown,
        "status": entry.status,
        "reason": entry.reason,
        "present": "yes" if entry.present else "no",
        "bytes": entry.size,
        "codec": entry.codec,
        "rate": entry.rate,
        "channels": entry.channels,
        "length_s": entry.length_s,
    }


def write_csv(view: View, path: Path) -> None:
    """Write a view as CSV: numbers with the decimals of their column, text that spreadsheets do not run as formulas."""
    outputs.write_csv(path, view.columns, (_texts(row, view.columns) for row in view.rows()))


def _texts(row: Mapping[str, Any], columns: tuple[str, ...]) -> list[str]:
    return [_text(row.get(column), DECIMALS.get(column)) for column in columns]


def _text(value: Any, decimals: int | None) -> str:
    """Return a cell as text; numbers are those of columns with decimals."""
    if value is None:
        return ""
    if decimals is None:
        return escape_formula(str(value))
    figure = float(value)
    return "" if isnan(figure) else number(figure, decimals)
