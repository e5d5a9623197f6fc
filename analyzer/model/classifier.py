"""Trained models: a network whose probabilities are re-weighted to the prior expected on calls.

A model is a folder. Its `classifier.json` names the network file and holds the front end, the labels, the training
prior, the call prior, the thresholds of the labels, and the licence.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.emotions import EMOTIONS, EVEN_PRIOR, OTHER, SENSITIVITIES
from analyzer.errors import CannotWork
from analyzer.model.baseline import GroupRange, LevelSpeech, Speaker
from analyzer.model.labels import Labelling
from analyzer.speech.features import FrontEnd

SETTINGS_FILE = "classifier.json"

#: Batch size of networks with a fixed input length. Batches are always filled up to this size with zeros, so that the
#: result of a segment never depends on the other segments. For the same reason, segments of variable length run alone.
BATCH = 16


#: Text shown for the licence and for business use if the model does not state them.
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Sensitivity:
    """Operating point: a trade-off between detected negative segments and false alarms.

    Attributes
    ----------
    negative_from : threshold of the summed probability of the negative emotions, under the call prior, from which on a
        segment is labelled negative.
    found : detection rate: share of the negative clips of held-out corpora labelled negative; None if not measured.
    false : false-alarm rate: share of the neutral and calm clips of those corpora labelled negative; None if not
        measured.
    """

    negative_from: float
    found: float | None = None
    false: float | None = None


@dataclass(frozen=True)
class Sensitivities:
    """The operating points that a user may choose from; `low` has the highest threshold."""

    low: Sensitivity
    normal: Sensitivity
    high: Sensitivity

    def at(self, name: str) -> Sensitivity:
        """Return the operating point with this name, one of SENSITIVITIES."""
        point: Sensitivity = getattr(self, name)
        return point

    @classmethod
    def from_fields(cls, fields: object) -> "Sensitivities":
        """Read the object in `classifier.json`; raises ValueError with the reason if it is invalid."""
        if not isinstance(fields, dict) or set(fields) != set(SENSITIVITIES):
            raise ValueError(f"its sensitivities have to be an object of {', '.join(SENSITIVITIES)}, and nothing else")
        sensitivities = cls(**{name: _sensitivity(name, point) for name, point in fields.items()})
        thresholds = [sensitivities.at(name).negative_from for name in SENSITIVITIES]
        if thresholds != sorted(thresholds, reverse=True):
            listed = ", ".join(f"{name} {limit:g}" for name, limit in zip(SENSITIVITIES, thresholds, strict=True))
            raise ValueError(
                f"its sensitivities are out of order: negative_from may not rise from low to high ({listed})"
            )
        return sensitivities


def _sensitivity(name: str, fields: object) -> Sensitivity:
    prefix = f"its sensitivity {name}"
    if not isinstance(fields, dict) or "negative_from" not in fields:
        raise ValueError(f"{prefix} has to be an object with negative_from, found and false")
    if unknown := sorted(set(fields) - {"negative_from", "found", "false"}):
        raise ValueError(f"{prefix} has an unknown field {unknown[0]}")
    if not (_is_number(fields["negative_from"]) and 0 < fields["negative_from"] < 1):
        raise ValueError(f"{prefix}: negative_from is {fields['negative_from']!r}, and has to be above 0 and below 1")
    for key in ("found", "false"):
        share = fields.get(key)
        if share is not None and not (_is_number(share) and 0 <= share <= 1):
            raise ValueError(f"{prefix}: {key} is {share!r}, and has to be a share from 0 to 1, or null")
    return Sensitivity(**fields)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


#: Defaults for models whose thresholds were not measured, such as models trained by users.
GENERIC_SENSITIVITIES = Sensitivities(Sensitivity(0.65), Sensitivity(0.5), Sensitivity(0.35))


@dataclass(frozen=True)
class ModelSettings:
    """Contents of `classifier.json`.

    Attributes
    ----------
    name : name of the model, as given to --model.
    network : file name of the deployable network in the same folder.
    front_end : feature extraction that the network requires.
    training_prior, call_prior : shares of the eight emotions in training and on calls, in the order of EMOTIONS.
    uncertain_below : a segment that is not negative is labelled uncertain if its highest probability is below this, or
        belongs to a negative emotion.
    has_non_speech_output : whether the network has a ninth output, for non-speech.
    sensitivities : thresholds from which on a segment is labelled negative, by --sensitivity.
    level_speech : how the network classifies neutral speech; None if it was not measured: then results are not adjusted
        to speakers.
    business_use : whether the model may be used for business; None if not stated.
    licence : the licence terms of the weights in a few words.
    """

    name: str
    network: str
    front_end: FrontEnd
    training_prior: tuple[float, ...]
    call_prior: tuple[float, ...]
    uncertain_below: float
    has_non_speech_output: bool = False
    sensitivities: Sensitivities = GENERIC_SENSITIVITIES
    level_speech: LevelSpeech | None = None
    business_use: bool | None = None
    licence: str = NOT_STATED

    @property
    def labels(self) -> list[str]:
        """Names of the outputs of the network, in order."""
        return [*EMOTIONS, OTHER] if self.has_non_speech_output else [*EMOTIONS]

    def to_json(self) -> str:
        """Return the text of `classifier.json`."""
        fields = {
            "name": self.name,
            "network": self.network,
            "labels": self.labels,
            "front_end": vars(self.front_end),
            "training_prior": [round(p, 6) for p in self.training_prior],
            "call_prior": list(self.call_prior),
            "uncertain_below": self.uncertain_below,
            "sensitivities": asdict(self.sensitivities),
            "level_speech": None if self.level_speech is None else asdict(self.level_speech),
            "business_use": self.business_use,
            "licence": self.licence,
        }
        return json.dumps(fields, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelSettings":
        """Read the text of `classifier.json`; raises ValueError, KeyError or TypeError if it is invalid."""
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError(f"{SETTINGS_FILE} is not an object")
        labels = fields.pop("labels")
        fields["has_non_speech_output"] = labels == [*EMOTIONS, OTHER]
        if labels != list(EMOTIONS) and not fields["has_non_speech_output"]:
            raise ValueError("its labels are not the eight emotions of this version")
        fields["front_end"] = FrontEnd(**fields["front_end"])
        for prior in ("training_prior", "call_prior"):
            fields[prior] = tuple(fields[prior])
            if len(fields[prior]) != len(EMOTIONS) or min(fields[prior]) <= 0:
                raise ValueError(f"its {prior} needs eight shares above 0")
        if "sensitivities" in fields:  # models trained with earlier versions have none
            fields["sensitivities"] = Sensitivities.from_fields(fields["sensitivities"])
        if fields.get("level_speech") is not None:
            fields["level_speech"] = _level_speech(fields["level_speech"])
        _check_terms(fields)
        return cls(**fields)


def _level_speech(fields: object) -> LevelSpeech:
    """Read the object in `classifier.json`; raises ValueError or TypeError if it is invalid."""
    if not isinstance(fields, dict):
        raise ValueError("its level_speech has to be an object, or null")
    level = LevelSpeech(**{group: GroupRange(**found) for group, found in fields.items()})
    for group, found in vars(level).items():
        if not (_is_number(found.usual) and _is_number(found.high) and 0 < found.usual <= found.high < 1):
            raise ValueError(f"its level_speech {group} has to hold usual and high, shares in this order")
    return level


def _check_terms(fields: Mapping[str, object]) -> None:
    """Raise ValueError if business use or licence are not valid for `ModelSettings`."""
    business_use = fields.get("business_use")
    if business_use is not None and not isinstance(business_use, bool):
        raise ValueError(f"its business_use is {business_use!r}, and has to be true, false or null")
    licence = fields.get("licence", NOT_STATED)
    if not isinstance(licence, str) or not licence.strip() or len(licence.splitlines()) > 1:
        raise ValueError("its licence has to be a line of text")


def business_use_in_words(allowed: bool | None, licence: str) -> str:
    """Return a text saying whether a model may be used for business, and its licence."""
    answer = NOT_STATED if allowed is None else "yes" if allowed else "no"
    if licence != NOT_STATED:
        return f"{answer}, {licence}"
    return answer if allowed is None else f"{answer}, its licence is {NOT_STATED}"


def packaged_models() -> Path:
    """Return the folder of the packaged models: inside an installed package, or next to it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def packaged_names() -> list[str]:
    """Return the names of the packaged models."""
    return sorted(path.parent.name for path in packaged_models().glob(f"*/{SETTINGS_FILE}"))


