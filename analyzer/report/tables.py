"""Tables over all recordings, rewritten if the ledger has changed since or if one of them is missing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer import outputs
from analyzer.errors import CallEmotionsError, CannotWork, UsageError
from analyzer.formats import TABLES
from analyzer.isolation import Failure, in_words, isolated
from analyzer.ledger import Ledger
from analyzer.report.selection import LATEST, Selection, stored_mask

#: File name of the summary of the last run.
MANIFEST = "run.json"
#: File names of the tables that people open, by format; the others are CSV.
_FOR_PEOPLE = {"xlsx": "summary.xlsx", "html": "html/index.html"}
#: From this number of recordings on, another process writes the CSV files in parallel to the workbook.
_MANY = 10_000


def bring_up_to_date(ledger: Ledger, output: Path, formats: frozenset[str]) -> list[Failure]:
    """Write the tables if the ledger has changed since they were written, or if one of them is missing.

    Returns the failures that `write` returns.
    """
    formats &= TABLES
    missing = any(not path.exists() for path in results(output, formats))
    if not (ledger.stale_views() & formats or missing):
        return []
    failures = write(ledger, output, formats)
    ledger.views_are_fresh(formats)
    return failures


def write(ledger: Ledger, output: Path, formats: frozenset[str], selection: Selection = LATEST) -> list[Failure]:
    """Write the tables: the CSV files over all recordings, the others over the selected ones.

    If that fails with an unexpected error, the recordings whose rows cannot be made are marked as failed in the ledger,
    and the tables are written without their figures. Returns these failures. Raises CannotWork if there are none.
    """
    try:
        _write(ledger, output, formats, selection)
    except (CallEmotionsError, OSError, sqlite3.Error):
        raise
    except Exception as error:
        failures = _exclude(ledger, output)
        if not failures:
            raise CannotWork(f"the tables cannot be written: {in_words(error)}") from error
        _write(ledger, output, formats, selection)
        return failures
    return []


def _exclude(ledger: Ledger, output: Path) -> list[Failure]:
    """Mark the recordings whose rows cannot be made as failed in the ledger; return the failures."""
    from analyzer.report import index, summary, views, workbook

    zone, mask, failures = time_zone(ledger), stored_mask(ledger), list[Failure]()
    for entry in list(ledger.entries()):
        wrong = list[Failure]()
        with isolated(entry.identity.shown, output, wrong, mask):
            recorded, _ = entry.when(zone)
            views.check(entry, zone)
            summary.Tally().add(entry)
            list(workbook.recording_rows(entry, recorded))
            index.row(output / index.FILE_NAME, entry, recorded)
        for failure in wrong:
            ledger.record(entry.as_failed(f"no rows can be made of it ({failure.reason})"))
        failures += wrong
    return failures


def _write(ledger: Ledger, output: Path, formats: frozenset[str], selection: Selection) -> None:
    zone = time_zone(ledger)
    if ledger.count_by_status().total() < _MANY or not formats - {"csv"}:
        _write_csv(output, ledger, zone)
        _write_selected(output, ledger, zone, formats, selection)
        return
    from analyzer import workers

    with workers.beside(_write_csv_from_file, output, zone):
        _write_selected(output, ledger, zone, formats, selection)


def _write_csv(output: Path, ledger: Ledger, zone: ZoneInfo) -> None:
    from analyzer.report import views

    views.write_csv(views.recordings(ledger, zone), output / views.RECORDINGS_FILE)
    views.write_csv(views.files(ledger), output / views.FILES_FILE)


def _write_csv_from_file(output: Path, zone: ZoneInfo) -> None:
    with closing(Ledger(output, writable=False)) as ledger:
        _write_csv(output, ledger, zone)


def _write_selected(
    output: Path, ledger: Ledger, zone: ZoneInfo, formats: frozenset[str], selection: Selection
) -> None:
    if "xlsx" in formats:
        from analyzer.report import workbook

        workbook.write_workbook(output / workbook.FILE_NAME, ledger, zone, selection, pages="html" in formats)
    if "html" in formats:
        from analyzer.report import index

        index.write(output / index.FILE_NAME, ledger, zone, selection)


def delete(output: Path) -> None:
    """Delete all tables and the run summary, which are made again later; raises CannotWork if that is refused."""
    for path in (*results(output, TABLES), output / MANIFEST):
        outputs.delete(path, output, keep_link=True)


def choose_time_zone(ledger: Ledger, name: str | None) -> None:
    """Set the time zone for the times of recordings, or keep that of earlier runs if `name` is None."""
    if name is not None and name != ledger.note("time zone"):
        ledger.remember("time zone", name)
        ledger.tables_are_stale()
        ledger.nothing_is_written()


def check_time_zone(name: str) -> None:
    """Raise UsageError if there is no time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"{name!r} is no time zone: give one such as Europe/Berlin or UTC") from error


def time_zone(ledger: Ledger) -> ZoneInfo:
    """Return the time zone for the times of recordings: the system's at the first run, later the stored one."""
    name = ledger.note("time zone")
    if name is None:
        from tzlocal import get_localzone_name

        try:
            name = get_localzone_name() or "UTC"
            ZoneInfo(name)
        except (KeyError, ValueError):  # the system names an unknown zone
            name = "UTC"
        ledger.remember("time zone", name)
    return ZoneInfo(name)


def results(output: Path, formats: frozenset[str]) -> list[Path]:
    """Return the files that a person opens after a run, the most useful first."""
    names = [*(name for table, name in _FOR_PEOPLE.items() if table in formats), "recordings.csv", "files.csv"]
    return [output / name for name in names]


def there(output: Path) -> frozenset[str]:
    """Return csv and the formats of the other tables that exist.

    A table that does not exist was never asked for and is not created.
    """
    return frozenset(("csv", *(table for table, name in _FOR_PEOPLE.items() if (output / name).exists())))
