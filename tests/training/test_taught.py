"""A student is taught in two courses, once, and kept; nothing is heard of whom it shall not have heard."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import pytest

from analyzer.errors import UsageError
from tests.training.tiny_student import build_tiny_student
from training import lessons, taught, teach
from training.corpora import RAVDESS, RAVDESS_SONG, Clip
from training.lessons import Lessons
from training.student import FRONT_END, STRIDE, TARGETS, build_student, with_statistics
from training.taught import ACTED_SHARE, FIRST_STEPS, SECOND_STEPS, heard_of
from training.teach import TeachOptions

CLIPS = [Clip(Path("corpora", "nemo", f"{k}.opus"), None, f"nemo-{k}", "nemo") for k in range(4)]
ACTED = [
    Clip(Path("corpora", corpus, f"{corpus}-{actor}.flac"), "angry", f"{RAVDESS}-{actor}", corpus)
    for corpus in (RAVDESS, RAVDESS_SONG)
    for actor in ("01", "02", "03")
]
FIRST_ACTOR, SECOND_ACTOR = ({f"{RAVDESS}-{actor}"} for actor in ("01", "02"))
#: Frames of the one piece of each clip.
LENGTHS = {"nemo": 40, RAVDESS: 60, RAVDESS_SONG: 90}


@dataclass
class Course:
    """What a student was taught from, with which weights it came, if it came with any, and with which it left."""

    lessons: Lessons
    options: TeachOptions
    weights: np.ndarray | None
    before: list[np.ndarray] | None
    after: list[np.ndarray]

    def heard(self) -> list[tuple[Clip, int]]:
        """Clip and length of many cuts, as they would be drawn."""
        batches = islice(teach.cuts(self.lessons, np.random.default_rng(0), self.weights), 40)
        return [((*CLIPS, *ACTED)[int(said[0, 0])], len(said)) for _, batch in batches for said in batch]


class School:
    """Prepares lessons that say whose they are, and teaches by adding 1 to every weight."""

    def __init__(self) -> None:
        self.prepared: list[tuple[list[Clip], list[Clip]]] = []
        self.courses: list[Course] = []

    def prepare(self, clips, cache, basis_of=()):
        cache.mkdir(parents=True, exist_ok=True)
        self.prepared.append((list(clips), list(basis_of)))
        lengths = np.array([LENGTHS[clip.corpus] for clip in clips])
        log_mel = np.zeros((1, STRIDE * lengths.sum(), FRONT_END.bands), np.float16)
        said = np.zeros((lengths.sum(), TARGETS), np.float16)
        said[:, 0] = np.repeat([(*CLIPS, *ACTED).index(clip) for clip in clips], lengths)
        return Lessons(tuple(clips), log_mel, said, lengths, np.ones(TARGETS))

    def teach(self, found, options, student=None, weights=None):
        keras.utils.set_random_seed(options.seed)
        before = None if student is None else student.get_weights()
        student = taught.build_student() if student is None else student
        student.set_weights([values + 1 for values in student.get_weights()])
        self.courses.append(Course(found, options, weights, before, student.get_weights()))
        return student


@pytest.fixture
def school(monkeypatch):
    made = School()
    monkeypatch.setattr(lessons, "prepare", made.prepare)
    monkeypatch.setattr(teach, "teach", made.teach)
    monkeypatch.setattr(taught, "build_student", build_tiny_student)
    return made


def heard(network) -> np.ndarray:
    frames = np.random.default_rng(0).normal(size=(1, 92, FRONT_END.bands)).astype(np.float32)
    return np.asarray(network(frames, training=False))


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


# Two courses


def test_the_encoder_gives_the_statistics_of_the_student_after_both_courses(school, tmp_path, monkeypatch):
    monkeypatch.setattr(taught, "build_student", build_student)
    encoder = taught.encoder(CLIPS, ACTED, (), tmp_path / "cache")
    student = build_student()
    student.set_weights(school.courses[1].after)
    assert encoder.front_end == FRONT_END
    assert np.array_equal(heard(encoder.build()), heard(with_statistics(student)))
    assert np.array_equal(heard(encoder.build()), heard(encoder.build())), "as often as it is built"


def test_the_second_course_goes_on_from_the_weights_of_the_first(school, tmp_path):
    taught.encoder(CLIPS, ACTED, (), tmp_path)
    first, second = school.courses
    assert first.before is None, "who begins knows nothing"
    assert same(second.before, first.after)
    assert (first.options.steps, second.options.steps) == (FIRST_STEPS, SECOND_STEPS)
    assert second.options.learning_rate < first.options.learning_rate


def test_the_first_course_is_about_the_clips_alone_and_the_second_about_the_actors_too(school, tmp_path):
    taught.encoder(CLIPS, ACTED, (), tmp_path)
    first, second = school.courses
    assert first.lessons.clips == tuple(CLIPS)
    assert second.lessons.clips == (*CLIPS, *ACTED)


def test_the_teacher_speaks_of_the_actors_in_the_directions_of_the_first_lessons(school, tmp_path):
    taught.encoder(CLIPS, ACTED, FIRST_ACTOR, tmp_path)
    assert school.prepared == [(CLIPS, []), (ACTED, CLIPS)]


@pytest.mark.parametrize("without", [FIRST_ACTOR, FIRST_ACTOR | SECOND_ACTOR])
def test_actors_of_whom_nothing_shall_be_heard_are_in_no_cut_speech_or_song(school, tmp_path, without):
    taught.encoder(CLIPS, ACTED, without, tmp_path)
    known = {clip for course in school.courses for clip, _ in course.heard()}
    assert not {clip.speaker for clip in known} & without
    assert known == {*CLIPS, *heard_of(ACTED, without)}, "and everybody else is"


@pytest.mark.parametrize("without", [set(), FIRST_ACTOR | SECOND_ACTOR])
def test_actors_have_their_share_of_the_second_course_however_many_they_are(school, tmp_path, without):
    taught.encoder(CLIPS, ACTED, without, tmp_path)
    first, second = school.courses
    assert first.weights is None
    # Every piece is long enough for the shortest cuts.
    acted = [clip in ACTED for clip, frames in second.heard() if frames == 25]
    assert np.mean(acted) == pytest.approx(ACTED_SHARE, abs=0.05)


def test_who_may_be_heard_are_all_but_those_left_out():
    assert {clip.speaker for clip in heard_of(ACTED, FIRST_ACTOR)} == {f"{RAVDESS}-02", f"{RAVDESS}-03"}
    assert heard_of(ACTED, ()) == ACTED


# Kept


def test_a_student_is_taught_once_and_kept(school, tmp_path):
    first, second = (taught.encoder(CLIPS, ACTED, FIRST_ACTOR, tmp_path) for _ in range(2))
    assert first.name == second.name
    assert len(school.courses) == len(school.prepared) == 2
    assert np.array_equal(heard(first.build()), heard(second.build()))


def test_students_without_different_actors_share_the_first_course(school, tmp_path):
    for without in (FIRST_ACTOR, SECOND_ACTOR, set()):
        taught.encoder(CLIPS, ACTED, without, tmp_path)
    first, *second = school.courses
    assert first.lessons.clips == tuple(CLIPS)
    assert len(second) == 3
    assert all(same(course.before, first.after) for course in second)


def test_anybody_else_heard_or_another_seed_is_another_student_with_another_name(school, tmp_path):
    asked = [
        (CLIPS, ACTED, FIRST_ACTOR, 1),
        (CLIPS, ACTED, SECOND_ACTOR, 1),
        (CLIPS, ACTED, (), 1),
        (CLIPS, ACTED[:2], (), 1),
        (CLIPS[1:], ACTED, (), 1),
        (CLIPS, ACTED, (), 2),
    ]
    encoders = [taught.encoder(*whom, tmp_path, seed) for *whom, seed in asked]
    assert len({encoder.name for encoder in encoders}) == len(asked)
    first, second = (heard(encoders[k].build()) for k in (2, 5))
    assert not np.array_equal(first, second), "another seed gives other weights"


def test_the_seed_is_that_of_both_courses(school, tmp_path):
    taught.encoder(CLIPS, ACTED, (), tmp_path, seed=7)
    assert [course.options.seed for course in school.courses] == [7, 7]


def test_in_which_order_actors_are_left_out_does_not_count(school, tmp_path):
    both = sorted(FIRST_ACTOR | SECOND_ACTOR)
    names = {taught.encoder(CLIPS, ACTED, without, tmp_path).name for without in (both, both[::-1], set(both))}
    assert len(names) == 1
    assert len(school.courses) == 2


@pytest.mark.parametrize(("torn_course", "begun"), [(1, 2), (2, 1)])
def test_a_student_that_was_not_kept_whole_is_taught_again(school, tmp_path, monkeypatch, torn_course, begun):
    """Torn after the first course, they begin anew; torn after the second, only that is given again."""
    kept = keras.Model.save_weights

    def torn(student, path):
        if len(school.courses) < torn_course:
            return kept(student, path)
        Path(path).write_bytes(b"half of the weights")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(keras.Model, "save_weights", torn)
        taught.encoder(CLIPS, ACTED, (), tmp_path)
    assert np.isfinite(heard(taught.encoder(CLIPS, ACTED, (), tmp_path).build())).all()
    assert [course.before for course in school.courses].count(None) == begun
    assert len(school.courses) == 3


@pytest.mark.parametrize(
    ("clips", "acted", "without"),
    [([], ACTED, ()), (CLIPS, [], ()), (CLIPS, ACTED[:1], FIRST_ACTOR)],
    ids=["no clips", "no actors", "all left out"],
)
def test_without_clips_there_is_nothing_to_teach_from(school, tmp_path, clips, acted, without):
    with pytest.raises(UsageError, match=r"nothing to teach the student from.*ravdess.*nemo"):
        taught.encoder(clips, acted, without, tmp_path)
    assert not school.prepared
