"""Slow tests, and tests that need real recordings or LibreOffice; here a missing tool is an error, never a skip."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from python_calamine import CalamineWorkbook

from benchmarks import archive, calls, measure
from tests.helpers import voices
from tests.helpers.runs import Analyze, Run, contents, read_csv, read_workbook, states
from tests.helpers.tiny_model import make_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

REAL_CALLS = Path(__file__).parents[3] / "shared" / "calls"
AUTO2 = "Auto2_GUID_002_AGENT_SteveE_DT_2025-02-20T08-02-20.wav"

#: Length of the long call in hours, and number of recordings in an archive of short ones.
HOURS, RECORDINGS = 10, 100_000


@pytest.fixture(scope="module")
def long_call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten hours of a call between two speakers, 8 kHz PCM."""
    path = tmp_path_factory.mktemp("long") / "calls" / "ten-hours.wav"
    path.parent.mkdir()
    turns = [(start + 0.5, start + 4) for start in range(0, 300, 10)]
    caller = voices.call(300, turns, pitch=200, seed=1)
    agent = voices.call(300, [(begin + 5, end + 5) for begin, end in turns], pitch=110, seed=2)
    block = np.stack([caller, agent], axis=1)
    with soundfile.SoundFile(path, "w", 8000, 2, "PCM_16") as file:
        for _ in range(HOURS * 12):
            file.write(block)
    return path


def test_ten_hours_take_under_400_megabytes(long_call: Path, tmp_path: Path) -> None:
    cost = measure.analyze(long_call.parent, tmp_path / "out", "-j", 1)
    assert cost.tree_mb < 400
    rows = read_csv(tmp_path / "out" / "recordings.csv")
    assert [(row["channel"], row["length_s"]) for row in rows] == [
        ("1", f"{HOURS * 3600}.000"),
        ("2", f"{HOURS * 3600}.000"),
    ]
    assert [float(row["talk_s"]) for row in rows] == pytest.approx([HOURS * 12 * 30 * 3.5] * 2, rel=0.03)


def test_large_report_takes_under_a_gigabyte(tmp_path: Path) -> None:
    output = archive.make_archive(tmp_path / "out", RECORDINGS)
    cost = measure.run([sys.executable, "-m", "analyzer", "report", output, "--format", "csv,xlsx"])
    assert cost.tree_mb < 1024
    assert len((output / "recordings.csv").read_bytes().splitlines()) == 2 * RECORDINGS + 1
    book = CalamineWorkbook.from_path(output / "summary.xlsx")
    assert book.get_sheet_by_name("Recordings").height == 2 * RECORDINGS + 1


