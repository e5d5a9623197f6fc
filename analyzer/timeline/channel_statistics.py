"""Figures per channel, computed from the rows of a timeline."""

from collections.abc import Iterator, Sequence

import numpy as np

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.timeline import passages
from analyzer.timeline.timeline import Row, Span

#: Values of a channel by column: those in recordings.csv, further ones for the workbook, and whether it is `masked`.
Figures = dict[str, float | int | str | None]

_PASSAGE_FIGURES = (
    *("passages", "passage_start_s", "passage_end_s", "passage_emotion", "passage_negative_s", "passage_mean"),
)
_EMOTION_FIGURES = (
    *(f"share_{emotion}" for emotion in (*EMOTIONS, UNCERTAIN)),
    *(f"mean_{emotion}" for emotion in EMOTIONS),
    *(f"peak_{emotion}_s" for emotion in EMOTIONS),
    *("first_third", "last_third", *_PASSAGE_FIGURES),
)


def channel_figures(
    channel: int, rows: Sequence[Row], other: Sequence[Span], length_s: float, *, speaker: str, masked: bool
) -> Figures:
    """Return the values of one channel for recordings.csv and the workbook, by column.

    `rows` and `other` are those of the whole recording, because `both_s` and `silence_s` cover all channels.
    A `masked` channel has no emotion figures.
    """
    channel_rows = [row for row in rows if row.channel == channel]
    talk_s = sum(row.seconds for row in channel_rows)
    sound_spans = [(row.start, row.end) for row in rows] + [(span.start, span.end) for span in other]
    figures: Figures = {
        "speaker": speaker,
        "talk_s": round(talk_s, 3),
        "other_s": round(sum(span.end - span.start for span in other if span.channel == channel), 3),
        "silence_s": round(max(0.0, length_s - covered(sound_spans)), 3),
        "both_s": round(overlap(rows), 3),
    }
    figures |= _emotion_figures(channel_rows, talk_s, length_s)
    return without_emotions(figures) if masked else figures


def without_emotions(figures: Figures) -> Figures:
    """Return the figures of a masked channel: emotion figures are None, and `masked` is set."""
    return figures | dict.fromkeys(_EMOTION_FIGURES) | {"masked": True}


def _emotion_figures(rows: Sequence[Row], talk_s: float, length_s: float) -> Figures:
    """Return shares of the talking time by label, mean and peak of each emotion, trend, passages, and speech level."""
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
    figures["first_third"] = _mean_negative(rows, 0, length_s / 3)
    figures["last_third"] = _mean_negative(rows, length_s * 2 / 3, length_s)
    return figures | _passage_figures(rows) | level


def _passage_figures(rows: Sequence[Row]) -> Figures:
    """Return the number of negative passages, and the passage with the most negative speech."""
    negative_passages = passages.passages(rows)
    if not negative_passages:
        return dict.fromkeys(_PASSAGE_FIGURES) | {"passages": 0}
    strongest = max(negative_passages, key=lambda passage: passage.negative_s)
    values = (
        len(negative_passages),
        strongest.start,
        strongest.end,
        strongest.emotion,
        strongest.negative_s,
        strongest.mean,
    )
    return dict(zip(_PASSAGE_FIGURES, values, strict=True))


def _mean_negative(rows: Sequence[Row], start: float, end: float) -> float | None:
    """Return the mean negative probability of the speech between two times; None if there is none."""
    total = talk_s = 0.0
    for row in rows:
        seconds = max(0.0, min(row.end, end) - max(row.start, start))
        talk_s += seconds
        total += seconds * (row.negative or 0.0)
    return round(total / talk_s, 4) if talk_s else None


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return the seconds covered by at least one of the spans."""
    total, covered_until = 0.0, -np.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, covered_until))
        covered_until = max(covered_until, end)
    return total


def overlap(rows: Sequence[Row]) -> float:
    """Return the seconds in which two or more channels have speech."""
    return sum((end - start for start, end in together(rows)), 0.0)


def together(rows: Sequence[Row]) -> Iterator[tuple[float, float]]:
    """Yield spans in which two or more channels have speech, in order; they may touch where a third starts or ends."""
    changes = sorted([(row.start, 1) for row in rows] + [(row.end, -1) for row in rows])
    active, previous = 0, 0.0
    for time, step in changes:
        if active >= 2:
            yield previous, time
        active, previous = active + step, time
