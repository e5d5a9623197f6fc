"""Scores: as defined, and refused if speakers were trained on."""

from pathlib import Path

import numpy as np
import pytest

from analyzer.emotions import EMOTIONS
from training.baseline.scores import Scores, figures, score_unseen, uncertain_below
from training.data.corpora import Clip
from training.data.dataset import Examples
from training.data.splits import Leak


def scores_of(*pairs: tuple[str, str], confidence: float = 0.9, speakers: int = 2) -> Scores:
    """Scores on clips, given as pairs of acted and predicted emotion."""
    clips = tuple(
        Clip(Path(f"{number}.wav"), acted, f"x-{number % speakers}", "x" if number % 2 else "y")
        for number, (acted, _) in enumerate(pairs)
    )
    probabilities = np.full((len(pairs), 8), (1 - confidence) / 7)
    for row, (_, predicted) in zip(probabilities, pairs, strict=True):
        row[EMOTIONS.index(predicted)] = confidence
    return Scores(clips, probabilities)


def test_uar_weights_emotions_equally():
    scores = scores_of(("happy", "happy"), ("happy", "happy"), ("happy", "happy"), ("sad", "happy"))
    assert scores.accuracy == 0.75
    assert scores.uar == 0.5
    assert scores.macro_f1 == pytest.approx((6 / 7 + 0) / 2)


def test_confusion_rows_are_acted_emotions():
    confusion = scores_of(("happy", "sad"), ("happy", "sad")).confusion()
    assert confusion[EMOTIONS.index("happy"), EMOTIONS.index("sad")] == confusion.sum() == 2


def test_results_by_emotion():
    rows = {row["emotion"]: row for row in scores_of(("happy", "happy"), ("sad", "happy")).by_emotion()}
    assert (rows["happy"]["precision"], rows["happy"]["recall"], rows["happy"]["support"]) == (0.5, 1.0, 1)
    assert list(rows) == list(EMOTIONS)


def test_interval_shrinks_with_more_clips():
    pairs = [("happy", "happy"), ("sad", "happy"), ("sad", "sad"), ("calm", "calm"), ("happy", "calm")]
    few, many = scores_of(*pairs * 4, speakers=4), scores_of(*pairs * 60, speakers=24)
    low, high = few.interval()
    assert low < few.uar < high
    assert few.interval() == (low, high)
    assert np.diff(many.interval()) < np.diff(few.interval())


def test_figures_by_corpus():
    result = figures({"test": scores_of(("happy", "happy"), ("sad", "happy"), ("sad", "sad"), ("happy", "happy"))})
    assert result["test"]["accuracy"] == 0.75
    assert {corpus: part["clips"] for corpus, part in result["test"]["by_corpus"].items()} == {"x": 2, "y": 2}


def test_uncertain_limit_keeps_sixty_per_cent_right():
    right = [("happy", "happy")] * 6
    wrong = [("sad", "happy")] * 4
    assert uncertain_below(scores_of(*right, *wrong, confidence=0.5)) == 0.15
    confident, unconfident = scores_of(*right, confidence=0.72), scores_of(*wrong, *wrong, confidence=0.52)
    both = Scores(
        confident.clips + unconfident.clips, np.concatenate([confident.probabilities, unconfident.probabilities])
    )
    assert uncertain_below(both) == 0.55
    assert uncertain_below(scores_of(*wrong, confidence=0.9)) == 0.9


def test_training_speakers_are_not_scored():
    class Network:
        def predict(self, inputs, **_):
            raise AssertionError("must not be asked")

    clip = Clip(Path("a.wav"), "happy", "x-1", "x")
    leaked = Clip(Path("b.wav"), "happy", "x-1", "x")
    with pytest.raises(Leak):
        score_unseen(Network(), (clip,), Examples((leaked,), np.zeros((1, 300, 40), np.float32)))
