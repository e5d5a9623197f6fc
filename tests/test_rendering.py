"""The files of each recording in every format: what a run writes, keeps, and leaves if it is killed."""

import errno
import json
import os
import re
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from html import unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from analyzer import work, workers
from analyzer.cli import main
from analyzer.formats import EXTENSIONS, FORMATS
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.outputs import TIMELINE_COLUMNS, format_path, timeline_path
from analyzer.report import opus, rendering
from analyzer.signals import Stopped, StopSignals
from tests.deaths import dies_once, exits_for_nine
from tests.faults import Command, worker_processes
from tests.nights import AWKWARD, MTIME, Analyze, Night, a_call, good_calls, read_csv, states
from tests.test_relabel import killed_at
from tests.test_roles import BOTH, a_dialogue, analysed
from tests.tiny_model import make_tiny_model

ALL = ",".join(FORMATS)
#: Formats that are quick to write, including pages.
QUICK = "html,jsonl,webvtt"


def report(output: Path, *options: object) -> int:
    return main(["report", str(output), "-q", "-j", "1", *map(str, options)])


def files(output: Path, *formats: str) -> dict[str, tuple[int, int, bytes]]:
    """Return inode, time and bytes of the files of all recordings, in these formats or in all; excludes the index."""
    found = {
        f"{name}/{path}": state
        for name in formats or EXTENSIONS
        for path, state in states(output / name).items()
        if (name, path) != ("html", "index.html")
    }
    assert not any(".writing-" in path for path in found)
    return found


def bytes_of(output: Path, *formats: str) -> dict[str, bytes]:
    return {name: content for name, (_, _, content) in files(output, *formats).items()}


def of(name: str, found: dict) -> dict:
    """Return those of the files that belong to a recording."""
    return {path: told for path, told in found.items() if Path(path).name.startswith(f"{name}.")}


