"""Simulated telephone lines: effects and codecs, reproducible for a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import voices
from training.data import telephone
from training.data.telephone import CODECS, PLAIN, RATE, Line, code, draw_line, simulate_line

#: A line that passes the complete band, so that its other effects can be measured.
WIDE = Line(low_hz=1, high_hz=3950)
VOICE = voices.speech(2)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=float))))


def decibels(share: float) -> float:
    return float(20 * np.log10(share))


def best_match(source: np.ndarray, output: np.ndarray, margin: int = 80) -> tuple[float, int]:
    """Return the highest correlation over lags of up to 10 ms, and its lag in samples."""
    middle = source[margin:-margin]
    matches = [
        (np.corrcoef(middle, output[margin + lag : len(output) - margin + lag])[0, 1], lag) for lag in range(-80, 81)
    ]
    return max(matches)


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
def test_codec_keeps_length(codec, count):
    output = code(VOICE[:count], codec)
    assert output.shape == (count,)
    assert output.dtype == np.float32
    assert np.isfinite(output).all()


@pytest.mark.parametrize(
    ("codec", "similarity"),
    [("mulaw", 0.999), ("alaw", 0.999), ("gsm", 0.9), ("mp3", 0.95), ("opus", 0.95), ("amr", 0.5)],
)
def test_codec_keeps_voice_delay_and_level(codec, similarity):
    output = code(VOICE, codec)
    correlation, lag = best_match(VOICE, output)
    assert correlation > similarity
    assert abs(lag) <= 0.005 * RATE
    assert rms(output) == pytest.approx(rms(VOICE), rel=0.15)
    assert rms(output[-RATE // 4 :]) == pytest.approx(rms(VOICE[-RATE // 4 :]), rel=0.25), "the end is there too"


def test_every_codec_is_measured():
    (marked,) = (mark for mark in test_codec_keeps_voice_delay_and_level.pytestmark if mark.name == "parametrize")
    assert {codec for codec, _ in marked.args[1]} == set(CODECS)


@pytest.mark.parametrize("codec", CODECS)
def test_codec_loss_is_reproducible(codec):
    output = code(VOICE, codec)
    assert not np.array_equal(output, VOICE)
    assert np.array_equal(output, code(VOICE, codec))


# The line


def test_plain_line_cuts_outside_its_band():
    sound = voices.tones(2, 100, 1000, 3900)
    output = simulate_line(sound, PLAIN, generator())
    for hz in (100, 3900):
        before, after = (strength(signal, hz) / strength(signal, 1000) for signal in (sound, output))
        assert decibels(after / before) < -20, hz


@pytest.mark.parametrize("hz", [500, 1000, 2000, 3000])
def test_plain_line_passes_its_band(hz):
    sound = voices.tones(2, hz, 1500)
    output = simulate_line(sound, PLAIN, generator())
    assert decibels(strength(output, hz) / strength(output, 1500)) == pytest.approx(0, abs=1.5)


@given(st.floats(-36, -16), st.floats(0.001, 1))
@settings(max_examples=20)
def test_line_sets_voice_level(level_db, peak):
    output = simulate_line(voices.tones(1, 700, 1500, peak=peak), Line(level_db=level_db), generator())
    assert decibels(rms(output)) == pytest.approx(level_db, abs=0.5)


@pytest.mark.parametrize("line", [Line(codec="gsm"), Line(codec="amr", noise_db=-20), Line(echo_s=0.4, loss=0.05)])
def test_line_keeps_length(line):
    output = simulate_line(VOICE[:9999], line, generator())
    assert output.shape == (9999,)
    assert output.dtype == np.float32


@pytest.mark.usefixtures("no_codec")
@pytest.mark.parametrize("colour", [0, 1])
@pytest.mark.parametrize("noise_db", [-30, -8])
def test_noise_has_requested_level(noise_db, colour):
    quiet = simulate_line(VOICE, WIDE, generator())
    noisy = simulate_line(VOICE, Line(1, 3950, noise_db=noise_db, noise_colour=colour), generator())
    assert decibels(rms(noisy - quiet) / rms(quiet)) == pytest.approx(noise_db, abs=1)


@pytest.mark.usefixtures("no_codec")
@pytest.mark.parametrize("colour", [0, 1, 2])
def test_coloured_noise_is_inside_the_band(colour):
    quiet = simulate_line(VOICE, PLAIN, generator())
    noisy = simulate_line(VOICE, Line(noise_db=-10, noise_colour=colour), generator())
    assert decibels(rms(noisy - quiet) / rms(quiet)) == pytest.approx(-10, abs=6)


def test_darker_noise_has_lower_frequencies():
    quiet = np.full(4 * RATE, 1e-6)
    low_shares = []
    for colour in (0, 1, 2):
        output = simulate_line(quiet, Line(noise_db=0, noise_colour=colour), generator())
        power = np.abs(np.fft.rfft(output)) ** 2
        low_shares.append(power[: len(power) // 4].sum() / power.sum())
    assert low_shares == sorted(low_shares) and low_shares[2] > low_shares[0] + 0.3


def test_echo_continues_after_voice():
    source = np.concatenate([VOICE[:RATE], np.zeros(RATE // 2, np.float32)])
    after = slice(RATE + 200, RATE + 1000)
    dry, wet = (simulate_line(source, Line(echo_s=echo_s), generator()) for echo_s in (0, 0.6))
    assert rms(wet[after]) > 10 * rms(dry[after])
    assert np.corrcoef(dry, wet)[0, 1] > 0.7, "it is still the same voice"


@pytest.mark.parametrize("speed", [0.93, 1.05])
def test_faster_voice_is_shorter_and_higher(speed):
    output = simulate_line(voices.tones(2, 1000), Line(speed=speed), generator())
    assert len(output) == pytest.approx(2 * RATE / speed, abs=2)
    spectrum = np.abs(np.fft.rfft(output))
    assert spectrum.argmax() * RATE / len(output) == pytest.approx(1000 * speed, abs=2)


def test_only_lost_packets_are_silent():
    source = voices.tones(8, 500, 800) + 0.1
    intact, lossy = (simulate_line(source, Line(loss=loss), generator()).reshape(-1, 160) for loss in (0, 0.2))
    lost = ~lossy.any(axis=1)
    assert np.array_equal(lossy[~lost], intact[~lost])
    assert intact.any(axis=1).all()
    assert lost.mean() == pytest.approx(0.2, abs=0.06)


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_line_is_reproducible(seed):
    line = Line(noise_db=-15, noise_colour=0.5, echo_s=0.3, loss=0.1)
    first, second = (simulate_line(VOICE[:RATE], line, generator(seed)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, simulate_line(VOICE[:RATE], line, generator(seed + 1)))


def test_loud_line_is_limited_before_codec(monkeypatch):
    codec_inputs = []
    monkeypatch.setattr(telephone, "code", lambda samples, _: codec_inputs.append(samples) or samples)
    simulate_line(VOICE, Line(level_db=0, noise_db=0), generator())
    assert np.abs(codec_inputs[0]).max() == 1


def test_silence_stays_silence():
    output = simulate_line(np.zeros(RATE, np.float32), Line(noise_db=-10, echo_s=0.2), generator())
    assert np.isfinite(output).all()
    assert np.abs(output).max() < 1e-3


# Draws


@given(st.integers(0, 2**32))
def test_drawn_line_is_reproducible_and_in_range(seed):
    line = draw_line(generator(seed))
    assert line == draw_line(generator(seed))
    assert 150 <= line.low_hz <= 400
    assert 3000 <= line.high_hz <= 3700
    assert line.codec in CODECS
    assert -36 <= line.level_db <= -16
    assert line.noise_db is None or -45 <= line.noise_db <= -8
    assert 0 <= line.noise_colour <= 2
    assert line.echo_s == 0 or 0.1 <= line.echo_s <= 0.6
    assert 0.93 <= line.speed <= 1.07
    assert 0 <= line.loss <= 0.05


def test_drawn_lines_cover_codecs_and_faults():
    random = generator()
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
