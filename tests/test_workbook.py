"""summary.xlsx: the columns and figures of each sheet, links and charts, awkward names, and limits of spreadsheets."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from analyzer.emotions import NEGATIVE, UNCERTAIN
from analyzer.names import Identity, show
from analyzer.report import sheets, views, workbook
from analyzer.report.palette import COLOURS
from analyzer.report.selection import LATEST, Period, Selection
from analyzer.report.summary import LABELS
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import format_path
from tests.helpers.entries import AWKWARD_NAMES, BERLIN, CALM, UPSET, a_call, ago, failed
from tests.helpers.spreadsheets import calamine, column, convert, referred, table, title_of

HOUR = 3600
#: Topics on the first sheet.
TOPICS = [
    *("Period", "Recordings", "Hours", "Speakers included", "Model", "Business use of the model"),
    *("Accuracy on unseen speakers", "False-alarm rate", "Sensitivity", "What uncertain means"),
    *("What a negative passage is", "Limitations"),
]
INTERVAL = ("95 % interval, from", "95 % interval, to")
COUNTS = (("count", "recordings", "not analysed"), ("hours", "hours", "hours of talk"))
SHARE = "share of the calls analysed"
PASSAGES = (("count", "calls analysed", "with a negative passage"), ("bar", SHARE), ("share", *INTERVAL))
SHARES = tuple(("shaded share" if label in NEGATIVE else "share", label) for label in LABELS)
#: The columns of each table by kind.
COLUMNS = {
    "Review first": [
        *(("count", "rank"), ("name", "recording"), ("text", "recorded", "speaker"), ("clock", "from", "to")),
        *(("text", "emotion"), ("clock", "negative time"), ("share", "mean probability")),
        *(("text", "why it is listed"), *SHARES),
    ],
    "Recordings": [
        *(("name", "recording"), ("count", "channel"), ("text", "speaker", "status", "recorded")),
        *(("clock", "length", "talk", "silence", "both speak"), ("shaded share", "negative"), *SHARES),
        *(("share", "negative, first third", "negative, last third"), ("shaded change", "change")),
        *(("count", "negative passages"), ("clock", "strongest at"), ("level", "level, dBFS")),
        ("text", "model", "note"),
    ],
    "Days": [("text", "day"), *COUNTS, *PASSAGES, *SHARES],
    "Weeks": [
        *(("text", "week from Monday"), ("count", "days with calls"), *COUNTS, *PASSAGES),
        *(("change", "change to the week before", *INTERVAL), ("text", "interpretation"), *SHARES),
    ],
    "Groups": [("text", "group", "name"), *COUNTS, *PASSAGES, *SHARES],
    "Files": [("text", "file", "status", "reason", "still there"), ("count", "bytes")],
    "Settings": [("text", "setting", "value")],
}
SHEETS = ["Overview", *COLUMNS]
#: Style of each kind: number format, colours of the fill, and minimum and maximum width.
STYLES = {
    "text": ("General", None, 11, 80),
    "name": ("General", None, 20, 70),
    "count": ("#,##0", None, 7, 14),
    "clock": ("[h]:mm:ss", None, 10, 11),
    "hours": ("#,##0.0", None, 11, 11),
    "level": ("0.0", None, 11, 11),
    "share": ("0%", None, 10, 12),
    "shaded share": ("0%", ["FFFFFF", "FFE0B2", "F57C00"], 10, 11),
    "bar": ("0%", ["9DC3E6"], 12, 12),
    "change": ("+0%;-0%;0%", None, 12, 12),
    "shaded change": ("+0%;-0%;0%", ["A5D6A7", "FFFFFF", "F57C00"], 11, 11),
}


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
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
) -> Workbook:
    for entry in entries:
        ledger.record(entry)
    workbook.write_workbook(folder / "summary.xlsx", ledger, BERLIN, selection, pages)
    return load_workbook(folder / "summary.xlsx")


def point(negative_from: float, found: float | None = None, false: float | None = None) -> dict[str, float | None]:
    return {"negative_from": negative_from, "found": found, "false": false}


#: Sensitivities of a model.
MEASURED = {"low": point(0.7, 0.3, 0.005), "normal": point(0.45, 0.51, 0.05), "high": point(0.3, 0.72, 0.151)}


def note_model(ledger: Ledger, fingerprint: str = "f", **facts: object) -> None:
    ledger.state.set_model(fingerprint, json.dumps({"name": "tiny", "uncertain_below": 0.4, **facts}))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Workbook:
    """The workbook of that period; tests only read it."""
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        terms = {"business_use": False, "licence": "trained on TESS: not for commercial use"}
        scores = {"on_unseen_speakers": "61 %", "false_alarms_on_read_speech": "2 %"}
        note_model(ledger, sensitivity="normal", sensitivities=MEASURED, **terms, **scores)
        ledger.state.set("settings", '{"prior": "calls"}')
        return written(ledger, tmp_path_factory.mktemp("period"), *a_period())


def picked(row: dict[Any, Any], *titles: str) -> list[Any]:
    return [row[title] for title in titles]


def fill(sheet: Worksheet, letter: str) -> list[str] | None:
    """Return the colours of the conditional fill of a column; None if it has none."""
    places = f"{letter}2:{letter}{sheets.MOST_ROWS + 1}"
    for rule in (rule for found in sheet.conditional_formatting if str(found.sqref) == places for rule in found.rules):
        return [colour.rgb[2:] for colour in (rule.colorScale.color if rule.colorScale else [rule.dataBar.color])]
    return None


@pytest.mark.parametrize("name", COLUMNS)
def test_a_sheet_has_its_columns_in_the_style_of_their_kinds(book: Workbook, name: str) -> None:
    sheet = book[name]
    columns = [(title, kind) for kind, *titles in COLUMNS[name] for title in titles]
    assert [cell.value for cell in sheet[1]] == [title for title, _ in columns]
    assert all(cell.font.bold and cell.fill.fgColor.rgb[2:] == "1F4E79" for cell in sheet[1])
    for (title, kind), (header, *cells) in zip(columns, sheet.iter_cols(), strict=True):
        number_format, colours, narrowest, widest = STYLES[kind]
        letter, values = header.column_letter, [cell for cell in cells if cell.value is not None]
        assert {cell.number_format for cell in values} == {number_format}, title
        assert {isinstance(cell.value, str) for cell in values} == {kind in ("text", "name")}, title
        assert fill(sheet, letter) == colours, title
        longest_word = max(map(len, re.split(r"[ ,]", title)))
        assert max(narrowest, longest_word) <= sheet.column_dimensions[letter].width <= widest, title
    rows = len([row for row in sheet.values if any(value is not None for value in row[1:])])
    assert sheet.auto_filter.ref == f"A1:{get_column_letter(sheet.max_column)}{rows}"
    assert (sheet.freeze_panes, sheet.print_title_rows) == ("B2", "$1:$1")


def test_columns_and_rows_grow_with_their_texts_up_to_a_limit(ledger: Ledger, tmp_path: Path) -> None:
    book = written(ledger, tmp_path, a_call("2026-11-24_09-15-00.wav", UPSET), a_call("b.wav", ()), failed("c.wav"))
    assert book["Recordings"].column_dimensions["A"].width == len("calls/2026-11-24_09-15-00.wav") + 4
    for name in ("Review first", "Recordings", "Days", "Files"):
        assert {book[name].row_dimensions[k].height for k in range(2, book[name].max_row + 1)} == {None}
    failures = failed(f"{'e' * 150}.wav", reason="x" * 200), failed("f.wav", reason="y" * 40_000)
    book = written(ledger, tmp_path, *failures)
    assert book["Recordings"].column_dimensions["A"].width == book["Review first"].column_dimensions["B"].width == 70
    assert [book["Files"].row_dimensions[k].height for k in (2, 3, 4)] == [None, 3 * 15, 400]  # 409 is the limit
    assert len(book["Files"]["C4"].value) == 32_767


def test_a_workbook_of_nothing_has_all_sheets(ledger: Ledger, tmp_path: Path) -> None:
    book = written(ledger, tmp_path)
    assert book.sheetnames == SHEETS
    assert list(overview(book)) == TOPICS
    assert picked(overview(book), "Period", "Model") == ["no recordings", "no model yet"]
    assert [book[name].max_row for name in COLUMNS] == [2, 1, 1, 1, 2, 2, 1]  # a note where rows would be missed
    assert book["Overview"]._charts == []
    assert all(calamine(tmp_path / "summary.xlsx", name) for name in SHEETS)


def overview(book: Workbook) -> dict[str, str]:
    """Return the facts on the first sheet."""
    return {topic: fact for topic, fact, *_ in book["Overview"].iter_rows(3, 2 + len(TOPICS), values_only=True)}


def numbers(text: str) -> list[str]:
    return re.findall(r"[\d.]*\d", text)


def test_the_first_sheet_has_the_facts_about_period_and_model_and_shows_them_whole(book: Workbook) -> None:
    sheet, facts = book["Overview"], overview(book)
    assert {str(places) for places in sheet.merged_cells.ranges} == {f"B{k}:H{k}" for k in range(3, 3 + len(TOPICS))}
    width = sum(sheet.column_dimensions[letter].width for letter in "BCDEFGH")
    for number, fact in enumerate(facts.values(), start=3):
        assert sheet.row_dimensions[number].height >= 15 * len(fact) / width
        assert sheet.cell(number, 2).alignment.wrap_text
    assert facts["Period"].startswith("2026-10-21 to 2026-11-24, local time Europe/Berlin")
    counts = "17, 15 of them analysed; 1 failed (see the sheet Files, which covers all days); 1 incomplete"
    assert facts["Recordings"] == counts
    assert numbers(facts["Hours"]) == ["2.4", "0.0"]
    assert facts["Model"] == "tiny (15 recordings)"
    assert facts["Accuracy on unseen speakers"] == "tiny: 61 %"
    assert facts["False-alarm rate"] == "tiny: 2 %"
    assert facts["Business use of the model"] == "no, trained on TESS: not for commercial use"
    assert numbers(facts["Sensitivity"]) == ["51", "5", "30", "0.5", "72", "15"]
    assert numbers(facts["What uncertain means"]) == ["45", "40", "6"]


def test_models_and_sensitivities_are_named_where_several_were_used(ledger: Ledger, tmp_path: Path) -> None:
    note_model(ledger, sensitivity="high", sensitivities=MEASURED | {"low": point(0.7)}, on_unseen_speakers="61 %")
    generic = {name: point(0.65) for name in MEASURED}
    note_model(ledger, "g", name="large", uncertain_below=0.5, sensitivity="low", sensitivities=generic)
    note_model(ledger, "h", name="older")
    models = {"tiny": ("f", 0), "large": ("g", 1), "older": ("h", 2), "in another period": ("i", 99)}
    calls = [a_call(f"{k}.wav", CALM, ago(days), model=k, fingerprint=key) for k, (key, days) in models.items()]
    facts = overview(written(ledger, tmp_path, *calls))
    assert facts["Model"].startswith("MIXED: large (1 recordings), older (1 recordings), tiny (1 recordings). ")
    assert facts["Accuracy on unseen speakers"].endswith("tiny: 61 %")
    large, older, tiny = re.split(r"; (?=older|tiny)", facts["Sensitivity"])
    assert (large[:11], numbers(large), older) == ("large: low ", [], "older: not known")
    assert (tiny[:11], numbers(tiny)) == ("tiny: high ", ["72", "15", "51", "5"])
    assert numbers(facts["What uncertain means"])[:4] == ["30", "65", "40", "50"]


def test_it_covers_five_weeks_unless_other_days_are_selected(ledger: Ledger, tmp_path: Path) -> None:
    book = written(ledger, tmp_path, *(a_call(f"{days}.wav", CALM, ago(days)) for days in (0, 34, 35, 59)))
    assert column(book["Days"], "day") == [ago(34), ago(0)]
    assert column(book["Recordings"], "recording") == ["calls/0.wav", "calls/0.wav", "calls/34.wav", "calls/34.wav"]
    book = written(ledger, tmp_path, selection=Selection(Period(ago(60), ago(30))))
    assert column(book["Days"], "day") == [ago(59), ago(35), ago(34)]
    assert overview(book)["Period"].startswith(f"{ago(60)} to {ago(30)}")


def test_calls_to_review_come_with_their_strongest_passage(book: Workbook) -> None:
    first, second = table(book["Review first"])
    names = ("rank", "recording", "recorded", "speaker", "emotion")
    assert picked(first, *names) == [1, "calls/long.wav", "2026-11-24 09:15:00", "customer", "angry"]
    assert picked(first, "from", "to", "negative time", "mean probability") == [3725.25, 3743, 9, 1]
    assert picked(first, "sad", "angry", "fearful", "happy") == [0.4, 0.4, 0.2, 0]
    assert first["why it is listed"] == "mostly angry, negative for 0:09 within 0:18; 1 more in this call"
    assert picked(second, "rank", "recording", "from", "to") == [2, "calls/short.wav", 60, 66]


def test_a_name_links_to_the_moment_on_its_page(book: Workbook, ledger: Ledger, tmp_path: Path) -> None:
    late = a_call("late.wav", [(1, 1_234_567.125, 1_234_570.125, "angry")], length_s=1_300_000)
    cell = written(ledger, tmp_path, late)["Review first"]["B2"]
    links = [cell.hyperlink for cell in (*book["Review first"]["B"][1:], cell)]
    assert [(link.ref, link.target, link.location) for link in links] == [
        ("B2", "html/calls/long.wav.html", "t=3725.25"),
        ("B3", "html/calls/short.wav.html", "t=60.0"),
        ("B2", "html/calls/late.wav.html", "t=1234567.125"),
    ]
    page = (Path(workbook.__file__).parent / "templates" / "page.js").read_text()
    assert r"/^#t=(\d+(?:\.\d+)?)$/" in page  # what a page reads
    assert written(ledger, tmp_path, pages=False)["Review first"]["B2"].hyperlink is None
    too_long = a_call(f"{'/'.join(['ü' * 90] * 5)}.wav", [(1, 0, 50, "angry")])
    assert written(ledger, tmp_path, too_long)["Review first"]["B2"].hyperlink is None


def test_recordings_has_the_rows_and_figures_of_the_table(ledger: Ledger, tmp_path: Path) -> None:
    names = ("recording", "channel", "speaker", "status", "recorded", "model")
    figures = {"length": "length_s", "talk": "talk_s", "silence": "silence_s", "both speak": "both_s"}
    figures |= {"level, dBFS": "level_db", **{label: f"share_{label}" for label in LABELS}}
    rows = table(written(ledger, tmp_path, *a_period())["Recordings"])
    for found, row in zip(rows, views.recordings(ledger, BERLIN).rows(), strict=True):
        expected = [row.get(key) for key in (*names, *figures.values())]
        assert picked(found, *names, *figures) == [None if value == "" else value for value in expected]
        shares = [row.get(f"share_{emotion}") for emotion in NEGATIVE]
        assert found["negative"] == (None if None in shares else pytest.approx(sum(shares)))
    notes = {row["recording"]: row["note"] for row in rows if row["note"]}
    assert notes == {"calls/broken.wav": "no sound in it", "calls/copied.wav": "changes still"}


def test_recordings_has_passages_and_the_change_over_the_call(ledger: Ledger, tmp_path: Path) -> None:
    spoken = [(1, 0, 10, "neutral"), (1, 40, 50, "angry"), (1, 70, 80, "angry"), (1, 80, 90, "calm"), (2, 1, 2, "sad")]
    masked = a_call("b.wav", [(1, 0, 60, "angry")], masked=("customer",))
    rows = table(written(ledger, tmp_path, a_call("a.wav", spoken), masked)["Recordings"])
    titles = ("negative, first third", "negative, last third", "change", "negative passages", "strongest at")
    assert picked(rows[0], *titles) == [0, 0.5, 0.5, 2, 40]
    assert picked(rows[1], *titles) == [1, None, None, 0, None]
    assert picked(rows[2], "talk", *titles, "negative", *LABELS) == [60, *[None] * 15]


def test_a_day_has_counts_a_share_and_its_interval(book: Workbook, ledger: Ledger, tmp_path: Path) -> None:
    first, second = table(book["Days"])
    (third,) = table(written(ledger, tmp_path, failed("a.wav"), a_call("b.wav", ()))["Days"])
    counts = ("day", "recordings", "not analysed", "calls analysed", "with a negative passage")
    assert picked(first, *counts) == ["2026-11-17", 10, 0, 10, 0]
    assert picked(second, *counts) == ["2026-11-24", 7, 2, 4, 2]
    assert picked(third, *counts) == ["2026-11-24", 2, 1, 0, 0]
    hours = [(7200 + 4 * 90) / HOUR, (15 + 16 + 20 + 10) / HOUR]
    assert picked(second, "hours", "hours of talk") == pytest.approx(hours, abs=0.0001)
    assert picked(second, SHARE, *INTERVAL, "angry") == pytest.approx([0.5, 0.15, 0.85, 12 / 61], abs=0.001)
    assert picked(third, SHARE, *INTERVAL, *LABELS) == [None] * 12


def test_a_week_is_compared_with_the_one_before(ledger: Ledger, tmp_path: Path) -> None:
    alone, than = "no week before to compare with", "calls with a negative passage than the week before"
    weeks = [  # days ago, calls with a negative passage, calls, change, interpretation
        (49, 6, 40, None, alone),
        (42, 30, 40, 0.6, f"more {than}"),
        (35, 6, 40, -0.6, f"fewer {than}"),
        (28, 4, 20, 0.05, "no statistically significant change"),
        (21, 9, 9, 0.8, "no trend: fewer than 10 calls in one of the weeks"),
        (7, 0, 10, None, alone),
        (0, 0, 0, None, "nothing analysed to compare"),
    ]
    counts = [(days, k < negative, k) for days, negative, number, *_ in weeks for k in range(number)]
    calls = [a_call(f"{days}/{k}.wav", UPSET if negative else CALM, ago(days)) for days, negative, k in counts]
    _, *rows = written(ledger, tmp_path, failed(), *calls, selection=Selection(Period(since=ago(50))))["Weeks"].values
    for row, (*_, change, verdict) in zip(rows, weeks, strict=True):
        found, low, high, interpretation = row[11:15]
        assert (found, interpretation) == (change and pytest.approx(change), verdict)
        assert (low is high is None) if change is None else (low < change < high)


def test_small_groups_are_hidden_and_groups_of_agents_have_only_counts(book: Workbook) -> None:
    agent, billing, hidden = table(book["Groups"])
    known = {title: value for title, value in agent.items() if value is not None}
    assert known == {"group": "agent", "name": "Kim", "recordings": 10, "not analysed": 0, "hours": 10 * 90 / HOUR}
    assert picked(billing, "group", "name", "recordings", "calls analysed", SHARE) == ["queue", "billing", 10, 10, 0]
    assert hidden["group"] == "1 groups hidden (under 10 recordings each)"


def test_files_has_the_failures_of_all_days(ledger: Ledger, tmp_path: Path) -> None:
    old = failed("old.wav", day=ago(300), status="given_up", reason="broken five times")
    written(ledger, tmp_path, *a_period(), old)
    ledger.mark_present([Identity("calls", "broken.wav")], False)
    _, *rows = written(ledger, tmp_path)["Files"].values
    assert rows == [
        ("calls/broken.wav", "failed", "no sound in it", "no", 5),
        ("calls/copied.wav", "incomplete", "changes still", "yes", 5),
        ("calls/old.wav", "given_up", "broken five times", "yes", 5),
    ]
    book = written(ledger, tmp_path, selection=Selection(pattern=re.compile("calls/br")))
    assert column(book["Files"], "file") == column(book["Recordings"], "recording") == ["calls/broken.wav"]


def test_no_text_is_a_formula_or_lost(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "LEAST_IN_GROUP", 1)
    ledger.state.set("settings", '{"=1+1": 2.5}')
    names, path = [show(name) for name in AWKWARD_NAMES], tmp_path / "summary.xlsx"
    calls = [
        a_call("", UPSET, identity=Identity("a", f"{k}"), speakers=(name,), groups={name: name}, model=name)
        for k, name in enumerate(names)
    ]
    calls += [a_call("", UPSET, identity=Identity(name, f"{name}/{name}.wav")) for name in AWKWARD_NAMES]
    book = written(ledger, tmp_path, *calls, *(failed(f"{k}.wav", reason=name) for k, name in enumerate(names)))
    assert not [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]
    with ZipFile(path) as archive:
        pages = [archive.read(name) for name in archive.namelist() if "/worksheets/sheet" in name]
    assert not [page for page in pages if b"<f>" in page or b"<f " in page]
    review = calamine(path, "Review first")[1:]
    assert {row[1] for row in review} == {call.identity.shown for call in calls}
    assert {row[3] for row in review} == {*names, "customer"}
    assert sorted(row[:2] for row in calamine(path, "Groups")[1:]) == sorted([name, name] for name in names)
    assert {row[2] for row in calamine(path, "Files")[1:]} == set(names)
    assert calamine(path, "Settings")[1:] == [["=1+1", "2.5"]]
    links = [cell.hyperlink.target for cell in book["Review first"]["B"][1:]]
    assert all(re.fullmatch(r"html/[\w.%~/-]+", link, re.ASCII) for link in links)
    assert {tmp_path / unquote(link) for link in links} == {format_path(tmp_path, c.identity, "html") for c in calls}


part = st.binary(min_size=1, max_size=20).map(lambda b: os.fsdecode(b.translate(None, b"/\0"))).filter(bool)
text = st.text(min_size=1, max_size=20)


@settings(max_examples=15)
@given(st.lists(st.tuples(part, part), min_size=1, max_size=6, unique=True), text, text)
def test_whatever_bytes_a_name_has_the_workbook_opens(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]], kind: str, group: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-names-in-workbooks"
    folder.mkdir(exist_ok=True)
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        entries = [a_call("", UPSET, identity=Identity(*name), groups={kind: group}) for name in names]
        broken = [failed(f"broken/{k}.wav", reason=show(group)) for k in range(9)]
        written(ledger, folder, *entries, *(a_call(f"{k}.wav", groups={kind: group}) for k in range(9)), *broken)
        expected = [entry.identity.shown for entry in ledger.entries() if entry.status == "ok"]
    found = [row[0] for row in calamine(folder / "summary.xlsx", "Recordings")[1:] if row[3] == "ok"]
    assert found == [name for name in expected for _ in range(2)]
    assert calamine(folder / "summary.xlsx", "Groups")[1][2] == len(names) + 9


def drawn(book: Workbook, chart: Any) -> tuple[dict[Any, list[Any]], list[Any]]:
    """Return the values of each series of a chart and their categories, from the cells that it refers to."""
    series = {referred(book, one.tx.strRef.f)[0]: referred(book, one.val.numRef.f) for one in chart.series}
    (categories,) = {(one.cat.numRef or one.cat.strRef).f for one in chart.series}
    return series, referred(book, categories)


def test_every_chart_has_titles_axes_and_a_legend_and_covers_nothing(book: Workbook) -> None:
    sheet = book["Overview"]
    for chart in sheet._charts:
        assert all(title_of(element) for element in (chart, chart.x_axis, chart.y_axis))
        assert chart.x_axis.delete is chart.y_axis.delete is False
        assert (chart.legend.position, chart.y_axis.number_format.formatCode) == ("b", "0%")
    header = [cell.value for cell in sheet["A"]].index("emotion")
    first, second, third = (chart.anchor._from for chart in sheet._charts)
    assert (first.col, first.row) == (3, header)
    assert second.row > header + len(LABELS)
    for chart, (anchor, following) in zip(sheet._charts, ((first, second), (second, third)), strict=False):
        assert following.row >= anchor.row + chart.anchor.ext.height / 12_700 / 15


def test_charts_refer_to_the_figures_of_their_tables(ledger: Ledger, tmp_path: Path) -> None:
    entries = [a_call(f"{k:02}.wav", [(1, 0, 3 + k / 10, "sad"), (1, 70, 71, "happy")]) for k in range(51)]
    book = written(ledger, tmp_path, *entries)
    talk, review = book["Overview"]._charts  # calls of one day have no chart of days
    shares = {label: column(book["Review first"], label)[:50] for label in LABELS}
    assert drawn(book, review) == (shares, list(range(1, 51)))
    assert (review.type, review.grouping, review.overlap) == ("bar", "percentStacked", 100)
    assert [one.graphicalProperties.solidFill.srgbClr for one in review.series] == [COLOURS[x][1:] for x in LABELS]
    seconds = [{"sad": sum(3 + k / 10 for k in range(51)), "happy": 51}.get(label, 0) for label in LABELS]
    shares = {"share of the talk": [pytest.approx(s / sum(seconds), abs=0.0001) for s in seconds]}
    assert drawn(book, talk) == (shares, list(LABELS))
    hours = referred(book, talk.series[0].val.numRef.f.replace("$B", "$C"))
    assert hours == pytest.approx([s / HOUR for s in seconds], abs=0.0001)
    book = written(ledger, tmp_path, a_call("a.wav", CALM, ago(1)))
    shares = {title: column(book["Days"], title) for title in (SHARE, *INTERVAL)}
    assert drawn(book, book["Overview"]._charts[1]) == (shares, [ago(1), ago(0)])


def test_a_full_sheet_names_the_rest(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sheets.MOST_ROWS + len(("header", "rest")) == 1_048_576
    assert workbook._MOST_TO_REVIEW == 200
    monkeypatch.setattr(workbook, "_MOST_TO_REVIEW", 2)
    monkeypatch.setattr(sheets, "MOST_ROWS", 3)
    book = written(ledger, tmp_path, *(a_call(f"{k}.wav", UPSET) for k in "xyz"), *(failed(f"{k}.wav") for k in "abc"))
    files = ["file", *(f"calls/{k}.wav" for k in "abc")]
    assert [cell.value for cell in book["Files"]["A"]] == files
    assert [cell.value for cell in book["Review first"]["A"]] == ["rank", 1, 2, "1 more: see Recordings"]
    book = written(ledger, tmp_path, failed("d.wav"), failed("e.wav"))
    assert [cell.value for cell in book["Files"]["A"]] == [*files, "2 more: see files.csv"]
    assert book["Recordings"]["A5"].value == "8 more: see recordings.csv"
    assert (book["Recordings"].max_row, book["Recordings"].auto_filter.ref[-1]) == (5, "4")


def test_neither_order_nor_repetition_nor_time_changes_the_workbook(tmp_path: Path) -> None:
    entries, found = a_period(), []
    again = [failed("long.wav"), a_call("broken.wav", UPSET), failed("calm.wav", day=ago(1)), *entries]
    for order in (entries, entries[::-1], entries[9:] + entries[:9], again + entries):
        with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
            written(ledger, tmp_path, *order)
        with ZipFile(tmp_path / "summary.xlsx") as archive:
            found.append({name: archive.read(name) for name in archive.namelist()})
    assert [parts for parts in found if parts != found[0]] == []
    assert b"1980" in found[0]["docProps/core.xml"]


@pytest.mark.slow
def test_libreoffice_opens_the_workbook_and_shows_all_of_it(ledger: Ledger, tmp_path: Path) -> None:
    note_model(ledger, on_unseen_speakers="61 %")
    ledger.state.set("settings", '{"prior": "calls"}')
    awkward = [a_call("", UPSET, identity=Identity("odd", f"{k}{name}.wav")) for k, name in enumerate(AWKWARD_NAMES)]
    long = a_call("all day.wav", UPSET, length_s=200 * HOUR, size=12_345_678_901)
    book = written(ledger, tmp_path, *a_period(), *awkward, long, failed("huge.wav", reason="too much " * 40))
    assert convert(tmp_path / "summary.xlsx", "ods").stat().st_size > 1000
    pdftotext = shutil.which("pdftotext")
    assert pdftotext, "the slow suite needs pdftotext on the PATH"
    command = [pdftotext, "-enc", "UTF-8", convert(tmp_path / "summary.xlsx", "pdf"), "-"]
    found = subprocess.run(command, check=True, capture_output=True, timeout=3000).stdout.decode()
    assert "###" not in found
    words = " ".join(found.split())
    expected = [
        *(title_of(chart) for chart in book["Overview"]._charts),
        *("tiny: 61 %", "calls/long.wav", "1:02:05", "1:02:23", "200:00:00", "no sound in it", "billing", "prior"),
        *("odd/0=1+1.wav", "odd/16_x000D_.wav", "mostly angry, negative for 0:09 within 0:18; 1 more in this call"),
        book["Weeks"]["O3"].value,
    ]
    assert [text for text in expected if text not in words] == []
