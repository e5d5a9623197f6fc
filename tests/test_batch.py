"""Complete runs: the contents of the output folder, and what a second run changes."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from analyzer.analysis import recording
from analyzer.audio import reader
from analyzer.audio.stream import AudioStream
from analyzer.batch import batch, job
from analyzer.emotions import EMOTIONS, NEGATIVE, UNCERTAIN
from analyzer.names import Identity
from analyzer.report import tables
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import TIMELINE_COLUMNS
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.runs import (
    AWKWARD,
    BAD,
    Analyze,
    Calendar,
    Run,
    a_call,
    at_noon,
    bad_calls,
    contents,
    copied,
    good_calls,
    manifest,
    read_csv,
    read_workbook,
    states,
)
from tests.helpers.tiny_model import make_tiny_model

# A run without failures.


def test_good_run_exits_with_0(good_run: Run) -> None:
    assert good_run.status == 0
    assert {path.name for path in good_run.output.iterdir()} == {
        *("timelines", "recordings.csv", "files.csv", "summary.xlsx", "run.json", "ledger.sqlite", ".lock")
    }


def test_timeline_name_keeps_extension(good_run: Run) -> None:
    analysed = {path.name for path in good_run.calls.iterdir()} - {"README.md"}
    assert set(os.listdir(good_run.output / "timelines" / "calls")) == {f"{name}.csv" for name in analysed}


def test_timeline_covers_only_speech(good_run: Run) -> None:
    spoken = {"1": [(0.5, 3), (6, 9)], "2": [(3.2, 5.8), (8, 9.5)]}
    rows = good_run.timeline("two-speakers.wav")
    for channel, spans in spoken.items():
        intervals = [(float(row["start"]), float(row["end"])) for row in rows if row["channel"] == channel]
        assert sum(last - first for first, last in intervals) == pytest.approx(
            sum(last - first for first, last in spans), abs=0.25
        )
        assert all(any(first - 0.1 <= start and end <= last + 0.1 for first, last in spans) for start, end in intervals)


def test_timeline_rows_are_consistent(good_run: Run) -> None:
    for path in (good_run.output / "timelines").rglob("*.csv"):
        rows = read_csv(path)
        assert path.read_text().split("\n", 1)[0] == ",".join(TIMELINE_COLUMNS)
        assert [(float(line["start"]), int(line["channel"])) for line in rows] == sorted(
            (float(line["start"]), int(line["channel"])) for line in rows
        )
        for row in rows:
            probabilities = [float(row[emotion]) for emotion in EMOTIONS]
            assert abs(sum(probabilities) - 1) <= 0.0005
            assert float(row["confidence"]) == max(probabilities)
            assert row["speaker"] == f"channel {row['channel']}"
            assert row["emotion"] == expected_label(probabilities)


def expected_label(probabilities: list[float]) -> str:
    """Return the expected label of a row at normal sensitivity: negative from 0.5 on, uncertain below 0.4."""
    probability = dict(zip(EMOTIONS, probabilities, strict=True))
    if round(sum(probability[emotion] for emotion in NEGATIVE), 4) >= 0.5:
        return max(NEGATIVE, key=lambda emotion: probability[emotion])
    likeliest = max(EMOTIONS, key=lambda emotion: probability[emotion])
    return likeliest if likeliest not in NEGATIVE and probability[likeliest] >= 0.4 else UNCERTAIN


@pytest.mark.parametrize("name", ["silence.wav", "tones.wav", "noise.wav"])
def test_timeline_without_speech_is_a_header(good_run: Run, name: str) -> None:
    assert good_run.file(name)["status"] == "no_speech"
    assert good_run.timeline(name) == []


def test_identical_channels_are_one_row(good_run: Run) -> None:
    rows = [(row["recording"], row["channel"], row["note"]) for row in good_run.table("recordings.csv")]
    time_note = "recorded: time of the file"
    assert [row for row in rows if row[0] == "calls/two-speakers.wav"] == [
        ("calls/two-speakers.wav", "1", time_note),
        ("calls/two-speakers.wav", "2", time_note),
    ]
    assert [row for row in rows if row[0] == "calls/alike.wav"] == [
        ("calls/alike.wav", "1", f"both channels identical; {time_note}")
    ]
    assert good_run.file("alike.wav")["channels"] == "2"


def test_files_csv_describes_each_file(good_run: Run) -> None:
    assert [row["file"] for row in good_run.table("files.csv")] == sorted(
        f"calls/{path.name}" for path in good_run.calls.iterdir()
    )
    gsm = good_run.file("voicemail.WAV")
    assert (gsm["codec"], gsm["rate"], gsm["channels"], gsm["status"]) == ("wav gsm610", "8000", "1", "ok")
    assert float(gsm["length_s"]) == pytest.approx(10, abs=0.05)
    assert int(gsm["bytes"]) == (good_run.calls / "voicemail.WAV").stat().st_size


def test_other_files_are_skipped(good_run: Run) -> None:
    readme = good_run.file("README.md")
    assert (readme["status"], readme["present"]) == ("skipped", "yes")
    assert "not an audio file" in readme["reason"]
    assert "calls/README.md" not in {row["recording"] for row in good_run.table("recordings.csv")}


def test_figures_follow_from_timeline(good_run: Run) -> None:
    for row in good_run.table("recordings.csv"):
        lines = good_run.timeline(row["recording"].removeprefix("calls/"))
        segments = [line for line in lines if line["channel"] == row["channel"]]
        seconds = [float(line["end"]) - float(line["start"]) for line in segments]
        assert float(row["talk_s"]) == pytest.approx(sum(seconds), abs=0.002)
        for emotion in EMOTIONS if segments else ():
            mean = np.average([float(line[emotion]) for line in segments], weights=seconds)
            assert float(row[f"mean_{emotion}"]) == pytest.approx(mean, abs=0.0002)
            strongest = max(segments, key=lambda line: float(line[emotion]))
            assert row[f"peak_{emotion}_s"] == strongest["start"]


@pytest.mark.parametrize("run", ["good_run", "bad_run"])
def test_workbook_agrees_with_tables(run: str, request: pytest.FixtureRequest) -> None:
    result: Run = request.getfixturevalue(run)
    (header, *rows), recordings = result.cells()["Recordings"], result.table("recordings.csv")
    columns = {name: header.index(name) for name in ("recording", "channel", "speaker", "status", "recorded", "model")}
    assert [{name: str(row[column] or "") for name, column in columns.items()} for row in rows] == [
        {name: row[name] for name in columns} for row in recordings if row["recorded"]
    ]
    unfinished = [entry for entry in result.table("files.csv") if entry["status"] not in ("ok", "no_speech", "skipped")]
    listed = result.cells()["Files"][1:] if unfinished else []
    assert [row[:4] for row in listed] == [
        (entry["file"], entry["status"], entry["reason"], entry["present"]) for entry in unfinished
    ]
    assert len(unfinished) == (0 if result.status == 0 else len(BAD))


def test_workbook_states_that_nothing_failed(good_run: Run) -> None:
    assert [row[0] for row in good_run.cells()["Files"][1:]] == ["no failed or incomplete files"]


def test_run_json_counts_results(good_run: Run) -> None:
    summary = manifest(good_run.output)
    assert summary["exit_status"] == 0
    assert summary["analysed"] == {"no_speech": 3, "ok": 6}
    assert summary["audio_s"] == pytest.approx(61, abs=0.5)
    assert (summary["model"], summary["jobs"], summary["unchanged"]) == ("tiny", 1, 0)


# Files that cannot be analysed.


def test_bad_files_fail_with_a_reason(bad_run: Run) -> None:
    assert bad_run.status == 1
    failed = {row["file"]: row["reason"] for row in bad_run.table("files.csv") if row["status"] == "failed"}
    assert set(failed) == {f"calls/{name}" for name in BAD}
    for name, words in BAD.items():
        assert words in failed[f"calls/{name}"], name


def test_recordings_csv_lists_bad_files(bad_run: Run) -> None:
    failed = {row["recording"]: row["note"] for row in bad_run.table("recordings.csv") if row["status"] == "failed"}
    assert set(failed) == {f"calls/{name}" for name in BAD}
    assert all(BAD[name.removeprefix("calls/")] in note for name, note in failed.items())


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_awkward_names_are_analysed(bad_run: Run, name: str) -> None:
    identity = Identity("calls", name)
    assert bad_run.file(identity.shown.removeprefix("calls/"))["status"] == "ok"
    timeline = identity.result_path(bad_run.output / "timelines", ".csv")
    assert len(read_csv(timeline)) >= 1


def test_truncated_recording_is_analysed(bad_run: Run) -> None:
    cut = bad_run.file("cut.wav")
    assert (cut["status"], cut["reason"], cut["length_s"]) == ("ok", "truncated: 0:10 of 0:20", "10.000")
    assert float(bad_run.timeline("cut.wav")[-1]["end"]) == pytest.approx(9, abs=0.1)


def test_links_and_pictures_are_skipped(bad_run: Run) -> None:
    assert bad_run.file("latest")["status"] == bad_run.file("photo.jpg")["status"] == "skipped"


def test_failed_files_have_no_timeline(bad_run: Run) -> None:
    left = set(os.listdir(bad_run.output / "timelines" / "calls"))
    assert not left & {f"{name}.csv" for name in BAD}
    assert not [path for path in bad_run.output.rglob("*") if path.name.startswith(".writing-")]


def test_log_names_failed_files(tmp_path: Path, analyze: Analyze, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "a\nb.wav").touch()
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out") == 1
    assert r"calls/a\x0ab.wav: failed: the file is empty" in caplog.messages
    assert "1 failed" in caplog.messages[-1]


def test_repeated_bad_run_gives_same_bytes(bad_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    again = copied(bad_run, tmp_path / "out")
    before, cells = contents(again.output), again.cells()
    assert analyze(again.calls, "-o", again.output) == 1
    assert contents(again.output) == before
    assert again.cells() == cells


def test_attempts_count_once_a_day(tmp_path: Path, analyze: Analyze, calendar: Calendar) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    (calls / "empty.wav").touch()
    (calls / "dangling.wav").symlink_to("nowhere")
    for _ in range(3):
        assert analyze(calls, "-o", tmp_path / "out") == 1
        calendar.pass_time(days=1)
    with closing(Ledger(tmp_path / "out")) as ledger:
        attempts = {entry.identity.path: entry.attempts for entry in ledger.entries()}
    assert attempts == {"dangling.wav": 3, "empty.wav": 3}


def test_repaired_recording_is_analysed(tmp_path: Path, analyze: Analyze) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    (calls / "a.wav").touch()
    assert analyze(calls, "-o", tmp_path / "out") == 1
    a_call(calls / "a.wav")
    assert analyze(calls, "-o", tmp_path / "out") == 0
    (row,) = read_csv(tmp_path / "out" / "files.csv")
    assert (row["status"], row["reason"]) == ("ok", "")


def test_damaged_recording_loses_its_timeline(tmp_path: Path, analyze: Analyze) -> None:
    path = a_call(tmp_path / "calls" / "a.wav")
    assert analyze(path.parent, "-o", tmp_path / "out") == 0
    path.write_bytes(b"")
    assert analyze(path.parent, "-o", tmp_path / "out") == 1
    assert not list((tmp_path / "out" / "timelines").rglob("*.csv"))


def test_folder_named_like_a_timeline(tmp_path: Path, analyze: Analyze) -> None:
    """The timelines of a.wav and of a.wav.csv/b.wav need the same name, one as a file and one as a folder."""
    calls = tmp_path / "calls"
    a_call(calls / "a.wav")
    a_call(calls / "a.wav.csv" / "b.wav")
    a_call(calls / "c.wav")
    assert analyze(calls, "-o", tmp_path / "out") in (0, 1)
    statuses = {row["file"]: row["status"] for row in read_csv(tmp_path / "out" / "files.csv")}
    assert statuses["calls/c.wav"] == "ok"
    assert len(statuses) == 3


@pytest.mark.parametrize(
    "error", [OSError(22, "Invalid argument"), ValueError("odd"), RuntimeError("worse"), MemoryError()]
)
@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_error_while_opening_fails_one_file(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, error: Exception, arguments: list[str]
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    a_call(calls / "b.wav")
    original = reader.open_audio

    @contextmanager
    def open_audio(path: Path) -> Iterator[AudioStream]:
        if path.name == "a.wav":
            raise error
        with original(path) as stream:
            yield stream

    monkeypatch.setattr(batch, "open_audio", open_audio)
    monkeypatch.setattr(recording, "open_audio", open_audio)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert analyze(calls, "-o", tmp_path / "out", *arguments) == (0 if arguments else 1)
    if not arguments:
        statuses = {row["file"]: row["status"] for row in read_csv(tmp_path / "out" / "files.csv")}
        assert statuses == {"calls/a.wav": "failed", "calls/b.wav": "ok"}


def test_unexpected_error_fails_one_file(tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    a_call(calls / "b.wav")
    original = job.analyse

    def analyse(path: Path, *rest: object, **more: object) -> object:
        if path.name == "a.wav":
            raise AttributeError("'NoneType' object has no attribute 'name'")
        return original(path, *rest, **more)

    monkeypatch.setattr(job, "analyse", analyse)
    assert analyze(calls, "-o", tmp_path / "out") == 1
    statuses = {row["file"]: row["status"] for row in read_csv(tmp_path / "out" / "files.csv")}
    assert statuses == {"calls/a.wav": "failed", "calls/b.wav": "ok"}


# Repeated runs.


def test_second_run_writes_no_table(good_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    again = copied(good_run, tmp_path / "out")
    before = {name: state for name, state in states(again.output).items() if name.endswith((".csv", ".xlsx"))}
    assert analyze(again.calls, "-o", again.output) == 0
    after = {name: state for name, state in states(again.output).items() if name.endswith((".csv", ".xlsx"))}
    assert after == before
    assert manifest(again.output)["analysed"] == {}
    assert manifest(again.output)["unchanged"] == 9


def test_force_gives_same_results(good_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    again = copied(good_run, tmp_path / "out")
    before = contents(again.output)
    assert analyze(again.calls, "-o", again.output, "--force") == 0
    assert contents(again.output) == before
    assert manifest(again.output)["analysed"] == {"no_speech": 3, "ok": 6}


def test_new_changed_and_missing_are_analysed(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for name in ("stays.wav", "changes.wav", "missing.wav"):
        a_call(calls / name)
    assert analyze(calls, "-o", output) == 0
    kept = states(output / "timelines")["calls/stays.wav.csv"]
    a_call(calls / "new.wav", seed=1)
    write_wav(calls / "changes.wav", voices.call(4, [(0.3, 3.7)]))
    (output / "timelines" / "calls" / "missing.wav.csv").unlink()
    assert analyze(calls, "-o", output) == 0
    assert manifest(output)["analysed"] == {"ok": 3}
    assert states(output / "timelines")["calls/stays.wav.csv"] == kept
    assert {row["file"]: row["length_s"] for row in read_csv(output / "files.csv")}["calls/changes.wav"] == "4.000"


def test_other_model_analyses_all_again(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    before = contents(output, "timelines/**/*.csv")
    other = make_tiny_model(tmp_path / "other", name="other", seed=1)
    assert analyze(calls, "-o", output, model=other) == 0
    assert contents(output, "timelines/**/*.csv") != before
    assert {row["model"] for row in read_csv(output / "recordings.csv")} == {"other"}
    assert analyze(calls, "-o", output, model=other) == 0
    assert manifest(output)["analysed"] == {}


def test_model_path_may_start_with_a_dot(tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    make_tiny_model(tmp_path / "own", name="own")
    monkeypatch.chdir(tmp_path)
    assert analyze(calls, "-o", output, model="./own") == 0
    assert {row["model"] for row in read_csv(output / "recordings.csv")} == {"own"}


def test_other_formats_need_no_analysis(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output, "--format", "csv") == 0
    assert not (output / "summary.xlsx").exists()
    assert analyze(calls, "-o", output) == 0
    assert manifest(output)["analysed"] == {}
    assert len(read_workbook(output / "summary.xlsx")["Recordings"]) == 2


def test_stale_workbook_is_updated(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", output, "--format", "csv") == 0
    assert analyze(calls, "-o", output) == 0
    names = [row[0] for row in read_workbook(output / "summary.xlsx")["Recordings"]]
    assert names[1:] == ["calls/a.wav", "calls/b.wav"]


def test_deleted_tables_are_written_again(good_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    again = copied(good_run, tmp_path / "out")
    before, cells = contents(again.output), again.cells()
    for name in ("recordings.csv", "files.csv", "summary.xlsx"):
        (again.output / name).unlink()
    assert analyze(again.calls, "-o", again.output) == 0
    assert contents(again.output) == before
    assert again.cells() == cells


def test_deleted_recording_keeps_its_results(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", output) == 0
    before = contents(output, "recordings.csv")
    (calls / "a.wav").unlink()
    assert analyze(calls, "-o", output) == 0
    assert [(row["file"], row["present"]) for row in read_csv(output / "files.csv")] == [
        ("calls/a.wav", "no"),
        ("calls/b.wav", "yes"),
    ]
    assert contents(output, "recordings.csv") == before
    assert (output / "timelines" / "calls" / "a.wav.csv").is_file()


# Independence of the number of jobs and the order of inputs.


def test_jobs_and_order_do_not_matter(good_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    files = list(good_run.calls.iterdir())
    shuffled = [files[index] for index in np.random.default_rng(0).permutation(len(files))]
    runs = {"two jobs": ([good_run.calls], 2), "shuffled": (shuffled, 1), "shuffled, two jobs": (shuffled[::-1], 2)}
    for name, (inputs, jobs) in runs.items():
        output = tmp_path / name
        assert analyze(*inputs, "-o", output, jobs=jobs) == 0
        assert contents(output) == contents(good_run.output), name
        assert read_workbook(output / "summary.xlsx") == good_run.cells(), name


def test_two_jobs_report_same_failures(bad_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(bad_run.calls, "-o", tmp_path / "out", jobs=2) == 1
    assert contents(tmp_path / "out") == contents(bad_run.output)
    assert read_workbook(tmp_path / "out" / "summary.xlsx") == bad_run.cells()


def test_results_do_not_depend_on_other_files(good_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(good_run.calls / "voicemail.WAV", "-o", tmp_path / "out") == 0
    alone = contents(tmp_path / "out" / "timelines")
    assert alone == {"calls/voicemail.WAV.csv": contents(good_run.output / "timelines")["calls/voicemail.WAV.csv"]}


# Interrupted runs.


def test_interrupted_run_is_completed_by_the_next(
    good_run: Run, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, output, analysed = job.analyse, tmp_path / "out", []

    def analyse(path: Path, *rest: object, **more: object) -> object:
        analysed.append(path)
        if len(analysed) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(path, *rest, **more)

    monkeypatch.setattr(job, "analyse", analyse)
    assert analyze(good_run.calls, "-o", output) == 130
    assert sum(row["status"] != "skipped" for row in read_csv(output / "files.csv")) == 3
    monkeypatch.setattr(job, "analyse", original)
    assert analyze(good_run.calls, "-o", output) == 0
    assert manifest(output)["unchanged"] == 3
    assert contents(output) == contents(good_run.output)
    assert read_workbook(output / "summary.xlsx") == good_run.cells()


def test_kill_before_tables(tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    a_call(calls / "b.wav", seed=1)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(tables, "write_if_stale", killed)
        with pytest.raises(Killed):
            analyze(calls, "-o", output)
    assert len(read_csv(output / "files.csv")) == 1
    assert analyze(calls, "-o", output) == 0
    assert manifest(output)["analysed"] == {}
    assert [row["file"] for row in read_csv(output / "files.csv")] == ["calls/a.wav", "calls/b.wav"]
    assert len(read_workbook(output / "summary.xlsx")["Recordings"]) == 3


def test_kill_between_timeline_and_ledger(tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(Ledger, "record", killed)
        with pytest.raises(Killed):
            analyze(calls, "-o", output)
    assert analyze(calls, "-o", output) == 0
    assert manifest(output)["analysed"] == {"ok": 1}


def test_temporary_files_of_killed_run_are_deleted(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    left = output / "timelines" / "calls" / ".writing-abcdefgh.tmp"
    left.write_text("start,end,chan")
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", output) == 0
    assert not left.exists()


def test_full_disk_ends_the_run(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert analyze(calls, "-o", tmp_path / "out") == 3
    assert "No space left on device" in capsys.readouterr().err


# Names of inputs.


def test_same_names_in_two_folders_stay_apart(tmp_path: Path, analyze: Analyze) -> None:
    monday, tuesday = tmp_path / "2026-11-23", tmp_path / "2026-11-24"
    a_call(monday / "0001.wav", seed=1)
    a_call(tuesday / "0001.wav", seed=2)
    assert analyze(monday, tuesday, "-o", tmp_path / "out") == 0
    timelines = contents(tmp_path / "out" / "timelines")
    assert set(timelines) == {"2026-11-23/0001.wav.csv", "2026-11-24/0001.wav.csv"}
    assert len(set(timelines.values())) == 2
    assert len(read_csv(tmp_path / "out" / "recordings.csv")) == 2


def test_label_of_another_folder_is_refused(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    berlin, munich, output = tmp_path / "berlin" / "calls", tmp_path / "munich" / "calls", tmp_path / "out"
    a_call(berlin / "0001.wav", seed=1)
    a_call(munich / "0001.wav", seed=2)
    assert analyze(berlin, "-o", output) == 0
    before = states(output, "**/*.csv")
    assert analyze(munich, "-o", output) == 2
    assert "LABEL=FOLDER" in capsys.readouterr().err
    assert states(output, "**/*.csv") == before
    assert analyze(f"munich={munich}", "-o", output) == 0
    assert analyze(berlin, f"munich={munich}", "-o", output) == 0
    assert [row["file"] for row in read_csv(output / "files.csv")] == ["calls/0001.wav", "munich/0001.wav"]


def test_moved_folder_keeps_given_label(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "old" / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    moved = (tmp_path / "old").rename(tmp_path / "new") / "calls"
    assert analyze(moved, "-o", output) == 2
    assert analyze(f"calls={moved}", "-o", output) == 0
    assert manifest(output)["analysed"] == {}
    assert analyze(moved, "-o", output) == 0


def test_results_below_input_are_not_analysed(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    for _ in range(2):
        assert analyze(calls, "-o", calls / "reports") == 0
        assert [row["file"] for row in read_csv(calls / "reports" / "files.csv")] == ["calls/a.wav"]


def test_results_in_input_are_not_analysed(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    for _ in range(2):
        if analyze(calls, "-o", calls) != 2:
            assert [row["file"] for row in read_csv(calls / "files.csv")] == ["calls/a.wav"]


def test_emptied_input_exits_with_3(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    path, output = a_call(tmp_path / "calls" / "a.wav"), tmp_path / "out"
    assert analyze(path.parent, "-o", output) == 0
    path.unlink()
    before = states(output, "**/*.csv")
    assert analyze(path.parent, "-o", output) == 3
    assert "is it mounted?" in capsys.readouterr().err
    assert states(output, "**/*.csv") == before


def test_empty_folder_exits_with_0(tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "calls").mkdir()
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out") == 0
    assert read_csv(tmp_path / "out" / "files.csv") == []


# Dry runs.


def test_dry_run_lists_jobs(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    calls = good_calls(tmp_path / "calls")
    assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "calls/two-speakers.wav: new" in out
    assert "README.md" not in out
    assert "would analyse 9 recordings, 0.02 hours; 0 already up to date" in out
    assert not (tmp_path / "out").exists()


def test_dry_run_leaves_empty_folder(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (tmp_path / "out").mkdir()
    assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0
    assert os.listdir(tmp_path / "out") == []


def test_dry_run_leaves_earlier_results(
    good_run: Run, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    again = copied(good_run, tmp_path / "out")
    before = states(again.output)
    (again.output / "timelines" / "calls" / "noise.wav.csv").unlink()
    del before["timelines/calls/noise.wav.csv"]
    assert analyze(again.calls, "-o", again.output, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "calls/noise.wav: its timeline is missing" in out
    assert "would analyse 1 recordings" in out
    assert "8 already up to date" in out
    assert states(again.output) == before


def test_dry_run_counts_hours_of_every_format(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    from tests.helpers.encoders import ENCODINGS

    (tmp_path / "calls").mkdir()
    for name in ("opus.webm", "mp3.mp3", "amr.amr"):
        encoding = ENCODINGS[name]
        encoding.write(tmp_path / "calls", np.tile(voices.speech(10, encoding.rate), 6))
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "--dry-run") == 0
    assert "3 recordings, 0.05 hours" in capsys.readouterr().out


def test_dry_run_accepts_bad_files(tmp_path: Path, analyze: Analyze) -> None:
    calls = bad_calls(tmp_path / "calls")
    assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0
    assert not (tmp_path / "out").exists()


# Time zones.


def test_first_run_fixes_the_time_zone(tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    for zone in ("Europe/Berlin", "America/New_York"):
        monkeypatch.setattr("tzlocal.get_localzone_name", lambda zone=zone: zone)
        a_call(calls / f"{zone[:2]}.wav")
        assert analyze(at_noon(calls), "-o", output) == 0
        assert {row["recorded"] for row in read_csv(output / "recordings.csv")} == {"2026-11-24 13:00:00"}
