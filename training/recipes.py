"""Recipes of the networks: training data, training options, and the speakers that each fit holds out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from analyzer.emotions import CALL_PRIOR
from analyzer.errors import UsageError
from analyzer.speech.features import FrontEnd
from training.data import music, published
from training.data.corpora import RAVDESS, RAVDESS_SONG, TESS, Clip
from training.data.splits import actors_of

FOLDS = (1, 2, 3, 4, 5)

#: Whisper's frames, computed from telephone audio: the same bands, of which those above 4 kHz stay empty.
FRONT_END = FrontEnd(
    rate=8000, window=200, hop=80, fft=200, bands=80, low_hz=0.0, high_hz=8000.0, frames=500, scaling="whisper",
    padded=False,
)  # fmt: skip
#: Corpora that may be held out whole. A part joins the corpora that one fit holds out together by PLUS.
LEFT_OUT = ("crema-d", "nemo", "banglaser", TESS)
CORPUS_SEPARATOR = "+"
#: Corpora that calibrate a network if they were held out of its training. TESS, two women who say one phrase, is unlike
#: any call.
CALIBRATING = ("crema-d", "nemo", "banglaser")
#: The fit on everything, which is released.
ALL = "all"
#: Number of synthetic music clips.
MUSIC_CLIPS = 240
#: Corpora of which short pieces are used as well, so that a single word is not classified as noise.
SHORT_FROM = (RAVDESS, published.NEUTRAL_SPEECH, published.IVR, published.NON_SPEECH, music.CORPUS)
#: Corpora whose augmented copies depend on the seed; those of the others are the same for all seeds.
DRAWN_PER_SEED = (RAVDESS, RAVDESS_SONG)
FIRST_SEED = 1

#: Relative share of each corpus in a batch.
_BUSINESS_SHARES = {
    "crema-d": 22.0, "banglaser": 3.0, "emogator": 3.0, published.NEUTRAL_SPEECH: 5.0, "speechocean762": 1.0,
    "picovoice-sti": 1.0, "ami": 1.0, published.NON_SPEECH: 6.0, published.IVR: 1.0, music.CORPUS: 3.0,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """The part of Whisper base's encoder that a network keeps.

    Attributes
    ----------
    blocks : number of blocks kept, from the first, of six.
    pairs_after : number of blocks after which pairs of frames are averaged: 25 frames per second instead of 50.
    """

    blocks: int = 5
    pairs_after: int = 3


@dataclass(frozen=True)
class Options:
    """Training options of a network.

    Attributes
    ----------
    steps : number of batches.
    rate, head_rate : highest learning rate of the last block, and of layers whose name begins with `head`.
    block_decay : factor on the learning rate for each block further down.
    weight_decay : of AdamW.
    average : momentum of the moving average of the weights; a fit returns the average.
    warm_up : share of the steps in which the learning rate rises; afterwards it falls to 0 along a cosine.
    """

    steps: int = 1000
    rate: float = 1e-4
    head_rate: float = 1e-3
    block_decay: float = 0.8
    weight_decay: float = 0.01
    average: float = 0.99
    warm_up: float = 0.1


@dataclass(frozen=True)
class EncoderRecipe:
    """Training data and options of an encoder.

    Attributes
    ----------
    name : of the encoder.
    shares : share of each corpus in a batch.
    excluded : speakers, and sources of non-speech, that it is never trained on.
    size, options : of the network, and of its training.
    tuned : weight of the trained parameters in an interpolation with Whisper's own. Unseen corpora are recognised best
        between both (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
    batch, crop_frames : crops per batch, and their lengths; all crops of a batch have one of these lengths. They are
        multiples of 4, so that every network makes the same number of frames of a crop.
    """

    name: str
    shares: Mapping[str, float]
    size: Size = field(default_factory=Size)
    options: Options = field(default_factory=Options)
    tuned: float = 0.7
    excluded: tuple[str, ...] = ()
    batch: int = 32
    crop_frames: tuple[int, ...] = (152, 200, 252, 300)


@dataclass(frozen=True)
class Recipe:
    """Training data of a model's heads: linear heads on statistics of an encoder.

    Attributes
    ----------
    name : of the model.
    encoder : recipe of the encoder; it is not trained on the held-out corpora of a fit either.
    weights : total weight of the clips of each corpus in the emotion head; corpora without one are not used for it.
    shrinkage, non_speech_shrinkage : shrinkage of the covariance, towards independent statistics.
    block_scales : standard deviation that the statistics of each block are scaled to, for the emotion head. The upper
        blocks, which are fine-tuned most, overfit their training clips: on these clips, statistics vary less within an
        emotion than on unseen speakers, and would count for too much.
    drawn_weight : weight of a copy through a random line, relative to the plain copy.
    distilled : share of the distilled head, fitted to the teacher's logits, in the emotion head; the rest is a
        discriminant.
    left_out : parts that hold out whole corpora.
    call_prior : prior probabilities of the emotions on calls, in the order of EMOTIONS.
    """

    name: str
    encoder: "EncoderRecipe | StudentRecipe"
    weights: Mapping[str, float]
    shrinkage: float = 0.2
    block_scales: tuple[float, ...] = (1.4, 1.2, 1.0, 0.5, 0.4)
    non_speech_shrinkage: float = 0.97
    drawn_weight: float = 0.5
    distilled: float = 0.0
    left_out: tuple[str, ...] = ("crema-d", "banglaser")
    call_prior: tuple[float, ...] = CALL_PRIOR

    @property
    def corpora(self) -> frozenset[str]:
        """All corpora that the encoder and the heads are trained on."""
        return frozenset({*self.encoder.shares, *self.weights})

    @property
    def parts(self) -> tuple[str, ...]:
        """What each of the scored fits holds out."""
        return (*map(str, FOLDS), *self.left_out, ALL)


@dataclass(frozen=True)
class StudentRecipe:
    """Training data of a small encoder: labels, and outputs of the teacher's fit that holds out the same speakers.

    Attributes
    ----------
    name : of the encoder.
    teacher : recipe of the model whose outputs it is trained on.
    shares, options, excluded, batch, crop_frames : as in EncoderRecipe.
    """

    name: str
    teacher: Recipe
    shares: Mapping[str, float]
    options: Options = field(
        default_factory=lambda: Options(6_000, 2e-3, 2e-3, 1.0, weight_decay=0.02, average=0.998, warm_up=0.05)
    )
    excluded: tuple[str, ...] = ()
    batch: int = 64
    crop_frames: tuple[int, ...] = (152, 200, 252, 300)


#: Number of augmented copies per clip, by corpus; more for corpora whose clips are drawn more often.
COPIES = {
    RAVDESS: 10, RAVDESS_SONG: 4, "crema-d": 3, "nemo": 3, TESS: 1, published.KOREAN: 4, published.RAKSHAK: 2,
    "emogator": 1, "banglaser": 4, published.NEUTRAL_SPEECH: 6, "speechocean762": 2, "picovoice-sti": 4, "ami": 8,
    published.NON_SPEECH: 8, published.IVR: 4, music.CORPUS: 6,
}  # fmt: skip

_LABELLED_BUSINESS_SHARES = {"crema-d": 22.0, "banglaser": 3.0, "emogator": 3.0, published.NEUTRAL_SPEECH: 1.0}
_NON_BUSINESS_SHARES = {
    RAVDESS: 18.0,
    RAVDESS_SONG: 4.0,
    "nemo": 8.0,
    TESS: 2.0,
    published.KOREAN: 3.0,
    published.RAKSHAK: 2.0,
}
ACCURATE = Recipe(
    "accurate",
    EncoderRecipe("encoder", {**_NON_BUSINESS_SHARES, **_BUSINESS_SHARES}),
    {**_NON_BUSINESS_SHARES, **_LABELLED_BUSINESS_SHARES},
    left_out=("crema-d", "nemo+banglaser+tess"),
)
#: Sources of non-speech that models for business use exclude: published without a licence, under a copyleft licence for
#: code, or (the numbers) cut from ESC-50, which allows no commercial use.
_UNCLEAR_LICENCES = tuple(
    f"{published.NON_SPEECH}-{source}"
    for source in (
        "kunaljathal_vad", "noorani_vad", "dtmf_decoder", "town_telecom", "browser_phone", "share", "sounds",
        "100032", "100648", "103051", "156999",
    )
)  # fmt: skip
_OPEN_SHARES = {corpus: share for corpus, share in _BUSINESS_SHARES.items() if corpus != published.IVR}
#: Trained only on audio whose licences allow business use.
OPEN_ACCURATE = Recipe(
    "open-accurate", EncoderRecipe("open-encoder", _OPEN_SHARES, excluded=_UNCLEAR_LICENCES), _LABELLED_BUSINESS_SHARES
)
#: Share of the distilled head in the heads of small models, and the shrinkage of their discriminants.
_DISTILLED, _SMALL_SHRINKAGE = 0.5, 0.05
DEFAULT = replace(
    ACCURATE, name="default", encoder=StudentRecipe("student", ACCURATE, ACCURATE.encoder.shares),
    shrinkage=_SMALL_SHRINKAGE, block_scales=(1.0,), distilled=_DISTILLED,
)  # fmt: skip
OPEN = replace(
    OPEN_ACCURATE, name="open",
    encoder=StudentRecipe("open-student", OPEN_ACCURATE, _OPEN_SHARES, excluded=_UNCLEAR_LICENCES),
    shrinkage=_SMALL_SHRINKAGE, block_scales=(1.0,), distilled=_DISTILLED,
)  # fmt: skip
RECIPES = (ACCURATE, OPEN_ACCURATE, DEFAULT, OPEN)


def held_out(part: str, clips: Sequence[Clip]) -> frozenset[str]:
    """Return the speakers that a fit holds out.

    `part` is a fold (`1` to `5`), corpora of LEFT_OUT joined by PLUS, or ALL. Raises UsageError for any other part, and
    if none of the part's speakers is among the clips.
    """
    if part == ALL:
        return frozenset()
    corpora, folds = set(part.split(CORPUS_SEPARATOR)), assign_folds(clips)
    if part in map(str, FOLDS):
        speakers = {clip.speaker for clip in clips if str(folds.get(clip.speaker, 0)) == part}
    else:
        speakers = {clip.speaker for clip in clips if clip.corpus in corpora & set(LEFT_OUT)}
    if not speakers or not (part in map(str, FOLDS) or corpora <= set(LEFT_OUT)):
        raise UsageError(
            f"no speakers to leave out for {part}: give a fold, one or more of {', '.join(LEFT_OUT)} joined by "
            f"{CORPUS_SEPARATOR}, or {ALL}"
        )
    return frozenset(speakers)


def assign_folds(clips: Iterable[Clip]) -> dict[str, int]:
    """Return the fold of every speaker: EmoBox's for RAVDESS, round-robin for other speakers.

    Actors of RAVDESS whose fold is not in FOLDS are missing from the result.
    """
    folds = {actor: fold for fold in FOLDS for actor in actors_of(fold)}
    other_speakers = sorted(
        {(clip.corpus, clip.speaker) for clip in clips if not clip.speaker.startswith(f"{RAVDESS}-")}
    )
    for number, (_, speaker) in enumerate(other_speakers):
        folds[speaker] = number % len(FOLDS) + 1
    return folds
