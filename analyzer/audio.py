"""Recordings of any encoding as blocks of samples, shaped (channels, samples), float32.

What a file is, its content says, not its name (Asterisk writes GSM as `.WAV`); only headerless files are known by
their extension. libsndfile decodes what it can; FFmpeg, as PyAV brings it, decodes the rest. A demuxer is always
named, never guessed by FFmpeg, so that a playlist dressed up as a recording cannot make it open other files.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from analyzer.errors import UnreadableRecording, VanishedRecording
from analyzer.ffmpeg import open_ffmpeg
from analyzer.names import show
from analyzer.storage import Location, open_to_read
from analyzer.stream import AudioStream, Source, check_length, clock
from analyzer.wav import WavWithTrueSize, read_wav_data

#: A sample 120 dB above full scale is none; its square, as of the powers of a spectrum, soon has no place in a float.
_LOUDEST = 1e6


@dataclass(frozen=True)
class Headerless:
    """An encoding that only the extension tells: its rate, and libsndfile's subtype or FFmpeg's demuxer."""

    rate: int
    subtype: str | None = None
    demuxer: str | None = None


#: Asterisk's headerless files, one channel each.
HEADERLESS = {
    ".ulaw": Headerless(8000, subtype="ULAW"),
    ".alaw": Headerless(8000, subtype="ALAW"),
    ".gsm": Headerless(8000, subtype="GSM610"),
    ".sln": Headerless(8000, subtype="PCM_16"),
    ".sln16": Headerless(16000, subtype="PCM_16"),
    ".g722": Headerless(16000, demuxer="g722"),
}

_NAMED = (
    ".wav .wave .mp3 .mp2 .flac .ogg .oga .opus .spx .au .snd .aif .aiff .aifc .caf .w64 "
    ".m4a .m4b .mp4 .aac .3gp .3ga .amr .awb .wma .asf .webm .mka"
)
AUDIO_EXTENSIONS = frozenset(_NAMED.split()) | frozenset(HEADERLESS)

_IMAGE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")


def sniff(head: bytes) -> str | None:
    """FFmpeg's name of the format whose signature `head`, a file's first 16 bytes or more, carries; else None."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] == b"ftyp" and head[8:12] not in _IMAGE_BRANDS:
        return "mov"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:4] == b"riff":
        return "w64"
    starts = {
        b"fLaC": "flac",
        b"OggS": "ogg",
        b".snd": "au",
        b"ID3": "mp3",
        b"#!AMR": "amr",
        b"caff": "caf",
        b"\x30\x26\xb2\x75": "asf",
        b"\x1a\x45\xdf\xa3": "matroska",
    }
    return next((name for start, name in starts.items() if head.startswith(start)), None)


def _sniff_sync_word(head: bytes) -> str | None:
    """MPEG audio without a tag. Two bytes prove little, so they count only for a file that is named as audio."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    layer, bit_rate, rate = head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return "mp3" if layer and bit_rate != 15 and rate != 3 else None


def is_recording_name(path: str) -> bool:
    """Whether the file's extension is one that recordings have."""
    return os.path.splitext(path)[1].lower() in AUDIO_EXTENSIONS


class _SoundFileStream(AudioStream):
    def __init__(self, sound: Any, source: Source, missing_share: float = 0.0) -> None:
        codec = f"{sound.format} {sound.subtype}".lower()
        length_s = sound.frames / sound.samplerate if sound.samplerate > 0 and 0 < sound.frames < 1 << 62 else 0.0
        super().__init__(codec, sound.samplerate, sound.channels, length_s, missing_share)
        # Of these encodings libsndfile knows the length from the bytes that are there; other headers may lie.
        if sound.format not in ("FLAC", "OGG", "MPEG", "CAF"):
            check_length(length_s)
        self._sound, self._source = sound, source

    def _decoded(self) -> Iterator[np.ndarray]:
        size, done = self.block_size(), 0
        while True:
            try:
                # Not SoundFile.blocks: it needs seeking, which GSM cannot.
                block = self._sound.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                self._source.check()
                if not done:
                    raise UnreadableRecording(f"it cannot be decoded: {show(error.error_string)}") from error
                self.notes.append(f"damaged after {clock(done / self.rate)}: {show(error.error_string)}")
                return
            self._source.check()
            if len(block):
                yield block.T
            done += len(block)
            if len(block) < size:
                return


