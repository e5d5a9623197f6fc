"""A night's run: many recordings at a time down the way of one, and everything brought up to date afterwards."""

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
    """Analyse what is due below the inputs and bring the results up to date; returns the exit status.

    Raises CallEmotionsError where the run could not begin, or could not come to its end.
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
    """The inputs; raises CannotWork for one that is gone and held recordings before, UsageError for one never seen."""
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
    """What workers need to know; raises CallEmotionsError where the settings cannot be meant."""
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
    """Say what would be analysed; nothing is written."""
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
    """The run, once no other is at work in the output folder."""
    settings = told.settings
    # Of what a run leaves that was killed there may be some anywhere; else only what a worker did elsewhere.
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
    """What to say of settings without effect, as far as it is known before anything is analysed."""
    return [
        *no_effect.of_earlier_inputs(ledger, inputs, naming),
        *(no_effect.of_metadata(rows, naming, ledger, inputs) if settings.metadata else ()),
        *no_effect.of_recordings(plan.seen, naming),
        *no_effect.of_inputs(plan.seen),
    ]


def _bring_in_line(ledger: Ledger, told: Account, naming: Naming) -> None:
    """Have what earlier runs left agree with what is asked for now, before anything is added to it."""
    settings = told.settings
    tables.choose_time_zone(ledger, settings.time_zone)
    failures = prune.finish(ledger, settings.output)
    mask = naming.mask
    masked = mask is not None and relabel.mask_stored_names(ledger, settings.output, mask, failures)
    blanked = relabel.mask_stored_emotions(ledger, settings.output, settings.only, naming, failures)
    told.fail_all(failures)
    if masked or blanked:
        # At once, and tables that are not asked for, too: whatever comes of this run, they must not tell it any more.
        tables.delete(settings.output)
        told.fail_all(tables.bring_up_to_date(ledger, settings.output, settings.formats))


def _work_through(
    ledger: Ledger, plan: Plan, inputs: Sequence[Input], work: Work, told: Account, stop: StopSignals
) -> None:
    """Do what is planned, and whatever happens, bring the tables up to date with what was done."""
    settings = told.settings
    try:
        _note_verdicts(ledger, plan, told, work.mask)
        mounts = {source.folder: storage.mount(source.folder) for source in inputs}
        # Of what is analysed again, files are deleted before the ledger is told what was heard.
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
    """How recordings are called in this run; raises UsageError where earlier runs called them otherwise."""
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
    """Labels and their folders as the ledger keeps them; raises UsageError where a label is that of another folder."""
    labels = []
    for source in inputs:
        label = naming.called(Identity(source.label, "")).label
        folder = naming.mask.text(str(source.folder)) if naming.mask else str(source.folder)
        if not source.said:
            ledger.check_label(label, folder)
        labels.append((label, folder))
    return labels


def _note_verdicts(ledger: Ledger, plan: Plan, told: Account, mask: Mask | None) -> None:
    """Write down what needs no analysis."""
    output = told.settings.output
    for verdict in plan.verdicts:
        failures, entry = list[Failure](), verdict
        with isolated(entry.identity.shown, output, failures, mask):
            before = ledger.get(entry.identity)
            if before and (before.size, before.mtime_ns) != (entry.size, entry.mtime_ns):
                delete_results(output, entry.identity)  # they tell of what the file was before
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
    """Write the row of a file over which something failed; raises CannotWork where even that fails."""
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
    """Analyse what is due, in parallel; each result is in the ledger before the next is looked at.

    `mounts` says where the inputs lie, by folder.
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
    """Write what came of a recording into the ledger; where that fails over this one, it has failed.

    Returns what was written, and where an error comes from.
    """
    try:
        ledger.record(result.entry, result.sketch)
    except Exception as error:
        if is_machines(error, work.output):
            raise
        item = next(item for item in due if item.found.identity == result.entry.identity)
        result = failed(item, error, work.mask, NOT_RECORDED)
        _record_failure(ledger, result.entry)
        delete_results(work.output, result.entry.identity)  # no table tells of them
    return result.entry, result.traceback


def _check_mounts(before: Mapping[Location, int | None]) -> None:
    """Raise CannotWork where a folder of recordings has gone: it is not the recordings that are at fault."""
    for folder, mount in before.items():
        if storage.mount(folder) != mount:
            raise CannotWork(
                f"{show(str(folder))} has gone while the run was going on: is it still mounted? What was finished is "
                "kept, the next run does the rest"
            )


def _in_parallel(
    due: Sequence[Due], work: Work, settings: RunSettings, stop: StopSignals
) -> Generator[Result, None, None]:
    """Results of the recordings in the order in which they are finished."""
    ends_at = None if settings.max_hours is None else time.monotonic() + settings.max_hours * 3600
    if not settings.cluster:
        yield from analyse_here(due, work, settings.jobs, stop, ends_at)
        return
    from analyzer.cluster import analyse_on

    yield from analyse_on(settings.cluster, due, work, stop, ends_at)


def _progress(due: Sequence[Due], wanted: bool) -> Any:
    """A progress bar that counts bytes, since calls differ in length a hundredfold, and to know that all are opened."""
    from tqdm import tqdm

    return tqdm(total=sum(item.found.size for item in due), disable=not wanted, unit="B", unit_scale=True)


def _hours(due: Sequence[Due], stop: StopSignals) -> float:
    """Hours of sound that the headers of the recordings promise."""
    seconds = 0.0
    for item in due:
        stop.check()
        try:
            with open_audio(item.found.path) as stream:
                seconds += stream.length_s
        except Exception:  # noqa: S112  # only an estimate; the analysis will say what is wrong
            continue
    return seconds / 3600
