"""Rewriting stored results: complete after any interruption, and without remains of earlier names and emotions."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import relabel, work
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.entry import Entry
from analyzer.errors import CannotWork, UnreadableRecording
from analyzer.figures import channel_figures
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.masking import Mask
from analyzer.names import Identity
from analyzer.outputs import read_timeline, timeline_path, write_timeline
from analyzer.report import tables
from analyzer.roles import Roles
from analyzer.timeline import Row, Sketch, ordered
from tests.nights import Analyze, contents, read_csv
from tests.test_roles import BOTH, CUSTOMER, a_dialogue, analysed, has_emotions, kept_figures

NUMBER = "0821123456"


class Killed(BaseException):
    pass


@contextmanager
def killed_at(owner: object, name: str, call: int) -> Iterator[None]:
    """Kill the code in the block at the given call of a function, counted from 1."""
    really, calls = getattr(owner, name), 0

    def or_die(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return really(*arguments, **more)

    with pytest.MonkeyPatch.context() as context:
        context.setattr(owner, name, or_die)
        with pytest.raises(Killed):
            yield


# Rows and figures.

probabilities = st.lists(st.integers(0, 10_000), min_size=8, max_size=8).map(lambda p: tuple(k / 10_000 for k in p))
rows = st.builds(
    Row,
    start=st.integers(0, 10**7).map(lambda k: k / 1000),
    end=st.integers(10**7 + 1, 2 * 10**7).map(lambda k: k / 1000),
    channel=st.integers(1, 2),
    emotion=st.sampled_from([*EMOTIONS, UNCERTAIN]),
    probabilities=probabilities,
    level_db=st.integers(-900, 0).map(lambda k: k / 10),
)


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relabel")


@given(st.lists(rows, max_size=6), st.booleans())
def test_a_timeline_that_is_read_is_the_one_that_was_written(somewhere: Path, some: list[Row], masked: bool) -> None:
    some = [replace(row, emotion="", probabilities=()) if masked else row for row in ordered(some)]
    write_timeline(somewhere / "a.csv", some, ("=agent", "customer"))
    assert read_timeline(somewhere / "a.csv") == some


@given(st.lists(rows, min_size=1, max_size=6), st.sets(st.sampled_from(["agent", "customer", "nobody"]), min_size=1))
def test_told_anew_is_what_would_have_been_told_at_once(somewhere: Path, some: list[Row], only: set[str]) -> None:
    roles, some = Roles(("agent", "customer"), frozenset(only)), ordered(some)

    def figures(masked: set[int]) -> dict:
        return {k: channel_figures(k, some, [], 2e4, speaker=roles.speakers[k - 1], masked=k in masked) for k in (1, 2)}

    entry = Entry(Identity("calls", "a.wav"), 1, 1, "ok", channels=2, figures=figures(set()))
    path = timeline_path(somewhere, entry.identity)
    write_timeline(path, some, roles.speakers)
    told = relabel.told_anew(entry, roles, somewhere)
    assert told.figures == figures({k for k in (1, 2) if roles.is_masked(roles.speakers[k - 1])})
    assert not relabel.is_told_otherwise(told, roles)
    assert not relabel.lacks_emotions(told, roles)
    first = path.read_bytes()
    assert relabel.told_anew(told, roles, somewhere) == told
    assert path.read_bytes() == first


def test_a_timeline_that_somebody_has_spoiled_is_named(somewhere: Path) -> None:
    entry = Entry(Identity("calls", "b.wav"), 1, 1, "ok", channels=1, figures={1: {"speaker": "channel 1"}})
    path = timeline_path(somewhere, entry.identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("start,end\n1,2\n")
    with pytest.raises(CannotWork, match=r"b\.wav\.csv"):
        relabel.told_anew(entry, Roles(("agent",)), somewhere)


# Killed while rewriting.


def two_dialogues(folder: Path) -> Path:
    for k, name in enumerate((f"{NUMBER}/a.wav", f"b-{NUMBER}.wav")):
        a_dialogue(folder / name, seed=k)
    return folder


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(relabel, "write_timeline"), (Ledger, "amend"), (tables, "bring_up_to_date")],
    ids=["timeline", "ledger", "tables"],
)
def test_blanking_that_is_killed_is_completed_by_the_next_run(
    tmp_path: Path, analyze: Analyze, owner: object, name: str, call: int
) -> None:
    calls, output, fresh = two_dialogues(tmp_path / "calls"), tmp_path / "out", tmp_path / "fresh"
    assert analyze(calls, "-o", output, *BOTH) == 0
    with killed_at(owner, name, min(call, 1 if owner is tables else 2)):
        analyze(calls, "-o", output, *CUSTOMER)
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert analysed(output) == {}
    assert analyze(calls, "-o", fresh, *CUSTOMER) == 0
    assert contents(output) == contents(fresh)
    assert has_emotions(output, "agent") == []


def test_blanking_that_is_killed_and_not_wanted_any_more_leaves_no_half(tmp_path: Path, analyze: Analyze) -> None:
    calls, output, fresh = two_dialogues(tmp_path / "calls"), tmp_path / "out", tmp_path / "fresh"
    assert analyze(calls, "-o", output, *BOTH) == 0
    with killed_at(Ledger, "amend", 1):
        analyze(calls, "-o", output, *CUSTOMER)
    assert analyze(calls, "-o", output, *BOTH) == 0
    assert analyze(calls, "-o", fresh, *BOTH) == 0
    assert contents(output) == contents(fresh)


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(relabel, "_move_timeline"), (Ledger, "rename"), (Ledger, "rename_label"), (tables, "bring_up_to_date")],
    ids=["move", "ledger", "label", "tables"],
)
def test_masking_that_is_killed_is_completed_by_the_next_run(
    tmp_path: Path, analyze: Analyze, owner: object, name: str, call: int
) -> None:
    calls, output = two_dialogues(tmp_path / "calls"), tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    before = sorted(contents(output / "timelines").values())
    only_once = owner is tables or name == "rename_label"
    with killed_at(owner, name, 1 if only_once else call):
        analyze(calls, "-o", output, "--mask-names")
    assert analyze(calls, "-o", output, "--mask-names") == 0
    assert analysed(output) == {}
    assert sorted(contents(output / "timelines").values()) == before
    assert [row["present"] for row in read_csv(output / "files.csv")] == ["yes", "yes"]
    assert not [path for path in output.rglob("*") if NUMBER in str(path.relative_to(output))]
    assert not [path for path in output.rglob("*.*") if NUMBER.encode() in path.read_bytes()]


def test_after_masking_that_was_killed_names_are_not_left_as_they_are(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = two_dialogues(tmp_path / "calls"), tmp_path / "out"
    assert analyze(calls, "-o", output) == 0
    with killed_at(Ledger, "rename", 2):
        analyze(calls, "-o", output, "--mask-names")
    assert analyze(calls, "-o", output) == 2


# Timelines without a result in the ledger.


def failing(*_: object, **__: object) -> None:
    raise UnreadableRecording("it is damaged")


def orphaned(calls: Path, output: Path, analyze: Analyze) -> None:
    """Leave a timeline without an entry in the ledger, as after a run that was killed before it recorded one."""
    with killed_at(Ledger, "record", 1):
        analyze(calls, "-o", output, *BOTH)


def no_more_heard(calls: Path, output: Path, analyze: Analyze) -> None:
    """Leave a timeline of a recording that was analysed once and fails now."""
    assert analyze(calls, "-o", output, *BOTH) == 0
    with pytest.MonkeyPatch.context() as context:
        context.setattr(work, "analyse", failing)
        assert analyze(calls, "-o", output, *BOTH, "--force") == 1


@pytest.mark.parametrize("leave", [orphaned, no_more_heard])
def test_timelines_that_no_table_tells_of_are_not_forgotten(
    tmp_path: Path, analyze: Analyze, leave: Callable[[Path, Path, Analyze], None]
) -> None:
    """Their emotions and names are removed as well, even if the recordings are gone."""
    calls, output = tmp_path / "calls", tmp_path / "out"
    path = a_dialogue(calls / f"{NUMBER}.wav")
    leave(calls, output, analyze)
    path.unlink()
    a_dialogue(calls / "other.wav", seed=1)
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert has_emotions(output, "agent") == []
    assert analyze(calls, "-o", output, *CUSTOMER, "--mask-names") == 0
    assert not [path for path in output.rglob("*") if NUMBER in path.name]


def a_large_ledger(output: Path) -> None:
    """Two thousand recordings of all lengths in no order; every other one is secret."""
    rng = random.Random(1)
    with closing(Ledger(output)) as ledger:
        ledger.remember("key", "00" * 32)
        ledger._connection.execute("PRAGMA synchronous = OFF")
        for k in range(2000):
            name = f"{k % 13}/{NUMBER}{rng.randrange(1000)}-{'secret' if k % 2 else 'open'}-{k}.wav"
            entry = Entry(Identity("calls", name), 1, 1, "ok", reason="x" * (k % 300), groups={"customer": NUMBER})
            ledger.record(entry, Sketch(rng.randbytes(k * 7 % 5000), ()))


def test_what_is_not_ours_in_folders_called_like_formats_is_left_alone(tmp_path: Path, analyze: Analyze) -> None:
    """The output folder may also hold a site in html/ and pictures in png/."""
    calls, output = two_dialogues(tmp_path / "calls"), tmp_path / "out"
    ours = [output / name for name in ("html/contact.html", "png/album/a.png", "timelines/notes.txt", "jsonl/x.jsonl")]
    for path in ours:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    assert analyze(calls, "-o", output, *BOTH) == 0
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert analyze(calls, "-o", output, *CUSTOMER, "--mask-names") == 0
    assert [path.read_text() for path in ours] == ["mine"] * len(ours)


def test_names_are_in_no_free_corner_of_a_large_ledger(tmp_path: Path) -> None:
    """When SQLite rearranges the pages of a table, it leaves copies that secure_delete does not overwrite."""
    a_large_ledger(tmp_path)
    with closing(Ledger(tmp_path)) as ledger:
        ledger._connection.execute("PRAGMA synchronous = OFF")
        relabel.mask_stored_names(ledger, tmp_path, Mask(ledger.key()), [])
    assert (tmp_path / FILE_NAME).read_bytes().count(NUMBER.encode()) == 0


def test_roles_given_later_tell_whose_emotions_stay(tmp_path: Path, analyze: Analyze) -> None:
    """Emotions are not removed and then analysed again, or lost, only because an earlier run had no speaker roles."""
    calls, output, fresh = tmp_path / "calls", tmp_path / "out", tmp_path / "fresh"
    gone = a_dialogue(calls / "gone.wav")
    a_dialogue(calls / "stays.wav", seed=1)
    assert analyze(calls, "-o", fresh, *CUSTOMER) == 0
    assert analyze(calls, "-o", output) == 0
    gone.unlink()
    assert analyze(calls, "-o", output, *CUSTOMER) == 0
    assert has_emotions(output, "agent", "channel 1", "channel 2") == []
    assert analysed(output) == {}
    assert contents(output, "timelines/**/*.csv") == contents(fresh, "timelines/**/*.csv")
    assert len(kept_figures(output, "customer")) == 2


@pytest.mark.parametrize("options", [[*CUSTOMER], ["--mask-names"]])
def test_a_workbook_that_is_not_asked_for_any_more_tells_nothing_that_is_masked(
    tmp_path: Path, analyze: Analyze, options: list[str]
) -> None:
    calls, output = two_dialogues(tmp_path / "calls"), tmp_path / "out"
    assert analyze(calls, "-o", output, *BOTH) == 0
    before = (output / "summary.xlsx").read_bytes()
    assert analyze(calls, "-o", output, *BOTH, *options, "--format", "csv") == 0
    assert not (output / "summary.xlsx").exists() or (output / "summary.xlsx").read_bytes() != before
