"""How far streams and files tell the same of a recording."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analyzer.api import EmotionStream, analyze
from analyzer.audio import open_audio
from analyzer.timeline import Row

_STEPS_PER_S = 100


@dataclass(frozen=True)
class Agreement:
    """Seconds of speech, over all channels: in both, of those with the same label, and in one of the two alone."""

    both_s: float
    same_s: float
    one_s: float

    @property
    def share(self) -> float:
        """The share of the time that is speech in both in which both say the same."""
        return self.same_s / self.both_s

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(self.both_s + other.both_s, self.same_s + other.same_s, self.one_s + other.one_s)


def agreement(path: Path, model: str, block_s: float = 0.1) -> Agreement:
    """How a stream of the recording's sound agrees with the analysis of the file, on a grid of 10 ms."""
    told = analyze(path, model)
    with open_audio(path) as file:
        sound, rate = np.concatenate(list(file.blocks()), axis=1), file.rate
    stream, block = EmotionStream(rate, len(sound), model), round(block_s * rate)
    rows = [row for at in range(0, sound.shape[1], block) for row in stream.push(sound[:, at : at + block])]
    rows += stream.finish()
    labels = sorted({row.emotion for row in (*told.rows, *rows)})
    size = round(told.length_s * _STEPS_PER_S) + 1
    of_file, of_stream = (_grid(some, labels, len(told.speakers), size) for some in (told.rows, rows))
    both = (of_file >= 0) & (of_stream >= 0)
    counts = both, both & (of_file == of_stream), (of_file >= 0) ^ (of_stream >= 0)
    return Agreement(*(float(each.sum()) / _STEPS_PER_S for each in counts))


def _grid(rows: tuple[Row, ...] | list[Row], labels: list[str], channels: int, size: int) -> np.ndarray:
    """The number of the label at every step, shaped (channels, size); -1 where nobody speaks."""
    grid = np.full((channels, size), -1)
    for row in rows:
        if row.channel <= channels:  # of channels that carry one sound the first is told
            grid[row.channel - 1, round(row.start * _STEPS_PER_S) : round(row.end * _STEPS_PER_S)] = labels.index(
                row.emotion
            )
    return grid
