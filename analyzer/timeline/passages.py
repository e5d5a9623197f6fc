"""Negative passages: the parts of a call that may be worth listening to.

A single segment proves little, whatever its probability, whereas an upset caller stays upset for a while. Segments that
are labelled negative are therefore joined into passages, across speech between them. Passages are
ranked by their negative time, so the strongest and longest come first (see training/EXPERIMENTS.md for the ranking of
calls).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyzer.emotions import EMOTIONS, NEGATIVE
from analyzer.timeline.timeline import Row

#: Maximum gap in seconds between two such segments: a turn of the other speaker, or a calmer sentence.
_BRIDGE_S = 12.0
#: Minimum total length in seconds of these segments in a passage.
_LEAST_S = 3.0


@dataclass(frozen=True)
class Passage:
    """A negative passage of one channel.

    Attributes
    ----------
    start, end : seconds from the start of the recording.
    emotion : the most probable negative emotion over the passage.
    negative_s : negative time: length of its segments in seconds, weighted by their negative probabilities.
    mean : mean negative probability of its segments, weighted by length.
    """

    start: float
    end: float
    emotion: str
    negative_s: float
    mean: float


def passages(rows: Sequence[Row]) -> list[Passage]:
    """Return the passages of one channel, in order; `rows` are its segments in order."""
    return [_passage(group) for group in _groups(rows) if round(sum(row.seconds for row in group), 3) >= _LEAST_S]


def _groups(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield groups of negative rows that form a passage; times are rounded as in the output to avoid float errors."""
    group: list[Row] = []
    for row in rows:
        if row.emotion not in NEGATIVE:
            continue
        if group and round(row.start - group[-1].end, 3) > _BRIDGE_S:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _passage(group: Sequence[Row]) -> Passage:
    negative_s_by_emotion = {
        emotion: sum(row.seconds * row.probabilities[EMOTIONS.index(emotion)] for row in group) for emotion in NEGATIVE
    }
    negative_s = sum(negative_s_by_emotion.values())
    return Passage(
        start=group[0].start,
        end=group[-1].end,
        emotion=max(negative_s_by_emotion, key=lambda emotion: negative_s_by_emotion[emotion]),
        negative_s=round(negative_s, 3),
        mean=round(negative_s / sum(row.seconds for row in group), 4),
    )
