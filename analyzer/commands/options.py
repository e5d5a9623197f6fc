"""The command line of `call-emotions` and the values that its options accept."""

import argparse
from collections.abc import Callable
from datetime import date
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from analyzer import __version__
from analyzer.emotions import PRIORS, SENSITIVITIES
from analyzer.errors import UsageError
from analyzer.runtime import logs
from analyzer.store.formats import DEFAULT_FORMATS, FORMATS
from analyzer.timeline.roles import parse_roles

if TYPE_CHECKING:
    from analyzer.inputs.name_pattern import NamePattern

_Value = TypeVar("_Value")

_EPILOG = """\
exit status:
  0 no failures    1 some recordings failed    2 usage error    3 the run could not start or continue
  75 another run is using that folder    130, 143 stopped by a signal
"""
_FORMATS_HELP = f"some of {', '.join(FORMATS)} (default: csv,xlsx; csv is always written)"
_INPUTS_HELP = "a folder, a recording, or an address such as s3://bucket/calls; LABEL=INPUT gives it a name"
_MIN_AGE_HELP = "ignore files changed in the last S seconds"
_LOCK_WAIT_HELP = "wait up to S seconds for another run"
_SENSITIVITY_HELP = "how readily segments are labelled negative (default: normal)"
_WHERE_HELP = "by a column of --metadata or a group of --name-pattern, such as customer=4711"


