"""Plan of a run: new, changed, failed, missing, stale and deleted recordings."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from analyzer.batch.plan import CHANGED, FAILED, FORCED, MISSING, NEW, STALE, Plan, Rules, make_plan
from analyzer.errors import CannotWork
from analyzer.inputs.discovery import parse_inputs
from analyzer.names import Identity
from analyzer.runtime.signals import StopSignals
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import timeline_path


class Run:
    """A folder of calls, an output folder and a ledger; a plan does not depend on the content of the files."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.calls, self.output, self.ledger = folder / "calls", folder / "out", ledger
        self.calls.mkdir()

    def add(self, name: str, *, content: bytes = b"sound", mtime: int = 1_000_000_000) -> Path:
        path = self.calls / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))
        return path

    def record_result(
        self, name: str, status: str = "ok", fingerprint: str = "print", present: bool = True
    ) -> Identity:
        """Record that a recording was analysed in its current state."""
        identity, state = Identity("calls", name), (self.calls / name).stat()
        stored_fingerprint = "" if status == "failed" else fingerprint
        entry = Entry(
            identity, state.st_size, state.st_mtime_ns, status, fingerprint=stored_fingerprint, present=present
        )
        self.ledger.record(entry)
        target = timeline_path(self.output, identity)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        return identity

    def plan(self, force: bool = False, inputs: list[Path] | None = None) -> Plan:
        sources = parse_inputs(str(path) for path in inputs or [self.calls])
        rules = Rules("print", force=force)
        return make_plan(self.ledger, sources, rules, StopSignals())

    def pending(self, force: bool = False) -> list[tuple[str, str]]:
        return [(item.recording.identity.path, item.reason) for item in self.plan(force).jobs]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with closing(Ledger(tmp_path / "out")) as ledger:
        yield Run(tmp_path, ledger)


def test_unknown_recording_is_new(run: Run) -> None:
    run.add("a.wav")
    assert run.pending() == [("a.wav", NEW)]


def test_finished_recording_is_unchanged(run: Run) -> None:
    run.add("a.wav")
    run.record_result("a.wav")
    run.add("b.wav")
    run.record_result("b.wav", "no_speech")
    assert run.pending() == []
    assert run.plan().unchanged == 2


def test_other_size_or_time_is_a_change(run: Run) -> None:
    for name in ("size.wav", "time.wav"):
        run.add(name)
        run.record_result(name)
    run.add("size.wav", content=b"more sound")
    run.add("time.wav", mtime=1_000_000_001)
    assert sorted(run.pending()) == [("size.wav", CHANGED), ("time.wav", CHANGED)]


def test_failed_recording_is_retried(run: Run) -> None:
    run.add("a.wav")
    run.record_result("a.wav", "failed")
    assert run.pending() == [("a.wav", FAILED)]


def test_missing_timeline_is_written_again(run: Run) -> None:
    run.add("a.wav")
    timeline_path(run.output, run.record_result("a.wav")).unlink()
    assert run.pending() == [("a.wav", MISSING)]


def test_result_of_another_model_is_stale(run: Run) -> None:
    run.add("a.wav")
    run.record_result("a.wav", fingerprint="of another model")
    assert run.pending() == [("a.wav", STALE)]


def test_force_repeats_everything(run: Run) -> None:
    run.add("a.wav")
    run.record_result("a.wav")
    assert run.pending(force=True) == [("a.wav", FORCED)]


def test_order_of_jobs(run: Run) -> None:
    for name, mtime in (("old.wav", 1), ("older.wav", 0), ("oldest.wav", -9), ("changed.wav", 5), ("failed.wav", 5)):
        run.add(name, mtime=1_000_000_000 + mtime)
        run.record_result(name, "failed" if name == "failed.wav" else "ok", fingerprint="of another model")
    run.add("changed.wav", content=b"other")
    run.add("z-new.wav")
    assert [name for name, _ in run.pending()] == [
        *("z-new.wav", "changed.wav", "failed.wav"),
        *("old.wav", "older.wav", "oldest.wav"),
    ]


def test_other_file_is_skipped_once(run: Run) -> None:
    run.add("README.md", content=b"# Calls")
    plan = run.plan()
    assert (plan.jobs, [(entry.status, entry.identity.path) for entry in plan.verdicts]) == (
        [],
        [("skipped", "README.md")],
    )
    run.ledger.record(plan.verdicts[0])
    assert run.plan() == Plan()


def test_changed_skipped_file_is_analysed(run: Run) -> None:
    run.add("call", content=b"not yet")
    run.ledger.record(run.plan().verdicts[0])
    run.add("call", content=b"RIFF\0\0\0\0WAVEfmt ")
    assert run.pending() == [("call", CHANGED)]


def test_special_files_fail_unopened(run: Run) -> None:
    run.add("sub/ok.wav")
    (run.calls / "x.wav").mkdir()
    (run.calls / "link.wav").symlink_to("nowhere")
    (run.calls / "latest").symlink_to("nowhere")
    os.mkfifo(run.calls / "pipe.wav")
    plan = run.plan()
    assert [item.recording.identity.path for item in plan.jobs] == ["sub/ok.wav"]
    assert {entry.identity.path: entry.status for entry in plan.verdicts} == {
        "latest": "skipped",
        "link.wav": "failed",
        "pipe.wav": "failed",
        "x.wav": "failed",
    }
    assert all(entry.reason for entry in plan.verdicts)


