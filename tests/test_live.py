"""`call-emotions listen`: it writes lines while the pipe is open, and ends correctly however it is ended."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import live
from analyzer.api import EmotionStream
from analyzer.cli import main
from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError
from analyzer.live import ListenSettings
from analyzer.outputs import TIMELINE_COLUMNS
from analyzer.report.interchange import json_line
from analyzer.signals import StopSignals
from analyzer.timeline import ordered
from tests import voices
from tests.encoders import write_wav
from tests.streams import wait_until_processed

RATE = 8000


def two_speakers() -> np.ndarray:
    """Return two speakers, shaped (2, samples), int16."""
    caller = voices.call(12, [(1, 4.4), (9, 10.2)], seed=1, pitch=200)
    agent = voices.call(12, [(4.5, 8.5)], seed=2, pitch=110)
    return np.rint(np.stack([caller, agent]) * 32767).astype(np.int16)


def raw(sound: np.ndarray) -> bytes:
    """Return samples as raw PCM."""
    return np.ascontiguousarray(sound.T).astype("<i2").tobytes()


@contextmanager
def piped(pieces: list[bytes]) -> Iterator[BinaryIO]:
    """Open a pipe into which these pieces are written one after the other; yields its reading end."""
    reading, writing = os.pipe()

    def write() -> None:
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)

    writer = threading.Thread(target=write)
    with os.fdopen(reading, "rb") as source:
        writer.start()
        yield source
        writer.join()


def heard(settings: ListenSettings, pieces: list[bytes]) -> list[str]:
    """Return the lines for a sound that arrives in these pieces."""
    sink = io.StringIO()
    with piped(pieces) as source, StopSignals() as stop:
        assert live.run(settings, source, sink, stop) == 0
    return sink.getvalue().splitlines()


@pytest.fixture(scope="module")
def two(tiny_model: Path) -> ListenSettings:
    return ListenSettings(channels=2, model=str(tiny_model))


def test_lines_tell_what_the_stream_tells(two: ListenSettings) -> None:
    sound = two_speakers()
    stream = EmotionStream(RATE, 2, two.model)
    rows = ordered(stream.push(sound) + stream.finish())
    expected = [json_line(None, row, stream.speakers[row.channel - 1]) for row in rows]
    assert len(expected) >= 5
    assert sorted(heard(two, [raw(sound)])) == sorted(expected)


def test_a_line_has_the_columns_of_a_timeline(two: ListenSettings) -> None:
    for line in map(json.loads, heard(two, [raw(two_speakers())])):
        assert tuple(line) == TIMELINE_COLUMNS
        assert line["confidence"] == max(line[emotion] for emotion in EMOTIONS)
        assert line["speaker"] == f"channel {line['channel']}"


@settings(max_examples=25)
@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=12))
def test_it_does_not_matter_how_the_bytes_come(two: ListenSettings, sizes: list[int]) -> None:
    data, at, pieces = raw(two_speakers()[:, :60_000]), 0, []
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    assert sorted(heard(two, [*pieces, data[at:]])) == sorted(heard(two, [data]))


@pytest.mark.parametrize("more", [1, 2, 3])
def test_what_is_no_whole_sample_at_the_end_is_left_out(two: ListenSettings, more: int) -> None:
    data = raw(two_speakers())
    assert heard(two, [data, b"\xff" * more]) == heard(two, [data])


@pytest.mark.parametrize("pieces", [[], [b"x"], [bytes(4)], [bytes(40_000)]])
def test_without_sound_it_says_nothing(two: ListenSettings, pieces: list[bytes]) -> None:
    assert heard(two, pieces) == []


def test_of_whom_nobody_may_listen_to_emotions_are_null(tiny_model: Path) -> None:
    masked = ListenSettings(
        channels=2, model=str(tiny_model), speakers=("agent", "customer"), only=frozenset(["customer"])
    )
    lines = [json.loads(line) for line in heard(masked, [raw(two_speakers())])]
    by_agent = [line for line in lines if line["speaker"] == "agent"]
    assert by_agent
    assert all(line[key] is None for line in by_agent for key in ("emotion", "confidence", *EMOTIONS))
    assert all(line["emotion"] for line in lines if line["speaker"] == "customer")


def test_a_terminal_is_told_what_to_pipe(two: ListenSettings) -> None:
    controlling, terminal = pty.openpty()
    try:
        with os.fdopen(terminal, "rb") as source, StopSignals() as stop, pytest.raises(UsageError, match="ffmpeg"):
            live.run(two, source, io.StringIO(), stop)
    finally:
        os.close(controlling)


def test_a_file_that_is_no_raw_sound_is_refused(two: ListenSettings, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", voices.call(3, [(1, 2)]))
    with open(path, "rb") as source, StopSignals() as stop, pytest.raises(UsageError, match="format wav"):
        live.run(two, source, io.StringIO(), stop)


# ---- the command


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "analyzer", "listen", *map(os.fspath, arguments)]


def begin(*arguments: object, **more: object) -> subprocess.Popen:
    """Start the command with pipes as its standard streams."""
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        **more,
    )


#: Two utterances: the first has ended, the second continues to the end.
SAID = np.rint(voices.call(5, [(0.5, 2), (4, 5)]) * 32767).astype(np.int16)[None]


@pytest.fixture
def listening(tiny_model: Path) -> Iterator[subprocess.Popen]:
    """The running command: SAID is written to its pipe, which stays open, and the first line is read."""
    with begin("--model", tiny_model) as process:
        process.stdin.write(raw(SAID))
        line = json.loads(process.stdout.readline())
        assert (line["start"], line["end"]) == (pytest.approx(0.5, abs=0.1), pytest.approx(2, abs=0.1))
        wait_until_processed(process)
        yield process
        process.kill()


def test_a_line_comes_while_the_pipe_is_open(listening: subprocess.Popen) -> None:
    assert listening.poll() is None
    listening.stdin.write(raw(np.zeros((1, 4000), np.int16)))
    assert json.loads(listening.stdout.readline())["end"] == pytest.approx(5, abs=0.1)
    listening.stdin.close()
    assert (listening.wait(), listening.stdout.read(), listening.stderr.read()) == (0, b"", b"")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_what_is_in_hand(listening: subprocess.Popen, number: int, status: int) -> None:
    listening.send_signal(number)
    rest, said = listening.stdout.read(), listening.stderr.read()
    assert (listening.wait(), said) == (status, b"")
    (line,) = map(json.loads, rest.splitlines())
    assert line["start"] == pytest.approx(4, abs=0.1)


def test_it_ends_quietly_when_nobody_reads_on(listening: subprocess.Popen) -> None:
    listening.stdout.close()
    listening.stdin.write(raw(np.zeros((1, 4000), np.int16)))
    assert (listening.wait(), listening.stderr.read()) == (0, b"")


def listen(data: bytes, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), input=data, capture_output=True, env={**os.environ, **environment}, check=False
    )


def test_without_any_input_it_ends_well(tiny_model: Path) -> None:
    done = listen(b"", "--model", tiny_model)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_lines_are_utf_8_whatever_the_terminal_is(tiny_model: Path) -> None:
    done = listen(raw(SAID), "--model", tiny_model, "--speakers", "Kundin Ä", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert {json.loads(line)["speaker"] for line in done.stdout.decode("utf-8").splitlines()} == {"Kundin Ä"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rate", "500"], "1,000 to 384,000"),
        (["--rate", "8k"], "whole number"),
        (["--channels", "0"], "1 to 32"),
        (["--prior", "flat"], "invalid choice"),
        (["--sensitivity", "medium"], "invalid choice"),
        (["--only", "customer"], "--only needs to know who speaks"),
        (["--speakers", "agent,customer", "--only", "boss"], "boss"),
        (["--speakers", "agent,agent"], "twice"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(tiny_model: Path, options: list[str], told: str) -> None:
    done = listen(raw(SAID), "--model", tiny_model, *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert told in done.stderr.decode()


def test_a_model_that_is_not_there_ends_with_3() -> None:
    done = listen(raw(SAID), "--model", "no-such-model")
    assert (done.returncode, b"no model at" in done.stderr) == (3, True)


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_where_a_pipe_is_closed_from_the_start_it_is_a_usage_error(tiny_model: Path, closed: str) -> None:
    number = {"stdin": 0, "stdout": 1}[closed]
    code = f"import os, sys; os.close({number}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    asked = [sys.executable, "-c", code, *command("--model", tiny_model)[1:]]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, b"closed" in done.stderr) == (2, True)


def test_to_listen_loads_nothing_that_only_tables_need(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(raw(SAID))
    code = (
        "import sys\nfrom analyzer.cli import main\nmain(sys.argv[1:])\n"
        "heavy = {'pandas', 'openpyxl', 'av', 'fsspec', 'joblib', 'sqlite3', 'tqdm', 'jinja2', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    asked = [sys.executable, "-c", code, "listen", "--model", os.fspath(tiny_model)]
    with open(tmp_path / "raw", "rb") as source:
        done = subprocess.run(asked, stdin=source, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout


def test_its_help_is_answered_without_anything_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["listen", "--help"])
    assert ended.value.code == 0
    assert "--rate" in capsys.readouterr().out
    code = "import sys\nfrom analyzer.cli import main\ntry: main(['listen', '--help'])\nexcept SystemExit: pass\n"
    code += "print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
