"""Fits of encoders and heads without the speakers that they are scored on.

A recipe is fitted several times: without the speakers of each fold, without some corpora, and on everything. Every
encoder is cached, and so are its statistics of all clips. Interrupted training resumes from its last checkpoint.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, NEGATIVE, OTHER
from analyzer.outputs import replacing
from training import crops, encoding, music, operating_point, published
from training.corpora import RAVDESS, Clip
from training.crops import Mixture
from training.drawn import draw_frames
from training.encoding import ClipStatistics, Encoder, key_of
from training.evaluation_measures import probabilities_of, uar_of_own
from training.head import Head, fit_head, follow_head
from training.operating_point import FALSE_ALARMS, LEVEL, LOGITS, Calibration, probabilities, roc_area
from training.raw_scores import TELEPHONE, raw_rows
from training.recipes import (
    COPIES,
    DRAWN_PER_SEED,
    FIRST_SEED,
    FRONT_END,
    MUSIC_CLIPS,
    SHORT_FROM,
    EncoderRecipe,
    Recipe,
    StudentRecipe,
    held_out,
)
from training.sounds import Sounds

#: Conditions in which RAVDESS is scored, besides the plain telephone line.
CONDITIONS = ("studio", "alaw", "gsm", "mp3", "opus", "amr")
#: Corpora for the distinction of speech from non-speech; their augmented copies are used as well.
NOT_ACTED = (
    published.NEUTRAL_SPEECH, published.NON_SPEECH, published.IVR, music.CORPUS,
    "speechocean762", "picovoice-sti", "ami",
)  # fmt: skip
#: The seed of encoders. The seed of a fit only draws the augmented copies that its heads are trained on.
ENCODER_SEED = 1
#: Ridge penalty on the kernel of distilled heads.
_FOLLOWING_PENALTY = 0.001
#: Cache version; increase it whenever the same recipe would give another encoder.
_VERSION = 6


def read_clips(corpora: Path, cache: Path) -> list[Clip]:
    """Read all clips of the published corpora, and synthetic music, which is written to the cache."""
    return [*published.read_all(corpora), *music.write_music(cache / music.CORPUS, MUSIC_CLIPS, seed=1)]


def encoder(recipe: EncoderRecipe | StudentRecipe, part: str, sounds: Sounds, cache: Path) -> Encoder:
    """Return an encoder that was trained without the speakers of a part; train it if it is not in the cache.

    Raises UsageError as `held_out` does, and CannotWork if Whisper's weights are not installed.
    """
    path = _kept(recipe, part, sounds, cache)
    name = path.name.removesuffix(".weights.h5")
    if isinstance(recipe, StudentRecipe):
        if not path.is_file():
            _train_student(recipe, part, sounds, cache, path)
        return Encoder(name, FRONT_END, lambda: _student(path))
    if not path.is_file():
        _train(recipe, part, sounds, cache, path)
    return Encoder(f"{name}-{recipe.tuned:g}", FRONT_END, lambda: _between(recipe, path))


def _between(recipe: EncoderRecipe, path: Path) -> Any:
    """Build the encoder with weights interpolated between Whisper's and those in `path`."""
    from training import emotion_network, whisper

    network = emotion_network.build_network(whisper.load_weights(), recipe.size)
    whole = network.get_weights()
    network.load_weights(path)
    tuned = recipe.tuned
    network.set_weights([(1 - tuned) * a + tuned * b for a, b in zip(whole, network.get_weights(), strict=True)])
    return emotion_network.with_statistics(network)


def _student(path: Path) -> Any:
    from training import small_network

    network = small_network.build_network()
    network.load_weights(path)
    return small_network.with_statistics(network)


