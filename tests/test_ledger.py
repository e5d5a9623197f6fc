"""The ledger: the entries of all recordings, complete and in order."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.entry import Entry
from analyzer.errors import CannotWork, UsageError
from analyzer.ledger import FILE_NAME, Ledger
from analyzer.names import Identity
from analyzer.timeline import Sketch

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
    figures=st.dictionaries(st.integers(1, 4), st.dictionaries(st.sampled_from(["talk_s", "level_db"]), numbers)),
    present=st.booleans(),
    attempts=st.integers(0, 9),
)


@settings(max_examples=60)
@given(st.lists(entries, max_size=8))
def test_what_was_recorded_last_is_what_is_known(some: list[Entry]) -> None:
    with closing(Ledger(None)) as ledger:
        for entry in some:
            ledger.record(entry)
        last = {entry.identity: entry for entry in some}
        assert {entry.identity: entry for entry in ledger.entries()} == last
        assert all(ledger.get(identity) == entry for identity, entry in last.items())


@settings(max_examples=60)
@given(st.lists(identities, max_size=12))
def test_recordings_come_in_the_order_of_the_bytes_of_their_names(some: list[Identity]) -> None:
    with closing(Ledger(None)) as ledger:
        for identity in some:
            ledger.record(Entry(identity, 0, 0, "ok"))
        found = [entry.identity for entry in ledger.entries()]
    assert found == sorted(set(some), key=lambda identity: identity.sort_key)


def test_a_label_with_a_space_comes_before_the_same_without() -> None:
    with closing(Ledger(None)) as ledger:
        for label in ("a", "a b"):
            ledger.record(Entry(Identity(label, "x.wav"), 0, 0, "ok"))
        assert [entry.identity.label for entry in ledger.entries()] == ["a b", "a"]


def test_nothing_is_known_of_what_was_never_seen() -> None:
    with closing(Ledger(None)) as ledger:
        assert ledger.get(Identity("calls", "a.wav")) is None
        assert ledger.identities("calls") == set()
        assert ledger.note("views") is None


def test_what_is_known_outlives_the_process(tmp_path: Path) -> None:
    entry = Entry(Identity("calls", os.fsdecode(b"\xff.wav")), 1, 2, "ok", figures={2: {"talk_s": 1.5}})
    with closing(Ledger(tmp_path / "out")) as ledger:
        ledger.record(entry, Sketch(b"peaks", ()))
        ledger.remember("time zone", "Europe/Berlin")
    with closing(Ledger(tmp_path / "out")) as ledger:
        assert list(ledger.entries()) == [entry]
        assert ledger.note("time zone") == "Europe/Berlin"
    with closing(sqlite3.connect(tmp_path / "out" / FILE_NAME)) as connection:
        assert connection.execute("SELECT envelope FROM recording").fetchall() == [(b"peaks",)]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Ledger(None)) as ledger:
        ledger.record(Entry(Identity("calls", "a.wav"), 1, 2, "ok"))
    assert list(tmp_path.iterdir()) == []


def test_every_write_says_that_the_tables_are_out_of_date() -> None:
    identity = Identity("calls", "a.wav")
    with closing(Ledger(None)) as ledger:
        ledger.record(Entry(identity, 1, 2, "ok"))
        assert ledger.stale_views() == {"csv", "xlsx", "html"}
        ledger.views_are_fresh(frozenset(("csv",)))
        assert ledger.stale_views() == {"xlsx", "html"}
        ledger.mark_present([identity], False)
        assert ledger.stale_views() == {"csv", "xlsx", "html"}
        assert ledger.get(identity) == Entry(identity, 1, 2, "ok", figures={}, present=False)


def test_a_label_belongs_to_one_folder() -> None:
    with closing(Ledger(None)) as ledger:
        ledger.check_label("calls", "/a/calls")
        ledger.claim_label("calls", "/a/calls")
        ledger.check_label("calls", "/a/calls")
        with pytest.raises(UsageError, match=r"LABEL=FOLDER.*calls=/b/calls") as caught:
            ledger.check_label("calls", "/b/calls")
        assert "/a/calls" in str(caught.value)
        ledger.claim_label("calls", "/b/calls")
        ledger.check_label("calls", "/b/calls")


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("this is no database, but long enough to be taken for one" * 40)
    with pytest.raises(CannotWork, match="cannot be read"):
        Ledger(tmp_path)


def test_an_output_folder_below_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWork, match="cannot be used"):
        Ledger(tmp_path / "file" / "out")


def test_a_ledger_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger, closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        ledger._connection.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CannotWork, match="cannot be written"):
            ledger.record(Entry(Identity("calls", "a.wav"), 1, 2, "ok"))
