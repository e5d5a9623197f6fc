"""Rows of an evaluation from raw scores: each calibrated by corpora that its network was not trained on."""

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


@dataclass(frozen=True)
class Calibrated:
    """Rows of an evaluation, and the operating point of the network that ships.

    Attributes
    ----------
    rows : with the columns of training.evaluation_rows.
    calibration, sensitivities : from all corpora that were left out.
    """

    rows: pd.DataFrame
    calibration: Calibration
    sensitivities: Sensitivities


def calibrated(raw: pd.DataFrame, calibrated_on: Sequence[str]) -> Calibrated:
    """Calibrate raw scores.

    Parameters
    ----------
    raw : rows of training.raw_scores.
    calibrated_on : corpora that were left out, by which calibration is done; at least two. Each of them is calibrated
        by the others.
    """
    left_out = of_left_out(raw[raw["corpus"].isin(calibrated_on)])
    by_all = calibration(left_out)
    parts = [_rows(raw[~raw.index.isin(left_out.index)], by_all)]
    parts += [_rows(own, calibration(left_out[left_out["corpus"] != name])) for name, own in left_out.groupby("corpus")]
    return Calibrated(pd.concat(parts, ignore_index=True), by_all, _sensitivities(_rows(left_out, by_all)))


def _rows(raw: pd.DataFrame, found: Calibration) -> pd.DataFrame:
    columns = [column for column in (*COLUMNS, AUDIO) if column in raw]
    names = (*EMOTIONS, OTHER)
    return raw[columns].assign(**dict(zip(names, np.round(probabilities(raw, found), 4).T, strict=True)))


def _sensitivities(rows: pd.DataFrame) -> Sensitivities:
    """Thresholds from all corpora; the shares found and falsely called are means over corpora, each by the others'."""
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
