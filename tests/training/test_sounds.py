"""Clips are decoded once, and read from the cache afterwards."""

import numpy as np
import pytest

from analyzer.errors import UsageError
from training.data import sounds, telephone
from training.data.corpora import read_ravdess
from training.data.dataset import load_samples
from training.data.sounds import read_sounds


def test_clips_are_read_at_telephone_rate(tiny_ravdess, tmp_path):
    clips = read_ravdess(tiny_ravdess)
    loaded = read_sounds(clips, tmp_path)
    for number in (0, 17, len(clips) - 1):
        samples, digest = load_samples(clips[number].path, telephone.RATE)
        assert np.abs(loaded.of(number) - samples).max() < 1e-4
        assert loaded.clips[number].audio == digest


def test_second_read_uses_cache(tiny_ravdess, tmp_path, monkeypatch):
    clips = read_ravdess(tiny_ravdess)
    first = read_sounds(clips, tmp_path)
    monkeypatch.setattr(sounds, "load_samples", None)
    second = read_sounds(clips, tmp_path)
    assert (first.samples == second.samples).all()
    assert first.clips == second.clips


def test_long_clip_is_truncated(tiny_ravdess, tmp_path, monkeypatch):
    monkeypatch.setattr(sounds, "LONGEST_S", 0.25)
    clips = read_ravdess(tiny_ravdess)[:3]
    assert np.diff(read_sounds(clips, tmp_path).starts).tolist() == [2000, 2000, 2000]


def test_undecodable_clip_error_names_file(tiny_ravdess, tmp_path):
    clip = read_ravdess(tiny_ravdess)[0]
    broken = tmp_path / clip.path.name
    broken.write_bytes(b"no audio")
    with pytest.raises(UsageError, match=r"03-01-.* cannot be decoded"):
        read_sounds([type(clip)(broken, clip.emotion, clip.speaker, clip.corpus)], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))
