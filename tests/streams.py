"""Recordings told as streams."""

from pathlib import Path

import numpy as np

from analyzer.api import EmotionStream
from analyzer.audio import open_audio
from analyzer.timeline import Row, ordered


def told_live(path: Path, model: str, block_s: float = 0.1) -> tuple[Row, ...]:
    """The rows of a stream of the recording's sound, in the order of a timeline."""
    with open_audio(path) as file:
        sound, rate = np.concatenate(list(file.blocks()), axis=1), file.rate
    stream, block = EmotionStream(rate, len(sound), model), round(block_s * rate)
    rows = [row for at in range(0, sound.shape[1], block) for row in stream.push(sound[:, at : at + block])]
    return tuple(ordered(rows + stream.finish()))
