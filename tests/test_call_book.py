"""The workbook of one recording: its contents, formats and chart."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from zipfile import ZipFile

import openpyxl
import pytest
from hypothesis import example, given, settings
from openpyxl.chart import ScatterChart
from openpyxl.worksheet.worksheet import Worksheet
from python_calamine import CalamineWorkbook

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.names import show
from analyzer.outputs import TIMELINE_COLUMNS
from analyzer.report import call_book
from analyzer.report.call_book import write_workbook
from analyzer.report.interchange import label
from analyzer.report.palette import COLOURS
from analyzer.timeline import Row, Timeline
from tests.test_interchange import AWKWARD, a_row, a_timeline, masked, timelines

HEADER = [column.replace("_", " ") for column in TIMELINE_COLUMNS]
#: A call in which both speakers are upset, in turns.
BOTH = a_timeline(a_row(1.5, 2.5), a_row(2, 4.25, 2, "sad", 0.6), a_row(5, 6, 1, "happy", 0.9), a_row(6.5, 7, 2))


def written(timeline: Timeline, folder: Path) -> Path:
    """Write the workbook of a timeline; it gets its suffix afterwards, because only readers need it."""
    path = folder / "call.tmp"
    write_workbook(timeline, path)
    return path.rename(folder / "call.xlsx")


def sheets(timeline: Timeline, folder: Path) -> tuple[Worksheet, Worksheet]:
    """Return the sheets About and Timeline, as openpyxl reads them."""
    book = openpyxl.load_workbook(written(timeline, folder))
    assert book.sheetnames == ["About", "Timeline"]
    return book["About"], book["Timeline"]


def column(sheet: Worksheet, title: str) -> list[object]:
    """Return the values of a column, without its title."""
    titles = [cell.value for cell in sheet[1]]
    return [line[titles.index(title)] for line in sheet.iter_rows(min_row=2, values_only=True)]


def milliseconds(value: timedelta | time | float) -> int:
    """Return a time of day, or a share of a day, in milliseconds."""
    if isinstance(value, time):
        value = datetime.combine(datetime.min, value) - datetime.min
    seconds = value.total_seconds() if isinstance(value, timedelta) else value * 86400
    return round(seconds * 1000)


def chart(about: Worksheet) -> ScatterChart:
    (found,) = about._charts
    return found


def lines(timeline: Timeline, folder: Path) -> list[list[tuple[int, float]]]:
    """Return the points of each line of the chart, in milliseconds and probability, from the cells it refers to."""
    about, sheet = sheets(timeline, folder)
    found = []
    for series in chart(about).series:
        starts, values = (
            [cell.value for (cell,) in sheet[re.sub(r"'Timeline'!|\$", "", reference.numRef.f)]]
            for reference in (series.xVal, series.yVal)
        )
        pairs = zip(starts, values, strict=True)
        found.append([(milliseconds(start), value) for start, value in pairs if value is not None])
    return found


def test_the_timeline_has_a_row_per_segment_by_start(tmp_path: Path) -> None:
    rows = [a_row(4, 5.125, 2, UNCERTAIN, 0.35), masked(0.5, 2.25), a_row(2, 3.75, 2)]
    _, sheet = sheets(a_timeline(*rows), tmp_path)
    assert [milliseconds(value) for value in column(sheet, "start")] == [500, 2000, 4000]
    assert [milliseconds(value) for value in column(sheet, "end")] == [2250, 3750, 5125]
    assert column(sheet, "speaker") == ["agent", "customer", "customer"]
    assert column(sheet, "emotion") == ["speech", "angry", "uncertain"]
    assert column(sheet, "confidence") == [None, 0.81, 0.35]
    assert column(sheet, "sad") == [None, 0.0271, 0.35]
    assert column(sheet, "level db") == [-30.5, -20, -20]


@settings(max_examples=30)
@given(timelines())
@example(a_timeline(speakers=AWKWARD, rows=tuple(a_row(k, k + 1, k + 1) for k in range(len(AWKWARD)))))
def test_calamine_reads_the_segments_of_any_timeline_to_the_millisecond(
    tmp_path_factory: pytest.TempPathFactory, timeline: Timeline
) -> None:
    book = CalamineWorkbook.from_path(written(timeline, tmp_path_factory.getbasetemp()))
    about, (header, *found) = (book.get_sheet_by_name(name).to_python() for name in ("About", "Timeline"))
    assert about[0][:2] == ["recording", show(timeline.recording)]
    assert header[: len(HEADER)] == HEADER
    for cells, row in zip(found, timeline.rows, strict=True):
        assert [milliseconds(value) for value in cells[:2]] == [milliseconds(s / 86400) for s in (row.start, row.end)]
        assert cells[2:5] == [row.channel, show(timeline.speaker(row)), label(row)]
        expected = [row.confidence, *row.probabilities] if row.probabilities else [""] * 9
        assert cells[5 : len(HEADER)] == [*expected, row.level_db]


def test_the_first_sheet_says_what_is_known(tmp_path: Path) -> None:
    about, _ = sheets(a_timeline(), tmp_path)
    (recording, length, *others) = [(line[0].value, line[1]) for line in about.iter_rows()]
    assert (recording[0], recording[1].value) == ("recording", "calls/a.wav")
    assert (length[0], milliseconds(length[1].value), length[1].number_format) == ("length", 8000, "[h]:mm:ss.0")
    assert [(name, cell.value) for name, cell in others] == [
        ("speakers", "agent, customer"),
        ("recorded", "2026-11-24 13:00:00"),
        ("queue", "billing"),
    ]


def test_a_detail_named_as_something_known_takes_no_place(tmp_path: Path) -> None:
    about, _ = sheets(a_timeline(about={"length": "long"}), tmp_path)
    assert [line[0].value for line in about.iter_rows()] == ["recording", "length", "speakers", "length"]


def test_what_is_long_is_seen_whole(tmp_path: Path) -> None:
    speakers = tuple(f"{'a long role' * 3} {k}" for k in range(6))
    about, sheet = sheets(a_timeline(a_row(1, 2), speakers=speakers, about={"note": "x" * 500}), tmp_path)
    assert about.row_dimensions[3].height >= 15 * (len(", ".join(speakers)) / about.column_dimensions["B"].width)
    assert about.row_dimensions[4].height >= 15 * 500 / about.column_dimensions["B"].width
    assert sheet.column_dimensions["D"].width > len(speakers[0])


def test_cells_hold_numbers_in_the_form_a_person_reads(tmp_path: Path) -> None:
    _, sheet = sheets(BOTH, tmp_path)
    forms = {cell.value: sheet.cell(2, cell.column).number_format for cell in sheet[1]}
    assert {forms[name] for name in ("start", "end")} == {"[h]:mm:ss.0"}
    assert {forms[name] for name in ("confidence", *EMOTIONS, "negative: agent")} == {"0%"}
    assert (forms["channel"], forms["level db"]) == ("0", "0.0")


def test_the_timeline_can_be_read_filtered_and_printed(tmp_path: Path) -> None:
    _, sheet = sheets(BOTH, tmp_path)
    assert [cell.value for cell in sheet[1]] == [*HEADER, "negative: agent", "negative: customer"]
    assert all(cell.font.bold for cell in sheet[1])
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:Q5")
    assert (sheet.page_setup.orientation, sheet.print_title_rows) == ("landscape", "$1:$1")
    assert all(sheet.column_dimensions[cell.column_letter].width >= len(cell.value) / 2 for cell in sheet[1])


def test_emotions_have_their_colours(tmp_path: Path) -> None:
    rows = [a_row(k, k + 1, 1, emotion) for k, emotion in enumerate(COLOURS)]
    _, sheet = sheets(a_timeline(*rows), tmp_path)
    cells = [line[4] for line in sheet.iter_rows(min_row=2)]
    assert {cell.value: f"#{cell.fill.fgColor.rgb[2:]}" for cell in cells} == COLOURS


@pytest.mark.parametrize("emotion", [*COLOURS, "speech"])
def test_the_name_of_an_emotion_stands_out_from_its_colour(tmp_path: Path, emotion: str) -> None:
    row = masked(0, 1) if emotion == "speech" else a_row(0, 1, 1, emotion)
    _, sheet = sheets(a_timeline(row), tmp_path)
    lighter, darker = sorted(
        (luminance(colour.rgb[2:]) for colour in (sheet["E2"].fill.fgColor, sheet["E2"].font.color)), reverse=True
    )
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def luminance(rgb: str) -> float:
    """Return the relative luminance of a colour, as defined by WCAG 2."""
    parts = [int(rgb[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_no_text_is_run_as_a_formula(tmp_path: Path, name: str) -> None:
    timeline = a_timeline(a_row(1, 2), recording=name, speakers=(name,), about={name: name})
    for sheet in sheets(timeline, tmp_path):
        cells = [cell for line in sheet.iter_rows() for cell in line if isinstance(cell.value, str)]
        assert {cell.data_type for cell in cells} == {"s"}
    about, sheet = sheets(timeline, tmp_path)
    assert (about["B1"].value, sheet["D2"].value, about["A4"].value) == (show(name),) * 3


def test_the_chart_has_a_line_per_speaker_through_the_probabilities_of_negative_emotions(tmp_path: Path) -> None:
    agent, customer = lines(BOTH, tmp_path)
    assert agent == [(1500, pytest.approx(BOTH.rows[0].negative)), (5000, pytest.approx(BOTH.rows[2].negative))]
    assert customer == [(2000, pytest.approx(BOTH.rows[1].negative)), (6500, pytest.approx(BOTH.rows[3].negative))]


def test_the_chart_says_what_it_shows(tmp_path: Path) -> None:
    found = chart(sheets(BOTH, tmp_path)[0])
    assert words_of(found.title) == "Probability of a negative emotion"
    assert [words_of(axis.title) for axis in (found.x_axis, found.y_axis)] == ["Time into the call", "Probability"]
    assert [axis.numFmt.formatCode for axis in (found.x_axis, found.y_axis)] == ["[h]:mm:ss", "0%"]
    assert [axis.delete for axis in (found.x_axis, found.y_axis)] == [False, False]
    assert (found.y_axis.scaling.min, found.y_axis.scaling.max) == (0, 1)
    assert (found.x_axis.scaling.min, milliseconds(found.x_axis.scaling.max)) == (0, 8000)
    assert [series.tx.v for series in found.series] == ["agent", "customer"]
    assert found.legend is not None
    assert not any(series.smooth for series in found.series)


def words_of(title: object) -> str:
    return "".join(run.t for paragraph in title.tx.rich.p for run in paragraph.r)


def test_a_line_goes_on_where_somebody_else_speaks_and_rows_are_hidden(tmp_path: Path) -> None:
    with ZipFile(written(BOTH, tmp_path)) as archive:
        xml = archive.read("xl/charts/chart1.xml").decode()
    assert '<dispBlanksAs val="span"' in xml
    assert '<plotVisOnly val="0"' in xml


@pytest.mark.parametrize("length_s", [0.5, 7, 60, 241, 3600, 10_000, 86_400])
def test_the_marks_of_time_are_few_and_round(tmp_path: Path, length_s: float) -> None:
    timeline = a_timeline(a_row(0, length_s), length_s=length_s)
    step = milliseconds(chart(sheets(timeline, tmp_path)[0]).x_axis.majorUnit) / 1000
    assert length_s / step <= 8
    assert step == 1 or length_s / step > 2
    assert 60 % step == 0 or step % 60 == 0


def test_a_masked_channel_has_no_line(tmp_path: Path) -> None:
    timeline = a_timeline(masked(0, 1), a_row(2, 3, 2), masked(4, 5), a_row(6, 7, 2))
    about, sheet = sheets(timeline, tmp_path)
    assert [series.tx.v for series in chart(about).series] == ["customer"]
    assert [cell.value for cell in sheet[1]][len(HEADER) :] == ["negative: customer"]
    assert column(sheet, "negative: customer")[::2] == [None, None]


@pytest.mark.parametrize("rows", [(), (masked(0, 1), masked(2, 3, 2))], ids=["nothing said", "all masked"])
def test_without_emotions_there_is_no_chart(tmp_path: Path, rows: Sequence[Row]) -> None:
    about, sheet = sheets(a_timeline(rows=rows), tmp_path)
    assert about._charts == []
    assert [cell.value for cell in sheet[1]] == HEADER
    assert sheet.max_row == len(rows) + 1


def test_a_chart_has_at_most_eight_lines_of_different_colours(tmp_path: Path) -> None:
    speakers = tuple(f"speaker {k}" for k in range(12))
    rows = [masked(0, 1), *(a_row(k, k + 1, k + 1) for k in range(1, 12))]
    series = chart(sheets(a_timeline(*rows, speakers=speakers), tmp_path)[0]).series
    assert [one.tx.v for one in series] == list(speakers[1:9])
    assert len({one.graphicalProperties.line.solidFill for one in series}) == 8


def test_a_sheet_that_is_full_says_how_much_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_book, "MOST_ROWS", 3)
    timeline = a_timeline(*(a_row(k, k + 1) for k in range(3)), *(a_row(k, k + 1, 2) for k in range(3, 6)))
    about, sheet = sheets(timeline, tmp_path)
    assert sheet.max_row == 5
    assert sheet["A5"].value == "3 more segments do not fit on this sheet"
    assert sheet.auto_filter.ref.endswith("4")
    assert [series.tx.v for series in chart(about).series] == ["agent"]


def test_the_same_timeline_gives_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    first = written(BOTH, tmp_path).read_bytes()
    assert written(BOTH, tmp_path).read_bytes() == first
    with ZipFile(tmp_path / "call.xlsx") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    properties = openpyxl.load_workbook(tmp_path / "call.xlsx").properties
    assert {properties.created, properties.modified} == {datetime(1980, 1, 1)}


@pytest.mark.slow
@pytest.mark.parametrize("timeline", [BOTH, a_timeline(rows=())], ids=["two speak", "nothing said"])
def test_libreoffice_opens_the_workbook_of_a_recording(tmp_path: Path, timeline: Timeline) -> None:
    soffice = shutil.which("soffice") or shutil.which("libreoffice")
    assert soffice, "the slow suite needs LibreOffice (soffice) on the PATH"
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    path = written(timeline, tmp_path)
    subprocess.run(
        [soffice, profile, "--headless", "--convert-to", "pdf", "--outdir", tmp_path, path],
        check=True,
        capture_output=True,
        timeout=3000,
    )
    assert (tmp_path / "call.pdf").read_bytes().startswith(b"%PDF-")
