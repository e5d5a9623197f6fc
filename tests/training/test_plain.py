"""The plain recipe as rows of the tables: scored speakers, validation speakers, and the content of rows."""

import numpy as np
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from tests.helpers.clips import voice, write
from training.baseline import plain
from training.baseline.fit import FitOptions
from training.data.corpora import RAVDESS, Clip
from training.data.published import NEUTRAL_SPEECH
from training.data.splits import Leak, actors_of
from training.evaluation.rows import read_rows, refuse_leaks, write_rows
from training.heads import fits

FOLD, VALIDATION_FOLD = 5, 1

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """Every actor with every emotion, five readers of neutral speech, and two speakers of CREMA-D."""
    folder = tmp_path_factory.mktemp("corpora")
    acted = [
        Clip(write(folder / f"03-01-{number + 1:02d}-01-01-01-{actor:02d}.wav", voice(actor, number, 1, 0.5)), emotion,
             f"{RAVDESS}-{actor:02d}", RAVDESS)
        for actor in range(1, 25) for number, emotion in enumerate(EMOTIONS)
    ]  # fmt: skip
    others = [
        Clip(
            write(folder / f"{corpus}-{number}.wav", voice(30 + number, 0, 1, 0.5)),
            "neutral",
            f"{corpus}-{number}",
            corpus,
        )
        for corpus, count in ((NEUTRAL_SPEECH, 5), ("crema-d", 2))
        for number in range(count)
    ]
    return acted + others


@pytest.fixture(scope="module")
def scored_rows(clips, tmp_path_factory):
    return plain.on_unseen_speakers(clips, tmp_path_factory.mktemp("cache"), (FOLD,), FitOptions(epochs=1))


def test_actors_are_scored_under_every_condition(scored_rows):
    rows, _ = scored_rows
    acted = rows[rows["corpus"] == RAVDESS]
    assert set(acted["speaker"]) == actors_of(FOLD)
    assert set(acted["condition"]) == {"telephone", *fits.CONDITIONS}
    assert set(acted.groupby("condition").size()) == {4 * len(EMOTIONS)}
    read = rows[rows["corpus"] == NEUTRAL_SPEECH]
    assert len(read) == 1
    assert set(read["condition"]) == {"telephone"}


def test_other_corpora_are_scored_completely(scored_rows):
    rows, trained_on = scored_rows
    assert set(rows.loc[rows["fold"] == "crema-d", "speaker"]) == {"crema-d-0", "crema-d-1"}
    assert trained_on["crema-d"] == trained_on[str(FOLD)]


def test_scored_speakers_are_held_out(scored_rows):
    rows, trained_on = scored_rows
    parts = trained_on[str(FOLD)]
    assert parts["validation"].speakers == actors_of(VALIDATION_FOLD)
    others = {f"{RAVDESS}-{number:02d}" for number in range(1, 25)} - actors_of(FOLD) - actors_of(VALIDATION_FOLD)
    assert parts["training"].speakers == others
    refuse_leaks(rows, trained_on)
    with pytest.raises(Leak, match="validation of fold"):
        refuse_leaks(rows.assign(speaker=sorted(actors_of(VALIDATION_FOLD))[0], fold=str(FOLD)), trained_on)


def test_rows_have_no_ninth_output(scored_rows, tmp_path):
    write_rows(tmp_path / "plain.csv.gz", *scored_rows)
    rows = read_rows(tmp_path / "plain.csv.gz")
    assert np.allclose(rows[list(EMOTIONS)].sum(axis=1), 1, atol=1e-3)
    assert rows[list(EMOTIONS)].to_numpy().std() > 0
    assert (rows[OTHER] == 0).all()
