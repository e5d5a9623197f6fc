"""Plan of a run: new, changed, failed, missing, stale and deleted recordings."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from analyzer.discovery import parse_inputs
from analyzer.entry import Entry
from analyzer.errors import CannotWork
from analyzer.ledger import Ledger
from analyzer.names import Identity
from analyzer.outputs import timeline_path
from analyzer.plan import CHANGED, FAILED, FORCED, MISSING, NEW, STALE, Plan, Rules, make_plan
from analyzer.signals import StopSignals


class Night:
    """A folder of calls, an output folder and a ledger; a plan does not depend on the content of the files."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.calls, self.output, self.ledger = folder / "calls", folder / "out", ledger
        self.calls.mkdir()

    def arrives(self, name: str, *, content: bytes = b"sound", mtime: int = 1_000_000_000) -> Path:
        path = self.calls / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))
        return path

    def done(self, name: str, status: str = "ok", fingerprint: str = "print", present: bool = True) -> Identity:
        """Record that a recording was analysed in its current state."""
        identity, state = Identity("calls", name), (self.calls / name).stat()
        made_by = "" if status == "failed" else fingerprint
        entry = Entry(identity, state.st_size, state.st_mtime_ns, status, fingerprint=made_by, present=present)
        self.ledger.record(entry)
        target = timeline_path(self.output, identity)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        return identity

    def plan(self, force: bool = False, inputs: list[Path] | None = None) -> Plan:
        sources = parse_inputs(str(path) for path in inputs or [self.calls])
        rules = Rules("print", force=force)
        return make_plan(self.ledger, sources, self.output, rules, StopSignals())

    def due(self, force: bool = False) -> list[tuple[str, str]]:
        return [(item.found.identity.path, item.why) for item in self.plan(force).due]


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    with closing(Ledger(tmp_path / "out")) as ledger:
        yield Night(tmp_path, ledger)


def test_a_recording_never_seen_is_new(night: Night) -> None:
    night.arrives("a.wav")
    assert night.due() == [("a.wav", NEW)]


def test_a_recording_that_is_done_is_left_alone(night: Night) -> None:
    night.arrives("a.wav")
    night.done("a.wav")
    night.arrives("b.wav")
    night.done("b.wav", "no_speech")
    assert night.due() == []
    assert night.plan().unchanged == 2


def test_another_size_or_another_time_is_a_change(night: Night) -> None:
    for name in ("size.wav", "time.wav"):
        night.arrives(name)
        night.done(name)
    night.arrives("size.wav", content=b"more sound")
    night.arrives("time.wav", mtime=1_000_000_001)
    assert sorted(night.due()) == [("size.wav", CHANGED), ("time.wav", CHANGED)]


def test_what_failed_is_tried_again(night: Night) -> None:
    night.arrives("a.wav")
    night.done("a.wav", "failed")
    assert night.due() == [("a.wav", FAILED)]


def test_a_timeline_that_is_missing_is_made_again(night: Night) -> None:
    night.arrives("a.wav")
    timeline_path(night.output, night.done("a.wav")).unlink()
    assert night.due() == [("a.wav", MISSING)]


def test_what_another_model_made_is_stale(night: Night) -> None:
    night.arrives("a.wav")
    night.done("a.wav", fingerprint="of another model")
    assert night.due() == [("a.wav", STALE)]


def test_force_does_all_again(night: Night) -> None:
    night.arrives("a.wav")
    night.done("a.wav")
    assert night.due(force=True) == [("a.wav", FORCED)]


def test_new_comes_first_then_changed_then_what_is_stale_the_newest_first(night: Night) -> None:
    for name, mtime in (("old.wav", 1), ("older.wav", 0), ("oldest.wav", -9), ("changed.wav", 5), ("failed.wav", 5)):
        night.arrives(name, mtime=1_000_000_000 + mtime)
        night.done(name, "failed" if name == "failed.wav" else "ok", fingerprint="of another model")
    night.arrives("changed.wav", content=b"other")
    night.arrives("z-new.wav")
    assert [name for name, _ in night.due()] == [
        *("z-new.wav", "changed.wav", "failed.wav"),
        *("old.wav", "older.wav", "oldest.wav"),
    ]


