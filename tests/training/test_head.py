"""The head is the linear discriminant of the books, clips count by their weights, and it can be made less sure."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge

from training.head import Head, doubted, fit_head, follow_head, least_brier, posterior, temperature

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


@given(seeds)
@settings(max_examples=20)
def test_who_follows_advice_that_its_statistics_can_tell_says_it_word_for_word(seed):
    x, _ = problem(seed)
    random = np.random.default_rng(seed)
    weights = random.uniform(0.1, 3, len(x))
    adviser = Head((random.normal(size=(6, 4)) / x.std(axis=0)[:, None]).astype(np.float32), np.ones(4, np.float32))
    advice = adviser.logits(x)
    # What is added to all logits of a clip says nothing.
    follower = follow_head(x, advice + random.normal(size=(len(x), 1)), weights, penalty=1e-7)
    assert follower.kernel.dtype == follower.bias.dtype == np.float32
    assert posterior(follower.logits(x)) == pytest.approx(posterior(advice), abs=0.02)


@given(seeds, st.floats(0.01, 10))
@settings(max_examples=20)
def test_who_follows_is_the_ridge_regression_of_scikit_learn(seed, penalty):
    x, _ = problem(seed)
    random = np.random.default_rng(seed)
    weights, advice = random.uniform(0.1, 3, len(x)), random.normal(size=(len(x), 4))
    advice -= advice.mean(axis=1, keepdims=True)
    mean = np.average(x, axis=0, weights=weights)
    scaled = (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    theirs = Ridge(alpha=penalty * weights.sum()).fit(scaled, advice, sample_weight=weights)
    found = follow_head(x, advice, weights, penalty).logits(x)
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


# Rooms: corpora, with studios and ways to act of their own


def in_rooms(seed: int, rooms: int, classes: int = 3, each: int = 30, width: int = 6):
    """Clips of all classes in every room, as many of each; classes differ alike in all, and rooms have shifts."""
    random = np.random.default_rng(seed)
    centres, shifts = random.normal(size=(classes, width)) * 2, random.normal(size=(rooms, width)) * 2
    numbers = np.tile(np.repeat(np.arange(classes), each), rooms)
    where = np.repeat(np.arange(rooms), classes * each)
    x = centres[numbers] + shifts[where] + random.normal(size=(len(numbers), width))
    return x.astype(np.float32), numbers, where


def differences(head: Head) -> np.ndarray:
    """What tells each class from the mean of all, whatever is common to them."""
    return head.kernel - head.kernel.mean(axis=1, keepdims=True)


def far(first: Head, second: Head) -> float:
    """The angle between what two heads listen to, as the sine: 0 the same, 1 nothing in common."""
    one, other = (differences(head).ravel().astype(float) for head in (first, second))
    return float(np.sqrt(max(0, 1 - (one @ other / np.linalg.norm(one) / np.linalg.norm(other)) ** 2)))


@given(seeds, st.floats(0.05, 1), st.integers(-5, 5))
@settings(max_examples=20)
def test_with_one_room_a_head_is_the_closed_form(seed, shrinkage, name):
    x, y = problem(seed)
    weights = np.random.default_rng(seed).uniform(0.1, 3, len(y))
    head = fit_head(x, y, weights, shrinkage, np.full(len(y), name))
    assert posterior(head.logits(x)) == pytest.approx(posterior(closed_form(x, y, weights, shrinkage)), abs=2e-3)


@given(seeds)
@settings(max_examples=20)
def test_what_rooms_are_called_does_not_count(seed):
    x, y, rooms = in_rooms(seed, 3)
    weights = np.ones(len(y))
    first, second = (fit_head(x, y, weights, 0.5, named) for named in (rooms, np.array([7, -2, 40])[rooms]))
    assert first.logits(x) == pytest.approx(second.logits(x), abs=1e-2, rel=1e-3)


@given(seeds)
@settings(max_examples=20)
def test_classes_and_rooms_are_parted_as_least_squares_part_them(seed):
    """Against a regression on classes and rooms together, clips of all weights and no class alike in any two rooms."""
    random = np.random.default_rng(seed)
    x, y, rooms = in_rooms(seed, 3)
    chosen = random.random(len(y)) < np.array([[1, 0.2, 0.5], [0.3, 1, 0.4], [0.6, 0.3, 1]])[rooms, y]
    chosen |= np.arange(len(y)) % 30 < 2
    x, y, rooms = x[chosen], y[chosen], rooms[chosen]
    weights = random.uniform(0.3, 3, len(y))
    mean = np.average(x, axis=0, weights=weights)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    design, root = np.eye(6)[y] + np.eye(6)[3 + rooms], np.sqrt(weights)[:, None]
    effects = np.linalg.lstsq(design * root, (x - mean) / deviation * root)[0]
    # All shrunk, a class's column of the kernel is its centre.
    kernel = fit_head(x, y, weights, 1, rooms).kernel * deviation[:, None]
    expected = (effects[:3] - effects[:3].mean(axis=0)).T
    assert kernel - kernel.mean(axis=1, keepdims=True) == pytest.approx(expected, abs=0.02)


@given(seeds, st.floats(3, 100), st.floats(0.1, 3))
@settings(max_examples=20)
def test_a_room_of_one_class_teaches_nothing_of_that_class(seed, shift, weight):
    """Somebody reads calmly in another studio; without rooms the studio is taken for the calm."""
    x, y = in_rooms(seed, 1)[:2]
    random = np.random.default_rng(seed)
    direction = random.normal(size=6)
    direction *= shift / np.linalg.norm(direction)
    read = (x[y == 0][random.integers(0, 30, 60)] + direction).astype(np.float32)
    both, classes = np.concatenate([x, read]), np.concatenate([y, np.zeros(60, int)])
    weights = np.concatenate([np.ones(len(y)), np.full(60, weight)])
    rooms = np.concatenate([np.zeros(len(y), int), np.ones(60, int)])
    # All shrunk and in the same units, so that only the centres tell.
    spread = np.sqrt(np.average((both - np.average(both, axis=0, weights=weights)) ** 2, axis=0, weights=weights))
    expected = np.array([x[y == k].mean(axis=0) for k in range(3)]).T / spread[:, None] ** 2
    apart, together = fit_head(both, classes, weights, 1, rooms), fit_head(both, classes, weights, 1)
    alone = Head(expected, np.zeros(3))
    assert far(apart, alone) < 0.15
    assert far(apart, alone) < far(together, alone) / 3


def test_calm_readers_of_another_studio_turn_no_decision_of_the_first_round():
    """Their studio sounds as another emotion does, and more so: without rooms that emotion is called calm."""
    random = np.random.default_rng(5)
    centres = np.array([[0, 0], [3, 0], [0, 3]])
    y = np.repeat(np.arange(3), 100)
    x = (centres[y] + random.normal(size=(300, 2)) * 0.5).astype(np.float32)
    read = (np.array([5, 0]) + random.normal(size=(300, 2)) * 0.5).astype(np.float32)
    both, classes = np.concatenate([x, read]), np.concatenate([y, np.zeros(300, int)])
    rooms = np.repeat([0, 1], 300)

    def right(head: Head) -> float:
        """The share of the first studio's clips, compared with each other: where it lies among studios is not asked."""
        logits = head.logits(x)
        centre = np.mean([logits[y == k].mean(axis=0) for k in range(3)], axis=0)
        return float(np.mean((logits - centre).argmax(axis=1) == y))

    assert right(fit_head(x, y, np.ones(300), 0.5)) > 0.95
    assert right(fit_head(both, classes, np.ones(600), 0.5, rooms)) > 0.95
    assert right(fit_head(both, classes, np.ones(600), 0.5)) < 0.5


