"""Batch run: analyse many recordings in parallel, then bring all results up to date."""

import hashlib
import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from analyzer import __version__
from analyzer.analysis.recording import ANALYSIS_VERSION
from analyzer.audio import storage
from analyzer.audio.reader import open_audio
from analyzer.audio.storage import Location
from analyzer.batch import no_effect, relabel, run_summary
from analyzer.batch.job import NOT_RECORDED, JobSettings, Result, failed
from analyzer.batch.local import analyse_here
from analyzer.batch.plan import NEW, Job, Plan, Rules, make_plan
from analyzer.batch.run_summary import RunSummary
from analyzer.batch.settings import RunSettings
from analyzer.errors import AnotherRun, CallEmotionsError, CannotWork, UsageError
from analyzer.inputs.discovery import Input, MissingInput, parse_inputs, same
from analyzer.inputs.masking import Mask
from analyzer.inputs.metadata import read_metadata
from analyzer.inputs.resolution import MetadataResolver
from analyzer.model.classifier import find_model, is_path, model_hash, read_settings
from analyzer.names import Identity, show
from analyzer.report import models, rendering, tables
from analyzer.runtime.isolation import Failure, format_error, is_fatal, isolated
from analyzer.runtime.lock import LockState, run_lock
from analyzer.runtime.logs import LOGGER
from analyzer.runtime.signals import Stopped, StopSignals
from analyzer.runtime.standard_streams import check_printed
from analyzer.speech.detector import SpeechSettings
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.migrations import day_number
from analyzer.store.outputs import TIMELINES, clear_unfinished, delete_formats, delete_results
from analyzer.store.pruning import finish_pruning
from analyzer.store.time_zone import choose_time_zone, time_zone

log = logging.getLogger(LOGGER)


def run(settings: RunSettings, stop: StopSignals) -> int:
    """Analyse the pending recordings below the inputs and bring the results up to date; returns the exit status.

    Raises CallEmotionsError if the run could not start or could not finish.
    """
    summary = RunSummary(settings)
    try:
        inputs = _parse_inputs(settings)
        job_settings = _prepare(settings, inputs)
        if settings.dry_run:
            return _dry_run(settings, inputs, job_settings, stop)
        with run_lock(settings.output, settings.lock_wait_s, stop) as lock_state:
            return _run_locked(summary, lock_state, inputs, job_settings, stop)
    except Stopped as stopped:
        log.error("stopped before anything was done: the next run does it all")
        return stopped.exit_status
    except (UsageError, AnotherRun):
        raise
    except Exception as error:
        summary.status = getattr(error, "exit_status", CannotWork.exit_status)
        if not settings.dry_run:
            run_summary.write_metrics(summary, Counter())
        if isinstance(error, sqlite3.Error | OSError):
            raise CannotWork(show(str(error))) from error
        raise


def _parse_inputs(settings: RunSettings) -> list[Input]:
    """Return the inputs.

    Raises CannotWork for a missing input that held recordings in earlier runs, UsageError for one never seen before.
    """
    try:
        return parse_inputs(settings.inputs)
    except MissingInput as missing:
        with closing(Ledger(settings.output, writable=False)) as ledger:
            names = {missing.label, Mask(ledger.key()).text(missing.label)}
            if names & {label for label, _ in ledger.labels()}:
                raise CannotWork(f"{missing}, which held recordings before: is it mounted?") from missing
        raise


def current_time() -> float:
    """Seconds since 1970."""
    return time.time()


def _prepare(settings: RunSettings, inputs: Sequence[Input]) -> JobSettings:
    """Return the settings that workers need; raises CallEmotionsError if the settings are invalid."""
    if settings.output.exists() and not settings.output.is_dir():
        raise UsageError(f"the output {show(str(settings.output))} is not a folder")
    if any(same(source.folder, settings.output) for source in inputs):
        raise UsageError("the output folder is the input itself: give another one with -o")
    model_folder, speech = find_model(settings.model), SpeechSettings()
    model_digest = model_hash(model_folder)
    fingerprinted = [model_digest, ANALYSIS_VERSION, settings.prior, settings.sensitivity, sorted(vars(speech).items())]
    return JobSettings(
        version=__version__,
        output=settings.output,
        model=str(model_folder.absolute()) if is_path(settings.model) else settings.model,
        model_name=read_settings(model_folder).name,
        model_hash=model_digest,
        prior=settings.prior,
        sensitivity=settings.sensitivity,
        fingerprint=hashlib.sha256(json.dumps(fingerprinted).encode()).hexdigest()[:16],
        speech=speech,
        folders=tuple(source.folder for source in inputs if isinstance(source.folder, Path)),
        only=settings.only,
        checksum=settings.checksum,
    )


