"""Clips are decoded once, and read from the cache afterwards."""

import numpy as np
import pytest

from analyzer.errors import UsageError
from training import sounds, telephone
from training.corpora import read_ravdess
from training.dataset import load_samples
from training.sounds import read_sounds


def test_a_clip_is_what_its_file_holds_at_the_rate_of_a_telephone(tiny_ravdess, tmp_path):
    clips = read_ravdess(tiny_ravdess)
    found = read_sounds(clips, tmp_path)
    for number in (0, 17, len(clips) - 1):
        samples, digest = load_samples(clips[number].path, telephone.RATE)
        assert np.abs(found.of(number) - samples).max() < 1e-4
        assert found.clips[number].audio == digest


def test_a_second_time_nothing_is_decoded(tiny_ravdess, tmp_path, monkeypatch):
    clips = read_ravdess(tiny_ravdess)
    first = read_sounds(clips, tmp_path)
    monkeypatch.setattr(sounds, "load_samples", None)
    second = read_sounds(clips, tmp_path)
    assert (first.samples == second.samples).all()
    assert first.clips == second.clips


def test_of_a_long_clip_the_beginning_is_kept(tiny_ravdess, tmp_path, monkeypatch):
    monkeypatch.setattr(sounds, "LONGEST_S", 0.25)
    clips = read_ravdess(tiny_ravdess)[:3]
    assert np.diff(read_sounds(clips, tmp_path).starts).tolist() == [2000, 2000, 2000]


def test_a_clip_that_cannot_be_decoded_is_named(tiny_ravdess, tmp_path):
    clip = read_ravdess(tiny_ravdess)[0]
    broken = tmp_path / clip.path.name
    broken.write_bytes(b"no audio")
    with pytest.raises(UsageError, match=r"03-01-.* cannot be decoded"):
        read_sounds([type(clip)(broken, clip.emotion, clip.speaker, clip.corpus)], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))
