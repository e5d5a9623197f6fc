"""Raw scores: logits that a fit gives to clips of held-out speakers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training.data.corpora import Clip
from training.evaluation.operating_point import LOGITS
from training.evaluation.rows import FOLDS

TELEPHONE = "telephone"


def raw_rows(
    clips: Sequence[Clip], logits: np.ndarray, lengths_s: np.ndarray, condition: str, part: str, seed: int
) -> pd.DataFrame:
    """Return a row per clip, with the columns of training.evaluation.rows, but logits instead of probabilities.

    Parameters
    ----------
    clips : with the digest of their audio.
    logits : of the emotions, then the log odds of non-speech; shaped (clips, len(LOGITS)).
    lengths_s : scored seconds of each clip, shaped (clips,).
    condition : the condition of all scores.
    part, seed : of the fit. The fold of a clip is the part if that is a fold, otherwise its corpus.
    """
    folds = [part if part in FOLDS else clip.corpus for clip in clips]
    table = clip_rows(clips, folds, lengths_s, condition, seed)
    return table.assign(**dict(zip(LOGITS, logits.T, strict=True)))


def clip_rows(
    clips: Sequence[Clip], folds: str | Sequence[str], lengths_s: np.ndarray, condition: str | np.ndarray, seed: int
) -> pd.DataFrame:
    """Return a row per clip, with the columns of training.evaluation.rows except the probabilities."""
    return pd.DataFrame(
        {
            "corpus": [clip.corpus for clip in clips],
            "clip": [f"{clip.path.parent.name}/{clip.path.name}" for clip in clips],
            "speaker": [clip.speaker for clip in clips],
            "sex": [clip.sex or "" for clip in clips],
            "emotion": [clip.emotion or "" for clip in clips],
            "fold": folds,
            "seed": seed,
            "condition": condition,
            "audio": [clip.audio for clip in clips],
            "length_s": np.round(lengths_s.astype(float), 2),
        }
    )
