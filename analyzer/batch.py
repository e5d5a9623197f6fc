"""Batch run: analyse many recordings in parallel, then bring all results up to date."""

import hashlib
import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from analyzer import __version__, account, no_effect, prune, relabel, storage
from analyzer.account import Account
from analyzer.audio import open_audio
from analyzer.classifier import find_model, is_path, model_hash, read_settings
from analyzer.details import Naming
from analyzer.discovery import Input, MissingInput, parse_inputs, same
from analyzer.entry import Entry
from analyzer.errors import AnotherRun, CallEmotionsError, CannotWork, UsageError
from analyzer.isolation import Failure, in_words, is_machines, isolated
from analyzer.ledger import Ledger
from analyzer.lock import Hold, held
from analyzer.logs import LOGGER
from analyzer.masking import Mask
from analyzer.matching import Rows
from analyzer.metadata import read_metadata
from analyzer.migrations import day_number
from analyzer.names import Identity, show
from analyzer.outputs import TIMELINES, clear_unfinished, delete_formats, delete_results
from analyzer.plan import NEW, Due, Plan, Rules, looked_key, make_plan
from analyzer.recording import ANALYSIS_VERSION
from analyzer.report import models, rendering, tables
from analyzer.settings import RunSettings
from analyzer.signals import Stopped, StopSignals
from analyzer.speech import SpeechSettings
from analyzer.standard_streams import check_printed
from analyzer.storage import Location
from analyzer.work import NOT_RECORDED, Result, Work, failed
from analyzer.workers import analyse_here

log = logging.getLogger(LOGGER)


def run(settings: RunSettings, stop: StopSignals) -> int:
    """Analyse the pending recordings below the inputs and bring the results up to date; returns the exit status.

    Raises CallEmotionsError if the run could not start or could not finish.
    """
    told = Account(settings)
    try:
        inputs = _inputs(settings)
        work = _prepare(settings, inputs)
        if settings.dry_run:
            return _rehearse(settings, inputs, work, stop)
        with held(settings.output, settings.lock_wait_s, stop) as hold:
            return _run_alone(told, hold, inputs, work, stop)
    except Stopped as stopped:
        log.error("stopped before anything was done: the next run does it all")
        return stopped.exit_status
    except (UsageError, AnotherRun):
        raise
    except Exception as error:
        told.status = getattr(error, "exit_status", CannotWork.exit_status)
        if not settings.dry_run:
            account.write_metrics(told, Counter())
        if isinstance(error, sqlite3.Error | OSError):
            raise CannotWork(show(str(error))) from error
        raise


def _inputs(settings: RunSettings) -> list[Input]:
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


def _prepare(settings: RunSettings, inputs: Sequence[Input]) -> Work:
    """Return the settings that workers need; raises CallEmotionsError if the settings are invalid."""
    if settings.output.exists() and not settings.output.is_dir():
        raise UsageError(f"the output {show(str(settings.output))} is not a folder")
    if any(same(source.folder, settings.output) for source in inputs):
        raise UsageError("the output folder is the input itself: give another one with -o")
    folder, speech = find_model(settings.model), SpeechSettings()
    digest = model_hash(folder)
    parts = [digest, ANALYSIS_VERSION, settings.prior, settings.sensitivity, sorted(vars(speech).items())]
    return Work(
        version=__version__,
        output=settings.output,
        model=str(folder.absolute()) if is_path(settings.model) else settings.model,
        model_name=read_settings(folder).name,
        model_hash=digest,
        prior=settings.prior,
        sensitivity=settings.sensitivity,
        fingerprint=hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16],
        speech=speech,
        folders=tuple(source.folder for source in inputs if isinstance(source.folder, Path)),
        only=settings.only,
        checksum=settings.checksum,
    )


