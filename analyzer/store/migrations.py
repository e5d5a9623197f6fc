"""The schema of the ledger, and the migration of ledgers that older versions of this tool wrote.

A ledger is migrated in place, in one transaction: a run that is killed meanwhile leaves it unchanged. Before that, it
is copied to a file beside it that names its version, such as `ledger.sqlite.v2`, to allow a return to the older tool.
"""

import filecmp
import json
import re
import sqlite3
import stat
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, tzinfo
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer.errors import CannotWork
from analyzer.names import show
from analyzer.store.outputs import atomic_write

_VERSION = 4
_SCHEMA = f"""
BEGIN;
CREATE TABLE label (name BLOB PRIMARY KEY, folder BLOB NOT NULL);
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE recording (
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
    failed_on INTEGER NOT NULL,
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
    metadata TEXT NOT NULL,
    envelope BLOB,
    non_speech TEXT,
    written TEXT NOT NULL,
    PRIMARY KEY (label, path)
);
CREATE TABLE pruned (hash BLOB PRIMARY KEY) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
COMMIT;
"""


def read_version(connection: sqlite3.Connection) -> int:
    """Return the schema version of a ledger, 0 if it has no tables yet."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    # The first release wrote its tables before the version number.
    return 1 if version == 0 and _columns(connection, "recording") else version


def is_outdated(connection: sqlite3.Connection) -> bool:
    """Whether a ledger has tables, and their schema is of an older version."""
    return 0 < read_version(connection) < _VERSION


def migrate(connection: sqlite3.Connection, path: Path, keep_old: bool = True) -> None:
    """Create the tables of a new ledger, or migrate those of an older version.

    Parameters
    ----------
    path : the ledger's file.
    keep_old : whether to copy the file before its migration.

    Raises
    ------
    CannotWork : if a newer version wrote the ledger, or it cannot be copied or migrated; the ledger stays unchanged.
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
        try:
            if keep_old:
                _back_up(connection, path, version)
            _migrate(connection, version)
        except Exception as error:  # whatever is wrong with a row, the ledger stays unchanged
            raise CannotWork(
                f"{show(str(path))} is of an older version of this tool and cannot be brought up to date ({error}). "
                "Nothing was changed: free disk space, or correct the error, and run again"
            ) from error