def test_a_file_that_is_no_audio_is_skipped_once(night: Night) -> None:
    night.arrives("README.md", content=b"# Calls")
    plan = night.plan()
    assert (plan.due, [(v.status, v.identity.path) for v in plan.verdicts]) == ([], [("skipped", "README.md")])
    night.ledger.record(plan.verdicts[0])
    assert night.plan() == Plan()


def test_a_skipped_file_that_becomes_a_recording_is_analysed(night: Night) -> None:
    night.arrives("call", content=b"not yet")
    night.ledger.record(night.plan().verdicts[0])
    night.arrives("call", content=b"RIFF\0\0\0\0WAVEfmt ")
    assert night.due() == [("call", CHANGED)]


def test_what_cannot_be_a_recording_fails_without_being_opened(night: Night) -> None:
    night.arrives("sub/ok.wav")
    (night.calls / "x.wav").mkdir()
    (night.calls / "link.wav").symlink_to("nowhere")
    (night.calls / "latest").symlink_to("nowhere")
    os.mkfifo(night.calls / "pipe.wav")
    plan = night.plan()
    assert [item.found.identity.path for item in plan.due] == ["sub/ok.wav"]
    assert {entry.identity.path: entry.status for entry in plan.verdicts} == {
        "latest": "skipped",
        "link.wav": "failed",
        "pipe.wav": "failed",
        "x.wav": "failed",
    }
    assert all(entry.reason for entry in plan.verdicts)


def test_a_recording_that_vanished_is_gone_once_and_comes_back_once(night: Night) -> None:
    night.arrives("stays.wav")
    night.done("stays.wav")
    path = night.arrives("a.wav")
    identity = night.done("a.wav")
    content = path.read_bytes()
    path.unlink()
    assert night.plan().gone == [identity]
    night.ledger.mark_present([identity], False)
    assert night.plan().gone == []
    night.arrives("a.wav", content=content)
    assert (night.plan().back, night.due()) == ([identity], [])


def test_a_single_file_says_nothing_about_its_neighbours(night: Night) -> None:
    path = night.arrives("a.wav")
    night.arrives("b.wav")
    night.done("b.wav")
    (night.calls / "b.wav").unlink()
    plan = night.plan(inputs=[path])
    assert ([item.found.path for item in plan.due], plan.gone) == ([path], [])


def test_a_recording_named_twice_is_due_once(night: Night) -> None:
    path = night.arrives("a.wav")
    assert len(night.plan(inputs=[path, night.calls]).due) == 1


def test_an_input_that_is_suddenly_empty_is_asked_about(night: Night) -> None:
    path = night.arrives("a.wav")
    night.done("a.wav")
    path.unlink()
    with pytest.raises(CannotWork, match=r"is empty, and held recordings before: is it mounted\?"):
        night.plan()


def test_an_input_that_was_always_empty_is_fine(night: Night) -> None:
    assert night.plan() == Plan()


def test_a_plan_writes_nothing(night: Night) -> None:
    night.arrives("a.wav")
    night.arrives("README.md")
    night.plan()
    assert list(night.ledger.entries()) == []
    assert [path.name for path in night.output.iterdir()] == ["ledger.sqlite"]


