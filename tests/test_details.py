"""When a call was, who took part and what it belongs to, from its name and from metadata."""

import json
import os
import re
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.details import Naming, Told, read_metadata
from analyzer.entry import Entry
from analyzer.errors import UsageError
from analyzer.ledger import Ledger
from analyzer.names import Identity
from tests.nights import MTIME, Analyze, a_call, at_noon, contents, read_csv
from tests.test_roles import a_dialogue, analysed

PATTERN = r"(?P<date>\d{4}\D?\d\d\D?\d\d)(?:[ T_-](?P<time>\d\d\D?\d\d(?:\D?\d\d)?))?"


def told_by(name: str, pattern: str = PATTERN, told: Told | None = None) -> tuple[str, str]:
    details = Naming(pattern=re.compile(pattern)).details(Identity("calls", name), told or Told())
    return details.recorded, details.recorded_from


# Names.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20261124.wav", "2026-11-24"),
        ("2026-11-24.wav", "2026-11-24"),
        ("2026.11.24 rest.wav", "2026-11-24"),
        ("20261124_091500.wav", "2026-11-24 09:15:00"),
        ("20261124-0915.wav", "2026-11-24 09:15:00"),
        ("2026-11-24T09:15:30.wav", "2026-11-24 09:15:30"),
        ("in-0821123456-20261124_091500-7.wav", "2026-11-24 09:15:00"),
        ("2026-11-24/0001.wav", "2026-11-24"),
        ("2026-11-23/20261124_091500.wav", "2026-11-24 09:15:00"),  # what is said last is said of this recording
        ("20261124/0821123456.wav", "2026-11-24"),
        ("20240229_235959.wav", "2024-02-29 23:59:59"),
        ("20261124_246199.wav", "2026-11-24"),  # a day without such a time of day
    ],
)
def test_dates_and_times_are_read_from_names(name: str, expected: str) -> None:
    assert told_by(name) == (expected, "name")


@pytest.mark.parametrize("name", ["20261324.wav", "20230229.wav", "00000000.wav", "99991231.wav", "a.wav"])
def test_where_a_name_has_no_day_the_metadata_tell_it(name: str) -> None:
    assert told_by(name, told=Told("2020-02-02 20:20:20")) == ("2020-02-02 20:20:20", "metadata")
    assert told_by(name) == ("", "")


def test_a_folder_s_name_tells_the_day_too() -> None:
    details = Naming(pattern=re.compile(PATTERN)).details(Identity("2026-11-24", "0001.wav"), Told())
    assert details.recorded == "2026-11-24"


def test_a_time_of_day_without_a_day_tells_nothing() -> None:
    assert told_by("0915.wav", r"(?P<time>\d{4})") == ("", "")


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)), st.sampled_from(["%Y%m%d-%H%M%S", "%Y-%m-%d_%H.%M.%S"])
)
def test_any_moment_comes_back_from_its_name(moment: datetime, form: str) -> None:
    name = f"{moment.strftime(form)}.wav"
    assert told_by(name, PATTERN) == (moment.strftime("%Y-%m-%d %H:%M:%S"), "name")


@given(
    st.text("0123456789-_/ab.", max_size=30),
    st.sampled_from([PATTERN, r"(?P<date>\d*)", r"(?P<date>)", r"(?P<date>.)"]),
)
def test_whatever_a_name_is_the_day_is_one(name: str, pattern: str) -> None:
    recorded, source = told_by(name, pattern)
    assert bool(recorded) == (source == "name")
    assert not recorded or datetime.fromisoformat(recorded).year in range(1900, 2100)


def test_other_groups_of_the_pattern_say_what_a_recording_belongs_to() -> None:
    naming = Naming(pattern=re.compile(r"(?P<queue>[a-z]+)-(?P<date>\d{8})(?:-(?P<agent>\w+))?"))
    details = naming.details(Identity("calls", "sales-20261124.wav"), Told(groups={"site": "Berlin"}))
    assert details.groups == {"queue": "sales", "site": "Berlin"}
    details = naming.details(Identity("calls", "sales-20261124.wav"), Told(groups={"queue": "returns"}))
    assert details.groups == {"queue": "returns"}


# Nights.


def when(output: Path) -> dict[str, tuple[str, str]]:
    rows = read_csv(output / "recordings.csv")
    return {row["recording"].partition("/")[2]: (row["recorded"], row["note"]) for row in rows}


