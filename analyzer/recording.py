"""One recording down the whole way: audio, speech, features, classifier, timeline."""

import zlib
from dataclasses import dataclass, field

import numpy as np

from analyzer import smoothing, timeline
from analyzer.audio import open_audio, read_at
from analyzer.classifier import BATCH, Classifier
from analyzer.emotions import EMOTIONS
from analyzer.errors import IncompleteRecording, UnreadableRecording
from analyzer.features import network_input
from analyzer.roles import EVERYBODY, Roles
from analyzer.speech import Segment, SpeechDetector, SpeechSettings
from analyzer.storage import Location
from analyzer.stream import AudioStream
from analyzer.wav import TOLERATED_LOSS

#: Raised by hand whenever the same recording and model would give other results than before.
ANALYSIS_VERSION = 4

ENVELOPE_STEP_S = 0.1
#: A segment is no speech where the network finds that more probable by itself, and on the channel of late as well: a
#: word or two of somebody who has been talking is often taken for a noise, music and tones go on.
_OTHER_WINS = 0.5
#: How long what was heard counts, of emotions and of what is no speech, see `smoothing.follow`.
_FADES_S, _OTHER_FADES_S = 3.0, 20.0
#: Two channels whose difference is this far below their sum are one sound on two channels.
_ALIKE_DB = 40.0


@dataclass(frozen=True)
class Analysis:
    """What was heard in one recording.

    Attributes
    ----------
    status : `ok`, or `no_speech` where nobody speaks.
    codec, rate, channels, length_s : what the file is.
    note : what a reader should know of it, such as `fake stereo` or `truncated: 58:12 of 60:00`.
    rows : the timeline, ordered.
    speakers : what the speaker of each channel is called.
    figures : what recordings.csv says, a dictionary per channel, by channel.
    envelope : least and greatest sample per 0.1 s, see `pack_envelope`.
    """

    status: str
    codec: str
    rate: int
    channels: int
    length_s: float
    note: str
    rows: list[timeline.Row]
    speakers: tuple[str, ...]
    figures: dict[int, timeline.Figures]
    envelope: bytes = field(repr=False)


def analyse(
    path: Location, classifier: Classifier, speech: SpeechSettings, roles: Roles = EVERYBODY, whole: bool = False
) -> Analysis:
    """Analyse one recording.

    Raises UnreadableRecording with the reason where that cannot be done, and IncompleteRecording where it has to be
    `whole` and its header promises more than is there.
    """
    rate = classifier.settings.front_end.rate
    alike = _is_fake_stereo(path, rate) if roles.only and len(roles.speakers) > 1 else None
    with open_audio(path) as stream:
        if whole and stream.missing_share > TOLERATED_LOSS:
            raise IncompleteRecording(f"{stream.missing_share:.0%} of what its header promises is not there yet")
        listener = _Listener(stream, classifier, speech, roles, alike)
        for block in read_at(stream, rate):
            listener.hear(block)
        return listener.conclude()


def _is_fake_stereo(path: Location, rate: int) -> bool:
    """Whether both channels carry one sound at a rate; for that a recording is read an extra time.

    Who is mixed with whom has to be known before the network listens: not afterwards.
    """
    with open_audio(path) as stream:
        likeness = _Likeness()
        if stream.channels == 2:
            for block in read_at(stream, rate):
                likeness.hear(block)
        return likeness.is_alike


@dataclass
class _Likeness:
    """Whether two channels are one sound: how far their difference is below their sum."""

    sum_power: float = 0.0
    difference_power: float = 0.0
    heard: bool = False

    def hear(self, block: np.ndarray) -> None:
        """Take the next samples, shaped (2, samples)."""
        self.sum_power += float(np.square(block[0] + block[1], dtype=np.float64).sum())
        self.difference_power += float(np.square(block[0] - block[1], dtype=np.float64).sum())
        self.heard = True

    @property
    def is_alike(self) -> bool:
        """Whether all that was heard of both is one sound."""
        return self.heard and self.difference_power <= self.sum_power * 10 ** (-_ALIKE_DB / 10)


