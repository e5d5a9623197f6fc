"""Workbook of one recording: metadata, a chart of negative emotion over time, and the timeline."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.chart import Reference, ScatterChart, Series
from openpyxl.chart.axis import NumericAxis
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.drawing.line import LineProperties
from openpyxl.formatting.rule import ColorScaleRule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from analyzer.emotions import EMOTIONS
from analyzer.names import show
from analyzer.report.interchange import SPEECH, label
from analyzer.report.palette import COLOURS, MASKED
from analyzer.report.sheets import BODY, HIGHEST, LINE_HEIGHT, MOST_ROWS, SECONDS_PER_DAY, header, save, text_cell
from analyzer.store.outputs import TIMELINE_COLUMNS
from analyzer.timeline.timeline import Row, Timeline, ordered

_CLOCK = "[h]:mm:ss.0"
_FORMATS = {
    **dict.fromkeys(("start", "end"), _CLOCK),
    **dict.fromkeys(("confidence", *EMOTIONS), "0%"),
    "channel": "0",
    "level_db": "0.0",
}
#: Widths of columns in characters.
_MIN_WIDTH, _MAX_WIDTH, _ABOUT_WIDTHS = 11, 42, (16, 90)
_WRAPPED = Alignment(horizontal="left", vertical="top", wrap_text=True)
_CENTRED = Alignment(horizontal="center")
#: Cell shading: the higher the probability, the darker.
_SHADES = ColorScaleRule("num", 0, "FFFFFF", "num", 0.3, "EAF1F8", "num", 1, "7DA7D0")
#: Emotions with dark background colours, whose text is therefore white.
_DARK_EMOTIONS = frozenset(("sad", "fearful", "disgust"))
#: Line colours that colour-blind people can distinguish. Their number limits the lines of a chart.
_LINE_COLOURS = ("1F4E79", "E69F00", "009E73", "CC79A7", "000000", "56B4E9", "D55E00", "7F7F7F")
#: Possible tick spacings of the time axis in seconds, and the maximum number of ticks.
_TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800)
_MAX_TICKS = 8


def write_workbook(timeline: Timeline, path: Path) -> None:
    """Write a recording as a workbook with the sheets About and Timeline. The same timeline gives the same bytes."""
    book = Workbook(write_only=True)
    about, sheet = book.create_sheet("About"), book.create_sheet("Timeline")
    rows = ordered(timeline.rows)
    channels = _charted_channels(timeline, rows)
    facts = _add_about(about, timeline)
    _add_timeline(sheet, timeline, rows, channels)
    if channels:
        about.add_chart(_chart(sheet, timeline, channels, min(len(rows), MOST_ROWS)), f"A{facts + 2}")
    _save(book, path)


def _charted_channels(timeline: Timeline, rows: Sequence[Row]) -> list[int]:
    """Return the channels shown in the chart: the first with inferred emotions, one per colour of `_LINE_COLOURS`."""
    inferred = {row.channel for row in rows[:MOST_ROWS] if row.probabilities}
    return [channel for channel in timeline.channels if channel in inferred][: len(_LINE_COLOURS)]


def _add_about(sheet: WriteOnlyWorksheet, timeline: Timeline) -> int:
    """Fill the sheet About with the metadata of a recording; return its number of rows."""
    _set_up(sheet, _ABOUT_WIDTHS)
    length = _new_cell(sheet, _CLOCK)
    length.value = timeline.length_s / SECONDS_PER_DAY
    facts = {"recording": timeline.recording, "length": length, "speakers": ", ".join(timeline.speakers)}
    pairs = [*facts.items(), *timeline.about.items()]
    for k, (name, fact) in enumerate(pairs, start=1):
        cells = header(sheet, name), text_cell(sheet, fact) if isinstance(fact, str) else fact
        for cell in cells:
            cell.alignment = _WRAPPED
        lines = max(1 + len(str(cell.value)) // width for cell, width in zip(cells, _ABOUT_WIDTHS, strict=True))
        sheet.row_dimensions[k].height = min(LINE_HEIGHT * lines, HIGHEST)
        sheet.append(cells)
    return len(pairs)


def _add_timeline(sheet: WriteOnlyWorksheet, timeline: Timeline, rows: Sequence[Row], channels: Sequence[int]) -> None:
    """Fill the sheet Timeline with the segments by start time, and a column for each channel in the chart."""
    shown = rows[:MOST_ROWS]
    negative = [f"negative: {timeline.speakers[channel - 1]}" for channel in channels]
    columns = [*(column.replace("_", " ") for column in TIMELINE_COLUMNS), *negative]
    needed_widths = {"speaker": max(map(len, timeline.speakers), default=0) + 2}
    needed_widths |= {column: len(column) // 2 + 5 for column in negative}  # the title wraps to two lines
    _set_up(sheet, [min(max(_MIN_WIDTH, needed_widths.get(column, 0)), _MAX_WIDTH) for column in columns])
    sheet.freeze_panes, sheet.print_title_rows = "A2", "1:1"
    sheet.row_dimensions[1].height = 2 * LINE_HEIGHT + 2
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(shown) + 1}"
    first, last = (get_column_letter(TIMELINE_COLUMNS.index(emotion) + 1) for emotion in (EMOTIONS[0], EMOTIONS[-1]))
    sheet.conditional_formatting.add(f"{first}2:{last}{MOST_ROWS + 1}", _SHADES)
    sheet.append([header(sheet, column) for column in columns])
    _append_rows(sheet, timeline, shown, channels)
    if len(rows) > len(shown):
        sheet.append([f"{len(rows) - len(shown)} more segments do not fit on this sheet"])


def _append_rows(sheet: WriteOnlyWorksheet, timeline: Timeline, rows: Sequence[Row], channels: Sequence[int]) -> None:
    """Append a row for each segment. One set of styled cells serves all rows, because styling is slow."""
    numbers = {column: _new_cell(sheet, number_format) for column, number_format in _FORMATS.items()}
    numbers["channel"].alignment = _CENTRED
    emotions = {emotion: _emotion_cell(sheet, emotion) for emotion in (*COLOURS, SPEECH)}
    negative = {channel: _new_cell(sheet, "0%") for channel in channels}
    for row in rows:
        values: dict[str, float | None] = {
            "start": row.start / SECONDS_PER_DAY,
            "end": row.end / SECONDS_PER_DAY,
            "channel": row.channel,
            "confidence": row.confidence,
            **dict(zip(EMOTIONS, row.probabilities or [None] * len(EMOTIONS), strict=True)),
            "level_db": row.level_db,
        }
        cells = {column: _filled(cell, values[column]) for column, cell in numbers.items()}
        cells |= {"speaker": text_cell(sheet, timeline.speaker(row)), "emotion": emotions[label(row)]}
        of_channels = (_filled(cell, row.negative if k == row.channel else None) for k, cell in negative.items())
        sheet.append([*(cells[column] for column in TIMELINE_COLUMNS), *of_channels])


def _chart(sheet: WriteOnlyWorksheet, timeline: Timeline, channels: Sequence[int], count: int) -> ScatterChart:
    """Return a chart of the probability of a negative emotion over the call, one line per channel.

    `count` is the number of segments on the sheet.
    """
    chart = ScatterChart(scatterStyle="lineMarker")
    chart.title, chart.title.overlay = "Probability of a negative emotion", False
    chart.width, chart.height, chart.roundedCorners = 25, 11, False  # cm
    chart.legend.position, chart.legend.overlay = "b", False
    # Cells are empty while another speaker talks: lines span these gaps. Filtering rows must not change the chart.
    chart.display_blanks, chart.visible_cells_only = "span", False
    starts = Reference(sheet, min_col=1, min_row=2, max_row=count + 1)
    for k, channel in enumerate(channels):
        values = Reference(sheet, min_col=len(TIMELINE_COLUMNS) + 1 + k, min_row=2, max_row=count + 1)
        series = Series(values, starts, title=show(timeline.speakers[channel - 1]))
        _format_line(series, _LINE_COLOURS[k])
        chart.series.append(series)
    length_s = max(timeline.length_s, *(row.end for row in timeline.rows))
    step_s = next((step for step in _TICK_STEPS_S if length_s / step <= _MAX_TICKS), _TICK_STEPS_S[-1])
    _set_axis(chart.x_axis, "Time into the call", "[h]:mm:ss", length_s / SECONDS_PER_DAY, step_s / SECONDS_PER_DAY)
    _set_axis(chart.y_axis, "Probability", "0%", 1, 0.25)
    chart.x_axis.axPos, chart.x_axis.majorGridlines = "b", None
    chart.y_axis.majorGridlines.spPr = GraphicalProperties(ln=LineProperties(solidFill="D9D9D9"))
    return chart


def _format_line(series: Series, colour: str) -> None:
    """Format a series as straight lines. Points have markers because a single point has no line."""
    series.smooth = False
    series.graphicalProperties.line.solidFill = colour
    series.graphicalProperties.line.width = 19050  # EMU: 1.5 points
    series.marker.symbol, series.marker.size = "circle", 4
    series.marker.graphicalProperties.solidFill = series.marker.graphicalProperties.line.solidFill = colour


def _set_axis(axis: NumericAxis, title: str, number_format: str, maximum: float, step: float) -> None:
    axis.title, axis.title.overlay = title, False
    axis.number_format, axis.majorUnit, axis.majorTickMark = number_format, step, "out"
    axis.scaling.min, axis.scaling.max = 0, maximum
    axis.delete = False


def _set_up(sheet: WriteOnlyWorksheet, widths: Sequence[float]) -> None:
    """Set the column widths and the print layout: landscape, one page wide, as many pages long as needed."""
    for k, width in enumerate(widths, start=1):
        sheet.column_dimensions[get_column_letter(k)].width = width
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "landscape", 0
    sheet.sheet_properties.pageSetUpPr.fitToPage = True


def _new_cell(sheet: WriteOnlyWorksheet, number_format: str) -> Cell:
    cell = WriteOnlyCell(sheet)
    cell.number_format = number_format
    return cell


def _filled(cell: Cell, value: float | None) -> Cell | None:
    """Set the value of a cell; return the cell, or None if it stays empty."""
    cell.value = value
    return None if value is None else cell


def _emotion_cell(sheet: WriteOnlyWorksheet, emotion: str) -> Cell:
    """Return a cell with the name of an emotion in its colour."""
    cell = text_cell(sheet, emotion)
    cell.fill = PatternFill("solid", fgColor=COLOURS.get(emotion, MASKED).removeprefix("#"))
    cell.font = Font(color="FFFFFF" if emotion in _DARK_EMOTIONS else "000000", **BODY)
    return cell


def _save(book: Workbook, path: Path) -> None:
    """Save a workbook without the time of the run, which the entries of the ZIP archive would hold, too."""
    buffer = BytesIO()
    save(book, buffer)
    with ZipFile(buffer) as archive, ZipFile(path, "w") as target:
        for name in archive.namelist():
            target.writestr(ZipInfo(name), archive.read(name), ZIP_DEFLATED)
