"""Scores match their definitions, and none is computed with a leak."""

from pathlib import Path

import numpy as np
import pytest

from analyzer.emotions import EMOTIONS
from training.corpora import Clip
from training.dataset import Examples
from training.scores import Scores, figures, score_unseen, uncertain_below
from training.splits import Leak


def scores_of(*pairs: tuple[str, str], confidence: float = 0.9, speakers: int = 2) -> Scores:
    """Scores on clips, given as pairs of acted and predicted emotion."""
    clips = tuple(
        Clip(Path(f"{i}.wav"), acted, f"x-{i % speakers}", "x" if i % 2 else "y") for i, (acted, _) in enumerate(pairs)
    )
    probabilities = np.full((len(pairs), 8), (1 - confidence) / 7)
    for row, (_, predicted) in zip(probabilities, pairs, strict=True):
        row[EMOTIONS.index(predicted)] = confidence
    return Scores(clips, probabilities)


def test_unweighted_average_recall_counts_each_emotion_alike():
    scores = scores_of(("happy", "happy"), ("happy", "happy"), ("happy", "happy"), ("sad", "happy"))
    assert scores.accuracy == 0.75
    assert scores.uar == 0.5
    assert scores.macro_f1 == pytest.approx((6 / 7 + 0) / 2)


def test_the_confusion_matrix_has_what_is_acted_in_rows():
    confusion = scores_of(("happy", "sad"), ("happy", "sad")).confusion()
    assert confusion[EMOTIONS.index("happy"), EMOTIONS.index("sad")] == confusion.sum() == 2


def test_the_per_class_rows_give_precision_and_recall():
    rows = {row["emotion"]: row for row in scores_of(("happy", "happy"), ("sad", "happy")).by_emotion()}
    assert (rows["happy"]["precision"], rows["happy"]["recall"], rows["happy"]["support"]) == (0.5, 1.0, 1)
    assert list(rows) == list(EMOTIONS)


def test_the_interval_holds_the_score_is_repeatable_and_shrinks_with_more_clips():
    pairs = [("happy", "happy"), ("sad", "happy"), ("sad", "sad"), ("calm", "calm"), ("happy", "calm")]
    few, many = scores_of(*pairs * 4, speakers=4), scores_of(*pairs * 60, speakers=24)
    low, high = few.interval()
    assert low < few.uar < high
    assert few.interval() == (low, high)
    assert np.diff(many.interval()) < np.diff(few.interval())


def test_figures_are_given_by_corpus_too():
    found = figures({"test": scores_of(("happy", "happy"), ("sad", "happy"), ("sad", "sad"), ("happy", "happy"))})
    assert found["test"]["accuracy"] == 0.75
    assert {corpus: part["clips"] for corpus, part in found["test"]["by_corpus"].items()} == {"x": 2, "y": 2}


def test_uncertain_begins_where_the_clips_kept_are_right_six_times_in_ten():
    right = [("happy", "happy")] * 6
    wrong = [("sad", "happy")] * 4
    assert uncertain_below(scores_of(*right, *wrong, confidence=0.5)) == 0.3
    sure, unsure = scores_of(*right, confidence=0.72), scores_of(*wrong, *wrong, confidence=0.52)
    both = Scores(sure.clips + unsure.clips, np.concatenate([sure.probabilities, unsure.probabilities]))
    assert uncertain_below(both) == 0.55
    assert uncertain_below(scores_of(*wrong, confidence=0.9)) == 0.9


def test_no_score_is_computed_where_a_speaker_was_trained_on():
    class Network:
        def predict(self, inputs, **_):
            raise AssertionError("must not be asked")

    clip = Clip(Path("a.wav"), "happy", "x-1", "x")
    planted = Clip(Path("b.wav"), "happy", "x-1", "x")
    with pytest.raises(Leak):
        score_unseen(Network(), (clip,), Examples((planted,), np.zeros((1, 300, 40), np.float32)))
