"""Workbooks as spreadsheet programs read them: values, charts, and conversion by LibreOffice."""

import shutil
import subprocess
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet
from python_calamine import CalamineWorkbook


def seconds(value: timedelta | time | float) -> float:
    """Return a time of day, or a share of a day, in seconds."""
    if isinstance(value, time):
        value = datetime.combine(datetime.min, value) - datetime.min
    return round(value.total_seconds() if isinstance(value, timedelta) else value * 86400, 3)


def table(sheet: Worksheet) -> list[dict[Any, Any]]:
    """Return the rows of a sheet by title, with times in seconds."""
    header, *rows = sheet.iter_rows(values_only=True)
    plain = ([seconds(value) if isinstance(value, time | timedelta) else value for value in row] for row in rows)
    return [dict(zip(header, row, strict=True)) for row in plain]


def column(sheet: Worksheet, title: str) -> list[Any]:
    return [row[title] for row in table(sheet)]


def calamine(path: Path, sheet: str) -> list[list[Any]]:
    """Return the rows of a sheet as another library reads them."""
    return CalamineWorkbook.from_path(path).get_sheet_by_name(sheet).to_python()


def referred(book: Workbook, formula: str) -> list[Any]:
    """Return the values of the cells that a chart refers to."""
    name, places = formula.replace("'", "").replace("$", "").split("!")
    found = book[name][places]
    return [cell.value for (cell,) in found] if isinstance(found, tuple) else [found.value]


def title_of(element: Any) -> str:
    """Return the title of a chart or of an axis."""
    return "".join(run.t for paragraph in element.title.tx.rich.p for run in paragraph.r)


def convert(path: Path, form: str) -> Path:
    """Convert a workbook with LibreOffice; return the new file."""
    soffice = shutil.which("soffice") or shutil.which("libreoffice")
    assert soffice, "the slow suite needs LibreOffice (soffice) on the PATH"
    profile = f"-env:UserInstallation={(path.parent / 'profile').as_uri()}"
    command = [soffice, profile, "--headless", "--convert-to", form, "--outdir", path.parent, path]
    subprocess.run(command, check=True, capture_output=True, timeout=3000)
    return path.with_suffix(f".{form}")
