"""The recipes of `models/default` and `models/accurate`: an encoder, and linear heads on statistics of what it says.

Heard once through the plain line and once through a line drawn at random, every clip becomes statistics over time of
what the encoder says. A linear discriminant tells the emotions, another one speech from music, tones and noise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.emotions import EMOTIONS, OTHER
from training import encoding, music, published
from training.corpora import RAVDESS, RAVDESS_SONG, TESS, Clip, thinned
from training.encoding import Encoder
from training.head import Head, fit_head, posterior, temperature
from training.splits import actors_of

FOLDS = (1, 2, 3, 4, 5)
MUSIC_CLIPS = 240
#: Corpora of which short pieces are heard, too: without them whoever says a single word is taken for a noise.
SHORT_FROM = (RAVDESS, published.NEUTRAL_SPEECH, published.IVR, published.NON_SPEECH, music.CORPUS)
#: Corpora of which copies are drawn anew for every seed; those of the others are the same for all.
DRAWN_ANEW = (RAVDESS, RAVDESS_SONG)
FIRST_SEED = 1
#: Ways of hearing that are learned from and never scored.
LEARNED_ONLY = ("drawn", "short")
#: Of corpora with many clips of few people, every so many clips are heard.
EVERY = {TESS: 4}


@dataclass(frozen=True)
class Recipe:
    """What the heads of a model are learned from.

    Attributes
    ----------
    name : of the model.
    shrinkage, other_shrinkage : of the heads of emotions and of what is no speech; the latter looks at statistics
        nearly one by one, since what it learned of how they go together did not hold on real calls.
    weights : what a clip of a corpus weighs when emotions are learned; corpora without one teach none.
    held_back : how strongly what differs between corpora is held back, see `training.head.fit_head`.
    drawn_weight : by which that of a copy through a drawn line is multiplied.
    """

    name: str
    shrinkage: float = 0.8
    other_shrinkage: float = 0.97
    weights: dict[str, float] = field(
        default_factory=lambda: {
            RAVDESS: 1.0, RAVDESS_SONG: 0.4, "nemo": 0.05, published.KOREAN: 0.05, TESS: 0.05,
            published.NEUTRAL_SPEECH: 1.0,
        }
    )  # fmt: skip
    held_back: float = 0.1
    drawn_weight: float = 0.2


ACCURATE = Recipe("accurate", shrinkage=0.7, held_back=0.01)
DEFAULT = Recipe("default", shrinkage=0.2, other_shrinkage=1.0, held_back=0.01)
#: The encoder of `accurate` as anybody would take it first: a head on RAVDESS and its song. A row of every table.
FROZEN_ENCODER = Recipe("frozen-encoder", weights={RAVDESS: 1.0, RAVDESS_SONG: 0.4}, drawn_weight=0.0)


@dataclass(frozen=True)
class Material:
    """Clips as the encoder heard them, a row per clip and way of hearing.

    Attributes
    ----------
    clips : the clip of each row.
    statistics : shaped (rows, width).
    lengths_s, conditions, seeds : of each row.
    """

    clips: tuple[Clip, ...]
    statistics: np.ndarray
    lengths_s: np.ndarray
    conditions: np.ndarray
    seeds: np.ndarray

    def of(self, chosen: np.ndarray) -> "Material":
        """The rows for which `chosen` is true."""
        clips = tuple(compress(self.clips, chosen))
        return Material(
            clips, self.statistics[chosen], self.lengths_s[chosen], self.conditions[chosen], self.seeds[chosen]
        )

    def column(self, name: str) -> np.ndarray:
        """An attribute of the clips, as strings, empty for None."""
        return np.array([str(getattr(clip, name) or "") for clip in self.clips])

    @property
    def classes(self) -> np.ndarray:
        """Indices into EMOTIONS, 8 for what is no speech, -1 for speech without a label."""
        numbers = {**{emotion: k for k, emotion in enumerate(EMOTIONS)}, OTHER: len(EMOTIONS)}
        return np.array([numbers.get(clip.emotion or "", -1) for clip in self.clips])


@dataclass(frozen=True)
class Heads:
    """What is learned: emotions under an even prior, and the odds of being no speech."""

    emotions: Head
    other: Head

    def cooled(self, of_emotions: float, of_other: float) -> "Heads":
        """The same decisions, less sure of themselves by these temperatures."""
        return Heads(self.emotions.cooled(of_emotions), self.other.cooled(of_other))

    def probabilities(self, statistics: np.ndarray) -> np.ndarray:
        """Shaped (rows, 9): the eight, which add up to 1, and the probability of being no speech."""
        eight = posterior(self.emotions.logits(statistics))
        return np.column_stack([eight, posterior(self.other.logits(statistics))[:, 1]])


def read_clips(corpora: Path, cache: Path, recipe: Recipe) -> list[Clip]:
    """All clips that a recipe learns from or is scored on, and music made up in the cache."""
    wanted = {*recipe.weights, published.NON_SPEECH, published.IVR}
    clips = thinned(published.read_all(corpora), {corpus: EVERY.get(corpus, 1) for corpus in sorted(wanted)})
    return [*clips, *music.write_music(cache / music.CORPUS, MUSIC_CLIPS, seed=1)]


def gather(
    clips: Sequence[Clip], encoder: Encoder, cache: Path, seeds: Iterable[int], conditions: Sequence[str] = ()
) -> Material:
    """Have all clips heard: through the plain line, through a drawn one, RAVDESS as `conditions` say.

    RAVDESS and its song are heard once per seed through drawn lines.
    """
    network, seeds = encoding.encoder_file(encoder, cache), tuple(seeds)
    heard: list[tuple[str, int, encoding.Heard]] = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus]
        drawn = seeds if corpus in DRAWN_ANEW else (FIRST_SEED,)
        ways = [("telephone", 0), *(("drawn", seed) for seed in drawn)]
        ways += [("short", FIRST_SEED)] if corpus in SHORT_FROM else []
        ways += [(condition, 0) for condition in conditions if corpus == RAVDESS]
        for condition, seed in ways:
            heard.append((condition, seed, encoding.hear(own, condition, network, encoder.front_end, cache, seed)))
    return Material(
        clips=tuple(clip for _, _, part in heard for clip in part.clips),
        statistics=np.concatenate([part.statistics for _, _, part in heard]),
        lengths_s=np.concatenate([part.lengths_s for _, _, part in heard]),
        conditions=np.concatenate([np.full(len(part.clips), condition) for condition, _, part in heard]),
        seeds=np.concatenate([np.full(len(part.clips), seed) for _, seed, part in heard]),
    )


def deal(clips: Iterable[Clip]) -> dict[str, int]:
    """The fold of every speaker: EmoBox's for RAVDESS, else dealt in turn by corpus; actors without a fold have 0."""
    folds = {actor: fold for fold in FOLDS for actor in actors_of(fold)}
    others = sorted({(clip.corpus, clip.speaker) for clip in clips if not clip.speaker.startswith(f"{RAVDESS}-")})
    for number, (_, speaker) in enumerate(others):
        folds[speaker] = number % len(FOLDS) + 1
    return folds


