"""The plan of a run: a comparison of the files below the inputs with the ledger."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analyzer.audio import storage
from analyzer.audio.signatures import UNREADABLE, is_recording_name
from analyzer.audio.storage import Location
from analyzer.batch import relabel
from analyzer.errors import CannotWork, UnreadableRecording
from analyzer.inputs import discovery, system_files
from analyzer.inputs.discovery import NOT_LISTED, Found, Input, copied_name
from analyzer.inputs.metadata import MetadataRow
from analyzer.inputs.resolution import Details, MetadataResolver
from analyzer.names import Identity, show
from analyzer.runtime.isolation import format_error, is_fatal, traceback_of
from analyzer.runtime.signals import StopSignals
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import timeline_path
from analyzer.timeline.roles import Roles

#: Reasons why a recording is pending, in the order in which recordings are analysed.
NEW, CHANGED, INCOMPLETE, FAILED, GIVEN_UP, MISSING, STALE, MASKED, FORCED = REASONS = (
    "new",
    "changed",
    "was incomplete",
    "failed before",
    "was given up",
    "its timeline is missing",
    "made by another model or other settings",
    "its emotions were masked",
    "forced",
)
#: A recording is given up after it has failed on this many days.
DAYS = 3
_NO_AUDIO = "not an audio file, by name and by content"
#: A modification time at most this far in the future comes from a clock that is slightly fast.
_CLOCK_TOLERANCE_S = 24 * 3600


def failed_status(attempts: int) -> str:
    """Return the status of a recording that has failed on this many days in a row."""
    return "given_up" if attempts >= DAYS else "failed"


@dataclass(frozen=True)
class Rules:
    """The rules that decide which recordings are pending.

    Attributes
    ----------
    fingerprint : fingerprint of the model and settings of this run.
    now : start of the run in seconds since 1970.
    today : day of the start, in the time zone of the results, such as 20261124.
    resolver : how recordings are named and where their metadata come from.
    only : roles whose emotions may be inferred, empty for all.
    min_age_s : files that changed less than this many seconds before the run may still be being written.
    version : version of the analysis. Files in object storage that another version skipped for their content are
        opened again, since this version may read more formats.
    looks_again : whether such files are opened again in the input that is walked; `make_plan` sets it.
    force, retry_failed, checksum, follow_links : the options of `analyze`.
    """

    fingerprint: str
    now: float = 0.0
    today: int = 0
    resolver: MetadataResolver = field(default_factory=MetadataResolver)
    only: frozenset[str] = frozenset()
    min_age_s: float = 0.0
    version: str = ""
    looks_again: bool = False
    force: bool = False
    retry_failed: bool = False
    checksum: bool = False
    follow_links: bool = False


@dataclass(frozen=True)
class Job:
    """A recording to analyse: reason, on how many days before `today` it has failed (`attempts`), and its metadata."""

    recording: Found
    reason: str
    attempts: int = 0
    details: Details = field(default_factory=Details)
    today: int = 0

    def entry(self, status: str, reason: str, **columns: Any) -> Entry:
        """Return a ledger entry of the recording with its metadata and the given columns."""
        size, mtime_ns = self.recording.size, self.recording.mtime_ns
        return Entry(self.recording.identity, size, mtime_ns, status, reason, **self.details.columns(), **columns)


@dataclass
class Seen:
    """Counts of the files below the inputs.

    Attributes
    ----------
    recordings, skipped, pruned : number of files that are or may be recordings, of files that are skipped, and of
        files whose results were pruned.
    unreadable : number of skipped files that are recordings in a format which this version cannot read.
    matched, dated : number of recordings whose name matches --name-pattern, and in whose name it finds a date.
    in_future : names of recordings whose time is found to lie in the future for the first time.
    """

    recordings: int = 0
    skipped: int = 0
    unreadable: int = 0
    pruned: int = 0
    matched: int = 0
    dated: int = 0
    in_future: list[str] = field(default_factory=list)

    def count(self, identity: Identity, details: Details, known: Entry | None, verdict: tuple[str, str] | None) -> None:
        """Count a file; `known` is its ledger entry, `verdict` its status and reason if it cannot be analysed."""
        if verdict and verdict[0] == "skipped":
            self.skipped += 1
            self.unreadable += verdict[1].startswith(UNREADABLE)
            return
        self.recordings += 1
        self.matched += details.matched
        self.dated += details.dated
        if details.recorded_from == "run" and not (known and known.recorded_from == "run"):
            self.in_future.append(identity.shown)


@dataclass
class Plan:
    """The work that a run has to do.

    Attributes
    ----------
    jobs : recordings to analyse, in order.
    verdicts : new ledger entries of files that are not analysed: not audio, not readable, or not complete yet.
    amended : entries whose analysis is still valid but whose metadata changed, with their roles.
    gone, back : recordings whose file has vanished or reappeared since the ledger was written.
    dropped : entries to delete from the ledger: of unfinished copies whose temporary name is gone, of folders that can
        be listed again, and of system files that older versions read and that gave no result.
    tracebacks : tracebacks of the verdicts that unexpected errors caused.
    duplicates : duplicate names, of recordings whose name an earlier recording already has (possible after masking).
    unchanged, given_up, waiting : number of recordings whose results are up to date, that are not retried, and that
        are still being written as in the last run.
    looked_into : labels of folders in object storage. After this plan, this version has checked every file there that
        is skipped for its content.
    seen : counts of all files, whatever the plan does with them.
    """

    jobs: list[Job] = field(default_factory=list)
    verdicts: list[Entry] = field(default_factory=list)
    amended: list[tuple[Entry, Roles]] = field(default_factory=list)
    gone: list[Identity] = field(default_factory=list)
    back: list[Identity] = field(default_factory=list)
    dropped: list[Identity] = field(default_factory=list)
    tracebacks: dict[Identity, str] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    unchanged: int = 0
    given_up: int = 0
    waiting: int = 0
    looked_into: list[str] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen, compare=False)


def make_plan(ledger: Ledger, inputs: Sequence[Input], rules: Rules, stop: StopSignals) -> Plan:
    """Compare the files with the ledger and return the plan; nothing is written.

    Raises CannotWork if an input is empty that held recordings before, such as an unmounted share.
    """
    plan, planned = Plan(), dict[Identity, Location]()
    for source in inputs:
        label = rules.resolver.called(Identity(source.label, "")).label
        absent = ledger.identities(label) if source.file is None else set()
        rules = replace(rules, looks_again=ledger.state.storage_version(label) != rules.version)
        if isinstance(source.folder, str) and source.file is None:
            plan.looked_into.append(label)
        found_any, unlisted = False, []
        for found in discovery.walk(source, ledger.output, rules.follow_links):
            stop.check()
            found_any = True
            identity = _result_name(rules.resolver, found.identity)
            absent.discard(identity)
            if found.is_folder:
                unlisted.append(identity)
            if identity not in planned:
                planned[identity] = found.path
                _plan_isolated(plan, found, identity, ledger, rules)
            elif planned[identity] != found.path:
                plan.duplicates.append(identity.shown)
        if not found_any and _contains_recordings(ledger, absent) and not discovery.has_system_files(source):
            raise CannotWork(f"{show(str(source.folder))} is empty, and held recordings before: is it mounted?")
        for identity in absent:
            if not _is_below(identity, unlisted):
                _note_absence(plan, ledger.get(identity))
    plan.jobs.sort(key=_urgency)
    return plan


def _contains_recordings(ledger: Ledger, absent: Iterable[Identity]) -> bool:
    """Whether any of these files was neither a system file without results nor an unlisted folder."""
    return any((entry := ledger.get(identity)) and not _is_obsolete(entry) for identity in absent)


def _is_below(identity: Identity, folders: Sequence[Identity]) -> bool:
    """Whether a file lies in a folder that could not be listed, so that it may still exist."""
    return any(folder.path == "." or identity.path.startswith(f"{folder.path}/") for folder in folders)


def _is_obsolete(entry: Entry) -> bool:
    """Whether the entry of a file that was not found is obsolete; see `Plan.dropped`."""
    if entry.reason.startswith(NOT_LISTED):
        return True
    return system_files.has_system_part(entry.identity.path) and entry.status not in ("ok", "no_speech")


def _note_absence(plan: Plan, entry: Entry | None) -> None:
    """Plan what to do with the entry of a file that was not found: delete it, or mark the file as gone."""
    if entry is None:
        return
    if _is_obsolete(entry) or (entry.present and copied_name(entry.identity.path)):
        plan.dropped.append(entry.identity)
    elif entry.present:
        plan.gone.append(entry.identity)


def _urgency(job: Job) -> tuple[int, int]:
    """Return the sort key of a pending recording: by reason, in the order of `REASONS`.

    Recordings that are stale, masked or forced are sorted by modification time, newest first. All others are sorted by
    file size, largest first, so that no core idles at the end while another has just begun a long recording.
    """
    newest_first = job.reason in (STALE, MASKED, FORCED)
    return REASONS.index(job.reason), -(job.recording.mtime_ns if newest_first else job.recording.size)


def _result_name(resolver: MetadataResolver, identity: Identity) -> Identity:
    """Return the name of a recording in all results; if the name pattern fails on it, dates in it are masked, too."""
    try:
        return resolver.called(identity)
    except Exception:
        return replace(resolver.mask, pattern=None).identity(identity) if resolver.mask else identity


def _plan_isolated(plan: Plan, found: Found, identity: Identity, ledger: Ledger, rules: Rules) -> None:
    """Plan what to do with a file; an error marks only this file as failed, unless it would affect every other file."""
    try:
        _plan_file(plan, found, identity, ledger, rules)
        traceback = found.traceback
    except Exception as error:
        if is_fatal(error, ledger.output):
            raise
        if plan.amended and plan.amended[-1][0].identity == identity:
            plan.amended.pop()
        traceback, entry = traceback_of(error), None
        with suppress(Exception):  # its row in the ledger may be the cause
            entry = ledger.get(identity)
        unchanged_entry = entry if entry and (entry.size, entry.mtime_ns) == (found.size, found.mtime_ns) else None
        details = Details(entry.recorded, entry.recorded_from, (), entry.groups, entry.metadata) if entry else Details()
        job = Job(replace(found, identity=identity), CHANGED, _attempts(unchanged_entry, rules), details, rules.today)
        reason = rules.resolver.masked(f"it cannot be looked at ({format_error(error)})")
        _add_verdict(plan, job, ("failed", reason), unchanged_entry, rules)
    if traceback:
        plan.tracebacks[identity] = rules.resolver.masked(traceback)


def _plan_file(plan: Plan, found: Found, identity: Identity, ledger: Ledger, rules: Rules) -> None:
    """Plan what to do with a file; `identity` is its name in the results."""
    if any(ledger.is_pruned(name, found.size, found.mtime_ns) for name in {identity, found.identity}):
        plan.seen.pruned += 1
        return  # both names are checked: it may have been pruned before names were masked
    entry = ledger.get(identity)
    details = _details(found, entry, rules.resolver)
    found = replace(found, identity=identity)
    if entry and not entry.present:
        plan.back.append(identity)
    unchanged, checksum = _is_unchanged(found, entry, rules)
    unchanged_entry = entry if unchanged else None
    job = Job(found, CHANGED, _attempts(unchanged_entry, rules), details, rules.today)
    verdict = _verdict(found, unchanged_entry, rules)
    plan.seen.count(identity, details, entry, verdict)
    if verdict:
        _add_verdict(plan, job, verdict, unchanged_entry, rules)
        return
    roles = Roles(details.speakers, rules.only)
    if unchanged_entry:
        _queue_update(plan, job, unchanged_entry, roles, checksum)
    reason = CHANGED if entry and not unchanged else _pending_reason(unchanged_entry, roles, ledger.output, rules)
    if reason:
        plan.jobs.append(replace(job, reason=reason))
    elif unchanged_entry and unchanged_entry.status == "given_up":
        plan.given_up += 1
    else:
        plan.unchanged += 1


def _details(found: Found, entry: Entry | None, resolver: MetadataResolver) -> Details:
    """Return the metadata of a file; `found` has its original name, not the masked one."""
    metadata = resolver.metadata_row(found.identity) or (entry.metadata if entry else MetadataRow())
    earlier_day = entry.recorded if entry and entry.recorded_from == "run" else None
    return resolver.not_in_future(resolver.details(found.identity, metadata), found.mtime_ns, earlier_day)


def _is_unchanged(found: Found, entry: Entry | None, rules: Rules) -> tuple[bool, str]:
    """Whether a file is unchanged since the ledger was written, and its checksum.

    The checksum is that of the ledger if it was not computed now, and empty for a new file.
    """
    if entry is None:
        return False, ""
    unchanged = (entry.size, entry.mtime_ns) == (found.size, found.mtime_ns)
    if not rules.checksum or found.problem or found.is_link_out or entry.status == "skipped":
        return unchanged, entry.checksum
    try:
        checksum = storage.digest(found.path)
    except (OSError, UnreadableRecording):
        return unchanged, entry.checksum
    return (checksum == entry.checksum if entry.checksum else unchanged), checksum


def _attempts(entry: Entry | None, rules: Rules) -> int:
    """Return the number of days before today on which a file has failed."""
    if entry is None or entry.status != "failed":
        return 0
    return entry.attempts - (entry.failed_on == rules.today)


def _verdict(found: Found, entry: Entry | None, rules: Rules) -> tuple[str, str] | None:
    """Return the status and reason of a file that cannot be analysed, else None.

    Such a file is no recording, a recording that cannot be read, or not complete yet.
    """
    if found.is_link_out:
        return "skipped", "a link out of the input, which is not followed (see --follow-links)"
    if found.problem:
        return ("failed" if found.named_as_recording or found.is_folder else "skipped"), found.problem
    is_remote = isinstance(found.path, str)  # each read from object storage is a request
    skipped_for_content = entry and entry.status == "skipped" and entry.reason.startswith((_NO_AUDIO, UNREADABLE))
    if entry and is_remote and not rules.looks_again and skipped_for_content:
        return entry.status, entry.reason
    final_name = copied_name(found.identity.path)
    try:
        is_audio = discovery.looks_like_audio(found) or bool(final_name and is_recording_name(final_name))
        unreadable = None if is_audio else discovery.unreadable_format(found)
        reason = f"{UNREADABLE}: {unreadable}" if unreadable else _NO_AUDIO
    except UnreadableRecording as error:
        is_audio, reason = False, f"not named as audio, and {error}"
    if not is_audio:
        return "skipped", reason
    incomplete_reason = _incomplete_reason(found, entry, final_name, rules)
    return ("incomplete", incomplete_reason) if incomplete_reason else None


def _incomplete_reason(found: Found, entry: Entry | None, final_name: str | None, rules: Rules) -> str | None:
    """Return the reason why a file is not complete yet, as far as its name and modification time show it; else None."""
    if final_name:
        return "its name shows that it is still being copied"
    is_settled = entry is not None and entry.status != "incomplete"
    if not is_settled and -_CLOCK_TOLERANCE_S < rules.now - found.mtime_ns / 1e9 < rules.min_age_s:
        return f"it changed less than {rules.min_age_s:g} s before the run"
    return None


def _add_verdict(plan: Plan, job: Job, verdict: tuple[str, str], previous: Entry | None, rules: Rules) -> None:
    """Add the verdict on a file that is not analysed to the plan, unless the ledger holds the same one.

    A failure is always added, since it counts as an attempt, unless the file was given up.
    """
    status, reason = verdict
    attempts, failed_on = 0, 0
    if status == "failed":
        if previous and previous.status == "given_up" and not (rules.retry_failed or rules.force):
            plan.given_up += 1
            return
        attempts, failed_on = job.attempts + 1, job.today
        status = status if job.recording.is_folder else failed_status(attempts)  # a folder is never given up
    elif previous and (previous.status, previous.reason) == verdict:
        plan.waiting += status == "incomplete"
        return
    plan.verdicts.append(job.entry(status, reason, attempts=attempts, failed_on=failed_on))


def _queue_update(plan: Plan, job: Job, previous: Entry, roles: Roles, checksum: str) -> None:
    """Queue a metadata update for a recording whose analysis is still valid."""
    size, mtime_ns = job.recording.size, job.recording.mtime_ns
    entry = replace(previous, size=size, mtime_ns=mtime_ns, checksum=checksum, present=True, **job.details.columns())
    if replace(entry, present=previous.present) != previous or relabel.needs_relabel(previous, roles):
        plan.amended.append((entry, roles))


def _pending_reason(entry: Entry | None, roles: Roles, output: Path, rules: Rules) -> str | None:
    """Return the reason why a new or unchanged file is pending, else None; `entry` is None for a new file."""
    if entry is None:
        return NEW
    if entry.status == "given_up":
        return GIVEN_UP if rules.retry_failed or rules.force else None
    if entry.status in ("failed", "incomplete"):
        return FAILED if entry.status == "failed" else INCOMPLETE
    reasons = {
        MISSING: not timeline_path(output, entry.identity).is_file(),
        STALE: entry.fingerprint != rules.fingerprint,
        MASKED: relabel.lacks_emotions(entry, roles),
        FORCED: rules.force,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