def test_deleted_recording_can_come_back(run: Run) -> None:
    run.add("stays.wav")
    run.record_result("stays.wav")
    path = run.add("a.wav")
    identity = run.record_result("a.wav")
    content = path.read_bytes()
    path.unlink()
    assert run.plan().gone == [identity]
    run.ledger.mark_present([identity], False)
    assert run.plan().gone == []
    run.add("a.wav", content=content)
    assert (run.plan().back, run.pending()) == ([identity], [])


def test_single_file_leaves_its_neighbours(run: Run) -> None:
    path = run.add("a.wav")
    run.add("b.wav")
    run.record_result("b.wav")
    (run.calls / "b.wav").unlink()
    plan = run.plan(inputs=[path])
    assert ([item.recording.path for item in plan.jobs], plan.gone) == ([path], [])


def test_recording_given_twice_is_one_job(run: Run) -> None:
    path = run.add("a.wav")
    assert len(run.plan(inputs=[path, run.calls]).jobs) == 1


def test_emptied_input_is_an_error(run: Run) -> None:
    path = run.add("a.wav")
    run.record_result("a.wav")
    path.unlink()
    with pytest.raises(CannotWork, match=r"is empty, and held recordings before: is it mounted\?"):
        run.plan()


def test_empty_input_is_no_error(run: Run) -> None:
    assert run.plan() == Plan()


def test_plan_writes_nothing(run: Run) -> None:
    run.add("a.wav")
    run.add("README.md")
    run.plan()
    assert list(run.ledger.entries()) == []
    assert [path.name for path in run.output.iterdir()] == ["ledger.sqlite"]


def test_unreadable_skipped_file_is_checked_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.add("call", content=b"RIFF\0\0\0\0WAVEfmt ")

    def head(location: Path, size: int) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as context:
        context.setattr("analyzer.audio.storage.head", head)
        (verdict,) = run.plan().verdicts
        assert (verdict.status, verdict.reason) == ("skipped", "not named as audio, and no permission to read it")
        run.ledger.record(verdict)
        assert run.plan() == Plan()
    assert [name for name, _ in run.pending()] == ["call"]


def test_new_version_checks_skipped_files(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.add("call", content=b"a format of the future")
    run.ledger.record(run.plan().verdicts[0])
    monkeypatch.setattr("analyzer.inputs.discovery.sniff", lambda head: "future" if b"future" in head else None)
    assert [name for name, _ in run.pending()] == ["call"]


def fail_to_list(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make listing the folders of these names fail."""
    original = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name in names:
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "listdir", listdir)


@pytest.mark.parametrize("folder", [".", "day", "day/inner"])
def test_listable_folder_loses_its_row(run: Run, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    for name in ("day/inner/a.wav", "day/inner.wav"):
        run.add(name)
        run.record_result(name)
    with monkeypatch.context() as context:
        fail_to_list(context, (run.calls / folder).resolve().name)
        (verdict,) = run.plan().verdicts
        assert (verdict.identity.path, verdict.status) == (folder, "failed")
        run.ledger.record(verdict)
    plan = run.plan()
    assert plan.dropped == [verdict.identity]
    assert (plan.jobs, plan.gone, plan.unchanged) == ([], [], 2)


def test_folder_in_unlistable_one_keeps_its_row(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.add("day/inner/a.wav")
    with monkeypatch.context() as context:
        fail_to_list(context, "inner")
        run.ledger.record(run.plan().verdicts[0])
    fail_to_list(monkeypatch, "day")
    assert run.plan().dropped == []


def test_deleted_folder_loses_its_row(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.add("a.wav")
    run.add("day/b.wav")
    with monkeypatch.context() as context:
        fail_to_list(context, "day")
        run.ledger.record(run.plan().verdicts[0])
    (run.calls / "day" / "b.wav").unlink()
    (run.calls / "day").rmdir()
    assert [identity.path for identity in run.plan().dropped] == ["day"]


def test_input_with_only_a_folder_row_may_be_empty(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        fail_to_list(context, "calls")
        run.ledger.record(run.plan().verdicts[0])
    assert [identity.path for identity in run.plan().dropped] == ["."]


def test_system_files_lose_rows_not_results(run: Run) -> None:
    run.add("a.wav")
    for name, status in (("._a.wav", "given_up"), (".DS_Store", "skipped"), ("@eaDir/a.wav", "failed")):
        run.add(name)
        run.record_result(name, status)
    run.add("#snapshot/daily/a.wav")
    kept = run.record_result("#snapshot/daily/a.wav")
    plan = run.plan()
    assert sorted(identity.path for identity in plan.dropped) == [".DS_Store", "._a.wav", "@eaDir/a.wav"]
    assert plan.gone == [kept]


def test_input_with_only_system_files(run: Run) -> None:
    identity = run.record_result(run.add("a.wav").name)
    (run.calls / "a.wav").unlink()
    run.add(".DS_Store")
    assert run.plan().gone == [identity]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.vox", b"\x80\x91", "this format is not readable by this version: Dialogic ADPCM without a header"),
        ("a.NMF", b"\x80\x91", "this format is not readable by this version: NICE media file"),
        ("a.bin", b"\x07ds2", "this format is not readable by this version: Digital Speech Standard Pro"),
        ("a.xyz", b"\x80\x91", "not an audio file, by name and by content"),
    ],
)
def test_unsupported_format_is_skipped(run: Run, name: str, content: bytes, reason: str) -> None:
    run.add(name, content=content * 100)
    [entry] = run.plan().verdicts
    assert (entry.status, entry.reason) == ("skipped", reason)


def test_content_overrides_unsupported_extension(run: Run) -> None:
    run.add("a.vox", content=b"RIFF\x24\0\0\0WAVEfmt ")
    assert run.pending() == [("a.vox", NEW)]
