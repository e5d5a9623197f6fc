"""Analysis on a Dask cluster, with the same results as on one machine.

Workers read the recordings and write the timelines themselves, on storage that all machines share under the same paths.
Only small tables are returned to this process, which alone writes the ledger. If a worker dies, the scheduler gives its
unfinished recordings to another worker.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from analyzer import __version__
from analyzer.classifier import find_model, model_hash
from analyzer.errors import CallEmotionsError, CannotWork, UnreadableRecording, UsageError
from analyzer.ledger import FILE_NAME
from analyzer.names import show
from analyzer.plan import Due
from analyzer.signals import StopSignals
from analyzer.work import NOT_ANALYSED, Result, Work, analyse_due, failed
from analyzer.workers import limit_s, until

#: Tasks submitted to the scheduler at a time, per thread of the cluster: enough that no thread waits for this process,
#: few enough that the scheduler's memory does not grow with the archive.
IN_HAND = 4
#: Timeouts in seconds for the answer of the scheduler and for its first worker.
_ANSWERS_S, _WORKERS_S = 20, 120
#: Seconds between requests to the scheduler for the number of threads of its workers.
_LOOKS_EVERY_S = 5

#: Most recordings and bytes in one task, some seconds of work. Short recordings are bundled because a task costs the
#: scheduler and this process milliseconds, however short the recording.
BUNDLE, BUNDLE_BYTES = 32, 32 << 20

Bundle = tuple[Due, ...]
Item = TypeVar("Item")
Returned = TypeVar("Returned")


def analyse_on(
    address: str, due: Sequence[Due], work: Work, stop: StopSignals, ends_at: float | None = None
) -> Iterator[Result]:
    """Analyse recordings on a cluster; yield the results in the order in which they are finished.

    No recording is submitted after `ends_at` (time.monotonic). Raises UsageError if Dask is not installed or no
    scheduler answers, CannotWork if a worker has another version of the tool or of the model, or cannot access the
    recordings or the results.
    """
    with connected(address) as client:
        from distributed import KilledWorker

        bundles, in_hand = bundled(due, most=max(1, len(due) // _room(client))), None
        while bundles:
            again: list[Bundle] = []
            analyse = partial(_analyse_here, work=work)
            for bundle, result in in_turn(client, analyse, until(ends_at, bundles), stop, in_hand):
                if not isinstance(result, BaseException):
                    yield from result
                elif isinstance(result, CallEmotionsError | ImportError) or not isinstance(result, Exception):
                    raise result
                elif in_hand is None and (len(bundle) > 1 or isinstance(result, KilledWorker)):
                    again += [(item,) for item in bundle]
                else:
                    died = UnreadableRecording("the workers that had it died, or it took too long")
                    error = died if isinstance(result, KilledWorker) else result
                    yield failed(bundle[0], error, work.mask, NOT_ANALYSED)
            # Dask blames the death of a worker on every task that the worker had. These tasks are retried one at a
            # time, so that a worker that dies has only the task that is at fault.
            bundles, in_hand = again, 1


def bundled(due: Iterable[Due], most: int = BUNDLE) -> list[Bundle]:
    """Bundle the recordings in the given order, at most `most` short ones together."""
    bundles: list[list[Due]] = []
    room_for = held = 0
    for item in due:
        if not room_for or held + item.found.size > BUNDLE_BYTES:
            bundles.append([])
            room_for, held = min(most, BUNDLE), 0
        bundles[-1].append(item)
        room_for, held = room_for - 1, held + item.found.size
    return [tuple(bundle) for bundle in bundles]


def connected(address: str) -> Any:
    """Connect to the scheduler at an address such as tcp://host:8786, wait for a worker, and return the client.

    Raises UsageError if Dask is not installed or no scheduler answers, CannotWork if the scheduler has no worker before
    the timeout.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("--cluster needs Dask: pip install 'call-emotions[cluster]'") from error
    try:
        client = Client(address, timeout=_ANSWERS_S)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {show(address)} ({error}): start one with `dask scheduler`, which says its "
            "address, and workers with `dask worker ADDRESS`"
        ) from error
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
    except TimeoutError as error:
        client.close()
        raise CannotWork(f"the Dask scheduler at {show(address)} has no workers: start some") from error
    return client


def in_turn(
    client: Any,
    function: Callable[[Item], Returned],
    items: Iterable[Item],
    stop: StopSignals,
    most: int | None = None,
) -> Iterator[tuple[Item, Returned | BaseException]]:
    """Yield each item with the function's result or error, as the cluster finishes them.

    At most `most` tasks are submitted at a time, by default IN_HAND per thread of the workers. An item whose workers
    died repeatedly comes with distributed's KilledWorker. Raises CannotWork if the scheduler has gone.
    """
    from distributed import as_completed

    waiting = iter(items)
    in_hand: dict[Any, Item] = {}

    def submit(count: int) -> list[Any]:
        # Not pure: otherwise Dask hashes every item to look for results that it already has.
        new = {client.submit(function, item, pure=False): item for item in islice(waiting, max(0, count))}
        in_hand.update(new)
        return list(new)

    room, looked_at = most or _room(client), time.monotonic()
    finished = as_completed(submit(room))
    while future := _next(finished, stop):
        if future.cancelled():
            raise CannotWork("the Dask scheduler has gone: what was finished is kept, the next run does the rest")
        error = future.exception()
        yield in_hand.pop(future), future.result() if error is None else error
        future.release()
        if time.monotonic() - looked_at > _LOOKS_EVERY_S:
            room, looked_at = most or _room(client), time.monotonic()
        for new in submit(room - len(in_hand)):
            finished.add(new)


def _next(finished: Any, stop: StopSignals) -> Any:
    """Wait for the next finished task and return it; None if there are no more."""
    with stop.waiting():
        return next(finished, None)


def _room(client: Any) -> int:
    """Return how many tasks to submit at a time; it changes as workers join and leave."""
    return IN_HAND * max(1, sum(client.nthreads().values()))


def _analyse_here(bundle: Bundle, work: Work) -> list[Result]:
    """Analyse a bundle of recordings in a worker."""
    _check_here(work.model, work.model_hash, work.version, work.output, work.folders)
    return [_within_its_time(due, work) for due in bundle]


def _within_its_time(due: Due, work: Work) -> Result:
    """Analyse a recording; if its decoder hangs, the worker process exits, since a single thread cannot be ended."""
    watch = threading.Timer(limit_s(due.found.size), os._exit, (1,))
    watch.daemon = True
    watch.start()
    try:
        return analyse_due(due, work)
    finally:
        watch.cancel()


@lru_cache(maxsize=4)
def _check_here(model: str, digest: str, version: str, output: Path, folders: tuple[Path, ...]) -> None:
    """Prepare a worker, once per process; raises CannotWork if its results would differ from those of others."""
    import socket

    from threadpoolctl import threadpool_limits

    from analyzer.cli import keep_private

    here = socket.gethostname()
    if version != __version__:
        raise CannotWork(f"the worker on {here} has version {__version__} of this tool, and this is {version}")
    if model_hash(find_model(model)) != digest:
        raise CannotWork(f"the worker on {here} has another model {show(model)} than this machine")
    for needed in (*folders, output / FILE_NAME):
        if not needed.exists():
            raise CannotWork(f"the worker on {here} does not see {show(str(needed))}: mount it there, too")
    keep_private()
    # Sums must not depend on the number of threads that compute them; the worker runs its tasks in parallel anyway.
    threadpool_limits(1)
