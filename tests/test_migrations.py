"""Ledgers of older versions: migrated in place after a backup, without loss, whatever interrupts the migration."""

import json
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

from analyzer.batch import batch
from analyzer.commands.main import main
from analyzer.errors import CannotWork
from analyzer.names import Identity
from analyzer.store import ledger
from analyzer.store.entry import Entry
from analyzer.store.ledger import FILE_NAME, Ledger
from analyzer.store.migrations import backups
from analyzer.store.outputs import clear_unfinished
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.runs import Analyze, Calendar, at_noon, contents, read_csv, states

DATA = Path(__file__).parent / "data"
VERSIONS = {"schema-1": 1, "schema-1-later": 1, "schema-2": 2, "schema-3": 3}
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
    stereo = np.stack([voices.call(8, [(0.5, 3), (5, 7)], seed=1), voices.call(8, [(3.2, 4.8)], seed=2)])
    for name in ("2026-11-23T09-15-00_billing.wav", "2026-11-24T10-00-00_support.wav"):
        write_wav(folder / name, stereo)
    mono = voices.call(3, [(0.3, 2.6)], seed=3)
    for name in ("day/voicemail.wav", "locked/inside.wav", "4915112345678.wav", "#snapshot/daily.0/voicemail.wav"):
        write_wav(folder / name, mono)
    write_wav(folder / "silence.wav", np.zeros(16_000, np.float32))
    write_wav(folder / "growing.wav", mono).rename(folder / "growing.wav.part")
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
    original = batch._prepare
    monkeypatch.setattr(batch, "_prepare", lambda *arguments: replace(original(*arguments), fingerprint=FINGERPRINT))


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return number


