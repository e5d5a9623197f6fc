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

from analyzer import timeline
from analyzer.classifier import BATCH, Classifier
from analyzer.emotions import EMOTIONS
from analyzer.envelope import pack, unpack
from analyzer.errors import UnreadableRecording
from analyzer.recording import Analysis, analyse
from analyzer.speech import SpeechSettings
from analyzer.stereo import FAKE_STEREO, SAME_CONVERSATION
from tests import voices
from tests.encoders import ENCODINGS, Encoding, write_wav


def analysed(path: Path, classifier: Classifier) -> Analysis:
    return analyse(path, classifier, SpeechSettings())


def two_speakers() -> np.ndarray:
    caller = voices.call(16, [(1, 4), (9, 12)], seed=1, pitch=200)
    agent = voices.call(16, [(4.5, 8.5), (11, 14)], seed=2, pitch=110)
    return np.stack([caller, agent])


def test_two_speakers_have_each_their_own_channel(tmp_path: Path, classifier: Classifier) -> None:
    found = analysed(write_wav(tmp_path / "a.wav", two_speakers(), subtype="ULAW"), classifier)
    assert (found.status, found.codec, found.rate, found.channels, found.length_s) == ("ok", "wav ulaw", 8000, 2, 16.0)
    assert found.note == ""
    spoken = {1: [(1, 4), (9, 12)], 2: [(4.5, 8.5), (11, 14)]}
    for channel, spans in spoken.items():
        assert found.figures[channel]["talk_s"] == pytest.approx(sum(b - a for a, b in spans), abs=0.3)
        for row in found.rows:
            if row.channel == channel:
                assert any(a - 0.1 <= row.start and row.end <= b + 0.1 for a, b in spans)
    assert found.figures[1]["both_s"] == found.figures[2]["both_s"] == pytest.approx(1, abs=0.2)
    assert found.figures[1]["silence_s"] == pytest.approx(4, abs=0.4)


def test_rows_are_ordered_and_sum_to_one(tmp_path: Path, classifier: Classifier) -> None:
    found = analysed(write_wav(tmp_path / "a.wav", two_speakers()), classifier)
    assert [(r.start, r.channel) for r in found.rows] == sorted((r.start, r.channel) for r in found.rows)
    assert all(abs(sum(row.probabilities) - 1) <= 0.0005 for row in found.rows)


def test_channels_that_are_alike_are_one_and_said_to_be_so(tmp_path: Path, classifier: Classifier) -> None:
    said = voices.call(6, [(1, 5)])
    mono = analysed(write_wav(tmp_path / "mono.wav", said), classifier)
    stereo = analysed(write_wav(tmp_path / "stereo.wav", np.stack([said, said])), classifier)
    assert (stereo.note, stereo.channels, list(stereo.figures)) == ("fake stereo", 2, [1])
    assert stereo.rows == mono.rows
    assert stereo.figures == mono.figures


@pytest.mark.parametrize(
    ("below_db", "note"),
    [(50, FAKE_STEREO), (42, FAKE_STEREO), (38, SAME_CONVERSATION), (20, SAME_CONVERSATION)],
)
def test_fake_stereo_means_a_difference_of_forty_decibels(
    tmp_path: Path, classifier: Classifier, below_db: float, note: str
) -> None:
    said = voices.call(6, [(1, 5)])
    apart = voices.noise(6, seed=9) * np.float32(np.sqrt(np.square(said).mean()) / 0.01)
    difference = apart * np.float32(10 ** (-below_db / 20))
    found = analysed(write_wav(tmp_path / "a.wav", np.stack([said + difference, said - difference])), classifier)
    assert (found.note, list(found.figures)) == (note, [1])


@pytest.mark.parametrize("silent", [1, 2])
def test_a_channel_that_is_silent_is_no_fake(tmp_path: Path, classifier: Classifier, silent: int) -> None:
    said = voices.call(6, [(1, 5)])
    sides = [said, np.zeros_like(said)] if silent == 2 else [np.zeros_like(said), said]
    found = analysed(write_wav(tmp_path / "a.wav", np.stack(sides)), classifier)
    assert (found.note, list(found.figures)) == (f"channel {silent} is silent", [1, 2])
    assert found.figures[silent]["talk_s"] == 0


def test_two_silent_channels_are_two(tmp_path: Path, classifier: Classifier) -> None:
    found = analysed(write_wav(tmp_path / "a.wav", np.zeros((2, 40_000), np.float32)), classifier)
    assert (found.status, found.note, list(found.figures)) == ("no_speech", "", [1, 2])


