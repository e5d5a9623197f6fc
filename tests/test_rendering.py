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

from analyzer.batch import job
from analyzer.commands.main import main
from analyzer.names import Identity
from analyzer.report import opus, rendering
from analyzer.runtime import pool
from analyzer.runtime.signals import Stopped, StopSignals
from analyzer.store.formats import EXTENSIONS, FORMATS
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import TIMELINE_COLUMNS, format_path, timeline_path
from tests.helpers.deaths import dies_once, exits_for_nine
from tests.helpers.dialogues import BOTH, a_dialogue, analysed
from tests.helpers.faults import Command, worker_processes
from tests.helpers.kills import killed_at
from tests.helpers.runs import AWKWARD, MTIME, Analyze, Run, a_call, good_calls, read_csv, states
from tests.helpers.tiny_model import make_tiny_model

ALL_FORMATS = ",".join(FORMATS)
#: Formats that are quick to write, including pages.
QUICK_FORMATS = "html,jsonl,webvtt"


def report(output: Path, *options: object) -> int:
    return main(["report", str(output), "-q", "-j", "1", *map(str, options)])


def file_states(output: Path, *formats: str) -> dict[str, tuple[int, int, bytes]]:
    """Return inode, time and bytes of the files of all recordings, in these formats or in all; excludes the index."""
    states_by_path = {
        f"{name}/{path}": state
        for name in formats or EXTENSIONS
        for path, state in states(output / name).items()
        if (name, path) != ("html", "index.html")
    }
    assert not any(".writing-" in path for path in states_by_path)
    return states_by_path


def bytes_by_path(output: Path, *formats: str) -> dict[str, bytes]:
    return {path: content for path, (_, _, content) in file_states(output, *formats).items()}


def files_of(name: str, by_path: dict) -> dict:
    """Return the entries whose path belongs to a recording."""
    return {path: value for path, value in by_path.items() if Path(path).name.startswith(f"{name}.")}


