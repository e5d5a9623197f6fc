"""Counts over many recordings: whose emotions, on which days, in which groups and weeks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.entry import Entry
from analyzer.figures import channel_figures
from analyzer.labels import Labelling
from analyzer.ledger import Ledger
from analyzer.names import Identity
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
from analyzer.speech import Segment
from analyzer.timeline import Row, row

BERLIN = ZoneInfo("Europe/Berlin")
#: 2026-11-24 12:00:00 UTC, a Tuesday.
NOON_NS = 1_795_521_600 * 10**9
DAY_NS = 86_400 * 10**9
#: A turn: channel, start and end in seconds, and emotion.
Said = tuple[int, float, float, str]
HALF_SAD = "as neutral as sad"
CALM: tuple[Said, ...] = ((1, 0, 10, "neutral"),)
UPSET: tuple[Said, ...] = ((1, 0, 10, "neutral"), (1, 60, 66, "angry"))


def rows_of(said: Sequence[Said]) -> list[Row]:
    sounds = {emotion: np.eye(8)[k] for k, emotion in enumerate(EMOTIONS)}
    sounds |= {UNCERTAIN: np.array([0.3, 0.3, 0.3, 0, 0, 0, 0, 0.1]), HALF_SAD: np.array([0.5, 0, 0, 0.5, 0, 0, 0, 0])}
    pieces = [(Segment(at, to, np.full(6000, 0.1, np.float32), True), channel, how) for channel, at, to, how in said]
    return [row(segment, channel, sounds[how], Labelling(0.5, 0.4)) for segment, channel, how in pieces]


def a_call(
    path: str = "a.wav",
    said: Sequence[Said] = CALM,
    day: str = "2026-11-24",
    speakers: Sequence[str] = ("customer", "agent"),
    masked: Sequence[str] = (),
    groups: Mapping[str, str] | None = None,
    length_s: float = 90.0,
    **changes: object,
) -> Entry:
    """A call; an empty `day` leaves the time of the recording unknown."""
    rows = rows_of(said)
    figures = {
        channel: channel_figures(channel, rows, [], length_s, speaker=speaker, masked=speaker in masked)
        for channel, speaker in enumerate(speakers, start=1)
    }
    made = Entry(
        Identity("calls", path),
        size=720_044,
        mtime_ns=0,
        status="ok" if said else "no_speech",
        fingerprint="f",
        model="tiny",
        length_s=length_s,
        figures=figures,
        recorded=f"{day} 09:15:00" if day else "",
        recorded_from="name" if day else "",
        groups=groups or {},
    )
    return replace(made, **changes)


def failed(path: str = "broken.wav", day: str = "2026-11-24", status: str = "failed", reason: str = "broken") -> Entry:
    recorded = f"{day} 09:15:00" if day else ""
    return Entry(Identity("calls", path), 5, 0, status, reason, recorded=recorded, recorded_from="name")


def ago(days: int) -> str:
    return (date(2026, 11, 24) - timedelta(days)).isoformat()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(None)) as ledger:
        yield ledger


def summary_of(ledger: Ledger, *entries: Entry, selection: Selection = LATEST) -> Summary:
    for entry in entries:
        ledger.record(entry)
    return summarise(ledger, BERLIN, selection)


def reviewed(summary: Summary) -> list[str]:
    return [passage.identity.path for passage in summary.review]


# Whose emotions count.


def test_a_call_is_upset_where_a_passage_of_a_customer_is_negative(ledger: Ledger) -> None:
    total = summary_of(ledger, a_call("a.wav", UPSET), a_call("b.wav", CALM)).total
    assert (total.recordings, total.heard, total.upset) == (2, 2, 1)


def test_how_agents_feel_is_not_counted(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call(said=[*CALM, (2, 20, 40, "angry")]))
    assert (found.total.heard, found.total.upset, found.review) == (1, 0, [])
    assert found.total.talk_s == 10
    assert found.total.share("angry") == 0


@pytest.mark.parametrize("role", ["Agent", "AGENT"])
def test_an_agent_is_one_however_the_role_is_written(ledger: Ledger, role: str) -> None:
    found = summary_of(ledger, a_call(said=[(2, 20, 40, "angry")], speakers=("customer", role)))
    assert (found.total.heard, found.total.talk_s, found.review) == (0, 0, [])


def test_a_call_of_which_only_the_agent_is_heard_does_not_count_as_heard(ledger: Ledger) -> None:
    total = summary_of(ledger, a_call(said=[(2, 20, 40, "angry")])).total
    assert (total.recordings, total.heard, total.upset, total.talk_s) == (1, 0, 0, 0)
    assert total.length_s == 90


def test_what_is_masked_is_not_counted(ledger: Ledger) -> None:
    said = [*UPSET, (2, 20, 30, "happy")]
    found = summary_of(ledger, a_call(said=said, speakers=("customer", "visitor"), masked=("customer",)))
    assert (found.total.heard, found.total.upset, found.review) == (1, 0, [])
    assert found.total.share("happy") == 1


def test_everybody_counts_where_no_roles_are_known(ledger: Ledger) -> None:
    speakers = ("channel 1", "channel 2")
    total = summary_of(ledger, a_call(said=[*CALM, (2, 20, 40, "angry")], speakers=speakers)).total
    assert (total.upset, total.talk_s) == (1, 30)


def test_what_failed_is_counted_and_none_of_its_hours(ledger: Ledger) -> None:
    given_up, waits = failed("b.wav", status="given_up"), failed("c.wav", status="incomplete")
    total = summary_of(ledger, failed("a.wav"), given_up, waits, a_call("d.wav")).total
    assert (total.recordings, total.failed, total.waiting, total.heard) == (4, 2, 1, 1)
    assert (total.rows, total.length_s) == (5, 90)


def test_figures_of_a_recording_that_fails_by_now_do_not_count(ledger: Ledger) -> None:
    total = summary_of(ledger, a_call(said=UPSET, status="failed")).total
    assert (total.heard, total.upset, total.length_s, total.talk_s) == (0, 0, 0, 0)


def test_a_call_without_speech_is_a_recording_that_nobody_was_heard_in(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call(said=()))
    assert (found.total.recordings, found.total.heard, found.total.length_s) == (1, 0, 90)
    assert found.total.share("neutral") is None
    assert found.review_day == ""


def test_what_is_no_audio_is_not_counted(ledger: Ledger) -> None:
    found = summary_of(ledger, failed("README.md", status="skipped"))
    assert (found.total, found.days) == (Tally(), {})


def test_shares_are_of_seconds_over_all_calls(ledger: Ledger) -> None:
    first = a_call("a.wav", [(1, 0, 6, "sad"), (1, 6, 8, UNCERTAIN)])
    second = a_call("b.wav", [(1, 0, 2, "happy"), (2, 5, 15, "sad")], speakers=("left", "right"))
    total = summary_of(ledger, first, second).total
    assert total.emotion_s["sad"] == pytest.approx(16, abs=0.001)
    assert total.emotion_s["happy"] == pytest.approx(2, abs=0.001)
    assert total.share(UNCERTAIN) == pytest.approx(0.1, abs=0.0001)
    assert sum(total.share(label) or 0 for label in LABELS) == pytest.approx(1)


def test_recordings_are_counted_by_the_model_that_heard_them(ledger: Ledger) -> None:
    other = a_call("c.wav", model="large", fingerprint="g")
    found = summary_of(ledger, a_call("a.wav"), a_call("b.wav", said=()), other, failed("d.wav"))
    assert found.models == {("large", "g"): 1, ("tiny", "f"): 2}


# Calls to review first.


def test_the_strongest_passage_of_a_call_is_told(ledger: Ledger) -> None:
    said = [(1, 5, 9, "sad"), (1, 30, 35, "angry"), (1, 40, 42, "fearful"), (1, 70, 73, "sad")]
    (passage,) = summary_of(ledger, a_call(said=said)).review
    told = (passage.start_s, passage.end_s, passage.emotion, passage.negative_s, passage.mean, passage.more)
    assert told == (30, 42, "angry", 7, 1, 2)
    assert (passage.identity.path, passage.recorded) == ("a.wav", "2026-11-24 09:15:00")
    assert (passage.channel, passage.speaker) == (1, "customer")
    assert passage.shares["sad"] == pytest.approx(0.5)


def test_of_two_speakers_the_one_who_is_negative_for_longer_is_told(ledger: Ledger) -> None:
    said = [(1, 0, 4, "angry"), (2, 10, 15, "sad"), (3, 20, 40, "disgust")]
    (passage,) = summary_of(ledger, a_call(said=said, speakers=("customer", "witness", "agent"))).review
    assert (passage.channel, passage.speaker, passage.negative_s, passage.more) == (2, "witness", 5, 1)


def test_of_two_that_are_as_negative_the_first_channel_is_told(ledger: Ledger) -> None:
    said = [(1, 10, 14, "sad"), (2, 0, 4, "angry")]
    (passage,) = summary_of(ledger, a_call(said=said, speakers=("left", "right"))).review
    assert passage.channel == 1


def test_the_strongest_and_longest_come_first_and_then_they_go_by_name(ledger: Ledger) -> None:
    lengths = {"b.wav": 5, "ä.wav": 5, "c.wav": 9, "B.wav": 5, "short.wav": 2.9}
    entries = [a_call(path, [(1, 0, length, "angry")]) for path, length in lengths.items()]
    assert reviewed(summary_of(ledger, *entries)) == ["c.wav", "B.wav", "b.wav", "ä.wav"]


def test_a_long_passage_of_a_probable_emotion_comes_before_a_short_one_of_a_sure_one() -> None:
    sure, probable = a_call(said=[(1, 0, 4, "angry")]), a_call(said=[(1, 0, 9, HALF_SAD)])
    first, second = strongest_passage(sure, ""), strongest_passage(probable, "")
    assert isinstance(first, Passage)
    assert isinstance(second, Passage)
    assert (first.negative_s, second.negative_s, second.mean) == (4, 4.5, 0.5)


def test_only_calls_of_the_latest_day_are_to_be_reviewed(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call("old.wav", UPSET, ago(1)), a_call("new.wav", UPSET, ago(0)))
    assert (found.review_day, reviewed(found)) == ("2026-11-24", ["new.wav"])


def test_the_latest_day_is_one_on_which_somebody_was_heard(ledger: Ledger) -> None:
    later = [failed("b.wav"), a_call("c.wav", said=()), a_call("d.wav", [(2, 0, 9, "angry")])]
    found = summary_of(ledger, a_call("a.wav", UPSET, ago(3)), *later)
    assert (found.review_day, reviewed(found)) == (ago(3), ["a.wav"])


def test_where_nobody_was_upset_on_the_latest_day_there_is_nothing_to_review(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call("a.wav", UPSET, ago(1)), a_call("b.wav", CALM, ago(0)))
    assert (found.review_day, found.review) == ("2026-11-24", [])


def test_what_is_to_be_reviewed_is_of_the_period(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call("old.wav", UPSET, ago(60)), failed("new.wav"))
    assert (found.review_day, found.review) == ("", [])


def test_the_latest_day_is_the_latest_of_the_period_that_is_asked_for(ledger: Ledger) -> None:
    entries = [a_call(f"{days}.wav", UPSET, ago(days)) for days in (0, 5, 9)]
    found = summary_of(ledger, *entries, selection=Selection(Period(until=ago(1))))
    assert (found.review_day, reviewed(found)) == (ago(5), ["5.wav"])


# Selection of days.


def test_it_is_about_the_five_weeks_up_to_the_newest_recording(ledger: Ledger) -> None:
    entries = [a_call(f"{days}.wav", UPSET, ago(days), groups={"queue": f"{days}"}) for days in (3, 4, 37, 38, 90)]
    found = summary_of(ledger, *entries)
    assert found.period == Period(ago(37), ago(3))
    assert list(found.days) == [ago(37), ago(4), ago(3)]
    assert found.total.recordings == 3
    assert list(found.groups) == [("queue", "3"), ("queue", "37"), ("queue", "4")]


def test_a_failure_is_a_recording_of_its_day(ledger: Ledger) -> None:
    found = summary_of(ledger, failed(day=ago(0)), a_call(day=ago(40)))
    assert found.period == Period(ago(34), ago(0))
    assert (found.total.recordings, found.models) == (1, {})


def test_a_period_that_is_asked_for_is_told_of(ledger: Ledger) -> None:
    entries = [a_call(f"{days}.wav", CALM, ago(days)) for days in (0, 50, 100)]
    found = summary_of(ledger, *entries, selection=Selection(Period(ago(100), ago(50))))
    assert list(found.days) == [ago(100), ago(50)]


def test_only_names_that_fit_are_counted_and_decide_the_period(ledger: Ledger) -> None:
    selection = Selection(pattern=name_pattern("*/b*", ledger))
    found = summary_of(ledger, a_call("a.wav", day=ago(0)), a_call("b.wav", UPSET, day=ago(50)), selection=selection)
    assert (found.period.until, found.total.recordings, reviewed(found)) == (ago(50), 1, ["b.wav"])


def test_recordings_of_unknown_days_are_left_out_where_others_are_known(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call("a.wav", UPSET, day=""), a_call("b.wav", UPSET))
    assert (found.total.recordings, list(found.days), reviewed(found)) == (1, ["2026-11-24"], ["b.wav"])


def test_recordings_of_unknown_days_are_not_reviewed_before_those_that_nobody_was_heard_in(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call("a.wav", UPSET, day=""), failed("b.wav"))
    assert (found.total.recordings, found.total.failed, found.review) == (1, 1, [])


def test_recordings_of_unknown_days_are_told_of_where_no_day_is_known(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call("a.wav", UPSET, day=""), failed("b.wav", day=""))
    assert (found.total.recordings, list(found.days), reviewed(found)) == (2, [""], ["a.wav"])
    assert weeks(found.days) == []


def test_the_time_of_the_file_tells_the_day_in_the_time_zone(ledger: Ledger) -> None:
    late = a_call("a.wav", day="", mtime_ns=NOON_NS + 41_400 * 10**9)  # 23:30 UTC
    assert list(summary_of(ledger, late).days) == ["2026-11-25"]
    assert list(summarise(ledger, ZoneInfo("UTC"), LATEST).days) == ["2026-11-24"]


def test_a_call_dated_in_the_future_hides_no_other(ledger: Ledger) -> None:
    found = summary_of(
        ledger, a_call("a.wav", UPSET), a_call("b.wav", CALM, ago(1)), a_call("c.wav", UPSET, "2099-01-01")
    )
    assert (list(found.days), found.review_day, reviewed(found)) == ([ago(1), ago(0)], ago(0), ["a.wav"])


def test_where_all_calls_are_dated_in_the_future_they_are_shown(ledger: Ledger) -> None:
    found = summary_of(ledger, a_call("a.wav", UPSET, "2098-12-31"), a_call("b.wav", UPSET, "2099-01-01"))
    assert (list(found.days), reviewed(found)) == (["2098-12-31", "2099-01-01"], ["b.wav"])


def test_an_empty_ledger_has_an_empty_summary(ledger: Ledger) -> None:
    found = summary_of(ledger)
    assert (found.period, found.total, found.days, found.review) == (Period(), Tally(), {}, [])


def test_the_recordings_of_a_period_come_by_name_with_their_time(ledger: Ledger) -> None:
    for entry in (a_call("b.wav"), a_call("a.wav"), a_call("old.wav", day=ago(50)), failed("c.md", status="skipped")):
        ledger.record(entry)
    told = [(entry.identity.path, at) for entry, at in selected(ledger, BERLIN, LATEST, Period(since=ago(1)))]
    assert told == [("a.wav", "2026-11-24 09:15:00"), ("b.wav", "2026-11-24 09:15:00")]


# Groups and weeks.


def test_groups_are_counted_over_all_days_by_kind_and_name(ledger: Ledger) -> None:
    entries = [
        a_call("a.wav", UPSET, ago(0), groups={"queue": "sales", "site": "Bonn"}),
        a_call("b.wav", CALM, ago(9), groups={"queue": "billing"}),
        a_call("c.wav", CALM, ago(9), groups={"queue": "sales"}),
        a_call("d.wav", UPSET, ago(9)),
    ]
    groups = summary_of(ledger, *entries).groups
    assert list(groups) == [("queue", "billing"), ("queue", "sales"), ("site", "Bonn")]
    assert [(tally.recordings, tally.upset) for tally in groups.values()] == [(1, 0), (2, 1), (1, 1)]


def test_weeks_begin_on_monday(ledger: Ledger) -> None:
    # 2026-11-23 is a Monday.
    days = ("2026-11-15", "2026-11-16", "2026-11-22", "2026-11-23", "2026-11-24")
    entries = [a_call(f"{day}-{k}.wav", UPSET, day) for day in days for k in range(2)]
    found = weeks(summary_of(ledger, *entries).days)
    assert [(week.monday, week.days, week.tally.recordings, week.tally.upset) for week in found] == [
        ("2026-11-09", 1, 2, 2),
        ("2026-11-16", 2, 4, 4),
        ("2026-11-23", 2, 4, 4),
    ]


def test_a_week_follows_the_one_before_it_and_no_other(ledger: Ledger) -> None:
    entries = [a_call(f"{day}.wav", UPSET, day) for day in ("2025-12-29", "2026-01-05", "2026-01-19")]
    first, second, third = weeks(summary_of(ledger, *entries).days)
    assert second.follows(first)
    assert not third.follows(second)
    assert not first.follows(second)
    assert not first.follows(first)


# For any recordings.

spoken = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 9), st.sampled_from((*EMOTIONS, UNCERTAIN, HALF_SAD))), max_size=6
).map(lambda turns: [(channel, 15 * k, 15 * k + 1 + length, how) for k, (channel, length, how) in enumerate(turns)])


@st.composite
def recordings(draw: st.DrawFn) -> Entry:
    day = draw(st.sampled_from(("", *(ago(days) for days in (0, 1, 6, 7, 34, 35)))))
    path = f"{draw(st.integers(0, 99))}.wav"
    status = draw(st.sampled_from(("ok", "ok", "ok", "failed", "given_up", "incomplete", "skipped")))
    if status != "ok":
        return failed(path, day, status)
    groups = draw(st.dictionaries(st.sampled_from(("queue", "agent")), st.sampled_from("ab"), max_size=2))
    speakers = draw(st.sampled_from((("customer", "agent"), ("channel 1",), ("agent", "customer", "visitor"))))
    return a_call(path, draw(spoken), day, speakers, draw(st.sampled_from(((), ("customer",)))), groups)


many = st.lists(recordings(), max_size=10, unique_by=lambda entry: entry.identity)


def alone(entries: Sequence[Entry]) -> Summary:
    with closing(Ledger(None)) as ledger:
        return summary_of(ledger, *entries)


@settings(max_examples=50)
@given(many, st.randoms(use_true_random=False))
def test_the_order_in_which_recordings_were_analysed_changes_nothing(entries: list[Entry], random: object) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert alone(shuffled) == alone(entries)


@settings(max_examples=50)
@given(many)
def test_days_weeks_and_models_add_up(entries: list[Entry]) -> None:
    found = alone(entries)
    told = [entry for entry in entries if entry.status != "skipped" and found.period.holds(entry.recorded[:10])]
    total = found.total
    assert total.recordings == len(told)
    assert total.recordings == sum(tally.recordings for tally in found.days.values())
    assert total.failed + total.waiting == sum(entry.status != "ok" and entry.status != "no_speech" for entry in told)
    assert total.upset <= total.heard <= total.recordings - total.failed - total.waiting
    assert total.rows == sum(len(entry.figures or ()) or 1 for entry in told)
    assert sum(found.models.values()) == total.recordings - total.failed - total.waiting
    known = [tally for day, tally in found.days.items() if day]
    assert sum(week.tally.upset for week in weeks(found.days)) == sum(tally.upset for tally in known)
    assert sum(week.days for week in weeks(found.days)) == len(known)
    assert total.talk_s == pytest.approx(sum(tally.talk_s for tally in found.days.values()))


@settings(max_examples=50)
@given(many)
def test_whatever_is_to_be_reviewed_is_a_negative_passage_of_somebody_who_counts(entries: list[Entry]) -> None:
    found = alone(entries)
    by_name = {entry.identity: entry for entry in entries}
    strengths = [passage.negative_s for passage in found.review]
    assert strengths == sorted(strengths, reverse=True)
    assert len({passage.identity for passage in found.review}) == len(found.review)
    for passage in found.review:
        assert found.period.holds(passage.recorded[:10])
        assert passage.recorded[:10] == found.review_day
        assert passage.speaker != "agent"
        figures = counted(by_name[passage.identity])[passage.channel]
        assert passage.start_s == figures["passage_start_s"] < figures["passage_end_s"] == passage.end_s
