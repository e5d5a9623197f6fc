"""What is stored of a recording, told anew when it is said otherwise who speaks, or whose emotions may be inferred.

Nothing is listened to again: a stricter rule blanks what is stored, a looser one has to wait for another analysis.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from analyzer.details import Naming
from analyzer.entry import Entry
from analyzer.errors import CannotWrite
from analyzer.figures import without_emotions
from analyzer.formats import EXTENSIONS
from analyzer.isolation import Failure, isolated
from analyzer.ledger import Ledger
from analyzer.masking import Mask
from analyzer.names import Identity, show
from analyzer.outputs import (
    TIMELINES,
    delete,
    delete_formats,
    delete_results,
    files_below,
    format_paths,
    make_folders,
    read_timeline,
    remove_empty_folders,
    timeline_path,
    write_timeline,
)
from analyzer.roles import EVERYBODY, Roles


def speakers(entry: Entry, roles: Roles) -> tuple[str, ...]:
    """What the speakers of a recording's channels are called."""
    channels = entry.channels or len(entry.figures or ())
    return roles.of(channels, alike=channels == 2 and len(entry.figures or ()) == 1)


def is_told_otherwise(entry: Entry, roles: Roles) -> bool:
    """Whether what is stored names other speakers, or shows emotions that are not to be inferred."""
    wanted = speakers(entry, roles)
    return any(
        figures["speaker"] != wanted[channel - 1]
        or (roles.is_masked(wanted[channel - 1]) and not figures.get("masked"))
        for channel, figures in (entry.figures or {}).items()
    )


def lacks_emotions(entry: Entry, roles: Roles) -> bool:
    """Whether emotions that may be inferred now are masked in what is stored."""
    wanted = speakers(entry, roles)
    return any(
        bool(figures.get("masked")) and not roles.is_masked(wanted[channel - 1])
        for channel, figures in (entry.figures or {}).items()
    )


def told_anew(entry: Entry, roles: Roles, output: Path) -> Entry:
    """The row of a recording with other speakers; its timeline is written again, other formats are deleted.

    Raises CannotWork where that timeline cannot be read or written.
    """
    wanted = speakers(entry, roles)
    masked = {channel for channel, name in enumerate(wanted, start=1) if roles.is_masked(name)}
    delete_formats(output, entry.identity)
    path = timeline_path(output, entry.identity)
    if path.exists():
        rows = [
            replace(row, emotion="", probabilities=()) if row.channel in masked else row for row in read_timeline(path)
        ]
        write_timeline(path, rows, wanted)
    figures = {
        channel: (without_emotions(told) if channel in masked else told) | {"speaker": wanted[channel - 1]}
        for channel, told in (entry.figures or {}).items()
    }
    return replace(entry, figures=figures)


def drop(ledger: Ledger, output: Path, entry: Entry, failure: Failure, mask: Mask | None) -> Entry:
    """Delete what is stored of a recording that cannot be told anew; returns the row that it has from now on.

    Raises CannotWork where the machine refuses that.
    """
    refused = list[Failure]()
    with isolated(entry.identity.shown, output, refused, mask):
        delete_results(output, entry.identity)
    row = entry.as_failed((refused or [failure])[0].reason)
    ledger.record(row)
    return row


def mask_stored_emotions(
    ledger: Ledger, output: Path, only: frozenset[str], naming: Naming, failures: list[Failure]
) -> bool:
    """Blank the emotions of all speakers but these in everything stored, whether its recording is still there or not.

    Speakers keep the roles that they were given; those who were given none are called as `naming` says.
    This looks at every recording, so it does nothing where the last run asked for the same. What a run has begun that
    was killed over it is brought to its end first, lest timelines say one thing and tables another. Returns whether
    there was anything to do. What could not be blanked is deleted and added to `failures`; the next run looks at all of
    it again.
    """
    asked, begun = ",".join(sorted(only)), ledger.note("begun only") or ""
    if asked == (ledger.note("only") or "") and not begun:
        return False
    failed_before = len(failures)
    for rule in filter(None, dict.fromkeys((begun, asked))):
        ledger.remember("begun only", rule)
        _blank(ledger, output, frozenset(rule.split(",")), naming, failures)
        ledger.compact()
    if len(failures) == failed_before:
        ledger.remember("only", asked)
        ledger.remember("begun only", "")
    return True


def _blank(ledger: Ledger, output: Path, only: frozenset[str], naming: Naming, failures: list[Failure]) -> None:
    labels = [label for label, _ in ledger.labels()]
    heard = (entry.identity for entry in ledger.entries() if entry.figures)
    _delete_strays(output, labels, heard, naming.mask, failures)
    for entry in ledger.entries():
        wrong = list[Failure]()
        with isolated(entry.identity.shown, output, wrong, naming.mask):
            roles = Roles(_known_speakers(entry, naming), only)
            if is_told_otherwise(entry, roles):
                ledger.amend(told_anew(entry, roles, output))
        for failure in wrong:
            drop(ledger, output, entry, failure, naming.mask)
        failures += wrong


