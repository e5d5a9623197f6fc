"""Permanent deletion of results: of recordings above a given age, or of a person who asks for erasure."""

import logging
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer import outputs
from analyzer.entry import Entry
from analyzer.errors import CannotWork, UsageError
from analyzer.isolation import Failure, isolated
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.lock import held
from analyzer.logs import LOGGER
from analyzer.masking import Mask
from analyzer.names import show
from analyzer.outputs import harmless
from analyzer.report import tables
from analyzer.report.selection import name_pattern, stored_mask, told_of_nothing_found
from analyzer.signals import StopSignals
from analyzer.standard_streams import check_printed

log = logging.getLogger(LOGGER)

_AGE = re.compile(r"([1-9]\d{0,4})([dwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


@dataclass(frozen=True)
class PruneSettings:
    """Which results to delete: those of recordings that meet all criteria.

    Attributes
    ----------
    days : recordings older than this many days.
    pattern : recordings whose name matches this pattern, with * and ?.
    where : groups, such as `customer`, and the required value of each.
    dry_run : only print what would be deleted.
    """

    output: Path
    days: int | None = None
    pattern: str | None = None
    where: Sequence[tuple[str, str]] = ()
    dry_run: bool = False
    lock_wait_s: float = 0.0
    quiet: bool = False


def parse_age(text: str) -> int:
    """Convert an age such as 90d, 12w, 6m (of 30 days) or 2y (of 365 days) to days; raises ValueError."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no age: give one such as 90d, 12w, 6m or 2y")
    return int(match[1]) * _DAYS[match[2]]


def parse_where(text: str) -> tuple[str, str]:
    """Parse a group and its value from a text such as customer=4711; raises ValueError."""
    column, _, value = (part.strip() for part in text.partition("="))
    if not column or not value:
        raise ValueError(f"{text!r} is no COLUMN=VALUE: give one such as customer=4711")
    return column, value


def run(settings: PruneSettings, stop: StopSignals) -> int:
    """Print what will be deleted, then delete it; return the exit status."""
    if not (settings.output / FILE_NAME).exists():
        raise UsageError(f"there are no results in {show(str(settings.output))}: name their folder with -o")
    with (
        held(settings.output, settings.lock_wait_s, stop),
        # No backup of a ledger of an older version: it would contain what is to be deleted.
        closing(Ledger(settings.output, writable=not settings.dry_run, keep_old=False)) as ledger,
    ):
        try:
            return _prune(ledger, settings, stop)
        except sqlite3.Error as error:
            raise CannotWork(f"the ledger cannot be used: {error}") from error


def _prune(ledger: Ledger, settings: PruneSettings, stop: StopSignals) -> int:
    zone = tables.time_zone(ledger)
    chosen = list(_chosen(ledger, settings))
    asked = " ".join((settings.pattern or "", *(value for _, value in settings.where)))
    if not chosen and (hint := told_of_nothing_found(ledger, asked)):
        log.warning("%s", hint)
    say = (lambda text: None) if settings.quiet else print
    known = ledger.count_by_status().total()
    meant = _criteria(settings, stored_mask(ledger)) + (": their results are deleted" if chosen else "")
    say(f"{len(chosen)} of {known} recordings {meant}")
    for entry in chosen:
        say(f"{entry.identity.shown}: {entry.when(zone)[0]}")
    for path in ledger.backups():
        say(f"{path.name}: the ledger as an older version of this tool left it, with all recordings of then")
    stop.check()
    if settings.dry_run:
        say(f"would delete the results of {len(chosen)} recordings")
        check_printed()
        return 0
    outputs.clear_unfinished(settings.output)
    if chosen:
        ledger.remember("has traces", "yes")
        ledger.mark_pruned(entry.identity for entry in chosen)
        # The inputs in the manifest may name a single recording.
        outputs.delete(settings.output / tables.MANIFEST, settings.output, keep_link=True)
    failures = finish(ledger, settings.output)
    ledger.delete_backups()  # they contain recordings that no table shows any more
    failures += tables.bring_up_to_date(ledger, settings.output, tables.there(settings.output))
    for failure in failures:
        failure.tell()
    left = len(ledger.being_pruned())
    still = f"; those of {left} could not be deleted, the next run tries it again" if left else ""
    say(f"deleted the results of {max(0, len(chosen) - left)} recordings; they are not analysed again{still}")
    return 1 if failures else 0


def _criteria(settings: PruneSettings, mask: Mask | None) -> str:
    """Describe the selected recordings in words; numbers are masked if they are masked in names."""
    parts = [f"older than {settings.days} days"] if settings.days is not None else []
    parts += [f"named {show(settings.pattern)}"] if settings.pattern is not None else []
    parts += [f"with {show(column)} {show(value)}" for column, value in settings.where]
    text = " and ".join(parts)
    return mask.text(text) if mask else text


def _chosen(ledger: Ledger, settings: PruneSettings) -> Iterator[Entry]:
    zone = tables.time_zone(ledger)
    pattern = name_pattern("*" if settings.pattern is None else settings.pattern, ledger)
    where = [(_column(column, ledger), _ways_to_say(value, ledger)) for column, value in settings.where]
    for entry in ledger.entries():
        if (
            pattern.match(entry.identity.shown)
            and (settings.days is None or _is_older(entry, settings.days, zone))
            and all(_normal(entry.groups.get(column, "")) in values for column, values in where)
        ):
            yield entry


def _column(asked: str, ledger: Ledger) -> str:
    """Return the group of this name; raises UsageError, with a list of all groups, unless exactly one matches."""
    known = sorted({column for entry in ledger.entries() for column in entry.groups})
    same = [column for column in known if _normal(column) == _normal(asked)]
    same = same or [column for column in known if _normal(column).casefold() == _normal(asked).casefold()]
    if len(same) != 1:
        listed = f"known are {', '.join(map(show, known))}" if known else "there are none"
        raise UsageError(
            f"no recording here has a column {show(asked)}; {listed}. Columns come from --metadata and --name-pattern "
            "of analyze"
        )
    return same[0]


def _ways_to_say(value: str, ledger: Ledger) -> set[str]:
    """Return the forms in which the ledger may hold a value that the user gives.

    The value may be copied from a table, with an apostrophe before a formula start; its numbers may be masked.
    """
    mask = stored_mask(ledger)
    plain = {value, value.removeprefix("'")} if value == harmless(value.removeprefix("'")) else {value}
    return {_normal(form) for text in plain for form in (text, mask.text(text) if mask else text)}


def _normal(text: str) -> str:
    """Strip a text and normalise it to Unicode NFC, so that equal texts compare equal."""
    return unicodedata.normalize("NFC", text.strip())


def _is_older(entry: Entry, days: int, zone: ZoneInfo) -> bool:
    told, _ = entry.when(zone)
    return bool(told) and datetime.now(zone) - datetime.fromisoformat(told).replace(tzinfo=zone) > timedelta(days)


def finish(ledger: Ledger, output: Path) -> list[Failure]:
    """Delete the results of all recordings that are marked as pruned, also by a run that was killed while pruning.

    Returns what could not be deleted; it stays marked, and the next run tries again.
    """
    failures, mask = list[Failure](), stored_mask(ledger)
    for entry in ledger.being_pruned():
        with isolated(entry.identity.shown, output, failures, mask):
            outputs.delete_results(output, entry.identity)
            ledger.end_pruning(entry)
    if ledger.note("has traces") == "yes":
        ledger.compact()
        if not failures:
            ledger.remember("has traces", "no")
    return failures
