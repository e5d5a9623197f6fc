"""A retrained fold is compared with its committed rows, seed by seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyzer.emotions import EMOTIONS
from analyzer.errors import CannotWork, UsageError
from training import cli
from training.data.corpora import RAVDESS, Clip
from training.data.splits import actors_of
from training.evaluation.operating_point import Calibration
from training.evaluation.rows import TrainingData, read_rows, write_rows
from training.heads import refit
from training.heads.calibrated_rows import with_probabilities
from training.heads.raw_scores import raw_rows
from training.recipes import ACCURATE


def scores(part: str, seed: int, noise: float = 1.0) -> pd.DataFrame:
    """Raw scores of the actors of a fold; the more noise, the fewer are right."""
    clips = [
        Clip(f"{actor}-{emotion}-{take}.wav", emotion, actor, RAVDESS, audio="0")
        for actor in sorted(actors_of(int(part))) for emotion in EMOTIONS for take in range(4)
    ]  # fmt: skip
    clips = [replace(clip, path=refit.Path(RAVDESS, str(clip.path))) for clip in clips]
    random = np.random.default_rng([int(part), seed])
    truth = np.array([[clip.emotion == emotion for emotion in EMOTIONS] for clip in clips])
    logits = 2 * truth + noise * random.normal(size=truth.shape)
    return raw_rows(
        clips, np.column_stack([logits, -9 * np.ones(len(clips))]), np.ones(len(clips)), "telephone", part, seed
    )


@pytest.fixture
def scored(monkeypatch):
    """Replace fits by generated scores; the list collects the (fold, seed) pairs that were requested."""
    requests: list[tuple[str, int]] = []

    def scored(recipe, part, seed, sounds, cache):
        requests.append((part, seed))
        return scores(part, seed)

    monkeypatch.setattr(refit.fits, "read_clips", lambda *_: [])
    monkeypatch.setattr(refit, "read_sounds", lambda *_: None)
    monkeypatch.setattr(refit.fits, "scored", scored)
    return requests


@pytest.fixture
def committed(tmp_path):
    """A folder with committed, calibrated rows of three folds and two seeds."""
    raw = pd.concat([scores(part, seed) for part in "123" for seed in (1, 2)])
    write_rows(tmp_path / "accurate.csv.gz", with_probabilities(raw, Calibration(1.7)))
    return tmp_path


def refitted(committed, fold=2):
    return refit.refit(ACCURATE, fold, committed, committed, committed)


def test_same_recipe_agrees(committed, scored):
    result = refitted(committed)
    assert result.agrees
    assert result.again == pytest.approx(result.committed, abs=1e-6)
    assert 0.4 < result.committed < 1


def test_other_recipe_does_not_agree(committed, scored, monkeypatch):
    monkeypatch.setattr(refit.fits, "scored", lambda recipe, part, seed, *_: scores(part, seed, noise=5.0))
    assert not refitted(committed).agrees


def test_committed_seeds_are_trained(committed, scored):
    refitted(committed)
    assert scored == [("2", 1), ("2", 2)]


def test_fold_without_rows_is_usage_error(committed, scored):
    with pytest.raises(UsageError, match="fold 5 of accurate has no rows"):
        refitted(committed, fold=5)


def test_rows_of_another_recipe_are_a_usage_error(committed, scored, monkeypatch):
    rows = committed / "accurate.csv.gz"
    write_rows(rows, read_rows(rows), {part: {"training": TrainingData(frozenset({"kate"}))} for part in "123"})
    monkeypatch.setattr(refit.fits, "read_clips", lambda *_: [Clip(Path("a.wav"), "sad", "ravdess-04", RAVDESS)])
    with pytest.raises(UsageError, match="made by another recipe"):
        refitted(committed)
    assert scored == []


def run(committed, *options):
    return cli.main(["evaluate", "--probabilities", str(committed), *options])


def test_command_prints_both_figures(committed, scored, capsys):
    assert run(committed, "--refit", "1", "--corpora", "c", "--cache", "k") == 0
    result = refitted(committed, fold=1)
    assert capsys.readouterr().out == (
        f"accurate, fold 1: UAR {result.again:.3f} trained again, {result.committed:.3f} as committed\n"
    )


def test_command_fails_if_figures_differ(committed, scored, monkeypatch, capsys):
    monkeypatch.setattr(refit.fits, "scored", lambda recipe, part, seed, *_: scores(part, seed, noise=5.0))
    assert run(committed, "--refit", "1", "--corpora", "c", "--cache", "k") == CannotWork.exit_status
    assert "further apart than 0.01" in capsys.readouterr().err


def test_refit_needs_corpora_and_cache(committed, capsys):
    assert run(committed, "--refit", "1", "--corpora", "c") == UsageError.exit_status
    assert "--cache" in capsys.readouterr().err


def test_refit_and_plain_exclude_each_other(committed, capsys):
    options = ("--corpora", "c", "--cache", "k")
    with pytest.raises(SystemExit) as exit_info:
        run(committed, "--refit", "1", "--plain", *options)
    assert exit_info.value.code == UsageError.exit_status
    assert "not allowed with" in capsys.readouterr().err
