"""One recording down the whole way: audio, speech, features, classifier, timeline."""

from dataclasses import dataclass, field

import numpy as np

from analyzer import envelope, figures, timeline
from analyzer.audio import open_audio, read_at
from analyzer.classifier import Classifier
from analyzer.envelope import Envelope
from analyzer.errors import IncompleteRecording, UnreadableRecording
from analyzer.figures import Figures
from analyzer.hearing import Heard, Hearing
from analyzer.levels import level_notes
from analyzer.roles import EVERYBODY, Roles
from analyzer.speech import SpeechSettings
from analyzer.storage import Location
from analyzer.stream import TOLERATED_LOSS, AudioStream
from analyzer.timeline import Sketch

#: Raised by hand whenever the same recording and model would give other results than before.
ANALYSIS_VERSION = 8

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
    sketch : what pictures need of the sound besides.
    """

    status: str
    codec: str
    rate: int
    channels: int
    length_s: float
    note: str
    rows: list[timeline.Row]
    speakers: tuple[str, ...]
    figures: dict[int, Figures]
    sketch: Sketch = field(repr=False)


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
        likeness = Likeness()
        if stream.channels == 2:
            for block in read_at(stream, rate):
                likeness.hear(block)
        return likeness.is_alike


@dataclass
class Likeness:
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
        self._stream, self._roles = stream, roles
        self._known_alike, self._likeness = known_alike, Likeness()
        speakers = roles.of(stream.channels, bool(known_alike))
        self._masked = {channel for channel, name in enumerate(speakers, start=1) if roles.is_masked(name)}
        self._rate = classifier.settings.front_end.rate
        self._hearing = Hearing(classifier, stream.channels, speech, self._masked)
        self._envelope = Envelope(self._rate, stream.channels)
        self._rows: list[timeline.Row] = []
        self._other: list[timeline.Span] = []
        self._samples = 0

    def hear(self, block: np.ndarray) -> None:
        """Take the next samples of all channels, shaped (channels, samples)."""
        self._samples += block.shape[1]
        if len(block) == 2:
            self._likeness.hear(block)
        self._envelope.push(block)
        self._keep(self._hearing.push(block))

    def conclude(self) -> Analysis:
        """The analysis, once all samples were heard."""
        if not self._samples:
            raise UnreadableRecording("it holds no sound")
        self._keep(self._hearing.finish())
        notes, channels = list(self._stream.notes), range(1, self._stream.channels + 1)
        alike = self._likeness.is_alike if self._known_alike is None else self._known_alike
        if alike:
            notes.append("fake stereo")
            channels = range(1, 2)
        speakers = self._roles.of(self._stream.channels, alike)
        rows = timeline.ordered([row for row in self._rows if row.channel in channels])
        other = [span for span in self._other if span.channel in channels]
        length_s = round(self._samples / self._rate, 3)
        by_channel = {
            channel: figures.channel_figures(
                channel, rows, other, length_s, speaker=speakers[channel - 1], masked=channel in self._masked
            )
            for channel in channels
        }
        speech_db = {k: float(f["level_db"]) for k, f in by_channel.items() if f["level_db"] is not None}
        notes += level_notes(self._envelope.offsets.tolist()[: len(channels)], speech_db)
        return Analysis(
            status="ok" if rows else "no_speech",
            codec=self._stream.codec,
            rate=self._stream.rate,
            channels=self._stream.channels,
            length_s=length_s,
            note="; ".join(notes),
            rows=rows,
            speakers=speakers,
            figures=by_channel,
            sketch=Sketch(envelope.pack(self._envelope.finish()), tuple(timeline.ordered(other))),
        )

    def _keep(self, heard: Heard) -> None:
        rows, other = heard
        self._rows += rows
        self._other += other
