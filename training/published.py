"""Readers of the published corpora other than RAVDESS and TESS, one table entry each, and the licences of all.

An entry defines the file names of a corpus and the meaning of their parts. To add a corpus, add an entry, its licence
and a test.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analyzer.emotions import OTHER
from analyzer.errors import UsageError
from training.corpora import (
    FEMALE,
    MALE,
    RAVDESS,
    RAVDESS_SONG,
    TESS,
    Clip,
    audio_files,
    read_ravdess,
    read_ravdess_song,
    read_tess,
    some,
)

NEUTRAL_SPEECH, NON_SPEECH, IVR = "neutral-speech", "non-speech", "ivr"
RAKSHAK, KOREAN, EMO_DB, MELD = "rakshak", "emotiontts-ko", "emo-db", "meld"
#: Corpora for evaluation only, not for training or calibration: others own the rights to their audio.
EVALUATION_ONLY = frozenset({MELD})

#: The speaker of clips that name none: several people, who must not be separated by a split.
UNKNOWN = "unknown"

SEXES = {"m": MALE, "f": FEMALE, "male": MALE, "female": FEMALE}

LICENCES = {
    RAVDESS: "The Ryerson Audio-Visual Database of Emotional Speech and Song (Livingstone and Russo, 2018), speech; "
    "North American English, acted in a studio: CC BY-NC-SA 4.0",
    RAVDESS_SONG: "The Ryerson Audio-Visual Database of Emotional Speech and Song (Livingstone and Russo, 2018), song; "
    "the actors of its speech: CC BY-NC-SA 4.0",
    TESS: "Toronto emotional speech set (Pichora-Fuller and Dupuis, 2020); two women, one carrier phrase, acted in a "
    "studio: CC BY-NC-ND 4.0",
    "nemo": "nEMO; Polish, acted: CC BY-NC-SA 4.0",
    "emogator": "EmoGator; emotional sounds without words, 10 of its 30 classes: Apache-2.0",
    RAKSHAK: "Indian EmoSpeech commands (rakshak); words and short phrases in Hindi and English, recorded on phones "
    "in houses, on roads and over the web: CC BY-NC-SA 4.0",
    KOREAN: "Korean EmotionTTS; lines of dialogue: CC BY-NC-SA, research use",
    NEUTRAL_SPEECH: "LibriSpeech, excerpts; read English, taken for neutral: CC BY 4.0",
    "speechocean762": "speechocean762; English read by Mandarin speakers, half of them children, no label: free use",
    "ami": "AMI meeting corpus, excerpts; no label: CC BY 4.0",
    "picovoice-sti": "Picovoice speech-to-intent benchmark; spoken commands, no label: Apache-2.0",
    NON_SPEECH: "ESC-10 (Piczak, 2015); sounds: CC BY 3.0; background noise of Speech Commands: CC BY 4.0; sounds of "
    "audiomentations and JsSIP: MIT; of SpeechBrain: Apache-2.0. In models that are not for business use also four "
    "clips of ESC-50 (non-commercial) and tones and noise of other software without a clear licence",
    IVR: "Asterisk's core sounds; prompts of a telephone system, no label: CC BY-SA",
    "crema-d": "CREMA-D (Cao et al., 2014); English of 91 speakers of many ages and origins, acted in ordinary rooms: "
    "ODbL 1.0, contents DbCL 1.0",
    "banglaser": "BanglaSER (Das et al., 2022); Bengali, acted, recorded on phones and laptops: CC BY 4.0",
    MELD: "MELD (Poria et al., 2019); utterances of a television comedy: labels GPL-3.0, sound under the copyright of "
    "its owners, for evaluation only",
    EMO_DB: "Berlin database of emotional speech (Burkhardt and others, 2005); German, acted in a studio: CC0",
    "savee": "Surrey audio-visual expressed emotion; four Englishmen, acted in a studio: on request, for research use",
}


def is_non_commercial(corpus: str) -> bool:
    """Whether the licence of a published corpus forbids commercial use."""
    licence = LICENCES.get(corpus, "")
    return "-NC" in licence or "research use" in licence or corpus in EVALUATION_ONLY


@dataclass(frozen=True)
class Named:
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
    emotions: Mapping[str, str] = field(default_factory=dict)
    sexes: Mapping[str, str] = field(default_factory=dict)

    def clip(self, path: Path, found: re.Match[str]) -> Clip:
        """Return the clip of a file whose name matches this corpus."""
        parts = {key: value or "" for key, value in found.groupdict().items()}
        speaker = parts.get("speaker") or UNKNOWN
        emotion = self.emotions.get(parts.get("label", "").lower())
        sex = SEXES.get(parts.get("sex", "").lower()) or self.sexes.get(speaker.lower())
        return Clip(path, emotion, f"{self.corpus}-{speaker.lower()}", self.corpus, sex=sex)


@dataclass(frozen=True)
class Source:
    """A folder of clips.

    Attributes
    ----------
    title : name of the corpus, for error messages.
    layout : example of its file names, for error messages.
    kinds : kinds of files in it; the first whose pattern matches a file reads it. Files that match none are skipped.
    """

    title: str
    layout: str
    kinds: tuple[Named, ...]

    def read(self, folder: Path) -> tuple[Clip, ...]:
        """Read all clips at any depth below `folder`; a name that occurs in two places counts once."""
        clips: dict[str, Clip] = {}
        for path in audio_files(folder):
            # The path includes the folder's own name, so that the folder of a single speaker yields the speaker, too.
            name = Path(folder.resolve().name, path.relative_to(folder)).with_suffix("").as_posix()
            for kind in self.kinds:
                found = kind.name.fullmatch(name)
                if found:
                    clips.setdefault(f"{kind.corpus} {found['key'].lower()}", kind.clip(path, found))
                    break
        return some(clips, folder, self.title, f"{self.layout} and so on, at any depth, WAV, FLAC or Ogg")


def _named(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for the end of a path, which identifies a clip."""
    return re.compile(rf"(?:.*/)?(?P<key>{pattern})", re.IGNORECASE)