def replace_recording(calls: Path, name: str, seed: int = 99) -> None:
    """Replace a recording by another with the same name."""
    os.utime(a_call(calls / name, seed=seed), (MTIME + 5, MTIME + 5))


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Three recordings in one folder."""
    for seed, name in enumerate(("a.wav", "b.wav", "day/c.wav")):
        a_call(tmp_path / "calls" / name, seed=seed)
    return tmp_path / "calls"


@pytest.fixture
def output(calls: Path, tmp_path: Path, analyze: Analyze) -> Path:
    """The results of a first run over `calls`, in the quick formats."""
    assert analyze(calls, "-o", tmp_path / "out", "--format", QUICK_FORMATS) == 0
    return tmp_path / "out"


@pytest.fixture(scope="module")
def full_run(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Run:
    """A run without failures in every format; tests only read it."""
    folder = tmp_path_factory.mktemp("rendered")
    calls = good_calls(folder / "calls")
    return Run(calls, folder / "out", analyze(calls, "-o", folder / "out", "--format", ALL_FORMATS))


@pytest.fixture
def no_audio_access(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it an error to analyse a recording or to embed it into a page."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a recording was opened")

    for owner, name in ((job, "analyse"), (opus, "open_audio")):
        monkeypatch.setattr(owner, name, refuse)


# Paths and contents of files.


def test_formats_have_a_file_per_recording(full_run: Run) -> None:
    analysed_files = {row["file"] for row in full_run.table("files.csv") if row["status"] in ("ok", "no_speech")}
    assert len(analysed_files) == 9
    for name, extension in EXTENSIONS.items():
        assert {path.split("/", 1)[1] for path in file_states(full_run.output, name)} == {
            f"{path}{extension}" for path in analysed_files
        }
    assert all(content for content in bytes_by_path(full_run.output).values() if b"voicemail" in content)


def test_result_paths(full_run: Run) -> None:
    assert set(files_of("mp3.mp3", file_states(full_run.output))) == {
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
    assert (full_run.output / "html" / "index.html").is_file()


def test_formats_contain_timeline_segments(full_run: Run) -> None:
    rows = full_run.timeline("two-speakers.wav")
    assert len(rows) > 3
    contents = files_of("two-speakers.wav", bytes_by_path(full_run.output))
    lines = [json.loads(line) for line in contents["jsonl/calls/two-speakers.wav.jsonl"].splitlines()]
    assert [(f"{line['start']:.3f}", line["speaker"], line["emotion"]) for line in lines] == [
        (row["start"], row["speaker"], row["emotion"]) for row in rows
    ]
    for name in ("audacity", "rttm"):
        (text,) = (content.decode() for path, content in contents.items() if path.startswith(f"{name}/"))
        assert len(text.splitlines()) == len(rows)
    page = contents["html/calls/two-speakers.wav.html"].decode()
    assert re.findall(r'<tr data-start="([\d.]+)"', page) == [row["start"] for row in rows]


def test_files_are_closed_to_others(full_run: Run) -> None:
    for name in EXTENSIONS:
        for path in (full_run.output / name).rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0, path


def test_failed_recordings_have_no_files(bad_run: Run, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(bad_run.calls, "-o", tmp_path / "out", "--format", QUICK_FORMATS) == 1
    analysed_files = [row for row in read_csv(tmp_path / "out" / "files.csv") if row["status"] == "ok"]
    assert len(file_states(tmp_path / "out", "jsonl")) == len(analysed_files) == len(AWKWARD) + 1


def test_default_run_writes_no_other_formats(good_run: Run) -> None:
    assert not [name for name in EXTENSIONS if (good_run.output / name).exists()]


def test_pages_and_index_have_links(full_run: Run) -> None:
    for path in sorted((full_run.output / "html" / "calls").iterdir()):
        assert linked_files(path, r'<audio [^>]*src="([^"]+)"') == [full_run.calls / path.name.removesuffix(".html")]
    pages = linked_files(full_run.output / "html" / "index.html", r'<li><a href="([^"]+)"')
    assert pages == sorted((full_run.output / "html" / "calls").iterdir())


def linked_files(page: Path, pattern: str) -> list[Path]:
    """Return the files that a page links to, where a pattern finds the addresses."""
    addresses = [unescape(address) for address in re.findall(pattern, page.read_text(encoding="utf-8"))]
    return [
        Path(os.path.normpath(os.path.join(page.parent, os.fsdecode(unquote_to_bytes(address)))))
        for address in addresses
    ]


# Files that are rewritten.


def test_second_run_writes_nothing(output: Path, calls: Path, analyze: Analyze) -> None:
    before = file_states(output)
    assert len(before) == 3 * 3
    for options in (["--format", QUICK_FORMATS], ["--format", "jsonl"], []):
        assert analyze(calls, "-o", output, *options) == 0
        assert file_states(output) == before


def test_only_changed_recordings_are_rewritten(output: Path, calls: Path, analyze: Analyze) -> None:
    before = file_states(output)
    replace_recording(calls, "b.wav")
    a_call(calls / "new.wav", seed=7)
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
    after = file_states(output)
    assert {path for path in before if after[path] == before[path]} == before.keys() - files_of("b.wav", before).keys()
    assert after.keys() - before.keys() == files_of("new.wav", after).keys()
    assert files_of("b.wav", bytes_by_path(output, "jsonl", "webvtt")).values() != files_of("b.wav", before).values()


def test_touched_file_keeps_results(output: Path, calls: Path, analyze: Analyze) -> None:
    before = bytes_by_path(output, "jsonl", "webvtt")
    os.utime(calls / "a.wav", (MTIME + 9, MTIME + 9))
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
    assert bytes_by_path(output, "jsonl", "webvtt") == before
    assert b"12:00:09" in format_path(output, Identity("calls", "a.wav"), "html").read_bytes()


def test_report_adds_formats_without_audio(
    full_run: Run, tmp_path: Path, analyze: Analyze, no_audio_access: None
) -> None:
    output = tmp_path / "out"
    shutil.copytree(full_run.output, output, ignore=lambda folder, names: EXTENSIONS.keys() & {*names})
    assert file_states(output) == {}
    with closing(Ledger(output)) as ledger:
        ledger.mark_all_unwritten()
    before = file_states(full_run.output, *EXTENSIONS.keys() - {"html"})  # links differ in another folder
    assert report(output, "--format", ",".join(EXTENSIONS)) == 0
    after = bytes_by_path(output)
    assert {path: after[path] for path in before} == {path: content for path, (_, _, content) in before.items()}
    assert len(after) == len(before) + 9


def test_run_adds_format_without_analysis(output: Path, calls: Path, analyze: Analyze, no_audio_access: None) -> None:
    before = file_states(output)
    assert analyze(calls, "-o", output, "--format", f"{QUICK_FORMATS},rttm") == 0
    assert analysed(output) == {}
    assert file_states(output, "rttm").keys() == {f"rttm/calls/{name}.wav.rttm" for name in ("a", "b", "day/c")}
    assert file_states(output, *QUICK_FORMATS.split(",")) == before


def test_deleted_recordings_get_new_formats(output: Path, calls: Path, analyze: Analyze) -> None:
    (calls / "a.wav").unlink()
    assert analyze(calls, "-o", output, "--format", "audacity") == 0
    assert len(file_states(output, "audacity")) == 3


def test_other_model_replaces_results(output: Path, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    before = bytes_by_path(output)
    other_model = make_tiny_model(tmp_path / "other", name="other", seed=1)
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS, model=other_model) == 0
    after = bytes_by_path(output)
    assert after.keys() == before.keys()
    assert not [path for path in after if after[path] == before[path]]
    assert all(b"<dd>other</dd>" in content for path, content in after.items() if path.startswith("html/"))


def test_changed_metadata_appear_in_files(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze, no_audio_access: None
) -> None:
    before, metadata = file_states(output), tmp_path / "metadata.csv"
    metadata.write_text("file,queue,recorded\nb.wav,billing,2020-02-02\n")
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS, "--metadata", metadata) == 0
    after = file_states(output)
    assert {path for path in before if after[path] != before[path]} == files_of("b.wav", before).keys()
    page = after["html/calls/b.wav.html"][2]
    assert b"billing" in page and b"2020-02-02" in page


def test_changed_roles_appear_in_files(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_dialogue(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    for options in ([], BOTH):
        assert analyze(calls, "-o", output, "--format", ALL_FORMATS, *options) == 0
    assert analysed(output) == {}
    for path, content in bytes_by_path(output, "html", "audacity", "textgrid", "webvtt", "rttm", "jsonl").items():
        assert b"customer" in content and b"channel_1" not in content, path
        assert b"channel 1" not in content, path
    assert len(file_states(output)) == len(EXTENSIONS)


def test_changed_time_zone_appears_in_files(output: Path, calls: Path, analyze: Analyze) -> None:
    times = []
    for zone in ("Asia/Tokyo", "Asia/Kolkata"):
        assert analyze(calls, "-o", output, "--format", QUICK_FORMATS, "--time-zone", zone) == 0
        times.append(re.findall(rb"2026-11-24 (..:..):00", bytes_by_path(output)["html/calls/a.wav.html"]))
    assert times == [[b"21:00"], [b"17:30"]]


def test_pages_link_to_moved_input(output: Path, calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    before = file_states(output, "jsonl")
    calls.rename(tmp_path / "moved")
    assert analyze(f"calls={tmp_path / 'moved'}", "-o", output, "--format", QUICK_FORMATS) == 0
    assert analysed(output) == {}
    assert linked_files(output / "html" / "calls" / "a.wav.html", r'src="([^"]+)"') == [tmp_path / "moved" / "a.wav"]
    assert file_states(output, "jsonl") == before


def test_new_render_version_rewrites_all_files(
    output: Path, calls: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, no_audio_access: None
) -> None:
    before = file_states(output)
    monkeypatch.setattr(rendering, "_RENDER_VERSION", "another")
    for _ in range(2):
        assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
        after = file_states(output)
        assert not [path for path in before if after[path][:2] == before[path][:2]]
        assert [content for _, _, content in after.values()] == [content for _, _, content in before.values()]
        monkeypatch.setattr(rendering, "write", None)  # the second run has nothing to do


# Changed, deleted and failed recordings.


def test_old_files_are_removed_before_new_results(output: Path, calls: Path, analyze: Analyze) -> None:
    replace_recording(calls, "b.wav")
    with killed_at(Ledger, "record", 1):
        analyze(calls, "-o", output, "--format", QUICK_FORMATS)
    assert files_of("b.wav", file_states(output)) == {}
    assert len(file_states(output)) == 6
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
    assert len(files_of("b.wav", file_states(output))) == 3


def test_recording_that_now_fails_has_no_files(output: Path, calls: Path, analyze: Analyze) -> None:
    (calls / "day" / "c.wav").write_bytes(b"")
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 1
    assert files_of("c.wav", file_states(output)) == {}
    assert not (output / "html" / "calls" / "day").exists()


def test_stale_files_of_unrequested_formats_are_removed(
    output: Path, calls: Path, tmp_path: Path, analyze: Analyze
) -> None:
    before, metadata = file_states(output, "jsonl"), tmp_path / "metadata.csv"
    replace_recording(calls, "b.wav")
    metadata.write_text("file,queue\na.wav,billing\n")
    assert analyze(calls, "-o", output, "--format", "html", "--metadata", metadata) == 0
    unchanged = {path: state for path, state in before.items() if path == "jsonl/calls/day/c.wav.jsonl"}
    assert file_states(output, "jsonl") == unchanged
    assert len(file_states(output, "html")) == 3
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
    assert len(file_states(output, "jsonl")) == 3


def test_killed_forced_run_loses_no_files(output: Path, calls: Path, analyze: Analyze) -> None:
    before = bytes_by_path(output)
    with killed_at(Ledger, "record", 2):
        analyze(calls, "-o", output, "--format", QUICK_FORMATS, "--force")
    assert bytes_by_path(output) != before
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
    assert bytes_by_path(output) == before


# Files that are rewritten on request.


def test_report_restores_deleted_file(output: Path, no_audio_access: None) -> None:
    before = file_states(output)
    deleted = output / "html" / "calls" / "day" / "c.wav.html"
    deleted.unlink()
    assert report(output) == 0
    after = file_states(output)
    assert {path: content for path, (_, _, content) in after.items()} == {
        path: content for path, (_, _, content) in before.items()
    }
    assert [path for path in before if after[path] != before[path]] == ["html/calls/day/c.wav.html"]


def damage(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


TIMELINE_HEADER = ",".join(TIMELINE_COLUMNS).encode() + b"\n"
DAMAGE = {
    "missing": None,
    "empty": b"",
    "truncated": TIMELINE_HEADER + b"0.3,1.7,1,channel 1,neu",
    "other columns": b"start,end\n1,2\n",
    "binary": TIMELINE_HEADER + bytes(range(256)),
    "text in numeric columns": TIMELINE_HEADER + b",".join([b"x"] * 15) + b"\n",
    "unknown channel": TIMELINE_HEADER + b"0.3,1.7,9,channel 9,neutral,1,1,0,0,0,0,0,0,0,-20\n",
    "oversized field": TIMELINE_HEADER + b"x" * 200_000 + b"\n",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_timeline_affects_one_recording(
    output: Path, kind: str, capsys: pytest.CaptureFixture, no_audio_access: None
) -> None:
    damage(timeline_path(output, Identity("calls", "b.wav")), DAMAGE[kind])
    before = file_states(output)
    assert report(output, "--format", f"{QUICK_FORMATS},rttm,audacity,textgrid") == 1
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("calls/b.wav: ")
    assert "b.wav.csv" in message or "cannot be written as" in message
    assert {path.name for path in output.glob("rttm/**/*.rttm")} >= {"a.wav.rttm", "c.wav.rttm"}
    assert file_states(output, *QUICK_FORMATS.split(",")).keys() == before.keys()
    assert (output / "html" / "index.html").is_file()


def test_missing_timeline_fails_the_run(
    output: Path, calls: Path, analyze: Analyze, capsys: pytest.CaptureFixture
) -> None:
    (calls / "b.wav").unlink()
    timeline = timeline_path(output, Identity("calls", "b.wav"))
    timeline.unlink()
    capsys.readouterr()
    assert analyze(calls, "-o", output, "--format", "rttm") == 1
    messages = capsys.readouterr().err.splitlines()
    assert messages[0].startswith(f"calls/b.wav: {timeline} is missing")
    assert len(file_states(output, "rttm")) == 2
    assert json.loads((output / "run.json").read_text())["exit_status"] == 1


def test_deleted_timeline_is_restored(output: Path, calls: Path, analyze: Analyze) -> None:
    before = bytes_by_path(output)
    timeline_path(output, Identity("calls", "b.wav")).unlink()
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
    assert analysed(output) == {"ok": 1}
    assert bytes_by_path(output) == before


# Killed while writing, and files that cannot be written.

#: Loaded first by every Python process: the process that renders 3.wav kills the run, once.
_KILL_SCRIPT = """
import os, signal, sys
from analyzer.report import rendering