def test_a_skipped_file_that_could_not_be_read_is_looked_at_again(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.arrives("call", content=b"RIFF\0\0\0\0WAVEfmt ")

    def head(location: Path, size: int) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as context:
        context.setattr("analyzer.storage.head", head)
        (verdict,) = night.plan().verdicts
        assert (verdict.status, verdict.reason) == ("skipped", "not named as audio, and no permission to read it")
        night.ledger.record(verdict)
        assert night.plan() == Plan()
    assert [name for name, _ in night.due()] == ["call"]


def test_a_file_that_an_older_version_took_for_no_audio_is_looked_at_again(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.arrives("call", content=b"a format of the future")
    night.ledger.record(night.plan().verdicts[0])
    monkeypatch.setattr("analyzer.discovery.sniff", lambda head: "future" if b"future" in head else None)
    assert [name for name, _ in night.due()] == ["call"]


def unlisted(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make listing the folders of these names fail."""
    really = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name in names:
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "listdir", listdir)


@pytest.mark.parametrize("folder", [".", "day", "day/inner"])
def test_a_folder_that_is_listed_again_has_no_row_any_more(
    night: Night, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    for name in ("day/inner/a.wav", "day/inner.wav"):
        night.arrives(name)
        night.done(name)
    with monkeypatch.context() as context:
        unlisted(context, (night.calls / folder).resolve().name)
        (verdict,) = night.plan().verdicts
        assert (verdict.identity.path, verdict.status) == (folder, "failed")
        night.ledger.record(verdict)
    plan = night.plan()
    assert plan.dropped == [verdict.identity]
    assert (plan.due, plan.gone, plan.unchanged) == ([], [], 2)


def test_a_folder_in_one_that_cannot_be_listed_keeps_its_row(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.arrives("day/inner/a.wav")
    with monkeypatch.context() as context:
        unlisted(context, "inner")
        night.ledger.record(night.plan().verdicts[0])
    unlisted(monkeypatch, "day")
    assert night.plan().dropped == []


def test_a_folder_that_was_deleted_after_it_could_not_be_listed_has_no_row_any_more(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.arrives("a.wav")
    night.arrives("day/b.wav")
    with monkeypatch.context() as context:
        unlisted(context, "day")
        night.ledger.record(night.plan().verdicts[0])
    (night.calls / "day" / "b.wav").unlink()
    (night.calls / "day").rmdir()
    assert [identity.path for identity in night.plan().dropped] == ["day"]


def test_an_input_of_which_only_a_folder_row_is_known_may_be_empty(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        unlisted(context, "calls")
        night.ledger.record(night.plan().verdicts[0])
    assert [identity.path for identity in night.plan().dropped] == ["."]


def test_rows_of_files_of_the_system_are_dropped_but_results_stay(night: Night) -> None:
    night.arrives("a.wav")
    for name, status in (("._a.wav", "given_up"), (".DS_Store", "skipped"), ("@eaDir/a.wav", "failed")):
        night.arrives(name)
        night.done(name, status)
    night.arrives("#snapshot/daily/a.wav")
    kept = night.done("#snapshot/daily/a.wav")
    plan = night.plan()
    assert sorted(identity.path for identity in plan.dropped) == [".DS_Store", "._a.wav", "@eaDir/a.wav"]
    assert plan.gone == [kept]


def test_an_input_with_nothing_but_files_of_the_system_is_not_taken_for_unmounted(night: Night) -> None:
    identity = night.done(night.arrives("a.wav").name)
    (night.calls / "a.wav").unlink()
    night.arrives(".DS_Store")
    assert night.plan().gone == [identity]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.vox", b"\x80\x91", "this format is not readable by this version: Dialogic ADPCM without a header"),
        ("a.NMF", b"\x80\x91", "this format is not readable by this version: NICE media file"),
        ("a.bin", b"\x07ds2", "this format is not readable by this version: Digital Speech Standard Pro"),
        ("a.xyz", b"\x80\x91", "no audio: neither by its name nor by its content"),
    ],
)
def test_a_format_that_cannot_be_read_is_skipped_with_that_as_the_reason(
    night: Night, name: str, content: bytes, reason: str
) -> None:
    night.arrives(name, content=content * 100)
    [entry] = night.plan().verdicts
    assert (entry.status, entry.reason) == ("skipped", reason)


def test_a_name_of_a_format_that_cannot_be_read_hides_no_audio(night: Night) -> None:
    night.arrives("a.vox", content=b"RIFF\x24\0\0\0WAVEfmt ")
    assert night.due() == [("a.vox", NEW)]
