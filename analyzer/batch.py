"""A night's run: many recordings at a time down the way of one, and everything brought up to date afterwards."""

import hashlib
import json
import logging
import os
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from analyzer import __version__
from analyzer.audio import clock, open_audio
from analyzer.classifier import find_model, model_hash, read_settings
from analyzer.discovery import Input, parse_inputs
from analyzer.errors import CannotWork, UsageError
from analyzer.ledger import Entry, Ledger
from analyzer.names import show
from analyzer.outputs import clear_unfinished, write_text
from analyzer.plan import Due, Plan, make_plan
from analyzer.recording import ANALYSIS_VERSION
from analyzer.speech import SpeechSettings
from analyzer.work import Work, analyse_due

log = logging.getLogger("call-emotions")

INTERRUPTED = 130


@dataclass(frozen=True)
class RunSettings:
    """What one run is asked to do; see `call-emotions analyze --help`.

    `progress` draws a bar on standard error; `formats` are csv, always written, and xlsx; `cluster` is the address of a
    Dask scheduler whose workers do the work instead of `jobs` processes of this machine.
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
    cluster: str | None = None


@dataclass
class Tally:
    """What a run has done so far: recordings by their status, seconds of sound. Its size does not grow with them."""

    statuses: Counter[str] = field(default_factory=Counter)
    audio_s: float = 0.0

    def count(self, entry: Entry) -> None:
        """Add a recording."""
        self.statuses[entry.status] += 1
        self.audio_s += entry.length_s or 0


def run(settings: RunSettings) -> int:
    """Analyse what is due below the inputs and bring the results up to date; returns the exit status."""
    started = datetime.now(UTC)
    inputs = parse_inputs(settings.inputs)
    work = _prepare(settings, inputs)
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
        done, status = Tally(), 0
        try:
            _analyse_all(ledger, plan.due, work, settings, done)
        except KeyboardInterrupt:
            log.error("interrupted: what was finished is kept, the next run does the rest")
            status = INTERRUPTED
        finally:
            bring_up_to_date(ledger, settings.output, settings.formats)
    failed = done.statuses["failed"] + sum(entry.status == "failed" for entry in plan.verdicts)
    status = status or int(failed > 0)
    _write_manifest(settings, work, plan, done, started, status)
    _tell_end(plan, done, failed, started)
    return status


def _prepare(settings: RunSettings, inputs: Sequence[Input]) -> Work:
    folder, speech = find_model(settings.model), SpeechSettings()
    digest = model_hash(folder)
    parts = [digest, ANALYSIS_VERSION, settings.prior, sorted(vars(speech).items())]
    fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return Work(
        version=__version__,
        output=settings.output,
        model=str(folder) if os.sep in settings.model else settings.model,
        model_name=read_settings(folder).name,
        model_hash=digest,
        prior=settings.prior,
        fingerprint=fingerprint,
        speech=speech,
        folders=tuple(source.folder for source in inputs if isinstance(source.folder, Path)),
    )


def _note_verdicts(ledger: Ledger, plan: Plan) -> None:
    for entry in plan.verdicts:
        _tell(entry)
        ledger.record(entry)
    for identity in plan.gone:
        ledger.mark_present(identity, False)
    for identity in plan.back:
        ledger.mark_present(identity, True)


def _analyse_all(ledger: Ledger, due: Sequence[Due], work: Work, settings: RunSettings, done: Tally) -> None:
    """Analyse what is due, in parallel; each result is in the ledger before the next is looked at."""
    with _progress(due, settings.progress) as bar:
        for entry, envelope in _in_parallel(due, work, settings):
            ledger.record(entry, envelope)
            done.count(entry)
            bar.update(entry.size)
            _tell(entry)


def _tell(entry: Entry) -> None:
    if entry.status == "failed":
        log.warning("%s: failed: %s", entry.identity.shown, entry.reason)
    elif entry.status != "skipped":
        note = f" ({entry.reason})" if entry.reason else ""
        log.debug("%s: %s, %s%s", entry.identity.shown, entry.status, clock(entry.length_s or 0), note)


def _in_parallel(due: Sequence[Due], work: Work, settings: RunSettings) -> Iterator[tuple[Entry, bytes | None]]:
    """Results of the recordings in the order in which they are finished."""
    if settings.cluster:
        from analyzer.cluster import analyse_on

        yield from analyse_on(settings.cluster, due, work)
        return
    one = partial(analyse_due, work=work)
    if min(settings.jobs, len(due)) <= 1:
        yield from map(one, due)
        return
    from joblib import Parallel, cpu_count, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # Processes that share a core push each other's data out of its cache: four on two cores took a tenth longer.
    processes = min(settings.jobs, len(due), cpu_count())
    parallel = Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=1)
    try:
        yield from parallel(delayed(one)(item) for item in due)
    except TerminatedWorkerError as error:
        raise CannotWork(
            "a worker process died, for lack of memory or in a decoder. What was finished is kept: run again to go "
            "on, with a smaller -j if memory is short"
        ) from error


def _progress(due: Sequence[Due], wanted: bool) -> Any:
    """A progress bar that counts bytes, since calls differ in length a hundredfold, and to know that all are opened."""
    from tqdm import tqdm

    return tqdm(total=sum(item.found.size for item in due), disable=not wanted, unit="B", unit_scale=True)


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


def _write_manifest(settings: RunSettings, work: Work, plan: Plan, done: Tally, started: datetime, status: int) -> None:
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
        "cluster": settings.cluster,
        "analysed": dict(sorted(done.statuses.items())),
        "unchanged": plan.unchanged,
        "audio_s": round(done.audio_s, 3),
    }
    write_text(settings.output / "run.json", json.dumps(manifest, indent=2) + "\n")


def _tell_plan(plan: Plan) -> None:
    for item in plan.due:
        print(f"{item.found.identity.shown}: {item.why}")
    print(f"would analyse {len(plan.due)} recordings, {_hours(plan.due):.2f} hours; {plan.unchanged} stand as they are")


def _tell_end(plan: Plan, done: Tally, failed: int, started: datetime) -> None:
    seconds = (datetime.now(UTC) - started).total_seconds()
    speed = f", {done.audio_s / seconds:.0f} x real time" if done.audio_s else ""
    log.info(
        "analysed %d recordings (%.2f hours) in %s%s; %d failed, %d unchanged",
        done.statuses.total(),
        done.audio_s / 3600,
        clock(seconds),
        speed,
        failed,
        plan.unchanged,
    )
