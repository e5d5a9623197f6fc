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

from analyzer.api import EmotionStream, analyze
from analyzer.audio import open_audio, read_at
from analyzer.classifier import Classifier
from analyzer.envelope import unpack
from analyzer.recording import analyse
from analyzer.roles import Roles
from analyzer.speech import SpeechSettings
from analyzer.stereo import FAKE_STEREO, NOT_STEREO, SAME_CONVERSATION, ChannelComparison, Verdict
from tests import voices
from tests.encoders import write_wav, write_with_ffmpeg

RATE = 8000
ONE = Verdict(True, 1, SAME_CONVERSATION)
CUSTOMER = Roles(("agent", "customer"), frozenset({"customer"}))


def verdict(*channels: np.ndarray, rate: int = RATE, block: int = 10 * RATE) -> Verdict:
    return compared(np.stack(channels), rate, block).verdict


def compared(sound: np.ndarray, rate: int = RATE, block: int = 10 * RATE) -> ChannelComparison:
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
def a_mix(rate: int = RATE) -> np.ndarray:
    """The same conversation on a single line, with line noise."""
    return two_sides(rate).sum(axis=0) + voices.noise(30, rate, level_db=-58, seed=3)


def louder(sound: np.ndarray, by_db: float) -> np.ndarray:
    return sound * 10 ** (by_db / 20)


def later(sound: np.ndarray, by_s: float, rate: int = RATE) -> np.ndarray:
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
    return sides + np.stack([louder(later(side, delay_s), by_db) for side in sides[::-1]])


def decoded(path: Path, rate: int = RATE) -> np.ndarray:
    with open_audio(path) as stream:
        return np.concatenate(list(read_at(stream, rate)), axis=1)


# ---- one conversation

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "slightly softer": lambda mix: louder(mix, -0.5),
    "quieter": lambda mix: louder(mix, -6),
    "much quieter": lambda mix: louder(mix, -12),
    "1 ms later": lambda mix: later(mix, 0.001),
    "20 ms later": lambda mix: later(mix, 0.02),
    "of a telephone": lambda mix: filtered(mix, "bandpass", 300, 3400),
    "dull": lambda mix: filtered(mix, "lowpass", 1000),
    "thin": lambda mix: filtered(mix, "highpass", 1000),
    "mu-law": lambda mix: louder(through_mu_law(louder(mix, -35)), 35),
    "noisy": lambda mix: noisy(mix, -45),
    "on another clock": lambda mix: np.interp(np.arange(len(mix)) * 1.00005, np.arange(len(mix)), mix),
    "of changing delay": lambda mix: np.where(np.arange(len(mix)) % (16 * RATE) < 8 * RATE, mix, later(mix, 0.015)),
    "inverted": lambda mix: -mix,
    "with an offset": lambda mix: mix + 0.2,
    "with hum": lambda mix: mix + 0.03 * np.sin(2 * np.pi * 50 / RATE * np.arange(len(mix))),
    "with gaps": lambda mix: np.where(np.arange(len(mix)) % (3 * RATE) < 0.1 * RATE, 0, mix),
    "everything": lambda mix: noisy(through_mu_law(louder(later(filtered(mix, "lowpass", 2500), 0.02), -10)), -52),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_conversation_and_another_form_of_it_are_one(form: str) -> None:
    other = FORMS[form](a_mix())
    assert verdict(a_mix(), other) == ONE
    found = verdict(other, a_mix())
    assert found.is_one and found.note.startswith(SAME_CONVERSATION)


@settings(max_examples=40)
@given(
    st.floats(-12, 12), st.floats(0, 0.02), st.floats(-70, -48), st.floats(-70, -48), st.sampled_from([1, -1]),
    st.booleans(),
)  # fmt: skip
def test_gain_delay_noise_and_polarity_do_not_make_two_speakers_of_one_conversation(
    gain_db: float, delay_s: float, first_noise_db: float, second_noise_db: float, sign: int, coded: bool
) -> None:
    other = louder(later(sign * a_mix(), delay_s), gain_db)
    other = noisy(through_mu_law(other) if coded else other, second_noise_db, seed=8)
    found = verdict(noisy(a_mix(), first_noise_db), other)
    assert found.is_one
    assert found.note.startswith(SAME_CONVERSATION) or found.note == FAKE_STEREO


