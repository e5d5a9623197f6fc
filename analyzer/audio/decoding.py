"""Decode the packets of one track of a container into samples, with bounded memory."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from analyzer.audio.flac import has_more_frames
from analyzer.audio.stream import MOST_IN_BLOCK
from analyzer.errors import UnreadableRecording

#: Samples in a frame, over all channels; the longest frame of a usual encoding (FLAC, eight channels) has half as many.
_MOST_IN_FRAME = 1 << 20
#: Bytes of a packet. PyAV decodes all frames of a packet before it returns the first: a megabyte of small frames, which
#: no encoder puts into one packet, would exhaust memory. Lossless encodings and PCM need larger packets, and expand
#: less.
_MOST_IN_PACKET, _MOST_IN_LOSSLESS_PACKET = 1 << 16, 1 << 20
#: Maximum seconds of silence that replace a packet that cannot be decoded.
_LONGEST_PACKET_S = 1.0
#: Bytes of an AMR frame by its type, including the byte of the type; types from `_AMR_FIRST_NON_SPEECH` on hold no
#: speech.
_AMR_SIZES = {
    "amr_nb": (13, 14, 16, 18, 20, 21, 27, 32, 6, 7, 6, 6, 1, 1, 1, 1),
    "amr_wb": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1),
}
_AMR_FIRST_NON_SPEECH = {"amr_nb": 8, "amr_wb": 9}
_AMR_FRAME_S = 0.02

#: Samples shaped (channels, samples), float32, and the time of the first in seconds, None if it is not known.
Timed = tuple[np.ndarray, float | None]


class Decoder:
    """The decoder of one track.

    Parameters
    ----------
    stream : PyAV's stream of an open container, of a known encoding.

    Attributes
    ----------
    index : index of the stream in the container.
    name : name of the encoding.
    rate, channels : samples per second, and number of channels; 0 if unknown.
    damaged : number of packets that could not be decoded so far.
    has_sound : whether any sound was decoded.
    """

    def __init__(self, stream: Any) -> None:
        codec = stream.codec_context
        codec.options = {"max_samples": str(_MOST_IN_FRAME)}
        self.index, self.name = stream.index, codec.codec.canonical_name
        self.rate, self.channels = codec.sample_rate or 0, codec.channels or 0
        self.damaged, self.has_sound = 0, False
        self._codec, self._tick_s = codec, float(stream.time_base or 0)
        self._layout = codec.layout  # decoding changes the layout of the codec if a frame has other channels
        is_large = codec.codec.lossless or self.name.startswith("pcm_")
        self._most_in_packet = _MOST_IN_LOSSLESS_PACKET if is_large else _MOST_IN_PACKET
        self._resampler: Any = None
        self._resampler_input: tuple[str, str, int] | None = None  # format, layout and rate of its input

    def decoded(self, packets: Iterable[Any]) -> Iterator[Timed]:
        """Yield the frames of all packets, and silence for a packet that cannot be decoded.

        Raises UnreadableRecording for a packet that may hold too much sound for memory.
        """
        decode = self._decode_amr if self.name in _AMR_SIZES else self._decode_packet
        for packet in packets:
            self._check_size(packet)
            yield from decode(packet)
        yield from ((samples, None) for samples in self._flush_resampler())

    def _decode_packet(self, packet: Any) -> Iterator[Timed]:
        import av

        try:
            frames = self._codec.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError):  # ValueError: PyAV does not know the decoded format
            yield from self._conceal(packet)
            return
        for frame in frames:
            if frame.samples * self.channels * self.rate > MOST_IN_BLOCK * frame.sample_rate:
                yield from self._conceal(packet)  # too large at the rate of the track, which differs from its own
                continue
            self.has_sound = True
            time_s = None if frame.pts is None else frame.pts * self._tick_s
            for samples in self._frame_samples(frame):
                yield samples, time_s
                time_s = None

    def _conceal(self, packet: Any) -> Iterator[Timed]:
        """Count a packet that cannot be decoded, and yield silence if its duration is known."""
        self.damaged += 1
        if packet.duration and packet.time_base:
            yield self._silence(float(packet.duration * packet.time_base)), _packet_time(packet)

    def _silence(self, seconds: float) -> np.ndarray:
        return np.zeros((self.channels, round(min(max(seconds, 0.0), _LONGEST_PACKET_S) * self.rate)), np.float32)

    def _decode_amr(self, packet: Any) -> Iterator[Timed]:
        """Decode AMR frame by frame: pause frames, which FFmpeg does not decode, become silence of equal length."""
        import av

        content, time_s, position = bytes(packet), _packet_time(packet), 0
        while position < len(content):
            frame_type = content[position] >> 3 & 15
            size = _AMR_SIZES[self.name][frame_type]
            if frame_type >= _AMR_FIRST_NON_SPEECH[self.name]:
                self.has_sound = True
                yield self._silence(_AMR_FRAME_S), time_s
            elif size == len(content):
                yield from self._decode_packet(packet)
            else:  # several frames in a packet, as phones write them
                subpacket = av.Packet(content[position : position + size])
                subpacket.time_base = packet.time_base
                subpacket.pts, subpacket.duration = _to_ticks(time_s, subpacket), _to_ticks(_AMR_FRAME_S, subpacket)
                yield from self._decode_packet(subpacket)
            time_s = None if time_s is None else time_s + _AMR_FRAME_S
            position += size

    def _check_size(self, packet: Any) -> None:
        """Raise UnreadableRecording if the packet may hold too much sound for memory."""
        is_oversized = packet.size > self._most_in_packet
        if self.name == "flac" and not is_oversized:
            # Eleven bytes of FLAC can hold 65,535 samples.
            is_oversized = has_more_frames(bytes(packet), 8 + packet.size // 8192)
        if is_oversized:
            raise UnreadableRecording(f"a packet of it, {packet.size:,} bytes, holds more sound than packets do")

    def _frame_samples(self, frame: Any) -> Iterator[np.ndarray]:
        """Yield the samples of a frame, converted only if necessary: conversion takes as long as decoding an MP3."""
        if self._resampler is None and frame.sample_rate == self.rate:
            if frame.format.name == "fltp" and len(frame.planes) == self.channels < 8:
                yield frame.to_ndarray()
                return
            if frame.format.name == "s16" and frame.layout.nb_channels == self.channels:
                yield frame.to_ndarray().reshape(-1, self.channels).T / np.float32(32768)
                return
        input_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if input_format != self._resampler_input:
            yield from self._flush_resampler()
            self._resampler, self._resampler_input = self._new_resampler(), input_format
        yield from map(self._channel_samples, self._resampler.resample(frame))

    def _new_resampler(self) -> Any:
        import av

        # Interleaved: PyAV cannot return planar samples of eight channels or more.
        return av.AudioResampler(format="flt", layout=self._layout, rate=self.rate)

    def _flush_resampler(self) -> Iterator[np.ndarray]:
        """Yield the samples left in the resampler."""
        if self._resampler is not None:
            yield from map(self._channel_samples, self._resampler.resample(None))

    def _channel_samples(self, frame: Any) -> np.ndarray:
        samples: np.ndarray = frame.to_ndarray().reshape(-1, self.channels).T
        return samples


def _packet_time(packet: Any) -> float | None:
    """Return the time of a packet in seconds; None if it has none."""
    return None if packet.pts is None or not packet.time_base else float(packet.pts * packet.time_base)


def _to_ticks(seconds: float | None, packet: Any) -> int | None:
    """Convert seconds to the time base of a packet; None if either is missing."""
    return None if seconds is None or not packet.time_base else round(seconds / packet.time_base)
