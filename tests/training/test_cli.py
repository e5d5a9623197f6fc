"""The command line: checks of arguments before training, exit status, and a fast start."""

import subprocess
import sys

import pytest

from training.cli import MODELS, command, main


def status_of(*arguments: object) -> int:
    try:
        return main([str(part) for part in arguments])
    except SystemExit as stopped:  # argparse exits on usage errors
        return int(stopped.code or 0)


def test_help_imports_no_heavy_library():
    completed = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "training",
            "--help",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "fit" in completed.stdout and "export" in completed.stdout
    for library in ("tensorflow", "keras", "librosa", "matplotlib", "sklearn", "scipy"):
        assert f" {library}\n" not in completed.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--epochs", "0"],
        ["--epochs", "2.5"],
        ["--batch", "0"],
        ["--batch", "99999999"],
        ["--seed", "-1"],
        ["--seed", "4294967296"],
        ["--test-speakers", "ravdess-01,,ravdess-02"],
        ["--epoch", "3"],
        ["--learning-rate", "x"],
    ],
)
def test_invalid_option_is_usage_error(options, tmp_path):
    assert status_of("fit", "--ravdess", tmp_path, "-o", tmp_path / "model", *options) == 2


def test_command_and_output_are_required(tmp_path):
    assert status_of() == 2
    assert status_of("fit", "--ravdess", tmp_path) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ravdess", "nowhere"], "nowhere is not a folder"),
        (["--manifest", "nowhere.csv"], "nowhere.csv cannot be read"),
        ([], "give at least one of --ravdess, --tess and --manifest"),
    ],
)
def test_unreadable_corpus_is_usage_error(options, message, tmp_path, capsys):
    assert status_of("fit", "-o", tmp_path / "model", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("recipe", MODELS)
@pytest.mark.parametrize("options", [(), ("--corpora", "here"), ("--cache", "here")])
def test_recipes_need_corpora_and_cache(recipe, options, tmp_path, capsys):
    assert status_of("fit", "--recipe", recipe, *options, "-o", tmp_path / "model") == 2
    assert f"--recipe {recipe} needs --corpora and --cache" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_unknown_recipe_error_lists_recipes(tmp_path, capsys):
    assert status_of("fit", "--recipe", "best", "-o", tmp_path / "model") == 2
    errors = capsys.readouterr().err
    assert all(name in errors for name in ("plain", "default", "accurate"))


@pytest.mark.parametrize("name", MODELS)
def test_fit_releases_the_recipe(name, tmp_path, monkeypatch, capsys):
    from training import release

    calls = []
    monkeypatch.setattr(release, "release", lambda *arguments: calls.append(arguments) or tmp_path / "card.md")
    folders = [tmp_path / folder for folder in ("corpora", "cache", "model", "probabilities")]
    corpora, cache, output, probabilities = folders
    assert status_of(
        "fit", "--recipe", name, "--corpora", corpora, "--cache", cache, "-o", output, "--probabilities", probabilities
    ) == 0  # fmt: skip
    ((recipe, *arguments),) = calls
    assert arguments == folders
    assert recipe.name == name
    assert str(tmp_path / "card.md") in capsys.readouterr().out


def test_unknown_speaker_error_lists_speakers(tiny_ravdess, tmp_path, capsys):
    assert status_of("fit", "--ravdess", tiny_ravdess, "-o", tmp_path / "m", "--test-speakers", "ravdess-77") == 2
    assert "ravdess-77" in (errors := capsys.readouterr().err) and "ravdess-06" in errors


def test_unwritable_output_fails_before_training(tiny_ravdess, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert status_of("fit", "--ravdess", tiny_ravdess, "-o", tmp_path / "file" / "model") == 3
    assert "choose another folder" in capsys.readouterr().err


def test_export_without_model_fails(tmp_path, capsys):
    assert status_of("export", tmp_path) == 3
    assert str(tmp_path) in capsys.readouterr().err


def test_card_command_has_placeholders(tmp_path):
    from training.cli import _parser

    arguments = ["fit", "--ravdess", "/home/me/r", "--manifest", "/home/me/own.csv", "-o", str(tmp_path / "mine")]
    parsed = _parser().parse_args([*arguments, "--test-speakers", "own-1,own-2"])
    assert command(parsed) == (
        "python -m training fit --ravdess RAVDESS --manifest own.csv --epochs 25 --batch 64 --seed 1 "
        "--test-speakers own-1,own-2 -o models/mine"
    )
