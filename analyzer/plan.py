"""What a run has to do: the files that are there, against what the ledger knows of them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analyzer import discovery, relabel, storage, system_files
from analyzer.details import Details, Naming
from analyzer.discovery import NOT_LISTED, Found, Input, copied_name
from analyzer.entry import Entry
from analyzer.errors import CannotWork, UnreadableRecording
from analyzer.isolation import in_words, is_machines, traceback_of
from analyzer.ledger import Ledger
from analyzer.metadata import Told
from analyzer.names import Identity, show
from analyzer.outputs import timeline_path
from analyzer.roles import Roles
from analyzer.signals import StopSignals
from analyzer.signatures import UNREADABLE
from analyzer.storage import Location

#: Why a recording is due, in the order in which they are analysed.
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
#: Days on which a recording may fail before it is given up.
DAYS = 3
_NO_AUDIO = "no audio: neither by its name nor by its content"
#: A time of change in the future by no more than this comes from a clock that is a little ahead.
_CLOCKS_DIFFER_S = 24 * 3600


def looked_key(label: str) -> str:
    """The note of the ledger that says which version has looked into the files of a label in object storage."""
    return f"looked into {os.fsencode(label).hex()}"


def failed_status(attempts: int) -> str:
    """The status of a recording that has failed on so many days in a row."""
    return "given_up" if attempts >= DAYS else "failed"


@dataclass(frozen=True)
class Rules:
    """What decides which recordings are due.

    Attributes
    ----------
    fingerprint : of the model and settings of this run.
    now : seconds since 1970, when the run began.
    today : the day then, in the time zone of the results, such as 20261124.
    naming : what recordings are called, and what is known of them besides their sound.
    only : roles whose emotions may be inferred, empty for all.
    min_age_s : files that changed later than so long ago are still being written.
    version : of the analysis. Files in object storage that another version skipped for their content are opened again,
        since this one may read more formats.
    looks_again : whether that is so for the input that is walked; `make_plan` sets it.
    force, retry_failed, checksum, follow_links : as the options of `analyze`.
    """

    fingerprint: str
    now: float = 0.0
    today: int = 0
    naming: Naming = field(default_factory=Naming)
    only: frozenset[str] = frozenset()
    min_age_s: float = 0.0
    version: str = ""
    looks_again: bool = False
    force: bool = False
    retry_failed: bool = False
    checksum: bool = False
    follow_links: bool = False


@dataclass(frozen=True)
class Due:
    """A recording to analyse, why, on how many days before `today` it has failed, and what is known of it."""

    found: Found
    why: str
    attempts: int = 0
    details: Details = field(default_factory=Details)
    today: int = 0


@dataclass
class Seen:
    """The files below the inputs, counted.

    Attributes
    ----------
    recordings, skipped, pruned : number of files that are or may be recordings, that are not read, and whose results
        were pruned.
    unreadable : number of those skipped that are recordings in a format which this version cannot read.
    matched, dated : number of recordings whose name --name-pattern matches, and finds a date in.
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
        """Count a file; `known` is what the ledger knows of it, `verdict` its status and reason if it is not opened."""
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
    """What a run has to do.

    Attributes
    ----------
    due : recordings to analyse, in order.
    verdicts : ledger entries of files that need no look inside: not audio, not to be opened, or not whole yet.
    amended : entries whose analysis stands and of which something else is told now, and their roles.
    gone, back : recordings whose file has vanished or come back since the ledger was written.
    dropped : entries to delete from the ledger: of copies that have arrived under their name, of folders that can be
        listed again, and of files of the system that older versions looked at and that gave no result.
    tracebacks : of verdicts over errors that were not foreseen, where these come from.
    doubles : what recordings would be called whose name is that of another already, as two masked ones may be.
    unchanged, given_up, waiting : number of recordings whose results stand, that are not tried any more, and that are
        still being written as in the last run.
    looked_into : labels of folders in object storage, in which by now every file that was skipped for its content was
        so by this version.
    seen : what files were seen, whatever is to be done about them.
    """

    due: list[Due] = field(default_factory=list)
    verdicts: list[Entry] = field(default_factory=list)
    amended: list[tuple[Entry, Roles]] = field(default_factory=list)
    gone: list[Identity] = field(default_factory=list)
    back: list[Identity] = field(default_factory=list)
    dropped: list[Identity] = field(default_factory=list)
    tracebacks: dict[Identity, str] = field(default_factory=dict)
    doubles: list[str] = field(default_factory=list)
    unchanged: int = 0
    given_up: int = 0
    waiting: int = 0
    looked_into: list[str] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen, compare=False)


