"""Python API: emotions of a live audio stream (`EmotionStream`) and of a recording (`analyze`).

Both use the pipeline of `call-emotions analyze` and return the same rows. A stream returns each row within a second of
the end of its segment. Of that second, cutting long segments and bridging pauses take 0.6 s (see `speech`), the
resampler up to 0.16 s, and one frame of speech detection plus the sample buffer 0.1 s; the rest is for computation.
"""

import operator
import os
import threading
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from analyzer.analysis.pipeline import Pipeline, PipelineOutput
from analyzer.analysis.recording import analyse
from analyzer.audio import envelope
from analyzer.audio.reader import StreamResampler
from analyzer.audio.stereo import ChannelComparison
from analyzer.audio.storage import is_address
from analyzer.audio.stream import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS
from analyzer.emotions import PRIORS, SENSITIVITIES
from analyzer.model.classifier import Classifier, find_model, load_classifier
from analyzer.names import show
from analyzer.speech.detector import SpeechSettings
from analyzer.timeline import timeline
from analyzer.timeline.roles import MIXED, Roles, parse_roles
from analyzer.timeline.timeline import Row, Timeline

#: Samples are buffered up to the first length, because processing less costs nearly the same. They are processed in
#: pieces of at most the second length, because processing needs many times the memory of the samples.
_LEAST_PIECE_S, _LONGEST_PIECE_S = 0.05, 1.0
#: Accepted sample types: NumPy kind and bytes per sample.
_SAMPLE_TYPES = (("i", 2), ("f", 4), ("f", 8))


class EmotionStream:
    """Emotions of an audio stream, such as a call in progress; memory use is constant.

    Rows are those of a timeline, with times in seconds from the start of the stream. A row is returned by the push that
    completes it: within a second of sound after its end, for rates of at least 4,000 samples per second.

    Parameters
    ----------
    rate : samples per second.
    channels : number of channels; each is analysed independently.
    model : name of a model of this tool, or path of a model folder.
    prior : `calls` for emotions as frequent as on calls, `even` for a uniform prior.
    speakers : roles by channel, such as agent and customer.
    only : roles whose emotions may be inferred; empty for all. Rows of other roles have neither emotion nor
        probabilities. If that masks one of two channels, both are masked as long as they may carry the same
        conversation, with both speakers on each.
    sensitivity : how readily segments are labelled negative: `low`, `normal` or `high`.

    Raises
    ------
    ValueError : if a parameter is invalid.
    CannotWork : if the model does not exist or cannot be used.
    """

    def __init__(
        self,
        rate: int,
        channels: int = 1,
        model: str = "default",
        prior: str = "even",
        speakers: Sequence[str] = (),
        only: Collection[str] = (),
        sensitivity: str = "normal",
    ) -> None:
        self._rate = _whole_number(rate, "rate", LOWEST_RATE, HIGHEST_RATE, "samples per second")
        self._channels = _whole_number(channels, "channels", 1, MOST_CHANNELS, "channels")
        roles = _roles(speakers, only)
        self._speakers = roles.of(self._channels)
        self._masked = {channel for channel, name in enumerate(self._speakers, start=1) if roles.is_masked(name)}
        classifier = _classifier(model, prior, sensitivity)
        model_rate = classifier.settings.front_end.rate
        needs_comparison = self._masked and self._channels == 2
        self._comparison = ChannelComparison(model_rate) if needs_comparison else None
        self._resampler = StreamResampler(self._rate, model_rate, self._channels)
        self._pipeline = Pipeline(classifier, self._channels, SpeechSettings(), self._masked, batch=1)
        self._buffer: list[np.ndarray] = []
        self._is_finished = False

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speaker name of each channel, as in the timeline of a file."""
        return self._speakers

    def push(self, samples: np.ndarray) -> list[Row]:
        """Process the next samples of all channels; return the rows that they complete, by start, then channel.

        Parameters
        ----------
        samples : shaped (channels, samples), or (samples,) for one channel: int16, or float32 or float64 between -1 and
            1. NaN, infinite and absurdly large samples count as silence.

        Raises
        ------
        ValueError : if the samples have another shape or type, or the stream is finished.
        """
        self._check_open()
        self._buffer.append(_as_float(samples, self._channels))
        if sum(block.shape[1] for block in self._buffer) < _LEAST_PIECE_S * self._rate:
            return []
        with _ONE_THREAD:
            return self._process()

    def finish(self) -> list[Row]:
        """End the stream and return its last rows. Nothing can be pushed afterwards."""
        self._check_open()
        self._is_finished = True
        with _ONE_THREAD:
            rows = self._process(is_final=True)
            rows += _rows(self._pipeline.push(self._resampler.finish()))
            return timeline.ordered(rows + _rows(self._pipeline.finish()))

    def _check_open(self) -> None:
        if self._is_finished:
            raise ValueError("the stream is finished: begin another EmotionStream for other sound")

    def _process(self, is_final: bool = False) -> list[Row]:
        """Process the buffered samples and return the rows that they complete."""
        empty, rows = np.empty((self._channels, 0), np.float32), list[Row]()
        samples = np.concatenate([empty, *self._buffer], axis=1)
        piece, end = round(_LONGEST_PIECE_S * self._rate), samples.shape[1]
        if self._comparison:  # unmasking must not depend on how samples are pushed
            piece = round(_LEAST_PIECE_S * self._rate)
            end = end if is_final else end // piece * piece
        for start in range(0, end, piece):
            block = self._resampler.push(samples[:, start : min(start + piece, end)])
            if self._comparison:
                self._comparison.push(block)
                self._pipeline.masked = frozenset({1, 2} if self._comparison.may_be_one else self._masked)
            rows += _rows(self._pipeline.push(block))
        self._buffer = [samples[:, end:]]
        return timeline.ordered(rows)


def analyze(
    path: str | os.PathLike[str],
    model: str = "default",
    prior: str = "even",
    speakers: Sequence[str] = (),
    only: Collection[str] = (),
    sensitivity: str = "normal",
) -> Timeline:
    """Analyse a recording as `call-emotions analyze` does; the other parameters are those of `EmotionStream`.

    `path` may be a URL such as s3://bucket/a.wav. Raises UnreadableRecording with the reason if the recording cannot be
    analysed, and ValueError and CannotWork as `EmotionStream` does.
    """
    roles, classifier = _roles(speakers, only), _classifier(model, prior, sensitivity)
    location = os.fspath(path)
    with _ONE_THREAD:
        analysis = analyse(location if is_address(location) else Path(location), classifier, SpeechSettings(), roles)
    about = {
        "model": classifier.settings.name,
        "sensitivity": sensitivity,
        "note": analysis.note,
        "codec": analysis.codec,
    }
    return Timeline(
        recording=show(os.path.basename(location)),
        length_s=analysis.length_s,
        speakers=analysis.speakers[: len(analysis.statistics)],
        rows=tuple(analysis.rows),
        other=analysis.drawing.other,
        envelope=envelope.unpack(analysis.drawing.envelope, analysis.channels),
        about={key: text for key, text in about.items() if text},
    )


def _rows(output: PipelineOutput) -> list[Row]:
    return output[0]


def _whole_number(value: Any, name: str, least: int, most: int, unit: str) -> int:
    """Return a parameter as an int; raises ValueError unless it is a whole number from `least` to `most`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise ValueError(f"{name} is {value!r}: give a whole number of {unit}, {least:,} to {most:,}")
    return number