def _rehearse(settings: RunSettings, inputs: Sequence[Input], work: Work, stop: StopSignals) -> int:
    """Dry run: print what would be analysed; nothing is written."""
    with closing(Ledger(settings.output, writable=False)) as ledger:
        naming = _naming(settings, ledger)
        _check_labels(ledger, inputs, naming)
        rows = no_effect.rows_of(naming, inputs, settings, stop)
        naming = replace(naming, rows=rows.matched)
        plan = make_plan(ledger, inputs, settings.output, _rules(settings, work, naming, ledger), stop)
        for level, remark in _remarks(ledger, plan, rows, inputs, settings, naming):
            log.log(level, "%s", remark)
    for item in plan.due:
        print(f"{item.found.identity.shown}: {item.why}")
    given_up = f"; {plan.given_up} were given up (see --retry-failed)" if plan.given_up else ""
    hours = _hours(plan.due, stop)
    print(f"would analyse {len(plan.due)} recordings, {hours:.2f} hours; {plan.unchanged} stand as they are{given_up}")
    check_printed()
    return 0


def _run_alone(told: Account, hold: Hold, inputs: Sequence[Input], work: Work, stop: StopSignals) -> int:
    """Do the run while holding the lock on the output folder; returns the exit status."""
    settings = told.settings
    # A killed run may leave temporary files anywhere; otherwise only the timelines folder can hold some, from workers.
    clear_unfinished(settings.output if hold.died_before else settings.output / TIMELINES)
    with closing(Ledger(settings.output)) as ledger:
        naming = _naming(settings, ledger)
        labels = _check_labels(ledger, inputs, naming)
        hold.over = False
        try:
            _bring_in_line(ledger, told, naming)
            account.note_settings(ledger, settings, work)
            rows = no_effect.rows_of(naming, inputs, settings, stop)
            naming = replace(naming, rows=rows.matched)
            plan = make_plan(ledger, inputs, settings.output, _rules(settings, work, naming, ledger), stop)
            told.remarks += _remarks(ledger, plan, rows, inputs, settings, naming)
            for label, folder in labels:
                ledger.claim_label(label, folder)
            told.begin(plan)
            _work_through(ledger, plan, inputs, replace(work, mask=naming.mask), told, stop)
            told.remarks += no_effect.of_results(told, settings)
            hold.over = True
        except Stopped as stopped:
            told.status = stopped.exit_status
        account.tell_end(told)
        account.write_metrics(told, ledger.count_by_status())
    return told.status


def _remarks(
    ledger: Ledger, plan: Plan, rows: Rows, inputs: Sequence[Input], settings: RunSettings, naming: Naming
) -> list[no_effect.Remark]:
    """Return the remarks on settings without effect that are known before the analysis starts."""
    return [
        *no_effect.of_earlier_inputs(ledger, inputs, naming),
        *(no_effect.of_metadata(rows, naming, ledger, inputs) if settings.metadata else ()),
        *no_effect.of_recordings(plan.seen, naming),
        *no_effect.of_inputs(plan.seen),
    ]


def _bring_in_line(ledger: Ledger, told: Account, naming: Naming) -> None:
    """Migrate the results of earlier runs to the current time zone and masking, before new results are added.

    Also finishes a prune that was interrupted.
    """
    settings = told.settings
    tables.choose_time_zone(ledger, settings.time_zone)
    failures = prune.finish(ledger, settings.output)
    mask = naming.mask
    masked = mask is not None and relabel.mask_stored_names(ledger, settings.output, mask, failures)
    blanked = relabel.mask_stored_emotions(ledger, settings.output, settings.only, naming, failures)
    told.fail_all(failures)
    if masked or blanked:
        # Delete all tables now, also those in formats that this run does not write: even if this run fails later, no
        # table may still show what is masked.
        tables.delete(settings.output)
        told.fail_all(tables.bring_up_to_date(ledger, settings.output, settings.formats))