def changed(calls: Path, name: str, seed: int = 99) -> None:
    """Replace a recording by another one of the same name."""
    os.utime(a_call(calls / name, seed=seed), (MTIME + 5, MTIME + 5))


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Three recordings in one folder."""
    for k, name in enumerate(("a.wav", "b.wav", "day/c.wav")):
        a_call(tmp_path / "calls" / name, seed=k)
    return tmp_path / "calls"


@pytest.fixture
def output(calls: Path, tmp_path: Path, analyze: Analyze) -> Path:
    """The results of a first run over `calls`, in the quick formats."""
    assert analyze(calls, "-o", tmp_path / "out", "--format", QUICK) == 0
    return tmp_path / "out"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Night:
    """A run without failures in every format; tests only read it."""
    folder = tmp_path_factory.mktemp("rendered")
    calls = good_calls(folder / "calls")
    return Night(calls, folder / "out", analyze(calls, "-o", folder / "out", "--format", ALL))


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it an error to analyse a recording or to embed it into a page."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a recording was opened")

    for owner, name in ((work, "analyse"), (opus, "open_audio")):
        monkeypatch.setattr(owner, name, refuse)


# Where files are.


def test_every_recording_that_was_heard_is_a_file_of_every_format(good: Night) -> None:
    heard = {f["file"] for f in good.table("files.csv") if f["status"] in ("ok", "no_speech")}
    assert len(heard) == 9
    for name, extension in EXTENSIONS.items():
        assert {path.split("/", 1)[1] for path in files(good.output, name)} == {f"{path}{extension}" for path in heard}
    assert all(content for content in bytes_of(good.output).values() if b"voicemail" in content)


def test_files_lie_where_the_design_says(good: Night) -> None:
    assert set(of("mp3.mp3", files(good.output))) == {
        "html/calls/mp3.mp3.html",
        "png/calls/mp3.mp3.png",
        "xlsx-per-file/calls/mp3.mp3.xlsx",
        "audacity/calls/mp3.mp3.txt",
        "textgrid/calls/mp3.mp3.TextGrid",
        "webvtt/calls/mp3.mp3.vtt",
        "rttm/calls/mp3.mp3.rttm",
        "jsonl/calls/mp3.mp3.jsonl",
        "parquet/calls/mp3.mp3.parquet",
    }
    assert (good.output / "html" / "index.html").is_file()


def test_every_format_tells_the_segments_of_the_timeline(good: Night) -> None:
    rows = good.timeline("two-speakers.wav")
    assert len(rows) > 3
    told = of("two-speakers.wav", bytes_of(good.output))
    lines = [json.loads(line) for line in told["jsonl/calls/two-speakers.wav.jsonl"].splitlines()]
    assert [(f"{line['start']:.3f}", line["speaker"], line["emotion"]) for line in lines] == [
        (row["start"], row["speaker"], row["emotion"]) for row in rows
    ]
    for name in ("audacity", "rttm"):
        (text,) = (content.decode() for path, content in told.items() if path.startswith(f"{name}/"))
        assert len(text.splitlines()) == len(rows)
    page = told["html/calls/two-speakers.wav.html"].decode()
    assert re.findall(r'<tr data-start="([\d.]+)"', page) == [row["start"] for row in rows]


def test_files_of_recordings_are_for_the_owner_and_the_group_alone(good: Night) -> None:
    for name in EXTENSIONS:
        for path in (good.output / name).rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0, path


def test_what_failed_is_no_file(bad_night: Night, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(bad_night.calls, "-o", tmp_path / "out", "--format", QUICK) == 1
    heard = [f for f in read_csv(tmp_path / "out" / "files.csv") if f["status"] == "ok"]
    assert len(files(tmp_path / "out", "jsonl")) == len(heard) == len(AWKWARD) + 1


def test_what_nobody_asks_for_is_not_made(good_night: Night) -> None:
    assert not [name for name in EXTENSIONS if (good_night.output / name).exists()]


def test_pages_lead_to_their_recording_and_the_index_to_them(good: Night) -> None:
    for path in sorted((good.output / "html" / "calls").iterdir()):
        assert led_to(path, r'<audio [^>]*src="([^"]+)"') == [good.calls / path.name.removesuffix(".html")]
    pages = led_to(good.output / "html" / "index.html", r'<li><a href="([^"]+)"')
    assert pages == sorted((good.output / "html" / "calls").iterdir())


def led_to(page: Path, pattern: str) -> list[Path]:
    """Return the files that a page links to, where a pattern finds the addresses."""
    found = [unescape(address) for address in re.findall(pattern, page.read_text(encoding="utf-8"))]
    return [
        Path(os.path.normpath(os.path.join(page.parent, os.fsdecode(unquote_to_bytes(address))))) for address in found
    ]


# What is rewritten.


def test_a_second_night_writes_nothing_again(output: Path, calls: Path, analyze: Analyze) -> None:
    before = files(output)
    assert len(before) == 3 * 3
    for options in (["--format", QUICK], ["--format", "jsonl"], []):
        assert analyze(calls, "-o", output, *options) == 0
        assert files(output) == before


def test_only_what_has_changed_is_written_again(output: Path, calls: Path, analyze: Analyze) -> None:
    before = files(output)
    changed(calls, "b.wav")
    a_call(calls / "new.wav", seed=7)
    assert analyze(calls, "-o", output, "--format", QUICK) == 0
    after = files(output)
    assert {path for path in before if after[path] == before[path]} == before.keys() - of("b.wav", before).keys()
    assert after.keys() - before.keys() == of("new.wav", after).keys()
    assert of("b.wav", bytes_of(output, "jsonl", "webvtt")).values() != of("b.wav", before).values()


def test_a_file_that_was_only_touched_keeps_what_is_told_of_it(output: Path, calls: Path, analyze: Analyze) -> None:
    told = bytes_of(output, "jsonl", "webvtt")
    os.utime(calls / "a.wav", (MTIME + 9, MTIME + 9))
    assert analyze(calls, "-o", output, "--format", QUICK) == 0
    assert bytes_of(output, "jsonl", "webvtt") == told
    assert b"12:00:09" in format_path(output, Identity("calls", "a.wav"), "html").read_bytes()


def test_a_format_that_is_asked_for_later_needs_no_sound(
    good: Night, tmp_path: Path, analyze: Analyze, unheard: None
) -> None:
    output = tmp_path / "out"
    shutil.copytree(good.output, output, ignore=lambda folder, names: EXTENSIONS.keys() & {*names})
    assert files(output) == {}
    with closing(Ledger(output)) as ledger:
        ledger.nothing_is_written()
    before = files(good.output, *EXTENSIONS.keys() - {"html"})  # links differ in another folder
    assert report(output, "--format", ",".join(EXTENSIONS)) == 0
    after = bytes_of(output)
    assert {path: after[path] for path in before} == {path: content for path, (_, _, content) in before.items()}
    assert len(after) == len(before) + 9


def test_a_night_that_asks_for_another_format_listens_to_nothing_again(
    output: Path, calls: Path, analyze: Analyze, unheard: None
) -> None:
    before = files(output)
    assert analyze(calls, "-o", output, "--format", f"{QUICK},rttm") == 0
    assert analysed(output) == {}
    assert files(output, "rttm").keys() == {f"rttm/calls/{name}.wav.rttm" for name in ("a", "b", "day/c")}
    assert files(output, *QUICK.split(",")) == before


def test_recordings_that_are_gone_are_written_in_another_format_all_the_same(
    output: Path, calls: Path, analyze: Analyze
) -> None:
    (calls / "a.wav").unlink()
    assert analyze(calls, "-o", output, "--format", "audacity") == 0
    assert len(files(output, "audacity")) == 3


def test_another_model_replaces_what_the_first_one_heard(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    before = bytes_of(output)
    other = make_tiny_model(tmp_path / "other", name="other", seed=1)
    assert analyze(calls, "-o", output, "--format", QUICK, model=other) == 0
    after = bytes_of(output)
    assert after.keys() == before.keys()
    assert not [path for path in after if after[path] == before[path]]
    assert all(b"<dd>other</dd>" in content for path, content in after.items() if path.startswith("html/"))


def test_metadata_that_are_told_otherwise_are_told_otherwise_in_files(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze, unheard: None
) -> None:
    before, told = files(output), tmp_path / "metadata.csv"
    told.write_text("file,queue,recorded\nb.wav,billing,2020-02-02\n")
    assert analyze(calls, "-o", output, "--format", QUICK, "--metadata", told) == 0
    after = files(output)
    assert {path for path in before if after[path] != before[path]} == of("b.wav", before).keys()
    page = after["html/calls/b.wav.html"][2]
    assert b"billing" in page and b"2020-02-02" in page


def test_speakers_that_are_named_otherwise_are_named_otherwise_in_files(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_dialogue(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    for options in ([], BOTH):
        assert analyze(calls, "-o", output, "--format", ALL, *options) == 0
    assert analysed(output) == {}
    for path, content in bytes_of(output, "html", "audacity", "textgrid", "webvtt", "rttm", "jsonl").items():
        assert b"customer" in content and b"channel_1" not in content, path
        assert b"channel 1" not in content, path
    assert len(files(output)) == len(EXTENSIONS)


def test_another_time_zone_is_told_in_files(output: Path, calls: Path, analyze: Analyze) -> None:
    told = []
    for zone in ("Asia/Tokyo", "Asia/Kolkata"):
        assert analyze(calls, "-o", output, "--format", QUICK, "--time-zone", zone) == 0
        told.append(re.findall(rb"2026-11-24 (..:..):00", bytes_of(output)["html/calls/a.wav.html"]))
    assert told == [[b"21:00"], [b"17:30"]]


def test_a_folder_that_has_moved_is_where_pages_lead(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    before = files(output, "jsonl")
    calls.rename(tmp_path / "moved")
    assert analyze(f"calls={tmp_path / 'moved'}", "-o", output, "--format", QUICK) == 0
    assert analysed(output) == {}
    assert led_to(output / "html" / "calls" / "a.wav.html", r'src="([^"]+)"') == [tmp_path / "moved" / "a.wav"]
    assert files(output, "jsonl") == before


def test_another_look_makes_all_files_anew(
    output: Path, calls: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, unheard: None
) -> None:
    before = files(output)
    monkeypatch.setattr(rendering, "_LOOK", "another")
    for _ in range(2):
        assert analyze(calls, "-o", output, "--format", QUICK) == 0
        after = files(output)
        assert not [path for path in before if after[path][:2] == before[path][:2]]
        assert [content for _, _, content in after.values()] == [content for _, _, content in before.values()]
        monkeypatch.setattr(rendering, "write", None)  # the second time there is nothing to do


# Changed, deleted and failed recordings.


def test_what_told_of_another_recording_is_gone_before_the_new_one_is_known(
    output: Path, calls: Path, analyze: Analyze
) -> None:
    changed(calls, "b.wav")
    with killed_at(Ledger, "record", 1):
        analyze(calls, "-o", output, "--format", QUICK)
    assert of("b.wav", files(output)) == {}
    assert len(files(output)) == 6
    assert analyze(calls, "-o", output, "--format", QUICK) == 0
    assert len(of("b.wav", files(output))) == 3


def test_a_recording_that_breaks_leaves_no_file(output: Path, calls: Path, analyze: Analyze) -> None:
    (calls / "day" / "c.wav").write_bytes(b"")
    assert analyze(calls, "-o", output, "--format", QUICK) == 1
    assert of("c.wav", files(output)) == {}
    assert not (output / "html" / "calls" / "day").exists()


def test_a_format_that_is_not_asked_for_any_more_tells_nothing_old(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    before, told = files(output, "jsonl"), tmp_path / "metadata.csv"
    changed(calls, "b.wav")
    told.write_text("file,queue\na.wav,billing\n")
    assert analyze(calls, "-o", output, "--format", "html", "--metadata", told) == 0
    left = {path: state for path, state in before.items() if path == "jsonl/calls/day/c.wav.jsonl"}
    assert files(output, "jsonl") == left
    assert len(files(output, "html")) == 3
    assert analyze(calls, "-o", output, "--format", QUICK) == 0
    assert len(files(output, "jsonl")) == 3


def test_analysing_all_again_loses_no_file_where_it_is_killed(output: Path, calls: Path, analyze: Analyze) -> None:
    before = bytes_of(output)
    with killed_at(Ledger, "record", 2):
        analyze(calls, "-o", output, "--format", QUICK, "--force")
    assert bytes_of(output) != before
    assert analyze(calls, "-o", output, "--format", QUICK) == 0
    assert bytes_of(output) == before


# Files that are rewritten on request.


def test_a_file_that_was_deleted_is_made_again_by_report(output: Path, unheard: None) -> None:
    before = files(output)
    gone = output / "html" / "calls" / "day" / "c.wav.html"
    gone.unlink()
    assert report(output) == 0
    after = files(output)
    assert {path: content for path, (_, _, content) in after.items()} == {
        path: content for path, (_, _, content) in before.items()
    }
    assert [path for path in before if after[path] != before[path]] == ["html/calls/day/c.wav.html"]


def spoilt(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


HEADER = ",".join(TIMELINE_COLUMNS).encode() + b"\n"
SPOILT = {
    "gone": None,
    "empty": b"",
    "cut": HEADER + b"0.3,1.7,1,channel 1,neu",
    "of other columns": b"start,end\n1,2\n",
    "no text": HEADER + bytes(range(256)),
    "of words": HEADER + b",".join([b"x"] * 15) + b"\n",
    "of a channel that is not there": HEADER + b"0.3,1.7,9,channel 9,neutral,1,1,0,0,0,0,0,0,0,-20\n",
    "of an endless field": HEADER + b"x" * 200_000 + b"\n",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_timeline_that_is_gone_or_spoilt_costs_no_other_recording_its_files(
    output: Path, how: str, capsys: pytest.CaptureFixture, unheard: None
) -> None:
    spoilt(timeline_path(output, Identity("calls", "b.wav")), SPOILT[how])
    before = files(output)
    assert report(output, "--format", f"{QUICK},rttm,audacity,textgrid") == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("calls/b.wav: ")
    assert "b.wav.csv" in said or "cannot be written as" in said
    assert {path.name for path in output.glob("rttm/**/*.rttm")} >= {"a.wav.rttm", "c.wav.rttm"}
    assert files(output, *QUICK.split(",")).keys() == before.keys()
    assert (output / "html" / "index.html").is_file()


def test_a_night_says_what_it_cannot_write_and_ends_with_1(
    output: Path, calls: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    (calls / "b.wav").unlink()
    path = timeline_path(output, Identity("calls", "b.wav"))
    path.unlink()
    capsys.readouterr()
    assert analyze(calls, "-o", output, "--format", "rttm") == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"calls/b.wav: {path} is gone")
    assert len(files(output, "rttm")) == 2
    assert json.loads((output / "run.json").read_text())["exit_status"] == 1


def test_a_timeline_that_was_deleted_is_heard_again_and_written_anew(
    output: Path, calls: Path, analyze: Analyze
) -> None:
    before = bytes_of(output)
    timeline_path(output, Identity("calls", "b.wav")).unlink()
    assert analyze(calls, "-o", output, "--format", QUICK) == 0
    assert analysed(output) == {"ok": 1}
    assert bytes_of(output) == before


# Killed while writing, and files that cannot be written.

#: Loaded first by every Python process: the process that renders 3.wav kills the run, once.
_KILLS_THE_RUN = """
import os, signal, sys
from analyzer.report import rendering

