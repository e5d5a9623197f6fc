"""Whether two channels carry two speakers, or the same conversation twice."""

import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis.recording import analyse
from analyzer.api import EmotionStream, analyze
from analyzer.audio.envelope import unpack
from analyzer.audio.reader import open_audio, read_at
from analyzer.audio.stereo import FAKE_STEREO, NOT_STEREO, SAME_CONVERSATION, ChannelComparison, Verdict
from analyzer.model.classifier import Classifier
from analyzer.speech.detector import SpeechSettings
from analyzer.timeline.roles import Roles
from tests.helpers import voices
from tests.helpers.encoders import write_wav, write_with_ffmpeg

RATE = 8000
SAME = Verdict(True, 1, SAME_CONVERSATION)
CUSTOMER = Roles(("agent", "customer"), frozenset({"customer"}))


def verdict(*channels: np.ndarray, rate: int = RATE, block: int = 10 * RATE) -> Verdict:
    return compare(np.stack(channels), rate, block).verdict


def compare(sound: np.ndarray, rate: int = RATE, block: int = 10 * RATE) -> ChannelComparison:
    comparison = ChannelComparison(rate)
    for at in range(0, sound.shape[1], block):
        comparison.push(sound[:, at : at + block].astype(np.float32))
    return comparison


@cache
def two_sides(rate: int = RATE) -> np.ndarray:
    """Half a minute of two people who take turns and sometimes overlap; the second is quieter."""
    agent = voices.call(30, [(0.5, 4), (8, 11), (15, 20), (25, 27)], rate, pitch=110, seed=1)
    customer = voices.call(30, [(4.3, 7.5), (10.5, 14.5), (20.4, 24), (27.2, 29)], rate, pitch=200, seed=2)
    return np.stack([agent, 0.4 * customer])


@cache
def mixed_call(rate: int = RATE) -> np.ndarray:
    """The same conversation on a single line, with line noise."""
    return two_sides(rate).sum(axis=0) + voices.noise(30, rate, level_db=-58, seed=3)


def louder(sound: np.ndarray, by_db: float) -> np.ndarray:
    return sound * 10 ** (by_db / 20)


def delayed(sound: np.ndarray, by_s: float, rate: int = RATE) -> np.ndarray:
    return np.roll(np.pad(sound, (0, rate)), round(by_s * rate))[: len(sound)]


def filtered(sound: np.ndarray, kind: str, *hz: float) -> np.ndarray:
    return scipy.signal.sosfilt(scipy.signal.butter(4, np.squeeze(hz), kind, fs=RATE, output="sos"), sound)


def noisy(sound: np.ndarray, level_db: float, seed: int = 7) -> np.ndarray:
    return sound + voices.noise(len(sound) / RATE, RATE, level_db=level_db, seed=seed)[: len(sound)]


def through_mu_law(sound: np.ndarray) -> np.ndarray:
    return (
        np.sign(sound) * np.expm1(np.rint(np.log1p(255 * np.abs(sound)) / np.log(256) * 127) / 127 * np.log(256)) / 255
    )


def with_crosstalk(sides: np.ndarray, by_db: float, delay_s: float = 0.0) -> np.ndarray:
    """Add each side of a call to the other channel, quieter and later."""
    return sides + np.stack([louder(delayed(side, delay_s), by_db) for side in sides[::-1]])


def decoded(path: Path, rate: int = RATE) -> np.ndarray:
    with open_audio(path) as stream:
        return np.concatenate(list(read_at(stream, rate)), axis=1)


# ---- one conversation

ALTERATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "slightly softer": lambda mix: louder(mix, -0.5),
    "quieter": lambda mix: louder(mix, -6),
    "much quieter": lambda mix: louder(mix, -12),
    "1 ms later": lambda mix: delayed(mix, 0.001),
    "20 ms later": lambda mix: delayed(mix, 0.02),
    "telephone band": lambda mix: filtered(mix, "bandpass", 300, 3400),
    "low-pass": lambda mix: filtered(mix, "lowpass", 1000),
    "high-pass": lambda mix: filtered(mix, "highpass", 1000),
    "mu-law": lambda mix: louder(through_mu_law(louder(mix, -35)), 35),
    "noisy": lambda mix: noisy(mix, -45),
    "clock drift": lambda mix: np.interp(np.arange(len(mix)) * 1.00005, np.arange(len(mix)), mix),
    "changing delay": lambda mix: np.where(np.arange(len(mix)) % (16 * RATE) < 8 * RATE, mix, delayed(mix, 0.015)),
    "inverted": lambda mix: -mix,
    "with an offset": lambda mix: mix + 0.2,
    "with hum": lambda mix: mix + 0.03 * np.sin(2 * np.pi * 50 / RATE * np.arange(len(mix))),
    "with gaps": lambda mix: np.where(np.arange(len(mix)) % (3 * RATE) < 0.1 * RATE, 0, mix),
    "everything": lambda mix: noisy(through_mu_law(louder(delayed(filtered(mix, "lowpass", 2500), 0.02), -10)), -52),
}


