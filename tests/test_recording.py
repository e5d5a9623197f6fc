"""Analysis of one recording, end to end."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analyzer.analysis.recording import Analysis, analyse
from analyzer.audio.envelope import pack, unpack
from analyzer.audio.stereo import FAKE_STEREO, SAME_CONVERSATION
from analyzer.emotions import EMOTIONS
from analyzer.errors import UnreadableRecording
from analyzer.model.classifier import BATCH, Classifier
from analyzer.speech.detector import SpeechSettings
from analyzer.timeline import timeline
from tests.helpers import voices
from tests.helpers.encoders import ENCODINGS, Encoding, write_wav


def analysed(path: Path, classifier: Classifier) -> Analysis:
    return analyse(path, classifier, SpeechSettings())


def two_speakers() -> np.ndarray:
    caller = voices.call(16, [(1, 4), (9, 12)], seed=1, pitch=200)
    agent = voices.call(16, [(4.5, 8.5), (11, 14)], seed=2, pitch=110)
    return np.stack([caller, agent])


def test_speakers_are_separate(tmp_path: Path, classifier: Classifier) -> None:
    analysis = analysed(write_wav(tmp_path / "a.wav", two_speakers(), subtype="ULAW"), classifier)
    assert (analysis.status, analysis.codec, analysis.rate, analysis.channels, analysis.length_s) == (
        "ok",
        "wav ulaw",
        8000,
        2,
        16.0,
    )
    assert analysis.note == ""
    expected = {1: [(1, 4), (9, 12)], 2: [(4.5, 8.5), (11, 14)]}
    for channel, intervals in expected.items():
        assert analysis.statistics[channel].talk_s == pytest.approx(
            sum(end - start for start, end in intervals), abs=0.3
        )
        for row in analysis.rows:
            if row.channel == channel:
                assert any(start - 0.1 <= row.start and row.end <= end + 0.1 for start, end in intervals)
    assert analysis.statistics[1].both_s == analysis.statistics[2].both_s == pytest.approx(1, abs=0.2)
    assert analysis.statistics[1].silence_s == pytest.approx(4, abs=0.4)


def test_rows_are_ordered_and_sum_to_one(tmp_path: Path, classifier: Classifier) -> None:
    analysis = analysed(write_wav(tmp_path / "a.wav", two_speakers()), classifier)
    assert [(row.start, row.channel) for row in analysis.rows] == sorted(
        (row.start, row.channel) for row in analysis.rows
    )
    assert all(abs(sum(row.probabilities) - 1) <= 0.0005 for row in analysis.rows)


def test_identical_channels_are_analysed_once(tmp_path: Path, classifier: Classifier) -> None:
    speech = voices.call(6, [(1, 5)])
    mono = analysed(write_wav(tmp_path / "mono.wav", speech), classifier)
    stereo = analysed(write_wav(tmp_path / "stereo.wav", np.stack([speech, speech])), classifier)
    assert (stereo.note, stereo.channels, list(stereo.statistics)) == ("both channels identical", 2, [1])
    assert stereo.rows == mono.rows
    assert stereo.statistics == mono.statistics


@pytest.mark.parametrize(
    ("below_db", "note"),
    [(50, FAKE_STEREO), (42, FAKE_STEREO), (38, SAME_CONVERSATION), (20, SAME_CONVERSATION)],
)
def test_fake_stereo_differs_by_40_db(tmp_path: Path, classifier: Classifier, below_db: float, note: str) -> None:
    speech = voices.call(6, [(1, 5)])
    noise = voices.noise(6, seed=9) * np.float32(np.sqrt(np.square(speech).mean()) / 0.01)
    difference = noise * np.float32(10 ** (-below_db / 20))
    analysis = analysed(write_wav(tmp_path / "a.wav", np.stack([speech + difference, speech - difference])), classifier)
    assert (analysis.note, list(analysis.statistics)) == (note, [1])


@pytest.mark.parametrize("silent", [1, 2])
def test_silent_channel_is_noted(tmp_path: Path, classifier: Classifier, silent: int) -> None:
    speech = voices.call(6, [(1, 5)])
    sides = [speech, np.zeros_like(speech)] if silent == 2 else [np.zeros_like(speech), speech]
    analysis = analysed(write_wav(tmp_path / "a.wav", np.stack(sides)), classifier)
    assert (analysis.note, list(analysis.statistics)) == (f"channel {silent} is silent", [1, 2])
    assert analysis.statistics[silent].talk_s == 0


def test_two_silent_channels_are_two(tmp_path: Path, classifier: Classifier) -> None:
    analysis = analysed(write_wav(tmp_path / "a.wav", np.zeros((2, 40_000), np.float32)), classifier)
    assert (analysis.status, analysis.note, list(analysis.statistics)) == ("no_speech", "", [1, 2])


@pytest.mark.parametrize(
    "sound",
    [np.zeros(80_000, np.float32), voices.tones(10, 350, 440), voices.noise(10, level_db=-30)],
    ids=["silence", "tones", "noise"],
)
def test_no_speech_gives_no_rows(tmp_path: Path, classifier: Classifier, sound: np.ndarray) -> None:
    analysis = analysed(write_wav(tmp_path / "a.wav", sound), classifier)
    assert (analysis.status, analysis.rows) == ("no_speech", [])
    assert analysis.statistics[1].talk_s == 0
    has_sound = bool(sound.any())
    assert analysis.statistics[1].other_s == pytest.approx(10 if has_sound else 0, abs=0.2)
    assert analysis.statistics[1].silence_s == pytest.approx(0 if has_sound else 10, abs=0.2)


@pytest.mark.parametrize(
    "encoding", ["gsm.wav", "mp3.mp3", "opus.opus", "aac.m4a", "call.g722", "amr.amr"], indirect=True
)
def test_any_encoding_keeps_times(encoding: Encoding, tmp_path: Path, classifier: Classifier) -> None:
    analysis = analysed(encoding.write(tmp_path, voices.call(8, [(1, 4), (5, 7)], encoding.rate)), classifier)
    assert analysis.status == "ok"
    assert analysis.rows[0].start == pytest.approx(1, abs=0.2)
    assert analysis.rows[-1].end == pytest.approx(7, abs=0.2)
    assert analysis.statistics[1].talk_s == pytest.approx(5, abs=0.4)


@pytest.mark.parametrize("block_s", [0.05, 1.0, 60.0])
def test_block_size_changes_nothing(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, block_s: float
) -> None:
    path = write_wav(tmp_path / "a.wav", two_speakers())
    expected = analysed(path, classifier)
    monkeypatch.setattr("analyzer.audio.stream.BLOCK_S", block_s)
    analysis = analysed(path, classifier)
    assert (analysis.rows, analysis.statistics, analysis.drawing) == (
        expected.rows,
        expected.statistics,
        expected.drawing,
    )


sounds = st.sampled_from(["speech", "noise", "tones", "silence", "loud"])
channels = st.lists(st.lists(st.tuples(sounds, st.floats(0.05, 3)), min_size=1, max_size=4), min_size=1, max_size=3)


def composed(channels: list[list[tuple[str, float]]], rate: int) -> np.ndarray:
    """Concatenate pieces of sound on each channel, shaped (channels, samples)."""
    make = {
        "speech": lambda seconds: voices.speech(seconds, rate, seed=round(seconds * 1000)),
        "noise": lambda seconds: voices.noise(seconds, rate, level_db=-30),
        "tones": lambda seconds: voices.tones(seconds, 440, 480, rate=rate),
        "silence": lambda seconds: np.zeros(round(seconds * rate), np.float32),
        "loud": lambda seconds: 9 * voices.speech(seconds, rate, seed=1),
    }
    sides = [np.concatenate([make[kind](seconds) for kind, seconds in pieces]) for pieces in channels]
    longest = max(map(len, sides))
    return np.stack([np.pad(side, (0, longest - len(side))) for side in sides])


@settings(max_examples=60)
@given(channels, st.sampled_from([8000, 11025, 16000, 44100]), st.floats(0.01, 20))
def test_rows_do_not_overlap(
    tmp_path_factory: pytest.TempPathFactory,
    classifier: Classifier,
    pieces: list[list[tuple[str, float]]],
    rate: int,
    block_s: float,
) -> None:
    path = write_wav(tmp_path_factory.getbasetemp() / "composed.wav", composed(pieces, rate), rate)
    analysis = analysed(path, classifier)
    assert analysis.rows == timeline.ordered(analysis.rows)
    assert all(0 <= row.start < row.end <= analysis.length_s + 0.001 for row in analysis.rows)
    assert {row.channel for row in analysis.rows} <= set(analysis.statistics)
    for channel in analysis.statistics:
        channel_rows = [row for row in analysis.rows if row.channel == channel]
        assert all(before.end <= after.start for before, after in itertools.pairwise(channel_rows))
    assert all(abs(sum(row.probabilities) - 1) <= 0.0005 for row in analysis.rows)
    assert all(0 <= probability <= 1 for row in analysis.rows for probability in row.probabilities)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyzer.audio.stream.BLOCK_S", block_s)
        in_other_blocks = analysed(path, classifier)
    assert (in_other_blocks.rows, in_other_blocks.statistics) == (analysis.rows, analysis.statistics)


def test_truncated_wav_is_analysed(tmp_path: Path, classifier: Classifier) -> None:
    path = write_wav(tmp_path / "a.wav", voices.call(60, [(1, 20), (40, 59)]))
    path.write_bytes(path.read_bytes()[: 44 + 30 * 16000])
    analysis = analysed(path, classifier)
    assert (analysis.length_s, analysis.note, analysis.status) == (30.0, "truncated: 0:30 of 1:00", "ok")
    assert analysis.statistics[1].talk_s == pytest.approx(19, abs=0.3)


def test_unreadable_file_raises(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(UnreadableRecording, match="the file is empty"):
        analysed(tmp_path / "a.wav", classifier)


def test_tiny_sound_is_no_speech(tmp_path: Path, classifier: Classifier) -> None:
    analysis = analysed(write_wav(tmp_path / "a.wav", voices.speech(0.01)), classifier)
    assert (analysis.status, analysis.length_s) == ("no_speech", 0.01)


def test_envelope_has_extremes(tmp_path: Path, classifier: Classifier) -> None:
    sound = np.stack([voices.speech(2.55), np.zeros(20_400, np.float32)])
    sound[0, 3999] = -1
    analysis = analysed(write_wav(tmp_path / "a.wav", sound, subtype="FLOAT"), classifier)
    drawn = unpack(analysis.drawing.envelope, 2)
    assert drawn.shape == (2, 26, 2)
    assert drawn[0, 4, 0] == -1
    assert drawn[0, 10] == pytest.approx([sound[0, 8000:8800].min(), sound[0, 8000:8800].max()], abs=1 / 127)
    assert not drawn[1].any()


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 3), st.integers(0, 50), st.just(2)), elements=st.floats(-2, 2, width=32)
    )
)
def test_packed_envelope_reads_back(envelope: np.ndarray) -> None:
    if envelope.size:
        unpacked = unpack(pack(envelope), len(envelope))
        assert unpacked.shape == envelope.shape
        assert np.abs(unpacked - np.clip(envelope, -1, 1)).max() <= 0.5 / 127 + 1e-6


def test_every_encoding_is_analysed(tmp_path: Path, classifier: Classifier) -> None:
    for encoding in ENCODINGS.values():
        path = encoding.write(tmp_path, voices.call(2, [(0.3, 1.8)], encoding.rate))
        assert analysed(path, classifier).status == "ok", encoding.name


def set_non_speech(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, probability: Callable[[int], float]
) -> None:
    """Make the network return `probability(number)` as the probability of non-speech in segment `number`, from 0."""
    count = itertools.count()

    def probabilities(inputs: list[np.ndarray]) -> np.ndarray:
        return np.array([[*[0.125] * 8, probability(next(count))] for _ in inputs])

    monkeypatch.setattr(classifier, "probabilities", probabilities)


@pytest.fixture
def long_speech(tmp_path: Path) -> Path:
    """Two minutes of one voice, in dozens of segments."""
    return write_wav(tmp_path / "a.wav", voices.call(120, [(1, 119)]))


def test_non_speech_of_the_network_has_no_row(
    long_speech: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = analysed(long_speech, classifier).statistics[1]
    set_non_speech(classifier, monkeypatch, lambda number: 0.9)
    analysis = analysed(long_speech, classifier)
    assert (analysis.status, analysis.rows, analysis.statistics[1].talk_s) == ("no_speech", [], 0)
    assert analysis.statistics[1].other_s == pytest.approx(before.talk_s + before.other_s)
    assert analysis.statistics[1].silence_s == before.silence_s


def test_noisy_speech_needs_a_non_speech_output(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = voices.call(20, [(1, 9), (11, 19)]) + voices.noise(20, level_db=-20)
    path = write_wav(tmp_path / "a.wav", sound)
    set_non_speech(classifier, monkeypatch, lambda number: 0.1)
    monkeypatch.setattr(classifier, "settings", replace(classifier.settings, has_non_speech_output=False))
    assert analysed(path, classifier).statistics[1].talk_s < 5
    monkeypatch.setattr(classifier, "settings", replace(classifier.settings, has_non_speech_output=True))
    assert analysed(path, classifier).statistics[1].talk_s > 10


def test_single_non_speech_segment_keeps_its_row(
    long_speech: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = analysed(long_speech, classifier).rows
    set_non_speech(classifier, monkeypatch, lambda number: float(number % 8 == 5))
    assert [row.start for row in analysed(long_speech, classifier).rows] == [row.start for row in expected]


def test_music_after_speech_soon_has_no_rows(
    long_speech: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = analysed(long_speech, classifier).rows
    half = len(plain) // 2
    set_non_speech(classifier, monkeypatch, lambda number: float(number >= half))
    last = max(row.end for row in analysed(long_speech, classifier).rows)
    assert plain[half].start < last < plain[half].start + 15


def test_speech_after_music_has_rows_at_once(
    long_speech: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = analysed(long_speech, classifier).rows
    half = len(plain) // 2
    set_non_speech(classifier, monkeypatch, lambda number: float(number < half))
    assert [row.start for row in analysed(long_speech, classifier).rows] == [row.start for row in plain[half:]]


def test_smoothing_uses_only_the_same_channel(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def angry_once(inputs: list[np.ndarray]) -> np.ndarray:
        """Return anger for the first segment, calm for all others."""
        probabilities = np.zeros((len(inputs), 8))
        probabilities[:, EMOTIONS.index("calm")] = 1
        probabilities[0] = np.eye(8)[EMOTIONS.index("angry")]
        return probabilities

    monkeypatch.setattr(classifier, "probabilities", angry_once)
    rows = analysed(write_wav(tmp_path / "a.wav", two_speakers()), classifier).rows
    anger = {
        channel: [row.probabilities[EMOTIONS.index("angry")] for row in rows if row.channel == channel]
        for channel in (1, 2)
    }
    assert len(anger[1]) >= 3 and len(rows) <= BATCH, "or more than one segment is the first"
    assert anger[1][0] == 1
    assert anger[1] == sorted(anger[1], reverse=True)
    assert 0.1 < anger[1][1] < 0.9
    assert set(anger[2]) == {0}
