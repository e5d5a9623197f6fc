"""Readers of emotional speech corpora: clips, their speakers and their acted emotions.

Labels come from the publishers' file names, so a reader needs no separate list of labels, and folders may be arranged
or named in any way. A clip that occurs in two folders counts once: the copies of RAVDESS and TESS on the web contain
everything twice. RAVDESS, TESS and manifests are read here, all other corpora in `training/data/published.py`.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError

RAVDESS, RAVDESS_SONG, TESS = "ravdess", "ravdess-song", "tess"

MALE, FEMALE = "male", "female"

AUDIO_EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".opus"})

#: Fields of a RAVDESS name: first 03, audio only; second speech or song; third the emotion, in the order of EMOTIONS;
#: last the actor, odd for men.
RAVDESS_NAME = re.compile(r"03-(0[12])-(0[1-8])-0[12]-0[12]-0[12]-(\d\d)")
RAVDESS_LAYOUT = "Actor_01/03-{}-05-02-01-01-01.wav and so on, at any depth, WAV, FLAC or Ogg ({}: names in 03-{}-)"

#: `OA` is a misspelling of OAF in the published file OA_bite_neutral.
TESS_NAME = re.compile(r"(oaf?|yaf)_(.+?)_(angry|disgust|fear|happy|neutral|ps|pleasant_surprised?|sad)", re.IGNORECASE)
TESS_EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "pleasant_surprise": "surprised",
    "pleasant_surprised": "surprised",
    "sad": "sad",
}
TESS_LAYOUT = "OAF_angry/OAF_back_angry.wav and so on, at any depth, WAV, FLAC or Ogg"

MANIFEST_COLUMNS = ("path", "emotion", "speaker")


@dataclass(frozen=True)
class Clip:
    """One utterance of a corpus.

    Attributes
    ----------
    path : the audio file.
    emotion : the acted emotion, one of EMOTIONS; OTHER for non-speech; None for unlabelled speech.
    speaker : speaker id, prefixed by the corpus and thereby unique over all corpora (`ravdess-01`). The songs of
        RAVDESS have the same speaker ids as its speech. For OTHER, the recording or the collection that the sound comes
        from.
    corpus : `ravdess`, `tess`, or the name of another published corpus or of a manifest.
    audio : digest of the decoded samples, empty until the clip has been loaded. A modified copy of a clip (such as
        another codec) keeps the path and the digest of its original, so that a split recognises it.
    sex : MALE, FEMALE, or None if the corpus does not state it.
    """

    path: Path
    emotion: str | None
    speaker: str
    corpus: str
    audio: str = ""
    sex: str | None = None


def read_corpora(ravdess: Path | None, tess: Path | None, manifests: Iterable[Path] = ()) -> tuple[Clip, ...]:
    """Read all clips of the given corpora; raise UsageError if a corpus has no clips or two share a name."""
    clips: list[Clip] = []
    if ravdess is not None:
        clips += read_ravdess(ravdess)
    if tess is not None:
        clips += read_tess(tess)
    for manifest in manifests:
        manifest_clips = read_manifest(manifest)
        if any(clip.corpus == manifest_clips[0].corpus for clip in clips):
            raise UsageError(
                f"two corpora are called {manifest_clips[0].corpus}: rename {manifest}, speakers are named after it"
            )
        clips += manifest_clips
    if not clips:
        raise UsageError("no corpus to learn from: give at least one of --ravdess, --tess and --manifest")
    return tuple(clips)


def read_ravdess(folder: Path) -> tuple[Clip, ...]:
    """Read the speech clips of RAVDESS below `folder`; songs and videos in the same folder are skipped."""
    return _read_ravdess(folder, RAVDESS, "01", "speech")


def read_ravdess_song(folder: Path) -> tuple[Clip, ...]:
    """Read the sung clips of RAVDESS below `folder`, with the speaker ids of its speech."""
    return _read_ravdess(folder, RAVDESS_SONG, "02", "song")


def _read_ravdess(folder: Path, corpus: str, channel: str, kind: str) -> tuple[Clip, ...]:
    clips: dict[str, Clip] = {}
    for path in audio_files(folder):
        match = RAVDESS_NAME.fullmatch(path.stem)
        if match and match[1] == channel:
            clip = Clip(
                path,
                EMOTIONS[int(match[2]) - 1],
                f"{RAVDESS}-{match[3]}",
                corpus,
                sex=MALE if int(match[3]) % 2 else FEMALE,
            )
            clips.setdefault(path.stem, clip)
    return require_clips(clips, folder, f"RAVDESS {kind}", RAVDESS_LAYOUT.format(channel, kind, channel))


def read_tess(folder: Path) -> tuple[Clip, ...]:
    """Read the clips of TESS below `folder`. Labels come from the file names; folder names do not matter."""
    clips: dict[str, Clip] = {}
    for path in audio_files(folder):
        match = TESS_NAME.fullmatch(path.stem)
        if match:
            speaker = "yaf" if match[1].lower() == "yaf" else "oaf"
            emotion = TESS_EMOTIONS[match[3].lower()]
            key = f"{speaker}_{match[2].lower()}_{emotion}"
            clips.setdefault(key, Clip(path, emotion, f"{TESS}-{speaker}", TESS, sex=FEMALE))
    return require_clips(clips, folder, "TESS", TESS_LAYOUT)


def audio_files(folder: Path) -> Iterator[Path]:
    """Return all files with an audio extension, at any depth below `folder`, sorted.

    Raises UsageError if `folder` is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give the one that the corpus was unpacked into")
    paths = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return iter(sorted(path for path in paths if path.suffix.lower() in AUDIO_EXTENSIONS))


