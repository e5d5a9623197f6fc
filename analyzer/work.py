"""The task of a worker, local or on a cluster: analyse one recording and write its timeline."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from analyzer import storage
from analyzer.classifier import find_model, load_classifier
from analyzer.discovery import check_unchanged
from analyzer.entry import Entry
from analyzer.errors import (
    CallEmotionsError,
    CannotWrite,
    IncompleteRecording,
    UnreadableRecording,
    VanishedRecording,
)
from analyzer.isolation import in_words, is_machines, traceback_of
from analyzer.masking import Mask
from analyzer.outputs import delete_formats, delete_results, timeline_path, write_timeline
from analyzer.plan import CHANGED, Due, failed_status
from analyzer.recording import Analysis, analyse
from analyzer.roles import Roles
from analyzer.speech import SpeechSettings
from analyzer.timeline import Sketch


class Result(NamedTuple):
    """Result of one recording.

    Attributes
    ----------
    entry : its entry for the ledger.
    sketch : data for plots that the timeline does not hold; None without a timeline.
    traceback : traceback of an unexpected error, for the log.
    """

    entry: Entry
    sketch: Sketch | None = None
    traceback: str = ""


#: A file shorter than its header says counts as still being written if it changed within this time. After that, it
#: is analysed as it is.
WAITS_S = 24 * 3600
#: Prefixes of the failure reason, by the step that failed.
_NOT_DECODED, _NOT_WRITTEN, NOT_ANALYSED, NOT_RECORDED = (
    "it cannot be decoded",
    "its results cannot be written",
    "it cannot be analysed",
    "the ledger does not take its results",
)


@dataclass(frozen=True)
class Work:
    """Settings that every worker needs: model, analysis settings, roles to analyse, input and output folders.

    `model` is the name of a packaged model or an absolute path; each machine resolves it itself. `folders` are the
    input folders on this machine. `checksum` requests a hash of the content of each recording. `mask` replaces numbers
    in reasons and tracebacks.
    """

    version: str
    output: Path
    model: str
    model_name: str
    model_hash: str
    prior: str
    sensitivity: str
    fingerprint: str
    speech: SpeechSettings
    folders: tuple[Path, ...]
    only: frozenset[str] = frozenset()
    checksum: bool = False
    mask: Mask | None = None


def analyse_due(due: Due, work: Work) -> Result:
    """Analyse one recording and write its timeline.

    The entry of a recording that has vanished is not `present`. Raises CannotWork if no recording could be analysed.
    """
    try:
        analysis, checksum = _analysed(due, work)
    except CallEmotionsError:
        raise
    except VanishedRecording as error:
        return Result(replace(failed(due, error, work.mask).entry, present=False))
    except Exception as error:  # decoders raise errors of any type, and none may end the run
        return _failed(due, error, work)
    try:
        delete_formats(work.output, due.found.identity)  # they show the previous analysis
        write_timeline(timeline_path(work.output, due.found.identity), analysis.rows, analysis.speakers)
    except Exception as error:
        if is_machines(error, work.output):
            raise
        return _failed(due, error, work, _NOT_WRITTEN)
    entry = replace(
        _described(due),
        status=analysis.status,
        reason=analysis.note,
        fingerprint=work.fingerprint,
        model=work.model_name,
        codec=analysis.codec,
        rate=analysis.rate,
        channels=analysis.channels,
        length_s=analysis.length_s,
        figures=analysis.figures,
        checksum=checksum,
    )
    return Result(entry, analysis.sketch)


def _failed(due: Due, error: Exception, work: Work, what: str = _NOT_DECODED) -> Result:
    """Return the result of a recording that could not be analysed or whose results could not be written.

    If the file has changed, deletes the results, which belong to its previous contents. Raises CannotWork if that fails
    with an error that would affect every recording.
    """
    if due.why == CHANGED:
        try:
            delete_results(work.output, due.found.identity)
        except CannotWrite as refused:
            if is_machines(refused, work.output):
                raise
            error = refused
    return failed(due, error, work.mask, what)


def _analysed(due: Due, work: Work) -> tuple[Analysis, str]:
    """Analyse a recording and return its checksum, too, or an empty one if none is requested.

    Raises IncompleteRecording if the file changes meanwhile.
    """
    found = due.found
    check_unchanged(found)
    # The clocks of file servers can be wrong: a file dated far in the future counts as complete.
    may_grow = abs(time.time() - found.mtime_ns / 1e9) < WAITS_S
    classifier = load_classifier(find_model(work.model), work.prior, work.sensitivity)
    roles = Roles(due.details.speakers, work.only)
    analysis = analyse(found.path, classifier, work.speech, roles, whole=may_grow)
    checksum = storage.digest(found.path) if work.checksum else ""
    check_unchanged(found)
    return analysis, checksum


def failed(due: Due, error: BaseException, mask: Mask | None, what: str = _NOT_DECODED) -> Result:
    """Return the result of a recording that failed, or that is incomplete and waits for the next run.

    `what` is the prefix of the reason for errors whose message was not written for the user.
    """
    reason, where = _reason(error, what), traceback_of(error)
    if mask:
        reason, where = mask.text(reason), mask.text(where)
    if isinstance(error, IncompleteRecording):
        return Result(replace(_described(due), status="incomplete", reason=reason))
    attempts = due.attempts + 1
    status = failed_status(attempts)
    entry = replace(_described(due), status=status, reason=reason, attempts=attempts, failed_on=due.today)
    return Result(entry, traceback=where)


def _described(due: Due) -> Entry:
    """Build the ledger entry of a recording from its metadata alone, before the analysis."""
    found = due.found
    return Entry(found.identity, found.size, found.mtime_ns, status="", **due.details.columns())


def _reason(error: BaseException, what: str) -> str:
    if isinstance(error, MemoryError):
        return f"{what}: there is not enough memory (MemoryError)"
    if isinstance(error, UnreadableRecording | CallEmotionsError):
        return in_words(error)
    return f"{what} ({in_words(error)})"
