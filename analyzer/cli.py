"""The command `call-emotions`. Heavy modules are imported only once the subcommand is known."""

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from analyzer import config, logs, standard_streams
from analyzer.errors import CallEmotionsError, CannotWork
from analyzer.options import command_line
from analyzer.signals import Stopped, StopSignals
from analyzer.working_folder import leave_if_unusable

log = logging.getLogger(logs.LOGGER)


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
            run = {"prune": _prune, "report": _report, "listen": _listen}[options.command]
            return run(parser, options, stop)
    except CallEmotionsError as error:
        log.error("%s", error)
        return error.exit_status
    except Stopped as stopped:
        return stopped.exit_status
    except Exception as error:
        log.error("%s", error if isinstance(error, OSError) else _unforeseen(error))
        return CannotWork.exit_status
    finally:
        logs.close()


def _unforeseen(error: Exception) -> str:
    """Return the message for an unexpected error, which is a bug of this tool, with the full traceback."""
    import traceback

    return f"unforeseen, please report it: {''.join(traceback.format_exception(error))}"


def _analyze(
    parser: argparse.ArgumentParser,
    analyze: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    said: argparse.Namespace,
    stop: StopSignals,
) -> int:
    """Run `analyze`; `said` are the options of the command line alone, without those of a configuration file."""
    hooks = config.apply(analyze, said.config)
    options = parser.parse_args(arguments)
    _check(analyze, options)
    leave_if_unusable(options)
    verbose = options.verbose and not said.quiet
    logs.set_up(options.quiet, verbose, options.log_file, options.log_format)
    one_thread_per_process()
    try:
        status = _run(options, stop)
    except CallEmotionsError as error:
        # Folder names may contain numbers that are masked in names of recordings.
        log.error("%s", re.sub(r"\d{7,}", "…", str(error)) if options.mask_names else error)
        status = error.exit_status
    except Exception as error:
        text = _unforeseen(error)
        log.error("%s", re.sub(r"\d{7,}", "…", text) if options.mask_names else text)
        status = CannotWork.exit_status
    if not options.dry_run and (trouble := config.run_hook(hooks, status, options.output)):
        log.warning("%s", trouble)
    return status


def _check(analyze: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Exit with a usage error if options do not fit together."""
    if not options.inputs:
        analyze.error("name an INPUT: a folder of recordings")
    if options.cluster and options.jobs:
        analyze.error("-j is about this machine: the workers of a --cluster say themselves how many threads they have")
    if options.embed_audio and "html" not in options.format:
        analyze.error("--embed-audio is about pages: give --format csv,xlsx,html")
    if options.only and not options.speakers and not options.metadata:
        analyze.error("--only needs to know who speaks: give --speakers, such as --speakers agent,customer")
    unknown = [role for role in options.only if role not in (*options.speakers, "mixed")]
    if unknown and not options.metadata:
        analyze.error(f"--only names {','.join(unknown)}, and --speakers only {','.join(options.speakers)}")


def _run(options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer import batch
    from analyzer.names import show
    from analyzer.outputs import TIMELINES
    from analyzer.report import tables
    from analyzer.settings import RunSettings

    settings = RunSettings(
        inputs=options.inputs,
        output=Path(os.path.abspath(options.output)),
        jobs=options.jobs or os.cpu_count() or 1,
        model=options.model,
        prior=options.prior,
        sensitivity=options.sensitivity,
        formats=options.format,
        embed_audio=options.embed_audio,
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
    asked.output = options.output or (asked.output if options.config else None)
    leave_if_unusable(asked)
    return doctor.run(
        inputs=asked.inputs,
        output=asked.output,
        model=asked.model,
        written=[path for path in (asked.log_file, asked.metrics_file) if path],
        programs=[command[0] for command in (hooks.on_success, hooks.on_failure) if command],
        metadata_file=asked.metadata,
    )


def _report(parser: argparse.ArgumentParser, options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer.report import command
    from analyzer.report.selection import Period

    if options.since and options.until and options.since > options.until:
        parser.error("report: --since is later than --until")
    return command.run(
        command.ReportSettings(
            output=Path(os.path.abspath(options.output)),
            period=Period(options.since, options.until) if options.since or options.until else None,
            pattern=options.match,
            formats=options.format,
            jobs=options.jobs or os.cpu_count() or 1,
            lock_wait_s=options.lock_wait,
            quiet=options.quiet,
        ),
        stop,
    )


def _prune(parser: argparse.ArgumentParser, options: argparse.Namespace, stop: StopSignals) -> int:
    from analyzer import prune

    if options.older_than is None and options.match is None and not options.where:
        parser.error("prune: say which results, with --older-than, --match or --where")
    return prune.run(
        prune.PruneSettings(
            output=Path(os.path.abspath(options.output)),
            days=options.older_than,
            pattern=options.match,
            where=options.where,
            dry_run=options.dry_run,
            lock_wait_s=options.lock_wait,
            quiet=options.quiet,
        ),
        stop,
    )


def _listen(parser: argparse.ArgumentParser, options: argparse.Namespace, stop: StopSignals) -> int:
    if options.only and not options.speakers:
        parser.error("listen: --only needs to know who speaks: give --speakers, such as --speakers agent,customer")
    if sys.stdin is None or standard_streams.is_closed(sys.stdout):
        parser.error("listen: hears standard input and tells on standard output, and one of them is closed")
    from analyzer import live

    settings = {key: value for key, value in vars(options).items() if key != "command"}
    return live.run(live.ListenSettings(**settings), sys.stdin.buffer, sys.stdout, stop)


def console() -> None:
    """Run the command line and end the process without interpreter cleanup, which takes 0.2 s."""
    standard_streams.install()
    status = main()
    lost = standard_streams.lost_by(sys.stdout)
    if lost and status in (0, 1) and not standard_streams.is_unwanted(lost):
        print(f"{logs.LOGGER}: standard output could not be written: {lost.strerror or lost}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(status)


def keep_private() -> None:
    """Make new files and folders accessible to the owner and the group only, since results are personal data."""
    os.umask(os.umask(0o027) | 0o027)


def one_thread_per_process() -> None:
    """Limit numeric libraries to one thread.

    Processes, not threads, share the cores, and sums must not depend on the number of threads.
    """
    for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