def is_path(name_or_path: str) -> bool:
    """Whether a model is given as a path, which contains a separator, and not as the name of a packaged model."""
    return os.sep in name_or_path or "/" in name_or_path


def find_model(name_or_path: str) -> Path:
    """Return the folder of a model, given a packaged model's name or a path; raises CannotWork if there is none."""
    folder = Path(name_or_path) if is_path(name_or_path) else packaged_models() / name_or_path
    if not (folder / SETTINGS_FILE).is_file():
        names = packaged_names()
        raise CannotWork(
            f"no model at {folder}: give --model one of {', '.join(names) or '(none is installed)'}, "
            f"or the path of a folder that holds {SETTINGS_FILE}"
        )
    return folder


def read_settings(folder: Path) -> ModelSettings:
    """Read the settings of the model in `folder`; raises CannotWork if they are missing or invalid."""
    try:
        return ModelSettings.from_json((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotWork(f"the model in {folder} cannot be used: {error}") from error


def model_hash(folder: Path) -> str:
    """Return a hash of the network and its settings, 16 hex digits; raises CannotWork if either cannot be read."""
    digest = hashlib.sha256()
    for name in (SETTINGS_FILE, read_settings(folder).network):
        try:
            digest.update((folder / name).read_bytes())
        except OSError as error:
            raise CannotWork(f"the model in {folder} is incomplete: {error}") from error
    return digest.hexdigest()[:16]


def read_scores(folder: Path) -> dict[str, str | None]:
    """Read the texts in a model's `metrics.json` about its accuracy and its false alarms; None if not stated.

    `on_unseen_speakers` is the accuracy on unseen speakers, `false_alarms_on_read_speech` the false alarms on calm
    reading. Models of earlier versions call them `on_strangers` and `on_level_voices`.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        metrics = {}
    names = {"on_unseen_speakers": "on_strangers", "false_alarms_on_read_speech": "on_level_voices"}
    return {name: metrics.get(name, metrics.get(earlier)) for name, earlier in names.items()}


class Classifier:
    """A network loaded for inference on one thread; the cores are used by several processes, not threads.

    Parameters
    ----------
    folder : folder of the model.
    prior : `calls` for probabilities under the call prior; `even` for a uniform prior, as for scores on acted clips.
    sensitivity : one of SENSITIVITIES; sets the threshold in `labelling`, which turns the probabilities of this
        classifier into labels, which are the same with either `prior`.

    Raises
    ------
    CannotWork : if the model cannot be loaded, or does not fit its settings.
    """

    def __init__(self, folder: Path, prior: str = "even", sensitivity: str = "normal") -> None:
        import onnxruntime

        self.settings = read_settings(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Convert weights stored as int8 to float once on loading, instead of for every segment.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(folder / self.settings.network), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise CannotWork(f"the network in {folder} cannot be loaded: {error}") from error
        self._input_name = self._check_fit(folder)
        target_prior = self.settings.call_prior if prior == "calls" else EVEN_PRIOR
        shift = np.log(target_prior) - np.log(self.settings.training_prior)
        self._prior_shift = shift.astype(np.float32)
        self._to_calls = np.array(self.settings.call_prior) / target_prior
        self.labelling = Labelling(
            self.settings.sensitivities.at(sensitivity).negative_from,
            self.settings.uncertain_below,
            to_calls=None if prior == "calls" else tuple(self._to_calls),
            to_even=None if prior == "even" else tuple(np.array(EVEN_PRIOR) / target_prior),
        )

    def speaker(self) -> Speaker | None:
        """Return a speaker without segments, for adjusting results; None if the model does not support that."""
        level = self.settings.level_speech
        return None if level is None else Speaker(level, self._to_calls)

    def _check_fit(self, folder: Path) -> str:
        """Return the name of the network's input; raises CannotWork if its shapes do not match the settings."""
        front_end = self.settings.front_end
        expected = [
            [None, front_end.frames if front_end.padded else None, front_end.bands],
            [None, len(self.settings.labels)],
        ]
        tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
        shapes = [[size if isinstance(size, int) else None for size in tensor.shape] for tensor in tensors]
        if [shape[1:] for shape in shapes] != [shape[1:] for shape in expected]:
            raise CannotWork(f"the network in {folder} does not fit its {SETTINGS_FILE}: {shapes} for {expected}")
        return str(tensors[0].name)

    def probabilities(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probabilities of the eight emotions, shaped (segments, 8), float32.

        If the network has an output for non-speech, a ninth column holds its probability; the other eight still sum
        to 1. `inputs` are segments shaped (frames, bands), as returned by `features.network_input`. The network's
        posteriors are re-weighted by the ratio of the priors (Saerens, Latinne and Decaestecker, 2002).
        """
        size = BATCH if self.settings.front_end.padded else 1
        outputs = [self._run(inputs[start : start + size], size) for start in range(0, len(inputs), size)]
        if not outputs:
            return np.empty((0, len(self.settings.labels)), np.float32)
        posterior = np.concatenate(outputs)
        weighted = np.log(np.maximum(posterior[:, : len(EMOTIONS)], 1e-12)) + self._prior_shift
        likelihood = np.exp(weighted - weighted.max(axis=1, keepdims=True))
        emotions = likelihood / likelihood.sum(axis=1, keepdims=True)
        return np.concatenate([emotions, posterior[:, len(EMOTIONS) :]], axis=1)

    def _run(self, inputs: Sequence[np.ndarray], size: int) -> np.ndarray:
        batch = np.zeros((size, *inputs[0].shape), np.float32)
        batch[: len(inputs)] = inputs
        outputs: np.ndarray = self._session.run(None, {self._input_name: batch})[0][: len(inputs)]
        return outputs


@lru_cache(maxsize=1)
def load_classifier(folder: Path, prior: str = "even", sensitivity: str = "normal") -> Classifier:
    """Return the classifier in `folder`; each process loads it once and caches the last one used."""
    return Classifier(folder, prior, sensitivity)