@pytest.mark.parametrize(
    "sound",
    [np.zeros(80_000, np.float32), voices.tones(10, 350, 440), voices.noise(10, level_db=-30)],
    ids=["silence", "tones", "noise"],
)
def test_where_nobody_speaks_there_are_no_rows(tmp_path: Path, classifier: Classifier, sound: np.ndarray) -> None:
    found = analysed(write_wav(tmp_path / "a.wav", sound), classifier)
    assert (found.status, found.rows) == ("no_speech", [])
    assert found.figures[1]["talk_s"] == 0
    sounds = bool(sound.any())
    assert found.figures[1]["other_s"] == pytest.approx(10 if sounds else 0, abs=0.2)
    assert found.figures[1]["silence_s"] == pytest.approx(0 if sounds else 10, abs=0.2)


@pytest.mark.parametrize(
    "encoding", ["gsm.wav", "mp3.mp3", "opus.opus", "aac.m4a", "call.g722", "amr.amr"], indirect=True
)
def test_speech_is_where_it_is_in_any_encoding(encoding: Encoding, tmp_path: Path, classifier: Classifier) -> None:
    found = analysed(encoding.write(tmp_path, voices.call(8, [(1, 4), (5, 7)], encoding.rate)), classifier)
    assert found.status == "ok"
    assert found.rows[0].start == pytest.approx(1, abs=0.2)
    assert found.rows[-1].end == pytest.approx(7, abs=0.2)
    assert found.figures[1]["talk_s"] == pytest.approx(5, abs=0.4)


@pytest.mark.parametrize("block_s", [0.05, 1.0, 60.0])
def test_the_size_of_blocks_changes_nothing(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, block_s: float
) -> None:
    path = write_wav(tmp_path / "a.wav", two_speakers())
    expected = analysed(path, classifier)
    monkeypatch.setattr("analyzer.stream.BLOCK_S", block_s)
    found = analysed(path, classifier)
    assert (found.rows, found.figures, found.sketch) == (expected.rows, expected.figures, expected.sketch)


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
def test_a_timeline_is_in_order_inside_the_recording_and_each_channel_says_one_thing_at_a_time(
    tmp_path_factory: pytest.TempPathFactory,
    classifier: Classifier,
    pieces: list[list[tuple[str, float]]],
    rate: int,
    block_s: float,
) -> None:
    path = write_wav(tmp_path_factory.getbasetemp() / "composed.wav", composed(pieces, rate), rate)
    found = analysed(path, classifier)
    assert found.rows == timeline.ordered(found.rows)
    assert all(0 <= row.start < row.end <= found.length_s + 0.001 for row in found.rows)
    assert {row.channel for row in found.rows} <= set(found.figures)
    for channel in found.figures:
        own = [row for row in found.rows if row.channel == channel]
        assert all(before.end <= after.start for before, after in itertools.pairwise(own))
    assert all(abs(sum(row.probabilities) - 1) <= 0.0005 for row in found.rows)
    assert all(0 <= p <= 1 for row in found.rows for p in row.probabilities)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyzer.stream.BLOCK_S", block_s)
        in_other_blocks = analysed(path, classifier)
    assert (in_other_blocks.rows, in_other_blocks.figures) == (found.rows, found.figures)


def test_a_truncated_wav_is_analysed_as_far_as_it_goes(tmp_path: Path, classifier: Classifier) -> None:
    path = write_wav(tmp_path / "a.wav", voices.call(60, [(1, 20), (40, 59)]))
    path.write_bytes(path.read_bytes()[: 44 + 30 * 16000])
    found = analysed(path, classifier)
    assert (found.length_s, found.note, found.status) == (30.0, "truncated: 0:30 of 1:00", "ok")
    assert found.figures[1]["talk_s"] == pytest.approx(19, abs=0.3)


def test_what_cannot_be_read_raises_with_the_reason(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(UnreadableRecording, match="the file is empty"):
        analysed(tmp_path / "a.wav", classifier)


def test_a_sound_shorter_than_a_frame_is_no_speech(tmp_path: Path, classifier: Classifier) -> None:
    found = analysed(write_wav(tmp_path / "a.wav", voices.speech(0.01)), classifier)
    assert (found.status, found.length_s) == ("no_speech", 0.01)


def test_the_envelope_is_the_least_and_greatest_of_every_tenth_of_a_second(
    tmp_path: Path, classifier: Classifier
) -> None:
    sound = np.stack([voices.speech(2.55), np.zeros(20_400, np.float32)])
    sound[0, 3999] = -1
    found = analysed(write_wav(tmp_path / "a.wav", sound, subtype="FLOAT"), classifier)
    drawn = unpack(found.sketch.envelope, 2)
    assert drawn.shape == (2, 26, 2)
    assert drawn[0, 4, 0] == -1
    assert drawn[0, 10] == pytest.approx([sound[0, 8000:8800].min(), sound[0, 8000:8800].max()], abs=1 / 127)
    assert not drawn[1].any()


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 3), st.integers(0, 50), st.just(2)), elements=st.floats(-2, 2, width=32)
    )
)
def test_a_packed_envelope_reads_back(envelope: np.ndarray) -> None:
    if envelope.size:
        found = unpack(pack(envelope), len(envelope))
        assert found.shape == envelope.shape
        assert np.abs(found - np.clip(envelope, -1, 1)).max() <= 0.5 / 127 + 1e-6


