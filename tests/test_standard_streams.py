"""Standard streams that are closed, non-blocking, full or without a reader neither end a run nor lose a line."""

import fcntl
import io
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import live, standard_streams
from analyzer.live import ListenSettings
from analyzer.signals import StopSignals
from analyzer.standard_streams import read_some, write_all
from tests.nights import Night, contents
from tests.test_live import heard, raw, two, two_speakers

__all__ = ["two"]  # fixture

EVERY_CLOSED = "0<&- 1>&- 2>&-"


def with_streams(redirections: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in a separate process, with its streams redirected by a shell."""
    script = f'exec "$@" {redirections}'
    command = [sys.executable, "-m", "analyzer", *map(os.fspath, arguments)]  # type: ignore[call-overload]
    return subprocess.run(["sh", "-c", script, "sh", *command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirections", ["1>&-", "2>&-", EVERY_CLOSED, "1>/dev/full 2>/dev/full"])
def test_a_run_with_worker_processes_does_all_its_work(
    good_night: Night, tmp_path: Path, tiny_model: Path, redirections: str
) -> None:
    ran = with_streams(
        redirections,
        *("analyze", good_night.calls, "-o", tmp_path / "out", "--model", tiny_model, "-j", "2", "-v"),
    )
    assert ran.returncode == 0
    assert contents(tmp_path / "out") == contents(good_night.output)
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["report", "prune", "doctor"])
def test_the_other_commands_work_with_every_stream_closed(good_night: Night, tmp_path: Path, command: str) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "ledger.sqlite").write_bytes((good_night.output / "ledger.sqlite").read_bytes())
    arguments = {
        "report": ["report", output, "--format", "csv"],
        "prune": ["prune", "-o", output, "--match", "*silence.wav"],
        "doctor": ["doctor", "-o", output],
    }[command]
    assert with_streams(EVERY_CLOSED, *arguments).returncode == 0
    if command != "doctor":
        files = (output / "files.csv").read_text()
        assert ("silence.wav" in files, "noise.wav" in files) == (command == "report", True)


@pytest.mark.parametrize("command", ["doctor", "analyze", "prune"])
def test_lines_that_are_asked_for_and_cannot_be_printed_are_a_failure(good_night: Night, command: str) -> None:
    arguments = {
        "doctor": ["doctor"],
        "analyze": ["analyze", good_night.calls, "-o", good_night.output, "--dry-run", "--force"],
        "prune": ["prune", "-o", good_night.output, "--match", "*", "--dry-run"],
    }[command]
    ran = with_streams(">/dev/full", *arguments)
    assert ran.returncode == 3
    assert "standard output cannot be written: No space left on device" in ran.stderr


def test_a_reader_who_leaves_ends_nothing(good_night: Night) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "analyzer", "prune", "-o", good_night.output, "--match", "*", "--dry-run"]
    ran = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("redirections", ["<&-", ">&-"])
def test_listen_needs_both_of_its_streams(redirections: str) -> None:
    ran = with_streams(redirections, "listen")
    assert ran.returncode == 2
    assert "one of them is closed" in ran.stderr


# Non-blocking pipes.


def non_blocking(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_NONBLOCK)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, non-blocking."""
    ends = os.pipe()
    for end in ends:
        non_blocking(end)
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An event that is set once the tool waits for a stream."""
    event, really = threading.Event(), select.select

    def wait(*some: object) -> object:
        event.set()
        return really(*some)  # type: ignore[call-overload]

    monkeypatch.setattr(standard_streams.select, "select", wait)
    return event


def fill(descriptor: int) -> int:
    """Write into a pipe until it is full; return the number of bytes."""
    written = 0
    for size in (4096, 1):
        while True:
            try:
                written += os.write(descriptor, b"." * size)
            except BlockingIOError:
                break
    return written


def drained(descriptor: int, after: threading.Event) -> tuple[threading.Thread, bytearray]:
    """Return a thread that reads a pipe to its end once an event is set, and what it reads."""
    read = bytearray()

    def drain() -> None:
        after.wait()
        while data := read_some(descriptor, 1000):
            read.extend(data)

    thread = threading.Thread(target=drain)
    thread.start()
    return thread, read


@given(st.binary(max_size=300_000))
def test_every_byte_is_written_into_a_pipe_however_little_that_takes(data: bytes) -> None:
    reading, writing = os.pipe()
    non_blocking(writing)
    begun = threading.Event()
    begun.set()
    thread, read = drained(reading, begun)
    write_all(writing, data)
    os.close(writing)
    thread.join()
    os.close(reading)
    assert read == data


@pytest.mark.parametrize("buffering", ["of the command", "of Python"])
def test_listen_waits_for_a_pipe_that_takes_no_more(
    two: ListenSettings, pipe: tuple[int, int], waited: threading.Event, buffering: str
) -> None:
    data = raw(two_speakers())
    expected = heard(two, [data])
    before = fill(pipe[1])
    waited.clear()
    if buffering == "of Python":
        sink: io.TextIOWrapper = os.fdopen(pipe[1], "w", closefd=False)  # type: ignore[assignment]
    else:
        sink = standard_streams._lasting(None, pipe[1], False)  # type: ignore[assignment]
    thread, read = drained(pipe[0], waited)
    reading, feeding = os.pipe()
    feeder = writer(feeding, data)
    with os.fdopen(reading, "rb") as source, StopSignals() as stop:
        assert live.run(two, source, sink, stop) == 0
    os.close(pipe[1])
    for other in (thread, feeder):
        other.join()
    assert waited.is_set()
    assert read[before:].decode().splitlines() == expected


def writer(descriptor: int, data: bytes) -> threading.Thread:
    """Return a thread that writes the data into a pipe and closes it."""

    def write() -> None:
        write_all(descriptor, data)
        os.close(descriptor)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_listen_waits_for_sound_from_a_pipe_that_has_none_yet(
    two: ListenSettings, pipe: tuple[int, int], waited: threading.Event
) -> None:
    data = raw(two_speakers())
    expected = heard(two, [data])

    def write() -> None:
        waited.wait()
        write_all(pipe[1], data)
        os.close(pipe[1])

    thread = threading.Thread(target=write)
    thread.start()
    sink = io.StringIO()
    with os.fdopen(pipe[0], "rb", closefd=False) as source, StopSignals() as stop:
        assert live.run(two, source, sink, stop) == 0
    thread.join()
    assert sink.getvalue().splitlines() == expected


def test_the_command_listen_loses_no_line_in_non_blocking_pipes(two: ListenSettings) -> None:
    data = raw(two_speakers())
    (source, feeding), (reading, sink) = os.pipe(), os.pipe()
    for end in (source, sink):
        non_blocking(end)
    before = fill(sink)
    command = [sys.executable, "-m", "analyzer", "listen", "--channels", "2", "--model", two.model]
    process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
    for end in (source, sink):
        os.close(end)
    feeder = writer(feeding, data)
    with os.fdopen(reading, "rb") as lines:
        read = lines.read()
    _, said = process.communicate()
    feeder.join()
    assert (process.returncode, said) == (0, b"")
    assert read[before:].decode().splitlines() == heard(two, [data])
