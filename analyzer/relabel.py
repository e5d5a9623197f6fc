"""Rewrite stored results after the speaker roles, the `--only` rule or the masking of names changed.

No audio is read. A stricter `--only` rule blanks stored emotions; a looser one takes effect with the next analysis.
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
    """Return the speaker name of each channel of a recording."""
    channels = entry.channels or len(entry.figures or ())
    return roles.of(channels, alike=channels == 2 and len(entry.figures or ()) == 1)


def is_told_otherwise(entry: Entry, roles: Roles) -> bool:
    """Whether the stored results name other speakers than `roles`, or show emotions that must not be inferred."""
    wanted = speakers(entry, roles)
    return any(
        figures["speaker"] != wanted[channel - 1]
        or (roles.is_masked(wanted[channel - 1]) and not figures.get("masked"))
        for channel, figures in (entry.figures or {}).items()
    )


def lacks_emotions(entry: Entry, roles: Roles) -> bool:
    """Whether the stored results mask emotions that may now be inferred."""
    wanted = speakers(entry, roles)
    return any(
        bool(figures.get("masked")) and not roles.is_masked(wanted[channel - 1])
        for channel, figures in (entry.figures or {}).items()
    )


def told_anew(entry: Entry, roles: Roles, output: Path) -> Entry:
    """Return the entry of a recording with the speakers and masking of `roles`.

    Rewrites its timeline and deletes its other formats. Raises CannotWork if the timeline cannot be read or written.
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
    """Delete the results of a recording that cannot be relabelled; returns its new entry, which is failed.

    Raises CannotWork on an error that would affect every recording, such as a full disk.
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
    """Blank the emotions of all speakers except `only` in all stored results, also of recordings that are gone.

    Speakers keep their stored roles; those without a role get the one from `naming`. This scans every recording, so it
    does nothing if the last run had the same `only`. If an earlier run was killed while blanking, its rule is applied
    first, so that timelines and tables agree. Returns whether there was anything to do. Results that could not be
    blanked are deleted and added to `failures`; the next run then scans all results again.
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
    """Mask the names in the ledger and of the result files that earlier runs left unmasked; does so only once.

    The ledger stores the name pattern first, so that if this run is killed, later runs must mask in the same way.
    Returns whether there was anything to do. Results that could not be renamed are deleted and added to `failures`; the
    next run then scans all results again.
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
    """Mask the name of a recording in the ledger and in its results."""
    renamed, wrong = _masked(entry, mask), list[Failure]()
    with isolated(renamed.identity.shown, output, wrong, mask):
        delete_formats(output, entry.identity)  # they contain names, and link to folders with names in their path
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
    """Delete the results of all recordings except the given ones: no table lists them, so nothing else masks them.

    A run leaves such results if it is killed before it records an analysis, or if the analysis of a recording fails
    that succeeded before. A folder may have the name of a format by chance, so only files below the labels with the
    extension of results are deleted.
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
    """Rename a timeline."""
    before, after = timeline_path(output, identity), timeline_path(output, to)
    try:
        if before != after and before.exists():
            make_folders(after.parent)
            os.replace(before, after)
            remove_empty_folders(before.parent, output)
    except OSError as error:
        raise CannotWrite(f"{show(str(before))} cannot be renamed: {error.strerror}", before, error.errno) from error


def _known_speakers(entry: Entry, naming: Naming) -> tuple[str, ...]:
    """Return the stored speaker roles of a recording, or those from `naming` if it has none."""
    stored = _stored_speakers(entry)
    unknown = stored == EVERYBODY.of(len(stored))
    return naming.details(entry.identity, naming.told(entry.identity) or entry.told).speakers if unknown else stored


def _stored_speakers(entry: Entry) -> tuple[str, ...]:
    return tuple(str(figures["speaker"]) for figures in (entry.figures or {}).values())
