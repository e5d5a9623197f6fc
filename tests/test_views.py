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

from analyzer.model.labels import Labelling
from analyzer.names import Identity
from analyzer.report import views
from analyzer.speech.detector import Segment
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import escape_formula
from analyzer.timeline.channel_statistics import channel_statistics
from analyzer.timeline.timeline import row
from tests.helpers.entries import AWKWARD_NAMES

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


def an_entry(label: str = "calls", path: str = "a.wav", **changes: object) -> Entry:
    """The entry of a recording with two channels, one of which has speech."""
    import numpy as np

    segments = [Segment(start, start + 0.75, np.full(6000, 0.1, np.float32), True) for start in (0, 4)]
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
        "statistics": {
            channel: channel_statistics(channel, rows, [], 10.0, speaker=f"channel {channel}", masked=False)
            for channel in (1, 2)
        },
    }
    return Entry(Identity(label, path), **(fields | changes))


def failed(label: str, path: str, reason: str = "it is broken") -> Entry:
    return Entry(Identity(label, path), 5, NOON_NS, "failed", reason)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        yield ledger


def tables(ledger: Ledger, folder: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return both views, written as CSV and read again."""
    parsed = []
    for name, table in (("recordings.csv", views.recordings(ledger, BERLIN)), ("files.csv", views.files(ledger))):
        views.write_csv(table, folder / name)
        with open(folder / name, encoding="utf-8", newline="") as handle:
            parsed.append(list(csv.DictReader(handle)))
    return parsed[0], parsed[1]


def test_table_columns(ledger: Ledger, tmp_path: Path) -> None:
    tables(ledger, tmp_path)
    assert (tmp_path / "recordings.csv").read_text() == RECORDINGS_HEADER + "\n"
    assert (tmp_path / "files.csv").read_text() == FILES_HEADER + "\n"


def test_recording_has_a_row_per_channel(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry(reason="both channels identical"))
    recordings, files = tables(ledger, tmp_path)
    assert [(record["recording"], record["channel"], record["speaker"]) for record in recordings] == [
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
            "reason": "both channels identical",
            "present": "yes",
            "bytes": "32044",
            "codec": "wav pcm_16",
            "rate": "8000",
            "channels": "2",
            "length_s": "10.000",
        }
    ]


def test_note_has_reason_and_source_of_time(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry(reason="both channels identical"))
    (first, _), _ = tables(ledger, tmp_path)
    assert first["note"] == "both channels identical; recorded: time of the file"
    assert first["recorded"] == "2026-11-24 13:00:00"


@pytest.mark.filterwarnings("error")
def test_failed_recording_has_one_row(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(failed("calls", "b.wav"))
    (record,), _ = tables(ledger, tmp_path)
    assert (record["status"], record["channel"], record["speaker"], record["talk_s"]) == ("failed", "", "", "")
    assert record["note"].startswith("it is broken")


def test_skipped_file_is_not_a_recording(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(Entry(Identity("calls", "README.md"), 5, NOON_NS, "skipped", "no audio"))
    recordings, files = tables(ledger, tmp_path)
    assert recordings == []
    assert [(file_row["file"], file_row["status"], file_row["reason"]) for file_row in files] == [
        ("calls/README.md", "skipped", "no audio")
    ]


def test_deleted_recording_keeps_its_rows(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry())
    ledger.mark_present([Identity("calls", "a.wav")], False)
    recordings, files = tables(ledger, tmp_path)
    assert len(recordings) == 2
    assert [file_row["present"] for file_row in files] == ["no"]


def test_rows_are_sorted_by_path_bytes(ledger: Ledger, tmp_path: Path) -> None:
    paths = ["b.wav", "a/z.wav", "a.wav", "B.wav", "ä.wav", os.fsdecode(b"\xff.wav"), "a b/x.wav"]
    for path in paths:
        ledger.record(an_entry(path=path))
    _, files = tables(ledger, tmp_path)
    in_order = sorted((Identity("calls", path) for path in paths), key=lambda identity: identity.sort_key)
    assert [file_row["file"] for file_row in files] == [identity.shown for identity in in_order]


@pytest.mark.parametrize("name", AWKWARD_NAMES, ids=ascii)
def test_names_are_escaped(ledger: Ledger, tmp_path: Path, name: str) -> None:
    ledger.record(an_entry(label=name, path=f"{name}.wav"))
    ledger.record(failed(name, "broken.wav", reason="=HYPERLINK(0)"))
    recordings, files = tables(ledger, tmp_path)
    shown = Identity(name, f"{name}.wav").shown
    cells = [record["recording"] for record in recordings[:2]] + [files[0]["file"], files[1]["file"]]
    assert {cell.removeprefix("'") for cell in cells} >= {shown.removeprefix("'")}
    texts = [
        value
        for table in (recordings, files)
        for table_row in table
        for column, value in table_row.items()
        if column not in views.DECIMALS
    ]
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r")) for text in texts)
    assert len((tmp_path / "files.csv").read_text(encoding="utf-8").splitlines()) == 3
    assert (tmp_path / "files.csv").read_bytes().count(b"\n") == 3


def test_negative_numbers_are_not_escaped(ledger: Ledger, tmp_path: Path) -> None:
    ledger.record(an_entry())
    (first, _), _ = tables(ledger, tmp_path)
    assert first["level_db"] == "-20.0"


name_parts = (
    st.binary(min_size=1, max_size=20)
    .map(lambda name: os.fsdecode(name.replace(b"/", b"").replace(b"\0", b"")))
    .filter(bool)
)


@settings(max_examples=25)
@given(st.lists(st.tuples(name_parts, name_parts), min_size=1, max_size=6, unique=True))
def test_names_of_any_bytes(tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.getbasetemp() / "any-names"
    folder.mkdir(exist_ok=True)
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        for label, path in names:
            ledger.record(failed(label, path))
        _, files = tables(ledger, folder)
        assert len(files) == len(names)
        assert [file_row["file"] for file_row in files] == [
            escape_formula(entry.identity.shown) for entry in ledger.entries()
        ]
