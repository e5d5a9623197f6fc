"""A timeline: rows of speech, what else sounds, and all that is told of one recording."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from analyzer.emotions import EMOTIONS
from analyzer.labels import Labelling, negative_probability, rounded
from analyzer.speech import Segment

if TYPE_CHECKING:
    import pandas as pd


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
    def probability(self) -> float | None:
        """The probability of the emotion that is named, of an uncertain segment the highest; None of a masked channel.

        It may be lower than `confidence`: a segment is negative by the sum of four probabilities.
        """
        if self.probabilities and self.emotion in EMOTIONS:
            return self.probabilities[EMOTIONS.index(self.emotion)]
        return self.confidence

    @property
    def seconds(self) -> float:
        """Length of the segment."""
        return self.end - self.start

    @property
    def negative(self) -> float | None:
        """Probability that the emotion is a negative one, see `emotions.NEGATIVE`; None of a masked channel."""
        return negative_probability(self.probabilities) if self.probabilities else None


def row(segment: Segment, channel: int, probabilities: np.ndarray, labelling: Labelling) -> Row:
    """The row of a segment; `probabilities` is shaped (8,), its emotion is as `labelling` decides."""
    start, end, level_db = round(segment.start, 3), round(segment.end, 3), round(segment.level_db, 1)
    return Row(start, end, channel, labelling.label(probabilities), rounded(probabilities), level_db)


def masked_row(segment: Segment, channel: int) -> Row:
    """The row of a segment whose emotion is not to be inferred."""
    return Row(round(segment.start, 3), round(segment.end, 3), channel, "", (), round(segment.level_db, 1))


@dataclass(frozen=True)
class Span:
    """Something that sounds on a channel and is not speech: seconds from the start."""

    start: float
    end: float
    channel: int


Piece = TypeVar("Piece", Row, Span)


def ordered(pieces: Sequence[Piece]) -> list[Piece]:
    """Rows or spans by start, then channel."""
    return sorted(pieces, key=lambda piece: (piece.start, piece.channel))


@dataclass(frozen=True)
class Sketch:
    """What pictures need of a recording besides its rows: the packed `envelope`, and what sounds and is no speech."""

    envelope: bytes
    other: tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class Timeline:
    """One recording, told whole: what every format for people and for other tools is made of.

    Attributes
    ----------
    recording : what the recording is called.
    length_s : seconds of sound.
    speakers : what the speaker of each channel is called.
    rows : segments of speech, by start, then channel.
    other : what sounds and is no speech, in the same order.
    envelope : least and greatest sample per 0.1 s, shaped (channels, points, 2), between -1 and 1.
    about : what else is known of it, by what it is, such as `recorded`, `queue`, `model` and `note`; in order.
    """

    recording: str
    length_s: float
    speakers: tuple[str, ...]
    rows: tuple[Row, ...]
    other: tuple[Span, ...] = ()
    envelope: np.ndarray = field(repr=False, default_factory=lambda: np.empty((0, 0, 2), np.float32))
    about: dict[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> range:
        """The channels that are told of, counted from 1; one of two that carry one sound."""
        return range(1, len(self.speakers) + 1)

    def speaker(self, row: Row) -> str:
        """Who speaks in a row."""
        return self.speakers[row.channel - 1]

    def to_frame(self) -> "pd.DataFrame":
        """A data frame of pandas with a line per row, in the columns of the timeline's file.

        Of masked channels emotion, confidence and probabilities are missing.
        """
        import pandas as pd

        rows, nothing = self.rows, (math.nan,) * len(EMOTIONS)
        told = np.array([row.probabilities or nothing for row in rows]).reshape(-1, len(EMOTIONS))
        return pd.DataFrame(
            {
                "start": pd.Series([row.start for row in rows], dtype=float),
                "end": pd.Series([row.end for row in rows], dtype=float),
                "channel": pd.Series([row.channel for row in rows], dtype=int),
                "speaker": pd.Series([self.speaker(row) for row in rows], dtype="string"),
                "emotion": pd.Series([row.emotion or None for row in rows], dtype="string"),
                "confidence": told.max(axis=1),
                **dict(zip(EMOTIONS, told.T, strict=True)),
                "level_db": pd.Series([row.level_db for row in rows], dtype=float),
            }
        )


def span(segment: Segment, channel: int) -> Span:
    """The span of a segment that is no speech."""
    return Span(round(segment.start, 3), round(segment.end, 3), channel)
