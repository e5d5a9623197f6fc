"""What libsndfile does not read: FFmpeg, as PyAV brings it, kept from other files and from filling the memory."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NoReturn

import numpy as np

from analyzer.errors import UnreadableRecording
from analyzer.mp4 import check_index
from analyzer.names import show
from analyzer.stream import MOST_IN_BLOCK, MOST_READ, AudioStream, Source

#: Samples in a frame, over all channels; the longest of any usual encoding (FLAC, eight channels) has half as many.
_MOST_IN_FRAME = 1 << 20
#: Bytes of a packet. PyAV decodes all of its frames before it hands over the first: a megabyte of small ones, which no
#: encoder puts into one packet, would fill the memory. Lossless encodings need larger packets, and unpack to less.
_MOST_IN_PACKET, _MOST_IN_LOSSLESS_PACKET = 1 << 16, 1 << 20
#: Bytes of a packet. PyAV decodes all of its frames before it hands over the first: a megabyte of small ones, which no


class _FFmpegStream(AudioStream):
    def __init__(self, container: Any, demuxer: str, source: Source, missing_share: float) -> None:
        if not container.streams.audio:
            raise UnreadableRecording("there is no sound in it, only other streams")
        self._container, self._stream, self._source = container, container.streams.audio[0], source
        codec = self._stream.codec_context
        if codec is None:
            raise UnreadableRecording(f"no decoder here knows the encoding of this {demuxer} file")
        codec.options = {"max_samples": str(_MOST_IN_FRAME)}
        length_s = container.duration / 1e6 if container.duration else 0.0  # in microseconds
        name = f"{demuxer} {codec.codec.canonical_name}"
        super().__init__(name, codec.sample_rate or 0, codec.channels or 0, length_s, missing_share)
        self._is_flac = codec.codec.name == "flac"
        self._most_in_packet = _MOST_IN_LOSSLESS_PACKET if codec.codec.lossless else _MOST_IN_PACKET
        self._resampler: Any = None
        self._resampled: tuple[str, str, int] | None = None  # format, layout and rate of what goes into it

    def _decoded(self) -> Iterator[np.ndarray]:
        size, waiting, held, found, damaged = self.block_size(), [], 0, False, 0
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
        """Decoded samples, frame by frame; None for a packet that could not be decoded."""
        import av

        packets = self._packets()
        while True:
            try:
                for frame in next(packets).decode():
                    if self._resampler is None and self._is_plain(frame):
                        yield frame.to_ndarray()
                    else:
                        yield from self._converted(frame)
            except (StopIteration, av.error.EOFError):
                break
            except (av.error.FFmpegError, ValueError):  # the latter where PyAV has no name for what was decoded
                yield None
        self._source.check()
        yield from self._rest()

    def _packets(self) -> Iterator[Any]:
        """Packets of the sound. Those of other streams are looked at too: what is read counts for each alone."""
        source, wanted = self._source, self._stream.index
        source.allow(MOST_READ)
        for packet in self._container.demux():
            source.check()
            source.allow(MOST_READ)
            if packet.stream_index == wanted:
                if self._is_flac or packet.size > self._most_in_packet:
                    self._check(packet)
                yield packet

    def _check(self, packet: Any) -> None:
        """Raise UnreadableRecording if the packet may hold more than memory should."""
        crowded = packet.size > self._most_in_packet
        if self._is_flac and not crowded:
            # Eleven bytes of it are 65,535 samples. Each frame starts with one of these, which seldom occur elsewhere.
            content = bytes(packet)
            starts = content.count(b"\xff\xf8") + content.count(b"\xff\xf9")
            crowded = starts > 8 + packet.size // 8192
        if crowded:
            raise UnreadableRecording(f"a packet of it, {packet.size:,} bytes, holds more sound than packets do")

    def _converted(self, frame: Any) -> Iterator[np.ndarray | None]:
        """The samples of a frame that is not as the recording is, nor as numpy needs it."""
        if frame.samples * self.channels * self.rate > MOST_IN_BLOCK * frame.sample_rate:
            yield None  # its rate is not the recording's, and it would grow out of all proportion
            return
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._resampled:
            yield from self._rest()
            self._resampler, self._resampled = self._new_resampler(), kind
        yield from map(self._by_channel, self._resampler.resample(frame))

    def _is_plain(self, frame: Any) -> bool:
        """Whether a frame needs no converting, which takes as long as decoding an MP3."""
        return frame.format.name == "fltp" and frame.sample_rate == self.rate and len(frame.planes) == self.channels < 8

    def _new_resampler(self) -> Any:
        import av

        # Interleaved: planes are what PyAV cannot hand over for eight channels or more.
        return av.AudioResampler(format="flt", layout=self._stream.codec_context.layout, rate=self.rate)

    def _rest(self) -> Iterator[np.ndarray]:
        """What the resampler still holds."""
        if self._resampler is not None:
            yield from map(self._by_channel, self._resampler.resample(None))

    def _by_channel(self, frame: Any) -> np.ndarray:
        return frame.to_ndarray().reshape(-1, self.channels).T


@contextmanager
def open_ffmpeg(source: Source, demuxer: str, missing_share: float = 0.0) -> Iterator[AudioStream]:
    """A recording that FFmpeg's demuxer of this name reads; raises UnreadableRecording where it does not."""
    import av

    if demuxer == "mov":
        check_index(source)
    source.seek(0)
    source.allow(MOST_READ)
    try:
        container = av.open(
            source,
            mode="r",
            format=demuxer,
            container_options=_ffmpeg_options(),
            io_open=_open_nothing,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        source.check()
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableRecording(f"it cannot be decoded as {demuxer}: {show(reason)}") from error
    with container:
        yield _FFmpegStream(container, demuxer, source, missing_share)


@cache
def _ffmpeg_options() -> dict[str, str]:
    """What FFmpeg may do besides: open nothing by itself, and decode no pictures, which need more memory than sound."""
    import av

    decoders = []
    for name in sorted(av.codecs_available):
        with suppress(ValueError):  # of those that only encode
            if av.Codec(name, "r").type == "audio":
                decoders.append(name)
    return {"protocol_whitelist": "none", "codec_whitelist": ",".join(decoders)}


def _open_nothing(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """FFmpeg asks here for every file beside the recording itself, such as one that a QuickTime file refers to."""
    raise UnreadableRecording("it is no recording by itself: it refers to another file")
