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

from analyzer import __version__
from analyzer.audio import envelope, storage
from analyzer.audio.storage import Location
from analyzer.errors import CallEmotionsError
from analyzer.names import Identity, show
from analyzer.report import interchange, models, opus, page
from analyzer.report.selection import LATEST, Selection
from analyzer.report.summary import ANALYSED
from analyzer.runtime.isolation import Failure, format_error, is_fatal, isolated, traceback_of
from analyzer.runtime.logs import LOGGER
from analyzer.runtime.pool import map_unordered
from analyzer.runtime.signals import StopSignals
from analyzer.store.entry import Entry
from analyzer.store.formats import EXTENSIONS
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import atomic_write, clear_unfinished, format_path, read_timeline, timeline_path
from analyzer.store.time_zone import time_zone
from analyzer.timeline.timeline import DrawingData, Timeline

log = logging.getLogger(LOGGER)

#: Version of the appearance of files. Increase it by hand when that changes; all files are then written again.
_RENDER_VERSION = f"{__version__}.2"
#: A page with embedded audio, which the ledger stores as a format of its own.
_HTML_WITH_AUDIO = "html with sound"
#: Recordings that one ledger transaction marks as written. After a killed run at most so many are written again.
_BATCH_SIZE = 10
#: Minimum number of recordings for which starting worker processes is worthwhile.
_MIN_PARALLEL = 8
#: Prefix, in the reason of a ledger entry, of why the files of a recording are not written.
_PROBLEM_PREFIX = "its pages or other files were not written: "
_EMBEDDED_AUDIO = re.compile(rb'src="(data:audio/ogg;base64,[A-Za-z0-9+/=]*)"')


@dataclass(frozen=True)
class Task:
    """Everything that a worker needs to write the files of one recording.

    `sound` is the location of the recording, None if it must not be revealed or is unknown. `embed` asks for embedded
    audio in the page. `sensitivity` is that of the run that analysed the recording, empty if unknown.
    """

    output: Path
    entry: Entry
    drawing: DrawingData | None
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


_WORKER_DIED = Outcome("the process that wrote its files died twice; the machine may be out of memory")


