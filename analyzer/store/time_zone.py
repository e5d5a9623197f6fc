"""The time zone for the times of recordings, stored in the ledger."""

from zoneinfo import ZoneInfo

from analyzer.errors import UsageError
from analyzer.store.ledger import Ledger


def choose_time_zone(ledger: Ledger, name: str | None) -> None:
    """Set the time zone for the times of recordings, or keep that of earlier runs if `name` is None."""
    if name is not None and name != ledger.state.time_zone:
        ledger.state.time_zone = name
        ledger.tables_are_stale()
        ledger.mark_all_unwritten()


def check_time_zone(name: str) -> None:
    """Raise UsageError if there is no time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"{name!r} is no time zone: give one such as Europe/Berlin or UTC") from error


def time_zone(ledger: Ledger) -> ZoneInfo:
    """Return the time zone for the times of recordings: the system's at the first run, later the stored one."""
    name = ledger.state.time_zone
    if name is None:
        from tzlocal import get_localzone_name

        try:
            name = get_localzone_name() or "UTC"
            ZoneInfo(name)
        except (KeyError, ValueError):  # the system names an unknown zone
            name = "UTC"
        ledger.state.time_zone = name
    return ZoneInfo(name)
