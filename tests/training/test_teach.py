"""Teaching: cuts lie within a piece and belong to what the teacher says there, and the student learns from them."""

from collections import Counter
from itertools import islice

import keras
import numpy as np
import pytest

from tests.training.tiny_student import build_tiny_student
from training import teach
from training.lessons import Lessons
from training.student import FRONT_END, STRIDE, TARGETS, build_student
from training.teach import CUTS, TeachOptions, cuts

#: Every cut is scaled, so bands at known levels tell what the others were: two of them, position, line.
LOW, HIGH, POSITION, LINE = range(4)
LENGTHS = (20, 25, 31, 60, 130, 90)


def told(lengths=LENGTHS, lines: int = 3) -> Lessons:
    """Lessons whose log-mel frames tell line and position, as what is said tells position and piece."""
    frames = sum(lengths)
    log_mel = np.zeros((lines, STRIDE * frames, FRONT_END.bands), np.float16)
    log_mel[:, :, HIGH::4] = 1000
    log_mel[:, :, POSITION::4] = np.arange(STRIDE * frames)[:, None]
    log_mel[:, :, LINE::4] = 100 * np.arange(lines)[:, None, None]
    said = np.zeros((frames, TARGETS), np.float16)
    said[:, 0], said[:, 1] = np.arange(frames), np.repeat(np.arange(len(lengths)), lengths)
    return Lessons((), log_mel, said, np.array(lengths), np.ones(TARGETS))


