"""Function calls in other processes of this machine, which may die, and the retries after that.

Processes are executors of loky, which is part of joblib.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from analyzer.errors import CannotWork
from analyzer.runtime.signals import StopSignals

#: Seconds between the checks of a worker whether its parent process still exists.
_PARENT_CHECK_S = 0.5
#: Queue depth per worker, so that workers never idle. loky sends no more items ahead to its workers, and leaves a
#: traceback if it is shut down while it holds some back.
_PREFETCH = 2

Item = TypeVar("Item")
Made = TypeVar("Made")


class Process:
    """A process for one function call after the other; started at the first call, and again after it was ended."""

    def __init__(self) -> None:
        self.future: Future[Any] | None = None
        self._executor: Any = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Submit a function call to the process, and start the process if there is none."""
        if self._executor is None:
            from joblib.externals.loky.process_executor import ProcessPoolExecutor

            self._executor = ProcessPoolExecutor(max_workers=1, initializer=_initialise_worker, initargs=(os.getpid(),))
        self.future = self._executor.submit(function, *arguments)
        return self.future

    def end(self) -> None:
        """End the process, even while it runs a task."""
        if self._executor is None:
            return
        _wait_until_begun([self.future] if self.future else [])
        self._executor.shutdown(wait=True, kill_workers=True)
        self._executor = None


def map_unordered(
    function: Callable[[Item], Made], items: Iterable[Item], processes: int, stop: StopSignals
) -> Iterator[tuple[Item, Made | None]]:
    """Call a function for each item in processes of this machine; yield items and results as they are finished.

    If a process dies, all items that were submitted and not finished are retried once, each in a separate process. The
    result of an item is None if that process dies, too. Raises what the function raises.
    """
    pending = iter(items)
    while True:
        suspects: list[Item] = []
        yield from _run_pool(function, pending, processes, stop, suspects)
        for item in suspects:
            yield item, _call_alone(function, item, stop)
        if not suspects:
            return


def _run_pool(
    function: Callable[[Item], Made], pending: Iterator[Item], processes: int, stop: StopSignals, suspects: list[Item]
) -> Iterator[tuple[Item, Made]]:
    """Yield items and results until all are done or a process dies; `suspects` then gets the unfinished items."""
    from joblib import cpu_count
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    worker_count = min(processes, cpu_count())
    executor = ProcessPoolExecutor(max_workers=worker_count, initializer=_initialise_worker, initargs=(os.getpid(),))
    running: dict[Future[Made], Item] = {}

    def submit(limit: int) -> None:
        for item in islice(pending, 0 if suspects else limit):
            try:
                running[executor.submit(function, item)] = item
            except BaseException as error:
                if not is_death(error):
                    raise
                suspects.append(item)

    try:
        submit(_PREFETCH * worker_count)
        while running:
            with stop.waiting():
                done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item, error = running.pop(future), future.exception()
                if error and is_death(error):
                    suspects.append(item)
                    continue
                submit(1)
                yield item, future.result()
    finally:
        _wait_until_begun(running)
        executor.shutdown(wait=True, kill_workers=True)


def _call_alone(function: Callable[[Item], Made], item: Item, stop: StopSignals) -> Made | None:
    """Call a function for an item in a separate process; return its result, None if the process dies."""
    process = Process()
    try:
        future: Future[Made] = process.submit(function, item)
        with stop.waiting():
            error = future.exception()
        return None if error and is_death(error) else future.result()
    finally:
        process.end()


@contextmanager
def in_background(function: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Call a function in another process while the block runs; the block ends when both are done.

    Raises what the function raises, and CannotWork if its process dies.
    """
    process = Process()
    try:
        with _worker_death_as_cannot_work():
            future = process.submit(function, *arguments)
            yield
            future.result()
    finally:
        process.end()


@contextmanager
def _worker_death_as_cannot_work() -> Iterator[None]:
    """Raise CannotWork if a worker dies while running a task that cannot crash it."""
    try:
        yield
    except BaseException as error:
        if is_death(error):
            raise CannotWork(
                "a process died: the machine may be out of memory. Finished results are kept; the next run continues"
            ) from error
        raise


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


def _initialise_worker(parent: int) -> None:
    """Initialise a worker: leave SIGINT and SIGTERM to the parent process, and exit when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    """End this process when its parent has ended in any way: its results are not used any more."""
    import psutil

    parent_process = psutil.Process(parent)
    try:
        # On POSIX, an orphan gets another parent at once, even while the dead parent is still a zombie.
        while parent_process.is_running() and os.getppid() == parent:
            time.sleep(_PARENT_CHECK_S)
    finally:
        os._exit(1)
