"""Copies of clips through randomly drawn telephone lines: lengths, frames, and that they are drawn once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import drawn, telephone
from training.data.corpora import Clip
from training.data.drawn import DrawnFrames, draw_frames
from training.data.sounds import Sounds
from training.recipes import FRONT_END

LENGTHS_S = (0.2, 1.0, 2.0, 9.0)


@pytest.fixture(scope="module")
def sounds():
    """Noise of several lengths: two clips of one corpus and two of another."""
    sizes = [int(seconds * telephone.RATE) for seconds in LENGTHS_S]
    samples = np.random.default_rng(1).integers(-9000, 9000, sum(sizes)).astype(np.int16)
    clips = [Clip(Path(f"{number}.wav"), "sad", "s", "ab"[number // 2], audio=f"{number:012x}") for number in range(4)]
    return Sounds(tuple(clips), samples, np.concatenate([[0], np.cumsum(sizes)]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def frames(sounds, cache):
    return draw_frames(sounds, {"a": 3, "b": 2}, FRONT_END, cache)


def test_copies_follow_their_corpus(frames):
    assert frames.first.tolist() == [0, 3, 6, 8, 10]
    assert len(frames.starts) == 11
    assert frames.starts[-1] == len(frames.frames)


def test_copies_are_padded_and_cut(frames):
    sizes = np.diff(frames.starts)
    assert (sizes[:8] == 300).all()
    assert (sizes[8:] == 600).all()
    assert (frames.lengths[:8] <= 300).all()


def test_copies_of_a_clip_differ(frames):
    first, second = (frames.frames[frames.starts[number] : frames.starts[number] + 300] for number in (0, 1))
    assert np.abs(first.astype(float) - second).mean() > 0.05


def test_copies_are_drawn_once(sounds, cache, frames, monkeypatch):
    monkeypatch.setattr(drawn, "_draw", None)
    cached = draw_frames(sounds, {"a": 3, "b": 2}, FRONT_END, cache)
    assert (cached.frames == frames.frames).all()


def test_other_corpora_have_no_copies(sounds, cache):
    copies = draw_frames(sounds, {"a": 1}, FRONT_END, cache)
    assert copies.first.tolist() == [0, 1, 2, 2, 2]


@given(length=st.integers(1, 300), filled=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_crop_begins_within_clip(length, filled, seed):
    numbered = np.arange(300, dtype=np.float16)[:, None]
    copies = DrawnFrames(numbered, np.array([0, 300]), np.array([filled]), np.array([0, 1]))
    crop = copies.crop(0, length, np.random.default_rng(seed))
    assert len(crop) == length
    assert crop[0] <= max(0, filled - length)
