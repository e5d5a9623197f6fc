"""summary.xlsx: the views as sheets that a person reads."""

from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.formatting.rule import ColorScaleRule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter

from analyzer.outputs import replacing
from analyzer.views import View

FILE_NAME = "summary.xlsx"
#: Rows that a sheet holds, less the header and one line that says where the rest is.
_MOST_ROWS = 1_048_576 - 2
_HEADER_FONT = Font(bold=True, color="FFFFFF")
_HEADER_FILL = PatternFill("solid", fgColor="1F4E79")
_HEADER_ALIGNMENT = Alignment(horizontal="center", vertical="center", wrap_text=True)
_SECONDS_PER_DAY = 86400
_CLOCK = "[h]:mm:ss"
#: The more of it, the darker; not for the level emotions, whose high shares are nothing to look at.
_SHADES = ColorScaleRule("num", 0, "FFFFFF", "num", 0.2, "FFE0B2", "num", 0.6, "F57C00")
_LEVEL = frozenset(f"{figure}_{name}" for figure in ("share", "mean") for name in ("neutral", "calm", "uncertain"))
_NARROWEST, _WIDEST = 11, 70


def write_workbook(path: Path, overview: View, recordings: View, files: View) -> None:
    """Write the workbook of the views, sheets Overview, Recordings and Files."""
    book = Workbook(write_only=True)
    _add_sheet(book, "Overview", overview, frozen="A2", rest="")
    _add_sheet(book, "Recordings", recordings, frozen="B2", rest="recordings.csv")
    _add_sheet(book, "Files", files, frozen="B2", rest="files.csv")
    with replacing(path) as temporary:
        book.save(temporary)


def _add_sheet(book: Workbook, title: str, view: View, frozen: str, rest: str) -> None:
    sheet = book.create_sheet(title)
    count, widths = _measured(view)
    sheet.freeze_panes = frozen
    sheet.row_dimensions[1].height = 32
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 3, 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.print_title_rows, sheet.print_title_cols = "1:1", "A:A"
    for k, (column, width) in enumerate(zip(view.columns, widths, strict=True), start=1):
        letter = get_column_letter(k)
        sheet.column_dimensions[letter].width = width
        if column.startswith(("share_", "mean_")) and column not in _LEVEL:
            sheet.conditional_formatting.add(f"{letter}2:{letter}{_MOST_ROWS}", _SHADES)
    shown = min(count, _MOST_ROWS)
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(view.columns))}{shown + 1}"
    sheet.append([_header(sheet, column) for column in view.columns])
    cells = [_Cell(sheet, column) for column in view.columns]
    rows = (row for table in view.tables() for row in table.itertuples(index=False))
    for values in islice(rows, shown):
        sheet.append([cell.holding(value) for cell, value in zip(cells, values, strict=True)])
    if count > shown:
        sheet.append([f"{count - shown} more rows: see {rest}"])


def _measured(view: View) -> tuple[int, list[int]]:
    """The number of rows of a view, and for each column the characters that it needs; a sheet's widths come first."""
    count, widths = 0, [_NARROWEST] * len(view.columns)
    for table in view.tables():
        count += len(table)
        widths = [max(width, _width(table[column])) for width, column in zip(widths, view.columns, strict=True)]
    return count, widths


def _width(column: pd.Series) -> int:
    """Characters that the texts of a column need."""
    if not len(column) or pd.api.types.is_numeric_dtype(column):
        return _NARROWEST
    return min(int(column.str.len().max()) + 2, _WIDEST)


def _header(sheet: object, column: str) -> WriteOnlyCell:
    name = column.removesuffix("_s").replace("_", " ")
    cell = WriteOnlyCell(sheet, name)
    cell.font, cell.fill, cell.alignment = _HEADER_FONT, _HEADER_FILL, _HEADER_ALIGNMENT
    return cell


class _Cell:
    """The cells of a column. A sheet writes rows at once, so one cell serves them all: styling is what takes long."""

    def __init__(self, sheet: object, column: str) -> None:
        self._format = _number_format(column)
        self._cell = WriteOnlyCell(sheet)
        if self._format is not None:
            self._cell.number_format = self._format

    def holding(self, value: Any) -> Any:
        """The cell with another value; None for one that stays empty."""
        if self._format is None:
            self._cell.value = value
            self._cell.data_type = "s"  # a name that begins with = is text, not a formula
        elif pd.isna(value):
            return None
        else:
            self._cell.value = float(value) / (_SECONDS_PER_DAY if self._format == _CLOCK else 1)
        return self._cell


def _number_format(column: str) -> str | None:
    """How a column's numbers are shown; None for a column of text."""
    if column.endswith("_s"):
        return _CLOCK
    if column.startswith("share_"):
        return "0%"
    if column.startswith("mean_"):
        return "0.00"
    return {"level_db": "0.0", "channel": "0", "channels": "0", "rate": "0", "bytes": "#,##0"}.get(column)
