"""Synthetic calls of any length: two people on two channels take turns, composed from recorded speech."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import soundfile

from analyzer.audio.reader import open_audio, read_at
from analyzer.audio.signatures import AUDIO_EXTENSIONS
from analyzer.speech.detector import Segment, SpeechDetector, SpeechSettings

RATE = 8000
#: Seconds that are written at a time.
BLOCK_S = 60
MP3_BITS_PER_S = 32_000
#: Seconds of a turn, and of the pause after it; more than three quarters of a call is speech.
TURN_S, PAUSE_S = (2.0, 12.0), (0.3, 2.5)
#: Number of different calls; more are hard links to these.
DISTINCT = 10
#: Seconds of speech that are taken from the folder at most.
_SPEECH_S = 1800


def speech_of(folder: Path) -> list[np.ndarray]:
    """Return pieces of speech at 8000 per second, each shaped (samples,), from the recordings of a folder."""
    pieces: list[np.ndarray] = []
    sample_count = 0
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_EXTENSIONS):
        if sample_count > _SPEECH_S * RATE:
            break
        with open_audio(path) as stream:
            new_pieces = [segment.samples for _, segment in spoken(read_at(stream, RATE), stream.channels, RATE)]
        pieces, sample_count = pieces + new_pieces, sample_count + sum(map(len, new_pieces))
    if not pieces:
        raise SystemExit(f"no speech in {folder}: give --speech a folder of recordings")
    return pieces


def spoken(blocks: Iterable[np.ndarray], channels: int, rate: int) -> list[tuple[int, Segment]]:
    """Return the speech segments in blocks shaped (channels, samples), each with its channel, counted from 1."""
    detectors = [SpeechDetector(rate, SpeechSettings()) for _ in range(channels)]
    segments = [
        (channel, segment)
        for block in blocks
        for channel, detector in enumerate(detectors, start=1)
        for segment in detector.push(block[channel - 1])
    ]
    segments += [
        (channel, segment) for channel, detector in enumerate(detectors, start=1) for segment in detector.finish()
    ]
    return [(channel, segment) for channel, segment in segments if segment.is_speech]


def make_calls(folder: Path, count: int, minutes: float, encoding: str, speech: Sequence[np.ndarray]) -> Path:
    """Write `count` calls of `minutes` minutes each as `wav` or `mp3`; the same arguments give the same calls."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:05d}.{encoding}"
        if number < DISTINCT:
            {"wav": _write_wav, "mp3": _write_mp3}[encoding](path, call(number, minutes, speech))
        else:
            os.link(folder / f"{number % DISTINCT:05d}.{encoding}", path)
    return folder


def call(seed: int, minutes: float, speech: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield a call in blocks shaped (2, samples)."""
    random = np.random.default_rng(seed)
    remaining, turns = round(minutes * 60 * RATE), _turns(random, speech)
    buffer = np.empty((2, 0), np.float32)
    while remaining:
        while buffer.shape[1] < BLOCK_S * RATE:
            buffer = np.concatenate([buffer, next(turns)], axis=1)
        block, buffer = buffer[:, : min(remaining, BLOCK_S * RATE)], buffer[:, BLOCK_S * RATE :]
        remaining -= block.shape[1]
        # A real line is never completely silent.
        yield block + random.normal(0, 3e-4, block.shape).astype(np.float32)


def _turns(random: np.random.Generator, speech: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield turns without end, each with its pause, shaped (2, samples)."""
    speaker = 0
    while True:
        target_length = random.uniform(*TURN_S) * RATE
        pieces = [speech[int(random.integers(len(speech)))]]
        while sum(map(len, pieces)) < target_length:
            pieces.append(speech[int(random.integers(len(speech)))])
        turn = np.zeros((2, sum(map(len, pieces)) + round(random.uniform(*PAUSE_S) * RATE)), np.float32)
        turn[speaker, : sum(map(len, pieces))] = np.concatenate(pieces)
        speaker = 1 - speaker
        yield turn


def _write_wav(path: Path, blocks: Iterator[np.ndarray]) -> None:
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as sound:
        for block in blocks:
            sound.write(block.T)


def _write_mp3(path: Path, blocks: Iterator[np.ndarray]) -> None:
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=RATE, layout="stereo", bit_rate=MP3_BITS_PER_S)
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="stereo")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_short(folder: Path, count: int) -> Path:
    """Write `count` recordings of a fifth of a second, in folders of a thousand."""
    silence = np.zeros(RATE // 5, np.float32)
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.wav"
        if number % 1000 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        if number == 0:
            soundfile.write(path, silence, RATE, subtype="ULAW")
        else:
            path.write_bytes((folder / "000" / "000000.wav").read_bytes())
    return folder
