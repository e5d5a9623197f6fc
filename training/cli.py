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

#: Models shipped with the tool.
MODELS = ("default", "accurate", "open", "open-accurate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 success, 2 usage error, 3 cannot work at all, 130 interrupted."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
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
    _add_fit(
        commands.add_parser("fit", help="train a model on RAVDESS, TESS and corpora of your own", allow_abbrev=False)
    )
    evaluate = commands.add_parser(
        "evaluate", help="make the report on all models from their out-of-fold probabilities", allow_abbrev=False
    )
    evaluate.add_argument(
        "--probabilities", type=Path, metavar="DIR", default=Path("reports", "evaluation"),
        help="folder of MODEL.csv.gz (default: reports/evaluation)",
    )  # fmt: skip
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default: the same folder)")
    evaluate.add_argument("--corpus", metavar="NAME", default="ravdess", help="the main corpus (default: ravdess)")
    again = evaluate.add_argument_group("to train one fold again and compare it with its row, instead of the report")
    either = again.add_mutually_exclusive_group()
    either.add_argument("--refit", type=_whole(1, 5), metavar="FOLD", help="1 to 5; needs --corpora and --cache")
    either.add_argument(
        "--plain", action="store_true",
        help="train the plain recipe on every fold and write its rows, instead; needs --corpora and --cache",
    )  # fmt: skip
    again.add_argument("--model", choices=MODELS, default="accurate", help="default: accurate")
    again.add_argument("--corpora", type=Path, metavar="DIR", help="a folder of corpora: ravdess, nemo and so on")
    again.add_argument("--cache", type=Path, metavar="DIR", help="where sounds, networks and statistics are kept")
    evaluate.set_defaults(run=_evaluate)
    _add_tune(
        commands.add_parser(
            "tune", help="train a network end to end without some speakers, and score it on them", allow_abbrev=False
        )
    )
    export = commands.add_parser(
        "export", help="make a model's network.onnx again from model.json and model.weights.h5", allow_abbrev=False
    )
    export.add_argument("model", type=Path, metavar="MODEL_DIR", help="the folder of a model")
    export.set_defaults(run=_export)
    return parser


def _add_fit(fit: argparse.ArgumentParser) -> None:
    fit.add_argument(
        "--recipe", choices=("plain", *MODELS), default="plain",
        help="plain: a small network of your own corpora; the others: the models that come with the tool",
    )  # fmt: skip
    pretrained = fit.add_argument_group("for another --recipe than plain")
    pretrained.add_argument("--corpora", type=Path, metavar="DIR", help="a folder of corpora: ravdess, nemo and so on")
    pretrained.add_argument("--cache", type=Path, metavar="DIR", help="where sounds, networks and statistics are kept")
    pretrained.add_argument(
        "--probabilities", type=Path, metavar="DIR", default=Path("reports", "evaluation"),
        help="where the out-of-fold probabilities go (default: reports/evaluation)",
    )  # fmt: skip
    corpora = fit.add_argument_group("corpora (at least one)")
    corpora.add_argument("--ravdess", type=Path, metavar="DIR", help="RAVDESS speech, as its publishers pack it")
    corpora.add_argument("--tess", type=Path, metavar="DIR", help="TESS, as its publishers pack it")
    corpora.add_argument(
        "--manifest", type=Path, metavar="CSV", action="append", default=[],
        help="a corpus of your own: a CSV with the columns path,emotion,speaker; may be given several times",
    )  # fmt: skip
    written = fit.add_argument_group("what is written")
    written.add_argument("-o", "--output", type=Path, metavar="MODEL_DIR", required=True, help="the model's folder")
    written.add_argument("--name", metavar="NAME", help="the model's name (default: that of its folder)")
    written.add_argument(
        "--reports", type=Path, metavar="DIR", help="folder of curves and tables (default: reports/models/NAME)"
    )
    recipe = fit.add_argument_group("recipe")
    recipe.add_argument("--epochs", type=_whole(1, 10_000), default=25, metavar="N", help="default 25")
    recipe.add_argument("--batch", type=_whole(1, 65_536), default=64, metavar="N", help="clips a step, default 64")
    recipe.add_argument("--seed", type=_whole(0, 2**32 - 1), default=1, metavar="N", help="default 1")
    sides = fit.add_argument_group("speakers (as corpus-speaker: ravdess-01, tess-oaf, MANIFEST-speaker)")
    for side, fold in (("test", 1), ("validation", 2)):
        sides.add_argument(
            f"--{side}-speakers", type=_names, metavar="NAME,NAME",
            help=f"default: EmoBox fold {fold} of RAVDESS, a sixth of the speakers of other corpora of at least six",
        )  # fmt: skip
    fit.set_defaults(run=_fit)


def _add_tune(tune: argparse.ArgumentParser) -> None:
    tune.add_argument("--recipe", choices=MODELS, default="accurate", help="default: accurate")
    tune.add_argument(
        "--part", default="1", metavar="PART",
        help="the speakers to leave out: a fold (1 to 5), corpora joined by + (crema-d, nemo, banglaser, tess), or all "
        "for none",
    )  # fmt: skip
    tune.add_argument("--seed", type=_whole(0, 2**32 - 1), default=1, metavar="N", help="default 1")
    tune.add_argument("--steps", type=_whole(1, 1_000_000), metavar="N", help="instead of the recipe's number")
    tune.add_argument(
        "--corpora", type=Path, metavar="DIR", required=True, help="a folder of corpora: ravdess, cremad and so on"
    )
    tune.add_argument(
        "--cache", type=Path, metavar="DIR", required=True, help="where sounds, checkpoints and networks are kept"
    )
    tune.set_defaults(run=_tune)


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not lowest <= number <= highest:
            raise argparse.ArgumentTypeError(f"{number} is not within {lowest} to {highest}")
        return number

    return parse


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of speakers parted by commas")
    return names


