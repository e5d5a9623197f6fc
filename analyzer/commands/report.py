"""`call-emotions report`: rebuild everything that people read, from the timelines and the ledger alone."""

import logging
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import CannotWork, UsageError
from analyzer.names import show
from analyzer.report import rendering, tables
from analyzer.report.selection import LATEST, Period, Selection, name_pattern, no_match_hint
from analyzer.report.summary import selected
from analyzer.runtime.lock import run_lock
from analyzer.runtime.logs import LOGGER
from analyzer.runtime.signals import StopSignals
from analyzer.store.formats import EXTENSIONS, TABLES
from analyzer.store.ledger import FILE_NAME, Ledger
from analyzer.store.outputs import clear_unfinished
from analyzer.store.time_zone import time_zone

log = logging.getLogger(LOGGER)


@dataclass(frozen=True)
class ReportSettings:
    """What to rebuild.

    Attributes
    ----------
    output : the output folder.
    period : the days that the workbook and the index cover; None for the default days up to the newest recording.
    pattern : a pattern that recording names must match, with * and ?; None for all.
    formats : the formats to rebuild; None for those that exist.
    jobs : number of processes that write the files of single recordings.
    """

    output: Path
    period: Period | None = None
    pattern: str | None = None
    formats: frozenset[str] | None = None
    jobs: int = 1
    lock_wait_s: float = 0.0
    quiet: bool = False


def run(settings: ReportSettings, stop: StopSignals) -> int:
    """Rebuild the reports; return the exit status."""
    output = settings.output
    if not (output / FILE_NAME).exists():
        raise UsageError(f"there are no results in {show(str(output))}: name the folder that analyze wrote to")
    with (
        run_lock(output, settings.lock_wait_s, stop) as lock,
        # A copy in memory if this user may not write it.
        closing(Ledger(output, in_memory=not os.access(output / FILE_NAME, os.W_OK))) as ledger,
    ):
        try:
            if lock.previous_run_died:
                clear_unfinished(output)
            failed = _rebuild(ledger, settings, stop)
        except sqlite3.Error as error:
            raise CannotWork(f"the ledger cannot be used: {error}") from error
    return 1 if failed else 0


def _rebuild(ledger: Ledger, settings: ReportSettings, stop: StopSignals) -> int:
    output = settings.output
    formats = settings.formats or tables.existing_formats(output).union(
        name for name in EXTENSIONS if (output / name).is_dir()
    )
    pattern = None if settings.pattern is None else name_pattern(settings.pattern, ledger)
    selection = Selection(settings.period, pattern)
    if pattern and not any(selection.fits(entry.identity.shown) for entry in ledger.entries()):
        hint = no_match_hint(ledger, settings.pattern or "")
        log.warning("no recording has a name that fits %s%s", settings.pattern, f": {hint}" if hint else "")
    if settings.period and (hint := _empty_period_hint(settings.period, selection, ledger)):
        log.warning("%s", hint)
    failed = rendering.write_if_stale(ledger, formats, settings.jobs, stop, selection=selection, check=True)
    ledger.tables_are_stale()
    failures = tables.write(ledger, formats, selection)
    for failure in failures:
        failure.log()
    # A workbook or index of another selection stays stale, so that the next run rebuilds it for the default one.
    ledger.tables_are_fresh(formats & TABLES if selection == LATEST else frozenset(("csv",)))
    if not settings.quiet:
        print("\n".join(["to open:", *(f"  {show(str(path))}" for path in tables.results(output, formats))]))
    return failed + len(failures)


def _empty_period_hint(period: Period, selection: Selection, ledger: Ledger) -> str | None:
    """Return a hint if no selected recording is from the requested days; None if one is, or if none is selected."""
    days = set()
    for _, recorded in selected(ledger, time_zone(ledger), selection, None):
        day = recorded[:10]
        if period.holds(day):
            return None
        days.add(day)
    days.discard("")  # of recordings whose day is unknown
    return f"no recording is of these days: there are some from {min(days)} to {max(days)}" if days else None
