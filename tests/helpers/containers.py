"""Containers whose packets have given times, and sounds whose onsets are easy to detect."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

#: Duration of a burst in seconds.
BURST_S = 0.2


def bursts(seconds: float, rate: int, at: Sequence[float], pitch: float = 1000.0) -> np.ndarray:
    """Return silence with short tones that start at the given seconds, shaped (samples,)."""
    sound = np.zeros(round(seconds * rate), np.float32)
    tone = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(BURST_S * rate)) / rate).astype(np.float32)
    for start_s in at:
        start = round(start_s * rate)
        sound[start : start + len(tone)] = tone[: len(sound) - start]
    return sound


def onsets(channel: np.ndarray, rate: int) -> list[float]:
    """Return the start of each burst of a channel, in seconds."""
    step = rate // 100
    frames = channel[: len(channel) // step * step].reshape(-1, step)
    is_loud = np.abs(frames).max(axis=1) > 0.1
    begins = is_loud & ~np.concatenate([[False], is_loud[:-1]])
    starts = [at / 100 for at in np.flatnonzero(begins)]
    return [start for k, start in enumerate(starts) if not k or start - starts[k - 1] > BURST_S]


@dataclass(frozen=True)
class Track:
    """A track: its sound shaped (channels, samples), and which parts of it are missing.

    `gaps` are (start, end) in seconds of the sound; packets within them are left out. `late_s` is the start of the
    track in seconds.
    """

    sound: np.ndarray
    rate: int
    codec: str
    late_s: float = 0.0
    gaps: tuple[tuple[float, float], ...] = ()


def write_tracks(path: Path, container: str, *tracks: Track, by_track: bool = False, picture: bool = False) -> Path:
    """Write a container; `by_track` stores one track after the other, `picture` puts a short video track first."""
    with av.open(str(path), "w", format=container, options={"fflags": "+bitexact"}) as file:
        packets = _film(file, container) if picture else []
        streams = [file.add_stream(t.codec, rate=t.rate, layout=_LAYOUTS[len(np.atleast_2d(t.sound))]) for t in tracks]
        for stream in streams:
            if stream.codec_context.name == "wmav2":
                stream.bit_rate = 64_000
        file.start_encoding()
        for number, (track, stream) in enumerate(zip(tracks, streams, strict=True)):
            packets += [(number if by_track else 0, packet) for packet in _packets(track, stream)]
        for _, packet in sorted(packets, key=lambda one: (one[0], one[1].dts * one[1].time_base)):
            file.mux(packet)
    return path


def write_vorbis(path: Path, sound: np.ndarray, rate: int) -> Path:
    """Write an Ogg Vorbis file of a sound shaped (channels, samples), with its channels in the order of Vorbis."""
    with (
        open(path, "w+b") as handle,
        soundfile.SoundFile(handle, "w", rate, len(sound), format="OGG", subtype="VORBIS") as file,
    ):
        for start in range(0, sound.shape[1], rate):  # libsndfile crashes if one write is too large
            file.write(sound[:, start : start + rate].T)
    return path


_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def _packets(track: Track, stream: object) -> list[av.Packet]:
    sound = np.atleast_2d(track.sound).astype(np.float32)
    codec = stream.codec_context  # type: ignore[attr-defined]
    resampler = av.AudioResampler(codec.format, codec.layout, track.rate, codec.frame_size or 960)
    turns = np.ascontiguousarray(sound.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(turns, format="flt", layout=codec.layout.name)
    frame.sample_rate = track.rate
    done, packets = round(track.late_s * track.rate), []
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        part.pts, part.time_base = done, Fraction(1, track.rate)
        done += part.samples
        packets += stream.encode(part)  # type: ignore[attr-defined]
    packets += stream.encode(None)  # type: ignore[attr-defined]
    return [packet for packet in packets if not _is_left_out(packet, track)]


def _is_left_out(packet: av.Packet, track: Track) -> bool:
    at_s = float(packet.pts * packet.time_base) - track.late_s
    return any(start <= at_s < end for start, end in track.gaps)


def _film(file: av.container.OutputContainer, container: str) -> list[tuple[int, av.Packet]]:
    """Return the packets of two seconds of black video."""
    codec, rate = {"flv": ("flv", 5), "mpeg": ("mpeg1video", 25)}.get(container, ("mpeg4", 5))
    stream = file.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    packets = []
    for number in range(2 * rate):
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), format="yuv420p")
        picture.pts, picture.time_base = number, Fraction(1, rate)
        packets += stream.encode(picture)
    return [(0, packet) for packet in [*packets, *stream.encode(None)]]
