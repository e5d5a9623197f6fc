"""Scores of a network, with confidence intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    recall_score,
)

from analyzer.emotions import EMOTIONS
from training.data.corpora import Clip
from training.data.dataset import Examples, SplitExamples
from training.data.splits import refuse_leak, speakers_of
from training.evaluation.measures import threshold_of_accuracy

ALL_CLASSES = range(len(EMOTIONS))
DRAWS = 1000


@dataclass(frozen=True)
class Scores:
    """A network's probabilities on clips, and the metrics computed from them.

    Attributes
    ----------
    clips : the classified clips.
    probabilities : the network's own, not converted to the prior of calls; shaped (clips, 8).
    """

    clips: tuple[Clip, ...]
    probabilities: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """True emotions as indices into EMOTIONS, shaped (clips,)."""
        return np.array([EMOTIONS.index(clip.emotion) for clip in self.clips])

    @property
    def predicted(self) -> np.ndarray:
        """Emotions with the highest probability as indices into EMOTIONS, shaped (clips,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is correct, shaped (clips,)."""
        return self.truth == self.predicted

    @property
    def accuracy(self) -> float:
        """Share of correctly classified clips."""
        return float(accuracy_score(self.truth, self.predicted))

    @property
    def uar(self) -> float:
        """Unweighted average recall: the mean recall over the emotions that occur."""
        return float(recall_score(self.truth, self.predicted, labels=self._acted, average="macro", zero_division=0))

    @property
    def macro_f1(self) -> float:
        """Mean F1 (harmonic mean of precision and recall) over the emotions that occur."""
        return float(f1_score(self.truth, self.predicted, labels=self._acted, average="macro", zero_division=0))

    @property
    def _acted(self) -> np.ndarray:
        return np.unique(self.truth)

    def confusion(self) -> np.ndarray:
        """Return counts, shaped (8 true, 8 predicted)."""
        return confusion_matrix(self.truth, self.predicted, labels=ALL_CLASSES)

    def by_emotion(self) -> list[dict[str, Any]]:
        """Return a row per emotion with precision, recall, f1 and support (clips of that emotion)."""
        columns = precision_recall_fscore_support(self.truth, self.predicted, labels=ALL_CLASSES, zero_division=0)
        names = ("precision", "recall", "f1", "support")
        return [
            {"emotion": emotion, **dict(zip(names, row, strict=True))}
            for emotion, *row in zip(EMOTIONS, *columns, strict=True)
        ]

    def of_corpus(self, corpus: str) -> "Scores":
        """Return the scores on the clips of one corpus."""
        mask = np.array([clip.corpus == corpus for clip in self.clips])
        clips = tuple(clip for clip in self.clips if clip.corpus == corpus)
        return replace(self, clips=clips, probabilities=self.probabilities[mask])

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of the UAR: speakers are resampled, then the clips of each."""
        generator = np.random.default_rng(seed)
        truth, predicted = self.truth, self.predicted
        clip_speakers = np.array([clip.speaker for clip in self.clips])
        clips_by_speaker = [np.flatnonzero(clip_speakers == speaker) for speaker in speakers_of(self.clips)]
        uars = []
        for _ in range(DRAWS):
            speakers = generator.integers(len(clips_by_speaker), size=len(clips_by_speaker))
            clips = np.concatenate(
                [generator.choice(clips_by_speaker[speaker], len(clips_by_speaker[speaker])) for speaker in speakers]
            )
            totals = np.bincount(truth[clips], minlength=len(EMOTIONS))
            correct = np.bincount(truth[clips], predicted[clips] == truth[clips], minlength=len(EMOTIONS))
            uars.append((correct[totals > 0] / totals[totals > 0]).mean())
        low, high = np.percentile(uars, [2.5, 97.5])
        return float(low), float(high)


def score_seen(network: Any, seen: Examples) -> Scores:
    """Score the network on its own training clips; this only measures how well it fits them."""
    return Scores(seen.clips, probabilities(network, seen.inputs))


def score_unseen(network: Any, seen: tuple[Clip, ...], unseen: Examples) -> Scores:
    """Score the network on speakers that were not used to make it.

    `seen` are all clips that were used, even those that only chose the epoch. Raises Leak if they overlap with
    `unseen`.
    """
    refuse_leak(seen, unseen.clips)
    return Scores(unseen.clips, probabilities(network, unseen.inputs))


def score_split(network: Any, examples: SplitExamples) -> dict[str, Scores]:
    """Score the training, validation and test subsets."""
    training_clips, validation_clips = examples.training.clips, examples.validation.clips
    return {
        "training": score_seen(network, examples.training),
        "validation": score_unseen(network, training_clips, examples.validation),
        "test": score_unseen(network, training_clips + validation_clips, examples.test),
    }


def probabilities(network: Any, inputs: np.ndarray) -> np.ndarray:
    """Return the Keras network's output, shaped (clips, 8)."""
    return np.asarray(network.predict(inputs, batch_size=64, verbose=0))


def uncertain_below(scores: Scores) -> float:
    """Return the probability below which the analyzer labels a segment uncertain.

    See `threshold_of_accuracy`. Probabilities are the network's own: emotions are not distributed in the clips as in
    calls.
    """
    weights = np.ones(len(scores.clips))
    return threshold_of_accuracy(scores.correct, scores.probabilities.max(axis=1), weights, required=0.6)


def figures(scores: Mapping[str, Scores]) -> dict[str, dict[str, Any]]:
    """Return the metrics of each subset for `metrics.json`.

    Apart from the bootstrap interval, they do not depend on the order of clips.
    """
    subsets = {}
    for subset, subset_scores in scores.items():
        corpora = sorted({clip.corpus for clip in subset_scores.clips})
        interval = [round(bound, 4) for bound in subset_scores.interval()]
        subsets[subset] = {**_summary(subset_scores), "uar_interval_95": interval}
        if len(corpora) > 1:
            subsets[subset]["by_corpus"] = {corpus: _summary(subset_scores.of_corpus(corpus)) for corpus in corpora}
    return subsets


def _summary(scores: Scores) -> dict[str, Any]:
    return {
        "clips": len(scores.clips),
        "accuracy": round(scores.accuracy, 4),
        "uar": round(scores.uar, 4),
        "macro_f1": round(scores.macro_f1, 4),
        "speakers": list(speakers_of(scores.clips)),
    }
