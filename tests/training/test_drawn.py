"""Copies of clips through randomly drawn telephone lines: lengths, frames, and that they are drawn once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import drawn, telephone
from training.corpora import Clip
from training.drawn import DrawnFrames, draw_frames
from training.recipes import FRONT_END
from training.sounds import Sounds

LENGTHS_S = (0.2, 1.0, 2.0, 9.0)


@pytest.fixture(scope="module")
def sounds():
    """Noise of several lengths: two clips of one corpus and two of another."""
    sizes = [int(seconds * telephone.RATE) for seconds in LENGTHS_S]
    samples = np.random.default_rng(1).integers(-9000, 9000, sum(sizes)).astype(np.int16)
    clips = [Clip(Path(f"{k}.wav"), "sad", "s", "ab"[k // 2], audio=f"{k:012x}") for k in range(4)]
    return Sounds(tuple(clips), samples, np.concatenate([[0], np.cumsum(sizes)]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def frames(sounds, cache):
    return draw_frames(sounds, {"a": 3, "b": 2}, FRONT_END, cache)


def test_every_clip_has_as_many_copies_as_its_corpus(frames):
    assert frames.first.tolist() == [0, 3, 6, 8, 10]
    assert len(frames.starts) == 11
    assert frames.starts[-1] == len(frames.frames)


def test_copies_are_filled_up_to_three_seconds_and_cut_after_six(frames):
    sizes = np.diff(frames.starts)
    assert (sizes[:8] == 300).all()
    assert (sizes[8:] == 600).all()
    assert (frames.lengths[:8] <= 300).all()


def test_copies_of_a_clip_differ(frames):
    first, second = (frames.frames[frames.starts[k] : frames.starts[k] + 300] for k in (0, 1))
    assert np.abs(first.astype(float) - second).mean() > 0.05


def test_copies_are_drawn_once(sounds, cache, frames, monkeypatch):
    monkeypatch.setattr(drawn, "_draw", None)
    again = draw_frames(sounds, {"a": 3, "b": 2}, FRONT_END, cache)
    assert (again.frames == frames.frames).all()


def test_a_corpus_without_copies_has_none(sounds, cache):
    found = draw_frames(sounds, {"a": 1}, FRONT_END, cache)
    assert found.first.tolist() == [0, 1, 2, 2, 2]


@given(length=st.integers(1, 300), filled=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_a_crop_has_its_length_and_begins_within_the_clip(length, filled, seed):
    numbered = np.arange(300, dtype=np.float16)[:, None]
    copies = DrawnFrames(numbered, np.array([0, 300]), np.array([filled]), np.array([0, 1]))
    found = copies.crop(0, length, np.random.default_rng(seed))
    assert len(found) == length
    assert found[0] <= max(0, filled - length)
