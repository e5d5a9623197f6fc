"""Worker processes. Each analyses one recording at a time: if it dies or hangs, only that recording is affected.

For the analysis, each worker is a separate executor of loky, which is part of joblib. If one breaks, it is known which
recording it was analysing, and the others continue.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from analyzer.classifier import find_model, load_classifier
from analyzer.errors import CallEmotionsError, CannotWork, UnreadableRecording
from analyzer.plan import Due
from analyzer.signals import StopSignals
from analyzer.stream import clock
from analyzer.work import NOT_ANALYSED, Result, Work, analyse_due, failed

#: Timeout of a recording, after which its decoder is considered hung: seconds to start a process, plus the size of the
#: recording at a rate in bytes per second that a slow machine reaches even with the densest encoding.
LEAST_S, BYTES_PER_S = 120.0, 20_000
#: Attempts to start a process before the machine is considered at fault, and seconds between them: memory may be short
#: for a moment.
_STARTS, _PAUSE_S = 10, 0.5
#: Seconds between the checks of a worker whether its parent process still exists.
_LOOKS_EVERY_S = 0.5

#: Queue depth per worker, so that workers never idle. loky sends no more items ahead to its workers, and leaves a
#: traceback if it is shut down while it holds some back.
_IN_HAND = 2

Item = TypeVar("Item")
Made = TypeVar("Made")


def analyse_here(
    due: Sequence[Due], work: Work, processes: int, stop: StopSignals, ends_at: float | None = None
) -> Iterator[Result]:
    """Analyse recordings in processes of this machine; yield the results in the order in which they are finished.

    A recording whose process died is retried once at the end, when no other process runs; if that process dies, too,
    the recording has failed. No recording is started after `ends_at` (time.monotonic). Raises CannotWork if processes
    die before they have a recording.
    """
    from joblib import cpu_count

    # Processes that share a core evict each other's data from its cache: four on two cores took a tenth longer.
    slots = [_Slot() for _ in range(min(processes, cpu_count(), len(due)))]
    waiting, suspects = until(ends_at, due), []
    in_hand = {slot.begin(item, work): slot for slot, item in zip(slots, waiting, strict=False)}
    try:
        while in_hand:
            for future in _finished(in_hand, stop):
                slot = in_hand.pop(future)
                item, result = slot.item, slot.result(work)
                in_hand |= {slot.begin(following, work): slot for following in islice(waiting, 1)}
                if result:
                    yield result
                else:
                    suspects.append(item)
        _end(slots)
        for item in until(ends_at, suspects):
            yield _alone(item, work, stop)
    finally:
        _end(slots)


def each(
    function: Callable[[Item], Made], items: Iterable[Item], processes: int, stop: StopSignals
) -> Iterator[tuple[Item, Made | None]]:
    """Call a function for each item in processes of this machine; yield items and results as they are finished.

    If a process dies, all items that were submitted and not finished are retried once, each in a separate process. The
    result of an item is None if that process dies, too. Raises what the function raises.
    """
    waiting = iter(items)
    while True:
        suspects: list[Item] = []
        yield from _together(function, waiting, processes, stop, suspects)
        for item in suspects:
            yield item, _made_alone(function, item, stop)
        if not suspects:
            return


def _together(
    function: Callable[[Item], Made], waiting: Iterator[Item], processes: int, stop: StopSignals, suspects: list[Item]
) -> Iterator[tuple[Item, Made]]:
    """Yield items and results until all are done or a process dies; `suspects` then gets the unfinished items."""
    from joblib import cpu_count
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    count = min(processes, cpu_count())
    executor = ProcessPoolExecutor(max_workers=count, initializer=_enter, initargs=(os.getpid(),))
    in_hand: dict[Future[Made], Item] = {}

    def take(more: int) -> None:
        for item in islice(waiting, 0 if suspects else more):
            try:
                in_hand[executor.submit(function, item)] = item
            except BaseException as error:
                if not is_death(error):
                    raise
                suspects.append(item)

    try:
        take(_IN_HAND * count)
        while in_hand:
            with stop.waiting():
                done, _ = wait(in_hand, return_when=FIRST_COMPLETED)
            for future in done:
                item, error = in_hand.pop(future), future.exception()
                if error and is_death(error):
                    suspects.append(item)
                    continue
                take(1)
                yield item, future.result()
    finally:
        _wait_until_begun(in_hand)
        executor.shutdown(wait=True, kill_workers=True)


def _made_alone(function: Callable[[Item], Made], item: Item, stop: StopSignals) -> Made | None:
    """Call a function for an item in a separate process; return its result, None if the process dies."""
    slot = _Slot()
    try:
        future: Future[Made] = slot.submit(function, item)
        with stop.waiting():
            error = future.exception()
        return None if error and is_death(error) else future.result()
    finally:
        slot.end()


@contextmanager
def beside(function: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Call a function in another process while the block runs; the block ends when both are done.

    Raises what the function raises, and CannotWork if its process dies.
    """
    slot = _Slot()
    try:
        with _deaths_told():
            future = slot.submit(function, *arguments)
            yield
            future.result()
    finally:
        slot.end()