load_timeline, is_worker = rendering.load_timeline, "loky" in " ".join(sys.orig_argv)

def kill_or_load(task):
    marker = os.environ["MARKER"]
    if task.entry.identity.path == "3.wav" and not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getppid() if is_worker else os.getpid(), signal.SIGKILL)
    return load_timeline(task)

rendering.load_timeline = kill_or_load
"""


@pytest.mark.parametrize("write_number", [1, 3])
def test_next_run_completes_killed_rendering(calls: Path, tmp_path: Path, analyze: Analyze, write_number: int) -> None:
    output, undisturbed = tmp_path / "out", tmp_path / "fresh"
    with killed_at(rendering, "write", write_number):
        analyze(calls, "-o", output, "--format", QUICK_FORMATS)
    assert len(file_states(output)) == 3 * (write_number - 1)
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS) == 0
    assert analysed(output) == {}
    assert analyze(calls, "-o", undisturbed, "--format", QUICK_FORMATS) == 0
    assert bytes_by_path(output) == bytes_by_path(undisturbed)


def test_next_report_completes_killed_report(output: Path) -> None:
    with killed_at(rendering, "write", 2):
        report(output, "--format", "rttm")
    assert len(file_states(output, "rttm")) == 1
    assert report(output, "--format", "rttm") == 0
    assert len(file_states(output, "rttm")) == 3


@pytest.mark.parametrize("count", [5, 12], ids=["in the run", "in workers"])
def test_killed_process_is_completed_by_next_run(
    tmp_path: Path, tiny_model: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_KILL_SCRIPT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parent.parent)]))
    monkeypatch.setenv("MARKER", str(tmp_path / "killed"))
    for number in range(count):
        a_call(tmp_path / "calls" / f"{number}.wav", seed=number)
    command = Command(tmp_path / "calls", tiny_model, "--format", QUICK_FORMATS)
    process = command.start(tmp_path / "out")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert command.run(tmp_path / "out") == (0, "")
    assert analysed(tmp_path / "out") == {}
    assert analyze(tmp_path / "calls", "-o", tmp_path / "fresh", "--format", QUICK_FORMATS) == 0
    assert bytes_by_path(tmp_path / "out") == bytes_by_path(tmp_path / "fresh")
    assert len(file_states(tmp_path / "out")) == 3 * count


@pytest.mark.parametrize("jobs", [1, 2])
def test_unwritable_folder_ends_run_with_one_line(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture, jobs: int
) -> None:
    output = tmp_path / "out"
    for number in range(9):
        a_call(tmp_path / "calls" / f"{number}.wav", seed=number)
    output.mkdir()
    (output / "jsonl").write_text("in the way")
    assert analyze(tmp_path / "calls", "-o", output, "--format", QUICK_FORMATS, "-q", jobs=jobs) == 3
    (message,) = capsys.readouterr().err.splitlines()
    assert re.search(r"jsonl/calls/\d\.wav\.jsonl cannot be written", message)
    assert len(read_csv(output / "recordings.csv")) == 9
    (output / "jsonl").unlink()
    assert analyze(tmp_path / "calls", "-o", output, "--format", QUICK_FORMATS, "-q", jobs=jobs) == 0
    assert analysed(output) == {}
    assert len(file_states(output)) == 27


def test_full_disk_leaves_only_complete_files(
    calls: Path, tmp_path: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    output, original_fsync, remaining = tmp_path / "out", os.fsync, [4]

    def fsync(descriptor: int) -> None:
        if any(f"/{name}/" in os.readlink(f"/proc/self/fd/{descriptor}") for name in EXTENSIONS):
            remaining[0] -= 1
            if remaining[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original_fsync(descriptor)

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", fsync)
        assert analyze(calls, "-o", output, "--format", QUICK_FORMATS, "-q") == 3
        (message,) = capsys.readouterr().err.splitlines()
        assert "No space left on device" in message
    complete = bytes_by_path(output)
    assert len(complete) == 4
    assert analyze(calls, "-o", output, "--format", QUICK_FORMATS, "-q") == 0
    assert complete.items() <= bytes_by_path(output).items()
    assert len(file_states(output)) == 9


@pytest.mark.parametrize("jobs", [1, 2])
def test_unexpected_writer_error_affects_one_recording(
    tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture, jobs: int
) -> None:
    output = tmp_path / "out"
    for number in range(9):
        a_call(tmp_path / "calls" / f"{number}.wav", seed=number)
    assert analyze(tmp_path / "calls", "-o", output) == 0
    with closing(Ledger(output)) as ledger:
        ledger._connection.execute("UPDATE recording SET rate = NULL, envelope = x'00' WHERE path = x'332e776176'")
    capsys.readouterr()
    assert analyze(tmp_path / "calls", "-o", output, "--format", QUICK_FORMATS, "-q", jobs=jobs) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("calls/3.wav: ")]
    assert len(file_states(output)) == 24


# Processes.


@pytest.fixture
def ten_calls(tmp_path: Path) -> Path:
    """Enough recordings to start worker processes for."""
    for number in range(10):
        a_dialogue(tmp_path / "calls" / f"{number}.wav", seed=number)
    return tmp_path / "calls"


def test_workers_write_the_same_files(ten_calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    formats = ",".join(EXTENSIONS.keys() - {"png"})
    assert analyze(ten_calls, "-o", tmp_path / "one", "--format", formats) == 0
    assert analyze(ten_calls, "-o", tmp_path / "two", "--format", formats, jobs=2) == 0
    assert bytes_by_path(tmp_path / "one") == bytes_by_path(tmp_path / "two")
    assert len(file_states(tmp_path / "one")) == 10 * 8


class StopAtOnce(StopSignals):
    def check(self) -> None:
        raise Stopped(signal.SIGTERM)

    def waiting(self) -> nullcontext:
        return nullcontext()


def test_stopped_rendering_leaves_no_workers(ten_calls: Path, tmp_path: Path, analyze: Analyze) -> None:
    assert analyze(ten_calls, "-o", tmp_path / "out") == 0
    with closing(Ledger(tmp_path / "out")) as ledger, pytest.raises(Stopped):
        rendering.write_if_stale(ledger, ["jsonl"], 2, StopAtOnce())
    assert worker_processes(os.getpid()) == []


def test_pool_processes_each_item_once() -> None:
    items = [*range(-40, 0)]
    with StopSignals() as stop:
        assert sorted(pool.map_unordered(abs, items, 2, stop)) == [(item, -item) for item in items]
        assert list(pool.map_unordered(abs, [], 2, stop)) == []


def test_pool_takes_items_lazily() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 1000:
            taken += 1
            yield taken

    with StopSignals() as stop, closing(pool.map_unordered(abs, items(), 2, stop)) as results:
        next(results)
        assert taken < 20


def test_pool_raises_errors_of_the_function() -> None:
    with StopSignals() as stop, pytest.raises(ValueError, match="nonsense"):
        list(pool.map_unordered(int, ["1", "nonsense", "3"], 2, stop))
    assert worker_processes(os.getpid()) == []


def test_dead_worker_loses_only_its_item() -> None:
    with StopSignals() as stop:
        results = dict(pool.map_unordered(exits_for_nine, range(20), 2, stop))
    assert results == {item: None if item == 9 else -item for item in range(20)}
    assert worker_processes(os.getpid()) == []


def test_item_of_killed_worker_is_retried(tmp_path: Path) -> None:
    with StopSignals() as stop:
        assert list(pool.map_unordered(dies_once, [tmp_path / "marker"], 2, stop)) == [(tmp_path / "marker", "made")]


def test_signal_stops_pool_and_workers() -> None:
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM))
    with StopSignals() as stop, pytest.raises(Stopped) as stopped:
        timer.start()
        list(pool.map_unordered(time.sleep, [10_000] * 20, 2, stop))
    assert stopped.value.exit_status == 143
    assert worker_processes(os.getpid()) == []


# Awkward names.


def test_awkward_names_in_every_format(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "index.html", tmp_path / "out"
    long_name = "l" * 240 + ".wav"
    names = (
        *AWKWARD,
        long_name,
        "index.html/index.html.wav",
        "a.wav.html/x.wav",
        "a.wav",
        "$\\frac$ & {{x}} <b>.wav",
        "#?.wav",
    )
    for seed, name in enumerate(names):
        a_call(calls / name, seed=seed)
    assert analyze(calls, "-o", output, "--format", ALL_FORMATS) == 0
    for name in names:
        identity = Identity("index.html", name)
        for extension in EXTENSIONS:
            assert format_path(output, identity, extension).stat().st_size
        page = format_path(output, identity, "html")
        assert linked_files(page, r'<audio [^>]*src="([^"]+)"') == [calls / name]
    index = output / "html" / "index.html"
    assert sorted(linked_files(index, r'<li><a href="([^"]+)"')) == sorted(
        format_path(output, Identity("index.html", name), "html") for name in names
    )
    assert report(output) == 0
