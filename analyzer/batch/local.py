"""Worker processes. Each analyses one recording at a time: if it dies or hangs, only that recording is affected.

For the analysis, each worker is a separate executor of loky, which is part of joblib. If one breaks, it is known which
recording it was analysing, and the others continue.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice, takewhile
from typing import TypeVar

from analyzer.audio.stream import format_duration
from analyzer.batch.job import NOT_ANALYSED, JobSettings, Result, analyse_job, failed
from analyzer.batch.plan import Job
from analyzer.errors import CallEmotionsError, CannotWork, UnreadableRecording
from analyzer.model.classifier import find_model, load_classifier
from analyzer.runtime.pool import Process, is_death
from analyzer.runtime.signals import StopSignals

#: Timeout of a recording, after which its decoder is considered hung: seconds to start a process, plus the size of the
#: recording at a rate in bytes per second that a slow machine reaches even with the densest encoding.
MIN_TIMEOUT_S, BYTES_PER_S = 120.0, 20_000
#: Attempts to start a process before the machine is considered at fault, and seconds between them: memory may be short
#: for a moment.
_STARTS, _RETRY_DELAY_S = 10, 0.5

Item = TypeVar("Item")


def analyse_here(
    jobs: Sequence[Job], work: JobSettings, processes: int, stop: StopSignals, ends_at: float | None = None
) -> Iterator[Result]:
    """Analyse recordings in processes of this machine; yield the results in the order in which they are finished.

    A recording whose process died is retried once at the end, when no other process runs; if that process dies, too,
    the recording has failed. No recording is started after `ends_at` (time.monotonic). Raises CannotWork if processes
    die before they have a recording.
    """
    from joblib import cpu_count

    # Processes that share a core evict each other's data from its cache: four on two cores took a tenth longer.
    slots = [_Slot() for _ in range(min(processes, cpu_count(), len(jobs)))]
    pending, suspects = until(ends_at, jobs), []
    running = {slot.begin(job, work): slot for slot, job in zip(slots, pending, strict=False)}
    try:
        while running:
            for future in _wait_for_finished(running, stop):
                slot = running.pop(future)
                job, result = slot.item, slot.result(work)
                running |= {slot.begin(next_job, work): slot for next_job in islice(pending, 1)}
                if result:
                    yield result
                else:
                    suspects.append(job)
        for slot in slots:
            slot.end()
        for job in until(ends_at, suspects):
            yield _analyse_alone(job, work, stop)
    finally:
        for slot in slots:
            slot.end()


def until(ends_at: float | None, items: Iterable[Item]) -> Iterator[Item]:
    """Return the items until the time `ends_at` (time.monotonic), without a limit if it is None."""
    return takewhile(lambda _: ends_at is None or time.monotonic() < ends_at, items)


def timeout_s(size: int) -> float:
    """Return the timeout in seconds for a recording of `size` bytes."""
    return MIN_TIMEOUT_S + size / BYTES_PER_S


class _Slot(Process):
    """A worker process, and the recording that it analyses."""

    item: Job
    _deadline = 0.0
    _timed_out = False

    def begin(self, item: Job, work: JobSettings) -> "Future[Result]":
        """Start the analysis of a recording, in a new process if the last one has ended."""
        self.item, self._timed_out = item, False
        self._deadline = time.monotonic() + timeout_s(item.recording.size)
        return self.submit(analyse_job, item, work)

    def result(self, work: JobSettings) -> Result | None:
        """Return the result of the recording, None if the process died; raises errors that end the run."""
        assert self.future
        error = self.future.exception()
        if error is None:
            result: Result = self.future.result()
            return result
        if not (self._timed_out or is_death(error)):
            if isinstance(error, CallEmotionsError) or not isinstance(error, Exception):
                raise error
            return failed(self.item, error, work.mask, NOT_ANALYSED)
        self.end()
        if not self._timed_out:
            return None
        timeout = format_duration(timeout_s(self.item.recording.size))
        hung_error = UnreadableRecording(f"it was not done after {timeout}: its decoder hangs")
        return failed(self.item, hung_error, work.mask)

    def end_if_late(self) -> None:
        """End the process if its recording has exceeded the timeout."""
        if time.monotonic() >= self._deadline:
            self._timed_out = True
            self.end()


def _wait_for_finished(running: dict["Future[Result]", _Slot], stop: StopSignals) -> "set[Future[Result]]":
    """Wait until recordings are done and return their futures; hung processes are ended meanwhile."""
    while True:
        with stop.waiting():
            done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
        if done:
            return done
        for slot in running.values():
            slot.end_if_late()


def _analyse_alone(job: Job, work: JobSettings, stop: StopSignals) -> Result:
    """Analyse a recording again in a separate process, after the process that analysed it died."""
    slot = _ready_slot(work, stop)
    try:
        future = slot.begin(job, work)
        _wait_for_finished({future: slot}, stop)
        error = UnreadableRecording("its worker process died twice, out of memory or in a decoder")
        return slot.result(work) or failed(job, error, work.mask)
    finally:
        slot.end()


def _ready_slot(work: JobSettings, stop: StopSignals) -> _Slot:
    """Start a process and load the model in it, so that the recording is at fault if the process dies later.

    Raises CannotWork if processes die before they have a recording.
    """
    for _ in range(_STARTS):
        slot = _Slot()
        try:
            with stop.waiting():
                slot.submit(_load_model, work).result(timeout=MIN_TIMEOUT_S)
        except BaseException as error:
            slot.end()
            if not is_death(error):
                raise
            with stop.waiting():
                time.sleep(_RETRY_DELAY_S)
        else:
            return slot
    raise CannotWork(
        "worker processes die before they get a recording: the machine may be out of memory. Finished results are "
        "kept; the next run continues"
    )


def _load_model(work: JobSettings) -> None:
    load_classifier(find_model(work.model), work.prior, work.sensitivity)
