"""HTML pages as files: their content, its escaping, and reproducibility."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import UNCERTAIN
from analyzer.report import page
from analyzer.report.index_page import IndexRow, write_index
from analyzer.report.lanes import ticks
from analyzer.report.page import csp_hash, link, moment, percent, write_page
from analyzer.timeline.timeline import Row, Span, Timeline, ordered
from tests.helpers.pages import HOSTILE, Parsed, segment


def a_timeline(*rows: Row, recording: str = "calls/one.wav", length_s: float = 60.0, **details: object) -> Timeline:
    envelope = np.full((2, round(length_s * 10), 2), 0.1, np.float32) * [-1, 1]
    return Timeline(recording, length_s, ("customer", "agent"), rows, envelope=envelope, **details)  # type: ignore[arg-type]


SEGMENTS = (segment(1.001, 3.25, 1, "neutral"), segment(3, 5.5, 2, "happy", 0.9), segment(7, 9.9, 1, UNCERTAIN, 0.3))


@pytest.fixture
def write_and_parse(tmp_path: Path) -> Callable[..., Parsed]:
    def write(timeline: Timeline, audio: str | None = None, audio_note: str = "") -> Parsed:
        write_page(timeline, tmp_path / "page", audio, audio_note)
        return Parsed(tmp_path / "page")

    return write


def test_page_shows_metadata(write_and_parse: Callable[..., Parsed]) -> None:
    parsed = write_and_parse(
        a_timeline(*SEGMENTS, about={"queue": "billing", "model": "tiny"}), None, "It lies elsewhere."
    )
    for expected in (
        "calls/one.wav",
        "customer, agent",
        "1:00",
        "queue",
        "billing",
        "model",
        "tiny",
        "It lies elsewhere.",
    ):
        assert expected in parsed.text
    assert "not what a person feels" in parsed.text
    assert parsed.tags["audio", "controls", "preload", "src"] == 0


def test_table_cells(write_and_parse: Callable[..., Parsed]) -> None:
    attributes, cells = write_and_parse(a_timeline(*SEGMENTS)).rows[0]
    assert cells == ["0:01.0", "0:03.2", "customer", "neutral", "70\N{NO-BREAK SPACE}%", "\N{MINUS SIGN}20.0"]
    assert attributes["data-start"] == "1.001"


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 3000), st.integers(1, 2)), max_size=12))
def test_table_has_all_segments(tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int, int]]) -> None:
    rows = ordered(
        [segment(start / 1000, (start + length) / 1000, channel, "sad", 0.6123) for start, length, channel in parts]
    )
    path = tmp_path_factory.mktemp("page") / "page"
    write_page(Timeline("call", 10_003.0, ("customer", "agent"), tuple(rows)), path, None)
    attribute_rows = [attributes for attributes, _ in Parsed(path).rows]
    assert [round(1000 * float(row["data-start"] or "")) for row in attribute_rows] == [
        round(1000 * row.start) for row in rows
    ]
    assert [round(1000 * float(row["data-end"] or "")) for row in attribute_rows] == [
        round(1000 * row.end) for row in rows
    ]
    assert [float(row["data-probability"] or "") for row in attribute_rows] == [row.probability for row in rows]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_escaped(write_and_parse: Callable[..., Parsed], text: str) -> None:
    def page_with(name: str) -> Parsed:
        rows = (segment(0, 1, 1, "angry"), segment(1, 2, 2, "sad"))
        timeline = Timeline(name, 9.0, (name, name), rows, (Span(3, 4, 1),), about={name: name})
        return write_and_parse(timeline, name)

    harmless, parsed = page_with("harmless"), page_with(text)
    assert parsed.tags == harmless.tags
    assert parsed.script == harmless.script
    assert parsed.text.count(text.replace("\udc80", "\\udc80")) == harmless.text.count("harmless")
    assert write_and_parse(a_timeline(), None, text).text.count(text.replace("\udc80", "\\udc80")) == 1


def test_pages_are_reproducible(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_page(a_timeline(*SEGMENTS), tmp_path / name, "a.wav")
        write_index([index_row("one"), index_row("two")], tmp_path / f"{name} index", "all")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (tmp_path / "first index").read_bytes() == (tmp_path / "second index").read_bytes()


def test_probability_is_that_of_the_label(
    write_and_parse: Callable[..., Parsed],
) -> None:
    negative = Row(1.0, 2.0, 1, "angry", (0.45, 0.0, 0.0, 0.2, 0.35, 0.0, 0.0, 0.0), -20.0)
    ((attributes, cells),) = write_and_parse(a_timeline(negative)).rows
    assert cells[3:5] == ["angry", "35\N{NO-BREAK SPACE}%"]
    assert attributes["data-probability"] == "0.35"


def test_masked_channel_has_no_emotion(write_and_parse: Callable[..., Parsed]) -> None:
    parsed = write_and_parse(a_timeline(segment(1, 2, 1, "happy"), segment(2, 30, 2, "")))
    attributes, cells = parsed.rows[1]
    assert cells[2:5] == ["agent", "not inferred", ""]
    assert (attributes["data-kind"], attributes["data-probability"]) == ("masked", "")
    assert "speaks 0:28 in 1 segment, not inferred 100\N{NO-BREAK SPACE}%" in parsed.text


@pytest.mark.parametrize("length_s", [0.0, 0.02, 0.9, 60.0])
def test_recording_without_speech_has_page(write_and_parse: Callable[..., Parsed], length_s: float) -> None:
    parsed = write_and_parse(a_timeline(length_s=length_s))
    assert parsed.rows == []
    assert "Nobody speaks in this recording." in parsed.text
    assert write_and_parse(Timeline("nothing", length_s, (), ())).rows == []


def test_legend_has_only_drawn_items(write_and_parse: Callable[..., Parsed]) -> None:
    def legend(timeline: Timeline) -> str:
        text = re.sub(r"\s+", " ", write_and_parse(timeline).text)
        return text[text.index("two" if len(timeline.speakers) > 2 else "both speaking") : text.index("Bar height")]

    assert "negative" not in legend(a_timeline(*SEGMENTS))
    assert "silence of 5 s or more" in legend(a_timeline(*SEGMENTS))
    full_legend = legend(a_timeline(segment(0, 30, 1, "angry"), segment(3, 4, 2, "calm"), other=(Span(30, 60, 2),)))
    assert " ".join(full_legend.split()) == "both speaking calm angry other sound both speaking negative passage"


def test_page_lists_most_negative_passages(write_and_parse: Callable[..., Parsed]) -> None:
    rows = [segment(60 * number, 60 * number + 4 + number % 3, 1, "angry", 0.9) for number in range(12)]
    text = re.sub(r"\s+", " ", write_and_parse(a_timeline(*rows, length_s=900)).text)
    assert "The 8 most negative of 12." in text
    assert re.findall(r"(\d+:\d\d) . \d+:\d\d customer, mostly angry", text)[:4] == ["2:00", "5:00", "8:00", "11:00"]


def test_content_security_policy(write_and_parse: Callable[..., Parsed]) -> None:
    parsed = write_and_parse(a_timeline(*SEGMENTS), "../calls/one.wav")
    policy = next(value for _, name, value in parsed.attributes if name == "content" and "default-src" in str(value))
    assert "default-src 'none'" in str(policy)
    assert f"script-src '{csp_hash(parsed.script)}';" in str(policy)
    addresses = [value for _, name, value in parsed.attributes if name in ("src", "href")]
    assert addresses == ["data:,", "../calls/one.wav"]
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert "http" not in parsed.script


@given(st.floats(0.001, 400_000))
def test_ticks_have_room(length_s: float) -> None:
    width = round(min(max(2 * length_s, 300), 12_000))
    coarse = [tick.at / length_s * width for tick in ticks(length_s, width) if not tick.fine]
    assert len(coarse) == 2 or all(right - left >= 63.9 for left, right in pairwise(coarse))
    times = [tick.at for tick in ticks(length_s, width)]
    assert (times[0], times[-1]) == (0, length_s)
    assert len(times) == 2 or all(right - left >= 63.9 * length_s / max(width, 900) for left, right in pairwise(times))


def test_time_and_percent_formats() -> None:
    times = [moment(seconds) for seconds in (0, 59.94, 59.96, 3599.99, 3723.45)]
    assert times == ["0:00.0", "0:59.9", "1:00.0", "1:00:00.0", "1:02:03.4"]
    assert percent(0.8149) == "81\N{NO-BREAK SPACE}%"
    assert percent(None) == ""


def as_file_name(name: str) -> str:
    """Return a name as the operating system gives it; bytes that are not text are kept."""
    return os.fsdecode(name.encode("utf-8", "surrogatepass"))


file_names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name.strip(".") != ""
)


@given(st.lists(file_names, min_size=1, max_size=4), st.lists(file_names, min_size=1, max_size=4))
def test_link_resolves_to_file(from_parts: list[str], to_parts: list[str]) -> None:
    from_file, to_file = (Path("/", *map(as_file_name, parts), "file") for parts in (from_parts, to_parts))
    assert urljoin(from_file.as_uri(), link(from_file, to_file)) == to_file.as_uri()
    assert urlsplit(link(from_file, to_file))[:2] == ("", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("100%.wav", "100%25.wav"),
        ("a#b?c d.wav", "a%23b%3Fc%20d.wav"),
        ("c:d.wav", "c%3Ad.wav"),
        ("Gespräch.wav", "Gespr%C3%A4ch.wav"),
        ("\udcff\udc80.wav", "%FF%80.wav"),
    ],
)
def test_links_are_percent_encoded(name: str, expected: str) -> None:
    assert link(Path("/out/html/a.html"), Path("/out/calls") / name) == f"../calls/{expected}"
    assert unquote_to_bytes(expected).decode(errors="surrogateescape") == name


def test_link_across_drives_is_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, start: Path) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(page.os.path, "relpath", refuse)
    assert link(Path("/out/a.html"), Path("/calls/b c.wav")) == "file:///calls/b%20c.wav"


def index_row(recording: str, href: str | None = "a.html", **changes: object) -> IndexRow:
    common = {"recorded": "2026-11-24 09:15:00", "speakers": "agent", "status": "ok", "length_s": 61.5, "talk_s": 30.0}
    defaults = {
        "negative": 0.25,
        "passage_start_s": 42.0,
        "passage": "angry 0:07",
        "note": "",
        "groups": "queue billing",
    }
    return IndexRow(recording=recording, href=href, **(common | defaults | changes))  # type: ignore[arg-type]


def test_index_has_all_recordings(tmp_path: Path) -> None:
    rows = [index_row("one"), index_row("two", None, status="failed", length_s=None, talk_s=None, negative=None)]
    write_index(iter(rows), tmp_path / "index", "24 to 25 November")
    parsed = Parsed(tmp_path / "index")
    assert [tuple(row) for row in json.loads(parsed.data)] == [astuple(row) for row in rows]
    assert "24 to 25 November" in parsed.text
    assert [value for tag, name, value in parsed.attributes if (tag, name) == ("a", "href")] == ["a.html"]


def test_empty_index(tmp_path: Path) -> None:
    write_index([], tmp_path / "index", "no recordings yet")
    assert json.loads(Parsed(tmp_path / "index").data) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_index_text_is_escaped(tmp_path: Path, text: str) -> None:
    for name, value in (("harmless", "harmless"), ("hostile", text)):
        row = index_row(value, speakers=value, status=value, passage=value, note=value, groups=value)
        write_index([row], tmp_path / name, value)
    harmless, parsed = Parsed(tmp_path / "harmless"), Parsed(tmp_path / "hostile")
    assert parsed.tags == harmless.tags
    assert parsed.script == harmless.script
    assert json.loads(parsed.data)[0][0] == text
    assert "\u2028" not in parsed.data


def test_long_index_is_streamed(tmp_path: Path) -> None:
    """Rows are written as they arrive, without waiting for the last one."""
    path, sizes = tmp_path / "index", []

    def rows() -> Iterator[IndexRow]:
        for number in range(3000):
            sizes.append(path.stat().st_size)
            yield index_row(f"call {number}")

    write_index(rows(), path, "all")
    assert sizes[-1] > 0.8 * 3000 * 100
    parsed = Parsed(path)
    assert len(json.loads(parsed.data)) == 3000
    assert parsed.tags["li",] == 1001
    assert "and 2,000 more" in parsed.text
