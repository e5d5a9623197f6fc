"""A fold that is trained anew is compared with its committed row, seed by seed and with nobody of the fold heard."""

from dataclasses import replace

import pytest

from analyzer.errors import CannotWork, UsageError
from tests.training.test_recipe import everybody, make_material
from training import cli, refit, ship
from training import recipe as recipes
from training.evaluation_rows import write_rows
from training.folds import out_of_fold
from training.recipe import ACCURATE


@pytest.fixture(scope="module")
def material():
    return make_material(everybody(), noise=3)


@pytest.fixture
def committed(material, monkeypatch, tmp_path):
    """The folder of honest rows of three folds; whatever is heard anew comes from `material`."""
    scored = out_of_fold(material, ACCURATE, (1, 2), (1, 2, 3))
    write_rows(tmp_path / "accurate.csv.gz", scored.rows, scored.trained_on)
    monkeypatch.setattr(recipes, "read_clips", lambda *_: everybody())
    monkeypatch.setattr(recipes, "gather", lambda *_: material)
    monkeypatch.setattr(recipes, "advised", lambda material, *_: material)
    monkeypatch.setattr(ship, "ears_of", lambda recipe, corpora, cache: ship.Ears(cache, []))
    return tmp_path


def anew(committed, fold=2):
    return refit.refit(ACCURATE, fold, committed, committed, committed)


def test_the_same_recipe_gives_its_row_again(committed):
    found = anew(committed)
    assert found.agrees
    assert found.anew == pytest.approx(found.committed, abs=1e-3)
    assert 0.2 < found.committed < 1, "or there is nothing to differ in"


def test_a_row_that_another_recipe_made_is_not_borne_out(committed, material, monkeypatch):
    deaf = make_material(everybody(), noise=30)
    monkeypatch.setattr(recipes, "gather", lambda *_: deaf)
    assert not anew(committed).agrees


def test_every_committed_seed_is_trained_anew_and_no_other(committed, material, monkeypatch):
    asked = []

    def gather(clips, encoder, cache, seeds, conditions):
        asked.append(list(seeds))
        return material

    monkeypatch.setattr(recipes, "gather", gather)
    anew(committed)
    assert asked == [[1, 2]]


def test_a_fold_without_rows_is_a_usage_error(committed):
    with pytest.raises(UsageError, match="fold 5 of accurate has no rows"):
        anew(committed, fold=5)


def run(committed, *options):
    return cli.main(["evaluate", "--probabilities", str(committed), *options])


def test_the_command_tells_both_figures(committed, capsys):
    assert run(committed, "--refit", "1", "--corpora", "c", "--cache", "k") == 0
    found = anew(committed, fold=1)
    assert capsys.readouterr().out == (
        f"accurate, fold 1: UAR {found.anew:.3f} trained anew, {found.committed:.3f} as committed\n"
    )


def test_the_command_fails_where_they_differ(committed, monkeypatch, capsys):
    honest = refit.refit
    monkeypatch.setattr(refit, "refit", lambda *parts: replace(honest(*parts), anew=0.0))
    assert run(committed, "--refit", "1", "--corpora", "c", "--cache", "k") == CannotWork.exit_status
    assert "further apart than 0.01" in capsys.readouterr().err


def test_to_train_anew_corpora_and_a_cache_are_needed(committed, capsys):
    assert run(committed, "--refit", "1", "--corpora", "c") == UsageError.exit_status
    assert "--cache" in capsys.readouterr().err


def test_one_fold_anew_and_the_plain_recipe_are_not_asked_for_at_once(committed, capsys):
    options = ("--corpora", "c", "--cache", "k")
    with pytest.raises(SystemExit) as ended:
        run(committed, "--refit", "1", "--plain", *options)
    assert ended.value.code == UsageError.exit_status
    assert "not allowed with" in capsys.readouterr().err
