"""Ledgers of older versions: migrated in place after a backup, without loss, whatever interrupts the migration."""

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analyzer import batch, ledger
from analyzer.cli import main
from analyzer.entry import Entry
from analyzer.errors import CannotWork
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.migrations import backups
from analyzer.names import Identity
from analyzer.outputs import clear_unfinished
from tests import voices
from tests.encoders import write_wav
from tests.nights import Analyze, Calendar, at_noon, contents, read_csv, states

DATA = Path(__file__).parent / "data"
VERSIONS = {"schema-1": 1, "schema-1-later": 1, "schema-2": 2}
#: Fingerprint of the results of `schema-2`.
FINGERPRINT = "05e35c7eeadba9d7"
PATTERN = r"(?P<date>\d{4}-\d\d-\d\d)T(?P<time>\d\d-\d\d-\d\d)_(?P<queue>[a-z]+)"
ANALYSED = [
    *("2026-11-23T09-15-00_billing.wav", "2026-11-24T10-00-00_support.wav", "day/voicemail.wav", "gone.wav"),
    *("locked/inside.wav", "silence.wav"),
]


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the output folder of an older version: schema 2, or the one that indirect parametrisation names."""
    return shutil.copytree(DATA / getattr(request, "param", "schema-2"), tmp_path / "out")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """The recordings of schema-2 as of its last run, with the same sizes and times, but `locked` can be listed."""
    folder = tmp_path / "calls"
    for name in ("day", "locked", "@eaDir/billing.wav", "#snapshot/daily.0"):
        (folder / name).mkdir(parents=True)
    two = np.stack([voices.call(8, [(0.5, 3), (5, 7)], seed=1), voices.call(8, [(3.2, 4.8)], seed=2)])
    for name in ("2026-11-23T09-15-00_billing.wav", "2026-11-24T10-00-00_support.wav"):
        write_wav(folder / name, two)
    one = voices.call(3, [(0.3, 2.6)], seed=3)
    for name in ("day/voicemail.wav", "locked/inside.wav", "4915112345678.wav", "#snapshot/daily.0/voicemail.wav"):
        write_wav(folder / name, one)
    write_wav(folder / "silence.wav", np.zeros(16_000, np.float32))
    write_wav(folder / "growing.wav", one).rename(folder / "growing.wav.part")
    (folder / "given_up.wav").write_bytes(b"no sound at all\n" * 20)
    for name in ("once.wav", "twice.wav"):
        (folder / name).touch()
    (folder / "notes.txt").write_text("call them back\n")
    (folder / "secret").write_bytes(b"nobody may read this\n")
    (folder / "._billing.wav").write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        " + bytes(4064))
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(6140))
    (folder / "@eaDir/billing.wav/SYNOINDEX_MEDIA_INFO").write_bytes(b"{}")
    return at_noon(folder)


@pytest.fixture
def same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give runs the fingerprint of schema-2, as if model and settings were the same."""
    really = batch._prepare
    monkeypatch.setattr(batch, "_prepare", lambda *some: replace(really(*some), fingerprint=FINGERPRINT))


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found


