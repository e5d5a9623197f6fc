"""The plain recipe, the small network of the user's notebook, on unseen speakers: evaluation rows for comparison."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.speech.features import FrontEnd
from training.baseline.fit import FitOptions, fit_network
from training.data import published, splits
from training.data.cache import key_of
from training.data.corpora import RAVDESS, TESS, Clip
from training.data.dataset import SplitExamples, load_split
from training.encoders import encoding
from training.encoders.encoding import Encoder
from training.evaluation.rows import ROWS_SUFFIX, TrainedOn, TrainingData, write_rows
from training.heads import fits
from training.heads.raw_scores import TELEPHONE, clip_rows
from training.recipes import CALIBRATING, FOLDS, assign_folds

NAME = "plain"
#: Training corpora of the plain recipe, in studio quality.
TRAINED_ON = (RAVDESS, TESS)
#: Corpora of which each fold's network scores the speakers of the fold.
BY_FOLDS = (RAVDESS, published.NEUTRAL_SPEECH)
#: Corpora that the network of the first fold scores whole.
LEFT_OUT = (*CALIBRATING, *published.EVALUATION_ONLY)


def write(corpora: Path, cache: Path, probabilities: Path) -> None:
    """Write the evaluation rows of the plain recipe, fitted for every fold."""
    rows, trained_on = on_unseen_speakers(fits.read_clips(corpora, cache), cache)
    write_rows(probabilities / f"{NAME}{ROWS_SUFFIX}", rows, trained_on)


def on_unseen_speakers(
    clips: Sequence[Clip], cache: Path, of_folds: Sequence[int] = FOLDS, options: FitOptions | None = None
) -> tuple[pd.DataFrame, TrainedOn]:
    """Fit the plain recipe once per fold without the fold's actors; score these and the held-out corpora.

    The actors of the next fold choose the epoch, so each network is trained on four of the five folds that are not
    scored.

    Parameters
    ----------
    clips : those of TRAINED_ON are used for training.
    cache : cache folder of networks, which are fitted if missing, and of statistics.

    Returns
    -------
    rows with the columns of training.evaluation.rows, and the speakers that each fold's network was trained on.
    """
    options, front_end = options or FitOptions(), FrontEnd()
    fold_of_speaker = assign_folds(clip for clip in clips if clip.corpus in BY_FOLDS)
    training_clips = [clip for clip in clips if clip.corpus in TRAINED_ON]
    tables, trained_on = [], {}
    for fold in of_folds:
        test_speakers, validation_speakers = (
            sorted(splits.actors_of(actor_fold)) for actor_fold in (fold, fold % len(FOLDS) + 1)
        )
        split = load_split(
            splits.split_by_speaker(training_clips, options.seed, test_speakers, validation_speakers), front_end
        )
        key = key_of([*split.training.clips, *split.validation.clips], vars(options))[:24]
        network = encoding.encoder_file(
            Encoder(f"{NAME}-{key}", front_end, partial(_fit_fold, split, front_end, options)), cache
        )
        parts = {"training": split.training.clips, "validation": split.validation.clips}
        training_data = {
            part: TrainingData(frozenset(clip.speaker for clip in part_clips)) for part, part_clips in parts.items()
        }
        groups = {
            str(fold): [clip for clip in clips if clip.corpus in BY_FOLDS and fold_of_speaker.get(clip.speaker) == fold]
        }
        if fold == of_folds[0]:
            groups |= {corpus: [clip for clip in clips if clip.corpus == corpus] for corpus in LEFT_OUT}
        for name, scored_clips in groups.items():
            if scored_clips:
                trained_on[name] = training_data
                tables += _score_rows(scored_clips, name, network, front_end, cache, options.seed)
    return pd.concat(tables, ignore_index=True), trained_on


def _score_rows(
    clips: Sequence[Clip], fold: str, network: Path, front_end: FrontEnd, cache: Path, seed: int
) -> list[pd.DataFrame]:
    """Return the rows of clips through the telephone line, of RAVDESS under all conditions."""
    tables = []
    for condition in (TELEPHONE, *fits.CONDITIONS):
        condition_clips = [clip for clip in clips if condition == TELEPHONE or clip.corpus == RAVDESS]
        if condition_clips:
            clip_statistics = encoding.clip_statistics(condition_clips, condition, network, front_end, cache)
            # The network has no output for non-speech.
            emotions = clip_statistics.statistics / clip_statistics.statistics.sum(axis=1, keepdims=True)
            columns = dict(zip((*EMOTIONS, OTHER), np.column_stack([emotions, np.zeros(len(emotions))]).T, strict=True))
            tables.append(
                clip_rows(clip_statistics.clips, fold, clip_statistics.lengths_s, condition, seed).assign(**columns)
            )
    return tables


def _fit_fold(split: SplitExamples, front_end: FrontEnd, options: FitOptions) -> Any:
    return fit_network(split, front_end, options).network
