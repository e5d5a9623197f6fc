"""The network's input for a segment: the same shape for any length and level."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.speech.features import FrontEnd, band_spectra, log_mel, mel_filters, network_input, power_spectra
from tests.helpers import voices

FRONT_ENDS = [FrontEnd(), FrontEnd(16000, 400, 160, 512, 64, 60, 7600, 200), FrontEnd(8000, 256, 128, 256, 24)]


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda front_end: f"{front_end.rate} Hz {front_end.bands} bands")
def test_no_band_is_empty(front_end: FrontEnd) -> None:
    filters = mel_filters(front_end)
    assert filters.shape == (front_end.fft // 2 + 1, front_end.bands)
    assert (filters >= 0).all()
    assert (filters.sum(axis=0) > 0).all()


def test_bands_rise_within_edges() -> None:
    front_end = FrontEnd()
    filters, hz = mel_filters(front_end), np.arange(129) * 8000 / 256
    assert not filters[(hz < 250) | (hz > 3500)].any()
    assert (np.diff(filters.argmax(axis=0)) >= 0).all()


def test_filters_match_librosa() -> None:
    librosa_filters = pytest.importorskip("librosa.filters", reason="librosa comes with call-emotions[training]")
    for front_end in FRONT_ENDS:
        expected = librosa_filters.mel(
            sr=front_end.rate,
            n_fft=front_end.fft,
            n_mels=front_end.bands,
            fmin=front_end.low_hz,
            fmax=front_end.high_hz,
        )
        assert np.allclose(mel_filters(front_end), expected.T, atol=1e-7)


@given(st.integers(0, 40_000))
def test_input_has_a_constant_shape(count: int) -> None:
    front_end = FrontEnd()
    features = network_input(np.zeros(count, np.float32) + 0.1, front_end)
    assert features.shape == (front_end.frames, front_end.bands)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_short_segment_is_padded_with_zeros() -> None:
    front_end, sound = FrontEnd(), voices.speech(1)
    features = network_input(sound, front_end)
    frames = (len(sound) - front_end.window) // front_end.hop + 1
    assert not features[frames:].any()
    assert features[:frames].any(axis=1).all()
    assert features[:frames].mean() == pytest.approx(0, abs=1e-4)
    assert features[:frames].std() == pytest.approx(1, abs=1e-2)


def test_long_segment_is_cut() -> None:
    sound = voices.speech(6)
    fitting = network_input(sound[: 299 * 80 + 200], FrontEnd())
    assert np.allclose(network_input(sound, FrontEnd()), fitting, atol=1e-3)


@pytest.mark.parametrize("gain", [0.1, 0.5, 2.0])
def test_gain_does_not_change_input(gain: float) -> None:
    sound = voices.speech(2, peak=0.4) + voices.noise(2, level_db=-50)
    assert np.abs(network_input(sound * np.float32(gain), FrontEnd()) - network_input(sound, FrontEnd())).max() < 1e-3


@pytest.mark.parametrize("count", [0, 1, 199])
def test_short_sound_makes_one_frame(count: int) -> None:
    assert log_mel(np.ones(count, np.float32), FrontEnd()).shape == (1, 40)


def test_partial_frames_are_dropped() -> None:
    shapes = [power_spectra(np.ones(count, np.float32), 200, 80, 256).shape for count in (199, 200, 279, 280)]
    assert shapes == [(0, 129), (1, 129), (1, 129), (2, 129)]


def test_band_spectra_match_the_full_spectrum() -> None:
    sound = voices.speech(1, peak=0.4)
    full = power_spectra(sound, 256, 128, 256)
    band = band_spectra(sound, 256, 128, range(7, 109))
    assert band.dtype == np.float32
    assert np.allclose(band, full[:, 7:109], rtol=1e-3, atol=1e-5 * full.max())
    assert band_spectra(sound[:255], 256, 128, range(7, 109)).shape == (0, 102)


def test_tone_is_loudest_in_its_band() -> None:
    front_end = FrontEnd()
    spectra = power_spectra(voices.tones(1, 1000), front_end.window, front_end.hop, front_end.fft)
    assert set(spectra.argmax(axis=1)) == {32}
    bands = log_mel(voices.tones(1, 1000), front_end).mean(axis=0)
    assert mel_filters(front_end)[32, bands.argmax()] > 0


def test_silence_is_at_the_floor() -> None:
    assert np.allclose(log_mel(np.zeros(8000, np.float32), FrontEnd()), -100, atol=1e-4)


# Whisper's scaling

WHISPER = FrontEnd(16000, 400, 160, 400, 80, 0.0, 8000.0, 500, scaling="whisper", padded=False)


@given(st.integers(0, 100_000))
def test_whisper_frames_follow_the_length(count: int) -> None:
    features = network_input(np.full(count, 0.1, np.float32), WHISPER)
    assert features.shape == (min(500, max(1, count // 160)), 80)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_whisper_input_matches_the_original() -> None:
    librosa = pytest.importorskip("librosa", reason="librosa comes with call-emotions[training]")
    sound = voices.speech(2.5, 16000) + voices.noise(2.5, 16000, level_db=-60)
    # As the authors compute it (whisper/audio.py), without the padding to 30 s.
    power = np.abs(librosa.stft(sound, n_fft=400, hop_length=160, pad_mode="reflect"))[:, :-1] ** 2
    logarithm = np.log10(np.maximum(librosa.filters.mel(sr=16000, n_fft=400, n_mels=80) @ power, 1e-10))
    expected = (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4
    assert network_input(sound, WHISPER) == pytest.approx(expected.T, abs=1e-3)


@pytest.mark.parametrize("gain", [0.1, 0.5, 2.0])
def test_gain_shifts_whisper_input(gain: float) -> None:
    sound = voices.speech(2, 16000) + voices.noise(2, 16000, level_db=-50)
    change = network_input(sound * np.float32(gain), WHISPER) - network_input(sound, WHISPER)
    assert change == pytest.approx(np.full_like(change, np.log10(gain) / 2), abs=1e-3)


def test_whisper_range_is_eight_decades() -> None:
    features = network_input(np.concatenate([voices.speech(1, 16000), np.zeros(16000, np.float32)]), WHISPER)
    assert features.max() - features.min() == pytest.approx(2, abs=1e-5)
    assert network_input(np.zeros(16000, np.float32), WHISPER) == pytest.approx(np.full((100, 80), -1.5), abs=1e-5)


def test_whisper_frames_are_centred() -> None:
    sound = np.zeros(16000, np.float32)
    sound[8000] = 1
    loudness = network_input(sound, WHISPER).mean(axis=1)
    assert loudness.argmax() == 50
    assert loudness[48] == pytest.approx(loudness[52], abs=1e-4)


def test_cut_sound_does_not_change_whisper_input() -> None:
    short, sound = replace(WHISPER, frames=100), voices.speech(1.5, 16000)
    sound[:16000] *= np.float32(1e-4)
    features = network_input(sound, short)
    assert features.shape == (100, 80)
    assert features[:98] == pytest.approx(network_input(sound[:16000], short)[:98], abs=1e-3)


def test_unpadded_input_is_shorter() -> None:
    sound = voices.speech(1)
    padded, unpadded = network_input(sound, FrontEnd()), network_input(sound, FrontEnd(padded=False))
    assert unpadded.shape == (98, 40)
    assert np.array_equal(padded[:98], unpadded)


def test_unknown_scaling_is_refused() -> None:
    with pytest.raises(ValueError, match="no scaling 'loud'"):
        FrontEnd(scaling="loud")
