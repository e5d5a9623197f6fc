"""Remarks on settings that had no effect in a run, or an unintended one; logged at the end of the run."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from analyzer.audio import storage
from analyzer.batch.plan import Seen
from analyzer.batch.run_summary import RunSummary
from analyzer.batch.settings import RunSettings
from analyzer.inputs import discovery
from analyzer.inputs.discovery import Input
from analyzer.inputs.matching import Rows, match_rows
from analyzer.inputs.name_pattern import NamePattern
from analyzer.inputs.resolution import MetadataResolver
from analyzer.names import Identity, show
from analyzer.runtime.signals import StopSignals
from analyzer.store.ledger import Ledger
from analyzer.timeline.roles import MIXED

#: Log level and message.
Remark = tuple[int, str]

#: Maximum number of names in a remark.
_MAX_NAMED = 5


def rows_of(resolver: MetadataResolver, inputs: Sequence[Input], settings: RunSettings, stop: StopSignals) -> Rows:
    """Match the rows of the metadata to the recordings below the inputs."""

    def recordings() -> Iterator[tuple[Identity, Identity, Input]]:
        for source in inputs:
            for recording in discovery.walk(source, settings.output, settings.follow_links):
                stop.check()
                yield recording.identity, resolver.called(recording.identity), source

    return match_rows(resolver.metadata, recordings() if resolver.metadata else ())


def of_metadata(rows: Rows, resolver: MetadataResolver, ledger: Ledger, inputs: Sequence[Input]) -> Iterator[Remark]:
    """Yield remarks on rows of the metadata that match no recording, or several."""
    if not rows.names:
        yield logging.WARNING, "--metadata: the file has no rows"
    not_used = "may mean several recordings, or one that another row means, too, and were not used"
    of_several = "are about several recordings each, which have the same file name"
    hint = "; give names as in files.csv"
    for names, problem, suffix in (
        (_unknown_names(rows.unmatched, resolver, ledger, inputs), "match no recording", ""),
        (rows.ambiguous, not_used, hint),
        (rows.of_several, of_several, hint),
    ):
        if names:
            count = f"{len(names)} of {len(rows.names)} rows"
            yield logging.WARNING, f"--metadata: {count} {problem}: {_listed(names, resolver)}{suffix}"


def _unknown_names(
    names: Sequence[str], resolver: MetadataResolver, ledger: Ledger, inputs: Sequence[Input]
) -> list[str]:
    """Return the names that match no recording of earlier runs either; those recordings may be gone now."""
    if not names:
        return []
    names_by_path = {resolver.called(Identity("", name)).path: name for name in names}
    earlier_recordings = (
        (identity, identity, source)
        for source in inputs
        for identity in ledger.identities(resolver.called(Identity(source.label, "")).label)
    )
    unmatched = {names_by_path[name] for name in match_rows(names_by_path, earlier_recordings).unmatched}
    return [name for name in names if name in unmatched]


def of_recordings(seen: Seen, resolver: MetadataResolver) -> Iterator[Remark]:
    """Yield remarks on the name pattern, and on recordings whose time is in the future."""
    if resolver.pattern and seen.recordings:
        yield from _pattern_remarks(seen, resolver.pattern, resolver)
    if seen.in_future:
        found = f"{len(seen.in_future)} recordings have a time in the future and are shown with the day of this run"
        yield logging.WARNING, f"{found}: {_listed(seen.in_future, resolver)}"


def _pattern_remarks(seen: Seen, pattern: NamePattern, resolver: MetadataResolver) -> Iterator[Remark]:
    groups, too_long = pattern.groups, pattern.too_long
    if too_long:
        problem = f"took too long on {len(too_long)} names, and does not match there"
        yield logging.WARNING, f"--name-pattern {problem}: {_listed(too_long, resolver)}"
    if seen.matched < seen.recordings:
        level = logging.INFO if seen.matched else logging.WARNING
        yield level, f"--name-pattern matched {seen.matched} of {seen.recordings} recordings"
    if "time" in groups and "date" not in groups:
        yield logging.WARNING, "--name-pattern has a group time, but none called date: the time is not used"
    elif "date" in groups and seen.matched and not seen.dated:
        found = f"its group date found no date in the {seen.matched} names that it matched"
        yield logging.WARNING, f"--name-pattern: {found}: a date is one such as 20261124 or 2026-11-24"


def of_inputs(seen: Seen) -> Iterator[Remark]:
    """Yield a remark if there is no recording below the inputs."""
    if seen.recordings or seen.pruned:
        return
    message = "there is no file below the inputs"
    if seen.skipped:
        message = (
            f"no file below the inputs can be read as a recording: {seen.skipped} skipped, files.csv has the reasons"
        )
    yield logging.WARNING, message


def of_earlier_inputs(ledger: Ledger, inputs: Sequence[Input], resolver: MetadataResolver) -> Iterator[Remark]:
    """Yield a remark for each input that overlaps with an input of earlier runs under another label."""
    labels = {source.label for source in inputs}
    for label, folder in ledger.labels() if not resolver.mask else ():  # the path of a masked folder is unknown
        earlier_input = Input(label, folder if storage.is_address(folder) else Path(folder))
        for source in inputs:
            if label not in labels and discovery.overlap(source, earlier_input):
                found = f"the input {show(source.label)} overlaps with {show(label)} of earlier runs"
                yield logging.WARNING, f"{found}, so that recordings count twice: see prune --match '{show(label)}/*'"


def of_results(summary: RunSummary, settings: RunSettings) -> Iterator[Remark]:
    """Yield remarks on roles that no recording of this run has.

    They are no warnings, because recordings of the next run may have these roles.
    """
    if not summary.with_speech:
        return
    role_count = len(settings.speakers)
    if summary.most_channels < role_count and not settings.metadata:
        found = f"no recording analysed in this run has more than {summary.most_channels} channels"
        if summary.most_channels == 1:
            found = f"every recording analysed in this run has one channel, so that its speaker is called {MIXED}"
        yield logging.INFO, f"--speakers names {role_count} roles, and {found}"
    if settings.only and not summary.inferred:
        found = "no recording analysed in this run has a channel with that speaker, so no emotions were inferred"
        yield logging.INFO, f"--only {','.join(sorted(settings.only))}: {found}"


def _listed(names: Sequence[str], resolver: MetadataResolver) -> str:
    """Return the first of the names as text, with masked numbers if names are masked."""
    shown = [show(resolver.masked(name)) for name in names[:_MAX_NAMED]]
    remainder = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(shown) + remainder
