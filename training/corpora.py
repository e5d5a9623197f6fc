"""Readers of emotional speech corpora: which clips there are, who speaks and what is acted.

Labels come from the file names that the publishers gave, so a reader needs no list beside the files, and folders may
be arranged or spelled in any way. The same clip in two folders counts once: the copies of both corpora that go round
the web hold everything twice. RAVDESS, TESS and manifests are read here, every other corpus by `training/published.py`.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError

RAVDESS, RAVDESS_SONG, TESS = "ravdess", "ravdess-song", "tess"

MALE, FEMALE = "male", "female"

AUDIO_EXTENSIONS = frozenset({".wav", ".flac", ".ogg", ".opus"})

#: First field of a RAVDESS name: 03, sound only; second: speech or song; third: the emotion, in the order of EMOTIONS;
#: fourth: normal or strong; last: the actor, odd for men.
RAVDESS_NAME = re.compile(r"03-(0[12])-(0[1-8])-(0[12])-0[12]-0[12]-(\d\d)")
RAVDESS_INTENSITIES = {"01": "normal", "02": "strong"}
RAVDESS_LAYOUT = "Actor_01/03-{}-05-02-01-01-01.wav and so on, at any depth, WAV, FLAC or Ogg ({}: names in 03-{}-)"

#: `OA` is a published misspelling of OAF, in OA_bite_neutral.
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
    path : its file.
    emotion : what is acted, one of EMOTIONS; OTHER where nobody speaks; None for speech without a label.
    speaker : who speaks; unique over all corpora, as the corpus stands before it (`ravdess-01`). The actors of RAVDESS
        sing under the names that they speak under. Of OTHER, the recording or the collection that it is from.
    corpus : `ravdess`, `tess`, the name of another published corpus or of a manifest.
    audio : digest of the decoded samples, empty until the clip has been loaded. A changed copy of a clip
        (another codec, say) keeps the path and the digest of its original, so that a split can tell.
    sex : MALE, FEMALE or None where the corpus does not say.
    intensity : `normal` or `strong` in RAVDESS, otherwise None.
    """

    path: Path
    emotion: str | None
    speaker: str
    corpus: str
    audio: str = ""
    sex: str | None = None
    intensity: str | None = None


def read_corpora(ravdess: Path | None, tess: Path | None, manifests: Iterable[Path] = ()) -> tuple[Clip, ...]:
    """All clips of the corpora given; raises UsageError where one holds none or two share a name."""
    clips: list[Clip] = []
    if ravdess is not None:
        clips += read_ravdess(ravdess)
    if tess is not None:
        clips += read_tess(tess)
    for manifest in manifests:
        found = read_manifest(manifest)
        if any(clip.corpus == found[0].corpus for clip in clips):
            raise UsageError(
                f"two corpora are called {found[0].corpus}: rename {manifest}, speakers are told apart by it"
            )
        clips += found
    if not clips:
        raise UsageError("no corpus to learn from: give at least one of --ravdess, --tess and --manifest")
    return tuple(clips)


def read_ravdess(folder: Path) -> tuple[Clip, ...]:
    """The speech clips of RAVDESS below `folder`; songs and films that lie beside them are left out."""
    return _read_ravdess(folder, RAVDESS, "01", "speech")


def read_ravdess_song(folder: Path) -> tuple[Clip, ...]:
    """The sung clips of RAVDESS below `folder`, under the speakers of its speech."""
    return _read_ravdess(folder, RAVDESS_SONG, "02", "song")


def _read_ravdess(folder: Path, corpus: str, channel: str, what: str) -> tuple[Clip, ...]:
    found: dict[str, Clip] = {}
    for path in audio_files(folder):
        name = RAVDESS_NAME.fullmatch(path.stem)
        if name and name[1] == channel:
            clip = Clip(
                path,
                EMOTIONS[int(name[2]) - 1],
                f"{RAVDESS}-{name[4]}",
                corpus,
                sex=MALE if int(name[4]) % 2 else FEMALE,
                intensity=RAVDESS_INTENSITIES[name[3]],
            )
            found.setdefault(path.stem, clip)
    return some(found, folder, f"RAVDESS {what}", RAVDESS_LAYOUT.format(channel, what, channel))


def read_tess(folder: Path) -> tuple[Clip, ...]:
    """The clips of TESS below `folder`. A file's name carries the label; how its folder is spelled does not matter."""
    found: dict[str, Clip] = {}
    for path in audio_files(folder):
        name = TESS_NAME.fullmatch(path.stem)
        if name:
            speaker = "yaf" if name[1].lower() == "yaf" else "oaf"
            emotion = TESS_EMOTIONS[name[3].lower()]
            key = f"{speaker}_{name[2].lower()}_{emotion}"
            found.setdefault(key, Clip(path, emotion, f"{TESS}-{speaker}", TESS, sex=FEMALE))
    return some(found, folder, "TESS", TESS_LAYOUT)


def audio_files(folder: Path) -> Iterator[Path]:
    """Every file at any depth below `folder` that is named like audio, sorted; raises UsageError without a folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: give the one that the corpus was unpacked into")
    paths = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return iter(sorted(path for path in paths if path.suffix.lower() in AUDIO_EXTENSIONS))


def some(found: Mapping[str, Clip], folder: Path, corpus: str, layout: str) -> tuple[Clip, ...]:
    """The clips found, in the order of their keys; raises UsageError, with the layout expected, where there is none."""
    if not found:
        raise UsageError(f"no clip of {corpus} in {folder}: expected {layout}")
    return tuple(found[key] for key in sorted(found))


def read_manifest(manifest: Path) -> tuple[Clip, ...]:
    """The clips that a CSV names in the columns path, emotion and speaker; other columns are left alone.

    A relative path is relative to the manifest. A row with a fault raises UsageError: leaving it out would train
    another model than was asked for.
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
    """Line numbers, as an editor shows them, and rows."""
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


def _manifest_clip(manifest: Path, where: str, row: Mapping[str, str | None]) -> Clip:
    name, emotion, speaker = ((row[column] or "").strip() for column in MANIFEST_COLUMNS)
    if emotion.lower() not in EMOTIONS:
        raise UsageError(f"{where}: unknown emotion {emotion!r}, use one of {', '.join(EMOTIONS)}")
    if not speaker:
        raise UsageError(f"{where}: no speaker; splits are by speaker, so every clip needs one")
    path = manifest.parent / name
    if not name or not path.is_file():
        raise UsageError(f"{where}: no file {path}; a relative path is relative to the manifest")
    return Clip(path, emotion.lower(), f"{manifest.stem}-{speaker}", manifest.stem)


def thinned(clips: Sequence[Clip], every: Mapping[str, int]) -> list[Clip]:
    """Of each corpus that `every` names, one of so many clips, corpus by corpus; of others none."""
    return [clip for corpus, step in every.items() for clip in [c for c in clips if c.corpus == corpus][::step]]