def metadata(folder: Path, *lines: str) -> Path:
    path = folder / "metadata.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_the_note_says_where_the_time_is_known_from(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for name in ("20261124_091500.wav", "told.wav", "20261324_091500.wav", "plain.wav"):
        a_call(calls / name)
    told = metadata(
        tmp_path,
        "file,recorded",
        "20261124_091500.wav,2000-01-01",
        "told.wav,2020-02-02T20:20",
        "20261324_091500.wav,2020-02-03",
    )
    options = ["--name-pattern", PATTERN, "--metadata", told]
    assert analyze(calls, "-o", output, "--time-zone", "Europe/Berlin", *options) == 0
    assert when(output) == {
        "20261124_091500.wav": ("2026-11-24 09:15:00", "recorded: from the name"),
        "told.wav": ("2020-02-02 20:20:00", "recorded: from the metadata"),
        "20261324_091500.wav": ("2020-02-03", "recorded: from the metadata"),
        "plain.wav": ("2026-11-24 13:00:00", "recorded: time of the file"),
    }
    # The zone stays, and another one touches nothing but the times of files.
    for zone, hour in (([], 13), (["--time-zone", "America/New_York"], 7)):
        assert analyze(calls, "-o", output, *options, *zone) == 0
        assert analysed(output) == {}
        assert when(output)["plain.wav"][0] == f"2026-11-24 {hour:02d}:00:00"
        assert when(output)["20261124_091500.wav"][0] == "2026-11-24 09:15:00"


def test_times_of_files_are_those_of_the_zone_at_that_time_of_the_year(tmp_path: Path, analyze: Analyze) -> None:
    path = a_call(tmp_path / "calls" / "a.wav")
    os.utime(path, (MTIME - 150 * 86400,) * 2)
    assert analyze(path.parent, "-o", tmp_path / "out", "--time-zone", "Europe/Berlin") == 0
    assert when(tmp_path / "out")["a.wav"][0] == "2026-06-27 14:00:00"


def test_what_is_told_later_is_shown_without_listening_again(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / "20261124_091500.wav")
    a_dialogue(calls / "b.wav")
    assert analyze(calls, "-o", output, "--time-zone", "UTC") == 0
    assert when(output)["20261124_091500.wav"] == ("2026-11-24 12:00:00", "recorded: time of the file")
    timelines = contents(output / "timelines")
    told = metadata(
        tmp_path, "file,recorded,channel_1,channel_2,queue,customer", "b.wav,2020-02-02,agent,customer,sales,Ann"
    )
    assert analyze(calls, "-o", output, "--name-pattern", PATTERN, "--metadata", told) == 0
    assert when(output)["20261124_091500.wav"][0] == "2026-11-24 09:15:00"
    assert when(output)["b.wav"][0] == "2020-02-02"
    assert analysed(output) == {}
    assert [name for name, file in contents(output / "timelines").items() if file != timelines[name]] == [
        "calls/b.wav.csv"
    ]
    told.write_text("file,recorded\nb.wav,2021-01-01\n")
    assert analyze(calls, "-o", output, "--name-pattern", PATTERN, "--metadata", told) == 0
    assert when(output)["b.wav"][0] == "2021-01-01"
    assert analysed(output) == {}
    before = contents(output)
    assert analyze(calls, "-o", output, "--name-pattern", PATTERN) == 0
    assert contents(output) == before


def test_groups_are_kept_in_the_ledger(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "sales-1.wav").parent, tmp_path / "out"
    told = metadata(tmp_path, "file,customer,queue", "sales-1.wav,Ann Ö.,")
    assert analyze(calls, "-o", output, "--metadata", told, "--name-pattern", r"(?P<team>[a-z]+)-") == 0
    for _ in range(2):
        with closing(Ledger(output)) as ledger:
            (entry,) = ledger.entries()
        assert entry.groups == {"team": "sales", "customer": "Ann Ö."}
        assert entry.told == Told(groups={"customer": "Ann Ö."})
        assert analyze(calls, "-o", output, "--name-pattern", r"(?P<team>[a-z]+)-") == 0


def test_what_is_told_of_files_that_fail_is_kept_as_well(tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "20261124.wav").write_bytes(b"no sound")
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "--name-pattern", PATTERN) == 1
    assert when(tmp_path / "out")["20261124.wav"][0] == "2026-11-24"


# Metadata.


@pytest.mark.parametrize(
    "key", ["calls/2026/a.wav", "2026/a.wav", "a.wav", " a.wav "], ids=["shown", "below the input", "bare", "spaces"]
)
def test_metadata_name_a_file_in_several_ways(key: str, tmp_path: Path) -> None:
    path = metadata(tmp_path, "file,recorded", f"{key},2020-02-02")
    told = Naming(metadata=read_metadata(path)).told(Identity("calls", "2026/a.wav"))
    assert told == Told("2020-02-02")
    assert Naming(metadata=read_metadata(path)).told(Identity("calls", "2026/b.wav")) is None


def test_the_clearest_name_wins(tmp_path: Path) -> None:
    path = metadata(
        tmp_path, "file,recorded", "a.wav,2020-01-01", "2026/a.wav,2020-01-02", "calls/2026/a.wav,2020-01-03"
    )
    naming = Naming(metadata=read_metadata(path))
    identities = [Identity("calls", "2026/a.wav"), Identity("other", "2026/a.wav"), Identity("calls", "a.wav")]
    assert [told.recorded for one in identities if (told := naming.told(one))] == [
        "2020-01-03",
        "2020-01-02",
        "2020-01-01",
    ]