@pytest.mark.parametrize("form", ALTERATIONS)
def test_altered_copy_is_one(form: str) -> None:
    other = ALTERATIONS[form](mixed_call())
    assert verdict(mixed_call(), other) == SAME
    result = verdict(other, mixed_call())
    assert result.is_one and result.note.startswith(SAME_CONVERSATION)


@settings(max_examples=40)
@given(
    st.floats(-12, 12), st.floats(0, 0.02), st.floats(-70, -48), st.floats(-70, -48), st.sampled_from([1, -1]),
    st.booleans(),
)  # fmt: skip
def test_gain_delay_and_noise_keep_one(
    gain_db: float, delay_s: float, first_noise_db: float, second_noise_db: float, sign: int, coded: bool
) -> None:
    other = louder(delayed(sign * mixed_call(), delay_s), gain_db)
    other = noisy(through_mu_law(other) if coded else other, second_noise_db, seed=8)
    result = verdict(noisy(mixed_call(), first_noise_db), other)
    assert result.is_one
    assert result.note.startswith(SAME_CONVERSATION) or result.note == FAKE_STEREO


@pytest.mark.parametrize("kbit", [32, 64, 96, 128])
@pytest.mark.parametrize("gain_db", [0, -1])
def test_joint_stereo_mp3_is_one(tmp_path: Path, kbit: int, gain_db: float) -> None:
    mix = mixed_call(16_000)
    other = louder(mix, gain_db) + voices.noise(30, 16_000, level_db=-62)
    write_with_ffmpeg(tmp_path / "a.mp3", np.stack([mix, other]), 16_000, "libmp3lame", "mp3", kbit * 1000)
    result = verdict(*decoded(tmp_path / "a.mp3"))
    assert result in (SAME, Verdict(True, 1, FAKE_STEREO))


@pytest.mark.parametrize("seconds", [3, 6, 12])
def test_short_recording_is_enough(seconds: int) -> None:
    mix = mixed_call()[: seconds * RATE]
    assert verdict(mix, louder(delayed(mix, 0.01), -3)) == SAME


def test_same_voice_on_both_channels_is_one() -> None:
    assert verdict(two_sides()[0], louder(two_sides()[0], -4)) == SAME


def test_strong_crosstalk_is_one() -> None:
    assert verdict(*with_crosstalk(two_sides(), -6)) == SAME


@pytest.mark.parametrize("part", [0, 1])
def test_mix_is_fuller_than_one_speaker(part: int) -> None:
    mix, side = mixed_call(), noisy(two_sides()[part], -58)
    assert verdict(mix, side) == SAME
    assert verdict(side, mix) == Verdict(True, 2, f"{SAME_CONVERSATION}, channel 2 was analysed")


def test_identical_channels_are_fake_stereo() -> None:
    assert verdict(mixed_call(), mixed_call()) == Verdict(True, 1, FAKE_STEREO)


# ---- two speakers


@settings(max_examples=40)
@given(st.floats(-40, -12), st.floats(0, 0.1), st.floats(-6, 6), st.floats(-70, -50))
def test_crosstalk_keeps_speakers(crosstalk_db: float, delay_s: float, gain_db: float, noise_db: float) -> None:
    first, second = with_crosstalk(two_sides(), crosstalk_db, delay_s)
    if crosstalk_db < -16:
        second = louder(second, gain_db)
    assert verdict(noisy(first, noise_db), noisy(second, noise_db, seed=8)) == NOT_STEREO


@pytest.mark.parametrize(("codec", "container", "kbit"), [("libmp3lame", "mp3", 32), ("aac", "adts", 24)])
@pytest.mark.parametrize("crosstalk_db", [-12, -30])
def test_low_bit_rate_keeps_speakers(
    tmp_path: Path, codec: str, container: str, kbit: int, crosstalk_db: float
) -> None:
    sides = with_crosstalk(two_sides(16_000), crosstalk_db)
    write_with_ffmpeg(tmp_path / "a", sides, 16_000, codec, container, kbit * 1000)
    path = (tmp_path / "a").rename(tmp_path / f"a.{'mp3' if container == 'mp3' else 'aac'}")
    assert verdict(*decoded(path)) == NOT_STEREO


@pytest.mark.parametrize("crosstalk_db", [-12, -20, -40])
def test_single_word_makes_a_speaker(crosstalk_db: float) -> None:
    talker = voices.call(60, [(1, 25), (27, 59)], seed=4)
    word = voices.call(60, [(25.4, 26.6)], pitch=210, seed=5)
    assert verdict(*with_crosstalk(np.stack([talker, word]), crosstalk_db)) == NOT_STEREO


def test_silent_side_is_separate() -> None:
    talker = voices.call(20, [(1, 9), (11, 19)])
    line = voices.noise(20, level_db=-55, seed=6)
    assert verdict(talker, line) == verdict(line, talker) == NOT_STEREO
    assert verdict(talker, line + louder(talker, -25)) == NOT_STEREO


def test_hold_music_keeps_speakers() -> None:
    music = np.concatenate([voices.speech(2, pitch=300 + 40 * seed, seed=seed) for seed in range(90)])
    silence = voices.noise(180, level_db=-70)
    sides = [np.concatenate([side[: 15 * RATE], music + silence, side[15 * RATE :]]) for side in two_sides()]
    assert verdict(*sides) == NOT_STEREO


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(4, 20), st.booleans())
def test_overlapping_voices_are_two(seed: int, seconds: float, with_pauses: bool) -> None:
    spans = [(0.3, 1.7), (2.3, seconds - 0.2)] if with_pauses else [(0, seconds)]
    first = voices.call(seconds, spans, seed=seed, pitch=110)
    second = voices.call(seconds, spans, seed=seed + 1, pitch=190)
    assert verdict(first, second) == NOT_STEREO


# ---- silence


def test_silence_is_no_conversation() -> None:
    nothing = np.zeros(10 * RATE)
    assert verdict(nothing, nothing) == NOT_STEREO
    assert verdict(nothing + 0.1, nothing) == NOT_STEREO
    assert verdict(mixed_call(), np.zeros(len(mixed_call()))) == Verdict(False, 1, "channel 2 is silent")
    assert verdict(np.zeros(len(mixed_call())), mixed_call()) == Verdict(False, 1, "channel 1 is silent")


def test_different_noise_is_no_conversation() -> None:
    assert verdict(voices.noise(20, level_db=-40, seed=1), voices.noise(20, level_db=-42, seed=2)) == NOT_STEREO


def test_no_sound_is_not_stereo() -> None:
    assert ChannelComparison(RATE).verdict == NOT_STEREO
    assert verdict(*np.ones((2, 100))) == NOT_STEREO


# ---- how the verdict is reached


def state(comparison: ChannelComparison) -> dict[str, bytes]:
    """Return the state of a comparison, except for samples that do not fill a frame yet."""
    attributes, excluded = vars(comparison) | vars(comparison._coherence), ("rest", "coherence", "lines")
    return {name: np.asarray(value).tobytes() for name, value in attributes.items() if name[1:] not in excluded}


@settings(max_examples=20)
@given(st.integers(1, 60_000), st.sampled_from([8000, 16_000]), st.sampled_from([-3, -12]))
def test_blocks_do_not_change_verdict(block: int, rate: int, crosstalk_db: float) -> None:
    sound = with_crosstalk(two_sides(rate), crosstalk_db)[:, : 12 * rate]
    complete, in_blocks = compare(sound, rate), compare(sound, rate, max(block, 50))
    assert in_blocks.verdict == complete.verdict
    assert in_blocks.may_be_one == complete.may_be_one
    assert state(in_blocks) == state(complete)


def test_memory_does_not_grow() -> None:
    short, long = compare(two_sides()), compare(np.tile(two_sides(), 8))
    assert len(pickle.dumps(long)) < len(pickle.dumps(short)) + 100


def test_later_parts_count_equally() -> None:
    announcement = mixed_call()
    sides = two_sides()
    assert verdict(*np.concatenate([np.stack([announcement, announcement]), sides], axis=1)) == NOT_STEREO


# ---- how the verdict is used


def test_similar_channels_are_one(tmp_path: Path, classifier: Classifier) -> None:
    mix = mixed_call()
    mono = analyse(write_wav(tmp_path / "mono.wav", mix), classifier, SpeechSettings())
    stereo = analyse(write_wav(tmp_path / "a.wav", np.stack([mix, louder(mix, -2)])), classifier, SpeechSettings())
    assert (stereo.note, stereo.channels, list(stereo.statistics)) == (SAME_CONVERSATION, 2, [1])
    assert (stereo.rows, stereo.statistics) == (mono.rows, mono.statistics)


