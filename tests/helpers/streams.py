"""Helpers for the analysis of sound as a stream."""

import fcntl
import struct
import subprocess
import termios
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil

from analyzer.api import EmotionStream
from analyzer.audio.reader import open_audio
from analyzer.timeline.timeline import Row, ordered


def streamed(stream: EmotionStream, sound: np.ndarray, sizes: list[int]) -> list[Row]:
    """Return the rows for a sound that is pushed in pieces of these sizes, used in turn."""
    rows, at, size = [], 0, cycle(sizes)
    while at < sound.shape[-1]:
        step = next(size)
        rows += stream.push(sound[..., at : at + step])
        at += step
    return rows + stream.finish()


def live_rows(path: Path, model: str, block_s: float = 0.1) -> tuple[Row, ...]:
    """Return the rows for a recording that is pushed as a stream, in the order of a timeline."""
    with open_audio(path) as file:
        sound, rate = np.concatenate(list(file.blocks()), axis=1), file.rate
    return tuple(ordered(streamed(EmotionStream(rate, len(sound), model), sound, [round(block_s * rate)])))


def wait_until_processed(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has read and processed everything in its input pipe."""
    assert process.stdin
    while _bytes_in(process.stdin.fileno()) or not _waits(process):
        time.sleep(0.001)


def _bytes_in(pipe: int) -> int:
    """Return the number of unread bytes in a pipe."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


def _waits(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process is waiting; always true on systems other than Linux, which do not report it."""
    return not psutil.LINUX or psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING
