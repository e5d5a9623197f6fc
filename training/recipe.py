"""The recipes of `models/default` and `models/accurate`: an encoder, and linear heads on statistics of what it says.

Heard once through the plain line and once through a line drawn at random, every clip becomes statistics over time of
what the encoder says. A linear discriminant tells the emotions, another one speech from music, tones and noise. The
former may follow advice besides: what a discriminant on a better encoder, too dear to ship, says of the same clips.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.emotions import CALL_PRIOR, EMOTIONS, OTHER
from training import encoding, music, published
from training.corpora import RAVDESS, RAVDESS_SONG, TESS, Clip, thinned
from training.encoding import Encoder
from training.head import Head, doubted, fit_head, follow_head, least_brier, posterior, temperature
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
#: What a clip of a corpus weighs to a head that follows advice. Advice tells how little a clip is like what was acted
#: in RAVDESS, which a label does not, so other corpora count for more than with labels.
FOLLOWED = {
    RAVDESS: 1.0, RAVDESS_SONG: 0.6, "nemo": 0.1, published.KOREAN: 0.6, TESS: 0.6, published.NEUTRAL_SPEECH: 0.4,
}  # fmt: skip
FOLLOWED_DRAWN = 0.5
#: Of corpora with many clips of few people, every so many clips are heard.
EVERY = {TESS: 4}


@dataclass(frozen=True)
class Advice:
    """How a head follows advice.

    Attributes
    ----------
    share : of it in what the emotions' head says; the rest is the discriminant's.
    shrinkage : of the adviser.
    penalty : on the kernel of the head that follows, see `training.head.follow_head`.
    """

    share: float
    shrinkage: float
    penalty: float


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
    advice : how the head of emotions follows advice; None where it follows none.
    call_prior : how frequent the model that ships takes emotions for on calls, in the order of EMOTIONS.
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
    advice: Advice | None = None
    call_prior: tuple[float, ...] = CALL_PRIOR


ACCURATE = Recipe("accurate", shrinkage=0.6, held_back=0.01, advice=Advice(share=0.5, shrinkage=0.6, penalty=0.05))
DEFAULT = Recipe(
    "default",
    shrinkage=0.2,
    other_shrinkage=1.0,
    held_back=0.01,
    advice=Advice(share=0.5, shrinkage=0.8, penalty=0.001),
    call_prior=(0.38, 0.19, 0.15, 0.06, 0.08, 0.06, 0.04, 0.04),
)
#: The encoder of `accurate` as anybody would take it first: a head on RAVDESS and its song. A row of every table.
FROZEN_ENCODER = Recipe("frozen-encoder", weights={RAVDESS: 1.0, RAVDESS_SONG: 0.4}, drawn_weight=0.0)
RECIPES = (ACCURATE, DEFAULT, FROZEN_ENCODER)


@dataclass(frozen=True)
class Material:
    """Clips as the encoder heard them, a row per clip and way of hearing.

    Attributes
    ----------
    clips : the clip of each row.
    statistics : shaped (rows, width).
    lengths_s, conditions, seeds : of each row.
    better : what a better encoder heard of the clips, as `advised` has it; empty where nobody advises.
    """

    clips: tuple[Clip, ...]
    statistics: np.ndarray
    lengths_s: np.ndarray
    conditions: np.ndarray
    seeds: np.ndarray
    better: Mapping[Path, np.ndarray] = field(default_factory=dict)

    def of(self, chosen: np.ndarray) -> "Material":
        """The rows for which `chosen` is true."""
        return replace(
            self,
            clips=tuple(compress(self.clips, chosen)),
            statistics=self.statistics[chosen],
            lengths_s=self.lengths_s[chosen],
            conditions=self.conditions[chosen],
            seeds=self.seeds[chosen],
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
class Calibration:
    """How sure heads may be of what they say about people whom they never heard.

    Attributes
    ----------
    temperature, doubt : of emotions, see `training.head.least_brier`.
    other : the temperature of what is no speech.
    """

    temperature: float
    doubt: float
    other: float


@dataclass(frozen=True)
class Heads:
    """What is learned: emotions under an even prior, and the odds of being no speech.

    Attributes
    ----------
    emotions, other : linear.
    doubt : the share of an even guess in the probabilities of emotions.
    """

    emotions: Head
    other: Head
    doubt: float = 0.0

    def calibrated(self, calibration: Calibration) -> "Heads":
        """The same decisions, as sure of themselves as they may be; of heads that are not calibrated yet."""
        emotions, other = self.emotions.cooled(calibration.temperature), self.other.cooled(calibration.other)
        return Heads(emotions, other, calibration.doubt)

    def probabilities(self, statistics: np.ndarray) -> np.ndarray:
        """Shaped (rows, 9): the eight, which add up to 1, and the probability of being no speech."""
        eight = doubted(posterior(self.emotions.logits(statistics)), self.doubt)
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
    seeds = tuple(seeds)

    def ways(corpus: str) -> list[tuple[str, int]]:
        drawn = [("drawn", seed) for seed in (seeds if corpus in DRAWN_ANEW else (FIRST_SEED,))]
        short = [("short", FIRST_SEED)] if corpus in SHORT_FROM else []
        return [*scored_ways(corpus, ()), *drawn, *short, *scored_ways(corpus, conditions)[1:]]

    return hear_ways(clips, encoder, cache, ways)


def advised(material: Material, better: Encoder, cache: Path) -> Material:
    """The same, and statistics of what a better encoder hears of each clip with an emotion, through the plain line."""
    acted = {clip.path: clip for clip in material.clips if clip.emotion in EMOTIONS}
    heard = hear_ways(list(acted.values()), better, cache, partial(scored_ways, conditions=()))
    statistics = heard.statistics.astype(np.float16)  # as they lie in the cache
    return replace(material, better=dict(zip((clip.path for clip in heard.clips), statistics, strict=True)))


def scored_ways(corpus: str, conditions: Sequence[str]) -> list[tuple[str, int]]:
    """The ways of hearing a corpus that are scored: the plain line, and RAVDESS as `conditions` say."""
    return [("telephone", 0), *((condition, 0) for condition in conditions if corpus == RAVDESS)]


def hear_ways(
    clips: Sequence[Clip], encoder: Encoder, cache: Path, ways: Callable[[str], Sequence[tuple[str, int]]]
) -> Material:
    """Have all clips heard in the ways, each a condition and its seed, that `ways` gives for their corpus."""
    network = encoding.encoder_file(encoder, cache)
    heard: list[tuple[str, int, encoding.Heard]] = []
    for corpus in sorted({clip.corpus for clip in clips}):
        own = [clip for clip in clips if clip.corpus == corpus]
        for condition, seed in ways(corpus):
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
    return Heads(fit_emotions(material, recipe, seed, fit_adviser(material, recipe)), fit_other(material, recipe))


def fit_adviser(material: Material, recipe: Recipe) -> Head | None:
    """Learn to tell emotions from what the better encoder hears of the plain copies, the same for all seeds.

    Nobody who is left out of `material` is learned from. None where the recipe takes no advice.
    """
    if recipe.advice is None:
        return None
    plain, weights = _acted(material.of(material.conditions == "telephone"), recipe)
    return _discriminant(_better(plain), plain, weights, recipe.advice.shrinkage, recipe)


def fit_emotions(material: Material, recipe: Recipe, seed: int, adviser: Head | None) -> Head:
    """Learn to tell emotions from the plain copies and from those drawn under a seed, with an adviser's advice."""
    acted, weights = _acted(_learned(material, ("drawn",), seed), recipe)
    head = _discriminant(acted.statistics, acted, weights, recipe.shrinkage, recipe)
    if adviser is None or recipe.advice is None:
        return head
    weights = np.array([FOLLOWED[clip.corpus] for clip in acted.clips])
    weights = np.where(acted.conditions == "drawn", FOLLOWED_DRAWN * weights, weights)
    follower = follow_head(acted.statistics, adviser.logits(_better(acted)), weights, recipe.advice.penalty)
    return head.mixed(follower, recipe.advice.share)


