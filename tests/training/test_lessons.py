"""Lessons: what the student hears and what the teacher says belong together, piece by piece, and are made once."""

import shutil
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pytest

from analyzer.features import log_mel
from tests.training.conftest import voice, write
from training import lessons, music, telephone, whisper
from training.corpora import RAVDESS, RAVDESS_SONG, Clip
from training.dataset import load_samples
from training.encoding import Encoder, encoder_file
from training.lessons import CORPORA, LINES, PIECE_S, Basis, Lessons, chosen, key, prepare, together
from training.published import IVR, LICENCES, NEUTRAL_SPEECH, NON_SPEECH
from training.student import FRONT_END, STRIDE, TARGETS

#: Of every frame of the teacher, seconds.
FRAME_S = STRIDE * FRONT_END.hop / FRONT_END.rate


def build_tiny_teacher():
    """Four frames together as they are, and many mixtures of them, so that no direction is empty."""
    import keras

    frames = keras.layers.Input((None, 80), name="frames")
    pooled = keras.layers.AveragePooling1D(STRIDE)(frames)
    mixing = keras.layers.Dense(1024 - 80, activation="tanh", kernel_initializer=keras.initializers.GlorotUniform(1))
    return keras.Model(frames, keras.layers.Concatenate()([pooled, mixing(pooled)]))


TEACHER = Encoder("tiny-teacher", whisper.FRONT_END, build_tiny_teacher)


@pytest.fixture(scope="module", autouse=True)
def in_this_process_with_a_tiny_teacher():
    """Workers would load everything anew; a part holds two clips, so that there are several."""
    with pytest.MonkeyPatch.context() as patch, joblib.parallel_config(backend="threading"):
        patch.setattr(lessons, "teacher", lambda: TEACHER)
        patch.setattr(lessons, "_CLIPS_OF_A_PART", 2)
        patch.setattr(lessons, "BASIS_EVERY", 1)
        yield


