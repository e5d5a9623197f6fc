"""summary.xlsx: content of each sheet, compatibility with every program, same cells for the same recordings."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet
from python_calamine import CalamineWorkbook

from analyzer.emotions import NEGATIVE, UNCERTAIN
from analyzer.entry import Entry
from analyzer.errors import CannotWork
from analyzer.ledger import Ledger
from analyzer.names import Identity, show
from analyzer.outputs import format_path
from analyzer.report import sheets, views, workbook
from analyzer.report.palette import COLOURS
from analyzer.report.selection import LATEST, Period, Selection
from analyzer.report.sheets import Column
from analyzer.report.summary import LABELS
from tests.nights import read_workbook
from tests.test_summary import BERLIN, CALM, UPSET, a_call, ago, failed
from tests.test_views import AWKWARD

SHEETS = ["Overview", "Review first", "Recordings", "Days", "Weeks", "Groups", "Files", "Settings"]
TABLES = SHEETS[1:]
HOUR = 3600
SETTINGS = {"model": "tiny", "prior": "calls", "min age": 2.5, "name pattern": "=(?P<queue>.+)"}


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(None)) as ledger:
        yield ledger


def a_period() -> list[Entry]:
    """Calls of two weeks: various ones on 24 November, and ten calm calls of another queue in the week before."""
    long = [(1, 0, 6, "sad"), (2, 10, 20, "happy"), (1, 3725.25, 3731.25, "angry"), (1, 3740, 3743, "fearful")]
    return [
        a_call("long.wav", long, groups={"queue": "sales"}, length_s=2 * HOUR),
        a_call("short.wav", UPSET, groups={"queue": "sales"}),
        a_call("calm.wav", [(1, 0, 10, "calm"), (1, 60, 70, UNCERTAIN)], groups={"queue": "sales"}),
        a_call("agent.wav", [*CALM, (2, 20, 60, "angry")], groups={"queue": "sales"}),
        a_call("masked.wav", [(1, 0, 60, "angry"), (2, 60, 70, "happy")], masked=("customer", "agent")),
        failed("broken.wav", reason="no sound in it"),
        failed("copied.wav", status="incomplete", reason="changes still"),
        failed("README.md", status="skipped", reason="no audio"),
        *(a_call(f"billing/{k}.wav", groups={"queue": "billing", "agent": "Kim"}, day=ago(7)) for k in range(10)),
    ]


def written(
    ledger: Ledger, folder: Path, *entries: Entry, selection: Selection = LATEST, pages: bool = True
) -> openpyxl.Workbook:
    for entry in entries:
        ledger.record(entry)
    workbook.write_workbook(folder / "summary.xlsx", ledger, BERLIN, selection, pages)
    return openpyxl.load_workbook(folder / "summary.xlsx")


def point(negative_from: float, found: float | None = None, false: float | None = None) -> dict[str, float | None]:
    return {"negative_from": negative_from, "found": found, "false": false}


#: Sensitivities of a model, measured and not measured.
MEASURED = {"low": point(0.7, 0.3, 0.005), "normal": point(0.45, 0.51, 0.05), "high": point(0.3, 0.72, 0.151)}
GENERIC = {"low": point(0.65), "normal": point(0.5), "high": point(0.35)}


def note_model(ledger: Ledger, fingerprint: str = "f", **facts: object) -> None:
    ledger.remember(f"model {fingerprint}", json.dumps({"name": "tiny", "uncertain_below": 0.4, **facts}))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workbook of that period; tests only read it."""
    folder = tmp_path_factory.mktemp("period")
    with closing(Ledger(None)) as ledger:
        terms = {"business_use": False, "licence": "trained on TESS: not for commercial use"}
        scores = {"on_strangers": "hears 61 %", "on_level_voices": "errs in 2 %"}
        note_model(ledger, sensitivity="normal", sensitivities=MEASURED, **terms, **scores)
        ledger.remember("settings", json.dumps(SETTINGS))
        written(ledger, folder, *a_period())
    return folder / "summary.xlsx"


@pytest.fixture(scope="module")
def book(packed: Path) -> openpyxl.Workbook:
    return openpyxl.load_workbook(packed)


def lines(sheet: Worksheet) -> list[dict[Any, Any]]:
    """Return the rows of a table by title, with times in seconds."""
    header, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(header, map(in_seconds, row), strict=True)) for row in rows]


def in_seconds(value: object) -> object:
    if isinstance(value, time):
        value = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return round(value.total_seconds(), 3) if isinstance(value, timedelta) else value


def column(sheet: Worksheet, title: str) -> list[Any]:
    return [line[title] for line in lines(sheet)]


def picked(line: dict[Any, Any], *titles: str) -> list[Any]:
    return [line[title] for title in titles]


def last_line(sheet: Worksheet) -> list[Any]:
    return [cell.value for cell in sheet[sheet.max_row] if cell.value is not None]


def calamine(path: Path, sheet: str) -> list[list[Any]]:
    return CalamineWorkbook.from_path(path).get_sheet_by_name(sheet).to_python()


# All sheets.


def test_it_does_not_say_when_it_was_made(book: openpyxl.Workbook) -> None:
    assert book.properties.created == book.properties.modified
    assert book.properties.created.year == 1980


def test_there_is_a_sheet_for_each_question(book: openpyxl.Workbook) -> None:
    assert book.sheetnames == SHEETS


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_scrolled_filtered_and_printed(book: openpyxl.Workbook, name: str) -> None:
    sheet = book[name]
    titles = [cell.value for cell in sheet[1]]
    rows = len([row for row in sheet.values if any(value is not None for value in row[1:])])
    assert all(isinstance(title, str) and sheet.cell(1, k).font.bold for k, title in enumerate(titles, start=1))
    assert sheet.freeze_panes == "B2"
    assert sheet.auto_filter.ref == f"A1:{get_column_letter(len(titles))}{rows}"
    assert rows > 1
    assert sheet.print_title_rows == "$1:$1"
    for k, title in enumerate(titles, start=1):
        width = sheet.column_dimensions[get_column_letter(k)].width
        assert width >= max(map(len, re.split(r"[ ,]", title))), title
        assert 7 <= width <= 80


