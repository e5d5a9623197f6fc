"""Advice: what a head on the whole encoder, which is too dear to ship, says of clips.

A label tells what was meant; advice tells how much of it can be heard, and what else it sounds like (Hinton et al.,
2015). Heads follow it beside the labels. Who advises on people who are scored has heard none of them: the encoder is
Whisper's as it is, and its head learns from the same clips as those that follow it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from analyzer.emotions import EMOTIONS
from training import encoding, published
from training.corpora import RAVDESS, RAVDESS_SONG, TESS, Clip
from training.head import Head, fit_head

SHRINKAGE = 0.6
#: What a clip of a corpus weighs to those who follow, a copy through a drawn line half of it. Advice tells how little a
#: clip is like what was acted in RAVDESS, which a label does not, so other corpora count for more than with labels.
FOLLOWED = {
    RAVDESS: 1.0, RAVDESS_SONG: 0.6, "nemo": 0.1, published.KOREAN: 0.6, TESS: 0.6, published.NEUTRAL_SPEECH: 0.4,
}  # fmt: skip
FOLLOWED_DRAWN, PENALTY = 0.5, 0.05


def hear(clips: Iterable[Clip], cache: Path) -> dict[Path, np.ndarray]:
    """What the adviser's encoder hears of each clip with a label, through the plain line: float16, by the clip's path.

    It is Whisper's up to the last of the layers that the heads of `accurate` see, at all frames and with all neurons.
    """
    from training import halved, whisper

    ear = whisper.encoder(max(halved.LAYERS), halved.LAYERS)
    network = encoding.encoder_file(ear, cache)
    labelled = {clip.path: clip for clip in clips if clip.emotion in EMOTIONS}.values()
    found: dict[Path, np.ndarray] = {}
    for corpus in sorted({clip.corpus for clip in labelled} & set(FOLLOWED)):
        own = [clip for clip in labelled if clip.corpus == corpus]
        heard = encoding.hear(own, "telephone", network, ear.front_end, cache)
        found |= dict(zip((clip.path for clip in own), heard.statistics.astype(np.float16), strict=True))
    return found


def adviser(statistics: np.ndarray, clips: Sequence[Clip], weights: np.ndarray, held_back: float) -> Head:
    """The head that advises, learned from clips with a label and what they weigh; see `training.head.fit_head`."""
    classes = np.array([EMOTIONS.index(clip.emotion or "") for clip in clips])
    rooms = np.unique([clip.corpus for clip in clips], return_inverse=True)[1]
    return fit_head(statistics, classes, weights, SHRINKAGE, rooms, held_back)


def stacked(heard: Mapping[Path, np.ndarray], clips: Iterable[Clip]) -> np.ndarray:
    """What was heard of the clips, shaped (clips, width), float32."""
    return np.stack([heard[clip.path] for clip in clips]).astype(np.float32)
