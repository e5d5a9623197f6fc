"""What a worker does, in whatever process or on whatever machine: one recording, from its place to its timeline."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer import storage
from analyzer.classifier import find_model, load_classifier
from analyzer.discovery import check_unchanged
from analyzer.entry import Entry
from analyzer.errors import CallEmotionsError, IncompleteRecording, UnreadableRecording, VanishedRecording
from analyzer.masking import Mask
from analyzer.names import show
from analyzer.outputs import delete_formats, delete_results, timeline_path, write_timeline
from analyzer.plan import CHANGED, Due, failed_status
from analyzer.recording import Analysis, analyse
from analyzer.roles import Roles
from analyzer.speech import SpeechSettings
from analyzer.timeline import Sketch

#: A row for the ledger, and what pictures need besides where there is a timeline.
Result = tuple[Entry, Sketch | None]

#: A recording whose header promises more than is there is still being written, unless it has not changed for so long.
WAITS_S = 24 * 3600


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
    fingerprint: str
    speech: SpeechSettings
    folders: tuple[Path, ...]
    only: frozenset[str] = frozenset()
    checksum: bool = False
    mask: Mask | None = None


def analyse_due(due: Due, work: Work) -> Result:
    """Analyse one recording and write its timeline; returns its row for the ledger and its sketch.

    The row of one that has vanished says that it is not present. Raises CannotWork where no recording could be done.
    """
    try:
        analysis, checksum = _analysed(due, work)
    except CallEmotionsError:
        raise
    except VanishedRecording as error:
        return replace(failed(due, error, work.mask), present=False), None
    except Exception as error:  # whatever a decoder comes up with, it must not end the night
        if due.why == CHANGED:
            delete_results(work.output, due.found.identity)  # they told of another recording
        return failed(due, error, work.mask), None
    delete_formats(work.output, due.found.identity)  # they tell of what was heard before
    write_timeline(timeline_path(work.output, due.found.identity), analysis.rows, analysis.speakers)
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
    return entry, analysis.sketch


def _analysed(due: Due, work: Work) -> tuple[Analysis, str]:
    """What was heard, and the checksum if it is asked for, of a file that stayed the same meanwhile."""
    found = due.found
    check_unchanged(found)
    # Clocks of file servers go wrong: what seems to come from a far future has to be taken as it is.
    may_grow = abs(time.time() - found.mtime_ns / 1e9) < WAITS_S
    classifier = load_classifier(find_model(work.model), work.prior)
    roles = Roles(due.details.speakers, work.only)
    analysis = analyse(found.path, classifier, work.speech, roles, whole=may_grow)
    checksum = storage.digest(found.path) if work.checksum else ""
    check_unchanged(found)
    return analysis, checksum


def failed(due: Due, error: BaseException, mask: Mask | None) -> Entry:
    """The row for the ledger of a recording that could not be analysed, or that waits for another night."""
    reason = _reason(error)
    reason = mask.text(reason) if mask else reason
    if isinstance(error, IncompleteRecording):
        return replace(_described(due), status="incomplete", reason=reason)
    attempts = due.attempts + 1
    status = failed_status(attempts)
    return replace(_described(due), status=status, reason=reason, attempts=attempts, failed_on=due.today)


def _described(due: Due) -> Entry:
    """A row with what is known of a recording before anybody has listened to it."""
    found = due.found
    return Entry(found.identity, found.size, found.mtime_ns, status="", **due.details.columns())


def _reason(error: BaseException) -> str:
    if isinstance(error, UnreadableRecording):
        return show(str(error))
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    return show(f"it cannot be decoded ({type(error).__name__}: {error})")
