"""Splits by speaker: no speaker, file or audio is on two sides."""

import hashlib
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError
from training.data.corpora import Clip
from training.data.splits import RAVDESS_FOLDS, Leak, refuse_leak, speakers_of, split_by_speaker

ALL_ACTORS = [f"{actor:02d}" for actor in range(1, 25)]


def clips_of(corpus: str, speakers: list[str]) -> tuple[Clip, ...]:
    return tuple(
        Clip(Path(f"{corpus}/{speaker}/{emotion}.wav"), emotion, f"{corpus}-{speaker}", corpus)
        for speaker in speakers
        for emotion in EMOTIONS
    )


RAVDESS_CLIPS = clips_of("ravdess", ALL_ACTORS)
TESS_CLIPS = clips_of("tess", ["oaf", "yaf"])
speaker_names = st.lists(st.text("abcdefghij", min_size=1, max_size=3), min_size=6, max_size=40, unique=True)


def sides(split) -> list[set[str]]:
    return [set(speakers_of(side)) for side in (split.training, split.validation, split.test)]


@given(mine=speaker_names, others=st.lists(st.sampled_from(ALL_ACTORS), unique=True), seed=st.integers(0, 2**32 - 1))
def test_sides_share_no_speaker_and_no_clip_is_lost(mine, others, seed):
    clips = clips_of("mine", mine) + clips_of("ravdess", others) + TESS_CLIPS
    split = split_by_speaker(clips, seed)
    training, validation, test = sides(split)
    assert not training & validation and not training & test and not validation & test
    assert sorted(split.training + split.validation + split.test, key=str) == sorted(clips, key=str)


@given(speakers=speaker_names, seed=st.integers(0, 2**32 - 1))
def test_a_sixth_is_tested_and_a_sixth_validated(speakers, seed):
    _, validation, test = sides(split_by_speaker(clips_of("mine", speakers), seed))
    assert len(validation) == len(test) == len(speakers) // 6


def test_ravdess_is_split_by_published_folds():
    _, validation, test = sides(split_by_speaker(RAVDESS_CLIPS + TESS_CLIPS, 1))
    assert test == {"ravdess-01", "ravdess-11", "ravdess-20", "ravdess-21"}
    assert validation == {"ravdess-04", "ravdess-10", "ravdess-12", "ravdess-14"}


def test_folds_contain_every_actor_once():
    assert sorted(actor for fold in RAVDESS_FOLDS.values() for actor in fold) == ALL_ACTORS


def test_partial_ravdess_is_split_by_folds():
    _, validation, test = sides(split_by_speaker(clips_of("ravdess", ["01", "02", "03", "04", "05", "06"]), 1))
    assert (test, validation) == ({"ravdess-01"}, {"ravdess-04"})


def test_ravdess_without_these_folds_is_drawn():
    _, validation, test = sides(split_by_speaker(clips_of("ravdess", ["02", "03", "05", "06", "07", "08"]), 1))
    assert len(test) == len(validation) == 1


def test_tess_is_only_trained_on():
    training, _, _ = sides(split_by_speaker(RAVDESS_CLIPS + TESS_CLIPS, 1))
    assert {"tess-oaf", "tess-yaf"} <= training


def test_split_is_reproducible():
    mine = clips_of("mine", list("abcdefghijklmnopqr"))
    alone = sides(split_by_speaker(mine, 5))
    assert sides(split_by_speaker(tuple(reversed(mine)), 5)) == alone
    combined = sides(split_by_speaker(mine + RAVDESS_CLIPS, 5))
    assert alone[2] <= combined[2] and alone[1] <= combined[1]
    assert any(sides(split_by_speaker(mine, seed)) != alone for seed in range(6, 12))


def test_named_speakers_form_a_side():
    split = split_by_speaker(RAVDESS_CLIPS, 1, test_speakers=["ravdess-04", "ravdess-05"])
    _, validation, test = sides(split)
    assert test == {"ravdess-04", "ravdess-05"}
    assert validation == {"ravdess-10", "ravdess-12", "ravdess-14"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_speakers": ["ravdess-99"]}, "no speaker ravdess-99"),
        ({"test_speakers": ["ravdess-01"], "validation_speakers": ["ravdess-01"]}, "both a test and a validation"),
        ({"test_speakers": list(speakers_of(RAVDESS_CLIPS))}, "no speaker is left for"),
    ],
)
def test_invalid_speakers_are_usage_error(options, message):
    with pytest.raises(UsageError, match=message):
        split_by_speaker(RAVDESS_CLIPS, 1, **options)


def test_too_few_speakers_are_usage_error():
    with pytest.raises(UsageError, match="at least 6 speakers"):
        split_by_speaker(TESS_CLIPS, 1)


def test_emotion_without_training_clip_is_usage_error():
    without_calm = [clip for clip in RAVDESS_CLIPS if clip.emotion != "calm"]
    with pytest.raises(UsageError, match="acts calm"):
        split_by_speaker(without_calm, 1)


CLIP = Clip(Path("x/a.wav"), "happy", "x-1", "x", hashlib.sha256(b"a").hexdigest())
OTHER_CLIP = Clip(Path("x/b.wav"), "happy", "x-2", "x", hashlib.sha256(b"b").hexdigest())


def test_different_speakers_are_accepted():
    refuse_leak([CLIP], [OTHER_CLIP])


@pytest.mark.parametrize(
    ("leaked", "message"),
    [
        (replace(OTHER_CLIP, speaker=CLIP.speaker), "speaker x-1 stands on both sides"),
        (replace(OTHER_CLIP, path=CLIP.path), "under two speakers"),
        (replace(OTHER_CLIP, path=Path("x/../x/a.wav")), "under two speakers"),
        (replace(OTHER_CLIP, audio=CLIP.audio), "the same audio"),
    ],
)
def test_leak_is_refused(leaked, message):
    with pytest.raises(Leak, match=message):
        refuse_leak([CLIP], [OTHER_CLIP, leaked])