def dump(path: Path) -> list[str]:
    """Return the contents of a ledger as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def entries(output: Path) -> dict[str, Entry]:
    with closing(Ledger(output, writable=False)) as known:
        return {entry.identity.path: entry for entry in known.entries()}


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


every_version = pytest.mark.parametrize("old", VERSIONS, indirect=True)


@every_version
def test_a_ledger_is_migrated_with_a_backup_beside_it(old: Path, request: pytest.FixtureRequest) -> None:
    before = version(old / FILE_NAME)
    assert before == VERSIONS[request.node.callspec.params["old"]]
    content = dump(old / FILE_NAME)
    os.chmod(old / FILE_NAME, 0o600)
    Ledger(old).close()
    assert version(old / FILE_NAME) == 3
    (backup,) = backups(old / FILE_NAME)
    assert backup.name == f"ledger.sqlite.v{before}"
    assert (version(backup), dump(backup), backup.stat().st_mode & 0o777) == (before, content, 0o600)
    migrated = (old / FILE_NAME).read_bytes()
    Ledger(old).close()  # a second opening changes nothing
    assert (old / FILE_NAME).read_bytes() == migrated
    assert backups(old / FILE_NAME) == [backup]


@every_version
def test_a_migrated_ledger_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    Ledger(old).close()
    Ledger(tmp_path / "new").close()
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    names = [name for (name,) in query(tmp_path / "new" / FILE_NAME, tables)]
    assert names == ["label", "note", "pruned", "recording"]
    assert query(old / FILE_NAME, tables) == query(tmp_path / "new" / FILE_NAME, tables)
    for name in names:
        columns = f"SELECT name, type, [notnull], pk FROM pragma_table_info('{name}') ORDER BY name"
        assert query(old / FILE_NAME, columns) == query(tmp_path / "new" / FILE_NAME, columns)


@every_version
def test_no_row_is_lost_and_no_value_changes(old: Path) -> None:
    kept = "label, path, size, mtime_ns, present, status, reason, fingerprint, attempts, changed_at, model, codec, rate"
    every_row = f"SELECT {kept}, channels, length_s, envelope FROM recording ORDER BY path"
    before = query(old / FILE_NAME, every_row)
    labels = query(old / FILE_NAME, "SELECT * FROM label")
    Ledger(old).close()
    assert query(old / FILE_NAME, every_row) == before
    assert query(old / FILE_NAME, "SELECT * FROM label") == labels


def test_of_schema_2_everything_else_stays_as_it_was(old: Path) -> None:
    more = (
        "SELECT checksum, figures, recorded, recorded_from, groups, told, other, written FROM recording ORDER BY path"
    )
    rows, pruned = query(old / FILE_NAME, more), query(old / FILE_NAME, "SELECT * FROM pruned")
    notes = query(old / FILE_NAME, "SELECT * FROM note WHERE key <> 'night' ORDER BY key")
    Ledger(old).close()
    assert query(old / FILE_NAME, more) == rows
    assert query(old / FILE_NAME, "SELECT * FROM pruned") == pruned != []
    assert query(old / FILE_NAME, "SELECT * FROM note ORDER BY key") == notes


def test_the_day_of_the_last_failure_is_that_of_the_row_in_the_time_zone_of_the_results(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE recording SET changed_at = '2026-11-27T23:30:00+00:00'")
    known = entries(old)
    assert {path: (one.attempts, one.failed_on) for path, one in known.items() if one.attempts} == {
        "._billing.wav": (3, 20261128),  # half past midnight in Berlin
        "@eaDir/billing.wav": (3, 20261128),
        "given_up.wav": (3, 20261128),
        "locked": (1, 20261128),
        "once.wav": (1, 20261128),
        "twice.wav": (2, 20261128),
    }


@pytest.mark.parametrize("old", ["schema-1", "schema-1-later"], indirect=True)
def test_of_schema_1_all_tables_and_pages_can_be_made(old: Path) -> None:
    assert main(["report", str(old), "--format", "csv,xlsx,html,png,audacity", "-q", "-j", "1"]) == 0
    told = {row["recording"]: row for row in read_csv(old / "recordings.csv")}
    assert {name: row["status"] for name, row in told.items()} == {
        "calls/a.wav": "ok",
        "calls/empty.wav": "failed",
        "calls/gone.wav": "ok",
        "calls/silence.wav": "no_speech",
    }
    assert (told["calls/gone.wav"]["speaker"], told["calls/gone.wav"]["talk_s"]) == ("channel 1", "2.332")
    assert {path.name for path in (old / "html" / "calls").iterdir()} == {
        *("a.wav.html", "gone.wav.html", "silence.wav.html")
    }


def test_tables_that_were_written_before_are_the_same_after(old: Path) -> None:
    before = contents(old, "*.csv")
    assert len(before) == 2
    assert main(["report", str(old), "-q", "-j", "1"]) == 0
    assert contents(old, "*.csv") == before
    assert contents(old, "timelines/**/*.csv") == contents(DATA / "schema-2", "timelines/**/*.csv")


# Runs on a migrated ledger.


def options(calls: Path, output: Path) -> list[object]:
    return [f"calls={calls}", "-o", output, "--speakers", "agent,customer", "--name-pattern", PATTERN]


def test_a_dry_run_migrates_in_memory_and_finds_nothing_to_do_again(
    calls: Path, old: Path, analyze: Analyze, same_model: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = states(old)
    assert analyze(*options(calls, old), "--dry-run") == 0
    due = capsys.readouterr().out.splitlines()
    assert due[:-1] == ["calls/once.wav: failed before", "calls/twice.wav: failed before"]
    assert "were given up (see --retry-failed)" in due[-1]
    assert states(old) == before


def test_a_run_does_nothing_again_and_goes_on_counting(
    calls: Path, old: Path, analyze: Analyze, same_model: None, calendar: Calendar
) -> None:
    timelines = contents(old, "timelines/**/*.csv")
    figures = {path: entries(old)[path].figures for path in ANALYSED}
    assert analyze(*options(calls, old)) == 1
    assert contents(old, "timelines/**/*.csv") == timelines
    known = entries(old)
    assert {path: known[path].figures for path in ANALYSED} == figures
    assert (known["once.wav"].status, known["once.wav"].attempts) == ("failed", 2)
    assert (known["twice.wav"].status, known["twice.wav"].attempts) == ("given_up", 3)
    assert (known["given_up.wav"].status, known["given_up.wav"].attempts) == ("given_up", 3)
    assert known["gone.wav"].groups == {"customer": "4712", "queue": "billing"}
    assert (known["gone.wav"].present, known["locked/inside.wav"].present) == (False, True)
    assert known["growing.wav.part"].status == "incomplete"
    assert "4915112345678.wav" not in known  # pruned permanently, although the recording exists
    assert known["secret"].reason.startswith("no audio")  # it is readable now
    # The folder can be listed now, and these files are ignored now; existing results are kept until they are pruned.
    assert not known.keys() & {"locked", "._billing.wav", ".DS_Store", "@eaDir/billing.wav"}
    snapshot = known["#snapshot/daily.0/voicemail.wav"]
    assert (snapshot.status, snapshot.present) == ("ok", False)


def test_another_model_analyses_all_again_that_is_there_and_keeps_what_is_gone(
    calls: Path, old: Path, analyze: Analyze
) -> None:
    assert analyze(*options(calls, old)) == 1
    known = entries(old)
    assert {path for path in ANALYSED if known[path].fingerprint == FINGERPRINT} == {"gone.wav"}
    assert all(known[path].status in ("ok", "no_speech") for path in ANALYSED)
    assert "4915112345678.wav" not in known


def test_prune_deletes_the_backup_too(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Ledger(old).close()
    assert main(["prune", "-o", str(old), "--match", "*voicemail*"]) == 0
    assert "ledger.sqlite.v2" in capsys.readouterr().out
    assert backups(old / FILE_NAME) == []
    assert "day/voicemail.wav" not in entries(old)
    assert [path for path in old.rglob("*") if b"voicemail" in (path.read_bytes() if path.is_file() else b"")] == []
    assert not list(old.rglob("*voicemail*"))


@every_version
def test_prune_works_on_a_ledger_of_any_version(old: Path) -> None:
    assert main(["prune", "-o", str(old), "--match", "*gone.wav", "-q"]) == 0
    assert "gone.wav" not in entries(old)
    assert "silence.wav" in entries(old)
    assert version(old / FILE_NAME) == 3
    assert backups(old / FILE_NAME) == []
    assert [path for path in old.rglob("*") if b"gone.wav" in (path.read_bytes() if path.is_file() else b"")] == []


def test_a_dry_run_of_prune_leaves_an_old_ledger_as_it_is(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (old / FILE_NAME).read_bytes()
    assert main(["prune", "-o", str(old), "--match", "*gone.wav", "--dry-run"]) == 0
    assert "would delete the results of 1 recordings" in capsys.readouterr().out
    assert (old / FILE_NAME).read_bytes() == before
    assert backups(old / FILE_NAME) == []


def test_prune_deletes_a_backup_also_where_it_finds_nothing(old: Path) -> None:
    Ledger(old).close()
    assert main(["prune", "-o", str(old), "--match", "nothing", "-q"]) == 0
    assert backups(old / FILE_NAME) == []


def test_masking_what_is_stored_deletes_the_backup(calls: Path, old: Path, analyze: Analyze) -> None:
    Ledger(old).close()
    assert analyze(*options(calls, old), "--only", "customer") == 1
    assert backups(old / FILE_NAME) == []


def test_a_report_works_on_a_copy_where_the_ledger_may_not_be_written(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (old / FILE_NAME).read_bytes()
    really = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != FILE_NAME and really(path, mode))
    assert main(["report", str(old), "--format", "csv,xlsx,html", "-q", "-j", "1"]) == 0
    assert (old / "html" / "calls" / "gone.wav.html").exists()
    assert (old / FILE_NAME).read_bytes() == before
    assert backups(old / FILE_NAME) == []


# Failures.


def in_a_process(function: Callable[[], None]) -> int:
    """Return the exit status of a process that calls a function: 0, 3 after CannotWork, or what ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        function()
        status = 0
    except CannotWork:
        status = 3
    finally:
        os._exit(status)


