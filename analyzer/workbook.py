"""summary.xlsx: the views as sheets that a person reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.formatting.rule import ColorScaleRule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter

from analyzer.outputs import replacing

FILE_NAME = "summary.xlsx"
#: Rows that a sheet holds, less the header and one line that says where the rest is.
_MOST_ROWS = 1_048_576 - 2
_HEADER_FONT = Font(bold=True, color="FFFFFF")
_HEADER_FILL = PatternFill("solid", fgColor="1F4E79")
_HEADER_ALIGNMENT = Alignment(horizontal="center", vertical="center", wrap_text=True)
_SECONDS_PER_DAY = 86400
#: The more of it, the darker; not for the level emotions, whose high shares are nothing to look at.
_SHADES = ColorScaleRule("num", 0, "FFFFFF", "num", 0.2, "FFE0B2", "num", 0.6, "F57C00")
_LEVEL = frozenset(f"{figure}_{name}" for figure in ("share", "mean") for name in ("neutral", "calm", "uncertain"))
_NARROWEST, _WIDEST = 11, 70


def write_workbook(path: Path, recordings: pd.DataFrame, files: pd.DataFrame) -> None:
    """Write the workbook of the two views, sheets Recordings and Files."""
    book = Workbook(write_only=True)
    _add_sheet(book, "Recordings", recordings, frozen="B2", rest="recordings.csv")
    _add_sheet(book, "Files", files, frozen="B2", rest="files.csv")
    with replacing(path) as temporary:
        book.save(temporary)


def _add_sheet(book: Workbook, title: str, table: pd.DataFrame, frozen: str, rest: str) -> None:
    sheet = book.create_sheet(title)
    columns = [str(column) for column in table.columns]
    sheet.freeze_panes = frozen
    sheet.row_dimensions[1].height = 32
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 3, 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.print_title_rows, sheet.print_title_cols = "1:1", "A:A"
    for k, column in enumerate(columns, start=1):
        sheet.column_dimensions[get_column_letter(k)].width = _width(table[column])
        if column.startswith(("share_", "mean_")) and column not in _LEVEL:
            letter = get_column_letter(k)
            sheet.conditional_formatting.add(f"{letter}2:{letter}{_MOST_ROWS}", _SHADES)
    shown = table.head(_MOST_ROWS)
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(shown) + 1}"
    sheet.append([_header(sheet, column) for column in columns])
    formats = [_number_format(column) for column in columns]
    for values in shown.itertuples(index=False):
        sheet.append(list(_cells(sheet, values, formats)))
    if len(table) > len(shown):
        sheet.append([f"{len(table) - len(shown)} more rows: see {rest}"])


def _width(column: pd.Series) -> int:
    """Characters that the texts of a column need."""
    if not len(column) or pd.api.types.is_numeric_dtype(column):
        return _NARROWEST
    return min(max(int(column.str.len().max()) + 2, _NARROWEST), _WIDEST)


def _header(sheet: object, column: str) -> WriteOnlyCell:
    name = column.removesuffix("_s").replace("_", " ")
    cell = WriteOnlyCell(sheet, name)
    cell.font, cell.fill, cell.alignment = _HEADER_FONT, _HEADER_FILL, _HEADER_ALIGNMENT
    return cell


def _cells(sheet: object, values: tuple[Any, ...], formats: list[str | None]) -> Iterator[object]:
    for value, number_format in zip(values, formats, strict=True):
        if number_format is None:
            cell = WriteOnlyCell(sheet, value)
            cell.data_type = "s"  # a name that begins with = is text, not a formula
            yield cell
        elif pd.isna(value):
            yield None
        else:
            scaled = float(value) / _SECONDS_PER_DAY if number_format == "[h]:mm:ss" else float(value)
            cell = WriteOnlyCell(sheet, scaled)
            cell.number_format = number_format
            yield cell


def _number_format(column: str) -> str | None:
    """How a column's numbers are shown; None for a column of text."""
    if column.endswith("_s"):
        return "[h]:mm:ss"
    if column.startswith("share_"):
        return "0%"
    if column.startswith("mean_"):
        return "0.00"
    return {"level_db": "0.0", "channel": "0", "channels": "0", "rate": "0", "bytes": "#,##0"}.get(column)
