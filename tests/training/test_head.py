"""Heads equal linear discriminant analysis and ridge regression of the literature, with weighted clips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge

from training.heads.head import Head, distil_head, fit_head

seeds = st.integers(0, 2**32 - 1)


def problem(seed: int, classes: int = 4, per_class: int = 30, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Clips with equally many of each class, whose statistics are correlated and differ in size."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, width)) * 1.5
    numbers = np.repeat(np.arange(classes), per_class)
    mixing = random.normal(size=(width, width))
    mixed = (centres[numbers] + random.normal(size=(len(numbers), width))) @ mixing + random.normal(size=width)
    return (mixed * 10.0 ** np.linspace(-1, 2, width)).astype(np.float32), numbers


def closed_form(
    values: np.ndarray, labels: np.ndarray, weights: np.ndarray, shrinkage: float, scales: np.ndarray | float = 1.0
) -> np.ndarray:
    """Return the logits of the clips by the textbook formula, clip by clip, in double precision."""
    values = values.astype(float)
    mean = np.average(values, axis=0, weights=weights)
    scaled = scales * (values - mean) / np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    centres = np.array(
        [
            np.average(scaled[labels == number], axis=0, weights=weights[labels == number])
            for number in range(labels.max() + 1)
        ]
    )
    within = sum(
        weight * np.outer(row - centres[number], row - centres[number])
        for row, number, weight in zip(scaled, labels, weights, strict=True)
    )
    covariance = (1 - shrinkage) * within / weights.sum() + shrinkage * np.eye(values.shape[1])
    inverse = np.linalg.inv(covariance)
    return np.array([[row @ inverse @ centre - centre @ inverse @ centre / 2 for centre in centres] for row in scaled])


@given(seeds, st.floats(0.05, 1))
@settings(max_examples=20)
def test_head_equals_closed_form(seed, shrinkage):
    values, labels = problem(seed)
    random = np.random.default_rng(seed)
    weights, scales = random.uniform(0.1, 3, len(labels)), random.uniform(0.3, 2, values.shape[1])
    head = fit_head(values, labels, weights, shrinkage, scales)
    expected = closed_form(values, labels, weights, shrinkage, scales)
    assert head.kernel.shape == (6, 4) and head.bias.shape == (4,)
    assert head.kernel.dtype == head.bias.dtype == np.float32
    assert softmax(head.logits(values), axis=1) == pytest.approx(softmax(expected, axis=1), abs=2e-3)


@given(seeds)
@settings(max_examples=20)
def test_linear_logits_are_reproduced(seed):
    values, _ = problem(seed)
    random = np.random.default_rng(seed)
    weights = random.uniform(0.1, 3, len(values))
    teacher = Head(
        (random.normal(size=(6, 4)) / values.std(axis=0)[:, None]).astype(np.float32), np.ones(4, np.float32)
    )
    logits = teacher.logits(values)
    # A constant added to all logits of a clip changes no probability.
    head = distil_head(values, logits + random.normal(size=(len(values), 1)), weights, penalty=1e-7)
    assert head.kernel.dtype == head.bias.dtype == np.float32
    assert softmax(head.logits(values), axis=1) == pytest.approx(softmax(logits, axis=1), abs=0.02)


@given(seeds, st.floats(0.01, 10))
@settings(max_examples=20)
def test_follow_head_equals_ridge_regression(seed, penalty):
    values, _ = problem(seed)
    random = np.random.default_rng(seed)
    weights, targets = random.uniform(0.1, 3, len(values)), random.normal(size=(len(values), 4))
    targets -= targets.mean(axis=1, keepdims=True)
    mean = np.average(values, axis=0, weights=weights)
    scaled = (values - mean) / np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    reference = Ridge(alpha=penalty * weights.sum()).fit(scaled, targets, sample_weight=weights)
    logits = distil_head(values, targets, weights, penalty).logits(values)
    assert logits == pytest.approx(reference.predict(scaled), abs=2e-3)


def test_mixed_head_averages_logits():
    values, labels = problem(1)
    first, other = (
        fit_head(values, labels, np.ones(len(labels)), 0.1),
        fit_head(values, labels, np.ones(len(labels)), 0.9),
    )
    assert first.mixed(other, 0).logits(values) == pytest.approx(first.logits(values))
    assert first.mixed(other, 0.25).logits(values) == pytest.approx(
        0.75 * first.logits(values) + 0.25 * other.logits(values), abs=1e-3
    )


@given(seeds, st.floats(0.05, 0.95))
@settings(max_examples=20)
def test_head_equals_linear_discriminant(seed, shrinkage):
    values, labels = problem(seed)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    # scikit-learn shrinks towards the mean within-class variance, not 1: at another shrinkage, equal up to a factor.
    within = np.mean([scaled[labels == number].var(axis=0) for number in range(4)])
    ratio = shrinkage / (1 - shrinkage) / within
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=ratio / (1 + ratio), priors=[0.25] * 4)
    decided = fit_head(values, labels, np.ones(len(labels)), shrinkage).logits(values).argmax(axis=1)
    assert np.mean(decided == reference.fit(scaled, labels).predict(scaled)) > 0.99


@given(seeds)
@settings(max_examples=20)
def test_full_shrinkage_takes_nearest_centre(seed):
    values, labels = problem(seed)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    centres = np.array([scaled[labels == number].mean(axis=0) for number in range(4)])
    nearest = np.square(scaled[:, None] - centres).sum(axis=2).argmin(axis=1)
    assert np.mean(fit_head(values, labels, np.ones(len(labels)), 1).logits(values).argmax(axis=1) == nearest) > 0.99


@given(seeds, st.integers(2, 4))
@settings(max_examples=20)
def test_weight_equals_repetition(seed, weight):
    values, labels = problem(seed)
    is_heavy = np.random.default_rng(seed).random(len(labels)) < 0.3
    weighted = fit_head(values, labels, np.where(is_heavy, weight, 1), 0.5)
    copies = np.repeat(np.arange(len(labels)), np.where(is_heavy, weight, 1))
    copied = fit_head(values[copies], labels[copies], np.ones(len(copies)), 0.5)
    assert softmax(weighted.logits(values), axis=1) == pytest.approx(softmax(copied.logits(values), axis=1), abs=1e-3)


def test_only_ratio_of_weights_counts():
    values, labels = problem(1)
    weights = np.random.default_rng(1).uniform(0.1, 3, len(labels))
    first, second = (fit_head(values, labels, weights * factor, 0.5).logits(values) for factor in (1, 1000))
    assert first == pytest.approx(second, abs=1e-3)


def test_rare_class_is_as_likely_as_common_one():
    random = np.random.default_rng(3)
    labels = np.array([0] * 950 + [1] * 50)
    values = random.normal(size=(1000, 2)).astype(np.float32)
    values[:, 0] += np.where(labels == 1, 2, -2)
    head = fit_head(values, labels, np.ones(1000), 0.0)
    middle = (values[labels == 0].mean(axis=0) + values[labels == 1].mean(axis=0)) / 2
    assert softmax(head.logits(middle[None]), axis=1)[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_constant_statistic_is_harmless():
    values, labels = problem(2)
    with_constant = np.column_stack([values, np.full(len(values), 3, np.float32)])
    head = fit_head(with_constant, labels, np.ones(len(labels)), 0.5)
    assert np.isfinite(head.kernel).all()
    expected = fit_head(values, labels, np.ones(len(labels)), 0.5).logits(values)
    # The tolerance is wide: dividing by almost zero gives large values, which single precision rounds.
    assert softmax(head.logits(with_constant), axis=1) == pytest.approx(softmax(expected, axis=1), abs=0.1)


@given(seeds)
@settings(max_examples=20)
def test_statistic_scaled_to_zero_is_ignored(seed):
    values, labels = problem(seed)
    random = np.random.default_rng(seed)
    head = fit_head(values, labels, np.ones(len(labels)), 0.5, np.array([1, 1, 1, 1, 1, 1e-3]))
    without = fit_head(values[:, :5], labels, np.ones(len(labels)), 0.5)
    changed = values.copy()
    changed[:, 5] = random.permutation(values[:, 5])
    assert softmax(head.logits(changed), axis=1) == pytest.approx(
        softmax(without.logits(values[:, :5]), axis=1), abs=0.01
    )


@given(seeds, st.floats(0.2, 50))
@settings(max_examples=20)
def test_cooling_keeps_decisions(seed, temperature):
    values, labels = problem(seed)
    head = fit_head(values, labels, np.ones(len(labels)), 0.5)
    logits, with_temperature = head.logits(values), head.with_temperature(temperature).logits(values)
    ordered = np.sort(logits, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-3
    assert np.array_equal(with_temperature.argmax(axis=1)[clear], logits.argmax(axis=1)[clear])
    before, after = softmax(logits, axis=1).max(axis=1)[clear], softmax(with_temperature, axis=1).max(axis=1)[clear]
    assert (after <= before + 1e-5).all() if temperature >= 1 else (after >= before - 1e-5).all()


def test_cooling_by_one_changes_nothing():
    head = Head(np.ones((2, 3), np.float32), np.arange(3, dtype=np.float32))
    assert np.array_equal(head.with_temperature(1).logits(np.eye(2)), head.logits(np.eye(2)))
