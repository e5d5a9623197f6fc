"""Random weights with the names and shapes of the encoder of Whisper base."""

from collections.abc import Iterator

import numpy as np

from training.encoders.whisper import BANDS, WIDTH

#: Position encodings: fewer than Whisper's 1500, more than the tests use.
ROWS = 300


def random_weights(blocks: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return weights as `training.encoders.whisper.load_weights` does, small enough that outputs stay finite."""
    return dict(_tensors(blocks, np.random.default_rng(seed)))


def _tensors(blocks: int, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    def drawn(*shape: int, scale: float = 0.1) -> np.ndarray:
        return (random.standard_normal(shape, np.float32) * np.float32(scale)).astype(np.float32)

    for number, inputs in ((1, BANDS), (2, WIDTH)):
        yield f"conv{number}/weight", drawn(WIDTH, inputs, 3, scale=(3 * inputs) ** -0.5)
        yield f"conv{number}/bias", drawn(WIDTH)
    yield "position_encodings/encodings", drawn(ROWS, WIDTH, scale=0.5)
    sizes = {
        "self_attention/linear_0": (3 * WIDTH, WIDTH),
        "self_attention/linear_1": (WIDTH, WIDTH),
        "ffn/linear_0": (4 * WIDTH, WIDTH),
        "ffn/linear_1": (WIDTH, 4 * WIDTH),
    }
    for k in range(blocks):
        for part in ("self_attention", "ffn"):
            yield f"layer_{k}/{part}/layer_norm/gamma", 1 + drawn(WIDTH)
            yield f"layer_{k}/{part}/layer_norm/beta", drawn(WIDTH)
        for name, (outputs, inputs) in sizes.items():
            # Queries and keys must differ enough for attention to be selective.
            yield f"layer_{k}/{name}/weight", drawn(outputs, inputs, scale=1.3 * inputs**-0.5)
            yield f"layer_{k}/{name}/bias", drawn(outputs)
