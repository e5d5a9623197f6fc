"""Call metadata: recording time, speaker roles per channel, groups (queue, campaign and so on)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from analyzer.inputs import dates
from analyzer.inputs.masking import Mask
from analyzer.inputs.matching import exact_names
from analyzer.inputs.metadata import MetadataRow
from analyzer.inputs.name_pattern import NamePattern
from analyzer.names import Identity

#: A time further in the future than this many seconds comes from a wrong clock, not from one slightly ahead.
_CLOCK_TOLERANCE_S = 24 * 3600


@dataclass(frozen=True)
class Details:
    """Metadata of a recording, from its name and from the metadata file.

    Attributes
    ----------
    recorded, speakers, groups : as in `MetadataRow`.
    recorded_from : source of the time, `name` or `metadata`; `run` for the day of the first run that saw a recording
        whose time lies in the future; empty if only the file's modification time is known.
    metadata : what the metadata file says, now or in an earlier run.
    matched, dated : whether --name-pattern matches the name, and finds a date in it.
    """

    recorded: str = ""
    recorded_from: str = ""
    speakers: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    metadata: MetadataRow = field(default_factory=MetadataRow)
    matched: bool = False
    dated: bool = False

    def columns(self) -> dict[str, Any]:
        """Return the fields that the ledger stores; roles are stored with the figures of the channels."""
        return {key: getattr(self, key) for key in ("recorded", "recorded_from", "groups", "metadata")}


@dataclass(frozen=True)
class MetadataResolver:
    """The rules that give the name and the details of a recording.

    Attributes
    ----------
    speakers : roles by channel of every recording whose roles the metadata do not give.
    pattern : finds `date`, `time` and groups in names.
    metadata : by file name, see `read_metadata`.
    rows : by recording, the row of the metadata matched to it whose name is not exactly its own, see `match_rows`.
    mask : replaces runs of digits in names; None if names are not masked.
    zone : time zone of the recordings.
    now : time of the run.
    """

    speakers: tuple[str, ...] = ()
    pattern: NamePattern | None = None
    metadata: Mapping[str, MetadataRow] = field(default_factory=dict)
    rows: Mapping[Identity, str] = field(default_factory=dict)
    mask: Mask | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def today(self) -> date:
        """The day of the run, in the time zone of the recordings."""
        return self.now.astimezone(self.zone).date()

    def called(self, identity: Identity) -> Identity:
        """Return the name of a recording in every result, masked if names are masked."""
        return self.mask.identity(identity) if self.mask else identity

    def masked(self, text: str) -> str:
        """Return a text, with masked numbers if names are masked."""
        return self.mask.text(text) if self.mask else text

    def metadata_row(self, identity: Identity) -> MetadataRow | None:
        """Return what the metadata say about a recording, found by its file name; None if it is not in them."""
        names = exact_names(identity, self.called(identity)) if self.metadata else ()
        name = next((name for name in names if name in self.metadata), self.rows.get(identity))
        row = self.metadata[name] if name is not None else None
        return row.masked(self.mask) if row and self.mask else row

    def details(self, identity: Identity, metadata: MetadataRow) -> Details:
        """Return the details of a recording, from its file name and from what the metadata say or said about it.

        The recording time comes from the pattern, else from the metadata, else from a common date form in the name.
        """
        name = f"{identity.label}/{identity.path}"
        match = self.pattern.find(name) if self.pattern else None
        pattern_time, groups = (match.moment, match.others) if match else ("", {})
        name_time = pattern_time or ("" if metadata.recorded else dates.find_in_name(name, self.zone, self.today))
        return Details(
            recorded=name_time or metadata.recorded,
            recorded_from="name" if name_time else "metadata" if metadata.recorded else "",
            speakers=metadata.speakers or self.speakers,
            groups={**(self.mask.texts(groups) if self.mask else groups), **metadata.groups},
            metadata=metadata,
            matched=match is not None,
            dated=bool(pattern_time),
        )

    def not_in_future(self, details: Details, mtime_ns: int, before: str | None) -> Details:
        """Return the details, with the day of the run in place of a time in the future (a phone with a wrong clock).

        `before` is the day that an earlier run gave to such a recording; it is kept.
        """
        latest = datetime.fromtimestamp(self.now.timestamp() + _CLOCK_TOLERANCE_S, self.zone)
        if details.recorded:
            in_future = details.recorded > latest.isoformat(" ", "seconds")[: len(details.recorded)]
        else:
            in_future = mtime_ns > latest.timestamp() * 1e9
        return (
            replace(details, recorded=before or self.today.isoformat(), recorded_from="run") if in_future else details
        )