class _Listener:
    """What has been heard of a recording so far; its size does not grow with the sound, only with the rows."""

    def __init__(
        self,
        stream: AudioStream,
        classifier: Classifier,
        speech: SpeechSettings,
        roles: Roles,
        known_alike: bool | None,
    ) -> None:
        self._stream, self._classifier, self._roles = stream, classifier, roles
        self._known_alike, self._likeness = known_alike, _Likeness()
        speakers = roles.of(stream.channels, bool(known_alike))
        self._masked = {channel for channel, name in enumerate(speakers, start=1) if roles.is_masked(name)}
        self._rate = classifier.settings.front_end.rate
        self._detectors = [SpeechDetector(self._rate, speech) for _ in range(stream.channels)]
        self._waiting: list[tuple[Segment, int, np.ndarray]] = []
        self._told: dict[int, smoothing.Told] = {}
        self._told_other: dict[int, smoothing.Told] = {}
        self._rows: list[timeline.Row] = []
        self._other: list[timeline.Span] = []
        self._samples = 0
        self._envelope: list[np.ndarray] = []
        self._envelope_rest = np.empty((stream.channels, 0), np.float32)

    def hear(self, block: np.ndarray) -> None:
        """Take the next samples of all channels, shaped (channels, samples)."""
        self._samples += block.shape[1]
        if len(block) == 2:
            self._likeness.hear(block)
        self._draw(block)
        for channel, detector in enumerate(self._detectors, start=1):
            self._take(detector.push(block[channel - 1]), channel)

    def conclude(self) -> Analysis:
        """The analysis, once all samples were heard."""
        if not self._samples:
            raise UnreadableRecording("it holds no sound")
        for channel, detector in enumerate(self._detectors, start=1):
            self._take(detector.finish(), channel)
        self._classify(len(self._waiting))
        notes, channels = list(self._stream.notes), range(1, self._stream.channels + 1)
        alike = self._likeness.is_alike if self._known_alike is None else self._known_alike
        if alike:
            notes.append("fake stereo")
            channels = range(1, 2)
        speakers = self._roles.of(self._stream.channels, alike)
        rows = timeline.ordered([row for row in self._rows if row.channel in channels])
        other = [span for span in self._other if span.channel in channels]
        length_s = round(self._samples / self._rate, 3)
        return Analysis(
            status="ok" if rows else "no_speech",
            codec=self._stream.codec,
            rate=self._stream.rate,
            channels=self._stream.channels,
            length_s=length_s,
            note="; ".join(notes),
            rows=rows,
            speakers=speakers,
            figures={
                channel: timeline.channel_figures(
                    channel, rows, other, length_s, speaker=speakers[channel - 1], masked=channel in self._masked
                )
                for channel in channels
            },
            envelope=pack_envelope(self._finished_envelope()),
        )

    def _take(self, segments: list[Segment], channel: int) -> None:
        for segment in segments:
            if segment.is_speech and channel in self._masked:
                self._rows.append(timeline.masked_row(segment, channel))
            elif segment.is_speech:
                inputs = network_input(segment.samples, self._classifier.settings.front_end)
                self._waiting.append((segment, channel, inputs))
            else:
                self._other.append(timeline.span(segment, channel))
        while len(self._waiting) >= BATCH:
            self._classify(BATCH)

    def _classify(self, count: int) -> None:
        """Turn the first `count` waiting segments into rows."""
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        if not batch:
            return
        found = self._classifier.probabilities([inputs for _, _, inputs in batch])
        threshold = self._classifier.settings.uncertain_below
        for (segment, channel, _), heard in zip(batch, found, strict=True):
            if self._is_other(segment, channel, heard[len(EMOTIONS) :]):
                self._other.append(timeline.span(segment, channel))
            else:
                told = _lately(self._told, segment, channel, heard[: len(EMOTIONS)], _FADES_S)
                self._rows.append(timeline.row(segment, channel, told, threshold))

    def _is_other(self, segment: Segment, channel: int, heard: np.ndarray) -> bool:
        """Whether a segment is no speech; `heard` is its probability, empty where the network has none."""
        if not len(heard):
            return False
        told = _lately(self._told_other, segment, channel, heard, _OTHER_FADES_S)
        return min(float(heard[0]), float(told[0])) > _OTHER_WINS

    def _draw(self, block: np.ndarray) -> None:
        step = round(ENVELOPE_STEP_S * self._rate)
        block = np.concatenate([self._envelope_rest, block], axis=1)
        whole = block.shape[1] // step * step
        pieces = block[:, :whole].reshape(len(block), -1, step)
        self._envelope.append(np.stack([pieces.min(axis=2), pieces.max(axis=2)], axis=2))
        self._envelope_rest = block[:, whole:]

    def _finished_envelope(self) -> np.ndarray:
        rest = self._envelope_rest
        if rest.shape[1]:
            self._envelope.append(np.stack([rest.min(axis=1), rest.max(axis=1)], axis=1)[:, None])
        return np.concatenate(self._envelope, axis=1)


def _lately(
    told: dict[int, smoothing.Told], segment: Segment, channel: int, heard: np.ndarray, fades_s: float
) -> np.ndarray:
    """What was heard of a segment, averaged with what was `told` of its channel before, and remembered there."""
    told[channel] = smoothing.follow(heard, segment.start, segment.end, told.get(channel), fades_s)
    return told[channel].probabilities


def pack_envelope(envelope: np.ndarray) -> bytes:
    """Bytes for the ledger of an envelope shaped (channels, points, 2), samples between -1 and 1."""
    steps = np.rint(np.clip(envelope, -1, 1) * 127).astype(np.int8)
    return zlib.compress(steps.tobytes())


def unpack_envelope(packed: bytes, channels: int) -> np.ndarray:
    """The envelope that `pack_envelope` packed, shaped (channels, points, 2), float32, to 1/127."""
    steps = np.frombuffer(zlib.decompress(packed), np.int8)
    return steps.reshape(channels, -1, 2).astype(np.float32) / 127
