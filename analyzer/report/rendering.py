"""Files of each recording for people and for other tools, made from its timeline and its ledger entry.

The ledger stores in which formats the files of a recording are up to date. So only stale files are written, a killed
run resumes where it stopped, and a format that is added later needs no audio.
"""

import logging
import re
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from analyzer import __version__, envelope, storage, workers
from analyzer.entry import Entry
from analyzer.errors import CallEmotionsError
from analyzer.formats import EXTENSIONS
from analyzer.isolation import Failure, in_words, is_machines, isolated, traceback_of
from analyzer.ledger import Ledger
from analyzer.logs import LOGGER
from analyzer.names import Identity, show
from analyzer.outputs import clear_unfinished, format_path, format_paths, read_timeline, replacing, timeline_path
from analyzer.report import models, opus, page, tables
from analyzer.report.selection import LATEST, Selection, stored_mask
from analyzer.report.summary import HEARD
from analyzer.signals import StopSignals
from analyzer.storage import Location
from analyzer.timeline import Sketch, Timeline

log = logging.getLogger(LOGGER)

#: Version of the appearance of files. Increase it by hand when that changes; all files are then written again.
_LOOK = f"{__version__}.2"
#: A page with embedded audio, which the ledger stores as a format of its own.
_WITH_SOUND = "html with sound"
#: Recordings that one ledger transaction marks as written. After a killed run at most so many are written again.
_TOGETHER = 10
#: Minimum number of recordings for which starting worker processes is worthwhile.
_FEW = 8
#: Prefix, in the reason of a ledger entry, of why the files of a recording are not written.
_PROBLEM = "pages and the like are not written: "
_EMBEDDED = re.compile(rb'src="(data:audio/ogg;base64,[A-Za-z0-9+/=]*)"')


@dataclass(frozen=True)
class Task:
    """Everything that a worker needs to write the files of one recording.

    `sound` is the location of the recording, None if it must not be revealed or is unknown. `embed` asks for embedded
    audio in the page. `sensitivity` is that of the run that analysed the recording, empty if unknown.
    """

    output: Path
    entry: Entry
    sketch: Sketch | None
    recorded: str
    formats: frozenset[str]
    sound: Location | None
    embed: bool
    sensitivity: str = ""


class Outcome(NamedTuple):
    """Result of a task: the problem that kept it from being done, or else an oddity of what was written.

    `traceback` says where an unexpected error comes from.
    """

    problem: str = ""
    oddity: str = ""
    traceback: str = ""


_DIED = Outcome("the process that wrote its pages and the like died twice: is memory short?")


def bring_up_to_date(
    ledger: Ledger,
    output: Path,
    formats: Collection[str],
    processes: int,
    stop: StopSignals,
    *,
    embed: bool = False,
    selection: Selection = LATEST,
    check: bool = False,
) -> int:
    """Write the files that are missing or stale; return the number of recordings that could not be written.

    `check` looks whether files written earlier still exist. Why a recording could not be written is logged as a
    warning, and is part of the reason in its ledger entry until it is written.
    """
    wanted = frozenset(formats) & EXTENSIONS.keys()
    if ledger.note("look") != _LOOK:
        ledger.nothing_is_written()
        ledger.remember("look", _LOOK)
    if not wanted:
        return 0
    failures, done = list[Failure](), list[Identity]()
    failed = 0
    names = wanted | ({_WITH_SOUND} if embed and "html" in wanted else set())
    tasks = _tasks(ledger, output, wanted, names, embed, selection, check, failures)
    try:
        with closing(tasks), closing(_written(tasks, processes, stop)) as written:
            for task, outcome in written:
                if said := outcome.problem or outcome.oddity:
                    log.warning("%s: %s", task.entry.identity.shown, said, extra={"traceback": outcome.traceback})
                _note(ledger, task.entry, outcome.problem)
                if outcome.problem:
                    failed += 1
                else:
                    done.append(task.entry.identity)
                if len(done) >= _TOGETHER:
                    ledger.note_written(done, names)
                    done = []
                stop.check()
    finally:
        ledger.note_written(done, names)
    for failure in failures:
        failure.tell()
    return failed + len(failures)


def _note(ledger: Ledger, entry: Entry, problem: str) -> None:
    """Add a problem to the reason in the ledger entry of a recording, or remove the earlier one if there is none."""
    mask, before = stored_mask(ledger), without_problem(entry.reason)
    told = f"{_PROBLEM}{mask.text(problem) if mask else problem}" if problem else ""
    reason = "; ".join(filter(None, (before, told)))
    if reason != entry.reason:
        ledger.note_reason(entry.identity, reason)


def without_problem(reason: str) -> str:
    """Return the reason in a ledger entry without the problem of writing files."""
    return reason.partition(_PROBLEM)[0].removesuffix("; ")


def _tasks(
    ledger: Ledger,
    output: Path,
    wanted: frozenset[str],
    names: Collection[str],
    embed: bool,
    selection: Selection,
    check: bool,
    failures: list[Failure],
) -> Generator[Task, None, None]:
    """Yield the pending tasks in the order of the ledger; add errors of single recordings to `failures`."""
    zone, folders, mask = tables.time_zone(ledger), _folders(ledger), stored_mask(ledger)
    unwritten = ledger.not_written(names)
    if not unwritten and not check:
        return  # nothing is pending, and reading every entry of a large archive takes seconds
    for entry in ledger.entries():
        if entry.status not in HEARD or not selection.fits(entry.identity.shown):
            continue
        task, wrong = None, list[Failure]()
        with isolated(entry.identity.shown, output, wrong, mask):
            recorded, _ = entry.when(zone)
            if selection.period and not selection.period.holds(recorded[:10]):
                continue
            missing = unwritten.get(entry.identity, set())
            if check:
                gone = {name for name in wanted if not format_path(output, entry.identity, name).exists()}
                if "html" in gone - missing:
                    # Audio that was embedded in the page is gone, too.
                    ledger.note_unwritten([entry.identity], [_WITH_SOUND])
                missing |= gone
            if missing:
                formats = frozenset("html" if name == _WITH_SOUND else name for name in missing)
                place = _place(entry.identity, folders)
                used = models.facts(ledger, entry.fingerprint).get("sensitivity", "")
                task = Task(output, entry, ledger.sketch(entry.identity), recorded, formats, place, embed, used)
        for failure in wrong:
            _note(ledger, entry, failure.reason)
        failures += wrong
        if task:
            yield task


