"""Descriptions of models and their settings for reports, from what the ledger stores about them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analyzer.emotions import SENSITIVITIES
from analyzer.model.classifier import NOT_STATED, ModelSettings, business_use_in_words
from analyzer.store.ledger import Ledger

#: Facts about a model under the settings of a run; empty if the ledger has none.
Facts = Mapping[str, Any]

_NOT_KNOWN = "not known"


def store_facts(ledger: Ledger, fingerprint: str, settings: ModelSettings, sensitivity: str, scores: Facts) -> None:
    """Store in the ledger what reports say about a model, because its folder may be gone when a report is made."""
    known = {
        "name": settings.name,
        "uncertain_below": settings.uncertain_below,
        "sensitivity": sensitivity,
        "sensitivities": asdict(settings.sensitivities),
        "business_use": settings.business_use,
        "licence": settings.licence,
        **scores,
    }
    ledger.state.set_model(fingerprint, json.dumps(known))


def facts(ledger: Ledger, fingerprint: str) -> Facts:
    """Return the stored facts of the model and settings with this fingerprint; empty if there are none."""
    found: Facts = json.loads(ledger.state.model(fingerprint) or "{}")
    return found


def join_descriptions(models: Sequence[Facts], say: Callable[[Facts], str]) -> str:
    """Join the descriptions that `say` returns for the models, with the name of each model if there are several."""
    known = [fact for fact in models if fact]
    texts = [say(fact) if len(known) == 1 else f"{fact['name']}: {say(fact)}" for fact in known]
    return "; ".join(dict.fromkeys(texts)) or _NOT_KNOWN


def business_use(fact: Facts) -> str:
    """Describe whether a model may be used for business, and its licence."""
    return business_use_in_words(fact.get("business_use"), fact.get("licence", NOT_STATED))


def sensitivity(fact: Facts) -> str:
    """Describe the sensitivity that was used, and what was measured for it and for the other sensitivities."""
    if "sensitivity" not in fact:
        return _NOT_KNOWN  # made by an earlier version
    used, points = fact["sensitivity"], fact["sensitivities"]
    if all(point["found"] is point["false"] is None for point in points.values()):
        return f"{used} (used here); how much low, normal and high find was not measured for this model"
    texts = [f"{used} (used here): {_measured(points[used], ' of corpora that are not in training', 'their')}"]
    return "; ".join([*texts, *(f"{name}: {_measured(points[name])}" for name in SENSITIVITIES if name != used)])


def _measured(point: Facts, of_which: str = "", whose: str = "the") -> str:
    """Describe what was measured for a sensitivity; `of_which` and `whose` say on which clips."""
    found, false = point["found"], point["false"]
    parts = [] if found is None else [f"finds {_percent(found)} of the negative clips{of_which}"]
    parts += [] if false is None else [f"labels {_percent(false)} of {whose} neutral and calm clips negative"]
    return ", and ".join(parts) or "not measured"


def _percent(share: float) -> str:
    """Format a share as `51 %`, a small one as `0.5 %`."""
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %".replace(".0 ", " ")
