"""Labels: first negative or not, by a threshold on the sum of four probabilities; then which emotion."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analyzer.emotions import CALL_PRIOR, EMOTIONS, NEGATIVE, SENSITIVITIES, UNCERTAIN
from analyzer.model.classifier import Classifier
from analyzer.model.labels import Labelling, negative_probability, rounded
from tests.helpers.tiny_model import make_tiny_model

posteriors = hnp.arrays(float, 8, elements=st.floats(0, 1)).map(lambda p: (p + 1e-6) / (p + 1e-6).sum())
thresholds = st.floats(0.01, 0.99)
NEGATIVE_AT = [EMOTIONS.index(emotion) for emotion in NEGATIVE]


def mixed(**shares: float) -> np.ndarray:
    """Return probabilities; the remainder goes to neutral."""
    shares = {"neutral": 1 - sum(shares.values()), **shares}
    return np.array([shares.get(emotion, 0.0) for emotion in EMOTIONS])


@pytest.mark.parametrize(
    ("probabilities", "label"),
    [
        (mixed(angry=0.9), "angry"),
        # Neutral is the most probable, but the four negative emotions together are as probable.
        (mixed(sad=0.2, fearful=0.3), "fearful"),
        (mixed(sad=0.25, fearful=0.2499), "neutral"),
        # The most probable emotion is negative, but not probable enough.
        (mixed(angry=0.4, happy=0.3), UNCERTAIN),
        (mixed(happy=0.39, calm=0.3), UNCERTAIN),
        (mixed(happy=0.4, calm=0.3), "happy"),
        # Of two equally probable emotions, the first column wins.
        (mixed(sad=0.3, angry=0.3), "sad"),
        (mixed(happy=0.5), "neutral"),
    ],
)
def test_label_depends_on_negative_sum_first(probabilities: np.ndarray, label: str) -> None:
    assert Labelling(negative_from=0.5, uncertain_below=0.4).label(probabilities) == label


def test_threshold_applies_to_rounded_values() -> None:
    """A probability of 0.49996 is written as 0.5."""
    labelling = Labelling(0.5, 0.4)
    assert labelling.label(mixed(angry=0.49996)) == "angry"
    assert labelling.label(mixed(angry=0.49994)) == "neutral"
    assert labelling.label(mixed(sad=0.1, angry=0.2, fearful=0.1, disgust=0.1)) == "angry"  # as floats, below 0.5


@given(posteriors, thresholds, thresholds)
def test_negative_exactly_from_the_threshold(
    probabilities: np.ndarray, negative_from: float, uncertain_below: float
) -> None:
    label, columns = Labelling(negative_from, uncertain_below).label(probabilities), rounded(probabilities)
    assert (label in NEGATIVE) == (negative_probability(columns) >= negative_from)
    if label in NEGATIVE:
        assert columns[EMOTIONS.index(label)] == max(columns[index] for index in NEGATIVE_AT)
    elif label != UNCERTAIN:
        assert columns[EMOTIONS.index(label)] == max(columns) >= uncertain_below
    else:
        assert max(columns) < uncertain_below or EMOTIONS[columns.index(max(columns))] in NEGATIVE


@given(posteriors, st.lists(thresholds, min_size=3, max_size=3).map(lambda drawn: sorted(drawn, reverse=True)))
def test_higher_sensitivity_keeps_negative_labels(probabilities: np.ndarray, limits: list[float]) -> None:
    labels = [Labelling(limit, 0.4).label(probabilities) for limit in limits]
    for lower, higher in pairwise(labels):
        assert lower not in NEGATIVE or higher == lower
        assert higher in NEGATIVE or lower == higher


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Classifier]]]:
    """Models with different priors on calls, each under both priors at every sensitivity."""
    folder = tmp_path_factory.mktemp("priors")
    call_priors = [CALL_PRIOR, (0.125,) * 8, (0.3, 0.01, 0.05, 0.3, 0.02, 0.1, 0.02, 0.2)]
    models = [make_tiny_model(folder / str(k), call_prior=shares) for k, shares in enumerate(call_priors)]
    return [
        {prior: [Classifier(model, prior, sensitivity) for sensitivity in SENSITIVITIES] for prior in ("calls", "even")}
        for model in models
    ]


@given(posteriors.map(np.float32), st.integers(0, 2), st.integers(0, 2))
def test_label_does_not_depend_on_the_prior(
    priors: list[dict[str, list[Classifier]]], posterior: np.ndarray, model: int, sensitivity: int
) -> None:
    on_calls, even = (priors[model][prior][sensitivity] for prior in ("calls", "even"))
    with pytest.MonkeyPatch.context() as patch:
        for classifier in (on_calls, even):
            patch.setattr(classifier, "_run", lambda *_: posterior[None])
        call_shares, even_shares = (c.probabilities([np.zeros((300, 40), np.float32)])[0] for c in (on_calls, even))
    assume(clearly_labelled(call_shares, even_shares, on_calls.labelling))
    assert even.labelling.label(even_shares) == on_calls.labelling.label(call_shares)


def clearly_labelled(on_calls: np.ndarray, even: np.ndarray, labelling: Labelling) -> bool:
    """Whether rounding in single precision cannot change a label."""
    best, second = np.sort(even)[::-1][:2]
    worst, next_worst = np.sort(even[NEGATIVE_AT])[::-1][:2]
    distances = [
        best - second,
        worst - next_worst,
        best - labelling.uncertain_below,
        on_calls[NEGATIVE_AT].sum() - labelling.negative_from,
    ]
    return min(map(abs, distances)) > 5e-4


def test_moved_threshold_is_not_equivalent(tmp_path: Path) -> None:
    """The prior of calls also differs from an even one within the negative emotions, and within the others."""
    labelling = Classifier(make_tiny_model(tmp_path / "model"), "even").labelling
    odds = (1 - sum(CALL_PRIOR[k] for k in NEGATIVE_AT)) / sum(CALL_PRIOR[k] for k in NEGATIVE_AT)
    moved_threshold = odds / (1 + odds)  # equivalent of the threshold 0.5 under the prior of calls
    sad = mixed(sad=0.76)
    assert negative_probability(rounded(sad)) > moved_threshold
    assert labelling.label(sad) == UNCERTAIN  # 0.24 * 0.36 is more than 0.76 * 0.07, but sad is the most probable


def test_rare_emotion_is_labelled_if_it_is_the_most_probable_before_the_prior(tmp_path: Path) -> None:
    """Surprise is so rare on calls that it would hardly ever be the most probable emotion under the call prior."""
    classifiers = [Classifier(make_tiny_model(tmp_path / prior), prior) for prior in ("calls", "even")]
    surprised = mixed(surprised=0.6)
    on_calls = surprised * CALL_PRIOR / (surprised @ CALL_PRIOR)
    assert on_calls.argmax() == EMOTIONS.index("neutral")
    assert [c.labelling.label(p) for c, p in zip(classifiers, (on_calls, surprised), strict=True)] == ["surprised"] * 2
