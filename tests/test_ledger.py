"""The ledger: the entries of all recordings, complete and in order."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import CannotWork, UsageError
from analyzer.names import Identity
from analyzer.store.entry import Entry
from analyzer.store.ledger import FILE_NAME, Ledger
from analyzer.timeline.channel_statistics import ChannelStatistics
from analyzer.timeline.timeline import DrawingData

parts = (
    st.binary(min_size=1, max_size=12)
    .map(lambda b: os.fsdecode(b.replace(b"/", b"").replace(b"\0", b"x")))
    .filter(bool)
)
identities = st.builds(Identity, parts, st.lists(parts, min_size=1, max_size=3).map("/".join))
numbers = st.one_of(st.none(), st.integers(0, 10**9), st.floats(-100, 10**6))
entries = st.builds(
    Entry,
    identities,
    size=st.integers(0, 1 << 50),
    mtime_ns=st.integers(-(1 << 60), 1 << 62),
    status=st.sampled_from(["ok", "no_speech", "failed", "skipped"]),
    reason=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    fingerprint=st.text("0123456789abcdef", max_size=16),
    model=st.sampled_from(["", "default"]),
    codec=st.sampled_from(["", "wav ulaw"]),
    rate=st.one_of(st.none(), st.integers(1, 768_000)),
    channels=st.one_of(st.none(), st.integers(1, 9)),
    length_s=st.one_of(st.none(), st.floats(0, 1e6)),
    statistics=st.dictionaries(
        st.integers(1, 4), st.builds(ChannelStatistics, st.text(), *[numbers] * 5, masked=st.booleans())
    ),
    present=st.booleans(),
    attempts=st.integers(0, 9),
)


@settings(max_examples=60)
@given(st.lists(entries, max_size=8))
def test_last_record_wins(recorded: list[Entry]) -> None:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        for entry in recorded:
            ledger.record(entry)
        last = {entry.identity: entry for entry in recorded}
        assert {entry.identity: entry for entry in ledger.entries()} == last
        assert all(ledger.get(identity) == entry for identity, entry in last.items())


@settings(max_examples=60)
@given(st.lists(identities, max_size=12))
def test_entries_are_in_byte_order_of_names(recorded: list[Identity]) -> None:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        for identity in recorded:
            ledger.record(Entry(identity, 0, 0, "ok"))
        stored = [entry.identity for entry in ledger.entries()]
    assert stored == sorted(set(recorded), key=lambda identity: identity.sort_key)


def test_label_with_a_space_sorts_first() -> None:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        for label in ("a", "a b"):
            ledger.record(Entry(Identity(label, "x.wav"), 0, 0, "ok"))
        assert [entry.identity.label for entry in ledger.entries()] == ["a b", "a"]


def test_new_ledger_is_empty() -> None:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        assert ledger.get(Identity("calls", "a.wav")) is None
        assert ledger.identities("calls") == set()
        assert ledger.state.time_zone is None


def test_entries_are_persistent(tmp_path: Path) -> None:
    entry = Entry(
        Identity("calls", os.fsdecode(b"\xff.wav")),
        1,
        2,
        "ok",
        statistics={2: ChannelStatistics("agent", 1.5, 0.0, 2.0, 0.5)},
    )
    with closing(Ledger(tmp_path / "out")) as ledger:
        ledger.record(entry, DrawingData(b"peaks", ()))
        ledger.state.time_zone = "Europe/Berlin"
    with closing(Ledger(tmp_path / "out")) as ledger:
        assert list(ledger.entries()) == [entry]
        assert ledger.state.time_zone == "Europe/Berlin"
    with closing(sqlite3.connect(tmp_path / "out" / FILE_NAME)) as connection:
        assert connection.execute("SELECT envelope FROM recording").fetchall() == [(b"peaks",)]


def test_ledger_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        ledger.record(Entry(Identity("calls", "a.wav"), 1, 2, "ok"))
    assert list(tmp_path.iterdir()) == []


def test_every_write_makes_tables_stale() -> None:
    identity = Identity("calls", "a.wav")
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        ledger.record(Entry(identity, 1, 2, "ok"))
        assert ledger.stale_tables() == {"csv", "xlsx", "html"}
        ledger.tables_are_fresh(frozenset(("csv",)))
        assert ledger.stale_tables() == {"xlsx", "html"}
        ledger.mark_present([identity], False)
        assert ledger.stale_tables() == {"csv", "xlsx", "html"}
        assert ledger.get(identity) == Entry(identity, 1, 2, "ok", statistics={}, present=False)


def test_label_belongs_to_one_folder() -> None:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        ledger.check_label("calls", "/a/calls")
        ledger.claim_label("calls", "/a/calls")
        ledger.check_label("calls", "/a/calls")
        with pytest.raises(UsageError, match=r"LABEL=FOLDER.*calls=/b/calls") as caught:
            ledger.check_label("calls", "/b/calls")
        assert "/a/calls" in str(caught.value)
        ledger.claim_label("calls", "/b/calls")
        ledger.check_label("calls", "/b/calls")


def test_invalid_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("this is no database, but long enough to be taken for one" * 40)
    with pytest.raises(CannotWork, match="cannot be read"):
        Ledger(tmp_path)


def test_output_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWork, match="cannot be used"):
        Ledger(tmp_path / "file" / "out")


def test_locked_ledger_cannot_be_written(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger, closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        ledger._connection.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CannotWork, match="cannot be written"):
            ledger.record(Entry(Identity("calls", "a.wav"), 1, 2, "ok"))
