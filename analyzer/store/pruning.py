"""Deletion of the results of pruned recordings, also by a later run."""

from analyzer.runtime.isolation import Failure, isolated
from analyzer.store import outputs
from analyzer.store.ledger import Ledger


def finish_pruning(ledger: Ledger) -> list[Failure]:
    """Delete the results of all recordings that are marked as pruned, also by a run that was killed while pruning.

    Returns what could not be deleted; it stays marked, and the next run tries again.
    """
    failures, mask = list[Failure](), ledger.mask()
    for entry in ledger.being_pruned():
        with isolated(entry.identity.shown, ledger.output, failures, mask):
            outputs.delete_results(ledger.output, entry.identity)
            ledger.end_pruning(entry)
    if ledger.state.has_deleted_content:
        ledger.compact()
        if not failures:
            ledger.state.has_deleted_content = False
    return failures