def _folders(ledger: Ledger) -> dict[str, Location]:
    """Return the folder of each label; empty if names are masked, because paths would reveal them."""
    if ledger.note("masked with") is not None:
        return {}
    return {label: folder if storage.is_address(folder) else Path(folder) for label, folder in ledger.labels()}


def _place(identity: Identity, folders: Mapping[str, Location]) -> Location | None:
    folder = folders.get(identity.label)
    if folder is None:
        return None
    return folder / identity.path if isinstance(folder, Path) else f"{folder.rstrip('/')}/{identity.path}"


def _written(tasks: Iterable[Task], processes: int, stop: StopSignals) -> Generator[tuple[Task, Outcome], None, None]:
    """Run the tasks; yield each one when it is done, with its outcome. A few tasks run in this process."""
    tasks = iter(tasks)
    first = list(islice(tasks, _FEW))
    if len(first) < _FEW or processes == 1:
        for task in chain(first, tasks):
            yield task, write(task)
        return
    for task, outcome in workers.each(write, chain(first, tasks), processes, stop):
        if outcome is None:
            for path in format_paths(task.output, task.entry.identity):
                clear_unfinished(path.parent)
        yield task, outcome or _DIED


def write(task: Task) -> Outcome:
    """Write the files of one recording; return the outcome.

    Raises errors that would affect every recording, such as CannotWork if the file system refuses to write any file.
    """
    try:
        timeline = told(task)
    except Exception as error:  # its timeline was deleted, or changed by hand
        return _outcome(task, error, "told")
    oddity = ""
    for name in sorted(task.formats):
        path = format_path(task.output, task.entry.identity, name)
        try:
            if name == "html":
                sound, why_none, oddity = _sound(task, path)
                with replacing(path) as temporary:
                    page.write_page(timeline, temporary, sound, why_none)
            else:
                with replacing(path) as temporary:
                    _writer(name)(timeline, temporary)
        except Exception as error:  # no content of a timeline may end the run
            return _outcome(task, error, f"written as {name}")
    return Outcome(oddity=oddity)


def _outcome(task: Task, error: Exception, what: str) -> Outcome:
    """Return the outcome of a task that failed with an error; raise errors that would affect every recording."""
    if is_machines(error, task.output):
        raise error
    said = in_words(error)
    problem = said if isinstance(error, CallEmotionsError) else f"it cannot be {what} ({said})"
    return Outcome(problem, traceback=traceback_of(error))


def told(task: Task) -> Timeline:
    """Load the full Timeline of a recording from its timeline file and its ledger entry.

    Raises DamagedResult, which is a CannotWork, if the timeline file is missing or damaged.
    """
    entry, sketch = task.entry, task.sketch
    figures = entry.figures or {}
    channels = entry.channels or len(figures)
    about = {
        "recorded": task.recorded,
        **entry.groups,
        "encoding": f"{entry.codec}, {entry.rate:,} Hz, {channels} channel{'s' if channels > 1 else ''}",
        "model": entry.model,
        "sensitivity": task.sensitivity,
        "note": without_problem(entry.reason),
    }
    return Timeline(
        recording=entry.identity.shown,
        length_s=entry.length_s or 0.0,
        speakers=tuple(str(told["speaker"]) for told in figures.values()),
        rows=tuple(read_timeline(timeline_path(task.output, entry.identity))),
        other=sketch.other if sketch else (),
        envelope=envelope.unpack(sketch.envelope, channels) if sketch else np.empty((0, 0, 2), np.float32),
        about={key: value for key, value in about.items() if value},
    )


def _writer(name: str) -> Callable[[Timeline, Path], None]:
    """Return the function that writes a format. It is imported only here because some imports are slow."""
    if name == "png":
        from analyzer.report.picture import write_picture

        return write_picture
    if name == "xlsx-per-file":
        from analyzer.report.call_book import write_workbook

        return write_workbook
    from analyzer.report import interchange

    writer: Callable[[Timeline, Path], None] = getattr(interchange, f"write_{name}")
    return writer


def _sound(task: Task, path: Path) -> tuple[str | None, str, str]:
    """Return the audio of a page, the reason if there is none, and a warning if it could not be embedded.

    Audio that is already embedded in the page is kept.
    """
    if embedded := _embedded(path):
        return embedded, "", ""
    if task.sound is None:
        return None, "Names are masked, and to link the recording would tell its own.", ""
    oddity = ""
    if task.embed and task.entry.present:
        try:
            return opus.data_address(task.sound), "", ""
        except Exception as error:  # decoders may raise any exception
            oddity = f"its sound is not put into the page: {show(str(error))}"
    if isinstance(task.sound, str):
        why_none = "The recording lies in object storage, which a page cannot play from: see --embed-audio."
        return None, why_none, oddity
    return page.link(path, task.sound), "", oddity


def _embedded(path: Path) -> str | None:
    try:
        found = _EMBEDDED.search(path.read_bytes())
    except OSError:
        return None
    return found[1].decode() if found else None
