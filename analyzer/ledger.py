"""The ledger: one SQLite file that knows every recording ever seen. The tool's only state.

Only the process that runs a night writes it; everything else that the tool leaves can be made again from it and the
timelines.
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

from analyzer import migrations
from analyzer.entry import COLUMNS, Entry, from_row
from analyzer.errors import CannotWork, UsageError
from analyzer.formats import TABLES
from analyzer.isolation import is_of_one_row
from analyzer.names import Identity, show
from analyzer.outputs import delete
from analyzer.timeline import Sketch, Span

FILE_NAME = "ledger.sqlite"
#: Status of recordings whose results are being deleted; no table shows them.
PRUNED = "pruned"


class Ledger:
    """The ledger of an output folder, made where there is none; without a folder, an empty one in memory.

    One that is not writable leaves no trace: where there is no ledger yet, or one of an older version, it is in memory.
    One of an older version that is writable is migrated where it lies, see `analyzer.migrations`; `keep_old` says
    whether a copy of it is kept. With `in_memory` all changes are made to a copy in memory.
    """

    def __init__(
        self, output: Path | None, writable: bool = True, in_memory: bool = False, keep_old: bool = True
    ) -> None:
        writable &= not in_memory
        self._writable, self._unwritten = writable, dict[str, str]()
        self._path = output / FILE_NAME if output else None
        try:
            self._connection = _connect(self._path, writable)
        except (OSError, sqlite3.Error) as error:
            raise CannotWork(f"the output folder {show(str(output))} cannot be used: {error}") from error
        try:
            if in_memory or (not writable and migrations.is_outdated(self._connection)):
                self._connection = _copied_to_memory(self._connection)
            self._connection.row_factory = sqlite3.Row
            # What is pruned or masked is not to be found in free pages of the file either.
            self._connection.execute("PRAGMA secure_delete = ON")
            migrations.bring_up_to_date(self._connection, self._path, keep_old and writable)
        except sqlite3.Error as error:
            self.close()
            raise CannotWork(f"the ledger {show(str(self._path))} cannot be read: {error}") from error
        except CannotWork:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def key(self) -> bytes:
        """The secret of this output folder, made when it is first asked for; for keyed hashes."""
        known = self.note("key")
        if known is None:
            # In letters: where numbers are masked, no digits of it are to be taken for one that was left.
            known = "".join(secrets.choice("abcdefghijklmnop") for _ in range(64))
            self.remember("key", known)
        return known.encode()

    def check_label(self, label: str, folder: str) -> None:
        """Raise UsageError if the recordings of this label came from another folder so far."""
        known = self._connection.execute("SELECT folder FROM label WHERE name = ?", (os.fsencode(label),)).fetchone()
        if known and known[0] != os.fsencode(folder):
            raise UsageError(
                f"recordings called {show(label)} came from {show(os.fsdecode(known[0]))} so far, and would mix with "
                f"those of {show(folder)}. Give another name with LABEL=FOLDER; or, if the folder has only "
                f"moved, say {show(label)}={show(folder)}"
            )

    def claim_label(self, label: str, folder: str) -> None:
        """Tie a label to a folder, for this run and later ones."""
        known = self._connection.execute("SELECT folder FROM label WHERE name = ?", (os.fsencode(label),)).fetchone()
        if known and known[0] != os.fsencode(folder):  # where pages lead
            statement = "UPDATE recording SET written = replace(written, ',html,', ',') WHERE label = ?"
            self._write(statement, (os.fsencode(label),))
        self._write("INSERT OR REPLACE INTO label VALUES (?, ?)", (os.fsencode(label), os.fsencode(folder)))

    def get(self, identity: Identity) -> Entry | None:
        """What is known of a recording."""
        rows = self._connection.execute(f"{_SELECT} WHERE label = ? AND path = ?", _key(identity))
        return next((from_row(row) for row in rows), None)

    def entries(self) -> Iterator[Entry]:
        """All recordings but those that are being pruned, in the order of the bytes of their names."""
        # label || '/' || path, not (label, path): 'a b/x' comes before 'a/x'.
        query = f"{_SELECT} WHERE status <> ? ORDER BY CAST(label || x'2f' || path AS BLOB)"
        return map(from_row, self._connection.execute(query, (PRUNED,)))

    def count_by_status(self) -> Counter[str]:
        """How many recordings have which status."""
        counted = self._connection.execute("SELECT status, count(*) FROM recording GROUP BY status")
        return Counter({status: number for status, number in counted if status != PRUNED})

    def models(self) -> Counter[tuple[str, str]]:
        """How many recordings were analysed by which model, and under which fingerprint."""
        counted = self._connection.execute(
            "SELECT model, fingerprint, count(*) FROM recording WHERE fingerprint <> '' AND status <> ? GROUP BY 1, 2",
            (PRUNED,),
        )
        return Counter({(model, fingerprint): number for model, fingerprint, number in counted})

    def identities(self, label: str) -> set[Identity]:
        """The recordings of one label."""
        rows = self._connection.execute("SELECT path FROM recording WHERE label = ?", (os.fsencode(label),))
        return {Identity(label, os.fsdecode(path)) for (path,) in rows}

    def record(self, entry: Entry, sketch: Sketch | None = None) -> None:
        """Write what became of a recording, in one transaction."""
        values = {
            **entry.columns(),
            "changed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "envelope": sketch and sketch.envelope,
            "other": sketch and json.dumps([(span.start, span.end, span.channel) for span in sketch.other]),
            "written": "",
        }
        places = ", ".join("?" * len(values))
        with self._transaction():
            statement = f"INSERT OR REPLACE INTO recording ({', '.join(values)}) VALUES ({places})"
            self._write(statement, tuple(values.values()))

    def amend(self, entry: Entry) -> None:
        """Write anew what is told of a recording whose analysis stands: its state, details and figures."""
        changed = ("size", "mtime_ns", "checksum", "present", "figures", "recorded", "recorded_from", "groups", "told")
        with self._transaction():
            self._update("UPDATE", _only(entry, changed) | {"written": ""}, entry.identity)

    def note_reason(self, identity: Identity, reason: str) -> None:
        """Write anew what a reader should know of a recording."""
        with self._transaction():
            self._update("UPDATE", {"reason": reason}, identity)

    def rename(self, identity: Identity, entry: Entry) -> None:
        """Give a recording another name, and what is told of it in words."""
        changes = _only(entry, ("label", "path", "reason", "groups", "told")) | {"written": ""}
        with self._transaction():
            self._update("UPDATE OR REPLACE", changes, identity)

    def sketch(self, identity: Identity) -> Sketch | None:
        """What pictures need of a recording besides its rows; None where nothing was kept of it."""
        query = "SELECT envelope, other FROM recording WHERE label = ? AND path = ?"
        row = self._connection.execute(query, _key(identity)).fetchone()
        if row is None or row["envelope"] is None:
            return None
        return Sketch(row["envelope"], tuple(Span(*span) for span in json.loads(row["other"])))

    def not_written(self, formats: Collection[str]) -> dict[Identity, set[str]]:
        """The recordings that were heard and are not written in all of these formats as told now, and in which not."""
        rows = self._connection.execute(
            "SELECT label, path, written FROM recording WHERE status IN ('ok', 'no_speech')"
        )
        missing = ((label, path, {*formats}.difference(written.split(","))) for label, path, written in rows)
        return {Identity(os.fsdecode(label), os.fsdecode(path)): names for label, path, names in missing if names}

    def note_written(self, identities: Iterable[Identity], formats: Collection[str]) -> None:
        """Say, of all in one transaction, that recordings are written in these formats, besides those before."""
        with self._transaction(tables_change=False):
            for identity in identities:
                self._update("UPDATE", {"written": _joined(self._written(identity).union(formats))}, identity)

    def note_unwritten(self, identities: Iterable[Identity], formats: Collection[str] | None = None) -> None:
        """Say, of all in one transaction, that recordings have to be written anew in these formats, or in all."""
        with self._transaction(tables_change=False):
            for identity in identities:
                left = self._written(identity).difference(formats) if formats else set()
                self._update("UPDATE", {"written": _joined(left)}, identity)

    def _written(self, identity: Identity) -> set[str]:
        query = "SELECT written FROM recording WHERE label = ? AND path = ?"
        row = self._connection.execute(query, _key(identity)).fetchone()
        return {*filter(None, row["written"].split(","))} if row else set()

    def nothing_is_written(self) -> None:
        """Say that every recording has to be written anew in every format."""
        self._write("UPDATE recording SET written = ''", ())

    def labels(self) -> list[tuple[str, str]]:
        """The labels that are tied to a folder, and that folder."""
        rows = self._connection.execute("SELECT name, folder FROM label")
        return [(os.fsdecode(name), os.fsdecode(folder)) for name, folder in rows]

    def rename_label(self, label: str, to: str, folder: str) -> None:
        """Give a label another name, and its folder."""
        with self._transaction():
            self._write("DELETE FROM label WHERE name = ?", (os.fsencode(label),))
            self.claim_label(to, folder)

    def forget(self, identity: Identity) -> None:
        """Delete the entry of a file that has no results."""
        with self._transaction():
            self._write("DELETE FROM recording WHERE label = ? AND path = ?", _key(identity))

    def mark_present(self, identities: Iterable[Identity], present: bool) -> None:
        """Say, of all in one transaction, whether the files of recordings are still there."""
        if identities := list(identities):
            with self._transaction():
                for identity in identities:
                    self._update("UPDATE", {"present": present}, identity)

    def mark_pruned(self, identities: Iterable[Identity]) -> None:
        """Say, of all in one transaction, that their results are to go: from now on no table shows them."""
        with self._transaction():
            for identity in identities:
                self._update("UPDATE", {"status": PRUNED}, identity)

    def being_pruned(self) -> list[Entry]:
        """What was marked as pruned, and whose results may still be there."""
        return [from_row(row) for row in self._connection.execute(f"{_SELECT} WHERE status = ?", (PRUNED,))]

    def end_pruning(self, entry: Entry) -> None:
        """Keep of a recording only a keyed hash of its name, size and time, once its results are gone."""
        digest = self._pruned_hash(entry.identity, entry.size, entry.mtime_ns)
        with self._transaction():
            self._write("INSERT OR IGNORE INTO pruned VALUES (?)", (digest,))
            self._write("DELETE FROM recording WHERE label = ? AND path = ?", _key(entry.identity))

    def is_pruned(self, identity: Identity, size: int, mtime_ns: int) -> bool:
        """Whether the results of just this file were pruned."""
        if not self._has_pruned():
            return False
        digest = self._pruned_hash(identity, size, mtime_ns)
        return self._connection.execute("SELECT 1 FROM pruned WHERE hash = ?", (digest,)).fetchone() is not None

    def _has_pruned(self) -> bool:
        return self._connection.execute("SELECT 1 FROM pruned LIMIT 1").fetchone() is not None

    def _pruned_hash(self, identity: Identity, size: int, mtime_ns: int) -> bytes:
        told = b"\0".join((*_key(identity), str(size).encode(), str(mtime_ns).encode()))
        return hmac.digest(self.key(), told, "sha256")

    def note(self, key: str) -> str | None:
        """A remembered fact about the output folder."""
        if key in self._unwritten:
            return self._unwritten[key]
        row = self._connection.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def remember(self, key: str, value: str) -> None:
        """Remember a fact about the output folder; where the ledger is not writable, until it is closed."""
        if not self._writable:
            self._unwritten[key] = value
            return
        self._write("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    def compact(self) -> None:
        """Write the file anew, without what was deleted or replaced; copies that still hold it are deleted.

        Where SQLite rearranges a page it leaves copies in it, which secure_delete does not see.
        """
        self._write("VACUUM", ())
        self.delete_backups()

    def backups(self) -> list[Path]:
        """The copies that were made of older versions of the ledger."""
        return migrations.backups(self._path) if self._path else []

    def delete_backups(self) -> None:
        """Delete the copies of older versions: they hold what has been deleted here since."""
        for path in self.backups():
            delete(path, path.parent)

    def stale_views(self) -> frozenset[str]:
        """The formats whose tables over all recordings are older than the ledger."""
        return frozenset(name for name in TABLES if self.note(f"{name} views") != "fresh")

    def views_are_fresh(self, formats: frozenset[str]) -> None:
        """Say that the tables in these formats have been written from the ledger as it is."""
        for name in formats:
            self.remember(f"{name} views", "fresh")

    def tables_are_stale(self) -> None:
        """Say that all tables are out of date."""
        for name in TABLES - self.stale_views():
            self.remember(f"{name} views", "stale")

    @contextmanager
    def _transaction(self, tables_change: bool = True) -> Iterator[None]:
        """Changes, all or none of them; where they are of what tables show, with the word that these are out of date.

        In one transaction, so that even a killed run cannot forget it.
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

    def _update(self, how: str, changes: Mapping[str, object], identity: Identity) -> None:
        columns = ", ".join(f"{column} = ?" for column in changes)
        values = (*changes.values(), *_key(identity))
        self._write(f"{how} recording SET {columns} WHERE label = ? AND path = ?", values)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            if is_of_one_row(error):
                raise
            raise CannotWork(f"the ledger cannot be written: {error}") from error


def _connect(path: Path | None, writable: bool) -> sqlite3.Connection:
    if path and writable:
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path, isolation_level=None)
    if path and path.exists():
        if path.with_name(f"{path.name}-journal").exists():
            sqlite3.connect(path).execute("PRAGMA user_version").close()  # brings to an end what a killed run began
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    return sqlite3.connect(":memory:", isolation_level=None)


def _copied_to_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of a ledger in memory, in place of its file."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    connection.backup(memory)
    connection.close()
    return memory


_SELECT = f"SELECT {', '.join(COLUMNS)} FROM recording"


def _key(identity: Identity) -> tuple[bytes, bytes]:
    return os.fsencode(identity.label), os.fsencode(identity.path)


def _joined(formats: Iterable[str]) -> str:
    """Formats in a column: with commas between and around them."""
    return f",{','.join(sorted(formats))},"


def _only(entry: Entry, columns: Iterable[str]) -> dict[str, object]:
    written = entry.columns()
    return {column: written[column] for column in columns}
