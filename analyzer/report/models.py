"""What reports say of the models and settings that made the results, by what the ledger remembers of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analyzer.classifier import NOT_STATED, ModelSettings, business_use_in_words
from analyzer.emotions import SENSITIVITIES
from analyzer.ledger import Ledger

#: What is known of a model under the settings of a run; empty where the ledger does not know them.
Facts = Mapping[str, Any]

_NOT_KNOWN = "not known"


def remember(ledger: Ledger, fingerprint: str, settings: ModelSettings, sensitivity: str, scores: Facts) -> None:
    """Have the ledger keep what reports say of a model: its folder may be gone when one is made."""
    known = {
        "name": settings.name,
        "uncertain_below": settings.uncertain_below,
        "sensitivity": sensitivity,
        "sensitivities": asdict(settings.sensitivities),
        "business_use": settings.business_use,
        "licence": settings.licence,
        **scores,
    }
    ledger.remember(f"model {fingerprint}", json.dumps(known))


def facts(ledger: Ledger, fingerprint: str) -> Facts:
    """What the ledger remembers of the model and settings with this fingerprint."""
    found: Facts = json.loads(ledger.note(f"model {fingerprint}") or "{}")
    return found


def in_words(models: Sequence[Facts], say: Callable[[Facts], str]) -> str:
    """What `say` makes of each model, with the model's name where there are several."""
    known = [fact for fact in models if fact]
    texts = [say(fact) if len(known) == 1 else f"{fact['name']}: {say(fact)}" for fact in known]
    return "; ".join(dict.fromkeys(texts)) or _NOT_KNOWN


def business_use(fact: Facts) -> str:
    """Whether a model may be used for business, and its licence."""
    return business_use_in_words(fact.get("business_use"), fact.get("licence", NOT_STATED))


def sensitivity(fact: Facts) -> str:
    """Which sensitivity was used, and what was measured of it and of the others."""
    if "sensitivity" not in fact:
        return _NOT_KNOWN  # made by an earlier version
    used, points = fact["sensitivity"], fact["sensitivities"]
    if all(point["found"] is point["false"] is None for point in points.values()):
        return f"{used} (used here); how much low, normal and high find was not measured for this model"
    said = [f"{used} (used here): {_measured(points[used], ' of corpora that training never saw', 'their')}"]
    return "; ".join([*said, *(f"{name}: {_measured(points[name])}" for name in SENSITIVITIES if name != used)])


def _measured(point: Facts, of_which: str = "", whose: str = "the") -> str:
    """What was measured of a sensitivity; `of_which` and `whose` say of which clips."""
    found, false = point["found"], point["false"]
    parts = [] if found is None else [f"finds {_percent(found)} of the negative clips{of_which}"]
    parts += [] if false is None else [f"calls {_percent(false)} of {whose} level clips negative"]
    return ", and ".join(parts) or "not measured"


def _percent(share: float) -> str:
    """A share as `51 %`, a small one as `0.5 %`."""
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %".replace(".0 ", " ")
