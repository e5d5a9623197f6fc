"""Whole runs: the contents of the output folder, and what a second run does to them."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from analyzer import audio, batch, recording, work
from analyzer.emotions import EMOTIONS, NEGATIVE, UNCERTAIN
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.outputs import TIMELINE_COLUMNS
from analyzer.report import tables
from analyzer.stream import AudioStream
from tests import voices
from tests.encoders import write_wav
from tests.nights import (
    AWKWARD,
    BAD,
    Analyze,
    Calendar,
    Night,
    a_call,
    at_noon,
    bad_calls,
    contents,
    copied,
    good_calls,
    read_csv,
    read_workbook,
    states,
)
from tests.tiny_model import make_tiny_model


def manifest(output: Path) -> dict:
    return json.loads((output / "run.json").read_text())


# A run without failures.


def test_a_night_without_a_fault_ends_well(good_night: Night) -> None:
    assert good_night.status == 0
    assert {p.name for p in good_night.output.iterdir()} == {
        *("timelines", "recordings.csv", "files.csv", "summary.xlsx", "run.json", "ledger.sqlite", ".lock")
    }


def test_every_recording_has_a_timeline_whose_name_keeps_the_extension(good_night: Night) -> None:
    analysed = {path.name for path in good_night.calls.iterdir()} - {"README.md"}
    assert set(os.listdir(good_night.output / "timelines" / "calls")) == {f"{name}.csv" for name in analysed}


def test_a_timeline_covers_the_speech_and_nothing_else(good_night: Night) -> None:
    spoken = {"1": [(0.5, 3), (6, 9)], "2": [(3.2, 5.8), (8, 9.5)]}
    rows = good_night.timeline("two-speakers.wav")
    for channel, spans in spoken.items():
        own = [(float(r["start"]), float(r["end"])) for r in rows if r["channel"] == channel]
        assert sum(b - a for a, b in own) == pytest.approx(sum(b - a for a, b in spans), abs=0.25)
        assert all(any(a - 0.1 <= start and end <= b + 0.1 for a, b in spans) for start, end in own)


def test_a_timeline_s_rows_say_what_the_design_promises(good_night: Night) -> None:
    for path in (good_night.output / "timelines").rglob("*.csv"):
        rows = read_csv(path)
        assert path.read_text().split("\n", 1)[0] == ",".join(TIMELINE_COLUMNS)
        assert [(float(r["start"]), int(r["channel"])) for r in rows] == sorted(
            (float(r["start"]), int(r["channel"])) for r in rows
        )
        for row in rows:
            probabilities = [float(row[emotion]) for emotion in EMOTIONS]
            assert abs(sum(probabilities) - 1) <= 0.0005
            assert float(row["confidence"]) == max(probabilities)
            assert row["speaker"] == f"channel {row['channel']}"
            assert row["emotion"] == labelled(probabilities)


def labelled(probabilities: list[float]) -> str:
    """Return the expected label of a row at normal sensitivity: negative from 0.5 on, uncertain below 0.4."""
    of = dict(zip(EMOTIONS, probabilities, strict=True))
    if round(sum(of[emotion] for emotion in NEGATIVE), 4) >= 0.5:
        return max(NEGATIVE, key=lambda emotion: of[emotion])
    likeliest = max(EMOTIONS, key=lambda emotion: of[emotion])
    return likeliest if likeliest not in NEGATIVE and of[likeliest] >= 0.4 else UNCERTAIN


@pytest.mark.parametrize("name", ["silence.wav", "tones.wav", "noise.wav"])
def test_where_nobody_speaks_the_timeline_is_a_header(good_night: Night, name: str) -> None:
    assert good_night.file(name)["status"] == "no_speech"
    assert good_night.timeline(name) == []


def test_two_speakers_are_two_rows_and_a_fake_stereo_is_one(good_night: Night) -> None:
    rows = [(r["recording"], r["channel"], r["note"]) for r in good_night.table("recordings.csv")]
    time_note = "recorded: time of the file"
    assert [r for r in rows if r[0] == "calls/two-speakers.wav"] == [
        ("calls/two-speakers.wav", "1", time_note),
        ("calls/two-speakers.wav", "2", time_note),
    ]
    assert [r for r in rows if r[0] == "calls/alike.wav"] == [("calls/alike.wav", "1", f"fake stereo; {time_note}")]
    assert good_night.file("alike.wav")["channels"] == "2"


def test_files_csv_says_what_each_file_is(good_night: Night) -> None:
    assert [f["file"] for f in good_night.table("files.csv")] == sorted(
        f"calls/{path.name}" for path in good_night.calls.iterdir()
    )
    gsm = good_night.file("voicemail.WAV")
    assert (gsm["codec"], gsm["rate"], gsm["channels"], gsm["status"]) == ("wav gsm610", "8000", "1", "ok")
    assert float(gsm["length_s"]) == pytest.approx(10, abs=0.05)
    assert int(gsm["bytes"]) == (good_night.calls / "voicemail.WAV").stat().st_size


def test_what_is_no_audio_is_skipped_and_counts_against_nothing(good_night: Night) -> None:
    readme = good_night.file("README.md")
    assert (readme["status"], readme["present"]) == ("skipped", "yes")
    assert "no audio" in readme["reason"]
    assert "calls/README.md" not in {r["recording"] for r in good_night.table("recordings.csv")}


def test_figures_can_be_counted_again_from_the_timeline(good_night: Night) -> None:
    for row in good_night.table("recordings.csv"):
        lines = good_night.timeline(row["recording"].removeprefix("calls/"))
        own = [line for line in lines if line["channel"] == row["channel"]]
        seconds = [float(line["end"]) - float(line["start"]) for line in own]
        assert float(row["talk_s"]) == pytest.approx(sum(seconds), abs=0.002)
        for emotion in EMOTIONS if own else ():
            mean = np.average([float(line[emotion]) for line in own], weights=seconds)
            assert float(row[f"mean_{emotion}"]) == pytest.approx(mean, abs=0.0002)
            strongest = max(own, key=lambda line: float(line[emotion]))
            assert row[f"peak_{emotion}_s"] == strongest["start"]


@pytest.mark.parametrize("night", ["good_night", "bad_night"])
def test_the_workbook_shows_the_same_as_the_tables(night: str, request: pytest.FixtureRequest) -> None:
    made: Night = request.getfixturevalue(night)
    (header, *rows), recordings = made.cells()["Recordings"], made.table("recordings.csv")
    at = {name: header.index(name) for name in ("recording", "channel", "speaker", "status", "recorded", "model")}
    assert [{name: str(row[k] or "") for name, k in at.items()} for row in rows] == [
        {name: row[name] for name in at} for row in recordings if row["recorded"]
    ]
    not_done = [f for f in made.table("files.csv") if f["status"] not in ("ok", "no_speech", "skipped")]
    told = made.cells()["Files"][1:] if not_done else []
    assert [row[:4] for row in told] == [(f["file"], f["status"], f["reason"], f["present"]) for f in not_done]
    assert len(not_done) == (0 if made.status == 0 else len(BAD))


def test_a_workbook_says_so_where_nothing_failed(good_night: Night) -> None:
    assert [row[0] for row in good_night.cells()["Files"][1:]] == ["nothing failed, and nothing waits"]


def test_the_manifest_says_what_was_done(good_night: Night) -> None:
    told = manifest(good_night.output)
    assert told["exit_status"] == 0
    assert told["analysed"] == {"no_speech": 3, "ok": 6}
    assert told["audio_s"] == pytest.approx(61, abs=0.5)
    assert (told["model"], told["jobs"], told["unchanged"]) == ("tiny", 1, 0)


# Files that cannot be analysed.


def test_bad_files_fail_each_with_a_reason_and_stop_nothing(bad_night: Night) -> None:
    assert bad_night.status == 1
    failed = {f["file"]: f["reason"] for f in bad_night.table("files.csv") if f["status"] == "failed"}
    assert set(failed) == {f"calls/{name}" for name in BAD}
    for name, words in BAD.items():
        assert words in failed[f"calls/{name}"], name


def test_a_bad_file_is_a_row_of_recordings_csv_with_its_reason(bad_night: Night) -> None:
    failed = {r["recording"]: r["note"] for r in bad_night.table("recordings.csv") if r["status"] == "failed"}
    assert set(failed) == {f"calls/{name}" for name in BAD}
    assert all(BAD[name.removeprefix("calls/")] in note for name, note in failed.items())


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_a_recording_with_an_awkward_name_is_analysed(bad_night: Night, name: str) -> None:
    identity = Identity("calls", name)
    assert bad_night.file(identity.shown.removeprefix("calls/"))["status"] == "ok"
    timeline = identity.result_path(bad_night.output / "timelines", ".csv")
    assert len(read_csv(timeline)) >= 1


def test_a_truncated_recording_is_analysed_and_said_to_be_so(bad_night: Night) -> None:
    cut = bad_night.file("cut.wav")
    assert (cut["status"], cut["reason"], cut["length_s"]) == ("ok", "truncated: 0:10 of 0:20", "10.000")
    assert float(bad_night.timeline("cut.wav")[-1]["end"]) == pytest.approx(9, abs=0.1)


def test_links_and_pictures_between_the_recordings_are_skipped(bad_night: Night) -> None:
    assert bad_night.file("latest")["status"] == bad_night.file("photo.jpg")["status"] == "skipped"


def test_no_file_that_failed_leaves_a_timeline(bad_night: Night) -> None:
    left = set(os.listdir(bad_night.output / "timelines" / "calls"))
    assert not left & {f"{name}.csv" for name in BAD}
    assert not [path for path in bad_night.output.rglob("*") if path.name.startswith(".writing-")]


def test_the_log_names_what_failed(tmp_path: Path, analyze: Analyze, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "a\nb.wav").touch()
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out") == 1
    assert r"calls/a\x0ab.wav: failed: the file is empty" in caplog.messages
    assert "1 failed" in caplog.messages[-1]


def test_a_bad_night_run_again_leaves_the_same_bytes(bad_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    again = copied(bad_night, tmp_path / "out")
    before, cells = contents(again.output), again.cells()
    assert analyze(again.calls, "-o", again.output) == 1
    assert contents(again.output) == before
    assert again.cells() == cells


def test_attempts_are_counted_by_day_for_whatever_fails(tmp_path: Path, analyze: Analyze, calendar: Calendar) -> None:
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


def test_a_recording_that_is_mended_is_analysed(tmp_path: Path, analyze: Analyze) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    (calls / "a.wav").touch()
    assert analyze(calls, "-o", tmp_path / "out") == 1
    a_call(calls / "a.wav")
    assert analyze(calls, "-o", tmp_path / "out") == 0
    (row,) = read_csv(tmp_path / "out" / "files.csv")
    assert (row["status"], row["reason"]) == ("ok", "")


def test_a_recording_that_breaks_loses_the_timeline_that_told_of_another(tmp_path: Path, analyze: Analyze) -> None:
    path = a_call(tmp_path / "calls" / "a.wav")
    assert analyze(path.parent, "-o", tmp_path / "out") == 0
    path.write_bytes(b"")
    assert analyze(path.parent, "-o", tmp_path / "out") == 1
    assert not list((tmp_path / "out" / "timelines").rglob("*.csv"))


def test_a_folder_named_as_a_timeline_stops_nothing(tmp_path: Path, analyze: Analyze) -> None:
    """The timelines of a.wav and of a.wav.csv/b.wav need the same name, one as a file and one as a folder."""
    calls = tmp_path / "calls"
    a_call(calls / "a.wav")
    a_call(calls / "a.wav.csv" / "b.wav")
    a_call(calls / "c.wav")
    assert analyze(calls, "-o", tmp_path / "out") in (0, 1)
    statuses = {f["file"]: f["status"] for f in read_csv(tmp_path / "out" / "files.csv")}
    assert statuses["calls/c.wav"] == "ok"
    assert len(statuses) == 3


@pytest.mark.parametrize(
    "error", [OSError(22, "Invalid argument"), ValueError("odd"), RuntimeError("worse"), MemoryError()]
)
@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_a_decoder_that_stumbles_over_a_header_stops_nothing(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, error: Exception, arguments: list[str]
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    a_call(calls / "b.wav")
    really = audio.open_audio

    @contextmanager
    def open_audio(path: Path) -> Iterator[AudioStream]:
        if path.name == "a.wav":
            raise error
        with really(path) as stream:
            yield stream

    monkeypatch.setattr(batch, "open_audio", open_audio)
    monkeypatch.setattr(recording, "open_audio", open_audio)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert analyze(calls, "-o", tmp_path / "out", *arguments) == (0 if arguments else 1)
    if not arguments:
        statuses = {f["file"]: f["status"] for f in read_csv(tmp_path / "out" / "files.csv")}
        assert statuses == {"calls/a.wav": "failed", "calls/b.wav": "ok"}


def test_an_error_that_nobody_thought_of_stops_nothing(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    a_call(calls / "b.wav")
    really = work.analyse

    def analyse(path: Path, *rest: object, **more: object) -> object:
        if path.name == "a.wav":
            raise AttributeError("'NoneType' object has no attribute 'name'")
        return really(path, *rest, **more)

    monkeypatch.setattr(work, "analyse", analyse)
    assert analyze(calls, "-o", tmp_path / "out") == 1
    statuses = {f["file"]: f["status"] for f in read_csv(tmp_path / "out" / "files.csv")}
    assert statuses == {"calls/a.wav": "failed", "calls/b.wav": "ok"}


# Repeated runs.


def test_a_second_run_analyses_nothing_and_touches_no_table(
    good_night: Night, tmp_path: Path, analyze: Analyze
) -> None:
    again = copied(good_night, tmp_path / "out")
    before = {name: state for name, state in states(again.output).items() if name.endswith((".csv", ".xlsx"))}
    assert analyze(again.calls, "-o", again.output) == 0
    after = {name: state for name, state in states(again.output).items() if name.endswith((".csv", ".xlsx"))}
    assert after == before
    assert manifest(again.output)["analysed"] == {}
    assert manifest(again.output)["unchanged"] == 9


def test_force_does_all_again_and_finds_the_same(good_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    again = copied(good_night, tmp_path / "out")
    before = contents(again.output)
    assert analyze(again.calls, "-o", again.output, "--force") == 0
    assert contents(again.output) == before
    assert manifest(again.output)["analysed"] == {"no_speech": 3, "ok": 6}


def test_only_what_is_new_changed_or_missing_is_analysed(tmp_path: Path, analyze: Analyze) -> None:
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
    assert {f["file"]: f["length_s"] for f in read_csv(output / "files.csv")}["calls/changes.wav"] == "4.000"


def test_another_model_does_all_again_and_its_name_is_told(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    before = contents(output, "timelines/**/*.csv")
    other = make_tiny_model(tmp_path / "other", name="other", seed=1)
    assert analyze(calls, "-o", output, model=other) == 0
    assert contents(output, "timelines/**/*.csv") != before
    assert {r["model"] for r in read_csv(output / "recordings.csv")} == {"other"}
    assert analyze(calls, "-o", output, model=other) == 0
    assert manifest(output)["analysed"] == {}


def test_a_model_in_the_working_folder_can_be_named_with_a_dot(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    make_tiny_model(tmp_path / "own", name="own")
    monkeypatch.chdir(tmp_path)
    assert analyze(calls, "-o", output, model="./own") == 0
    assert {r["model"] for r in read_csv(output / "recordings.csv")} == {"own"}


def test_other_formats_do_nothing_again(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output, "--format", "csv") == 0
    assert not (output / "summary.xlsx").exists()
    assert analyze(calls, "-o", output) == 0
    assert manifest(output)["analysed"] == {}
    assert len(read_workbook(output / "summary.xlsx")["Recordings"]) == 2


def test_a_workbook_left_out_once_is_brought_up_to_date_when_asked_for_again(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", output, "--format", "csv") == 0
    assert analyze(calls, "-o", output) == 0
    told = [row[0] for row in read_workbook(output / "summary.xlsx")["Recordings"]]
    assert told[1:] == ["calls/a.wav", "calls/b.wav"]


def test_tables_that_were_deleted_are_made_again(good_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    again = copied(good_night, tmp_path / "out")
    before, cells = contents(again.output), again.cells()
    for name in ("recordings.csv", "files.csv", "summary.xlsx"):
        (again.output / name).unlink()
    assert analyze(again.calls, "-o", again.output) == 0
    assert contents(again.output) == before
    assert again.cells() == cells


def test_a_recording_that_is_gone_keeps_its_results(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", output) == 0
    before = contents(output, "recordings.csv")
    (calls / "a.wav").unlink()
    assert analyze(calls, "-o", output) == 0
    assert [(f["file"], f["present"]) for f in read_csv(output / "files.csv")] == [
        ("calls/a.wav", "no"),
        ("calls/b.wav", "yes"),
    ]
    assert contents(output, "recordings.csv") == before
    assert (output / "timelines" / "calls" / "a.wav.csv").is_file()


# Independence of the number of jobs and the order of inputs.


def test_jobs_and_the_order_of_the_files_change_nothing(good_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    files = list(good_night.calls.iterdir())
    shuffled = [files[k] for k in np.random.default_rng(0).permutation(len(files))]
    runs = {"two jobs": ([good_night.calls], 2), "shuffled": (shuffled, 1), "shuffled, two jobs": (shuffled[::-1], 2)}
    for name, (inputs, jobs) in runs.items():
        output = tmp_path / name
        assert analyze(*inputs, "-o", output, jobs=jobs) == 0
        assert contents(output) == contents(good_night.output), name
        assert read_workbook(output / "summary.xlsx") == good_night.cells(), name


def test_two_jobs_say_of_bad_files_what_one_says(bad_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(bad_night.calls, "-o", tmp_path / "out", jobs=2) == 1
    assert contents(tmp_path / "out") == contents(bad_night.output)
    assert read_workbook(tmp_path / "out" / "summary.xlsx") == bad_night.cells()


def test_a_recording_s_results_do_not_depend_on_its_company(
    good_night: Night, tmp_path: Path, analyze: Analyze
) -> None:
    assert analyze(good_night.calls / "voicemail.WAV", "-o", tmp_path / "out") == 0
    alone = contents(tmp_path / "out" / "timelines")
    assert alone == {"calls/voicemail.WAV.csv": contents(good_night.output / "timelines")["calls/voicemail.WAV.csv"]}


# Interrupted runs.


def test_a_run_that_is_interrupted_keeps_what_is_done_and_the_next_does_the_rest(
    good_night: Night, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, output, heard = work.analyse, tmp_path / "out", []

    def analyse(path: Path, *rest: object, **more: object) -> object:
        heard.append(path)
        if len(heard) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return really(path, *rest, **more)

    monkeypatch.setattr(work, "analyse", analyse)
    assert analyze(good_night.calls, "-o", output) == 130
    assert sum(f["status"] != "skipped" for f in read_csv(output / "files.csv")) == 3
    monkeypatch.setattr(work, "analyse", really)
    assert analyze(good_night.calls, "-o", output) == 0
    assert manifest(output)["unchanged"] == 3
    assert contents(output) == contents(good_night.output)
    assert read_workbook(output / "summary.xlsx") == good_night.cells()


def test_a_run_killed_before_the_tables_has_them_made_by_the_next(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    a_call(calls / "b.wav", seed=1)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as context:
        context.setattr(tables, "bring_up_to_date", killed)
        with pytest.raises(Killed):
            analyze(calls, "-o", output)
    assert len(read_csv(output / "files.csv")) == 1
    assert analyze(calls, "-o", output) == 0
    assert manifest(output)["analysed"] == {}
    assert [f["file"] for f in read_csv(output / "files.csv")] == ["calls/a.wav", "calls/b.wav"]
    assert len(read_workbook(output / "summary.xlsx")["Recordings"]) == 3


def test_a_run_killed_between_timeline_and_ledger_does_that_recording_again(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_what_a_killed_run_left_half_written_is_cleared_away_by_the_next(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    left = output / "timelines" / "calls" / ".writing-abcdefgh.tmp"
    left.write_text("start,end,chan")
    a_call(calls / "b.wav", seed=1)
    assert analyze(calls, "-o", output) == 0
    assert not left.exists()


def test_a_disk_that_is_full_ends_the_run_and_says_so(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert analyze(calls, "-o", tmp_path / "out") == 3
    assert "No space left on device" in capsys.readouterr().err


# Names of inputs.


def test_two_folders_whose_recordings_have_the_same_names_stay_apart(tmp_path: Path, analyze: Analyze) -> None:
    monday, tuesday = tmp_path / "2026-11-23", tmp_path / "2026-11-24"
    a_call(monday / "0001.wav", seed=1)
    a_call(tuesday / "0001.wav", seed=2)
    assert analyze(monday, tuesday, "-o", tmp_path / "out") == 0
    timelines = contents(tmp_path / "out" / "timelines")
    assert set(timelines) == {"2026-11-23/0001.wav.csv", "2026-11-24/0001.wav.csv"}
    assert len(set(timelines.values())) == 2
    assert len(read_csv(tmp_path / "out" / "recordings.csv")) == 2


def test_the_same_label_from_another_folder_is_refused_and_the_way_out_works(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
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
    assert [f["file"] for f in read_csv(output / "files.csv")] == ["calls/0001.wav", "munich/0001.wav"]


def test_a_folder_that_has_moved_keeps_its_label_when_that_is_said(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "old" / "calls" / "a.wav").parent, tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    moved = (tmp_path / "old").rename(tmp_path / "new") / "calls"
    assert analyze(moved, "-o", output) == 2
    assert analyze(f"calls={moved}", "-o", output) == 0
    assert manifest(output)["analysed"] == {}
    assert analyze(moved, "-o", output) == 0


def test_results_below_the_calls_are_never_taken_for_calls(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    for _ in range(2):
        assert analyze(calls, "-o", calls / "reports") == 0
        assert [f["file"] for f in read_csv(calls / "reports" / "files.csv")] == ["calls/a.wav"]


def test_results_among_the_calls_are_refused_or_not_taken_for_calls(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    for _ in range(2):
        if analyze(calls, "-o", calls) != 2:
            assert [f["file"] for f in read_csv(calls / "files.csv")] == ["calls/a.wav"]


def test_an_input_that_is_suddenly_empty_ends_with_3_and_changes_nothing(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    path, output = a_call(tmp_path / "calls" / "a.wav"), tmp_path / "out"
    assert analyze(path.parent, "-o", output) == 0
    path.unlink()
    before = states(output, "**/*.csv")
    assert analyze(path.parent, "-o", output) == 3
    assert "is it mounted?" in capsys.readouterr().err
    assert states(output, "**/*.csv") == before


def test_an_empty_folder_is_nothing_to_do(tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "calls").mkdir()
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out") == 0
    assert read_csv(tmp_path / "out" / "files.csv") == []


# Dry runs.


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    calls = good_calls(tmp_path / "calls")
    assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "calls/two-speakers.wav: new" in out
    assert "README.md" not in out
    assert "would analyse 9 recordings, 0.02 hours; 0 stand as they are" in out
    assert not (tmp_path / "out").exists()


def test_a_dry_run_into_a_folder_that_is_there_leaves_it_as_it_is(tmp_path: Path, analyze: Analyze) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (tmp_path / "out").mkdir()
    assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0
    assert os.listdir(tmp_path / "out") == []


def test_a_dry_run_over_earlier_results_leaves_them_to_the_byte(
    good_night: Night, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    again = copied(good_night, tmp_path / "out")
    before = states(again.output)
    (again.output / "timelines" / "calls" / "noise.wav.csv").unlink()
    del before["timelines/calls/noise.wav.csv"]
    assert analyze(again.calls, "-o", again.output, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "calls/noise.wav: its timeline is missing" in out
    assert "would analyse 1 recordings" in out
    assert "8 stand as they are" in out
    assert states(again.output) == before


def test_a_dry_run_counts_the_hours_of_every_format(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    from tests.encoders import ENCODINGS

    (tmp_path / "calls").mkdir()
    for name in ("opus.webm", "mp3.mp3", "amr.amr"):
        encoding = ENCODINGS[name]
        encoding.write(tmp_path / "calls", np.tile(voices.speech(10, encoding.rate), 6))
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "--dry-run") == 0
    assert "3 recordings, 0.05 hours" in capsys.readouterr().out


def test_a_dry_run_takes_bad_files_as_it_finds_them(tmp_path: Path, analyze: Analyze) -> None:
    calls = bad_calls(tmp_path / "calls")
    assert analyze(calls, "-o", tmp_path / "out", "--dry-run") == 0
    assert not (tmp_path / "out").exists()


# Time zones.


def test_the_time_of_a_recording_is_told_in_the_zone_of_the_first_run(
    tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    for zone in ("Europe/Berlin", "America/New_York"):
        monkeypatch.setattr("tzlocal.get_localzone_name", lambda zone=zone: zone)
        a_call(calls / f"{zone[:2]}.wav")
        assert analyze(at_noon(calls), "-o", output) == 0
        assert {r["recorded"] for r in read_csv(output / "recordings.csv")} == {"2026-11-24 13:00:00"}
