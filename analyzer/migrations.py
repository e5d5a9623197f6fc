"""The schema of the ledger, and how ledgers that older versions of this tool wrote are brought up to it.

A ledger is migrated where it lies, in one transaction: a run that is killed meanwhile leaves it as it was. Before that
it is copied to a file beside it that names its version, such as `ledger.sqlite.v2`, for a way back to the older tool.
"""

import filecmp
import json
import re
import sqlite3
import stat
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer.errors import CannotWork
from analyzer.names import show
from analyzer.outputs import replacing

#: Columns of a recording. Where a later version changes them, `_to_3` keeps a copy of these.
_RECORDING = """
    label BLOB NOT NULL,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    present INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failed_on TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    model TEXT NOT NULL,
    codec TEXT NOT NULL,
    rate INTEGER,
    channels INTEGER,
    length_s REAL,
    figures TEXT NOT NULL,
    recorded TEXT NOT NULL,
    recorded_from TEXT NOT NULL,
    groups TEXT NOT NULL,
    told TEXT NOT NULL,
    envelope BLOB,
    other TEXT,
    written TEXT NOT NULL,
    PRIMARY KEY (label, path)
"""
_VERSION = 3
_SCHEMA = f"""
BEGIN;
CREATE TABLE label (name BLOB PRIMARY KEY, folder BLOB NOT NULL);
CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE recording ({_RECORDING});
CREATE TABLE pruned (hash BLOB PRIMARY KEY) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
COMMIT;
"""


def read_version(connection: sqlite3.Connection) -> int:
    """The version of a ledger's schema, 0 where there are no tables yet."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    # The first release wrote its tables before the number.
    return 1 if version == 0 and _columns(connection, "recording") else version


def is_outdated(connection: sqlite3.Connection) -> bool:
    """Whether a ledger has tables, and they are those of an older version."""
    return 0 < read_version(connection) < _VERSION


def bring_up_to_date(connection: sqlite3.Connection, path: Path | None) -> None:
    """Create the tables of a new ledger, or migrate those of an older version.

    Parameters
    ----------
    path : the ledger's file, copied before it is migrated; None for a ledger in memory.

    Raises
    ------
    CannotWork : where a newer version wrote the ledger, or it cannot be copied; nothing is changed then.
    sqlite3.Error : where it cannot be migrated; it stays as it was.
    """
    version = read_version(connection)
    if version > _VERSION or version < 0:
        raise CannotWork(
            f"{show(str(path))} was written by a newer version of this tool (schema {version}, and this version knows "
            f"schemas up to {_VERSION}): update this tool, or choose another output folder"
        )
    if version == 0:
        connection.executescript(_SCHEMA)
    elif version < _VERSION:
        if path:
            _back_up(connection, path, version)
        _migrate(connection, version)


def backups(path: Path) -> list[Path]:
    """The copies that migrations made of a ledger."""
    pattern = re.compile(re.escape(path.name) + r"\.v\d+(\.\d+)?")
    return sorted(other for other in path.parent.glob(f"{path.name}.v*") if pattern.fullmatch(other.name))


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy a ledger beside itself; a copy that is there already is kept, and not made a second time."""
    before = backups(path)
    name = f"{path.name}.v{version}"
    names = (name if k == 1 else f"{name}.{k}" for k in count(1))
    copy = next(place for place in map(path.with_name, names) if place not in before)
    try:
        with (
            replacing(copy, mode=stat.S_IMODE(path.stat().st_mode)) as temporary,
            closing(sqlite3.connect(temporary, isolation_level=None)) as target,
        ):
            target.execute("PRAGMA journal_mode = OFF")  # it would lie beside the temporary file after a crash
            connection.backup(target)
        if any(filecmp.cmp(copy, other, shallow=False) for other in before):
            copy.unlink()  # a run made one, and was killed before it could migrate
    except (CannotWork, OSError, sqlite3.Error) as error:
        raise CannotWork(
            f"{show(str(path))} is of an older version of this tool and cannot be copied before it is brought up to "
            f"date ({error}). Nothing was changed: make room, and start again"
        ) from error


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for target, step in _STEPS.items():
            if target > version:
                step(connection)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


#: Columns of a recording that ledgers of version 1 lack, some of them all and some only the last two.
_NEW_IN_2 = {
    "checksum": "TEXT NOT NULL DEFAULT ''",
    "recorded": "TEXT NOT NULL DEFAULT ''",
    "recorded_from": "TEXT NOT NULL DEFAULT ''",
    "groups": "TEXT NOT NULL DEFAULT '{}'",
    "told": """TEXT NOT NULL DEFAULT '{"recorded": "", "speakers": [], "groups": {}}'""",
    "other": "TEXT",
    "written": "TEXT NOT NULL DEFAULT ''",
}
#: Figures of a channel that they lack.
_FIGURES_NEW_IN_2 = (
    *("first_third", "last_third", "passages", "passage_start_s", "passage_end_s", "passage_emotion"),
    *("passage_negative_s", "passage_mean"),
)


def _to_2(connection: sqlite3.Connection) -> None:
    """Details, formats and figures that version 1 did not know; they are empty where nothing tells them."""
    known = _columns(connection, "recording")
    for name, definition in _NEW_IN_2.items():
        if name not in known:
            connection.execute(f"ALTER TABLE recording ADD COLUMN {name} {definition}")
    connection.execute("CREATE TABLE IF NOT EXISTS pruned (hash BLOB PRIMARY KEY) WITHOUT ROWID")
    connection.execute("UPDATE recording SET other = '[]' WHERE envelope IS NOT NULL")
    connection.execute("DELETE FROM note WHERE key LIKE '%views'")  # tables are to be written anew
    rows = connection.execute("SELECT label, path, figures FROM recording WHERE figures <> '{}'").fetchall()
    for label, path, figures in rows:
        channels = {
            channel: {"speaker": f"channel {channel}"} | dict.fromkeys(_FIGURES_NEW_IN_2) | known_figures
            for channel, known_figures in json.loads(figures).items()
        }
        connection.execute(
            "UPDATE recording SET figures = ? WHERE label = ? AND path = ?", (json.dumps(channels), label, path)
        )


def _to_3(connection: sqlite3.Connection) -> None:
    """The day of the last failure in place of the number of the run: attempts are counted by days."""
    zone = connection.execute("SELECT value FROM note WHERE key = 'time zone'").fetchone()
    day_of = _days_in(ZoneInfo(zone[0]) if zone else ZoneInfo("UTC"))
    connection.create_function("day_of", 1, day_of, deterministic=True)
    connection.execute(f"CREATE TABLE recording_3 ({_RECORDING})")
    old = {*_columns(connection, "recording")}
    kept = ", ".join(name for name in _columns(connection, "recording_3") if name in old)
    connection.execute(
        f"INSERT INTO recording_3 ({kept}, failed_on) SELECT {kept}, "
        "CASE WHEN status IN ('failed', 'given_up') THEN day_of(changed_at) ELSE '' END FROM recording"
    )
    connection.execute("DROP TABLE recording")
    connection.execute("ALTER TABLE recording_3 RENAME TO recording")
    connection.execute("DELETE FROM note WHERE key = 'night'")


def _days_in(zone: ZoneInfo) -> Callable[[str], str]:
    def day_of(moment: str) -> str:
        try:
            at = datetime.fromisoformat(moment)
        except ValueError:
            return ""
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(zone).date().isoformat()

    return day_of


#: What leads to a version from the one before it, in order.
_STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {2: _to_2, 3: _to_3}
