"""Run summary: a log line per recording, a final log line, run.json and Prometheus metrics."""

import json
import logging
import platform
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from analyzer import __version__
from analyzer.analysis.recording import ANALYSIS_VERSION
from analyzer.audio.stream import format_duration
from analyzer.batch.job import JobSettings
from analyzer.batch.plan import Plan
from analyzer.batch.settings import RunSettings
from analyzer.errors import CannotWork
from analyzer.model.classifier import NOT_STATED, find_model, read_scores, read_settings
from analyzer.names import show
from analyzer.report import models, tables
from analyzer.runtime.isolation import Failure
from analyzer.runtime.logs import LOGGER
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import write_text, write_text_or_stream
from analyzer.store.time_zone import time_zone

log = logging.getLogger(LOGGER)

FAILURES = ("failed", "given_up")
#: Maximum number of failed recordings that the final log line names.
_MAX_NAMED = 5


@dataclass
class RunSummary:
    """Counts of what a run has done so far. Apart from the plan, its size does not grow with the number of recordings.

    Attributes
    ----------
    plan : the work of the run; empty until `begin`.
    status : exit status, as far as it is known.
    statuses : number of recordings that workers processed, by status.
    audio_s : seconds of audio in them.
    judged : number of files that were not opened, by status.
    vanished : number of recordings that were gone before they could be read.
    failures, failed_names : number of recordings that failed in this run, analysed or not, and their first names.
    with_speech, inferred : number of analysed recordings that contain speech, and for which emotions were inferred.
    most_channels : highest number of channels of an analysed recording.
    remarks : log level and message of remarks on settings without effect, logged at the end.
    """

    settings: RunSettings
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    plan: Plan = field(default_factory=Plan)
    status: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    audio_s: float = 0.0
    judged: Counter[str] = field(default_factory=Counter)
    vanished: int = 0
    failures: int = 0
    failed_names: list[str] = field(default_factory=list)
    with_speech: int = 0
    inferred: int = 0
    most_channels: int = 0
    remarks: list[tuple[int, str]] = field(default_factory=list)

    def begin(self, plan: Plan) -> None:
        """Keep the plan, and count its name collisions as failures."""
        self.plan = plan
        for duplicate in plan.duplicates:
            log.warning("%s: failed: another recording has the same name", duplicate)
            self._count_failure(duplicate)

    def count_unopened(self, entry: Entry, traceback: str = "") -> None:
        """Log and count a file that was not opened; `traceback` is that of an unexpected error."""
        log_entry(entry, traceback)
        self.judged[entry.status] += 1
        if entry.status in FAILURES:
            self._count_failure(entry.identity.shown)

    def count_failures(self, failures: Iterable[Failure]) -> None:
        """Log and count failures with the results of files, in addition to the counts by status."""
        for failure in failures:
            failure.log()
            self._count_failure(failure.name)

    def count(self, entry: Entry, traceback: str = "") -> None:
        """Log and count a recording that a worker processed."""
        log_entry(entry, traceback)
        if not entry.present:
            self.vanished += 1
            return
        self.statuses[entry.status] += 1
        self.audio_s += entry.length_s or 0
        self.with_speech += entry.status == "ok"
        self.inferred += any(not channel.masked for channel in (entry.statistics or {}).values())
        self.most_channels = max(self.most_channels, entry.channels or 0)
        if entry.status in FAILURES:
            self._count_failure(entry.identity.shown)

    def _count_failure(self, name: str) -> None:
        self.failures += 1
        self.status = self.status or 1
        if len(self.failed_names) < _MAX_NAMED:
            self.failed_names.append(name)

    @property
    def remaining(self) -> int:
        """Number of pending recordings that were not started or not finished."""
        return len(self.plan.jobs) - self.statuses.total() - self.vanished

    @property
    def analysed(self) -> int:
        """Number of recordings that were analysed or whose analysis failed."""
        return self.statuses.total() - self.statuses["incomplete"]

    @property
    def incomplete(self) -> int:
        """Number of files that are still being written."""
        return self.statuses["incomplete"] + self.judged["incomplete"] + self.plan.waiting

    @property
    def seconds(self) -> float:
        """Duration of the run so far, in seconds."""
        return (datetime.now(UTC) - self.started).total_seconds()


def log_entry(entry: Entry, traceback: str = "") -> None:
    """Log the outcome of a recording."""
    fields: dict[str, object] = {"recording": entry.identity.shown, "status": entry.status, "reason": entry.reason}
    fields |= {"traceback": traceback} if traceback else {}
    name, reason_suffix = entry.identity.shown, f" ({entry.reason})" if entry.reason else ""
    if not entry.present:
        log.info("%s: %s", name, entry.reason, extra=fields)
    elif entry.status in FAILURES:
        given_up = " on three days and will not be retried (see --retry-failed)" if entry.status == "given_up" else ""
        log.warning("%s: failed%s: %s", name, given_up, entry.reason, extra=fields)
    elif entry.status == "incomplete":
        log.info("%s: incomplete, waits for the next run: %s", name, entry.reason, extra=fields)
    elif entry.status != "skipped":
        fields["length_s"] = entry.length_s
        log.debug("%s: %s, %s%s", name, entry.status, format_duration(entry.length_s or 0), reason_suffix, extra=fields)


