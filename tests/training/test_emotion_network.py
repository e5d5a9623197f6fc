"""The network that is trained end to end: outputs, loss, and export."""

import numpy as np
import onnxruntime
import pytest

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.features import network_input
from tests import voices
from tests.training.random_whisper import random_weights
from training.crops import READ, target
from training.emotion_network import OUTPUTS, Statistics, build_network, loss, with_statistics
from training.export import export_network
from training.recipes import FRONT_END, Size

FRAMES = np.random.default_rng(0).normal(size=(2, 61, 80)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return build_network(random_weights(1), Size(blocks=1, pairs_after=0))


@pytest.mark.parametrize("count", [4, 5, 61, 500])
def test_it_takes_any_number_of_frames_up_to_the_longest_segment(network, count):
    logits = np.asarray(network(np.resize(FRAMES, (3, count, 80)), training=False))
    assert logits.shape == (3, OUTPUTS)
    assert np.isfinite(logits).all()


def test_it_takes_telephone_sound_at_its_own_rate():
    frames = network_input(voices.speech(2, FRONT_END.rate), FRONT_END)
    assert frames.shape == (200, 80)
    assert np.ptp(frames[:, 64:]) == 0  # above 4 kHz, where telephone sound has nothing
    assert frames[:, :40].std() > 0.1


def test_statistics_are_mean_and_deviation_over_time():
    frames = np.random.default_rng(1).normal(size=(2, 9, 6)).astype(np.float32)
    found = np.asarray(Statistics()(frames))
    assert found[:, :6] == pytest.approx(frames.mean(axis=1), abs=1e-5)
    assert found[:, 6:] == pytest.approx(frames.std(axis=1), abs=1e-5)


def test_a_new_head_prefers_nothing(network):
    assert not np.asarray(network(FRAMES, training=False)).any()


def test_the_encoder_gives_mean_and_deviation_of_every_block():
    network = build_network(random_weights(2), Size(blocks=2, pairs_after=1))
    found = np.asarray(with_statistics(network)(FRAMES, training=False))
    assert found.shape == (2, 2 * 2 * 512)
    assert (found[:, 512:1024] > 0).all()


def test_the_exported_network_is_the_trained_one(network, tmp_path):
    export_network(network, FRONT_END, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: FRAMES})[0]
    assert found == pytest.approx(np.asarray(network(FRAMES, training=False)), abs=1e-4)


def losses(targets, logits):
    return np.asarray(loss(np.float32(targets), np.float32(logits)))


def test_logits_of_emotions_that_a_corpus_lacks_change_no_loss():
    wanted = target("sad", ["sad", "happy"])[None]
    logits = np.zeros((1, OUTPUTS))
    changed = logits.copy()
    changed[0, EMOTIONS.index("angry")] = 9
    assert losses(wanted, logits) == pytest.approx(losses(wanted, changed))
    changed[0, EMOTIONS.index("happy")] = 9
    assert losses(wanted, changed)[0] > losses(wanted, logits)[0] + 5


def test_the_loss_is_least_where_the_label_is_met():
    for label in EMOTIONS:
        wanted = target(label, EMOTIONS)[None]
        by_guess = [losses(wanted, 4 * np.eye(OUTPUTS)[[k]])[0] for k in range(len(EMOTIONS))]
        assert int(np.argmin(by_guess)) == EMOTIONS.index(label)


def test_non_speech_is_decided_apart_from_the_emotions():
    speech, non_speech = np.zeros((1, OUTPUTS)), np.zeros((1, OUTPUTS))
    speech[0, -1], non_speech[0, -1] = -5, 5
    for wanted, right, wrong in ((target(OTHER, [OTHER]), non_speech, speech), (READ, speech, non_speech)):
        assert losses(wanted[None], wrong)[0] > losses(wanted[None], right)[0] + 1
    unlabelled = target("", [""])[None]
    assert losses(unlabelled, speech) == pytest.approx(losses(unlabelled, speech + np.eye(OUTPUTS)[[0]] * 7))
