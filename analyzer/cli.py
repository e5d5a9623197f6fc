"""The command `call-emotions`. Nothing heavy is imported before it is known what to do."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from analyzer import __version__
from analyzer.emotions import PRIORS
from analyzer.errors import CallEmotionsError

FORMATS = ("csv", "xlsx")

_EPILOG = """\
exit status:
  0 nothing failed    1 some recordings failed    2 wrong usage    3 could not work at all    130 interrupted
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="call-emotions",
        description="Emotion timelines and spreadsheets from folders of call recordings, offline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_analyze(commands)
    return parser


def _add_analyze(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    analyze = commands.add_parser(
        "analyze",
        help="analyse the recordings that are new or changed, and bring the tables up to date",
        description="Analyse the recordings below INPUT that are new or changed, and bring the tables up to date.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = analyze.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a folder, a recording, or an address such as s3://bucket/calls; LABEL=INPUT gives it a name",
    )
    add("-o", "--output", type=Path, default=Path("reports"), metavar="DIR", help="where results go (default: reports)")
    add(
        "-j",
        "--jobs",
        type=_jobs,
        default=None,
        metavar="N",
        help="recordings at a time (default, and at most: one per core)",
    )
    add("--cluster", metavar="ADDRESS", help="do the work on a Dask cluster, such as tcp://scheduler:8786")
    add("--model", default="default", metavar="NAME|PATH", help="a model of this tool, or a model's folder")
    add("--prior", choices=PRIORS, default="calls", help="emotions as frequent as on calls (default), or all alike")
    add("--format", type=_formats, default=frozenset(FORMATS), metavar="csv,xlsx", help="csv is always written")
    add("--force", action="store_true", help="analyse everything again, also what is done")
    add("--dry-run", action="store_true", help="only say what would be analysed, and how many hours it is")
    noise = analyze.add_mutually_exclusive_group()
    noise.add_argument("-q", "--quiet", action="store_true", help="say nothing but what went wrong")
    noise.add_argument("-v", "--verbose", action="store_true", help="one line per recording")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of recordings at a time, 1 to 1024")
    return int(text)


def _formats(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names - set(FORMATS)):
        raise argparse.ArgumentTypeError(f"unknown format {unknown[0]!r}: give some of {','.join(FORMATS)}")
    return names | {"csv"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends no run
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.cluster and options.jobs:
        parser.error("-j is about this machine: the workers of a --cluster say themselves how many threads they have")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    level = logging.WARNING if options.quiet else logging.DEBUG if options.verbose else logging.INFO
    logging.getLogger("call-emotions").setLevel(level)
    try:
        return _analyze(options)
    except CallEmotionsError as error:
        print(f"call-emotions: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130


def _analyze(options: argparse.Namespace) -> int:
    one_thread_per_process()
    from analyzer import batch
    from analyzer.names import show

    settings = batch.RunSettings(
        inputs=options.inputs,
        output=Path(os.path.abspath(options.output)),
        jobs=options.jobs or os.cpu_count() or 1,
        model=options.model,
        prior=options.prior,
        formats=options.format,
        force=options.force,
        dry_run=options.dry_run,
        progress=sys.stderr.isatty() and not options.quiet,
        cluster=options.cluster,
    )
    status = batch.run(settings)
    if not options.quiet and not options.dry_run:
        results = [*batch.results(settings.output, settings.formats), settings.output / "timelines"]
        print("\n".join(["to open:", *(f"  {show(str(path))}" for path in results)]))
    return status


def one_thread_per_process() -> None:
    """Processes, not threads, share the cores; and sums must not depend on how many threads took part in them."""
    for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
