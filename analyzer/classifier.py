"""A trained model: the network's probabilities, moved to what is expected on calls.

A model is a folder. `classifier.json` names the network file and holds the front end, the labels, the shares of
the emotions that it was trained under and those expected on calls, the thresholds of its labels, and its licence.
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
from analyzer.features import FrontEnd
from analyzer.labels import Labelling

SETTINGS_FILE = "classifier.json"

#: Segments in one run of a network of fixed input. Always the same shape, filled up with zeros, so that a segment's
#: result never depends on how many others stand beside it; for the same reason segments of free length run alone.
BATCH = 16


#: What is said of a licence, and of business use, where a model does not say it.
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Sensitivity:
    """One point of the trade between negative segments that are found and level ones that are called negative.

    Attributes
    ----------
    negative_from : a segment is negative from this probability of the negative emotions together on, on calls.
    found : share of the negative clips of corpora left out of training that it labels negative; None if not measured.
    false : share of the level clips of those corpora that it labels negative; None if not measured.
    """

    negative_from: float
    found: float | None = None
    false: float | None = None


@dataclass(frozen=True)
class Sensitivities:
    """The points that a user may choose from; `low` has the highest threshold."""

    low: Sensitivity
    normal: Sensitivity
    high: Sensitivity

    def at(self, name: str) -> Sensitivity:
        """The point of that name, one of SENSITIVITIES."""
        point: Sensitivity = getattr(self, name)
        return point

    @classmethod
    def from_fields(cls, fields: object) -> "Sensitivities":
        """Read the object in `classifier.json`; raises ValueError with what is wrong."""
        if not isinstance(fields, dict) or set(fields) != set(SENSITIVITIES):
            raise ValueError(f"its sensitivities have to be an object of {', '.join(SENSITIVITIES)}, and nothing else")
        found = cls(**{name: _sensitivity(name, point) for name, point in fields.items()})
        thresholds = [found.at(name).negative_from for name in SENSITIVITIES]
        if thresholds != sorted(thresholds, reverse=True):
            listed = ", ".join(f"{name} {limit:g}" for name, limit in zip(SENSITIVITIES, thresholds, strict=True))
            raise ValueError(
                f"its sensitivities are out of order: negative_from may not rise from low to high ({listed})"
            )
        return found


def _sensitivity(name: str, fields: object) -> Sensitivity:
    where = f"its sensitivity {name}"
    if not isinstance(fields, dict) or "negative_from" not in fields:
        raise ValueError(f"{where} has to be an object with negative_from, found and false")
    if unknown := sorted(set(fields) - {"negative_from", "found", "false"}):
        raise ValueError(f"{where} has an unknown field {unknown[0]}")
    if not (_is_number(fields["negative_from"]) and 0 < fields["negative_from"] < 1):
        raise ValueError(f"{where}: negative_from is {fields['negative_from']!r}, and has to be above 0 and below 1")
    for key in ("found", "false"):
        share = fields.get(key)
        if share is not None and not (_is_number(share) and 0 <= share <= 1):
            raise ValueError(f"{where}: {key} is {share!r}, and has to be a share from 0 to 1, or null")
    return Sensitivity(**fields)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


#: Of models whose thresholds were not measured, such as those that users train.
GENERIC_SENSITIVITIES = Sensitivities(Sensitivity(0.65), Sensitivity(0.5), Sensitivity(0.35))


@dataclass(frozen=True)
class ModelSettings:
    """What `classifier.json` holds.

    Attributes
    ----------
    name : the model's name, as --model takes it.
    network : file name of the deployable network in the same folder.
    front_end : what the network wants to be fed.
    training_prior, call_prior : shares of the eight emotions, in the order of EMOTIONS.
    uncertain_below : a segment that is not negative is called uncertain where its highest probability is lower, or is
        that of a negative emotion.
    hears_other : whether the network has a ninth output, for what is no speech.
    sensitivities : from which probability on a segment is called negative, by --sensitivity.
    business_use : whether the model may be used for business; None where that is not stated.
    licence : the terms of the weights in a few words.
    """

    name: str
    network: str
    front_end: FrontEnd
    training_prior: tuple[float, ...]
    call_prior: tuple[float, ...]
    uncertain_below: float
    hears_other: bool = False
    sensitivities: Sensitivities = GENERIC_SENSITIVITIES
    business_use: bool | None = None
    licence: str = NOT_STATED

    @property
    def labels(self) -> list[str]:
        """The outputs of the network, in order."""
        return [*EMOTIONS, OTHER] if self.hears_other else [*EMOTIONS]

    def to_json(self) -> str:
        """The text of `classifier.json`."""
        fields = {
            "name": self.name,
            "network": self.network,
            "labels": self.labels,
            "front_end": vars(self.front_end),
            "training_prior": [round(p, 6) for p in self.training_prior],
            "call_prior": list(self.call_prior),
            "uncertain_below": self.uncertain_below,
            "sensitivities": asdict(self.sensitivities),
            "business_use": self.business_use,
            "licence": self.licence,
        }
        return json.dumps(fields, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelSettings":
        """Read the text of `classifier.json`; raises ValueError, KeyError or TypeError where it is not one."""
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError(f"{SETTINGS_FILE} is not an object")
        labels = fields.pop("labels")
        fields["hears_other"] = labels == [*EMOTIONS, OTHER]
        if labels != list(EMOTIONS) and not fields["hears_other"]:
            raise ValueError("its labels are not the eight emotions of this version")
        fields["front_end"] = FrontEnd(**fields["front_end"])
        for prior in ("training_prior", "call_prior"):
            fields[prior] = tuple(fields[prior])
            if len(fields[prior]) != len(EMOTIONS) or min(fields[prior]) <= 0:
                raise ValueError(f"its {prior} needs eight shares above 0")
        if "sensitivities" in fields:  # models that earlier versions trained have none
            fields["sensitivities"] = Sensitivities.from_fields(fields["sensitivities"])
        _check_terms(fields)
        return cls(**fields)


def _check_terms(fields: Mapping[str, object]) -> None:
    """Raise ValueError where business use or licence are not what `ModelSettings` needs."""
    allowed = fields.get("business_use")
    if allowed is not None and not isinstance(allowed, bool):
        raise ValueError(f"its business_use is {allowed!r}, and has to be true, false or null")
    licence = fields.get("licence", NOT_STATED)
    if not isinstance(licence, str) or not licence.strip() or len(licence.splitlines()) > 1:
        raise ValueError("its licence has to be a line of text")


def business_use_in_words(allowed: bool | None, licence: str) -> str:
    """Whether a model may be used for business, and its licence."""
    answer = NOT_STATED if allowed is None else "yes" if allowed else "no"
    if licence != NOT_STATED:
        return f"{answer}, {licence}"
    return answer if allowed is None else f"{answer}, its licence is {NOT_STATED}"


def packaged_models() -> Path:
    """The folder of the models that come with the tool: inside an installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "models"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "models"


