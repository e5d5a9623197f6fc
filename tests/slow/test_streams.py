"""Streaming with real recordings, piece by piece, and with hours of sound."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from analyzer.api import analyze
from analyzer.audio.reader import open_audio
from tests.helpers.streams import live_rows, wait_until_processed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

REAL_CALLS = Path(__file__).parents[3] / "shared" / "calls"
AUTO2 = REAL_CALLS / "Auto2_GUID_002_AGENT_SteveE_DT_2025-02-20T08-02-20.wav"


@pytest.fixture(scope="module")
def call() -> bytes:
    """A real call of four minutes between two speakers, as a pipe carries it: 8 kHz, 16 bits."""
    assert AUTO2.is_file(), f"the slow suite needs the real recordings at {REAL_CALLS}"
    with open_audio(AUTO2) as file:
        sound = np.concatenate(list(file.blocks()), axis=1)
    return np.ascontiguousarray(np.rint(sound * 32768).T).astype("<i2").tobytes()


@pytest.mark.parametrize("model", ["default", "accurate"])
def test_stream_rows_equal_file_rows(model: str) -> None:
    paths = sorted(REAL_CALLS.glob("*.wav"))
    assert paths, f"the slow suite needs the real recordings at {REAL_CALLS}"
    results = [(live_rows(path, model), analyze(path, model).rows) for path in paths]
    assert all(live == from_file for live, from_file in results)
    assert sum(row.end - row.start for live, _ in results for row in live) > 400


def listen_process(model: str, output: int = subprocess.PIPE) -> subprocess.Popen:
    command = [sys.executable, "-m", "analyzer", "listen", "--channels", "2", "--model", model]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, bufsize=0)


@pytest.mark.parametrize("model", ["default", "accurate"])
def test_lines_arrive_within_a_second(call: bytes, model: str) -> None:
    """Lines come less than a second of sound late; CPU time is less than the length of the sound, under any load."""
    seconds, piece_s = 60, 0.02
    delays: list[float] = []
    size = round(piece_s * 8000) * 4
    with listen_process(model) as process:
        assert process.stdin and process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        for number in range(round(seconds / piece_s)):
            process.stdin.write(call[number * size : (number + 1) * size])
            wait_until_processed(process)
            lines = (process.stdout.read() or b"").splitlines()
            delays += [(number + 1) * piece_s - json.loads(line)["end"] for line in lines]
        used = psutil.Process(process.pid).cpu_times()
        process.stdin.close()
    assert len(delays) > 25
    assert max(delays) < 1
    assert used.user + used.system < seconds


def test_memory_does_not_grow_with_hours(call: bytes) -> None:
    memory_mb = []
    with listen_process("default", subprocess.DEVNULL) as process:
        assert process.stdin
        for _ in range(31):
            process.stdin.write(call)
            memory_mb.append(psutil.Process(process.pid).memory_info().rss / 1e6)
        process.stdin.close()
    assert process.returncode == 0
    assert max(memory_mb) < 200
    assert memory_mb[-1] < memory_mb[1] + 10