def _one_of(labels: Mapping[str, str]) -> str:
    """Return a pattern group of exactly these labels.

    A clip with another label does not match and is skipped: its emotion is not one of EMOTIONS.
    """
    return rf"(?P<label>{'|'.join(labels)})"


NEMO_EMOTIONS = {
    "anger": "angry", "fear": "fearful", "happiness": "happy", "neutral": "neutral", "sadness": "sad",
    "surprised": "surprised",
}  # fmt: skip
EMOGATOR_EMOTIONS = {
    "02": "happy", "13": "happy", "03": "angry", "10": "disgust", "15": "fearful", "18": "neutral", "24": "sad",
    "25": "calm", "27": "surprised", "28": "surprised",
}  # fmt: skip
CREMA_D_EMOTIONS = {
    "ang": "angry", "dis": "disgust", "fea": "fearful", "hap": "happy", "neu": "neutral", "sad": "sad",
}  # fmt: skip
#: Fields of its names are as in RAVDESS, but with another order of emotions.
BANGLASER_EMOTIONS = {"01": "happy", "02": "sad", "03": "angry", "04": "surprised", "05": "neutral"}
MELD_EMOTIONS = {
    "neutral": "neutral", "happy": "happy", "joy": "happy", "sad": "sad", "sadness": "sad", "angry": "angry",
    "anger": "angry", "fearful": "fearful", "fear": "fearful", "disgust": "disgust", "surprised": "surprised",
    "surprise": "surprised",
}  # fmt: skip
#: German initials: Wut, Ekel, Angst, Freude, Trauer, neutral. L, boredom (Langeweile), is not used.
EMO_DB_EMOTIONS = {"w": "angry", "e": "disgust", "a": "fearful", "f": "happy", "t": "sad", "n": "neutral"}
EMO_DB_SEXES = {**dict.fromkeys(("03", "10", "11", "12", "15"), MALE),
                **dict.fromkeys(("08", "09", "13", "14", "16"), FEMALE)}  # fmt: skip
SAVEE_EMOTIONS = {
    "sa": "sad", "su": "surprised", "a": "angry", "d": "disgust", "f": "fearful", "h": "happy", "n": "neutral",
}  # fmt: skip
SAVEE_SPEAKERS = ("dc", "je", "jk", "kl")