told, is_worker = rendering.told, "loky" in " ".join(sys.orig_argv)

def deadly(task):
    marker = os.environ["MARKER"]
    if task.entry.identity.path == "3.wav" and not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getppid() if is_worker else os.getpid(), signal.SIGKILL)
    return told(task)

rendering.told = deadly
"""


@pytest.mark.parametrize("call", [1, 3])
def test_a_night_that_is_killed_while_it_writes_is_completed_by_the_next(
    calls: Path, tmp_path: Path, analyze: Analyze, call: int
) -> None:
    output, fresh = tmp_path / "out", tmp_path / "fresh"
    with killed_at(rendering, "write", call):
        analyze(calls, "-o", output, "--format", QUICK)
    assert len(files(output)) == 3 * (call - 1)
    assert analyze(calls, "-o", output, "--format", QUICK) == 0
    assert analysed(output) == {}
    assert analyze(calls, "-o", fresh, "--format", QUICK) == 0
    assert bytes_of(output) == bytes_of(fresh)


def test_a_report_that_is_killed_while_it_writes_is_completed_by_the_next(output: Path) -> None:
    with killed_at(rendering, "write", 2):
        report(output, "--format", "rttm")
    assert len(files(output, "rttm")) == 1
    assert report(output, "--format", "rttm") == 0
    assert len(files(output, "rttm")) == 3


@pytest.mark.parametrize("count", [5, 12], ids=["by the run itself", "by processes"])
def test_a_run_that_is_killed_while_it_writes_is_completed(
    tmp_path: Path, tiny_model: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_KILLS_THE_RUN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parent.parent)]))
    monkeypatch.setenv("MARKER", str(tmp_path / "killed"))
    for k in range(count):
        a_call(tmp_path / "calls" / f"{k}.wav", seed=k)
    command = Command(tmp_path / "calls", tiny_model, "--format", QUICK)
    process = command.start(tmp_path / "out")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert command.run(tmp_path / "out") == (0, "")
    assert analysed(tmp_path / "out") == {}
    assert analyze(tmp_path / "calls", "-o", tmp_path / "fresh", "--format", QUICK) == 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh")
    assert len(files(tmp_path / "out")) == 3 * count


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_place_that_cannot_be_written_ends_the_run_with_one_line(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture, jobs: int
) -> None:
    output = tmp_path / "out"
    for k in range(9):
        a_call(tmp_path / "calls" / f"{k}.wav", seed=k)
    output.mkdir()
    (output / "jsonl").write_text("in the way")
    assert analyze(tmp_path / "calls", "-o", output, "--format", QUICK, "-q", jobs=jobs) == 3
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(r"jsonl/calls/\d\.wav\.jsonl cannot be written", said)
    assert len(read_csv(output / "recordings.csv")) == 9
    (output / "jsonl").unlink()
    assert analyze(tmp_path / "calls", "-o", output, "--format", QUICK, "-q", jobs=jobs) == 0
    assert analysed(output) == {}
    assert len(files(output)) == 27


def test_a_disk_that_fills_while_files_are_written_ends_the_run_and_leaves_whole_ones(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    output, really, left = tmp_path / "out", os.fsync, [4]

    def fsync(descriptor: int) -> None:
        if any(f"/{name}/" in os.readlink(f"/proc/self/fd/{descriptor}") for name in EXTENSIONS):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(descriptor)

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", fsync)
        assert analyze(calls, "-o", output, "--format", QUICK, "-q") == 3
        (said,) = capsys.readouterr().err.splitlines()
        assert "No space left on device" in said
    whole = bytes_of(output)
    assert len(whole) == 4
    assert analyze(calls, "-o", output, "--format", QUICK, "-q") == 0
    assert whole.items() <= bytes_of(output).items()
    assert len(files(output)) == 9


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_writer_that_nobody_thought_would_fail_costs_its_recording_alone(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture, jobs: int
) -> None:
    output = tmp_path / "out"
    for k in range(9):
        a_call(tmp_path / "calls" / f"{k}.wav", seed=k)
    assert analyze(tmp_path / "calls", "-o", output) == 0
    with closing(Ledger(output)) as ledger:
        ledger._connection.execute("UPDATE recording SET rate = NULL, envelope = x'00' WHERE path = x'332e776176'")
    capsys.readouterr()
    assert analyze(tmp_path / "calls", "-o", output, "--format", QUICK, "-q", jobs=jobs) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("calls/3.wav: ")]
    assert len(files(output)) == 24


# Processes.


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Enough recordings to start worker processes for."""
    for k in range(10):
        a_dialogue(tmp_path / "calls" / f"{k}.wav", seed=k)
    return tmp_path / "calls"


