"""The recipe of `models/accurate`: a frozen piece of Whisper's encoder and a linear head on what it hears.

Heard once through the plain line and once through a line drawn at random, every clip becomes statistics over time of
three layers. A linear discriminant tells the emotions, another one speech from music, tones and noise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.emotions import EMOTIONS, OTHER
from training import encoding, music, published, whisper
from training.corpora import RAVDESS, RAVDESS_SONG, Clip
from training.head import Head, fit_head, posterior, temperature
from training.splits import RAVDESS_FOLDS

FOLDS = (1, 2, 3, 4, 5)
MUSIC_CLIPS = 240
#: Corpora of which short pieces are heard, too: without them whoever says a single word is taken for a noise.
SHORT_FROM = (RAVDESS, published.NEUTRAL_SPEECH, published.IVR, published.NON_SPEECH, music.CORPUS)
#: Ways of hearing that are learned from and never scored.
LEARNED_ONLY = ("drawn", "short")


@dataclass(frozen=True)
class Recipe:
    """How the accurate model is made.

    Attributes
    ----------
    blocks : of the encoder.
    statistics_of : layers whose statistics the heads see.
    shrinkage, other_shrinkage : of the heads of emotions and of what is no speech; the latter looks at every statistic
        by itself, since what it learned of how they go together did not hold on real calls.
    weights : what a clip of a corpus weighs when emotions are learned; corpora without one teach none.
    drawn_weight : by which that of a copy through a drawn line is multiplied.
    """

    blocks: int = 3
    statistics_of: tuple[int, ...] = (1, 2, 3)
    shrinkage: float = 0.8
    other_shrinkage: float = 1.0
    weights: dict[str, float] = field(
        default_factory=lambda: {RAVDESS: 1.0, RAVDESS_SONG: 0.4, "nemo": 0.1, published.NEUTRAL_SPEECH: 0.1}
    )
    drawn_weight: float = 0.5

    @property
    def encoder_name(self) -> str:
        """Tells the statistics of this encoder from those of others."""
        return f"whisper-base-{self.blocks}-{''.join(map(str, self.statistics_of))}"


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
        clips = tuple(clip for clip, wanted in zip(self.clips, chosen, strict=True) if wanted)
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


def read_clips(corpora: Path, cache: Path) -> list[Clip]:
    """All clips that the recipe learns from or is scored on, and music made up in the cache."""
    wanted = {RAVDESS, RAVDESS_SONG, "nemo", published.NEUTRAL_SPEECH, published.NON_SPEECH, published.IVR}
    clips = [clip for clip in published.read_all(corpora) if clip.corpus in wanted]
    return [*clips, *music.write_music(cache / music.CORPUS, MUSIC_CLIPS, seed=1)]


def gather(
    clips: Sequence[Clip], recipe: Recipe, cache: Path, seeds: Iterable[int], conditions: Sequence[str] = ()
) -> Material:
    """Have all clips heard: through the plain line, once per seed through drawn ones, RAVDESS as `conditions` say."""
    network, seeds = encoder_file(recipe, cache), tuple(seeds)
    heard: list[tuple[str, int, encoding.Heard]] = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus]
        ways = [("telephone", 0), *(("drawn", seed) for seed in seeds)]
        ways += [("short", seed) for seed in seeds if corpus in SHORT_FROM]
        ways += [(condition, 0) for condition in conditions if corpus == RAVDESS]
        for condition, seed in ways:
            heard.append((condition, seed, encoding.hear(own, condition, network, whisper.FRONT_END, cache, seed)))
    return Material(
        clips=tuple(clip for _, _, part in heard for clip in part.clips),
        statistics=np.concatenate([part.statistics for _, _, part in heard]),
        lengths_s=np.concatenate([part.lengths_s for _, _, part in heard]),
        conditions=np.concatenate([np.full(len(part.clips), condition) for condition, _, part in heard]),
        seeds=np.concatenate([np.full(len(part.clips), seed) for _, seed, part in heard]),
    )


def encoder_file(recipe: Recipe, cache: Path) -> Path:
    """The recipe's encoder as ONNX, made where the cache has none."""
    path = cache / f"{recipe.encoder_name}.onnx"
    if not path.is_file():
        from training.export import export_network

        cache.mkdir(parents=True, exist_ok=True)
        encoder = whisper.build_encoder(whisper.load_weights(), recipe.blocks, recipe.statistics_of)
        export_network(encoder, whisper.FRONT_END, path)
    return path


def deal(clips: Iterable[Clip]) -> dict[str, int]:
    """The fold of every speaker: EmoBox's for RAVDESS, else dealt in turn by corpus; actors without a fold have 0."""
    folds = {f"{RAVDESS}-{actor}": fold for fold in FOLDS for actor in RAVDESS_FOLDS[fold]}
    others = sorted({(clip.corpus, clip.speaker) for clip in clips if not clip.speaker.startswith(f"{RAVDESS}-")})
    for number, (_, speaker) in enumerate(others):
        folds[speaker] = number % len(FOLDS) + 1
    return folds


def fit_heads(material: Material, recipe: Recipe, seed: int) -> Heads:
    """Learn from the plain copies and from those drawn under a seed; of short pieces only whether they are speech."""
    drawn = np.isin(material.conditions, LEARNED_ONLY) & (material.seeds == seed)
    learned = material.of((material.conditions == "telephone") | drawn)
    weights = np.array([recipe.weights.get(clip.corpus, 0.0) for clip in learned.clips])
    weights = np.where(learned.conditions == "drawn", recipe.drawn_weight * weights, weights)
    acted = (weights > 0) & (learned.classes >= 0) & (learned.classes < len(EMOTIONS)) & (learned.conditions != "short")
    emotions = fit_head(learned.statistics[acted], learned.classes[acted], weights[acted], recipe.shrinkage)
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


def build_network(recipe: Recipe, heads: Heads) -> Any:
    """Encoder and heads as one Keras network, from (batch, frames, 80) to (batch, 9)."""
    import keras
    from keras import layers

    encoder = whisper.build_encoder(whisper.load_weights(), recipe.blocks, recipe.statistics_of)
    emotions = layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")
    other = layers.Dense(1, activation="sigmoid", name=OTHER)
    outputs = layers.Concatenate(name="probabilities")([emotions(encoder.output), other(encoder.output)])
    network = keras.Model(encoder.input, outputs, name="accurate")
    emotions.set_weights([heads.emotions.kernel, heads.emotions.bias])
    # Of two classes only the difference counts.
    difference, offset = np.diff(heads.other.kernel, axis=1), np.diff(heads.other.bias)
    other.set_weights([difference, offset])
    return network
