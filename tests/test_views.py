"""recordings.csv and files.csv as views of the ledger: columns, order, and escaping."""

import csv
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.entry import Entry
from analyzer.figures import channel_figures
from analyzer.labels import Labelling
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.outputs import harmless
from analyzer.report import views
from analyzer.speech import Segment
from analyzer.timeline import row

BERLIN = ZoneInfo("Europe/Berlin")
#: 2026-11-24 12:00:00 UTC.
NOON_NS = 1_795_521_600 * 10**9

RECORDINGS_HEADER = (
    "recording,channel,speaker,status,recorded,length_s,talk_s,other_s,silence_s,both_s,"
    "share_neutral,share_calm,share_happy,share_sad,share_angry,share_fearful,share_disgust,share_surprised,"
    "share_uncertain,mean_neutral,mean_calm,mean_happy,mean_sad,mean_angry,mean_fearful,mean_disgust,mean_surprised,"
    "peak_neutral_s,peak_calm_s,peak_happy_s,peak_sad_s,peak_angry_s,peak_fearful_s,peak_disgust_s,peak_surprised_s,"
    "level_db,model,note"
)
FILES_HEADER = "file,status,reason,present,bytes,codec,rate,channels,length_s"

#: Names of folders and files that cause trouble in a spreadsheet, a terminal or a text file.
AWKWARD = (
    "=1+1",
    "+49",
    "-x",
    "@SUM(A1)",
    "\tx",
    "\nx",
    "\rx",
    "'x",
    '"x',
    "x,y;z",
    "a\nb",
    os.fsdecode(b"\xff\xfe"),
    "\x1b[31m",
    "\u2028",
    "\ufffe\uffff",
    "\U0001f600",
    "_x000D_",
    "=cmd|' /C calc'!A0",
)


def an_entry(label: str = "calls", path: str = "a.wav", **changes: object) -> Entry:
    """The entry of a recording with two channels, one of which has speech."""
    import numpy as np

    segments = [Segment(k, k + 0.75, np.full(6000, 0.1, np.float32), True) for k in (0, 4)]
    rows = [row(segment, 1, np.eye(8)[round(segment.start)], Labelling(0.5, 0.4)) for segment in segments]
    fields: dict = {
        "size": 32044,
        "mtime_ns": NOON_NS,
        "status": "ok",
        "fingerprint": "f",
        "model": "tiny",
        "codec": "wav pcm_16",
        "rate": 8000,
        "channels": 2,
        "length_s": 10.0,
        "figures": {
            channel: channel_figures(channel, rows, [], 10.0, speaker=f"channel {channel}", masked=False)
            for channel in (1, 2)
        },
    }
    return Entry(Identity(label, path), **(fields | changes))


def failed(label: str, path: str, reason: str = "it is broken") -> Entry:
    return Entry(Identity(label, path), 5, NOON_NS, "failed", reason)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(None)) as ledger:
        yield ledger