INTERVAL = ("95 % interval, from", "95 % interval, to")
FORMS = {
    "[h]:mm:ss": ("from", "to", "negative for", "length", "talk", "silence", "both speak", "strongest at"),
    "0%": (
        *("mean probability", "share of the calls heard", *INTERVAL, "negative", *LABELS),
        *("negative, first third", "negative, last third"),
    ),
    "+0%;-0%;0%": ("change", "change to the week before", *INTERVAL),
    "0.0": ("level, dBFS",),
    "#,##0.0": ("hours", "hours of talk"),
    "#,##0": (
        *("place", "channel", "negative passages", "recordings", "not analysed", "calls heard"),
        *("with a negative passage", "days with calls", "bytes"),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_cells_hold_numbers_in_the_form_a_person_reads(book: openpyxl.Workbook, name: str) -> None:
    for title, *cells in book[name].iter_cols():
        forms = {cell.number_format for cell in cells if not isinstance(cell.value, str | None)}
        assert len(forms) <= 1
        assert all(title.value in FORMS[form] for form in forms), title.value


def test_how_sure_a_change_is_has_the_form_of_a_change(book: openpyxl.Workbook) -> None:
    assert [book["Weeks"].cell(3, k).number_format for k in range(12, 15)] == ["+0%;-0%;0%"] * 3
    assert [book["Weeks"].cell(3, k).number_format for k in (10, 11)] == ["0%"] * 2


@pytest.mark.parametrize("name", ["Review first", "Recordings", "Days", "Weeks", "Groups"])
def test_the_more_negative_the_darker(book: openpyxl.Workbook, name: str) -> None:
    sheet = book[name]
    letters = {cell.value: cell.column_letter for cell in sheet[1]}
    shaded = {
        str(places.sqref): rule for places in sheet.conditional_formatting for rule in places.rules if rule.colorScale
    }
    for emotion in NEGATIVE:
        rule = shaded[f"{letters[emotion]}2:{letters[emotion]}{sheets.MOST_ROWS + 1}"]
        assert [colour.rgb for colour in rule.colorScale.color] == ["00FFFFFF", "00FFE0B2", "00F57C00"]
    assert not any(places.startswith(letters["neutral"]) for places in shaded)


def test_columns_of_names_are_as_wide_as_names_and_no_wider_than_a_page(ledger: Ledger, tmp_path: Path) -> None:
    sheet = written(ledger, tmp_path, a_call("a.wav", UPSET))["Recordings"]
    assert sheet.column_dimensions["A"].width == 20
    sheet = written(ledger, tmp_path, a_call(f"{'b' * 50}.wav", UPSET))["Recordings"]
    assert sheet.column_dimensions["A"].width == len(f"calls/{'b' * 50}.wav") + 4
    book = written(ledger, tmp_path, a_call(f"{'c' * 150}.wav", UPSET))
    assert book["Recordings"].column_dimensions["A"].width == 70
    assert book["Review first"].column_dimensions["B"].width == 70


def test_a_row_is_as_high_as_its_longest_text_takes(ledger: Ledger, tmp_path: Path) -> None:
    long, longest = failed(f"{'b' * 150}.wav", reason="x" * 200), failed("c.wav", reason="y " * 3000)
    book = written(ledger, tmp_path, failed("a.wav"), long, longest)
    heights = [book["Files"].row_dimensions[k].height for k in (2, 3, 4)]
    assert heights == [None, 3 * 15, 400]  # spreadsheets allow at most 409
    assert book["Recordings"].row_dimensions[3].height >= 200 / 40 * 15


def test_rows_of_short_texts_are_one_line_high(ledger: Ledger, tmp_path: Path) -> None:
    loud = a_call("2026-11-24_09-15-00.wav", [(1, 0, 5, "disgust")])
    book = written(ledger, tmp_path, loud, a_call("b.wav", said=()), failed("c.wav"))
    for name in ("Review first", "Recordings", "Days", "Files"):
        assert {book[name].row_dimensions[k].height for k in range(2, book[name].max_row + 1)} == {None}


def test_what_is_told_on_the_first_sheet_is_seen_whole(book: openpyxl.Workbook) -> None:
    sheet = book["Overview"]
    widths = [sheet.column_dimensions[get_column_letter(k)].width for k in range(2, 9)]
    merged = {str(places) for places in sheet.merged_cells.ranges}
    for number in range(3, 15):
        assert f"B{number}:H{number}" in merged
        assert sheet.row_dimensions[number].height >= 15 * len(sheet.cell(number, 2).value) / sum(widths)
        assert sheet.cell(number, 2).alignment.wrap_text


# Overview.


def overview(book: openpyxl.Workbook) -> dict[Any, Any]:
    return {line[0]: line[1] for line in book["Overview"].values if line[0]}


def test_the_first_sheet_says_what_it_is_about_and_how_far_to_trust_it(book: openpyxl.Workbook) -> None:
    told = overview(book)
    assert told["Period"] == (
        "2026-10-21 to 2026-11-24, local time Europe/Berlin; there are recordings of 2 of these days"
    )
    assert (
        told["Recordings"]
        == "17, of which 15 were analysed; 1 failed (Files has these, and those of other days); 1 not whole yet"
    )
    assert told["Hours"] == "2.4 of sound; 0.0 of talk whose emotions were heard"
    assert "agent" in told["Whose emotions count"]
    assert told["Model"] == "tiny (15 recordings)"
    assert told["How well it hears strangers"] == "tiny hears 61 %"
    assert told["How often it cries wolf"] == "tiny errs in 2 %"
    assert told["What uncertain means"] == (
        "sad, angry, fearful and disgusted together are too improbable to call a segment negative (under 45%), and "
        "none of the other emotions is the most probable of all and probable enough to be named (under 40%). That is "
        "so for 6% of the talk here"
    )
    assert told["Sensitivity"] == (
        "normal (used here): finds 51 % of the negative clips of corpora that training never saw, and calls 5 % of "
        "their level clips negative; low: finds 30 % of the negative clips, and calls 0.5 % of the level clips "
        "negative; "
        "high: finds 72 % of the negative clips, and calls 15 % of the level clips negative"
    )
    assert told["Business use of the model"] == "no, trained on TESS: not for commercial use"
    assert "three seconds" in told["What a negative passage is"]
    assert "decide nothing about a person" in told["What it is not"]


def test_the_shares_of_emotions_are_a_table_on_the_first_sheet(ledger: Ledger, tmp_path: Path) -> None:
    sheet = written(ledger, tmp_path, a_call("a.wav", UPSET), a_call("b.wav", [(1, 0, 4, UNCERTAIN)]))["Overview"]
    rows = [line[:3] for line in sheet.values]
    at = rows.index(("emotion", "share of the talk", "hours"))
    found = {label: (share, hours) for label, share, hours in rows[at + 1 : at + 1 + len(LABELS)]}
    assert list(found) == list(LABELS)
    assert found["neutral"] == pytest.approx((0.5, 10 / HOUR))
    assert found["angry"] == pytest.approx((0.3, 6 / HOUR))
    assert found[UNCERTAIN] == pytest.approx((0.2, 4 / HOUR))
    assert sum(share for share, _ in found.values()) == pytest.approx(1)


def test_it_says_when_figures_of_models_are_mixed(ledger: Ledger, tmp_path: Path) -> None:
    note_model(ledger, on_strangers="hears 4")
    note_model(ledger, "g", name="large", uncertain_below=0.5, on_strangers="hears 5")
    told = overview(written(ledger, tmp_path, a_call("a.wav"), a_call("b.wav", model="large", fingerprint="g")))
    assert told["Model"].startswith("MIXED: large (1 recordings), tiny (1 recordings). Figures of different models")
    assert told["How well it hears strangers"] == "large hears 5; tiny hears 4"
    assert told["How often it cries wolf"] == "; ".join(
        f"{name} was not measured: see its card" for name in ("large", "tiny")
    )
    assert "(under 40% or 50%)" in told["What uncertain means"]


def test_it_says_which_sensitivity_of_which_model_was_used_and_what_was_not_measured(
    ledger: Ledger, tmp_path: Path
) -> None:
    note_model(ledger, sensitivity="high", sensitivities=MEASURED | {"low": point(0.7)})
    note_model(ledger, "g", name="large", sensitivity="low", sensitivities=GENERIC)
    note_model(ledger, "h", name="older")
    entries = [a_call(f"{name}.wav", model=name, fingerprint=f) for f, name in (("g", "large"), ("h", "older"))]
    told = overview(written(ledger, tmp_path, a_call("a.wav"), *entries))
    assert told["Sensitivity"] == (
        "large: low (used here); how much low, normal and high find was not measured for this model; "
        "older: not known; "
        "tiny: high (used here): finds 72 % of the negative clips of corpora that training never saw, and calls 15 % "
        "of their level clips negative; low: not measured; normal: finds 51 % of the negative clips, and calls 5 % of "
        "the level clips negative"
    )
    assert "negative (under 30% or 65%)" in told["What uncertain means"]


def test_two_sensitivities_of_one_model_are_both_named(ledger: Ledger, tmp_path: Path) -> None:
    for fingerprint, name in (("f", "low"), ("g", "high")):
        note_model(ledger, fingerprint, sensitivity=name, sensitivities=GENERIC, business_use=True, licence="CC BY 4.0")
    told = overview(written(ledger, tmp_path, a_call("a.wav"), a_call("b.wav", fingerprint="g")))
    assert told["Model"].startswith("MIXED: tiny (1 recordings), tiny (1 recordings)")
    assert [text[:16] for text in told["Sensitivity"].split("tiny: ")[1:]] == ["low (used here);", "high (used here)"]
    assert told["Business use of the model"] == "tiny: yes, CC BY 4.0"


def test_where_a_model_states_no_terms_the_first_sheet_says_so(ledger: Ledger, tmp_path: Path) -> None:
    note_model(ledger)
    told = overview(written(ledger, tmp_path, a_call("a.wav")))
    assert told["Business use of the model"] == "not stated"
    assert told["Sensitivity"] == "not known"


def test_models_of_other_days_are_not_called_mixed(ledger: Ledger, tmp_path: Path) -> None:
    old = a_call("b.wav", day=ago(99), model="large", fingerprint="g")
    assert overview(written(ledger, tmp_path, a_call("a.wav"), old))["Model"] == "tiny (1 recordings)"


def test_where_no_day_is_known_the_first_sheet_says_so(ledger: Ledger, tmp_path: Path) -> None:
    told = overview(written(ledger, tmp_path, a_call("a.wav", day="")))
    assert told["Period"].startswith("not known")
    assert told["Recordings"] == "1, of which 1 were analysed; none failed"


def test_it_covers_five_weeks_unless_told_otherwise(ledger: Ledger, tmp_path: Path) -> None:
    entries = [a_call(f"{days:02}.wav", CALM, ago(days), groups={"queue": "a"}) for days in range(60)]
    book = written(ledger, tmp_path, *entries)
    assert column(book["Days"], "day") == [ago(days) for days in range(34, -1, -1)]
    assert len(lines(book["Recordings"])) == 2 * 35
    assert column(book["Groups"], "recordings") == [35]
    assert sum(column(book["Weeks"], "recordings")) == 35
    book = written(ledger, tmp_path, selection=Selection(Period(ago(59), ago(40))))
    assert column(book["Days"], "day") == [ago(days) for days in range(59, 39, -1)]
    book = written(ledger, tmp_path, selection=Selection(Period(since=ago(50))))
    assert overview(book)["Period"].startswith(f"{ago(50)} to {ago(0)}, local time")


def test_a_workbook_of_nothing_is_one_all_the_same(ledger: Ledger, tmp_path: Path) -> None:
    book = written(ledger, tmp_path)
    assert book.sheetnames == SHEETS
    told = {line[0]: line[1] for line in book["Overview"].values}
    assert (told["Period"], told["Model"]) == ("no recordings", "no model yet")
    assert told["Recordings"] == "0, of which 0 were analysed; none failed"
    assert last_line(book["Review first"]) == ["no negative passage in the calls"]
    assert last_line(book["Files"]) == ["nothing failed, and nothing waits"]
    assert last_line(book["Groups"])[0].startswith("none: ")
    assert [book[name].max_row for name in ("Recordings", "Days", "Weeks", "Settings")] == [1] * 4
    assert book["Overview"]._charts == []
    assert [calamine(tmp_path / "summary.xlsx", name) != [] for name in SHEETS] == [True] * 8


# Review first.


def test_the_calls_to_listen_to_first_are_told_with_their_moment_and_why(book: openpyxl.Workbook) -> None:
    sheet = book["Review first"]
    first, second = lines(sheet)
    assert picked(first, "place", "recording", "recorded", "speaker") == [
        1,
        "calls/long.wav",
        "2026-11-24 09:15:00",
        "customer",
    ]
    assert picked(first, "from", "to", "emotion") == [3725.25, 3743, "angry"]
    assert picked(first, "negative for", "mean probability") == [9, 1]
    assert first["why it is listed"] == "mostly angry, negative for 0:09 within 0:18; 1 more in this call"
    assert picked(first, "sad", "angry", "fearful", "happy") == [0.4, 0.4, 0.2, 0]
    assert picked(second, "place", "recording", "from", "to") == [2, "calls/short.wav", 60, 66]
    assert second["why it is listed"] == "mostly angry, negative for 0:06 within 0:06"


def test_a_name_leads_to_the_page_at_that_moment(book: openpyxl.Workbook) -> None:
    sheet = book["Review first"]
    links = [sheet.cell(k, 2).hyperlink for k in (2, 3)]
    assert [(link.ref, link.target, link.location) for link in links] == [
        ("B2", "html/calls/long.wav.html", "t=3725.25"),
        ("B3", "html/calls/short.wav.html", "t=60.0"),
    ]


def test_the_moment_is_one_that_a_page_reads_however_late_it_is(ledger: Ledger, tmp_path: Path) -> None:
    late = a_call("a.wav", [(1, 1_234_567.125, 1_234_570.125, "angry")], length_s=1_300_000)
    sheet = written(ledger, tmp_path, late)["Review first"]
    place = sheet["B2"].hyperlink.location
    page = (Path(workbook.__file__).parent / "templates" / "page.js").read_text()
    assert r"/^#t=(\d+(?:\.\d+)?)$/" in page
    assert re.fullmatch(r"t=(\d+(?:\.\d+)?)", place)
    assert place == "t=1234567.125"


def test_where_there_are_no_pages_no_name_leads_anywhere(ledger: Ledger, tmp_path: Path) -> None:
    sheet = written(ledger, tmp_path, *a_period(), pages=False)["Review first"]
    assert column(sheet, "recording") == ["calls/long.wav", "calls/short.wav"]
    assert [cell.hyperlink for cell in sheet["B"]] == [None] * 3


def test_a_link_finds_the_page_whatever_the_name(ledger: Ledger, tmp_path: Path) -> None:
    entries = [a_call(said=UPSET, identity=Identity(name, f"{name}/{name}.wav")) for name in AWKWARD]
    pages = {entry.identity.shown: format_path(tmp_path, entry.identity, "html") for entry in entries}
    for page in pages.values():
        page.parent.mkdir(parents=True)
        page.touch()
    sheet = written(ledger, tmp_path, *entries)["Review first"]
    links = {cell.value: cell.hyperlink for (cell,) in sheet.iter_rows(2, min_col=2, max_col=2)}
    assert len(links) == len(AWKWARD)
    for name, page in pages.items():
        link = links[name.replace("_x000D_", "_x005F_x000D_")]  # openpyxl does not read this as other programs do
        assert re.fullmatch(r"html/[\w.%~/-]+", link.target, re.ASCII)
        assert (tmp_path / unquote(link.target)).samefile(page)
        assert link.location == "t=60.0"


def test_an_address_that_is_too_long_for_spreadsheets_is_no_link(ledger: Ledger, tmp_path: Path) -> None:
    deep = "/".join(["ü" * 90] * 5)
    sheet = written(ledger, tmp_path, a_call(f"{deep}.wav", UPSET))["Review first"]
    assert sheet["B2"].value == f"calls/{deep}.wav"
    assert sheet["B2"].hyperlink is None


def test_the_200_strongest_are_named_and_it_says_how_many_more_there_are(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workbook._MOST_TO_REVIEW == 200
    monkeypatch.setattr(workbook, "_MOST_TO_REVIEW", 3)
    sheet = written(ledger, tmp_path, *(a_call(f"{k}.wav", UPSET) for k in range(5)))["Review first"]
    assert [cell.value for cell in sheet["A"]] == ["place", 1, 2, 3, "2 more: see Recordings"]


def test_where_there_is_nothing_to_review_it_says_so(ledger: Ledger, tmp_path: Path) -> None:
    sheet = written(ledger, tmp_path, a_call("a.wav", UPSET, ago(1)), a_call("b.wav", CALM))["Review first"]
    assert last_line(sheet) == ["no negative passage in the calls of 2026-11-24"]


# Recordings.


def test_every_channel_has_a_row_and_what_failed_has_one_with_its_reason(book: openpyxl.Workbook) -> None:
    rows = lines(book["Recordings"])
    found = [
        picked(row, "recording", "channel", "speaker", "status") for row in rows if "billing" not in row["recording"]
    ]
    both = [[1, "customer", "ok"], [2, "agent", "ok"]]
    assert found == [
        *(["calls/agent.wav", *told] for told in both),
        ["calls/broken.wav", None, None, "failed"],
        *(["calls/calm.wav", *told] for told in both),
        ["calls/copied.wav", None, None, "incomplete"],
        *(["calls/long.wav", *told] for told in both),
        *(["calls/masked.wav", *told] for told in both),
        *(["calls/short.wav", *told] for told in both),
    ]
    notes = {row["recording"]: row["note"] for row in rows if row["note"]}
    assert notes == {"calls/broken.wav": "no sound in it", "calls/copied.wav": "changes still"}


def test_a_row_of_recordings_tells_the_figures_of_its_channel(ledger: Ledger, tmp_path: Path) -> None:
    (call,) = [entry for entry in a_period() if entry.identity.path == "long.wav"]
    first, second = lines(written(ledger, tmp_path, call)["Recordings"])
    assert picked(first, "recorded", "length", "talk", "silence", "both speak") == [
        *("2026-11-24 09:15:00", 7200, 15, 7175, 0),
    ]
    assert picked(first, "negative", "sad", "angry", "fearful", "happy", UNCERTAIN) == [1, 0.4, 0.4, 0.2, 0, 0]
    assert picked(first, "negative passages", "strongest at", "level, dBFS", "model") == [2, 3725.25, -20, "tiny"]
    assert picked(second, "speaker", "talk", "negative", "happy", "strongest at") == ["agent", 10, 0, 1, None]


def test_the_trend_is_from_the_first_third_to_the_last(ledger: Ledger, tmp_path: Path) -> None:
    said = [(1, 0, 10, "neutral"), (1, 40, 50, "angry"), (1, 70, 80, "angry"), (1, 80, 90, "calm"), (2, 1, 2, "sad")]
    sheet = written(ledger, tmp_path, a_call(said=said))["Recordings"]
    first, second = lines(sheet)
    assert picked(first, "negative, first third", "negative, last third", "change") == [0, 0.5, 0.5]
    assert picked(second, "negative, first third", "negative, last third", "change") == [1, None, None]


def test_a_masked_channel_has_times_and_no_emotions(ledger: Ledger, tmp_path: Path) -> None:
    (call,) = [entry for entry in a_period() if entry.identity.path == "masked.wav"]
    first, _ = lines(written(ledger, tmp_path, call)["Recordings"])
    assert picked(first, "length", "talk") == [90, 60]
    titles = ("negative", *LABELS, "negative, first third", "negative, last third", "change", "negative passages")
    assert picked(first, *titles, "strongest at") == [None] * 15


def test_recordings_has_the_rows_of_the_table(ledger: Ledger, tmp_path: Path) -> None:
    sheet = written(ledger, tmp_path, *a_period())["Recordings"]
    told = [(row["recording"], row.get("channel")) for row in views.recordings(ledger, BERLIN).rows()]
    assert list(zip(column(sheet, "recording"), column(sheet, "channel"), strict=True)) == told


# Days and weeks.


def test_a_day_is_counted_with_how_sure_its_share_is(book: openpyxl.Workbook) -> None:
    first, second = lines(book["Days"])
    assert picked(first, "day", "recordings", "not analysed", "calls heard") == ["2026-11-17", 10, 0, 10]
    assert first["with a negative passage"] == 0
    assert picked(second, "day", "recordings", "not analysed") == ["2026-11-24", 7, 2]
    assert second["hours"] == pytest.approx((7200 + 4 * 90) / HOUR)
    assert second["hours of talk"] == pytest.approx((15 + 16 + 20 + 10) / HOUR, abs=0.0001)
    assert picked(second, "calls heard", "with a negative passage", "share of the calls heard") == [4, 2, 0.5]
    interval = picked(second, "95 % interval, from", "95 % interval, to")
    assert interval == pytest.approx([0.1500, 0.8500], abs=0.0001)
    assert second["angry"] == pytest.approx(12 / 61, abs=0.001)


def test_a_day_on_which_nobody_was_heard_has_no_share(ledger: Ledger, tmp_path: Path) -> None:
    (day,) = lines(written(ledger, tmp_path, failed("a.wav"), a_call("b.wav", said=()))["Days"])
    assert picked(day, "recordings", "not analysed", "calls heard", "with a negative passage") == [2, 1, 0, 0]
    titles = ("share of the calls heard", "95 % interval, from", "95 % interval, to", *LABELS)
    assert picked(day, *titles) == [None] * 12


def weeks_of(ledger: Ledger, folder: Path, *counts: tuple[int, int, int]) -> list[tuple[Any, ...]]:
    """Return change, interval and verdict of each week; `counts` are (days ago, upset calls, calls)."""
    entries = [
        a_call(f"{days}/{k}.wav", UPSET if k < upset else CALM, ago(days))
        for days, upset, heard in counts
        for k in range(heard)
    ]
    _, *rows = written(ledger, folder, *entries)["Weeks"].values
    return [row[11:15] for row in rows]


def test_a_week_is_compared_with_the_one_before(ledger: Ledger, tmp_path: Path) -> None:
    first, second, third = weeks_of(ledger, tmp_path, (14, 6, 40), (7, 30, 40), (0, 6, 40))
    assert first == (None, None, None, "no week before to compare with")
    assert second[0] == pytest.approx(0.6)
    assert 0 < second[1] < 0.6 < second[2] < 1
    assert second[3] == "more calls with a negative passage than the week before"
    assert third[0] == pytest.approx(-0.6)
    assert third[1:3] == pytest.approx((-second[2], -second[1]))
    assert third[3] == "fewer calls with a negative passage than the week before"


def test_a_change_that_may_be_chance_is_said_to_be_none(ledger: Ledger, tmp_path: Path) -> None:
    _, (change, low, high, verdict) = weeks_of(ledger, tmp_path, (7, 4, 20), (0, 8, 20))
    assert change == pytest.approx(0.2)
    assert low < 0 < high
    assert verdict == "no change that these numbers of calls could show"


@pytest.mark.parametrize("calls", [1, 2, 3, 9])
def test_a_few_calls_are_no_trend_whatever_they_are_like(ledger: Ledger, tmp_path: Path, calls: int) -> None:
    _, (change, _, _, verdict) = weeks_of(ledger, tmp_path, (7, 0, 40), (0, calls, calls))
    assert change == 1
    assert verdict == "no trend: fewer than 10 calls in one of the weeks"


def test_a_week_is_not_compared_with_one_long_before(ledger: Ledger, tmp_path: Path) -> None:
    _, second = weeks_of(ledger, tmp_path, (14, 0, 20), (0, 20, 20))
    assert second == (None, None, None, "no week before to compare with")


def test_a_week_in_which_nobody_was_heard_is_compared_with_none(ledger: Ledger, tmp_path: Path) -> None:
    written(ledger, tmp_path, failed())
    _, second = weeks_of(ledger, tmp_path, (7, 5, 20))
    assert second == (None, None, None, "nothing heard to compare")


def test_a_week_says_on_how_many_of_its_days_there_were_calls(ledger: Ledger, tmp_path: Path) -> None:
    entries = [a_call(f"{days}.wav", UPSET, ago(days)) for days in (0, 1, 2, 3, 8)]
    rows = lines(written(ledger, tmp_path, *entries)["Weeks"])
    assert [picked(row, "week from Monday", "days with calls", "recordings") for row in rows] == [
        ["2026-11-16", 3, 3],
        ["2026-11-23", 2, 2],
    ]


# Groups.


def test_groups_are_told_by_name_from_ten_recordings_on(ledger: Ledger, tmp_path: Path) -> None:
    counts = {"sales": 12, "billing": 10, "complaints": 9, "Ärger": 11}
    entries = [
        a_call(f"{name}/{k}.wav", UPSET if k < 3 else CALM, groups={"queue": name})
        for name, count in counts.items()
        for k in range(count)
    ]
    sheet = written(ledger, tmp_path, *entries)["Groups"]
    shown = [picked(line, "group", "name", "recordings", "with a negative passage") for line in lines(sheet)[:-1]]
    assert shown == [["queue", "billing", 10, 3], ["queue", "sales", 12, 3], ["queue", "Ärger", 11, 3]]
    assert last_line(sheet) == ["not shown: 1 of fewer than 10 recordings"]
    assert "complaints" not in str(list(sheet.values))


@pytest.mark.parametrize("kind", ["agent", "Agent", "AGENT"])
def test_of_agents_only_the_calls_are_counted(ledger: Ledger, tmp_path: Path, kind: str) -> None:
    entries = [a_call(f"{k}.wav", UPSET, groups={kind: "Kim", "site": "Bonn"}) for k in range(10)]
    found = {line["group"]: line for line in lines(written(ledger, tmp_path, *entries)["Groups"])}
    assert picked(found["site"], "calls heard", "with a negative passage", "angry") == [10, 10, pytest.approx(0.375)]
    told = {title for title, value in found[kind].items() if value is not None}
    assert told == {"group", "name", "recordings", "not analysed", "hours"}


def test_where_nothing_gives_groups_it_says_what_would(ledger: Ledger, tmp_path: Path) -> None:
    sheet = written(ledger, tmp_path, a_call())["Groups"]
    assert last_line(sheet) == ["none: --name-pattern finds groups in names, --metadata gives them"]


# Files and settings.


def test_every_failure_is_told_with_its_reason(ledger: Ledger, tmp_path: Path) -> None:
    old = failed("old.wav", day=ago(300), status="given_up", reason="broken five times")
    book = written(ledger, tmp_path, *a_period(), old)
    found = [picked(row, "file", "status", "reason", "still there", "bytes") for row in lines(book["Files"])]
    assert found == [
        ["calls/broken.wav", "failed", "no sound in it", "yes", 5],
        ["calls/copied.wav", "incomplete", "changes still", "yes", 5],
        ["calls/old.wav", "given_up", "broken five times", "yes", 5],
    ]
    ledger.mark_present([Identity("calls", "broken.wav")], False)
    assert column(written(ledger, tmp_path)["Files"], "still there") == ["no", "yes", "yes"]


def test_files_are_only_those_whose_names_fit(ledger: Ledger, tmp_path: Path) -> None:
    selection = Selection(pattern=re.compile("calls/a"))
    book = written(ledger, tmp_path, failed("a.wav"), failed("b.wav"), selection=selection)
    assert column(book["Files"], "file") == column(book["Recordings"], "recording") == ["calls/a.wav"]


def test_the_settings_are_told_as_they_were_noted(book: openpyxl.Workbook) -> None:
    _, *rows = book["Settings"].values
    assert rows == [(name, str(value)) for name, value in SETTINGS.items()]


# Names and texts of any kind.


def test_nothing_is_a_formula(ledger: Ledger, tmp_path: Path) -> None:
    ledger.remember("settings", '{"=1+1": "=1+1"}')
    formula = "=HYPERLINK(0)"
    entries = [
        *(a_call(f"={k}.wav", UPSET, speakers=("=1+1",), groups={"=1+1": "@SUM(A1)"}, model="=1") for k in range(10)),
        failed("+49.wav", reason=formula),
    ]
    book = written(ledger, tmp_path, *entries)
    for sheet in book:
        assert not [cell.coordinate for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]
    assert column(book["Review first"], "speaker")[0] == "=1+1"
    assert column(book["Files"], "reason") == [formula]
    assert picked(lines(book["Groups"])[0], "group", "name") == ["=1+1", "@SUM(A1)"]
    assert [cell.value for cell in book["Settings"][2]] == ["=1+1", "=1+1"]
    with ZipFile(tmp_path / "summary.xlsx") as archive:
        pages = [archive.read(name) for name in archive.namelist() if "/worksheets/sheet" in name]
    assert len(pages) == len(SHEETS)
    assert not [page for page in pages if b"<f>" in page or b"<f " in page]


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_every_name_is_text_in_a_workbook_that_opens(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(workbook, "LEAST_IN_GROUP", 1)
    call = a_call(said=UPSET, identity=Identity(name, f"{name}.wav"), groups={name: name}, reason=show(name))
    book = written(ledger, tmp_path, call, failed("b.wav", reason=show(name)))
    cells = [book["Review first"]["B2"], book["Recordings"]["A2"], book["Groups"]["B2"], book["Files"]["C2"]]
    assert {cell.data_type for cell in cells} == {"s"}
    path, called = tmp_path / "summary.xlsx", call.identity.shown
    assert calamine(path, "Review first")[1][1] == called
    assert sorted(row[0] for row in calamine(path, "Recordings")[1:]) == sorted([called, called, "calls/b.wav"])
    assert calamine(path, "Groups")[1][:2] == [show(name), show(name)]
    assert calamine(path, "Files")[1][2] == show(name)


def test_a_text_that_is_too_long_for_a_cell_is_cut(ledger: Ledger, tmp_path: Path) -> None:
    entries = [a_call(f"{k}.wav", groups={"queue": "x" * 40_000}) for k in range(10)]
    book = written(ledger, tmp_path, *entries)
    assert len(lines(book["Groups"])[0]["name"]) == 32_767


part = (
    st.binary(min_size=1, max_size=20).map(lambda b: os.fsdecode(b.replace(b"/", b"").replace(b"\0", b""))).filter(bool)
)
#: Text that a metadata file may hold.
text = st.text(min_size=1, max_size=20)


@settings(max_examples=15)
@given(st.lists(st.tuples(part, part), min_size=1, max_size=6, unique=True), text, text)
def test_whatever_bytes_a_name_has_the_workbook_opens(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]], kind: str, group: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-names-in-workbooks"
    folder.mkdir(exist_ok=True)
    with closing(Ledger(None)) as ledger:
        entries = [a_call(said=UPSET, identity=Identity(*name), groups={kind: group}) for name in names]
        broken = [failed(f"broken/{k}.wav", reason=show(group)) for k in range(9)]
        written(ledger, folder, *entries, *(a_call(f"{k}.wav", groups={kind: group}) for k in range(9)), *broken)
        called = [entry.identity.shown for entry in ledger.entries() if entry.status == "ok"]
    found = [row[0] for row in calamine(folder / "summary.xlsx", "Recordings")[1:] if row[3] == "ok"]
    assert found == [name for name in called for _ in range(2)]
    assert calamine(folder / "summary.xlsx", "Groups")[1][2] == len(names) + 9


# Charts.


def title_of(element: Any) -> str:
    return "".join(run.t for paragraph in element.title.tx.rich.paragraphs for run in paragraph.r)


def referred(book: openpyxl.Workbook, formula: str) -> list[Any]:
    """Return the values of the cells that a chart refers to."""
    name, places = re.fullmatch(r"'([^']+)'!(.+)", formula).groups()  # type: ignore[union-attr]
    found = book[name][places.replace("$", "")]
    return [cell.value for (cell,) in found] if isinstance(found, tuple) else [found.value]


def drawn(book: openpyxl.Workbook, chart: Any) -> tuple[dict[Any, list[Any]], list[Any]]:
    """Return the values of each series of a chart and their categories, from the cells that it refers to."""
    series = {referred(book, one.tx.strRef.f)[0]: referred(book, one.val.numRef.f) for one in chart.series}
    (categories,) = {(one.cat.numRef or one.cat.strRef).f for one in chart.series}
    return series, referred(book, categories)


def test_every_chart_has_its_titles_its_axes_and_its_legend(packed: Path, book: openpyxl.Workbook) -> None:
    charts = book["Overview"]._charts
    assert [title_of(chart) for chart in charts] == [
        "All talk, by emotion",
        "Calls with a negative passage, by day",
        "Review first: how the speakers sounded",
    ]
    for chart in charts:
        assert title_of(chart.x_axis)
        assert title_of(chart.y_axis)
        assert chart.legend.position == "b"
        assert chart.x_axis.delete is chart.y_axis.delete is False
        assert chart.y_axis.number_format.formatCode == "0%"
    with ZipFile(packed) as archive:
        drawings = [archive.read(name) for name in archive.namelist() if name.startswith("xl/charts/chart")]
    for drawing in drawings:
        assert drawing.count(b'delete val="0"') == 2
        assert b'delete val="1"' not in drawing


def test_a_chart_shows_all_talk_by_emotion(ledger: Ledger, tmp_path: Path) -> None:
    book = written(ledger, tmp_path, a_call(said=UPSET))
    (chart, _) = book["Overview"]._charts
    series, labels = drawn(book, chart)
    assert labels == list(LABELS)
    assert series == {"share of the talk": [0.625 if x == "neutral" else 0.375 if x == "angry" else 0 for x in LABELS]}


def test_a_chart_shows_the_share_of_upset_calls_by_day_with_its_interval(ledger: Ledger, tmp_path: Path) -> None:
    entries = [a_call(f"{k}.wav", UPSET if k == 2 else CALM, ago(k)) for k in range(3)]
    book = written(ledger, tmp_path, *entries)
    chart = book["Overview"]._charts[1]
    series, days = drawn(book, chart)
    assert days == [ago(2), ago(1), ago(0)]
    assert series["share of the calls heard"] == [1, 0, 0]
    assert series["95 % interval, from"] == column(book["Days"], "95 % interval, from")
    assert series["95 % interval, to"] == column(book["Days"], "95 % interval, to")
    assert (chart.y_axis.scaling.min, chart.y_axis.scaling.max) == (0, 1)


def test_of_one_day_no_trend_is_drawn(ledger: Ledger, tmp_path: Path) -> None:
    charts = written(ledger, tmp_path, a_call(said=UPSET))["Overview"]._charts
    assert [title_of(chart) for chart in charts] == ["All talk, by emotion", "Review first: how the speakers sounded"]


@pytest.mark.parametrize(("calls", "bars"), [(1, 1), (3, 3), (51, 50)])
def test_a_chart_stacks_the_shares_of_the_first_fifty_to_review(
    ledger: Ledger, tmp_path: Path, calls: int, bars: int
) -> None:
    entries = [a_call(f"{k:02}.wav", [(1, 0, 3 + k / 10, "sad"), (1, 70, 71, "happy")]) for k in range(calls)]
    book = written(ledger, tmp_path, *entries)
    chart = book["Overview"]._charts[-1]
    assert (chart.type, chart.grouping, chart.overlap) == ("bar", "percentStacked", 100)
    series, places = drawn(book, chart)
    assert places == list(range(1, bars + 1))
    assert list(series) == list(LABELS)
    for label, values in series.items():
        assert values == column(book["Review first"], label)[:bars]
    assert [sum(shares) for shares in zip(*series.values(), strict=True)] == pytest.approx([1] * bars, abs=0.0005)
    colours = [one.graphicalProperties.solidFill.srgbClr for one in chart.series]
    assert colours == [COLOURS[label][1:] for label in LABELS]


def test_no_chart_covers_another_or_what_is_told(book: openpyxl.Workbook) -> None:
    sheet = book["Overview"]
    table = [cell.value for cell in sheet["A"]].index("emotion")
    anchors = [chart.anchor._from for chart in sheet._charts]
    assert (anchors[0].col, anchors[0].row) == (3, table)
    rows_high = [chart.anchor.ext.height / 12_700 / 15 for chart in sheet._charts]
    for k, (anchor, following) in enumerate(pairwise(anchors)):
        assert following.row >= anchor.row + rows_high[k]
    assert anchors[1].row > table + len(LABELS)


# Any number of recordings, in any order.


def test_a_sheet_that_is_full_says_where_the_rest_is(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sheets.MOST_ROWS + len(("header", "rest")) == 1_048_576
    monkeypatch.setattr(sheets, "MOST_ROWS", 3)
    entries = [failed(f"{k}.wav") for k in range(5)] + [a_call("z.wav", UPSET), a_call("y.wav", UPSET)]
    book = written(ledger, tmp_path, *entries)
    assert [cell.value for cell in book["Files"]["A"]] == [
        "file",
        *(f"calls/{k}.wav" for k in range(3)),
        "2 more: see files.csv",
    ]
    assert book["Recordings"].max_row == 5
    assert last_line(book["Recordings"]) == ["6 more: see recordings.csv"]
    assert book["Recordings"].auto_filter.ref.endswith("4")
    assert column(book["Review first"], "place") == [1, 2]


def test_a_sheet_that_is_just_full_has_no_rest(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_ROWS", 3)
    book = written(ledger, tmp_path, *(failed(f"{k}.wav") for k in range(3)))
    assert [cell.value for cell in book["Files"]["A"]] == ["file", *(f"calls/{k}.wav" for k in range(3))]


def test_many_more_are_told_in_words_that_can_be_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    rows = (("x",) for _ in range(2))
    sheets.add_table(book, "Many", [Column("a")], rows, 1_234_567, "many.csv", most=2)
    book.save(tmp_path / "many.xlsx")
    assert last_line(openpyxl.load_workbook(tmp_path / "many.xlsx")["Many"]) == ["1,234,565 more: see many.csv"]


def parts(path: Path) -> dict[str, bytes]:
    """Return the files in a workbook, except for the one with its time of creation."""
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "docProps/core.xml"}


@pytest.mark.parametrize("step", [-1, 7])
def test_the_order_in_which_recordings_were_analysed_changes_no_cell(tmp_path: Path, step: int) -> None:
    entries = a_period()
    stepped = entries[::-1] if step < 0 else [entries[k * step % len(entries)] for k in range(len(entries))]
    for name, order in (("one", entries), ("two", stepped)):
        (tmp_path / name).mkdir()
        with closing(Ledger(None)) as ledger:
            written(ledger, tmp_path / name, *order)
    assert read_workbook(tmp_path / "one" / "summary.xlsx") == read_workbook(tmp_path / "two" / "summary.xlsx")
    assert parts(tmp_path / "one" / "summary.xlsx") == parts(tmp_path / "two" / "summary.xlsx")


def test_a_recording_that_was_analysed_again_counts_once(tmp_path: Path) -> None:
    with closing(Ledger(None)) as once, closing(Ledger(None)) as twice:
        (tmp_path / "once").mkdir()
        written(once, tmp_path / "once", *a_period())
        again = [failed("long.wav"), a_call("broken.wav", UPSET), failed("calm.wav", day=ago(1))]
        written(twice, tmp_path, *again, *a_period(), *a_period())
    assert parts(tmp_path / "summary.xlsx") == parts(tmp_path / "once" / "summary.xlsx")


def test_a_workbook_that_cannot_be_written_leaves_the_old_one(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(ledger, tmp_path)
    before = (tmp_path / "summary.xlsx").read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(CannotWork, match="No space left"):
        written(ledger, tmp_path, a_call())
    assert (tmp_path / "summary.xlsx").read_bytes() == before
    assert os.listdir(tmp_path) == ["summary.xlsx"]


# Slow tests.


@pytest.mark.slow
def test_a_sheet_holds_as_many_rows_as_a_spreadsheet_takes(tmp_path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    count = 1_048_576 + 5
    columns = [Column("name", width=20), Column("share", "percent", shaded=True)]
    sheets.add_table(book, "All", columns, ((f"{k}.wav", k / count) for k in range(count)), count, "all.csv")
    book.save(tmp_path / "all.xlsx")
    rows = calamine(tmp_path / "all.xlsx", "All")
    assert len(rows) == 1_048_576
    assert rows[-2][0] == "1048573.wav"
    assert rows[-1][0] == "7 more: see all.csv"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pdf", "ods"])
def test_libreoffice_opens_the_workbook_and_shows_all_of_it(ledger: Ledger, tmp_path: Path, form: str) -> None:
    soffice = shutil.which("soffice") or shutil.which("libreoffice")
    assert soffice, "the slow suite needs LibreOffice (soffice) on the PATH"
    note_model(ledger, on_strangers="hears 61 %")
    ledger.remember("settings", '{"prior": "calls"}')
    awkward = [a_call(said=UPSET, identity=Identity("odd", f"{k}{name}.wav")) for k, name in enumerate(AWKWARD)]
    long = a_call("all day.wav", UPSET, length_s=200 * HOUR, size=12_345_678_901)
    written(ledger, tmp_path, *a_period(), *awkward, long, failed("huge.wav", reason="too much " * 40))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    subprocess.run(
        [soffice, profile, "--headless", "--convert-to", form, "--outdir", tmp_path, tmp_path / "summary.xlsx"],
        check=True,
        capture_output=True,
        timeout=3000,
    )
    if form == "ods":
        assert (tmp_path / "summary.ods").stat().st_size > 1000
        return
    pdftotext = shutil.which("pdftotext")
    assert pdftotext, "the slow suite needs pdftotext on the PATH"
    command = [pdftotext, "-enc", "UTF-8", tmp_path / "summary.pdf", "-"]
    found = subprocess.run(command, check=True, capture_output=True, timeout=3000).stdout.decode()
    assert "###" not in found
    words = " ".join(found.split())
    expected = [
        *("Emotions heard in calls", "tiny hears 61 %", "decide nothing about a person by it"),
        *("All talk, by emotion", "Calls with a negative passage, by day", "Review first: how the speakers sounded"),
        *("calls/long.wav", "1:02:05", "1:02:23", "mostly angry, negative for 0:09 within 0:18; 1 more in this call"),
        *("odd/0=1+1.wav", "odd/16_x000D_.wav", "200:00:00", "no sound in it", "billing", "prior"),
        "more calls with a negative passage than the week before",
    ]
    assert [text for text in expected if text not in words] == []