@contextmanager
def _deaths_told() -> Iterator[None]:
    """Raise CannotWork if a worker dies while running a task that cannot crash it."""
    try:
        yield
    except BaseException as error:
        if is_death(error):
            raise CannotWork(
                "a process died: is memory short? What was finished is kept, the next run does the rest"
            ) from error
        raise


def until(ends_at: float | None, items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items until the time `ends_at` (time.monotonic), without a limit if it is None."""
    for item in items:
        if ends_at is not None and time.monotonic() >= ends_at:
            return
        yield item


def limit_s(size: int) -> float:
    """Return the timeout in seconds for a recording of `size` bytes."""
    return LEAST_S + size / BYTES_PER_S


class _Slot:
    """A worker process, and the recording that it analyses."""

    item: Due

    def __init__(self) -> None:
        self.future: Future[Any] | None = None
        self._executor: Any = None
        self._late_at, self._hung = 0.0, False

    def begin(self, item: Due, work: Work) -> "Future[Result]":
        """Start the analysis of a recording, in a new process if the last one has ended."""
        self.item, self._hung = item, False
        self._late_at = time.monotonic() + limit_s(item.found.size)
        return self.submit(analyse_due, item, work)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Submit a function call to the process, and start the process if there is none."""
        if self._executor is None:
            from joblib.externals.loky.process_executor import ProcessPoolExecutor

            self._executor = ProcessPoolExecutor(max_workers=1, initializer=_enter, initargs=(os.getpid(),))
        self.future = self._executor.submit(function, *arguments)
        return self.future

    def result(self, work: Work) -> Result | None:
        """Return the result of the recording, None if the process died; raises errors that end the run."""
        assert self.future
        error = self.future.exception()
        if error is None:
            result: Result = self.future.result()
            return result
        if not (self._hung or is_death(error)):
            if isinstance(error, CallEmotionsError) or not isinstance(error, Exception):
                raise error
            return failed(self.item, error, work.mask, NOT_ANALYSED)
        self.end()
        return failed(self.item, _hung(self.item), work.mask) if self._hung else None

    def end_if_late(self) -> None:
        """End the process if its recording has exceeded the timeout."""
        if time.monotonic() >= self._late_at:
            self._hung = True
            self.end()

    def end(self) -> None:
        """End the process, even while it runs a task."""
        if self._executor is None:
            return
        _wait_until_begun([self.future] if self.future else [])
        self._executor.shutdown(wait=True, kill_workers=True)
        self._executor = None


def _wait_until_begun(futures: Iterable["Future[Any]"]) -> None:
    """Wait until all futures are running or done, which takes milliseconds.

    loky must not be shut down after it has accepted a task and before it has passed the task on.
    """
    while any(not (future.running() or future.done()) for future in futures):
        time.sleep(0.001)


def is_death(error: BaseException) -> bool:
    """Whether an error means that a process has died."""
    from concurrent.futures.process import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)


def _finished(in_hand: dict["Future[Result]", _Slot], stop: StopSignals) -> "set[Future[Result]]":
    """Wait until recordings are done and return their futures; hung processes are ended meanwhile."""
    while True:
        with stop.waiting():
            done, _ = wait(in_hand, timeout=1, return_when=FIRST_COMPLETED)
        if done:
            return done
        for slot in in_hand.values():
            slot.end_if_late()


def _end(slots: Iterable[_Slot]) -> None:
    for slot in slots:
        slot.end()


def _alone(item: Due, work: Work, stop: StopSignals) -> Result:
    """Analyse a recording again in a separate process, after the process that analysed it died."""
    slot = _ready_slot(work, stop)
    try:
        future = slot.begin(item, work)
        _finished({future: slot}, stop)
        died = UnreadableRecording("the process that had it died twice, for lack of memory or in a decoder")
        return slot.result(work) or failed(item, died, work.mask)
    finally:
        slot.end()


def _ready_slot(work: Work, stop: StopSignals) -> _Slot:
    """Start a process and load the model in it, so that the recording is at fault if the process dies later.

    Raises CannotWork if processes die before they have a recording.
    """
    for _ in range(_STARTS):
        slot = _Slot()
        try:
            with stop.waiting():
                slot.submit(_load, work).result(timeout=LEAST_S)
        except BaseException as error:
            slot.end()
            if not is_death(error):
                raise
            with stop.waiting():
                time.sleep(_PAUSE_S)
        else:
            return slot
    raise CannotWork(
        "processes die before they have a recording: is memory short? What was finished is kept, the next run does the "
        "rest"
    )


def _hung(item: Due) -> UnreadableRecording:
    return UnreadableRecording(f"it was not done after {clock(limit_s(item.found.size))}: its decoder hangs")


def _load(work: Work) -> None:
    load_classifier(find_model(work.model), work.prior, work.sensitivity)


def _enter(parent: int) -> None:
    """Initialise a worker: leave SIGINT and SIGTERM to the parent process, and exit when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process when its parent has ended in any way: its results are not used any more."""
    import psutil

    started_by = psutil.Process(parent)
    try:
        # On POSIX, an orphan gets another parent at once, even while the dead parent is still a zombie.
        while started_by.is_running() and os.getppid() == parent:
            time.sleep(_LOOKS_EVERY_S)
    finally:
        os._exit(1)
