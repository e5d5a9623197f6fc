"""Evaluation rows from raw scores, calibrated on corpora that were held out of training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.model.baseline import LevelSpeech
from analyzer.model.classifier import Sensitivities, Sensitivity
from training.evaluation.operating_point import (
    FALSE_ALARMS,
    Calibration,
    calibration,
    called_negative,
    held_out_corpus_rows,
    level_speech,
    probabilities,
    thresholds,
)
from training.evaluation.rows import AUDIO, COLUMNS
from training.heads.raw_scores import TELEPHONE


@dataclass(frozen=True)
class Calibrated:
    """Evaluation rows, and the operating point of the released network.

    Attributes
    ----------
    rows : with the columns of training.evaluation.rows.
    calibration, sensitivities, level_speech : computed from all held-out corpora; see ModelSettings.
    """

    rows: pd.DataFrame
    calibration: Calibration
    sensitivities: Sensitivities
    level_speech: LevelSpeech


def calibrate(raw: pd.DataFrame, calibrated_on: Sequence[str]) -> Calibrated:
    """Calibrate raw scores.

    Parameters
    ----------
    raw : rows of training.heads.raw_scores; their clips of non-speech, which are held out by fold, calibrate as well.
    calibrated_on : held-out corpora used for calibration; at least two. Each of them is calibrated on the others.
    """
    left_out = held_out_corpus_rows(raw[raw["corpus"].isin(calibrated_on)])
    non_speech = raw[(raw["emotion"] == OTHER) & (raw["condition"] == TELEPHONE)]
    overall_calibration = calibration(left_out, non_speech)
    tables = [with_probabilities(raw[~raw.index.isin(left_out.index)], overall_calibration)]
    for corpus, corpus_rows in left_out.groupby("corpus"):
        others = left_out[left_out["corpus"] != corpus]
        tables.append(with_probabilities(corpus_rows, calibration(others, non_speech)))
    calibrated = with_probabilities(left_out, overall_calibration)
    return Calibrated(
        pd.concat(tables, ignore_index=True),
        overall_calibration,
        _sensitivities(calibrated),
        level_speech(calibrated),
    )


def with_probabilities(raw: pd.DataFrame, found: Calibration) -> pd.DataFrame:
    """Return the columns of training.evaluation.rows, with probabilities instead of logits."""
    columns = [column for column in (*COLUMNS, AUDIO) if column in raw]
    names = (*EMOTIONS, OTHER)
    return raw[columns].assign(**dict(zip(names, np.round(probabilities(raw, found), 4).T, strict=True)))


def _sensitivities(rows: pd.DataFrame) -> Sensitivities:
    """Compute thresholds on all corpora, with detection and false-alarm rates averaged over corpora.

    The rates of each corpus are measured with the thresholds of the other corpora.
    """
    overall_thresholds = thresholds(rows)
    rates: dict[str, list[np.ndarray]] = {name: [] for name in FALSE_ALARMS}
    for corpus, corpus_rows in rows.groupby("corpus"):
        for name, threshold in thresholds(rows[rows["corpus"] != corpus]).items():
            rates[name].append(called_negative(corpus_rows, np.ones((1, len(corpus_rows))), threshold)[0])
    return Sensitivities(
        **{
            name: Sensitivity(
                overall_thresholds[name], *(round(float(rate), 3) for rate in np.mean(corpus_rates, axis=0))
            )
            for name, corpus_rates in rates.items()
        }
    )
