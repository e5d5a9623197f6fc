"""What was heard before in the same voice: emotions last longer than a segment.

A segment's probabilities are averaged with those before it in the same channel, weighed by their length and the less
the longer ago they were. A mean never becomes surer than what it is made of: a model that adds up the evidence calls a
voice angry for a whole call because it sounds a little so throughout (training/EXPERIMENTS.md). Nothing waits for what
comes later, so that a stream is told the same as a file; a first segment keeps its probabilities.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Told:
    """What is told of a segment.

    Attributes
    ----------
    end : seconds from the start of the recording.
    seconds : of speech that count in the mean.
    probabilities : of whatever was heard.
    """

    end: float
    seconds: float
    probabilities: np.ndarray


def follow(heard: np.ndarray, start: float, end: float, before: Told | None, fades_s: float) -> Told:
    """What to tell of a segment, given what was told of the one before.

    Parameters
    ----------
    heard : probabilities of this segment by itself: of the eight emotions, or of being no speech.
    start, end : of the segment, in seconds.
    before : the segment of the same voice before it; None for a first one.
    fades_s : seconds from end to end after which what was heard counts 1/e as much.
    """
    seconds = end - start
    if before is None:
        return Told(end, seconds, heard)
    kept = before.seconds * float(np.exp(-max(0.0, end - before.end) / fades_s))
    share = kept / (kept + seconds)
    return Told(end, kept + seconds, share * before.probabilities + (1 - share) * heard)
