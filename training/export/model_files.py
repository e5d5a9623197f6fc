"""A trained model as files: architecture as JSON, weights, ONNX network, and the settings that the analyzer reads."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import keras
import numpy as np

from analyzer.emotions import CALL_PRIOR, EMOTIONS
from analyzer.errors import CannotWork
from analyzer.model.classifier import GENERIC_SENSITIVITIES, SETTINGS_FILE, Classifier, ModelSettings, read_settings
from analyzer.speech.features import FrontEnd
from training.data.dataset import Examples
from training.export import convolutional

ARCHITECTURE_FILE, WEIGHTS_FILE, NETWORK_FILE = "model.json", "model.weights.h5", "network.onnx"

#: Largest allowed difference in probability between the ONNX network and the Keras one.
TOLERANCE = 1e-4


def model_settings(name: str, front_end: FrontEnd, trained_on: Examples, uncertain_below: float) -> ModelSettings:
    """Return the settings of a new model; its training prior is the share of each emotion in its training clips.

    Its sensitivities are generic, because no corpus was held out to measure them. Its licence is left unstated; only
    its author knows it.
    """
    prior = tuple(float(share) for share in trained_on.one_hot.mean(axis=0))
    return ModelSettings(
        name, NETWORK_FILE, front_end, prior, CALL_PRIOR, uncertain_below, sensitivities=GENERIC_SENSITIVITIES
    )


def write_model(folder: Path, network: Any, settings: ModelSettings) -> None:
    """Write a model that `Classifier` can load into `folder`, replacing any model that is there.

    Raises CannotWork if the exported network differs from the Keras one; `folder` is then unchanged.
    """
    with beside(folder) as staging:
        write_files(staging, network, settings)


def write_files(folder: Path, network: Any, settings: ModelSettings) -> None:
    """Write model.json, model.weights.h5, network.onnx and the settings; raise CannotWork as `check_export` does."""
    write_keras(folder, network)
    (folder / SETTINGS_FILE).write_text(settings.to_json(), encoding="utf-8")
    export_network(read_network(folder), settings.front_end, folder / NETWORK_FILE)
    check_export(folder)


def write_keras(folder: Path, network: Any) -> None:
    """Write model.json and model.weights.h5."""
    # Without the optimizer, whose state is twice as large as the weights.
    copy = type(network).from_config(network.get_config())
    copy.set_weights(network.get_weights())
    (folder / ARCHITECTURE_FILE).write_text(copy.to_json(indent=1) + "\n", encoding="utf-8")
    copy.save_weights(folder / WEIGHTS_FILE)


def re_export(folder: Path) -> None:
    """Export the ONNX network of the model in `folder` again from its JSON and weights, and check it."""
    settings = read_settings(folder)
    network = read_network(folder)
    with beside(folder) as staging:
        for name in (ARCHITECTURE_FILE, WEIGHTS_FILE, SETTINGS_FILE):
            (staging / name).write_bytes((folder / name).read_bytes())
        export_network(network, settings.front_end, staging / settings.network)
        check_export(staging)


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """Provide a temporary folder next to `folder`; its files are moved into `folder` if the block succeeds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            yield Path(name)
            for path in sorted(Path(name).iterdir()):
                os.replace(path, folder / path.name)
    except OSError as error:
        raise CannotWork(f"{folder} cannot be written: {error}") from error


def read_network(folder: Path) -> Any:
    """Rebuild the Keras network in `folder` from model.json and model.weights.h5 alone."""
    try:
        network = keras.models.model_from_json((folder / ARCHITECTURE_FILE).read_text(encoding="utf-8"))
        network.load_weights(folder / WEIGHTS_FILE)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CannotWork(
            f"{folder} holds no network that Keras can rebuild from {ARCHITECTURE_FILE} and {WEIGHTS_FILE}: {error}"
        ) from error
    return network


def export_network(network: Any, front_end: FrontEnd, path: Path) -> None:
    """Write a Keras network as ONNX, float32, with any batch size."""
    if not front_end.padded and convolutional.supports(network):
        convolutional.write(network, path)
        return
    shape = (None, front_end.frames if front_end.padded else None, front_end.bands)
    signature = [keras.InputSpec(shape=shape, dtype="float32", name="frames")]
    with redirect_stdout(StringIO()):
        network.export(path, format="onnx", input_signature=signature, verbose=False)


def check_export(folder: Path) -> None:
    """Raise CannotWork if the ONNX network in `folder` differs from the Keras one, or the analyzer cannot run it."""
    import onnxruntime

    classifier = Classifier(folder)
    front_end = classifier.settings.front_end
    inputs = np.random.default_rng(0).standard_normal((5, front_end.frames, front_end.bands)).astype(np.float32)
    expected = np.asarray(read_network(folder).predict(inputs, verbose=0))
    session = onnxruntime.InferenceSession(
        str(folder / classifier.settings.network), providers=["CPUExecutionProvider"]
    )
    actual = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    difference = float(np.abs(actual - expected).max())
    if difference > TOLERANCE:
        raise CannotWork(f"the exported network is {difference:.1g} away from Keras's; it was not written")
    totals = classifier.probabilities(list(inputs))[:, : len(EMOTIONS)].sum(axis=1)
    if np.abs(totals - 1).max() > TOLERANCE:
        raise CannotWork("the analyzer's probabilities from the exported network do not add up to 1")