def test_large_archive_takes_under_600_megabytes(
    tmp_path: Path,
) -> None:
    archive, output = calls.make_short(tmp_path / "calls", RECORDINGS), tmp_path / "out"
    assert measure.analyze(archive, output, "-j", 2).parent_mb < 600
    assert len((output / "files.csv").read_bytes().splitlines()) == RECORDINGS + 1
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.suffix in (".csv", ".xlsx")}
    assert len(before) == RECORDINGS + 3
    assert measure.analyze(archive, output, "-j", 2).parent_mb < 600
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.fixture(scope="module")
def real_run(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Run:
    """The results of the real recordings beside the checkout, analysed once with the model that ships."""
    assert REAL_CALLS.is_dir(), f"the slow suite needs the real recordings at {REAL_CALLS}"
    from analyzer.model.classifier import find_model

    output = tmp_path_factory.mktemp("real") / "out"
    return Run(REAL_CALLS, output, analyze(REAL_CALLS, "-o", output, model=find_model("default"), jobs=2))


def test_failed_real_calls_have_reasons(real_run: Run) -> None:
    failed = [entry for entry in real_run.table("files.csv") if entry["status"] == "failed"]
    assert real_run.status == int(bool(failed))
    assert all(entry["reason"] for entry in failed)


def test_real_calls_have_timelines(real_run: Run) -> None:
    statuses = {entry["file"].removeprefix("calls/"): entry["status"] for entry in real_run.table("files.csv")}
    assert set(statuses) == {str(file.relative_to(REAL_CALLS)) for file in REAL_CALLS.rglob("*") if file.is_file()}
    assert statuses["README.md"] == "skipped"
    for path, status in statuses.items():
        if status in ("ok", "no_speech"):
            assert bool(real_run.timeline(path)) == (status == "ok")
    assert statuses[AUTO2] == statuses["twospeakers.wav"] == statuses["agent1.wav"] == "ok"


def gated_s(sound: np.ndarray, rate: int) -> float:
    """Return seconds of speech by an energy gate: 10 ms frames within 35 dB of the peak, gaps up to 0.25 s bridged."""
    hop = rate // 100
    frames = sound[: len(sound) // hop * hop].reshape(-1, hop)
    level = 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - 35)
    gaps = np.diff(loud)
    return (len(loud) + int(gaps[(gaps > 1) & (gaps <= 26)].sum() - ((gaps > 1) & (gaps <= 26)).sum())) / 100


def test_energy_gate_counts_speech() -> None:
    sound = np.zeros(80_000)
    for start, end in ((1.0, 2.0), (2.2, 3.0), (3.3, 4.0)):
        sound[int(start * 8000) : int(end * 8000)] = 0.5
    # 1.0 to 3.0 with the pause of 0.2 s bridged; the pause of 0.3 s is not.
    assert gated_s(sound, 8000) == pytest.approx(2.7, abs=0.011)


def test_real_talking_time_equals_energy_gate(real_run: Run) -> None:
    sound, rate = soundfile.read(REAL_CALLS / AUTO2)
    rows = [row for row in real_run.table("recordings.csv") if row["recording"] == f"calls/{AUTO2}"]
    assert [row["channel"] for row in rows] == ["1", "2"]
    for channel, figures in enumerate(rows):
        assert float(figures["talk_s"]) == pytest.approx(gated_s(sound[:, channel], rate), rel=0.1)


def test_second_run_analyses_nothing(real_run: Run, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    from analyzer.model.classifier import find_model

    tables = ("**/*.csv", "summary.xlsx")
    before = [states(real_run.output, pattern) for pattern in tables]
    assert analyze(real_run.calls, "-o", real_run.output, "--dry-run", model=find_model("default")) == 0
    assert "would analyse 0 recordings" in capsys.readouterr().out
    assert analyze(real_run.calls, "-o", real_run.output, model=find_model("default")) == real_run.status
    assert [states(real_run.output, pattern) for pattern in tables] == before


def test_results_do_not_depend_on_jobs(real_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    from analyzer.model.classifier import find_model

    assert analyze(real_run.calls, "-o", tmp_path / "out", model=find_model("default"), jobs=1) == real_run.status
    assert contents(tmp_path / "out") == contents(real_run.output)
    assert read_workbook(tmp_path / "out" / "summary.xlsx") == real_run.cells()


@pytest.mark.parametrize("run", ["good_run", "bad_run"])
def test_libreoffice_opens_workbook(run: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    soffice = shutil.which("soffice") or shutil.which("libreoffice")
    assert soffice, "the slow suite needs LibreOffice (soffice) on the PATH"
    workbook = request.getfixturevalue(run).output / "summary.xlsx"
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    for file_format in ("pdf", "ods"):
        subprocess.run(
            [soffice, profile, "--headless", "--convert-to", file_format, "--outdir", tmp_path, workbook],
            check=True,
            capture_output=True,
            timeout=300,
        )
    assert (tmp_path / "summary.pdf").read_bytes().startswith(b"%PDF-")
    assert (tmp_path / "summary.ods").stat().st_size > 1000
    assert shutil.which("pdftotext"), "the slow suite needs pdftotext on the PATH"
    text = subprocess.run(["pdftotext", tmp_path / "summary.pdf", "-"], check=True, capture_output=True).stdout.decode()
    assert "###" not in text
    assert "Emotions in calls" in text
    assert request.getfixturevalue(run).table("recordings.csv")[0]["recording"] in text


def test_many_recordings_give_same_bytes(tmp_path: Path, analyze: Analyze) -> None:
    """More recordings than in the fast suite, two jobs against one."""
    from tests.helpers.encoders import ENCODINGS

    calls = tmp_path / "calls"
    calls.mkdir()
    for seed, encoding in enumerate(ENCODINGS.values()):
        encoding.write(calls, voices.call(30, [(1, 9), (12, 19), (22, 29)], encoding.rate, seed=seed))
    for name, jobs in (("one", 1), ("two", 2)):
        assert analyze(calls, "-o", tmp_path / name, jobs=jobs) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert read_workbook(tmp_path / "one" / "summary.xlsx") == read_workbook(tmp_path / "two" / "summary.xlsx")


def test_killed_run_is_finished_by_the_next(tmp_path: Path, analyze: Analyze) -> None:
    """The run gets SIGKILL as soon as each further timeline appears."""
    calls, model = tmp_path / "calls", make_tiny_model(tmp_path / "tiny")
    calls.mkdir()
    for seed in range(4):
        sound = voices.call(8, [(1, 7)], seed=seed)
        soundfile.write(calls / f"{seed}.wav", sound, 8000)
    output, reference = tmp_path / "out", tmp_path / "reference"
    command = [sys.executable, "-m", "analyzer", "analyze", calls, "-o", output, "-j", "1", "-q", "--model", model]
    for finished in range(1, 5):
        with subprocess.Popen([os.fspath(part) for part in command]) as process:
            while process.poll() is None and len(list(output.glob("timelines/calls/*.csv"))) < finished:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.01)
            process.kill()
    assert analyze(calls, "-o", output, model=model) == 0
    assert analyze(calls, "-o", reference, model=model) == 0
    complete = {name: content for name, content in contents(output).items() if "/.writing-" not in name}
    assert complete == contents(reference)
    assert read_workbook(output / "summary.xlsx") == read_workbook(reference / "summary.xlsx")
