"""Time, speakers and groups of a call, from its name and from metadata."""

import json
import os
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.details import Naming
from analyzer.ledger import Ledger
from analyzer.metadata import Told
from analyzer.name_pattern import NamePattern
from analyzer.names import Identity
from tests.nights import MTIME, Analyze, a_call, at_noon, contents, read_csv
from tests.test_roles import a_dialogue, analysed

PATTERN = r"(?P<date>\d{4}\D?\d\d\D?\d\d)(?:[ T_-](?P<time>\d\d\D?\d\d(?:\D?\d\d)?))?"


def told_by(name: str, pattern: str = PATTERN, told: Told | None = None) -> tuple[str, str]:
    details = Naming(pattern=NamePattern(pattern)).details(Identity("calls", name), told or Told())
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
        ("2026-11-23/20261124_091500.wav", "2026-11-24 09:15:00"),  # the last date in a path counts
        ("20261124/0821123456.wav", "2026-11-24"),
        ("20240229_235959.wav", "2024-02-29 23:59:59"),
        ("20261124_246199.wav", "2026-11-24"),  # there is no such time of day
    ],
)
def test_dates_and_times_are_read_from_names(name: str, expected: str) -> None:
    assert told_by(name) == (expected, "name")


@pytest.mark.parametrize("name", ["20261324.wav", "20230229.wav", "00000000.wav", "99991231.wav", "a.wav"])
def test_where_a_name_has_no_day_the_metadata_tell_it(name: str) -> None:
    assert told_by(name, told=Told("2020-02-02 20:20:20")) == ("2020-02-02 20:20:20", "metadata")
    assert told_by(name) == ("", "")


def test_a_folder_s_name_tells_the_day_too() -> None:
    details = Naming(pattern=NamePattern(PATTERN)).details(Identity("2026-11-24", "0001.wav"), Told())
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
    naming = Naming(pattern=NamePattern(r"(?P<queue>[a-z]+)-(?P<date>\d{8})(?:-(?P<agent>\w+))?"))
    details = naming.details(Identity("calls", "sales-20261124.wav"), Told(groups={"site": "Berlin"}))
    assert details.groups == {"queue": "sales", "site": "Berlin"}
    details = naming.details(Identity("calls", "sales-20261124.wav"), Told(groups={"queue": "returns"}))
    assert details.groups == {"queue": "returns"}


# Whole runs.


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
    # The time zone is stored; another one only changes times that come from files.
    for zone, hour in (([], 13), (["--time-zone", "America/New_York"], 7)):
        assert analyze(calls, "-o", output, *options, *zone) == 0
        assert analysed(output) == {}
        assert when(output)["plain.wav"][0] == f"2026-11-24 {hour:02d}:00:00"
        assert when(output)["20261124_091500.wav"][0] == "2026-11-24 09:15:00"


def test_a_date_in_a_common_form_is_found_without_a_pattern_and_after_the_metadata(
    tmp_path: Path, analyze: Analyze
) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for name in ("20261124-101307.wav", "2026-11-23/told.wav", "2026-11-22/a.wav", "03-04-2026.wav"):
        a_call(calls / name)
    told = metadata(tmp_path, "file,recorded", "told.wav,2020-02-02")
    assert analyze(calls, "-o", output, "--time-zone", "UTC", "--metadata", told) == 0
    assert when(output) == {
        "20261124-101307.wav": ("2026-11-24 10:13:07", "recorded: from the name"),
        "2026-11-23/told.wav": ("2020-02-02", "recorded: from the metadata"),
        "2026-11-22/a.wav": ("2026-11-22", "recorded: from the name"),
        "03-04-2026.wav": ("2026-11-24 12:00:00", "recorded: time of the file"),
    }


def test_a_time_of_utc_in_a_name_is_shown_in_the_time_zone_of_the_folder(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / "q-1732443187.123.wav")
    for zone, hour in (("Europe/Berlin", 11), ("UTC", 10)):
        assert analyze(calls, "-o", output, "--time-zone", zone) == 0
        assert when(output)["q-1732443187.123.wav"][0] == f"2024-11-24 {hour}:13:07"
        assert analyze(calls, "-o", output) == 0
        assert when(output)["q-1732443187.123.wav"][0] == f"2024-11-24 {hour}:13:07"


def test_times_of_files_are_those_of_the_zone_at_that_time_of_the_year(tmp_path: Path, analyze: Analyze) -> None:
    path = a_call(tmp_path / "calls" / "a.wav")
    os.utime(path, (MTIME - 150 * 86400,) * 2)
    assert analyze(path.parent, "-o", tmp_path / "out", "--time-zone", "Europe/Berlin") == 0
    assert when(tmp_path / "out")["a.wav"][0] == "2026-06-27 14:00:00"


def test_what_is_told_later_is_shown_without_listening_again(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / "20261124.0915.wav")
    a_dialogue(calls / "b.wav")
    pattern = r"(?P<date>\d{8})\.(?P<time>\d{4})"
    assert analyze(calls, "-o", output, "--time-zone", "UTC") == 0
    assert when(output)["20261124.0915.wav"] == ("2026-11-24", "recorded: from the name")
    timelines = contents(output / "timelines")
    told = metadata(
        tmp_path, "file,recorded,channel_1,channel_2,queue,customer", "b.wav,2020-02-02,agent,customer,sales,Ann"
    )
    assert analyze(calls, "-o", output, "--name-pattern", pattern, "--metadata", told) == 0
    assert when(output)["20261124.0915.wav"][0] == "2026-11-24 09:15:00"
    assert when(output)["b.wav"][0] == "2020-02-02"
    assert analysed(output) == {}
    assert [name for name, file in contents(output / "timelines").items() if file != timelines[name]] == [
        "calls/b.wav.csv"
    ]
    told.write_text("file,recorded\nb.wav,2021-01-01\n")
    assert analyze(calls, "-o", output, "--name-pattern", pattern, "--metadata", told) == 0
    assert when(output)["b.wav"][0] == "2021-01-01"
    assert analysed(output) == {}
    before = contents(output)
    assert analyze(calls, "-o", output, "--name-pattern", pattern) == 0
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


@pytest.mark.parametrize(
    "options",
    [["--time-zone", "Mars/Olympus"], ["--name-pattern", "(?P<date>"], ["--name-pattern", r"_(\d{8})_"]],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path: Path, analyze: Analyze, options: list[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    with pytest.raises(SystemExit) as refused:
        analyze(calls, "-o", tmp_path / "out", *options)
    assert refused.value.code == 2


def test_the_manifest_names_the_pattern(tmp_path: Path, analyze: Analyze) -> None:
    calls = at_noon(a_call(tmp_path / "calls" / "a.wav").parent)
    assert analyze(calls, "-o", tmp_path / "out", "--name-pattern", PATTERN) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["name_pattern"] == PATTERN
