"""What a picture of a timeline shows, whatever draws it: a lane per channel, who speaks together, where nobody does."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from analyzer.envelope import STEP_S, coarser
from analyzer.figures import together
from analyzer.timeline import Row, Span, Timeline

#: Seconds in which nothing sounds before a picture calls them silence, the rule of contact centres.
LONG_SILENCE_S = 5.0

#: What the bar of a segment shows whose emotion is not inferred.
MASKED = "masked"
#: From this width on, finer marks of time are shown, too.
ROOMY_PX = 900
#: What a mark of time needs.
_TICK_PX = 64
_TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)

#: Stretches in seconds from the start, in order, none of which touches the next.
Stretches = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Lane:
    """One channel of a picture.

    Attributes
    ----------
    channel : counted from 1.
    speaker : what its speaker is called.
    rows : its segments of speech, in order.
    other : what sounds on it and is no speech, in order.
    waveform : least and greatest sample per step, shaped (points, 2), between -1 and 1.
    step_s : seconds that a point of the waveform stands for; the last one may stand for less.
    """

    channel: int
    speaker: str
    rows: tuple[Row, ...]
    other: tuple[Span, ...]
    waveform: np.ndarray = field(repr=False)
    step_s: float


def lanes(timeline: Timeline, points: int = 2000) -> list[Lane]:
    """The lanes of a timeline, one for each channel that is told of, their waveforms of at most so many points.

    The envelope may know of more channels (two that carry one sound are told as one); where it knows of none, the
    waveform is flat.
    """
    envelope = _told_envelope(timeline)
    coarse = coarser(envelope, points)
    return [
        Lane(
            channel=channel,
            speaker=timeline.speakers[channel - 1],
            rows=tuple(row for row in timeline.rows if row.channel == channel),
            other=tuple(span for span in timeline.other if span.channel == channel),
            waveform=coarse[channel - 1],
            step_s=STEP_S * max(1, -(-envelope.shape[1] // points)),
        )
        for channel in timeline.channels
    ]


def _told_envelope(timeline: Timeline) -> np.ndarray:
    """The envelope of the channels that are told of, shaped (channels, points, 2)."""
    known, told = timeline.envelope, len(timeline.speakers)
    if known.shape[1] == 0:
        return np.zeros((told, math.ceil(timeline.length_s / STEP_S), 2), np.float32)
    missing = max(0, told - len(known))
    return np.pad(known[:told], ((0, missing), (0, 0), (0, 0)))


def both_speaking(rows: Sequence[Row]) -> Stretches:
    """Where two channels or more speak."""
    return joined(together(rows))


def silences(timeline: Timeline, at_least_s: float = LONG_SILENCE_S) -> Stretches:
    """Where no channel sounds, neither speech nor anything else, for at least so long."""
    spoken = [(row.start, row.end) for row in timeline.rows]
    sounding = joined(spoken + [(span.start, span.end) for span in timeline.other])
    starts = [0.0, *(end for _, end in sounding)]
    ends = [*(start for start, _ in sounding), timeline.length_s]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if round(end - start, 3) >= at_least_s]


def joined(stretches: Iterable[tuple[float, float]]) -> Stretches:
    """Stretches put together where they touch or overlap; those of no length are left out."""
    result: Stretches = []
    for start, end in sorted(stretches):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        elif end > start:
            result.append((start, end))
    return result


def scale(drawn: Sequence[Lane]) -> float:
    """The sample that all lanes are drawn up to, so that levels compare and a quiet call is seen: the loudest one."""
    loudest = max((float(np.abs(lane.waveform).max(initial=0)) for lane in drawn), default=0.0)
    return max(loudest, 0.02)


@dataclass(frozen=True)
class Tick:
    """A mark on the axis of time, in seconds: a `fine` one is for where there is room, an `edge` is an end of it."""

    at: float
    fine: bool = False
    edge: str = ""


def ticks(length_s: float, width_px: int) -> Iterator[Tick]:
    """Marks of time that have room on a timeline so wide, and finer ones for where there is more."""
    roomy_px = max(width_px, ROOMY_PX)
    coarse = _step(length_s / width_px)
    fine = _step(length_s / roomy_px, coarse)
    yield Tick(0.0, edge="start")
    for at in range(fine, math.ceil(length_s), fine):
        is_fine = at % coarse > 0
        if length_s - at >= _TICK_PX * length_s / (roomy_px if is_fine else width_px):
            yield Tick(float(at), is_fine)
    yield Tick(length_s, edge="end")


def _step(s_per_px: float, coarse: int | None = None) -> int:
    """The shortest step of time that has room for its marks, and that divides the coarse one."""
    roomy = (step for step in _TICK_STEPS_S if step >= _TICK_PX * s_per_px and (coarse or step) % step == 0)
    return next(roomy, _TICK_STEPS_S[-1])


def kind_of(row: Row) -> str:
    """What the bar of a segment shows: its emotion, or that it is not inferred."""
    return row.emotion or MASKED


def word(kind: str) -> str:
    """What such a kind of bar is called."""
    return "not inferred" if kind == MASKED else kind
