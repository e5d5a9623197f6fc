"""Published corpora besides RAVDESS and TESS: what their file names encode."""

from collections import Counter
from pathlib import Path

import pytest

from analyzer.emotions import EMOTIONS, OTHER
from analyzer.errors import UsageError
from tests.helpers.clips import touch
from training.data.corpora import read_ravdess, read_ravdess_song, read_tess
from training.data.published import LICENCES, READERS, SOURCES, is_non_commercial, read_all, read_published

REAL_CORPORA = Path(__file__).parents[3] / "shared" / "corpora"

#: One file name per corpus for `read_all`.
EXAMPLES = {
    "ravdess": "Actor_01/03-01-05-02-01-01-01.flac",
    "tess": "OAF_angry/OAF_back_angry.opus",
    "ravdess_song": "Actor_01/03-02-05-02-01-01-01.opus",
    "nemo": "KS0_anger_12.opus",
    "emogator": "000357-13-1.opus",
    "rakshak": "unknown_angry_yes_safe_house_20190713145301.opus",
    "emotiontts_ko": "nem_nem00301_sad.opus",
    "neutral_speech": "367/367-130732-0003.opus",
    "speech_unlabelled": "speechocean762/1186_011860317_m23.opus",
    "non_speech": "noise/noorani_vad/babble.opus",
    "cremad": "AudioWAV/1001_DFA_ANG_XX.wav",
    "banglaser": "Actor 01/03-01-01-01-01-01-01.wav",
    "meld": "angry_28251.opus",
    "emo_db": "wav/03a01Fa.wav",
    "savee": "AudioData/DC/a01.wav",
}


@pytest.mark.parametrize(
    ("corpus", "name", "speaker", "emotion", "sex"),
    [
        ("nemo", "samples/KS0_anger_12.wav", "nemo-ks0", "angry", None),
        ("nemo", "MP0_happiness_1.opus", "nemo-mp0", "happy", None),
        ("nemo", "MP0_surprised_1.opus", "nemo-mp0", "surprised", None),
        ("emogator", "000357-13-1.mp3.wav", None, None, None),
        ("emogator", "000357-13-1.opus", "emogator-000357", "happy", None),
        ("emogator", "000001-25-3.wav", "emogator-000001", "calm", None),
        ("emogator", "000001-01-3.wav", None, None, None),  # adoration is not one of the eight emotions
        ("rakshak", "0e17afa39fc0ef15_fearful_go_safe_web_15632.opus", "rakshak-0e17afa39fc0ef15", "fearful", None),
        ("rakshak", "0e17afa39fc0ef15_fearful_go_safe_web_??.opus", "rakshak-0e17afa39fc0ef15", "fearful", None),
        ("rakshak", "unknown_calm_unknown_safe_misc_2019 copy.opus", "rakshak-unknown", "calm", None),
        ("rakshak", "unknown_laughter_go_safe_misc_2019.opus", "rakshak-unknown", None, None),
        ("emotiontts_ko", "nem_nem00301_sad.opus", "emotiontts-ko-nem", "sad", None),
        ("emotiontts_ko", "pml_pml00007_personality_0.opus", "emotiontts-ko-pml", None, None),
        ("emotiontts_ko", "kih_kih00055_read.opus", "emotiontts-ko-kih", None, None),
        ("neutral_speech", "dev-clean/84/121123/84-121123-0000.flac", "neutral-speech-84", "neutral", None),
        ("speech_unlabelled", "a/1186_011860317_m23.opus", "speechocean762-1186", None, "male"),
        ("speech_unlabelled", "a/8063_080630123_f13.opus", "speechocean762-8063", None, "female"),
        ("speech_unlabelled", "unk_16f23e83-0947-41c9-b509-486cf81e43d8.opus", "picovoice-sti-unknown", None, None),
        ("speech_unlabelled", "MEE075_trn04_2_3spk.opus", "ami-unknown", None, None),
        ("speech_unlabelled", "unk_trn00_1.opus", "ami-unknown", None, None),
        ("non_speech", "ivr/asterisk_core_en/vm-review.opus", "ivr-asterisk_core_en", None, None),
        ("non_speech", "esc10/010 - Fire crackling/3-104958-A.opus", "non-speech-104958", OTHER, None),
        ("non_speech", "noise/speechbrain/ESC50/audio/1-100032-A-0.wav", "non-speech-100032", OTHER, None),
        ("non_speech", "tones/dtmf_decoder/complete 44100.opus", "non-speech-dtmf_decoder", OTHER, None),
        ("cremad", "1001_DFA_ANG_XX.wav", "crema-d-1001", "angry", None),
        ("cremad", "1040_ITH_SAD_X.wav", "crema-d-1040", "sad", None),
        ("banglaser", "03-01-03-02-01-01-07.wav", "banglaser-07", "angry", None),
        ("banglaser", "01-01-04-02-03-02-15.opus", "banglaser-15", "surprised", None),
        ("meld", "anger_28251.opus", "meld-unknown", "angry", None),
        ("meld", "fearful_8319.opus", "meld-unknown", "fearful", None),
        ("meld", "bored_8319.opus", None, None, None),
        ("emo_db", "03a01Fa.wav", "emo-db-03", "happy", "male"),
        ("emo_db", "16b10Wb.wav", "emo-db-16", "angry", "female"),
        ("emo_db", "09a05Ac.wav", "emo-db-09", "fearful", "female"),
        ("emo_db", "03a04Lc.wav", None, None, None),  # boredom is not one of the eight emotions
        ("savee", "DC_a01.wav", "savee-dc", "angry", "male"),
        ("savee", "AudioData/JK/su15.wav", "savee-jk", "surprised", "male"),
        ("savee", "AudioData/KL/sa15.wav", "savee-kl", "sad", "male"),
        ("savee", "XX/sa15.wav", None, None, None),
    ],
)  # fmt: skip
def test_file_name_gives_speaker_emotion_and_sex(tmp_path, corpus, name, speaker, emotion, sex):
    path = tmp_path / corpus / name
    touch(path.parent, path.name, f"._{path.name}", "notes.txt")
    if speaker is None:
        with pytest.raises(UsageError, match="expected"):
            read_published(corpus, tmp_path / corpus)
    else:
        (clip,) = read_published(corpus, tmp_path / corpus)
        assert clip.path == path
        assert (clip.speaker, clip.emotion, clip.sex) == (speaker, emotion, sex)
        assert clip.speaker.startswith(f"{clip.corpus}-")


