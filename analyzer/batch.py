"""A night's run: many recordings at a time down the way of one, and everything brought up to date afterwards."""

import hashlib
import json
import logging
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from analyzer import __version__
from analyzer.audio import clock, open_audio
from analyzer.classifier import find_model, load_classifier, model_hash, read_settings
from analyzer.discovery import parse_inputs
from analyzer.errors import CannotWork, UnreadableRecording, UsageError
from analyzer.ledger import Entry, Ledger
from analyzer.names import show
from analyzer.outputs import clear_unfinished, write_text, write_timeline
from analyzer.plan import CHANGED, Due, Plan, make_plan, timeline_path
from analyzer.recording import ANALYSIS_VERSION, analyse
from analyzer.speech import SpeechSettings

log = logging.getLogger("call-emotions")

INTERRUPTED = 130


@dataclass(frozen=True)
class RunSettings:
    """What one run is asked to do; see `call-emotions analyze --help`.

    `progress` draws a bar on standard error; `formats` are csv, always written, and xlsx.
    """

    inputs: Sequence[str]
    output: Path
    jobs: int
    model: str = "default"
    prior: str = "calls"
    formats: frozenset[str] = frozenset(("csv", "xlsx"))
    force: bool = False
    dry_run: bool = False
    progress: bool = False


@dataclass(frozen=True)
class Work:
    """What every worker needs to know: where the model is, how to listen, where results go."""

    output: Path
    model_folder: Path
    model_name: str
    model_hash: str
    prior: str
    fingerprint: str
    speech: SpeechSettings


def run(settings: RunSettings) -> int:
    """Analyse what is due below the inputs and bring the results up to date; returns the exit status."""
    started = datetime.now(UTC)
    work = _prepare(settings)
    inputs = parse_inputs(settings.inputs)
    if settings.output.exists() and not settings.output.is_dir():
        raise UsageError(f"the output {show(str(settings.output))} is not a folder")
    if any(source.folder == settings.output for source in inputs):
        raise UsageError("the output folder is the input itself: give another one with -o")
    if not settings.dry_run:
        clear_unfinished(settings.output)
    with closing(Ledger(settings.output, writable=not settings.dry_run)) as ledger:
        for source in inputs:
            if not source.said:
                ledger.check_label(source.label, source.folder)
        plan = make_plan(ledger, inputs, settings.output, work.fingerprint, settings.force)
        if settings.dry_run:
            _tell_plan(plan)
            return 0
        for source in inputs:
            ledger.claim_label(source.label, source.folder)
        _note_verdicts(ledger, plan)
        try:
            done, status = _analyse_all(ledger, plan.due, work, settings), 0
        except KeyboardInterrupt:
            log.error("interrupted: what was finished is kept, the next run does the rest")
            done, status = [], INTERRUPTED
        finally:
            bring_up_to_date(ledger, settings.output, settings.formats)
    failures = [entry for entry in (*plan.verdicts, *done) if entry.status == "failed"]
    status = status or int(bool(failures))
    _write_manifest(settings, work, plan, done, started, status)
    _tell_end(settings, plan, done, len(failures), started)
    return status


def _prepare(settings: RunSettings) -> Work:
    folder, speech = find_model(settings.model), SpeechSettings()
    digest = model_hash(folder)
    parts = [digest, ANALYSIS_VERSION, settings.prior, sorted(vars(speech).items())]
    fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return Work(settings.output, folder, read_settings(folder).name, digest, settings.prior, fingerprint, speech)


def _note_verdicts(ledger: Ledger, plan: Plan) -> None:
    for entry in plan.verdicts:
        _tell(entry)
        ledger.record(entry)
    for identity in plan.gone:
        ledger.mark_present(identity, False)
    for identity in plan.back:
        ledger.mark_present(identity, True)


def _analyse_all(ledger: Ledger, due: Sequence[Due], work: Work, settings: RunSettings) -> list[Entry]:
    """Analyse what is due, in parallel; each result is in the ledger before the next is looked at."""
    done = []
    with _progress(due, settings.progress) as bar:
        for entry, envelope in _in_parallel(due, work, settings.jobs):
            ledger.record(entry, envelope)
            done.append(entry)
            bar.update(round(entry.length_s or 0))
            _tell(entry)
    return done


def _tell(entry: Entry) -> None:
    if entry.status == "failed":
        log.warning("%s: failed: %s", entry.identity.shown, entry.reason)
    elif entry.status != "skipped":
        note = f" ({entry.reason})" if entry.reason else ""
        log.debug("%s: %s, %s%s", entry.identity.shown, entry.status, clock(entry.length_s or 0), note)


def _in_parallel(due: Sequence[Due], work: Work, jobs: int) -> Iterator[tuple[Entry, bytes | None]]:
    """Results of the recordings in the order in which they are finished."""
    one = partial(analyse_due, work=work)
    if jobs == 1 or len(due) == 1:
        yield from map(one, due)
        return
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = Parallel(n_jobs=min(jobs, len(due) or 1), return_as="generator_unordered", batch_size=1)
    try:
        yield from parallel(delayed(one)(item) for item in due)
    except TerminatedWorkerError as error:
        raise CannotWork(
            "a worker process died, for lack of memory or in a decoder. What was finished is kept: run again to go "
            "on, with a smaller -j if memory is short"
        ) from error