def packaged_names() -> list[str]:
    """The names of the models that come with the tool."""
    return sorted(path.parent.name for path in packaged_models().glob(f"*/{SETTINGS_FILE}"))


def is_path(name_or_path: str) -> bool:
    """Whether a model is given by its path, which contains a separator, and not by a packaged model's name."""
    return os.sep in name_or_path or "/" in name_or_path


def find_model(name_or_path: str) -> Path:
    """The folder of a model, given a packaged model's name or a path."""
    folder = Path(name_or_path) if is_path(name_or_path) else packaged_models() / name_or_path
    if not (folder / SETTINGS_FILE).is_file():
        known = packaged_names()
        raise CannotWork(
            f"no model at {folder}: give --model one of {', '.join(known) or '(none is installed)'}, "
            f"or the path of a folder that holds {SETTINGS_FILE}"
        )
    return folder


def read_settings(folder: Path) -> ModelSettings:
    """The settings of the model in `folder`; raises CannotWork where they cannot be used."""
    try:
        return ModelSettings.from_json((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotWork(f"the model in {folder} cannot be used: {error}") from error


def model_hash(folder: Path) -> str:
    """Sixteen hex digits that change whenever the network or its settings change."""
    digest = hashlib.sha256()
    for name in (SETTINGS_FILE, read_settings(folder).network):
        try:
            digest.update((folder / name).read_bytes())
        except OSError as error:
            raise CannotWork(f"the model in {folder} is not whole: {error}") from error
    return digest.hexdigest()[:16]


def read_scores(folder: Path) -> dict[str, str | None]:
    """What a model's `metrics.json` says in words: how it does `on_strangers`, `on_level_voices`; None for nothing."""
    try:
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    return {key: found.get(key) for key in ("on_strangers", "on_level_voices")}


class Classifier:
    """A network loaded for inference on one thread: processes, not threads, share a machine's cores.

    Parameters
    ----------
    folder : of the model.
    prior : `calls` for probabilities as they are on calls; `even` where every emotion is as likely as another, as for
        scores on acted clips.
    sensitivity : one of SENSITIVITIES, for `labelling`: how probabilities of this classifier become labels. Labels are
        decided as on calls under either prior.
    """

    def __init__(self, folder: Path, prior: str = "calls", sensitivity: str = "normal") -> None:
        import onnxruntime

        self.settings = read_settings(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Weights that are only stored as int8 become float once, on loading, and not anew for every segment.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(folder / self.settings.network), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own errors share no base class
            raise CannotWork(f"the network in {folder} cannot be loaded: {error}") from error
        self._input = self._check_fit(folder)
        expected = self.settings.call_prior if prior == "calls" else EVEN_PRIOR
        shift = np.log(expected) - np.log(self.settings.training_prior)
        self._prior_shift = shift.astype(np.float32)
        self.labelling = Labelling(
            self.settings.sensitivities.at(sensitivity).negative_from,
            self.settings.uncertain_below,
            None
            if prior == "calls"
            else tuple(share / even for share, even in zip(self.settings.call_prior, EVEN_PRIOR, strict=True)),
        )

    def _check_fit(self, folder: Path) -> str:
        """The name of the network's input; raises CannotWork where its shapes are not what the settings say."""
        front_end = self.settings.front_end
        expected = [
            [None, front_end.frames if front_end.padded else None, front_end.bands],
            [None, len(self.settings.labels)],
        ]
        ends = [*self._session.get_inputs(), *self._session.get_outputs()]
        shapes = [[size if isinstance(size, int) else None for size in end.shape] for end in ends]
        if [shape[1:] for shape in shapes] != [shape[1:] for shape in expected]:
            raise CannotWork(f"the network in {folder} does not fit its {SETTINGS_FILE}: {shapes} for {expected}")
        return str(ends[0].name)

    def probabilities(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities of the eight emotions, shaped (segments, 8), float32.

        Where the network hears what is no speech, a ninth column has its probability; the eight add up to 1 by
        themselves. `inputs` are segments shaped (frames, bands), as `features.network_input` makes them. The network's
        posteriors are re-weighted by the ratio of the priors (Saerens, Latinne and Decaestecker, 2002).
        """
        size = BATCH if self.settings.front_end.padded else 1
        found = [self._run(inputs[start : start + size], size) for start in range(0, len(inputs), size)]
        if not found:
            return np.empty((0, len(self.settings.labels)), np.float32)
        posterior = np.concatenate(found)
        weighted = np.log(np.maximum(posterior[:, : len(EMOTIONS)], 1e-12)) + self._prior_shift
        likelihood = np.exp(weighted - weighted.max(axis=1, keepdims=True))
        emotions = likelihood / likelihood.sum(axis=1, keepdims=True)
        return np.concatenate([emotions, posterior[:, len(EMOTIONS) :]], axis=1)

    def _run(self, inputs: Sequence[np.ndarray], size: int) -> np.ndarray:
        batch = np.zeros((size, *inputs[0].shape), np.float32)
        batch[: len(inputs)] = inputs
        return self._session.run(None, {self._input: batch})[0][: len(inputs)]


@lru_cache(maxsize=1)
def load_classifier(folder: Path, prior: str = "calls", sensitivity: str = "normal") -> Classifier:
    """The classifier in `folder`, loaded once per process."""
    return Classifier(folder, prior, sensitivity)
