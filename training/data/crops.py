"""Training crops: random crops of augmented copies of clips, and their targets.

Every corpus has a fixed share of each batch; within a corpus, all labels are equally likely. The targets of a clip only
constrain the emotions of its corpus: a clip of a corpus without disgust carries no information on disgust.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.speech.features import whisper_scaled
from training.data.drawn import DrawnFrames
from training.data.sounds import Sounds

#: Target columns: the probability of each emotion, then 1 for each emotion that the clip's corpus has, then 1 for
#: non-speech.
TARGETS = 2 * len(EMOTIONS) + 1
LABEL_SMOOTHING = 0.1
#: Target of read speech: it is neutral or calm, but which of the two is unknown.
READ_SPEECH = {"neutral": 0.7, "calm": 0.3}
_MASKED_BANDS, _MASKS = (2, 9), 2


@dataclass(frozen=True)
class Mixture:
    """Composition of a batch.

    Attributes
    ----------
    sounds : the clips.
    shares : share of each corpus in a batch; corpora without one are not used. Need not sum to 1.
    read_speech : corpora of read speech whose label is READ_SPEECH.
    excluded : speakers that are never drawn: those that are scored, and those that the recipe excludes.
    """

    sounds: Sounds
    shares: Mapping[str, float]
    read_speech: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    @cached_property
    def pools(self) -> dict[str, list[np.ndarray]]:
        """Clip indices of each corpus, one array per label."""
        clip_numbers: dict[str, dict[str, list[int]]] = {}
        for number, clip in enumerate(self.sounds.clips):
            if self.shares.get(clip.corpus, 0) > 0 and clip.speaker not in self.excluded:
                clip_numbers.setdefault(clip.corpus, {}).setdefault(clip.emotion or "", []).append(number)
        return {
            corpus: [np.array(pool[label]) for label in sorted(pool)] for corpus, pool in sorted(clip_numbers.items())
        }

    @property
    def numbers(self) -> np.ndarray:
        """Indices of all clips that crops are drawn from."""
        return np.concatenate([numbers for pools in self.pools.values() for numbers in pools])

    @cached_property
    def _targets(self) -> dict[tuple[str, str], np.ndarray]:
        labels = {
            corpus: [self.sounds.clips[numbers[0]].emotion or "" for numbers in pools]
            for corpus, pools in self.pools.items()
        }
        return {
            (corpus, label): READ if corpus in self.read_speech else target(label, corpus_labels)
            for corpus, corpus_labels in labels.items()
            for label in corpus_labels
        }

    def target_of(self, number: int) -> np.ndarray:
        """Return the target of a clip, shaped (TARGETS,)."""
        clip = self.sounds.clips[number]
        return self._targets[clip.corpus, clip.emotion or ""]

    def draw(self, count: int, random: np.random.Generator) -> list[int]:
        """Draw `count` clip indices, with corpora in proportion to their shares."""
        corpora = list(self.pools)
        edges = np.cumsum([self.shares[corpus] for corpus in corpora])
        positions = (np.arange(count) + random.random()) / count * edges[-1]  # stratified: no batch lacks a corpus
        drawn = []
        for index in np.minimum(np.searchsorted(edges, positions, side="right"), len(corpora) - 1):
            pools = self.pools[corpora[index]]
            pool = pools[random.integers(len(pools))]
            drawn.append(int(pool[random.integers(len(pool))]))
        return drawn


def target(label: str, corpus_labels: Sequence[str]) -> np.ndarray:
    """Return the target of a clip, shaped (TARGETS,).

    Parameters
    ----------
    label : an emotion, OTHER for non-speech, or empty for unlabelled speech.
    corpus_labels : all labels of its corpus.
    """
    values = np.zeros(TARGETS, np.float32)
    values[-1] = label == OTHER
    if label in EMOTIONS:
        in_corpus = np.array([emotion in corpus_labels for emotion in EMOTIONS], np.float32)
        values[: len(EMOTIONS)] = LABEL_SMOOTHING * in_corpus / in_corpus.sum()
        values[EMOTIONS.index(label)] += 1 - LABEL_SMOOTHING
        values[len(EMOTIONS) : -1] = in_corpus
    return values


READ = np.ones(TARGETS, np.float32)
READ[: len(EMOTIONS)] = LABEL_SMOOTHING / 2 / len(EMOTIONS) + (1 - LABEL_SMOOTHING / 2) * np.array(
    [READ_SPEECH.get(emotion, 0.0) for emotion in EMOTIONS]
)
READ[-1] = 0


def draw_batch(
    mixture: Mixture, frames: DrawnFrames, length: int, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw network inputs shaped (count, length, bands), and targets shaped (count, TARGETS), both float32."""
    clip_numbers = mixture.draw(count, random)
    inputs = np.stack([masked(whisper_scaled(frames.crop(number, length, random)), random) for number in clip_numbers])
    return inputs, np.stack([mixture.target_of(number) for number in clip_numbers])


def masked(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Replace some random bands by the mean of all frames, in place (SpecAugment, Park et al., 2019)."""
    mean = frames.mean()
    for _ in range(_MASKS):
        first = random.integers(frames.shape[1])
        frames[:, first : first + random.integers(*_MASKED_BANDS)] = mean
    return frames