def fit_heads(material: Material, recipe: Recipe, seed: int) -> Heads:
    """Learn from the plain copies and from those drawn under a seed; of short pieces only whether they are speech."""
    of_all = (material.conditions == "short") | ~np.isin(material.column("corpus"), DRAWN_ANEW)
    drawn = np.isin(material.conditions, LEARNED_ONLY) & ((material.seeds == seed) | of_all)
    learned = material.of((material.conditions == "telephone") | drawn)
    weights = np.array([recipe.weights.get(clip.corpus, 0.0) for clip in learned.clips])
    weights = np.where(learned.conditions == "drawn", recipe.drawn_weight * weights, weights)
    acted = (weights > 0) & (learned.classes >= 0) & (learned.classes < len(EMOTIONS)) & (learned.conditions != "short")
    rooms = np.unique(learned.column("corpus"), return_inverse=True)[1]
    emotions = fit_head(
        learned.statistics[acted],
        learned.classes[acted],
        weights[acted],
        recipe.shrinkage,
        rooms[acted],
        recipe.held_back,
    )
    no_speech = (learned.classes == len(EMOTIONS)).astype(int)
    balance = np.where(no_speech == 1, 1 / max(1, no_speech.sum()), 1 / (no_speech == 0).sum())
    return Heads(emotions, fit_head(learned.statistics, no_speech, balance, recipe.other_shrinkage))


def temperatures(held_out: Material, heads: Heads) -> tuple[float, float]:
    """How much less sure of emotions, and of what is no speech, heads should be, by people whom they never heard."""
    scored = held_out.of(held_out.conditions == "telephone")
    acted = scored.of((scored.column("corpus") == RAVDESS) & (scored.classes >= 0))
    of_emotions = temperature(heads.emotions.logits(acted.statistics), acted.classes)
    no_speech = (scored.classes == len(EMOTIONS)).astype(int)
    return of_emotions, temperature(heads.other.logits(scored.statistics), no_speech)


def build_network(encoder: Encoder, heads: Heads, name: str) -> Any:
    """Encoder and heads as one Keras network, from (batch, frames, bands) to (batch, 9)."""
    import keras
    from keras import layers

    ear = encoder.build()
    emotions = layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")
    other = layers.Dense(1, activation="sigmoid", name=OTHER)
    outputs = layers.Concatenate(name="probabilities")([emotions(ear.output), other(ear.output)])
    network = keras.Model(ear.input, outputs, name=name)
    emotions.set_weights([heads.emotions.kernel, heads.emotions.bias])
    # Of two classes only the difference counts.
    difference, offset = np.diff(heads.other.kernel, axis=1), np.diff(heads.other.bias)
    other.set_weights([difference, offset])
    return network
