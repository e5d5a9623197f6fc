"""Read Ogg files: all chained recordings, with sound after missing pages placed at its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import soxr

from analyzer.audio.ffmpeg import FFmpegStream, open_ffmpeg
from analyzer.audio.ogg_pages import Link, Run, read_links
from analyzer.audio.splice import Spliced
from analyzer.audio.stream import LONGEST_HOURS, AudioStream, Source, format_duration
from analyzer.errors import UnreadableRecording

#: A recording that was cut out of a longer one keeps its timestamps. So if pages are missing before the first sound, a
#: first timestamp above this, in seconds, is still taken as the start, not as the length of the missing sound.
_LONGEST_LOST_S = 600.0
#: Seconds by which sound after missing pages may overlap with sound before them; if FFmpeg is not sure of a timestamp,
#: it gives a lower one.
_OVERLAP_S = 0.1
_MISSING_DATA_NOTE = "damaged: data are missing"


@contextmanager
def open_ogg(source: Source, handle: BinaryIO) -> Iterator[AudioStream]:
    """Open an Ogg file; `source` reads `handle`. Raises UnreadableRecording if nothing in it can be read."""
    links = read_links(handle)
    if len(links) == 1 and len(links[0].runs) == 1 and not links[0].has_orphan_pages:
        with open_ffmpeg(_run_source(handle, links[0], links[0].runs[0]), "ogg") as stream:
            _set_start(stream, links[0])
            if not links[0].starts_whole:
                stream.notes.append(_MISSING_DATA_NOTE)
            yield stream
    elif links:
        with open_ffmpeg(_run_source(handle, links[0], links[0].runs[0]), "ogg") as first:
            codec = first.codec
        yield _OggStream(handle, links, codec)
    else:
        with open_ffmpeg(source, "ogg") as stream:
            yield stream


class _OggStream(AudioStream):
    """Chained recordings, and stretches between missing pages, as one stream.

    All are resampled to the highest sample rate. Mono is copied to all channels if others have more; a recording with
    several channels is padded with silent ones.
    """

    def __init__(self, handle: BinaryIO, links: list[Link], codec: str) -> None:
        length_s = min(sum(link.length_s for link in links), LONGEST_HOURS * 3600.0)
        super().__init__(codec, max(link.rate for link in links), max(link.channels for link in links), length_s)
        self._handle, self._links = handle, links
        self._damaged = 0
        self._errors: list[str] = []

    def _decoded(self) -> Iterator[np.ndarray]:
        samples_read, has_sound = 0, False
        for link in self._links:
            if link.channels != self.channels:
                start_time = format_duration(samples_read / self.rate)
                self.notes.append(f"from {start_time} on it has {link.channels} of {self.channels} channels")
            for block in self._link_blocks(link):
                samples_read, has_sound = samples_read + block.shape[1], True
                yield block
        if self._errors and not has_sound:
            raise UnreadableRecording(self._errors[0])
        self.notes += dict.fromkeys(f"a part of it was not read: {error}" for error in self._errors)
        gaps = sum(len(link.runs) - link.starts_whole for link in self._links)
        if gaps:
            self.notes.append(f"{_MISSING_DATA_NOTE} in {gaps} places" if gaps > 1 else _MISSING_DATA_NOTE)
        if self._damaged:
            self.notes.append(f"{self._damaged} damaged packets left out")
        if any(link.has_orphan_pages for link in self._links):
            self.notes.append("a part of it was not read: its beginning is missing")

    def _link_blocks(self, link: Link) -> Iterator[np.ndarray]:
        """Yield the sound of one of the recordings."""
        samples_read, start_s = 0, None
        for run in link.runs:
            try:
                with open_ffmpeg(_run_source(self._handle, link, run), "ogg") as stream:
                    if start_s is None:
                        start_s = _set_start(stream, link)
                    else:
                        stream.early_s = _OVERLAP_S
                    stream.start_s, stream.end_s = start_s + samples_read / self.rate, run.end_s
                    for block in self._converted_blocks(stream):
                        samples_read += block.shape[1]
                        yield block
                    self._damaged += stream.damaged
            except UnreadableRecording as error:
                self._errors.append(str(error))

    def _converted_blocks(self, stream: FFmpegStream) -> Iterator[np.ndarray]:
        """Yield the sound of a stretch at the sample rate of the whole stream and with all its channels."""
        for block in _resampled_blocks(stream, self.rate):
            if len(block) == 1:
                yield np.repeat(block, self.channels, axis=0)
            else:
                yield np.pad(block[: self.channels], ((0, max(0, self.channels - len(block))), (0, 0)))


def _resampled_blocks(stream: FFmpegStream, rate: int) -> Iterator[np.ndarray]:
    if stream.rate == rate:
        yield from stream.blocks()
        return
    resampler = soxr.ResampleStream(stream.rate, rate, stream.channels, dtype="float32")
    for block in stream.blocks():
        yield resampler.resample_chunk(np.ascontiguousarray(block.T)).T
    yield resampler.resample_chunk(np.empty((0, stream.channels), np.float32), last=True).T


def _run_source(handle: BinaryIO, link: Link, run: Run) -> Source:
    return Source(Spliced(handle, [*link.headers, *run.pieces]))


def _set_start(stream: FFmpegStream, link: Link) -> float:
    """Start the stream at its first sound, unless pages are missing before it; return this container time."""
    stream.start_s = stream.first_s if link.starts_whole or stream.first_s > _LONGEST_LOST_S else 0.0
    return stream.start_s
