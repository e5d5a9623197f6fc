"""The tables over all recordings: written again when the ledger has changed since, or one of them is gone."""

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

#: What the last run did.
MANIFEST = "run.json"
#: The tables that people open, by format; the others are CSV.
_FOR_PEOPLE = {"xlsx": "summary.xlsx", "html": "html/index.html"}
#: From so many recordings on the CSV files are written beside the workbook, by another process.
_MANY = 10_000


def bring_up_to_date(ledger: Ledger, output: Path, formats: frozenset[str]) -> list[Failure]:
    """Write the tables again if the ledger has changed since they were written, or one of them is gone.

    Returns what `write` does.
    """
    formats &= TABLES
    missing = any(not path.exists() for path in results(output, formats))
    if not (ledger.stale_views() & formats or missing):
        return []
    failures = write(ledger, output, formats)
    ledger.views_are_fresh(formats)
    return failures


def write(ledger: Ledger, output: Path, formats: frozenset[str], selection: Selection = LATEST) -> list[Failure]:
    """Write the tables: the CSV files over all recordings, the others over those that are selected.

    A recording over which that fails has failed from now on, and the tables are written without its figures; returns
    what was wrong. Raises CannotWork where that does not help.
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
    """Have the recordings fail whose rows cannot be made."""
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
    """Delete whatever tells of all recordings, to be made anew; raises CannotWork where that is refused."""
    for path in (*results(output, TABLES), output / MANIFEST):
        outputs.delete(path, output, keep_link=True)


def choose_time_zone(ledger: Ledger, name: str | None) -> None:
    """Tell times of recordings in this zone from now on, or go on with the one of the runs before."""
    if name is not None and name != ledger.note("time zone"):
        ledger.remember("time zone", name)
        ledger.tables_are_stale()
        ledger.nothing_is_written()


def check_time_zone(name: str) -> None:
    """Raise UsageError where nobody knows a time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"{name!r} is no time zone: give one such as Europe/Berlin or UTC") from error


def time_zone(ledger: Ledger) -> ZoneInfo:
    """The zone in which times of recordings are told: the system's at the first run, and the same ever after."""
    name = ledger.note("time zone")
    if name is None:
        from tzlocal import get_localzone_name

        try:
            name = get_localzone_name() or "UTC"
            ZoneInfo(name)
        except (KeyError, ValueError):  # a system that names a zone which nobody knows
            name = "UTC"
        ledger.remember("time zone", name)
    return ZoneInfo(name)


def results(output: Path, formats: frozenset[str]) -> list[Path]:
    """What a person opens after a run, the best first."""
    names = [*(name for table, name in _FOR_PEOPLE.items() if table in formats), "recordings.csv", "files.csv"]
    return [output / name for name in names]


def there(output: Path) -> frozenset[str]:
    """The formats of the tables that are there; others are not made for one who never wanted them."""
    return frozenset(("csv", *(table for table, name in _FOR_PEOPLE.items() if (output / name).exists())))
