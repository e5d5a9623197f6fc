"""Model card and metrics of a model: description, training data, and accuracy on unseen speakers."""

import json
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from analyzer.model.classifier import ModelSettings
from training.baseline.network import multiply_adds
from training.baseline.scores import Scores, figures
from training.data.published import LICENCES, is_non_commercial
from training.data.splits import speakers_of

if TYPE_CHECKING:
    from training.baseline.fit import FitOptions, Fitted

CARD_FILE, METRICS_FILE = "card.md", "metrics.json"
LIBRARIES = ("tensorflow", "keras", "numpy", "librosa", "scikit-learn")


@dataclass(frozen=True)
class CardInput:
    """Input of a model card and its metrics.

    Attributes
    ----------
    settings : the settings that the analyzer reads.
    options : options of the fit.
    fitted : the network and its history.
    scores : by subset: training, validation, test.
    command : the command that reproduces the model, with placeholders for folders.
    """

    settings: ModelSettings
    options: "FitOptions"
    fitted: "Fitted"
    scores: Mapping[str, Scores]
    command: str


def write_card(folder: Path, made: CardInput) -> None:
    """Write `card.md` and `metrics.json` into the model's folder."""
    model_metrics = metrics(made)
    (folder / METRICS_FILE).write_text(json.dumps(model_metrics, indent=1) + "\n", encoding="utf-8")
    (folder / CARD_FILE).write_text(card(made, model_metrics), encoding="utf-8")


def metrics(made: CardInput) -> dict[str, Any]:
    """Return the content of `metrics.json`; the same training gives the same content."""
    test = made.scores["test"]
    return {
        "name": made.settings.name,
        "command": made.command,
        **vars(made.options),
        "kept_epoch": made.fitted.kept_epoch,
        "weights": int(made.fitted.network.count_params()),
        "multiply_adds_per_input": multiply_adds(made.fitted.network),
        "seconds_per_input": made.settings.front_end.longest_s,
        "on_unseen_speakers": f"recognises {100 * test.uar:.1f} % of the emotions of {len(speakers_of(test.clips))} "
        "unseen speakers (mean recall of eight emotions, chance 12.5 %; clips of its training corpora)",
        "false_alarms_on_read_speech": None,
        **figures(made.scores),
        "history": {key: [round(value, 5) for value in values] for key, values in made.fitted.history.items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def card(made: CardInput, found: Mapping[str, Any]) -> str:
    """Return the model card in Markdown; `found` is the result of `metrics`."""
    corpora = Counter(clip.corpus for scores in made.scores.values() for clip in scores.clips)
    return render("plain_card.md.j2", corpora, settings=made.settings, **found)


def render(template: str, corpora: Mapping[str, int], **values: Any) -> str:
    """Return a card; `corpora` are the numbers of clips by corpus, and `values` all else that is in the template."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 it is Markdown
    )
    non_commercial = any(map(is_non_commercial, corpora))
    return environment.get_template(template).render(
        values, corpora=corpora, licences=LICENCES, non_commercial=non_commercial
    )
