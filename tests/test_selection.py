"""Selection of recordings by day and by name."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.inputs.masking import Mask
from analyzer.names import Identity
from analyzer.report.selection import LATEST, Period, Selection, name_pattern, newest_day
from analyzer.store.ledger import Ledger

days = st.dates(date(2000, 1, 1), date(2099, 12, 31)).map(date.isoformat)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        yield ledger


@pytest.fixture
def masked_ledger(ledger: Ledger) -> Ledger:
    """A ledger in which numbers in names are masked."""
    ledger.state.set("mask_pattern", "")
    return ledger


def pattern_fits(ledger: Ledger, pattern: str, name: str) -> bool:
    return Selection(pattern=name_pattern(pattern, ledger)).fits(name)


# Days.


def test_period_includes_both_ends() -> None:
    week = Period("2026-11-23", "2026-11-29")
    held_days = [f"2026-11-{day}" for day in range(20, 31) if week.holds(f"2026-11-{day}")]
    assert (held_days[0], held_days[-1], len(held_days)) == ("2026-11-23", "2026-11-29", 7)


def test_period_may_be_open() -> None:
    assert Period(since="2026-11-23").holds("2099-01-01")
    assert not Period(since="2026-11-23").holds("2026-11-22")
    assert Period(until="2026-11-23").holds("1999-12-31")
    assert not Period(until="2026-11-23").holds("2026-11-24")


def test_unknown_day_needs_unlimited_period() -> None:
    assert Period().holds("")
    assert not Period(since="2026-11-23").holds("")
    assert not Period(until="2026-11-23").holds("")
    assert not Period("2026-11-23", "2026-11-24").holds("")


def test_default_period_is_five_weeks() -> None:
    assert LATEST.days("2026-11-24") == Period("2026-10-21", "2026-11-24")


@given(days)
def test_default_period_ends_with_newest_day(newest: str) -> None:
    period, last = LATEST.days(newest), date.fromisoformat(newest)
    held_days = [days_ago for days_ago in range(-3, 60) if period.holds((last - timedelta(days_ago)).isoformat())]
    assert held_days == list(range(35))


def test_default_period_at_start_of_calendar() -> None:
    assert LATEST.days("0001-01-03") == Period("0001-01-01", "0001-01-03")


def test_without_dates_all_recordings_are_selected() -> None:
    assert LATEST.days("") == Period()


@given(st.sets(days | st.just("")))
def test_newest_day_prefers_past_days(known_days: set[str]) -> None:
    newest = newest_day(known_days, "2026-11-25")
    assert newest == max({day for day in known_days if day <= "2026-11-25"} - {""} or known_days, default="")


@given(days | st.just(""))
def test_requested_period_is_used(newest: str) -> None:
    period = Period(since="2026-11-23")
    assert Selection(period).days(newest) == period


# Names.


def test_every_name_fits_without_pattern() -> None:
    assert LATEST.fits("calls/a.wav")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        ("calls/*", True),
        ("*/b*.wav", True),
        ("calls/a/b?.wav", True),
        ("calls/a/b12.wav", False),
        ("b1.wav", False),
        ("calls/a", False),
        ("CALLS/*", False),
        ("calls.a.b1.wav", False),
    ],
)
def test_pattern_matches_complete_name(ledger: Ledger, pattern: str, expected: bool) -> None:
    assert pattern_fits(ledger, pattern, "calls/a/b1.wav") is expected


def test_pattern_matches_escaped_bytes(ledger: Ledger) -> None:
    assert pattern_fits(ledger, "*\\xff*", Identity("calls", "\udcff\n.wav").shown)


def test_number_matches_its_mask(masked_ledger: Ledger) -> None:
    mask = Mask(masked_ledger.key())
    masked_name = mask.identity(Identity("calls", "in/0301234567_a.wav")).shown
    assert "0301234567" not in masked_name
    assert pattern_fits(masked_ledger, "*/0301234567_*", masked_name)
    assert pattern_fits(masked_ledger, "*0301234567*", masked_name)
    assert not pattern_fits(masked_ledger, "*0301234568*", masked_name)


def test_dates_are_not_masked(masked_ledger: Ledger) -> None:
    assert pattern_fits(masked_ledger, "calls/20261124_*", "calls/20261124_a.wav")


def test_number_matches_no_mask_without_masking(ledger: Ledger) -> None:
    masked_name = Mask(ledger.key()).identity(Identity("calls", "0301234567.wav")).shown
    assert pattern_fits(ledger, "*0301234567*", "calls/0301234567.wav")
    assert not pattern_fits(ledger, "*0301234567*", masked_name)


#: Names with many characters that are special in other patterns, and digits that may be masked.
awkward_names = st.text("ab[]{}()!^$.\\|+-~#&1 \n", max_size=12) | st.text(max_size=12)


def has_wildcards(name: str) -> bool:
    return "*" in name or "?" in name


@given(awkward_names.filter(lambda name: not has_wildcards(name)), awkward_names, st.booleans())
def test_pattern_without_wildcards_fits_only_itself(name: str, other: str, is_masked: bool) -> None:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        if is_masked:
            ledger.state.set("mask_pattern", "")
        assert pattern_fits(ledger, name, name)
        assert pattern_fits(ledger, name, other) == (name == other)


@pytest.mark.parametrize(
    ("pattern", "other"),
    [("in/call[1].wav", "in/call1.wav"), ("in/call[!1].wav", "in/call2.wav"), ("in/[a-c].wav", "in/b.wav")],
)
def test_brackets_are_literal(ledger: Ledger, pattern: str, other: str) -> None:
    assert pattern_fits(ledger, pattern, pattern)
    assert not pattern_fits(ledger, pattern, other)


def fits_by_search(pattern: str, name: str) -> bool:
    """Match a pattern with * and ? by trying everything."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(fits_by_search(pattern[1:], name[start:]) for start in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and fits_by_search(pattern[1:], name[1:])


@given(st.text("ab*?.[", max_size=8), st.text("ab.[", max_size=8))
def test_wildcards(pattern: str, name: str) -> None:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        assert pattern_fits(ledger, pattern, name) == fits_by_search(pattern, name)


def test_many_asterisks_are_fast(ledger: Ledger) -> None:
    assert not pattern_fits(ledger, "*a" * 40 + "*b", "a" * 4000)


def test_numbers_between_asterisks_match_masks(masked_ledger: Ledger) -> None:
    mask = Mask(masked_ledger.key())
    name = f"calls/{mask.text('0301234567')}-x-{mask.text('0309876543')}.wav"
    assert pattern_fits(masked_ledger, "*0301234567*0309876543*", name)
    assert pattern_fits(masked_ledger, "*0301234567*x*", name)
    assert not pattern_fits(masked_ledger, "*0309876543*0301234567*", name)


@given(st.text("ab*?[]!-.\\/^$", max_size=8), st.text("ab[]-.\\/^$", max_size=8))
def test_masking_keeps_patterns_without_numbers(pattern: str, name: str) -> None:
    with (
        closing(Ledger(Path("not-there"), in_memory=True)) as plain,
        closing(Ledger(Path("not-there"), in_memory=True)) as masked_ledger,
    ):
        masked_ledger.state.set("mask_pattern", "")
        assert pattern_fits(masked_ledger, pattern, name) == pattern_fits(plain, pattern, name)
