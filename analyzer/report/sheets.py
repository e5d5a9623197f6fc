"""Tables of any length as sheets of a workbook, written row by row.

Columns have a title, a width and a kind.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.formatting.rule import ColorScaleRule, DataBarRule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.hyperlink import Hyperlink
from openpyxl.writer.excel import ExcelWriter

from analyzer.names import show

#: Rows that fit on a sheet, less the header and one line that says where the other rows are.
MOST_ROWS = 1_048_576 - 2
#: Limits of spreadsheet programs: characters of a text and of an address, and height of a row in points.
_MAX_TEXT_LENGTH, _MAX_ADDRESS_LENGTH, HIGHEST = 32_767, 2_079, 400
#: The underscore of text that a spreadsheet reads as an escaped character, such as _x000D_.
_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
#: Width of a printed page in characters.
_PAGE_WIDTH = 290
SECONDS_PER_DAY = 86400
#: Creation time of every workbook.
_CREATION_TIME = datetime(1980, 1, 1)
#: Number format of each kind of column; text has none.
_FORMATS = {
    "text": None,
    "count": "#,##0",
    "clock": "[h]:mm:ss",
    "hours": "#,##0.0",
    "percent": "0%",
    "change": "+0%;-0%;0%",
    "level": "0.0",
}
BODY = {"name": "Calibri", "size": 11}
_BOLD = Font(**BODY, bold=True)
_TITLE_FONT = Font(name="Calibri", size=16, bold=True, color="1F4E79")
_HEADER_FONT = Font(**BODY, bold=True, color="FFFFFF")
_HEADER_FILL = PatternFill("solid", fgColor="1F4E79")
_HEADER_ALIGNMENT = Alignment(horizontal="center", vertical="center", wrap_text=True)
_WRAPPED = Alignment(horizontal="left", vertical="top", wrap_text=True, indent=1)
_TOP = Alignment(vertical="top")
LINE_HEIGHT = 15
_LINK_FONT = Font(**BODY, color="0563C1", underline="single")
#: Colour scales of shares and of their changes: the higher, the darker.
_SHADES = ("num", 0, "FFFFFF", "num", 0.2, "FFE0B2", "num", 0.6, "F57C00")
_CHANGE_SHADES = ("num", -0.3, "A5D6A7", "num", 0, "FFFFFF", "num", 0.3, "F57C00")


@dataclass(frozen=True)
class Column:
    """A column: its title, kind (see _FORMATS) and width in characters, and whether it is shaded or has data bars.

    Cells hold text or numbers: seconds in columns of kind clock and hours, shares from 0 to 1 in percent, and
    differences of shares in change.
    """

    title: str
    kind: str = "text"
    width: int = 11
    shaded: bool = False
    barred: bool = False


@dataclass(frozen=True)
class Link:
    """A text cell with a link: a relative address, and a place in the file there."""

    text: str
    target: str
    place: str


def add_table(
    book: Workbook,
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Any]],
    count: int,
    rest: str = "",
    most: int = MOST_ROWS,
) -> Any:
    """Add a sheet with a table of `count` rows; it holds as many as fit, and at most `most`.

    `rest` says where the other rows are.
    """
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "B2"
    _set_up_page(sheet, [column.width for column in columns], "landscape")
    sheet.print_title_rows, sheet.print_title_cols = "1:1", "A:A"
    for k, column in enumerate(columns, start=1):
        letter = get_column_letter(k)
        cell_range = f"{letter}2:{letter}{MOST_ROWS + 1}"
        if column.shaded:
            shades = _CHANGE_SHADES if column.kind == "change" else _SHADES
            sheet.conditional_formatting.add(cell_range, ColorScaleRule(*shades))
        if column.barred:
            sheet.conditional_formatting.add(cell_range, DataBarRule("num", 0, "num", 1, "9DC3E6"))
    shown = min(count, most, MOST_ROWS)
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{shown + 1}"
    append_table(sheet, 1, columns, islice(rows, shown))
    if count > shown:
        sheet.append([f"{count - shown:,} more" + (f": see {rest}" if rest else "")])
    return sheet


def add_page(
    book: Workbook, title: str, heading: str, facts: Sequence[tuple[str, str]], widths: Sequence[int]
) -> tuple[Any, int]:
    """Add a portrait sheet with a heading, and rows of a topic and a text merged over all other columns.

    Returns the sheet and the number of its next row. Row heights are set because not every program adjusts them.
    """
    sheet = book.create_sheet(title)
    _set_up_page(sheet, widths, "portrait")
    cell = text_cell(sheet, heading)
    cell.font = _TITLE_FONT
    sheet.append([cell])
    sheet.append([])
    for number, (topic, text) in enumerate(facts, start=3):
        label, content = text_cell(sheet, topic), text_cell(sheet, text)
        label.font, label.alignment, content.alignment = _BOLD, _TOP, _WRAPPED
        sheet.row_dimensions[number].height = _line_count(text, sum(widths[1:])) * LINE_HEIGHT + 3
        sheet.merged_cells.add(f"B{number}:{get_column_letter(len(widths))}{number}")
        sheet.append([label, content])
    sheet.append([])
    return sheet, len(facts) + 4


def append_table(sheet: Any, start: int, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    """Append a header and rows to a sheet, as high as their texts need; `start` is the number of the next row."""
    title_lines = max(len(wrap(column.title, column.width - 2)) for column in columns)
    sheet.row_dimensions[start].height = title_lines * LINE_HEIGHT + 4
    sheet.append([header(sheet, column.title) for column in columns])
    cells = [TableCell(sheet, column, k) for k, column in enumerate(columns, start=1)]
    text_columns = [(k, column.width) for k, column in enumerate(columns) if column.kind == "text"]
    for number, values in enumerate(rows, start=start + 1):
        if (lines := max(_line_count(values[k], width) for k, width in text_columns)) > 1:
            sheet.row_dimensions[number].height = min(lines * LINE_HEIGHT, HIGHEST)
        sheet.append([cell.holding(value) for cell, value in zip(cells, values, strict=True)])


def _set_up_page(sheet: Any, widths: Sequence[int], orientation: str) -> None:
    """Set the widths of the columns, and the print layout: as few pages wide as they need, any number of pages long."""
    for k, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(k)].width = width
    sheet.page_setup.orientation, sheet.page_setup.paperSize = orientation, "9"  # A4
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = -(-sum(widths) // _PAGE_WIDTH), 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True


def _line_count(value: Any, width: int) -> int:
    """Return the number of lines that a text takes in a column of this width in characters."""
    text = value.text if isinstance(value, Link) else value
    return -(-len(text) // (width - 2)) if text else 1


def readable(text: str) -> str:
    """Return a text that every spreadsheet program opens: escaped as names in tables, and not too long."""
    return _ESCAPE.sub("_x005F_", show(text))[:_MAX_TEXT_LENGTH]


def text_cell(sheet: Any, text: str) -> WriteOnlyCell:
    """Return a cell with a text, escaped as by `readable`."""
    cell = WriteOnlyCell(sheet, readable(text))
    cell.data_type = "s"  # a name that begins with = is text, not a formula
    return cell


def header(sheet: Any, title: str) -> WriteOnlyCell:
    """Return the header cell of a column."""
    cell = text_cell(sheet, title)
    cell.font, cell.fill, cell.alignment = _HEADER_FONT, _HEADER_FILL, _HEADER_ALIGNMENT
    return cell


class TableCell(Cell):  # type: ignore[misc]  # openpyxl has no types
    """The reusable cell of a column. A sheet writes each row at once, so one cell serves all rows: styling is slow.

    Style and column are fixed, because openpyxl would look up both again for each of millions of cells.
    """

    has_style = True
    style_id = 0

    def __init__(self, sheet: Any, column: Column, number: int) -> None:
        super().__init__(sheet, row=1, column=number)
        self._is_text, self._letter = column.kind == "text", get_column_letter(number)
        self._divisor = {"clock": SECONDS_PER_DAY, "hours": 3600}.get(column.kind, 1)
        template = WriteOnlyCell(sheet)
        template.alignment = _WRAPPED if self._is_text else _TOP
        if number_format := _FORMATS[column.kind]:
            template.number_format = number_format
        self.style_id = template.style_id
        self.data_type = "s" if self._is_text else "n"  # a name that begins with = is text, not a formula

    @property
    def coordinate(self) -> str:
        """Address of the cell, such as C7."""
        return f"{self._letter}{self.row}"

    def holding(self, value: Any) -> Cell | None:
        """Return a cell with this value; None if it stays empty."""
        if value is None or value == "":
            return None
        if isinstance(value, Link):
            return _link_cell(self.parent, value)
        self._value = readable(value) if self._is_text else value / self._divisor
        return self


def save(book: Workbook, target: Path | BytesIO) -> None:
    """Save a workbook without the time of the run."""
    book.properties.creator = "call-emotions"
    book.properties.created = book.properties.modified = _CREATION_TIME
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        ExcelWriter(book, archive).write_data()


def _link_cell(sheet: Any, link: Link) -> WriteOnlyCell:
    cell = text_cell(sheet, link.text)
    cell.alignment = _WRAPPED
    if len(link.target) + len(link.place) < _MAX_ADDRESS_LENGTH:
        cell.hyperlink = Hyperlink(ref="", target=link.target, location=link.place)
        cell.font = _LINK_FONT
    return cell
