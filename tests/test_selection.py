"""Selection of recordings by day and by name."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.ledger import Ledger
from analyzer.masking import Mask
from analyzer.names import Identity
from analyzer.report.selection import LATEST, Period, Selection, name_pattern, newest_day

days = st.dates(date(2000, 1, 1), date(2099, 12, 31)).map(date.isoformat)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(None)) as ledger:
        yield ledger


@pytest.fixture
def masked(ledger: Ledger) -> Ledger:
    """A ledger in which numbers in names are masked."""
    ledger.remember("masked with", "")
    return ledger


def fits(ledger: Ledger, pattern: str, name: str) -> bool:
    return Selection(pattern=name_pattern(pattern, ledger)).fits(name)


# Days.


def test_both_ends_of_a_period_belong_to_it() -> None:
    week = Period("2026-11-23", "2026-11-29")
    told = [f"2026-11-{day}" for day in range(20, 31) if week.holds(f"2026-11-{day}")]
    assert (told[0], told[-1], len(told)) == ("2026-11-23", "2026-11-29", 7)


def test_a_period_may_be_open_at_either_end() -> None:
    assert Period(since="2026-11-23").holds("2099-01-01")
    assert not Period(since="2026-11-23").holds("2026-11-22")
    assert Period(until="2026-11-23").holds("1999-12-31")
    assert not Period(until="2026-11-23").holds("2026-11-24")


def test_a_day_that_is_not_known_is_only_in_a_period_of_all_days() -> None:
    assert Period().holds("")
    assert not Period(since="2026-11-23").holds("")
    assert not Period(until="2026-11-23").holds("")
    assert not Period("2026-11-23", "2026-11-24").holds("")


def test_nobody_who_asks_for_no_days_is_told_of_more_than_five_weeks() -> None:
    assert LATEST.days("2026-11-24") == Period("2026-10-21", "2026-11-24")


@given(days)
def test_the_five_weeks_end_with_the_newest_day(newest: str) -> None:
    period, last = LATEST.days(newest), date.fromisoformat(newest)
    held = [ago for ago in range(-3, 60) if period.holds((last - timedelta(ago)).isoformat())]
    assert held == list(range(35))


def test_where_calendars_begin_there_are_fewer_days() -> None:
    assert LATEST.days("0001-01-03") == Period("0001-01-01", "0001-01-03")


def test_where_no_day_is_known_all_recordings_are_told_of() -> None:
    assert LATEST.days("") == Period()


@given(st.sets(days | st.just("")))
def test_the_newest_day_is_not_in_the_future_where_another_is_known(known: set[str]) -> None:
    newest = newest_day(known, "2026-11-25")
    assert newest == max({day for day in known if day <= "2026-11-25"} - {""} or known, default="")


@given(days | st.just(""))
def test_a_period_that_is_asked_for_is_the_period(newest: str) -> None:
    asked = Period(since="2026-11-23")
    assert Selection(asked).days(newest) == asked


# Names.


def test_without_a_pattern_every_name_fits() -> None:
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
def test_a_pattern_is_about_the_whole_name_as_tables_show_it(ledger: Ledger, pattern: str, expected: bool) -> None:
    assert fits(ledger, pattern, "calls/a/b1.wav") is expected


def test_a_name_with_bytes_that_are_no_text_is_found_as_it_is_shown(ledger: Ledger) -> None:
    assert fits(ledger, "*\\xff*", Identity("calls", "\udcff\n.wav").shown)


def test_a_number_finds_the_mask_that_stands_for_it(masked: Ledger) -> None:
    mask = Mask(masked.key())
    called = mask.identity(Identity("calls", "in/0301234567_a.wav")).shown
    assert "0301234567" not in called
    assert fits(masked, "*/0301234567_*", called)
    assert fits(masked, "*0301234567*", called)
    assert not fits(masked, "*0301234568*", called)


def test_a_date_stays_itself_where_numbers_are_masked(masked: Ledger) -> None:
    assert fits(masked, "calls/20261124_*", "calls/20261124_a.wav")


def test_where_nothing_is_masked_a_number_is_only_itself(ledger: Ledger) -> None:
    called = Mask(ledger.key()).identity(Identity("calls", "0301234567.wav")).shown
    assert fits(ledger, "*0301234567*", "calls/0301234567.wav")
    assert not fits(ledger, "*0301234567*", called)


#: Names with many characters that are special in other patterns, and digits that may be masked.
awkward_names = st.text("ab[]{}()!^$.\\|+-~#&1 \n", max_size=12) | st.text(max_size=12)


def is_wild(name: str) -> bool:
    return "*" in name or "?" in name


@given(awkward_names.filter(lambda name: not is_wild(name)), awkward_names, st.booleans())
def test_a_name_without_asterisk_and_question_mark_finds_itself_alone(name: str, other: str, masked: bool) -> None:
    with closing(Ledger(None)) as ledger:
        if masked:
            ledger.remember("masked with", "")
        assert fits(ledger, name, name)
        assert fits(ledger, name, other) == (name == other)


@pytest.mark.parametrize(
    ("pattern", "other"),
    [("in/call[1].wav", "in/call1.wav"), ("in/call[!1].wav", "in/call2.wav"), ("in/[a-c].wav", "in/b.wav")],
)
def test_brackets_are_characters_like_any_other(ledger: Ledger, pattern: str, other: str) -> None:
    assert fits(ledger, pattern, pattern)
    assert not fits(ledger, pattern, other)


def fits_slowly(pattern: str, name: str) -> bool:
    """Match a pattern with * and ? by trying everything."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(fits_slowly(pattern[1:], name[k:]) for k in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and fits_slowly(pattern[1:], name[1:])


@given(st.text("ab*?.[", max_size=8), st.text("ab.[", max_size=8))
def test_an_asterisk_is_any_text_and_a_question_mark_any_character(pattern: str, name: str) -> None:
    with closing(Ledger(None)) as ledger:
        assert fits(ledger, pattern, name) == fits_slowly(pattern, name)


def test_many_asterisks_take_no_time(ledger: Ledger) -> None:
    assert not fits(ledger, "*a" * 40 + "*b", "a" * 4000)


def test_a_number_among_asterisks_finds_its_mask(masked: Ledger) -> None:
    mask = Mask(masked.key())
    name = f"calls/{mask.text('0301234567')}-x-{mask.text('0309876543')}.wav"
    assert fits(masked, "*0301234567*0309876543*", name)
    assert fits(masked, "*0301234567*x*", name)
    assert not fits(masked, "*0309876543*0301234567*", name)


@given(st.text("ab*?[]!-.\\/^$", max_size=8), st.text("ab[]-.\\/^$", max_size=8))
def test_a_mask_changes_nothing_of_patterns_without_numbers(pattern: str, name: str) -> None:
    with closing(Ledger(None)) as plain, closing(Ledger(None)) as masked:
        masked.remember("masked with", "")
        assert fits(masked, pattern, name) == fits(plain, pattern, name)
