"""The workbook of one recording: its contents, formats and chart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest
from hypothesis import example, given, settings
from openpyxl.worksheet.worksheet import Worksheet

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.names import show
from analyzer.report import call_book
from analyzer.report.interchange import label
from analyzer.report.palette import COLOURS
from analyzer.store.outputs import TIMELINE_COLUMNS
from analyzer.timeline.timeline import Row, Timeline
from tests.helpers.spreadsheets import calamine, column, convert, referred, seconds, title_of
from tests.helpers.timelines import AWKWARD_ROLES, a_row, a_timeline, masked, timelines

HEADER = [name.replace("_", " ") for name in TIMELINE_COLUMNS]
#: A call in which both speakers are upset, in turns.
BOTH = a_timeline(a_row(1.5, 2.5), a_row(2, 4.25, 2, "sad", 0.6), a_row(5, 6, 1, "happy", 0.9), a_row(6.5, 7, 2))


def written(timeline: Timeline, folder: Path) -> Path:
    """Write the workbook of a timeline; it gets its suffix afterwards, because only readers need it."""
    path = folder / "call.tmp"
    call_book.write_workbook(timeline, path)
    return path.rename(folder / "call.xlsx")


def sheets(timeline: Timeline, folder: Path) -> tuple[Worksheet, Worksheet]:
    """Return the sheets About and Timeline, as openpyxl reads them."""
    book = openpyxl.load_workbook(written(timeline, folder))
    assert book.sheetnames == ["About", "Timeline"]
    return book["About"], book["Timeline"]


def series_of(about: Worksheet) -> dict[str, Any]:
    """Return the series of the chart by title."""
    (chart,) = about._charts
    return {series.tx.v: series for series in chart.series}


@settings(max_examples=30)
@given(timelines())
@example(a_timeline(speakers=AWKWARD_ROLES, rows=tuple(a_row(k, k + 1, k + 1) for k in range(len(AWKWARD_ROLES)))))
@example(a_timeline(a_row(4, 5.125, 2, UNCERTAIN, 0.35), masked(0.5, 2.25), a_row(2, 3.75, 2)))
def test_the_timeline_has_the_segments_to_the_millisecond(
    tmp_path_factory: pytest.TempPathFactory, timeline: Timeline
) -> None:
    path = written(timeline, tmp_path_factory.getbasetemp())
    assert calamine(path, "About")[0][:2] == ["recording", show(timeline.recording)]
    header, *found = calamine(path, "Timeline")
    assert header[: len(HEADER)] == HEADER
    for cells, row in zip(found, sorted(timeline.rows, key=lambda row: (row.start, row.channel)), strict=True):
        assert [seconds(value) for value in cells[:2]] == [round(row.start, 3), round(row.end, 3)]
        assert cells[2:5] == [row.channel, show(timeline.speaker(row)), label(row)]
        expected = [row.confidence, *row.probabilities] if row.probabilities else [""] * 9
        assert cells[5 : len(HEADER)] == [*expected, row.level_db]


def test_the_first_sheet_has_the_facts_about_the_recording(tmp_path: Path) -> None:
    about, _ = sheets(a_timeline(about={"recorded": "2026-11-24 13:00:00", "length": "long"}), tmp_path)
    recording, (_, length), *others = about.iter_rows(max_col=2)
    assert [cell.value for cell in recording] == ["recording", "calls/a.wav"]
    assert (seconds(length.value), length.number_format) == (8, "[h]:mm:ss.0")
    facts = [("speakers", "agent, customer"), ("recorded", "2026-11-24 13:00:00"), ("length", "long")]
    assert [tuple(cell.value for cell in row) for row in others] == facts


FORMATS = {"start": "[h]:mm:ss.0", "end": "[h]:mm:ss.0", "channel": "0", "level db": "0.0"}
FORMATS |= dict.fromkeys(("confidence", *EMOTIONS, "negative: agent", "negative: customer"), "0%")


def test_the_timeline_has_its_columns_in_their_style(tmp_path: Path) -> None:
    _, sheet = sheets(BOTH, tmp_path)
    assert [cell.value for cell in sheet[1]] == [*HEADER, "negative: agent", "negative: customer"]
    for header, *cells in sheet.iter_cols():
        formats = {cell.number_format for cell in cells if cell.value is not None}
        assert formats == {FORMATS.get(header.value, "General")}, header.value
        assert header.font.bold
        assert sheet.column_dimensions[header.column_letter].width >= max(11, len(header.value) / 2)
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:Q5")
    assert (sheet.page_setup.orientation, sheet.print_title_rows) == ("landscape", "$1:$1")


def test_emotions_have_their_colours_and_can_be_read_on_them(tmp_path: Path) -> None:
    rows = [a_row(k, k + 1, 1, emotion) for k, emotion in enumerate(COLOURS)]
    _, sheet = sheets(a_timeline(*rows, masked(20, 21)), tmp_path)
    cells = [cell for (cell,) in sheet.iter_rows(2, min_col=5, max_col=5)]
    assert {cell.value: f"#{cell.fill.fgColor.rgb[2:]}" for cell in cells[:-1]} == COLOURS
    for cell in cells:
        darker, lighter = sorted(luminance(colour.rgb[2:]) for colour in (cell.fill.fgColor, cell.font.color))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, cell.value


def luminance(rgb: str) -> float:
    """Return the relative luminance of a colour, as defined by WCAG 2."""
    parts = [int(rgb[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_no_text_is_a_formula_and_long_ones_are_shown_whole(tmp_path: Path) -> None:
    names, note = {name: name for name in AWKWARD_ROLES}, {"note": "x" * 500}
    rows = [a_row(k, k + 1, k + 1) for k in range(len(names))]
    about, sheet = sheets(a_timeline(*rows, recording="=1+1", speakers=tuple(names), about=names | note), tmp_path)
    cells = [cell for each in (about, sheet) for row in each.iter_rows() for cell in row if isinstance(cell.value, str)]
    assert {cell.data_type for cell in cells} == {"s"}
    assert column(sheet, "speaker") == [show(name) for name in names]
    assert [tuple(cell.value for cell in row[:2]) for row in about.iter_rows(4)][:-1] == [
        (show(n), show(n)) for n in names
    ]
    for number in (3, about.max_row):
        lines = len(about.cell(number, 2).value) / about.column_dimensions["B"].width
        assert about.row_dimensions[number].height >= 15 * lines > 15


def test_the_chart_has_axes_and_a_line_of_negative_probabilities_per_speaker(tmp_path: Path) -> None:
    about, sheet = sheets(BOTH, tmp_path)
    (chart,), axes = about._charts, [about._charts[0].x_axis, about._charts[0].y_axis]
    assert all(title_of(element) for element in (chart, *axes))
    assert chart.legend is not None
    assert [(axis.numFmt.formatCode, axis.delete) for axis in axes] == [("[h]:mm:ss", False), ("0%", False)]
    assert [(axis.scaling.min, axis.scaling.max) for axis in axes] == [(0, pytest.approx(8 / 86400)), (0, 1)]
    for channel, (speaker, series) in enumerate(series_of(about).items(), start=1):
        starts, values = (referred(sheet.parent, places.numRef.f) for places in (series.xVal, series.yVal))
        assert speaker == BOTH.speakers[channel - 1]
        assert [seconds(start) for start in starts] == [row.start for row in BOTH.rows]
        expected = [pytest.approx(row.negative) if row.channel == channel else None for row in BOTH.rows]
        assert values == column(sheet, f"negative: {speaker}") == expected
    with ZipFile(tmp_path / "call.xlsx") as archive:
        xml = archive.read("xl/charts/chart1.xml").decode()
    assert '<dispBlanksAs val="span"' in xml  # lines go on while another speaker talks
    assert '<plotVisOnly val="0"' in xml  # and where a filter hides rows


def test_the_ticks_of_the_time_axis_are_few_and_round(tmp_path: Path) -> None:
    for length_s in (0.5, 7, 60, 241, 3600, 10_000, 86_400):
        (chart,) = sheets(a_timeline(a_row(0, length_s), length_s=length_s), tmp_path)[0]._charts
        step = seconds(chart.x_axis.majorUnit)
        assert length_s / step <= 8
        assert step == 1 or length_s / step > 2
        assert 60 % step == 0 or step % 60 == 0


@pytest.mark.parametrize("rows", [(), (masked(0, 1), masked(2, 3, 2))], ids=["no speech", "all masked"])
def test_without_emotions_there_is_no_chart(tmp_path: Path, rows: Sequence[Row]) -> None:
    about, sheet = sheets(a_timeline(rows=rows), tmp_path)
    assert about._charts == []
    assert [cell.value for cell in sheet[1]] == HEADER
    assert sheet.max_row == len(rows) + 1


def test_a_chart_has_at_most_eight_lines_and_none_of_masked_channels(tmp_path: Path) -> None:
    speakers = tuple(f"speaker {k}" for k in range(12))
    rows = [masked(0, 1), *(a_row(k, k + 1, k + 1) for k in range(1, 12))]
    about, sheet = sheets(a_timeline(*rows, speakers=speakers), tmp_path)
    assert list(series_of(about)) == list(speakers[1:9])
    assert [cell.value for cell in sheet[1]][len(HEADER) :] == [f"negative: {name}" for name in speakers[1:9]]
    assert len({series.graphicalProperties.line.solidFill for series in series_of(about).values()}) == 8


def test_a_full_sheet_has_the_number_of_other_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_book, "MOST_ROWS", 3)
    timeline = a_timeline(*(a_row(k, k + 1) for k in range(3)), *(a_row(k, k + 1, 2) for k in range(3, 6)))
    about, sheet = sheets(timeline, tmp_path)
    assert (sheet.max_row, sheet.auto_filter.ref[-1]) == (5, "4")
    assert sheet["A5"].value == "3 more segments do not fit on this sheet"
    assert list(series_of(about)) == ["agent"]


def test_the_same_timeline_gives_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    first = written(BOTH, tmp_path).read_bytes()
    assert written(BOTH, tmp_path).read_bytes() == first
    with ZipFile(tmp_path / "call.xlsx") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    properties = openpyxl.load_workbook(tmp_path / "call.xlsx").properties
    assert {properties.created.year, properties.modified.year} == {1980}


@pytest.mark.slow
@pytest.mark.parametrize("timeline", [BOTH, a_timeline(rows=())], ids=["two speak", "no speech"])
def test_libreoffice_opens_the_workbook_of_a_recording(tmp_path: Path, timeline: Timeline) -> None:
    assert convert(written(timeline, tmp_path), "pdf").read_bytes().startswith(b"%PDF-")
