"""Recipes of the networks: what each is trained on, how, and which speakers its fits leave out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from analyzer.emotions import CALL_PRIOR
from analyzer.errors import UsageError
from analyzer.features import FrontEnd
from training import music, published
from training.corpora import RAVDESS, RAVDESS_SONG, TESS, Clip
from training.recipe import FOLDS, deal

#: Whisper's frames, computed from telephone sound: the same bands, of which those above 4 kHz stay empty.
FRONT_END = FrontEnd(
    rate=8000, window=200, hop=80, fft=200, bands=80, low_hz=0.0, high_hz=8000.0, frames=500, scaling="whisper",
    padded=False,
)  # fmt: skip
#: Corpora that may be left out whole, and those that one fit leaves out together: a part joins them by PLUS.
LEFT_OUT = ("crema-d", "nemo", "banglaser", TESS)
PLUS = "+"
#: Corpora that calibrate a network where they were left out of its training. TESS, two women who say one phrase, is not
#: like any call.
CALIBRATING = ("crema-d", "nemo", "banglaser")
#: The fit on everything, which ships.
ALL = "all"

#: Clips of each corpus in a batch, of 75.
_BUSINESS_SHARES = {
    "crema-d": 22.0, "banglaser": 3.0, "emogator": 3.0, published.NEUTRAL_SPEECH: 5.0, "speechocean762": 1.0,
    "picovoice-sti": 1.0, "ami": 1.0, published.NON_SPEECH: 6.0, published.IVR: 1.0, music.CORPUS: 3.0,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How much of Whisper base's encoder a network keeps.

    Attributes
    ----------
    blocks : the first so many of six.
    pairs : whether frames are averaged two by two before the first block: 25 a second instead of 50.
    """

    blocks: int = 6
    pairs: bool = True


