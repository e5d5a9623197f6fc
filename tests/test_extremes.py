"""Times, sizes and paths at the limits of systems: stored exactly, shown if there is a date, never fatal."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from analyzer import names
from analyzer.audio import storage
from analyzer.commands.main import main
from analyzer.inputs import discovery
from analyzer.names import Identity
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import files_below
from tests.helpers.dialogues import analysed
from tests.helpers.runs import Analyze, a_call, read_csv

#: Seconds since 1970 of years that occur in bug reports, and beyond every calendar.
YEARS = {
    "1601": -11_644_473_600,
    "1677": -9_223_372_037,
    "1901": -2_147_483_649,
    "1969": -1,
    "2038": 2_147_483_648,
    "2106": 4_294_967_296,
    "2262": 9_223_372_037,
    "2300": 10_413_792_000,
    "2446": 15_032_385_535,
    "9999": 253_402_300_799,
    "10000": 253_402_300_800,
    "beyond": 1 << 62,
    "before": -(1 << 62),
}
nanoseconds = st.integers(-(1 << 95), 1 << 95) | st.integers(-(1 << 64), 1 << 64)
sizes = st.integers(0, 1 << 70)


@given(nanoseconds, sizes)
@example((1 << 63) - 1, (1 << 63) - 1)
@example(1 << 63, 1 << 63)
@example(-(1 << 63), 0)
@example(-(1 << 63) - 1, 0)
def test_any_time_and_size_is_stored(mtime_ns: int, size: int) -> None:
    entry = Entry(Identity("calls", "a.wav"), size, mtime_ns, "failed", "odd", attempts=1, statistics={})
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        ledger.record(entry)
        assert ledger.get(entry.identity) == entry
        ledger.amend(entry)
        assert list(ledger.entries()) == [entry]
        ledger.mark_pruned([entry.identity])
        ledger.end_pruning(entry)
        assert ledger.is_pruned(entry.identity, size, mtime_ns)
        assert not ledger.is_pruned(entry.identity, size, mtime_ns + 1)


@given(nanoseconds | st.integers(-(1 << 66), 1 << 69), st.sampled_from(["UTC", "Pacific/Kiritimati", "America/Adak"]))
@example(-62_135_596_800 * 10**9, "America/Adak")  # the first day of the calendar; in Alaska it is the day before
@example(253_402_300_799 * 10**9, "Pacific/Kiritimati")
def test_time_is_shown_as_date_or_not(mtime_ns: int, zone: str) -> None:
    recorded, source = Entry(Identity("calls", "a.wav"), 1, mtime_ns, "ok").when(ZoneInfo(zone))
    if mtime_ns == 0:
        assert (recorded, source) == ("", "")
    elif recorded:
        assert len(recorded) == len("2026-11-24 09:15:00")
        assert source == "time of the file"
    else:
        assert "in no year from 1 to 9999" in source


def test_years_have_four_digits() -> None:
    for year, seconds in (
        ("2300-01-01", YEARS["2300"]),
        ("1601-01-01", YEARS["1601"]),
        ("0001-01-01", -62_135_596_800),
    ):
        shown, _ = Entry(Identity("calls", "a.wav"), 1, seconds * 10**9, "ok").when(ZoneInfo("UTC"))
        assert shown == f"{year} 00:00:00"


@pytest.fixture
def dated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A call and a text file for each of YEARS; os.stat is patched, since file systems cannot store all these times."""
    calls, times = tmp_path / "calls", {}
    for seed, (name, seconds) in enumerate(YEARS.items()):
        times[f"{name}.wav"] = times[f"{name}.txt"] = seconds * 10**9 + 100
        a_call(calls / f"{name}.wav", seed=seed % 3)
        (calls / f"{name}.txt").write_text("x")
    original = os.stat

    class Dated:
        """The status of a file, with another modification time."""

        def __init__(self, state: os.stat_result, mtime_ns: int) -> None:
            self._state, self.st_mtime_ns, self.st_mtime = state, mtime_ns, mtime_ns / 1e9

        def __getattr__(self, name: str) -> object:
            return getattr(self._state, name)

    def stat(path: object, **options: object) -> object:
        state = original(path, **options)  # type: ignore[call-overload]
        name = os.path.basename(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else ""
        return Dated(state, times[name]) if name in times else state

    monkeypatch.setattr(discovery.os, "stat", stat)
    return calls


@pytest.mark.parametrize("options", [(), ("--checksum",), ("--min-age", "60")])
def test_files_of_any_year_are_analysed(
    dated: Path, tmp_path: Path, analyze: Analyze, options: tuple[str, ...]
) -> None:
    formats = ("--format", "csv,xlsx,html,xlsx-per-file", "--time-zone", "UTC")
    assert analyze(dated, "-o", tmp_path / "out", *formats, *options) == 0
    rows = {row["recording"]: row for row in read_csv(tmp_path / "out" / "recordings.csv")}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert len(rows) == len(YEARS)
    assert rows["calls/1601.wav"]["recorded"] == "1601-01-01 00:00:00"
    assert rows["calls/before.wav"]["recorded"] == ""
    assert "recorded: not known" in rows["calls/before.wav"]["note"]
    assert analyze(dated, "-o", tmp_path / "out", *formats, *options) == 0
    assert analysed(tmp_path / "out") == {}
    assert main(["report", str(tmp_path / "out"), "--since", "0001-01-01", "--until", "9999-12-31", "-j", "1"]) == 0
    assert main(["prune", "-o", str(tmp_path / "out"), "--older-than", "1d"]) == 0
    assert analyze(dated, "-o", tmp_path / "out", *formats, *options) == 0
    assert analysed(tmp_path / "out") == {}


def test_file_of_the_year_2300(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (calls / "notes.txt").write_text("x")
    for name in ("a.wav", "notes.txt"):
        os.utime(calls / name, (YEARS["2300"],) * 2)
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert analyze(calls, "-o", tmp_path / "out") == 0
    assert analysed(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-11-24T09:15:00Z", 1_795_511_700),
        (1_795_511_700.5, 1_795_511_700.5),
        *((invalid, 0) for invalid in (None, "yesterday", "", [], float("nan"), float("inf"))),
    ],
)
def test_any_time_and_size_in_storage(value: object, seconds: float) -> None:
    listed = storage._listed("a.wav", {"name": "a.wav", "size": value, "updated": value})
    assert listed.mtime_ns == seconds * 10**9
    assert listed.size == (int(value) if isinstance(value, float) and seconds else 0)


# Long paths.


def needed_length(path: Path) -> int:
    """Return the length in bytes of the longest path that writing a result needs."""
    temporary = path.with_name(".writing-0123456789abcdef.tmp")
    return max(len(os.fsencode(path)), len(os.fsencode(temporary)))


parts = st.text("ab:%ü. ", min_size=1, max_size=200).filter(lambda part: part not in (".", ".."))
long_paths = st.lists(parts, min_size=1, max_size=60).map("/".join)


@given(long_paths)
@example("d/" * 2040 + "a.wav")
@example(":" * 250 + "/" + "?" * 250)
def test_paths_of_results_fit(path: str) -> None:
    for folder, extension in ((Path("/out/timelines"), ".csv"), (Path("/" + "o" * 200, "xlsx-per-file"), ".xlsx")):
        target = Identity("calls", path).result_path(folder, extension)
        assert needed_length(target) <= 4095
        assert target.is_relative_to(folder / "calls")


@given(long_paths, long_paths)
@example("d/" * 2040 + "a.wav", "e/" + "d/" * 2039 + "a.wav")
def test_long_paths_stay_different(first: str, second: str) -> None:
    assume(first != second)
    targets = {Identity("calls", path).result_path(Path("/out/timelines"), ".csv") for path in (first, second)}
    assert len(targets) == 2


@pytest.mark.parametrize("count", [1, 100, 2000, 2031])
def test_allowed_paths_are_kept(count: int) -> None:
    """The path is that of earlier versions, so that their results are found."""
    path = "d/" * count + "a.wav"
    target = Identity("calls", path).result_path(Path("/"), ".csv")
    fits = len(f"/calls/{'d/' * count}") + 32 <= 4095
    assert fits == (count != 2031)
    assert (target == Path(f"/calls/{path}.csv")) == fits


def test_short_name_ends_like_the_long_one() -> None:
    target = Identity("calls", "d/" * 2100 + "0301234567.wav").result_path(Path("/out"), ".csv")
    assert target.parent == Path("/out/calls")
    assert target.name.startswith("%~") and target.name.endswith("-0301234567.wav.csv")


def test_windows_paths_are_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "LONGEST_PATH", 259)
    target = Identity("calls", "/".join(["a-folder-of-thirty-characters-x"] * 8) + "/a.wav").result_path(
        Path("/results/timelines"), ".csv"
    )
    assert needed_length(target) <= 259
    assert Identity("calls", "day/a.wav").result_path(Path("/o"), ".csv") == Path("/o/calls/day/a.wav.csv")


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Calls in folders so deep that the results of one do not fit below the output folder."""
    calls = tmp_path / "calls"
    a_call(calls / "a.wav")
    for seed, (part, count) in enumerate((("d", 1200), (":" * 60, 20), ("e" * 100, 34))):
        folder, handle = part, os.open(calls, os.O_RDONLY)
        for _ in range(count):
            os.mkdir(folder, dir_fd=handle)
            child = os.open(folder, os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = child
        a_call(tmp_path / "made.wav", seed=seed)
        os.rename(tmp_path / "made.wav", "b.wav", dst_dir_fd=handle)
        os.close(handle)
    yield calls
    subprocess.run(["rm", "-rf", str(calls), str(tmp_path / "out")], check=True)  # pytest's own deletion is recursive


@pytest.mark.slow
def test_deep_recordings_are_analysed(deep: Path, tmp_path: Path, analyze: Analyze) -> None:
    output = tmp_path / "out"
    assert analyze(deep, "-o", output, "--format", "csv,xlsx,html,jsonl") == 0
    rows = read_csv(output / "recordings.csv")
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert analyze(deep, "-o", output, "--format", "csv,xlsx,html,jsonl") == 0
    assert analysed(output) == {}
    assert main(["report", str(output), "-j", "1", "-q"]) == 0
    assert analyze(deep, "-o", output, "--mask-names", "--format", "csv,xlsx,html,jsonl") == 0
    assert main(["prune", "-o", str(output), "--match", "*b.wav", "-q"]) == 0
    assert list(files_below(output / "timelines")) == [output / "timelines" / "calls" / "a.wav.csv"]
    assert os.listdir(output / "html" / "calls") == ["a.wav.html"]