def tone(hz: float, seconds: float) -> np.ndarray:
    """A tone that comes and goes twice a second."""
    time = np.arange(int(seconds * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * hz * time) * np.maximum(0, np.sin(4 * np.pi * time))).astype(np.float32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[Clip]:
    """Tones, so far apart that a change of speed hides none; the second is longer than a piece."""
    folder = tmp_path_factory.mktemp("clips")
    kinds = [(400, 2.0), (700, 7.0), (1100, 1.0), (1800, 3.0), (2800, 2.4)]
    paths = [write(folder / f"{k}.wav", tone(*kind)) for k, kind in enumerate(kinds)]
    return [Clip(path, None, f"ami-{k}", "ami") for k, path in enumerate(paths)]


@pytest.fixture(scope="module")
def ear(tmp_path_factory) -> Path:
    return encoder_file(TEACHER, tmp_path_factory.mktemp("ear"))


@pytest.fixture
def cache(ear, tmp_path) -> Path:
    """Empty but for the teacher."""
    shutil.copy(ear, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def made(clips, ear, tmp_path_factory) -> Lessons:
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(ear, folder)
    return prepare(clips, folder)


def rows(made: Lessons, piece: int) -> slice:
    """Frames of the teacher in a piece."""
    start = int(made.lengths[:piece].sum())
    return slice(start, start + int(made.lengths[piece]))


def heard(made: Lessons, piece: int, line: int = 0) -> np.ndarray:
    where = rows(made, piece)
    return made.log_mel[line, STRIDE * where.start : STRIDE * where.stop].astype(float)


def same(first: Lessons, second: Lessons) -> bool:
    arrays = ("log_mel", "said", "lengths", "variances")
    return first.clips == second.clips and all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in arrays
    )


# What stands in them


def test_through_every_line_there_are_as_many_frames_as_the_teacher_s_times_the_stride(made):
    frames = int(made.lengths.sum())
    assert made.said.shape == (frames, TARGETS)
    assert made.log_mel.shape == (LINES, STRIDE * frames, FRONT_END.bands)
    assert len(made.clips) == len(made.lengths)
    assert np.isfinite(made.log_mel).all() and np.isfinite(made.said).all()


def test_a_long_clip_is_cut_into_pieces_and_none_is_longer_than_they_may_be(made, clips):
    assert Counter(made.clips) == {clip: 2 if clip is clips[1] else 1 for clip in clips}
    assert made.lengths.max() * FRAME_S == pytest.approx(PIECE_S, abs=2 * FRAME_S)


def test_pieces_together_are_as_long_as_their_clips_give_or_take_a_change_of_speed(made, clips):
    for clip in clips:
        own_s = sum(n for n, owner in zip(made.lengths, made.clips, strict=True) if owner == clip) * FRAME_S
        assert own_s == pytest.approx(len(load_samples(clip.path, 8000)[0]) / 8000, rel=0.13, abs=2 * FRAME_S)
    assert made.hours * 3600 == pytest.approx(made.lengths.sum() * FRAME_S)


def test_pieces_belong_to_their_clips(made, clips):
    """The higher a clip's tone, the higher the band in which its pieces are loudest; through each line."""
    for line in range(LINES):
        loudest = [heard(made, piece, line).mean(axis=0).argmax() for piece in range(len(made.clips))]
        numbers = [clips.index(clip) for clip in made.clips]
        assert numbers == sorted(numbers)
        for (first, one), (second, other) in zip(
            zip(numbers, loudest, strict=True), zip(numbers[1:], loudest[1:], strict=True), strict=False
        ):
            assert (one < other) if first < second else one == other


def test_the_teacher_is_in_time_with_what_the_student_hears(clips, cache, monkeypatch):
    """Tones come and go: loudness and the teacher's first component do so together, even where a line is slow."""
    slow = telephone.Line(codec="alaw", low_hz=200, noise_db=-30, speed=0.93)
    monkeypatch.setattr(telephone, "draw_line", lambda _: slow)
    made = prepare(clips, cache)
    for line in range(LINES):
        for piece in range(len(made.clips)):
            loudness = heard(made, piece, line).max(axis=1).reshape(-1, STRIDE).mean(axis=1)
            said = made.said[rows(made, piece), 0].astype(float)
            size = len(said) - 4
            alike = [abs(np.corrcoef(loudness[2 : 2 + size], said[k : k + size])[0, 1]) for k in range(5)]
            assert np.argmax(alike) == 2, (line, piece)
            assert alike[2] > 0.8, (line, piece)


def test_what_is_said_are_principal_components_the_largest_first(made):
    variances = made.said.astype(float).var(axis=0)
    assert variances[:20] == pytest.approx(made.variances[:20], rel=0.02)
    assert (np.diff(made.variances) <= 1e-9).all()
    alike = np.corrcoef(made.said[:, :8].astype(float).T)
    assert np.abs(alike - np.eye(8)).max() < 0.02


def test_the_student_hears_the_plain_line_first_and_then_others(cache, tmp_path):
    """Frames as the analyzer makes them of the same sound, but for a hop's worth of padding before it."""
    clips = [Clip(write(tmp_path / f"{k}.wav", voice(k, 2, 1, 1.5)), None, "ami-x", "ami") for k in range(6)]
    made = prepare(clips, cache)
    alike = []
    for piece, clip in enumerate(made.clips):
        plain = telephone.through(load_samples(clip.path, 8000)[0], telephone.PLAIN, np.random.default_rng(0))
        expected = log_mel(plain, FRONT_END)
        both = [(heard(made, piece, line)[1 : len(expected) - 4], expected[: len(expected) - 5]) for line in (0, 1)]
        if len(both[0][0]) == len(both[0][1]):
            alike.append([np.corrcoef(found.ravel(), wanted.ravel())[0, 1] for found, wanted in both])
    # Not all, as some are faster or slower for student and teacher alike.
    plain, other = np.array(max(alike, key=lambda one: one[0]))
    assert plain > 0.99 > other


def test_nothing_too_short_is_heard_even_where_a_part_holds_nothing_else(cache, tmp_path):
    kept = Clip(write(tmp_path / "long.wav", tone(500, 1)), None, "ami-1", "ami")
    short = [Clip(write(tmp_path / f"{k}.wav", tone(500 + k, 0.2)), None, "ami-1", "ami") for k in range(4)]
    made = prepare([short[0], short[1], kept, short[2], short[3]], cache)
    assert made.clips == (kept,)
    assert len(made.said) == made.lengths[0] > 0
    assert made.lengths.dtype.kind == "i"


def test_a_piece_of_silence_is_left_out(cache, tmp_path):
    """A pause of ten seconds is at least one piece of nothing, which a line would make as loud as a voice."""
    samples = np.concatenate([tone(500, 3), np.zeros(12 * 16000, np.float32), tone(500, 1)])
    made = prepare([Clip(write(tmp_path / "pause.wav", samples), None, "ami-1", "ami")], cache)
    assert made.lengths.sum() * FRAME_S <= 11
    assert len(made.lengths) >= 2


def same_piece(first: Lessons, one: int, second: Lessons, other: int) -> bool:
    """Whether all is as it was: whose it is, what is heard through every line, and what is said."""
    heard_alike = all(np.array_equal(heard(first, one, line), heard(second, other, line)) for line in range(LINES))
    said_alike = np.array_equal(first.said[rows(first, one)], second.said[rows(second, other)])
    return first.clips[one] == second.clips[other] and heard_alike and said_alike


def test_pieces_that_are_chosen_stay_in_time_with_what_is_said_of_them(made):
    wanted = np.arange(len(made.clips)) % 2 == 1
    found = made.of(wanted)
    assert len(found.clips) == len(found.lengths) == wanted.sum() > 1
    for now, before in enumerate(np.flatnonzero(wanted)):
        assert same_piece(found, now, made, before)
    assert found.log_mel.shape[1] == STRIDE * len(found.said) == STRIDE * found.lengths.sum()
    assert np.array_equal(found.variances, made.variances)


def test_all_pieces_chosen_are_the_lessons_and_none_is_nothing(made):
    assert same(made.of(np.ones(len(made.clips), bool)), made)
    nothing = made.of(np.zeros(len(made.clips), bool))
    assert (nothing.clips, len(nothing.lengths), len(nothing.said)) == ((), 0, 0)
    assert nothing.log_mel.shape == (LINES, 0, FRONT_END.bands)


def test_two_lessons_together_are_the_pieces_of_one_and_then_of_the_other(made):
    second, first = (made.of((np.arange(len(made.clips)) % 2 == 1) == odd) for odd in (True, False))
    both = together(first, second)
    count = len(first.clips)
    assert both.clips == first.clips + second.clips
    assert all(same_piece(both, k, first, k) for k in range(count))
    assert all(same_piece(both, count + k, second, k) for k in range(len(second.clips)))
    assert np.array_equal(both.variances, made.variances)


def test_lessons_in_the_directions_of_others_say_what_those_say(made, clips, cache):
    few = clips[:2]
    found = prepare(few, cache, basis_of=clips)
    count = len(found.clips)
    assert set(found.clips) == set(few)
    assert all(same_piece(found, k, made, k) for k in range(count))
    assert np.array_equal(found.variances, made.variances)


def test_in_directions_of_their_own_the_same_clips_say_it_otherwise_in_the_same_cache(clips, cache):
    own, others = prepare(clips[:2], cache), prepare(clips[:2], cache, basis_of=clips)
    assert np.array_equal(own.log_mel, others.log_mel)
    assert not np.array_equal(own.variances, others.variances)
    assert np.abs(own.said.astype(float) - others.said.astype(float)).max() > 0.1
    assert same(prepare(clips[:2], cache), own)


def test_a_basis_is_as_good_as_any_at_telling_frames_apart():
    random = np.random.default_rng(0)
    frames = random.normal(size=(3000, 300)) * np.linspace(3, 0.01, 300) + random.normal(size=300)
    basis = Basis.of(frames)
    assert basis.components.shape == (300, TARGETS)
    assert basis.components.T @ basis.components == pytest.approx(np.eye(TARGETS), abs=1e-4)
    said = (frames - basis.mean) @ basis.components
    assert said.var(axis=0) == pytest.approx(basis.variances, rel=1e-2)
    # Of 300 directions, no 192 hold more.
    largest = np.sort(np.linalg.svd(frames - frames.mean(axis=0), compute_uv=False) ** 2)[-TARGETS:].sum()
    assert (said**2).sum() == pytest.approx(largest, rel=1e-4)


# Made once


def refuse(*_: object) -> None:
    raise AssertionError("it is heard again")


def test_lessons_that_were_made_are_not_made_again(made, clips, cache, monkeypatch):
    first = prepare(clips, cache)
    assert same(first, made), "another cache gives the same"
    monkeypatch.setattr(lessons, "load_samples", refuse)
    monkeypatch.setattr(lessons, "open_network", refuse)
    assert same(prepare(clips, cache), first)


def test_after_a_break_only_what_is_missing_is_heard(made, clips, cache, monkeypatch):
    prepare(clips, cache)
    next(cache.glob("*/part-0001.npz")).unlink()
    again = []

    def load(path, rate):
        again.append(path)
        return load_samples(path, rate)

    monkeypatch.setattr(lessons, "load_samples", load)
    assert same(prepare(clips, cache), made)
    assert again == [clip.path for clip in clips[2:4]]


def test_a_part_that_was_torn_is_not_taken_for_one(made, clips, cache, torn_arrays):
    torn_arrays(lambda: prepare(clips, cache))
    assert same(prepare(clips, cache), made)


def test_other_clips_another_order_or_another_teacher_are_other_lessons(clips, monkeypatch):
    known = {key(clips), key(clips[::-1]), key(clips[1:])}
    monkeypatch.setattr(lessons, "teacher", lambda: Encoder("another", TEACHER.front_end, TEACHER.build))
    assert len(known | {key(clips)}) == 4
    assert key(clips) == key(list(clips))


def test_labels_and_folders_do_not_count(clips):
    moved = [Clip(Path("elsewhere", clip.path.name), "happy", "ami-somebody", "ami") for clip in clips]
    assert key(moved) == key(clips)


# Who may be heard


def clips_of(corpus: str, count: int = 12) -> list[Clip]:
    return [Clip(Path(corpus, f"{k}.wav"), None, f"{corpus}-{k}", corpus) for k in range(count)]


def test_nobody_of_a_corpus_that_is_scored_in_folds_stands_in_a_lesson():
    others = {RAVDESS, RAVDESS_SONG, NEUTRAL_SPEECH, NON_SPEECH, IVR, music.CORPUS, *LICENCES} - set(CORPORA)
    assert {RAVDESS, RAVDESS_SONG, NEUTRAL_SPEECH, NON_SPEECH} <= others
    assert chosen([clip for corpus in sorted(others) for clip in clips_of(corpus)]) == []


def test_of_each_corpus_every_so_many_clips_are_taken_whatever_stands_between():
    corpora = [clips_of(corpus) for corpus in CORPORA]
    mixed = [clip for together in zip(*corpora, clips_of(RAVDESS), strict=True) for clip in together]
    taken = chosen(mixed)
    assert Counter(clip.corpus for clip in taken) == {corpus: len(range(0, 12, CORPORA[corpus])) for corpus in CORPORA}
    for own in corpora:
        assert [clip for clip in taken if clip in own] == own[:: CORPORA[own[0].corpus]]


def test_every_corpus_of_lessons_is_a_published_one_with_a_licence():
    assert set(CORPORA) <= set(LICENCES)
