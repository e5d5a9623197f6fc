"""The encoder of `models/default`: the student, taught from lessons and kept in the cache."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analyzer.errors import UsageError
from analyzer.outputs import replacing
from training.corpora import Clip
from training.encoding import Encoder
from training.student import FRONT_END, build_student, with_statistics

#: The second course goes on with the actors, who take this share of it.
ACTED_SHARE = 0.6
FIRST_STEPS, SECOND_STEPS = 2400, 900
#: Raised whenever the same lessons would teach another student, so that none is taken from a cache for it.
_VERSION = 1


def encoder(
    clips: Sequence[Clip], acted: Sequence[Clip], without: Collection[str], cache: Path, seed: int = 1
) -> Encoder:
    """The student as an encoder, taught where the cache does not hold one that was.

    Parameters
    ----------
    clips : the first course is about these.
    acted : the second is about these and those of the first.
    without : speakers of `acted` of whom nothing is heard.
    cache : folder for lessons and students.
    seed : of the student's weights and of the cuts that it is given.
    """
    from training import lessons

    if not clips or not heard_of(acted, without):
        raise UsageError(
            f"nothing to teach the student from: corpora needed are ravdess and {', '.join(lessons.CORPORA)}"
        )
    first = f"student-{_VERSION}-{lessons.key(clips)}-{FIRST_STEPS}-{seed}"
    name = f"{first}-{lessons.key(heard_of(acted, without))}-{SECOND_STEPS}"
    if not (cache / f"{name}.weights.h5").is_file():
        _second_course(clips, acted, without, cache, seed, first, name)

    def build() -> Any:
        student = build_student()
        student.load_weights(cache / f"{name}.weights.h5")
        return with_statistics(student)

    return Encoder(name, FRONT_END, build)


def heard_of(acted: Sequence[Clip], without: Collection[str]) -> list[Clip]:
    """The clips of those whom a student may hear."""
    return [clip for clip in acted if clip.speaker not in without]


def _second_course(
    clips: Sequence[Clip],
    acted: Sequence[Clip],
    without: Collection[str],
    cache: Path,
    seed: int,
    first: str,
    name: str,
) -> None:
    from training import lessons, teach

    of_all = lessons.prepare(clips, cache)
    if not (cache / f"{first}.weights.h5").is_file():
        _keep(teach.teach(of_all, teach.TeachOptions(FIRST_STEPS, seed=seed)), cache, first)
    of_actors = lessons.prepare(acted, cache, basis_of=clips)
    of_actors = of_actors.of(np.array([clip.speaker not in without for clip in of_actors.clips]))
    frames = [part.lengths.sum() for part in (of_all, of_actors)]
    shares = (1 - ACTED_SHARE) / frames[0], ACTED_SHARE / frames[1]
    weights = np.repeat(shares, [len(of_all.lengths), len(of_actors.lengths)])
    student = build_student()
    student.load_weights(cache / f"{first}.weights.h5")
    options = teach.TeachOptions(SECOND_STEPS, learning_rate=1e-3, seed=seed)
    _keep(teach.teach(lessons.together(of_all, of_actors), options, student, weights), cache, name)


def _keep(student: Any, cache: Path, name: str) -> None:
    with replacing(cache / f"{name}.weights.h5", ".weights.h5") as temporary:
        student.save_weights(temporary)