def make_plan(ledger: Ledger, inputs: Sequence[Input], output: Path, rules: Rules, stop: StopSignals) -> Plan:
    """Compare files and ledger; nothing is written.

    Raises CannotWork where an input is empty that held recordings before, as an unmounted share is.
    """
    plan, done = Plan(), dict[Identity, Location]()
    for source in inputs:
        label = rules.naming.called(Identity(source.label, "")).label
        known = ledger.identities(label) if source.file is None else set()
        rules = replace(rules, looks_again=ledger.note(looked_key(label)) != rules.version)
        if isinstance(source.folder, str) and source.file is None:
            plan.looked_into.append(label)
        found_any, unlisted = False, []
        for found in discovery.walk(source, output, rules.follow_links):
            stop.check()
            found_any = True
            identity = _called(rules.naming, found.identity)
            known.discard(identity)
            if found.is_folder:
                unlisted.append(identity)
            if identity not in done:
                done[identity] = found.path
                _sort_in_alone(plan, found, identity, ledger, output, rules)
            elif done[identity] != found.path:
                plan.doubles.append(identity.shown)
        if not found_any and _held_recordings(ledger, known) and not discovery.has_system_files(source):
            raise CannotWork(f"{show(str(source.folder))} is empty, and held recordings before: is it mounted?")
        for identity in known:
            if not _is_below(identity, unlisted):
                _note_absence(plan, ledger.get(identity))
    plan.due.sort(key=_urgency)
    return plan


def _held_recordings(ledger: Ledger, absent: Iterable[Identity]) -> bool:
    """Whether any of these files was more than a file of the system or a folder."""
    return any((entry := ledger.get(identity)) and not _is_obsolete(entry) for identity in absent)


def _is_below(identity: Identity, folders: Sequence[Identity]) -> bool:
    """Whether a file lies in a folder that could not be listed, so that nothing is known of it now."""
    return any(folder.path == "." or identity.path.startswith(f"{folder.path}/") for folder in folders)


def _is_obsolete(entry: Entry) -> bool:
    """Whether the entry of a file that was not found is of no use any more; see `Plan.dropped`."""
    if entry.reason.startswith(NOT_LISTED):
        return True
    return system_files.is_below_one(entry.identity.path) and entry.status not in ("ok", "no_speech")


def _note_absence(plan: Plan, entry: Entry | None) -> None:
    """Note what becomes of the entry of a file that was not found."""
    if entry is None:
        return
    if _is_obsolete(entry) or (entry.present and copied_name(entry.identity.path)):
        plan.dropped.append(entry.identity)
    elif entry.present:
        plan.gone.append(entry.identity)


def _urgency(due: Due) -> tuple[int, int]:
    """New first, then changed and so on; of what only another model made, the newest first.

    Of all else the longest first, so that no core idles at the end while another has just begun with it.
    """
    newest_first = due.why in (STALE, MASKED, FORCED)
    return REASONS.index(due.why), -(due.found.mtime_ns if newest_first else due.found.size)


def _called(naming: Naming, identity: Identity) -> Identity:
    """The name of a recording in every result; where the name pattern fails over it, dates in it are masked, too."""
    try:
        return naming.called(identity)
    except Exception:
        return replace(naming.mask, pattern=None).identity(identity) if naming.mask else identity