def log_summary(summary: RunSummary) -> None:
    """Log the run summary in one line: a warning if something failed or a signal stopped the run.

    The remarks on settings are logged before it.
    """
    for level, remark in summary.remarks:
        log.log(level, "%s", remark)
    plan, seen = summary.plan, summary.plan.seen
    speed = f", {summary.audio_s / summary.seconds:.0f} x real time" if summary.audio_s else ""
    unreadable = f"{seen.unreadable} of them in formats that this version cannot read, " if seen.unreadable else ""
    counts = {
        f"skipped ({unreadable}see files.csv)": seen.skipped,
        "incomplete": summary.incomplete,
        "vanished": summary.vanished,
        "given up now": summary.statuses["given_up"] + summary.judged["given_up"],
        "given up earlier": plan.given_up,
        "left for the next run": summary.remaining,
    }
    parts = [f"{summary.failures} failed", f"{plan.unchanged} unchanged"]
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    unnamed = summary.failures - len(summary.failed_names)
    more_failures = f" and {unnamed} more" if unnamed else ""
    failed_names = f"; failed: {', '.join(summary.failed_names)}{more_failures}" if summary.failed_names else ""
    signal_number = summary.status - 128
    if signal_number > 0:
        parts.append(f"stopped by {signal.Signals(signal_number).name}")
    log.log(
        logging.WARNING if summary.status == 1 or signal_number > 0 else logging.INFO,
        "analysed %d recordings (%.2f hours) in %s%s; %s%s",
        summary.analysed,
        summary.audio_s / 3600,
        format_duration(summary.seconds),
        speed,
        ", ".join(parts),
        failed_names,
        extra={"exit_status": summary.status, "statuses": dict(summary.statuses), "audio_s": round(summary.audio_s, 3)},
    )


def note_settings(ledger: Ledger, settings: RunSettings, work: JobSettings) -> None:
    """Store the run settings and the facts about the model in the ledger.

    Workbooks show them, and neither may be available any more when a workbook is written.
    """
    model_folder = find_model(work.model)
    models.store_facts(
        ledger, work.fingerprint, read_settings(model_folder), work.sensitivity, read_scores(model_folder)
    )
    fields = {
        "call-emotions": __version__,
        "model": work.model_name,
        "model hash": work.model_hash,
        "time zone": time_zone(ledger).key,
        **{key.replace("_", " "): _as_text(value) for key, value in _reported_settings(settings, work).items()},
    }
    text = json.dumps(fields)
    if text != ledger.state.settings:
        ledger.state.settings = text
        ledger.tables_are_stale()


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _reported_settings(settings: RunSettings, work: JobSettings) -> dict[str, object]:
    """Return the settings that affect the analysis or what the results show."""
    return {
        "prior": work.prior,
        "sensitivity": work.sensitivity,
        "speakers": list(settings.speakers),
        "only": sorted(settings.only),
        "name_pattern": settings.name_pattern.text if settings.name_pattern else None,
        "mask_names": settings.mask_names,
        "min_age": settings.min_age_s,
        **vars(work.speech),
    }


def write_manifest(summary: RunSummary, work: JobSettings, model: models.Facts) -> None:
    """Write run.json: what the run did, with which model and settings; `model` holds the facts about the model."""
    settings, mask = summary.settings, work.mask
    manifest = {
        "version": __version__,
        "python": platform.python_version(),
        "started": summary.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_status": summary.status,
        "inputs": [show(mask.text(text) if mask else text) for text in settings.inputs],
        "model": work.model_name,
        "model_hash": work.model_hash,
        "business_use": model.get("business_use"),
        "licence": model.get("licence", NOT_STATED),
        "analysis_version": ANALYSIS_VERSION,
        "fingerprint": work.fingerprint,
        "settings": _reported_settings(settings, work),
        "jobs": settings.jobs,
        "cluster": settings.cluster,
        "analysed": dict(sorted(summary.statuses.items())),
        "unchanged": summary.plan.unchanged,
        "given_up": summary.plan.given_up,
        "left": summary.remaining,
        "audio_s": round(summary.audio_s, 3),
    }
    write_text(settings.output / tables.MANIFEST, json.dumps(manifest, indent=2) + "\n")


def write_metrics(summary: RunSummary, known: Counter[str]) -> None:
    """Write the metrics file for the node exporter of Prometheus, if the settings name one.

    `known` is the number of recordings in the ledger by status; empty if the ledger could not be read.
    """
    if summary.settings.metrics_file:
        lines = _metrics(summary, known)
        try:
            write_text_or_stream(summary.settings.metrics_file, "".join(f"{line}\n" for line in lines), mode=0o644)
        except CannotWork as error:  # the results are complete all the same, and monitoring notices stale metrics
            log.warning("%s", error)


def _metrics(summary: RunSummary, status_counts: Counter[str]) -> Iterator[str]:
    """Yield the lines of the Prometheus text format."""
    run_statuses = summary.statuses + summary.judged
    metrics: dict[str, tuple[str, float | Counter[str]]] = {
        "last_run_end_timestamp_seconds": ("When the last run ended.", datetime.now(UTC).timestamp()),
        "last_run_duration_seconds": ("How long the last run took.", summary.seconds),
        "last_run_exit_status": ("What the last run ended with.", summary.status),
        "last_run_audio_seconds": ("Sound that the last run analysed.", summary.audio_s),
        "last_run_unchanged_recordings": ("Recordings whose results stood.", summary.plan.unchanged),
        "last_run_incomplete_recordings": ("Files that were still being written.", summary.incomplete),
        "last_run_left_recordings": ("Recordings that the last run left for the next.", summary.remaining),
        "last_run_recordings": ("Recordings of the last run, by what became of them.", run_statuses),
        "known_recordings": ("All recordings that are known, by status.", status_counts),
    }
    for name, (help_text, value) in metrics.items():
        yield f"# HELP call_emotions_{name} {help_text}"
        yield f"# TYPE call_emotions_{name} gauge"
        if isinstance(value, Counter):
            yield from (f'call_emotions_{name}{{status="{status}"}} {count}' for status, count in sorted(value.items()))
        else:
            yield f"call_emotions_{name} {round(value, 3)!r}"