def _fit(chosen: argparse.Namespace) -> None:
    if chosen.recipe == "plain":
        _fit_plain(chosen)
    else:
        _fit_shipped(chosen)


def _fit_shipped(chosen: argparse.Namespace) -> None:
    if not chosen.corpora or not chosen.cache:
        raise UsageError(f"--recipe {chosen.recipe} needs --corpora and --cache")
    from training import release

    recipe = _recipe(chosen.recipe)
    made = release.release(recipe, chosen.corpora, chosen.cache, chosen.output, chosen.probabilities)
    print(f"model: {made}\nout-of-fold probabilities: {chosen.probabilities}")


def _fit_plain(chosen: argparse.Namespace) -> None:
    from analyzer.features import FrontEnd
    from training import corpora, splits

    name = chosen.name or chosen.output.resolve().name
    reports = chosen.reports or Path("reports", "models", name)
    clips = corpora.read_corpora(chosen.ravdess, chosen.tess, chosen.manifest)
    split = splits.split_by_speaker(clips, chosen.seed, chosen.test_speakers, chosen.validation_speakers)
    for folder in (chosen.output, reports):  # fail before the training, not after it
        _make(folder)
    for side, its_clips in vars(split).items():
        _say(f"{side}: {len(its_clips)} clips of {', '.join(splits.speakers_of(its_clips))}")

    from training import card, dataset, export, fit, plots, scores

    front_end = FrontEnd()
    examples = dataset.load_split(split, front_end)
    options = fit.FitOptions(chosen.epochs, chosen.batch, seed=chosen.seed)
    started = time.monotonic()
    fitted = fit.fit_network(examples, front_end, options)
    _say(f"fitted in {(time.monotonic() - started) / 60:.1f} minutes; kept epoch {fitted.kept_epoch}")
    found = scores.score_split(fitted.network, examples)
    threshold = scores.uncertain_below(found["validation"])
    settings = export.model_settings(name, front_end, fitted.learned, threshold)
    export.write_model(chosen.output, fitted.network, settings)
    made = card.Made(settings, options, fitted, found, command(chosen))
    card.write_card(chosen.output, made)
    plots.write_reports(reports, fitted, found)
    low, high = found["test"].interval()
    _say(
        f"unseen speakers: UAR {found['test'].uar:.3f} ({low:.3f} to {high:.3f}), accuracy {found['test'].accuracy:.3f}"
    )
    print(f"model: {chosen.output / card.CARD_FILE}\nreports: {reports / plots.CONFUSION_FILE}")


def command(chosen: argparse.Namespace) -> str:
    """Return the command that reproduces the model, with placeholders for folders."""
    parts = ["python", "-m", "training", "fit"]
    if chosen.ravdess is not None:
        parts += ["--ravdess", "RAVDESS"]
    if chosen.tess is not None:
        parts += ["--tess", "TESS"]
    for manifest in chosen.manifest:
        parts += ["--manifest", manifest.name]
    parts += ["--epochs", str(chosen.epochs), "--batch", str(chosen.batch), "--seed", str(chosen.seed)]
    for side in ("test_speakers", "validation_speakers"):
        if getattr(chosen, side) is not None:
            parts += [f"--{side.replace('_', '-')}", ",".join(getattr(chosen, side))]
    if chosen.name is not None:
        parts += ["--name", chosen.name]
    return shlex.join([*parts, "-o", f"models/{chosen.output.resolve().name}"])


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWork(f"{folder} cannot be made: {error}; choose another folder") from error


def _evaluate(chosen: argparse.Namespace) -> None:
    if (chosen.refit is not None or chosen.plain) and not (chosen.corpora and chosen.cache):
        raise UsageError(f"--{'plain' if chosen.plain else 'refit'} needs --corpora and --cache")
    if chosen.refit is not None:
        _refit(chosen)
        return
    if chosen.plain:
        from training import plain

        plain.write(chosen.corpora, chosen.cache, chosen.probabilities)
        print(f"out-of-fold probabilities: {chosen.probabilities}")
        return
    from training import evaluation

    files = evaluation.probability_files(chosen.probabilities)
    print(f"report: {evaluation.evaluate(files, chosen.out or chosen.probabilities, chosen.corpus)}")


def _tune(chosen: argparse.Namespace) -> None:
    from training import fits, sounds

    recipe = _recipe(chosen.recipe)
    if chosen.steps:
        options = replace(recipe.encoder.options, steps=chosen.steps)
        recipe = replace(recipe, encoder=replace(recipe.encoder, options=options))
    found = sounds.read_sounds(fits.read_clips(chosen.corpora, chosen.cache), chosen.cache)
    table = fits.figures(fits.scored(recipe, chosen.part, chosen.seed, found, chosen.cache))
    print(table.to_string(index=False, float_format="%.3f", na_rep="-"))


def _refit(chosen: argparse.Namespace) -> None:
    from training import refit

    found = refit.refit(_recipe(chosen.model), chosen.refit, chosen.corpora, chosen.cache, chosen.probabilities)
    line = (
        f"{chosen.model}, fold {chosen.refit}: UAR {found.again:.3f} trained again, {found.committed:.3f} as committed"
    )
    if not found.agrees:
        raise CannotWork(f"{line}: further apart than {refit.TOLERANCE}")
    print(line)


def _recipe(name: str) -> "Recipe":
    from training.recipes import RECIPES

    return next(recipe for recipe in RECIPES if recipe.name == name)


def _export(chosen: argparse.Namespace) -> None:
    from training import export

    export.export_again(chosen.model)
    print(f"network: {chosen.model / export.NETWORK_FILE}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