def test_ravdess_singers_keep_speaker_names(tmp_path):
    touch(tmp_path, "Actor_01/03-01-05-02-01-01-01.wav", "Actor_01/03-02-05-01-01-01-01.wav")
    (spoken,), (sung,) = read_ravdess(tmp_path), read_ravdess_song(tmp_path)
    assert (spoken.corpus, sung.corpus) == ("ravdess", "ravdess-song")
    assert spoken.speaker == sung.speaker == "ravdess-01"


def test_ravdess_and_tess_have_sexes(tmp_path):
    touch(tmp_path, "03-01-01-01-01-01-11.wav", "03-01-01-01-01-01-12.wav", "YAF_back_sad.wav")
    assert [clip.sex for clip in read_ravdess(tmp_path)] == ["male", "female"]
    assert [clip.sex for clip in read_tess(tmp_path)] == ["female"]


def test_folder_of_one_speaker_is_read(tmp_path):
    (clip,) = read_published("savee", touch(tmp_path / "DC", "a01.wav"))
    assert clip.speaker == "savee-dc"


def test_duplicate_clips_count_once(tmp_path):
    touch(tmp_path, "wav/03a01Fa.wav", "emodb/wav/03a01Fa.wav", "emodb/wav/03a01Wa.wav")
    assert [clip.emotion for clip in read_published("emo_db", tmp_path)] == ["happy", "angry"]


def test_same_name_in_two_folders_is_two_clips(tmp_path):
    touch(tmp_path, "tones/a/ringback.wav", "tones/b/ringback.wav", "tones/b/._ringback.wav")
    assert len(read_published("non_speech", tmp_path)) == 2


