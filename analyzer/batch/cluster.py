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
from analyzer.batch.job import NOT_ANALYSED, JobSettings, Result, analyse_job, failed
from analyzer.batch.local import timeout_s, until
from analyzer.batch.plan import Job
from analyzer.errors import CallEmotionsError, CannotWork, UnreadableRecording, UsageError
from analyzer.model.classifier import find_model, model_hash
from analyzer.names import show
from analyzer.runtime.signals import StopSignals
from analyzer.store.ledger import FILE_NAME

#: Tasks submitted to the scheduler at a time, per thread of the cluster: enough that no thread waits for this process,
#: few enough that the scheduler's memory does not grow with the archive.
PREFETCH = 4
#: Timeouts in seconds for the answer of the scheduler and for its first worker.
_ANSWERS_S, _WORKERS_S = 20, 120
#: Seconds between requests to the scheduler for the number of threads of its workers.
_THREAD_CHECK_S = 5

#: Most recordings and bytes in one task, some seconds of work. Short recordings are bundled because a task costs the
#: scheduler and this process milliseconds, however short the recording.
BUNDLE, BUNDLE_BYTES = 32, 32 << 20

Bundle = tuple[Job, ...]
Item = TypeVar("Item")
Returned = TypeVar("Returned")


def analyse_on(
    address: str, jobs: Sequence[Job], work: JobSettings, stop: StopSignals, ends_at: float | None = None
) -> Iterator[Result]:
    """Analyse recordings on a cluster; yield the results in the order in which they are finished.

    No recording is submitted after `ends_at` (time.monotonic). Raises UsageError if Dask is not installed or no
    scheduler answers, CannotWork if a worker has another version of the tool or of the model, or cannot access the
    recordings or the results.
    """
    with connected(address) as client:
        from distributed import KilledWorker

        bundles, limit = bundled(jobs, most=max(1, len(jobs) // _task_limit(client))), None
        while bundles:
            retries: list[Bundle] = []
            analyse = partial(_analyse_bundle, work=work)
            for bundle, result in as_completed_results(client, analyse, until(ends_at, bundles), stop, limit):
                if not isinstance(result, BaseException):
                    yield from result
                elif isinstance(result, CallEmotionsError | ImportError) or not isinstance(result, Exception):
                    raise result
                elif limit is None and (len(bundle) > 1 or isinstance(result, KilledWorker)):
                    retries += [(job,) for job in bundle]
                else:
                    worker_death = UnreadableRecording("the workers that had it died, or it took too long")
                    error = worker_death if isinstance(result, KilledWorker) else result
                    yield failed(bundle[0], error, work.mask, NOT_ANALYSED)
            # Dask blames the death of a worker on every task that the worker had. These tasks are retried one at a
            # time, so that a worker that dies has only the task that is at fault.
            bundles, limit = retries, 1


def bundled(jobs: Iterable[Job], most: int = BUNDLE) -> list[Bundle]:
    """Bundle the recordings in the given order, at most `most` short ones together."""
    bundles: list[list[Job]] = []
    free_places = bundle_bytes = 0
    for job in jobs:
        if not free_places or bundle_bytes + job.recording.size > BUNDLE_BYTES:
            bundles.append([])
            free_places, bundle_bytes = min(most, BUNDLE), 0
        bundles[-1].append(job)
        free_places, bundle_bytes = free_places - 1, bundle_bytes + job.recording.size
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
        client: Any = Client(address, timeout=_ANSWERS_S)  # type: ignore[no-untyped-call]
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


def as_completed_results(
    client: Any, function: Callable[[Item], Returned], items: Iterable[Item], stop: StopSignals, most: int | None = None
) -> Iterator[tuple[Item, Returned | BaseException]]:
    """Yield each item with the function's result or error, as the cluster finishes them.

    At most `most` tasks are submitted at a time, by default PREFETCH per thread of the workers. An item whose workers
    died repeatedly comes with distributed's KilledWorker. Raises CannotWork if the scheduler has gone.
    """
    from distributed import as_completed

    pending = iter(items)
    running: dict[Any, Item] = {}

    def submit(count: int) -> list[Any]:
        # Not pure: otherwise Dask hashes every item to look for results that it already has.
        submitted = {client.submit(function, item, pure=False): item for item in islice(pending, max(0, count))}
        running.update(submitted)
        return list(submitted)

    limit, checked_at = most or _task_limit(client), time.monotonic()
    completed: Any = as_completed(submit(limit))  # type: ignore[no-untyped-call]
    while True:
        with stop.waiting():
            future = next(completed, None)
        if future is None:
            return
        if future.cancelled():
            raise CannotWork(
                "the connection to the Dask scheduler was lost. Finished results are kept; the next run continues"
            )
        error = future.exception()
        yield running.pop(future), future.result() if error is None else error
        future.release()
        if time.monotonic() - checked_at > _THREAD_CHECK_S:
            limit, checked_at = most or _task_limit(client), time.monotonic()
        for task in submit(limit - len(running)):
            completed.add(task)


def _task_limit(client: Any) -> int:
    """Return how many tasks to submit at a time; it changes as workers join and leave."""
    threads: int = sum(client.nthreads().values())
    return PREFETCH * max(1, threads)


def _analyse_bundle(bundle: Bundle, work: JobSettings) -> list[Result]:
    """Analyse a bundle of recordings in a worker."""
    _prepare_worker(work.model, work.model_hash, work.version, work.output, work.folders)
    return [_analyse_with_timeout(job, work) for job in bundle]


def _analyse_with_timeout(job: Job, work: JobSettings) -> Result:
    """Analyse a recording; if its decoder hangs, the worker process exits, since a single thread cannot be ended."""
    timer = threading.Timer(timeout_s(job.recording.size), os._exit, (1,))
    timer.daemon = True
    timer.start()
    try:
        return analyse_job(job, work)
    finally:
        timer.cancel()


@lru_cache(maxsize=4)
def _prepare_worker(model: str, expected_hash: str, version: str, output: Path, folders: tuple[Path, ...]) -> None:
    """Prepare a worker, once per process; raises CannotWork if its results would differ from those of others."""
    import socket

    from threadpoolctl import threadpool_limits

    from analyzer.runtime.environment import keep_private

    host = socket.gethostname()
    if version != __version__:
        raise CannotWork(f"the worker on {host} has version {__version__} of this tool, and this is {version}")
    if model_hash(find_model(model)) != expected_hash:
        raise CannotWork(f"the worker on {host} has another model {show(model)} than this machine")
    for path in (*folders, output / FILE_NAME):
        if not path.exists():
            raise CannotWork(f"the worker on {host} does not see {show(str(path))}: mount it there, too")
    keep_private()
    # Sums must not depend on the number of threads that compute them; the worker runs its tasks in parallel anyway.
    threadpool_limits(1)
