"""Recordings of any encoding as blocks of samples, shaped (channels, samples), float32.

What a file is, its content says, not its name (Asterisk writes GSM as `.WAV`); only headerless files are known by
their extension. libsndfile decodes what it can; FFmpeg, as PyAV brings it, decodes the rest. A demuxer is always
named, never guessed by FFmpeg, so that a playlist dressed up as a recording cannot make it open other files.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from analyzer.errors import UnreadableRecording
from analyzer.names import show
from analyzer.storage import Location, open_to_read
from analyzer.wav import WavWithTrueSize, read_wav_data

#: Seconds of sound in a block.
BLOCK_S = 10.0
#: A WAV that lacks less than this share of its data is whole: recorders pad and round.
_TOLERATED_LOSS = 0.001
_HIGHEST_RATE = 768_000


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


class AudioStream:
    """An open recording.

    Attributes
    ----------
    codec : container and encoding, such as `wav ulaw`.
    rate : samples per second.
    channels : number of channels.
    length_s : seconds that the header tells, 0 where it does not.
    notes : what was found wrong with the file; complete once `blocks` has been read to its end.
    """

    def __init__(self, codec: str, rate: int, channels: int, length_s: float) -> None:
        if not 0 < rate <= _HIGHEST_RATE or channels < 1:
            raise UnreadableRecording(f"its header makes no sense: {channels} channels at {rate} samples per second")
        self.codec, self.rate, self.channels, self.length_s = codec, rate, channels, length_s
        self.notes: list[str] = []

    def blocks(self) -> Iterator[np.ndarray]:
        """The samples from start to end, in blocks shaped (channels, samples), float32; each file once."""
        raise NotImplementedError


class _Source:
    """A file as libsndfile needs it.

    It stays where it is when a damaged header makes libsndfile seek to before its start. And it keeps the error of a
    read that failed, as on a share that has gone away, since libsndfile takes that for the end of the file.
    """

    def __init__(self, file: Any) -> None:
        self._file, self.tell = file, file.tell
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self._file.read(size))
        except Exception as error:
            self.error = error
            return b""

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self._file.readinto(buffer))
        except Exception as error:
            self.error = error
            return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with suppress(OSError, ValueError):
            self._file.seek(offset, whence)
        return int(self._file.tell())

    def check(self) -> None:
        """Raise UnreadableRecording if a read has failed."""
        if self.error:
            what = getattr(self.error, "strerror", None) or f"{type(self.error).__name__}: {self.error}"
            raise UnreadableRecording(f"reading it failed: {what}")


class _SoundFileStream(AudioStream):
    def __init__(self, sound: Any, source: _Source, missing_share: float = 0.0) -> None:
        codec = f"{sound.format} {sound.subtype}".lower()
        length_s = sound.frames / sound.samplerate if 0 < sound.frames < 1 << 62 else 0.0
        super().__init__(codec, sound.samplerate, sound.channels, length_s)
        self._sound, self._source, self._missing_share = sound, source, missing_share

    def blocks(self) -> Iterator[np.ndarray]:
        size, done = int(BLOCK_S * self.rate), 0
        while True:
            try:
                # Not SoundFile.blocks: it needs seeking, which GSM cannot.
                block = self._sound.read(size, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                if not done:
                    raise UnreadableRecording(f"it cannot be decoded: {error.error_string}") from error
                self.notes.append(f"damaged after {clock(done / self.rate)}: {show(error.error_string)}")
                return
            self._source.check()
            if len(block):
                yield block.T
            done += len(block)
            if len(block) < size:
                break
        if self._missing_share > _TOLERATED_LOSS:
            found_s = done / self.rate
            self.notes.append(f"truncated: {clock(found_s)} of {clock(found_s / (1 - self._missing_share))}")


class _FFmpegStream(AudioStream):
    def __init__(self, container: Any, demuxer: str) -> None:
        if not container.streams.audio:
            raise UnreadableRecording("there is no sound in it, only other streams")
        self._container, self._stream = container, container.streams.audio[0]
        codec = self._stream.codec_context
        if codec is None:
            raise UnreadableRecording(f"no decoder here knows the encoding of this {demuxer} file")
        length_s = container.duration / 1e6 if container.duration else 0.0  # in microseconds
        super().__init__(
            f"{demuxer} {codec.codec.canonical_name}", codec.sample_rate or 0, codec.channels or 0, length_s
        )

    def blocks(self) -> Iterator[np.ndarray]:
        size, waiting, held, found, damaged = int(BLOCK_S * self.rate), [], 0, False, 0
        for frame in self._frames():
            if frame is None:
                damaged += 1
                continue
            waiting.append(frame)
            held, found = held + frame.shape[1], True
            if held >= size:
                yield np.concatenate(waiting, axis=1)
                waiting, held = [], 0
        if waiting:
            yield np.concatenate(waiting, axis=1)
        if damaged and not found:
            raise UnreadableRecording("it cannot be decoded: all of its data are damaged")
        if damaged:
            self.notes.append(f"{damaged} damaged packets left out")

    def _frames(self) -> Iterator[np.ndarray | None]:
        """Decoded samples, packet by packet; None for a packet that could not be decoded."""
        import av

        # Interleaved: planes are what PyAV cannot hand over for eight channels or more.
        to_float = av.AudioResampler(format="flt", layout=self._stream.codec_context.layout, rate=self.rate)
        packets, as_they_are = self._container.demux(self._stream), True
        while True:
            try:
                for frame in next(packets).decode():
                    as_they_are = as_they_are and self._is_plain(frame)
                    if as_they_are:
                        yield frame.to_ndarray()
                    else:
                        yield from map(self._samples, to_float.resample(frame))
            except (StopIteration, av.error.EOFError):
                break
            except av.error.FFmpegError:
                yield None
        yield from map(self._samples, to_float.resample(None))

    def _is_plain(self, frame: Any) -> bool:
        """Whether a frame needs no converting, which takes as long as decoding an MP3."""
        return frame.format.name == "fltp" and frame.sample_rate == self.rate and len(frame.planes) == self.channels < 8

    def _samples(self, frame: Any) -> np.ndarray:
        return frame.to_ndarray().reshape(-1, self.channels).T


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
        raise UnreadableRecording("it vanished before it could be read") from None
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
    handle.seek(0)
    if encoding.demuxer:
        with _open_ffmpeg(handle, encoding.demuxer) as stream:
            yield stream
        return
    raw = {"samplerate": encoding.rate, "channels": 1, "format": "RAW", "subtype": encoding.subtype}
    source = _Source(handle)
    with soundfile.SoundFile(source, **raw) as sound:
        yield _SoundFileStream(sound, source)


@contextmanager
def _open_by_content(handle: BinaryIO, demuxer: str | None) -> Iterator[AudioStream]:
    """libsndfile first, which is quicker; then FFmpeg, where the signature names one of its demuxers."""
    data = read_wav_data(handle) if demuxer == "wav" else None
    source: Any = WavWithTrueSize(handle, data) if data and data.promised_bytes is None else handle
    if data and data.present_bytes == 0:
        raise UnreadableRecording("it has a header but no sound")
    forgiving = _Source(source)
    # libmpg123 inside libsndfile, as quick as FFmpeg, complains on standard error between blocks of sound MP3s.
    sound = None if demuxer == "mp3" else _try_libsndfile(forgiving)
    if sound:
        with sound:
            yield _SoundFileStream(sound, forgiving, data.missing_share if data else 0.0)
    elif demuxer:
        handle.seek(0)
        with _open_ffmpeg(source, demuxer) as stream:
            yield stream
    else:
        raise UnreadableRecording("its content is no audio format that is known here")


def _try_libsndfile(source: _Source) -> soundfile.SoundFile | None:
    source.seek(0)
    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError:
        source.check()
        return None


@contextmanager
def _open_ffmpeg(source: Any, demuxer: str) -> Iterator[AudioStream]:
    import av

    try:
        container = av.open(source, mode="r", format=demuxer)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableRecording(f"it cannot be decoded as {demuxer}: {reason}") from error
    with container:
        yield _FFmpegStream(container, demuxer)


def read_at(stream: AudioStream, wanted_rate: int) -> Iterator[np.ndarray]:
    """The blocks of a recording at another sampling rate, NaN and infinite samples made silent.

    The state of the resampler is carried from block to block, so there are no seams.
    """
    cleaned = (np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0) for block in stream.blocks())
    if stream.rate == wanted_rate:
        yield from cleaned
        return
    resampler = soxr.ResampleStream(stream.rate, wanted_rate, stream.channels, dtype="float32")
    for block in cleaned:
        yield resampler.resample_chunk(np.ascontiguousarray(block.T)).T
    yield resampler.resample_chunk(np.empty((0, stream.channels), np.float32), last=True).T


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
