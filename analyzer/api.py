"""The engine in other programs: emotions of a stream while it goes on, and of a recording.

Both hear as `call-emotions analyze` does, and tell the same rows. A stream tells each within a second of its end: of
that, a long stretch that may still grow and a pause that may go on take 0.6 s, see `speech`, the resampler up to
0.16 s, and a frame of speech detection and the gathering of samples a tenth; what is left is for the computer.
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

from analyzer import envelope, timeline
from analyzer.audio import Conversion
from analyzer.classifier import Classifier, find_model, load_classifier
from analyzer.emotions import PRIORS, SENSITIVITIES
from analyzer.hearing import Heard, Hearing
from analyzer.names import show
from analyzer.recording import analyse
from analyzer.roles import MIXED, Roles, parse_roles
from analyzer.speech import SpeechSettings
from analyzer.stereo import ChannelComparison
from analyzer.storage import is_address
from analyzer.stream import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS
from analyzer.timeline import Row, Timeline

#: Samples are gathered until there is as much sound, since a look at less costs nearly the same; and they are looked at
#: in pieces of no more, since a look takes many times as much memory.
_LEAST_PIECE_S, _LONGEST_PIECE_S = 0.05, 1.0
#: What samples may be: kind and bytes of the type.
_SAMPLE_TYPES = (("i", 2), ("f", 4), ("f", 8))


class EmotionStream:
    """Emotions of a stream of sound, such as a call that is going on; its memory does not grow.

    Rows are those of a timeline, times in seconds from the start of the stream. Each is returned by the push that
    brings what it takes to know it: that is within a second of sound from its end, from 4,000 samples per second on.

    Parameters
    ----------
    rate : samples per second.
    channels : number of channels, each of which is listened to by itself.
    model : the name of a model of this tool, or the path of a model's folder.
    prior : `calls` for emotions as frequent as on calls, `even` for all alike.
    speakers : roles by channel, such as agent and customer.
    only : roles whose emotions may be inferred; empty for all. Rows of others have neither emotion nor probabilities,
        and nobody's do as long as two channels may carry the same conversation, with everybody on both.
    sensitivity : how readily segments are labelled negative: `low`, `normal` or `high`.

    Raises
    ------
    ValueError : where a parameter cannot be meant.
    CannotWork : where there is no such model, or it cannot be used.
    """

    def __init__(
        self,
        rate: int,
        channels: int = 1,
        model: str = "default",
        prior: str = "calls",
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
        rate_of_model = classifier.settings.front_end.rate
        compares = self._masked and self._channels == 2
        self._comparison = ChannelComparison(rate_of_model) if compares else None
        self._conversion = Conversion(self._rate, rate_of_model, self._channels)
        self._hearing = Hearing(classifier, self._channels, SpeechSettings(), self._masked, batch=1)
        self._gathered: list[np.ndarray] = []
        self._is_finished = False

    @property
    def speakers(self) -> tuple[str, ...]:
        """What the speaker of each channel is called, as in the timeline of a file."""
        return self._speakers

    def push(self, samples: np.ndarray) -> list[Row]:
        """Take the next samples of all channels; returns the rows that they make known, by start, then channel.

        Parameters
        ----------
        samples : shaped (channels, samples), or (samples,) of one channel: int16, or float32 or float64 between -1 and
            1. Those that are no numbers, or absurd ones, are taken for silence.

        Raises
        ------
        ValueError : where they are anything else, or the stream is finished.
        """
        self._check_open()
        self._gathered.append(_as_float(samples, self._channels))
        if sum(block.shape[1] for block in self._gathered) < _LEAST_PIECE_S * self._rate:
            return []
        with _ONE_THREAD:
            return self._hear()

    def finish(self) -> list[Row]:
        """The rows that the end of the stream makes known. Nothing can be pushed any more."""
        self._check_open()
        self._is_finished = True
        with _ONE_THREAD:
            rows = self._hear(to_the_end=True)
            rows += _rows(self._hearing.push(self._conversion.finish()))
            return timeline.ordered(rows + _rows(self._hearing.finish()))

    def _check_open(self) -> None:
        if self._is_finished:
            raise ValueError("the stream is finished: begin another EmotionStream for other sound")

    def _hear(self, to_the_end: bool = False) -> list[Row]:
        """The rows that become known by what was gathered."""
        nothing, rows = np.empty((self._channels, 0), np.float32), list[Row]()
        gathered = np.concatenate([nothing, *self._gathered], axis=1)
        piece, end = round(_LONGEST_PIECE_S * self._rate), gathered.shape[1]
        if self._comparison:  # when channels prove to be apart must not depend on how samples are pushed
            piece = round(_LEAST_PIECE_S * self._rate)
            end = end if to_the_end else end // piece * piece
        for start in range(0, end, piece):
            block = self._conversion.push(gathered[:, start : min(start + piece, end)])
            if self._comparison:
                self._comparison.push(block)
                self._hearing.masked = frozenset({1, 2} if self._comparison.may_be_one else self._masked)
            rows += _rows(self._hearing.push(block))
        self._gathered = [gathered[:, end:]]
        return timeline.ordered(rows)


def analyze(
    path: str | os.PathLike[str],
    model: str = "default",
    prior: str = "calls",
    speakers: Sequence[str] = (),
    only: Collection[str] = (),
    sensitivity: str = "normal",
) -> Timeline:
    """Analyse a recording as `call-emotions analyze` does; parameters are those of `EmotionStream`.

    `path` may be an address such as s3://bucket/a.wav. Raises UnreadableRecording with the reason where it cannot be
    analysed, and ValueError and CannotWork as `EmotionStream` does.
    """
    roles, classifier = _roles(speakers, only), _classifier(model, prior, sensitivity)
    place = os.fspath(path)
    with _ONE_THREAD:
        found = analyse(place if is_address(place) else Path(place), classifier, SpeechSettings(), roles)
    about = {"model": classifier.settings.name, "sensitivity": sensitivity, "note": found.note, "codec": found.codec}
    return Timeline(
        recording=show(os.path.basename(place)),
        length_s=found.length_s,
        speakers=found.speakers[: len(found.figures)],
        rows=tuple(found.rows),
        other=found.sketch.other,
        envelope=envelope.unpack(found.sketch.envelope, found.channels),
        about={what: text for what, text in about.items() if text},
    )


def _rows(heard: Heard) -> list[Row]:
    return heard[0]


def _whole_number(given: Any, name: str, least: int, most: int, what: str) -> int:
    """A parameter that is to be a whole number between two."""
    try:
        number = operator.index(given)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise ValueError(f"{name} is {given!r}: give a whole number of {what}, {least:,} to {most:,}")
    return number


def _classifier(model: str, prior: str, sensitivity: str) -> Classifier:
    for name, given, known in (("prior", prior, PRIORS), ("sensitivity", sensitivity, SENSITIVITIES)):
        if given not in known:
            raise ValueError(f"{name} is {given!r}: give one of {', '.join(known)}")
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
    """A copy of samples as float32 between -1 and 1, shaped (channels, samples)."""
    samples = np.asarray(samples)
    if samples.ndim == 1 and channels == 1:
        samples = samples[None]
    if samples.ndim != 2 or len(samples) != channels:
        raise ValueError(f"samples are shaped {samples.shape}: give an array shaped ({channels}, samples)")
    if (samples.dtype.kind, samples.dtype.itemsize) not in _SAMPLE_TYPES:
        raise ValueError(f"samples are {samples.dtype}: give int16, or float32 or float64 between -1 and 1")
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / 32768
    with np.errstate(over="ignore"):  # what has no place in a float32 is no sample either
        return samples.astype(np.float32)


class _OneThread:
    """In this block the linear algebra below numpy keeps to one thread, in the whole process.

    Its products are so small here that to share them out takes longer than to do them, and sums must not depend on how
    many took part. Several threads of a program may be in the block at a time: the last one out sets free what the
    first one in has limited.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._let_any_thread_set_limits()
                self._limit = self._libraries.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._let_any_thread_set_limits()
                self._limit.restore_original_limits()

    @cached_property
    def _libraries(self) -> Any:
        """What to limit: to find it takes a hundred times as long as to limit it."""
        from threadpoolctl import ThreadpoolController

        return ThreadpoolController()

    def _let_any_thread_set_limits(self) -> None:
        """Since 3.8 threadpoolctl heeds only the thread that was the first to set one, as long as it lives."""
        for library in self._libraries.lib_controllers:
            if let := getattr(library, "clear_controlling_thread", None):
                let(force=True)


_ONE_THREAD = _OneThread()
