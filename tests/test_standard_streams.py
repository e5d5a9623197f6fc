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

from analyzer.commands import listen as live
from analyzer.commands.listen import ListenSettings
from analyzer.runtime import standard_streams
from analyzer.runtime.signals import StopSignals
from analyzer.runtime.standard_streams import read_some, write_all
from tests.helpers.listening import listen_to, raw, two_speakers
from tests.helpers.runs import Run, contents

ALL_CLOSED = "0<&- 1>&- 2>&-"


def with_streams(redirections: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in a separate process, with its streams redirected by a shell."""
    script = f'exec "$@" {redirections}'
    command = [sys.executable, "-m", "analyzer", *map(os.fspath, arguments)]  # type: ignore[call-overload]
    return subprocess.run(["sh", "-c", script, "sh", *command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("redirections", ["1>&-", "2>&-", ALL_CLOSED, "1>/dev/full 2>/dev/full"])
def test_run_with_workers_is_complete(good_run: Run, tmp_path: Path, tiny_model: Path, redirections: str) -> None:
    process = with_streams(
        redirections,
        *("analyze", good_run.calls, "-o", tmp_path / "out", "--model", tiny_model, "-j", "2", "-v"),
    )
    assert process.returncode == 0
    assert contents(tmp_path / "out") == contents(good_run.output)
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("command", ["report", "prune", "doctor"])
def test_other_commands_work_with_closed_streams(good_run: Run, tmp_path: Path, command: str) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "ledger.sqlite").write_bytes((good_run.output / "ledger.sqlite").read_bytes())
    arguments = {
        "report": ["report", output, "--format", "csv"],
        "prune": ["prune", "-o", output, "--match", "*silence.wav"],
        "doctor": ["doctor", "-o", output],
    }[command]
    assert with_streams(ALL_CLOSED, *arguments).returncode == 0
    if command != "doctor":
        files = (output / "files.csv").read_text()
        assert ("silence.wav" in files, "noise.wav" in files) == (command == "report", True)


@pytest.mark.parametrize("command", ["doctor", "analyze", "prune"])
def test_unprintable_output_is_a_failure(good_run: Run, command: str) -> None:
    arguments = {
        "doctor": ["doctor"],
        "analyze": ["analyze", good_run.calls, "-o", good_run.output, "--dry-run", "--force"],
        "prune": ["prune", "-o", good_run.output, "--match", "*", "--dry-run"],
    }[command]
    process = with_streams(">/dev/full", *arguments)
    assert process.returncode == 3
    assert "standard output cannot be written: No space left on device" in process.stderr


def test_leaving_reader_is_no_error(good_run: Run) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "analyzer", "prune", "-o", good_run.output, "--match", "*", "--dry-run"]
    process = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("redirections", ["<&-", ">&-"])
def test_listen_needs_both_of_its_streams(redirections: str) -> None:
    process = with_streams(redirections, "listen")
    assert process.returncode == 2
    assert "one of them is closed" in process.stderr


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
    event, original = threading.Event(), select.select

    def wait(*arguments: object) -> object:
        event.set()
        return original(*arguments)  # type: ignore[call-overload]

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


def drained(descriptor: int, may_start: threading.Event) -> tuple[threading.Thread, bytearray]:
    """Return a thread that reads a pipe to its end once an event is set, and what it reads."""
    read = bytearray()

    def drain() -> None:
        may_start.wait()
        while data := read_some(descriptor, 1000):
            read.extend(data)

    thread = threading.Thread(target=drain)
    thread.start()
    return thread, read


@given(st.binary(max_size=300_000))
def test_write_all_writes_every_byte(data: bytes) -> None:
    reading, writing = os.pipe()
    non_blocking(writing)
    may_start = threading.Event()
    may_start.set()
    thread, read = drained(reading, may_start)
    write_all(writing, data)
    os.close(writing)
    thread.join()
    os.close(reading)
    assert read == data


@pytest.mark.parametrize("buffering", ["of the command", "of Python"])
def test_listen_waits_for_a_full_output_pipe(
    two_channels: ListenSettings, pipe: tuple[int, int], waited: threading.Event, buffering: str
) -> None:
    data = raw(two_speakers())
    expected = listen_to(two_channels, [data])
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
        assert live.run(two_channels, source, sink, stop) == 0
    os.close(pipe[1])
    for started in (thread, feeder):
        started.join()
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


def test_listen_waits_for_an_empty_input_pipe(
    two_channels: ListenSettings, pipe: tuple[int, int], waited: threading.Event
) -> None:
    data = raw(two_speakers())
    expected = listen_to(two_channels, [data])

    def write() -> None:
        waited.wait()
        write_all(pipe[1], data)
        os.close(pipe[1])

    thread = threading.Thread(target=write)
    thread.start()
    sink = io.StringIO()
    with os.fdopen(pipe[0], "rb", closefd=False) as source, StopSignals() as stop:
        assert live.run(two_channels, source, sink, stop) == 0
    thread.join()
    assert sink.getvalue().splitlines() == expected


def test_listen_command_loses_no_line(two_channels: ListenSettings) -> None:
    data = raw(two_speakers())
    (source, feeding), (reading, sink) = os.pipe(), os.pipe()
    for end in (source, sink):
        non_blocking(end)
    before = fill(sink)
    command = [sys.executable, "-m", "analyzer", "listen", "--channels", "2", "--model", two_channels.model]
    process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
    for end in (source, sink):
        os.close(end)
    feeder = writer(feeding, data)
    with os.fdopen(reading, "rb") as lines:
        read = lines.read()
    _, messages = process.communicate()
    feeder.join()
    assert (process.returncode, messages) == (0, b"")
    assert read[before:].decode().splitlines() == listen_to(two_channels, [data])
