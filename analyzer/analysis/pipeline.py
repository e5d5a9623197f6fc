"""Streaming pipeline per channel: voice activity detection, features, classifier, adjustment to the speaker, smoothing.

Files and streams use the same code, and the result does not depend on the block size. Memory use does not grow with the
length of the audio: the caller keeps the rows.
"""

from collections.abc import Collection

import numpy as np

from analyzer.emotions import EMOTIONS
from analyzer.model import smoothing
from analyzer.model.baseline import Speaker
from analyzer.model.classifier import BATCH, Classifier
from analyzer.speech.crosstalk import is_leak
from analyzer.speech.detector import Segment, SpeechDetector, SpeechSettings
from analyzer.speech.features import network_input
from analyzer.timeline import timeline
from analyzer.timeline.timeline import Row, Span

#: A segment is non-speech if both its own probability of non-speech and the channel's smoothed one are above this. A
#: word or two within speech is often mistaken for noise, whereas music and tones last.
_NON_SPEECH_THRESHOLD = 0.5
#: Time constants in seconds for smoothing emotions and non-speech, see `smoothing.follow`.
_EMOTION_TIME_CONSTANT_S, _NON_SPEECH_TIME_CONSTANT_S = 3.0, 20.0

#: Rows of speech, and spans of non-speech sound.
PipelineOutput = tuple[list[Row], list[Span]]


class Pipeline:
    """Analyser of all channels of one recording or stream.

    Parameters
    ----------
    classifier : the network; the samples must have its sample rate.
    channels : number of channels.
    speech : parameters of voice activity detection.
    masked : channels, counted from 1, whose emotions must not be inferred; may be changed between pushes.
    batch : segments per call of the network. It affects only when results are returned, not the results.
    """

    def __init__(
        self,
        classifier: Classifier,
        channels: int,
        speech: SpeechSettings,
        masked: Collection[int] = (),
        batch: int = BATCH,
    ) -> None:
        self._classifier, self.masked, self._batch = classifier, frozenset(masked), batch
        rate = classifier.settings.front_end.rate
        self._detectors = [SpeechDetector(rate, speech) for _ in range(channels)]
        self._pending: list[tuple[Segment, int, np.ndarray]] = []
        self._speakers: dict[int, Speaker | None] = {
            channel: classifier.speaker() for channel in range(1, channels + 1)
        }
        self._emotion_states: dict[int, smoothing.SmoothedState] = {}
        self._non_speech_states: dict[int, smoothing.SmoothedState] = {}

    def push(self, block: np.ndarray) -> PipelineOutput:
        """Process the next samples of all channels, shaped (channels, samples); return the results available so far."""
        rows: list[Row] = []
        non_speech: list[Span] = []
        segments_by_channel = [detector.push(samples) for detector, samples in zip(self._detectors, block, strict=True)]
        for channel, segments in enumerate(segments_by_channel, start=1):
            self._add_segments(segments, channel, rows, non_speech)
        while len(self._pending) >= self._batch:
            self._classify(self._batch, rows, non_speech)
        return rows, non_speech

    def finish(self) -> PipelineOutput:
        """Return the remaining results at the end of the audio."""
        rows: list[Row] = []
        non_speech: list[Span] = []
        for channel, detector in enumerate(self._detectors, start=1):
            self._add_segments(detector.finish(), channel, rows, non_speech)
        while self._pending:
            self._classify(self._batch, rows, non_speech)
        return rows, non_speech

    def _add_segments(self, segments: list[Segment], channel: int, rows: list[Row], non_speech: list[Span]) -> None:
        network_decides = self._classifier.settings.has_non_speech_output and channel not in self.masked
        for segment in segments:
            is_speech = segment.may_be_speech if network_decides else segment.is_speech
            if not is_speech or is_leak(segment, self._detectors[channel - 1], self._detectors):
                non_speech.append(timeline.span(segment, channel))
            elif channel in self.masked:
                rows.append(timeline.masked_row(segment, channel))
            else:
                inputs = network_input(segment.samples, self._classifier.settings.front_end)
                self._pending.append((segment, channel, inputs))

    def _classify(self, count: int, rows: list[Row], non_speech: list[Span]) -> None:
        """Classify the first `count` pending segments; add a row for speech, or a span for non-speech."""
        batch, self._pending = self._pending[:count], self._pending[count:]
        batch_probabilities = self._classifier.probabilities([inputs for _, _, inputs in batch])
        for (segment, channel, _), probabilities in zip(batch, batch_probabilities, strict=True):
            if self._is_non_speech(segment, channel, probabilities[len(EMOTIONS) :]):
                non_speech.append(timeline.span(segment, channel))
            else:
                speaker, emotions = self._speakers[channel], probabilities[: len(EMOTIONS)]
                if speaker:
                    emotions = speaker.adjusted(emotions)
                smoothed = _smoothed(self._emotion_states, segment, channel, emotions, _EMOTION_TIME_CONSTANT_S)
                rows.append(timeline.row(segment, channel, smoothed, self._classifier.labelling))

    def _is_non_speech(self, segment: Segment, channel: int, probability: np.ndarray) -> bool:
        """Whether a segment is non-speech; `probability` is empty if the network has no such output."""
        if not len(probability):
            return False
        smoothed = _smoothed(self._non_speech_states, segment, channel, probability, _NON_SPEECH_TIME_CONSTANT_S)
        return min(float(probability[0]), float(smoothed[0])) > _NON_SPEECH_THRESHOLD


def _smoothed(
    states: dict[int, smoothing.SmoothedState],
    segment: Segment,
    channel: int,
    probabilities: np.ndarray,
    time_constant_s: float,
) -> np.ndarray:
    """Smooth a segment's `probabilities` with the channel's state in `states`, and update that state."""
    states[channel] = smoothing.smooth(probabilities, segment.start, segment.end, states.get(channel), time_constant_s)
    return states[channel].probabilities
