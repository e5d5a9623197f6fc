"""The tables over all recordings: written again when the ledger has changed since, or one of them is gone."""

from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer import outputs
from analyzer.errors import UsageError
from analyzer.formats import TABLES
from analyzer.ledger import Ledger

#: What the last run did.
MANIFEST = "run.json"


def bring_up_to_date(ledger: Ledger, output: Path, formats: frozenset[str]) -> None:
    """Write the tables again if the ledger has changed since they were written, or one of them is gone."""
    from analyzer import views, workbook

    stale = ledger.stale_views() & formats
    missing = [path for path in results(output, formats) if not path.exists()]
    if not stale and not missing:
        return
    zone = time_zone(ledger)
    recordings, files = views.recordings(ledger, zone), views.files(ledger)
    views.write_csv(recordings, output / views.RECORDINGS_FILE)
    views.write_csv(files, output / views.FILES_FILE)
    if "xlsx" in formats:
        workbook.write_workbook(output / workbook.FILE_NAME, views.overview(ledger), recordings, files)
    ledger.views_are_fresh(formats)


def delete(output: Path) -> None:
    """Delete whatever tells of all recordings, to be made anew; raises CannotWork where that is refused."""
    for path in (*results(output, TABLES), output / MANIFEST):
        outputs.delete(path, output)


def choose_time_zone(ledger: Ledger, name: str | None) -> None:
    """Tell times of recordings in this zone from now on, or go on with the one of the runs before."""
    if name is not None and name != ledger.note("time zone"):
        ledger.remember("time zone", name)
        ledger.tables_are_stale()


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
    from analyzer import views, workbook

    names = [workbook.FILE_NAME] if "xlsx" in formats else []
    return [output / name for name in (*names, views.RECORDINGS_FILE, views.FILES_FILE)]
