"""Remarks on settings that had no effect in a run, or an unintended one; logged at the end of the run."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from analyzer import discovery, storage
from analyzer.account import Account
from analyzer.details import Naming
from analyzer.discovery import Input
from analyzer.ledger import Ledger
from analyzer.matching import Rows, match_rows
from analyzer.names import Identity, show
from analyzer.plan import Seen
from analyzer.roles import MIXED
from analyzer.settings import RunSettings
from analyzer.signals import StopSignals

#: Log level and message.
Remark = tuple[int, str]

#: Maximum number of names in a remark.
_NAMED = 5


def rows_of(naming: Naming, inputs: Sequence[Input], settings: RunSettings, stop: StopSignals) -> Rows:
    """Match the rows of the metadata to the recordings below the inputs."""

    def recordings() -> Iterator[tuple[Identity, Identity, Input]]:
        for source in inputs:
            for found in discovery.walk(source, settings.output, settings.follow_links):
                stop.check()
                yield found.identity, naming.called(found.identity), source

    return match_rows(naming.metadata, recordings() if naming.metadata else ())


def of_metadata(rows: Rows, naming: Naming, ledger: Ledger, inputs: Sequence[Input]) -> Iterator[Remark]:
    """Yield remarks on rows of the metadata that match no recording, or several."""
    if not rows.names:
        yield logging.WARNING, "--metadata: the file has no rows"
    if unmatched := _never_seen(rows.unmatched, naming, ledger, inputs):
        count = f"{len(unmatched)} of {len(rows.names)} rows match no recording"
        yield logging.WARNING, f"--metadata: {count}: {_named(unmatched, naming)}"
    if rows.ambiguous:
        yield (
            logging.WARNING,
            f"--metadata: {len(rows.ambiguous)} of {len(rows.names)} rows may mean several recordings, or one that "
            f"another row means, too, and were not used: {_named(rows.ambiguous, naming)}; give names as in files.csv",
        )
    if rows.of_several:
        yield (
            logging.WARNING,
            f"--metadata: {len(rows.of_several)} of {len(rows.names)} rows are about several recordings each, which "
            f"have the same file name: {_named(rows.of_several, naming)}; give names as in files.csv",
        )


def _never_seen(names: Sequence[str], naming: Naming, ledger: Ledger, inputs: Sequence[Input]) -> list[str]:
    """Return the names that match no recording of earlier runs either; those recordings may be gone now."""
    if not names:
        return []
    called = {naming.called(Identity("", name)).path: name for name in names}
    earlier = (
        (identity, identity, source)
        for source in inputs
        for identity in ledger.identities(naming.called(Identity(source.label, "")).label)
    )
    unseen = {called[name] for name in match_rows(called, earlier).unmatched}
    return [name for name in names if name in unseen]


def of_recordings(seen: Seen, naming: Naming) -> Iterator[Remark]:
    """Yield remarks on the name pattern, and on recordings whose time is in the future."""
    if naming.pattern and seen.recordings:
        yield from _of_pattern(seen, naming)
    if seen.in_future:
        yield (
            logging.WARNING,
            f"{len(seen.in_future)} recordings have a time in the future and are shown with the day of this run: "
            f"{_named(seen.in_future, naming)}",
        )


def _of_pattern(seen: Seen, naming: Naming) -> Iterator[Remark]:
    assert naming.pattern is not None
    groups, too_long = naming.pattern.groups, naming.pattern.too_long
    if too_long:
        yield (
            logging.WARNING,
            f"--name-pattern took too long on {len(too_long)} names, and does not match there: "
            f"{_named(too_long, naming)}",
        )
    if seen.matched < seen.recordings:
        level = logging.INFO if seen.matched else logging.WARNING
        yield level, f"--name-pattern matched {seen.matched} of {seen.recordings} recordings"
    if "time" in groups and "date" not in groups:
        yield logging.WARNING, "--name-pattern has a group time, but none called date: the time is not used"
    elif "date" in groups and seen.matched and not seen.dated:
        yield (
            logging.WARNING,
            f"--name-pattern: its group date found no date in the {seen.matched} names that it matched: a date is one "
            "such as 20261124 or 2026-11-24",
        )


def of_inputs(seen: Seen) -> Iterator[Remark]:
    """Yield a remark if there is no recording below the inputs."""
    if seen.recordings or seen.pruned:
        return
    if seen.skipped:
        yield (
            logging.WARNING,
            f"no file below the inputs can be read as a recording: {seen.skipped} skipped, files.csv has the reasons",
        )
    else:
        yield logging.WARNING, "there is no file below the inputs"


def of_earlier_inputs(ledger: Ledger, inputs: Sequence[Input], naming: Naming) -> Iterator[Remark]:
    """Yield a remark for each input that overlaps with an input of earlier runs under another label."""
    labels = {source.label for source in inputs}
    for label, folder in ledger.labels() if not naming.mask else ():  # the path of a masked folder is unknown
        earlier = Input(label, folder if storage.is_address(folder) else Path(folder))
        for source in inputs:
            if label not in labels and discovery.overlap(source, earlier):
                yield (
                    logging.WARNING,
                    f"the input {show(source.label)} overlaps with {show(label)} of earlier runs, so that recordings "
                    f"count twice: see prune --match '{show(label)}/*'",
                )


def of_results(account: Account, settings: RunSettings) -> Iterator[Remark]:
    """Yield remarks on roles that no recording of this run has.

    They are no warnings, because recordings of the next run may have these roles.
    """
    if not account.with_speech:
        return
    roles = len(settings.speakers)
    if account.most_channels < roles and not settings.metadata:
        which = f"no recording analysed in this run has more than {account.most_channels} channels"
        if account.most_channels == 1:
            which = f"every recording analysed in this run has one channel, so that its speaker is called {MIXED}"
        yield logging.INFO, f"--speakers names {roles} roles, and {which}"
    if settings.only and not account.inferred:
        roles_wanted = ",".join(sorted(settings.only))
        yield (
            logging.INFO,
            f"--only {roles_wanted}: no recording analysed in this run has a channel with that speaker, so no emotions "
            "were inferred",
        )


def _named(names: Sequence[str], naming: Naming) -> str:
    """Return the first of the names as text, with masked numbers if names are masked."""
    shown = [show(naming.mask.text(name) if naming.mask else name) for name in names[:_NAMED]]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(shown) + more
