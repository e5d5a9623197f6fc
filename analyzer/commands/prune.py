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

from analyzer.errors import CannotWork, UsageError
from analyzer.inputs.masking import Mask
from analyzer.names import show
from analyzer.report import tables
from analyzer.report.selection import name_pattern, no_match_hint
from analyzer.runtime.lock import run_lock
from analyzer.runtime.logs import LOGGER
from analyzer.runtime.signals import StopSignals
from analyzer.runtime.standard_streams import check_printed
from analyzer.store import outputs
from analyzer.store.entry import Entry
from analyzer.store.ledger import FILE_NAME, Ledger
from analyzer.store.outputs import escape_formula
from analyzer.store.pruning import finish_pruning
from analyzer.store.time_zone import time_zone

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
        raise ValueError(f"{text!r} is not an age: use one such as 90d, 12w, 6m or 2y")
    return int(match[1]) * _DAYS[match[2]]


def parse_where(text: str) -> tuple[str, str]:
    """Parse a group and its value from a text such as customer=4711; raises ValueError."""
    column, _, value = (part.strip() for part in text.partition("="))
    if not column or not value:
        raise ValueError(f"{text!r} is not of the form COLUMN=VALUE, such as customer=4711")
    return column, value


def run(settings: PruneSettings, stop: StopSignals) -> int:
    """Print what will be deleted, then delete it; return the exit status."""
    if not (settings.output / FILE_NAME).exists():
        raise UsageError(f"there are no results in {show(str(settings.output))}: name their folder with -o")
    with (
        run_lock(settings.output, settings.lock_wait_s, stop),
        # No backup of a ledger of an older version: it would contain what is to be deleted.
        closing(Ledger(settings.output, writable=not settings.dry_run, keep_old=False)) as ledger,
    ):
        try:
            return _prune(ledger, settings, stop)
        except sqlite3.Error as error:
            raise CannotWork(f"the ledger cannot be used: {error}") from error


def _prune(ledger: Ledger, settings: PruneSettings, stop: StopSignals) -> int:
    zone = time_zone(ledger)
    selected = list(_chosen(ledger, settings))
    requested = " ".join((settings.pattern or "", *(value for _, value in settings.where)))
    if not selected and (hint := no_match_hint(ledger, requested)):
        log.warning("%s", hint)
    print_line = (lambda text: None) if settings.quiet else print
    total = ledger.count_by_status().total()
    selection = _criteria(settings, ledger.mask()) + (": their results are deleted" if selected else "")
    print_line(f"{len(selected)} of {total} recordings {selection}")
    for entry in selected:
        print_line(f"{entry.identity.shown}: {entry.when(zone)[0]}")
    for path in ledger.backups():
        print_line(f"{path.name}: the ledger as an older version of this tool left it, with all recordings of then")
    stop.check()
    if settings.dry_run:
        print_line(f"would delete the results of {len(selected)} recordings")
        check_printed()
        return 0
    outputs.clear_unfinished(settings.output)
    if selected:
        ledger.state.has_deleted_content = True
        ledger.mark_pruned(entry.identity for entry in selected)
        # The inputs in the manifest may name a single recording.
        outputs.delete(settings.output / tables.MANIFEST, settings.output, keep_link=True)
    failures = finish_pruning(ledger)
    ledger.delete_backups()  # they contain recordings that no table shows any more
    failures += tables.write_if_stale(ledger, tables.existing_formats(settings.output))
    for failure in failures:
        failure.log()
    remaining = len(ledger.being_pruned())
    suffix = f"; those of {remaining} could not be deleted, the next run tries it again" if remaining else ""
    print_line(
        f"deleted the results of {max(0, len(selected) - remaining)} recordings; they are not analysed again{suffix}"
    )
    return 1 if failures else 0


def _criteria(settings: PruneSettings, mask: Mask | None) -> str:
    """Describe the selected recordings in words; numbers are masked if they are masked in names."""
    parts = [f"older than {settings.days} days"] if settings.days is not None else []
    parts += [f"named {show(settings.pattern)}"] if settings.pattern is not None else []
    parts += [f"with {show(column)} {show(value)}" for column, value in settings.where]
    text = " and ".join(parts)
    return mask.text(text) if mask else text


def _chosen(ledger: Ledger, settings: PruneSettings) -> Iterator[Entry]:
    zone = time_zone(ledger)
    pattern = name_pattern("*" if settings.pattern is None else settings.pattern, ledger)
    where = [(_column(column, ledger), _value_forms(value, ledger)) for column, value in settings.where]
    for entry in ledger.entries():
        if (
            pattern.match(entry.identity.shown)
            and (settings.days is None or _is_older(entry, settings.days, zone))
            and all(_normal(entry.groups.get(column, "")) in values for column, values in where)
        ):
            yield entry


def _column(name: str, ledger: Ledger) -> str:
    """Return the group of this name; raises UsageError, with a list of all groups, unless exactly one matches."""
    columns = sorted({column for entry in ledger.entries() for column in entry.groups})
    matches = [column for column in columns if _normal(column) == _normal(name)]
    matches = matches or [column for column in columns if _normal(column).casefold() == _normal(name).casefold()]
    if len(matches) != 1:
        listed = f"known are {', '.join(map(show, columns))}" if columns else "there are none"
        raise UsageError(
            f"no recording here has a column {show(name)}; {listed}. Columns come from --metadata and --name-pattern "
            "of analyze"
        )
    return matches[0]


def _value_forms(value: str, ledger: Ledger) -> set[str]:
    """Return the forms in which the ledger may hold a value that the user gives.

    The value may be copied from a table, with an apostrophe before a formula start; its numbers may be masked.
    """
    mask = ledger.mask()
    unmasked = {value, value.removeprefix("'")} if value == escape_formula(value.removeprefix("'")) else {value}
    return {_normal(form) for text in unmasked for form in (text, mask.text(text) if mask else text)}


def _normal(text: str) -> str:
    """Strip a text and normalise it to Unicode NFC, so that equal texts compare equal."""
    return unicodedata.normalize("NFC", text.strip())


def _is_older(entry: Entry, days: int, zone: ZoneInfo) -> bool:
    when, _ = entry.when(zone)
    return bool(when) and datetime.now(zone) - datetime.fromisoformat(when).replace(tzinfo=zone) > timedelta(days)
