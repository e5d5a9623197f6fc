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
from analyzer.audio import open_audio
from tests.streams import told_live, wait_until_processed

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
def test_streams_tell_exactly_what_files_tell_of_real_speech(model: str) -> None:
    paths = sorted(REAL_CALLS.glob("*.wav"))
    assert paths, f"the slow suite needs the real recordings at {REAL_CALLS}"
    told = [(told_live(path, model), analyze(path, model).rows) for path in paths]
    assert all(live == of_file for live, of_file in told)
    assert sum(row.end - row.start for live, _ in told for row in live) > 400


def listening(model: str, lines_to: int = subprocess.PIPE) -> subprocess.Popen:
    command = [sys.executable, "-m", "analyzer", "listen", "--channels", "2", "--model", model]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=lines_to, bufsize=0)


@pytest.mark.parametrize("model", ["default", "accurate"])
def test_lines_of_a_call_that_goes_on_come_within_a_second(call: bytes, model: str) -> None:
    """A line is less than a second of sound late, and CPU time is less than the length of the sound, under any load."""
    seconds, piece_s = 60, 0.02
    late: list[float] = []
    size = round(piece_s * 8000) * 4
    with listening(model) as process:
        assert process.stdin and process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        for k in range(round(seconds / piece_s)):
            process.stdin.write(call[k * size : (k + 1) * size])
            wait_until_processed(process)
            lines = (process.stdout.read() or b"").splitlines()
            late += [(k + 1) * piece_s - json.loads(line)["end"] for line in lines]
        used = psutil.Process(process.pid).cpu_times()
        process.stdin.close()
    assert len(late) > 25
    assert max(late) < 1
    assert used.user + used.system < seconds


def test_hours_of_sound_take_no_more_memory_than_minutes(call: bytes) -> None:
    held_mb = []
    with listening("default", subprocess.DEVNULL) as process:
        assert process.stdin
        for _ in range(31):
            process.stdin.write(call)
            held_mb.append(psutil.Process(process.pid).memory_info().rss / 1e6)
        process.stdin.close()
    assert process.returncode == 0
    assert max(held_mb) < 200
    assert held_mb[-1] < held_mb[1] + 10
