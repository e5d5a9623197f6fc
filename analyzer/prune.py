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
from analyzer.ledger import FILE_NAME, VIEWS, Entry, Ledger
from analyzer.lock import held
from analyzer.masking import Mask
from analyzer.names import Identity, show
from analyzer.outputs import remove_empty_folders, result_paths
from analyzer.signals import StopSignals

log = logging.getLogger("call-emotions")

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
    tables.bring_up_to_date(ledger, settings.output, _formats(settings.output))
    print(f"deleted the results of {len(chosen)} recordings; they are not analysed again")
    return 0


def _formats(output: Path) -> frozenset[str]:
    """The formats of the tables that are there; a workbook is not made for one who never wanted it."""
    return frozenset(("csv", *(path.suffix[1:] for path in tables.results(output, VIEWS) if path.exists())))


def _chosen(ledger: Ledger, settings: PruneSettings) -> Iterator[Entry]:
    zone = tables.time_zone(ledger)
    patterns = _as_named(settings.pattern, ledger) if settings.pattern is not None else {"*"}
    for entry in ledger.entries():
        fits = any(fnmatchcase(entry.identity.shown, pattern) for pattern in patterns)
        if fits and (settings.days is None or _is_older(entry, settings.days, zone)):
            yield entry


def _as_named(pattern: str, ledger: Ledger) -> set[str]:
    """The ways to say a pattern where numbers in names are masked: each number in it may be one of these, or a date."""
    masked_with = ledger.note("masked with")
    if masked_with is None:
        return {pattern}
    with_dates = Mask(ledger.key(), re.compile(masked_with)).identity(Identity("", pattern)).path
    return {pattern, with_dates, Mask(ledger.key()).text(pattern)}


def _is_older(entry: Entry, days: int, zone: ZoneInfo) -> bool:
    told, _ = entry.when(zone)
    return bool(told) and datetime.now(zone) - datetime.fromisoformat(told).replace(tzinfo=zone) > timedelta(days)


def finish(ledger: Ledger, output: Path) -> None:
    """Delete the results of whatever is marked as pruned, also by a run that was killed over it."""
    for entry in ledger.being_pruned():
        for path in result_paths(output, entry.identity):
            delete(path, output)
        ledger.end_pruning(entry)


def delete(path: Path, output: Path) -> None:
    """Delete a result, and the folders above it that are empty then; raises CannotWork where that is refused."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWork(f"{show(str(path))} cannot be deleted: {error.strerror}") from error
    remove_empty_folders(path.parent, output)
