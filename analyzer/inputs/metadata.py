"""Read the metadata CSV: which file each row describes, and its recording time, speaker roles and groups."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from analyzer.errors import UsageError
from analyzer.inputs.masking import Mask
from analyzer.inputs.text_files import read_text
from analyzer.names import show
from analyzer.timeline.roles import parse_roles

#: Columns that are not groups.
_FILE, _RECORDED, _CHANNEL = "file", "recorded", re.compile(r"channel_([1-9]\d?)")
_SEPARATORS = ",;\t"
#: The first line by which a file makes a spreadsheet use another separator.
_SEP_LINE = re.compile(r'"?sep=([^\s"]|\t)', re.IGNORECASE)
#: Date and time as German spreadsheets write them.
_GERMAN_TIME = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")


@dataclass(frozen=True)
class MetadataRow:
    """What a metadata file says about a recording.

    Attributes
    ----------
    recorded : local time, as `2026-11-24 09:15:00` or only the date; empty if not given.
    speakers : roles by channel.
    groups : values by group name, such as `queue`.
    """

    recorded: str = ""
    speakers: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)

    def masked(self, mask: Mask) -> "MetadataRow":
        """Return a copy in which telephone numbers are masked."""
        speakers = tuple(mask.text(role) for role in self.speakers)
        return MetadataRow(self.recorded, speakers, mask.texts(self.groups))


def read_metadata(path: Path) -> dict[str, MetadataRow]:
    """Read the metadata by file name from a CSV with a column `file`.

    Optional columns are `recorded` (ISO 8601 or 24.11.2026 09:15, local time) and the roles `channel_1`, `channel_2`
    and so on; every other column is a group. `file` is the name shown in tables, the path below the input, or the bare
    file name. Cells are separated by commas, semicolons or tabs. Raises UsageError with the line that is wrong.
    """
    shown_path = show(str(path))
    try:
        text = read_text(path)
        header, rows = _parse_table(text, shown_path)
        return _read_rows(header, rows, shown_path)
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"the metadata {shown_path} cannot be read: {error}") from error


#: A row of a table: the number of its last line, and its cells.
_Row = tuple[int, list[str]]


def _parse_table(text: str, shown_path: str) -> tuple[list[str], Iterator[_Row]]:
    """Return the names of the columns, and the rows below them that are not empty."""
    sep_line = _SEP_LINE.match(text)
    headers = []
    for separator in dict.fromkeys([*([sep_line[1]] if sep_line else []), *_SEPARATORS]):
        rows = _nonempty_rows(text, separator, has_sep_line=sep_line is not None)
        _, header = next(rows, (0, []))
        names = [_column_name(name) for name in header]
        if _FILE in names:
            return names, rows
        headers.append(header)
    columns = [show(name) for name in max(headers, key=len) if name.strip(_SEPARATORS)][:20]
    found = f"the first row has {', '.join(columns)}" if columns else "there is no row"
    raise UsageError(f"the metadata {shown_path} have no column {_FILE}: {found}")


def _nonempty_rows(text: str, separator: str, has_sep_line: bool) -> Iterator[_Row]:
    """Yield the rows that have at least one non-empty cell."""
    lines = io.StringIO(text, newline="")
    if has_sep_line:
        next(lines)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    for cells in reader:
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield reader.line_num + has_sep_line, stripped


def _column_name(column: str) -> str:
    """Return the name of a column; reserved names may be in any case and become lower case."""
    lower = column.casefold()
    return lower if lower in (_FILE, _RECORDED) or _CHANNEL.fullmatch(lower) else column


def _read_rows(header: list[str], rows: Iterator[_Row], shown_path: str) -> dict[str, MetadataRow]:
    if duplicate := next((name for name in header if name and header.count(name) > 1), None):
        raise UsageError(f"the metadata {shown_path} have two columns called {show(duplicate)}")
    metadata: dict[str, MetadataRow] = {}
    for line, cells in rows:
        location = f"{shown_path}, line {line}"
        extra_cells = [cell for k, cell in enumerate(cells) if cell and (k >= len(header) or not header[k])]
        row = {name: cells[k] if k < len(cells) else "" for k, name in enumerate(header) if name}
        name = row[_FILE]
        if not name or extra_cells:
            raise UsageError(f"{location}: " + ("too many cells for the columns" if name else "no file is named"))
        if name in metadata:
            raise UsageError(f"{location}: {show(name)} stands there twice")
        metadata[name] = _read_row(row, location)
    return metadata


def _read_row(row: dict[str, str], location: str) -> MetadataRow:
    channels = {int(match[1]): role for key, role in row.items() if (match := _CHANNEL.fullmatch(key)) and role}
    if sorted(channels) != list(range(1, len(channels) + 1)):
        raise UsageError(f"{location}: the roles of channel_1, channel_2 and so on must not have gaps")
    try:
        speakers = parse_roles(",".join(channels[k] for k in sorted(channels))) if channels else ()
        recorded = _parse_time(row.get(_RECORDED, ""))
    except ValueError as error:
        raise UsageError(f"{location}: {error}") from error
    groups = {
        key: value
        for key, value in row.items()
        if value and key not in (_FILE, _RECORDED) and not _CHANNEL.fullmatch(key)
    }
    return MetadataRow(recorded, speakers, groups)


def _parse_time(text: str) -> str:
    if not text:
        return ""
    try:
        iso = text
        if german := _GERMAN_TIME.fullmatch(text):
            iso = "{2}-{1:0>2}-{0:0>2}".format(*german.groups())
            iso += " {:0>2}:{}:{}".format(*german.groups("00")[3:]) if german[4] else ""
        moment = datetime.fromisoformat(iso)
    except ValueError:
        raise ValueError(f"{text!r} is no time: give one such as 2026-11-24 09:15:00") from None
    if moment.tzinfo:
        raise ValueError(f"{text!r} names an offset: give local time, such as 2026-11-24 09:15:00")
    return moment.date().isoformat() if len(iso) <= 10 else moment.isoformat(" ", "seconds")
