"""Streaming pipeline per channel: voice activity detection, features, classifier, smoothing.

Files and streams use the same code, and the result does not depend on the block size. Memory use does not grow with the
length of the audio: the caller keeps the rows.
"""

from collections.abc import Collection

import numpy as np

from analyzer import smoothing, timeline
from analyzer.classifier import BATCH, Classifier
from analyzer.crosstalk import is_leak
from analyzer.emotions import EMOTIONS
from analyzer.features import network_input
from analyzer.speech import Segment, SpeechDetector, SpeechSettings
from analyzer.timeline import Row, Span

#: A segment is non-speech if both its own probability of non-speech and the channel's smoothed one are above this. A
#: word or two within speech is often mistaken for noise, whereas music and tones last.
_OTHER_WINS = 0.5
#: Time constants in seconds for smoothing emotions and non-speech, see `smoothing.follow`.
_FADES_S, _OTHER_FADES_S = 3.0, 20.0

#: Rows of speech, and spans of non-speech sound.
Heard = tuple[list[Row], list[Span]]


class Hearing:
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
        self._waiting: list[tuple[Segment, int, np.ndarray]] = []
        self._told: dict[int, smoothing.Told] = {}
        self._told_other: dict[int, smoothing.Told] = {}

    def push(self, block: np.ndarray) -> Heard:
        """Process the next samples of all channels, shaped (channels, samples); return the results available so far."""
        rows: list[Row] = []
        other: list[Span] = []
        found = [detector.push(samples) for detector, samples in zip(self._detectors, block, strict=True)]
        for channel, segments in enumerate(found, start=1):
            self._take(segments, channel, rows, other)
        while len(self._waiting) >= self._batch:
            self._classify(self._batch, rows, other)
        return rows, other

    def finish(self) -> Heard:
        """Return the remaining results at the end of the audio."""
        rows: list[Row] = []
        other: list[Span] = []
        for channel, detector in enumerate(self._detectors, start=1):
            self._take(detector.finish(), channel, rows, other)
        while self._waiting:
            self._classify(self._batch, rows, other)
        return rows, other

    def _take(self, segments: list[Segment], channel: int, rows: list[Row], other: list[Span]) -> None:
        network_decides = self._classifier.settings.hears_other and channel not in self.masked
        for segment in segments:
            is_speech = segment.may_be_speech if network_decides else segment.is_speech
            if not is_speech or is_leak(segment, self._detectors[channel - 1], self._detectors):
                other.append(timeline.span(segment, channel))
            elif channel in self.masked:
                rows.append(timeline.masked_row(segment, channel))
            else:
                inputs = network_input(segment.samples, self._classifier.settings.front_end)
                self._waiting.append((segment, channel, inputs))

    def _classify(self, count: int, rows: list[Row], other: list[Span]) -> None:
        """Classify the first `count` waiting segments; add a row for speech, or a span for non-speech."""
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        found = self._classifier.probabilities([inputs for _, _, inputs in batch])
        for (segment, channel, _), heard in zip(batch, found, strict=True):
            if self._is_other(segment, channel, heard[len(EMOTIONS) :]):
                other.append(timeline.span(segment, channel))
            else:
                told = _lately(self._told, segment, channel, heard[: len(EMOTIONS)], _FADES_S)
                rows.append(timeline.row(segment, channel, told, self._classifier.labelling))

    def _is_other(self, segment: Segment, channel: int, heard: np.ndarray) -> bool:
        """Whether a segment is non-speech; `heard` is that probability, or empty if the network has no such output."""
        if not len(heard):
            return False
        told = _lately(self._told_other, segment, channel, heard, _OTHER_FADES_S)
        return min(float(heard[0]), float(told[0])) > _OTHER_WINS


def _lately(
    told: dict[int, smoothing.Told], segment: Segment, channel: int, heard: np.ndarray, fades_s: float
) -> np.ndarray:
    """Smooth a segment's probabilities `heard` with the channel's state in `told`, and update that state."""
    told[channel] = smoothing.follow(heard, segment.start, segment.end, told.get(channel), fades_s)
    return told[channel].probabilities
