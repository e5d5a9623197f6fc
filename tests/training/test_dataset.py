"""Clips are prepared for the network in the same way as segments in the analyzer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from analyzer.errors import UsageError
from analyzer.speech.features import FrontEnd, mel_filters
from tests.helpers.clips import RATE, voice, write
from training.data.corpora import Clip
from training.data.dataset import Examples, centre, load_examples, load_samples, load_split
from training.data.splits import Leak, Split


def clip(path: Path, speaker: str = "x-1", emotion: str = "happy") -> Clip:
    return Clip(path, emotion, speaker, "x")


@pytest.mark.parametrize(
    "front_end",
    [
        FrontEnd(),
        FrontEnd(rate=16000, window=400, hop=160, fft=400, bands=80, low_hz=0.0, high_hz=8000.0),
    ],
)
def test_mel_filters_equal_librosa(front_end):
    import librosa

    expected = librosa.filters.mel(
        sr=front_end.rate, n_fft=front_end.fft, n_mels=front_end.bands, fmin=front_end.low_hz, fmax=front_end.high_hz
    )
    np.testing.assert_allclose(mel_filters(front_end), expected.T, atol=1e-7)


def test_all_rates_give_one_input_shape(tmp_path):
    sound = voice(1, 2, 1)
    paths = [
        write(tmp_path / f"{rate}.{extension}", soxr.resample(sound, RATE, rate), rate)
        for rate, extension in ((8000, "wav"), (16000, "flac"), (24414, "wav"), (48000, "opus"), (44100, "ogg"))
    ]
    examples = load_examples([clip(path) for path in paths], FrontEnd())
    assert examples.inputs.shape == (5, 300, 40)
    assert examples.inputs.dtype == np.float32
    lossless = examples.inputs[[0, 1, 2]]
    assert np.abs(lossless - lossless[0]).mean() < 0.1


def test_targets_are_one_hot(tmp_path):
    path = write(tmp_path / "a.wav", voice(1, 1, 1))
    examples = load_examples([clip(path, emotion="neutral"), clip(path, emotion="surprised")], FrontEnd())
    np.testing.assert_array_equal(examples.one_hot, np.eye(8)[[0, 7]])


def test_speakers_are_balanced_in_an_epoch():
    clips = tuple(
        clip(Path(f"{speaker}{number}.wav"), speaker)
        for speaker, count in (("a", 20), ("b", 3))
        for number in range(count)
    )
    examples = Examples(clips, np.arange(23, dtype=np.float32).reshape(23, 1, 1))
    epoch = examples.balanced(1)
    assert sorted(drawn.speaker for drawn in epoch.clips) == ["a"] * 12 + ["b"] * 12
    assert len({drawn.path for drawn in epoch.clips}) == 12 + 3
    assert epoch.clips == examples.balanced(1).clips != examples.balanced(2).clips
    assert all(clips[int(value)] is drawn for drawn, value in zip(epoch.clips, epoch.inputs[:, 0, 0], strict=True))


def test_silence_is_trimmed(tmp_path):
    sound = voice(1, 2, 1)
    path = write(tmp_path / "a.wav", np.pad(sound, RATE))
    samples, _ = load_samples(path, 8000)
    assert len(sound) / RATE - 0.35 < len(samples) / 8000 < len(sound) / RATE + 0.1


def test_stereo_clip_is_mixed(tmp_path):
    sound = voice(1, 2, 1)
    write(tmp_path / "mono.wav", sound)
    soundfile.write(tmp_path / "stereo.wav", np.stack([sound, sound], axis=1), RATE)
    np.testing.assert_allclose(
        load_samples(tmp_path / "mono.wav", 8000)[0], load_samples(tmp_path / "stereo.wav", 8000)[0], atol=1e-4
    )


def test_long_clip_is_cut_to_its_middle():
    front_end = FrontEnd(frames=10)
    samples = np.arange(2000, dtype=np.float32)
    middle = centre(samples, front_end)
    assert len(middle) == 9 * front_end.hop + front_end.window
    assert middle.mean() == pytest.approx(samples.mean())
    np.testing.assert_array_equal(centre(samples[:500], front_end), samples[:500])


def test_digest_does_not_depend_on_format(tmp_path):
    sound = voice(1, 2, 1)
    digests = {load_samples(write(tmp_path / f"a.{extension}", sound), 8000)[1] for extension in ("wav", "flac")}
    assert len(digests) == 1
    assert load_samples(write(tmp_path / "b.wav", voice(1, 2, 2)), 8000)[1] not in digests


def test_copy_under_another_speaker_is_refused(tmp_path):
    sound = voice(1, 2, 1)
    original = clip(write(tmp_path / "original.wav", sound), "x-1")
    copy = clip(write(tmp_path / "copy.flac", sound), "x-2")
    other = clip(write(tmp_path / "other.wav", voice(3, 2, 1)), "x-3")
    with pytest.raises(Leak, match="the same audio"):
        load_split(Split((original,), (other,), (copy,)), FrontEnd())
    with pytest.raises(Leak, match="the same audio"):
        load_split(Split((other,), (original,), (copy,)), FrontEnd())


def test_digest_of_augmented_clip_is_kept(tmp_path):
    augmented = replace(clip(write(tmp_path / "a.wav", voice(1, 2, 1))), audio="digest of the original")
    assert load_examples([augmented], FrontEnd()).clips == (augmented,)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be decoded"), (b"no audio at all", "cannot be decoded"), (None, "holds no sound")],
)
def test_invalid_clip_error_names_file(tmp_path, content, message):
    path = tmp_path / "bad.wav"
    if content is None:
        write(path, np.zeros(RATE, np.float32))
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"bad\.wav.*{message}"):
        load_examples([clip(path)], FrontEnd())
