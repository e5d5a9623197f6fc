"""Readers of all published corpora, by the table in corpora.toml, and the licences of all.

To add a corpus, add its file names and its licence to corpora.toml, and a test.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from analyzer.errors import UsageError
from training.data.corpora import (
    FEMALE,
    MALE,
    Clip,
    audio_files,
    read_ravdess,
    read_ravdess_song,
    read_tess,
    require_clips,
)

NEUTRAL_SPEECH, NON_SPEECH, IVR = "neutral-speech", "non-speech", "ivr"
RAKSHAK, KOREAN, EMO_DB, MELD = "rakshak", "emotiontts-ko", "emo-db", "meld"
#: Corpora for evaluation only, not for training or calibration: others own the rights to their audio.
EVALUATION_ONLY = frozenset({MELD})

#: The speaker of clips that name none: several people, who must not be separated by a split.
UNKNOWN = "unknown"

SEXES = {"m": MALE, "f": FEMALE}


@dataclass(frozen=True)
class FilePattern:
    """Files of a corpus whose names contain all labels.

    Attributes
    ----------
    corpus : name of the corpus, also the prefix of its speaker ids.
    name : pattern of a file's name with its folders, without its extension. Groups: `key` identifies a clip, `speaker`
        (UNKNOWN without one), `label` and `sex`.
    emotions : emotion of each label; speech with another label, or without any, is unlabelled.
    sexes : sex of the speakers whose file names do not state it.
    """

    corpus: str
    name: re.Pattern[str]
    emotions: Mapping[str, str]
    sexes: Mapping[str, str]

    @classmethod
    def of(cls, kind: Mapping[str, Any]) -> "FilePattern":
        """Return the pattern of a kind of files in corpora.toml."""
        emotions, sexes = (
            {name: value for value, names in kind.get(key, {}).items() for name in names.split(" ")}
            for key in ("emotions", "sexes")
        )
        # A clip with another label does not match: its emotion is not one of the eight.
        name = kind["name"].replace("LABEL", f"(?P<label>{'|'.join(emotions)})")
        return cls(kind["corpus"], re.compile(rf"(?:.*/)??(?P<key>{name})", re.IGNORECASE), emotions, sexes)

    def clip(self, path: Path, found: re.Match[str]) -> Clip:
        """Return the clip of a file whose name matches this corpus."""
        groups = {key: value or "" for key, value in found.groupdict().items()}
        speaker = groups.get("speaker") or UNKNOWN
        emotion = self.emotions.get(groups.get("label", "").lower())
        sex = SEXES.get(groups.get("sex", "").lower()) or self.sexes.get(speaker.lower())
        return Clip(path, emotion, f"{self.corpus}-{speaker.lower()}", self.corpus, sex=sex)


@dataclass(frozen=True)
class Source:
    """A folder of clips.

    Attributes
    ----------
    title : name of the corpus, for error messages.
    example : example of its file names, for error messages.
    kinds : kinds of files in it; the first whose pattern matches a file reads it. Files that match none are skipped.
    """

    title: str
    example: str
    kinds: tuple[FilePattern, ...]

    def read(self, folder: Path) -> tuple[Clip, ...]:
        """Read all clips at any depth below `folder`; a name that occurs in two places counts once."""
        clips: dict[str, Clip] = {}
        for path in audio_files(folder):
            # The path includes the folder's own name, so that the folder of a single speaker yields the speaker, too.
            name = Path(folder.resolve().name, path.relative_to(folder)).with_suffix("").as_posix()
            for kind in self.kinds:
                match = kind.name.fullmatch(name)
                if match:
                    clips.setdefault(f"{kind.corpus} {match['key'].lower()}", kind.clip(path, match))
                    break
        return require_clips(clips, folder, self.title, f"{self.example} and so on, at any depth, WAV, FLAC or Ogg")


_TABLE = tomllib.loads(resources.files(__package__).joinpath("corpora.toml").read_text(encoding="utf-8"))
LICENCES: Mapping[str, str] = _TABLE["licences"]
#: By the name of the folder that `read_all` looks for.
SOURCES = {
    folder: Source(entry["title"], entry["example"], tuple(map(FilePattern.of, entry.get("files", [entry]))))
    for folder, entry in _TABLE["folders"].items()
}
#: Reader of each folder, by the folder's name.
READERS: Mapping[str, Callable[[Path], tuple[Clip, ...]]] = {
    "ravdess": read_ravdess,
    "tess": read_tess,
    "ravdess_song": read_ravdess_song,
    **{name: source.read for name, source in SOURCES.items()},
}


def is_non_commercial(corpus: str) -> bool:
    """Whether the licence of a published corpus forbids commercial use."""
    licence = LICENCES.get(corpus, "")
    return "-NC" in licence or "research use" in licence or corpus in EVALUATION_ONLY


def read_published(name: str, folder: Path) -> tuple[Clip, ...]:
    """Read the clips of one published corpus.

    Parameters
    ----------
    name : one of READERS.
    folder : folder of the unpacked corpus, with any name.

    Raises
    ------
    UsageError
        If there is no corpus of this name, or no clip of it in the folder.
    """
    if name not in READERS:
        raise UsageError(f"no corpus is called {name}: there are {', '.join(READERS)}")
    return READERS[name](folder)


def read_all(folder: Path) -> tuple[Clip, ...]:
    """Read the clips of every corpus that has a sub-folder of its name in READERS; other sub-folders are ignored.

    Raises
    ------
    UsageError
        If `folder` has no such sub-folder, or one of them holds no clip: skipping it would train another model than the
        requested one.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give the one that holds the corpora")
    existing = [name for name in READERS if (folder / name).is_dir()]
    if not existing:
        raise UsageError(f"no corpus in {folder}: expected sub-folders called {', '.join(READERS)}, any of them")
    return tuple(clip for name in existing for clip in read_published(name, folder / name))