def killed_at(output: Path, point: int) -> None:
    """Open a ledger, and end the process before step number `point`: an SQL statement or a change of a file."""
    left = point

    def count(really: Callable[..., object]) -> Callable[..., object]:
        def counted(*some: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return really(*some, **more)

        return counted

    class Connection(sqlite3.Connection):
        execute = count(sqlite3.Connection.execute)  # type: ignore[assignment]
        backup = count(sqlite3.Connection.backup)  # type: ignore[assignment]

    really = sqlite3.connect
    sqlite3.connect = lambda *some, **more: really(*some, factory=Connection, **more)  # type: ignore[assignment]
    for name in ("open", "chmod", "fsync", "replace", "unlink"):
        setattr(os, name, count(getattr(os, name)))
    Ledger(output).close()


@every_version
def test_a_run_that_is_killed_at_any_point_of_a_migration_leaves_a_ledger_that_can_be_used(
    old: Path, tmp_path: Path
) -> None:
    before, content = version(old / FILE_NAME), dump(old / FILE_NAME)
    wanted = shutil.copytree(old, tmp_path / "wanted")
    Ledger(wanted).close()
    seen = set()
    for point in range(1000):
        output = shutil.copytree(old, tmp_path / f"killed-{point}")
        status = in_a_process(lambda: killed_at(output, point))  # noqa: B023
        assert status in (0, 9)
        seen.add((version(output / FILE_NAME), len(backups(output / FILE_NAME))))
        clear_unfinished(output)
        Ledger(output).close()
        assert dump(output / FILE_NAME) == dump(wanted / FILE_NAME)
        (backup,) = backups(output / FILE_NAME)
        assert (backup.name, dump(backup)) == (f"ledger.sqlite.v{before}", content)
        assert {path.name for path in output.iterdir()} == {path.name for path in wanted.iterdir()}
        shutil.rmtree(output)
        if status == 0:
            break
    assert point > 15
    assert seen == {(before, 0), (before, 1), (3, 1)}


@pytest.mark.parametrize("kilobytes", [0, 4, 20, 44])
def test_a_disk_that_is_full_leaves_the_ledger_as_it_was(old: Path, kilobytes: int) -> None:
    content = dump(old / FILE_NAME)

    def migrate() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))
        Ledger(old).close()

    assert in_a_process(migrate) == 3
    assert (version(old / FILE_NAME), dump(old / FILE_NAME)) == (2, content)
    clear_unfinished(old)
    Ledger(old).close()
    assert version(old / FILE_NAME) == 3
    assert [backup.name for backup in backups(old / FILE_NAME)] == ["ledger.sqlite.v2"]


