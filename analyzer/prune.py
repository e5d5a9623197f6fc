"""Results deleted for good: of recordings that are older than wanted, or of one that somebody asks to be forgotten."""

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer import outputs
from analyzer.entry import Entry
from analyzer.errors import CannotWork, UsageError
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.lock import held
from analyzer.logs import LOGGER
from analyzer.names import show
from analyzer.report import tables
from analyzer.report.selection import name_pattern, told_of_nothing_found
from analyzer.signals import StopSignals

log = logging.getLogger(LOGGER)

_AGE = re.compile(r"([1-9]\d{0,4})([dwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


@dataclass(frozen=True)
class PruneSettings:
    """Which results to delete: of recordings older than `days`, and of those whose name fits `pattern`; both if both.

    `dry_run` only says what would be deleted.
    """

    output: Path
    days: int | None = None
    pattern: str | None = None
    dry_run: bool = False
    lock_wait_s: float = 0.0
    quiet: bool = False


def parse_age(text: str) -> int:
    """Days of an age such as 90d, 12w, 6m (of 30 days) or 2y (of 365); raises ValueError."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no age: give one such as 90d, 12w, 6m or 2y")
    return int(match[1]) * _DAYS[match[2]]


def run(settings: PruneSettings, stop: StopSignals) -> int:
    """Say what will be deleted, then delete it; returns the exit status."""
    if not (settings.output / FILE_NAME).exists():
        raise UsageError(f"there are no results in {show(str(settings.output))}: name their folder with -o")
    with (
        held(settings.output, settings.lock_wait_s, stop),
        closing(Ledger(settings.output, writable=not settings.dry_run)) as ledger,
    ):
        try:
            return _prune(ledger, settings, stop)
        except sqlite3.Error as error:
            raise CannotWork(f"the ledger cannot be used: {error}") from error


def _prune(ledger: Ledger, settings: PruneSettings, stop: StopSignals) -> int:
    zone = tables.time_zone(ledger)
    chosen = list(_chosen(ledger, settings))
    if not chosen and (hint := told_of_nothing_found(ledger, settings.pattern or "")):
        log.warning("%s", hint)
    say = (lambda text: None) if settings.quiet else print
    for entry in chosen:
        say(f"{entry.identity.shown}: {entry.when(zone)[0]}")
    stop.check()
    if settings.dry_run:
        say(f"would delete the results of {len(chosen)} recordings")
        return 0
    outputs.clear_unfinished(settings.output)
    if chosen:
        ledger.remember("has traces", "yes")
        ledger.mark_pruned(entry.identity for entry in chosen)
        outputs.delete(settings.output / tables.MANIFEST, settings.output)  # its inputs may name a single recording
    finish(ledger, settings.output)
    tables.bring_up_to_date(ledger, settings.output, tables.there(settings.output))
    say(f"deleted the results of {len(chosen)} recordings; they are not analysed again")
    return 0


def _chosen(ledger: Ledger, settings: PruneSettings) -> Iterator[Entry]:
    zone = tables.time_zone(ledger)
    pattern = name_pattern("*" if settings.pattern is None else settings.pattern, ledger)
    for entry in ledger.entries():
        if pattern.match(entry.identity.shown) and (settings.days is None or _is_older(entry, settings.days, zone)):
            yield entry


def _is_older(entry: Entry, days: int, zone: ZoneInfo) -> bool:
    told, _ = entry.when(zone)
    return bool(told) and datetime.now(zone) - datetime.fromisoformat(told).replace(tzinfo=zone) > timedelta(days)


def finish(ledger: Ledger, output: Path) -> None:
    """Delete the results of whatever is marked as pruned, also by a run that was killed over it."""
    for entry in ledger.being_pruned():
        outputs.delete_results(output, entry.identity)
        ledger.end_pruning(entry)
    if ledger.note("has traces") == "yes":
        ledger.compact()
        ledger.remember("has traces", "no")