@contextmanager
def open_audio(path: Location) -> Iterator[AudioStream]:
    """Open a recording for reading; raises UnreadableRecording with a reason that a person understands."""
    try:
        handle = open_to_read(path)
    except IsADirectoryError:
        raise UnreadableRecording("it is a folder, not a recording") from None
    except PermissionError:
        raise UnreadableRecording("no permission to read it") from None
    except FileNotFoundError:
        raise VanishedRecording("it vanished before it could be read") from None
    with handle:
        head = handle.read(64)
        if not head:
            raise UnreadableRecording("the file is empty")
        extension = os.path.splitext(path)[1].lower()
        demuxer = sniff(head)
        if demuxer is None and extension in HEADERLESS:
            opener = _open_headerless(handle, HEADERLESS[extension])
        else:
            opener = _open_by_content(handle, demuxer or _sniff_sync_word(head))
        with opener as stream:
            yield stream


@contextmanager
def _open_headerless(handle: BinaryIO, encoding: Headerless) -> Iterator[AudioStream]:
    source = Source(handle)
    source.seek(0)
    if encoding.demuxer:
        with open_ffmpeg(source, encoding.demuxer) as stream:
            yield stream
        return
    raw = {"samplerate": encoding.rate, "channels": 1, "format": "RAW", "subtype": encoding.subtype}
    with soundfile.SoundFile(source, **raw) as sound:
        yield _SoundFileStream(sound, source)


@contextmanager
def _open_by_content(handle: BinaryIO, demuxer: str | None) -> Iterator[AudioStream]:
    """libsndfile first, which is quicker; then FFmpeg, where the signature names one of its demuxers."""
    data = read_wav_data(handle) if demuxer == "wav" else None
    if data and data.present_bytes <= 0:
        raise UnreadableRecording("it has a header but no sound")
    missing_share = data.missing_share if data else 0.0
    source = Source(WavWithTrueSize(handle, data) if data and data.promised_bytes is None else handle)
    # libmpg123 inside libsndfile, as quick as FFmpeg, complains on standard error between blocks of sound MP3s.
    sound = None if demuxer == "mp3" else _try_libsndfile(source)
    if sound:
        with sound:
            yield _SoundFileStream(sound, source, missing_share)
    elif demuxer:
        with open_ffmpeg(source, demuxer, missing_share) as stream:
            yield stream
    else:
        raise UnreadableRecording("its content is no audio format that is known here")


def _try_libsndfile(source: Source) -> soundfile.SoundFile | None:
    source.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError:
        source.check()
        return None


def read_at(stream: AudioStream, wanted_rate: int) -> Iterator[np.ndarray]:
    """The blocks of a recording at another sampling rate; samples that are no numbers, or absurd ones, made silent."""
    conversion = Conversion(stream.rate, wanted_rate, stream.channels)
    for block in stream.blocks():
        yield conversion.push(block)
    rest = conversion.finish()
    if rest.size:
        yield rest


class Conversion:
    """Sound that goes by, at another sampling rate; samples that are no numbers, or absurd ones, made silent.

    The state of the resampler is carried from block to block, so there are no seams.

    Parameters
    ----------
    rate, wanted_rate : samples per second, before and after.
    channels : number of channels.
    """

    def __init__(self, rate: int, wanted_rate: int, channels: int) -> None:
        self._resampler = None
        if rate != wanted_rate:
            self._resampler = soxr.ResampleStream(rate, wanted_rate, channels, dtype="float32")
        self._nothing = np.empty((channels, 0), np.float32)

    def push(self, block: np.ndarray) -> np.ndarray:
        """What is known after the next samples, shaped (channels, samples) as those are; both are float32."""
        # What is not a number is not below anything either.
        clean = np.where(np.abs(block) < _LOUDEST, block, np.float32(0))
        return self._resampled(clean) if self._resampler else clean

    def finish(self) -> np.ndarray:
        """The samples that the resampler still holds at the end, shaped (channels, samples)."""
        return self._resampled(self._nothing, last=True) if self._resampler else self._nothing

    def _resampled(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        assert self._resampler
        return self._resampler.resample_chunk(np.ascontiguousarray(block.T), last=last).T
