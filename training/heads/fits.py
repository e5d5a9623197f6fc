"""Fits of encoders and heads without the speakers that they are scored on.

A recipe is fitted several times: without the speakers of each fold, without some corpora, and on everything. Every
encoder is cached, and so are its statistics of all clips. Interrupted training resumes from its last checkpoint.
"""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.store.outputs import atomic_write
from training.data import crops, music, published
from training.data.cache import key_of, save_arrays
from training.data.corpora import RAVDESS, Clip
from training.data.crops import Mixture
from training.data.drawn import draw_frames
from training.data.sounds import Sounds
from training.encoders import encoding
from training.encoders.encoding import ClipStatistics, Encoder
from training.evaluation.measures import uar_of_occurring
from training.evaluation.operating_point import LOGITS, Calibration, found_at_own_threshold, probabilities, roc_area
from training.evaluation.rows import TrainingData
from training.heads.head import Head, distil_head, fit_head
from training.heads.raw_scores import TELEPHONE, raw_rows
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
_DISTILLATION_PENALTY = 0.001
#: Cache version; increase it whenever the same recipe would give another encoder.
_VERSION = 6


def read_clips(corpora: Path, cache: Path) -> list[Clip]:
    """Read all clips of the published corpora, and synthetic music, which is written to the cache."""
    return [*published.read_all(corpora), *music.write_music(cache / music.CORPUS, MUSIC_CLIPS, seed=1)]


def training_clips(recipe: Recipe, clips: Sequence[Clip], excluded: Collection[str]) -> list[Clip]:
    """Return the training clips of a fit that holds out some speakers."""
    excluded_speakers = {*excluded, *recipe.encoder.excluded}
    return [clip for clip in clips if clip.corpus in recipe.corpora and clip.speaker not in excluded_speakers]


def training_data(recipe: Recipe, part: str, clips: Sequence[Clip]) -> Mapping[str, TrainingData]:
    """Return the training speakers of the fit that holds out a part."""
    speakers = (clip.speaker for clip in training_clips(recipe, clips, held_out(part, clips)))
    return {"training": TrainingData(frozenset(speakers))}


def encoder(recipe: EncoderRecipe | StudentRecipe, part: str, sounds: Sounds, cache: Path) -> Encoder:
    """Return an encoder that was trained without the speakers of a part; train it if it is not in the cache.

    Raises UsageError as `held_out` does, and CannotWork if Whisper's weights are not installed.
    """
    path = _weights_path(recipe, part, sounds, cache)
    name = path.name.removesuffix(".weights.h5")
    if isinstance(recipe, StudentRecipe):
        if not path.is_file():
            _train_student(recipe, part, sounds, cache, path)
        return Encoder(name, FRONT_END, lambda: _student_encoder(path))
    if not path.is_file():
        _train(recipe, part, sounds, cache, path)
    return Encoder(f"{name}-{recipe.tuned:g}", FRONT_END, lambda: _interpolated_encoder(recipe, path))


def _interpolated_encoder(recipe: EncoderRecipe, path: Path) -> Any:
    """Build the encoder with weights interpolated between Whisper's and those in `path`."""
    from training.encoders import emotion_network, whisper

    network = emotion_network.build_network(whisper.load_weights(), recipe.size)
    whisper_weights = network.get_weights()
    network.load_weights(path)
    tuned = recipe.tuned
    network.set_weights(
        [(1 - tuned) * a + tuned * b for a, b in zip(whisper_weights, network.get_weights(), strict=True)]
    )
    return emotion_network.with_statistics(network)


def _student_encoder(path: Path) -> Any:
    from training.encoders import small_network

    network = small_network.build_network()
    network.load_weights(path)
    return small_network.with_statistics(network)


def _train(recipe: EncoderRecipe, part: str, sounds: Sounds, cache: Path, path: Path) -> None:
    from training.encoders import emotion_network, whisper

    frames = draw_frames(sounds, COPIES, FRONT_END, cache)
    draw_batch = partial(crops.draw_batch, mixture_of(recipe, part, sounds), frames)
    build = partial(emotion_network.build_network, whisper.load_weights(), recipe.size)
    _fit_network(recipe, build, emotion_network.loss, draw_batch, path)