def drawn(lessons: Lessons, batches: int, seed: int = 0, weights=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """All cuts of so many batches, one by one."""
    found = islice(cuts(lessons, np.random.default_rng(seed), weights), batches)
    return [one for batch in found for one in zip(*batch, strict=True)]


def hidden_in(cut: np.ndarray) -> np.ndarray:
    """Bands that are nothing at all in a cut."""
    return np.flatnonzero((cut == 0).all(axis=0))


def read(cut: np.ndarray) -> tuple[np.ndarray, int]:
    """Positions of the frames of a cut, and its line, from four bands none of which is hidden."""
    hidden = set(hidden_in(cut) // 4)
    first = 4 * next(k for k in range(FRONT_END.bands // 4) if k not in hidden)
    low, high, position, line = cut[:, first : first + 4].astype(float).T
    unit = (high - low) / 1000
    return (position - low) / unit, round(((line - low) / unit).mean() / 100)


# Cuts


def test_a_cut_is_in_time_with_what_the_teacher_says():
    lessons = told()
    for log_mel, said in drawn(lessons, 6):
        assert log_mel.shape == (STRIDE * len(said), FRONT_END.bands)
        assert log_mel.dtype == said.dtype == np.float32
        positions, _ = read(log_mel)
        assert positions == pytest.approx(STRIDE * said[0, 0] + np.arange(len(positions)), abs=0.05)
        assert (np.diff(said[:, 0]) == 1).all()


def test_no_cut_crosses_the_border_of_a_piece_but_reaches_it_on_either_side():
    starts, edges = np.cumsum(LENGTHS) - LENGTHS, Counter()
    for _, said in drawn(told(), 60):
        (piece,) = set(said[:, 1].astype(int))
        edges[piece, "first"] += said[0, 0] == starts[piece]
        edges[piece, "last"] += said[-1, 0] == starts[piece] + LENGTHS[piece] - 1
    assert all(edges[piece, edge] for piece in (1, 2, 3, 4, 5) for edge in ("first", "last"))


def test_from_a_piece_that_is_shorter_no_cut_is_drawn_and_nothing_is_padded():
    by_length = Counter((len(said), LENGTHS[int(said[0, 1])]) for _, said in drawn(told(), 60))
    assert {frames for frames, _ in by_length} == {frames for frames, _ in CUTS}
    assert all(frames <= length for frames, length in by_length)
    assert not any(length == 20 for _, length in by_length)


def test_where_every_piece_is_short_only_short_cuts_are_drawn():
    assert {len(said) for _, said in drawn(told((30, 49, 10)), 8)} == {25}


def test_pieces_are_drawn_by_their_length_and_every_line_as_often():
    lessons = told((25, 50, 125), lines=4)
    found = [one for one in drawn(lessons, 60) if len(one[1]) == 25]
    pieces = np.bincount([int(said[0, 1]) for _, said in found])
    assert pieces / pieces.sum() == pytest.approx([0.125, 0.25, 0.625], abs=0.05)
    lines = np.bincount([read(log_mel)[1] for log_mel, _ in found], minlength=4)
    assert lines / lines.sum() == pytest.approx([0.25] * 4, abs=0.05)


def test_a_frame_is_drawn_as_often_as_its_piece_weighs():
    weights = np.array([1.0, 0.0, 3.0])
    pieces = Counter(int(said[0, 1]) for _, said in drawn(told((100, 100, 200)), 40, weights=weights))
    assert set(pieces) == {0, 2}
    assert pieces[0] / pieces.total() == pytest.approx(1 / 7, abs=0.03)


def test_whatever_weighs_the_same_is_drawn_as_without_weights():
    plain, weighed = (drawn(told(), 3, weights=weights) for weights in (None, np.full(len(LENGTHS), 0.25)))
    assert [said[0, 0] for _, said in plain] == [said[0, 0] for _, said in weighed]


def test_a_cut_has_mean_0_and_deviation_1_but_for_hidden_bands():
    random = np.random.default_rng(0)
    lessons = told()
    noisy = random.normal(-40, 12, lessons.log_mel.shape).astype(np.float16)
    found = [log_mel for log_mel, _ in drawn(Lessons((), noisy, lessons.said, lessons.lengths, lessons.variances), 12)]
    whole = [cut for cut in found if not len(hidden_in(cut))]
    assert 0.4 < len(whole) / len(found) < 0.6
    for cut in whole:
        assert cut.mean() == pytest.approx(0, abs=1e-3)
        assert cut.std() == pytest.approx(1, abs=1e-3)
    for bands in map(hidden_in, found):
        assert len(bands) <= 8
        assert len(bands) < 2 or (np.diff(bands) == 1).all()
    assert {len(bands) for bands in map(hidden_in, found)} >= {0, 2, 5, 8}


def test_what_is_said_counts_between_as_it_is_and_all_directions_alike():
    random = np.random.default_rng(0)
    variances = np.geomspace(400, 0.01, TARGETS)
    lessons = told()
    said = (random.normal(size=lessons.said.shape) * np.sqrt(variances)).astype(np.float16)
    found = drawn(Lessons((), lessons.log_mel, said, lessons.lengths, variances), 20)
    spread = np.concatenate([one for _, one in found]).std(axis=0)
    assert np.mean(spread**2) == pytest.approx(1, rel=0.15)
    # A direction of 16 times the variance counts twice as much in deviation, instead of four times.
    assert spread / variances**0.25 == pytest.approx(np.full(TARGETS, (spread / variances**0.25).mean()), rel=0.3)


def test_the_same_seed_draws_the_same_cuts():
    first, second, third = ([said[0, 0] for _, said in drawn(told(), 3, seed)] for seed in (1, 1, 2))
    assert first == second != third
    (heard, _), (again, _) = (drawn(told(), 1)[-1] for _ in range(2))
    assert np.array_equal(heard, again)


# Learning


@pytest.fixture(scope="module")
def tiny_cuts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teach, "CUTS", ((6, 8),))
        yield


@pytest.fixture(scope="module")
def audible() -> Lessons:
    """The teacher says what can be heard: bands of the same frames, mixed."""
    random = np.random.default_rng(4)
    frames = 60
    log_mel = random.normal(-40, 10, (STRIDE * frames, FRONT_END.bands))
    mixing = random.normal(size=(FRONT_END.bands, TARGETS)) / FRONT_END.bands**0.5
    said = (log_mel.reshape(frames, STRIDE, -1).mean(axis=1) + 40) @ mixing / 5
    return Lessons((), log_mel[None].astype(np.float16), said.astype(np.float16), np.array([30, 30]), said.var(axis=0))


def error(student: keras.Model, lessons: Lessons) -> float:
    """Mean squared error on a few batches."""
    batches = islice(cuts(lessons, np.random.default_rng(77)), 6)
    found = [np.mean((np.asarray(student(log_mel, training=True)[0]) - said) ** 2) for log_mel, said in batches]
    return float(np.mean(found))


def test_the_student_says_more_like_the_teacher_after_a_few_steps(tiny_cuts, audible):
    taught = teach.teach(audible, TeachOptions(steps=15, seed=3))
    keras.utils.set_random_seed(3)
    assert error(taught, audible) < 0.95 * error(build_student(), audible)


@pytest.fixture
def tiny_students(tiny_cuts, monkeypatch):
    monkeypatch.setattr(teach, "build_student", build_tiny_student)


@pytest.mark.usefixtures("tiny_students")
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(audible):
    first, second, third = (teach.teach(audible, TeachOptions(steps=3, seed=seed)).get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert not all(np.array_equal(one, other) for one, other in zip(first, third, strict=True))


@pytest.mark.usefixtures("tiny_students")
def test_more_steps_teach_more(audible):
    errors = [
        error(teach.teach(audible, TeachOptions(steps=steps, learning_rate=0.02, seed=5)), audible)
        for steps in (2, 20, 200)
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.usefixtures("tiny_students")
def test_who_comes_with_knowledge_goes_on_from_there(audible):
    knowing = teach.teach(audible, TeachOptions(steps=200, learning_rate=0.02, seed=5))
    before = error(knowing, audible)
    few = TeachOptions(steps=10, learning_rate=0.002, seed=6)
    further, new = teach.teach(audible, few, knowing), teach.teach(audible, few)
    assert further is knowing
    assert error(further, audible) < 1.05 * before < error(new, audible)


@pytest.mark.usefixtures("tiny_students")
def test_what_pieces_weigh_is_what_cuts_are_drawn_by(audible, monkeypatch):
    heard_from = []

    def watched(*lessons_random_and_weights):
        heard_from.append(lessons_random_and_weights[2])
        return cuts(*lessons_random_and_weights)

    monkeypatch.setattr(teach, "cuts", watched)
    weights = np.array([0.2, 0.8])
    teach.teach(audible, TeachOptions(steps=2), weights=weights)
    assert [given is weights for given in heard_from] == [True]


@pytest.mark.usefixtures("tiny_students")
@pytest.mark.parametrize("steps", [2, 30])
def test_the_rate_rises_to_its_height_and_falls_to_nothing_by_the_last_step(audible, monkeypatch, steps):
    rates, optimizer = [], keras.optimizers.AdamW

    def watched(rate, **others):
        rates.append(rate)
        return optimizer(rate, **others)

    monkeypatch.setattr(keras.optimizers, "AdamW", watched)
    teach.teach(audible, TeachOptions(steps, learning_rate=0.02))
    (rate,) = rates
    found = np.array([float(rate(step)) for step in range(steps + 1)])
    highest = found.argmax()
    assert (found[0], found[highest]) == pytest.approx((0, 0.02))
    assert found[-1] == pytest.approx(0, abs=1e-8)
    assert (np.diff(found[: highest + 1]) > 0).all() and (np.diff(found[highest:]) < 0).all()


def test_how_many_steps_is_always_said():
    with pytest.raises(TypeError, match="steps"):
        TeachOptions()
