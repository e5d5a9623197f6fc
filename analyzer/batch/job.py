"""The task of a worker, local or on a cluster: analyse one recording and write its timeline."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from analyzer.analysis.recording import Analysis, analyse
from analyzer.audio import storage
from analyzer.batch.plan import CHANGED, Job, failed_status
from analyzer.errors import CallEmotionsError, CannotWrite, IncompleteRecording, UnreadableRecording, VanishedRecording
from analyzer.inputs.discovery import check_unchanged
from analyzer.inputs.masking import Mask
from analyzer.model.classifier import find_model, load_classifier
from analyzer.runtime.isolation import format_error, is_fatal, traceback_of
from analyzer.speech.detector import SpeechSettings
from analyzer.store.entry import Entry
from analyzer.store.outputs import delete_formats, delete_results, timeline_path, write_timeline
from analyzer.timeline.roles import Roles
from analyzer.timeline.timeline import DrawingData


class Result(NamedTuple):
    """Result of one recording: its entry for the ledger, and the traceback of an unexpected error for the log.

    `drawing` is data for plots that the timeline does not hold; None without a timeline.
    """

    entry: Entry
    drawing: DrawingData | None = None
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
class JobSettings:
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


def analyse_job(job: Job, work: JobSettings) -> Result:
    """Analyse one recording and write its timeline.

    The entry of a recording that has vanished is not `present`. Raises CannotWork if no recording could be analysed.
    """
    try:
        analysis, checksum = _analyse_recording(job, work)
    except CallEmotionsError:
        raise
    except VanishedRecording as error:
        return Result(replace(failed(job, error, work.mask).entry, present=False))
    except Exception as error:  # decoders raise errors of any type, and none may end the run
        return _handle_failure(job, error, work)
    try:
        delete_formats(work.output, job.recording.identity)  # they show the previous analysis
        write_timeline(timeline_path(work.output, job.recording.identity), analysis.rows, analysis.speakers)
    except Exception as error:
        if is_fatal(error, work.output):
            raise
        return _handle_failure(job, error, work, _NOT_WRITTEN)
    entry = job.entry(
        analysis.status,
        analysis.note,
        fingerprint=work.fingerprint,
        model=work.model_name,
        codec=analysis.codec,
        rate=analysis.rate,
        channels=analysis.channels,
        length_s=analysis.length_s,
        statistics=analysis.statistics,
        checksum=checksum,
    )
    return Result(entry, analysis.drawing)


def _handle_failure(job: Job, error: Exception, job_settings: JobSettings, prefix: str = _NOT_DECODED) -> Result:
    """Return the result of a recording that could not be analysed or whose results could not be written.

    If the file has changed, deletes the results, which belong to its previous contents. Raises CannotWork if that fails
    with an error that would affect every recording.
    """
    if job.reason == CHANGED:
        try:
            delete_results(job_settings.output, job.recording.identity)
        except CannotWrite as delete_error:
            if is_fatal(delete_error, job_settings.output):
                raise
            error = delete_error
    return failed(job, error, job_settings.mask, prefix)


def _analyse_recording(job: Job, job_settings: JobSettings) -> tuple[Analysis, str]:
    """Analyse a recording and return its checksum, too, or an empty one if none is requested.

    Raises IncompleteRecording if the file changes meanwhile.
    """
    recording = job.recording
    check_unchanged(recording)
    # The clocks of file servers can be wrong: a file dated far in the future counts as complete.
    may_grow = abs(time.time() - recording.mtime_ns / 1e9) < WAITS_S
    classifier = load_classifier(find_model(job_settings.model), job_settings.prior, job_settings.sensitivity)
    roles = Roles(job.details.speakers, job_settings.only)
    analysis = analyse(recording.path, classifier, job_settings.speech, roles, whole=may_grow)
    checksum = storage.digest(recording.path) if job_settings.checksum else ""
    check_unchanged(recording)
    return analysis, checksum


def failed(job: Job, error: BaseException, mask: Mask | None, what: str = _NOT_DECODED) -> Result:
    """Return the result of a recording that failed, or that is incomplete and waits for the next run.

    `what` is the prefix of the reason for errors whose message was not written for the user.
    """
    reason, traceback = _reason(error, what), traceback_of(error)
    if mask:
        reason, traceback = mask.text(reason), mask.text(traceback)
    if isinstance(error, IncompleteRecording):
        return Result(job.entry("incomplete", reason))
    attempts = job.attempts + 1
    entry = job.entry(failed_status(attempts), reason, attempts=attempts, failed_on=job.today)
    return Result(entry, traceback=traceback)


def _reason(error: BaseException, prefix: str) -> str:
    if isinstance(error, MemoryError):
        return f"{prefix}: there is not enough memory (MemoryError)"
    if isinstance(error, UnreadableRecording | CallEmotionsError):
        return format_error(error)
    return f"{prefix} ({format_error(error)})"
