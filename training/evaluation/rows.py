"""Out-of-fold probabilities: the files behind every table of an evaluation, and the leak check.

There is one file per model, `MODEL.csv.gz`, with a row per clip, fold, seed and condition, scored by a network that was
not trained on the clip's speaker. An optional `MODEL.trained_on.json` beside it lists, for every fold, what the
network, its teacher and its calibration were trained on. If it exists, it is compared with the rows before any metric
is computed.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.errors import UsageError
from analyzer.store.outputs import atomic_write, write_text
from training.data.corpora import Clip
from training.data.splits import RAVDESS_FOLDS, Leak, actors_of

PROBABILITIES = (*EMOTIONS, OTHER)
KEY = ("corpus", "clip", "fold", "seed", "condition")
COLUMNS = ("corpus", "clip", "speaker", "sex", "emotion", "fold", "seed", "condition", "length_s", *PROBABILITIES)
#: Optional column: the digest of the clip's samples, as computed in training.data.dataset.
AUDIO = "audio"

#: `telephone` is 300 to 3400 Hz, mu-law, 8 kHz; those after it are codecs behind the same band.
CONDITIONS = ("studio", "telephone", "mulaw", "alaw", "gsm", "mp3", "opus", "amr")
FOLDS = ("1", "2", "3", "4", "5")
SEXES = {"f": "female", "female": "female", "m": "male", "male": "male", "": ""}

ROWS_SUFFIX, TRAINED_ON_SUFFIX = ".csv.gz", ".trained_on.json"

#: Eight probabilities with four decimals sum to 1 within 0.0004; with a margin for other ways of rounding.
_SUM_TOLERANCE = 0.002
_RAVDESS_STEM = re.compile(r"0[1-3]-0[12](-\d\d){5}")
#: One clip that is published under two names, in every copy of RAVDESS.
_IDENTICAL = {"03-01-03-01-02-02-07": "03-01-03-01-02-01-07"}
_FOLD_OF_ACTOR = {actor: str(fold) for fold in RAVDESS_FOLDS for actor in actors_of(fold)}


@dataclass(frozen=True)
class TrainingData:
    """Training data of one part of a network (the network itself, its teacher, its calibration).

    Attributes
    ----------
    speakers : as in the column of that name (`ravdess-01`); for non-speech, the recordings that the sounds come from.
    clips : as in the column of that name, prefixed by the corpus (`nemo/SK0_anger_12.ogg`), or as paths.
    audio : digests of their samples.
    """

    speakers: frozenset[str] = frozenset()
    clips: frozenset[str] = frozenset()
    audio: frozenset[str] = frozenset()

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> "TrainingData":
        """Return the training data of a part that was trained on these clips."""
        clips = tuple(clips)
        return cls(
            frozenset(clip.speaker for clip in clips),
            frozenset(clip.path.as_posix() for clip in clips),
            frozenset(clip.audio for clip in clips if clip.audio),
        )


#: Training data by fold, then by part (`training`, `teacher`, `calibration`, ...).
TrainedOn = Mapping[str, Mapping[str, TrainingData]]


def refuse_leaks(rows: pd.DataFrame, trained_on: TrainedOn) -> None:
    """Raise Leak if any part of the network that scored a row was trained on the row's speaker or audio.

    Parameters
    ----------
    rows : with the columns of COLUMNS, and AUDIO if digests are to be compared.
    trained_on : training data of each part, for every fold in the rows. A fold that is named after a corpus was trained
        without any speaker of that corpus, whether scored or not.

    Raises
    ------
    Leak
        If a speaker, a clip name, the same audio, or the other one of RAVDESS's two identical clips is on both sides,
        and if the training data of a fold is unknown.
    """
    for fold, scored in rows.groupby("fold"):
        if not trained_on.get(str(fold)):
            raise Leak(f"nothing is known of what the network of fold {fold} was trained on: no score is computed")
        scored_names = {
            name: clip
            for corpus, clip in scored[["corpus", "clip"]].drop_duplicates().itertuples(index=False)
            for name in (_canonical(clip), _canonical(f"{corpus}/{clip}"))
        }
        for part, training_data in trained_on[str(fold)].items():
            location = f"in the {part} of fold {fold} and among its scored clips"
            speakers = (set(scored["speaker"]) - {""}) & training_data.speakers
            if fold not in FOLDS:
                speakers |= {speaker for speaker in training_data.speakers if speaker.startswith(f"{fold}-")}
            if speakers:
                raise Leak(f"speaker {min(speakers)} stands {location}: no score is computed from it")
            shared = scored_names.keys() & _canonical_names(training_data.clips)
            if shared:
                raise Leak(f"the clip {scored_names[min(shared)]} stands {location}: no score is computed from it")
            if AUDIO in scored:
                copies = scored.loc[scored[AUDIO].isin(training_data.audio - {""}), "clip"]
                if len(copies):
                    raise Leak(
                        f"the audio of {copies.iloc[0]} stands {location}, under another name: remove one of them"
                    )


def _canonical(name: str) -> str:
    """Return the clip name that all copies share: without the extension, and for RAVDESS without the folder."""
    path = PurePosixPath(name)
    if _RAVDESS_STEM.fullmatch(path.stem):
        return _IDENTICAL.get(path.stem, path.stem)
    return str(path.with_suffix(""))


def _canonical_names(clips: Iterable[str]) -> set[str]:
    """Return the canonical names of clips, and their paths below each parent folder, down to corpus and clip."""
    names = set()
    for clip in clips:
        name = _canonical(clip)
        parts = PurePosixPath(name).parts
        names.add(name)
        names.update("/".join(parts[first:]) for first in range(1, len(parts) - 1))
    return names


def write_rows(path: Path, rows: pd.DataFrame, trained_on: TrainedOn | None = None) -> None:
    """Write the probabilities of one model: sorted, with four decimals, and the same bytes for the same rows.

    `trained_on` is written beside them, after refuse_leaks. Raises UsageError and Leak before anything is written.
    """
    columns = [*COLUMNS, *([AUDIO] if AUDIO in rows else [])]
    _check_columns(str(path), rows)
    rows = rows[columns].astype({"fold": str, "seed": int}).sort_values(list(KEY), ignore_index=True)
    text = rows.to_csv(index=False, float_format="%.4f", lineterminator="\n", encoding="utf-8")
    _validated(str(path), rows.astype(str).where(rows.notna(), ""))
    if trained_on is not None:
        refuse_leaks(rows, trained_on)
        fields = {
            fold: {part: {key: sorted(names) for key, names in vars(data).items()} for part, data in parts.items()}
            for fold, parts in trained_on.items()
        }
        write_text(_trained_on_path(path), json.dumps(fields, indent=1) + "\n")
    with atomic_write(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read_rows(path: Path) -> pd.DataFrame:
    """Read the probabilities of one model; raise UsageError with file, line and error, or Leak."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            texts = pd.read_csv(lines, dtype=str, keep_default_na=False)
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
    ) as error:  # those of pandas are ValueErrors
        raise UsageError(f"{path} cannot be read as a CSV packed by gzip: {error}") from error
    _check_columns(str(path), texts)
    rows = _validated(str(path), texts)
    trained_on = read_trained_on(path)
    if trained_on is not None:
        refuse_leaks(rows, trained_on)
    return rows


