"""The network that is trained end to end: outputs, loss, and export."""

import numpy as np
import onnxruntime
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.speech.features import network_input
from tests.helpers import voices
from tests.helpers.random_whisper import random_weights
from training.data.crops import READ, target
from training.encoders.emotion_network import OUTPUTS, build_network, loss, with_statistics
from training.export.model_files import export_network
from training.export.pooling import Statistics
from training.recipes import FRONT_END, Size

FRAMES = np.random.default_rng(0).normal(size=(2, 61, 80)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return build_network(random_weights(1), Size(blocks=1, pairs_after=0))


@pytest.mark.parametrize("count", [4, 5, 61, 500])
def test_network_takes_any_number_of_frames(network, count):
    logits = np.asarray(network(np.resize(FRAMES, (3, count, 80)), training=False))
    assert logits.shape == (3, OUTPUTS)
    assert np.isfinite(logits).all()


def test_network_takes_telephone_sound():
    frames = network_input(voices.speech(2, FRONT_END.rate), FRONT_END)
    assert frames.shape == (200, 80)
    assert np.ptp(frames[:, 64:]) == 0  # above 4 kHz, where telephone sound has nothing
    assert frames[:, :40].std() > 0.1


def test_statistics_are_mean_and_deviation():
    frames = np.random.default_rng(1).normal(size=(2, 9, 6)).astype(np.float32)
    statistics = np.asarray(Statistics()(frames))
    assert statistics[:, :6] == pytest.approx(frames.mean(axis=1), abs=1e-5)
    assert statistics[:, 6:] == pytest.approx(frames.std(axis=1), abs=1e-5)


def test_new_head_outputs_zero(network):
    assert not np.asarray(network(FRAMES, training=False)).any()


def test_encoder_outputs_statistics_of_blocks():
    network = build_network(random_weights(2), Size(blocks=2, pairs_after=1))
    statistics = np.asarray(with_statistics(network)(FRAMES, training=False))
    assert statistics.shape == (2, 2 * 2 * 512)
    assert (statistics[:, 512:1024] > 0).all()


def test_exported_network_equals_trained_network(network, tmp_path):
    export_network(network, FRONT_END, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: FRAMES})[0]
    assert outputs == pytest.approx(np.asarray(network(FRAMES, training=False)), abs=1e-4)


def losses(targets, logits):
    return np.asarray(loss(np.float32(targets), np.float32(logits)))


def test_missing_emotions_do_not_change_loss():
    expected = target("sad", ["sad", "happy"])[None]
    logits = np.zeros((1, OUTPUTS))
    changed = logits.copy()
    changed[0, EMOTIONS.index("angry")] = 9
    assert losses(expected, logits) == pytest.approx(losses(expected, changed))
    changed[0, EMOTIONS.index("happy")] = 9
    assert losses(expected, changed)[0] > losses(expected, logits)[0] + 5


def test_loss_is_least_for_the_label():
    for label in EMOTIONS:
        expected = target(label, EMOTIONS)[None]
        guess_losses = [losses(expected, 4 * np.eye(OUTPUTS)[[number]])[0] for number in range(len(EMOTIONS))]
        assert int(np.argmin(guess_losses)) == EMOTIONS.index(label)


def test_non_speech_is_separate_from_emotions():
    speech, non_speech = np.zeros((1, OUTPUTS)), np.zeros((1, OUTPUTS))
    speech[0, -1], non_speech[0, -1] = -5, 5
    for expected, right, wrong in ((target(OTHER, [OTHER]), non_speech, speech), (READ, speech, non_speech)):
        assert losses(expected[None], wrong)[0] > losses(expected[None], right)[0] + 1
    unlabelled = target("", [""])[None]
    assert losses(unlabelled, speech) == pytest.approx(losses(unlabelled, speech + np.eye(OUTPUTS)[[0]] * 7))
