"""Entries of the ledger, for recordings that do not exist."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.model.labels import Labelling
from analyzer.names import Identity
from analyzer.speech.detector import Segment
from analyzer.store.entry import Entry
from analyzer.timeline.channel_statistics import channel_statistics
from analyzer.timeline.timeline import Row, row

BERLIN = ZoneInfo("Europe/Berlin")
#: A turn: channel, start and end in seconds, and emotion.
Spoken = tuple[int, float, float, str]
HALF_SAD = "as neutral as sad"
CALM: tuple[Spoken, ...] = ((1, 0, 10, "neutral"),)
UPSET: tuple[Spoken, ...] = ((1, 0, 10, "neutral"), (1, 60, 66, "angry"))
#: Names of folders and files that cause trouble in a spreadsheet, a terminal or a text file.
AWKWARD_NAMES = (
    "=1+1",
    "+49",
    "-x",
    "@SUM(A1)",
    "\tx",
    "\nx",
    "\rx",
    "'x",
    '"x',
    "x,y;z",
    "a\nb",
    os.fsdecode(b"\xff\xfe"),
    "\x1b[31m",
    "\u2028",
    "\ufffe\uffff",
    "\U0001f600",
    "_x000D_",
    "=cmd|' /C calc'!A0",
)


def rows_of(segments: Sequence[Spoken]) -> list[Row]:
    sounds = {emotion: np.eye(8)[k] for k, emotion in enumerate(EMOTIONS)}
    sounds |= {UNCERTAIN: np.array([0.3, 0.3, 0.3, 0, 0, 0, 0, 0.1]), HALF_SAD: np.array([0.5, 0, 0, 0.5, 0, 0, 0, 0])}
    pieces = [
        (Segment(at, to, np.full(6000, 0.1, np.float32), True), channel, how) for channel, at, to, how in segments
    ]
    return [row(segment, channel, sounds[how], Labelling(0.5, 0.4)) for segment, channel, how in pieces]


def a_call(
    path: str = "a.wav",
    segments: Sequence[Spoken] = CALM,
    day: str = "2026-11-24",
    speakers: Sequence[str] = ("customer", "agent"),
    masked: Sequence[str] = (),
    groups: Mapping[str, str] | None = None,
    length_s: float = 90.0,
    **changes: object,
) -> Entry:
    """A call; an empty `day` leaves the time of the recording unknown."""
    rows = rows_of(segments)
    statistics = {
        channel: channel_statistics(channel, rows, [], length_s, speaker=speaker, masked=speaker in masked)
        for channel, speaker in enumerate(speakers, start=1)
    }
    made = Entry(
        Identity("calls", path),
        size=720_044,
        mtime_ns=0,
        status="ok" if segments else "no_speech",
        fingerprint="f",
        model="tiny",
        length_s=length_s,
        statistics=statistics,
        recorded=f"{day} 09:15:00" if day else "",
        recorded_from="name" if day else "",
        groups=groups or {},
    )
    return replace(made, **changes)


def failed(path: str = "broken.wav", day: str = "2026-11-24", status: str = "failed", reason: str = "broken") -> Entry:
    recorded = f"{day} 09:15:00" if day else ""
    return Entry(Identity("calls", path), 5, 0, status, reason, recorded=recorded, recorded_from="name")


def ago(days: int) -> str:
    return (date(2026, 11, 24) - timedelta(days)).isoformat()
