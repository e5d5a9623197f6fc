"""The plain recipe, the small network of the user's notebook, on unseen speakers: evaluation rows for comparison."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.features import FrontEnd
from training import encoding, fits, published, splits
from training.corpora import RAVDESS, TESS, Clip
from training.dataset import SplitExamples, load_split
from training.encoding import Encoder
from training.evaluation_rows import ROWS_SUFFIX, TrainedOn, TrainingData, write_rows
from training.fit import FitOptions, fit_network
from training.raw_scores import TELEPHONE, clip_rows
from training.recipes import CALIBRATING, FOLDS, deal

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
    rows with the columns of training.evaluation_rows, and the speakers that each fold's network was trained on.
    """
    options, front_end = options or FitOptions(), FrontEnd()
    dealt = deal(clip for clip in clips if clip.corpus in BY_FOLDS)
    known = [clip for clip in clips if clip.corpus in TRAINED_ON]
    tables, trained_on = [], {}
    for fold in of_folds:
        tested, chosen_by = (sorted(splits.actors_of(one)) for one in (fold, fold % len(FOLDS) + 1))
        split = load_split(splits.split_by_speaker(known, options.seed, tested, chosen_by), front_end)
        key = encoding.key_of([*split.training.clips, *split.validation.clips], vars(options))[:24]
        network = encoding.encoder_file(
            Encoder(f"{NAME}-{key}", front_end, partial(_network, split, front_end, options)), cache
        )
        parts = {"training": split.training.clips, "validation": split.validation.clips}
        known_speakers = {part: TrainingData(frozenset(clip.speaker for clip in own)) for part, own in parts.items()}
        groups = {str(fold): [c for c in clips if c.corpus in BY_FOLDS and dealt.get(c.speaker) == fold]}
        if fold == of_folds[0]:
            groups |= {corpus: [clip for clip in clips if clip.corpus == corpus] for corpus in LEFT_OUT}
        for name, scored in groups.items():
            if scored:
                trained_on[name] = known_speakers
                tables += _scored(scored, name, network, front_end, cache, options.seed)
    return pd.concat(tables, ignore_index=True), trained_on


def _scored(
    clips: Sequence[Clip], fold: str, network: Path, front_end: FrontEnd, cache: Path, seed: int
) -> list[pd.DataFrame]:
    """Return the rows of clips through the telephone line, of RAVDESS under all conditions."""
    tables = []
    for condition in (TELEPHONE, *fits.CONDITIONS):
        own = [clip for clip in clips if condition == TELEPHONE or clip.corpus == RAVDESS]
        if own:
            found = encoding.clip_statistics(own, condition, network, front_end, cache)
            # The network has no output for non-speech.
            eight = found.statistics / found.statistics.sum(axis=1, keepdims=True)
            columns = dict(zip((*EMOTIONS, OTHER), np.column_stack([eight, np.zeros(len(eight))]).T, strict=True))
            tables.append(clip_rows(found.clips, fold, found.lengths_s, condition, seed).assign(**columns))
    return tables


def _network(split: SplitExamples, front_end: FrontEnd, options: FitOptions) -> Any:
    return fit_network(split, front_end, options).network