def _dry_run(settings: RunSettings, inputs: Sequence[Input], job_settings: JobSettings, stop: StopSignals) -> int:
    """Dry run: print what would be analysed; nothing is written."""
    with closing(Ledger(settings.output, writable=False)) as ledger:
        resolver = _metadata_resolver(settings, ledger)
        _check_labels(ledger, inputs, resolver)
        plan, remarks = _plan(ledger, inputs, settings, job_settings, resolver, stop)
        for level, remark in remarks:
            log.log(level, "%s", remark)
    for job in plan.jobs:
        print(f"{job.recording.identity.shown}: {job.reason}")
    given_up = f"; {plan.given_up} were given up (see --retry-failed)" if plan.given_up else ""
    seconds = 0.0
    for job in plan.jobs:
        stop.check()
        # Only an estimate by the headers of the recordings that can be opened; the analysis reports the errors.
        with suppress(Exception), open_audio(job.recording.path) as stream:
            seconds += stream.length_s
    work = f"{len(plan.jobs)} recordings, {seconds / 3600:.2f} hours"
    print(f"would analyse {work}; {plan.unchanged} already up to date{given_up}")
    check_printed()
    return 0


def _run_locked(
    summary: RunSummary, lock_state: LockState, inputs: Sequence[Input], job_settings: JobSettings, stop: StopSignals
) -> int:
    """Do the run while holding the lock on the output folder; returns the exit status."""
    settings = summary.settings
    # A killed run may leave temporary files anywhere; otherwise only the timelines folder can hold some, from workers.
    clear_unfinished(settings.output if lock_state.previous_run_died else settings.output / TIMELINES)
    with closing(Ledger(settings.output)) as ledger:
        resolver = _metadata_resolver(settings, ledger)
        labels = _check_labels(ledger, inputs, resolver)
        lock_state.finished = False
        try:
            _migrate_results(ledger, summary, resolver)
            run_summary.note_settings(ledger, settings, job_settings)
            plan, remarks = _plan(ledger, inputs, settings, job_settings, resolver, stop)
            summary.remarks += remarks
            for label, folder in labels:
                ledger.claim_label(label, folder)
            summary.begin(plan)
            _work_through(ledger, inputs, replace(job_settings, mask=resolver.mask), summary, stop)
            summary.remarks += no_effect.of_results(summary, settings)
            lock_state.finished = True
        except Stopped as stopped:
            summary.status = stopped.exit_status
        run_summary.log_summary(summary)
        run_summary.write_metrics(summary, ledger.count_by_status())
    return summary.status


def _plan(
    ledger: Ledger,
    inputs: Sequence[Input],
    settings: RunSettings,
    job_settings: JobSettings,
    resolver: MetadataResolver,
    stop: StopSignals,
) -> tuple[Plan, list[no_effect.Remark]]:
    """Return the plan, and the remarks on settings without effect that are known before the analysis starts."""
    rows = no_effect.rows_of(resolver, inputs, settings, stop)
    resolver = replace(resolver, rows=rows.matched)
    plan = make_plan(ledger, inputs, _rules(settings, job_settings, resolver, ledger), stop)
    return plan, [
        *no_effect.of_earlier_inputs(ledger, inputs, resolver),
        *(no_effect.of_metadata(rows, resolver, ledger, inputs) if settings.metadata else ()),
        *no_effect.of_recordings(plan.seen, resolver),
        *no_effect.of_inputs(plan.seen),
    ]


