"""The sound of a recording as Opus, and the pages that embed it."""

import base64
import io
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analyzer.cli import main
from analyzer.errors import UnreadableRecording
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.report import opus
from tests import voices
from tests.encoders import Encoding, write_wav
from tests.nights import Analyze, a_call
from tests.test_roles import BOTH, analysed
from tests.test_storage import BUCKET, bucket, put, server  # noqa: F401  # two of them are fixtures

RATE = 16_000


def heard_in(sound: bytes) -> np.ndarray:
    """Decode Ogg Opus to samples at 16 kHz, shaped (channels, samples)."""
    samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32", always_2d=True)
    assert rate % RATE == 0
    return samples.T[:, :: rate // RATE]


def alike(some: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of the loudness of two sounds over time; a codec does not keep the waveform."""
    count = min(len(some), len(other)) // 320 * 320
    loudness = [np.sqrt((sound[:count].reshape(-1, 320) ** 2).mean(axis=1)) for sound in (some, other)]
    return float(np.corrcoef(loudness)[0, 1])


@pytest.fixture
def said() -> list[np.ndarray]:
    """Four seconds of three people who speak at different times."""
    spans = ([(0.2, 1.2)], [(1.4, 2.4)], [(2.6, 3.8)])
    return [voices.call(4, spoken, RATE, seed=k) for k, spoken in enumerate(spans)]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_was_said_is_in_the_sound_and_as_long(tmp_path: Path, rate: int, channels: int) -> None:
    spans = ([(0.2, 1.2)], [(1.6, 3.8)])
    said = [voices.call(4, spoken, rate, seed=k) for k, spoken in enumerate(spans)][:channels]
    heard = heard_in(opus.encoded(write_wav(tmp_path / "a.wav", np.stack(said), rate)))
    assert len(heard) == channels
    assert heard.shape[1] == pytest.approx(4 * RATE, abs=0.03 * RATE)
    for k, own in enumerate(said):
        expected = np.interp(np.arange(4 * RATE) / RATE, np.arange(len(own)) / rate, own)
        likeness = [alike(channel, expected) for channel in heard]
        assert likeness[k] > 0.95
        assert max(likeness) == likeness[k]


def test_more_than_two_channels_are_mixed_into_one(tmp_path: Path, said: list[np.ndarray]) -> None:
    heard = heard_in(opus.encoded(write_wav(tmp_path / "a.wav", np.stack(said), RATE)))
    assert len(heard) == 1
    assert alike(heard[0], np.mean(said, axis=0)) > 0.95


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path, said: list[np.ndarray]) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack(said[:2]), RATE)
    assert opus.encoded(path) == opus.encoded(path)


@pytest.mark.parametrize("encoding", ["gsm.wav", "mp3.mp3", "call.alaw", "opus.webm"], indirect=True)
def test_recordings_that_browsers_cannot_play_become_sound_that_they_can(
    encoding: Encoding, recording: tuple[Path, np.ndarray]
) -> None:
    path, said = recording
    heard = heard_in(opus.encoded(path))
    assert heard.shape[1] / RATE == pytest.approx(said.shape[1] / encoding.rate, abs=0.2)
    assert np.abs(heard).max() > 0.1


def test_it_is_small(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([voices.speech(60), voices.speech(60, seed=1)]))
    assert len(opus.encoded(path)) < 60 * 2 * 16_000 / 8 * 1.25


def test_loud_and_silent_and_short_sounds_are_encoded(tmp_path: Path) -> None:
    for k, samples in enumerate((np.full((1, 8000), 1.5), np.zeros((2, 8000)), np.ones((1, 1)), np.ones((2, 90)))):
        assert np.isfinite(heard_in(opus.encoded(write_wav(tmp_path / f"{k}.wav", samples)))).all()


def test_an_address_holds_the_sound(tmp_path: Path) -> None:
    path = a_call(tmp_path / "a.wav")
    kind, comma, sound = opus.data_address(path).partition(",")
    assert (kind, comma) == ("data:audio/ogg;base64", ",")
    assert base64.b64decode(sound, validate=True) == opus.encoded(path)


def test_what_is_too_long_for_a_page_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(3))
    monkeypatch.setattr(opus, "_LONGEST_S", 3)
    assert opus.encoded(path)
    monkeypatch.setattr(opus, "_LONGEST_S", 2)
    with pytest.raises(UnreadableRecording, match="longer than"):
        opus.encoded(path)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("Dear colleague,\n" * 20)
    with pytest.raises(UnreadableRecording, match="no audio format"):
        opus.encoded(tmp_path / "a.wav")


# Pages.

EMBED = ("--format", "html", "--embed-audio")


def sounds(output: Path) -> dict[str, str]:
    """Return what the page of each recording plays."""
    found = {}
    for path in (output / "html" / "calls").rglob("*.html"):
        (address,) = re.findall(r'<audio [^>]*src="([^"]+)"', path.read_text(encoding="utf-8"))
        found[path.name.removesuffix(".html")] = address
    return found


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    for k, name in enumerate(("a.wav", "b.wav")):
        a_call(tmp_path / "calls" / name, seed=k)
    return tmp_path / "calls"


@pytest.fixture
def output(calls: Path, tmp_path: Path, analyze: Analyze) -> Path:
    """Pages with embedded sound."""
    assert analyze(calls, "-o", tmp_path / "out", *EMBED) == 0
    return tmp_path / "out"


def embedded(calls: Path) -> dict[str, str]:
    return {path.name: opus.data_address(path) for path in calls.glob("*.wav")}


def test_a_page_holds_its_sound_where_that_is_asked_for(output: Path, calls: Path) -> None:
    assert sounds(output) == embedded(calls)


def test_sound_may_be_asked_for_later_and_nothing_is_listened_to_again(
    calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, "--format", "html,jsonl") == 0
    assert set(sounds(output).values()) == {f"../../../calls/{name}.wav" for name in "ab"}
    lines = [path.stat().st_mtime_ns for path in output.rglob("*.jsonl")]
    assert analyze(calls, "-o", output, "--format", "html,jsonl", "--embed-audio") == 0
    assert analysed(output) == {}
    assert sounds(output) == embedded(calls)
    assert [path.stat().st_mtime_ns for path in output.rglob("*.jsonl")] == lines


def test_sound_in_a_page_stays_there(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if other metadata change, embedding is not requested again, or the recording can no longer be read."""
    before, told = embedded(calls), tmp_path / "metadata.csv"
    told.write_text("file,queue\na.wav,billing\n")
    monkeypatch.setattr(opus, "open_audio", None)
    assert analyze(calls, "-o", output, *EMBED) == 0
    assert analyze(calls, "-o", output, "--format", "html", "--metadata", told) == 0
    assert b"billing" in (output / "html" / "calls" / "a.wav.html").read_bytes()
    assert sounds(output) == before
    for path in calls.iterdir():
        path.unlink()
    with closing(Ledger(output)) as ledger:
        ledger.nothing_is_written()
    assert main(["report", str(output), "-q"]) == 0
    assert sounds(output) == before


def test_another_recording_is_another_sound(output: Path, calls: Path, analyze: Analyze) -> None:
    before = sounds(output)
    a_call(calls / "a.wav", seed=9).touch()
    assert analyze(calls, "-o", output, *EMBED) == 0
    after = sounds(output)
    assert after == embedded(calls)
    assert after["b.wav"] == before["b.wav"] and after["a.wav"] != before["a.wav"]


def test_other_speakers_leave_the_sound_to_the_next_night_that_asks_for_it(
    output: Path, calls: Path, analyze: Analyze
) -> None:
    assert analyze(calls, "-o", output, *EMBED, *BOTH) == 0
    assert sounds(output) == embedded(calls)


def test_a_page_that_was_deleted_has_a_link_until_a_night_asks_for_its_sound(
    output: Path, calls: Path, analyze: Analyze
) -> None:
    (output / "html" / "calls" / "a.wav.html").unlink()
    assert main(["report", str(output), "-q"]) == 0
    assert sounds(output)["a.wav"] == "../../../calls/a.wav"
    assert analyze(calls, "-o", output, *EMBED) == 0
    assert sounds(output) == embedded(calls)


@pytest.mark.parametrize(("jobs", "others"), [(1, 1), (2, 8)])
def test_a_recording_that_cannot_be_put_into_its_page_is_linked_and_named(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture, jobs: int, others: int
) -> None:
    calls, output, log = tmp_path / "calls", tmp_path / "out", tmp_path / "log"
    a_call(calls / "late.wav")
    for k in range(others):
        a_call(calls / f"{k}.wav", seed=k)
    assert analyze(calls, "-o", output) == 0
    (calls / "late.wav").write_bytes(b"spoilt" * 1000)
    state = (calls / "late.wav").stat()
    with closing(Ledger(output)) as ledger:  # as if it had been damaged after the scan of the run
        (entry,) = [entry for entry in ledger.entries() if entry.identity == Identity("calls", "late.wav")]
        ledger.amend(replace(entry, size=state.st_size, mtime_ns=state.st_mtime_ns))
    capsys.readouterr()
    assert analyze(calls, "-o", output, *EMBED, "--log-file", log, "-q", jobs=jobs) == 0
    assert analysed(output) == {}
    said = [line for line in capsys.readouterr().err.splitlines() if "late.wav" in line]
    assert len(said) == 1
    assert said[0].startswith("calls/late.wav: its sound is not put into the page: ")
    assert "late.wav: its sound" in log.read_text()
    assert sounds(output)["late.wav"] == "../../../calls/late.wav"
    assert sum(address.startswith("data:") for address in sounds(output).values()) == others


def test_recordings_that_are_too_long_are_linked(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(opus, "_LONGEST_S", 1)
    assert analyze(calls, "-o", tmp_path / "out", *EMBED) == 0
    assert capsys.readouterr().err.count("longer than") == 2
    assert set(sounds(tmp_path / "out").values()) == {f"../../../calls/{name}.wav" for name in "ab"}
    assert analyze(calls, "-o", tmp_path / "out", *EMBED) == 0
    assert "longer than" not in capsys.readouterr().err  # it is not retried in every run


@pytest.mark.usefixtures("bucket")
def test_the_sound_of_recordings_in_object_storage_is_in_the_page_or_it_says_why_not(
    calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    output = tmp_path / "out"
    put(calls, f"{BUCKET}/calls")
    assert analyze(f"{BUCKET}/calls", "-o", output, "--format", "html") == 0
    (page, _) = sorted((output / "html" / "calls").iterdir())
    assert "object storage" in page.read_text() and "<audio" not in page.read_text()
    assert analyze(f"{BUCKET}/calls", "-o", output, *EMBED) == 0
    assert sounds(output) == embedded(calls)
