"""Rewrite stored results after the speaker roles, the `--only` rule or the masking of names changed.

No audio is read. A stricter `--only` rule blanks stored emotions; a looser one takes effect with the next analysis.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from analyzer.errors import CannotWrite
from analyzer.inputs.masking import Mask
from analyzer.inputs.resolution import MetadataResolver
from analyzer.names import Identity, show
from analyzer.report import tables
from analyzer.runtime.isolation import Failure, isolated
from analyzer.store.entry import Entry
from analyzer.store.formats import EXTENSIONS
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import (
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
from analyzer.timeline.roles import EVERYBODY, Roles


def speakers(entry: Entry, roles: Roles) -> tuple[str, ...]:
    """Return the speaker name of each channel of a recording."""
    channels = entry.channels or len(entry.statistics or ())
    return roles.of(channels, alike=channels == 2 and len(entry.statistics or ()) == 1)


def needs_relabel(entry: Entry, roles: Roles) -> bool:
    """Whether the stored results name other speakers than `roles`, or show emotions that must not be inferred."""
    names = speakers(entry, roles)
    return any(
        found.speaker != names[channel - 1] or (roles.is_masked(names[channel - 1]) and not found.masked)
        for channel, found in (entry.statistics or {}).items()
    )


def lacks_emotions(entry: Entry, roles: Roles) -> bool:
    """Whether the stored results mask emotions that may now be inferred."""
    names = speakers(entry, roles)
    return any(
        found.masked and not roles.is_masked(names[channel - 1]) for channel, found in (entry.statistics or {}).items()
    )


def relabelled(entry: Entry, roles: Roles, output: Path) -> Entry:
    """Return the entry of a recording with the speakers and masking of `roles`.

    Rewrites its timeline and deletes its other formats. Raises CannotWork if the timeline cannot be read or written.
    """
    names = speakers(entry, roles)
    masked = {channel for channel, name in enumerate(names, start=1) if roles.is_masked(name)}
    delete_formats(output, entry.identity)
    path = timeline_path(output, entry.identity)
    if path.exists():
        rows = [
            replace(row, emotion="", probabilities=()) if row.channel in masked else row for row in read_timeline(path)
        ]
        write_timeline(path, rows, names)
    statistics = {
        channel: replace(found.without_emotions() if channel in masked else found, speaker=names[channel - 1])
        for channel, found in (entry.statistics or {}).items()
    }
    return replace(entry, statistics=statistics)


def drop(ledger: Ledger, entry: Entry, failure: Failure, mask: Mask | None) -> Entry:
    """Delete the results of a recording that cannot be relabelled; returns its new entry, which is failed.

    Raises CannotWork on an error that would affect every recording, such as a full disk.
    """
    delete_failures = list[Failure]()
    with isolated(entry.identity.shown, ledger.output, delete_failures, mask):
        delete_results(ledger.output, entry.identity)
    failed_entry = entry.as_failed((delete_failures or [failure])[0].reason)
    ledger.record(failed_entry)
    return failed_entry


def mask_stored_emotions(
    ledger: Ledger, only: frozenset[str], resolver: MetadataResolver, failures: list[Failure]
) -> bool:
    """Blank the emotions of all speakers except `only` in all stored results, also of recordings that are gone.

    Speakers keep their stored roles; those without a role get the one from `resolver`. This scans every recording, so
    it does nothing if the last run had the same `only`. If an earlier run was killed while blanking, its rule is
    applied first, so that timelines and tables agree. Returns whether there was anything to do. Results that could not
    be blanked are deleted and added to `failures`; the next run then scans all results again.
    """
    requested, unfinished = ",".join(sorted(only)), ledger.state.only_unfinished or ""
    if requested == (ledger.state.only or "") and not unfinished:
        return False
    tables.delete(ledger.output)  # as in `mask_stored_names`
    failed_before = len(failures)
    for rule in filter(None, dict.fromkeys((unfinished, requested))):
        ledger.state.only_unfinished = rule
        _blank_emotions(ledger, frozenset(rule.split(",")), resolver, failures)
        ledger.compact()
    if len(failures) == failed_before:
        ledger.state.only = requested
        ledger.state.only_unfinished = ""
    return True


def _blank_emotions(ledger: Ledger, only: frozenset[str], resolver: MetadataResolver, failures: list[Failure]) -> None:
    labels = [label for label, _ in ledger.labels()]
    analysed = (entry.identity for entry in ledger.entries() if entry.statistics)
    _delete_strays(ledger.output, labels, analysed, resolver.mask, failures)
    for entry in ledger.entries():
        entry_failures = list[Failure]()
        with isolated(entry.identity.shown, ledger.output, entry_failures, resolver.mask):
            roles = Roles(_known_speakers(entry, resolver), only)
            if needs_relabel(entry, roles):
                ledger.amend(relabelled(entry, roles, ledger.output))
        for failure in entry_failures:
            drop(ledger, entry, failure, resolver.mask)
        failures += entry_failures


def mask_stored_names(ledger: Ledger, mask: Mask, failures: list[Failure]) -> bool:
    """Mask the names in the ledger and of the result files that earlier runs left unmasked; does so only once.

    The ledger stores the name pattern first, so that if this run is killed, later runs must mask in the same way.
    Returns whether there was anything to do. Results that could not be renamed are deleted and added to `failures`; the
    next run then scans all results again.
    """
    if ledger.state.names_masked:
        return False
    # First, and also those in formats that this run does not write: even if this run is killed, no later table may show
    # what is masked.
    tables.delete(ledger.output)
    failed_before = len(failures)
    ledger.state.mask_pattern = mask.pattern.text if mask.pattern else ""
    analysed = (entry.identity for entry in ledger.entries() if entry.statistics)
    labels = [name for label, _ in ledger.labels() for name in (label, mask.identity(Identity(label, "")).label)]
    identities = (variant for identity in analysed for variant in (identity, mask.identity(identity)))
    _delete_strays(ledger.output, labels, identities, mask, failures)
    for label, folder in ledger.labels():
        masked = mask.identity(Identity(label, "")).label
        ledger.rename_label(label, masked, mask.text(folder))
    ledger.mark_all_unwritten()
    for entry in ledger.entries():
        _mask_entry(ledger, entry, mask, failures)
    ledger.compact()
    if len(failures) == failed_before:
        ledger.state.names_masked = True
    return True


def _mask_entry(ledger: Ledger, entry: Entry, mask: Mask, failures: list[Failure]) -> None:
    """Mask the name of a recording in the ledger and in its results."""
    renamed = replace(
        entry,
        identity=mask.identity(entry.identity),
        reason=mask.text(entry.reason),
        groups=mask.texts(entry.groups),
        metadata=entry.metadata.masked(mask),
    )
    entry_failures = list[Failure]()
    with isolated(renamed.identity.shown, ledger.output, entry_failures, mask):
        delete_formats(ledger.output, entry.identity)  # they contain names
        if renamed != entry:
            _move_timeline(ledger.output, entry.identity, renamed.identity)
            ledger.rename(entry.identity, renamed)
        roles = Roles(tuple(map(mask.text, _stored_speakers(entry))))
        if needs_relabel(renamed, roles):
            ledger.amend(relabelled(renamed, roles, ledger.output))
    for failure in entry_failures:
        ledger.rename(entry.identity, renamed)
        drop(ledger, renamed, failure, mask)
        with isolated(renamed.identity.shown, ledger.output, failures, mask):
            delete_results(ledger.output, entry.identity)
    failures += entry_failures


def _delete_strays(
    output: Path, labels: Iterable[str], identities: Iterable[Identity], mask: Mask | None, failures: list[Failure]
) -> None:
    """Delete the results of all recordings except the given ones: no table lists them, so nothing else masks them.

    A run leaves such results if it is killed before it records an analysis, or if the analysis of a recording fails
    that succeeded before. A folder may have the name of a format by chance, so only files below the labels with the
    extension of results are deleted.
    """
    expected_paths = {
        path for identity in identities for path in (timeline_path(output, identity), *format_paths(output, identity))
    }
    for name, extension in {TIMELINES: ".csv", **EXTENSIONS}.items():
        for label in labels:
            label_folder = Identity(label, "any").result_path(output / name, extension).parent
            for path in list(files_below(label_folder)):
                if path not in expected_paths and (path.name.endswith(extension) or "%~" in path.name):
                    shown = show(str(path.relative_to(output)))
                    with isolated(mask.text(shown) if mask else shown, output, failures, mask):
                        delete(path, output)


def _move_timeline(output: Path, identity: Identity, new_identity: Identity) -> None:
    old_path, new_path = timeline_path(output, identity), timeline_path(output, new_identity)
    try:
        if old_path != new_path and old_path.exists():
            make_folders(new_path.parent)
            os.replace(old_path, new_path)
            remove_empty_folders(old_path.parent, output)
    except OSError as error:
        raise CannotWrite(
            f"{show(str(old_path))} cannot be renamed: {error.strerror}", old_path, error.errno
        ) from error


def _known_speakers(entry: Entry, resolver: MetadataResolver) -> tuple[str, ...]:
    """Return the stored speaker roles of a recording, or those from `resolver` if it has none."""
    stored = _stored_speakers(entry)
    if stored != EVERYBODY.of(len(stored)):
        return stored
    return resolver.details(entry.identity, resolver.metadata_row(entry.identity) or entry.metadata).speakers


def _stored_speakers(entry: Entry) -> tuple[str, ...]:
    return tuple(found.speaker for found in (entry.statistics or {}).values())
