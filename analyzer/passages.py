"""Negative passages: the stretches of a call for which somebody might want to listen to it.

A single segment proves little, whatever its probability; a caller who is upset is so for a while. So segments that
are more probably negative than is usual are put together across what is said between them, and a passage counts as
much as the time for which it is negative: the strongest and longest come first (training/EXPERIMENTS.md has how calls
are ranked by it).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyzer.emotions import EMOTIONS, NEGATIVE
from analyzer.timeline import Row

#: A segment belongs to a passage from this probability of a negative emotion on.
_NEGATIVE_FROM = 0.35
#: Seconds between two of them in one passage, at most: the other one's turn, or a calmer sentence.
_BRIDGE_S = 12.0
#: Seconds of negative speech that a passage holds at least.
_LEAST_S = 3.0


@dataclass(frozen=True)
class Passage:
    """A stretch of one channel that is negative.

    Attributes
    ----------
    start, end : seconds from the start of the recording.
    emotion : the negative emotion that is most probable over it.
    negative_s : seconds of it that are negative, each weighed by its probability.
    mean : mean probability of a negative emotion over those.
    """

    start: float
    end: float
    emotion: str
    negative_s: float
    mean: float


def passages(rows: Sequence[Row]) -> list[Passage]:
    """The passages of one channel, in order; `rows` are its segments in order."""
    return [_passage(run) for run in _runs(rows) if round(sum(row.seconds for row in run), 3) >= _LEAST_S]


def _runs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Negative rows that belong together; compared as rounded as they are told: sums are a bit less than that here."""
    run: list[Row] = []
    for row in rows:
        if round(row.negative or 0.0, 4) < _NEGATIVE_FROM:
            continue
        if run and round(row.start - run[-1].end, 3) > _BRIDGE_S:
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _passage(run: Sequence[Row]) -> Passage:
    weighed = {
        emotion: sum(row.seconds * row.probabilities[EMOTIONS.index(emotion)] for row in run) for emotion in NEGATIVE
    }
    negative_s = sum(weighed.values())
    return Passage(
        start=run[0].start,
        end=run[-1].end,
        emotion=max(weighed, key=lambda emotion: weighed[emotion]),
        negative_s=round(negative_s, 3),
        mean=round(negative_s / sum(row.seconds for row in run), 4),
    )