def _work_through(
    ledger: Ledger, plan: Plan, inputs: Sequence[Input], work: Work, told: Account, stop: StopSignals
) -> None:
    """Execute the plan, then bring the tables up to date with what was done, even after an error."""
    settings = told.settings
    try:
        _note_verdicts(ledger, plan, told, work.mask)
        mounts = {source.folder: storage.mount(source.folder) for source in inputs}
        # A worker deletes the old files of a recording before the new result is recorded in the ledger.
        ledger.note_unwritten(item.found.identity for item in plan.due if item.why != NEW)
        _analyse_all(ledger, plan.due, work, told, stop, mounts)
        if rendering.bring_up_to_date(
            ledger, settings.output, settings.formats, settings.jobs, stop, embed=settings.embed_audio
        ):
            told.status = told.status or 1
    except BaseException as ending:
        told.status = getattr(ending, "exit_status", CannotWork.exit_status)
        raise
    finally:
        told.fail_all(tables.bring_up_to_date(ledger, settings.output, settings.formats))
        account.write_manifest(told, work, models.facts(ledger, work.fingerprint))


def _rules(settings: RunSettings, work: Work, naming: Naming, ledger: Ledger) -> Rules:
    now = current_time()
    return Rules(
        fingerprint=work.fingerprint,
        now=now,
        today=day_number(datetime.fromtimestamp(now, tables.time_zone(ledger))),
        naming=naming,
        only=settings.only,
        min_age_s=settings.min_age_s,
        version=str(ANALYSIS_VERSION),
        force=settings.force,
        retry_failed=settings.retry_failed,
        checksum=settings.checksum,
        follow_links=settings.follow_links,
    )


def _naming(settings: RunSettings, ledger: Ledger) -> Naming:
    """Return the naming rules of this run; raises UsageError if earlier runs masked names differently."""
    pattern = settings.name_pattern
    masked_with, now = ledger.note("masked with"), pattern.text if pattern else ""
    if masked_with is not None and not settings.mask_names:
        raise UsageError("names in this output folder are masked: give --mask-names, or another folder with -o")
    if masked_with is not None and masked_with != now:
        raise UsageError(
            "names in this output folder were masked under another --name-pattern, which says what digits are a date: "
            "give the same, or another folder with -o"
        )
    mask = Mask(ledger.key(), pattern) if settings.mask_names else None
    metadata = read_metadata(settings.metadata) if settings.metadata else {}
    zone = ZoneInfo(settings.time_zone) if settings.time_zone else tables.time_zone(ledger)
    return Naming(settings.speakers, pattern, metadata, mask=mask, zone=zone)


def _check_labels(ledger: Ledger, inputs: Sequence[Input], naming: Naming) -> list[tuple[str, str]]:
    """Return the labels and their folders as the ledger stores them.

    Raises UsageError if a label belongs to another folder, unless the user gave it as LABEL=FOLDER.
    """
    labels = []
    for source in inputs:
        label = naming.called(Identity(source.label, "")).label
        folder = naming.mask.text(str(source.folder)) if naming.mask else str(source.folder)
        if not source.said:
            ledger.check_label(label, folder)
        labels.append((label, folder))
    return labels


def _note_verdicts(ledger: Ledger, plan: Plan, told: Account, mask: Mask | None) -> None:
    """Record everything in the plan that needs no analysis."""
    output = told.settings.output
    for verdict in plan.verdicts:
        failures, entry = list[Failure](), verdict
        with isolated(entry.identity.shown, output, failures, mask):
            before = ledger.get(entry.identity)
            if before and (before.size, before.mtime_ns) != (entry.size, entry.mtime_ns):
                delete_results(output, entry.identity)  # they belong to the previous contents of the file
            ledger.record(entry)
        for failure in failures:
            entry = verdict.as_failed(failure.reason)
            plan.tracebacks[entry.identity] = failure.traceback
            _record_failure(ledger, entry)
        told.judge(entry, plan.tracebacks.get(entry.identity, ""))
    for identity in plan.dropped:
        ledger.forget(identity)
    ledger.mark_present(plan.gone, False)
    ledger.mark_present(plan.back, True)
    for label in plan.looked_into:
        ledger.remember(looked_key(label), str(ANALYSIS_VERSION))
    for entry, roles in plan.amended:
        failures = []
        with isolated(entry.identity.shown, output, failures, mask):
            delete_formats(output, entry.identity, but=told.settings.formats)
            otherwise = relabel.is_told_otherwise(entry, roles)
            ledger.amend(relabel.told_anew(entry, roles, output) if otherwise else entry)
        for failure in failures:
            told.judge(relabel.drop(ledger, output, entry, failure, mask), failure.traceback)