def command_line() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the parser of the command line and that of `analyze`, whose options a configuration file may set."""
    parser = argparse.ArgumentParser(
        prog="call-emotions",
        description="Emotion timelines and spreadsheets from folders of call recordings, offline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    analyze = commands.add_parser(
        "analyze",
        help="analyse the recordings that are new or changed, and bring the tables up to date",
        description="Analyse the recordings below INPUT that are new or changed, and bring the tables up to date.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_analyze_options(analyze)
    _add_doctor_options(commands.add_parser("doctor", help="check the installation"))
    _add_prune_options(commands.add_parser("prune", help="delete results permanently"))
    _add_report_options(
        commands.add_parser("report", help="rebuild workbook, pages and other files from stored results")
    )
    _add_listen_options(commands.add_parser("listen", help="analyse live audio"))
    return parser, analyze


def _add_analyze_options(analyze: argparse.ArgumentParser) -> None:
    add = analyze.add_argument
    add("inputs", nargs="*", metavar="INPUT", help=_INPUTS_HELP)
    add("-o", "--output", type=Path, default=Path("reports"), metavar="DIR", help="output folder (default: reports)")
    add("--model", default="default", metavar="NAME|PATH", help="a model of this tool, or a model's folder")
    add("--prior", choices=PRIORS, default="even", help="class prior: uniform (default), or typical of calls")
    add("--sensitivity", choices=SENSITIVITIES, default="normal", help=_SENSITIVITY_HELP)
    add("--format", dest="formats", type=_formats, default=DEFAULT_FORMATS, metavar="csv,xlsx,…", help=_FORMATS_HELP)
    add("--embed-audio", action="store_true", help="embed audio in HTML pages instead of a link")
    add("--config", type=Path, metavar="FILE", help="options in TOML (default: ./call-emotions.toml, if it is there)")

    add = analyze.add_argument_group("run").add_argument
    add("-j", "--jobs", type=_jobs, metavar="N", help="recordings at a time (default, and at most: one per core)")
    add("--cluster", metavar="ADDRESS", help="use a Dask cluster, such as tcp://scheduler:8786")
    add("--max-hours", type=_hours, metavar="H", help="start no new recording after H hours")
    add("--lock-wait", dest="lock_wait_s", type=_seconds, default=0.0, metavar="S", help=_LOCK_WAIT_HELP)
    add("--dry-run", action="store_true", help="only print what would be analysed, and its length in hours")

    add = analyze.add_argument_group("speakers and names").add_argument
    add("--speakers", type=_roles, default=(), metavar="ROLE,ROLE", help="roles by channel, such as agent,customer")
    add("--only", type=_roles, default=(), metavar="ROLE", help="infer the emotions of this role alone")
    add("--name-pattern", type=_name_pattern, metavar="REGEX", help="finds the groups date, time and others in names")
    add("--metadata", type=Path, metavar="CSV", help="by file: recorded, channel_1, channel_2 and grouping columns")
    add("--mask-names", action="store_true", help="replace numbers of seven digits or more in names by a keyed hash")
    add("--time-zone", type=_zone, metavar="Z", help="of all times, such as Europe/Berlin (default: the system's)")

    add = analyze.add_argument_group("selection of recordings").add_argument
    add("--min-age", dest="min_age_s", type=_seconds, default=0.0, metavar="S", help=_MIN_AGE_HELP)
    add("--checksum", action="store_true", help="detect changes by checksum instead of size and time")
    add("--follow-links", action="store_true", help="follow symbolic links that lead out of INPUT")
    add("--retry-failed", action="store_true", help="also retry recordings that failed on three days")
    add("--force", action="store_true", help="re-analyse everything")

    group = analyze.add_argument_group("operation")
    verbosity = group.add_mutually_exclusive_group()
    verbosity.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    verbosity.add_argument("-v", "--verbose", action="store_true", help="one line per recording")
    add = group.add_argument
    add("--log-file", type=Path, metavar="FILE", help="also log to this file, with timestamps")
    add("--log-format", choices=logs.FORMATS, default="text", help="format of the log file, or else of standard error")
    add("--metrics-file", type=Path, metavar="FILE", help="metrics for Prometheus' textfile collector")


def _add_doctor_options(doctor: argparse.ArgumentParser) -> None:
    doctor.description = "Check the installation, the model, the inputs and the output folder."
    add = doctor.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="recordings as for analyze, to see whether they can be reached")
    add("-o", "--output", type=Path, default=None, metavar="DIR", help="output folder")
    add("--config", type=Path, metavar="FILE", help="check a configuration, and what it names")


def _add_prune_options(prune: argparse.ArgumentParser) -> None:
    prune.description = "Print which results will be deleted, then delete them; later runs do not redo them."
    add = prune.add_argument
    add("-o", "--output", type=Path, default=Path("reports"), metavar="DIR", help="output folder (default: reports)")
    add("--older-than", dest="days", type=_age, metavar="AGE", help="by the recording's date: 90d, 12w, 6m or 2y")
    add("--match", dest="pattern", metavar="PATTERN", help="by the recording's name, with * and ?")
    add("--where", type=_where, action="append", default=[], metavar="COLUMN=VALUE", help=_WHERE_HELP)
    add("--lock-wait", dest="lock_wait_s", type=_seconds, default=0.0, metavar="S", help=_LOCK_WAIT_HELP)
    add("--dry-run", action="store_true", help="only print what would be deleted")
    add("-q", "--quiet", action="store_true", help="print errors only")


def _add_report_options(report: argparse.ArgumentParser) -> None:
    report.description = "Rebuild tables, pages and other files from the results in DIR, without reading audio."
    add = report.add_argument
    add("output", type=Path, metavar="DIR", help="the folder that analyze wrote to")
    add("--since", type=_day, metavar="DAY", help="include recordings from this date on, such as 2026-11-24")
    add("--until", type=_day, metavar="DAY", help="include recordings up to this date (default: the newest)")
    add("--match", dest="pattern", metavar="PATTERN", help="include only recordings with such a name, with * and ?")
    add("--format", dest="formats", type=_formats, metavar="csv,xlsx,…", help="default: the formats that exist")
    add("-j", "--jobs", type=_jobs, metavar="N", help="recordings at a time (default: one per core)")
    add("--lock-wait", dest="lock_wait_s", type=_seconds, default=0.0, metavar="S", help=_LOCK_WAIT_HELP)
    add("-q", "--quiet", action="store_true", help="print errors only")


def _add_listen_options(listen: argparse.ArgumentParser) -> None:
    listen.description = (
        "Read raw PCM from standard input (16-bit signed PCM, little-endian, channels interleaved), and print a line "
        "of JSON for every segment of speech within a second of its end."
    )
    add = listen.add_argument
    add("--rate", type=_count, default=8000, metavar="HZ", help="samples per second (default: 8000)")
    add("--channels", type=_count, default=1, metavar="N", help="channels, each analysed separately (default: 1)")
    add("--model", default="default", metavar="NAME|PATH", help="a model of this tool, or a model's folder")
    add("--prior", choices=PRIORS, default="even", help="class prior: uniform (default), or typical of calls")
    add("--sensitivity", choices=SENSITIVITIES, default="normal", help=_SENSITIVITY_HELP)
    add("--speakers", type=_roles, default=(), metavar="ROLE,ROLE", help="roles by channel, such as agent,customer")
    add("--only", type=_roles, default=(), metavar="ROLE", help="infer the emotions of this role alone")


def _with_reason(parse: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """Let argparse show why a value is invalid: it hides the message of a ValueError."""

    @wraps(parse)
    def parse_or_explain(text: str) -> _Value:
        try:
            return parse(text)
        except (ValueError, UsageError) as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse_or_explain


@_with_reason
def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


@_with_reason
def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ValueError(f"{text!r} is not a number of recordings at a time, 1 to 1024")
    return int(text)


@_with_reason
def _formats(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names - set(FORMATS)):
        raise ValueError(f"unknown format {unknown[0]!r}: give some of {','.join(FORMATS)}")
    if "parquet" in names and find_spec("pyarrow") is None:
        raise ValueError("parquet needs pyarrow: pip install 'call-emotions[parquet]'")
    return names | {"csv"}


@_with_reason
def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date: use YYYY-MM-DD") from error


def _number(text: str, unit: str, minimum: float, maximum: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not minimum <= number <= maximum:
        raise ValueError(f"{text!r} is not a number of {unit}, {minimum:g} to {maximum:g}")
    return number


@_with_reason
def _seconds(text: str) -> float:
    return _number(text, "seconds", 0, 7 * 24 * 3600)


@_with_reason
def _hours(text: str) -> float:
    return _number(text, "hours", 0.0001, 7 * 24)


_roles = _with_reason(parse_roles)


@_with_reason
def _name_pattern(text: str) -> "NamePattern":
    from analyzer.inputs.name_pattern import NamePattern

    return NamePattern(text)


@_with_reason
def _zone(text: str) -> str:
    from analyzer.store.time_zone import check_time_zone

    check_time_zone(text)
    return text


@_with_reason
def _age(text: str) -> int:
    from analyzer.commands.prune import parse_age

    return parse_age(text)


@_with_reason
def _where(text: str) -> tuple[str, str]:
    from analyzer.commands.prune import parse_where

    return parse_where(text)
