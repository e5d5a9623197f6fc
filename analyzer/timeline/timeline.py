"""The timeline of a recording: rows of speech, spans of non-speech sound, and metadata."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from analyzer.emotions import EMOTIONS
from analyzer.model.labels import Labelling, negative_probability, rounded
from analyzer.speech.detector import Segment

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One segment of speech: times in seconds from the start, channel from 1, eight probabilities, level in dBFS.

    Emotion and probabilities are empty for a masked channel, whose emotions must not be inferred. All values are
    rounded as in the timeline file, so that all figures computed from rows can be reproduced from the file.
    """

    start: float
    end: float
    channel: int
    emotion: str
    probabilities: tuple[float, ...]
    level_db: float

    @property
    def confidence(self) -> float | None:
        """Highest of the probabilities; None for a masked channel."""
        return max(self.probabilities, default=None)

    @property
    def probability(self) -> float | None:
        """Probability of the labelled emotion, or the highest if the label is uncertain; None for a masked channel.

        It may be lower than `confidence`, because a segment is negative by the sum of four probabilities.
        """
        if self.probabilities and self.emotion in EMOTIONS:
            return self.probabilities[EMOTIONS.index(self.emotion)]
        return self.confidence

    @property
    def seconds(self) -> float:
        """Length of the segment in seconds."""
        return self.end - self.start

    @property
    def negative(self) -> float | None:
        """Probability that the emotion is negative, see `emotions.NEGATIVE`; None for a masked channel."""
        return negative_probability(self.probabilities) if self.probabilities else None


def row(segment: Segment, channel: int, probabilities: np.ndarray, labelling: Labelling) -> Row:
    """Return the row of a segment; `probabilities` is shaped (8,), `labelling` decides the emotion."""
    start, end, level_db = round(segment.start, 3), round(segment.end, 3), round(segment.level_db, 1)
    return Row(start, end, channel, labelling.label(probabilities), rounded(probabilities), level_db)


def masked_row(segment: Segment, channel: int) -> Row:
    """Return the row of a segment whose emotion must not be inferred."""
    return Row(round(segment.start, 3), round(segment.end, 3), channel, "", (), round(segment.level_db, 1))


@dataclass(frozen=True)
class Span:
    """Non-speech sound on a channel: times in seconds from the start, channel from 1."""

    start: float
    end: float
    channel: int


Piece = TypeVar("Piece", Row, Span)


def ordered(pieces: Sequence[Piece]) -> list[Piece]:
    """Return rows or spans sorted by start, then channel."""
    return sorted(pieces, key=lambda piece: (piece.start, piece.channel))


@dataclass(frozen=True)
class DrawingData:
    """Data for drawing a recording besides its rows: the packed `envelope`, and `other`, the non-speech sound."""

    envelope: bytes
    other: tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Complete result of one recording: the input of all exporters.

    Attributes
    ----------
    recording : name of the recording.
    length_s : length of the audio in seconds.
    speakers : name of the speaker of each channel.
    rows : segments of speech, by start, then channel.
    other : non-speech sound, in the same order.
    envelope : minimum and maximum sample per 0.1 s, shaped (channels, points, 2), between -1 and 1.
    about : further metadata by key, such as `recorded`, `queue`, `model` and `note`; in order.
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
        """The channels of the timeline, counted from 1; only one if both channels carry one conversation."""
        return range(1, len(self.speakers) + 1)

    def speaker(self, row: Row) -> str:
        """Return the name of the speaker of a row."""
        return self.speakers[row.channel - 1]

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas data frame with one line per row and the columns of the timeline file.

        Emotion, confidence and probabilities are missing values for masked channels.
        """
        import pandas as pd

        rows, missing = self.rows, (math.nan,) * len(EMOTIONS)
        probabilities = np.array([row.probabilities or missing for row in rows]).reshape(-1, len(EMOTIONS))
        return pd.DataFrame(
            {
                "start": pd.Series([row.start for row in rows], dtype=float),
                "end": pd.Series([row.end for row in rows], dtype=float),
                "channel": pd.Series([row.channel for row in rows], dtype=int),
                "speaker": pd.Series([self.speaker(row) for row in rows], dtype="string"),
                "emotion": pd.Series([row.emotion or None for row in rows], dtype="string"),
                "confidence": probabilities.max(axis=1),
                **dict(zip(EMOTIONS, probabilities.T, strict=True)),
                "level_db": pd.Series([row.level_db for row in rows], dtype=float),
            }
        )


def span(segment: Segment, channel: int) -> Span:
    """Return the span of a non-speech segment."""
    return Span(round(segment.start, 3), round(segment.end, 3), channel)
