"""The tables over all recordings, recordings.csv and files.csv, as views of the ledger."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.ledger import Entry, Ledger
from analyzer.outputs import csv_text, harmless, number, speaker, write_text

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

#: Decimals of the columns that hold numbers.
DECIMALS = {
    **dict.fromkeys(("channel", "bytes", "rate", "channels"), 0),
    **dict.fromkeys((*_SECONDS, *_PEAKS), 3),
    **dict.fromkeys((*_SHARES, *_MEANS), 4),
    "level_db": 1,
}


def recordings(ledger: Ledger, zone: ZoneInfo) -> pd.DataFrame:
    """A row per recording and channel, with the columns of recordings.csv; numbers as numbers.

    A recording that could not be analysed has one row, without a channel.
    """
    rows = (row for entry in ledger.entries() if entry.status != "skipped" for row in _recording_rows(entry, zone))
    return _table(rows, RECORDINGS_COLUMNS)


def _recording_rows(entry: Entry, zone: ZoneInfo) -> Iterator[dict[str, object]]:
    notes = [entry.reason] if entry.reason else []
    common: dict[str, object] = {"recording": entry.identity.shown, "status": entry.status}
    if entry.mtime_ns:
        recorded = datetime.fromtimestamp(entry.mtime_ns // 10**9, zone)
        common["recorded"] = recorded.strftime("%Y-%m-%d %H:%M:%S")
        notes.append("recorded: time of the file")
    common |= {"length_s": entry.length_s, "model": entry.model, "note": "; ".join(notes)}
    for channel, figures in (entry.figures or {}).items():
        yield common | {"channel": channel, "speaker": speaker(channel)} | figures
    if not entry.figures:
        yield common


def files(ledger: Ledger) -> pd.DataFrame:
    """A row per file ever seen, with the columns of files.csv; numbers as numbers."""
    rows = (
        {
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
        for entry in ledger.entries()
    )
    return _table(rows, FILES_COLUMNS)


def _table(rows: Iterable[Mapping[str, object]], columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(columns))
    for column in columns:
        if column in DECIMALS:
            table[column] = table[column].astype(float)
        else:
            table[column] = table[column].astype(object).fillna("").astype(str)
    return table


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a view as CSV: numbers with their column's decimals, text harmless for spreadsheets."""
    written = {column: _as_text(table[column], DECIMALS.get(str(column))) for column in table.columns}
    write_text(path, csv_text([str(c) for c in table.columns], zip(*written.values(), strict=True)))


def _as_text(values: pd.Series, decimals: int | None) -> list[str]:
    if decimals is None:
        return [harmless(value) for value in values]
    return [number(None if pd.isna(value) else value, decimals) for value in values]
