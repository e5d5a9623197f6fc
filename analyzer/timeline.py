"""Rows of a timeline, and the figures of a channel that are counted from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.speech import Segment

#: What recordings.csv says of a channel, by column; and whether it is `masked`.
Figures = dict[str, float | int | str | None]


_EMOTION_FIGURES = (
    *(f"share_{emotion}" for emotion in (*EMOTIONS, UNCERTAIN)),
    *(f"mean_{emotion}" for emotion in EMOTIONS),
    *(f"peak_{emotion}_s" for emotion in EMOTIONS),
)


@dataclass(frozen=True)
class Row:
    """One segment of speech: seconds from the start, channel from 1, eight probabilities, level in dBFS.

    Of a masked channel, whose emotions are not to be inferred, emotion and probabilities are empty. Everything is
    rounded as the timeline shows it, so that whatever is counted from rows can be counted again from
    the file.
    """

    start: float
    end: float
    channel: int
    emotion: str
    probabilities: tuple[float, ...]
    level_db: float

    @property
    def confidence(self) -> float | None:
        """The highest of the probabilities; None of a masked channel."""
        return max(self.probabilities, default=None)

    @property
    def seconds(self) -> float:
        """Length of the segment."""
        return self.end - self.start


def row(segment: Segment, channel: int, probabilities: np.ndarray, uncertain_below: float) -> Row:
    """The row of a segment; `probabilities` is shaped (8,). Under the threshold its emotion is `uncertain`."""
    rounded = tuple(round(float(p), 4) for p in probabilities)
    sure = max(rounded) >= uncertain_below
    emotion = EMOTIONS[rounded.index(max(rounded))] if sure else UNCERTAIN
    return Row(round(segment.start, 3), round(segment.end, 3), channel, emotion, rounded, round(segment.level_db, 1))


def masked_row(segment: Segment, channel: int) -> Row:
    """The row of a segment whose emotion is not to be inferred."""
    return Row(round(segment.start, 3), round(segment.end, 3), channel, "", (), round(segment.level_db, 1))


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows by start, then channel."""
    return sorted(rows, key=lambda row: (row.start, row.channel))


@dataclass(frozen=True)
class Span:
    """Something that sounds on a channel and is not speech: seconds from the start."""

    start: float
    end: float
    channel: int


def span(segment: Segment, channel: int) -> Span:
    """The span of a segment that is no speech."""
    return Span(round(segment.start, 3), round(segment.end, 3), channel)


def channel_figures(
    channel: int, rows: Sequence[Row], other: Sequence[Span], length_s: float, *, speaker: str, masked: bool
) -> Figures:
    """What recordings.csv says of one channel, by column.

    `rows` and `other` are those of the whole recording: `both_s` and `silence_s` are about all of its channels.
    A `masked` channel has no figures of emotions.
    """
    own = [row for row in rows if row.channel == channel]
    talk_s = sum(row.seconds for row in own)
    sounding = [(row.start, row.end) for row in rows] + [(span.start, span.end) for span in other]
    figures: Figures = {
        "speaker": speaker,
        "talk_s": round(talk_s, 3),
        "other_s": round(sum(span.end - span.start for span in other if span.channel == channel), 3),
        "silence_s": round(max(0.0, length_s - covered(sounding)), 3),
        "both_s": round(spoken_together(rows), 3),
    }
    figures |= _emotion_figures(own, talk_s)
    return without_emotions(figures) if masked else figures


def without_emotions(figures: Figures) -> Figures:
    """The figures of a channel whose emotions are not to be inferred."""
    return figures | dict.fromkeys(_EMOTION_FIGURES) | {"masked": True}


def _emotion_figures(rows: Sequence[Row], talk_s: float) -> Figures:
    """Shares of the talking time by label, mean probabilities over it, and where each emotion is strongest."""
    if not rows:
        return dict.fromkeys((*_EMOTION_FIGURES, "level_db"))
    weights = np.array([row.seconds for row in rows]) / talk_s
    power = weights @ 10 ** (np.array([row.level_db for row in rows]) / 10)
    level: Figures = {"level_db": round(10 * float(np.log10(power)), 1)}
    if not rows[0].probabilities:
        return level
    probabilities = np.array([row.probabilities for row in rows])
    figures: Figures = {}
    for emotion in (*EMOTIONS, UNCERTAIN):
        figures[f"share_{emotion}"] = round(float(weights[[row.emotion == emotion for row in rows]].sum()), 4)
    for k, emotion in enumerate(EMOTIONS):
        figures[f"mean_{emotion}"] = round(float(weights @ probabilities[:, k]), 4)
    for k, emotion in enumerate(EMOTIONS):
        figures[f"peak_{emotion}_s"] = rows[int(probabilities[:, k].argmax())].start
    return figures | level


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that lie in at least one of the spans."""
    total, until = 0.0, -np.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def spoken_together(rows: Sequence[Row]) -> float:
    """Seconds in which two channels or more speak."""
    changes = sorted([(row.start, 1) for row in rows] + [(row.end, -1) for row in rows])
    total, speaking, before = 0.0, 0, 0.0
    for at, step in changes:
        if speaking >= 2:
            total += at - before
        speaking, before = speaking + step, at
    return total