def require_clips(found: Mapping[str, Clip], folder: Path, corpus: str, layout: str) -> tuple[Clip, ...]:
    """Return the clips sorted by key; raise UsageError with the expected layout if there are none."""
    if not found:
        raise UsageError(f"no clip of {corpus} in {folder}: expected {layout}")
    return tuple(found[key] for key in sorted(found))


def read_manifest(manifest: Path) -> tuple[Clip, ...]:
    """Read the clips of a CSV file with the columns path, emotion and speaker; other columns are ignored.

    A relative path is relative to the manifest. An invalid row raises UsageError: skipping it would train another model
    than the requested one.
    """
    clips: dict[Path, Clip] = {}
    for number, row in _manifest_rows(manifest):
        clip = _manifest_clip(manifest, f"{manifest}, row {number}", row)
        earlier = clips.setdefault(clip.path, clip)
        if earlier != clip:
            raise UsageError(f"{manifest}, row {number}: {clip.path} stood before with another emotion or speaker")
    if not clips:
        raise UsageError(
            f"{manifest} names no clip: it needs a row per clip below the header {','.join(MANIFEST_COLUMNS)}"
        )
    return tuple(clips.values())


def _manifest_rows(manifest: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield line numbers, as shown by an editor, and rows."""
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in MANIFEST_COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{manifest} has no column {' and no column '.join(missing)}: "
                    f"its first line must name {','.join(MANIFEST_COLUMNS)}"
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the manifest {manifest} cannot be read as CSV in UTF-8: {error}") from error


def _manifest_clip(manifest: Path, location: str, row: Mapping[str, str | None]) -> Clip:
    name, emotion, speaker = ((row[column] or "").strip() for column in MANIFEST_COLUMNS)
    if emotion.lower() not in EMOTIONS:
        raise UsageError(f"{location}: unknown emotion {emotion!r}, use one of {', '.join(EMOTIONS)}")
    if not speaker:
        raise UsageError(f"{location}: no speaker; splits are by speaker, so every clip needs one")
    path = manifest.parent / name
    if not name or not path.is_file():
        raise UsageError(f"{location}: no file {path}; a relative path is relative to the manifest")
    return Clip(path, emotion.lower(), f"{manifest.stem}-{speaker}", manifest.stem)
