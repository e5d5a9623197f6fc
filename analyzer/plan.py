"""What a run has to do: the files that are there, against what the ledger knows of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analyzer import discovery
from analyzer.discovery import Found, Input
from analyzer.errors import CannotWork, UnreadableRecording
from analyzer.ledger import Entry, Ledger
from analyzer.names import Identity, show

#: Why a recording is due, in the order in which they are analysed.
NEW, CHANGED, FAILED, MISSING, STALE, FORCED = REASONS = (
    "new",
    "changed",
    "failed before",
    "its timeline is missing",
    "made by another model or other settings",
    "forced",
)


@dataclass(frozen=True)
class Due:
    """A recording to analyse, why, and how often in a row it has failed before."""

    found: Found
    why: str
    attempts: int = 0


@dataclass
class Plan:
    """What a run has to do.

    Attributes
    ----------
    due : recordings to analyse, in order.
    verdicts : ledger entries of files that need no look inside: not audio, or not to be opened.
    gone, back : recordings whose file has vanished or come back since the ledger was written.
    unchanged : number of recordings whose results stand.
    """

    due: list[Due] = field(default_factory=list)
    verdicts: list[Entry] = field(default_factory=list)
    gone: list[Identity] = field(default_factory=list)
    back: list[Identity] = field(default_factory=list)
    unchanged: int = 0


def timeline_path(output: Path, identity: Identity) -> Path:
    """Where the timeline of a recording lies."""
    return identity.result_path(output / "timelines", ".csv")


def make_plan(ledger: Ledger, inputs: Sequence[Input], output: Path, fingerprint: str, force: bool) -> Plan:
    """Compare files and ledger; nothing is written.

    Raises CannotWork where an input is empty that held recordings before, as an unmounted share is.
    """
    plan, done = Plan(), set()
    for source in inputs:
        known = ledger.identities(source.label) if source.file is None else set()
        found_any = False
        for found in discovery.walk(source, output):
            found_any = True
            known.discard(found.identity)
            if found.identity not in done:
                done.add(found.identity)
                _sort_in(plan, found, ledger.get(found.identity), output, fingerprint, force)
        if known and not found_any:
            raise CannotWork(f"{show(str(source.folder))} is empty, and held recordings before: is it mounted?")
        plan.gone += [identity for identity in known if _present(ledger, identity)]
    plan.due.sort(key=_urgency)
    return plan


def _present(ledger: Ledger, identity: Identity) -> bool:
    entry = ledger.get(identity)
    return entry is not None and entry.present


def _urgency(due: Due) -> tuple[int, int]:
    """New first, then changed and so on; of what only another model made, the newest first.

    Of all else the longest first, so that no core idles at the end while another has just begun with it.
    """
    return REASONS.index(due.why), -(due.found.mtime_ns if due.why in (STALE, FORCED) else due.found.size)


def _sort_in(plan: Plan, found: Found, known: Entry | None, output: Path, fingerprint: str, force: bool) -> None:
    if known and not known.present:
        plan.back.append(found.identity)
    same = known is not None and (known.size, known.mtime_ns) == (found.size, found.mtime_ns)
    if known and same and known.status == "skipped":
        return
    verdict = _verdict(found, known)
    if verdict:
        plan.verdicts.append(verdict)
        return
    why = _why_due(found, known if same else None, output, fingerprint, force)
    if known and not same:
        why = CHANGED
    if why:
        plan.due.append(Due(found, why, known.attempts if known and same else 0))
    else:
        plan.unchanged += 1


def _verdict(found: Found, known: Entry | None) -> Entry | None:
    """The entry of a file that is no recording, or none that can be opened."""
    if found.problem:
        failed = found.named_as_recording or found.is_folder
        status, reason = ("failed" if failed else "skipped"), found.problem
    else:
        try:
            if discovery.looks_like_audio(found):
                return None
            status, reason = "skipped", "no audio: neither by its name nor by its content"
        except UnreadableRecording as error:
            status, reason = "skipped", f"not named as audio, and {error}"
    attempts = known.attempts + 1 if known and status == "failed" else int(status == "failed")
    return Entry(found.identity, found.size, found.mtime_ns, status, reason, attempts=attempts)


def _why_due(found: Found, known: Entry | None, output: Path, fingerprint: str, force: bool) -> str | None:
    """Why an unchanged file is due; `known` is None for a new one."""
    if known is None:
        return NEW
    if known.status == "failed":
        return FAILED
    if not timeline_path(output, found.identity).is_file():
        return MISSING
    if known.fingerprint != fingerprint:
        return STALE
    return FORCED if force else None
