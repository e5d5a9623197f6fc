"""Decode with FFmpeg, as bundled with PyAV, and keep it from opening other files and from exhausting memory.

It reads what libsndfile does not. Each track of a container becomes separate channels, in the order of the tracks. All
sound is placed at the time that the container gives.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any, BinaryIO, NoReturn, cast

import numpy as np
import soxr

from analyzer.audio.decoding import Decoder, Timed
from analyzer.audio.mp4 import MOST_INDEXED, check_index
from analyzer.audio.placement import TOLERATED_S, Placement
from analyzer.audio.splice import Spliced
from analyzer.audio.stream import LONGEST_HOURS, LOWEST_RATE, MOST_READ, AudioStream, Source, format_duration
from analyzer.audio.tracks import Packets
from analyzer.errors import UnreadableRecording
from analyzer.names import show

#: Demuxers of containers with timestamps. All others are read from start to end without gaps.
_TIMESTAMPED = frozenset(("asf", "avi", "flv", "matroska", "mov", "mpeg", "mpegts", "ogg"))
#: Of these, those whose timestamps may start at any value: their first packet is the start of the recording.
_ARBITRARY_START = frozenset(("flv", "mpeg", "mpegts"))
#: Those without a list of tracks: a track is known only from its first packet on.
_WITHOUT_TRACK_LIST = frozenset(("flv", "mpeg", "mpegts"))
#: Bytes of such containers that are searched for tracks. FFmpeg keeps none of the packets meanwhile.
_SEARCHED = 48 << 20
_SEARCHING = {"fflags": "nobuffer", "probesize": str(_SEARCHED), "analyzeduration": str(LONGEST_HOURS * 3600 * 10**6)}
#: Seconds of sound without timestamps at the start of a track that are held until a timestamp is known.
_LONGEST_UNTIMED_S = 10.0


class FFmpegStream(AudioStream):
    """A recording that FFmpeg decodes.

    Parameters
    ----------
    packets : packets of the tracks of the container.
    decoders : one for each track; their channels are stacked in this order.
    name, length_s, missing_share : the `codec`, `length_s` and `missing_share` of an AudioStream.

    Attributes
    ----------
    start_s : container time of the first sample; None if the container has no timestamps.
    end_s : container time of the end, for sound without any timestamps; None if it is not known.
    early_s : how much earlier than `start_s` the first sound may be; sound before `start_s` is left out.
    first_s : container time of the first packet.
    damaged : number of packets that could not be decoded; known once `blocks` has been read to its end.
    """

    def __init__(
        self,
        packets: Packets,
        decoders: list[Decoder],
        name: str,
        length_s: float,
        missing_share: float,
    ) -> None:
        channels = sum(decoder.channels for decoder in decoders) if all(d.channels for d in decoders) else 0
        rates = sorted(decoder.rate for decoder in decoders)
        # Use a rate below the limit even if another track has a valid one, so that the recording is refused.
        rate = rates[0] if rates[0] < LOWEST_RATE else rates[-1]
        super().__init__(name, rate, channels, length_s, missing_share)
        self._packets, self._decoders = packets, decoders
        self.start_s: float | None = None
        self.end_s: float | None = None
        self.early_s, self.first_s, self.damaged = 1.0, 0.0, 0

    def _decoded(self) -> Iterator[np.ndarray]:
        tracks, channels = map(self._track_blocks, self._decoders), [decoder.channels for decoder in self._decoders]
        yield from _stack_tracks(list(tracks), channels, self.block_size())
        self.damaged = sum(decoder.damaged for decoder in self._decoders) + self._packets.broken
        if self.damaged and not any(decoder.has_sound for decoder in self._decoders):
            raise UnreadableRecording("it cannot be decoded: all of its data are damaged")
        if self.damaged:
            self.notes.append(f"{self.damaged} damaged packets left out")

    def _track_blocks(self, decoder: Decoder) -> Iterator[np.ndarray]:
        """Yield the sound of one track at the sample rate of the recording, placed at its timestamps."""
        max_samples = max(1, self.block_size() * decoder.rate // self.rate)
        placement = Placement(decoder.rate, decoder.channels, max_samples)
        blocks = self._placed_blocks(decoder, placement)
        yield from blocks if decoder.rate == self.rate else _resample(blocks, decoder, self.rate, max_samples)
        for position_s in placement.restarts:
            self.notes.append(
                f"its times start over at {format_duration(position_s)}: what follows is placed after that"
            )

    def _placed_blocks(self, decoder: Decoder, placement: Placement) -> Iterator[np.ndarray]:
        frames = decoder.decoded(self._packets.of(decoder.index))
        if self.start_s is None:
            yield from (samples for samples, _ in frames)
            return
        timed_frames = _infer_first_times(frames, decoder.rate, self.start_s - self.early_s, self.end_s)
        for samples, time_s in timed_frames:
            yield from placement.place(samples, None if time_s is None else time_s - self.start_s)
        yield from placement.finish()


def _infer_first_times(frames: Iterator[Timed], rate: int, earliest_s: float, end_s: float | None) -> Iterator[Timed]:
    """Yield frames; those before the first valid timestamp get their times from that one, or from the end.

    FFmpeg may count from 0 until the container gives a timestamp. So a first timestamp below `earliest_s`, and those
    that follow it without a jump, are not valid.
    """
    untimed, length_s, count_start_s = list[Timed](), 0.0, None
    for samples, time_s in frames:
        if time_s is not None and time_s < earliest_s and not untimed:
            count_start_s = time_s
        is_counted = (
            count_start_s is not None and time_s is not None and abs(time_s - count_start_s - length_s) < TOLERATED_S
        )
        if (time_s is None or is_counted) and length_s < _LONGEST_UNTIMED_S:
            untimed.append((samples, None))
            length_s += samples.shape[1] / rate
            continue
        yield from _frames_until(time_s, untimed, rate)
        untimed, length_s, count_start_s = [], _LONGEST_UNTIMED_S, None
        yield samples, time_s
    yield from _frames_until(end_s, untimed, rate)


def _frames_until(end_s: float | None, frames: list[Timed], rate: int) -> Iterator[Timed]:
    """Yield frames with the times that they have if the last one ends at `end_s`; without times if that is None."""
    remaining_s = sum(samples.shape[1] for samples, _ in frames) / rate
    for samples, _ in frames:
        yield samples, None if end_s is None else end_s - remaining_s
        remaining_s -= samples.shape[1] / rate


def _resample(blocks: Iterator[np.ndarray], decoder: Decoder, rate: int, max_samples: int) -> Iterator[np.ndarray]:
    """Resample blocks, at most `max_samples` samples at a time, since they may grow a hundredfold."""
    resampler = soxr.ResampleStream(decoder.rate, rate, decoder.channels, dtype="float32")
    for block in blocks:
        for start in range(0, block.shape[1], max_samples):
            yield resampler.resample_chunk(np.ascontiguousarray(block[:, start : start + max_samples].T)).T
    yield resampler.resample_chunk(np.empty((0, decoder.channels), np.float32), last=True).T


def _stack_tracks(tracks: list[Iterator[np.ndarray]], channels: list[int], size: int) -> Iterator[np.ndarray]:
    """Yield blocks of all tracks, with the channels stacked in track order; shorter tracks are padded with silence."""
    buffers = [_Held(*track) for track in zip(tracks, channels, strict=True)]
    while length := min(size, max(track.fill(size) for track in buffers)):
        yield np.concatenate([track.take(length) for track in buffers])


class _Held:
    """Decoded samples of a track that have not been taken yet."""

    def __init__(self, blocks: Iterator[np.ndarray], channels: int) -> None:
        self._blocks = blocks
        self._buffered = np.empty((channels, 0), np.float32)

    def fill(self, size: int) -> int:
        """Decode until `size` samples are available or the track ends; return the number available."""
        blocks, length = [self._buffered], self._buffered.shape[1]
        while length < size and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            length += block.shape[1]
        self._buffered = np.concatenate(blocks, axis=1) if len(blocks) > 1 else self._buffered
        return length

    def take(self, size: int) -> np.ndarray:
        """Return the next `size` samples, padded with silence at the end of the track."""
        samples, self._buffered = self._buffered[:, :size], self._buffered[:, size:]
        missing = size - samples.shape[1]
        return np.pad(samples, ((0, 0), (0, missing))) if missing else samples


@contextmanager
def open_ffmpeg(source: Source, demuxer: str, missing_share: float = 0.0) -> Iterator[FFmpegStream]:
    """Open a recording with the FFmpeg demuxer of this name; raises UnreadableRecording if that fails."""
    indexed_packets = check_index(source) if demuxer == "mov" else 0
    with ExitStack() as stack:
        container = _open_container(stack, source, demuxer)
        tracks = container.streams.audio
        if not tracks:
            searched_part = f"the first {_SEARCHED >> 20} MB of it" if demuxer in _WITHOUT_TRACK_LIST else "it"
            raise UnreadableRecording(f"there is no sound in {searched_part}, only other streams")
        decoders = _create_decoders(tracks, demuxer)

        def reopen(stack: ExitStack) -> tuple[Any, Source]:
            if indexed_packets * len(tracks) > MOST_INDEXED:  # FFmpeg would hold one copy of the index per track
                raise UnreadableRecording("its tracks lie too far apart in the file to be read together")
            twin = source.twin()
            return _open_container(stack, twin, demuxer), twin

        packets = Packets(container, source, [decoder.index for decoder in decoders], reopen, stack)
        name = f"{demuxer} {'+'.join(dict.fromkeys(decoder.name for decoder in decoders))}"
        length_s = container.duration / 1e6 if container.duration else 0.0  # in microseconds
        stream = FFmpegStream(packets, decoders, name, length_s, missing_share)
        stream.first_s = (container.start_time or 0) / 1e6
        stream.start_s = _recording_start_s(stream.first_s, demuxer)
        stream.notes += _skipped_track_notes(tracks, decoders)
        if demuxer in _WITHOUT_TRACK_LIST - {"flv"} and _has_late_tracks(source, demuxer, tracks):
            stream.notes.append("not read: a track that begins late in it")
        yield stream


def _create_decoders(tracks: Sequence[Any], demuxer: str) -> list[Decoder]:
    """Return decoders of the tracks that can be decoded; if there are none, of all tracks of a known encoding."""
    known = [Decoder(track) for track in tracks if track.codec_context is not None]
    if not known:
        raise UnreadableRecording(f"no decoder here knows the encoding of this {demuxer} file")
    return [decoder for decoder in known if decoder.rate and decoder.channels] or known


def _skipped_track_notes(tracks: Sequence[Any], decoders: Sequence[Decoder]) -> Iterator[str]:
    """Yield a note for each track that is not decoded."""
    decoded_indices = {decoder.index for decoder in decoders}
    for number, track in enumerate(tracks, start=1):
        if track.codec_context is None:
            yield f"not read: track {number}, whose encoding no decoder here knows"
        elif track.index not in decoded_indices:
            yield f"not read: track {number}, whose encoding cannot be found out"


def _has_late_tracks(source: Source, demuxer: str, tracks: Sequence[Any]) -> bool:
    """Whether the part of a file that was not searched has audio tracks that are not among `tracks`."""
    known_ids = {track.id for track in tracks}
    twin = source.twin()
    size = twin.seek(0, os.SEEK_END)
    for start in range(_SEARCHED, size, _SEARCHED):
        section = Source(Spliced(cast(BinaryIO, twin), [(start, min(start + _SEARCHED, size))]))
        with ExitStack() as stack, suppress(UnreadableRecording):
            if any(track.id not in known_ids for track in _open_container(stack, section, demuxer).streams.audio):
                return True
    return False


def _open_container(stack: ExitStack, source: Source, demuxer: str) -> Any:
    """Return the open container, which is closed with the stack."""
    import av

    source.seek(0)
    source.allow(MOST_READ)
    try:
        container = av.open(
            source,
            mode="r",
            format=demuxer,
            container_options=_ffmpeg_options() | (_SEARCHING if demuxer in _WITHOUT_TRACK_LIST else {}),
            io_open=_refuse_open,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        source.check()
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableRecording(f"it cannot be decoded as {demuxer}: {show(reason)}") from error
    stack.enter_context(container)
    if demuxer in _WITHOUT_TRACK_LIST:
        container.seek(0, unsupported_byte_offset=True)
    return container


def _recording_start_s(first_s: float, demuxer: str) -> float | None:
    """Return the container time at which the recording starts; None if the container has no timestamps."""
    if demuxer not in _TIMESTAMPED:
        return None
    return first_s if demuxer in _ARBITRARY_START or first_s > LONGEST_HOURS * 3600 else 0.0


@cache
def _ffmpeg_options() -> dict[str, str]:
    """Return options that stop FFmpeg from opening files by itself and from decoding pictures.

    Pictures need more memory than sound.
    """
    import av

    decoders = []
    for name in sorted(av.codecs_available):
        with suppress(ValueError):  # for codecs that only encode
            if av.Codec(name, "r").type == "audio":
                decoders.append(name)
    return {"protocol_whitelist": "none", "codec_whitelist": ",".join(decoders)}


def _refuse_open(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    """Refuse every file that FFmpeg opens besides the recording itself, such as one that a QuickTime file refers to."""
    raise UnreadableRecording("it is no recording by itself: it refers to another file")