def _acted(material: Material, recipe: Recipe) -> tuple[Material, np.ndarray]:
    """The rows that teach emotions, and what they weigh."""
    weights = np.array([recipe.weights.get(clip.corpus, 0.0) for clip in material.clips])
    weights = np.where(material.conditions == "drawn", recipe.drawn_weight * weights, weights)
    acted = (weights > 0) & (material.classes >= 0) & (material.classes < len(EMOTIONS))
    return material.of(acted), weights[acted]


def _discriminant(
    statistics: np.ndarray, acted: Material, weights: np.ndarray, shrinkage: float, recipe: Recipe
) -> Head:
    """Fit statistics of the rows, with a room for each corpus."""
    rooms = np.unique(acted.column("corpus"), return_inverse=True)[1]
    return fit_head(statistics, acted.classes, weights, shrinkage, rooms, recipe.held_back)


def _better(material: Material) -> np.ndarray:
    """What the better encoder heard of the clip of each row, shaped (rows, width)."""
    return np.stack([material.better[clip.path] for clip in material.clips]).astype(np.float32)


def fit_other(material: Material, recipe: Recipe) -> Head:
    """Learn to tell what is no speech, from short pieces as well; the same for all seeds."""
    learned = _learned(material, LEARNED_ONLY, FIRST_SEED)
    no_speech = (learned.classes == len(EMOTIONS)).astype(int)
    balance = np.where(no_speech == 1, 1 / max(1, no_speech.sum()), 1 / (no_speech == 0).sum())
    return fit_head(learned.statistics, no_speech, balance, recipe.other_shrinkage)


