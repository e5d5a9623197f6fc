"""Run summary: a log line per recording, a final log line, run.json and Prometheus metrics."""

import json
import logging
import platform
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from analyzer import __version__
from analyzer.classifier import NOT_STATED, find_model, read_scores, read_settings
from analyzer.entry import Entry
from analyzer.errors import CannotWork
from analyzer.isolation import Failure
from analyzer.ledger import Ledger
from analyzer.logs import LOGGER
from analyzer.names import show
from analyzer.outputs import write_text, write_text_or_stream
from analyzer.plan import Plan
from analyzer.recording import ANALYSIS_VERSION
from analyzer.report import models, tables
from analyzer.settings import RunSettings
from analyzer.stream import clock
from analyzer.work import Work

log = logging.getLogger(LOGGER)

FAILURES = ("failed", "given_up")
#: Maximum number of failed recordings that the final log line names.
_NAMED = 5
_METRICS = "call_emotions"


@dataclass
class Account:
    """Counts of what a run has done so far. Its size does not grow with the number of recordings.

    Attributes
    ----------
    status : exit status, as far as it is known.
    statuses : number of recordings that workers processed, by status.
    audio_s : seconds of audio in them.
    judged : number of files that were not opened, by status.
    vanished : number of recordings that were gone before they could be read.
    failures, named : number of recordings that failed in this run, analysed or not, and the names of the first ones.
    due, unchanged, given_up, waiting, skipped, unreadable : counts from `Plan` and `Seen`; `due` is a number here.
    with_speech, inferred : number of analysed recordings that contain speech, and for which emotions were inferred.
    most_channels : highest number of channels of an analysed recording.
    remarks : log level and message of remarks on settings without effect, logged at the end.
    """

    settings: RunSettings
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    audio_s: float = 0.0
    judged: Counter[str] = field(default_factory=Counter)
    vanished: int = 0
    failures: int = 0
    named: list[str] = field(default_factory=list)
    due: int = 0
    unchanged: int = 0
    given_up: int = 0
    waiting: int = 0
    skipped: int = 0
    unreadable: int = 0
    with_speech: int = 0
    inferred: int = 0
    most_channels: int = 0
    remarks: list[tuple[int, str]] = field(default_factory=list)

    def begin(self, plan: Plan) -> None:
        """Take the counts of the plan, and count its name collisions as failures."""
        self.due, self.unchanged = len(plan.due), plan.unchanged
        self.given_up, self.waiting = plan.given_up, plan.waiting
        self.skipped, self.unreadable = plan.seen.skipped, plan.seen.unreadable
        for double in plan.doubles:
            log.warning("%s: failed: another recording is called so, too", double)
            self._name(double)

    def judge(self, entry: Entry, traceback: str = "") -> None:
        """Log and count a file that was not opened; `traceback` is that of an unexpected error."""
        tell(entry, traceback)
        self.judged[entry.status] += 1
        if entry.status in FAILURES:
            self._name(entry.identity.shown)

    def fail_all(self, failures: Iterable[Failure]) -> None:
        """Log and count failures with the results of files, in addition to the counts by status."""
        for failure in failures:
            failure.tell()
            self._name(failure.name)

    def count(self, entry: Entry, traceback: str = "") -> None:
        """Log and count a recording that a worker processed."""
        tell(entry, traceback)
        if not entry.present:
            self.vanished += 1
            return
        self.statuses[entry.status] += 1
        self.audio_s += entry.length_s or 0
        self.with_speech += entry.status == "ok"
        self.inferred += any(not figures.get("masked") for figures in (entry.figures or {}).values())
        self.most_channels = max(self.most_channels, entry.channels or 0)
        if entry.status in FAILURES:
            self._name(entry.identity.shown)

    def _name(self, shown: str) -> None:
        self.failures += 1
        self.status = self.status or 1
        if len(self.named) < _NAMED:
            self.named.append(shown)

    @property
    def left(self) -> int:
        """Number of pending recordings that were not started or not finished."""
        return self.due - self.statuses.total() - self.vanished

    @property
    def analysed(self) -> int:
        """Number of recordings that were analysed or whose analysis failed."""
        return self.statuses.total() - self.statuses["incomplete"]

    @property
    def incomplete(self) -> int:
        """Number of files that are still being written."""
        return self.statuses["incomplete"] + self.judged["incomplete"] + self.waiting

    @property
    def seconds(self) -> float:
        """Duration of the run so far, in seconds."""
        return (datetime.now(UTC) - self.started).total_seconds()


def tell(entry: Entry, traceback: str = "") -> None:
    """Log the outcome of a recording."""
    about: dict[str, object] = {"recording": entry.identity.shown, "status": entry.status, "reason": entry.reason}
    about |= {"traceback": traceback} if traceback else {}
    name, note = entry.identity.shown, f" ({entry.reason})" if entry.reason else ""
    if not entry.present:
        log.info("%s: %s", name, entry.reason, extra=about)
    elif entry.status in FAILURES:
        given_up = " for the last time (see --retry-failed)" if entry.status == "given_up" else ""
        log.warning("%s: failed%s: %s", name, given_up, entry.reason, extra=about)
    elif entry.status == "incomplete":
        log.info("%s: incomplete, waits for the next run: %s", name, entry.reason, extra=about)
    elif entry.status != "skipped":
        about["length_s"] = entry.length_s
        log.debug("%s: %s, %s%s", name, entry.status, clock(entry.length_s or 0), note, extra=about)


