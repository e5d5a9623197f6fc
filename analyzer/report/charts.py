"""Charts of the summary workbook: calls to review first, negative passages by day, and talk by emotion."""

from typing import Any

from openpyxl.chart import BarChart, LineChart, Reference
from openpyxl.chart.label import DataLabelList
from openpyxl.chart.shapes import GraphicalProperties

from analyzer.report.palette import COLOURS

#: Maximum number of calls in the chart of calls to review first.
MOST_CALLS = 50
#: Height of charts that do not grow with the number of calls, and width of charts that span the page.
LOW_CM, _WIDTH_CM = 9.0, 29.0
_ROW_CM = 0.53


def rows_of(height_cm: float) -> int:
    """Return the number of sheet rows that an object of this height covers, plus one."""
    return int(height_cm / _ROW_CM) + 2


def emotion_shares(sheet: Any, rows: int, first_column: int, labels: int, names_column: int) -> Any:
    """Return a chart of stacked emotion shares, one bar for each of the first `rows` calls of a table.

    The header of the table is in row 1. `first_column` is the column of the first of `labels` emotions, whose titles
    are in the header; `names_column` holds the names of the calls.
    """
    chart = BarChart()
    chart.type, chart.grouping, chart.overlap = "bar", "percentStacked", 100
    chart.title = "Review first: how the speakers sounded"
    chart.y_axis.title, chart.x_axis.title = "share of the speaker's talk", "call, by its rank in Review first"
    chart.y_axis.number_format, chart.y_axis.majorUnit = "0%", 0.2
    chart.x_axis.scaling.orientation = "maxMin"
    chart.gapWidth = 30
    chart.add_data(
        Reference(sheet, min_col=first_column, max_col=first_column + labels - 1, min_row=1, max_row=rows + 1),
        titles_from_data=True,
    )
    chart.set_categories(Reference(sheet, min_col=names_column, min_row=2, max_row=rows + 1))
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
    chart.add_data(
        Reference(sheet, min_col=first_column, max_col=first_column + 2, min_row=1, max_row=rows + 1),
        titles_from_data=True,
    )
    chart.set_categories(Reference(sheet, min_col=1, min_row=2, max_row=rows + 1))
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
    chart.add_data(Reference(sheet, min_col=2, min_row=first_row, max_row=first_row + rows), titles_from_data=True)
    chart.set_categories(Reference(sheet, min_col=1, min_row=first_row + 1, max_row=first_row + rows))
    chart.series[0].graphicalProperties = GraphicalProperties(solidFill="1F4E79")
    chart.dataLabels = DataLabelList(showVal=True, showSerName=False, showCatName=False, showLegendKey=False)
    return _laid_out(chart, width_cm=18.5)


def _laid_out(chart: Any, height_cm: float = LOW_CM, width_cm: float = _WIDTH_CM) -> Any:
    chart.width, chart.height = width_cm, height_cm
    chart.legend.position = "b"
    chart.x_axis.delete = chart.y_axis.delete = False  # if unset, as openpyxl leaves it, some programs hide the axes
    return chart