def test_every_encoding_can_be_taken_down_the_way(tmp_path: Path, classifier: Classifier) -> None:
    for encoding in ENCODINGS.values():
        path = encoding.write(tmp_path, voices.call(2, [(0.3, 1.8)], encoding.rate))
        assert analysed(path, classifier).status == "ok", encoding.name


def with_other(classifier: Classifier, monkeypatch: pytest.MonkeyPatch, other: Callable[[int], float]) -> None:
    """Make the network return `other(k)` as the probability of non-speech in segment k, counted from 0."""
    count = itertools.count()

    def probabilities(inputs: list[np.ndarray]) -> np.ndarray:
        return np.array([[*[0.125] * 8, other(next(count))] for _ in inputs])

    monkeypatch.setattr(classifier, "probabilities", probabilities)


@pytest.fixture
def long_talk(tmp_path: Path) -> Path:
    """Two minutes of one voice, in dozens of segments."""
    return write_wav(tmp_path / "a.wav", voices.call(120, [(1, 119)]))


def test_what_the_network_hears_to_be_no_speech_gets_no_row(
    long_talk: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = analysed(long_talk, classifier).figures[1]
    with_other(classifier, monkeypatch, lambda number: 0.9)
    found = analysed(long_talk, classifier)
    assert (found.status, found.rows, found.figures[1]["talk_s"]) == ("no_speech", [], 0)
    assert found.figures[1]["other_s"] == pytest.approx(before["talk_s"] + before["other_s"])
    assert found.figures[1]["silence_s"] == before["silence_s"]


def test_speech_behind_noise_gets_rows_where_the_network_can_tell_it_from_noise(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = voices.call(20, [(1, 9), (11, 19)]) + voices.noise(20, level_db=-20)
    path = write_wav(tmp_path / "a.wav", sound)
    with_other(classifier, monkeypatch, lambda number: 0.1)
    monkeypatch.setattr(classifier, "settings", replace(classifier.settings, hears_other=False))
    assert analysed(path, classifier).figures[1]["talk_s"] < 5
    monkeypatch.setattr(classifier, "settings", replace(classifier.settings, hears_other=True))
    assert analysed(path, classifier).figures[1]["talk_s"] > 10


def test_a_word_of_somebody_who_has_been_talking_is_not_taken_for_a_noise(
    long_talk: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = analysed(long_talk, classifier).rows
    with_other(classifier, monkeypatch, lambda number: float(number % 8 == 5))
    assert [row.start for row in analysed(long_talk, classifier).rows] == [row.start for row in plain]


def test_music_that_sets_in_after_talk_gets_rows_for_seconds_only(
    long_talk: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = analysed(long_talk, classifier).rows
    half = len(plain) // 2
    with_other(classifier, monkeypatch, lambda number: float(number >= half))
    last = max(row.end for row in analysed(long_talk, classifier).rows)
    assert plain[half].start < last < plain[half].start + 15


def test_talk_after_music_is_told_from_its_first_word(
    long_talk: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = analysed(long_talk, classifier).rows
    half = len(plain) // 2
    with_other(classifier, monkeypatch, lambda number: float(number < half))
    assert [row.start for row in analysed(long_talk, classifier).rows] == [row.start for row in plain[half:]]


def test_a_segment_leans_on_what_was_heard_before_in_the_same_channel_and_in_no_other(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def angry_once(inputs: list[np.ndarray]) -> np.ndarray:
        """Return anger for the first segment, calm for all others."""
        found = np.zeros((len(inputs), 8))
        found[:, EMOTIONS.index("calm")] = 1
        found[0] = np.eye(8)[EMOTIONS.index("angry")]
        return found

    monkeypatch.setattr(classifier, "probabilities", angry_once)
    rows = analysed(write_wav(tmp_path / "a.wav", two_speakers()), classifier).rows
    anger = {c: [row.probabilities[EMOTIONS.index("angry")] for row in rows if row.channel == c] for c in (1, 2)}
    assert len(anger[1]) >= 3 and len(rows) <= BATCH, "or more than one segment is the first"
    assert anger[1][0] == 1
    assert anger[1] == sorted(anger[1], reverse=True)
    assert 0.1 < anger[1][1] < 0.9
    assert set(anger[2]) == {0}
