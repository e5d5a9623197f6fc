"""Evaluation rows from raw scores, calibrated on corpora that were held out of training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analyzer.classifier import Sensitivities, Sensitivity
from analyzer.emotions import EMOTIONS, OTHER
from training.evaluation_rows import AUDIO, COLUMNS
from training.operating_point import (
    FALSE_ALARMS,
    Calibration,
    calibration,
    called_negative,
    of_left_out,
    probabilities,
    thresholds,
)
from training.raw_scores import TELEPHONE


@dataclass(frozen=True)
class Calibrated:
    """Evaluation rows, and the operating point of the released network.

    Attributes
    ----------
    rows : with the columns of training.evaluation_rows.
    calibration, sensitivities : computed from all held-out corpora.
    """

    rows: pd.DataFrame
    calibration: Calibration
    sensitivities: Sensitivities


def calibrated(raw: pd.DataFrame, calibrated_on: Sequence[str]) -> Calibrated:
    """Calibrate raw scores.

    Parameters
    ----------
    raw : rows of training.raw_scores; their clips of non-speech, which are held out by fold, calibrate as well.
    calibrated_on : held-out corpora used for calibration; at least two. Each of them is calibrated on the others.
    """
    left_out = of_left_out(raw[raw["corpus"].isin(calibrated_on)])
    non_speech = raw[(raw["emotion"] == OTHER) & (raw["condition"] == TELEPHONE)]
    by_all = calibration(left_out, non_speech)
    parts = [with_probabilities(raw[~raw.index.isin(left_out.index)], by_all)]
    for name, own in left_out.groupby("corpus"):
        parts.append(with_probabilities(own, calibration(left_out[left_out["corpus"] != name], non_speech)))
    return Calibrated(pd.concat(parts, ignore_index=True), by_all, _sensitivities(with_probabilities(left_out, by_all)))


def with_probabilities(raw: pd.DataFrame, found: Calibration) -> pd.DataFrame:
    """Return the columns of training.evaluation_rows, with probabilities instead of logits."""
    columns = [column for column in (*COLUMNS, AUDIO) if column in raw]
    names = (*EMOTIONS, OTHER)
    return raw[columns].assign(**dict(zip(names, np.round(probabilities(raw, found), 4).T, strict=True)))


def _sensitivities(rows: pd.DataFrame) -> Sensitivities:
    """Compute thresholds on all corpora, with detection and false-alarm rates averaged over corpora.

    The rates of each corpus are measured with the thresholds of the other corpora.
    """
    limits = thresholds(rows)
    shares: dict[str, list[np.ndarray]] = {name: [] for name in FALSE_ALARMS}
    for corpus, own in rows.groupby("corpus"):
        for name, limit in thresholds(rows[rows["corpus"] != corpus]).items():
            shares[name].append(called_negative(own, np.ones((1, len(own))), limit)[0])
    return Sensitivities(
        **{
            name: Sensitivity(limits[name], *(round(float(share), 3) for share in np.mean(own, axis=0)))
            for name, own in shares.items()
        }
    )
