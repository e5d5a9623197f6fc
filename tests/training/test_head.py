"""The head is the linear discriminant of the books, clips count by their weights, and it can be made less sure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from training.head import Head, fit_head, posterior, temperature

seeds = st.integers(0, 2**32 - 1)


def problem(seed: int, classes: int = 4, each: int = 30, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Clips of all classes, as many of each, some statistics larger and more at one than others."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, width)) * 1.5
    numbers = np.repeat(np.arange(classes), each)
    mixing = random.normal(size=(width, width))
    found = (centres[numbers] + random.normal(size=(len(numbers), width))) @ mixing + random.normal(size=width)
    return (found * 10.0 ** np.linspace(-1, 2, width)).astype(np.float32), numbers


def closed_form(x: np.ndarray, y: np.ndarray, w: np.ndarray, shrinkage: float) -> np.ndarray:
    """Logits of the clips themselves by the textbook, clip by clip, in double precision."""
    x = x.astype(float)
    mean = np.average(x, axis=0, weights=w)
    z = (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    centres = np.array([np.average(z[y == k], axis=0, weights=w[y == k]) for k in range(y.max() + 1)])
    within = sum(weight * np.outer(a - centres[k], a - centres[k]) for a, k, weight in zip(z, y, w, strict=True))
    covariance = (1 - shrinkage) * within / w.sum() + shrinkage * np.eye(x.shape[1])
    inverse = np.linalg.inv(covariance)
    return np.array([[a @ inverse @ c - c @ inverse @ c / 2 for c in centres] for a in z])


@given(seeds, st.floats(0.05, 1))
@settings(max_examples=20)
def test_a_head_is_the_closed_form(seed, shrinkage):
    x, y = problem(seed)
    weights = np.random.default_rng(seed).uniform(0.1, 3, len(y))
    head = fit_head(x, y, weights, shrinkage)
    expected = closed_form(x, y, weights, shrinkage)
    assert head.kernel.shape == (6, 4) and head.bias.shape == (4,)
    assert head.kernel.dtype == head.bias.dtype == np.float32
    assert posterior(head.logits(x)) == pytest.approx(posterior(expected), abs=2e-3)


@given(seeds, st.floats(0.05, 0.95))
@settings(max_examples=20)
def test_a_head_decides_as_the_discriminant_of_scikit_learn(seed, shrinkage):
    x, y = problem(seed)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    # It shrinks towards the mean variance within classes instead of 1: the same but for a factor, at another share.
    within = np.mean([scaled[y == k].var(axis=0) for k in range(4)])
    ratio = shrinkage / (1 - shrinkage) / within
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=ratio / (1 + ratio), priors=[0.25] * 4)
    decided = fit_head(x, y, np.ones(len(y)), shrinkage).logits(x).argmax(axis=1)
    assert np.mean(decided == theirs.fit(scaled, y).predict(scaled)) > 0.99


@given(seeds)
@settings(max_examples=20)
def test_all_shrunk_it_takes_the_nearest_centre_in_units_of_deviation(seed):
    x, y = problem(seed)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    centres = np.array([scaled[y == k].mean(axis=0) for k in range(4)])
    nearest = np.square(scaled[:, None] - centres).sum(axis=2).argmin(axis=1)
    assert np.mean(fit_head(x, y, np.ones(len(y)), 1).logits(x).argmax(axis=1) == nearest) > 0.99


@given(seeds, st.integers(2, 4))
@settings(max_examples=20)
def test_a_clip_of_weight_two_counts_as_two_clips(seed, times):
    x, y = problem(seed)
    heavy = np.random.default_rng(seed).random(len(y)) < 0.3
    weighted = fit_head(x, y, np.where(heavy, times, 1), 0.5)
    copies = np.repeat(np.arange(len(y)), np.where(heavy, times, 1))
    copied = fit_head(x[copies], y[copies], np.ones(len(copies)), 0.5)
    assert posterior(weighted.logits(x)) == pytest.approx(posterior(copied.logits(x)), abs=1e-3)


def test_only_the_ratio_of_weights_counts():
    x, y = problem(1)
    weights = np.random.default_rng(1).uniform(0.1, 3, len(y))
    first, second = (fit_head(x, y, weights * k, 0.5).logits(x) for k in (1, 1000))
    assert first == pytest.approx(second, abs=1e-3)


def test_a_rare_class_is_as_likely_as_a_common_one():
    random = np.random.default_rng(3)
    y = np.array([0] * 950 + [1] * 50)
    x = random.normal(size=(1000, 2)).astype(np.float32)
    x[:, 0] += np.where(y == 1, 2, -2)
    head = fit_head(x, y, np.ones(1000), 0.0)
    middle = (x[y == 0].mean(axis=0) + x[y == 1].mean(axis=0)) / 2
    assert posterior(head.logits(middle[None]))[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_statistic_that_never_changes_does_no_harm():
    x, y = problem(2)
    with_constant = np.column_stack([x, np.full(len(x), 3, np.float32)])
    found = fit_head(with_constant, y, np.ones(len(y)), 0.5)
    assert np.isfinite(found.kernel).all()
    expected = fit_head(x, y, np.ones(len(y)), 0.5).logits(x)
    # Not closer: what is divided by next to nothing is large, and single precision rounds it.
    assert posterior(found.logits(with_constant)) == pytest.approx(posterior(expected), abs=0.1)


@given(seeds, st.floats(1, 500))
@settings(max_examples=20)
def test_probabilities_add_up_however_large_the_logits(seed, scale):
    found = posterior(np.random.default_rng(seed).normal(size=(20, 8)) * scale)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-9)


# How sure


def drawn(seed: int, true: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn from what they say when divided by the true temperature."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, 8)) * 2 * true
    classes = [random.choice(8, p=chances) for chances in posterior(logits / true)]
    return logits, np.array(classes)


@given(seeds, st.floats(0.3, 20))
@settings(max_examples=10)
def test_the_temperature_that_clips_were_drawn_under_is_found(seed, true):
    assert temperature(*drawn(seed, true)) == pytest.approx(true, rel=0.1)


@given(seeds, st.floats(0.5, 5))
@settings(max_examples=10)
def test_logits_twice_as_large_need_twice_the_temperature(seed, times):
    logits, classes = drawn(seed, 1, 300)
    assert temperature(logits * times, classes) == pytest.approx(times * temperature(logits, classes), rel=0.01)


@given(seeds, st.floats(0.2, 50))
@settings(max_examples=20)
def test_a_cooled_head_decides_the_same_and_is_less_sure_above_one(seed, degrees):
    x, y = problem(seed)
    head = fit_head(x, y, np.ones(len(y)), 0.5)
    logits, cooled = head.logits(x), head.cooled(degrees).logits(x)
    ordered = np.sort(logits, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-3
    assert np.array_equal(cooled.argmax(axis=1)[clear], logits.argmax(axis=1)[clear])
    before, after = posterior(logits).max(axis=1)[clear], posterior(cooled).max(axis=1)[clear]
    assert (after <= before + 1e-5).all() if degrees >= 1 else (after >= before - 1e-5).all()


def test_cooling_by_one_changes_nothing():
    head = Head(np.ones((2, 3), np.float32), np.arange(3, dtype=np.float32))
    assert np.array_equal(head.cooled(1).logits(np.eye(2)), head.logits(np.eye(2)))
