"""Processes that analyse recordings, each one at a time: one that dies or hangs costs no more than its recording.

Every process is an executor of its own, of loky, which joblib brings: when one breaks, it is known which recording it
had in hand, and the others go on.
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

#: A recording that takes longer hangs in a decoder: seconds to start a process, and bytes that even the densest
#: encoding on a slow machine gets through in a second.
LEAST_S, BYTES_PER_S = 120.0, 20_000
#: How often it is tried to start a process before it is the machine's fault, and seconds between: memory may be short
#: for a moment.
_STARTS, _PAUSE_S = 10, 0.5
#: How often a process looks whether the one that started it is still there.
_LOOKS_EVERY_S = 0.5

#: Items that each process has in hand, so that none waits for the next. loky sends no more of them ahead, and leaves a
#: traceback where it is ended while it holds some back.
_IN_HAND = 2

Item = TypeVar("Item")
Made = TypeVar("Made")


def analyse_here(
    due: Sequence[Due], work: Work, processes: int, stop: StopSignals, ends_at: float | None = None
) -> Iterator[Result]:
    """Results of the recordings, in the order in which the processes of this machine finish them.

    A recording whose process died is tried once more at the end, when no other is at work; it has failed if that
    process dies, too. None is begun after `ends_at` on the clock of time.monotonic. Raises CannotWork where processes
    die without a recording.
    """
    from joblib import cpu_count

    # Processes that share a core push each other's data out of its cache: four on two cores took a tenth longer.
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
    """What a function makes of each item, in processes of this machine, in the order in which they are done.

    Items that were in hand when a process died are tried once more, each in a process of its own; None is made of one
    whose process dies then, too. Raises what the function raises.
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
    """What is made of the items until there are no more, or a process dies; then `suspects` get those in hand."""
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
    """What a function makes of an item in a process of its own; None where that dies."""
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
    """Have another process do something while this block does something else; it ends when both are done.

    Raises what the function raises, and CannotWork where its process dies.
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
    """Raise CannotWork where a process dies that does nothing which could kill it by itself."""
    try:
        yield
    except BaseException as error:
        if is_death(error):
            raise CannotWork(
                "a process died: is memory short? What was finished is kept, the next run does the rest"
            ) from error
        raise


def until(ends_at: float | None, items: Iterable[Item]) -> Iterator[Item]:
    """The items, as long as it is not later than `ends_at` on the clock of time.monotonic."""
    for item in items:
        if ends_at is not None and time.monotonic() >= ends_at:
            return
        yield item


def limit_s(size: int) -> float:
    """Seconds within which a recording of so many bytes has to be analysed."""
    return LEAST_S + size / BYTES_PER_S


class _Slot:
    """A process, and the recording that it has in hand."""

    item: Due

    def __init__(self) -> None:
        self.future: Future[Any] | None = None
        self._executor: Any = None
        self._late_at, self._hung = 0.0, False

    def begin(self, item: Due, work: Work) -> "Future[Result]":
        """Give the process a recording, to a new process if the last one has ended."""
        self.item, self._hung = item, False
        self._late_at = time.monotonic() + limit_s(item.found.size)
        return self.submit(analyse_due, item, work)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Have the process do something."""
        if self._executor is None:
            from joblib.externals.loky.process_executor import ProcessPoolExecutor

            self._executor = ProcessPoolExecutor(max_workers=1, initializer=_enter, initargs=(os.getpid(),))
        self.future = self._executor.submit(function, *arguments)
        return self.future

    def result(self, work: Work) -> Result | None:
        """What came of the recording; None where the process died over it. Raises what ends the run."""
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
        """End a process that hangs."""
        if time.monotonic() >= self._late_at:
            self._hung = True
            self.end()

    def end(self) -> None:
        """End the process, whatever it is doing."""
        if self._executor is None:
            return
        _wait_until_begun([self.future] if self.future else [])
        self._executor.shutdown(wait=True, kill_workers=True)
        self._executor = None


def _wait_until_begun(futures: Iterable["Future[Any]"]) -> None:
    """loky does not bear to be ended between taking something to do and handing it on, a matter of milliseconds."""
    while any(not (future.running() or future.done()) for future in futures):
        time.sleep(0.001)


def is_death(error: BaseException) -> bool:
    """Whether an error says that a process has died."""
    from concurrent.futures.process import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)


def _finished(in_hand: dict["Future[Result]", _Slot], stop: StopSignals) -> "set[Future[Result]]":
    """The recordings that are done, once there are some; processes that hang are ended meanwhile."""
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
    """What comes of a recording in a process of its own, after one that had it in hand died."""
    slot = _ready_slot(work, stop)
    try:
        future = slot.begin(item, work)
        _finished({future: slot}, stop)
        died = UnreadableRecording("the process that had it died twice, for lack of memory or in a decoder")
        return slot.result(work) or failed(item, died, work.mask)
    finally:
        slot.end()


def _ready_slot(work: Work, stop: StopSignals) -> _Slot:
    """A new process that has loaded the model, so that if it dies, it is the recording's doing.

    Raises CannotWork where processes die without any.
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
    """What a process does first: leave signals to the one that started it, and not outlive that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process when the one that started it has ended, whatever way: nobody waits for its results any more."""
    import psutil

    started_by = psutil.Process(parent)
    try:
        # An orphan has another parent at once on POSIX, even while the dead one has not been waited for.
        while started_by.is_running() and os.getppid() == parent:
            time.sleep(_LOOKS_EVERY_S)
    finally:
        os._exit(1)
