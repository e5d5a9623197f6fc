"""Recipes of networks that are trained end to end, fitted without the speakers that they are scored on.

A recipe is fitted several times: without the speakers of each fold, without each of some corpora, and on everything.
Every fit is kept in the cache, and one that was interrupted goes on from its last checkpoint.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, NEGATIVE, OTHER
from analyzer.errors import UsageError
from analyzer.features import network_input
from analyzer.outputs import replacing
from training import crops, encoding, music, published, telephone, tuning
from training.corpora import RAVDESS, RAVDESS_SONG, TESS, Clip
from training.crops import Mixture
from training.emotion_network import FRONT_END, OUTPUTS, Size, build_network, loss
from training.encoding import key_of
from training.recipe import FOLDS, MUSIC_CLIPS, deal
from training.sounds import Sounds
from training.tuning import Options

#: Corpora that may be left out whole.
LEFT_OUT = ("crema-d", "nemo", "banglaser", TESS)
#: The fit on everything, which ships.
ALL = "all"
LEVEL = ("neutral", "calm")
#: A threshold is taken at which so many level clips are called negative.
FALSE_ALARMS = 0.05
_SCORED_AT_A_TIME = 32
#: Lengths of inputs that are scored together, in frames.
_ROUNDED_FRAMES = 20
_VERSION = 1

#: Clips of each corpus in a batch, of 72.
_BUSINESS_SHARES = {
    "crema-d": 22.0, "banglaser": 3.0, "emogator": 3.0, published.NEUTRAL_SPEECH: 5.0, "speechocean762": 1.0,
    "picovoice-sti": 1.0, "ami": 1.0, published.NON_SPEECH: 4.0, published.IVR: 1.0, music.CORPUS: 2.0,
}  # fmt: skip
_SHARES = {
    RAVDESS: 18.0, RAVDESS_SONG: 4.0, "nemo": 8.0, TESS: 2.0, published.KOREAN: 3.0, published.RAKSHAK: 2.0,
    **_BUSINESS_SHARES,
}  # fmt: skip


@dataclass(frozen=True)
class TunedRecipe:
    """What a network is trained on, and how.

    Attributes
    ----------
    name : of the model.
    shares : of each corpus in a batch.
    size, options : of the network, and of its training.
    batch, crop_s : crops in a batch, and seconds of each.
    """

    name: str
    shares: Mapping[str, float]
    size: Size = field(default_factory=Size)
    options: Options = field(default_factory=Options)
    batch: int = 32
    crop_s: float = 2.5


#: `open-accurate` takes only corpora whose licences allow business use.
TUNED_RECIPES = (TunedRecipe("accurate", _SHARES), TunedRecipe("open-accurate", _BUSINESS_SHARES))


def read_clips(corpora: Path, cache: Path) -> list[Clip]:
    """All clips of the published corpora, and synthetic music that is written to the cache."""
    return [*published.read_all(corpora), *music.write_music(cache / music.CORPUS, MUSIC_CLIPS, seed=1)]


def held_out(part: str, clips: Sequence[Clip]) -> frozenset[str]:
    """The speakers that a fit leaves out.

    `part` is a fold (`1` to `5`), a corpus of LEFT_OUT, or ALL. Raises UsageError for another one, and for one whose
    speakers are not among the clips.
    """
    if part == ALL:
        return frozenset()
    folds = deal(clips)
    speakers = {
        clip.speaker
        for clip in clips
        if (clip.corpus == part if part in LEFT_OUT else str(folds.get(clip.speaker, 0)) == part)
    }
    if not speakers or part not in (*map(str, FOLDS), *LEFT_OUT):
        raise UsageError(f"no speakers to leave out for {part}: give a fold, one of {', '.join(LEFT_OUT)}, or {ALL}")
    return frozenset(speakers)


def fitted(recipe: TunedRecipe, part: str, seed: int, sounds: Sounds, cache: Path) -> Any:
    """A network that was trained without the speakers of a part; from the cache where it is there.

    Raises UsageError as `held_out` does, and CannotWork where Whisper's weights are not installed.
    """
    import keras

    from training import whisper

    mixture = Mixture(
        sounds, recipe.shares, frozenset({published.NEUTRAL_SPEECH}), excluded=held_out(part, sounds.clips)
    )
    what = json.dumps(asdict(recipe), sort_keys=True)
    key = key_of([sounds.clips[number] for number in mixture.numbers], _VERSION, what, part, seed)[:16]
    path = cache / f"{recipe.name}-{part}-{seed}-{key}.weights.h5"
    keras.utils.set_random_seed(seed)
    network = build_network(whisper.load_weights(), recipe.size)
    if path.is_file():
        network.load_weights(path)
        return network

    def draw(step: int) -> tuple[np.ndarray, np.ndarray]:
        return crops.draw_batch(mixture, FRONT_END, recipe.crop_s, recipe.batch, np.random.default_rng([seed, step]))

    tuning.fit(network, loss, draw, recipe.options, path.with_suffix(".npz"))
    with replacing(path, ".weights.h5") as temporary:
        # Without the optimizer, whose state is three times as large as the weights.
        keras.Model(network.inputs, network.outputs).save_weights(temporary)
    return network


def scored_by(part: str, sounds: Sounds) -> list[int]:
    """Numbers of the clips that a fit is scored on: those of its held-out speakers, and of corpora for evaluation."""
    speakers = held_out(part, sounds.clips)
    return [
        number
        for number, clip in enumerate(sounds.clips)
        if clip.speaker in speakers or clip.corpus in published.EVALUATION_ONLY
    ]


def score(network: Any, sounds: Sounds, numbers: Sequence[int]) -> np.ndarray:
    """Logits of clips through the plain line, shaped (clips, OUTPUTS); of longer clips the first seconds."""
    inputs: dict[int, list[tuple[int, np.ndarray]]] = {}
    for place, number in enumerate(numbers):
        sound = sounds.of(number)[: int(encoding.LONGEST_S * telephone.RATE)]
        frames = network_input(telephone.through(sound, telephone.PLAIN, np.random.default_rng(0)), FRONT_END)
        length = max(1, len(frames) // _ROUNDED_FRAMES) * _ROUNDED_FRAMES
        inputs.setdefault(length, []).append((place, np.resize(frames, (length, FRONT_END.bands))))
    logits = np.empty((len(numbers), OUTPUTS), np.float32)
    for same in inputs.values():
        for start in range(0, len(same), _SCORED_AT_A_TIME):
            places, frames = zip(*same[start : start + _SCORED_AT_A_TIME], strict=True)
            logits[list(places)] = np.asarray(network.predict_on_batch(np.stack(frames)))
    return logits


def figures(clips: Sequence[Clip], logits: np.ndarray) -> pd.DataFrame:
    """How well clips are told apart, a row per corpus.

    Columns: `clips`; `uar` among the emotions that the corpus has; `area` under the ROC curve of the negative
    probability, negative clips against neutral and calm ones; `found`, the share of negative clips above the threshold
    that 5 % of the level ones exceed; `non_speech`, the share taken for non-speech. NaN without such clips.
    """
    from scipy.special import softmax

    rows = []
    corpora = np.array([clip.corpus for clip in clips])
    labels = np.array([clip.emotion or "" for clip in clips])
    probabilities = softmax(logits[:, : len(EMOTIONS)], axis=1)
    for corpus in sorted(set(corpora)):
        own = corpora == corpus
        row: dict[str, object] = {"corpus": corpus, "clips": int(own.sum())}
        row |= _of_corpus(labels[own], probabilities[own])
        row["non_speech"] = float((logits[own, -1] > 0).mean())
        rows.append(row)
    return pd.DataFrame(rows)


def _of_corpus(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    found = dict.fromkeys(("uar", "area", "found"), float("nan"))
    acted = [k for k, emotion in enumerate(EMOTIONS) if emotion in labels]
    if not acted or OTHER in labels:
        return found
    chosen = np.array([EMOTIONS[acted[k]] for k in probabilities[:, acted].argmax(axis=1)])
    found["uar"] = float(np.mean([(chosen[labels == EMOTIONS[k]] == EMOTIONS[k]).mean() for k in acted]))
    negative, level = np.isin(labels, NEGATIVE), np.isin(labels, LEVEL)
    if negative.any() and level.any():
        score_of = probabilities[:, [EMOTIONS.index(emotion) for emotion in NEGATIVE]].sum(axis=1)
        either = negative | level
        found["area"] = float(roc_auc_score(negative[either], score_of[either]))
        found["found"] = float((score_of[negative] > np.quantile(score_of[level], 1 - FALSE_ALARMS)).mean())
    return found
