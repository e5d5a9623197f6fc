"""What is known of a call besides its sound: when it was, who speaks on which channel, what it belongs to."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from analyzer import dates
from analyzer.errors import UsageError
from analyzer.masking import Mask
from analyzer.names import Identity, show
from analyzer.roles import parse_roles

#: Columns of a metadata file that are not groups.
_FILE, _RECORDED, _CHANNEL = "file", "recorded", re.compile(r"channel_([1-9]\d?)")


@dataclass(frozen=True)
class Told:
    """What a metadata file says of a recording.

    Attributes
    ----------
    recorded : local time, as `2026-11-24 09:15:00` or only the date; empty where it does not say.
    speakers : roles by channel.
    groups : what the recording belongs to, such as `queue`, and which.
    """

    recorded: str = ""
    speakers: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)

    def masked(self, mask: Mask) -> "Told":
        """The same without numbers that somebody can be called at."""
        speakers = tuple(mask.text(role) for role in self.speakers)
        return Told(self.recorded, speakers, mask.texts(self.groups))


@dataclass(frozen=True)
class Details:
    """What is known of a recording besides its sound, from its name and from metadata.

    Attributes
    ----------
    recorded, speakers, groups : as of `Told`.
    recorded_from : where the time stands, `name` or `metadata`; empty where nothing but the file's time tells it.
    told : what the metadata say, now or in an earlier run.
    """

    recorded: str = ""
    recorded_from: str = ""
    speakers: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=Told)

    def columns(self) -> dict[str, Any]:
        """What of it the ledger keeps; roles are told by the figures of the channels."""
        return {key: value for key, value in vars(self).items() if key != "speakers"}


@dataclass(frozen=True)
class Naming:
    """How the details of a recording are found.

    Attributes
    ----------
    speakers : roles by channel of every recording that the metadata say nothing of.
    pattern : finds `date`, `time` and groups in names.
    metadata : by file name, see `read_metadata`.
    mask : replaces runs of digits in names; None where names stay as they are.
    """

    speakers: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    metadata: Mapping[str, Told] = field(default_factory=dict)
    mask: Mask | None = None

    def called(self, identity: Identity) -> Identity:
        """The name of a recording in every result."""
        return self.mask.identity(identity) if self.mask else identity

    def told(self, identity: Identity) -> Told | None:
        """What the metadata say of a recording, by the name that its file has; None where it is not in them."""
        keys = _keys(identity, self.called(identity)) if self.metadata else ()
        told = next((self.metadata[key] for key in keys if key in self.metadata), None)
        return told.masked(self.mask) if told and self.mask else told

    def details(self, identity: Identity, told: Told) -> Details:
        """What is known of a recording, by the name that its file has and by what metadata say or said of it."""
        recorded, groups = _read_name(self.pattern, f"{identity.label}/{identity.path}")
        return Details(
            recorded=recorded or told.recorded,
            recorded_from="name" if recorded else "metadata" if told.recorded else "",
            speakers=told.speakers or self.speakers,
            groups={**(self.mask.texts(groups) if self.mask else groups), **told.groups},
            told=told,
        )


def _keys(*identities: Identity) -> Iterator[str]:
    """The ways to name a recording in a metadata file, the clearest first; each as it is, and as tables show it."""
    names = [name for one in identities for name in (f"{one.label}/{one.path}", one.shown)]
    yield from names
    yield from (name.partition("/")[2] for name in names)
    yield from (name.rpartition("/")[2] for name in names)


def _read_name(pattern: re.Pattern[str] | None, name: str) -> tuple[str, dict[str, str]]:
    """When a recording was made and what it belongs to, as far as its name tells."""
    match, _ = dates.found(pattern, name)
    if match is None:
        return "", {}
    groups = {key: value for key, value in match.groupdict().items() if value and key not in ("date", "time")}
    return dates.moment(match), groups


def read_metadata(path: Path) -> dict[str, Told]:
    """What is told by file name, from a CSV with a column `file`.

    Besides it there may be `recorded` (ISO 8601, local time) and the roles `channel_1`, `channel_2` and so on; every
    other column is a group. `file` is the name that tables show, or the path below the input, or the bare file name.
    Raises UsageError with the line that is wrong.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            return _read_rows(csv.DictReader(handle), path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the metadata {show(str(path))} cannot be read: {error}") from error


def _read_rows(rows: "csv.DictReader[str]", path: Path) -> dict[str, Told]:
    if _FILE not in (rows.fieldnames or ()):
        raise UsageError(f"the metadata {show(str(path))} need a column called {_FILE}")
    known: dict[str, Told] = {}
    for row in rows:
        where = f"{show(str(path))}, line {rows.line_num}"
        name = (row[_FILE] or "").strip()
        if not name or None in row:
            raise UsageError(f"{where}: " + ("too many cells" if name else "no file is named"))
        if name in known:
            raise UsageError(f"{where}: {show(name)} stands there twice")
        known[name] = _read_row({key: (value or "").strip() for key, value in row.items()}, where)
    return known


def _read_row(row: dict[str, str], where: str) -> Told:
    channels = {int(match[1]): role for key, role in row.items() if (match := _CHANNEL.fullmatch(key)) and role}
    if sorted(channels) != list(range(1, len(channels) + 1)):
        raise UsageError(f"{where}: the roles of channel_1, channel_2 and so on must not have gaps")
    try:
        speakers = parse_roles(",".join(channels[k] for k in sorted(channels))) if channels else ()
        recorded = _told_time(row.get(_RECORDED, ""))
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error
    groups = {
        key: value
        for key, value in row.items()
        if value and key not in (_FILE, _RECORDED) and not _CHANNEL.fullmatch(key)
    }
    return Told(recorded, speakers, groups)


def _told_time(text: str) -> str:
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: give one such as 2026-11-24 09:15:00") from None
    if moment.tzinfo:
        raise ValueError(f"{text!r} names an offset: give local time, such as 2026-11-24 09:15:00")
    return moment.date().isoformat() if len(text) <= 10 else moment.isoformat(" ", "seconds")