@pytest.mark.parametrize("kbit", [32, 64, 96, 128])
@pytest.mark.parametrize("gain_db", [0, -1])
def test_joint_stereo_of_an_mp3_does_not_make_two_speakers(tmp_path: Path, kbit: int, gain_db: float) -> None:
    mix = a_mix(16_000)
    other = louder(mix, gain_db) + voices.noise(30, 16_000, level_db=-62)
    write_with_ffmpeg(tmp_path / "a.mp3", np.stack([mix, other]), 16_000, "libmp3lame", "mp3", kbit * 1000)
    found = verdict(*decoded(tmp_path / "a.mp3"))
    assert found in (ONE, Verdict(True, 1, FAKE_STEREO))


@pytest.mark.parametrize("seconds", [3, 6, 12])
def test_a_short_recording_is_enough(seconds: int) -> None:
    mix = a_mix()[: seconds * RATE]
    assert verdict(mix, louder(later(mix, 0.01), -3)) == ONE


def test_one_voice_on_both_channels_is_one() -> None:
    assert verdict(two_sides()[0], louder(two_sides()[0], -4)) == ONE


def test_crosstalk_of_six_decibels_is_in_doubt_and_so_one() -> None:
    assert verdict(*with_crosstalk(two_sides(), -6)) == ONE


@pytest.mark.parametrize("part", [0, 1])
def test_a_mix_beside_one_of_its_speakers_is_in_doubt_and_the_mix_is_the_fuller_channel(part: int) -> None:
    mix, side = a_mix(), noisy(two_sides()[part], -58)
    assert verdict(mix, side) == ONE
    assert verdict(side, mix) == Verdict(True, 2, f"{SAME_CONVERSATION}, channel 2 was analysed")


def test_identical_channels_are_called_fake_stereo() -> None:
    assert verdict(a_mix(), a_mix()) == Verdict(True, 1, FAKE_STEREO)


# ---- two speakers


@settings(max_examples=40)
@given(st.floats(-40, -12), st.floats(0, 0.1), st.floats(-6, 6), st.floats(-70, -50))
def test_crosstalk_does_not_make_one_conversation_of_two_speakers(
    crosstalk_db: float, delay_s: float, gain_db: float, noise_db: float
) -> None:
    first, second = with_crosstalk(two_sides(), crosstalk_db, delay_s)
    if crosstalk_db < -16:
        second = louder(second, gain_db)
    assert verdict(noisy(first, noise_db), noisy(second, noise_db, seed=8)) == NOT_STEREO


@pytest.mark.parametrize(("codec", "container", "kbit"), [("libmp3lame", "mp3", 32), ("aac", "adts", 24)])
@pytest.mark.parametrize("crosstalk_db", [-12, -30])
def test_low_bit_rates_keep_two_speakers_apart(
    tmp_path: Path, codec: str, container: str, kbit: int, crosstalk_db: float
) -> None:
    sides = with_crosstalk(two_sides(16_000), crosstalk_db)
    write_with_ffmpeg(tmp_path / "a", sides, 16_000, codec, container, kbit * 1000)
    path = (tmp_path / "a").rename(tmp_path / f"a.{'mp3' if container == 'mp3' else 'aac'}")
    assert verdict(*decoded(path)) == NOT_STEREO


@pytest.mark.parametrize("crosstalk_db", [-12, -20, -40])
def test_a_side_that_says_one_word_is_a_speaker(crosstalk_db: float) -> None:
    talker = voices.call(60, [(1, 25), (27, 59)], seed=4)
    word = voices.call(60, [(25.4, 26.6)], pitch=210, seed=5)
    assert verdict(*with_crosstalk(np.stack([talker, word]), crosstalk_db)) == NOT_STEREO


def test_a_side_that_says_nothing_does_not_share_the_conversation() -> None:
    talker = voices.call(20, [(1, 9), (11, 19)])
    line = voices.noise(20, level_db=-55, seed=6)
    assert verdict(talker, line) == verdict(line, talker) == NOT_STEREO
    assert verdict(talker, line + louder(talker, -25)) == NOT_STEREO