def _train_student(recipe: StudentRecipe, part: str, sounds: Sounds, cache: Path, path: Path) -> None:
    from training.encoders import distillation, small_network

    mixture, frames = mixture_of(recipe, part, sounds), draw_frames(sounds, COPIES, FRONT_END, cache)
    teacher = encoder(recipe.teacher.encoder, part, sounds, cache)
    with_frames = replace(
        teacher, name=f"{teacher.name}-frames", build=lambda: distillation.with_frames(teacher.build())
    )
    outputs = distillation.teacher_outputs(
        encoding.encoder_file(with_frames, cache),
        fit_heads(recipe.teacher, part, FIRST_SEED, sounds, cache).emotions.logits,
        frames,
        np.isin(np.repeat(np.arange(len(sounds.clips)), np.diff(frames.first)), mixture.numbers),
        cache / f"outputs-{path.name.removesuffix('.weights.h5')}.npz",
    )
    draw_batch = partial(distillation.draw_batch, mixture, frames, outputs)
    losses = [distillation.logits_loss, distillation.frames_loss]
    _fit_network(recipe, small_network.build_network, losses, draw_batch, path)


def _fit_network(
    recipe: EncoderRecipe | StudentRecipe,
    build: Callable[[], Any],
    loss: Any,
    draw_batch: Callable[..., Any],
    path: Path,
) -> None:
    """Build a network with weights from the fixed seed, train it in bfloat16, and save its weights.

    `draw_batch` takes the length of crops, their number, and a random generator.
    """
    import keras

    from training.encoders import tuning

    keras.utils.set_random_seed(ENCODER_SEED)
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        network = build()
    finally:
        keras.mixed_precision.set_global_policy(policy)

    def draw(step: int) -> Any:
        random = np.random.default_rng([ENCODER_SEED, step])
        return draw_batch(int(random.choice(recipe.crop_frames)), recipe.batch, random)

    tuning.fit(network, loss, draw, recipe.options, path.with_suffix(".npz"))
    with atomic_write(path, ".weights.h5") as temporary:
        # Without the optimizer, whose state is three times as large.
        keras.Model(network.inputs, network.outputs).save_weights(temporary)


def mixture_of(recipe: EncoderRecipe | StudentRecipe, part: str, sounds: Sounds) -> Mixture:
    """Return the training data of an encoder that holds out a part."""
    read_speech = frozenset({published.NEUTRAL_SPEECH})
    return Mixture(sounds, recipe.shares, read_speech, excluded=held_out(part, sounds.clips).union(recipe.excluded))


def _weights_path(recipe: EncoderRecipe | StudentRecipe, part: str, sounds: Sounds, cache: Path) -> Path:
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
        non_speech_logits = self.non_speech.logits(statistics)
        return np.column_stack([self.emotions.logits(statistics), non_speech_logits[:, 1] - non_speech_logits[:, 0]])


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
        save_arrays(path, **arrays)
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

    acted = [_select(copies, excluded, is_acted) for copies in (plain, *drawn)]
    all_copies = [
        _select(copies, excluded, lambda clip: clip.corpus in recipe.corpora) for copies in (plain, *drawn, short)
    ]
    emotions = _fit_emotions(recipe, acted)
    if isinstance(recipe.encoder, StudentRecipe):
        teacher = recipe.encoder.teacher
        teacher_head = fit_heads(teacher, part, FIRST_SEED, sounds, cache).emotions
        inputs = _select(statistics(teacher, part, sounds, cache, TELEPHONE), excluded, is_acted)
        logits, weights = teacher_head.logits(inputs.statistics), _clip_weights(recipe, acted[0].clips)
        distilled = distil_head(acted[0].statistics, logits, weights, _DISTILLATION_PENALTY)
        emotions = emotions.mixed(distilled, recipe.distilled)
    return Heads(emotions, _fit_non_speech(recipe, all_copies))