def test_processes_write_what_one_process_writes(many: Path, tmp_path: Path, analyze: Analyze) -> None:
    formats = ",".join(EXTENSIONS.keys() - {"png"})
    assert analyze(many, "-o", tmp_path / "one", "--format", formats) == 0
    assert analyze(many, "-o", tmp_path / "two", "--format", formats, jobs=2) == 0
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    assert len(files(tmp_path / "one")) == 10 * 8


class StoppedAtOnce(StopSignals):
    def check(self) -> None:
        raise Stopped(signal.SIGTERM)

    def waiting(self) -> nullcontext:
        return nullcontext()


def test_a_run_that_is_stopped_leaves_no_process_that_writes(many: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(many, "-o", tmp_path / "out") == 0
    with closing(Ledger(tmp_path / "out")) as ledger, pytest.raises(Stopped):
        rendering.bring_up_to_date(ledger, tmp_path / "out", ["jsonl"], 2, StoppedAtOnce())
    assert worker_processes(os.getpid()) == []


def test_each_item_is_done_once_whatever_the_order() -> None:
    items = [*range(-40, 0)]
    with StopSignals() as stop:
        assert sorted(workers.each(abs, items, 2, stop)) == [(item, -item) for item in items]
        assert list(workers.each(abs, [], 2, stop)) == []


def test_items_are_taken_only_as_they_are_needed() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 1000:
            taken += 1
            yield taken

    with StopSignals() as stop, closing(workers.each(abs, items(), 2, stop)) as made:
        next(made)
        assert taken < 20


def test_what_a_function_raises_is_raised() -> None:
    with StopSignals() as stop, pytest.raises(ValueError, match="nonsense"):
        list(workers.each(int, ["1", "nonsense", "3"], 2, stop))
    assert worker_processes(os.getpid()) == []


def test_nothing_is_made_of_an_item_whose_process_dies_and_the_others_are_made() -> None:
    with StopSignals() as stop:
        made = dict(workers.each(exits_for_nine, range(20), 2, stop))
    assert made == {item: None if item == 9 else -item for item in range(20)}
    assert worker_processes(os.getpid()) == []


def test_an_item_whose_process_was_killed_has_another_chance(tmp_path: Path) -> None:
    with StopSignals() as stop:
        assert list(workers.each(dies_once, [tmp_path / "marker"], 2, stop)) == [(tmp_path / "marker", "made")]


def test_a_signal_ends_the_work_and_its_processes() -> None:
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM))
    with StopSignals() as stop, pytest.raises(Stopped) as stopped:
        timer.start()
        list(workers.each(time.sleep, [10_000] * 20, 2, stop))
    assert stopped.value.exit_status == 143
    assert worker_processes(os.getpid()) == []


# Awkward names.


def test_awkward_names_are_written_in_every_format_and_led_to(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "index.html", tmp_path / "out"
    long = "l" * 240 + ".wav"
    names = (
        *AWKWARD,
        long,
        "index.html/index.html.wav",
        "a.wav.html/x.wav",
        "a.wav",
        "$\\frac$ & {{x}} <b>.wav",
        "#?.wav",
    )
    for k, name in enumerate(names):
        a_call(calls / name, seed=k)
    assert analyze(calls, "-o", output, "--format", ALL) == 0
    for name in names:
        identity = Identity("index.html", name)
        for extension in EXTENSIONS:
            assert format_path(output, identity, extension).stat().st_size
        page = format_path(output, identity, "html")
        assert led_to(page, r'<audio [^>]*src="([^"]+)"') == [calls / name]
    index = output / "html" / "index.html"
    assert sorted(led_to(index, r'<li><a href="([^"]+)"')) == sorted(
        format_path(output, Identity("index.html", name), "html") for name in names
    )
    assert report(output) == 0
