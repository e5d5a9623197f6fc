"""Recognition of dates in names without a pattern, and of numbers that are not dates."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analyzer.inputs import dates

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = date(2026, 11, 27)
MOMENT = "2026-11-24 10:13:07"


def date_in(name: str) -> str:
    return dates.find_in_name(name, BERLIN, TODAY)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026-11-24.wav", "2026-11-24"),
        ("2026.11.24.wav", "2026-11-24"),
        ("2026_11_24.wav", "2026-11-24"),
        ("20261124.wav", "2026-11-24"),
        ("call20261124.wav", "2026-11-24"),
        ("24.11.2026.wav", "2026-11-24"),
        ("4.3.2026.wav", "2026-03-04"),  # with dots, the day comes first
        ("24-11-2026.wav", "2026-11-24"),
        ("11-24-2026.wav", "2026-11-24"),  # there is no month 24
        ("05-05-2026.wav", "2026-05-05"),
        ("20261124-101307.wav", MOMENT),
        ("20261124_101307_0821123456.wav", MOMENT),
        ("20261124 - 101307.wav", MOMENT),
        ("2026-11-24T10-13-07.wav", MOMENT),
        ("2026-11-24T10:13:07.250.wav", MOMENT),
        ("delivery_2026-11-24T10-13-07.wav", MOMENT),
        ("2026-11-24 10.13.07.wav", MOMENT),
        ("2026-11-24-10-13-07.wav", MOMENT),
        ("24.11.2026_101307.wav", MOMENT),
        ("20261124101307.wav", MOMENT),
        ("WhatsApp Audio 2026-11-24 at 10.13.07.ogg", MOMENT),
        ("24.11.2026 10.13.wav", "2026-11-24 10:13:00"),
        ("20261124T1013.wav", "2026-11-24 10:13:00"),
        ("2026-11-24_10h13.wav", "2026-11-24 10:13:00"),
        ("PTT-20261124-WA0003.opus", "2026-11-24"),
        ("20261124_0821123456.wav", "2026-11-24"),
        ("20261124-1013.wav", "2026-11-24"),  # four digits may be a telephone extension
        ("20261124_246199.wav", "2026-11-24"),  # there is no such time of day
        ("2026-11-24 at 10.13.07 PM.m4a", "2026-11-24"),
        ("2026-11-24_20261124-101307.wav", MOMENT),
        ("20261124-101307_20261124-101530.wav", "2026-11-24"),  # ambiguous: may be start and end
    ],
)
def test_common_forms_of_dates(name: str, expected: str) -> None:
    assert date_in(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026-11-24T09:13:07Z.wav", MOMENT),
        ("0a5f_20261124T09:13_UTC.wav", "2026-11-24 10:13:00"),
        ("GMT20261124-091307_Recording.m4a", MOMENT),
        ("2026-11-24T23-30-00Z.wav", "2026-11-25 00:30:00"),
        ("2026-07-24T09-13-07Z.wav", "2026-07-24 11:13:07"),
        ("q-600-1732443187.123.wav", "2024-11-24 11:13:07"),
        ("out-0821123456-101-20261124-101307-1795515187.42.wav", MOMENT),  # a readable date takes precedence
    ],
)
def test_utc_is_converted(name: str, expected: str) -> None:
    assert date_in(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("calls/2026-11-24/0001.wav", "2026-11-24"),
        ("calls/2026/11/24/0001.wav", "2026-11-24"),
        ("2025/2026-11-24/0821123456.wav", "2026-11-24"),
        ("2026-11-23/20261124-101307.wav", MOMENT),  # the name of the file is more precise
        ("2026-11-24/2026-11-20_2026-11-21.wav", "2026-11-24"),
        ("export 2026-11-25/2026-11-24/a.wav", "2026-11-24"),
    ],
)
def test_dates_in_folder_names(name: str, expected: str) -> None:
    assert date_in(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "a.wav",
        "0821123456.wav",
        "082112345620261124.wav",
        "202611241013.wav",
        "+20261124.wav",
        "1732443187.wav",
        "03-04-2026.wav",
        "2026-11-24_2026-11-25.wav",
        "03-04-2026_20261124.wav",
        "20263124.wav",
        "20230229.wav",
        "2026-13-24.wav",
        "00000000.wav",
        "12345678.wav",
        "19891124.wav",
        "20371124.wav",
        "20281124.wav",
        "192.168.24.11.2026.wav",
        "20261124a3f0.wav",
        "101307.wav",
        "24.11.26.wav",
        "261124.wav",
        "2026/11/0001.wav",
    ],
)
def test_ambiguous_digits_are_no_date(name: str) -> None:
    assert date_in(name) == ""


moments = st.datetimes(datetime(1990, 1, 1), datetime(2027, 12, 31, 23, 59, 59)).map(
    lambda at: at.replace(microsecond=0)
)


@given(
    moments,
    st.sampled_from(
        [
            "%Y-%m-%dT%H-%M-%S",
            "%Y%m%d-%H%M%S",
            "%Y%m%d%H%M%S",
            "%Y-%m-%d %H.%M.%S",
            "%d.%m.%Y_%H-%M-%S",
            "%Y%m%d_%H%M%S",
        ]
    ),
    st.text("abcxyÄ_-(", max_size=8),
    st.sampled_from(["", "_in", "-0821123456", " (2)"]),
)
def test_any_time_is_read_back(moment: datetime, form: str, before: str, after: str) -> None:
    assert date_in(f"{before}{moment.strftime(form)}{after}.wav") == moment.isoformat(" ")


@given(st.datetimes(datetime(2001, 9, 10), datetime(2027, 12, 30)), st.integers(0, 999_999))
def test_unique_ids_give_their_time(moment: datetime, count: int) -> None:
    at = moment.replace(tzinfo=UTC, microsecond=0)
    expected = at.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M:%S")
    assert date_in(f"q-{int(at.timestamp())}.{count}.wav") == expected


@given(st.text("0123456789", min_size=9, max_size=20), st.sampled_from(["", "in-", "+", "00", "tel"]))
def test_other_lengths_are_no_date(number: str, before: str) -> None:
    assume(len(before.lstrip("in-tel+") + number) != 14)
    assert date_in(f"{before}{number}.wav") == ""


@given(st.text("0123456789", min_size=8, max_size=8))
def test_eight_digits_need_a_valid_recent_day(number: str) -> None:
    year, month, day = int(number[:4]), int(number[4:6]), int(number[6:])
    try:
        real = 1990 <= year <= 2027 and bool(date(year, month, day))
    except ValueError:
        real = False
    assert date_in(f"{number}.wav") == (f"{number[:4]}-{number[4:6]}-{number[6:]}" if real else "")


@given(st.text("0123456789-_/. TZ:+ap", max_size=40))
def test_any_name_gives_a_recent_time_or_none(name: str) -> None:
    if shown := date_in(name):
        assert 1989 <= datetime.fromisoformat(shown).year <= 2028  # the conversion from UTC may change the year
        assert len(shown) in (10, 19)


@given(st.dates(date(1990, 1, 1), date(2027, 12, 31)))
def test_order_of_day_and_month_must_be_clear(day: date) -> None:
    for text in (day.strftime("%d-%m-%Y"), day.strftime("%m-%d-%Y"), day.strftime("%d_%m_%Y")):
        clear = day.day > 12 or day.day == day.month
        assert date_in(f"{text}.wav") == (day.isoformat() if clear else "")
