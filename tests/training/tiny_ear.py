"""Weights with the names and shapes of Whisper base's encoder that say nothing; the real ones are not needed."""

from collections.abc import Iterator

import numpy as np

from training.whisper import FRONT_END, WIDTH

#: Fewer than Whisper's 1500, more than are taken.
ROWS = 300


def random_weights(blocks: int, seed: int = 0) -> dict[str, np.ndarray]:
    """As `training.whisper.load_weights` gives them; small enough that nothing runs away."""
    return dict(_tensors(blocks, np.random.default_rng(seed)))


def _tensors(blocks: int, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    def drawn(*shape: int, scale: float = 0.1) -> np.ndarray:
        return (random.standard_normal(shape, np.float32) * np.float32(scale)).astype(np.float32)

    for number, inputs in ((1, FRONT_END.bands), (2, WIDTH)):
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
            # Queries and keys that differ enough for attention to choose.
            yield f"layer_{k}/{name}/weight", drawn(outputs, inputs, scale=1.3 * inputs**-0.5)
            yield f"layer_{k}/{name}/bias", drawn(outputs)
