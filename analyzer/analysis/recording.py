"""Analysis of one recording: audio, voice activity detection, features, classifier, timeline."""

from dataclasses import dataclass, field, replace

import numpy as np

from analyzer.analysis.pipeline import Pipeline, PipelineOutput
from analyzer.audio import envelope
from analyzer.audio.envelope import Envelope
from analyzer.audio.levels import level_notes
from analyzer.audio.reader import open_audio, read_at
from analyzer.audio.stereo import NOT_STEREO, ChannelComparison, Verdict
from analyzer.audio.storage import Location
from analyzer.audio.stream import TOLERATED_LOSS, AudioStream
from analyzer.errors import IncompleteRecording, UnreadableRecording
from analyzer.model.classifier import Classifier
from analyzer.speech.detector import SpeechSettings
from analyzer.timeline import timeline
from analyzer.timeline.channel_statistics import ChannelStatistics, channel_statistics
from analyzer.timeline.roles import EVERYBODY, Roles
from analyzer.timeline.timeline import DrawingData

#: Increase by hand whenever the same recording and model would give different results than before.
ANALYSIS_VERSION = 11


@dataclass(frozen=True)
class Analysis:
    """Result of the analysis of one recording.

    Attributes
    ----------
    status : `ok`, or `no_speech` if there is no speech.
    codec, rate, channels, length_s : properties of the file.
    note : anything unusual about the recording, such as `both channels identical` or `truncated: 58:12 of 60:00`.
    rows : the timeline, ordered.
    speakers : name of the speaker of each channel.
    statistics : by channel, counted from 1.
    drawing : further data needed to draw the recording.
    """

    status: str
    codec: str
    rate: int
    channels: int
    length_s: float
    note: str
    rows: list[timeline.Row]
    speakers: tuple[str, ...]
    statistics: dict[int, ChannelStatistics]
    drawing: DrawingData = field(repr=False)


def analyse(
    path: Location, classifier: Classifier, speech: SpeechSettings, roles: Roles = EVERYBODY, whole: bool = False
) -> Analysis:
    """Analyse one recording.

    Raises UnreadableRecording with the reason if it cannot be analysed. Raises IncompleteRecording if it must be
    `whole` and more than TOLERATED_LOSS of what its header announces is missing.
    """
    rate = classifier.settings.front_end.rate
    verdict = _stereo_verdict(path, rate) if roles.only and roles.speakers else None
    with open_audio(path) as stream:
        if whole and stream.missing_share > TOLERATED_LOSS:
            raise IncompleteRecording(
                f"{stream.missing_share:.0%} of the sound that its header declares is missing: the file is incomplete"
            )
        analyser = _Analyser(stream, classifier, speech, roles, verdict)
        for block in read_at(stream, rate):
            analyser.push(block)
        return analyser.conclude()


def _stereo_verdict(path: Location, rate: int) -> Verdict:
    """Whether both channels carry one conversation; reads the recording an extra time.

    The verdict decides whose emotions may be inferred, so it must be known before the network runs.
    """
    with open_audio(path) as stream:
        comparison = ChannelComparison(rate)
        if stream.channels == 2:
            for block in read_at(stream, rate):
                comparison.push(block)
        return comparison.verdict


class _Analyser:
    """State of an analysis in progress; its size grows with the number of rows, and by the envelope."""

    def __init__(
        self,
        stream: AudioStream,
        classifier: Classifier,
        speech: SpeechSettings,
        roles: Roles,
        known_verdict: Verdict | None,
    ) -> None:
        self._stream, self._roles, self._known_verdict = stream, roles, known_verdict
        self._comparison: ChannelComparison | None = None
        if stream.channels == 2 and not known_verdict:
            self._comparison = ChannelComparison(classifier.settings.front_end.rate)
        self._masked = self._masked_channels(known_verdict or NOT_STEREO)
        self._rate = classifier.settings.front_end.rate
        self._pipeline = Pipeline(classifier, stream.channels, speech, self._masked)
        self._envelope = Envelope(self._rate, stream.channels)
        self._rows: list[timeline.Row] = []
        self._non_speech: list[timeline.Span] = []
        self._samples = 0

    def push(self, block: np.ndarray) -> None:
        """Process the next samples of all channels, shaped (channels, samples)."""
        self._samples += block.shape[1]
        if self._comparison:
            self._comparison.push(block)
        self._envelope.push(block)
        self._append(self._pipeline.push(block))

    def conclude(self) -> Analysis:
        """Return the analysis after all samples were processed."""
        if not self._samples:
            raise UnreadableRecording("it holds no sound")
        self._append(self._pipeline.finish())
        verdict = self._known_verdict or (self._comparison.verdict if self._comparison else NOT_STEREO)
        speakers = self._roles.of(self._stream.channels, verdict.is_one)
        rows, non_speech = timeline.ordered(self._rows), timeline.ordered(self._non_speech)
        channels, outline = range(1, self._stream.channels + 1), self._envelope.finish()
        if verdict.is_one:
            channels = range(1, 2)
            rows, non_speech = _only_channel(rows, verdict.channel), _only_channel(non_speech, verdict.channel)
            outline = outline[[verdict.channel - 1, 2 - verdict.channel]]
        length_s = round(self._samples / self._rate, 3)
        by_channel = {
            channel: channel_statistics(
                channel, rows, non_speech, length_s, speaker=speakers[channel - 1], masked=channel in self._masked
            )
            for channel in channels
        }
        return Analysis(
            status="ok" if rows else "no_speech",
            codec=self._stream.codec,
            rate=self._stream.rate,
            channels=self._stream.channels,
            length_s=length_s,
            note="; ".join(self._notes(verdict, by_channel)),
            rows=rows,
            speakers=speakers,
            statistics=by_channel,
            drawing=DrawingData(envelope.pack(outline), tuple(non_speech)),
        )

    def _notes(self, verdict: Verdict, by_channel: dict[int, ChannelStatistics]) -> list[str]:
        """Return anything unusual about the recording; channel numbers are those of the file."""
        offsets = self._envelope.offsets.tolist()
        if verdict.is_one:
            offsets = [offset if k == verdict.channel else 0.0 for k, offset in enumerate(offsets, start=1)]
            by_channel = {verdict.channel: by_channel[1]}
        speech_db = {k: found.level_db for k, found in by_channel.items() if found.level_db is not None}
        return [*self._stream.notes, *filter(None, [verdict.note]), *level_notes(offsets, speech_db)]

    def _masked_channels(self, verdict: Verdict) -> set[int]:
        """Return the channels whose emotions must not be inferred; both or none if they carry one conversation."""
        speakers = self._roles.of(self._stream.channels, verdict.is_one)
        if verdict.is_one:
            speakers = speakers[:1] * 2
        return {channel for channel, name in enumerate(speakers, start=1) if self._roles.is_masked(name)}

    def _append(self, output: PipelineOutput) -> None:
        rows, non_speech = output
        self._rows += rows
        self._non_speech += non_speech


def _only_channel(pieces: list[timeline.Piece], channel: int) -> list[timeline.Piece]:
    """Return the rows or spans of one channel, renumbered to channel 1, if both channels carry one conversation."""
    return [replace(piece, channel=1) for piece in pieces if piece.channel == channel]