def test_fuller_channel_is_analysed(tmp_path: Path, classifier: Classifier) -> None:
    mix, side = mixed_call(), noisy(two_sides()[1], -58)
    mono = analyse(write_wav(tmp_path / "mono.wav", mix), classifier, SpeechSettings())
    stereo = analyse(write_wav(tmp_path / "a.wav", np.stack([side, mix])), classifier, SpeechSettings())
    assert stereo.note == f"{SAME_CONVERSATION}, channel 2 was analysed"
    assert (stereo.rows, stereo.statistics, stereo.drawing.other) == (mono.rows, mono.statistics, mono.drawing.other)
    assert np.array_equal(unpack(stereo.drawing.envelope, 2)[0], unpack(mono.drawing.envelope, 1)[0])


def test_level_notes_are_of_the_analysed_channel(tmp_path: Path, classifier: Classifier) -> None:
    mix, side = mixed_call(), noisy(two_sides()[1], -58)
    path = write_wav(tmp_path / "a.wav", np.stack([side + 0.1, mix + 0.2]), subtype="FLOAT")
    analysis = analyse(path, classifier, SpeechSettings())
    assert analysis.note == f"{SAME_CONVERSATION}, channel 2 was analysed; constant offset: 20 % on channel 2"


@pytest.mark.parametrize("form", ALTERATIONS)
def test_masked_conversation_skips_the_network(
    tmp_path: Path, classifier: Classifier, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "probabilities", lambda inputs: pytest.fail("it ran") if inputs else None)
    mix = mixed_call()[: 12 * RATE]
    for number, channels in enumerate(((mix, ALTERATIONS[form](mix)), (ALTERATIONS[form](mix), mix))):
        path = write_wav(tmp_path / f"{number}.wav", np.stack(channels), subtype="FLOAT")
        analysis = analyse(path, classifier, SpeechSettings(), CUSTOMER)
        assert analysis.speakers == ("mixed", "mixed")
        assert len(analysis.rows) >= 3
        assert not any(row.emotion or row.probabilities for row in analysis.rows)
        assert analysis.statistics[1].masked is True and analysis.statistics[1].emotions is None


def test_crosstalk_keeps_the_roles(tmp_path: Path, classifier: Classifier) -> None:
    path = write_wav(tmp_path / "a.wav", with_crosstalk(two_sides(), -15))
    analysis = analyse(path, classifier, SpeechSettings(), CUSTOMER)
    assert (analysis.speakers, analysis.note) == (("agent", "customer"), "")
    assert {(row.channel, bool(row.emotion)) for row in analysis.rows} == {(1, False), (2, True)}


def test_single_role_is_of_the_fuller_channel(tmp_path: Path, classifier: Classifier) -> None:
    mix, side = mixed_call(), noisy(two_sides()[1], -58)
    path = write_wav(tmp_path / "a.wav", np.stack([side, mix]))
    analysis = analyse(path, classifier, SpeechSettings(), Roles(("customer",), frozenset({"customer"})))
    assert analysis.speakers[0] == "customer" and analysis.rows
    assert all(row.emotion for row in analysis.rows)


def stream_rows(model: Path, *channels: np.ndarray) -> list:
    stream = EmotionStream(RATE, 2, str(model), speakers=["agent", "customer"], only=["customer"])
    sound, rows = np.stack(channels).astype(np.float32), []
    for at in range(0, sound.shape[1], 400):
        rows += stream.push(sound[:, at : at + 400])
    return rows + stream.finish()


@pytest.mark.parametrize("form", ALTERATIONS)
def test_stream_of_one_conversation_is_masked(tiny_model: Path, form: str) -> None:
    rows = stream_rows(tiny_model, mixed_call(), ALTERATIONS[form](mixed_call()))
    assert len(rows) >= 10
    assert not any(row.emotion for row in rows)


def test_stream_infers_emotions_of_the_customer(tiny_model: Path) -> None:
    rows = stream_rows(tiny_model, *with_crosstalk(two_sides(), -25))
    assert {bool(row.emotion) for row in rows if row.channel == 1} == {False}
    assert any(row.emotion for row in rows if row.channel == 2 and row.end < 8)


def test_api_notes_one_conversation(tmp_path: Path, tiny_model: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([mixed_call(), louder(mixed_call(), -3)]))
    timeline = analyze(path, str(tiny_model), speakers=["agent", "customer"], only=["customer"])
    assert (timeline.speakers, timeline.about["note"]) == (("mixed",), SAME_CONVERSATION)