def backups(path: Path) -> list[Path]:
    """Return the copies that migrations made of a ledger."""
    pattern = re.compile(re.escape(path.name) + r"\.v\d+(\.\d+)?")
    return sorted(other for other in path.parent.glob(f"{path.name}.v*") if pattern.fullmatch(other.name))


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy a ledger to a file beside it, unless there is an identical copy; existing copies are kept."""
    existing = backups(path)
    name = f"{path.name}.v{version}"
    names = (name if number == 1 else f"{name}.{number}" for number in count(1))
    copy = next(candidate for candidate in map(path.with_name, names) if candidate not in existing)
    with (
        atomic_write(copy, mode=stat.S_IMODE(path.stat().st_mode)) as temporary,
        closing(sqlite3.connect(temporary, isolation_level=None)) as target,
    ):
        target.execute("PRAGMA journal_mode = OFF")  # a crash would leave a journal beside the temporary file
        connection.backup(target)
    if any(filecmp.cmp(copy, backup, shallow=False) for backup in existing):
        copy.unlink()  # an earlier run made one and was killed before it could migrate


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for target_version, step in _STEPS.items():
            if target_version > version:
                step(connection)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


#: Columns of a recording that version 1 ledgers lack: some lack all of them, some only the last two.
_COLUMNS_NEW_IN_2 = {
    "checksum": "TEXT NOT NULL DEFAULT ''",
    "night": "INTEGER NOT NULL DEFAULT 0",
    "recorded": "TEXT NOT NULL DEFAULT ''",
    "recorded_from": "TEXT NOT NULL DEFAULT ''",
    "groups": "TEXT NOT NULL DEFAULT '{}'",
    "told": """TEXT NOT NULL DEFAULT '{"recorded": "", "speakers": [], "groups": {}}'""",
    "other": "TEXT",
    "written": "TEXT NOT NULL DEFAULT ''",
}
#: Figures of a channel that version 1 ledgers lack.
_FIGURES_NEW_IN_2 = (
    *("first_third", "last_third", "passages", "passage_start_s", "passage_end_s", "passage_emotion"),
    *("passage_negative_s", "passage_mean"),
)


def _migrate_to_2(connection: sqlite3.Connection) -> None:
    """Add the details, formats and figures that version 1 lacks; they are empty if nothing stored gives them."""
    existing_columns = _columns(connection, "recording")
    for name, definition in _COLUMNS_NEW_IN_2.items():
        if name not in existing_columns:
            connection.execute(f"ALTER TABLE recording ADD COLUMN {name} {definition}")
    connection.execute("CREATE TABLE IF NOT EXISTS pruned (hash BLOB PRIMARY KEY) WITHOUT ROWID")
    connection.execute("UPDATE recording SET other = '[]' WHERE envelope IS NOT NULL")
    connection.execute("DELETE FROM note WHERE key LIKE '%views'")  # forces the tables to be rewritten
    rows = connection.execute("SELECT label, path, figures FROM recording WHERE figures <> '{}'").fetchall()
    for label, path, figures in rows:
        channels = {
            channel: {"speaker": f"channel {channel}"} | dict.fromkeys(_FIGURES_NEW_IN_2) | stored_figures
            for channel, stored_figures in json.loads(figures).items()
        }
        connection.execute(
            "UPDATE recording SET figures = ? WHERE label = ? AND path = ?", (json.dumps(channels), label, path)
        )


def _migrate_to_3(connection: sqlite3.Connection) -> None:
    """Replace the number of the run by the day of the last failure, because attempts are counted by days.

    Rows without failures are left alone. Writing them all would need as much disk space again as the ledger takes.
    """
    connection.create_function("day_of", 1, _day_converter(_time_zone(connection)), deterministic=True)
    connection.execute("ALTER TABLE recording RENAME COLUMN night TO failed_on")
    connection.execute("UPDATE recording SET failed_on = day_of(changed_at) WHERE attempts > 0")
    connection.execute("DELETE FROM note WHERE key = 'night'")


#: Old and new keys of stored values.
_KEYS_RENAMED_IN_4 = {
    "time zone": "time_zone", "masked with": "mask_pattern", "all names masked": "names_masked",
    "begun only": "only_unfinished", "has traces": "has_deleted_content", "look": "render_version",
}  # fmt: skip
#: Old and new names of the figures in the stored facts of a model.
_FACTS_RENAMED_IN_4 = {"on_strangers": "on_unseen_speakers", "on_level_voices": "false_alarms_on_read_speech"}


def _migrate_to_4(connection: sqlite3.Connection) -> None:
    """Rename columns, keys and figures; no value changes."""
    connection.execute("ALTER TABLE note RENAME TO state")
    connection.execute("ALTER TABLE recording RENAME COLUMN told TO metadata")
    connection.execute("ALTER TABLE recording RENAME COLUMN other TO non_speech")
    for old, new in _KEYS_RENAMED_IN_4.items():
        connection.execute("UPDATE state SET key = ? WHERE key = ?", (new, old))
    connection.execute("UPDATE state SET key = replace(key, ' views', ' tables') WHERE key LIKE '% views'")
    connection.execute("UPDATE state SET key = 'storage version ' || substr(key, 13) WHERE key LIKE 'looked into %'")
    for key, text in connection.execute("SELECT key, value FROM state WHERE key LIKE 'model %'").fetchall():
        facts = {_FACTS_RENAMED_IN_4.get(name, name): value for name, value in json.loads(text).items()}
        connection.execute("UPDATE state SET value = ? WHERE key = ?", (json.dumps(facts), key))


def _time_zone(connection: sqlite3.Connection) -> tzinfo:
    """Return the time zone of the results; UTC if none is stored or this machine does not know it."""
    row = connection.execute("SELECT value FROM note WHERE key = 'time zone'").fetchone()
    try:
        return ZoneInfo(row[0]) if row else UTC
    except (KeyError, ValueError, OSError):
        return UTC


def _day_converter(zone: tzinfo) -> Callable[[str], int]:
    def day_of(moment: str) -> int:
        try:
            return day_number(datetime.fromisoformat(moment).astimezone(zone))
        except ValueError:
            return 0

    return day_of


def day_number(moment: date) -> int:
    """Return a day as the ledger stores it, such as 20261124."""
    return int(moment.strftime("%Y%m%d"))


#: Migration steps by the version that they lead to, in order.
_STEPS: Mapping[int, Callable[[sqlite3.Connection], None]] = {
    2: _migrate_to_2,
    3: _migrate_to_3,
    4: _migrate_to_4,
}
