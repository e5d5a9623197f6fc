"""The plain recipe and the frozen encoder as rows of the tables: who is heard, who chose the epoch, what rows hold."""

import numpy as np
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from tests.training.conftest import voice, write
from tests.training.test_recipe import everybody, make_material
from training import plain, ship
from training.corpora import RAVDESS, Clip
from training.evaluation_rows import read_rows, refuse_leaks, write_rows
from training.fit import FitOptions
from training.published import NEUTRAL_SPEECH
from training.recipe import FOLDS
from training.splits import Leak, actors_of

FOLD, NEXT = 5, 1


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """Every actor with every emotion, and readers, of whom the second is dealt to no fold of theirs."""
    folder = tmp_path_factory.mktemp("corpora")
    acted = [
        Clip(write(folder / f"03-01-{k + 1:02d}-01-01-01-{actor:02d}.wav", voice(actor, k, 1, 0.5)), emotion,
             f"{RAVDESS}-{actor:02d}", RAVDESS)
        for actor in range(1, 25) for k, emotion in enumerate(EMOTIONS)
    ]  # fmt: skip
    read = [
        Clip(write(folder / f"read-{k}.wav", voice(30 + k, 0, 1, 0.5)), "neutral", f"read-{k}", NEUTRAL_SPEECH)
        for k in range(5)
    ]
    return acted + read


@pytest.fixture(scope="module")
def found(clips, tmp_path_factory):
    return plain.on_strangers(clips, clips, tmp_path_factory.mktemp("cache"), (FOLD,), FitOptions(epochs=1))


def test_the_actors_of_a_fold_are_scored_under_every_condition_and_readers_through_the_telephone(found):
    acted = found.rows[found.rows["corpus"] == RAVDESS]
    assert set(acted["speaker"]) == actors_of(FOLD)
    assert set(acted["condition"]) == {"telephone", *ship.CONDITIONS}
    assert set(acted.groupby("condition").size()) == {4 * len(EMOTIONS)}
    read = found.rows[found.rows["corpus"] == NEUTRAL_SPEECH]
    assert len(read) == 1
    assert set(read["condition"]) == {"telephone"}


def test_nobody_scored_was_learned_from_or_chose_the_epoch(found):
    parts = found.trained_on[str(FOLD)]
    assert parts["validation"].speakers == actors_of(NEXT)
    assert parts["training"].speakers == {f"{RAVDESS}-{k:02d}" for k in range(1, 25)} - actors_of(FOLD) - actors_of(
        NEXT
    )
    assert all(part.audio for part in parts.values())
    refuse_leaks(found.rows, found.trained_on)
    planted = {str(FOLD): {"validation": parts["validation"], "training": parts["training"]}}
    scored = found.rows.assign(speaker=sorted(actors_of(NEXT))[0])
    with pytest.raises(Leak, match="validation of fold 5"):
        refuse_leaks(scored, planted)


def test_the_rows_are_those_of_an_evaluation_without_a_ninth_output(found, tmp_path):
    write_rows(tmp_path / "plain.csv.gz", found.rows, found.trained_on)
    rows = read_rows(tmp_path / "plain.csv.gz")
    assert np.allclose(rows[list(EMOTIONS)].sum(axis=1), 1, atol=1e-3)
    assert rows[list(EMOTIONS)].to_numpy().std() > 0
    assert (rows[OTHER] == 0).all()


def test_the_frozen_encoder_is_scored_on_every_fold_and_on_a_corpus_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(plain.recipe, "gather", lambda clips, *_: make_material(list(clips)))
    found = plain.frozen_on_strangers(everybody(), tmp_path)
    assert set(found.rows["fold"]) == {*map(str, FOLDS), "nemo"}
    assert set(found.rows["seed"]) == {1}
    refuse_leaks(found.rows, found.trained_on)