def dump(path: Path) -> list[str]:
    """Return the contents of a ledger as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def entries(output: Path) -> dict[str, Entry]:
    with closing(Ledger(output, writable=False)) as opened:
        return {entry.identity.path: entry for entry in opened.entries()}


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


every_version = pytest.mark.parametrize("old", VERSIONS, indirect=True)


@every_version
def test_migration_makes_a_backup(old: Path, request: pytest.FixtureRequest) -> None:
    before = version(old / FILE_NAME)
    assert before == VERSIONS[request.node.callspec.params["old"]]
    content = dump(old / FILE_NAME)
    os.chmod(old / FILE_NAME, 0o600)
    Ledger(old).close()
    assert version(old / FILE_NAME) == 4
    (backup,) = backups(old / FILE_NAME)
    assert backup.name == f"ledger.sqlite.v{before}"
    assert (version(backup), dump(backup), backup.stat().st_mode & 0o777) == (before, content, 0o600)
    migrated = (old / FILE_NAME).read_bytes()
    Ledger(old).close()  # a second opening changes nothing
    assert (old / FILE_NAME).read_bytes() == migrated
    assert backups(old / FILE_NAME) == [backup]


@every_version
def test_migrated_ledger_has_current_tables(old: Path, tmp_path: Path) -> None:
    Ledger(old).close()
    Ledger(tmp_path / "new").close()
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    names = [name for (name,) in query(tmp_path / "new" / FILE_NAME, tables)]
    assert names == ["label", "pruned", "recording", "state"]
    assert query(old / FILE_NAME, tables) == query(tmp_path / "new" / FILE_NAME, tables)
    for name in names:
        columns = f"SELECT name, type, [notnull], pk FROM pragma_table_info('{name}') ORDER BY name"
        assert query(old / FILE_NAME, columns) == query(tmp_path / "new" / FILE_NAME, columns)


@every_version
def test_migration_keeps_rows_and_values(old: Path) -> None:
    columns = (
        "label, path, size, mtime_ns, present, status, reason, fingerprint, attempts, changed_at, model, codec, rate"
    )
    every_row = f"SELECT {columns}, channels, length_s, envelope FROM recording ORDER BY path"
    before = query(old / FILE_NAME, every_row)
    labels = query(old / FILE_NAME, "SELECT * FROM label")
    Ledger(old).close()
    assert query(old / FILE_NAME, every_row) == before
    assert query(old / FILE_NAME, "SELECT * FROM label") == labels


def test_schema_2_keeps_metadata_and_pruned(old: Path) -> None:
    other_columns = (
        "SELECT checksum, figures, recorded, recorded_from, groups, {}, written FROM recording ORDER BY path"
    )
    rows, pruned = (
        query(old / FILE_NAME, other_columns.format("told, other")),
        query(old / FILE_NAME, "SELECT * FROM pruned"),
    )
    Ledger(old).close()
    assert query(old / FILE_NAME, other_columns.format("metadata, non_speech")) == rows
    assert query(old / FILE_NAME, "SELECT * FROM pruned") == pruned != []


def test_schema_3_values_get_new_keys(tmp_path: Path) -> None:
    old = shutil.copytree(DATA / "schema-3", tmp_path / "out")
    before = dict(query(old / FILE_NAME, "SELECT key, value FROM note"))
    with closing(Ledger(old)) as ledger:
        state = ledger.state
        assert (state.time_zone, state.mask_pattern) == ("Europe/Berlin", PATTERN)
        assert (state.only, state.only_unfinished, state.names_masked) == ("customer", "", True)
        assert (state.key, state.settings, state.has_deleted_content) == (before["key"], before["settings"], False)
        assert ledger.stale_tables() == {"html"}
        (fingerprint,) = {fingerprint for _, fingerprint in ledger.models()}
        facts = json.loads(state.model(fingerprint) or "")
    assert facts["on_unseen_speakers"] == json.loads(before[f"model {fingerprint}"])["on_strangers"] != ""


def test_day_of_failure_is_in_the_stored_time_zone(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE recording SET changed_at = '2026-11-27T23:30:00+00:00'")
    migrated = entries(old)
    assert {path: (entry.attempts, entry.failed_on) for path, entry in migrated.items() if entry.attempts} == {
        "._billing.wav": (3, 20261128),  # half past midnight in Berlin
        "@eaDir/billing.wav": (3, 20261128),
        "given_up.wav": (3, 20261128),
        "locked": (1, 20261128),
        "once.wav": (1, 20261128),
        "twice.wav": (2, 20261128),
    }


@pytest.mark.parametrize("old", ["schema-1", "schema-1-later"], indirect=True)
def test_schema_1_supports_all_formats(old: Path) -> None:
    assert main(["report", str(old), "--format", "csv,xlsx,html,png,audacity", "-q", "-j", "1"]) == 0
    rows = {row["recording"]: row for row in read_csv(old / "recordings.csv")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "calls/a.wav": "ok",
        "calls/empty.wav": "failed",
        "calls/gone.wav": "ok",
        "calls/silence.wav": "no_speech",
    }
    assert (rows["calls/gone.wav"]["speaker"], rows["calls/gone.wav"]["talk_s"]) == ("channel 1", "2.332")
    assert {path.name for path in (old / "html" / "calls").iterdir()} == {
        *("a.wav.html", "gone.wav.html", "silence.wav.html")
    }


def test_tables_do_not_change(old: Path) -> None:
    before = contents(old, "*.csv")
    assert len(before) == 2
    assert main(["report", str(old), "-q", "-j", "1"]) == 0
    assert contents(old, "*.csv") == before
    assert contents(old, "timelines/**/*.csv") == contents(DATA / "schema-2", "timelines/**/*.csv")


# Runs on a migrated ledger.


def options(calls: Path, output: Path) -> list[object]:
    return [f"calls={calls}", "-o", output, "--speakers", "agent,customer", "--name-pattern", PATTERN]


def test_dry_run_migrates_in_memory(
    calls: Path, old: Path, analyze: Analyze, same_model: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = states(old)
    assert analyze(*options(calls, old), "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == ["calls/once.wav: failed before", "calls/twice.wav: failed before"]
    assert "were given up (see --retry-failed)" in lines[-1]
    assert states(old) == before


def test_run_keeps_results_and_attempts(
    calls: Path, old: Path, analyze: Analyze, same_model: None, calendar: Calendar
) -> None:
    timelines = contents(old, "timelines/**/*.csv")
    figures = {path: entries(old)[path].statistics for path in ANALYSED}
    assert analyze(*options(calls, old)) == 1
    assert contents(old, "timelines/**/*.csv") == timelines
    current = entries(old)
    assert {path: current[path].statistics for path in ANALYSED} == figures
    assert (current["once.wav"].status, current["once.wav"].attempts) == ("failed", 2)
    assert (current["twice.wav"].status, current["twice.wav"].attempts) == ("given_up", 3)
    assert (current["given_up.wav"].status, current["given_up.wav"].attempts) == ("given_up", 3)
    assert current["gone.wav"].groups == {"customer": "4712", "queue": "billing"}
    assert (current["gone.wav"].present, current["locked/inside.wav"].present) == (False, True)
    assert current["growing.wav.part"].status == "incomplete"
    assert "4915112345678.wav" not in current  # pruned permanently, although the recording exists
    assert current["secret"].reason.startswith("not an audio file")  # it is readable now
    # The folder can be listed now, and these files are ignored now; existing results are kept until they are pruned.
    assert not current.keys() & {"locked", "._billing.wav", ".DS_Store", "@eaDir/billing.wav"}
    snapshot = current["#snapshot/daily.0/voicemail.wav"]
    assert (snapshot.status, snapshot.present) == ("ok", False)


def test_new_model_keeps_results_of_missing_files(calls: Path, old: Path, analyze: Analyze) -> None:
    assert analyze(*options(calls, old)) == 1
    current = entries(old)
    assert {path for path in ANALYSED if current[path].fingerprint == FINGERPRINT} == {"gone.wav"}
    assert all(current[path].status in ("ok", "no_speech") for path in ANALYSED)
    assert "4915112345678.wav" not in current


def test_prune_deletes_the_backup(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Ledger(old).close()
    assert main(["prune", "-o", str(old), "--match", "*voicemail*"]) == 0
    assert "ledger.sqlite.v2" in capsys.readouterr().out
    assert backups(old / FILE_NAME) == []
    assert "day/voicemail.wav" not in entries(old)
    assert [path for path in old.rglob("*") if b"voicemail" in (path.read_bytes() if path.is_file() else b"")] == []
    assert not list(old.rglob("*voicemail*"))


@every_version
def test_prune_works_on_any_version(old: Path) -> None:
    assert main(["prune", "-o", str(old), "--match", "*gone.wav", "-q"]) == 0
    assert "gone.wav" not in entries(old)
    assert "silence.wav" in entries(old)
    assert version(old / FILE_NAME) == 4
    assert backups(old / FILE_NAME) == []
    assert [path for path in old.rglob("*") if b"gone.wav" in (path.read_bytes() if path.is_file() else b"")] == []


def test_dry_run_of_prune_does_not_migrate(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (old / FILE_NAME).read_bytes()
    assert main(["prune", "-o", str(old), "--match", "*gone.wav", "--dry-run"]) == 0
    assert "would delete the results of 1 recordings" in capsys.readouterr().out
    assert (old / FILE_NAME).read_bytes() == before
    assert backups(old / FILE_NAME) == []


def test_prune_without_matches_deletes_the_backup(old: Path) -> None:
    Ledger(old).close()
    assert main(["prune", "-o", str(old), "--match", "nothing", "-q"]) == 0
    assert backups(old / FILE_NAME) == []


def test_masking_deletes_the_backup(calls: Path, old: Path, analyze: Analyze) -> None:
    Ledger(old).close()
    assert analyze(*options(calls, old), "--only", "customer") == 1
    assert backups(old / FILE_NAME) == []


def test_report_works_on_a_read_only_ledger(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (old / FILE_NAME).read_bytes()
    original = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != FILE_NAME and original(path, mode))
    assert main(["report", str(old), "--format", "csv,xlsx,html", "-q", "-j", "1"]) == 0
    assert (old / "html" / "calls" / "gone.wav.html").exists()
    assert (old / FILE_NAME).read_bytes() == before
    assert backups(old / FILE_NAME) == []


# Failures.


def exit_status_of(function: Callable[[], None]) -> int:
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
    remaining = point

    def count(original: Callable[..., object]) -> Callable[..., object]:
        def counted(*given: object, **named: object) -> object:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                os._exit(9)
            return original(*given, **named)

        return counted

    class Connection(sqlite3.Connection):
        execute = count(sqlite3.Connection.execute)  # type: ignore[assignment]
        backup = count(sqlite3.Connection.backup)  # type: ignore[assignment]

    original = sqlite3.connect
    sqlite3.connect = lambda *given, **named: original(*given, factory=Connection, **named)  # type: ignore[assignment]
    for name in ("open", "chmod", "fsync", "replace", "unlink"):
        setattr(os, name, count(getattr(os, name)))
    Ledger(output).close()


@every_version
def test_killed_migration_can_be_repeated(old: Path, tmp_path: Path) -> None:
    before, content = version(old / FILE_NAME), dump(old / FILE_NAME)
    expected = shutil.copytree(old, tmp_path / "wanted")
    Ledger(expected).close()
    states_seen = set()
    for point in range(1000):
        output = shutil.copytree(old, tmp_path / f"killed-{point}")
        status = exit_status_of(lambda: killed_at(output, point))  # noqa: B023
        assert status in (0, 9)
        states_seen.add((version(output / FILE_NAME), len(backups(output / FILE_NAME))))
        clear_unfinished(output)
        Ledger(output).close()
        assert dump(output / FILE_NAME) == dump(expected / FILE_NAME)
        (backup,) = backups(output / FILE_NAME)
        assert (backup.name, dump(backup)) == (f"ledger.sqlite.v{before}", content)
        assert {path.name for path in output.iterdir()} == {path.name for path in expected.iterdir()}
        shutil.rmtree(output)
        if status == 0:
            break
    assert point > 15
    assert states_seen == {(before, 0), (before, 1), (4, 1)}


@pytest.mark.parametrize("kilobytes", [0, 4, 20, 44])
def test_full_disk_leaves_the_ledger_unchanged(old: Path, kilobytes: int) -> None:
    content = dump(old / FILE_NAME)

    def migrate() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))
        Ledger(old).close()

    assert exit_status_of(migrate) == 3
    assert (version(old / FILE_NAME), dump(old / FILE_NAME)) == (2, content)
    clear_unfinished(old)
    Ledger(old).close()
    assert version(old / FILE_NAME) == 4
    assert [backup.name for backup in backups(old / FILE_NAME)] == ["ledger.sqlite.v2"]


@pytest.mark.parametrize("old", ["schema-1"], indirect=True)
def test_disk_full_during_migration_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, original = dump(old / FILE_NAME), ledger._connect

    def connect_to_small_disk(path: Path | None, writable: bool) -> sqlite3.Connection:
        connection = original(path, writable)
        connection.execute("PRAGMA max_page_count = 1")  # the ledger cannot grow
        return connection

    with monkeypatch.context() as context:
        context.setattr(ledger, "_connect", connect_to_small_disk)
        with pytest.raises(CannotWork, match="full"):
            Ledger(old)
    assert (version(old / FILE_NAME), dump(old / FILE_NAME)) == (1, content)
    Ledger(old).close()
    assert version(old / FILE_NAME) == 4
    assert [backup.name for backup in backups(old / FILE_NAME)] == ["ledger.sqlite.v1"]


def test_full_disk_message_has_advice(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(
        CannotWork, match=r"older version .*No space left on device.* Nothing was changed: free disk space"
    ):
        Ledger(old)
    assert version(old / FILE_NAME) == 2


@pytest.mark.parametrize("old", ["schema-1"], indirect=True)
def test_invalid_row_leaves_the_ledger_unchanged(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE recording SET figures = 'no JSON' WHERE status = 'ok'")
    content = dump(old / FILE_NAME)
    with pytest.raises(CannotWork, match="cannot be brought up to date"):
        Ledger(old)
    assert (version(old / FILE_NAME), dump(old / FILE_NAME)) == (1, content)


def test_unknown_time_zone_is_accepted(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE recording SET changed_at = '2026-11-27T23:30:00+00:00'")
        connection.execute("UPDATE note SET value = 'Atlantis/Capital' WHERE key = 'time zone'")
    assert entries(old)["once.wav"].failed_on == 20261127


def test_existing_backup_is_not_overwritten(old: Path) -> None:
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


@pytest.mark.parametrize("number", [5, 99, -1])
def test_ledger_of_a_newer_version_is_refused(tmp_path: Path, number: int) -> None:
    Ledger(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {number}")
    before = (tmp_path / FILE_NAME).read_bytes()
    for writable in (True, False):
        with pytest.raises(CannotWork, match=r"newer version of this tool \(schema .*: update this tool"):
            Ledger(tmp_path, writable=writable)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_ledger_without_version_is_migrated(old: Path) -> None:
    with closing(sqlite3.connect(old / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 0")
    # Only version 1 created the tables before it set the number; here the tables have the columns of version 2.
    assert len(entries(old)) == 18
    Ledger(old).close()
    assert version(old / FILE_NAME) == 4


def test_locked_ledger_is_not_migrated(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ledger._connect

    def connect_without_waiting(path: Path | None, writable: bool) -> sqlite3.Connection:
        connection = original(path, writable)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    monkeypatch.setattr(ledger, "_connect", connect_without_waiting)
    with closing(sqlite3.connect(old / FILE_NAME)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CannotWork, match="locked"):
            Ledger(old)
    assert version(old / FILE_NAME) == 2
    assert entries(old)[Identity("calls", "gone.wav").path].status == "ok"
