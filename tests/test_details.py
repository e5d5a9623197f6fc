"""Time, speakers and groups of a call, from its name and metadata."""

import json
import os
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.inputs.metadata import MetadataRow
from analyzer.inputs.name_pattern import NamePattern
from analyzer.inputs.resolution import MetadataResolver
from analyzer.names import Identity
from analyzer.store.ledger import Ledger
from tests.helpers.dialogues import a_dialogue, analysed
from tests.helpers.runs import MTIME, Analyze, a_call, at_noon, contents, read_csv

PATTERN = r"(?P<date>\d{4}\D?\d\d\D?\d\d)(?:[ T_-](?P<time>\d\d\D?\d\d(?:\D?\d\d)?))?"


def recorded_of(name: str, pattern: str = PATTERN, row: MetadataRow | None = None) -> tuple[str, str]:
    details = MetadataResolver(pattern=NamePattern(pattern)).details(Identity("calls", name), row or MetadataRow())
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
def test_dates_and_times_in_names(name: str, expected: str) -> None:
    assert recorded_of(name) == (expected, "name")


@pytest.mark.parametrize("name", ["20261324.wav", "20230229.wav", "00000000.wav", "99991231.wav", "a.wav"])
def test_metadata_give_day_if_name_has_none(name: str) -> None:
    assert recorded_of(name, row=MetadataRow("2020-02-02 20:20:20")) == ("2020-02-02 20:20:20", "metadata")
    assert recorded_of(name) == ("", "")


def test_day_in_a_folder_name() -> None:
    details = MetadataResolver(pattern=NamePattern(PATTERN)).details(Identity("2026-11-24", "0001.wav"), MetadataRow())
    assert details.recorded == "2026-11-24"


def test_time_without_day_is_ignored() -> None:
    assert recorded_of("0915.wav", r"(?P<time>\d{4})") == ("", "")


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)), st.sampled_from(["%Y%m%d-%H%M%S", "%Y-%m-%d_%H.%M.%S"])
)
def test_any_time_is_read_back(moment: datetime, form: str) -> None:
    name = f"{moment.strftime(form)}.wav"
    assert recorded_of(name, PATTERN) == (moment.strftime("%Y-%m-%d %H:%M:%S"), "name")


@given(
    st.text("0123456789-_/ab.", max_size=30),
    st.sampled_from([PATTERN, r"(?P<date>\d*)", r"(?P<date>)", r"(?P<date>.)"]),
)
def test_any_name_gives_a_valid_day(name: str, pattern: str) -> None:
    recorded, source = recorded_of(name, pattern)
    assert bool(recorded) == (source == "name")
    assert not recorded or datetime.fromisoformat(recorded).year in range(1900, 2100)


def test_groups_of_the_pattern() -> None:
    resolver = MetadataResolver(pattern=NamePattern(r"(?P<queue>[a-z]+)-(?P<date>\d{8})(?:-(?P<agent>\w+))?"))
    details = resolver.details(Identity("calls", "sales-20261124.wav"), MetadataRow(groups={"site": "Berlin"}))
    assert details.groups == {"queue": "sales", "site": "Berlin"}
    details = resolver.details(Identity("calls", "sales-20261124.wav"), MetadataRow(groups={"queue": "returns"}))
    assert details.groups == {"queue": "returns"}


# Complete runs.


def recorded_times(output: Path) -> dict[str, tuple[str, str]]:
    rows = read_csv(output / "recordings.csv")
    return {row["recording"].partition("/")[2]: (row["recorded"], row["note"]) for row in rows}


def metadata(folder: Path, *lines: str) -> Path:
    path = folder / "metadata.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_note_names_source_of_time(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for name in ("20261124_091500.wav", "listed.wav", "20261324_091500.wav", "plain.wav"):
        a_call(calls / name)
    metadata_file = metadata(
        tmp_path,
        "file,recorded",
        "20261124_091500.wav,2000-01-01",
        "listed.wav,2020-02-02T20:20",
        "20261324_091500.wav,2020-02-03",
    )
    options = ["--name-pattern", PATTERN, "--metadata", metadata_file]
    assert analyze(calls, "-o", output, "--time-zone", "Europe/Berlin", *options) == 0
    assert recorded_times(output) == {
        "20261124_091500.wav": ("2026-11-24 09:15:00", "recorded: from the name"),
        "listed.wav": ("2020-02-02 20:20:00", "recorded: from the metadata"),
        "20261324_091500.wav": ("2020-02-03", "recorded: from the metadata"),
        "plain.wav": ("2026-11-24 13:00:00", "recorded: time of the file"),
    }
    # The time zone is stored; another one only changes times that come from files.
    for zone, hour in (([], 13), (["--time-zone", "America/New_York"], 7)):
        assert analyze(calls, "-o", output, *options, *zone) == 0
        assert analysed(output) == {}
        assert recorded_times(output)["plain.wav"][0] == f"2026-11-24 {hour:02d}:00:00"
        assert recorded_times(output)["20261124_091500.wav"][0] == "2026-11-24 09:15:00"