def write_if_stale(
    ledger: Ledger,
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
    requested = frozenset(formats) & EXTENSIONS.keys()
    if ledger.state.render_version != _RENDER_VERSION:
        ledger.mark_all_unwritten()
        ledger.state.render_version = _RENDER_VERSION
    if not requested:
        return 0
    failures, done, failed = list[Failure](), list[Identity](), 0
    names = requested | ({_HTML_WITH_AUDIO} if embed and "html" in requested else set())
    tasks = _pending_tasks(ledger, requested, names, embed, selection, check, failures)
    try:
        with closing(tasks), closing(_run_tasks(tasks, processes, stop)) as outcomes:
            for task, outcome in outcomes:
                if message := outcome.problem or outcome.oddity:
                    log.warning("%s: %s", task.entry.identity.shown, message, extra={"traceback": outcome.traceback})
                _record_problem(ledger, task.entry, outcome.problem)
                if outcome.problem:
                    failed += 1
                else:
                    done.append(task.entry.identity)
                if len(done) >= _BATCH_SIZE:
                    ledger.note_written(done, names)
                    done = []
                stop.check()
    finally:
        ledger.note_written(done, names)
    for failure in failures:
        failure.log()
    return failed + len(failures)


def _record_problem(ledger: Ledger, entry: Entry, problem: str) -> None:
    """Add a problem to the reason in the ledger entry of a recording, or remove the earlier one if there is none."""
    mask = ledger.mask()
    problem_text = f"{_PROBLEM_PREFIX}{mask.text(problem) if mask else problem}" if problem else ""
    reason = "; ".join(filter(None, (without_problem(entry.reason), problem_text)))
    if reason != entry.reason:
        ledger.note_reason(entry.identity, reason)


def without_problem(reason: str) -> str:
    """Return the reason in a ledger entry without the problem of writing files."""
    return reason.partition(_PROBLEM_PREFIX)[0].removesuffix("; ")


def _pending_tasks(
    ledger: Ledger,
    requested: frozenset[str],
    names: Collection[str],
    embed: bool,
    selection: Selection,
    check: bool,
    failures: list[Failure],
) -> Generator[Task, None, None]:
    """Yield the pending tasks in the order of the ledger; add errors of single recordings to `failures`."""
    zone, mask = time_zone(ledger), ledger.mask()
    # Paths would reveal masked names.
    folders = dict(ledger.labels()) if ledger.state.mask_pattern is None else {}
    unwritten = ledger.not_written(names)
    if not unwritten and not check:
        return  # nothing is pending, and reading every entry of a large archive takes seconds
    for entry in ledger.entries():
        if entry.status not in ANALYSED or not selection.fits(entry.identity.shown):
            continue
        task, entry_failures = None, list[Failure]()
        with isolated(entry.identity.shown, ledger.output, entry_failures, mask):
            recorded, _ = entry.when(zone)
            if selection.period and not selection.period.holds(recorded[:10]):
                continue
            missing = unwritten.get(entry.identity, set())
            if check:
                deleted = {name for name in requested if not format_path(ledger.output, entry.identity, name).exists()}
                if "html" in deleted - missing:
                    # Audio that was embedded in the page is gone, too.
                    ledger.note_unwritten([entry.identity], [_HTML_WITH_AUDIO])
                missing |= deleted
            if missing:
                formats = frozenset("html" if name == _HTML_WITH_AUDIO else name for name in missing)
                place, drawing = _place(entry.identity, folders), ledger.drawing(entry.identity)
                sensitivity = models.facts(ledger, entry.fingerprint).get("sensitivity", "")
                task = Task(ledger.output, entry, drawing, recorded, formats, place, embed, sensitivity)
        for failure in entry_failures:
            _record_problem(ledger, entry, failure.reason)
        failures += entry_failures
        if task:
            yield task


def _place(identity: Identity, folders: Mapping[str, str]) -> Location | None:
    """Return the location of a recording, given the folder of each label; None if its label has no folder."""
    folder = folders.get(identity.label)
    if folder is None:
        return None
    return f"{folder.rstrip('/')}/{identity.path}" if storage.is_address(folder) else Path(folder, identity.path)


def _run_tasks(tasks: Iterable[Task], processes: int, stop: StopSignals) -> Generator[tuple[Task, Outcome], None, None]:
    """Run the tasks; yield each one when it is done, with its outcome. A few tasks run in this process."""
    tasks = iter(tasks)
    first = list(islice(tasks, _MIN_PARALLEL))
    if len(first) < _MIN_PARALLEL or processes == 1:
        for task in chain(first, tasks):
            yield task, write(task)
        return
    for task, outcome in map_unordered(write, chain(first, tasks), processes, stop):
        if outcome is None:
            for name in EXTENSIONS:
                clear_unfinished(format_path(task.output, task.entry.identity, name).parent)
        yield task, outcome or _WORKER_DIED


def write(task: Task) -> Outcome:
    """Write the files of one recording; return the outcome.

    Raises errors that would affect every recording, such as CannotWork if the file system refuses to write any file.
    """
    try:
        timeline = load_timeline(task)
    except Exception as error:  # its timeline was deleted, or changed by hand
        return _failed_outcome(task, error, "read")
    oddity = ""
    for name in sorted(task.formats):
        path = format_path(task.output, task.entry.identity, name)
        try:
            if name == "html":
                audio, audio_note, oddity = _page_audio(task, path)
                with atomic_write(path) as temporary:
                    page.write_page(timeline, temporary, audio, audio_note)
            else:
                with atomic_write(path) as temporary:
                    _writer(name)(timeline, temporary)
        except Exception as error:  # no content of a timeline may end the run
            return _failed_outcome(task, error, f"written as {name}")
    return Outcome(oddity=oddity)


def _failed_outcome(task: Task, error: Exception, action: str) -> Outcome:
    """Return the outcome of a task that failed with an error; raise errors that would affect every recording."""
    if is_fatal(error, task.output):
        raise error
    message = format_error(error)
    problem = message if isinstance(error, CallEmotionsError) else f"it cannot be {action} ({message})"
    return Outcome(problem, traceback=traceback_of(error))


def load_timeline(task: Task) -> Timeline:
    """Load the full Timeline of a recording from its timeline file and its ledger entry.

    Raises DamagedResult, which is a CannotWork, if the timeline file is missing or damaged.
    """
    entry, drawing = task.entry, task.drawing
    statistics = entry.statistics or {}
    channels = entry.channels or len(statistics)
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
        speakers=tuple(found.speaker for found in statistics.values()),
        rows=tuple(read_timeline(timeline_path(task.output, entry.identity))),
        other=drawing.other if drawing else (),
        envelope=envelope.unpack(drawing.envelope, channels) if drawing else np.empty((0, 0, 2), np.float32),
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
    writer: Callable[[Timeline, Path], None] = getattr(interchange, f"write_{name}")
    return writer


def _page_audio(task: Task, path: Path) -> tuple[str | None, str, str]:
    """Return the audio of a page, the reason if there is none, and a warning if it could not be embedded.

    Audio that is already embedded in the page is kept.
    """
    if embedded := _embedded_audio(path):
        return embedded, "", ""
    if task.sound is None:
        return None, "The link to the audio is hidden, because names are masked.", ""
    oddity = ""
    if task.embed and task.entry.present:
        try:
            return opus.data_address(task.sound), "", ""
        except Exception as error:  # decoders may raise any exception
            oddity = f"its sound is not put into the page: {show(str(error))}"
    if isinstance(task.sound, str):
        audio_note = "The recording lies in object storage, which a page cannot play from: see --embed-audio."
        return None, audio_note, oddity
    return page.link(path, task.sound), "", oddity


def _embedded_audio(path: Path) -> str | None:
    try:
        match = _EMBEDDED_AUDIO.search(path.read_bytes())
    except OSError:
        return None
    return match[1].decode() if match else None