def analyse_due(due: Due, work: Work) -> tuple[Entry, bytes | None]:
    """Analyse one recording and write its timeline; returns its row for the ledger and its envelope."""
    found = due.found
    target = timeline_path(work.output, found.identity)
    try:
        analysis = analyse(found.path, load_classifier(work.model_folder, work.prior), work.speech)
    except CannotWork:
        raise
    except Exception as error:  # whatever a decoder comes up with, it must not end the night
        if due.why == CHANGED:
            target.unlink(missing_ok=True)  # it told of another recording
        return _failed(due, error), None
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


def _failed(due: Due, error: Exception) -> Entry:
    found = due.found
    return Entry(found.identity, found.size, found.mtime_ns, "failed", _reason(error), attempts=due.attempts + 1)


def _reason(error: Exception) -> str:
    if isinstance(error, UnreadableRecording):
        return show(str(error))
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    return show(f"it cannot be decoded ({type(error).__name__}: {error})")


def _progress(due: Sequence[Due], wanted: bool) -> Any:
    """A progress bar that counts seconds of sound, since calls differ in length a hundredfold."""
    from tqdm import tqdm

    total = round(_hours(due) * 3600) if wanted else None
    form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of sound [{elapsed}<{remaining}]"
    return tqdm(total=total, disable=not wanted, bar_format=form)


def _hours(due: Sequence[Due]) -> float:
    """Hours of sound that the headers of the recordings promise."""
    seconds = 0.0
    for item in due:
        try:
            with open_audio(item.found.path) as stream:
                seconds += stream.length_s
        except Exception:  # noqa: S112  # only an estimate; the analysis will say what is wrong
            continue
    return seconds / 3600


def bring_up_to_date(ledger: Ledger, output: Path, formats: frozenset[str]) -> None:
    """Write the tables again if the ledger has changed since they were written, or one of them is gone."""
    from analyzer import views, workbook

    stale = ledger.stale_views() & formats
    missing = [path for path in results(output, formats) if not path.exists()]
    if not stale and not missing:
        return
    zone = _time_zone(ledger)
    recordings, files = views.recordings(ledger, zone), views.files(ledger)
    views.write_csv(recordings, output / views.RECORDINGS_FILE)
    views.write_csv(files, output / views.FILES_FILE)
    if "xlsx" in formats:
        workbook.write_workbook(output / workbook.FILE_NAME, recordings, files)
    ledger.views_are_fresh(formats)


def _time_zone(ledger: Ledger) -> ZoneInfo:
    """The zone in which times of recordings are told: the system's at the first run, and the same ever after."""
    name = ledger.note("time zone")
    if name is None:
        from tzlocal import get_localzone_name

        try:
            name = get_localzone_name() or "UTC"
            ZoneInfo(name)
        except (KeyError, ValueError):  # a system that names a zone which nobody knows
            name = "UTC"
        ledger.remember("time zone", name)
    return ZoneInfo(name)


def results(output: Path, formats: frozenset[str]) -> list[Path]:
    """What a person opens after a run, the best first."""
    from analyzer import views, workbook

    names = [workbook.FILE_NAME] if "xlsx" in formats else []
    return [output / name for name in (*names, views.RECORDINGS_FILE, views.FILES_FILE)]


def _write_manifest(
    settings: RunSettings, work: Work, plan: Plan, done: Sequence[Entry], started: datetime, status: int
) -> None:
    manifest = {
        "version": __version__,
        "python": platform.python_version(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_status": status,
        "inputs": [show(text) for text in settings.inputs],
        "model": work.model_name,
        "model_hash": work.model_hash,
        "analysis_version": ANALYSIS_VERSION,
        "fingerprint": work.fingerprint,
        "settings": {"prior": work.prior, **vars(work.speech)},
        "jobs": settings.jobs,
        "analysed": dict(sorted(Counter(entry.status for entry in done).items())),
        "unchanged": plan.unchanged,
        "audio_s": round(sum(entry.length_s or 0 for entry in done), 3),
    }
    write_text(settings.output / "run.json", json.dumps(manifest, indent=2) + "\n")


def _tell_plan(plan: Plan) -> None:
    for item in plan.due:
        print(f"{item.found.identity.shown}: {item.why}")
    print(f"would analyse {len(plan.due)} recordings, {_hours(plan.due):.2f} hours; {plan.unchanged} stand as they are")


def _tell_end(settings: RunSettings, plan: Plan, done: Sequence[Entry], failed: int, started: datetime) -> None:
    seconds = (datetime.now(UTC) - started).total_seconds()
    audio_s = sum(entry.length_s or 0 for entry in done)
    speed = f", {audio_s / seconds:.0f} x real time" if audio_s else ""
    log.info(
        "analysed %d recordings (%.2f hours) in %s%s; %d failed, %d unchanged",
        len(done),
        audio_s / 3600,
        clock(seconds),
        speed,
        failed,
        plan.unchanged,
    )
