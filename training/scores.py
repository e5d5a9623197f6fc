"""What a network scores, and how sure that is."""

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
from training.corpora import Clip
from training.dataset import Examples, SplitExamples
from training.splits import refuse_leak, speakers_of

ALL_CLASSES = range(len(EMOTIONS))
DRAWS = 1000


@dataclass(frozen=True)
class Scores:
    """A network's probabilities on clips, and what follows from them.

    Attributes
    ----------
    clips : that were heard.
    probabilities : the network's own, not moved to the prior of calls; shaped (clips, 8).
    """

    clips: tuple[Clip, ...]
    probabilities: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Indices into EMOTIONS of what is acted, shaped (clips,)."""
        return np.array([EMOTIONS.index(clip.emotion) for clip in self.clips])

    @property
    def heard(self) -> np.ndarray:
        """Indices into EMOTIONS of the highest probability, shaped (clips,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether what was heard is what is acted, shaped (clips,)."""
        return self.truth == self.heard

    @property
    def accuracy(self) -> float:
        """Share of clips heard right."""
        return float(accuracy_score(self.truth, self.heard))

    @property
    def uar(self) -> float:
        """Unweighted average recall: the mean over the emotions acted of the share heard right."""
        return float(recall_score(self.truth, self.heard, labels=self._acted, average="macro", zero_division=0))

    @property
    def macro_f1(self) -> float:
        """The mean over the emotions acted of the harmonic mean of precision and recall."""
        return float(f1_score(self.truth, self.heard, labels=self._acted, average="macro", zero_division=0))

    @property
    def _acted(self) -> np.ndarray:
        return np.unique(self.truth)

    def confusion(self) -> np.ndarray:
        """Counts, shaped (8 acted, 8 heard)."""
        return confusion_matrix(self.truth, self.heard, labels=ALL_CLASSES)

    def by_emotion(self) -> list[dict[str, Any]]:
        """A row per emotion with precision, recall, f1 and support (clips in which it is acted)."""
        columns = precision_recall_fscore_support(self.truth, self.heard, labels=ALL_CLASSES, zero_division=0)
        names = ("precision", "recall", "f1", "support")
        return [
            {"emotion": emotion, **dict(zip(names, row, strict=True))}
            for emotion, *row in zip(EMOTIONS, *columns, strict=True)
        ]

    def of_corpus(self, corpus: str) -> "Scores":
        """The same on the clips of one corpus."""
        chosen = np.array([clip.corpus == corpus for clip in self.clips])
        clips = tuple(clip for clip in self.clips if clip.corpus == corpus)
        return replace(self, clips=clips, probabilities=self.probabilities[chosen])

    def interval(self, seed: int = 0) -> tuple[float, float]:
        """95 % interval of the UAR: speakers are drawn anew, then the clips of each speaker drawn."""
        generator = np.random.default_rng(seed)
        truth, heard = self.truth, self.heard
        names = np.array([clip.speaker for clip in self.clips])
        own = [np.flatnonzero(names == speaker) for speaker in speakers_of(self.clips)]
        drawn = []
        for _ in range(DRAWS):
            speakers = generator.integers(len(own), size=len(own))
            clips = np.concatenate([generator.choice(own[speaker], len(own[speaker])) for speaker in speakers])
            acted = np.bincount(truth[clips], minlength=len(EMOTIONS))
            right = np.bincount(truth[clips], heard[clips] == truth[clips], minlength=len(EMOTIONS))
            drawn.append((right[acted > 0] / acted[acted > 0]).mean())
        low, high = np.percentile(drawn, [2.5, 97.5])
        return float(low), float(high)


def score_seen(network: Any, seen: Examples) -> Scores:
    """Scores on the very clips that the network learned from; they say how well it remembers, nothing else."""
    return Scores(seen.clips, probabilities(network, seen.inputs))


def score_unseen(network: Any, seen: tuple[Clip, ...], unseen: Examples) -> Scores:
    """Scores on speakers that played no part in the making of the network.

    `seen` are all clips that did play one, as far as choosing an epoch by them; raises Leak where the two meet.
    """
    refuse_leak(seen, unseen.clips)
    return Scores(unseen.clips, probabilities(network, unseen.inputs))


def score_split(network: Any, examples: SplitExamples) -> dict[str, Scores]:
    """Scores by side: training, validation and test."""
    learned, chosen_by = examples.training.clips, examples.validation.clips
    return {
        "training": score_seen(network, examples.training),
        "validation": score_unseen(network, learned, examples.validation),
        "test": score_unseen(network, learned + chosen_by, examples.test),
    }


def probabilities(network: Any, inputs: np.ndarray) -> np.ndarray:
    """The Keras network's output, shaped (clips, 8)."""
    return np.asarray(network.predict(inputs, batch_size=64, verbose=0))


def uncertain_below(scores: Scores) -> float:
    """The probability below which the analyzer shall call a segment uncertain.

    The lowest of .30, .35, ... .90 at which, of the validation clips that reach it, at least 60 % are heard right;
    .90 where none does. Probabilities are the network's own: the clips are not spread as emotions in calls are.
    """
    highest = scores.probabilities.max(axis=1)
    for threshold in np.arange(30, 95, 5) / 100:
        kept = scores.correct[highest >= threshold]
        if len(kept) and kept.mean() >= 0.6:
            return float(threshold)
    return 0.9


def figures(scores: Mapping[str, Scores]) -> dict[str, dict[str, Any]]:
    """What `metrics.json` holds of each side; figures that do not depend on the order of anything."""
    return {side: _side_figures(found) for side, found in scores.items()}


def _side_figures(scores: Scores) -> dict[str, Any]:
    corpora = sorted({clip.corpus for clip in scores.clips})
    summary = {**_summary(scores), "uar_interval_95": [round(edge, 4) for edge in scores.interval()]}
    if len(corpora) > 1:
        summary["by_corpus"] = {corpus: _summary(scores.of_corpus(corpus)) for corpus in corpora}
    return summary


def _summary(scores: Scores) -> dict[str, Any]:
    return {
        "clips": len(scores.clips),
        "accuracy": round(scores.accuracy, 4),
        "uar": round(scores.uar, 4),
        "macro_f1": round(scores.macro_f1, 4),
        "speakers": list(speakers_of(scores.clips)),
    }