#: By the name of the folder that `read_all` looks for.
SOURCES = {
    "nemo": Source(
        "nEMO",
        "KS0_anger_12.wav",
        (Named("nemo", _named(rf"(?P<speaker>[A-Z]{{2}}\d)_{_one_of(NEMO_EMOTIONS)}_\d+"), NEMO_EMOTIONS),),
    ),
    "emogator": Source(
        "EmoGator",
        "000357-13-1.opus",
        (Named("emogator", _named(rf"(?P<speaker>\d{{6}})-{_one_of(EMOGATOR_EMOTIONS)}-\d+"), EMOGATOR_EMOTIONS),),
    ),
    "rakshak": Source(
        "Indian EmoSpeech commands",
        "unknown_angry_yes_safe_house_20190713145301.wav",
        (
            Named(
                RAKSHAK,
                _named(r"(?P<speaker>unknown|[0-9a-f]{16})_(?P<label>[a-z]+)_[^_/]+_[^_/]+_[^_/]+_[^_/]+"),
                {"angry": "angry", "happy": "happy", "fearful": "fearful", "calm": "calm"},
            ),
        ),
    ),
    "emotiontts_ko": Source(
        "Korean EmotionTTS",
        "nem_nem00301_sad.wav",
        (
            Named(
                KOREAN,
                _named(r"(?P<speaker>[a-z]{3})_[a-z]{3}\d+_(?P<label>[a-z]+)(_\d+)?"),
                {"neutral": "neutral", "happy": "happy", "angry": "angry", "sad": "sad"},
            ),
        ),
    ),
    "neutral_speech": Source(
        "neutral read speech (LibriSpeech)",
        "84-121123-0000.flac",
        (Named(NEUTRAL_SPEECH, _named(r"(?P<speaker>\d+)-\d+-\d{4}"), {"": "neutral"}),),
    ),
    "speech_unlabelled": Source(
        "unlabelled speech",
        "1186_011860317_m23.opus (speechocean762), unk_16f23e83-….opus (picovoice-sti), MEE075_trn04_2_3spk.opus (AMI)",
        (
            Named("speechocean762", _named(r"(?P<speaker>\d{4})_\d{9}_(?P<sex>[mf])\d+")),
            Named("picovoice-sti", _named(r"unk_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
            # Up to four people in one clip; the name begins with one of them, so it does not identify the speaker.
            Named("ami", _named(r"[a-z]+\d*_(trn|dev|tst)\d\d_\d+(_\dspk)?")),
        ),
    ),
    "non_speech": Source(
        "sounds without speech",
        "esc10/002 - Rain/3-104958-A.opus, tones/…/ringback.opus, ivr/asterisk_core_en/vm-review.opus (speech)",
        (
            Named(IVR, _named(r"ivr/(?P<speaker>[^/]+)/(?:[^/]+/)*[^./][^/]*")),
            # ESC: all cuts of one recording have its number.
            Named(NON_SPEECH, _named(r"\d-(?P<speaker>\d+)-[A-Z](-\d+)?"), {"": OTHER}),
            Named(NON_SPEECH, re.compile(r"(?P<key>(?:.*/)?(?P<speaker>[^/]+)/[^./][^/]*)"), {"": OTHER}),
        ),
    ),
    "cremad": Source(
        "CREMA-D",
        "1001_DFA_ANG_XX.wav",
        (
            Named(
                "crema-d",
                _named(rf"(?P<speaker>\d{{4}})_[A-Z]{{3}}_{_one_of(CREMA_D_EMOTIONS)}_[A-Z]{{1,2}}"),
                CREMA_D_EMOTIONS,
            ),
        ),
    ),
    "banglaser": Source(
        "BanglaSER",
        "03-01-01-01-01-01-02.wav",
        (
            Named(
                "banglaser",
                _named(rf"\d\d-\d\d-{_one_of(BANGLASER_EMOTIONS)}-\d\d-\d\d-\d\d-(?P<speaker>\d\d)"),
                BANGLASER_EMOTIONS,
            ),
        ),
    ),
    "meld": Source("MELD", "angry_28251.opus", (Named(MELD, _named(rf"{_one_of(MELD_EMOTIONS)}_\w+"), MELD_EMOTIONS),)),
    "emo_db": Source(
        "EMO-DB",
        "03a01Fa.wav",
        (
            Named(
                EMO_DB,
                _named(rf"(?P<speaker>\d\d)[ab]\d\d{_one_of(EMO_DB_EMOTIONS)}[a-z]?"),
                EMO_DB_EMOTIONS,
                EMO_DB_SEXES,
            ),
        ),
    ),
    "savee": Source(
        "SAVEE",
        "DC_a01.wav, or DC/a01.wav",
        (
            Named(
                "savee",
                _named(rf"(?P<speaker>{'|'.join(SAVEE_SPEAKERS)})[_/]{_one_of(SAVEE_EMOTIONS)}\d\d"),
                SAVEE_EMOTIONS,
                dict.fromkeys(SAVEE_SPEAKERS, MALE),
            ),
        ),
    ),
}

#: Reader of each folder, by the folder's name.
READERS: Mapping[str, Callable[[Path], tuple[Clip, ...]]] = {
    "ravdess": read_ravdess,
    "tess": read_tess,
    "ravdess_song": read_ravdess_song,
    **{name: source.read for name, source in SOURCES.items()},
}


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
    there = [name for name in READERS if (folder / name).is_dir()]
    if not there:
        raise UsageError(f"no corpus in {folder}: expected sub-folders called {', '.join(READERS)}, any of them")
    return tuple(clip for name in there for clip in read_published(name, folder / name))
