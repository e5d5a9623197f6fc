"""Exponential smoothing of probabilities over the segments of a channel: emotions last longer than one segment.

A segment's probabilities are averaged with those of earlier segments of the same channel. Weights are the lengths of
the segments and decay with time. A mean is never more confident than its inputs; a model that accumulates evidence
would label a voice angry for a whole call because it sounds slightly angry throughout (training/EXPERIMENTS.md).
The smoothing is causal, so a stream gives the same results as a file. The first segment keeps its probabilities.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SmoothedState:
    """Smoothed probabilities of a segment: the state of a channel.

    Attributes
    ----------
    end : end of the segment in seconds from the start of the recording.
    seconds : weight of the mean: decayed length of the speech in it, in seconds.
    probabilities : smoothed probabilities, of the eight emotions or of non-speech.
    """

    end: float
    seconds: float
    probabilities: np.ndarray


def smooth(
    probabilities: np.ndarray, start: float, end: float, before: SmoothedState | None, fades_s: float
) -> SmoothedState:
    """Smooth a segment's probabilities with the state of the same channel.

    Parameters
    ----------
    probabilities : unsmoothed probabilities of this segment: of the eight emotions, or of non-speech.
    start, end : start and end of the segment in seconds.
    before : state after the previous segment of the same channel; None for the first segment.
    fades_s : time constant in seconds, between the ends of segments: after it a weight has fallen to 1/e.
    """
    seconds = end - start
    if before is None:
        return SmoothedState(end, seconds, probabilities)
    previous_weight = before.seconds * float(np.exp(-max(0.0, end - before.end) / fades_s))
    share = previous_weight / (previous_weight + seconds)
    return SmoothedState(end, previous_weight + seconds, share * before.probabilities + (1 - share) * probabilities)
