"""Heads equal linear discriminant analysis and ridge regression of the literature, with weighted clips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge

from training.head import Head, fit_head, follow_head

seeds = st.integers(0, 2**32 - 1)


def problem(seed: int, classes: int = 4, each: int = 30, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Clips with equally many of each class, whose statistics are correlated and differ in size."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, width)) * 1.5
    numbers = np.repeat(np.arange(classes), each)
    mixing = random.normal(size=(width, width))
    found = (centres[numbers] + random.normal(size=(len(numbers), width))) @ mixing + random.normal(size=width)
    return (found * 10.0 ** np.linspace(-1, 2, width)).astype(np.float32), numbers


def closed_form(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, shrinkage: float, scales: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return the logits of the clips by the textbook formula, clip by clip, in double precision."""
    x = x.astype(float)
    mean = np.average(x, axis=0, weights=w)
    z = scales * (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    centres = np.array([np.average(z[y == k], axis=0, weights=w[y == k]) for k in range(y.max() + 1)])
    within = sum(weight * np.outer(a - centres[k], a - centres[k]) for a, k, weight in zip(z, y, w, strict=True))
    covariance = (1 - shrinkage) * within / w.sum() + shrinkage * np.eye(x.shape[1])
    inverse = np.linalg.inv(covariance)
    return np.array([[a @ inverse @ c - c @ inverse @ c / 2 for c in centres] for a in z])


@given(seeds, st.floats(0.05, 1))
@settings(max_examples=20)
def test_a_head_is_the_closed_form(seed, shrinkage):
    x, y = problem(seed)
    random = np.random.default_rng(seed)
    weights, scales = random.uniform(0.1, 3, len(y)), random.uniform(0.3, 2, x.shape[1])
    head = fit_head(x, y, weights, shrinkage, scales)
    expected = closed_form(x, y, weights, shrinkage, scales)
    assert head.kernel.shape == (6, 4) and head.bias.shape == (4,)
    assert head.kernel.dtype == head.bias.dtype == np.float32
    assert softmax(head.logits(x), axis=1) == pytest.approx(softmax(expected, axis=1), abs=2e-3)


@given(seeds)
@settings(max_examples=20)
def test_logits_that_are_linear_in_the_statistics_are_followed_exactly(seed):
    x, _ = problem(seed)
    random = np.random.default_rng(seed)
    weights = random.uniform(0.1, 3, len(x))
    teacher = Head((random.normal(size=(6, 4)) / x.std(axis=0)[:, None]).astype(np.float32), np.ones(4, np.float32))
    wanted = teacher.logits(x)
    # A constant added to all logits of a clip changes no probability.
    found = follow_head(x, wanted + random.normal(size=(len(x), 1)), weights, penalty=1e-7)
    assert found.kernel.dtype == found.bias.dtype == np.float32
    assert softmax(found.logits(x), axis=1) == pytest.approx(softmax(wanted, axis=1), abs=0.02)


@given(seeds, st.floats(0.01, 10))
@settings(max_examples=20)
def test_following_is_the_ridge_regression_of_scikit_learn(seed, penalty):
    x, _ = problem(seed)
    random = np.random.default_rng(seed)
    weights, wanted = random.uniform(0.1, 3, len(x)), random.normal(size=(len(x), 4))
    wanted -= wanted.mean(axis=1, keepdims=True)
    mean = np.average(x, axis=0, weights=weights)
    scaled = (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    theirs = Ridge(alpha=penalty * weights.sum()).fit(scaled, wanted, sample_weight=weights)
    found = follow_head(x, wanted, weights, penalty).logits(x)
    assert found == pytest.approx(theirs.predict(scaled), abs=2e-3)


def test_mixed_heads_say_the_mean_of_both():
    x, y = problem(1)
    one, other = fit_head(x, y, np.ones(len(y)), 0.1), fit_head(x, y, np.ones(len(y)), 0.9)
    assert one.mixed(other, 0).logits(x) == pytest.approx(one.logits(x))
    assert one.mixed(other, 0.25).logits(x) == pytest.approx(0.75 * one.logits(x) + 0.25 * other.logits(x), abs=1e-3)


@given(seeds, st.floats(0.05, 0.95))
@settings(max_examples=20)
def test_a_head_decides_as_the_discriminant_of_scikit_learn(seed, shrinkage):
    x, y = problem(seed)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    # scikit-learn shrinks towards the mean within-class variance, not 1: at another shrinkage, equal up to a factor.
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
    assert softmax(weighted.logits(x), axis=1) == pytest.approx(softmax(copied.logits(x), axis=1), abs=1e-3)


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
    assert softmax(head.logits(middle[None]), axis=1)[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_statistic_that_never_changes_does_no_harm():
    x, y = problem(2)
    with_constant = np.column_stack([x, np.full(len(x), 3, np.float32)])
    found = fit_head(with_constant, y, np.ones(len(y)), 0.5)
    assert np.isfinite(found.kernel).all()
    expected = fit_head(x, y, np.ones(len(y)), 0.5).logits(x)
    # The tolerance is wide: dividing by almost zero gives large values, which single precision rounds.
    assert softmax(found.logits(with_constant), axis=1) == pytest.approx(softmax(expected, axis=1), abs=0.1)


@given(seeds)
@settings(max_examples=20)
def test_a_statistic_that_is_scaled_to_nothing_does_not_count(seed):
    x, y = problem(seed)
    random = np.random.default_rng(seed)
    found = fit_head(x, y, np.ones(len(y)), 0.5, np.array([1, 1, 1, 1, 1, 1e-3]))
    without = fit_head(x[:, :5], y, np.ones(len(y)), 0.5)
    changed = x.copy()
    changed[:, 5] = random.permutation(x[:, 5])
    assert softmax(found.logits(changed), axis=1) == pytest.approx(softmax(without.logits(x[:, :5]), axis=1), abs=0.01)


@given(seeds, st.floats(0.2, 50))
@settings(max_examples=20)
def test_a_cooled_head_decides_the_same_and_its_probabilities_are_nearer_to_even_above_one(seed, degrees):
    x, y = problem(seed)
    head = fit_head(x, y, np.ones(len(y)), 0.5)
    logits, cooled = head.logits(x), head.cooled(degrees).logits(x)
    ordered = np.sort(logits, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-3
    assert np.array_equal(cooled.argmax(axis=1)[clear], logits.argmax(axis=1)[clear])
    before, after = softmax(logits, axis=1).max(axis=1)[clear], softmax(cooled, axis=1).max(axis=1)[clear]
    assert (after <= before + 1e-5).all() if degrees >= 1 else (after >= before - 1e-5).all()


def test_cooling_by_one_changes_nothing():
    head = Head(np.ones((2, 3), np.float32), np.arange(3, dtype=np.float32))
    assert np.array_equal(head.cooled(1).logits(np.eye(2)), head.logits(np.eye(2)))
