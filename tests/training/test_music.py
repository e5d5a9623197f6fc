"""Generated music is reproducible from its seed, differs between seeds, and has the same loudness."""

from collections import Counter

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.emotions import OTHER
from training.data import music
from training.data.music import RATE, make_music, write_music


def piece(seed: int, seconds: float = 1.0) -> np.ndarray:
    return make_music(np.random.default_rng(seed), seconds)


@given(st.integers(0, 2**32), st.floats(0.3, 5))
@settings(max_examples=40)
def test_piece_has_requested_length_and_loudness(seed, seconds):
    sound = piece(seed, seconds)
    assert sound.shape == (int(seconds * RATE),)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.1, rel=0.1)
    assert np.array_equal(sound, piece(seed, seconds))


def test_seeds_give_different_pieces():
    assert len({piece(seed).tobytes() for seed in range(30)}) == 30


def test_ten_clips_share_a_band(tmp_path):
    clips = write_music(tmp_path, 23, seed=4, seconds=0.3)
    assert list(Counter(clip.speaker for clip in clips).values()) == [10, 10, 3]
    assert {clip.emotion for clip in clips} == {OTHER}
    assert {clip.corpus for clip in clips} == {music.CORPUS}
    assert all(clip.speaker.startswith(f"{music.CORPUS}-") for clip in clips)
    others = write_music(tmp_path, 10, seed=5, seconds=0.3)
    assert not {clip.speaker for clip in clips} & {clip.speaker for clip in others}
    assert len(set(tmp_path.iterdir())) == 33


def test_clip_does_not_depend_on_number_of_clips(tmp_path):
    few, many = write_music(tmp_path / "a", 2, 7, 0.5), write_music(tmp_path / "b" / "c", 5, 7, 0.5)
    for short, long in zip(few, many, strict=False):
        assert short.path.read_bytes() == long.path.read_bytes()
    samples, rate = soundfile.read(few[1].path, dtype="float32")
    assert rate == RATE
    assert samples == pytest.approx(make_music(np.random.default_rng([7, 1]), 0.5), abs=1e-4)


def test_existing_clips_are_kept(tmp_path, monkeypatch):
    first = write_music(tmp_path, 3, seed=1, seconds=0.3)
    lengths = []
    monkeypatch.setattr(music, "make_music", lambda _, seconds: lengths.append(seconds) or np.zeros(800, np.float32))
    first[1].path.unlink()
    assert write_music(tmp_path, 3, seed=1, seconds=0.3) == first
    assert len(lengths) == 1
