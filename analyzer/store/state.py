"""Values that a ledger stores about its output folder, besides the recordings."""

import os
from collections.abc import Callable


class _Text:
    """A stored text; None if it was never set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = name

    def __get__(self, state: "State", owner: type) -> str | None:
        return state.get(self._key)

    def __set__(self, state: "State", value: str) -> None:
        state.set(self._key, value)


class _Flag(_Text):
    """A stored yes or no; no if it was never set."""

    def __get__(self, state: "State", owner: type) -> bool:  # type: ignore[override]
        return state.get(self._key) == "yes"

    def __set__(self, state: "State", value: bool) -> None:  # type: ignore[override]
        state.set(self._key, "yes" if value else "no")


class State:
    """The stored values of an output folder.

    Attributes
    ----------
    get, set : functions that read and write a value by its key.
    key : the secret key for keyed hashes.
    time_zone : name of the time zone of the recordings.
    mask_pattern : the name pattern under which numbers in names are masked, which may be empty; None if they are not.
    names_masked : whether the names of all earlier results are masked.
    only : the roles whose emotions are stored, separated by commas; None or empty for all.
    only_unfinished : such roles for which a run has begun, and not finished, to blank the emotions of all others.
    has_deleted_content : whether deleted content may still be in the ledger's file.
    render_version : version of the program that made the files of recordings.
    settings : the settings of the last run, as JSON.
    """

    key = _Text()
    time_zone = _Text()
    mask_pattern = _Text()
    names_masked = _Flag()
    only = _Text()
    only_unfinished = _Text()
    has_deleted_content = _Flag()
    render_version = _Text()
    settings = _Text()

    def __init__(self, get: Callable[[str], str | None], set_value: Callable[[str, str], None]) -> None:
        self.get, self.set = get, set_value

    def model(self, fingerprint: str) -> str | None:
        """Return what is stored about a model, as JSON."""
        return self.get(f"model {fingerprint}")

    def set_model(self, fingerprint: str, facts: str) -> None:
        """Store facts about a model, as JSON."""
        self.set(f"model {fingerprint}", facts)

    def storage_version(self, label: str) -> str | None:
        """Return the analysis version that last read the beginnings of a label's files in object storage."""
        return self.get(f"storage version {os.fsencode(label).hex()}")

    def set_storage_version(self, label: str, version: int) -> None:
        """Store the analysis version that read the beginnings of a label's files in object storage."""
        self.set(f"storage version {os.fsencode(label).hex()}", str(version))
