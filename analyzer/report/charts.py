"""Charts of the summary workbook: calls to review first, negative passages by day, and talk by emotion."""

from typing import Any

from openpyxl.chart import BarChart, LineChart, Reference
from openpyxl.chart.label import DataLabelList
from openpyxl.chart.shapes import GraphicalProperties

from analyzer.report.palette import COLOURS

#: Maximum number of calls in the chart of calls to review first.
MOST_CALLS = 50
#: Height of charts that do not grow with the number of calls, and width of charts that span the page.
_LOW_CM, _WIDTH_CM = 9.0, 29.0
#: Number of sheet rows from the top of such a chart to what follows it; a row is 0.53 cm high.
LOW_ROWS = int(_LOW_CM / 0.53) + 2


def emotion_shares(sheet: Any, rows: int, first_column: int) -> Any:
    """Return a chart of stacked emotion shares, one bar for each of the first `rows` calls of a table.

    The columns of the emotions begin with `first_column`.
    """
    chart = BarChart()
    chart.type, chart.grouping, chart.overlap = "bar", "percentStacked", 100
    chart.title = "Review first: how the speakers sounded"
    chart.y_axis.title, chart.x_axis.title = "share of the speaker's talk", "call, by its rank in Review first"
    chart.y_axis.number_format, chart.y_axis.majorUnit = "0%", 0.2
    chart.x_axis.scaling.orientation = "maxMin"
    chart.gapWidth = 30
    _add_data(chart, sheet, 1, rows, first_column, len(COLOURS))
    for series, colour in zip(chart.series, COLOURS.values(), strict=True):
        series.graphicalProperties = GraphicalProperties(solidFill=colour[1:])
    return _laid_out(chart, 6 + 0.55 * rows)


def negative_passages_by_day(sheet: Any, rows: int, first_column: int) -> Any:
    """Return a chart of the share of calls with a negative passage by day, with its interval.

    The share and both ends of its interval are in three columns of the table, from `first_column` on.
    """
    chart = LineChart()
    chart.title = "Calls with a negative passage, by day"
    chart.y_axis.title, chart.x_axis.title = "share of the calls analysed", "day"
    chart.y_axis.number_format, chart.y_axis.scaling.min, chart.y_axis.scaling.max = "0%", 0, 1
    _add_data(chart, sheet, 1, rows, first_column, 3)
    share, *edges = chart.series
    share.graphicalProperties.line.solidFill, share.graphicalProperties.line.width = "D55E00", 28_000
    share.marker.symbol, share.marker.size, share.smooth = "circle", 6, False
    share.marker.graphicalProperties = GraphicalProperties(solidFill="D55E00")
    for edge in edges:
        edge.graphicalProperties.line.solidFill, edge.graphicalProperties.line.dashStyle = "999999", "sysDash"
        edge.graphicalProperties.line.width, edge.smooth = 12_000, False
        edge.marker.symbol = "none"
    return _laid_out(chart)


def talk_by_emotion(sheet: Any, first_row: int, rows: int) -> Any:
    """Return a chart of the shares of all talk by emotion, from a small table whose header is in `first_row`."""
    chart = BarChart()
    chart.type, chart.title = "col", "All talk, by emotion"
    chart.y_axis.title, chart.x_axis.title = "share of the talk", "emotion"
    chart.y_axis.number_format, chart.y_axis.scaling.min = "0%", 0
    _add_data(chart, sheet, first_row, rows, 2, 1)
    chart.series[0].graphicalProperties = GraphicalProperties(solidFill="1F4E79")
    chart.dataLabels = DataLabelList(showVal=True, showSerName=False, showCatName=False, showLegendKey=False)
    return _laid_out(chart, width_cm=18.5)


def _add_data(chart: Any, sheet: Any, header_row: int, rows: int, first_column: int, columns: int) -> None:
    """Add columns of a table, whose titles are in its header, as series; its first column names the categories."""
    last_row, last_column = header_row + rows, first_column + columns - 1
    data = Reference(sheet, min_col=first_column, max_col=last_column, min_row=header_row, max_row=last_row)
    chart.add_data(data, titles_from_data=True)
    chart.set_categories(Reference(sheet, min_col=1, min_row=header_row + 1, max_row=last_row))


def _laid_out(chart: Any, height_cm: float = _LOW_CM, width_cm: float = _WIDTH_CM) -> Any:
    chart.width, chart.height = width_cm, height_cm
    chart.legend.position = "b"
    chart.x_axis.delete = chart.y_axis.delete = False  # if unset, as openpyxl leaves it, some programs hide the axes
    return chart
