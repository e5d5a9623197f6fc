"""The plain recipe as rows of the tables: who is scored, whose clips select the epoch, and the content of rows."""

import numpy as np
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from tests.training.conftest import voice, write
from training import fits, plain
from training.corpora import RAVDESS, Clip
from training.evaluation_rows import read_rows, refuse_leaks, write_rows
from training.fit import FitOptions
from training.published import NEUTRAL_SPEECH
from training.splits import Leak, actors_of

FOLD, NEXT = 5, 1


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """Every actor with every emotion, five readers of neutral speech, and two speakers of CREMA-D."""
    folder = tmp_path_factory.mktemp("corpora")
    acted = [
        Clip(write(folder / f"03-01-{k + 1:02d}-01-01-01-{actor:02d}.wav", voice(actor, k, 1, 0.5)), emotion,
             f"{RAVDESS}-{actor:02d}", RAVDESS)
        for actor in range(1, 25) for k, emotion in enumerate(EMOTIONS)
    ]  # fmt: skip
    others = [
        Clip(write(folder / f"{corpus}-{k}.wav", voice(30 + k, 0, 1, 0.5)), "neutral", f"{corpus}-{k}", corpus)
        for corpus, count in ((NEUTRAL_SPEECH, 5), ("crema-d", 2))
        for k in range(count)
    ]
    return acted + others


@pytest.fixture(scope="module")
def found(clips, tmp_path_factory):
    return plain.on_unseen_speakers(clips, tmp_path_factory.mktemp("cache"), (FOLD,), FitOptions(epochs=1))


def test_the_actors_of_a_fold_are_scored_under_every_condition_and_readers_through_the_telephone(found):
    rows, _ = found
    acted = rows[rows["corpus"] == RAVDESS]
    assert set(acted["speaker"]) == actors_of(FOLD)
    assert set(acted["condition"]) == {"telephone", *fits.CONDITIONS}
    assert set(acted.groupby("condition").size()) == {4 * len(EMOTIONS)}
    read = rows[rows["corpus"] == NEUTRAL_SPEECH]
    assert len(read) == 1
    assert set(read["condition"]) == {"telephone"}


def test_a_corpus_that_it_was_not_trained_on_is_scored_whole(found):
    rows, trained_on = found
    assert set(rows.loc[rows["fold"] == "crema-d", "speaker"]) == {"crema-d-0", "crema-d-1"}
    assert trained_on["crema-d"] == trained_on[str(FOLD)]


def test_no_speaker_who_is_scored_was_trained_on_or_chose_the_epoch(found):
    rows, trained_on = found
    parts = trained_on[str(FOLD)]
    assert parts["validation"].speakers == actors_of(NEXT)
    others = {f"{RAVDESS}-{k:02d}" for k in range(1, 25)} - actors_of(FOLD) - actors_of(NEXT)
    assert parts["training"].speakers == others
    refuse_leaks(rows, trained_on)
    with pytest.raises(Leak, match="validation of fold"):
        refuse_leaks(rows.assign(speaker=sorted(actors_of(NEXT))[0], fold=str(FOLD)), trained_on)


def test_the_rows_are_those_of_an_evaluation_without_a_ninth_output(found, tmp_path):
    write_rows(tmp_path / "plain.csv.gz", *found)
    rows = read_rows(tmp_path / "plain.csv.gz")
    assert np.allclose(rows[list(EMOTIONS)].sum(axis=1), 1, atol=1e-3)
    assert rows[list(EMOTIONS)].to_numpy().std() > 0
    assert (rows[OTHER] == 0).all()