def _migrate_results(ledger: Ledger, summary: RunSummary, resolver: MetadataResolver) -> None:
    """Migrate the results of earlier runs to the current time zone and masking, before new results are added.

    Also finishes a prune that was interrupted.
    """
    settings = summary.settings
    choose_time_zone(ledger, settings.time_zone)
    if ledger.state.has_deleted_content:
        tables.delete(settings.output)  # also those in formats that this run does not write
    failures = finish_pruning(ledger)
    mask = resolver.mask
    masked = mask is not None and relabel.mask_stored_names(ledger, mask, failures)
    blanked = relabel.mask_stored_emotions(ledger, settings.only, resolver, failures)
    summary.count_failures(failures)
    if masked or blanked:
        summary.count_failures(tables.write_if_stale(ledger, settings.formats))


def _work_through(
    ledger: Ledger, inputs: Sequence[Input], job_settings: JobSettings, summary: RunSummary, stop: StopSignals
) -> None:
    """Execute the plan, then bring the tables up to date with what was done, even after an error."""
    settings = summary.settings
    try:
        _record_unopened(ledger, summary, job_settings.mask)
        # A worker deletes the old files of a recording before the new result is recorded in the ledger.
        ledger.note_unwritten(job.recording.identity for job in summary.plan.jobs if job.reason != NEW)
        _analyse_all(ledger, inputs, job_settings, summary, stop)
        if rendering.write_if_stale(ledger, settings.formats, settings.jobs, stop, embed=settings.embed_audio):
            summary.status = summary.status or 1
    except BaseException as error:
        summary.status = getattr(error, "exit_status", CannotWork.exit_status)
        raise
    finally:
        summary.count_failures(tables.write_if_stale(ledger, settings.formats))
        run_summary.write_manifest(summary, job_settings, models.facts(ledger, job_settings.fingerprint))


def _rules(settings: RunSettings, job_settings: JobSettings, resolver: MetadataResolver, ledger: Ledger) -> Rules:
    now = current_time()
    return Rules(
        fingerprint=job_settings.fingerprint,
        now=now,
        today=day_number(datetime.fromtimestamp(now, time_zone(ledger))),
        resolver=resolver,
        only=settings.only,
        min_age_s=settings.min_age_s,
        version=str(ANALYSIS_VERSION),
        force=settings.force,
        retry_failed=settings.retry_failed,
        checksum=settings.checksum,
        follow_links=settings.follow_links,
    )


def _metadata_resolver(settings: RunSettings, ledger: Ledger) -> MetadataResolver:
    """Return the naming rules of this run; raises UsageError if earlier runs masked names differently."""
    pattern = settings.name_pattern
    masked_with, pattern_text = ledger.state.mask_pattern, pattern.text if pattern else ""
    if masked_with is not None and not settings.mask_names:
        raise UsageError("names in this output folder are masked: give --mask-names, or another folder with -o")
    if masked_with is not None and masked_with != pattern_text:
        raise UsageError(
            "names in this output folder were masked under another --name-pattern, which says what digits are a date: "
            "give the same, or another folder with -o"
        )
    mask = Mask(ledger.key(), pattern) if settings.mask_names else None
    metadata = read_metadata(settings.metadata) if settings.metadata else {}
    zone = ZoneInfo(settings.time_zone) if settings.time_zone else time_zone(ledger)
    return MetadataResolver(settings.speakers, pattern, metadata, mask=mask, zone=zone)


def _check_labels(ledger: Ledger, inputs: Sequence[Input], resolver: MetadataResolver) -> list[tuple[str, str]]:
    """Return the labels and their folders as the ledger stores them.

    Raises UsageError if a label belongs to another folder, unless the user gave it as LABEL=FOLDER.
    """
    labels = []
    for source in inputs:
        label = resolver.called(Identity(source.label, "")).label
        folder = resolver.masked(str(source.folder))
        if not source.label_given:
            ledger.check_label(label, folder)
        labels.append((label, folder))
    return labels