def test_hold_music_on_both_channels_does_not_make_one_conversation() -> None:
    music = np.concatenate([voices.speech(2, pitch=300 + 40 * k, seed=k) for k in range(90)])
    silence = voices.noise(180, level_db=-70)
    sides = [np.concatenate([side[: 15 * RATE], music + silence, side[15 * RATE :]]) for side in two_sides()]
    assert verdict(*sides) == NOT_STEREO


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(4, 20), st.booleans())
def test_two_who_always_talk_at_once_are_two(seed: int, seconds: float, with_pauses: bool) -> None:
    spans = [(0.3, 1.7), (2.3, seconds - 0.2)] if with_pauses else [(0, seconds)]
    first = voices.call(seconds, spans, seed=seed, pitch=110)
    second = voices.call(seconds, spans, seed=seed + 1, pitch=190)
    assert verdict(first, second) == NOT_STEREO


# ---- silence


def test_silence_is_not_a_conversation() -> None:
    nothing = np.zeros(10 * RATE)
    assert verdict(nothing, nothing) == NOT_STEREO
    assert verdict(nothing + 0.1, nothing) == NOT_STEREO
    assert verdict(a_mix(), np.zeros(len(a_mix()))) == Verdict(False, 1, "channel 2 is silent")
    assert verdict(np.zeros(len(a_mix())), a_mix()) == Verdict(False, 1, "channel 1 is silent")


def test_noise_that_differs_is_not_a_conversation() -> None:
    assert verdict(voices.noise(20, level_db=-40, seed=1), voices.noise(20, level_db=-42, seed=2)) == NOT_STEREO


def test_without_sound_there_is_no_verdict() -> None:
    assert ChannelComparison(RATE).verdict == NOT_STEREO
    assert verdict(*np.ones((2, 100))) == NOT_STEREO


# ---- how the verdict is reached


def state(comparison: ChannelComparison) -> dict[str, bytes]:
    """Return the state of a comparison, except for samples that do not fill a frame yet."""
    known, left_out = vars(comparison) | vars(comparison._coherence), ("rest", "coherence", "lines")
    return {name: np.asarray(value).tobytes() for name, value in known.items() if name[1:] not in left_out}


@settings(max_examples=20)
@given(st.integers(1, 60_000), st.sampled_from([8000, 16_000]), st.sampled_from([-3, -12]))
def test_the_verdict_does_not_depend_on_the_size_of_blocks(block: int, rate: int, crosstalk_db: float) -> None:
    sound = with_crosstalk(two_sides(rate), crosstalk_db)[:, : 12 * rate]
    whole, pieces = compared(sound, rate), compared(sound, rate, max(block, 50))
    assert pieces.verdict == whole.verdict
    assert pieces.may_be_one == whole.may_be_one
    assert state(pieces) == state(whole)


def test_memory_does_not_grow_with_the_recording() -> None:
    short, long = compared(two_sides()), compared(np.tile(two_sides(), 8))
    assert len(pickle.dumps(long)) < len(pickle.dumps(short)) + 100


def test_a_later_part_counts_as_much_as_an_earlier_one() -> None:
    announcement = a_mix()
    sides = two_sides()
    assert verdict(*np.concatenate([np.stack([announcement, announcement]), sides], axis=1)) == NOT_STEREO


# ---- how the verdict is used


def test_near_identical_channels_are_analysed_as_one(tmp_path: Path, classifier: Classifier) -> None:
    mix = a_mix()
    mono = analyse(write_wav(tmp_path / "mono.wav", mix), classifier, SpeechSettings())
    found = analyse(write_wav(tmp_path / "a.wav", np.stack([mix, louder(mix, -2)])), classifier, SpeechSettings())
    assert (found.note, found.channels, list(found.figures)) == (SAME_CONVERSATION, 2, [1])
    assert (found.rows, found.figures) == (mono.rows, mono.figures)


