"""The audio of a recording as Opus, and the pages that embed it."""

import base64
import io
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analyzer.commands.main import main
from analyzer.errors import UnreadableRecording
from analyzer.names import Identity
from analyzer.report import opus
from analyzer.store.ledger import Ledger
from tests.helpers import voices
from tests.helpers.bucket import BUCKET, put
from tests.helpers.dialogues import BOTH, analysed
from tests.helpers.encoders import Encoding, write_wav
from tests.helpers.runs import Analyze, a_call

RATE = 16_000


def decoded(sound: bytes) -> np.ndarray:
    """Decode Ogg Opus to samples at 16 kHz, shaped (channels, samples)."""
    samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32", always_2d=True)
    assert rate % RATE == 0
    return samples.T[:, :: rate // RATE]


def loudness_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of the loudness of two signals over time; a codec does not keep the waveform."""
    count = min(len(first), len(second)) // 320 * 320
    loudness = [np.sqrt((sound[:count].reshape(-1, 320) ** 2).mean(axis=1)) for sound in (first, second)]
    return float(np.corrcoef(loudness)[0, 1])


@pytest.fixture
def speaker_signals() -> list[np.ndarray]:
    """Four seconds of three speakers who speak at different times, one signal each."""
    spans = ([(0.2, 1.2)], [(1.4, 2.4)], [(2.6, 3.8)])
    return [voices.call(4, spoken, RATE, seed=seed) for seed, spoken in enumerate(spans)]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_encoding_keeps_content_and_length(tmp_path: Path, rate: int, channels: int) -> None:
    spans = ([(0.2, 1.2)], [(1.6, 3.8)])
    signals = [voices.call(4, spoken, rate, seed=index) for index, spoken in enumerate(spans)][:channels]
    result = decoded(opus.encoded(write_wav(tmp_path / "a.wav", np.stack(signals), rate)))
    assert len(result) == channels
    assert result.shape[1] == pytest.approx(4 * RATE, abs=0.03 * RATE)
    for index, signal in enumerate(signals):
        expected = np.interp(np.arange(4 * RATE) / RATE, np.arange(len(signal)) / rate, signal)
        correlations = [loudness_correlation(channel, expected) for channel in result]
        assert correlations[index] > 0.95
        assert max(correlations) == correlations[index]


def test_more_than_two_channels_are_mixed(tmp_path: Path, speaker_signals: list[np.ndarray]) -> None:
    result = decoded(opus.encoded(write_wav(tmp_path / "a.wav", np.stack(speaker_signals), RATE)))
    assert len(result) == 1
    assert loudness_correlation(result[0], np.mean(speaker_signals, axis=0)) > 0.95


def test_encoding_is_reproducible(tmp_path: Path, speaker_signals: list[np.ndarray]) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack(speaker_signals[:2]), RATE)
    assert opus.encoded(path) == opus.encoded(path)


@pytest.mark.parametrize("encoding", ["gsm.wav", "mp3.mp3", "call.alaw", "opus.webm"], indirect=True)
def test_other_codecs_are_converted(encoding: Encoding, recording: tuple[Path, np.ndarray]) -> None:
    path, samples = recording
    result = decoded(opus.encoded(path))
    assert result.shape[1] / RATE == pytest.approx(samples.shape[1] / encoding.rate, abs=0.2)
    assert np.abs(result).max() > 0.1


def test_encoded_size(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.stack([voices.speech(60), voices.speech(60, seed=1)]))
    assert len(opus.encoded(path)) < 60 * 2 * 16_000 / 8 * 1.25


def test_extreme_samples_are_encoded(tmp_path: Path) -> None:
    for number, samples in enumerate((np.full((1, 8000), 1.5), np.zeros((2, 8000)), np.ones((1, 1)), np.ones((2, 90)))):
        assert np.isfinite(decoded(opus.encoded(write_wav(tmp_path / f"{number}.wav", samples)))).all()


def test_data_address_contains_audio(tmp_path: Path) -> None:
    path = a_call(tmp_path / "a.wav")
    prefix, comma, sound = opus.data_address(path).partition(",")
    assert (prefix, comma) == ("data:audio/ogg;base64", ",")
    assert base64.b64decode(sound, validate=True) == opus.encoded(path)


def test_long_recording_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_wav(tmp_path / "a.wav", voices.speech(3))
    monkeypatch.setattr(opus, "_LONGEST_S", 3)
    assert opus.encoded(path)
    monkeypatch.setattr(opus, "_LONGEST_S", 2)
    with pytest.raises(UnreadableRecording, match="longer than"):
        opus.encoded(path)


def test_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("Dear colleague,\n" * 20)
    with pytest.raises(UnreadableRecording, match="unsupported"):
        opus.encoded(tmp_path / "a.wav")


# Pages.

EMBED_OPTIONS = ("--format", "html", "--embed-audio")


def audio_addresses(output: Path) -> dict[str, str]:
    """Return the address of the audio in the page of each recording."""
    addresses = {}
    for path in (output / "html" / "calls").rglob("*.html"):
        (address,) = re.findall(r'<audio [^>]*src="([^"]+)"', path.read_text(encoding="utf-8"))
        addresses[path.name.removesuffix(".html")] = address
    return addresses


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.wav", "b.wav")):
        a_call(tmp_path / "calls" / name, seed=seed)
    return tmp_path / "calls"


@pytest.fixture
def output(calls: Path, tmp_path: Path, analyze: Analyze) -> Path:
    """Pages with embedded audio."""
    assert analyze(calls, "-o", tmp_path / "out", *EMBED_OPTIONS) == 0
    return tmp_path / "out"


def expected_addresses(calls: Path) -> dict[str, str]:
    return {path.name: opus.data_address(path) for path in calls.glob("*.wav")}


def test_page_embeds_audio(output: Path, calls: Path) -> None:
    assert audio_addresses(output) == expected_addresses(calls)


def test_audio_is_embedded_later_without_analysis(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, "--format", "html,jsonl") == 0
    assert set(audio_addresses(output).values()) == {f"../../../calls/{name}.wav" for name in "ab"}
    line_times = [path.stat().st_mtime_ns for path in output.rglob("*.jsonl")]
    assert analyze(calls, "-o", output, "--format", "html,jsonl", "--embed-audio") == 0
    assert analysed(output) == {}
    assert audio_addresses(output) == expected_addresses(calls)
    assert [path.stat().st_mtime_ns for path in output.rglob("*.jsonl")] == line_times


def test_embedded_audio_is_kept(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if other metadata change, embedding is not requested again, or the recording can no longer be read."""
    before, metadata = expected_addresses(calls), tmp_path / "metadata.csv"
    metadata.write_text("file,queue\na.wav,billing\n")
    monkeypatch.setattr(opus, "open_audio", None)
    assert analyze(calls, "-o", output, *EMBED_OPTIONS) == 0
    assert analyze(calls, "-o", output, "--format", "html", "--metadata", metadata) == 0
    assert b"billing" in (output / "html" / "calls" / "a.wav.html").read_bytes()
    assert audio_addresses(output) == before
    for path in calls.iterdir():
        path.unlink()
    with closing(Ledger(output)) as ledger:
        ledger.mark_all_unwritten()
    assert main(["report", str(output), "-q"]) == 0
    assert audio_addresses(output) == before


def test_changed_recording_changes_audio(output: Path, calls: Path, analyze: Analyze) -> None:
    before = audio_addresses(output)
    a_call(calls / "a.wav", seed=9).touch()
    assert analyze(calls, "-o", output, *EMBED_OPTIONS) == 0
    after = audio_addresses(output)
    assert after == expected_addresses(calls)
    assert after["b.wav"] == before["b.wav"] and after["a.wav"] != before["a.wav"]


def test_changed_roles_keep_embedded_audio(output: Path, calls: Path, analyze: Analyze) -> None:
    assert analyze(calls, "-o", output, *EMBED_OPTIONS, *BOTH) == 0
    assert audio_addresses(output) == expected_addresses(calls)


def test_restored_page_has_link_until_next_embedding(output: Path, calls: Path, analyze: Analyze) -> None:
    (output / "html" / "calls" / "a.wav.html").unlink()
    assert main(["report", str(output), "-q"]) == 0
    assert audio_addresses(output)["a.wav"] == "../../../calls/a.wav"
    assert analyze(calls, "-o", output, *EMBED_OPTIONS) == 0
    assert audio_addresses(output) == expected_addresses(calls)


@pytest.mark.parametrize(("jobs", "readable"), [(1, 1), (2, 8)])
def test_unreadable_recording_is_linked_and_reported(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture, jobs: int, readable: int
) -> None:
    calls, output, log = tmp_path / "calls", tmp_path / "out", tmp_path / "log"
    a_call(calls / "late.wav")
    for number in range(readable):
        a_call(calls / f"{number}.wav", seed=number)
    assert analyze(calls, "-o", output) == 0
    (calls / "late.wav").write_bytes(b"spoilt" * 1000)
    state = (calls / "late.wav").stat()
    with closing(Ledger(output)) as ledger:  # as if it had been damaged after the scan of the run
        (entry,) = [entry for entry in ledger.entries() if entry.identity == Identity("calls", "late.wav")]
        ledger.amend(replace(entry, size=state.st_size, mtime_ns=state.st_mtime_ns))
    capsys.readouterr()
    assert analyze(calls, "-o", output, *EMBED_OPTIONS, "--log-file", log, "-q", jobs=jobs) == 0
    assert analysed(output) == {}
    messages = [line for line in capsys.readouterr().err.splitlines() if "late.wav" in line]
    assert len(messages) == 1
    assert messages[0].startswith("calls/late.wav: its sound is not put into the page: ")
    assert "late.wav: its sound" in log.read_text()
    assert audio_addresses(output)["late.wav"] == "../../../calls/late.wav"
    assert sum(address.startswith("data:") for address in audio_addresses(output).values()) == readable


def test_long_recordings_are_linked(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(opus, "_LONGEST_S", 1)
    assert analyze(calls, "-o", tmp_path / "out", *EMBED_OPTIONS) == 0
    assert capsys.readouterr().err.count("longer than") == 2
    assert set(audio_addresses(tmp_path / "out").values()) == {f"../../../calls/{name}.wav" for name in "ab"}
    assert analyze(calls, "-o", tmp_path / "out", *EMBED_OPTIONS) == 0
    assert "longer than" not in capsys.readouterr().err  # it is not retried in every run


@pytest.mark.usefixtures("bucket")
def test_audio_from_object_storage(calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    output = tmp_path / "out"
    put(calls, f"{BUCKET}/calls")
    assert analyze(f"{BUCKET}/calls", "-o", output, "--format", "html") == 0
    (page, _) = sorted((output / "html" / "calls").iterdir())
    assert "object storage" in page.read_text() and "<audio" not in page.read_text()
    assert analyze(f"{BUCKET}/calls", "-o", output, *EMBED_OPTIONS) == 0
    assert audio_addresses(output) == expected_addresses(calls)
