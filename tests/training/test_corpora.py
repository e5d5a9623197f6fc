"""Readers of corpora: layouts of folders, names of files, and manifests."""

import shutil
from pathlib import Path

import pytest

from analyzer.emotions import EMOTIONS
from analyzer.errors import UsageError
from tests.helpers.clips import touch
from training.data.corpora import read_corpora, read_manifest, read_ravdess, read_tess


def test_ravdess_names_give_emotion_and_speaker(tmp_path):
    for number in range(1, 9):
        touch(tmp_path, f"Actor_12/03-01-{number:02d}-01-01-01-12.wav")
    assert tuple(clip.emotion for clip in read_ravdess(tmp_path)) == EMOTIONS
    assert {clip.speaker for clip in read_ravdess(tmp_path)} == {"ravdess-12"}


@pytest.mark.parametrize("extension", ["wav", "WAV", "flac", "ogg", "opus", "Opus"])
@pytest.mark.parametrize("folder", ["Audio_Speech_Actors_01-24/Actor_01", "Actor_01", "a/b/c d/actor_01", "."])
def test_ravdess_is_read_at_any_depth_and_format(tmp_path, folder, extension):
    touch(tmp_path, f"{folder}/03-01-05-02-01-01-01.{extension}")
    (clip,) = read_ravdess(tmp_path)
    assert (clip.emotion, clip.speaker, clip.corpus) == ("angry", "ravdess-01", "ravdess")


def test_ravdess_reader_skips_other_files(tmp_path):
    touch(tmp_path, "03-01-05-01-01-01-01.wav", "03-02-05-01-01-01-01.wav", "01-01-05-01-01-01-01.mp4")
    touch(tmp_path, "02-01-05-01-01-01-01.wav", "._03-01-05-01-01-01-01.wav", "README.md", "03-01-09-01-01-01-01.wav")
    assert len(read_ravdess(tmp_path)) == 1


def test_duplicate_ravdess_clips_count_once(tmp_path):
    touch(tmp_path, "Actor_01/03-01-05-01-01-01-01.wav", "Actor_01/03-01-06-01-01-01-01.wav")
    shutil.copytree(tmp_path / "Actor_01", tmp_path / "audio_speech_actors_01-24" / "Actor_01")
    assert len(read_ravdess(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "speaker", "emotion"),
    [
        ("OAF_angry/OAF_back_angry.wav", "tess-oaf", "angry"),
        ("OAF_Fear/OAF_back_fear.wav", "tess-oaf", "fearful"),
        ("OAF_Pleasant_surprise/OAF_back_ps.wav", "tess-oaf", "surprised"),
        ("YAF_pleasant_surprised/YAF_back_ps.wav", "tess-yaf", "surprised"),
        ("YAF_pleasant_surprised/YAF_back_pleasant_surprised.flac", "tess-yaf", "surprised"),
        ("YAF_ps/YAF_back_ps.opus", "tess-yaf", "surprised"),
        ("yaf_sad/yaf_back_SAD.WAV", "tess-yaf", "sad"),
        ("OAF_neutral/OA_bite_neutral.wav", "tess-oaf", "neutral"),
        ("all in one/YAF_young_happy.ogg", "tess-yaf", "happy"),
    ],
)
def test_tess_file_names_give_labels(tmp_path, name, speaker, emotion):
    (clip,) = read_tess(touch(tmp_path, name))
    assert (clip.speaker, clip.emotion, clip.corpus) == (speaker, emotion, "tess")


def test_duplicate_tess_clips_count_once(tmp_path):
    touch(tmp_path, "OAF_angry/OAF_back_angry.wav", "TESS data/OAF_angry/OAF_back_angry.wav", "x/OAF_bite_neutral.wav")
    assert len(read_tess(touch(tmp_path, "OAF_neutral/OA_bite_neutral.wav"))) == 2


@pytest.mark.parametrize(("reader", "expected"), [(read_ravdess, "Actor_01/03-01"), (read_tess, "OAF_angry/OAF_back")])
def test_folder_without_clips_error_states_layout(tmp_path, reader, expected):
    with pytest.raises(UsageError, match=expected):
        reader(touch(tmp_path, "song.wav", "notes.txt"))


@pytest.mark.parametrize("reader", [read_ravdess, read_tess])
def test_missing_corpus_is_usage_error(tmp_path, reader):
    with pytest.raises(UsageError, match="is not a folder"):
        reader(tmp_path / "nowhere")


def manifest(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    touch(folder, "a.wav", "sub/b.wav")
    path = folder / "mine.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_manifest_paths_are_relative_to_it(tmp_path):
    text = f"speaker,path,emotion,note\nAnn,a.wav,Happy,\nBob,{tmp_path}/sub/b.wav,sad,x\n"
    first, second = read_manifest(manifest(tmp_path, text))
    assert (first.path, first.emotion, first.speaker, first.corpus) == (
        tmp_path / "a.wav", "happy", "mine-Ann", "mine",
    )  # fmt: skip
    assert (second.path, second.speaker) == (tmp_path / "sub" / "b.wav", "mine-Bob")


def test_manifest_may_have_byte_order_mark(tmp_path):
    assert len(read_manifest(manifest(tmp_path, "path,emotion,speaker\r\na.wav,calm,1\r\n", "utf-8-sig"))) == 1


def test_duplicate_manifest_rows_count_once(tmp_path):
    assert len(read_manifest(manifest(tmp_path, "path,emotion,speaker\na.wav,calm,1\na.wav,calm,1\n"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,emotion,speaker\na.wav,calm,1\na.wav,bored,1\n", "row 3: unknown emotion 'bored'"),
        ("path,emotion,speaker\nc.wav,calm,1\n", "row 2: no file .*c.wav"),
        ("path,emotion,speaker\n,calm,1\n", "row 2: no file"),
        ("path,emotion,speaker\na.wav,calm,\n", "row 2: no speaker"),
        ("path,emotion,speaker\na.wav,calm\n", "row 2: no speaker"),
        ("path,emotion,speaker\na.wav,calm,1\na.wav,sad,1\n", "row 3: .*another emotion"),
        ("path,label\na.wav,calm\n", "no column emotion and no column speaker"),
        ("path,emotion,speaker\n", "names no clip"),
        ("", "no column path"),
    ],
)
def test_invalid_manifest_error_names_row(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_manifest(manifest(tmp_path, text))


def test_binary_manifest_is_usage_error(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"path,emotion,speaker\n\xff\xfe\x00.wav,calm,1\n")
    with pytest.raises(UsageError, match="CSV in UTF-8"):
        read_manifest(path)


def test_no_corpus_is_usage_error():
    with pytest.raises(UsageError, match="--ravdess, --tess and --manifest"):
        read_corpora(None, None)


def test_two_corpora_of_one_name_are_refused(tmp_path):
    first = manifest(tmp_path / "x", "path,emotion,speaker\na.wav,calm,1\n")
    second = manifest(tmp_path / "y", "path,emotion,speaker\na.wav,calm,1\n")
    with pytest.raises(UsageError, match="two corpora are called mine"):
        read_corpora(None, None, [first, second])
