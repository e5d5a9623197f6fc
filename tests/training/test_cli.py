"""The command checks its arguments before it starts, and answers quickly."""

import subprocess
import sys

import pytest

from training.cli import MODELS, command, main


def status_of(*arguments: object) -> int:
    try:
        return main([str(part) for part in arguments])
    except SystemExit as stopped:  # argparse exits on usage errors
        return int(stopped.code or 0)


def test_help_answers_without_importing_any_heavy_library():
    found = subprocess.run(
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
    assert "fit" in found.stdout and "export" in found.stdout
    for library in ("tensorflow", "keras", "librosa", "matplotlib", "sklearn", "scipy"):
        assert f" {library}\n" not in found.stderr


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
def test_a_value_out_of_range_or_an_unknown_option_is_a_usage_error(options, tmp_path):
    assert status_of("fit", "--ravdess", tmp_path, "-o", tmp_path / "model", *options) == 2


def test_a_command_is_needed_and_an_output_too(tmp_path):
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
def test_a_corpus_that_cannot_be_read_ends_with_a_message_and_status_2(options, message, tmp_path, capsys):
    assert status_of("fit", "-o", tmp_path / "model", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("recipe", MODELS)
@pytest.mark.parametrize("given", [(), ("--corpora", "here"), ("--cache", "here")])
def test_the_recipes_of_the_models_that_ship_need_corpora_and_a_cache(recipe, given, tmp_path, capsys):
    assert status_of("fit", "--recipe", recipe, *given, "-o", tmp_path / "model") == 2
    assert f"--recipe {recipe} needs --corpora and --cache" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_recipe_that_nobody_knows_is_a_usage_error_that_lists_those_there_are(tmp_path, capsys):
    assert status_of("fit", "--recipe", "best", "-o", tmp_path / "model") == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("plain", "default", "accurate"))


@pytest.mark.parametrize("name", MODELS)
def test_the_recipe_that_is_asked_for_is_released(name, tmp_path, monkeypatch, capsys):
    from training import release

    asked = []
    monkeypatch.setattr(release, "release", lambda *given: asked.append(given) or tmp_path / "card.md")
    folders = [tmp_path / part for part in ("corpora", "cache", "model", "probabilities")]
    corpora, cache, output, probabilities = folders
    assert status_of(
        "fit", "--recipe", name, "--corpora", corpora, "--cache", cache, "-o", output, "--probabilities", probabilities
    ) == 0  # fmt: skip
    ((recipe, *given),) = asked
    assert given == folders
    assert recipe.name == name
    assert str(tmp_path / "card.md") in capsys.readouterr().out


def test_a_speaker_that_is_not_there_is_a_usage_error_that_lists_those_who_are(tiny_ravdess, tmp_path, capsys):
    assert status_of("fit", "--ravdess", tiny_ravdess, "-o", tmp_path / "m", "--test-speakers", "ravdess-77") == 2
    assert "ravdess-77" in (said := capsys.readouterr().err) and "ravdess-06" in said


def test_an_output_that_cannot_be_made_ends_with_status_3_before_the_training(tiny_ravdess, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert status_of("fit", "--ravdess", tiny_ravdess, "-o", tmp_path / "file" / "model") == 3
    assert "choose another folder" in capsys.readouterr().err


def test_exporting_what_is_no_model_ends_with_status_3(tmp_path, capsys):
    assert status_of("export", tmp_path) == 3
    assert str(tmp_path) in capsys.readouterr().err


def test_the_command_on_the_card_has_placeholders_for_folders(tmp_path):
    from training.cli import _parser

    arguments = ["fit", "--ravdess", "/home/me/r", "--manifest", "/home/me/own.csv", "-o", str(tmp_path / "mine")]
    chosen = _parser().parse_args([*arguments, "--test-speakers", "own-1,own-2"])
    assert command(chosen) == (
        "python -m training fit --ravdess RAVDESS --manifest own.csv --epochs 25 --batch 64 --seed 1 "
        "--test-speakers own-1,own-2 -o models/mine"
    )
