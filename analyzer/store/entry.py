"""A recording as stored in the ledger: the source of every table and page over many recordings."""

import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from analyzer.inputs.metadata import MetadataRow
from analyzer.names import Identity
from analyzer.timeline.channel_statistics import ChannelStatistics, from_columns


@dataclass(frozen=True)
class Entry:
    """A recording as stored in the ledger.

    Attributes
    ----------
    identity, size, mtime_ns : the file, as it was when it was last examined.
    status : ok, no_speech, failed, given_up, incomplete or skipped.
    reason : why it failed, waits or was skipped; otherwise a remark for the reader, such as `both channels identical`.
    fingerprint : of the model and settings that produced the result; empty if there is none.
    model : name of that model.
    codec, rate, channels, length_s : properties of the file, if it could be read.
    statistics : by channel, counted from 1; None if it was not analysed.
    present : whether the file existed when its input was last scanned.
    attempts : number of days in a row on which it failed.
    failed_on : the last of these days, such as 20261124; meaningless if it did not fail.
    checksum : of the content, if runs ask for it.
    recorded, recorded_from : local time of the call and source of that time (see `Details`); otherwise empty.
    groups : values by group name, such as `queue`.
    metadata : what the metadata file says about it, now or in an earlier run.
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
    statistics: dict[int, ChannelStatistics] | None = None
    present: bool = True
    attempts: int = 0
    failed_on: int = 0
    checksum: str = ""
    recorded: str = ""
    recorded_from: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    metadata: MetadataRow = field(default_factory=MetadataRow)

    def when(self, zone: ZoneInfo) -> tuple[str, str]:
        """Return the local time of the recording and the source of that time; the time is empty if it is unknown."""
        if self.recorded and self.recorded_from == "run":
            return self.recorded, "day of the first run that saw it, since its time lies in the future"
        if self.recorded:
            return self.recorded, f"from the {self.recorded_from}"
        if not self.mtime_ns:
            return "", ""
        try:
            moment = (_EPOCH + timedelta(seconds=self.mtime_ns // 10**9)).astimezone(zone)
        except (OverflowError, ValueError):
            return "", "not known, the time of the file is in no year from 1 to 9999"
        return moment.replace(tzinfo=None).isoformat(" "), "time of the file"

    def as_failed(self, reason: str) -> "Entry":
        """Return the entry to store if the results or the entry could not be written; it has no analysis results.

        This does not count as a failed attempt to analyse the file: the next run analyses it again.
        """
        return Entry(
            self.identity,
            self.size,
            self.mtime_ns,
            "failed",
            reason,
            present=self.present,
            recorded=self.recorded,
            recorded_from=self.recorded_from,
            groups=self.groups,
            metadata=self.metadata,
        )

    def columns(self) -> dict[str, object]:
        """Return the values that the ledger stores, by column."""
        return {
            **{name: getattr(self, name) for name in _PLAIN_COLUMNS},
            **{name: _storable(getattr(self, name)) for name in _LARGE_COLUMNS},
            "label": os.fsencode(self.identity.label),
            "path": os.fsencode(self.identity.path),
            "figures": json.dumps({channel: found.columns() for channel, found in (self.statistics or {}).items()}),
            "groups": json.dumps(self.groups),
            "metadata": json.dumps(vars(self.metadata)),
        }


_PLAIN_COLUMNS = (
    *("size", "mtime_ns", "status", "reason", "fingerprint", "model", "codec", "rate", "channels", "length_s"),
    *("present", "attempts", "failed_on", "checksum", "recorded", "recorded_from"),
)
#: Columns whose numbers may not fit into 64 bits, such as a time before 1677 or after 2262.
_LARGE_COLUMNS = ("size", "mtime_ns")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The columns of an `Entry`. Those for images are left out: they are large, and no table shows them.
COLUMNS = ("label", "path", *_PLAIN_COLUMNS, "figures", "groups", "metadata")


def from_row(row: sqlite3.Row) -> Entry:
    """Read an entry that `Entry.columns` wrote; return a failed one if its row is damaged."""
    identity = Identity(os.fsdecode(row["label"]), os.fsdecode(row["path"]))
    try:
        return _parse_row(row, identity)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"its row in the ledger cannot be read ({type(error).__name__}: {error})"
        return Entry(identity, 0, 0, "failed", reason, present=bool(row["present"]))


def _parse_row(row: sqlite3.Row, identity: Identity) -> Entry:
    return Entry(
        identity=identity,
        statistics={int(channel): from_columns(found) for channel, found in json.loads(row["figures"]).items()},
        groups=json.loads(row["groups"]),
        metadata=_metadata_row(json.loads(row["metadata"])),
        **{name: row[name] for name in _PLAIN_COLUMNS if name not in ("present", *_LARGE_COLUMNS)},
        size=int(row["size"]),
        mtime_ns=int(row["mtime_ns"]),
        present=bool(row["present"]),
    )


def _metadata_row(fields: dict[str, Any]) -> MetadataRow:
    return MetadataRow(fields["recorded"], tuple(fields["speakers"]), fields["groups"])


def _storable(number: int) -> int | bytes:
    """Return a number as SQLite can store it exactly: as its digits if it does not fit into 64 bits."""
    return number if -(1 << 63) <= number < 1 << 63 else str(number).encode()