@given(seeds, st.floats(-50, 50))
@settings(max_examples=20)
def test_moving_a_whole_room_moves_no_class_against_another(seed, shift):
    """Even where the room has more of one class than the others have."""
    x, y, rooms = in_rooms(seed, 3)
    kept = (rooms != 2) | (y == 0) | (np.arange(len(y)) % 5 == 0)
    x, y, rooms = x[kept], y[kept], rooms[kept]
    direction = np.random.default_rng(seed).normal(size=6)
    moved = x + ((rooms == 2)[:, None] * direction * shift).astype(np.float32)
    # All shrunk, the kernel is the centres in units of the variance.
    before, after = (
        differences(fit_head(found, y, np.ones(len(y)), 1, rooms)) * found.var(axis=0)[:, None] for found in (x, moved)
    )
    assert after == pytest.approx(before, abs=0.02 + 0.01 * abs(shift))


@given(seeds, st.floats(-2, 2))
@settings(max_examples=20)
def test_moving_a_room_as_far_as_rooms_lie_apart_changes_few_decisions_in_the_others(seed, shift):
    x, y, rooms = in_rooms(seed, 5)
    direction = np.random.default_rng(seed).normal(size=6)
    moved = x + ((rooms == 4)[:, None] * direction * shift).astype(np.float32)
    others, weights = rooms < 4, np.ones(len(y))
    before, after = (fit_head(found, y, weights, 0.8, rooms).logits(x[others]) for found in (x, moved))
    assert np.mean(before.argmax(axis=1) == after.argmax(axis=1)) > 0.8


