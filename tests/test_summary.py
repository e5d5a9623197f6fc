"""Counts over many recordings: whose emotions, on which days, in which groups and weeks."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.report.selection import LATEST, Period, Selection, name_pattern
from analyzer.report.summary import (
    LABELS,
    Passage,
    Summary,
    Tally,
    counted,
    selected,
    strongest_passage,
    summarise,
    weeks,
)
from analyzer.store.entry import Entry
from analyzer.store.ledger import Ledger
from tests.helpers.entries import BERLIN, CALM, HALF_SAD, UPSET, a_call, ago, failed

#: 2026-11-24 12:00:00 UTC, a Tuesday.
NOON_NS = 1_795_521_600 * 10**9
DAY_NS = 86_400 * 10**9


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        yield ledger


def summary_of(ledger: Ledger, *entries: Entry, selection: Selection = LATEST) -> Summary:
    for entry in entries:
        ledger.record(entry)
    return summarise(ledger, BERLIN, selection)


def reviewed(summary: Summary) -> list[str]:
    return [passage.identity.path for passage in summary.review]


# Speakers included.


def test_customer_passage_makes_call_negative(ledger: Ledger) -> None:
    total = summary_of(ledger, a_call("a.wav", UPSET), a_call("b.wav", CALM)).total
    assert (total.recordings, total.analysed, total.with_negative_passage) == (2, 2, 1)


def test_agents_are_not_counted(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call(segments=[*CALM, (2, 20, 40, "angry")]))
    assert (summary.total.analysed, summary.total.with_negative_passage, summary.review) == (1, 0, [])
    assert summary.total.talk_s == 10
    assert summary.total.share("angry") == 0


@pytest.mark.parametrize("role", ["Agent", "AGENT"])
def test_role_of_agents_ignores_case(ledger: Ledger, role: str) -> None:
    summary = summary_of(ledger, a_call(segments=[(2, 20, 40, "angry")], speakers=("customer", role)))
    assert (summary.total.analysed, summary.total.talk_s, summary.review) == (0, 0, [])


def test_call_with_agent_alone_is_not_analysed(ledger: Ledger) -> None:
    total = summary_of(ledger, a_call(segments=[(2, 20, 40, "angry")])).total
    assert (total.recordings, total.analysed, total.with_negative_passage, total.talk_s) == (1, 0, 0, 0)
    assert total.length_s == 90


def test_masked_channels_are_not_counted(ledger: Ledger) -> None:
    segments = [*UPSET, (2, 20, 30, "happy")]
    summary = summary_of(ledger, a_call(segments=segments, speakers=("customer", "visitor"), masked=("customer",)))
    assert (summary.total.analysed, summary.total.with_negative_passage, summary.review) == (1, 0, [])
    assert summary.total.share("happy") == 1


def test_all_channels_count_without_roles(ledger: Ledger) -> None:
    speakers = ("channel 1", "channel 2")
    total = summary_of(ledger, a_call(segments=[*CALM, (2, 20, 40, "angry")], speakers=speakers)).total
    assert (total.with_negative_passage, total.talk_s) == (1, 30)


def test_failed_recordings_count_without_length(ledger: Ledger) -> None:
    given_up, incomplete = failed("b.wav", status="given_up"), failed("c.wav", status="incomplete")
    total = summary_of(ledger, failed("a.wav"), given_up, incomplete, a_call("d.wav")).total
    assert (total.recordings, total.failed, total.waiting, total.analysed) == (4, 2, 1, 1)
    assert (total.rows, total.length_s) == (5, 90)


def test_figures_of_failed_recordings_are_ignored(ledger: Ledger) -> None:
    total = summary_of(ledger, a_call(segments=UPSET, status="failed")).total
    assert (total.analysed, total.with_negative_passage, total.length_s, total.talk_s) == (0, 0, 0, 0)


def test_call_without_speech_has_no_emotions(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call(segments=()))
    assert (summary.total.recordings, summary.total.analysed, summary.total.length_s) == (1, 0, 90)
    assert summary.total.share("neutral") is None
    assert summary.review_day == ""


def test_skipped_files_are_not_counted(ledger: Ledger) -> None:
    summary = summary_of(ledger, failed("README.md", status="skipped"))
    assert (summary.total, summary.days) == (Tally(), {})


def test_shares_are_weighted_by_seconds(ledger: Ledger) -> None:
    first = a_call("a.wav", [(1, 0, 6, "sad"), (1, 6, 8, UNCERTAIN)])
    second = a_call("b.wav", [(1, 0, 2, "happy"), (2, 5, 15, "sad")], speakers=("left", "right"))
    total = summary_of(ledger, first, second).total
    assert total.emotion_s["sad"] == pytest.approx(16, abs=0.001)
    assert total.emotion_s["happy"] == pytest.approx(2, abs=0.001)
    assert total.share(UNCERTAIN) == pytest.approx(0.1, abs=0.0001)
    assert sum(total.share(label) or 0 for label in LABELS) == pytest.approx(1)


def test_recordings_are_counted_by_model(ledger: Ledger) -> None:
    other = a_call("c.wav", model="large", fingerprint="g")
    summary = summary_of(ledger, a_call("a.wav"), a_call("b.wav", segments=()), other, failed("d.wav"))
    assert summary.models == {("large", "g"): 1, ("tiny", "f"): 2}


# Calls to review first.


def test_strongest_passage_is_reviewed(ledger: Ledger) -> None:
    segments = [(1, 5, 9, "sad"), (1, 30, 35, "angry"), (1, 40, 42, "fearful"), (1, 70, 73, "sad")]
    (passage,) = summary_of(ledger, a_call(segments=segments)).review
    values = (passage.start_s, passage.end_s, passage.emotion, passage.negative_s, passage.mean, passage.more)
    assert values == (30, 42, "angry", 7, 1, 2)
    assert (passage.identity.path, passage.recorded) == ("a.wav", "2026-11-24 09:15:00")
    assert (passage.channel, passage.speaker) == (1, "customer")
    assert passage.shares["sad"] == pytest.approx(0.5)


def test_most_negative_speaker_is_reviewed(ledger: Ledger) -> None:
    segments = [(1, 0, 4, "angry"), (2, 10, 15, "sad"), (3, 20, 40, "disgust")]
    (passage,) = summary_of(ledger, a_call(segments=segments, speakers=("customer", "witness", "agent"))).review
    assert (passage.channel, passage.speaker, passage.negative_s, passage.more) == (2, "witness", 5, 1)


def test_first_of_equal_channels_is_reviewed(ledger: Ledger) -> None:
    segments = [(1, 10, 14, "sad"), (2, 0, 4, "angry")]
    (passage,) = summary_of(ledger, a_call(segments=segments, speakers=("left", "right"))).review
    assert passage.channel == 1


def test_review_order_is_strength_then_name(ledger: Ledger) -> None:
    lengths = {"b.wav": 5, "ä.wav": 5, "c.wav": 9, "B.wav": 5, "short.wav": 2.9}
    entries = [a_call(path, [(1, 0, length, "angry")]) for path, length in lengths.items()]
    assert reviewed(summary_of(ledger, *entries)) == ["c.wav", "B.wav", "b.wav", "ä.wav"]


def test_strength_weighs_length_by_probability() -> None:
    certain, probable = a_call(segments=[(1, 0, 4, "angry")]), a_call(segments=[(1, 0, 9, HALF_SAD)])
    first, second = strongest_passage(certain, ""), strongest_passage(probable, "")
    assert isinstance(first, Passage)
    assert isinstance(second, Passage)
    assert (first.negative_s, second.negative_s, second.mean) == (4, 4.5, 0.5)


def test_only_the_latest_day_is_reviewed(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call("old.wav", UPSET, ago(1)), a_call("new.wav", UPSET, ago(0)))
    assert (summary.review_day, reviewed(summary)) == ("2026-11-24", ["new.wav"])


def test_latest_day_has_analysed_calls(ledger: Ledger) -> None:
    without_customers = [failed("b.wav"), a_call("c.wav", segments=()), a_call("d.wav", [(2, 0, 9, "angry")])]
    summary = summary_of(ledger, a_call("a.wav", UPSET, ago(3)), *without_customers)
    assert (summary.review_day, reviewed(summary)) == (ago(3), ["a.wav"])


def test_calm_latest_day_has_no_review(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call("a.wav", UPSET, ago(1)), a_call("b.wav", CALM, ago(0)))
    assert (summary.review_day, summary.review) == ("2026-11-24", [])


def test_review_is_limited_to_the_period(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call("old.wav", UPSET, ago(60)), failed("new.wav"))
    assert (summary.review_day, summary.review) == ("", [])


def test_latest_day_is_within_requested_period(ledger: Ledger) -> None:
    entries = [a_call(f"{days}.wav", UPSET, ago(days)) for days in (0, 5, 9)]
    summary = summary_of(ledger, *entries, selection=Selection(Period(until=ago(1))))
    assert (summary.review_day, reviewed(summary)) == (ago(5), ["5.wav"])


# Selection of days.


def test_default_period_is_the_latest_five_weeks(ledger: Ledger) -> None:
    entries = [a_call(f"{days}.wav", UPSET, ago(days), groups={"queue": f"{days}"}) for days in (3, 4, 37, 38, 90)]
    summary = summary_of(ledger, *entries)
    assert summary.period == Period(ago(37), ago(3))
    assert list(summary.days) == [ago(37), ago(4), ago(3)]
    assert summary.total.recordings == 3
    assert list(summary.groups) == [("queue", "3"), ("queue", "37"), ("queue", "4")]


def test_failed_recordings_count_for_the_period(ledger: Ledger) -> None:
    summary = summary_of(ledger, failed(day=ago(0)), a_call(day=ago(40)))
    assert summary.period == Period(ago(34), ago(0))
    assert (summary.total.recordings, summary.models) == (1, {})


def test_requested_period_is_used(ledger: Ledger) -> None:
    entries = [a_call(f"{days}.wav", CALM, ago(days)) for days in (0, 50, 100)]
    summary = summary_of(ledger, *entries, selection=Selection(Period(ago(100), ago(50))))
    assert list(summary.days) == [ago(100), ago(50)]


def test_name_pattern_decides_count_and_period(ledger: Ledger) -> None:
    selection = Selection(pattern=name_pattern("*/b*", ledger))
    summary = summary_of(ledger, a_call("a.wav", day=ago(0)), a_call("b.wav", UPSET, day=ago(50)), selection=selection)
    assert (summary.period.until, summary.total.recordings, reviewed(summary)) == (ago(50), 1, ["b.wav"])


def test_undated_recordings_are_left_out(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call("a.wav", UPSET, day=""), a_call("b.wav", UPSET))
    assert (summary.total.recordings, list(summary.days), reviewed(summary)) == (1, ["2026-11-24"], ["b.wav"])


def test_undated_recordings_are_not_reviewed(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call("a.wav", UPSET, day=""), failed("b.wav"))
    assert (summary.total.recordings, summary.total.failed, summary.review) == (1, 1, [])


def test_undated_recordings_count_without_any_dates(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call("a.wav", UPSET, day=""), failed("b.wav", day=""))
    assert (summary.total.recordings, list(summary.days), reviewed(summary)) == (2, [""], ["a.wav"])
    assert weeks(summary.days) == []


def test_file_time_gives_day_in_time_zone(ledger: Ledger) -> None:
    late = a_call("a.wav", day="", mtime_ns=NOON_NS + 41_400 * 10**9)  # 23:30 UTC
    assert list(summary_of(ledger, late).days) == ["2026-11-25"]
    assert list(summarise(ledger, ZoneInfo("UTC"), LATEST).days) == ["2026-11-24"]


def test_future_date_hides_no_other_call(ledger: Ledger) -> None:
    summary = summary_of(
        ledger, a_call("a.wav", UPSET), a_call("b.wav", CALM, ago(1)), a_call("c.wav", UPSET, "2099-01-01")
    )
    assert (list(summary.days), summary.review_day, reviewed(summary)) == ([ago(1), ago(0)], ago(0), ["a.wav"])


def test_calls_are_shown_if_all_are_in_the_future(ledger: Ledger) -> None:
    summary = summary_of(ledger, a_call("a.wav", UPSET, "2098-12-31"), a_call("b.wav", UPSET, "2099-01-01"))
    assert (list(summary.days), reviewed(summary)) == (["2098-12-31", "2099-01-01"], ["b.wav"])


def test_empty_ledger_has_empty_summary(ledger: Ledger) -> None:
    summary = summary_of(ledger)
    assert (summary.period, summary.total, summary.days, summary.review) == (Period(), Tally(), {}, [])


def test_selected_recordings_are_sorted_by_name(ledger: Ledger) -> None:
    for entry in (a_call("b.wav"), a_call("a.wav"), a_call("old.wav", day=ago(50)), failed("c.md", status="skipped")):
        ledger.record(entry)
    recordings = [(entry.identity.path, time) for entry, time in selected(ledger, BERLIN, LATEST, Period(since=ago(1)))]
    assert recordings == [("a.wav", "2026-11-24 09:15:00"), ("b.wav", "2026-11-24 09:15:00")]


# Groups and weeks.


def test_groups_are_counted_by_kind_and_name(ledger: Ledger) -> None:
    entries = [
        a_call("a.wav", UPSET, ago(0), groups={"queue": "sales", "site": "Bonn"}),
        a_call("b.wav", CALM, ago(9), groups={"queue": "billing"}),
        a_call("c.wav", CALM, ago(9), groups={"queue": "sales"}),
        a_call("d.wav", UPSET, ago(9)),
    ]
    groups = summary_of(ledger, *entries).groups
    assert list(groups) == [("queue", "billing"), ("queue", "sales"), ("site", "Bonn")]
    assert [(tally.recordings, tally.with_negative_passage) for tally in groups.values()] == [(1, 0), (2, 1), (1, 1)]


def test_weeks_begin_on_monday(ledger: Ledger) -> None:
    # 2026-11-23 is a Monday.
    days = ("2026-11-15", "2026-11-16", "2026-11-22", "2026-11-23", "2026-11-24")
    entries = [a_call(f"{day}-{number}.wav", UPSET, day) for day in days for number in range(2)]
    calendar_weeks = weeks(summary_of(ledger, *entries).days)
    assert [
        (week.monday, week.days, week.tally.recordings, week.tally.with_negative_passage) for week in calendar_weeks
    ] == [
        ("2026-11-09", 1, 2, 2),
        ("2026-11-16", 2, 4, 4),
        ("2026-11-23", 2, 4, 4),
    ]


def test_week_follows_only_the_previous_one(ledger: Ledger) -> None:
    entries = [a_call(f"{day}.wav", UPSET, day) for day in ("2025-12-29", "2026-01-05", "2026-01-19")]
    first, second, third = weeks(summary_of(ledger, *entries).days)
    assert second.follows(first)
    assert not third.follows(second)
    assert not first.follows(second)
    assert not first.follows(first)


# Properties of any recordings.

segment_lists = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.sampled_from((*EMOTIONS, UNCERTAIN, HALF_SAD))), max_size=6
).map(
    lambda turns: [
        (channel, 15 * number, 15 * number + 1 + length, emotion)
        for number, (channel, length, emotion) in enumerate(turns)
    ]
)


@st.composite
def random_entry(draw: st.DrawFn) -> Entry:
    day = draw(st.sampled_from(("", *(ago(days) for days in (0, 1, 6, 7, 34, 35)))))
    path = f"{draw(st.integers(0, 99))}.wav"
    status = draw(st.sampled_from(("ok", "ok", "ok", "failed", "given_up", "incomplete", "skipped")))
    if status != "ok":
        return failed(path, day, status)
    groups = draw(st.dictionaries(st.sampled_from(("queue", "agent")), st.sampled_from("ab"), max_size=2))
    speakers = draw(st.sampled_from((("customer", "agent"), ("channel 1",), ("agent", "customer", "visitor"))))
    return a_call(path, draw(segment_lists), day, speakers, draw(st.sampled_from(((), ("customer",)))), groups)


entry_lists = st.lists(random_entry(), max_size=10, unique_by=lambda entry: entry.identity)


def summarise_in_memory(entries: Sequence[Entry]) -> Summary:
    with closing(Ledger(Path("not-there"), in_memory=True)) as ledger:
        return summary_of(ledger, *entries)


@settings(max_examples=50)
@given(entry_lists, st.randoms(use_true_random=False))
def test_order_of_entries_does_not_matter(entries: list[Entry], random: object) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert summarise_in_memory(shuffled) == summarise_in_memory(entries)


@settings(max_examples=50)
@given(entry_lists)
def test_days_weeks_and_models_add_up(entries: list[Entry]) -> None:
    summary = summarise_in_memory(entries)
    counted_entries = [
        entry for entry in entries if entry.status != "skipped" and summary.period.holds(entry.recorded[:10])
    ]
    total = summary.total
    assert total.recordings == len(counted_entries)
    assert total.recordings == sum(tally.recordings for tally in summary.days.values())
    assert total.failed + total.waiting == sum(
        entry.status != "ok" and entry.status != "no_speech" for entry in counted_entries
    )
    assert total.with_negative_passage <= total.analysed <= total.recordings - total.failed - total.waiting
    assert total.rows == sum(len(entry.statistics or ()) or 1 for entry in counted_entries)
    assert sum(summary.models.values()) == total.recordings - total.failed - total.waiting
    dated_tallies = [tally for day, tally in summary.days.items() if day]
    assert sum(week.tally.with_negative_passage for week in weeks(summary.days)) == sum(
        tally.with_negative_passage for tally in dated_tallies
    )
    assert sum(week.days for week in weeks(summary.days)) == len(dated_tallies)
    assert total.talk_s == pytest.approx(sum(tally.talk_s for tally in summary.days.values()))


@settings(max_examples=50)
@given(entry_lists)
def test_review_lists_counted_negative_passages(entries: list[Entry]) -> None:
    summary = summarise_in_memory(entries)
    by_name = {entry.identity: entry for entry in entries}
    strengths = [passage.negative_s for passage in summary.review]
    assert strengths == sorted(strengths, reverse=True)
    assert len({passage.identity for passage in summary.review}) == len(summary.review)
    for passage in summary.review:
        assert summary.period.holds(passage.recorded[:10])
        assert passage.recorded[:10] == summary.review_day
        assert passage.speaker != "agent"
        _, counted_emotions = counted(by_name[passage.identity])[passage.channel]
        strongest = counted_emotions.strongest
        assert passage.start_s == strongest.start < strongest.end == passage.end_s
