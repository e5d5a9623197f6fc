"""End-to-end training: learning rates per layer, the moving average of weights, and checkpoints."""

import keras
import numpy as np
import pytest
from keras import layers

from training.encoders import tuning
from training.encoders.tuning import Options, fit, rate_factor


def network():
    keras.utils.set_random_seed(3)
    inputs = layers.Input((4,))
    hidden = layers.Dense(5, name="block2")(layers.Dense(5, activation="tanh", name="block1")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="head")(layers.Dropout(0.3)(hidden)))


def draw(step):
    inputs = np.random.default_rng(step).normal(size=(8, 4)).astype(np.float32)
    return inputs, np.stack([inputs.sum(axis=1), inputs[:, 0]], axis=1)


def fitted(checkpoint, steps=20, draw=draw, **options):
    model = network()
    fit(model, "mse", draw, Options(steps=steps, rate=1e-2, head_rate=1e-2, **options), checkpoint)
    return model.get_weights()


def error_of(weights):
    model = network()
    model.set_weights(weights)
    return np.mean([np.square(model(inputs) - targets).mean() for inputs, targets in map(draw, range(100, 110))])


def test_fit_reduces_error(tmp_path):
    assert error_of(fitted(tmp_path / "c.npz", steps=120)) < 0.5 * error_of(network().get_weights())


@pytest.mark.parametrize(
    ("path", "factor"),
    [
        ("block2/kernel", 1.0),
        ("block1/kernel", 0.5),
        ("conv1/kernel", 0.25),
        ("positions/table", 0.25),
        ("head/kernel", 10.0),
    ],
)
def test_learning_rates_per_layer(path, factor):
    options = Options(rate=1e-4, head_rate=1e-3, block_decay=0.5)
    assert rate_factor(path, 2, options) == pytest.approx(factor)


def test_zero_rate_keeps_block(tmp_path):
    before, after = network().get_weights(), fitted(tmp_path / "c.npz", block_decay=0.0, weight_decay=0.0)
    assert (before[0] == after[0]).all()
    assert (before[2] != after[2]).any()


def test_interrupted_fit_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "CHECKPOINT_STEPS", 6)
    complete = fitted(tmp_path / "whole.npz")

    def interrupted(step):
        if step == 15:
            raise KeyboardInterrupt
        return draw(step)

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "c.npz", draw=interrupted)
    assert (tmp_path / "c.npz").is_file()
    steps = []
    continued = fitted(tmp_path / "c.npz", draw=lambda step: steps.append(step) or draw(step))
    assert steps[0] in (6, 12)
    assert all(np.array_equal(expected, actual) for expected, actual in zip(complete, continued, strict=True))
    assert not (tmp_path / "c.npz").exists()


def test_fit_averages_its_weights(tmp_path):
    quick, slow = (fitted(tmp_path / "c.npz", steps=30, average=average) for average in (0.0, 0.99))
    start = network().get_weights()
    moved = [
        np.abs(np.concatenate([(value - initial).ravel() for value, initial in zip(weights, start, strict=True)])).sum()
        for weights in (quick, slow)
    ]
    assert moved[1] < 0.5 * moved[0]