def tell_end(account: Account) -> None:
    """Log the run summary in one line: a warning if something failed or a signal stopped the run.

    The remarks on settings are logged before it.
    """
    for level, remark in account.remarks:
        log.log(level, "%s", remark)
    speed = f", {account.audio_s / account.seconds:.0f} x real time" if account.audio_s else ""
    parts = [f"{account.failures} failed", f"{account.unchanged} unchanged"]
    unreadable = (
        f"{account.unreadable} of them in formats that this version cannot read, " if account.unreadable else ""
    )
    parts += [f"{account.skipped} skipped ({unreadable}see files.csv)"] if account.skipped else []
    parts += [f"{account.incomplete} incomplete"] if account.incomplete else []
    parts += [f"{account.vanished} vanished"] if account.vanished else []
    now = account.statuses["given_up"] + account.judged["given_up"]
    parts += [f"{now} given up now"] if now else []
    parts += [f"{account.given_up} given up earlier"] if account.given_up else []
    parts += [f"{account.left} left for the next run"] if account.left else []
    more = f" and {account.failures - len(account.named)} more" if account.failures > len(account.named) else ""
    named = f"; failed: {', '.join(account.named)}{more}" if account.named else ""
    stopped = account.status - 128
    if stopped > 0:
        parts.append(f"stopped by {signal.Signals(stopped).name}")
    log.log(
        logging.WARNING if account.status == 1 or stopped > 0 else logging.INFO,
        "analysed %d recordings (%.2f hours) in %s%s; %s%s",
        account.analysed,
        account.audio_s / 3600,
        clock(account.seconds),
        speed,
        ", ".join(parts),
        named,
        extra={"exit_status": account.status, "statuses": dict(account.statuses), "audio_s": round(account.audio_s, 3)},
    )


def note_settings(ledger: Ledger, settings: RunSettings, work: Work) -> None:
    """Store the run settings and the facts about the model in the ledger.

    Workbooks show them, and neither may be available any more when a workbook is written.
    """
    folder = find_model(work.model)
    models.remember(ledger, work.fingerprint, read_settings(folder), work.sensitivity, read_scores(folder))
    told = {
        "call-emotions": __version__,
        "model": work.model_name,
        "model hash": work.model_hash,
        "time zone": tables.time_zone(ledger).key,
        **{key.replace("_", " "): _in_words(value) for key, value in _asked(settings, work).items()},
    }
    text = json.dumps(told)
    if text != ledger.note("settings"):
        ledger.remember("settings", text)
        ledger.tables_are_stale()


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _asked(settings: RunSettings, work: Work) -> dict[str, object]:
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


def write_manifest(account: Account, work: Work, model: models.Facts) -> None:
    """Write run.json: what the run did, with which model and settings; `model` holds the facts about the model."""
    settings, mask = account.settings, work.mask
    manifest = {
        "version": __version__,
        "python": platform.python_version(),
        "started": account.started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_status": account.status,
        "inputs": [show(mask.text(text) if mask else text) for text in settings.inputs],
        "model": work.model_name,
        "model_hash": work.model_hash,
        "business_use": model.get("business_use"),
        "licence": model.get("licence", NOT_STATED),
        "analysis_version": ANALYSIS_VERSION,
        "fingerprint": work.fingerprint,
        "settings": _asked(settings, work),
        "jobs": settings.jobs,
        "cluster": settings.cluster,
        "analysed": dict(sorted(account.statuses.items())),
        "unchanged": account.unchanged,
        "given_up": account.given_up,
        "left": account.left,
        "audio_s": round(account.audio_s, 3),
    }
    write_text(settings.output / tables.MANIFEST, json.dumps(manifest, indent=2) + "\n")


def write_metrics(account: Account, known: Counter[str]) -> None:
    """Write the metrics file for the node exporter of Prometheus, if the settings name one.

    `known` is the number of recordings in the ledger by status; empty if the ledger could not be read.
    """
    if account.settings.metrics_file:
        lines = _metrics(account, known)
        try:
            write_text_or_stream(account.settings.metrics_file, "".join(f"{line}\n" for line in lines), mode=0o644)
        except CannotWork as error:  # the results are complete all the same, and monitoring notices stale metrics
            log.warning("%s", error)


def _metrics(account: Account, known: Counter[str]) -> Iterator[str]:
    """Yield the lines of the Prometheus text format."""
    run = {
        "end_timestamp_seconds": ("When the last run ended.", datetime.now(UTC).timestamp()),
        "duration_seconds": ("How long the last run took.", account.seconds),
        "exit_status": ("What the last run ended with.", account.status),
        "audio_seconds": ("Sound that the last run analysed.", account.audio_s),
        "unchanged_recordings": ("Recordings whose results stood.", account.unchanged),
        "incomplete_recordings": ("Files that were still being written.", account.incomplete),
        "left_recordings": ("Recordings that the last run left for the next.", account.left),
    }
    for name, (help_text, value) in run.items():
        yield from _metric(f"last_run_{name}", help_text, {"": value})
    run_statuses = account.statuses + account.judged
    by_status = {f'{{status="{status}"}}': count for status, count in sorted(run_statuses.items())}
    yield from _metric("last_run_recordings", "Recordings of the last run, by what became of them.", by_status)
    by_status = {f'{{status="{status}"}}': count for status, count in sorted(known.items())}
    yield from _metric("known_recordings", "All recordings that are known, by status.", by_status)


def _metric(name: str, help_text: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {_METRICS}_{name} {help_text}"
    yield f"# TYPE {_METRICS}_{name} gauge"
    yield from (f"{_METRICS}_{name}{labels} {round(value, 3)!r}" for labels, value in values.items())
