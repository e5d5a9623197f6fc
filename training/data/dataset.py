"""Network inputs from audio files, with the front end of the analyzer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError
from analyzer.speech.features import FrontEnd, network_input
from training.data.corpora import Clip
from training.data.parallel import in_chunks
from training.data.splits import Split, refuse_leak, speakers_of

#: Leading and trailing sound at least this many dB below the loudest frame is trimmed. The corpora begin and end with
#: up to a second of studio silence; the analyzer passes speech only.
SILENCE_DB = 35
_CLIPS_PER_CHUNK = 16


@dataclass(frozen=True)
class Examples:
    """Clips with their network inputs.

    Attributes
    ----------
    clips : with the digest of their audio.
    inputs : shaped (clips, frames, bands), float32.
    """

    clips: tuple[Clip, ...]
    inputs: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """Indices into EMOTIONS, shaped (clips,)."""
        return np.array([EMOTIONS.index(clip.emotion) for clip in self.clips], np.int64)

    @property
    def one_hot(self) -> np.ndarray:
        """Training targets, shaped (clips, 8), float32."""
        return np.eye(len(EMOTIONS), dtype=np.float32)[self.classes]

    def balanced(self, seed: int) -> "Examples":
        """Resample the clips so that every speaker has equally many; the total stays the same, rounded up.

        Clips of speakers with few clips are repeated, those of other speakers are subsampled. Otherwise the two women
        of TESS, who speak four fifths of the clips, would outweigh the actors of RAVDESS.
        """
        generator = np.random.default_rng(seed)
        clip_speakers = np.array([clip.speaker for clip in self.clips])
        speakers = speakers_of(self.clips)
        count = -(-len(clip_speakers) // len(speakers))
        resampled = np.concatenate([
            np.resize(generator.permutation(np.flatnonzero(clip_speakers == speaker)), count) for speaker in speakers
        ])  # fmt: skip
        return Examples(tuple(self.clips[index] for index in resampled), self.inputs[resampled])


@dataclass(frozen=True)
class SplitExamples:
    """The three subsets of a split, loaded; raises Leak if they share a speaker, a file or the same audio."""

    training: Examples
    validation: Examples
    test: Examples

    def __post_init__(self) -> None:
        refuse_leak(self.training.clips, self.validation.clips + self.test.clips)
        refuse_leak(self.validation.clips, self.test.clips)


def load_split(split: Split, front_end: FrontEnd) -> SplitExamples:
    """Load all clips of a split; raise Leak if the same audio is in two subsets."""
    loaded = load_examples(split.training + split.validation + split.test, front_end)
    ends = np.cumsum([len(split.training), len(split.validation)])
    subsets = (slice(ends[0]), slice(*ends), slice(ends[1], None))
    return SplitExamples(*(Examples(loaded.clips[subset], loaded.inputs[subset]) for subset in subsets))


def load_examples(clips: Sequence[Clip], front_end: FrontEnd) -> Examples:
    """Load clips, in any format and sample rate that libsndfile reads, one network input each, in the given order."""
    load = partial(_load_clips, front_end=front_end)
    # Decoding, resampling and transforms release the GIL, so threads suffice; each process would import librosa again.
    chunks = in_chunks(load, clips, len(clips), _CLIPS_PER_CHUNK, "loading", threads=True)
    loaded = [clip for chunk in chunks for clip in chunk]
    return Examples(tuple(clip for clip, _ in loaded), np.stack([clip_input for _, clip_input in loaded]))


def _load_clips(clips: Sequence[Clip], front_end: FrontEnd) -> list[tuple[Clip, np.ndarray]]:
    loaded = []
    for clip in clips:
        samples, digest = load_samples(clip.path, front_end.rate)
        clip_input = network_input(centre(samples, front_end), front_end)
        loaded.append((replace(clip, audio=clip.audio or digest), clip_input))
    return loaded


def load_samples(path: Path, rate: int) -> tuple[np.ndarray, str]:
    """Load one clip, without the silence around it, and compute a digest of the file's audio.

    Returns
    -------
    samples : mono, shaped (samples,), float32, at `rate` per second.
    digest : of the decoded samples at the file's own rate, so the same audio has the same digest as WAV and as FLAC.
    """
    import librosa
    import soundfile

    try:
        channels, native_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, TypeError, soundfile.SoundFileError) as error:  # TypeError: extension of a headerless format
        raise UsageError(f"{path} cannot be decoded ({error}): replace the file or remove it") from error
    native = channels.mean(axis=1)
    if not len(native) or not np.isfinite(native).all() or not native.any():
        raise UsageError(f"{path} holds no sound: replace the file or remove it")
    digest = hashlib.sha256(np.clip(np.round(native * 32768), -32768, 32767).astype("<i2").tobytes()).hexdigest()[:32]
    samples = librosa.resample(native, orig_sr=native_rate, target_sr=rate, res_type="soxr_hq")
    return librosa.effects.trim(samples, top_db=SILENCE_DB, frame_length=512, hop_length=128)[0], digest


def centre(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Return the middle of a clip that is longer than one network input; return a shorter clip unchanged.

    There is one input per clip, in training and in every score, so that a score counts clips and not seconds.
    """
    longest = (front_end.frames - 1) * front_end.hop + front_end.window
    start = max(0, len(samples) - longest) // 2
    return samples[start : start + longest]