def _record_failure(ledger: Ledger, entry: Entry) -> None:
    """Record the failed entry of a file; raises CannotWork if that fails, too."""
    try:
        ledger.record(entry)
    except CallEmotionsError:
        raise
    except Exception as error:
        raise CannotWork(f"the ledger cannot be written: {in_words(error)}") from error


def _analyse_all(
    ledger: Ledger,
    due: Sequence[Due],
    work: Work,
    told: Account,
    stop: StopSignals,
    mounts: Mapping[Location, int | None],
) -> None:
    """Analyse the pending recordings in parallel; each result is in the ledger before the next one is processed.

    `mounts` maps each input folder to the file system that it was on at the start, see `storage.mount`.
    """
    with (
        _progress(due, told.settings.progress) as bar,
        closing(_in_parallel(due, work, told.settings, stop)) as results,
    ):
        for result in results:
            if result.entry.status in account.FAILURES:
                _check_mounts(mounts)
            entry, traceback = result.entry, result.traceback
            if entry.present:
                entry, traceback = _recorded(ledger, result, due, work)
            elif ledger.get(entry.identity):
                ledger.mark_present([entry.identity], False)
            told.count(entry, traceback)
            bar.update(entry.size)
            stop.check()


def _recorded(ledger: Ledger, result: Result, due: Sequence[Due], work: Work) -> tuple[Entry, str]:
    """Write the result of a recording to the ledger; if that fails for this recording only, record it as failed.

    Returns the entry that was written, and the traceback of an unexpected error.
    """
    try:
        ledger.record(result.entry, result.sketch)
    except Exception as error:
        if is_machines(error, work.output):
            raise
        item = next(item for item in due if item.found.identity == result.entry.identity)
        result = failed(item, error, work.mask, NOT_RECORDED)
        _record_failure(ledger, result.entry)
        delete_results(work.output, result.entry.identity)  # no table lists them
    return result.entry, result.traceback


def _check_mounts(before: Mapping[Location, int | None]) -> None:
    """Raise CannotWork if an input folder has disappeared: then the recordings themselves are not at fault."""
    for folder, mount in before.items():
        if storage.mount(folder) != mount:
            raise CannotWork(
                f"{show(str(folder))} has gone while the run was going on: is it still mounted? What was finished is "
                "kept, the next run does the rest"
            )


def _in_parallel(
    due: Sequence[Due], work: Work, settings: RunSettings, stop: StopSignals
) -> Generator[Result, None, None]:
    """Yield the results in the order in which the recordings finish."""
    ends_at = None if settings.max_hours is None else time.monotonic() + settings.max_hours * 3600
    if not settings.cluster:
        yield from analyse_here(due, work, settings.jobs, stop, ends_at)
        return
    from analyzer.cluster import analyse_on

    yield from analyse_on(settings.cluster, due, work, stop, ends_at)


def _progress(due: Sequence[Due], wanted: bool) -> Any:
    """Return a progress bar that counts bytes.

    The lengths of calls differ by a factor of up to 100, and to know them every file would have to be opened.
    """
    from tqdm import tqdm

    return tqdm(total=sum(item.found.size for item in due), disable=not wanted, unit="B", unit_scale=True)


def _hours(due: Sequence[Due], stop: StopSignals) -> float:
    """Return the hours of audio according to the headers of the recordings."""
    seconds = 0.0
    for item in due:
        stop.check()
        try:
            with open_audio(item.found.path) as stream:
                seconds += stream.length_s
        except Exception:  # noqa: S112  # only an estimate; the analysis reports the error
            continue
    return seconds / 3600
