"""What is known of a call besides its sound: when it was, who speaks on which channel, what it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from analyzer import dates
from analyzer.masking import Mask
from analyzer.matching import exact_names
from analyzer.metadata import Told
from analyzer.name_pattern import NamePattern
from analyzer.names import Identity

#: A date later than this many seconds from now comes from a clock that is wrong, not from one a little ahead.
_CLOCKS_DIFFER_S = 24 * 3600


@dataclass(frozen=True)
class Details:
    """What is known of a recording besides its sound, from its name and from metadata.

    Attributes
    ----------
    recorded, speakers, groups : as of `Told`.
    recorded_from : where the time stands, `name` or `metadata`; `run` for the day of the first run that saw a recording
        whose time lies in the future; empty where nothing but the file's time tells it.
    told : what the metadata say, now or in an earlier run.
    matched, dated : whether --name-pattern matches the name, and finds a date in it.
    """

    recorded: str = ""
    recorded_from: str = ""
    speakers: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    matched: bool = False
    dated: bool = False

    def columns(self) -> dict[str, Any]:
        """What of it the ledger keeps; roles are told by the figures of the channels."""
        return {key: getattr(self, key) for key in ("recorded", "recorded_from", "groups", "told")}


@dataclass(frozen=True)
class Naming:
    """How the details of a recording are found.

    Attributes
    ----------
    speakers : roles by channel of every recording that the metadata say nothing of.
    pattern : finds `date`, `time` and groups in names.
    metadata : by file name, see `read_metadata`.
    rows : by recording, the row of the metadata that plainly means it without giving just its name, see `match_rows`.
    mask : replaces runs of digits in names; None where names stay as they are.
    zone : the time zone of recordings.
    now : the time of the run.
    """

    speakers: tuple[str, ...] = ()
    pattern: NamePattern | None = None
    metadata: Mapping[str, Told] = field(default_factory=dict)
    rows: Mapping[Identity, str] = field(default_factory=dict)
    mask: Mask | None = None
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def today(self) -> date:
        """The day of the run, where the recordings are made."""
        return self.now.astimezone(self.zone).date()

    def called(self, identity: Identity) -> Identity:
        """The name of a recording in every result."""
        return self.mask.identity(identity) if self.mask else identity

    def told(self, identity: Identity) -> Told | None:
        """What the metadata say of a recording, by the name that its file has; None where it is not in them."""
        names = exact_names(identity, self.called(identity)) if self.metadata else ()
        name = next((name for name in names if name in self.metadata), self.rows.get(identity))
        told = self.metadata[name] if name is not None else None
        return told.masked(self.mask) if told and self.mask else told

    def details(self, identity: Identity, told: Told) -> Details:
        """What is known of a recording, by the name that its file has and by what metadata say or said of it.

        When it was recorded, the pattern says first, then the metadata, then a date in its name in a common form.
        """
        name = f"{identity.label}/{identity.path}"
        found = self.pattern.find(name) if self.pattern else None
        by_pattern, groups = (found.moment, found.others) if found else ("", {})
        by_name = by_pattern or ("" if told.recorded else dates.in_name(name, self.zone, self.today))
        return Details(
            recorded=by_name or told.recorded,
            recorded_from="name" if by_name else "metadata" if told.recorded else "",
            speakers=told.speakers or self.speakers,
            groups={**(self.mask.texts(groups) if self.mask else groups), **told.groups},
            told=told,
            matched=found is not None,
            dated=bool(by_pattern),
        )

    def not_in_future(self, details: Details, mtime_ns: int, before: str | None) -> Details:
        """The same, with the day of the run for a time in the future, as of a telephone whose clock is wrong.

        `before` is the day that an earlier run has given such a recording: it stays.
        """
        latest = datetime.fromtimestamp(self.now.timestamp() + _CLOCKS_DIFFER_S, self.zone)
        if details.recorded:
            in_future = details.recorded > latest.isoformat(" ", "seconds")[: len(details.recorded)]
        else:
            in_future = mtime_ns > latest.timestamp() * 1e9
        return (
            replace(details, recorded=before or self.today.isoformat(), recorded_from="run") if in_future else details
        )