def _classifier(model: str, prior: str, sensitivity: str) -> Classifier:
    for name, value, choices in (("prior", prior, PRIORS), ("sensitivity", sensitivity, SENSITIVITIES)):
        if value not in choices:
            raise ValueError(f"{name} is {value!r}: give one of {', '.join(choices)}")
    return load_classifier(find_model(os.fspath(model)), prior, sensitivity)


def _roles(speakers: Sequence[str], only: Collection[str]) -> Roles:
    for name, roles in (("speakers", speakers), ("only", only)):
        if isinstance(roles, str):
            raise ValueError(f"{name} is the text {roles!r}: give a list, such as [{roles!r}]")
        if roles and parse_roles(",".join(roles)) != tuple(roles):
            raise ValueError(f"{name} is {roles!r}: give roles without commas, and without spaces around them")
    if only and not speakers:
        raise ValueError("only needs to know who speaks: give speakers, such as ['agent', 'customer']")
    if unknown := [role for role in only if role not in (*speakers, MIXED)]:
        raise ValueError(f"only names {unknown[0]!r}, and speakers does not: nobody would be listened to by that name")
    return Roles(tuple(speakers), frozenset(only))


def _as_float(samples: np.ndarray, channels: int) -> np.ndarray:
    """Return a copy of the samples as float32 between -1 and 1, shaped (channels, samples)."""
    samples = np.asarray(samples)
    if samples.ndim == 1 and channels == 1:
        samples = samples[None]
    if samples.ndim != 2 or len(samples) != channels:
        raise ValueError(f"samples are shaped {samples.shape}: give an array shaped ({channels}, samples)")
    if (samples.dtype.kind, samples.dtype.itemsize) not in _SAMPLE_TYPES:
        raise ValueError(f"samples are {samples.dtype}: give int16, or float32 or float64 between -1 and 1")
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / 32768
    with np.errstate(over="ignore"):  # overflow gives inf, which StreamResampler silences
        return samples.astype(np.float32)


class _OneThread:
    """Limit NumPy's linear algebra (BLAS) to one thread, in the whole process, while the block runs.

    The matrix products are so small that distributing them takes longer than computing them, and sums must not depend
    on the number of threads. Several threads of a program may be in the block at the same time: the first to enter
    sets the limit, and the last to leave restores the original one.
    """

    def __init__(self) -> None:
        self._lock, self._active_count = threading.Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._active_count:
                self._let_any_thread_set_limits()
                self._limit = self._libraries.limit(limits=1, user_api="blas")
            self._active_count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._active_count -= 1
            if not self._active_count:
                self._let_any_thread_set_limits()
                self._limit.restore_original_limits()

    @cached_property
    def _libraries(self) -> Any:
        """The libraries to limit; cached, because finding them takes a hundred times as long as limiting them."""
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()

    def _let_any_thread_set_limits(self) -> None:
        """Allow every thread to set limits.

        Since 3.8 threadpoolctl accepts limits only from the first thread that set one, as long as that thread lives.
        """
        for library in self._libraries.lib_controllers:
            if clear := getattr(library, "clear_controlling_thread", None):
                clear(force=True)


_ONE_THREAD = _OneThread()