@dataclass(frozen=True)
class Options:
    """How a network is trained.

    Attributes
    ----------
    steps : batches.
    rate, head_rate : highest learning rate of the last block, and of layers whose name begins with `head`.
    block_decay : by which the rate is multiplied for each block further down.
    weight_decay : of AdamW.
    average : momentum of the moving average of the weights, which is what a fit returns.
    warm_up : share of the steps in which the rate rises; after it, it falls to 0 as a cosine.
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
    """What an encoder is trained on, and how.

    Attributes
    ----------
    name : of the encoder.
    shares : of each corpus in a batch.
    size, options : of the network, and of its training.
    tuned : the share of the trained weights in those that are used; the rest is Whisper's own. Between both, unseen
        corpora are recognised best (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).
    batch, crop_frames : crops in a batch, and their lengths; all of a batch have one of these. Multiples of 4, so that
        every network makes as many frames of a crop as another.
    """

    name: str
    shares: Mapping[str, float]
    size: Size = field(default_factory=Size)
    options: Options = field(default_factory=Options)
    tuned: float = 0.7
    batch: int = 32
    crop_frames: tuple[int, ...] = (152, 200, 252, 300)


@dataclass(frozen=True)
class Recipe:
    """What the heads of a model are trained on: linear heads on statistics of an encoder.

    Attributes
    ----------
    name : of the model.
    encoder : that gives the statistics. It is trained on none of the corpora that are left out of a fit either.
    weights : what all clips of a corpus together weigh; corpora without one do not count.
    shrinkage, non_speech_shrinkage : of the covariance, towards independent statistics.
    drawn_weight : what a copy through a drawn line weighs beside the plain one.
    distilled : the share of a head that is fitted to the teacher's logits in the head of the emotions; the rest is a
        discriminant.
    left_out : parts that leave out whole corpora.
    call_prior : how frequent the emotions are on calls, in the order of EMOTIONS.
    """

    name: str
    encoder: "EncoderRecipe | StudentRecipe"
    weights: Mapping[str, float]
    shrinkage: float = 0.5
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
        """What is left out of the fits that are scored."""
        return (*map(str, FOLDS), *self.left_out, ALL)


@dataclass(frozen=True)
class StudentRecipe:
    """What a small encoder is trained on: labels, and the outputs of the fit of its teacher that leaves out the same.

    Attributes
    ----------
    name : of the encoder.
    teacher : recipe of the model whose outputs it is trained on.
    shares, options, batch, crop_frames : as in EncoderRecipe.
    """

    name: str
    teacher: Recipe
    shares: Mapping[str, float]
    options: Options = field(
        default_factory=lambda: Options(10_000, 2e-3, 2e-3, 1.0, weight_decay=0.02, average=0.998, warm_up=0.05)
    )
    batch: int = 64
    crop_frames: tuple[int, ...] = (152, 200, 252, 300)


#: Copies of each clip through drawn lines: the more, the more often a clip is drawn.
COPIES = {
    RAVDESS: 10, RAVDESS_SONG: 4, "crema-d": 3, "nemo": 3, TESS: 1, published.KOREAN: 4, published.RAKSHAK: 2,
    "emogator": 1, "banglaser": 4, published.NEUTRAL_SPEECH: 6, "speechocean762": 2, "picovoice-sti": 4, "ami": 8,
    published.NON_SPEECH: 8, published.IVR: 4, music.CORPUS: 6,
}  # fmt: skip

_LABELLED_BUSINESS = {"crema-d": 22.0, "banglaser": 3.0, "emogator": 3.0, published.NEUTRAL_SPEECH: 2.0}
_OTHERS = {RAVDESS: 18.0, RAVDESS_SONG: 4.0, "nemo": 8.0, TESS: 2.0, published.KOREAN: 3.0, published.RAKSHAK: 2.0}
ACCURATE = Recipe(
    "accurate",
    EncoderRecipe("encoder", {**_OTHERS, **_BUSINESS_SHARES}),
    {**_OTHERS, **_LABELLED_BUSINESS},
    left_out=("crema-d", "nemo+banglaser+tess"),
)
#: Takes only corpora whose licences allow business use.
OPEN_ACCURATE = Recipe("open-accurate", EncoderRecipe("open-encoder", _BUSINESS_SHARES), _LABELLED_BUSINESS)
#: Share of the teacher's logits in the heads of small models, and the shrinkage of their discriminants.
_DISTILLED, _SMALL_SHRINKAGE = 0.5, 0.05
DEFAULT = replace(
    ACCURATE, name="default", encoder=StudentRecipe("student", ACCURATE, ACCURATE.encoder.shares),
    shrinkage=_SMALL_SHRINKAGE, distilled=_DISTILLED,
)  # fmt: skip
OPEN = replace(
    OPEN_ACCURATE, name="open", encoder=StudentRecipe("open-student", OPEN_ACCURATE, OPEN_ACCURATE.encoder.shares),
    shrinkage=_SMALL_SHRINKAGE, distilled=_DISTILLED,
)  # fmt: skip
RECIPES = (ACCURATE, OPEN_ACCURATE, DEFAULT, OPEN)


def held_out(part: str, clips: Sequence[Clip]) -> frozenset[str]:
    """The speakers that a fit leaves out.

    `part` is a fold (`1` to `5`), corpora of LEFT_OUT joined by PLUS, or ALL. Raises UsageError for another one, and
    for one of whose speakers none is among the clips.
    """
    if part == ALL:
        return frozenset()
    corpora, folds = set(part.split(PLUS)), deal(clips)
    if part in map(str, FOLDS):
        speakers = {clip.speaker for clip in clips if str(folds.get(clip.speaker, 0)) == part}
    else:
        speakers = {clip.speaker for clip in clips if clip.corpus in corpora & set(LEFT_OUT)}
    if not speakers or not (part in map(str, FOLDS) or corpora <= set(LEFT_OUT)):
        raise UsageError(
            f"no speakers to leave out for {part}: give a fold, one or more of {', '.join(LEFT_OUT)} joined by {PLUS}, "
            f"or {ALL}"
        )
    return frozenset(speakers)