@given(seeds, st.floats(5, 100))
@settings(max_examples=20)
def test_what_tells_rooms_apart_is_not_listened_to(seed, shift):
    """Two statistics tell the classes alike; one of them differs between rooms as well."""
    random = np.random.default_rng(seed)
    y, rooms = np.tile([0, 1], 200), np.repeat(np.arange(4), 100)
    x = np.where(y == 1, 2, -2)[:, None] + random.normal(size=(400, 2))
    x[:, 0] += np.array([-1, 1, -1, 1])[rooms] * shift
    kernel = fit_head(x.astype(np.float32), y, np.ones(400), 0.05, rooms).kernel
    told = np.abs(np.diff(kernel, axis=1))[:, 0] * x.std(axis=0)
    assert told[0] < told[1] / 3


@given(seeds, st.floats(-3, 3))
@settings(max_examples=20)
def test_a_room_counts_as_much_as_another_however_few_its_clips(seed, shift):
    """Halfway between two classes and halfway between two rooms, nothing is decided."""
    random = np.random.default_rng(seed)
    y, rooms = np.tile([0, 1], 500), np.repeat([0, 1], [900, 100])
    x = np.where(y == 1, 2, -2)[:, None] + shift * rooms[:, None] + random.normal(size=(1000, 3)) * 0.3
    head = fit_head(x.astype(np.float32), y, np.ones(1000), 0.5, rooms)
    assert posterior(head.logits(np.full((1, 3), shift / 2)))[0] == pytest.approx([0.5, 0.5], abs=0.08)


@given(seeds)
@settings(max_examples=20)
def test_rooms_that_do_not_differ_change_hardly_anything(seed):
    x, y = in_rooms(seed, 1, each=200)[:2]
    rooms = np.random.default_rng(seed).integers(0, 2, len(y))
    with_them, without = (fit_head(x, y, np.ones(len(y)), 0.5, which) for which in (rooms, None))
    assert far(with_them, without) < 0.1
    assert np.mean(with_them.logits(x).argmax(axis=1) == without.logits(x).argmax(axis=1)) > 0.97


def test_a_class_and_a_room_that_are_the_same_clips_do_no_harm():
    x, y = in_rooms(1, 1)[:2]
    head = fit_head(x, y, np.ones(len(y)), 0.5, rooms=(y == 2).astype(int))
    assert np.isfinite(head.kernel).all() and np.isfinite(head.bias).all()
    assert np.mean(head.logits(x).argmax(axis=1) == y) > 0.9


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


@given(seeds, st.floats(0.3, 20), st.floats(0, 0.25))
@settings(max_examples=10)
@example(seed=0, true=0.375, doubt=0.25)  # where a small first simplex stays at doubt 0
def test_the_temperature_and_the_doubt_that_clips_were_drawn_under_are_found(seed, true, doubt):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(20_000, 8)) * 4 * true
    chances = doubted(posterior(logits / true), doubt)
    classes = (chances.cumsum(axis=1) < random.uniform(size=(len(chances), 1))).sum(axis=1).clip(max=7)
    found = least_brier(logits, classes)
    assert found[0] == pytest.approx(true, rel=0.25)
    assert found[1] == pytest.approx(doubt, abs=0.03)


@given(seeds)
@settings(max_examples=10)
def test_no_other_temperature_and_doubt_have_a_lower_brier_score_under_the_prior_of_the_clips(seed):
    logits, classes = drawn(seed, 3, 400)
    kept = (classes != 2) | (np.arange(len(classes)) % 3 == 0)
    logits, classes = logits[kept], classes[kept]
    truth = np.eye(8)[classes]

    def score(degrees: float, doubt: float) -> float:
        guess = doubted(posterior(logits / degrees), doubt) * truth.mean(axis=0)
        return float(np.square(guess / guess.sum(axis=1, keepdims=True) - truth).sum(axis=1).mean())

    degrees, doubt = least_brier(logits, classes)
    for times, more in ((1.1, 0), (0.9, 0), (1, 0.02), (1, -0.02), (1.1, 0.02), (0.9, 0.02)):
        assert score(degrees, doubt) <= score(degrees * times, min(max(doubt + more, 0), 0.3)) + 1e-6


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


@given(seeds)
@settings(max_examples=20)
def test_with_shifts_wholly_held_back_rooms_do_not_count(seed):
    x, y = problem(seed)
    rooms = np.random.default_rng(seed).integers(0, 3, len(y))
    one, held = fit_head(x, y, np.ones(len(y)), 0.5), fit_head(x, y, np.ones(len(y)), 0.5, rooms, held_back=1e6)
    assert posterior(held.logits(x)) == pytest.approx(posterior(one.logits(x)), abs=2e-3)
