"""The command `call-emotions`. Nothing heavy is imported before it is known what to do."""

import argparse
import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from analyzer import __version__, config, logs
from analyzer.emotions import PRIORS
from analyzer.errors import CallEmotionsError, CannotWork, UsageError
from analyzer.roles import parse_roles
from analyzer.signals import Stopped, StopSignals

FORMATS = ("csv", "xlsx")

_EPILOG = """\
exit status:
  0 nothing failed    1 some recordings failed    2 wrong usage    3 could not work at all
  75 another run is at work there    130, 143 stopped by a signal
"""
_RUN, _WHO, _WHICH, _NOISE = ("the run", "who speaks, and what it is called", "which recordings", "for operators")

log = logging.getLogger(logs.LOGGER)


def _parser() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The parser of the command line, and the part of it that a configuration file is about."""
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
    _add_analyze(analyze)
    _add_doctor(commands.add_parser("doctor", help="say what works here", description="Say what works here."))
    _add_prune(
        commands.add_parser(
            "prune",
            help="delete results for good",
            description="Say which results will be deleted, then delete them. They are not made again.",
        )
    )
    return parser, analyze


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
    add("--format", type=_formats, default=frozenset(FORMATS), metavar="csv,xlsx", help="csv is always written")
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
    add("--retry-failed", action="store_true", help="also try what was given up after three nights")
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
    add("--lock-wait", type=_seconds, default=0.0, metavar="S", help="wait so long for a run in DIR to end")
    add("--dry-run", action="store_true", help="only say what would be deleted")
    add("-q", "--quiet", action="store_true", help="say nothing but what went wrong")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of recordings at a time, 1 to 1024")
    return int(text)


def _formats(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names - set(FORMATS)):
        raise argparse.ArgumentTypeError(f"unknown format {unknown[0]!r}: give some of {','.join(FORMATS)}")
    return names | {"csv"}


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


def _pattern(text: str) -> "re.Pattern[str]":
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error


def _zone(text: str) -> str:
    from analyzer.tables import check_time_zone

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends no run
    parser, analyze = _parser()
    options = parser.parse_args(arguments)
    keep_private()
    logs.set_up()
    try:
        with StopSignals() as stop:  # from here on, since to import what is needed takes long enough to be stopped at
            if options.command == "analyze":
                return _analyze(parser, analyze, arguments, options, stop)
            one_thread_per_process()
            return _doctor(analyze, options) if options.command == "doctor" else _prune(parser, options, stop)
    except CallEmotionsError as error:
        log.error("%s", error)
        return error.exit_status
    except Stopped as stopped:
        return stopped.exit_status
    except OSError as error:
        log.error("%s", error)
        return CannotWork.exit_status
    finally:
        logs.close()


def _analyze(
    parser: argparse.ArgumentParser,
    analyze: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    said: argparse.Namespace,
    stop: StopSignals,
) -> int:
    """Run `analyze`; `said` are the options of the command line, before those of a file are added."""
    hooks = config.apply(analyze, said.config)
    options = parser.parse_args(arguments)
    _check(analyze, options)
    verbose = options.verbose and not said.quiet
    logs.set_up(options.quiet, verbose, options.log_file, options.log_format)
    one_thread_per_process()
    try:
        status = _run(options, stop)
    except CallEmotionsError as error:
        # Names of folders may hold what is masked in names of recordings.
        log.error("%s", re.sub(r"\d{7,}", "…", str(error)) if options.mask_names else error)
        status = error.exit_status
    if not options.dry_run and (trouble := config.run_hook(hooks, status, options.output)):
        log.warning("%s", trouble)
    return status


def _check(analyze: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a usage error where options do not go together."""
    if not options.inputs:
        analyze.error("name an INPUT: a folder of recordings")
    if options.cluster and options.jobs:
        analyze.error("-j is about this machine: the workers of a --cluster say themselves how many threads they have")
    if options.only and not options.speakers and not options.metadata:
        analyze.error("--only needs to know who speaks: give --speakers, such as --speakers agent,customer")
    unknown = [role for role in options.only if role not in (*options.speakers, "mixed")]
    if unknown and not options.metadata:
        analyze.error(f"--only names {','.join(unknown)}, and --speakers only {','.join(options.speakers)}")


def _run(options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer import batch, tables
    from analyzer.names import show
    from analyzer.outputs import TIMELINES
    from analyzer.settings import RunSettings

    settings = RunSettings(
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
        speakers=options.speakers,
        only=frozenset(options.only),
        name_pattern=options.name_pattern,
        metadata=options.metadata,
        mask_names=options.mask_names,
        time_zone=options.time_zone,
        min_age_s=options.min_age,
        max_hours=options.max_hours,
        retry_failed=options.retry_failed,
        checksum=options.checksum,
        follow_links=options.follow_links,
        lock_wait_s=options.lock_wait,
        metrics_file=options.metrics_file and Path(os.path.abspath(options.metrics_file)),
    )
    status = batch.run(settings, stop)
    if not options.quiet and not options.dry_run:
        results = [*tables.results(settings.output, settings.formats), settings.output / TIMELINES]
        print("\n".join(["to open:", *(f"  {show(str(path))}" for path in results)]))
    return status


def _doctor(analyze: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from analyzer import doctor

    hooks = config.apply(analyze, options.config)
    asked = analyze.parse_args(options.inputs)
    if options.config:
        _check(analyze, asked)
    return doctor.run(
        inputs=asked.inputs,
        output=options.output or (asked.output if options.config else None),
        model=asked.model,
        written=[path for path in (asked.log_file, asked.metrics_file) if path],
        programs=[command[0] for command in (hooks.on_success, hooks.on_failure) if command],
        metadata_file=asked.metadata,
    )


def _prune(parser: argparse.ArgumentParser, options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer import prune

    if options.older_than is None and options.match is None:
        parser.error("prune: say which results, with --older-than or --match")
    return prune.run(
        prune.PruneSettings(
            output=Path(os.path.abspath(options.output)),
            days=options.older_than,
            pattern=options.match,
            dry_run=options.dry_run,
            lock_wait_s=options.lock_wait,
            quiet=options.quiet,
        ),
        stop,
    )


def console() -> None:
    """Run the command line and end the process, without taking all of its objects apart first: that takes 0.2 s."""
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody may be listening any more
            stream.flush()
    os._exit(status)


def keep_private() -> None:
    """Results tell of people: files and folders are made for the owner and the group alone."""
    os.umask(os.umask(0o027) | 0o027)


def one_thread_per_process() -> None:
    """Processes, not threads, share the cores; and sums must not depend on how many threads took part in them."""
    for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