def mask_stored_names(ledger: Ledger, output: Path, mask: Mask, failures: list[Failure]) -> bool:
    """Mask the names that earlier runs left as they were, in the ledger and of the result files; once is enough.

    How they are masked is noted first: no run may go on otherwise where this one was killed. Returns whether there was
    anything to do. Results that could not be renamed are deleted and added to `failures`; the next run looks at all of
    it again.
    """
    if ledger.note("all names masked") is not None:
        return False
    failed_before = len(failures)
    ledger.remember("masked with", mask.pattern.text if mask.pattern else "")
    heard = (entry.identity for entry in ledger.entries() if entry.figures)
    labels = [name for label, _ in ledger.labels() for name in (label, mask.identity(Identity(label, "")).label)]
    known = (name for identity in heard for name in (identity, mask.identity(identity)))
    _delete_strays(output, labels, known, mask, failures)
    for label, folder in ledger.labels():
        masked = mask.identity(Identity(label, "")).label
        ledger.rename_label(label, masked, mask.text(folder))
    ledger.nothing_is_written()
    for entry in ledger.entries():
        _mask_entry(ledger, output, entry, mask, failures)
    ledger.compact()
    if len(failures) == failed_before:
        ledger.remember("all names masked", "yes")
    return True


def _mask_entry(ledger: Ledger, output: Path, entry: Entry, mask: Mask, failures: list[Failure]) -> None:
    """Mask the name of a recording in the ledger and of its results."""
    renamed, wrong = _masked(entry, mask), list[Failure]()
    with isolated(renamed.identity.shown, output, wrong, mask):
        delete_formats(output, entry.identity)  # they hold names, and lead to folders of names
        if renamed != entry:
            _move_timeline(output, entry.identity, renamed.identity)
            ledger.rename(entry.identity, renamed)
        roles = Roles(tuple(map(mask.text, _stored_speakers(entry))))
        if is_told_otherwise(renamed, roles):
            ledger.amend(told_anew(renamed, roles, output))
    for failure in wrong:
        ledger.rename(entry.identity, renamed)
        drop(ledger, output, renamed, failure, mask)
        with isolated(renamed.identity.shown, output, failures, mask):
            delete_results(output, entry.identity)
    failures += wrong


def _delete_strays(
    output: Path, labels: Iterable[str], heard: Iterable[Identity], mask: Mask | None, failures: list[Failure]
) -> None:
    """Delete results of other recordings than these: no table tells of them, so they would stay as they are.

    A run leaves one that is killed before it notes what it has heard, or where an analysis that once went well fails.
    Nothing else is deleted in a folder that has the name of a format by chance: only what lies below the labels, and
    ends as results do.
    """
    known = {path for identity in heard for path in (timeline_path(output, identity), *format_paths(output, identity))}
    for name, extension in {TIMELINES: ".csv", **EXTENSIONS}.items():
        for label in labels:
            below = Identity(label, "any").result_path(output / name, extension).parent
            for path in list(files_below(below)):
                if path not in known and (path.name.endswith(extension) or "%~" in path.name):
                    shown = show(str(path.relative_to(output)))
                    with isolated(mask.text(shown) if mask else shown, output, failures, mask):
                        delete(path, output)


def _masked(entry: Entry, mask: Mask) -> Entry:
    return replace(
        entry,
        identity=mask.identity(entry.identity),
        reason=mask.text(entry.reason),
        groups=mask.texts(entry.groups),
        told=entry.told.masked(mask),
    )


def _move_timeline(output: Path, identity: Identity, to: Identity) -> None:
    """Give a timeline another name."""
    before, after = timeline_path(output, identity), timeline_path(output, to)
    try:
        if before != after and before.exists():
            make_folders(after.parent)
            os.replace(before, after)
            remove_empty_folders(before.parent, output)
    except OSError as error:
        raise CannotWrite(f"{show(str(before))} cannot be renamed: {error.strerror}", before, error.errno) from error


def _known_speakers(entry: Entry, naming: Naming) -> tuple[str, ...]:
    """The roles that the speakers of a recording were given, or are now."""
    stored = _stored_speakers(entry)
    unknown = stored == EVERYBODY.of(len(stored))
    return naming.details(entry.identity, naming.told(entry.identity) or entry.told).speakers if unknown else stored


def _stored_speakers(entry: Entry) -> tuple[str, ...]:
    return tuple(str(figures["speaker"]) for figures in (entry.figures or {}).values())