def _learned(material: Material, copies: Sequence[str], seed: int) -> Material:
    """The plain copies, and those of these ways of hearing that were drawn under a seed, or for all seeds."""
    of_all = (material.conditions == "short") | ~np.isin(material.column("corpus"), DRAWN_ANEW)
    drawn = np.isin(material.conditions, copies) & ((material.seeds == seed) | of_all)
    return material.of((material.conditions == "telephone") | drawn)


@dataclass(frozen=True)
class Told:
    """What heads said, through the plain line, about people whom they never heard.

    Attributes
    ----------
    emotions, acted : logits of clips of RAVDESS, shaped (clips, 8), and their classes.
    other, no_speech : logits of all clips, shaped (clips, 2), and 1 for those that are no speech, else 0.
    """

    emotions: np.ndarray
    acted: np.ndarray
    other: np.ndarray
    no_speech: np.ndarray


def tell(held_out: Material, heads: Heads) -> Told:
    """Have heads that are not calibrated tell about people whom they never heard."""
    scored = held_out.of(held_out.conditions == "telephone")
    acted = scored.of((scored.column("corpus") == RAVDESS) & (scored.classes >= 0))
    no_speech = (scored.classes == len(EMOTIONS)).astype(int)
    return Told(
        heads.emotions.logits(acted.statistics), acted.classes, heads.other.logits(scored.statistics), no_speech
    )


def calibrate(told: Sequence[Told]) -> Calibration:
    """How sure heads may be, by what they and others like them told about several groups of people."""
    emotions, acted, other, no_speech = (
        np.concatenate([getattr(one, name) for one in told]) for name in ("emotions", "acted", "other", "no_speech")
    )
    return Calibration(*least_brier(emotions, acted), temperature(other, no_speech))


def mean_calibration(found: Sequence[Calibration]) -> Calibration:
    """The geometric mean of temperatures, the mean of doubts."""
    of_emotions, of_other = np.exp(np.log([[one.temperature, one.other] for one in found]).mean(axis=0))
    return Calibration(float(of_emotions), float(np.mean([one.doubt for one in found])), float(of_other))


def build_network(encoder: Encoder, heads: Heads, name: str) -> Any:
    """Encoder and heads as one Keras network, from (batch, frames, bands) to (batch, 9)."""
    import keras
    from keras import layers

    ear = encoder.build()
    emotions = layers.Dense(len(EMOTIONS), activation="softmax", name="emotions")
    other = layers.Dense(1, activation="sigmoid", name=OTHER)
    doubt = layers.Rescaling(1 - heads.doubt, heads.doubt / len(EMOTIONS), name="doubt")
    outputs = layers.Concatenate(name="probabilities")([doubt(emotions(ear.output)), other(ear.output)])
    network = keras.Model(ear.input, outputs, name=name)
    emotions.set_weights([heads.emotions.kernel, heads.emotions.bias])
    # Of two classes only the difference counts.
    difference, offset = np.diff(heads.other.kernel, axis=1), np.diff(heads.other.bias)
    other.set_weights([difference, offset])
    return network