def _select(
    clip_statistics: ClipStatistics, excluded: Collection[str], is_wanted: Callable[[Clip], bool]
) -> ClipStatistics:
    chosen = [clip.speaker not in excluded and is_wanted(clip) for clip in clip_statistics.clips]
    return clip_statistics.of(np.array(chosen))


def _fit_emotions(recipe: Recipe, acted: list[ClipStatistics]) -> Head:
    """Fit the emotion head to the plain copies, which come first, and to the augmented ones."""
    clips = [clip for copies in acted for clip in copies.clips]
    weights = np.concatenate([
        (recipe.drawn_weight if number else 1) * _clip_weights(recipe, copies.clips)
        for number, copies in enumerate(acted)
    ])  # fmt: skip
    classes = np.array([EMOTIONS.index(clip.emotion or "") for clip in clips])
    values = np.concatenate([copies.statistics for copies in acted])
    scales = np.repeat(recipe.block_scales, values.shape[1] // len(recipe.block_scales))
    return fit_head(values, classes, weights, recipe.shrinkage, scales)


def _clip_weights(recipe: Recipe, clips: Sequence[Clip]) -> np.ndarray:
    """Return the weights of clips: the clips of a corpus share the corpus's weight in the recipe equally."""
    counts = Counter(clip.corpus for clip in clips)
    return np.array([recipe.weights[clip.corpus] / counts[clip.corpus] for clip in clips])


def _fit_non_speech(recipe: Recipe, all_copies: list[ClipStatistics]) -> Head:
    non_speech = np.array([clip.emotion == OTHER for copies in all_copies for clip in copies.clips]).astype(int)
    weights = (1 / np.bincount(non_speech, minlength=2))[non_speech]
    values = np.concatenate([copies.statistics for copies in all_copies])
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
    """Return the statistics of all clips, or of those of some corpora, under a condition of `encoding`."""
    network = encoding.encoder_file(encoder(recipe.encoder, part, sounds, cache), cache)
    clips = [clip for clip in sounds.clips if corpora is None or clip.corpus in corpora]
    return encoding.clip_statistics(clips, condition, network, FRONT_END, cache, seed)


def scored(recipe: Recipe, part: str, seed: int, sounds: Sounds, cache: Path) -> pd.DataFrame:
    """Return the raw scores of a fit on the clips that it is scored on; see `is_scored` and training.heads.raw_scores.

    RAVDESS is also scored under CONDITIONS. Raises what `fit_heads` raises.
    """
    heads, excluded = fit_heads(recipe, part, seed, sounds, cache), held_out(part, sounds.clips)
    all_statistics = statistics(recipe, part, sounds, cache, TELEPHONE)
    scored_statistics = all_statistics.of(np.array([is_scored(clip, excluded) for clip in all_statistics.clips]))
    ravdess = [clip for clip in scored_statistics.clips if clip.corpus == RAVDESS]
    network = encoding.encoder_file(encoder(recipe.encoder, part, sounds, cache), cache)
    by_condition = {TELEPHONE: scored_statistics}
    for condition in CONDITIONS if ravdess else ():
        by_condition[condition] = encoding.clip_statistics(ravdess, condition, network, FRONT_END, cache)
    tables = [
        raw_rows(found.clips, heads.logits(found.statistics), found.lengths_s, condition, part, seed)
        for condition, found in by_condition.items()
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
    table_rows = []
    for corpus, corpus_rows in rows[rows["condition"] == TELEPHONE].groupby("corpus"):
        emotions = dict(zip(EMOTIONS, probabilities(corpus_rows, Calibration()).T, strict=False))
        acted = corpus_rows.assign(**emotions)[corpus_rows["emotion"].isin(EMOTIONS)]
        row: dict[str, Any] = {"corpus": corpus, "clips": len(corpus_rows)}
        row |= {"uar": np.nan, "area": np.nan, "found": np.nan}
        if len(acted):
            row["uar"] = uar_of_occurring(acted, np.ones((1, len(acted)), np.float32))[0]
            row |= {"area": roc_area(acted), "found": found_at_own_threshold(acted)}
        table_rows.append({**row, "non_speech": (corpus_rows[LOGITS[-1]] > 0).mean()})
    return pd.DataFrame(table_rows)
