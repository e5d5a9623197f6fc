"""Batches of crops: which clips are drawn, their targets, and the inputs of the network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, OTHER
from training.data import telephone
from training.data.corpora import Clip
from training.data.crops import READ, TARGETS, Mixture, draw_batch, target
from training.data.drawn import DrawnFrames
from training.data.sounds import Sounds


def sounds(*clips: tuple[str, str | None, str], seconds: float = 1.0) -> Sounds:
    """Noise for each (corpus, label, speaker)."""
    length = int(seconds * telephone.RATE)
    samples = np.random.default_rng(1).integers(-9000, 9000, length * len(clips)).astype(np.int16)
    numbered = tuple(
        Clip(f"{number}.wav", label, speaker, corpus) for number, (corpus, label, speaker) in enumerate(clips)
    )
    return Sounds(numbered, samples, np.arange(len(clips) + 1) * length)


MIXED = sounds(
    *(("acted", emotion, f"a{number}") for number, emotion in enumerate(("happy", "angry") * 3)),
    *(("read", "neutral", f"r{number}") for number in range(4)),
    *(("street", OTHER, f"s{number}") for number in range(2)),
    ("elsewhere", "sad", "e"),
)
SHARES = {"acted": 2.0, "read": 1.0, "street": 1.0}


def test_batch_follows_corpus_shares():
    mixture = Mixture(MIXED, SHARES)
    drawn = [MIXED.clips[number].corpus for number in mixture.draw(40, np.random.default_rng(1))]
    assert {corpus: drawn.count(corpus) for corpus in SHARES} == {"acted": 20, "read": 10, "street": 10}


def test_emotions_are_drawn_equally_often():
    noises = sounds(*(("acted", "happy", "a") for _ in range(30)), ("acted", "angry", "a"))
    drawn = Mixture(noises, {"acted": 1}).draw(400, np.random.default_rng(1))
    assert 150 < drawn.count(30) < 250


def test_excluded_speakers_are_never_drawn():
    mixture = Mixture(MIXED, SHARES, excluded=frozenset({"a0", "a1", "r3"}))
    drawn = {MIXED.clips[number].speaker for number in mixture.draw(500, np.random.default_rng(1))}
    assert drawn == {"a2", "a3", "a4", "a5", "r0", "r1", "r2", "s0", "s1"}
    assert sorted({MIXED.clips[number].speaker for number in mixture.numbers}) == sorted(drawn)


def test_label_constrains_emotions_of_its_corpus():
    encoded = target("angry", ["happy", "angry"])
    probabilities, possible = encoded[: len(EMOTIONS)], encoded[len(EMOTIONS) : -1]
    assert possible.tolist() == [float(emotion in ("happy", "angry")) for emotion in EMOTIONS]
    assert probabilities[EMOTIONS.index("angry")] == pytest.approx(0.95)
    assert probabilities[EMOTIONS.index("happy")] == pytest.approx(0.05)
    assert encoded[-1] == 0


@given(st.lists(st.sampled_from(EMOTIONS), min_size=1), st.data())
def test_target_sums_to_one(labels, data):
    encoded = target(data.draw(st.sampled_from(labels)), labels)
    assert encoded[: len(EMOTIONS)].sum() == pytest.approx(1, abs=1e-6)
    assert not encoded[: len(EMOTIONS)][encoded[len(EMOTIONS) : -1] == 0].any()


def test_unlabelled_clips_constrain_no_emotion():
    assert not target("", ["", "sad"]).any()
    assert target(OTHER, [OTHER]).tolist() == [0.0] * (TARGETS - 1) + [1.0]


def test_read_speech_is_neutral_or_calm():
    assert READ[: len(EMOTIONS)].sum() == pytest.approx(1)
    assert READ[EMOTIONS.index("neutral")] > READ[EMOTIONS.index("calm")] > 0.25
    assert READ[len(EMOTIONS) : -1].all()
    mixture = Mixture(MIXED, SHARES, read_speech=frozenset({"read"}))
    assert (mixture.target_of(6) == READ).all()


def drawn_frames(clips: int) -> DrawnFrames:
    """One copy of each clip, with a hundred frames."""
    frames = np.random.default_rng(1).normal(-3, 1, (100 * clips, 24)).astype(np.float16)
    return DrawnFrames(frames, np.arange(clips + 1) * 100, np.full(clips, 100), np.arange(clips + 1))


def test_batch_depends_only_on_random_numbers():
    frames = drawn_frames(len(MIXED.clips))
    first, second, other = (
        draw_batch(Mixture(MIXED, SHARES), frames, 48, 8, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first[0].shape == (8, 48, 24)
    assert first[1].shape == (8, TARGETS)
    assert (first[0] == second[0]).all()
    assert (first[0] != other[0]).any()


def test_bands_of_every_crop_are_masked():
    inputs, _ = draw_batch(Mixture(MIXED, SHARES), drawn_frames(len(MIXED.clips)), 48, 8, np.random.default_rng(1))
    masked = np.ptp(inputs, axis=1) == 0
    assert (masked.sum(axis=1) >= 2).all()
    assert (masked.sum(axis=1) <= 16).all()
