"""Network inputs from audio files, with the front end of the analyzer."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError
from analyzer.features import FrontEnd, network_input
from training.corpora import Clip
from training.splits import Split, refuse_leak, speakers_of

#: Leading and trailing sound at least this many dB below the loudest frame is trimmed. The corpora begin and end with
#: up to a second of studio silence; the analyzer passes speech only.
SILENCE_DB = 35


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
        names = np.array([clip.speaker for clip in self.clips])
        speakers = speakers_of(self.clips)
        chosen = np.concatenate([
            _repeated(generator.permutation(np.flatnonzero(names == speaker)), -(-len(names) // len(speakers)))
            for speaker in speakers
        ])  # fmt: skip
        return Examples(tuple(self.clips[index] for index in chosen), self.inputs[chosen])


def _repeated(indices: np.ndarray, count: int) -> np.ndarray:
    return np.tile(indices, -(-count // len(indices)))[:count]


@dataclass(frozen=True)
class SplitExamples:
    """The three subsets of a split, loaded; raises Leak if they share a speaker, a file or the same audio."""

    training: Examples
    validation: Examples
    test: Examples

    def __post_init__(self) -> None:
        refuse_leak(self.training.clips, self.validation.clips + self.test.clips)
        refuse_leak(self.validation.clips, self.test.clips)


def load_split(split: Split, front_end: FrontEnd, jobs: int | None = None) -> SplitExamples:
    """Load all clips of a split; raise Leak if the same audio is in two subsets."""
    clips = split.training + split.validation + split.test
    loaded = load_examples(clips, front_end, jobs)
    first, second = len(split.training), len(split.training) + len(split.validation)
    return SplitExamples(
        *(
            Examples(loaded.clips[part], loaded.inputs[part])
            for part in (slice(first), slice(first, second), slice(second, None))
        )
    )


def load_examples(clips: Sequence[Clip], front_end: FrontEnd, jobs: int | None = None) -> Examples:
    """Load clips, one network input each, in the given order.

    Parameters
    ----------
    clips : in any format and sample rate that libsndfile reads.
    front_end : the front end of the network.
    jobs : number of threads; None for one per core.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    # Decoding, resampling and transforms release the GIL, so threads suffice; each process would import librosa again.
    parallel = Parallel(n_jobs=jobs or os.cpu_count() or 1, prefer="threads", return_as="generator")
    results = parallel(delayed(_load_clip)(clip, front_end) for clip in clips)
    loaded = list(tqdm(results, total=len(clips), desc="loading", unit="clip", disable=None))
    inputs = np.stack([one_input for _, one_input in loaded])
    return Examples(tuple(clip for clip, _ in loaded), inputs)


def _load_clip(clip: Clip, front_end: FrontEnd) -> tuple[Clip, np.ndarray]:
    samples, digest = load_samples(clip.path, front_end.rate)
    return replace(clip, audio=clip.audio or digest), network_input(centre(samples, front_end), front_end)


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