def _train(recipe: EncoderRecipe, part: str, sounds: Sounds, cache: Path, path: Path) -> None:
    from training import emotion_network, tuning, whisper

    with _training():
        network = emotion_network.build_network(whisper.load_weights(), recipe.size)
    mixture, frames = mixture_of(recipe, part, sounds), draw_frames(sounds, COPIES, FRONT_END, cache)

    def draw(step: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([ENCODER_SEED, step])
        return crops.draw_batch(mixture, frames, int(random.choice(recipe.crop_frames)), recipe.batch, random)

    tuning.fit(network, emotion_network.loss, draw, recipe.options, path.with_suffix(".npz"))
    _save(network, path)


def _train_student(recipe: StudentRecipe, part: str, sounds: Sounds, cache: Path, path: Path) -> None:
    from training import distillation, small_network, tuning

    mixture, frames = mixture_of(recipe, part, sounds), draw_frames(sounds, COPIES, FRONT_END, cache)
    own = encoder(recipe.teacher.encoder, part, sounds, cache)
    with_frames = Encoder(f"{own.name}-frames", own.front_end, lambda: distillation.with_frames(own.build()))
    heads = fit_heads(recipe.teacher, part, FIRST_SEED, sounds, cache)
    teacher = distillation.teacher_outputs(
        encoding.encoder_file(with_frames, cache),
        heads.emotions.logits,
        frames,
        np.isin(np.repeat(np.arange(len(sounds.clips)), np.diff(frames.first)), mixture.numbers),
        cache / f"outputs-{path.name.removesuffix('.weights.h5')}.npz",
    )
    with _training():
        network = small_network.build_network()

    def draw(step: int) -> tuple[np.ndarray, list[np.ndarray]]:
        random = np.random.default_rng([ENCODER_SEED, step])
        length = int(random.choice(recipe.crop_frames))
        return distillation.draw_batch(mixture, frames, teacher, length, recipe.batch, random)

    losses = [distillation.logits_loss, distillation.frames_loss]
    tuning.fit(network, losses, draw, recipe.options, path.with_suffix(".npz"))
    _save(network, path)


@contextmanager
def _training() -> Iterator[None]:
    """In this context, new networks have weights from the fixed seed and compute in bfloat16."""
    import keras

    keras.utils.set_random_seed(ENCODER_SEED)
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(policy)


def _save(network: Any, path: Path) -> None:
    """Write weights without the optimizer, whose state is three times as large."""
    import keras

    with replacing(path, ".weights.h5") as temporary:
        keras.Model(network.inputs, network.outputs).save_weights(temporary)


def mixture_of(recipe: EncoderRecipe | StudentRecipe, part: str, sounds: Sounds) -> Mixture:
    """Return the training data of an encoder that holds out a part."""
    read_speech = frozenset({published.NEUTRAL_SPEECH})
    return Mixture(sounds, recipe.shares, read_speech, excluded=held_out(part, sounds.clips).union(recipe.excluded))


def _kept(recipe: EncoderRecipe | StudentRecipe, part: str, sounds: Sounds, cache: Path) -> Path:
    """Return the cache path of the trained weights. Parts that hold out none of the clips share an encoder."""
    clips = [sounds.clips[number] for number in mixture_of(recipe, part, sounds).numbers]
    settings = {name: value for name, value in asdict(recipe).items() if name not in ("name", "tuned", "excluded")}
    key = key_of(clips, _VERSION, json.dumps([settings, COPIES], sort_keys=True), ENCODER_SEED)[:16]
    return cache / f"{recipe.name}-{key}.weights.h5"


@dataclass(frozen=True)
class Heads:
    """Linear discriminants on statistics: of the emotions, and of speech against non-speech."""

    emotions: Head
    non_speech: Head

    def logits(self, statistics: np.ndarray) -> np.ndarray:
        """Return the emotion logits, then the log odds of non-speech; shaped (clips, len(LOGITS))."""
        sides = self.non_speech.logits(statistics)
        return np.column_stack([self.emotions.logits(statistics), sides[:, 1] - sides[:, 0]])


def fit_heads(recipe: Recipe, part: str, seed: int, sounds: Sounds, cache: Path) -> Heads:
    """Return the heads of a recipe without the speakers of a part; fit them if they are not in the cache.

    Clips are used through the plain line and through random lines. `seed` only affects the random lines of
    DRAWN_PER_SEED; the teacher of a student is that of FIRST_SEED. Raises what `encoder` raises.
    """
    settings = json.dumps([asdict(recipe), encoder(recipe.encoder, part, sounds, cache).name], sort_keys=True)
    path = cache / f"heads-{key_of(sounds.clips, _VERSION, settings, seed)[:24]}.npz"
    if not path.is_file():
        heads = _fit_heads(recipe, part, seed, sounds, cache)
        arrays = {f"{name}_{key}": value for name, head in vars(heads).items() for key, value in vars(head).items()}
        encoding.keep(path, **arrays)
    with np.load(path) as content:
        return Heads(*(Head(content[f"{name}_kernel"], content[f"{name}_bias"]) for name in ("emotions", "non_speech")))


def _fit_heads(recipe: Recipe, part: str, seed: int, sounds: Sounds, cache: Path) -> Heads:
    excluded = held_out(part, sounds.clips).union(recipe.encoder.excluded)
    plain = statistics(recipe, part, sounds, cache, TELEPHONE)
    drawn = [
        statistics(recipe, part, sounds, cache, "drawn", seed, DRAWN_PER_SEED),
        statistics(recipe, part, sounds, cache, "drawn", FIRST_SEED, NOT_ACTED),
    ]
    short = statistics(recipe, part, sounds, cache, "short", FIRST_SEED, SHORT_FROM)

    def is_acted(clip: Clip) -> bool:
        return clip.corpus in recipe.weights and clip.emotion in EMOTIONS

    acted = [_of(one, excluded, is_acted) for one in (plain, *drawn)]
    every = [_of(one, excluded, lambda clip: clip.corpus in recipe.corpora) for one in (plain, *drawn, short)]
    emotions = _fit_emotions(recipe, acted)
    if isinstance(recipe.encoder, StudentRecipe):
        teacher = recipe.encoder.teacher
        known = _of(statistics(teacher, part, sounds, cache, TELEPHONE), excluded, is_acted)
        wanted = fit_heads(teacher, part, FIRST_SEED, sounds, cache).emotions.logits(known.statistics)
        distilled = follow_head(acted[0].statistics, wanted, _weights(recipe, acted[0].clips), _FOLLOWING_PENALTY)
        emotions = emotions.mixed(distilled, recipe.distilled)
    return Heads(emotions, _fit_non_speech(recipe, every))


def _of(found: ClipStatistics, excluded: Collection[str], wanted: Callable[[Clip], bool]) -> ClipStatistics:
    return found.of(np.array([clip.speaker not in excluded and wanted(clip) for clip in found.clips]))


def _fit_emotions(recipe: Recipe, acted: list[ClipStatistics]) -> Head:
    """Fit the emotion head to the plain copies, which come first, and to the augmented ones."""
    clips = [clip for copies in acted for clip in copies.clips]
    weights = np.concatenate([
        (recipe.drawn_weight if number else 1) * _weights(recipe, copies.clips) for number, copies in enumerate(acted)
    ])  # fmt: skip
    classes = np.array([EMOTIONS.index(clip.emotion or "") for clip in clips])
    values = np.concatenate([copies.statistics for copies in acted])
    scales = np.repeat(recipe.block_scales, values.shape[1] // len(recipe.block_scales))
    return fit_head(values, classes, weights, recipe.shrinkage, scales)


def _weights(recipe: Recipe, clips: Sequence[Clip]) -> np.ndarray:
    """Return the weights of clips: the clips of a corpus share the corpus's weight in the recipe equally."""
    counts = Counter(clip.corpus for clip in clips)
    return np.array([recipe.weights[clip.corpus] / counts[clip.corpus] for clip in clips])


def _fit_non_speech(recipe: Recipe, every: list[ClipStatistics]) -> Head:
    non_speech = np.array([clip.emotion == OTHER for copies in every for clip in copies.clips]).astype(int)
    weights = (1 / np.bincount(non_speech, minlength=2))[non_speech]
    values = np.concatenate([copies.statistics for copies in every])
    return fit_head(values, non_speech, weights, recipe.non_speech_shrinkage)


def statistics(
    recipe: Recipe,
    part: str,
    sounds: Sounds,
    cache: Path,
    condition: str,
    seed: int = 0,
    corpora: Collection[str] | None = None,
) -> ClipStatistics:
    """Return the statistics of all clips, or of those of some corpora, under a condition of training.encoding."""
    network = encoding.encoder_file(encoder(recipe.encoder, part, sounds, cache), cache)
    clips = [clip for clip in sounds.clips if corpora is None or clip.corpus in corpora]
    return encoding.clip_statistics(clips, condition, network, FRONT_END, cache, seed)


def scored(recipe: Recipe, part: str, seed: int, sounds: Sounds, cache: Path) -> pd.DataFrame:
    """Return the raw scores of a fit on the clips that it is scored on; see `is_scored` and training.raw_scores.

    RAVDESS is also scored under CONDITIONS. Raises what `fit_heads` raises.
    """
    heads, excluded = fit_heads(recipe, part, seed, sounds, cache), held_out(part, sounds.clips)
    every = statistics(recipe, part, sounds, cache, TELEPHONE)
    own = every.of(np.array([is_scored(clip, excluded) for clip in every.clips]))
    ravdess = [clip for clip in own.clips if clip.corpus == RAVDESS]
    network = encoding.encoder_file(encoder(recipe.encoder, part, sounds, cache), cache)
    under = {TELEPHONE: own}
    for condition in CONDITIONS if ravdess else ():
        under[condition] = encoding.clip_statistics(ravdess, condition, network, FRONT_END, cache)
    tables = [
        raw_rows(found.clips, heads.logits(found.statistics), found.lengths_s, condition, part, seed)
        for condition, found in under.items()
    ]
    return pd.concat(tables, ignore_index=True)


def is_scored(clip: Clip, excluded: Collection[str]) -> bool:
    """Whether a fit that holds out these speakers is scored on a clip: on theirs, and on corpora for evaluation."""
    return clip.speaker in excluded or clip.corpus in published.EVALUATION_ONLY


def figures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return metrics of raw scores, one row per corpus; through the plain line.

    Columns: `clips`; `uar` among the emotions of the corpus; `area` under the ROC curve of the negative probability,
    negative clips against neutral and calm ones; `found`, the share of negative clips above the threshold that 5 % of
    the neutral and calm ones exceed; `non_speech`, the share classified as non-speech. NaN without such clips.
    """
    found = []
    for corpus, own in rows[rows["condition"] == TELEPHONE].groupby("corpus"):
        emotions = dict(zip(EMOTIONS, probabilities(own, Calibration()).T, strict=False))
        figures_of = _of_corpus(own.assign(**emotions)[own["emotion"].isin(EMOTIONS)])
        non_speech = float((own[LOGITS[-1]] > 0).mean())
        found.append({"corpus": corpus, "clips": len(own), **figures_of, "non_speech": non_speech})
    return pd.DataFrame(found)


def _of_corpus(rows: pd.DataFrame) -> dict[str, float]:
    found = dict.fromkeys(("uar", "area", "found"), float("nan"))
    if not len(rows):
        return found
    found["uar"] = float(uar_of_own(rows, np.ones((1, len(rows)), np.float32))[0])
    found["area"] = roc_area(rows)
    scores, level = operating_point.negative(probabilities_of(rows)), rows["emotion"].isin(LEVEL).to_numpy()
    if np.isfinite(found["area"]):
        limit = np.quantile(scores[level], 1 - FALSE_ALARMS["normal"])
        found["found"] = float((scores[rows["emotion"].isin(NEGATIVE).to_numpy()] > limit).mean())
    return found
