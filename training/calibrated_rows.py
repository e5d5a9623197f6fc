"""Rows of an evaluation from raw scores: each calibrated by corpora that its network was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analyzer.classifier import Sensitivities, Sensitivity
from analyzer.emotions import EMOTIONS, NEGATIVE, OTHER
from training.evaluation_measures import probabilities_of
from training.evaluation_rows import AUDIO, COLUMNS
from training.operating_point import (
    FALSE_ALARMS,
    LEVEL,
    Calibration,
    calibration,
    negative,
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
    left_out = raw[(raw["fold"] == raw["corpus"]) & raw["corpus"].isin(calibrated_on) & raw["emotion"].isin(EMOTIONS)]
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
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in FALSE_ALARMS}
    for corpus, own in rows.groupby("corpus"):
        by_others = thresholds(rows[rows["corpus"] != corpus])
        scores = negative(probabilities_of(own))
        kinds = [own["emotion"].isin(kind).to_numpy() for kind in (NEGATIVE, LEVEL)]
        for name, limit in by_others.items():
            found, false = (float((scores[kind] >= limit).mean()) for kind in kinds)
            shares[name].append((found, false))
    return Sensitivities(
        **{
            name: Sensitivity(limits[name], *(round(float(share), 3) for share in np.mean(own, axis=0)))
            for name, own in shares.items()
        }
    )
