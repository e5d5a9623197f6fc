"""What a worker does, in whatever process or on whatever machine: one recording, from its place to its timeline."""

from dataclasses import dataclass
from pathlib import Path

from analyzer.classifier import find_model, load_classifier
from analyzer.errors import CallEmotionsError, UnreadableRecording
from analyzer.ledger import Entry
from analyzer.names import show
from analyzer.outputs import write_timeline
from analyzer.plan import CHANGED, Due, timeline_path
from analyzer.recording import analyse
from analyzer.speech import SpeechSettings


@dataclass(frozen=True)
class Work:
    """What every worker needs to know: which model, how to listen, where recordings are and results go.

    `model` is what the user called it, found anew by each machine; `folders` are those of this machine's inputs.
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


def analyse_due(due: Due, work: Work) -> tuple[Entry, bytes | None]:
    """Analyse one recording and write its timeline; returns its row for the ledger and its envelope."""
    found = due.found
    target = timeline_path(work.output, found.identity)
    try:
        analysis = analyse(found.path, load_classifier(find_model(work.model), work.prior), work.speech)
    except CallEmotionsError:
        raise
    except Exception as error:  # whatever a decoder comes up with, it must not end the night
        if due.why == CHANGED:
            target.unlink(missing_ok=True)  # it told of another recording
        return failed(due, error), None
    write_timeline(target, analysis.rows)
    entry = Entry(
        identity=found.identity,
        size=found.size,
        mtime_ns=found.mtime_ns,
        status=analysis.status,
        reason=analysis.note,
        fingerprint=work.fingerprint,
        model=work.model_name,
        codec=analysis.codec,
        rate=analysis.rate,
        channels=analysis.channels,
        length_s=analysis.length_s,
        figures=analysis.figures,
    )
    return entry, analysis.envelope


def failed(due: Due, error: BaseException) -> Entry:
    """The row for the ledger of a recording that could not be analysed."""
    found = due.found
    return Entry(found.identity, found.size, found.mtime_ns, "failed", _reason(error), attempts=due.attempts + 1)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnreadableRecording):
        return show(str(error))
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    return show(f"it cannot be decoded ({type(error).__name__}: {error})")
