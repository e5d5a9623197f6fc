"""Statistics per channel, computed from the rows of a timeline."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.timeline.passages import Passage, passages
from analyzer.timeline.timeline import Row, Span


@dataclass(frozen=True)
class EmotionStatistics:
    """Emotions of the speech of a channel.

    Attributes
    ----------
    shares : share of the talking time, by label.
    means : mean probability over the talking time, by emotion.
    peaks_s : start of the segment with the highest probability, by emotion.
    first_third, last_third : mean negative probability in a third of the recording; None if it has no speech there.
    passages : number of negative passages.
    strongest : the passage with the most negative speech; None if there is none.
    """

    shares: Mapping[str, float]
    means: Mapping[str, float]
    peaks_s: Mapping[str, float]
    first_third: float | None
    last_third: float | None
    passages: int
    strongest: Passage | None


@dataclass(frozen=True)
class ChannelStatistics:
    """Statistics of a channel.

    Attributes
    ----------
    speaker : name of the speaker.
    talk_s, other_s : seconds of speech, and of non-speech sound.
    silence_s, both_s : seconds in which all channels are silent, and in which two or more speak.
    level_db : mean level of the speech; None if there is none.
    emotions : None if there is no speech, or if the channel is masked.
    masked : whether its emotions must not be inferred.
    """

    speaker: str
    talk_s: float
    other_s: float
    silence_s: float
    both_s: float
    level_db: float | None = None
    emotions: EmotionStatistics | None = None
    masked: bool = False

    def without_emotions(self) -> "ChannelStatistics":
        """Return the statistics of a masked channel."""
        return replace(self, emotions=None, masked=True)

    def columns(self) -> dict[str, Any]:
        """Return the values of the channel in recordings.csv and further ones for the workbook, by column."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN_COLUMNS} | dict.fromkeys(
            _EMOTION_COLUMNS
        )
        if self.masked:
            columns["masked"] = True
        if found := self.emotions:
            columns |= {f"share_{label}": share for label, share in found.shares.items()}
            columns |= {f"mean_{emotion}": mean for emotion, mean in found.means.items()}
            columns |= {f"peak_{emotion}_s": start for emotion, start in found.peaks_s.items()}
            columns |= {name: getattr(found, name) for name in ("first_third", "last_third", "passages")}
            if found.strongest:
                columns |= {column: getattr(found.strongest, name) for column, name in _PASSAGE_COLUMNS.items()}
        return columns


def from_columns(columns: Mapping[str, Any]) -> ChannelStatistics:
    """Read statistics from the result of `ChannelStatistics.columns`; raises KeyError or TypeError if it is damaged."""
    plain = {name: columns[name] for name in _PLAIN_COLUMNS}
    masked = bool(columns.get("masked"))
    if columns["share_neutral"] is None:
        return ChannelStatistics(**plain, masked=masked)
    strongest = Passage(**{name: columns[column] for column, name in _PASSAGE_COLUMNS.items()})
    emotions = EmotionStatistics(
        shares={label: columns[f"share_{label}"] for label in (*EMOTIONS, UNCERTAIN)},
        means={emotion: columns[f"mean_{emotion}"] for emotion in EMOTIONS},
        peaks_s={emotion: columns[f"peak_{emotion}_s"] for emotion in EMOTIONS},
        first_third=columns["first_third"],
        last_third=columns["last_third"],
        passages=columns["passages"] or 0,
        strongest=strongest if columns["passages"] else None,
    )
    return ChannelStatistics(**plain, emotions=emotions, masked=masked)


_PLAIN_COLUMNS = ("speaker", "talk_s", "other_s", "silence_s", "both_s", "level_db")
#: Fields of a passage by column.
_PASSAGE_COLUMNS = {
    "passage_start_s": "start", "passage_end_s": "end", "passage_emotion": "emotion",
    "passage_negative_s": "negative_s", "passage_mean": "mean",
}  # fmt: skip
_EMOTION_COLUMNS = (
    *(f"share_{emotion}" for emotion in (*EMOTIONS, UNCERTAIN)),
    *(f"mean_{emotion}" for emotion in EMOTIONS),
    *(f"peak_{emotion}_s" for emotion in EMOTIONS),
    *("first_third", "last_third", "passages", *_PASSAGE_COLUMNS),
)


def channel_statistics(
    channel: int, rows: Sequence[Row], other: Sequence[Span], length_s: float, *, speaker: str, masked: bool
) -> ChannelStatistics:
    """Return the statistics of one channel.

    `rows` and `other` are those of the whole recording, because `both_s` and `silence_s` cover all channels.
    """
    channel_rows = [row for row in rows if row.channel == channel]
    talk_s = sum(row.seconds for row in channel_rows)
    sound_spans = [(row.start, row.end) for row in rows] + [(span.start, span.end) for span in other]
    statistics = ChannelStatistics(
        speaker=speaker,
        talk_s=round(talk_s, 3),
        other_s=round(sum(span.end - span.start for span in other if span.channel == channel), 3),
        silence_s=round(max(0.0, length_s - covered(sound_spans)), 3),
        both_s=round(overlap(rows), 3),
        level_db=_level_db(channel_rows, talk_s),
        emotions=_emotion_statistics(channel_rows, talk_s, length_s),
    )
    return statistics.without_emotions() if masked else statistics


def _level_db(rows: Sequence[Row], talk_s: float) -> float | None:
    if not rows:
        return None
    weights = np.array([row.seconds for row in rows]) / talk_s
    power = weights @ 10 ** (np.array([row.level_db for row in rows]) / 10)
    return round(10 * float(np.log10(power)), 1)


def _emotion_statistics(rows: Sequence[Row], talk_s: float, length_s: float) -> EmotionStatistics | None:
    if not rows or not rows[0].probabilities:
        return None
    weights = np.array([row.seconds for row in rows]) / talk_s
    probabilities = np.array([row.probabilities for row in rows])
    labels = np.array([row.emotion for row in rows])
    found = passages(rows)
    return EmotionStatistics(
        shares={label: round(float(weights[labels == label].sum()), 4) for label in (*EMOTIONS, UNCERTAIN)},
        means={emotion: round(float(weights @ probabilities[:, k]), 4) for k, emotion in enumerate(EMOTIONS)},
        peaks_s={emotion: rows[int(probabilities[:, k].argmax())].start for k, emotion in enumerate(EMOTIONS)},
        first_third=_mean_negative(rows, 0, length_s / 3),
        last_third=_mean_negative(rows, length_s * 2 / 3, length_s),
        passages=len(found),
        strongest=max(found, key=lambda passage: passage.negative_s, default=None),
    )


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