def _sort_in_alone(plan: Plan, found: Found, identity: Identity, ledger: Ledger, output: Path, rules: Rules) -> None:
    """Find out what to do with a file; one over which that fails has failed itself, and the others go on."""
    try:
        _sort_in(plan, found, identity, ledger, output, rules)
        where = found.traceback
    except Exception as error:
        if is_machines(error, output):
            raise
        if plan.amended and plan.amended[-1][0].identity == identity:
            plan.amended.pop()
        known, where = _known(ledger, identity), traceback_of(error)
        before = known if known and (known.size, known.mtime_ns) == (found.size, found.mtime_ns) else None
        details = Details(known.recorded, known.recorded_from, (), known.groups, known.told) if known else Details()
        item = Due(replace(found, identity=identity), CHANGED, _attempts(before, rules), details, rules.today)
        reason = f"it cannot be looked at ({in_words(error)})"
        _judge(plan, item, ("failed", rules.naming.mask.text(reason) if rules.naming.mask else reason), before, rules)
    if where:
        plan.tracebacks[identity] = rules.naming.mask.text(where) if rules.naming.mask else where


def _known(ledger: Ledger, identity: Identity) -> Entry | None:
    """What is known of a recording; None where its row in the ledger cannot be read."""
    try:
        return ledger.get(identity)
    except Exception:
        return None


def _sort_in(plan: Plan, found: Found, identity: Identity, ledger: Ledger, output: Path, rules: Rules) -> None:
    """Find out what to do with a file; `identity` is what it is called in results."""
    if any(ledger.is_pruned(name, found.size, found.mtime_ns) for name in {identity, found.identity}):
        plan.seen.pruned += 1
        return  # perhaps when names were not masked yet
    known = ledger.get(identity)
    details = _details(found, known, rules.naming)
    found = replace(found, identity=identity)
    if known and not known.present:
        plan.back.append(identity)
    same, checksum = _is_same(found, known, rules)
    before = known if same else None
    attempts = _attempts(before, rules)
    verdict = _verdict(found, before, rules)
    plan.seen.count(identity, details, known, verdict)
    if verdict:
        _judge(plan, Due(found, CHANGED, attempts, details, rules.today), verdict, before, rules)
        return
    roles = Roles(details.speakers, rules.only)
    if before:
        _amend(plan, before, found, details, roles, checksum)
    why = CHANGED if known and not same else _why_due(found, before, roles, output, rules)
    if why:
        plan.due.append(Due(found, why, attempts, details, rules.today))
    elif before and before.status == "given_up":
        plan.given_up += 1
    else:
        plan.unchanged += 1


def _details(found: Found, known: Entry | None, naming: Naming) -> Details:
    """What is known of a file besides its sound; `found` has the name that it has itself."""
    told = naming.told(found.identity) or (known.told if known else Told())
    earlier = known.recorded if known and known.recorded_from == "run" else None
    return naming.not_in_future(naming.details(found.identity, told), found.mtime_ns, earlier)


def _is_same(found: Found, known: Entry | None, rules: Rules) -> tuple[bool, str]:
    """Whether a file is the one that the ledger knows, and its checksum where that was looked at."""
    if known is None:
        return False, ""
    same = (known.size, known.mtime_ns) == (found.size, found.mtime_ns)
    if not rules.checksum or found.problem or found.is_link_out or known.status == "skipped":
        return same, known.checksum
    try:
        checksum = storage.digest(found.path)
    except (OSError, UnreadableRecording):
        return same, known.checksum
    return (checksum == known.checksum if known.checksum else same), checksum


def _attempts(known: Entry | None, rules: Rules) -> int:
    """On how many days before today a file has failed."""
    if known is None or known.status != "failed":
        return 0
    return known.attempts - (known.failed_on == rules.today)


