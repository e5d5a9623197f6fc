"""Time per stage of an analysis, measured in this process, on one core."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from analyzer.audio.reader import open_audio, read_at
from analyzer.model.classifier import Classifier
from analyzer.speech.features import network_input
from analyzer.store.outputs import write_timeline
from analyzer.timeline import timeline
from analyzer.timeline.roles import EVERYBODY
from benchmarks.calls import spoken

STAGES = ("decode", "speech", "features", "network", "writing")


class Clock(dict[str, float]):
    """Seconds by stage."""

    def add(self, stage: str, seconds: float) -> None:
        """Add seconds to a stage."""
        self[stage] = self.get(stage, 0.0) + seconds

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        """Add the duration of a block to a stage."""
        started = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - started)


def seconds_by_stage(calls: Sequence[Path], classifier: Classifier, output: Path) -> dict[str, float]:
    """Return the seconds per stage for some recordings; `length` is the seconds of sound, `talk` those of speech."""
    clock, settings = Clock(), classifier.settings
    for path in calls:
        with clock.at("decode"), open_audio(path) as stream:
            blocks = list(read_at(stream, settings.front_end.rate))
        with clock.at("speech"):
            segments = spoken(blocks, len(blocks[0]), settings.front_end.rate)
        with clock.at("features"):
            inputs = [network_input(segment.samples, settings.front_end) for _, segment in segments]
        with clock.at("network"):
            probabilities = classifier.probabilities(inputs)
        with clock.at("writing"):
            rows = [
                timeline.row(segment, channel, segment_probabilities[:8], classifier.labelling)
                for (channel, segment), segment_probabilities in zip(segments, probabilities, strict=True)
            ]
            write_timeline(output / f"{path.name}.csv", timeline.ordered(rows), EVERYBODY.of(len(blocks[0])))
        clock.add("length", sum(block.shape[1] for block in blocks) / settings.front_end.rate)
        clock.add("talk", sum(segment.end - segment.start for _, segment in segments))
    return dict(clock)


def decoding_alone(calls: Sequence[Path]) -> float:
    """Return the seconds for decoding recordings one after the other, without further processing."""
    started = time.perf_counter()
    for path in calls:
        with open_audio(path) as stream:
            for _ in stream.blocks():
                pass
    return time.perf_counter() - started
