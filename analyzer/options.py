"""The command line of `call-emotions` and the values that its options accept."""

import argparse
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer import __version__, logs
from analyzer.emotions import PRIORS, SENSITIVITIES
from analyzer.errors import UsageError
from analyzer.formats import DEFAULT_FORMATS, FORMATS
from analyzer.roles import parse_roles

if TYPE_CHECKING:
    from analyzer.name_pattern import NamePattern

_EPILOG = """\
exit status:
  0 nothing failed    1 some recordings failed    2 wrong usage    3 could not work at all
  75 another run is at work there    130, 143 stopped by a signal
"""
_FORMATS_HELP = f"some of {', '.join(FORMATS)} (default: csv,xlsx; csv is always written)"
_SENSITIVITY_HELP = "how readily segments are labelled negative (default: normal)"
_WHERE_HELP = "by a column of --metadata or a group of --name-pattern, such as customer=4711"
_RUN, _WHO, _WHICH, _NOISE = ("the run", "who speaks, and what it is called", "which recordings", "for operators")


def command_line() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the parser of the command line and that of `analyze`, whose options a configuration file may set."""
    whole = argparse.ArgumentParser(
        prog="call-emotions",
        description="Emotion timelines and spreadsheets from folders of call recordings, offline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("-V", "--version", action="version", version=f"%(prog)s {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    analyze = commands.add_parser(
        "analyze",
        help="analyse the recordings that are new or changed, and bring the tables up to date",
        description="Analyse the recordings below INPUT that are new or changed, and bring the tables up to date.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_analyze(analyze)
    _add_doctor(commands.add_parser("doctor", help="say what works here", description="Say what works here."))
    _add_prune(
        commands.add_parser(
            "prune",
            help="delete results for good",
            description="Say which results will be deleted, then delete them. They are not made again.",
        )
    )
    _add_report(
        commands.add_parser(
            "report",
            help="make workbook, pages and the like again, without touching audio",
            description="Make tables, pages and the like again from what is stored in DIR, without touching audio.",
        )
    )
    _add_listen(
        commands.add_parser(
            "listen",
            help="tell the emotions of a call while it goes on",
            description="Hear raw sound from standard input (16-bit signed PCM, little-endian, channels interleaved), "
            "and print a line of JSON for every segment of speech within a second of its end.",
        )
    )
    return whole, analyze


def _add_analyze(analyze: argparse.ArgumentParser) -> None:
    add = analyze.add_argument
    add(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="a folder, a recording, or an address such as s3://bucket/calls; LABEL=INPUT gives it a name",
    )
    add("-o", "--output", type=Path, default=Path("reports"), metavar="DIR", help="where results go (default: reports)")
    add("--model", default="default", metavar="NAME|PATH", help="a model of this tool, or a model's folder")
    add("--prior", choices=PRIORS, default="calls", help="emotions as frequent as on calls (default), or all alike")
    add("--sensitivity", choices=SENSITIVITIES, default="normal", help=_SENSITIVITY_HELP)
    add("--format", type=_formats, default=DEFAULT_FORMATS, metavar="csv,xlsx,…", help=_FORMATS_HELP)
    add("--embed-audio", action="store_true", help="put the sound into the pages of html, instead of a link to it")
    add("--config", type=Path, metavar="FILE", help="options in TOML (default: ./call-emotions.toml, if it is there)")
    _add_run(analyze)
    _add_who(analyze)
    _add_which(analyze)
    _add_noise(analyze)


def _add_run(analyze: argparse.ArgumentParser) -> None:
    add = analyze.add_argument_group(_RUN).add_argument
    add("-j", "--jobs", type=_jobs, metavar="N", help="recordings at a time (default, and at most: one per core)")
    add("--cluster", metavar="ADDRESS", help="do the work on a Dask cluster, such as tcp://scheduler:8786")
    add("--max-hours", type=_hours, metavar="H", help="begin no recording later than this, and leave the rest")
    add("--lock-wait", type=_seconds, default=0.0, metavar="S", help="wait so long for another run in DIR to end")
    add("--dry-run", action="store_true", help="only say what would be analysed, and how many hours it is")


def _add_who(analyze: argparse.ArgumentParser) -> None:
    add = analyze.add_argument_group(_WHO).add_argument
    add("--speakers", type=_roles, default=(), metavar="ROLE,ROLE", help="roles by channel, such as agent,customer")
    add("--only", type=_roles, default=(), metavar="ROLE", help="infer the emotions of this role alone")
    add("--name-pattern", type=_pattern, metavar="REGEX", help="finds the groups date, time and others in names")
    add("--metadata", type=Path, metavar="CSV", help="by file: recorded, channel_1, channel_2, and what it belongs to")
    add("--mask-names", action="store_true", help="replace numbers of seven digits or more in names by a keyed hash")
    add("--time-zone", type=_zone, metavar="Z", help="of times of files, such as Europe/Berlin (default: the system's)")


def _add_which(analyze: argparse.ArgumentParser) -> None:
    add = analyze.add_argument_group(_WHICH).add_argument
    add("--min-age", type=_seconds, default=0.0, metavar="S", help="leave files that changed in the last S seconds")
    add("--checksum", action="store_true", help="tell changed recordings by their content, not by size and time")
    add("--follow-links", action="store_true", help="follow symbolic links that lead out of INPUT")
    add("--retry-failed", action="store_true", help="also try what was given up after failing on three days")
    add("--force", action="store_true", help="analyse everything again, also what is done")


def _add_noise(analyze: argparse.ArgumentParser) -> None:
    group = analyze.add_argument_group(_NOISE)
    noise = group.add_mutually_exclusive_group()
    noise.add_argument("-q", "--quiet", action="store_true", help="say nothing but what went wrong")
    noise.add_argument("-v", "--verbose", action="store_true", help="one line per recording")
    add = group.add_argument
    add("--log-file", type=Path, metavar="FILE", help="say it there as well, with times")
    add("--log-format", choices=logs.FORMATS, default="text", help="of the log file, or else of standard error")
    add("--metrics-file", type=Path, metavar="FILE", help="figures for Prometheus' textfile collector")


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    add = doctor.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="recordings as for analyze, to see whether they can be reached")
    add("-o", "--output", type=Path, default=None, metavar="DIR", help="where results are to go")
    add("--config", type=Path, metavar="FILE", help="check a configuration, and what it names")


def _add_prune(prune: argparse.ArgumentParser) -> None:
    add = prune.add_argument
    add("-o", "--output", type=Path, default=Path("reports"), metavar="DIR", help="of which results (default: reports)")
    add("--older-than", type=_age, metavar="AGE", help="by the recording's date: 90d, 12w, 6m or 2y")
    add("--match", metavar="PATTERN", help="by the recording's name, with * and ?")
    add("--where", type=_where, action="append", default=[], metavar="COLUMN=VALUE", help=_WHERE_HELP)
    add("--lock-wait", type=_seconds, default=0.0, metavar="S", help="wait so long for a run in DIR to end")
    add("--dry-run", action="store_true", help="only say what would be deleted")
    add("-q", "--quiet", action="store_true", help="say nothing but what went wrong")


def _add_report(report: argparse.ArgumentParser) -> None:
    add = report.add_argument
    add("output", type=Path, metavar="DIR", help="the folder that analyze wrote to")
    add("--since", type=_day, metavar="DAY", help="tell of recordings from this day on, such as 2026-11-24")
    add("--until", type=_day, metavar="DAY", help="tell of recordings up to this day (default: the newest)")
    add("--match", metavar="PATTERN", help="only of those with such a name, with * and ?")
    add("--format", type=_formats, metavar="csv,xlsx,…", help="what to make (default: what is there)")
    add("-j", "--jobs", type=_jobs, metavar="N", help="pages and the like at a time (default: one per core)")
    add("--lock-wait", type=_seconds, default=0.0, metavar="S", help="wait so long for a run in DIR to end")
    add("-q", "--quiet", action="store_true", help="say nothing but what went wrong")


def _add_listen(listen: argparse.ArgumentParser) -> None:
    add = listen.add_argument
    add("--rate", type=_count, default=8000, metavar="HZ", help="samples per second (default: 8000)")
    add("--channels", type=_count, default=1, metavar="N", help="how many, each is listened to by itself (default: 1)")
    add("--model", default="default", metavar="NAME|PATH", help="a model of this tool, or a model's folder")
    add("--prior", choices=PRIORS, default="calls", help="emotions as frequent as on calls (default), or all alike")
    add("--sensitivity", choices=SENSITIVITIES, default="normal", help=_SENSITIVITY_HELP)
    add("--speakers", type=_roles, default=(), metavar="ROLE,ROLE", help="roles by channel, such as agent,customer")
    add("--only", type=_roles, default=(), metavar="ROLE", help="infer the emotions of this role alone")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of recordings at a time, 1 to 1024")
    return int(text)


def _formats(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names - set(FORMATS)):
        raise argparse.ArgumentTypeError(f"unknown format {unknown[0]!r}: give some of {','.join(FORMATS)}")
    if "parquet" in names and find_spec("pyarrow") is None:
        raise argparse.ArgumentTypeError("parquet needs pyarrow: pip install 'call-emotions[parquet]'")
    return names | {"csv"}


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: give one such as 2026-11-24") from error


def _number(text: str, what: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {what}, {least:g} to {most:g}")
    return number


def _seconds(text: str) -> float:
    return _number(text, "seconds", 0, 7 * 24 * 3600)


def _hours(text: str) -> float:
    return _number(text, "hours", 0.0001, 7 * 24)


def _roles(text: str) -> tuple[str, ...]:
    try:
        return parse_roles(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _pattern(text: str) -> "NamePattern":
    from analyzer.name_pattern import NamePattern

    try:
        return NamePattern(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _zone(text: str) -> str:
    from analyzer.report.tables import check_time_zone

    try:
        check_time_zone(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _age(text: str) -> int:
    from analyzer.prune import parse_age

    try:
        return parse_age(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _where(text: str) -> tuple[str, str]:
    from analyzer.prune import parse_where

    try:
        return parse_where(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
