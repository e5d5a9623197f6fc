"""Simulated telephone lines: effects and real codecs, reproducible for the same voice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import voices
from training import telephone
from training.telephone import CODECS, PLAIN, RATE, Line, code, draw_line, through

#: A line that passes the whole band, so that its other effects can be measured.
WIDE = Line(low_hz=1, high_hz=3950)
VOICE = voices.speech(2)


def anyone(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=float))))


def decibels(share: float) -> float:
    return float(20 * np.log10(share))


def best_match(said: np.ndarray, heard: np.ndarray, latest: int = 80) -> tuple[float, int]:
    """Return the highest correlation over lags of up to 10 ms, and its lag in samples."""
    inner = said[latest:-latest]
    found = [(np.corrcoef(inner, heard[latest + k : len(heard) - latest + k])[0, 1], k) for k in range(-80, 81)]
    return max(found)


def strength(samples: np.ndarray, hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum[round(hz * len(samples) / RATE)])


@pytest.fixture
def no_codec(monkeypatch):
    """Disable the codecs, so that lines have only their other effects."""
    monkeypatch.setattr(telephone, "code", lambda samples, _: samples)


# Codecs


@pytest.mark.parametrize("count", [1, 161, 800, 12345])
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_gives_back_as_much_as_it_was_given(codec, count):
    heard = code(VOICE[:count], codec)
    assert heard.shape == (count,)
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()


@pytest.mark.parametrize(
    ("codec", "alike"), [("mulaw", 0.999), ("alaw", 0.999), ("gsm", 0.9), ("mp3", 0.95), ("opus", 0.95), ("amr", 0.5)]
)
def test_every_codec_gives_back_the_voice_that_it_was_given_at_its_time_and_level(codec, alike):
    heard = code(VOICE, codec)
    correlation, lag = best_match(VOICE, heard)
    assert correlation > alike
    assert abs(lag) <= 0.005 * RATE
    assert rms(heard) == pytest.approx(rms(VOICE), rel=0.15)
    assert rms(heard[-RATE // 4 :]) == pytest.approx(rms(VOICE[-RATE // 4 :]), rel=0.25), "the end is there too"


def test_every_codec_is_measured_above():
    (marked,) = (
        mark
        for mark in test_every_codec_gives_back_the_voice_that_it_was_given_at_its_time_and_level.pytestmark
        if mark.name == "parametrize"
    )
    assert {codec for codec, _ in marked.args[1]} == set(CODECS)


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_loses_something_and_always_the_same(codec):
    heard = code(VOICE, codec)
    assert not np.array_equal(heard, VOICE)
    assert np.array_equal(heard, code(VOICE, codec))


# The line


def test_the_plain_line_cuts_off_what_is_below_and_above_its_band():
    sound = voices.tones(2, 100, 1000, 3900)
    heard = through(sound, PLAIN, anyone())
    for hz in (100, 3900):
        before, after = (strength(one, hz) / strength(one, 1000) for one in (sound, heard))
        assert decibels(after / before) < -20, hz


@pytest.mark.parametrize("hz", [500, 1000, 2000, 3000])
def test_the_plain_line_lets_through_what_is_inside_its_band(hz):
    sound = voices.tones(2, hz, 1500)
    heard = through(sound, PLAIN, anyone())
    assert decibels(strength(heard, hz) / strength(heard, 1500)) == pytest.approx(0, abs=1.5)


@given(st.floats(-36, -16), st.floats(0.001, 1))
@settings(max_examples=20)
def test_a_voice_comes_at_the_level_of_the_line_however_loud_it_was(level_db, peak):
    heard = through(voices.tones(1, 700, 1500, peak=peak), Line(level_db=level_db), anyone())
    assert decibels(rms(heard)) == pytest.approx(level_db, abs=0.5)


@pytest.mark.parametrize("line", [Line(codec="gsm"), Line(codec="amr", noise_db=-20), Line(echo_s=0.4, loss=0.05)])
def test_a_voice_comes_out_of_a_line_as_long_as_it_went_in(line):
    heard = through(VOICE[:9999], line, anyone())
    assert heard.shape == (9999,)
    assert heard.dtype == np.float32


@pytest.mark.usefixtures("no_codec")
@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize("noise_db", [-30, -8])
def test_noise_is_as_far_below_the_voice_as_was_asked_for(noise_db, colour):
    quiet = through(VOICE, WIDE, anyone())
    noisy = through(VOICE, Line(1, 3950, noise_db=noise_db, noise_colour=colour), anyone())
    assert decibels(rms(noisy - quiet) / rms(quiet)) == pytest.approx(noise_db, abs=1)


@pytest.mark.usefixtures("no_codec")
@pytest.mark.parametrize("colour", [0, 1, 2])
def test_noise_of_any_colour_is_heard_inside_the_band_of_the_line(colour):
    quiet = through(VOICE, PLAIN, anyone())
    noisy = through(VOICE, Line(noise_db=-10, noise_colour=colour), anyone())
    assert decibels(rms(noisy - quiet) / rms(quiet)) == pytest.approx(-10, abs=6)


def test_darker_noise_has_more_of_its_strength_below():
    quiet = np.full(4 * RATE, 1e-6)
    low = []
    for colour in (0, 1, 2):
        heard = through(quiet, Line(noise_db=0, noise_colour=colour), anyone())
        power = np.abs(np.fft.rfft(heard)) ** 2
        low.append(power[: len(power) // 4].sum() / power.sum())
    assert low == sorted(low) and low[2] > low[0] + 0.3


@pytest.mark.usefixtures("no_codec")
@pytest.mark.parametrize("seconds", [0.5, 2, 5])
def test_a_recorded_background_is_heard_instead_of_drawn_noise_be_it_short_or_long(seconds):
    quiet = through(VOICE, WIDE, anyone())
    noisy = through(VOICE, Line(1, 3950, noise_db=-12), anyone(), voices.tones(seconds, 1000))
    heard = noisy - quiet
    assert decibels(rms(heard) / rms(quiet)) == pytest.approx(-12, abs=1)
    assert strength(heard, 1000) > 20 * strength(heard, 1700)


def test_a_room_goes_on_sounding_when_the_voice_is_over():
    said = np.concatenate([VOICE[:RATE], np.zeros(RATE // 2, np.float32)])
    after = slice(RATE + 200, RATE + 1000)
    dry, wet = (through(said, Line(echo_s=echo_s), anyone()) for echo_s in (0, 0.6))
    assert rms(wet[after]) > 10 * rms(dry[after])
    assert np.corrcoef(dry, wet)[0, 1] > 0.7, "it is still the same voice"


@pytest.mark.parametrize("speed", [0.93, 1.05])
def test_a_faster_voice_is_shorter_and_higher(speed):
    heard = through(voices.tones(2, 1000), Line(speed=speed), anyone())
    assert len(heard) == pytest.approx(2 * RATE / speed, abs=2)
    spectrum = np.abs(np.fft.rfft(heard))
    assert spectrum.argmax() * RATE / len(heard) == pytest.approx(1000 * speed, abs=2)


def test_lost_packets_are_silent_and_the_others_are_as_they_were():
    said = voices.tones(8, 500, 800) + 0.1
    whole, lossy = (through(said, Line(loss=loss), anyone()).reshape(-1, 160) for loss in (0, 0.2))
    lost = ~lossy.any(axis=1)
    assert np.array_equal(lossy[~lost], whole[~lost])
    assert whole.any(axis=1).all()
    assert lost.mean() == pytest.approx(0.2, abs=0.06)


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_what_a_line_does_is_the_same_from_the_same_seed(seed):
    line = Line(noise_db=-15, noise_colour=0.5, echo_s=0.3, loss=0.1)
    first, second = (through(VOICE[:RATE], line, anyone(seed)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, through(VOICE[:RATE], line, anyone(seed + 1)))


def test_a_loud_line_stays_within_full_scale_before_its_codec(monkeypatch):
    given_to = []
    monkeypatch.setattr(telephone, "code", lambda samples, _: given_to.append(samples) or samples)
    through(VOICE, Line(level_db=0, noise_db=0), anyone())
    assert np.abs(given_to[0]).max() == 1


def test_silence_stays_silence():
    heard = through(np.zeros(RATE, np.float32), Line(noise_db=-10, echo_s=0.2), anyone())
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() < 1e-3


# Draws


@given(st.integers(0, 2**32))
def test_a_line_drawn_from_the_same_seed_is_the_same_and_stays_in_its_range(seed):
    line = draw_line(anyone(seed))
    assert line == draw_line(anyone(seed))
    assert 150 <= line.low_hz <= 400
    assert 3000 <= line.high_hz <= 3700
    assert line.codec in CODECS
    assert -36 <= line.level_db <= -16
    assert line.noise_db is None or -45 <= line.noise_db <= -8
    assert 0 <= line.noise_colour <= 2
    assert line.echo_s == 0 or 0.1 <= line.echo_s <= 0.6
    assert 0.93 <= line.speed <= 1.07
    assert 0 <= line.loss <= 0.05


def test_lines_are_drawn_with_every_codec_and_both_with_and_without_every_fault():
    random = anyone()
    lines = [draw_line(random) for _ in range(300)]
    assert {line.codec for line in lines} == set(CODECS)
    for faults in (
        [line.noise_db is not None for line in lines],
        [line.echo_s > 0 for line in lines],
        [line.speed != 1 for line in lines],
        [line.loss > 0 for line in lines],
    ):
        assert 0.1 < np.mean(faults) < 0.8
    assert len(set(lines)) == 300