def test_common_dates_need_no_pattern(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for name in ("20261124-101307.wav", "2026-11-23/listed.wav", "2026-11-22/a.wav", "03-04-2026.wav"):
        a_call(calls / name)
    metadata_file = metadata(tmp_path, "file,recorded", "listed.wav,2020-02-02")
    assert analyze(calls, "-o", output, "--time-zone", "UTC", "--metadata", metadata_file) == 0
    assert recorded_times(output) == {
        "20261124-101307.wav": ("2026-11-24 10:13:07", "recorded: from the name"),
        "2026-11-23/listed.wav": ("2020-02-02", "recorded: from the metadata"),
        "2026-11-22/a.wav": ("2026-11-22", "recorded: from the name"),
        "03-04-2026.wav": ("2026-11-24 12:00:00", "recorded: time of the file"),
    }


def test_utc_in_a_name_is_converted(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / "q-1732443187.123.wav")
    for zone, hour in (("Europe/Berlin", 11), ("UTC", 10)):
        assert analyze(calls, "-o", output, "--time-zone", zone) == 0
        assert recorded_times(output)["q-1732443187.123.wav"][0] == f"2024-11-24 {hour}:13:07"
        assert analyze(calls, "-o", output) == 0
        assert recorded_times(output)["q-1732443187.123.wav"][0] == f"2024-11-24 {hour}:13:07"


def test_times_of_files_follow_summer_time(tmp_path: Path, analyze: Analyze) -> None:
    path = a_call(tmp_path / "calls" / "a.wav")
    os.utime(path, (MTIME - 150 * 86400,) * 2)
    assert analyze(path.parent, "-o", tmp_path / "out", "--time-zone", "Europe/Berlin") == 0
    assert recorded_times(tmp_path / "out")["a.wav"][0] == "2026-06-27 14:00:00"


def test_later_metadata_need_no_analysis(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    a_call(calls / "20261124.0915.wav")
    a_dialogue(calls / "b.wav")
    pattern = r"(?P<date>\d{8})\.(?P<time>\d{4})"
    assert analyze(calls, "-o", output, "--time-zone", "UTC") == 0
    assert recorded_times(output)["20261124.0915.wav"] == ("2026-11-24", "recorded: from the name")
    timelines = contents(output / "timelines")
    metadata_file = metadata(
        tmp_path, "file,recorded,channel_1,channel_2,queue,customer", "b.wav,2020-02-02,agent,customer,sales,Ann"
    )
    assert analyze(calls, "-o", output, "--name-pattern", pattern, "--metadata", metadata_file) == 0
    assert recorded_times(output)["20261124.0915.wav"][0] == "2026-11-24 09:15:00"
    assert recorded_times(output)["b.wav"][0] == "2020-02-02"
    assert analysed(output) == {}
    assert [name for name, file in contents(output / "timelines").items() if file != timelines[name]] == [
        "calls/b.wav.csv"
    ]
    metadata_file.write_text("file,recorded\nb.wav,2021-01-01\n")
    assert analyze(calls, "-o", output, "--name-pattern", pattern, "--metadata", metadata_file) == 0
    assert recorded_times(output)["b.wav"][0] == "2021-01-01"
    assert analysed(output) == {}
    before = contents(output)
    assert analyze(calls, "-o", output, "--name-pattern", pattern) == 0
    assert contents(output) == before


def test_ledger_keeps_groups(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "sales-1.wav").parent, tmp_path / "out"
    metadata_file = metadata(tmp_path, "file,customer,queue", "sales-1.wav,Ann Ö.,")
    assert analyze(calls, "-o", output, "--metadata", metadata_file, "--name-pattern", r"(?P<team>[a-z]+)-") == 0
    for _ in range(2):
        with closing(Ledger(output)) as ledger:
            (entry,) = ledger.entries()
        assert entry.groups == {"team": "sales", "customer": "Ann Ö."}
        assert entry.metadata == MetadataRow(groups={"customer": "Ann Ö."})
        assert analyze(calls, "-o", output, "--name-pattern", r"(?P<team>[a-z]+)-") == 0


def test_failed_files_keep_metadata(tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "20261124.wav").write_bytes(b"no sound")
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "--name-pattern", PATTERN) == 1
    assert recorded_times(tmp_path / "out")["20261124.wav"][0] == "2026-11-24"


@pytest.mark.parametrize(
    "options",
    [["--time-zone", "Mars/Olympus"], ["--name-pattern", "(?P<date>"], ["--name-pattern", r"_(\d{8})_"]],
)
def test_invalid_options_are_refused(tmp_path: Path, analyze: Analyze, options: list[str]) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    with pytest.raises(SystemExit) as error:
        analyze(calls, "-o", tmp_path / "out", *options)
    assert error.value.code == 2


def test_run_json_has_the_pattern(tmp_path: Path, analyze: Analyze) -> None:
    calls = at_noon(a_call(tmp_path / "calls" / "a.wav").parent)
    assert analyze(calls, "-o", tmp_path / "out", "--name-pattern", PATTERN) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["name_pattern"] == PATTERN
