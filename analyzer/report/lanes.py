"""Content of a timeline picture, however it is drawn: a lane per channel, overlapping speech, silences."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from analyzer.audio.envelope import STEP_S, coarser
from analyzer.timeline.channel_statistics import together
from analyzer.timeline.passages import Passage, passages
from analyzer.timeline.timeline import Row, Span, Timeline

#: Minimum length in seconds of a silence that pictures show; contact centres use the same rule.
LONG_SILENCE_S = 5.0

#: Kind of the bar of a segment whose emotion is not inferred.
MASKED = "masked"
#: Minimum width at which fine ticks are shown, too.
ROOMY_PX = 900
#: Pixels that a tick needs.
_TICK_PX = 64
_TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)

#: Start and end of each stretch in seconds from the start of the recording, in order; none touches the next.
Intervals = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Lane:
    """One channel of a picture.

    Attributes
    ----------
    channel : number of the channel, counted from 1.
    speaker : name of its speaker.
    rows : its speech segments, in order.
    other : its non-speech sounds, in order.
    waveform : minimum and maximum sample per step, shaped (points, 2), between -1 and 1.
    step_s : seconds per point of the waveform; the last point may stand for less.
    passages : its negative passages, in order.
    """

    channel: int
    speaker: str
    rows: tuple[Row, ...]
    other: tuple[Span, ...]
    waveform: np.ndarray = field(repr=False)
    step_s: float
    passages: list[Passage]

    @property
    def talk_s(self) -> float:
        """Seconds of speech."""
        return sum(row.seconds for row in self.rows)


def lanes(timeline: Timeline, points: int = 2000) -> list[Lane]:
    """Return a lane for each channel of the timeline, with a waveform of at most `points` points.

    The envelope may have more channels than the timeline, because two channels with the same sound count as one.
    Channels without an envelope have a flat waveform.
    """
    envelope, count = timeline.envelope, len(timeline.speakers)
    if envelope.shape[1] == 0:
        envelope = np.zeros((count, math.ceil(timeline.length_s / STEP_S), 2), np.float32)
    envelope = np.pad(envelope[:count], ((0, max(0, count - len(envelope))), (0, 0), (0, 0)))
    coarse = coarser(envelope, points)
    step_s = STEP_S * max(1, -(-envelope.shape[1] // points))
    found = []
    for channel, speaker, waveform in zip(timeline.channels, timeline.speakers, coarse, strict=True):
        rows = tuple(row for row in timeline.rows if row.channel == channel)
        other = tuple(span for span in timeline.other if span.channel == channel)
        found.append(Lane(channel, speaker, rows, other, waveform, step_s, passages(rows)))
    return found


def both_speaking(rows: Sequence[Row]) -> Intervals:
    """Return the stretches in which two or more channels speak."""
    return joined(together(rows))


def silences(timeline: Timeline) -> Intervals:
    """Return the stretches of at least `LONG_SILENCE_S` in which no channel has speech or any other sound."""
    speech = [(row.start, row.end) for row in timeline.rows]
    occupied = joined(speech + [(span.start, span.end) for span in timeline.other])
    starts = [0.0, *(end for _, end in occupied)]
    ends = [*(start for start, _ in occupied), timeline.length_s]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if round(end - start, 3) >= LONG_SILENCE_S]


def joined(stretches: Iterable[tuple[float, float]]) -> Intervals:
    """Merge stretches that touch or overlap, and drop those of no length."""
    result: Intervals = []
    for start, end in sorted(stretches):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        elif end > start:
            result.append((start, end))
    return result


def scale(drawn: Sequence[Lane]) -> float:
    """Return the sample value that all lanes draw at full height: the loudest sample, at least 0.02.

    A common scale keeps levels comparable and makes a quiet call visible.
    """
    return max([0.02, *(float(np.abs(lane.waveform).max(initial=0)) for lane in drawn)])


@dataclass(frozen=True)
class Tick:
    """A tick of the time axis, in seconds.

    A `fine` one is only for wide displays. `edge` is `start` or `end` for the ends of the axis, else empty.
    """

    at: float
    fine: bool = False
    edge: str = ""


def ticks(length_s: float, width_px: int) -> Iterator[Tick]:
    """Yield the ticks that fit on a timeline `width_px` wide, and fine ones for displays of `ROOMY_PX` or more."""
    roomy_px = max(width_px, ROOMY_PX)
    coarse = _tick_step(length_s / width_px)
    fine = _tick_step(length_s / roomy_px, coarse)
    yield Tick(0.0, edge="start")
    for at in range(fine, math.ceil(length_s), fine):
        is_fine = at % coarse > 0
        if length_s - at >= _TICK_PX * length_s / (roomy_px if is_fine else width_px):
            yield Tick(float(at), is_fine)
    yield Tick(length_s, edge="end")


def _tick_step(s_per_px: float, coarse: int | None = None) -> int:
    """Return the shortest step in seconds that leaves enough pixels between ticks and that divides the coarse step."""
    fitting = (step for step in _TICK_STEPS_S if step >= _TICK_PX * s_per_px and (coarse or step) % step == 0)
    return next(fitting, _TICK_STEPS_S[-1])


def kind_of(row: Row) -> str:
    """Return the kind of a segment's bar: its emotion, or `MASKED` if it is not inferred."""
    return row.emotion or MASKED


def word(kind: str) -> str:
    """Return the display name of a kind of bar."""
    return "not inferred" if kind == MASKED else kind