def model_name(path: Path) -> str:
    """Return the name of the model whose rows a file holds."""
    return path.name.removesuffix(ROWS_SUFFIX)


def read_trained_on(path: Path) -> TrainedOn | None:
    """Read the training data of each fold from the file beside the rows in `path`; None if there is no such file."""
    trained_on_path = _trained_on_path(path)
    if not trained_on_path.exists():
        return None
    try:
        return {
            fold: {
                part: TrainingData(**{key: frozenset(map(str, names)) for key, names in fields.items()})
                for part, fields in parts.items()
            }
            for fold, parts in json.loads(trained_on_path.read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f'{trained_on_path} cannot be read: {error}; it holds {{"1": {{"training": {{"speakers": [...], '
            '"clips": [...], "audio": [...]}, "teacher": ...}}, ...}'
        ) from error


def _trained_on_path(path: Path) -> Path:
    return path.with_name(model_name(path) + TRAINED_ON_SUFFIX)


def _check_columns(source: str, rows: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in rows]
    if missing:
        raise UsageError(f"{source} has no column {', '.join(missing)}: its first line must name {','.join(COLUMNS)}")
    if not len(rows):
        raise UsageError(f"{source} has no row")


def _validated(source: str, texts: pd.DataFrame) -> pd.DataFrame:
    """Check every cell of text rows, and return the rows with numeric columns converted."""
    rows = texts[[*COLUMNS, *([AUDIO] if AUDIO in texts else [])]].copy()

    def reject(invalid: "pd.Series[bool]", column: str, problem: str) -> None:
        if invalid.any():
            line = int(np.flatnonzero(invalid)[0])
            raise UsageError(f"{source}, line {line + 2}: {column} is {texts[column].iloc[line]!r}, {problem}")

    for column in ("seed", "length_s", *PROBABILITIES):
        rows[column] = pd.to_numeric(texts[column], errors="coerce").astype(float)
        reject(rows[column].isna() & ((texts[column] != "") | (column != OTHER)), column, "not a number")
    reject(rows["seed"] % 1 != 0, "seed", "not a whole number")
    rows["seed"] = rows["seed"].astype(int)
    reject(~((rows["length_s"] > 0) & np.isfinite(rows["length_s"])), "length_s", "not a length in seconds")
    for column in PROBABILITIES:
        reject(~(rows[column].between(0, 1) | rows[column].isna()), column, "not within 0 and 1")
    total = rows[list(EMOTIONS)].sum(axis=1)
    reject((total - 1).abs() > _SUM_TOLERANCE, EMOTIONS[0], "and with it the eight emotions do not add up to 1")

    for column in ("corpus", "clip"):
        reject(rows[column] == "", column, "every row needs one")
    allowed = (*EMOTIONS, OTHER, "")
    reject(~rows["emotion"].isin(allowed), "emotion", f"not one of {', '.join(EMOTIONS)}, {OTHER} or empty")
    reject((rows["speaker"] == "") & (rows["emotion"] != OTHER), "speaker", "every clip of speech needs one")
    reject(~rows["condition"].isin(CONDITIONS), "condition", f"not one of {', '.join(CONDITIONS)}")
    rows["sex"] = rows["sex"].str.lower().map(SEXES)
    reject(rows["sex"].isna(), "sex", "not female, male or empty")
    reject(
        ~(rows["fold"].isin(FOLDS) | (rows["fold"] == rows["corpus"])), "fold", "not 1 to 5 or the name of the corpus"
    )
    emobox_fold = rows["speaker"].map(_FOLD_OF_ACTOR)
    wrong_fold = emobox_fold.notna() & rows["fold"].isin(FOLDS) & (emobox_fold != rows["fold"])
    reject(wrong_fold, "fold", "not the speaker's fold in EmoBox")
    reject(rows.duplicated(list(KEY)), "clip", "which stood before with the same fold, seed and condition")
    for column in ("speaker", "emotion", "sex"):
        first = rows.groupby(["corpus", "clip"])[column].transform("first")
        reject(rows[column] != first, column, "but the clip stood before with another")
    return rows
