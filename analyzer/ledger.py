"""The ledger: one SQLite file that knows every recording ever seen. The tool's only state.

Only the process that runs a night writes it; everything else that the tool leaves can be made again from it and the
timelines.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from analyzer.errors import CannotWork, UsageError
from analyzer.names import Identity, show
from analyzer.storage import Location
from analyzer.timeline import Figures

FILE_NAME = "ledger.sqlite"
#: Formats of the tables that are made from the ledger.
VIEWS = frozenset(("csv", "xlsx"))

_SCHEMA = """
BEGIN;
CREATE TABLE IF NOT EXISTS label (name BLOB PRIMARY KEY, folder BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS note (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recording (
    label BLOB NOT NULL,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    present INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    changed_at TEXT NOT NULL,
    model TEXT NOT NULL,
    codec TEXT NOT NULL,
    rate INTEGER,
    channels INTEGER,
    length_s REAL,
    figures TEXT NOT NULL,
    envelope BLOB,
    PRIMARY KEY (label, path)
);
PRAGMA user_version = 1;
COMMIT;
"""
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """A recording as the ledger knows it.

    Attributes
    ----------
    identity, size, mtime_ns : which file, as it was when it was last looked at.
    status : ok, no_speech, failed or skipped.
    reason : why it failed or was skipped; else what a reader should know, such as `fake stereo`.
    fingerprint : of model and settings that made the result; empty where there is none.
    model : name of that model.
    codec, rate, channels, length_s : what the file is, where it could be read.
    figures : the figures of recordings.csv by channel, counted from 1.
    present : whether the file was there when its input was last walked.
    attempts : failures in a row, one a run.
    """

    identity: Identity
    size: int
    mtime_ns: int
    status: str
    reason: str = ""
    fingerprint: str = ""
    model: str = ""
    codec: str = ""
    rate: int | None = None
    channels: int | None = None
    length_s: float | None = None
    figures: dict[int, Figures] | None = None
    present: bool = True
    attempts: int = 0


class Ledger:
    """The ledger of an output folder, made where there is none; without a folder, an empty one in memory.

    One that is not writable leaves no trace: where there is no ledger yet, it is in memory too.
    """

    def __init__(self, output: Path | None, writable: bool = True) -> None:
        path = output / FILE_NAME if output else None
        try:
            self._connection = _connect(path, writable)
        except (OSError, sqlite3.Error) as error:
            raise CannotWork(f"the output folder {show(str(output))} cannot be used: {error}") from error
        self._connection.row_factory = sqlite3.Row
        try:
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA_VERSION):
                raise CannotWork(
                    f"{show(str(path))} was written by a newer version of this tool: use that one, or another folder"
                )
            if version == 0:
                self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self.close()
            raise CannotWork(f"the ledger {show(str(path))} cannot be read: {error}") from error
        except CannotWork:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def check_label(self, label: str, folder: Location) -> None:
        """Raise UsageError if the recordings of this label came from another folder so far."""
        known = self._connection.execute("SELECT folder FROM label WHERE name = ?", (os.fsencode(label),)).fetchone()
        if known and known[0] != os.fsencode(folder):
            raise UsageError(
                f"recordings called {show(label)} came from {show(os.fsdecode(known[0]))} so far, and would mix with "
                f"those of {show(str(folder))}. Give another name with LABEL=FOLDER; or, if the folder has only "
                f"moved, say {show(label)}={show(str(folder))}"
            )

    def claim_label(self, label: str, folder: Location) -> None:
        """Tie a label to a folder, for this run and later ones."""
        self._write("INSERT OR REPLACE INTO label VALUES (?, ?)", (os.fsencode(label), os.fsencode(folder)))

    def get(self, identity: Identity) -> Entry | None:
        """What is known of a recording."""
        rows = self._connection.execute(f"{_SELECT} WHERE label = ? AND path = ?", _key(identity))
        return next((_entry(row) for row in rows), None)

    def entries(self) -> Iterator[Entry]:
        """All recordings, in the order of the bytes of their names."""
        # label || '/' || path, not (label, path): 'a b/x' comes before 'a/x'.
        query = f"{_SELECT} ORDER BY CAST(label || x'2f' || path AS BLOB)"
        return map(_entry, self._connection.execute(query))

    def identities(self, label: str) -> set[Identity]:
        """The recordings of one label."""
        rows = self._connection.execute("SELECT path FROM recording WHERE label = ?", (os.fsencode(label),))
        return {Identity(label, os.fsdecode(path)) for (path,) in rows}

    def record(self, entry: Entry, envelope: bytes | None = None) -> None:
        """Write what became of a recording, in one transaction."""
        values = (
            *_key(entry.identity),
            entry.size,
            entry.mtime_ns,
            entry.present,
            entry.status,
            entry.reason,
            entry.fingerprint,
            entry.attempts,
            datetime.now(UTC).isoformat(timespec="seconds"),
            entry.model,
            entry.codec,
            entry.rate,
            entry.channels,
            entry.length_s,
            json.dumps(entry.figures or {}),
            envelope,
        )
        self._write(f"INSERT OR REPLACE INTO recording VALUES ({', '.join('?' * len(values))})", values)
        self._touch()

    def mark_present(self, identity: Identity, present: bool) -> None:
        """Say whether a recording's file is still there."""
        self._write("UPDATE recording SET present = ? WHERE label = ? AND path = ?", (present, *_key(identity)))
        self._touch()

    def note(self, key: str) -> str | None:
        """A remembered fact about the output folder."""
        row = self._connection.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def remember(self, key: str, value: str) -> None:
        """Remember a fact about the output folder."""
        self._write("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    def stale_views(self) -> frozenset[str]:
        """The formats whose tables over all recordings are older than the ledger."""
        return frozenset(name for name in VIEWS if self.note(f"{name} views") != "fresh")

    def views_are_fresh(self, formats: frozenset[str]) -> None:
        """Say that the tables in these formats have been written from the ledger as it is."""
        for name in formats:
            self.remember(f"{name} views", "fresh")

    def _touch(self) -> None:
        """Say that all tables are out of date, at once, so that even a killed run cannot forget it."""
        for name in VIEWS - self.stale_views():
            self.remember(f"{name} views", "stale")

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise CannotWork(f"the ledger cannot be written: {error}") from error


def _connect(path: Path | None, writable: bool) -> sqlite3.Connection:
    if path and writable:
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path, isolation_level=None)
    if path and path.exists():
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    return sqlite3.connect(":memory:", isolation_level=None)


# All but the envelope, which is large and which no table shows.
_SELECT = (
    "SELECT label, path, size, mtime_ns, present, status, reason, fingerprint, attempts, model, codec, rate, channels, "
    "length_s, figures FROM recording"
)


def _key(identity: Identity) -> tuple[bytes, bytes]:
    return os.fsencode(identity.label), os.fsencode(identity.path)


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        identity=Identity(os.fsdecode(row["label"]), os.fsdecode(row["path"])),
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        status=row["status"],
        reason=row["reason"],
        fingerprint=row["fingerprint"],
        model=row["model"],
        codec=row["codec"],
        rate=row["rate"],
        channels=row["channels"],
        length_s=row["length_s"],
        figures={int(channel): values for channel, values in json.loads(row["figures"]).items()},
        present=bool(row["present"]),
        attempts=row["attempts"],
    )