def test_same_folder_name_in_two_places_is_two_clips(tmp_path):
    touch(tmp_path, "tones/speechbrain/white.wav", "noise/speechbrain/white.wav")
    clips = read_published("non_speech", tmp_path)
    assert [clip.path.parts[-3] for clip in clips] == ["noise", "tones"]


@pytest.mark.parametrize("name", SOURCES)
def test_folder_without_clips_error_states_names(tmp_path, name):
    (tmp_path / "a").mkdir()
    touch(tmp_path, "a/song.txt")
    with pytest.raises(UsageError, match=r"no clip of .*: expected .* at any depth"):
        read_published(name, tmp_path)


def test_unknown_corpus_is_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no corpus is called iemocap: there are ravdess, tess"):
        read_published("iemocap", tmp_path)


def test_corpora_are_read_in_order_of_table(tmp_path):
    touch(tmp_path / "something else", "x.wav")
    for folder, name in reversed(EXAMPLES.items()):
        touch(tmp_path / folder, name)
    clips = read_all(tmp_path)
    assert [clip.path for clip in clips] == [tmp_path / folder / name for folder, name in EXAMPLES.items()]
    assert tuple(EXAMPLES) == tuple(READERS)


def test_empty_corpus_folder_is_refused(tmp_path):
    touch(tmp_path / "nemo", "KS0_anger_12.wav")
    (tmp_path / "emogator").mkdir()
    with pytest.raises(UsageError, match="no clip of EmoGator"):
        read_all(tmp_path)


def test_folder_without_corpora_error_states_names(tmp_path):
    with pytest.raises(UsageError, match="sub-folders called ravdess, tess, ravdess_song, nemo"):
        read_all(touch(tmp_path, "03-01-05-02-01-01-01.wav"))
    with pytest.raises(UsageError, match="is not a folder"):
        read_all(tmp_path / "nowhere")


def test_corpora_have_licences_and_valid_labels():
    kinds = [kind for source in SOURCES.values() for kind in source.kinds]
    assert {kind.corpus for kind in kinds} <= set(LICENCES)
    assert {emotion for kind in kinds for emotion in kind.emotions.values()} <= {*EMOTIONS, OTHER}
    open_corpora = {corpus for corpus in LICENCES if not is_non_commercial(corpus)}
    assert open_corpora == {
        *("emogator", "neutral-speech", "speechocean762", "ami", "picovoice-sti", "non-speech", "ivr"),
        *("crema-d", "banglaser", "emo-db"),
    }
    assert not is_non_commercial("my own manifest")
    assert is_non_commercial("meld")


@pytest.mark.slow
def test_real_corpora_are_read_completely():
    clips = read_all(REAL_CORPORA)
    assert Counter(clip.corpus for clip in clips) == {
        "ravdess": 1200, "ravdess-song": 836, "tess": 2800, "nemo": 4481, "emogator": 3570, "rakshak": 1865,
        "emotiontts-ko": 922, "neutral-speech": 315, "speechocean762": 749, "picovoice-sti": 260, "ami": 45,
        "non-speech": 440, "ivr": 87, "crema-d": 6703, "banglaser": 1133, "meld": 560,
    }  # fmt: skip
    assert len({clip.path for clip in clips}) == len(clips)
    speakers = {corpus: {clip.speaker for clip in clips if clip.corpus == corpus} for corpus in LICENCES}
    assert {corpus: len(names) for corpus, names in speakers.items() if corpus not in ("non-speech", "ivr")} == {
        "ravdess": 20, "ravdess-song": 19, "tess": 2, "nemo": 9, "emogator": 357, "rakshak": 74,
        "emotiontts-ko": 41, "neutral-speech": 243, "speechocean762": 250, "picovoice-sti": 1, "ami": 1,
        "crema-d": 82, "banglaser": 26, "meld": 1, "emo-db": 0, "savee": 0,
    }  # fmt: skip
    assert speakers["ravdess-song"] < speakers["ravdess"]
    unlabelled = Counter(clip.corpus for clip in clips if clip.emotion is None)
    assert unlabelled == {"emotiontts-ko": 622, "speechocean762": 749, "picovoice-sti": 260, "ami": 45, "ivr": 87}
