"""Recordings at unusual levels: beyond full scale, with a constant offset, very soft."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis.recording import Analysis, analyse
from analyzer.audio.envelope import unpack
from analyzer.audio.levels import ScaleCount, level_notes, without_offset
from analyzer.audio.reader import open_audio
from analyzer.model.classifier import Classifier
from analyzer.speech.detector import SpeechSettings
from tests.helpers import voices
from tests.helpers.encoders import write_wav, write_with_ffmpeg

CALL = voices.call(12, [(1, 4), (6, 10)], seed=3)


def analysed(path: Path, classifier: Classifier) -> Analysis:
    return analyse(path, classifier, SpeechSettings())


def read_back(path: Path, sound: np.ndarray, subtype: str = "FLOAT") -> tuple[np.ndarray, list[str]]:
    """Write a sound; returns the samples that are read back, and the notes."""
    with open_audio(write_wav(path, sound, subtype=subtype)) as stream:
        samples = np.concatenate(list(stream.blocks()), axis=1)
        return samples, stream.notes


def row_times(analysis: Analysis) -> list[tuple[int, float, float]]:
    return [(row.channel, row.start, row.end) for row in analysis.rows]


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_integers_in_float_are_scaled_by_width(tmp_path: Path, subtype: str, bits: int) -> None:
    integers = np.rint(CALL.astype(np.float64) * 2 ** (bits - 1))
    samples, notes = read_back(tmp_path / "a.wav", integers, subtype)
    assert np.allclose(samples[0], CALL, atol=2.0**-15)
    assert notes == [f"integers stored as float: taken as {bits}-bit samples"]


@pytest.mark.parametrize("container", ["matroska", "mov"])
def test_integers_in_float_of_other_containers(tmp_path: Path, container: str) -> None:
    path = tmp_path / "a.mka"
    write_with_ffmpeg(path, np.rint(CALL * 32767), 8000, "pcm_f32le", container)
    with open_audio(path) as stream:
        samples = np.concatenate(list(stream.blocks()), axis=1)
        assert "pcm_f32le" in stream.codec
        assert stream.notes == ["integers stored as float: taken as 16-bit samples"]
    assert np.allclose(samples[0, : len(CALL)], CALL, atol=2.0**-14)


@pytest.mark.parametrize(("peak", "divisor"), [(1.0, 1), (1.5, 2), (2.0, 2), (2.1, 4), (15.0, 16)])
def test_excess_samples_are_divided(tmp_path: Path, peak: float, divisor: int) -> None:
    original = CALL * np.float32(peak / np.abs(CALL).max())
    samples, notes = read_back(tmp_path / "a.wav", original)
    assert np.array_equal(samples[0], original / divisor)
    assert notes == ([f"samples beyond full scale: divided by {divisor}"] if divisor > 1 else [])


def test_scaling_keeps_channel_balance(tmp_path: Path) -> None:
    samples, _ = read_back(tmp_path / "a.wav", np.stack([3 * CALL, 0.5 * CALL]))
    assert np.array_equal(samples[0], 6 * samples[1])


@pytest.mark.parametrize("stray", [np.nan, np.inf, 3e38, 1e9, 5e5])
def test_stray_values_are_ignored(tmp_path: Path, stray: float) -> None:
    original = CALL.copy()
    original[5000:5020] = stray
    samples, notes = read_back(tmp_path / "a.wav", original)
    assert np.array_equal(np.delete(samples[0], range(5000, 5020)), np.delete(original, range(5000, 5020)))
    assert notes == []


@pytest.mark.parametrize("block_s", [0.03, 1.0, 60.0])
def test_blocks_do_not_change_scale(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, block_s: float
) -> None:
    monkeypatch.setattr("analyzer.audio.stream.BLOCK_S", block_s)
    scaled = analysed(write_wav(tmp_path / "a.wav", np.rint(CALL * 32767), subtype="FLOAT"), classifier)
    plain = analysed(write_wav(tmp_path / "b.wav", np.rint(CALL * 32767) / 32768, subtype="FLOAT"), classifier)
    assert (scaled.rows, scaled.statistics, scaled.drawing) == (plain.rows, plain.statistics, plain.drawing)
    assert scaled.note == "integers stored as float: taken as 16-bit samples"


@settings(max_examples=60)
@given(st.lists(st.floats(width=32), max_size=300), st.integers(1, 50))
def test_any_samples_have_a_scale(samples: list[float], cut: int) -> None:
    sound = np.array(samples, np.float32)
    at_once, in_blocks = ScaleCount(), ScaleCount()
    at_once.push(sound)
    for start in range(0, len(sound), cut):
        in_blocks.push(sound[start : start + cut])
    assert at_once.full_scale == in_blocks.full_scale
    assert at_once.full_scale in {1, 2, 4, 8, 16, 2**15, 2**23, 2**31, 2**32}


@pytest.mark.parametrize("offset", [-0.5, 0.25])
def test_offset_changes_no_level(tmp_path: Path, classifier: Classifier, offset: float) -> None:
    plain = analysed(write_wav(tmp_path / "a.wav", CALL), classifier)
    shifted = analysed(write_wav(tmp_path / "b.wav", CALL + np.float32(offset)), classifier)
    assert row_times(shifted) == row_times(plain)
    assert [row.level_db for row in shifted.rows] == pytest.approx([row.level_db for row in plain.rows], abs=0.11)
    assert shifted.note == f"constant offset: {100 * offset:.0f} % on channel 1"
    drawn, expected = (unpack(analysis.drawing.envelope, 1) for analysis in (shifted, plain))
    assert np.abs(drawn - expected).max() <= 2 / 127


def test_offset_note_names_channel(tmp_path: Path, classifier: Classifier) -> None:
    other = voices.call(12, [(4.5, 5.5)], seed=8)
    analysis = analysed(write_wav(tmp_path / "a.wav", np.stack([other, CALL + np.float32(0.1)])), classifier)
    assert analysis.note == "constant offset: 10 % on channel 2"


def test_zero_offset_changes_nothing() -> None:
    assert without_offset(CALL) is CALL
    assert without_offset(np.empty(0, np.float32)).shape == (0,)
    assert np.abs(without_offset(CALL + np.float32(0.3)) - CALL).max() < 1e-3


@pytest.mark.parametrize("below_db", [-30, -40, -50])
def test_soft_voice_is_found_and_noted(tmp_path: Path, classifier: Classifier, below_db: float) -> None:
    sound = voices.call(30, [(1, 4), (6, 10), (20, 25)], seed=3)
    loud = analysed(write_wav(tmp_path / "a.wav", sound), classifier)
    soft = analysed(write_wav(tmp_path / "b.wav", sound * np.float32(10 ** (below_db / 20))), classifier)
    assert soft.statistics[1].talk_s == pytest.approx(loud.statistics[1].talk_s, rel=0.05)
    assert soft.statistics[1].level_db == pytest.approx(loud.statistics[1].level_db + below_db, abs=1)
    level = soft.statistics[1].level_db
    assert loud.note == ""
    assert soft.note == (f"very quiet: {level:.0f} dBFS on channel 1" if level < -45 else "")


def test_notes_name_the_channel() -> None:
    assert level_notes([0.0, 0.019], {1: -20.0, 2: -45.0}) == []
    assert level_notes([0.02, -0.25], {1: -46.0}) == [
        "constant offset: 2 % on channel 1, -25 % on channel 2",
        "very quiet: -46 dBFS on channel 1",
    ]
