"""The ledger: one SQLite file with an entry for every recording ever found. It is the tool's only state.

Only the main process of a command writes it, never a worker. All other output can be regenerated from the ledger and
the timelines.
"""

import hmac
import json
import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from analyzer.errors import CannotWork, UsageError
from analyzer.inputs.masking import Mask
from analyzer.names import Identity, show
from analyzer.runtime.isolation import is_of_one_row
from analyzer.store import migrations
from analyzer.store.entry import COLUMNS, Entry, from_row
from analyzer.store.formats import TABLES
from analyzer.store.outputs import delete
from analyzer.store.state import State
from analyzer.timeline.timeline import DrawingData, Span

FILE_NAME = "ledger.sqlite"
#: Status of recordings whose results are being deleted; no table shows them.
PRUNED = "pruned"


class Ledger:
    """The ledger of the folder `output`, created if there is none.

    If it is not `writable`, the folder stays unchanged, except that a transaction which a killed run left open is
    rolled back: a missing ledger is created in memory, and one of an older version is copied to memory and migrated
    there. A writable ledger of an older version is migrated in place, see `migrations`; `keep_old` keeps a copy of the
    old file. With `in_memory`, all changes are made to a copy in memory. `state` holds values about the output folder.
    """

    def __init__(self, output: Path, writable: bool = True, in_memory: bool = False, keep_old: bool = True) -> None:
        writable &= not in_memory
        self._writable, self._unsaved_values = writable, dict[str, str]()
        self.state = State(self._get_value, self._set_value)
        self.output, self._path = output, output / FILE_NAME
        try:
            self._connection = _connect(self._path, writable)
        except (OSError, sqlite3.Error) as error:
            raise CannotWork(f"the output folder {show(str(output))} cannot be used: {error}") from error
        try:
            if in_memory or (not writable and migrations.is_outdated(self._connection)):
                self._connection = _copy_to_memory(self._connection)
            self._connection.row_factory = sqlite3.Row
            # Pruned or masked content must not stay in free pages of the file.
            self._connection.execute("PRAGMA secure_delete = ON")
            migrations.migrate(self._connection, self._path, keep_old and writable)
        except sqlite3.Error as error:
            self.close()
            raise CannotWork(f"the ledger {show(str(self._path))} cannot be read: {error}") from error
        except CannotWork:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def key(self) -> bytes:
        """Return the secret key of this output folder for keyed hashes; it is created on first use."""
        key = self.state.key
        if key is None:
            # Letters only: digits in it could be mistaken for a number that was not masked.
            key = self.state.key = "".join(secrets.choice("abcdefghijklmnop") for _ in range(64))
        return key.encode()

    def mask(self) -> Mask | None:
        """Return the mask of numbers in names; None if names are not masked."""
        return Mask(self.key()) if self.state.mask_pattern is not None else None

    def check_label(self, label: str, folder: str) -> None:
        """Raise UsageError if the recordings of this label came from another folder in earlier runs."""
        row = self._connection.execute("SELECT folder FROM label WHERE name = ?", (os.fsencode(label),)).fetchone()
        if row and row[0] != os.fsencode(folder):
            raise UsageError(
                f"recordings called {show(label)} came from {show(os.fsdecode(row[0]))} so far, and would mix with "
                f"those of {show(folder)}. Give another name with LABEL=FOLDER; or, if the folder has only "
                f"moved, say {show(label)}={show(folder)}"
            )

    def claim_label(self, label: str, folder: str) -> None:
        """Assign a folder to a label, for this run and later ones."""
        row = self._connection.execute("SELECT folder FROM label WHERE name = ?", (os.fsencode(label),)).fetchone()
        if row and row[0] != os.fsencode(folder):  # HTML pages link to the folder
            statement = "UPDATE recording SET written = replace(written, ',html,', ',') WHERE label = ?"
            self._write(statement, (os.fsencode(label),))
        self._write("INSERT OR REPLACE INTO label VALUES (?, ?)", (os.fsencode(label), os.fsencode(folder)))

    def get(self, identity: Identity) -> Entry | None:
        """Return the entry of a recording, None if there is none."""
        rows = self._connection.execute(f"{_SELECT} WHERE label = ? AND path = ?", _row_key(identity))
        return next((from_row(row) for row in rows), None)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries except those that are being pruned, in the order of the bytes of their names."""
        # label || '/' || path, not (label, path): 'a b/x' comes before 'a/x'.
        query = f"{_SELECT} WHERE status <> ? ORDER BY CAST(label || x'2f' || path AS BLOB)"
        return map(from_row, self._connection.execute(query, (PRUNED,)))

    def count_by_status(self) -> Counter[str]:
        """Return the number of recordings per status."""
        rows = self._connection.execute("SELECT status, count(*) FROM recording GROUP BY status")
        return Counter({status: count for status, count in rows if status != PRUNED})

    def models(self) -> Counter[tuple[str, str]]:
        """Return the number of analysed recordings per model name and fingerprint."""
        rows = self._connection.execute(
            "SELECT model, fingerprint, count(*) FROM recording WHERE fingerprint <> '' AND status <> ? GROUP BY 1, 2",
            (PRUNED,),
        )
        return Counter({(model, fingerprint): count for model, fingerprint, count in rows})

    def identities(self, label: str) -> set[Identity]:
        """Return the recordings of one label."""
        rows = self._connection.execute("SELECT path FROM recording WHERE label = ?", (os.fsencode(label),))
        return {Identity(label, os.fsdecode(path)) for (path,) in rows}

    def record(self, entry: Entry, drawing: DrawingData | None = None) -> None:
        """Write the entry of a recording, in one transaction."""
        values = {
            **entry.columns(),
            "changed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "envelope": drawing and drawing.envelope,
            "non_speech": drawing and json.dumps([(span.start, span.end, span.channel) for span in drawing.other]),
            "written": "",
        }
        placeholders = ", ".join("?" * len(values))
        with self._transaction():
            statement = f"INSERT OR REPLACE INTO recording ({', '.join(values)}) VALUES ({placeholders})"
            self._write(statement, tuple(values.values()))

    def amend(self, entry: Entry) -> None:
        """Update the file state, metadata and figures of a recording whose analysis is still valid."""
        columns = (
            "size",
            "mtime_ns",
            "checksum",
            "present",
            "figures",
            "recorded",
            "recorded_from",
            "groups",
            "metadata",
        )
        with self._transaction():
            self._update("UPDATE", _select_columns(entry, columns) | {"written": ""}, entry.identity)

    def note_reason(self, identity: Identity, reason: str) -> None:
        """Update the reason of a recording."""
        with self._transaction():
            self._update("UPDATE", {"reason": reason}, identity)

    def rename(self, identity: Identity, entry: Entry) -> None:
        """Rename a recording and update its reason, groups and metadata."""
        changes = _select_columns(entry, ("label", "path", "reason", "groups", "metadata")) | {"written": ""}
        with self._transaction():
            self._update("UPDATE OR REPLACE", changes, identity)

    def drawing(self, identity: Identity) -> DrawingData | None:
        """Return what plots of a recording need besides its rows; None if nothing is stored."""
        query = "SELECT envelope, non_speech FROM recording WHERE label = ? AND path = ?"
        row = self._connection.execute(query, _row_key(identity)).fetchone()
        if row is None or row["envelope"] is None:
            return None
        return DrawingData(row["envelope"], tuple(Span(*span) for span in json.loads(row["non_speech"])))

    def not_written(self, formats: Collection[str]) -> dict[Identity, set[str]]:
        """Return the analysed recordings whose files in these formats are missing or stale, and those formats."""
        rows = self._connection.execute(
            "SELECT label, path, written FROM recording WHERE status IN ('ok', 'no_speech')"
        )
        missing = ((label, path, {*formats}.difference(written.split(","))) for label, path, written in rows)
        return {Identity(os.fsdecode(label), os.fsdecode(path)): names for label, path, names in missing if names}

    def note_written(self, identities: Iterable[Identity], formats: Collection[str]) -> None:
        """Mark recordings as written in these formats, besides earlier ones; all in one transaction."""
        with self._transaction(tables_change=False):
            for identity in identities:
                self._update(
                    "UPDATE", {"written": _join_formats(self._written_formats(identity).union(formats))}, identity
                )

    def note_unwritten(self, identities: Iterable[Identity], formats: Collection[str] | None = None) -> None:
        """Mark recordings as not written in these formats, or in any if None; all in one transaction."""
        with self._transaction(tables_change=False):
            for identity in identities:
                remaining = self._written_formats(identity).difference(formats) if formats else set()
                self._update("UPDATE", {"written": _join_formats(remaining)}, identity)

    def _written_formats(self, identity: Identity) -> set[str]:
        query = "SELECT written FROM recording WHERE label = ? AND path = ?"
        row = self._connection.execute(query, _row_key(identity)).fetchone()
        return {*filter(None, row["written"].split(","))} if row else set()

    def mark_all_unwritten(self) -> None:
        """Mark all recordings as not written in any format."""
        self._write("UPDATE recording SET written = ''", ())

    def labels(self) -> list[tuple[str, str]]:
        """Return the labels and their folders."""
        rows = self._connection.execute("SELECT name, folder FROM label")
        return [(os.fsdecode(name), os.fsdecode(folder)) for name, folder in rows]

    def rename_label(self, label: str, to: str, folder: str) -> None:
        """Rename a label and assign a folder to the new name."""
        with self._transaction():
            self._write("DELETE FROM label WHERE name = ?", (os.fsencode(label),))
            self.claim_label(to, folder)

    def forget(self, identity: Identity) -> None:
        """Delete the entry of a file that has no results."""
        with self._transaction():
            self._write("DELETE FROM recording WHERE label = ? AND path = ?", _row_key(identity))

    def mark_present(self, identities: Iterable[Identity], present: bool) -> None:
        """Set whether the files of recordings still exist; all in one transaction."""
        if identities := list(identities):
            with self._transaction():
                for identity in identities:
                    self._update("UPDATE", {"present": present}, identity)

    def mark_pruned(self, identities: Iterable[Identity]) -> None:
        """Mark recordings whose results are to be deleted; all in one transaction. No table shows them any more."""
        with self._transaction():
            for identity in identities:
                self._update("UPDATE", {"status": PRUNED}, identity)

    def being_pruned(self) -> list[Entry]:
        """Return the entries that are marked as pruned and whose results may still exist."""
        return [from_row(row) for row in self._connection.execute(f"{_SELECT} WHERE status = ?", (PRUNED,))]

    def end_pruning(self, entry: Entry) -> None:
        """Replace the entry of a recording by a keyed hash of its name, size and time, once its results are deleted."""
        digest = self._pruned_hash(entry.identity, entry.size, entry.mtime_ns)
        with self._transaction():
            self._write("INSERT OR IGNORE INTO pruned VALUES (?)", (digest,))
            self._write("DELETE FROM recording WHERE label = ? AND path = ?", _row_key(entry.identity))

    def is_pruned(self, identity: Identity, size: int, mtime_ns: int) -> bool:
        """Whether the results of a file with exactly this name, size and time were pruned."""
        if not self._has_pruned():
            return False
        digest = self._pruned_hash(identity, size, mtime_ns)
        return self._connection.execute("SELECT 1 FROM pruned WHERE hash = ?", (digest,)).fetchone() is not None

    def _has_pruned(self) -> bool:
        return self._connection.execute("SELECT 1 FROM pruned LIMIT 1").fetchone() is not None

    def _pruned_hash(self, identity: Identity, size: int, mtime_ns: int) -> bytes:
        message = b"\0".join((*_row_key(identity), str(size).encode(), str(mtime_ns).encode()))
        return hmac.digest(self.key(), message, "sha256")

    def _get_value(self, key: str) -> str | None:
        if key in self._unsaved_values:
            return self._unsaved_values[key]
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _set_value(self, key: str, value: str) -> None:
        """Store a value about the output folder; if the ledger is not writable, only until it is closed."""
        if not self._writable:
            self._unsaved_values[key] = value
            return
        self._write("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))

    def compact(self) -> None:
        """Rewrite the file without deleted or replaced content, and delete the backups, which still hold it.

        When SQLite rearranges a page, it leaves copies of content in it that secure_delete does not overwrite.
        """
        self._write("VACUUM", ())
        self.delete_backups()

    def backups(self) -> list[Path]:
        """Return the copies of the ledger that were made before migrations."""
        return migrations.backups(self._path)

    def delete_backups(self) -> None:
        """Delete the copies of older versions: they hold content that was deleted from the ledger since."""
        for path in self.backups():
            delete(path, path.parent)

    def stale_tables(self) -> frozenset[str]:
        """Return the formats whose tables over all recordings are older than the ledger."""
        return frozenset(name for name in TABLES if self.state.get(f"{name} tables") != "fresh")

    def tables_are_fresh(self, formats: frozenset[str]) -> None:
        """Mark the tables in these formats as up to date with the ledger."""
        for name in formats:
            self.state.set(f"{name} tables", "fresh")

    def tables_are_stale(self) -> None:
        """Mark all tables as stale."""
        for name in TABLES - self.stale_tables():
            self.state.set(f"{name} tables", "stale")

    @contextmanager
    def _transaction(self, tables_change: bool = True) -> Iterator[None]:
        """Run the block in one transaction.

        If `tables_change`, all tables are marked as stale in the same transaction, so that a killed run cannot leave
        stale tables unmarked.
        """
        self._write("BEGIN IMMEDIATE", ())
        try:
            yield
            if tables_change:
                self.tables_are_stale()
            self._write("COMMIT", ())
        except BaseException:
            self._connection.rollback()
            raise

    def _update(self, command: str, changes: Mapping[str, object], identity: Identity) -> None:
        columns = ", ".join(f"{column} = ?" for column in changes)
        values = (*changes.values(), *_row_key(identity))
        self._write(f"{command} recording SET {columns} WHERE label = ? AND path = ?", values)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            if is_of_one_row(error):
                raise
            raise CannotWork(f"the ledger cannot be written: {error}") from error


def _connect(path: Path, writable: bool) -> sqlite3.Connection:
    if writable:
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path, isolation_level=None)
    if path.exists():
        if path.with_name(f"{path.name}-journal").exists():
            sqlite3.connect(path).execute("PRAGMA user_version").close()  # rolls back what a killed run left open
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    return sqlite3.connect(":memory:", isolation_level=None)


def _copy_to_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Copy a ledger to memory, close its file and return the copy."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(memory)
    connection.close()
    return memory


_SELECT = f"SELECT {', '.join(COLUMNS)} FROM recording"


def _row_key(identity: Identity) -> tuple[bytes, bytes]:
    return os.fsencode(identity.label), os.fsencode(identity.path)


def _join_formats(formats: Iterable[str]) -> str:
    """Return formats as stored in a column: with commas between and around them."""
    return f",{','.join(sorted(formats))},"


def _select_columns(entry: Entry, columns: Iterable[str]) -> dict[str, object]:
    values = entry.columns()
    return {column: values[column] for column in columns}
