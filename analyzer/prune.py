"""Results deleted for good: of recordings that are older than wanted, or of one that somebody asks to be forgotten."""

import logging
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer import tables
from analyzer.errors import CannotWork, UsageError
from analyzer.ledger import FILE_NAME, Entry, Ledger
from analyzer.lock import held
from analyzer.masking import Mask
from analyzer.names import show
from analyzer.outputs import remove_empty_folders, result_paths
from analyzer.signals import StopSignals

log = logging.getLogger("call-emotions")

_AGE = re.compile(r"([1-9]\d{0,4})([dwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


@dataclass(frozen=True)
class PruneSettings:
    """Which results to delete: of recordings older than `days`, and of those whose name fits `pattern`; both if both.

    `formats` are the tables that are brought up to date; `dry_run` only says what would be deleted.
    """

    output: Path
    days: int | None = None
    pattern: str | None = None
    dry_run: bool = False
    lock_wait_s: float = 0.0
    formats: frozenset[str] = frozenset(("csv", "xlsx"))


def parse_age(text: str) -> int:
    """Days of an age such as 90d, 12w, 6m (of 30 days) or 2y (of 365); raises ValueError."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no age: give one such as 90d, 12w, 6m or 2y")
    return int(match[1]) * _DAYS[match[2]]


def run(settings: PruneSettings) -> int:
    """Say what will be deleted, then delete it; returns the exit status."""
    if not (settings.output / FILE_NAME).exists():
        raise UsageError(f"there are no results in {show(str(settings.output))}: name their folder with -o")
    with (
        StopSignals() as stop,
        held(settings.output, settings.lock_wait_s, stop),
        closing(Ledger(settings.output, writable=not settings.dry_run)) as ledger,
    ):
        return _prune(ledger, settings, stop)


def _prune(ledger: Ledger, settings: PruneSettings, stop: StopSignals) -> int:
    chosen = list(_chosen(ledger, settings))
    for entry in chosen:
        print(f"{entry.identity.shown}: {entry.when(tables.time_zone(ledger))[0]}")
    stop.check()
    if settings.dry_run:
        print(f"would delete the results of {len(chosen)} recordings")
        return 0
    ledger.mark_pruned(entry.identity for entry in chosen)
    finish(ledger, settings.output)
    tables.bring_up_to_date(ledger, settings.output, settings.formats)
    print(f"deleted the results of {len(chosen)} recordings; they are not analysed again")
    return 0


def _chosen(ledger: Ledger, settings: PruneSettings) -> Iterator[Entry]:
    zone = tables.time_zone(ledger)
    pattern = _as_named(settings.pattern, ledger) if settings.pattern else None
    for entry in ledger.entries():
        fits = pattern is None or fnmatchcase(entry.identity.shown, pattern)
        if fits and (settings.days is None or _is_older(entry, settings.days, zone)):
            yield entry


def _as_named(pattern: str, ledger: Ledger) -> str:
    """A pattern for names as they are told: with masked numbers where numbers are masked."""
    return Mask(ledger.key()).text(pattern) if ledger.note("masked with") is not None else pattern


def _is_older(entry: Entry, days: int, zone: ZoneInfo) -> bool:
    told, _ = entry.when(zone)
    if not told:
        return False
    return datetime.fromisoformat(told).replace(tzinfo=zone) < datetime.now(zone) - timedelta(days=days)


def finish(ledger: Ledger, output: Path) -> None:
    """Delete the results of whatever is marked as pruned, also by a run that was killed over it."""
    for entry in ledger.being_pruned():
        for path in result_paths(output, entry.identity):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise CannotWork(f"{show(str(path))} cannot be deleted: {error.strerror}") from error
            remove_empty_folders(path.parent, output)
        ledger.end_pruning(entry)
