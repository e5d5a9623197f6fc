"""Sound told as a stream."""

from itertools import cycle
from pathlib import Path

import numpy as np

from analyzer.api import EmotionStream
from analyzer.audio import open_audio
from analyzer.timeline import Row, ordered


def streamed(stream: EmotionStream, sound: np.ndarray, sizes: list[int]) -> list[Row]:
    """The rows of a sound that is pushed in pieces of these sizes, in turn."""
    rows, at, size = [], 0, cycle(sizes)
    while at < sound.shape[-1]:
        step = next(size)
        rows += stream.push(sound[..., at : at + step])
        at += step
    return rows + stream.finish()


def told_live(path: Path, model: str, block_s: float = 0.1) -> tuple[Row, ...]:
    """The rows of a stream of the recording's sound, in the order of a timeline."""
    with open_audio(path) as file:
        sound, rate = np.concatenate(list(file.blocks()), axis=1), file.rate
    return tuple(ordered(streamed(EmotionStream(rate, len(sound), model), sound, [round(block_s * rate)])))