@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"a\nb.wav", b"tab\t.wav"])
def test_metadata_take_a_name_from_the_tables(name: bytes, tmp_path: Path) -> None:
    identity = Identity("calls", os.fsdecode(name))
    path = metadata(tmp_path, "file,recorded", f"{identity.shown},2020-02-02")
    assert Naming(metadata=read_metadata(path)).told(identity) == Told("2020-02-02")


def test_metadata_as_a_spreadsheet_saves_them(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes('\ufefffile,recorded,customer\r\n"a, b.wav",2020-02-02 10:00,"Ann ""Ö"""\r\nc.wav\r\n'.encode())
    assert read_metadata(path) == {
        "a, b.wav": Told("2020-02-02 10:00:00", groups={"customer": 'Ann "Ö"'}),
        "c.wav": Told(),
    }


BAD = {
    "no column file": (b"name,recorded\na.wav,2020-02-02\n", "a column called file"),
    "nothing": (b"", "a column called file"),
    "twice": (b"file\na.wav\nb.wav\na.wav\n", "line 4.*a.wav.*twice"),
    "too many cells": (b"file,queue\na.wav,b,c\n", "line 2.*too many cells"),
    "nameless": (b"file,queue\na.wav,b\n,c\n", "line 3.*no file"),
    "no time": (b"file,recorded\na.wav,yesterday\n", "line 2.*'yesterday'"),
    "no such day": (b"file,recorded\na.wav,2020-02-30\n", "line 2.*2020-02-30"),
    "an offset": (b"file,recorded\na.wav,2020-02-02T10:00+01:00\n", "line 2.*offset"),
    "Zulu time": (b"file,recorded\na.wav,2020-02-02T10:00Z\n", "line 2.*offset"),
    "a gap": (b"file,channel_1,channel_2\na.wav,,agent\n", "line 2.*gaps"),
    "a role twice": (b"file,channel_1,channel_2\na.wav,agent,agent\n", "line 2.*twice"),
    "a long role": (b"file,channel_1\na.wav," + b"x" * 41 + b"\n", "line 2.*no role"),
    "not UTF-8": (b"file,customer\na.wav,caf\xe9\n", "cannot be read.*utf-8"),
    "after lines within a cell": (b'file,customer\n"a\nb.wav",x\nb.wav,y,z\n', "line 4.*too many cells"),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_metadata_that_cannot_be_meant_are_refused_with_file_and_line(
    content: tuple[bytes, str], tmp_path: Path
) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes(content[0])
    with pytest.raises(UsageError, match=f"(?s)metadata.csv.*{content[1]}"):
        read_metadata(path)


@pytest.mark.parametrize("what", ["missing.csv", "calls", "twice.csv"])
def test_metadata_that_cannot_be_read_are_a_usage_error(
    tmp_path: Path, analyze: Analyze, what: str, capsys: pytest.CaptureFixture
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (tmp_path / "twice.csv").write_text("file\na.wav\na.wav\n")
    assert analyze(calls, "-o", tmp_path / "out", "--metadata", tmp_path / what) == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "out" / "recordings.csv").exists()


@given(
    st.binary(max_size=80).map(lambda b: b"file,recorded,channel_1,channel_2,x\n" + b)
    | st.text('file,recorded\n"a.wav2020-', max_size=80).map(str.encode)
)
def test_whatever_the_metadata_are_they_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        known = read_metadata(path)
    except UsageError:
        return
    for told in known.values():
        assert not told.recorded or datetime.fromisoformat(told.recorded)


@given(st.datetimes())
def test_any_moment_comes_back_from_metadata(tmp_path_factory: pytest.TempPathFactory, moment: datetime) -> None:
    path = tmp_path_factory.getbasetemp() / "moment.csv"
    path.write_text(f"file,recorded\na.wav,{moment.isoformat()}\n")
    (told,) = read_metadata(path).values()
    assert datetime.fromisoformat(told.recorded) == moment.replace(microsecond=0)
    entry = Entry(Identity("calls", "a.wav"), 1, 1, "ok", recorded=told.recorded, recorded_from="metadata")
    assert entry.when(ZoneInfo("UTC")) == (told.recorded, "from the metadata")


@pytest.mark.parametrize("options", [["--time-zone", "Mars/Olympus"], ["--name-pattern", "(?P<date>"]])
def test_options_that_cannot_be_meant_are_refused(tmp_path: Path, analyze: Analyze, options: list[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    with pytest.raises(SystemExit) as refused:
        analyze(calls, "-o", tmp_path / "out", *options)
    assert refused.value.code == 2


def test_the_manifest_names_the_pattern(tmp_path: Path, analyze: Analyze) -> None:
    calls = at_noon(a_call(tmp_path / "calls" / "a.wav").parent)
    assert analyze(calls, "-o", tmp_path / "out", "--name-pattern", PATTERN) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["name_pattern"] == PATTERN