@pytest.mark.parametrize("old", ["schema-1"], indirect=True)
def test_a_disk_that_fills_up_in_the_middle_of_a_migration_leaves_the_ledger_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, really = dump(old / FILE_NAME), ledger._connect

    def connect_to_small_disk(path: Path | None, writable: bool) -> sqlite3.Connection:
        connection = really(path, writable)
        connection.execute("PRAGMA max_page_count = 1")  # the ledger cannot grow
        return connection

    with monkeypatch.context() as context:
        context.setattr(ledger, "_connect", connect_to_small_disk)
        with pytest.raises(CannotWork, match="full"):
            Ledger(old)
    assert (version(old / FILE_NAME), dump(old / FILE_NAME)) == (1, content)
    Ledger(old).close()
    assert version(old / FILE_NAME) == 3
    assert [backup.name for backup in backups(old / FILE_NAME)] == ["ledger.sqlite.v1"]


def test_the_message_of_a_full_disk_says_what_to_do(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CannotWork, match=r"older version .*No space left on device.* Nothing was changed: make room, "):
        Ledger(old)
    assert version(old / FILE_NAME) == 2


@pytest.mark.parametrize("old", ["schema-1"], indirect=True)
def test_a_row_that_nobody_can_read_leaves_the_ledger_as_it_was(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE recording SET figures = 'no JSON' WHERE status = 'ok'")
    content = dump(old / FILE_NAME)
    with pytest.raises(CannotWork, match="cannot be brought up to date"):
        Ledger(old)
    assert (version(old / FILE_NAME), dump(old / FILE_NAME)) == (1, content)


def test_a_time_zone_that_this_machine_does_not_know_is_no_obstacle(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE recording SET changed_at = '2026-11-27T23:30:00+00:00'")
        connection.execute("UPDATE note SET value = 'Atlantis/Capital' WHERE key = 'time zone'")
    assert entries(old)["once.wav"].failed_on == 20261127


def test_a_backup_that_is_there_is_not_overwritten(old: Path) -> None:
    Ledger(old).close()
    first = (old / "ledger.sqlite.v2").read_bytes()
    # A user returns to the older version, runs it, and upgrades again.
    shutil.copy(old / "ledger.sqlite.v2", old / FILE_NAME)
    with closing(sqlite3.connect(old / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE recording SET reason = 'another' WHERE status = 'failed'")
    second = dump(old / FILE_NAME)
    Ledger(old).close()
    assert (old / "ledger.sqlite.v2").read_bytes() == first
    assert dump(old / "ledger.sqlite.v2.2") == second
    assert [backup.name for backup in backups(old / FILE_NAME)] == ["ledger.sqlite.v2", "ledger.sqlite.v2.2"]


@pytest.mark.parametrize("found", [4, 99, -1])
def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path, found: int) -> None:
    Ledger(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {found}")
    before = (tmp_path / FILE_NAME).read_bytes()
    for writable in (True, False):
        with pytest.raises(CannotWork, match=r"newer version of this tool \(schema .*: update this tool"):
            Ledger(tmp_path, writable=writable)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_what_the_first_release_left_when_it_was_killed_at_its_start_is_migrated(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 0")
    # Only version 1 created the tables before it set the number; here the tables have the columns of version 2.
    assert len(entries(old)) == 18
    Ledger(old).close()
    assert version(old / FILE_NAME) == 3


def test_a_ledger_that_another_program_writes_is_not_half_migrated(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = ledger._connect

    def impatient(path: Path | None, writable: bool) -> sqlite3.Connection:
        connection = really(path, writable)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    monkeypatch.setattr(ledger, "_connect", impatient)
    with closing(sqlite3.connect(old / FILE_NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CannotWork, match="locked"):
            Ledger(old)
    assert version(old / FILE_NAME) == 2
    assert entries(old)[Identity("calls", "gone.wav").path].status == "ok"