def _record_unopened(ledger: Ledger, summary: RunSummary, mask: Mask | None) -> None:
    """Record everything in the plan that needs no analysis."""
    plan, output = summary.plan, summary.settings.output
    for unopened in plan.verdicts:
        failures, entry = list[Failure](), unopened
        with isolated(entry.identity.shown, output, failures, mask):
            stored = ledger.get(entry.identity)
            if stored and (stored.size, stored.mtime_ns) != (entry.size, entry.mtime_ns):
                delete_results(output, entry.identity)  # they belong to the previous contents of the file
            ledger.record(entry)
        for failure in failures:
            entry = unopened.as_failed(failure.reason)
            plan.tracebacks[entry.identity] = failure.traceback
            _record_failure(ledger, entry)
        summary.count_unopened(entry, plan.tracebacks.get(entry.identity, ""))
    for identity in plan.dropped:
        ledger.forget(identity)
    ledger.mark_present(plan.gone, False)
    ledger.mark_present(plan.back, True)
    for label in plan.looked_into:
        ledger.state.set_storage_version(label, ANALYSIS_VERSION)
    for entry, roles in plan.amended:
        failures = []
        with isolated(entry.identity.shown, output, failures, mask):
            delete_formats(output, entry.identity, but=summary.settings.formats)
            needs_relabel = relabel.needs_relabel(entry, roles)
            ledger.amend(relabel.relabelled(entry, roles, output) if needs_relabel else entry)
        for failure in failures:
            summary.count_unopened(relabel.drop(ledger, entry, failure, mask), failure.traceback)


def _record_failure(ledger: Ledger, entry: Entry) -> None:
    """Record the failed entry of a file; raises CannotWork if that fails, too."""
    try:
        ledger.record(entry)
    except CallEmotionsError:
        raise
    except Exception as error:
        raise CannotWork(f"the ledger cannot be written: {format_error(error)}") from error


def _analyse_all(
    ledger: Ledger, inputs: Sequence[Input], job_settings: JobSettings, summary: RunSummary, stop: StopSignals
) -> None:
    """Analyse the pending recordings in parallel; each result is in the ledger before the next one is processed."""
    from tqdm import tqdm

    jobs, mounts = summary.plan.jobs, {source.folder: storage.mount(source.folder) for source in inputs}
    # The bar counts bytes: the lengths of calls differ by a factor of up to 100, and to know them every file would have
    # to be opened.
    total = sum(job.recording.size for job in jobs)
    with (
        tqdm(total=total, disable=not summary.settings.progress, unit="B", unit_scale=True) as progress_bar,
        closing(_analyse_in_parallel(jobs, job_settings, summary.settings, stop)) as results,
    ):
        for result in results:
            if result.entry.status in run_summary.FAILURES:
                _check_mounts(mounts)
            entry, traceback = result.entry, result.traceback
            if entry.present:
                entry, traceback = _record_result(ledger, result, jobs, job_settings)
            elif ledger.get(entry.identity):
                ledger.mark_present([entry.identity], False)
            summary.count(entry, traceback)
            progress_bar.update(entry.size)
            stop.check()


def _record_result(ledger: Ledger, result: Result, jobs: Sequence[Job], job_settings: JobSettings) -> tuple[Entry, str]:
    """Write the result of a recording to the ledger; if that fails for this recording only, record it as failed.

    Returns the entry that was written, and the traceback of an unexpected error.
    """
    try:
        ledger.record(result.entry, result.drawing)
    except Exception as error:
        if is_fatal(error, job_settings.output):
            raise
        job = next(job for job in jobs if job.recording.identity == result.entry.identity)
        result = failed(job, error, job_settings.mask, NOT_RECORDED)
        _record_failure(ledger, result.entry)
        delete_results(job_settings.output, result.entry.identity)  # no table lists them
    return result.entry, result.traceback


def _check_mounts(mounts_at_start: Mapping[Location, int | None]) -> None:
    """Raise CannotWork if an input folder has disappeared: then the recordings themselves are not at fault.

    `mounts_at_start` maps each input folder to the file system that it was on, see `storage.mount`.
    """
    for folder, mount in mounts_at_start.items():
        if storage.mount(folder) != mount:
            raise CannotWork(
                f"{show(str(folder))} disappeared during the run: check that it is mounted. Finished results are "
                "kept; the next run continues"
            )


def _analyse_in_parallel(
    jobs: Sequence[Job], job_settings: JobSettings, settings: RunSettings, stop: StopSignals
) -> Generator[Result, None, None]:
    """Yield the results in the order in which the recordings finish."""
    ends_at = None if settings.max_hours is None else time.monotonic() + settings.max_hours * 3600
    if not settings.cluster:
        yield from analyse_here(jobs, job_settings, settings.jobs, stop, ends_at)
        return
    from analyzer.batch.cluster import analyse_on

    yield from analyse_on(settings.cluster, jobs, job_settings, stop, ends_at)
