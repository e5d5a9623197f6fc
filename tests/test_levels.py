"""Recordings at unusual levels: beyond full scale, with a constant offset, very soft."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.audio import open_audio
from analyzer.classifier import Classifier
from analyzer.envelope import unpack
from analyzer.levels import ScaleCount, level_notes, without_offset
from analyzer.recording import Analysis, analyse
from analyzer.speech import SpeechSettings
from tests import voices
from tests.encoders import write_wav, write_with_ffmpeg

CALL = voices.call(12, [(1, 4), (6, 10)], seed=3)


def analysed(path: Path, classifier: Classifier) -> Analysis:
    return analyse(path, classifier, SpeechSettings())


def stored(path: Path, sound: np.ndarray, subtype: str = "FLOAT") -> tuple[np.ndarray, list[str]]:
    """Write a sound; returns the samples that are read back, and the notes."""
    with open_audio(write_wav(path, sound, subtype=subtype)) as stream:
        found = np.concatenate(list(stream.blocks()), axis=1)
        return found, stream.notes


def spans(found: Analysis) -> list[tuple[int, float, float]]:
    return [(row.channel, row.start, row.end) for row in found.rows]


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_integers_stored_as_float_are_scaled_by_their_width(tmp_path: Path, subtype: str, bits: int) -> None:
    integers = np.rint(CALL.astype(np.float64) * 2 ** (bits - 1))
    found, notes = stored(tmp_path / "a.wav", integers, subtype)
    assert np.allclose(found[0], CALL, atol=2.0**-15)
    assert notes == [f"integers stored as float: taken as {bits}-bit samples"]


@pytest.mark.parametrize("container", ["matroska", "mov"])
def test_integers_stored_as_float_are_found_in_other_containers(tmp_path: Path, container: str) -> None:
    path = tmp_path / "a.mka"
    write_with_ffmpeg(path, np.rint(CALL * 32767), 8000, "pcm_f32le", container)
    with open_audio(path) as stream:
        found = np.concatenate(list(stream.blocks()), axis=1)
        assert "pcm_f32le" in stream.codec
        assert stream.notes == ["integers stored as float: taken as 16-bit samples"]
    assert np.allclose(found[0, : len(CALL)], CALL, atol=2.0**-14)


@pytest.mark.parametrize(("peak", "divisor"), [(1.0, 1), (1.5, 2), (2.0, 2), (2.1, 4), (15.0, 16)])
def test_float_samples_beyond_full_scale_are_divided_by_a_power_of_two(
    tmp_path: Path, peak: float, divisor: int
) -> None:
    hot = CALL * np.float32(peak / np.abs(CALL).max())
    found, notes = stored(tmp_path / "a.wav", hot)
    assert np.array_equal(found[0], hot / divisor)
    assert notes == ([f"samples beyond full scale: divided by {divisor}"] if divisor > 1 else [])


def test_both_channels_keep_their_relation(tmp_path: Path) -> None:
    found, _ = stored(tmp_path / "a.wav", np.stack([3 * CALL, 0.5 * CALL]))
    assert np.array_equal(found[0], 6 * found[1])


@pytest.mark.parametrize("stray", [np.nan, np.inf, 3e38, 1e9, 5e5])
def test_stray_values_are_no_integers(tmp_path: Path, stray: float) -> None:
    said = CALL.copy()
    said[5000:5020] = stray
    found, notes = stored(tmp_path / "a.wav", said)
    assert np.array_equal(np.delete(found[0], range(5000, 5020)), np.delete(said, range(5000, 5020)))
    assert notes == []


@pytest.mark.parametrize("block_s", [0.03, 1.0, 60.0])
def test_the_scale_does_not_depend_on_the_blocks(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch, block_s: float
) -> None:
    monkeypatch.setattr("analyzer.stream.BLOCK_S", block_s)
    found = analysed(write_wav(tmp_path / "a.wav", np.rint(CALL * 32767), subtype="FLOAT"), classifier)
    plain = analysed(write_wav(tmp_path / "b.wav", np.rint(CALL * 32767) / 32768, subtype="FLOAT"), classifier)
    assert (found.rows, found.figures, found.sketch) == (plain.rows, plain.figures, plain.sketch)
    assert found.note == "integers stored as float: taken as 16-bit samples"


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
def test_a_constant_offset_counts_in_no_level(tmp_path: Path, classifier: Classifier, offset: float) -> None:
    plain = analysed(write_wav(tmp_path / "a.wav", CALL), classifier)
    found = analysed(write_wav(tmp_path / "b.wav", CALL + np.float32(offset)), classifier)
    assert spans(found) == spans(plain)
    assert [row.level_db for row in found.rows] == pytest.approx([row.level_db for row in plain.rows], abs=0.11)
    assert found.note == f"constant offset: {100 * offset:.0f} % on channel 1"
    drawn, expected = (unpack(each.sketch.envelope, 1) for each in (found, plain))
    assert np.abs(drawn - expected).max() <= 2 / 127


def test_an_offset_of_one_channel_is_noted_for_that_one(tmp_path: Path, classifier: Classifier) -> None:
    other = voices.call(12, [(4.5, 5.5)], seed=8)
    found = analysed(write_wav(tmp_path / "a.wav", np.stack([other, CALL + np.float32(0.1)])), classifier)
    assert found.note == "constant offset: 10 % on channel 2"


def test_sound_without_an_offset_is_left_as_it_is() -> None:
    assert without_offset(CALL) is CALL
    assert without_offset(np.empty(0, np.float32)).shape == (0,)
    assert np.abs(without_offset(CALL + np.float32(0.3)) - CALL).max() < 1e-3


@pytest.mark.parametrize("below_db", [-30, -40, -50])
def test_a_very_soft_voice_is_found_as_a_loud_one_and_noted(
    tmp_path: Path, classifier: Classifier, below_db: float
) -> None:
    sound = voices.call(30, [(1, 4), (6, 10), (20, 25)], seed=3)
    loud = analysed(write_wav(tmp_path / "a.wav", sound), classifier)
    soft = analysed(write_wav(tmp_path / "b.wav", sound * np.float32(10 ** (below_db / 20))), classifier)
    assert soft.figures[1]["talk_s"] == pytest.approx(loud.figures[1]["talk_s"], rel=0.05)
    assert soft.figures[1]["level_db"] == pytest.approx(loud.figures[1]["level_db"] + below_db, abs=1)
    level = soft.figures[1]["level_db"]
    assert loud.note == ""
    assert soft.note == (f"very quiet: {level:.0f} dBFS on channel 1" if level < -45 else "")


def test_notes_name_what_is_odd_and_where() -> None:
    assert level_notes([0.0, 0.019], {1: -20.0, 2: -45.0}) == []
    assert level_notes([0.02, -0.25], {1: -46.0}) == [
        "constant offset: 2 % on channel 1, -25 % on channel 2",
        "very quiet: -46 dBFS on channel 1",
    ]
