"""Splits into training, validation and test clips, always by whole speakers."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError
from training.data.corpora import RAVDESS, Clip

#: Published speaker-independent folds of RAVDESS (EmoBox, 2024), by actor.
RAVDESS_FOLDS = {
    1: ("01", "11", "20", "21"),
    2: ("04", "10", "12", "14"),
    3: ("08", "09", "19", "23"),
    4: ("03", "05", "07", "24"),
    5: ("02", "15", "16", "18"),
    6: ("06", "13", "17", "22"),
}
TEST_FOLD, VALIDATION_FOLD = 1, 2

#: Corpora with fewer speakers are for training only: a score on one or two speakers carries no information.
FEWEST_SPEAKERS = 6


class Leak(UsageError):
    """Training and scored data overlap, or may overlap, so that no score may be computed."""


@dataclass(frozen=True)
class Split:
    """Clips for training, for the choice of epoch and threshold, and for the test; no speaker is in two of them."""

    training: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]


def actors_of(fold: int) -> frozenset[str]:
    """Return the speaker ids of the RAVDESS actors in a fold."""
    return frozenset(f"{RAVDESS}-{actor}" for actor in RAVDESS_FOLDS[fold])


def speakers_of(clips: Iterable[Clip]) -> tuple[str, ...]:
    """Return the speakers of clips, sorted."""
    return tuple(sorted({clip.speaker for clip in clips}))


def refuse_leak(seen: Iterable[Clip], unseen: Iterable[Clip]) -> None:
    """Raise Leak if a speaker, a file or the same audio is in both `seen` and `unseen`.

    Every score on unseen speakers passes this check. Audio is compared by the digest of its samples, if the clips have
    been loaded.
    """
    seen = tuple(seen)
    speakers = {clip.speaker for clip in seen}
    files = {clip.path.resolve() for clip in seen}
    audio = {clip.audio: clip for clip in seen if clip.audio}
    for clip in unseen:
        if clip.speaker in speakers:
            raise Leak(f"speaker {clip.speaker} stands on both sides of the split: no score is computed from it")
        if clip.path.resolve() in files:
            raise Leak(f"{clip.path} stands on both sides of the split, under two speakers: correct one of them")
        if clip.audio in audio:
            raise Leak(
                f"{clip.path} holds the same audio as {audio[clip.audio].path}, on the other side of the split: "
                "remove one, or give both the same speaker"
            )


def split_by_speaker(
    clips: Sequence[Clip],
    seed: int,
    test_speakers: Sequence[str] | None = None,
    validation_speakers: Sequence[str] | None = None,
) -> Split:
    """Split clips by whole speakers.

    Parameters
    ----------
    clips : of all corpora.
    seed : random seed, for corpora without published folds.
    test_speakers, validation_speakers : the speakers of a subset. None takes, of each corpus with at least six
        speakers, the EmoBox fold (test 1, validation 2) for RAVDESS and otherwise a random sixth of the speakers.

    Raises
    ------
    UsageError
        If a speaker is unknown or in both subsets, a subset is empty, or an emotion has no training clip.
    """
    known = speakers_of(clips)
    for speakers in (test_speakers, validation_speakers):
        unknown = sorted(set(speakers or ()) - set(known))
        if unknown:
            raise UsageError(f"no speaker {', '.join(unknown)} in the corpora given; there are {', '.join(known)}")
    both = sorted(set(test_speakers or ()) & set(validation_speakers or ()))
    if both:
        raise UsageError(f"{', '.join(both)} cannot be both a test and a validation speaker")
    if test_speakers is None:
        test_speakers = _default_speakers(clips, seed, TEST_FOLD, frozenset(validation_speakers or ()))
    if validation_speakers is None:
        validation_speakers = _default_speakers(clips, seed, VALIDATION_FOLD, frozenset(test_speakers))
    test, validation = frozenset(test_speakers), frozenset(validation_speakers)
    split = Split(
        training=tuple(clip for clip in clips if clip.speaker not in test | validation),
        validation=tuple(clip for clip in clips if clip.speaker in validation),
        test=tuple(clip for clip in clips if clip.speaker in test),
    )
    _check_subsets(split)
    return split


def _default_speakers(clips: Sequence[Clip], seed: int, fold: int, taken: frozenset[str]) -> list[str]:
    """Return the speakers of one subset, from every corpus that has enough, except those in `taken`."""
    selected: list[str] = []
    for corpus in sorted({clip.corpus for clip in clips}):
        speakers = speakers_of(clip for clip in clips if clip.corpus == corpus)
        available = [speaker for speaker in speakers if speaker not in taken]
        if len(speakers) < FEWEST_SPEAKERS or not available:
            continue
        emobox_fold = actors_of(fold) if corpus == RAVDESS else frozenset()
        # The seed includes the corpus, so that adding another corpus does not change the draw.
        drawn = random.Random(f"{corpus} {fold} {seed}").sample(available, min(len(speakers) // 6, len(available)))  # noqa: S311
        selected += sorted(emobox_fold & set(available)) or drawn
    return selected


def _check_subsets(split: Split) -> None:
    for name, subset in vars(split).items():
        if not subset:
            raise UsageError(
                f"no speaker is left for {name}: give a corpus of at least {FEWEST_SPEAKERS} speakers, "
                "or name the speakers with --test-speakers and --validation-speakers"
            )
    missing = [emotion for emotion in EMOTIONS if all(clip.emotion != emotion for clip in split.training)]
    if missing:
        raise UsageError(f"no speaker who is trained on acts {', '.join(missing)}: add a corpus that has it")
    refuse_leak(split.training, split.validation + split.test)
    refuse_leak(split.validation, split.test)
