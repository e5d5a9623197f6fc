"""`call-emotions listen`: it writes lines while the pipe is open, and ends correctly however it is ended."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.api import EmotionStream
from analyzer.commands import listen as live
from analyzer.commands.listen import ListenSettings
from analyzer.commands.main import main
from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError
from analyzer.report.interchange import json_line
from analyzer.runtime.signals import StopSignals
from analyzer.store.outputs import TIMELINE_COLUMNS
from analyzer.timeline.timeline import ordered
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.listening import RATE, listen_to, raw, two_speakers
from tests.helpers.streams import wait_until_processed


def test_lines_equal_stream_rows(two_channels: ListenSettings) -> None:
    sound = two_speakers()
    stream = EmotionStream(RATE, 2, two_channels.model)
    rows = ordered(stream.push(sound) + stream.finish())
    expected = [json_line(None, row, stream.speakers[row.channel - 1]) for row in rows]
    assert len(expected) >= 5
    assert sorted(listen_to(two_channels, [raw(sound)])) == sorted(expected)


def test_line_has_timeline_columns(two_channels: ListenSettings) -> None:
    for line in map(json.loads, listen_to(two_channels, [raw(two_speakers())])):
        assert tuple(line) == TIMELINE_COLUMNS
        assert line["confidence"] == max(line[emotion] for emotion in EMOTIONS)
        assert line["speaker"] == f"channel {line['channel']}"


@settings(max_examples=25)
@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=12))
def test_lines_do_not_depend_on_block_size(two_channels: ListenSettings, sizes: list[int]) -> None:
    data, start, pieces = raw(two_speakers()[:, :60_000]), 0, []
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    assert sorted(listen_to(two_channels, [*pieces, data[start:]])) == sorted(listen_to(two_channels, [data]))


@pytest.mark.parametrize("extra_bytes", [1, 2, 3])
def test_incomplete_last_sample_is_ignored(two_channels: ListenSettings, extra_bytes: int) -> None:
    data = raw(two_speakers())
    assert listen_to(two_channels, [data, b"\xff" * extra_bytes]) == listen_to(two_channels, [data])


@pytest.mark.parametrize("pieces", [[], [b"x"], [bytes(4)], [bytes(40_000)]])
def test_silence_prints_nothing(two_channels: ListenSettings, pieces: list[bytes]) -> None:
    assert listen_to(two_channels, pieces) == []


def test_masked_emotions_are_null(tiny_model: Path) -> None:
    listen_settings = ListenSettings(
        channels=2, model=str(tiny_model), speakers=("agent", "customer"), only=frozenset(["customer"])
    )
    lines = [json.loads(line) for line in listen_to(listen_settings, [raw(two_speakers())])]
    masked_lines = [line for line in lines if line["speaker"] == "agent"]
    assert masked_lines
    assert all(line[key] is None for line in masked_lines for key in ("emotion", "confidence", *EMOTIONS))
    assert all(line["emotion"] for line in lines if line["speaker"] == "customer")


def test_terminal_as_input_is_refused(two_channels: ListenSettings) -> None:
    controlling, terminal = pty.openpty()
    try:
        with os.fdopen(terminal, "rb") as source, StopSignals() as stop, pytest.raises(UsageError, match="ffmpeg"):
            live.run(two_channels, source, io.StringIO(), stop)
    finally:
        os.close(controlling)


def test_wav_file_as_input_is_refused(two_channels: ListenSettings, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", voices.call(3, [(1, 2)]))
    with open(path, "rb") as source, StopSignals() as stop, pytest.raises(UsageError, match="format wav"):
        live.run(two_channels, source, io.StringIO(), stop)


# ---- the command


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "analyzer", "listen", *map(os.fspath, arguments)]


def begin(*arguments: object, **options: object) -> subprocess.Popen:
    """Start the command with pipes as its standard streams."""
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        **options,
    )


#: Two utterances: the first has ended, the second continues to the end.
UTTERANCES = np.rint(voices.call(5, [(0.5, 2), (4, 5)]) * 32767).astype(np.int16)[None]


@pytest.fixture
def listening(tiny_model: Path) -> Iterator[subprocess.Popen]:
    """The running command: UTTERANCES is written to its pipe, which stays open, and the first line is read."""
    with begin("--model", tiny_model) as process:
        process.stdin.write(raw(UTTERANCES))
        line = json.loads(process.stdout.readline())
        assert (line["start"], line["end"]) == (pytest.approx(0.5, abs=0.1), pytest.approx(2, abs=0.1))
        wait_until_processed(process)
        yield process
        process.kill()


def test_line_is_printed_while_pipe_is_open(listening: subprocess.Popen) -> None:
    assert listening.poll() is None
    listening.stdin.write(raw(np.zeros((1, 4000), np.int16)))
    assert json.loads(listening.stdout.readline())["end"] == pytest.approx(5, abs=0.1)
    listening.stdin.close()
    assert (listening.wait(), listening.stdout.read(), listening.stderr.read()) == (0, b"", b"")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_prints_the_last_segment(listening: subprocess.Popen, number: int, status: int) -> None:
    listening.send_signal(number)
    output, messages = listening.stdout.read(), listening.stderr.read()
    assert (listening.wait(), messages) == (status, b"")
    (line,) = map(json.loads, output.splitlines())
    assert line["start"] == pytest.approx(4, abs=0.1)


def test_closed_output_ends_quietly(listening: subprocess.Popen) -> None:
    listening.stdout.close()
    listening.stdin.write(raw(np.zeros((1, 4000), np.int16)))
    assert (listening.wait(), listening.stderr.read()) == (0, b"")


def listen(data: bytes, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), input=data, capture_output=True, env={**os.environ, **environment}, check=False
    )


def test_empty_input_ends_with_0(tiny_model: Path) -> None:
    process = listen(b"", "--model", tiny_model)
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")


def test_lines_are_always_utf_8(tiny_model: Path) -> None:
    process = listen(raw(UTTERANCES), "--model", tiny_model, "--speakers", "Kundin Ä", PYTHONIOENCODING="ascii")
    assert process.returncode == 0
    assert {json.loads(line)["speaker"] for line in process.stdout.decode("utf-8").splitlines()} == {"Kundin Ä"}


@pytest.mark.parametrize(
    ("options", "message"),
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
def test_invalid_option_is_a_usage_error(tiny_model: Path, options: list[str], message: str) -> None:
    process = listen(raw(UTTERANCES), "--model", tiny_model, *options)
    assert (process.returncode, process.stdout) == (2, b"")
    assert message in process.stderr.decode()


def test_missing_model_ends_with_3() -> None:
    process = listen(raw(UTTERANCES), "--model", "no-such-model")
    assert (process.returncode, b"no model at" in process.stderr) == (3, True)


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_closed_stream_is_a_usage_error(tiny_model: Path, closed: str) -> None:
    number = {"stdin": 0, "stdout": 1}[closed]
    code = f"import os, sys; os.close({number}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    arguments = [sys.executable, "-c", code, *command("--model", tiny_model)[1:]]
    process = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (process.returncode, b"closed" in process.stderr) == (2, True)


def test_listen_imports_no_table_package(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(raw(UTTERANCES))
    code = (
        "import sys\nfrom analyzer.commands.main import main\nmain(sys.argv[1:])\n"
        "heavy = {'pandas', 'openpyxl', 'av', 'fsspec', 'joblib', 'sqlite3', 'tqdm', 'jinja2', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", code, "listen", "--model", os.fspath(tiny_model)]
    with open(tmp_path / "raw", "rb") as source:
        process = subprocess.run(arguments, stdin=source, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "[]\n")
    assert process.stdout


def test_help_imports_no_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["listen", "--help"])
    assert ended.value.code == 0
    assert "--rate" in capsys.readouterr().out
    code = "import sys\nfrom analyzer.commands.main import main\ntry: main(['listen', '--help'])\n"
    code += "except SystemExit: pass\n"
    code += "print('numpy' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.endswith("False\n")
