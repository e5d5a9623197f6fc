"""Tables over all recordings, rewritten if the ledger has changed since or if one of them is missing."""

import sqlite3
from contextlib import closing
from pathlib import Path

from analyzer.errors import CallEmotionsError, CannotWork
from analyzer.report import views
from analyzer.report.selection import LATEST, Selection
from analyzer.runtime.isolation import Failure, format_error, isolated
from analyzer.store import outputs
from analyzer.store.formats import TABLES
from analyzer.store.ledger import Ledger
from analyzer.store.time_zone import time_zone

#: File name of the summary of the last run.
MANIFEST = "run.json"
#: File names of the tables that people open, by format; the others are CSV.
_REPORT_FILES = {"xlsx": "summary.xlsx", "html": "html/index.html"}
#: From this number of recordings on, another process writes the CSV files in parallel to the workbook.
_MIN_PARALLEL = 10_000


def write_if_stale(ledger: Ledger, formats: frozenset[str]) -> list[Failure]:
    """Write the tables if the ledger has changed since they were written, or if one of them is missing.

    Returns the failures that `write` returns.
    """
    formats &= TABLES
    missing = any(not path.exists() for path in results(ledger.output, formats))
    if not (ledger.stale_tables() & formats or missing):
        return []
    failures = write(ledger, formats)
    ledger.tables_are_fresh(formats)
    return failures


def write(ledger: Ledger, formats: frozenset[str], selection: Selection = LATEST) -> list[Failure]:
    """Write the tables: the CSV files over all recordings, the others over the selected ones.

    If that fails with an unexpected error, the recordings whose rows cannot be made are marked as failed in the ledger,
    and the tables are written without their figures. Returns these failures. Raises CannotWork if there are none.
    """
    try:
        _write(ledger, formats, selection)
    except (CallEmotionsError, OSError, sqlite3.Error):
        raise
    except Exception as error:
        failures = _mark_as_failed(ledger)
        if not failures:
            raise CannotWork(f"the tables cannot be written: {format_error(error)}") from error
        _write(ledger, formats, selection)
        return failures
    return []


def _mark_as_failed(ledger: Ledger) -> list[Failure]:
    """Mark the recordings whose rows cannot be made as failed in the ledger; return the failures."""
    from analyzer.report import index_page, summary, workbook

    zone, mask, failures = time_zone(ledger), ledger.mask(), list[Failure]()
    for entry in list(ledger.entries()):
        entry_failures = list[Failure]()
        with isolated(entry.identity.shown, ledger.output, entry_failures, mask):
            recorded, _ = entry.when(zone)
            views.check(entry, zone)
            summary.Tally().add(entry)
            list(workbook.recording_rows(entry, recorded))
            index_page.index_row(ledger.output / index_page.FILE_NAME, entry, recorded)
        for failure in entry_failures:
            ledger.record(entry.as_failed(f"no rows can be made of it ({failure.reason})"))
        failures += entry_failures
    return failures


def _write(ledger: Ledger, formats: frozenset[str], selection: Selection) -> None:
    if ledger.count_by_status().total() < _MIN_PARALLEL or not formats - {"csv"}:
        _write_csv(ledger)
        _write_selected(ledger, formats, selection)
        return
    from analyzer.runtime.pool import in_background

    time_zone(ledger)  # the first call stores it, and the other process cannot
    with in_background(_write_csv_from_file, ledger.output):
        _write_selected(ledger, formats, selection)


def _write_csv(ledger: Ledger) -> None:
    views.write_csv(views.recordings(ledger, time_zone(ledger)), ledger.output / views.RECORDINGS_FILE)
    views.write_csv(views.files(ledger), ledger.output / views.FILES_FILE)


def _write_csv_from_file(output: Path) -> None:
    with closing(Ledger(output, writable=False)) as ledger:
        _write_csv(ledger)


def _write_selected(ledger: Ledger, formats: frozenset[str], selection: Selection) -> None:
    zone = time_zone(ledger)
    if "xlsx" in formats:
        from analyzer.report import workbook

        workbook.write_workbook(ledger.output / workbook.FILE_NAME, ledger, zone, selection, pages="html" in formats)
    if "html" in formats:
        from analyzer.report import index_page

        index_page.write_selected(ledger.output / index_page.FILE_NAME, ledger, zone, selection)


def delete(output: Path) -> None:
    """Delete all tables and the run summary, which are made again later; raises CannotWork if that is refused."""
    for path in (*results(output, TABLES), output / MANIFEST):
        outputs.delete(path, output, keep_link=True)


def results(output: Path, formats: frozenset[str]) -> list[Path]:
    """Return the files that a person opens after a run, the most useful first."""
    names = [name for table, name in _REPORT_FILES.items() if table in formats]
    return [output / name for name in (*names, views.RECORDINGS_FILE, views.FILES_FILE)]


def existing_formats(output: Path) -> frozenset[str]:
    """Return csv and the formats of the other tables that exist.

    A table that does not exist was never asked for and is not created.
    """
    return frozenset(("csv", *(table for table, name in _REPORT_FILES.items() if (output / name).exists())))