def test_of_one_conversation_the_fuller_channel_is_analysed(tmp_path: Path, classifier: Classifier) -> None:
    mix, side = a_mix(), noisy(two_sides()[1], -58)
    mono = analyse(write_wav(tmp_path / "mono.wav", mix), classifier, SpeechSettings())
    found = analyse(write_wav(tmp_path / "a.wav", np.stack([side, mix])), classifier, SpeechSettings())
    assert found.note == f"{SAME_CONVERSATION}, channel 2 was analysed"
    assert (found.rows, found.figures, found.sketch.other) == (mono.rows, mono.figures, mono.sketch.other)
    assert np.array_equal(unpack(found.sketch.envelope, 2)[0], unpack(mono.sketch.envelope, 1)[0])


def test_notes_on_levels_are_about_the_channel_that_is_analysed(tmp_path: Path, classifier: Classifier) -> None:
    mix, side = a_mix(), noisy(two_sides()[1], -58)
    path = write_wav(tmp_path / "a.wav", np.stack([side + 0.1, mix + 0.2]), subtype="FLOAT")
    found = analyse(path, classifier, SpeechSettings())
    assert found.note == f"{SAME_CONVERSATION}, channel 2 was analysed; constant offset: 20 % on channel 2"


@pytest.mark.parametrize("form", FORMS)
def test_with_only_customer_no_network_runs_on_one_conversation(
    tmp_path: Path, classifier: Classifier, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "probabilities", lambda inputs: pytest.fail("it ran") if inputs else None)
    mix = a_mix()[: 12 * RATE]
    for k, channels in enumerate(((mix, FORMS[form](mix)), (FORMS[form](mix), mix))):
        path = write_wav(tmp_path / f"{k}.wav", np.stack(channels), subtype="FLOAT")
        found = analyse(path, classifier, SpeechSettings(), CUSTOMER)
        assert found.speakers == ("mixed", "mixed")
        assert len(found.rows) >= 3
        assert not any(row.emotion or row.probabilities for row in found.rows)
        assert found.figures[1]["masked"] is True and found.figures[1]["share_angry"] is None


def test_two_speakers_with_crosstalk_keep_their_roles(tmp_path: Path, classifier: Classifier) -> None:
    path = write_wav(tmp_path / "a.wav", with_crosstalk(two_sides(), -15))
    found = analyse(path, classifier, SpeechSettings(), CUSTOMER)
    assert (found.speakers, found.note) == (("agent", "customer"), "")
    assert {(row.channel, bool(row.emotion)) for row in found.rows} == {(1, False), (2, True)}


def test_a_single_role_is_that_of_the_fuller_channel(tmp_path: Path, classifier: Classifier) -> None:
    mix, side = a_mix(), noisy(two_sides()[1], -58)
    path = write_wav(tmp_path / "a.wav", np.stack([side, mix]))
    found = analyse(path, classifier, SpeechSettings(), Roles(("customer",), frozenset({"customer"})))
    assert found.speakers[0] == "customer" and found.rows
    assert all(row.emotion for row in found.rows)


def streamed(model: Path, *channels: np.ndarray) -> list:
    stream = EmotionStream(RATE, 2, str(model), speakers=["agent", "customer"], only=["customer"])
    sound, rows = np.stack(channels).astype(np.float32), []
    for at in range(0, sound.shape[1], 400):
        rows += stream.push(sound[:, at : at + 400])
    return rows + stream.finish()


@pytest.mark.parametrize("form", FORMS)
def test_of_a_stream_of_one_conversation_nobody_s_emotions_are_inferred(tiny_model: Path, form: str) -> None:
    rows = streamed(tiny_model, a_mix(), FORMS[form](a_mix()))
    assert len(rows) >= 10
    assert not any(row.emotion for row in rows)


def test_of_a_stream_of_two_speakers_the_customer_s_emotions_are_inferred(tiny_model: Path) -> None:
    rows = streamed(tiny_model, *with_crosstalk(two_sides(), -25))
    assert {bool(row.emotion) for row in rows if row.channel == 1} == {False}
    assert any(row.emotion for row in rows if row.channel == 2 and row.end < 8)


def test_a_timeline_in_python_says_so(tmp_path: Path, tiny_model: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([a_mix(), louder(a_mix(), -3)]))
    found = analyze(path, str(tiny_model), speakers=["agent", "customer"], only=["customer"])
    assert (found.speakers, found.about["note"]) == (("mixed",), SAME_CONVERSATION)
