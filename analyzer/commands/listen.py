"""`call-emotions listen`: read raw PCM from a pipe and write a line of JSON per segment during the call."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, TextIO

import numpy as np

from analyzer.api import EmotionStream
from analyzer.audio.signatures import sniff
from analyzer.errors import UsageError
from analyzer.report.interchange import json_line
from analyzer.runtime.signals import Stopped, StopSignals
from analyzer.runtime.standard_streams import lost_by, read_some
from analyzer.timeline.timeline import Row

#: Bytes per sample: 16 bits, little-endian.
_SAMPLE_BYTES = 2
#: Longest read, in seconds of sound; a call in progress never has as much waiting.
_LONGEST_READ_S = 0.5
_EXAMPLE = "ffmpeg -i INPUT -f s16le -ac 1 -ar 8000 - | call-emotions listen --rate 8000 --channels 1"


@dataclass(frozen=True)
class ListenSettings:
    """Options of `call-emotions listen`; see its `--help`."""

    rate: int = 8000
    channels: int = 1
    model: str = "default"
    prior: str = "even"
    sensitivity: str = "normal"
    speakers: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()


def run(settings: ListenSettings, source: BinaryIO, sink: TextIO, stop: StopSignals) -> int:
    """Analyse the input until it ends, a signal stops the run or the reader closes `sink`; return the exit status.

    Parameters
    ----------
    source : a pipe or file of signed 16-bit samples, little-endian, channels interleaved.
    sink : receives one line per segment, each as soon as its row is complete.

    Raises
    ------
    UsageError : if a setting is invalid, or if the source is a terminal or not raw samples but a known file format.
    """
    if source.isatty():
        raise UsageError(f"listen reads from a pipe, for example: {_EXAMPLE}")
    if isinstance(sink, io.TextIOWrapper):
        sink.reconfigure(encoding="utf-8", newline="\n")  # as JSON requires, whatever the locale
    try:
        stream = EmotionStream(**vars(settings))
    except ValueError as error:
        raise UsageError(str(error)) from error
    status = 0
    with suppress(BrokenPipeError):  # the reader closes the pipe, as in `listen | head`
        try:
            for samples in _samples(source, settings, stop):
                _write_rows(stream.push(samples), stream.speakers, sink)
        except Stopped as stopped:
            status = stopped.exit_status
        _write_rows(stream.finish(), stream.speakers, sink)
    return status


def _samples(source: BinaryIO, settings: ListenSettings, stop: StopSignals) -> Iterator[np.ndarray]:
    """Yield the available samples, int16 shaped (channels, samples), until the input ends.

    An incomplete frame at the end (not one sample of every channel) is dropped. Raises Stopped at a signal, UsageError
    if the input begins like a file of a known format.
    """
    frame = _SAMPLE_BYTES * settings.channels
    read_limit = max(1, round(_LONGEST_READ_S * settings.rate)) * frame
    buffer, is_first = b"", True
    while True:
        with stop.waiting():
            chunk = read_some(source.fileno(), read_limit)
        if not chunk:
            return
        buffer += chunk
        if is_first and (file_format := sniff(buffer)):
            raise UsageError(
                f"listen expects raw PCM samples, and got a file of the format {file_format}. Convert it, for example: "
                f"{_EXAMPLE}"
            )
        is_first = False
        complete = len(buffer) // frame * frame
        if complete:
            yield np.frombuffer(buffer[:complete], "<i2").reshape(-1, settings.channels).T
            buffer = buffer[complete:]


def _write_rows(rows: list[Row], speakers: tuple[str, ...], sink: TextIO) -> None:
    """Write a line for each row and flush it at once; raises OSError if it cannot be written."""
    for row in rows:
        sink.write(json_line(None, row, speakers[row.channel - 1]) + "\n")
        if error := lost_by(sink):
            raise error