def _verdict(found: Found, known: Entry | None, rules: Rules) -> tuple[str, str] | None:
    """Status and reason of a file that need not be opened: no recording, none that can be read, or not whole yet."""
    if found.is_link_out:
        return "skipped", "a link out of the input, which is not followed (see --follow-links)"
    if found.problem:
        return ("failed" if found.named_as_recording or found.is_folder else "skipped"), found.problem
    is_remote = isinstance(found.path, str)  # each look into object storage is a request
    if known and is_remote and not rules.looks_again and _was_skipped_for_content(known):
        return known.status, known.reason
    whole_name = copied_name(found.identity.path)
    try:
        is_audio = discovery.looks_like_audio(found) or bool(whole_name and discovery.is_recording_name(whole_name))
        unreadable = None if is_audio else discovery.unreadable_format(found)
        reason = f"{UNREADABLE}: {unreadable}" if unreadable else _NO_AUDIO
    except UnreadableRecording as error:
        is_audio, reason = False, f"not named as audio, and {error}"
    waits = _why_waiting(found, known, whole_name, rules)
    return ("skipped", reason) if not is_audio else ("incomplete", waits) if waits else None


def _was_skipped_for_content(known: Entry) -> bool:
    return known.status == "skipped" and (known.reason == _NO_AUDIO or known.reason.startswith(UNREADABLE))


def _why_waiting(found: Found, known: Entry | None, whole_name: str | None, rules: Rules) -> str | None:
    """Why a file is not whole yet, as far as that can be told without opening it."""
    if whole_name:
        return "its name says that it is still being copied"
    is_settled = known is not None and known.status != "incomplete"
    if not is_settled and -_CLOCKS_DIFFER_S < rules.now - found.mtime_ns / 1e9 < rules.min_age_s:
        return f"it changed less than {rules.min_age_s:g} s before the run"
    return None


def _judge(plan: Plan, item: Due, verdict: tuple[str, str], known: Entry | None, rules: Rules) -> None:
    """Note what was found out of a file that is not opened, where that is news."""
    status, reason = verdict
    found, attempts, failed_on = item.found, 0, 0
    if status == "failed":
        if known and known.status == "given_up" and not (rules.retry_failed or rules.force):
            plan.given_up += 1
            return
        attempts, failed_on = item.attempts + 1, item.today
        status = status if found.is_folder else failed_status(attempts)  # never silent about a whole folder
    elif known and (known.status, known.reason) == verdict:
        plan.waiting += status == "incomplete"
        return
    entry = Entry(found.identity, found.size, found.mtime_ns, status, reason, attempts=attempts, failed_on=failed_on)
    plan.verdicts.append(replace(entry, **item.details.columns()))


def _amend(plan: Plan, known: Entry, found: Found, details: Details, roles: Roles, checksum: str) -> None:
    """Note what is told otherwise of a recording whose analysis stands."""
    entry = replace(
        known,
        size=found.size,
        mtime_ns=found.mtime_ns,
        checksum=checksum,
        present=True,
        **details.columns(),
    )
    if replace(entry, present=known.present) != known or relabel.is_told_otherwise(known, roles):
        plan.amended.append((entry, roles))


def _why_due(found: Found, known: Entry | None, roles: Roles, output: Path, rules: Rules) -> str | None:
    """Why an unchanged file is due; `known` is None for a new one."""
    if known is None:
        return NEW
    if known.status == "given_up":
        return GIVEN_UP if rules.retry_failed or rules.force else None
    if known.status in ("failed", "incomplete"):
        return FAILED if known.status == "failed" else INCOMPLETE
    reasons = {
        MISSING: not timeline_path(output, found.identity).is_file(),
        STALE: known.fingerprint != rules.fingerprint,
        MASKED: relabel.lacks_emotions(known, roles),
        FORCED: rules.force,
    }
    return next((why for why, is_so in reasons.items() if is_so), None)
