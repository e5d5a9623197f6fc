"""What a worker does, in whatever process or on whatever machine: one recording, from its place to its timeline."""

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
    """What came of a recording.

    Attributes
    ----------
    entry : its row for the ledger.
    sketch : what pictures need besides, where there is a timeline.
    traceback : where an error comes from that was not foreseen; for the log.
    """

    entry: Entry
    sketch: Sketch | None = None
    traceback: str = ""


#: A recording whose header promises more than is there is still being written, unless it has not changed for so long.
WAITS_S = 24 * 3600
#: What introduces the reason of a recording that fails, by where it does.
_NOT_DECODED, _NOT_WRITTEN, NOT_ANALYSED, NOT_RECORDED = (
    "it cannot be decoded",
    "its results cannot be written",
    "it cannot be analysed",
    "the ledger does not take its results",
)


@dataclass(frozen=True)
class Work:
    """What every worker needs to know: which model, how to listen and to whom, where recordings are and results go.

    `model` is a packaged model's name, or a path told whole, found anew by each machine; `folders` are those of this
    machine's inputs; `checksum` asks for a hash of each recording's content; `mask` replaces numbers
    in what is said of it.
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

    The row of one that has vanished says that it is not present. Raises CannotWork where no recording could be done.
    """
    try:
        analysis, checksum = _analysed(due, work)
    except CallEmotionsError:
        raise
    except VanishedRecording as error:
        return Result(replace(failed(due, error, work.mask).entry, present=False))
    except Exception as error:  # whatever a decoder comes up with, it must not end the run
        return _failed(due, error, work)
    try:
        delete_formats(work.output, due.found.identity)  # they tell of what was heard before
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
    """What comes of a recording that could not be analysed or written; results of what was there before are deleted.

    Raises CannotWork where the machine refuses that.
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
    """What was heard, and the checksum if it is asked for, of a file that stayed the same meanwhile."""
    found = due.found
    check_unchanged(found)
    # Clocks of file servers go wrong: what seems to come from a far future has to be taken as it is.
    may_grow = abs(time.time() - found.mtime_ns / 1e9) < WAITS_S
    classifier = load_classifier(find_model(work.model), work.prior, work.sensitivity)
    roles = Roles(due.details.speakers, work.only)
    analysis = analyse(found.path, classifier, work.speech, roles, whole=may_grow)
    checksum = storage.digest(found.path) if work.checksum else ""
    check_unchanged(found)
    return analysis, checksum


def failed(due: Due, error: BaseException, mask: Mask | None, what: str = _NOT_DECODED) -> Result:
    """What comes of a recording that failed, or that waits for another run.

    `what` introduces the reason where the error was not written for a reader.
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
    """A row with what is known of a recording before anybody has listened to it."""
    found = due.found
    return Entry(found.identity, found.size, found.mtime_ns, status="", **due.details.columns())


def _reason(error: BaseException, what: str) -> str:
    if isinstance(error, MemoryError):
        return f"{what}: there is not enough memory (MemoryError)"
    if isinstance(error, UnreadableRecording | CallEmotionsError):
        return in_words(error)
    return f"{what} ({in_words(error)})"
