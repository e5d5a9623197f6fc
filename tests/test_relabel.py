"""Rewriting stored results for other roles, rules and names: complete, and only of what the program wrote."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.batch import job, relabel
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.errors import CannotWork, UnreadableRecording
from analyzer.inputs.masking import Mask
from analyzer.names import Identity
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from analyzer.store.outputs import read_timeline, timeline_path, write_timeline
from analyzer.timeline.channel_statistics import ChannelStatistics, channel_statistics
from analyzer.timeline.roles import Roles
from analyzer.timeline.timeline import Row, ordered
from tests.helpers.dialogues import BOTH, CUSTOMER, a_dialogue
from tests.helpers.kills import a_large_ledger, killed_at
from tests.helpers.leaks import emotions, kept_figures, leaks
from tests.helpers.runs import contents
from tests.helpers.telephone_numbers import NUMBER
from tests.helpers.workspace import Workspace

# Rows and figures.

rows = st.builds(
    Row,
    start=st.integers(0, 10**7).map(lambda k: k / 1000),
    end=st.integers(10**7 + 1, 2 * 10**7).map(lambda k: k / 1000),
    channel=st.integers(1, 2),
    emotion=st.sampled_from([*EMOTIONS, UNCERTAIN]),
    probabilities=st.tuples(*[st.integers(0, 10_000).map(lambda k: k / 10_000)] * 8),
    level_db=st.integers(-900, 0).map(lambda k: k / 10),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relabel")


@given(st.lists(rows, max_size=6), st.booleans())
def test_a_timeline_is_read_as_it_was_written(folder: Path, some: list[Row], masked: bool) -> None:
    some = [replace(row, emotion="", probabilities=()) if masked else row for row in ordered(some)]
    write_timeline(folder / "a.csv", some, ("=agent", "customer"))
    assert read_timeline(folder / "a.csv") == some


@given(st.lists(rows, min_size=1, max_size=6), st.sets(st.sampled_from(["agent", "customer", "nobody"]), min_size=1))
def test_relabelled_results_are_those_of_an_analysis(folder: Path, some: list[Row], only: set[str]) -> None:
    roles, some = Roles(("agent", "customer"), frozenset(only)), ordered(some)

    def statistics(masked: set[int]) -> dict:
        return {
            k: channel_statistics(k, some, [], 2e4, speaker=roles.speakers[k - 1], masked=k in masked) for k in (1, 2)
        }

    entry = Entry(Identity("calls", "a.wav"), 1, 1, "ok", channels=2, statistics=statistics(set()))
    path = timeline_path(folder, entry.identity)
    write_timeline(path, some, roles.speakers)
    relabelled = relabel.relabelled(entry, roles, folder)
    assert relabelled.statistics == statistics({k for k in (1, 2) if roles.is_masked(roles.speakers[k - 1])})
    assert not relabel.needs_relabel(relabelled, roles) and not relabel.lacks_emotions(relabelled, roles)
    first = path.read_bytes()
    assert relabel.relabelled(relabelled, roles, folder) == relabelled
    assert path.read_bytes() == first


def test_an_error_names_the_damaged_timeline(folder: Path) -> None:
    entry = Entry(
        Identity("calls", "b.wav"), 1, 1, "ok", channels=1, statistics={1: ChannelStatistics("channel 1", 0, 0, 0, 0)}
    )
    path = timeline_path(folder, entry.identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("start,end\n1,2\n")
    with pytest.raises(CannotWork, match=r"b\.wav\.csv"):
        relabel.relabelled(entry, Roles(("agent",)), folder)


# Whole runs; see also test_privacy.py.


@pytest.fixture
def two(work: Workspace) -> Workspace:
    work.write_calls(f"{NUMBER}/a.wav", f"b-{NUMBER}.wav", write=a_dialogue)
    return work


def test_a_rule_withdrawn_after_a_kill_is_applied_to_all_or_none(two: Workspace) -> None:
    fresh = two.beside("fresh")
    assert two(*BOTH) == fresh(*BOTH) == 0
    with killed_at(Ledger, "amend", 1):
        two(*CUSTOMER)
    assert two(*BOTH) == 0
    assert two.contents() == fresh.contents()


def test_masking_cannot_be_withdrawn_after_a_kill(two: Workspace) -> None:
    assert two() == 0
    with killed_at(Ledger, "rename", 2):
        two("--mask-names")
    assert two() == 2


def killed_before_recording(work: Workspace) -> None:
    with killed_at(Ledger, "record", 1):
        work(*BOTH)


def failed_later(work: Workspace) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UnreadableRecording("it is damaged")

    assert work(*BOTH) == 0
    with pytest.MonkeyPatch.context() as context:
        context.setattr(job, "analyse", fail)
        assert work(*BOTH, "--force") == 1


@pytest.mark.parametrize("leave", [killed_before_recording, failed_later])
def test_timelines_that_no_table_lists_are_masked_too(work: Workspace, leave: Callable[[Workspace], None]) -> None:
    """Their emotions and names are removed as well, even if the recordings are gone."""
    gone = a_dialogue(work.calls / f"{NUMBER}.wav")
    leave(work)
    gone.unlink()
    a_dialogue(work.calls / "other.wav", seed=1)
    assert work(*CUSTOMER) == 0
    assert emotions(work.output, "agent") == []
    assert work(*CUSTOMER, "--mask-names") == 0
    assert leaks(work.output, NUMBER) == []


def test_other_files_in_folders_of_formats_stay(two: Workspace) -> None:
    """The output folder may also hold a site in html/ and pictures in png/."""
    names = ("html/contact.html", "png/album/a.png", "timelines/notes.txt", "jsonl/x.jsonl")
    for path in (two.output / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("other")
    for options in (BOTH, CUSTOMER, (*CUSTOMER, "--mask-names")):
        assert two(*options) == 0
    assert {(two.output / name).read_text() for name in names} == {"other"}


def test_masked_names_are_in_no_free_page_of_a_large_ledger(tmp_path: Path) -> None:
    """When SQLite rearranges the pages of a table, it leaves copies that secure_delete does not overwrite."""
    a_large_ledger(tmp_path)
    with closing(Ledger(tmp_path)) as ledger:
        ledger._connection.execute("PRAGMA synchronous = OFF")
        relabel.mask_stored_names(ledger, Mask(ledger.key()), [])
    assert leaks(tmp_path, NUMBER) == []


def test_later_roles_decide_whose_emotions_stay(work: Workspace) -> None:
    """Emotions are not removed and then analysed again, or lost, only because an earlier run had no speaker roles."""
    fresh = work.beside("fresh")
    work.write_calls("gone.wav", "stays.wav", write=a_dialogue)
    assert fresh(*CUSTOMER) == work() == 0
    (work.calls / "gone.wav").unlink()
    assert work(*CUSTOMER) == 0
    assert emotions(work.output, "agent", "channel 1", "channel 2") == []
    assert work.analysed() == {}
    assert contents(work.output / "timelines") == contents(fresh.output / "timelines")
    assert len(kept_figures(work.output, "customer")) == 2
