"""Training a small network on the outputs of a teacher."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from analyzer.emotions import EMOTIONS
from tests.helpers.random_whisper import random_weights
from training.data.corpora import Clip
from training.data.crops import TARGETS, Mixture, target
from training.data.drawn import DrawnFrames
from training.data.sounds import Sounds
from training.encoders import distillation, small_network, whisper
from training.encoders.distillation import (
    STRIDE,
    TeacherOutputs,
    draw_batch,
    frames_loss,
    logits_loss,
    mean_frames,
    teacher_outputs,
)
from training.encoders.emotion_network import OUTPUTS, build_network, with_statistics
from training.encoders.encoding import Encoder, encoder_file
from training.recipes import FRONT_END, Size


def copies_of(*lengths):
    """One drawn copy of each clip, with random frames in float16."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    frames = np.random.default_rng(1).normal(size=(starts[-1], 80)).astype(np.float16)
    return DrawnFrames(frames, starts, np.array(lengths), np.arange(len(lengths) + 1))


@pytest.fixture(scope="module")
def network():
    return small_network.build_network()


@pytest.mark.parametrize("frames", [8, 9, 61, 500])
def test_small_network_reduces_frames_by_four(network, frames):
    logits, predicted = network(np.zeros((2, frames, 80), np.float32))
    assert logits.shape == (2, OUTPUTS)
    assert predicted.shape == (2, -(-frames // 4), whisper.WIDTH)


def test_small_encoder_has_under_a_million_weights(network):
    encoder = small_network.with_statistics(network)
    assert encoder.count_params() < 1_000_000
    assert encoder.output.shape == (None, 3 * 2 * 256)


def test_teacher_outputs_statistics_and_blocks_after_pairing():
    encoder = with_statistics(build_network(random_weights(3), Size(blocks=3, pairs_after=1)))
    inputs = np.random.default_rng(2).normal(size=(1, 40, 80)).astype(np.float32)
    statistics, *blocks = distillation.with_frames(encoder)(inputs)
    assert np.asarray(statistics) == pytest.approx(np.asarray(encoder(inputs)), abs=1e-5)
    assert [block.shape for block in blocks] == [(1, 40 // STRIDE, whisper.WIDTH)] * 2
    last = keras.Model(encoder.input, encoder.get_layer("block3").output)
    assert np.asarray(blocks[1]) == pytest.approx(np.asarray(last(inputs)), abs=1e-5)


def test_mean_frames_are_normalised():
    blocks = np.random.default_rng(2).normal(3, [[[1]], [[5]]], size=(2, 10, 512))
    frames = mean_frames(blocks)
    assert frames.mean(axis=1) == pytest.approx(0, abs=1e-6)
    assert frames.std(axis=1) == pytest.approx(1, abs=1e-3)
    correlations = [np.corrcoef(frames.ravel(), block.ravel())[0, 1] for block in blocks]
    assert correlations[0] == pytest.approx(correlations[1], abs=0.02)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Three copies of clips, the outputs of a teacher for all but the second, and the teacher."""
    folder = tmp_path_factory.mktemp("outputs")
    encoder = with_statistics(build_network(random_weights(3), Size(blocks=3, pairs_after=1)))
    teacher = distillation.with_frames(encoder)
    path = encoder_file(Encoder("teacher", FRONT_END, lambda: teacher), folder)
    copies, used = copies_of(48, 52, 60), np.array([True, False, True])
    kernel = np.random.default_rng(3).normal(size=(3 * 1024, 8))
    stored = teacher_outputs(path, lambda statistics: statistics @ kernel, copies, used, folder / "outputs.npz")
    cached = teacher_outputs(path, None, copies, used, folder / "outputs.npz")
    assert np.array_equal(cached.logits, stored.logits)
    return copies, stored, teacher


def test_frames_are_stored_close_to_the_exact_ones(outputs):
    """Half a step of storage, and the error of int8."""
    copies, stored, teacher = outputs
    inputs = distillation.whisper_scaled(copies.frames[100:160].astype(np.float32))
    expected = mean_frames([np.asarray(block)[0] for block in teacher(inputs[None])[1:]])
    frames = stored.frames[stored.starts[2] : stored.starts[2] + 15] / 24
    assert frames == pytest.approx(expected, abs=0.5 / 24 + 0.1)
    assert np.abs(frames - expected).mean() < 0.03


def test_long_copies_are_encoded_in_pieces(tmp_path):
    encoder = with_statistics(build_network(random_weights(2), Size(blocks=2, pairs_after=0)))
    path = encoder_file(Encoder("teacher", FRONT_END, lambda: distillation.with_frames(encoder)), tmp_path)
    copies = copies_of(560)
    first, second = (replace(copies, frames=copies.frames[k : k + 280], starts=np.array([0, 280])) for k in (0, 280))
    long, *halves = (
        teacher_outputs(path, lambda found: found[:, :8], each, np.array([True]), tmp_path / f"{number}.npz")
        for number, each in enumerate((copies, first, second))
    )
    # Not equal: input frames are limited relative to the loudest one of the copy.
    difference = long.frames.astype(int) - np.concatenate([half.frames for half in halves])
    assert np.abs(difference).mean() < 1


def test_logits_have_one_scale(outputs):
    _, stored, _ = outputs
    assert not stored.logits[1].any()
    assert stored.logits[[0, 2]].std() == pytest.approx(distillation.SCALE, rel=1e-4)
    assert stored.logits.mean(axis=1) == pytest.approx(0, abs=1e-5)


def test_frames_match_their_crop(outputs, monkeypatch):
    copies, stored, _ = outputs
    monkeypatch.setattr(distillation, "masked", lambda frames, random: frames)
    emotions = {"a": "sad", "unused": "sad", "b": "happy"}
    clips = tuple(Clip(name, emotion, f"nemo-{name}", "nemo") for name, emotion in emotions.items())
    sounds = Sounds(clips, np.zeros(1), np.zeros(4, int))
    mixture = Mixture(sounds, {"nemo": 1.0}, excluded=frozenset({"nemo-unused"}))
    numbered = TeacherOutputs(stored.logits, np.arange(len(stored.frames))[:, None] * np.ones((1, 512)), stored.starts)
    inputs, (targets, frames) = draw_batch(mixture, copies, numbered, 16, 32, np.random.default_rng(4))
    assert targets.shape == (32, TARGETS + 8)
    for crop, crop_frames in zip(inputs, frames, strict=True):
        place = round(float(crop_frames[0, 0]) * 24)
        copy = 2 * int(place >= stored.starts[2])
        start = copies.starts[copy] + STRIDE * (place - stored.starts[copy])
        expected = distillation.whisper_scaled(copies.frames[start : start + 16].astype(np.float32))
        assert crop == pytest.approx(expected, abs=1e-6)


def test_loss_is_least_for_label_and_teacher():
    targets = np.concatenate([target("sad", EMOTIONS), 4.0 * np.eye(8)[3]])[None].astype(np.float32)
    losses = [
        float(np.asarray(logits_loss(targets, np.float32(4 * np.eye(OUTPUTS)[[number]])))[0]) for number in range(8)
    ]
    assert int(np.argmin(losses)) == 3
    frames = np.ones((1, 3, 4), np.float32)
    assert float(np.asarray(frames_loss(frames, frames))[0]) == 0
    assert float(np.asarray(frames_loss(frames, frames + 2))[0]) == pytest.approx(4)


def test_small_network_learns_teacher_frames(outputs):
    copies, stored, _ = outputs
    keras.utils.set_random_seed(1)
    network = small_network.build_network()
    inputs = distillation.whisper_scaled(copies.frames[:48].astype(np.float32))[None]
    frames = (stored.frames[:12].astype(np.float32) / 24)[None]
    network.compile(keras.optimizers.Adam(3e-3), loss=[None, frames_loss])
    first = network.train_on_batch(inputs, [np.zeros((1, OUTPUTS), np.float32), frames])
    for _ in range(30):
        last = network.train_on_batch(inputs, [np.zeros((1, OUTPUTS), np.float32), frames])
    assert np.ravel(last)[0] < np.ravel(first)[0] / 2
