"""Decode recordings of any encoding into blocks of samples, shaped (channels, samples), float32.

The format is detected from the content, not from the name (Asterisk writes GSM as `.WAV`). Only headerless files are
recognised by their extension. libsndfile decodes what it can, except MP3, FLAC and Ogg. FFmpeg, as bundled with PyAV,
decodes the rest. The demuxer is always given, never guessed by FFmpeg, so that a playlist disguised as a recording
cannot make FFmpeg open other files.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, cast

import numpy as np
import soundfile
import soxr

from analyzer.audio.ffmpeg import open_ffmpeg
from analyzer.audio.leading import find_beginning
from analyzer.audio.levels import ScaleCount
from analyzer.audio.ogg import open_ogg
from analyzer.audio.signatures import HEADERLESS, SNIFFED_BYTES, UNREADABLE, Headerless, sniff, unreadable_content
from analyzer.audio.splice import Spliced
from analyzer.audio.storage import Location, open_to_read
from analyzer.audio.stream import AudioStream, Source, check_length, format_duration
from analyzer.audio.wav import read_wav
from analyzer.errors import UnreadableRecording, VanishedRecording
from analyzer.names import show

#: Samples of this absolute value (120 dB above full scale) or more are invalid. Squares of larger ones, as in a power
#: spectrum, would soon overflow a float.
_AMPLITUDE_LIMIT = 1e6
#: Encodings that may hold samples beyond full scale, by their names in libsndfile and FFmpeg.
_FLOAT_CODECS = re.compile(r"\b(float|double|pcm_f\d\d[lb]e)\b")


class _SoundFileStream(AudioStream):
    def __init__(self, sound: Any, source: Source, missing_share: float = 0.0) -> None:
        codec = f"{sound.format} {sound.subtype}".lower()
        length_s = sound.frames / sound.samplerate if sound.samplerate > 0 and 0 < sound.frames < 1 << 62 else 0.0
        super().__init__(codec, sound.samplerate, sound.channels, length_s, missing_share)
        # libsndfile derives the length from the bytes in the file, except in these formats: their headers may be wrong.
        if sound.format not in ("FLAC", "OGG", "MPEG", "CAF"):
            check_length(length_s)
        self._sound, self._source = sound, source

    def _decoded(self) -> Iterator[np.ndarray]:
        size, samples_read = self.block_size(), 0
        while True:
            try:
                # Not SoundFile.blocks: it needs seeking, which is impossible in GSM.
                block = self._sound.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                self._source.check()
                if not samples_read:
                    raise UnreadableRecording(f"it cannot be decoded: {show(error.error_string)}") from error
                self.notes.append(
                    f"damaged after {format_duration(samples_read / self.rate)}: {show(error.error_string)}"
                )
                return
            self._source.check()
            if len(block):
                yield block.T
            samples_read += len(block)
            if len(block) < size:
                return


@contextmanager
def open_audio(path: Location) -> Iterator[AudioStream]:
    """Open a recording for reading; raises UnreadableRecording with a reason for the user."""
    try:
        handle = open_to_read(path)
    except IsADirectoryError:
        raise UnreadableRecording("it is a folder, not a recording") from None
    except PermissionError:
        raise UnreadableRecording("no permission to read it") from None
    except FileNotFoundError:
        raise VanishedRecording("the file disappeared before it could be read") from None
    with handle:
        head = handle.read(SNIFFED_BYTES)
        if not head:
            raise UnreadableRecording("the file is empty")
        extension = os.path.splitext(path)[1].lower()
        if sniff(head) is None and extension in HEADERLESS:
            opener = _open_headerless(handle, HEADERLESS[extension])
        else:
            opener = _open_by_content(handle, head)
        with opener as stream:
            if _FLOAT_CODECS.search(stream.codec):
                stream.find_scale = partial(_full_scale, path)
            yield stream


def _full_scale(path: Location) -> float:
    """Return the sample value that is full scale in a recording; reads the whole file."""
    scale_count = ScaleCount()
    with open_audio(path) as stream:
        stream.find_scale = None
        for block in stream.blocks():
            scale_count.push(block)
    return scale_count.full_scale


@contextmanager
def _open_headerless(handle: BinaryIO, encoding: Headerless) -> Iterator[AudioStream]:
    source = Source(handle)
    source.seek(0)
    if encoding.demuxer:
        with open_ffmpeg(source, encoding.demuxer) as stream:
            yield stream
        return
    raw_format = {"samplerate": encoding.rate, "channels": 1, "format": "RAW", "subtype": encoding.subtype}
    with soundfile.SoundFile(source, **raw_format) as sound:
        yield _SoundFileStream(sound, source)


@contextmanager
def _open_by_content(handle: BinaryIO, head: bytes) -> Iterator[AudioStream]:
    """Open a file with libsndfile, which is faster, else with the FFmpeg demuxer that its signature indicates.

    MP3, FLAC and Ogg are always opened with FFmpeg.
    """
    if unreadable_format := unreadable_content(head):
        raise UnreadableRecording(f"{UNREADABLE}: {unreadable_format}")
    demuxer, start = find_beginning(handle, head)
    if start:
        handle = cast(BinaryIO, Spliced(handle, [(start, handle.seek(0, os.SEEK_END))]))
    wav = read_wav(handle) if demuxer == "wav" else None
    if wav and wav.present_bytes <= 0:
        raise UnreadableRecording("it has a header but no sound")
    missing_share = wav.missing_share if wav else 0.0
    is_spliced = wav and wav.header and not wav.is_plain
    source = Source(Spliced(handle, wav.pieces()) if wav and is_spliced else handle)
    # libmpg123 in libsndfile prints warnings to standard error for valid MP3 files, and is no faster than FFmpeg.
    sound = None if demuxer in ("mp3", "flac", "ogg") else _try_libsndfile(source)
    if sound:
        with sound:
            stream: AudioStream = _SoundFileStream(sound, source, missing_share)
            stream.notes += wav.notes if wav else []
            yield stream
    elif demuxer == "ogg":
        with open_ogg(source, handle) as stream:
            yield stream
    elif demuxer:
        with open_ffmpeg(source, demuxer, missing_share) as stream:
            stream.notes += wav.notes if wav else []
            yield stream
    else:
        raise UnreadableRecording("unsupported or damaged audio")


def _try_libsndfile(source: Source) -> soundfile.SoundFile | None:
    source.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError:
        source.check()
        return None


def read_at(stream: AudioStream, wanted_rate: int) -> Iterator[np.ndarray]:
    """Yield the blocks of a recording at another sample rate; NaN and absurdly large samples become 0."""
    resampler = StreamResampler(stream.rate, wanted_rate, stream.channels)
    for block in stream.blocks():
        yield resampler.push(block)
    remaining = resampler.finish()
    if remaining.size:
        yield remaining


class StreamResampler:
    """Resample a stream block by block; NaN and absurdly large samples become 0.

    The state of the resampler is kept between blocks, so there are no discontinuities.

    Parameters
    ----------
    rate, wanted_rate : samples per second, before and after.
    channels : number of channels.
    """

    def __init__(self, rate: int, wanted_rate: int, channels: int) -> None:
        self._resampler = None
        if rate != wanted_rate:
            self._resampler = soxr.ResampleStream(rate, wanted_rate, channels, dtype="float32")
        self._empty_block = np.empty((channels, 0), np.float32)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Return the samples available after the next block; both are float32, shaped (channels, samples)."""
        # Comparisons with NaN are false, so NaN becomes 0 as well.
        clean = np.where(np.abs(block) < _AMPLITUDE_LIMIT, block, np.float32(0))
        return self._resample(clean) if self._resampler else clean

    def finish(self) -> np.ndarray:
        """Return the samples left in the resampler at the end, shaped (channels, samples)."""
        return self._resample(self._empty_block, last=True) if self._resampler else self._empty_block

    def _resample(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        assert self._resampler
        resampled: np.ndarray = self._resampler.resample_chunk(np.ascontiguousarray(block.T), last=last).T
        return resampled
