"""Command line of training: `python -m training fit | tune | evaluate | export`."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.errors import CallEmotionsError, CannotWork, UsageError

if TYPE_CHECKING:
    from training.recipes import Recipe

Options = argparse.ArgumentParser | argparse._ArgumentGroup

#: Models shipped with the tool.
MODELS = ("default", "accurate", "open", "open-accurate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 success, 2 usage error, 3 cannot work at all, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except CallEmotionsError as error:
        print(f"training: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("training: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train, evaluate and export the networks that call-emotions runs.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, add_options, summary in (
        (_fit, _add_fit, "train a model on RAVDESS, TESS and corpora of your own"),
        (_evaluate, _add_evaluate, "make the report on all models from their out-of-fold probabilities"),
        (_tune, _add_tune, "train a network end to end without some speakers, and score it on them"),
        (_export, _add_export, "make a model's network.onnx again from model.json and model.weights.h5"),
    ):
        command_parser = commands.add_parser(run.__name__.strip("_"), help=summary, allow_abbrev=False)
        add_options(command_parser)
        command_parser.set_defaults(run=run)
    return parser


def _add_folders(options: Options, required: bool = False) -> None:
    options.add_argument(
        "--corpora", type=Path, metavar="DIR", required=required, help="a folder of corpora: ravdess, nemo and so on"
    )
    options.add_argument(
        "--cache", type=Path, metavar="DIR", required=required, help="where sounds, networks and statistics are kept"
    )


def _add_probabilities(options: Options) -> None:
    options.add_argument(
        "--probabilities", type=Path, metavar="DIR", default=Path("reports", "evaluation"),
        help="folder of the out-of-fold probabilities, MODEL.csv.gz (default: reports/evaluation)",
    )  # fmt: skip


def _add_seed(options: Options) -> None:
    options.add_argument("--seed", type=_integer_between(0, 2**32 - 1), default=1, metavar="N", help="default 1")


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    _add_probabilities(evaluate)
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default: the same folder)")
    evaluate.add_argument("--corpus", metavar="NAME", default="ravdess", help="the main corpus (default: ravdess)")
    refit = evaluate.add_argument_group("to train one fold again and compare it with its row, instead of the report")
    choice = refit.add_mutually_exclusive_group()
    choice.add_argument(
        "--refit", type=_integer_between(1, 5), metavar="FOLD", help="1 to 5; needs --corpora and --cache"
    )
    choice.add_argument(
        "--plain", action="store_true",
        help="train the plain recipe on every fold and write its rows, instead; needs --corpora and --cache",
    )  # fmt: skip
    refit.add_argument("--model", choices=MODELS, default="accurate", help="default: accurate")
    _add_folders(refit)


def _add_fit(fit: argparse.ArgumentParser) -> None:
    fit.add_argument(
        "--recipe", choices=("plain", *MODELS), default="plain",
        help="plain: a small network of your own corpora; the others: the models that come with the tool",
    )  # fmt: skip
    shipped = fit.add_argument_group("for another --recipe than plain")
    _add_folders(shipped)
    _add_probabilities(shipped)
    corpora = fit.add_argument_group("corpora (at least one)")
    corpora.add_argument("--ravdess", type=Path, metavar="DIR", help="RAVDESS speech, as its publishers pack it")
    corpora.add_argument("--tess", type=Path, metavar="DIR", help="TESS, as its publishers pack it")
    corpora.add_argument(
        "--manifest", type=Path, metavar="CSV", action="append", default=[],
        help="a corpus of your own: a CSV with the columns path,emotion,speaker; may be given several times",
    )  # fmt: skip
    outputs = fit.add_argument_group("what is written")
    outputs.add_argument("-o", "--output", type=Path, metavar="MODEL_DIR", required=True, help="the model's folder")
    outputs.add_argument("--name", metavar="NAME", help="the model's name (default: that of its folder)")
    outputs.add_argument(
        "--reports", type=Path, metavar="DIR", help="folder of curves and tables (default: reports/models/NAME)"
    )
    recipe = fit.add_argument_group("recipe")
    recipe.add_argument("--epochs", type=_integer_between(1, 10_000), default=25, metavar="N", help="default 25")
    recipe.add_argument(
        "--batch", type=_integer_between(1, 65_536), default=64, metavar="N", help="clips a step, default 64"
    )
    _add_seed(recipe)
    speakers = fit.add_argument_group("speakers (as corpus-speaker: ravdess-01, tess-oaf, MANIFEST-speaker)")
    for subset, fold in (("test", 1), ("validation", 2)):
        speakers.add_argument(
            f"--{subset}-speakers", type=_speaker_list, metavar="NAME,NAME",
            help=f"default: EmoBox fold {fold} of RAVDESS, a sixth of the speakers of other corpora of at least six",
        )  # fmt: skip


def _add_tune(tune: argparse.ArgumentParser) -> None:
    tune.add_argument("--recipe", choices=MODELS, default="accurate", help="default: accurate")
    tune.add_argument(
        "--part", default="1", metavar="PART",
        help="the speakers to leave out: a fold (1 to 5), corpora joined by + (crema-d, nemo, banglaser, tess), or all "
        "for none",
    )  # fmt: skip
    _add_seed(tune)
    tune.add_argument(
        "--steps", type=_integer_between(1, 1_000_000), metavar="N", help="instead of the recipe's number"
    )
    _add_folders(tune, required=True)


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("model", type=Path, metavar="MODEL_DIR", help="the folder of a model")


def _integer_between(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not lowest <= number <= highest:
            raise argparse.ArgumentTypeError(f"{number} is not within {lowest} to {highest}")
        return number

    return parse


def _speaker_list(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of speakers parted by commas")
    return names


def _fit(options: argparse.Namespace) -> None:
    if options.recipe == "plain":
        _fit_plain(options)
        return
    if not options.corpora or not options.cache:
        raise UsageError(f"--recipe {options.recipe} needs --corpora and --cache")
    from training import release

    recipe = _recipe(options.recipe)
    card_path = release.release(recipe, options.corpora, options.cache, options.output, options.probabilities)
    print(f"model: {card_path}\nout-of-fold probabilities: {options.probabilities}")


def _fit_plain(options: argparse.Namespace) -> None:
    from analyzer.speech.features import FrontEnd
    from training.data import corpora, splits

    name = options.name or options.output.resolve().name
    reports = options.reports or Path("reports", "models", name)
    clips = corpora.read_corpora(options.ravdess, options.tess, options.manifest)
    split = splits.split_by_speaker(clips, options.seed, options.test_speakers, options.validation_speakers)
    for folder in (options.output, reports):  # fail before the training, not after it
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWork(f"{folder} cannot be made: {error}; choose another folder") from error
    for subset, subset_clips in vars(split).items():
        _log(f"{subset}: {len(subset_clips)} clips of {', '.join(splits.speakers_of(subset_clips))}")

    from training.baseline import card, fit, plots, scores
    from training.data import dataset
    from training.export import model_files

    front_end = FrontEnd()
    examples = dataset.load_split(split, front_end)
    fit_options = fit.FitOptions(options.epochs, options.batch, seed=options.seed)
    started = time.monotonic()
    fitted = fit.fit_network(examples, front_end, fit_options)
    _log(f"fitted in {(time.monotonic() - started) / 60:.1f} minutes; kept epoch {fitted.kept_epoch}")
    subset_scores = scores.score_split(fitted.network, examples)
    threshold = scores.uncertain_below(subset_scores["validation"])
    settings = model_files.model_settings(name, front_end, fitted.training_examples, threshold)
    model_files.write_model(options.output, fitted.network, settings)
    card_input = card.CardInput(settings, fit_options, fitted, subset_scores, command(options))
    card.write_card(options.output, card_input)
    plots.write_reports(reports, fitted, subset_scores)
    low, high = subset_scores["test"].interval()
    _log(
        f"unseen speakers: UAR {subset_scores['test'].uar:.3f} ({low:.3f} to {high:.3f}), "
        f"accuracy {subset_scores['test'].accuracy:.3f}"
    )
    print(f"model: {options.output / card.CARD_FILE}\nreports: {reports / plots.CONFUSION_FILE}")


def command(chosen: argparse.Namespace) -> str:
    """Return the command that reproduces the model, with placeholders for folders."""
    words = ["python", "-m", "training", "fit"]
    if chosen.ravdess is not None:
        words += ["--ravdess", "RAVDESS"]
    if chosen.tess is not None:
        words += ["--tess", "TESS"]
    for manifest in chosen.manifest:
        words += ["--manifest", manifest.name]
    words += ["--epochs", str(chosen.epochs), "--batch", str(chosen.batch), "--seed", str(chosen.seed)]
    for option in ("test_speakers", "validation_speakers"):
        if getattr(chosen, option) is not None:
            words += [f"--{option.replace('_', '-')}", ",".join(getattr(chosen, option))]
    if chosen.name is not None:
        words += ["--name", chosen.name]
    return shlex.join([*words, "-o", f"models/{chosen.output.resolve().name}"])


def _evaluate(options: argparse.Namespace) -> None:
    if (options.refit is not None or options.plain) and not (options.corpora and options.cache):
        raise UsageError(f"--{'plain' if options.plain else 'refit'} needs --corpora and --cache")
    if options.refit is not None:
        _refit(options)
        return
    if options.plain:
        from training.baseline import plain

        plain.write(options.corpora, options.cache, options.probabilities)
        print(f"out-of-fold probabilities: {options.probabilities}")
        return
    from training.evaluation import report

    files = report.probability_files(options.probabilities)
    print(f"report: {report.evaluate(files, options.out or options.probabilities, options.corpus)}")


def _tune(options: argparse.Namespace) -> None:
    from training.data import sounds
    from training.heads import fits

    recipe = _recipe(options.recipe)
    if options.steps:
        encoder_options = replace(recipe.encoder.options, steps=options.steps)
        recipe = replace(recipe, encoder=replace(recipe.encoder, options=encoder_options))
    clip_sounds = sounds.read_sounds(fits.read_clips(options.corpora, options.cache), options.cache)
    table = fits.figures(fits.scored(recipe, options.part, options.seed, clip_sounds, options.cache))
    print(table.to_string(index=False, float_format="%.3f", na_rep="-"))


def _refit(options: argparse.Namespace) -> None:
    from training.heads import refit

    result = refit.refit(_recipe(options.model), options.refit, options.corpora, options.cache, options.probabilities)
    line = (
        f"{options.model}, fold {options.refit}: UAR {result.again:.3f} trained again, "
        f"{result.committed:.3f} as committed"
    )
    if not result.agrees:
        raise CannotWork(f"{line}: further apart than {refit.TOLERANCE}")
    print(line)


def _recipe(name: str) -> "Recipe":
    from training.recipes import RECIPES

    return next(recipe for recipe in RECIPES if recipe.name == name)


def _export(options: argparse.Namespace) -> None:
    from training.export import model_files

    model_files.re_export(options.model)
    print(f"network: {options.model / model_files.NETWORK_FILE}")


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
