"""Timelines of recordings that do not exist."""

import re
from itertools import pairwise

from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.names import show
from analyzer.timeline.timeline import Row, Timeline, ordered

DAY_MS = 86_400_000
#: Roles that break a file if they are not escaped.
AWKWARD_ROLES = (
    "channel 1",
    'the "boss"',
    "<v agent>",
    "R&D --> sales &amp;",
    "a,b;c",
    "=1+1",
    "a\tb",
    "line\nbreak",
    "größer \U0001f600",
    "العميل",
    "\udcff",
    "\x1b[31m",
    "\u2028",
    "x\u00a0y\u3000z",
    "null",
    "%s {x} \\n",
)


def a_row(
    start: float, end: float, channel: int = 1, emotion: str = "angry", sure: float = 0.81, level_db: float = -20.0
) -> Row:
    """Return a segment; if it is `uncertain`, its most probable emotion is sad."""
    likely = "sad" if emotion == UNCERTAIN else emotion
    others = round((1 - sure) / 7, 4)
    return Row(start, end, channel, emotion, tuple(sure if e == likely else others for e in EMOTIONS), level_db)


def masked(start: float, end: float, channel: int = 1) -> Row:
    return Row(start, end, channel, "", (), -30.5)


def a_timeline(*rows: Row, **changes: object) -> Timeline:
    """Return a timeline of an agent, whose emotions are not inferred, and a customer."""
    all_rows = rows or (masked(0.5, 2.25), a_row(2.0, 3.75, 2), a_row(4.0, 5.125, 2, UNCERTAIN, 0.35))
    fields: dict = {
        "recording": "calls/a.wav",
        "length_s": 8.0,
        "speakers": ("agent", "customer"),
        "rows": all_rows,
        "about": {"recorded": "2026-11-24 13:00:00", "queue": "billing"},
    }
    return Timeline(**(fields | changes))


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Any recording of up to a day: channels of consecutive segments, some of them masked; awkward names."""
    names = st.sampled_from(AWKWARD_ROLES) | st.text(min_size=1, max_size=40).map(str.strip).filter(bool)
    speakers = draw(st.lists(names, min_size=1, max_size=4, unique_by=lambda name: re.sub(r"\s", "_", show(name))))
    rows: list[Row] = []
    for channel in range(1, len(speakers) + 1):
        is_masked = draw(st.booleans())
        bounds = sorted(draw(st.lists(st.integers(0, DAY_MS), max_size=12, unique=True)))
        for start, end in pairwise(bounds):
            if start % 3:  # some segments touch, others have gaps between them
                times = start / 1000, end / 1000
                rows.append(masked(*times, channel) if is_masked else draw(inferred(*times, channel)))
    last = max((row.end for row in rows), default=0.0)
    length_s = max(0.0, last + draw(st.sampled_from((-0.001, 0.0, 0.0004, 0.001, 7.5))))
    recording = draw(st.sampled_from(("calls/a.wav", "calls/a b.wav", *AWKWARD_ROLES)))
    return Timeline(recording, length_s, tuple(speakers), tuple(ordered(rows)), about={"queue": draw(names)})


@st.composite
def inferred(draw: st.DrawFn, start: float, end: float, channel: int) -> Row:
    """A segment with any probabilities; uncertain if none reaches one half."""
    parts = draw(st.lists(st.integers(1, 1000), min_size=8, max_size=8))
    probabilities = tuple(round(part / sum(parts), 4) for part in parts)
    likely = EMOTIONS[probabilities.index(max(probabilities))]
    emotion = likely if max(probabilities) >= 0.5 else UNCERTAIN
    return Row(start, end, channel, emotion, probabilities, draw(st.integers(-900, 0)) / 10)
