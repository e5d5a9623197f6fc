"""`call-emotions listen`: raw sound from a pipe in, a line of JSON for every segment out, while the call goes on."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TextIO

import numpy as np

from analyzer.api import EmotionStream
from analyzer.errors import UsageError
from analyzer.report.interchange import json_line
from analyzer.signals import Stopped, StopSignals
from analyzer.signatures import sniff
from analyzer.standard_streams import lost_by, read_some
from analyzer.timeline import Row

#: Bytes of a sample: 16 bits, the low ones first.
_SAMPLE_BYTES = 2
#: Seconds of sound that are read at a time, at most; of a call that is going on there never is as much.
_LONGEST_READ_S = 0.5
_EXAMPLE = "ffmpeg -i INPUT -f s16le -ac 1 -ar 8000 - | call-emotions listen --rate 8000 --channels 1"


@dataclass(frozen=True)
class ListenSettings:
    """What is to be listened to, and how, as `call-emotions listen --help` says it."""

    rate: int = 8000
    channels: int = 1
    model: str = "default"
    prior: str = "calls"
    sensitivity: str = "normal"
    speakers: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()


def run(settings: ListenSettings, source: BinaryIO, sink: TextIO, stop: StopSignals) -> int:
    """Listen until the sound ends, a signal asks to stop, or nobody reads on; returns the exit status.

    Parameters
    ----------
    source : a pipe or file of samples as signed integers of 16 bits, little-endian, of all channels in turn.
    sink : where lines go, each as soon as its segment is known.

    Raises
    ------
    UsageError : where a setting cannot be meant, and where the source is a terminal or another format.
    """
    if source.isatty():
        raise UsageError(f"listen hears what is piped into it, such as by: {_EXAMPLE}")
    if isinstance(sink, io.TextIOWrapper):
        sink.reconfigure(encoding="utf-8", newline="\n")  # as JSON has to be, whatever a terminal would like
    try:
        stream = EmotionStream(**vars(settings))
    except ValueError as error:
        raise UsageError(str(error)) from error
    status = 0
    try:
        try:
            for samples in _samples(source, settings, stop):
                _tell(stream.push(samples), stream.speakers, sink)
        except Stopped as stopped:
            status = stopped.exit_status
        _tell(stream.finish(), stream.speakers, sink)
    except BrokenPipeError:
        pass  # as of `listen | head`: who has read enough ends the pipe
    return status


def _samples(source: BinaryIO, settings: ListenSettings, stop: StopSignals) -> Iterator[np.ndarray]:
    """The samples that are there, shaped (channels, samples), int16, until there are no more.

    Raises Stopped at a signal. What is left at the end and is no sample of every channel, is left out.
    """
    frame = _SAMPLE_BYTES * settings.channels
    most = max(1, round(_LONGEST_READ_S * settings.rate)) * frame
    rest, is_first = b"", True
    while True:
        with stop.waiting():
            read = read_some(source.fileno(), most)
        if not read:
            return
        rest += read
        if is_first:
            _check_raw(rest)
        is_first = False
        whole = len(rest) // frame * frame
        if whole:
            yield np.frombuffer(rest[:whole], "<i2").reshape(-1, settings.channels).T
            rest = rest[whole:]


def _check_raw(head: bytes) -> None:
    """Raise UsageError where the sound begins as a file does, and not with samples."""
    if found := sniff(head):
        raise UsageError(f"listen hears raw samples, and this is a file of the format {found}. Such as: {_EXAMPLE}")


def _tell(rows: list[Row], speakers: tuple[str, ...], sink: TextIO) -> None:
    """Write a line for each row, each at once; raises OSError where they cannot be written."""
    for row in rows:
        sink.write(json_line(None, row, speakers[row.channel - 1]) + "\n")
        if error := lost_by(sink):
            raise error
