"""The command `call-emotions`. Heavy modules are imported only once the subcommand is known."""

import argparse
import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from analyzer.commands import config
from analyzer.commands.options import command_line
from analyzer.commands.working_folder import leave_if_unusable
from analyzer.errors import CallEmotionsError, CannotWork
from analyzer.runtime import logs, standard_streams
from analyzer.runtime.environment import keep_private, one_thread_per_process
from analyzer.runtime.signals import Stopped, StopSignals

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

log = logging.getLogger(logs.LOGGER)

#: Before the traceback of an error that is a bug of this tool.
_UNFORESEEN = "unforeseen, please report it: "

_Settings = TypeVar("_Settings", bound="DataclassInstance")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser, analyze = command_line()
    options = parser.parse_args(arguments)
    keep_private()
    logs.set_up()
    try:
        with StopSignals() as stop:  # before the imports, which take long enough to be interrupted
            if options.command == "analyze":
                return _analyze(parser, analyze, arguments, options, stop)
            one_thread_per_process()
            if options.command == "doctor":
                return _doctor(analyze, options)
            leave_if_unusable(options)
            subcommand = {"prune": _prune, "report": _report, "listen": _listen}[options.command]
            return subcommand(parser, options, stop)
    except CallEmotionsError as error:
        log.error("%s", error)
        return error.exit_status
    except Stopped as stopped:
        return stopped.exit_status
    except Exception as error:
        log.error("%s", error if isinstance(error, OSError) else f"{_UNFORESEEN}{traceback.format_exc()}")
        return CannotWork.exit_status
    finally:
        logs.close()


def _analyze(
    parser: argparse.ArgumentParser,
    analyze: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    command_line_options: argparse.Namespace,
    stop: StopSignals,
) -> int:
    """Run `analyze`.

    `command_line_options` are the options of the command line alone, without those of a configuration file.
    """
    hooks = config.apply(analyze, command_line_options.config)
    options = parser.parse_args(arguments)
    _check(analyze, options)
    leave_if_unusable(options)
    verbose = options.verbose and not command_line_options.quiet
    logs.set_up(options.quiet, verbose, options.log_file, options.log_format)
    one_thread_per_process()
    try:
        status = _run(options, stop)
    except Exception as error:
        is_bug = not isinstance(error, CallEmotionsError)
        text = f"{_UNFORESEEN}{traceback.format_exc()}" if is_bug else str(error)
        # Folder names may contain numbers that are masked in names of recordings.
        log.error("%s", re.sub(r"\d{7,}", "…", text) if options.mask_names else text)
        status = getattr(error, "exit_status", CannotWork.exit_status)
    if not options.dry_run and (hook_error := config.run_hook(hooks, status, options.output)):
        log.warning("%s", hook_error)
    return status


def _check(analyze: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exit with a usage error if options do not fit together."""
    if not options.inputs:
        analyze.error("name an INPUT: a folder of recordings")
    if options.cluster and options.jobs:
        analyze.error("-j is about this machine: the workers of a --cluster have their own number of threads")
    if options.embed_audio and "html" not in options.formats:
        analyze.error("--embed-audio is about pages: give --format csv,xlsx,html")
    if options.only and not options.speakers and not options.metadata:
        analyze.error("--only needs to know who speaks: give --speakers, such as --speakers agent,customer")
    unknown = [role for role in options.only if role not in (*options.speakers, "mixed")]
    if unknown and not options.metadata:
        analyze.error(f"--only names {','.join(unknown)}, and --speakers only {','.join(options.speakers)}")


def _run(options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer.batch import batch
    from analyzer.batch.settings import RunSettings
    from analyzer.names import show
    from analyzer.report import tables
    from analyzer.store.outputs import TIMELINES

    settings = _settings(
        RunSettings,
        options,
        jobs=options.jobs or os.cpu_count() or 1,
        progress=sys.stderr.isatty() and not options.quiet,
        only=frozenset(options.only),
        metrics_file=options.metrics_file and Path(os.path.abspath(options.metrics_file)),
    )
    status = batch.run(settings, stop)
    if not options.quiet and not options.dry_run:
        results = [*tables.results(settings.output, settings.formats), settings.output / TIMELINES]
        print("\n".join(["to open:", *(f"  {show(str(path))}" for path in results)]))
    return status


def _doctor(analyze: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from analyzer.commands import doctor

    hooks = config.apply(analyze, options.config)
    analyze_options = analyze.parse_args(options.inputs)
    if options.config:
        _check(analyze, analyze_options)
    analyze_options.output = options.output or (analyze_options.output if options.config else None)
    leave_if_unusable(analyze_options)
    return doctor.run(
        inputs=analyze_options.inputs,
        output=analyze_options.output,
        model=analyze_options.model,
        written=[path for path in (analyze_options.log_file, analyze_options.metrics_file) if path],
        programs=[command[0] for command in (hooks.on_success, hooks.on_failure) if command],
        metadata_file=analyze_options.metadata,
    )


def _report(parser: argparse.ArgumentParser, options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer.commands import report
    from analyzer.report.selection import Period

    if options.since and options.until and options.since > options.until:
        parser.error("report: --since is later than --until")
    period = Period(options.since, options.until) if options.since or options.until else None
    jobs = options.jobs or os.cpu_count() or 1
    return report.run(_settings(report.ReportSettings, options, period=period, jobs=jobs), stop)


def _prune(parser: argparse.ArgumentParser, options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer.commands import prune

    if options.days is None and options.pattern is None and not options.where:
        parser.error("prune: select results with --older-than, --match or --where")
    return prune.run(_settings(prune.PruneSettings, options), stop)


def _listen(parser: argparse.ArgumentParser, options: argparse.Namespace, stop: StopSignals) -> int:
    if options.only and not options.speakers:
        parser.error("listen: --only needs to know who speaks: give --speakers, such as --speakers agent,customer")
    if sys.stdin is None or standard_streams.is_closed(sys.stdout):
        parser.error("listen: reads standard input and writes standard output, and one of them is closed")
    from analyzer.commands import listen

    return listen.run(_settings(listen.ListenSettings, options), sys.stdin.buffer, sys.stdout, stop)


def _settings(kind: type[_Settings], options: argparse.Namespace, **others: Any) -> _Settings:
    """Return the settings of a subcommand: those that options of the same name give, and others."""
    given = {field.name: vars(options)[field.name] for field in fields(kind) if field.name in vars(options)}
    if "output" in given:
        given["output"] = Path(os.path.abspath(given["output"]))
    return kind(**{**given, **others})


def console() -> None:
    """Run the command line and end the process without interpreter cleanup, which takes 0.2 s."""
    standard_streams.install()
    status = main()
    write_error = standard_streams.lost_by(sys.stdout)
    if write_error and status in (0, 1) and not standard_streams.is_unwanted(write_error):
        reason = write_error.strerror or write_error
        print(f"{logs.LOGGER}: standard output could not be written: {reason}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(status)