def tables(ledger: Ledger, folder: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return both views, written as CSV and read again."""
    found = []
    for name, table in (("recordings.csv", views.recordings(ledger, BERLIN)), ("files.csv", views.files(ledger))):
        views.write_csv(table, folder / name)
        with open(folder / name, encoding="utf-8", newline="") as handle:
            found.append(list(csv.DictReader(handle)))
    return found[0], found[1]


def test_the_columns_are_those_of_the_design(ledger: Ledger, tmp_path: Path) -> None:
    tables(ledger, tmp_path)
    assert (tmp_path / "recordings.csv").read_text() == RECORDINGS_HEADER + "\n"
    assert (tmp_path / "files.csv").read_text() == FILES_HEADER + "\n"


def test_a_recording_has_a_row_per_channel(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry(reason="fake stereo"))
    recordings, files = tables(ledger, tmp_path)
    assert [(r["recording"], r["channel"], r["speaker"]) for r in recordings] == [
        ("calls/a.wav", "1", "channel 1"),
        ("calls/a.wav", "2", "channel 2"),
    ]
    first, second = recordings
    assert (first["length_s"], first["talk_s"], first["silence_s"]) == ("10.000", "1.500", "8.500")
    assert (first["share_neutral"], first["mean_angry"], first["peak_angry_s"]) == ("0.5000", "0.5000", "4.000")
    assert (first["level_db"], first["model"]) == ("-20.0", "tiny")
    assert (second["talk_s"], second["share_neutral"], second["peak_calm_s"], second["level_db"]) == (
        "0.000",
        "",
        "",
        "",
    )
    assert files == [
        {
            "file": "calls/a.wav",
            "status": "ok",
            "reason": "fake stereo",
            "present": "yes",
            "bytes": "32044",
            "codec": "wav pcm_16",
            "rate": "8000",
            "channels": "2",
            "length_s": "10.000",
        }
    ]


def test_the_note_says_what_is_odd_and_where_the_time_is_from(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry(reason="fake stereo"))
    (first, _), _ = tables(ledger, tmp_path)
    assert first["note"] == "fake stereo; recorded: time of the file"
    assert first["recorded"] == "2026-11-24 13:00:00"


@pytest.mark.filterwarnings("error")
def test_a_recording_that_failed_has_one_row_with_the_reason(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(failed("calls", "b.wav"))
    (only,), _ = tables(ledger, tmp_path)
    assert (only["status"], only["channel"], only["speaker"], only["talk_s"]) == ("failed", "", "", "")
    assert only["note"].startswith("it is broken")


def test_what_is_no_audio_is_a_file_but_no_recording(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(Entry(Identity("calls", "README.md"), 5, NOON_NS, "skipped", "no audio"))
    recordings, files = tables(ledger, tmp_path)
    assert recordings == []
    assert [(f["file"], f["status"], f["reason"]) for f in files] == [("calls/README.md", "skipped", "no audio")]


def test_a_recording_that_is_gone_keeps_its_rows(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry())
    ledger.mark_present([Identity("calls", "a.wav")], False)
    recordings, files = tables(ledger, tmp_path)
    assert len(recordings) == 2
    assert [f["present"] for f in files] == ["no"]


def test_rows_are_sorted_by_the_bytes_of_the_path_whatever_came_first(ledger: Ledger, tmp_path: Path) -> None:
    paths = ["b.wav", "a/z.wav", "a.wav", "B.wav", "ä.wav", os.fsdecode(b"\xff.wav"), "a b/x.wav"]
    for path in paths:
        ledger.record(an_entry(path=path))
    _, files = tables(ledger, tmp_path)
    in_order = sorted((Identity("calls", path) for path in paths), key=lambda identity: identity.sort_key)
    assert [f["file"] for f in files] == [identity.shown for identity in in_order]


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_no_name_is_run_as_a_formula_or_breaks_a_line(ledger: Ledger, tmp_path: Path, name: str) -> None:
    ledger.record(an_entry(label=name, path=f"{name}.wav"))
    ledger.record(failed(name, "broken.wav", reason="=HYPERLINK(0)"))
    recordings, files = tables(ledger, tmp_path)
    shown = Identity(name, f"{name}.wav").shown
    cells = [row["recording"] for row in recordings[:2]] + [files[0]["file"], files[1]["file"]]
    assert {cell.removeprefix("'") for cell in cells} >= {shown.removeprefix("'")}
    texts = [
        value
        for table in (recordings, files)
        for line in table
        for column, value in line.items()
        if column not in views.DECIMALS
    ]
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r")) for text in texts)
    assert len((tmp_path / "files.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert (tmp_path / "files.csv").read_bytes().count(b"\n") == 3


def test_numbers_below_zero_stay_numbers(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry())
    (first, _), _ = tables(ledger, tmp_path)
    assert first["level_db"] == "-20.0"


part = (
    st.binary(min_size=1, max_size=20).map(lambda b: os.fsdecode(b.replace(b"/", b"").replace(b"\0", b""))).filter(bool)
)


@settings(max_examples=25)
@given(st.lists(st.tuples(part, part), min_size=1, max_size=6, unique=True))
def test_whatever_bytes_a_name_has_the_tables_open(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-names"
    folder.mkdir(exist_ok=True)
    with closing(Ledger(None)) as ledger:
        for label, path in names:
            ledger.record(failed(label, path))
        _, files = tables(ledger, folder)
        assert len(files) == len(names)
        assert [file["file"] for file in files] == [harmless(entry.identity.shown) for entry in ledger.entries()]
