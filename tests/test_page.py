"""HTML pages as files: their content, its escaping, and reproducibility."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.report import page
from analyzer.report.index_page import IndexRow, write_index
from analyzer.report.lanes import ticks
from analyzer.report.page import csp_hash, link, moment, percent, write_page
from analyzer.timeline import Row, Span, Timeline, ordered

HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "</noscript><script>alert(1)</script>",
    "{{7*7}}{% raw %}",
    '"\'><b onclick="alert(1)">&amp;</b>',
    "<!-- <script> ]]> \u2028 \udc80",
]
#: HTML elements without an end tag.
VOID = {"meta", "link", "input"}


class Parsed(HTMLParser):
    """A page, parsed as by a browser without scripts.

    `tags` counts elements with their attributes; `rows` are those of the table's body: attributes and cell texts.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: Counter[tuple[str, ...]] = Counter()
        self.open: list[str] = []
        self.rows: list[tuple[dict[str, str | None], list[str]]] = []
        self.script = self.data = self.text = ""
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[(tag, *(name for name, _ in attrs))] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "tr" and "tbody" in self.open:
            self.rows.append((dict(attrs), []))
        if tag == "td":
            self.rows[-1][1].append("")
        if tag == "script":
            self.is_data = ("type", "application/json") in attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            if self.is_data:
                self.data += data
            else:
                self.script += data
        elif "style" not in self.open:
            self.text += data
            if "td" in self.open:
                self.rows[-1][1][-1] += data.strip()


def segment(start: float, end: float, channel: int, emotion: str, sure: float = 0.7, level_db: float = -20.0) -> Row:
    if not emotion:
        return Row(start, end, channel, "", (), level_db)
    rest = round((1 - sure) / 7, 4)
    told = EMOTIONS.index(emotion) if emotion in EMOTIONS else 0
    return Row(start, end, channel, emotion, tuple(sure if k == told else rest for k in range(8)), level_db)


def call(*rows: Row, recording: str = "calls/one.wav", length_s: float = 60.0, **told: object) -> Timeline:
    envelope = np.full((2, round(length_s * 10), 2), 0.1, np.float32) * [-1, 1]
    return Timeline(recording, length_s, ("customer", "agent"), rows, envelope=envelope, **told)  # type: ignore[arg-type]


SOME = (segment(1.001, 3.25, 1, "neutral"), segment(3, 5.5, 2, "happy", 0.9), segment(7, 9.9, 1, UNCERTAIN, 0.3))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Parsed]:
    def write(timeline: Timeline, audio: str | None = None, audio_note: str = "") -> Parsed:
        write_page(timeline, tmp_path / "page", audio, audio_note)
        return Parsed(tmp_path / "page")

    return write


def test_a_page_tells_what_is_known_of_a_recording(written: Callable[..., Parsed]) -> None:
    parsed = written(call(*SOME, about={"queue": "billing", "model": "tiny"}), None, "It lies elsewhere.")
    for told in ("calls/one.wav", "customer, agent", "1:00", "queue", "billing", "model", "tiny", "It lies elsewhere."):
        assert told in parsed.text
    assert "not what a person feels" in parsed.text
    assert parsed.tags["audio", "controls", "preload", "src"] == 0


def test_the_table_has_each_segment(written: Callable[..., Parsed]) -> None:
    attributes, cells = written(call(*SOME)).rows[0]
    assert cells == ["0:01.0", "0:03.2", "customer", "neutral", "70\N{NO-BREAK SPACE}%", "\N{MINUS SIGN}20.0"]
    assert attributes["data-start"] == "1.001"


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 3000), st.integers(1, 2)), max_size=12))
def test_the_table_has_each_segment_to_the_millisecond(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int, int]]
) -> None:
    rows = ordered([segment(at / 1000, (at + long) / 1000, channel, "sad", 0.6123) for at, long, channel in parts])
    path = tmp_path_factory.mktemp("page") / "page"
    write_page(Timeline("call", 10_003.0, ("customer", "agent"), tuple(rows)), path, None)
    told = [attributes for attributes, _ in Parsed(path).rows]
    assert [round(1000 * float(row["data-start"] or "")) for row in told] == [round(1000 * row.start) for row in rows]
    assert [round(1000 * float(row["data-end"] or "")) for row in told] == [round(1000 * row.end) for row in rows]
    assert [float(row["data-probability"] or "") for row in told] == [row.probability for row in rows]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_taken_for_html(written: Callable[..., Parsed], text: str) -> None:
    def made(name: str) -> Parsed:
        rows = (segment(0, 1, 1, "angry"), segment(1, 2, 2, "sad"))
        told = Timeline(name, 9.0, (name, name), rows, (Span(3, 4, 1),), about={name: name})
        return written(told, name)

    harmless, parsed = made("harmless"), made(text)
    assert parsed.tags == harmless.tags
    assert parsed.script == harmless.script
    assert parsed.text.count(text.replace("\udc80", "\\udc80")) == harmless.text.count("harmless")
    assert written(call(), None, text).text.count(text.replace("\udc80", "\\udc80")) == 1


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_page(call(*SOME), tmp_path / name, "a.wav")
        write_index([entry("one"), entry("two")], tmp_path / f"{name} index", "all")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (tmp_path / "first index").read_bytes() == (tmp_path / "second index").read_bytes()


def test_beside_an_emotion_stands_its_probability_and_not_that_of_the_most_probable(
    written: Callable[..., Parsed],
) -> None:
    negative = Row(1.0, 2.0, 1, "angry", (0.45, 0.0, 0.0, 0.2, 0.35, 0.0, 0.0, 0.0), -20.0)
    ((attributes, cells),) = written(call(negative)).rows
    assert cells[3:5] == ["angry", "35\N{NO-BREAK SPACE}%"]
    assert attributes["data-probability"] == "0.35"


def test_nobody_who_is_masked_has_an_emotion(written: Callable[..., Parsed]) -> None:
    parsed = written(call(segment(1, 2, 1, "happy"), segment(2, 30, 2, "")))
    attributes, cells = parsed.rows[1]
    assert cells[2:5] == ["agent", "not inferred", ""]
    assert (attributes["data-kind"], attributes["data-probability"]) == ("masked", "")
    assert "speaks 0:28 in 1 segment, not inferred 100\N{NO-BREAK SPACE}%" in parsed.text


@pytest.mark.parametrize("length_s", [0.0, 0.02, 0.9, 60.0])
def test_a_recording_without_speech_has_a_page(written: Callable[..., Parsed], length_s: float) -> None:
    parsed = written(call(length_s=length_s))
    assert parsed.rows == []
    assert "Nobody speaks in this recording." in parsed.text
    assert written(Timeline("nothing", length_s, (), ())).rows == []


def test_a_page_names_what_it_draws_and_no_more(written: Callable[..., Parsed]) -> None:
    def keys(timeline: Timeline) -> str:
        text = re.sub(r"\s+", " ", written(timeline).text)
        return text[
            text.index("two" if len(timeline.speakers) > 2 else "both speaking") : text.index("The taller a bar")
        ]

    assert "negative" not in keys(call(*SOME))
    assert "silence of 5 s or more" in keys(call(*SOME))
    whole = keys(call(segment(0, 30, 1, "angry"), segment(3, 4, 2, "calm"), other=(Span(30, 60, 2),)))
    assert " ".join(whole.split()) == "both speaking calm angry other sound both speaking negative passage"


def test_passages_are_listed_the_most_negative_first_and_not_all_of_many(written: Callable[..., Parsed]) -> None:
    rows = [segment(60 * k, 60 * k + 4 + k % 3, 1, "angry", 0.9) for k in range(12)]
    text = re.sub(r"\s+", " ", written(call(*rows, length_s=900)).text)
    assert "The 8 most negative of 12." in text
    assert re.findall(r"(\d+:\d\d) . \d+:\d\d customer, mostly angry", text)[:4] == ["2:00", "5:00", "8:00", "11:00"]


def test_a_page_asks_for_nothing_and_runs_no_script_but_its_own(written: Callable[..., Parsed]) -> None:
    parsed = written(call(*SOME), "../calls/one.wav")
    policy = next(value for _, name, value in parsed.attributes if name == "content" and "default-src" in str(value))
    assert "default-src 'none'" in str(policy)
    assert f"script-src '{csp_hash(parsed.script)}';" in str(policy)
    addresses = [value for _, name, value in parsed.attributes if name in ("src", "href")]
    assert addresses == ["data:,", "../calls/one.wav"]
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert "http" not in parsed.script


@given(st.floats(0.001, 400_000))
def test_marks_of_time_have_room(length_s: float) -> None:
    width = round(min(max(2 * length_s, 300), 12_000))
    coarse = [tick.at / length_s * width for tick in ticks(length_s, width) if not tick.fine]
    assert len(coarse) == 2 or all(b - a >= 63.9 for a, b in pairwise(coarse))
    at = [tick.at for tick in ticks(length_s, width)]
    assert (at[0], at[-1]) == (0, length_s)
    assert len(at) == 2 or all(b - a >= 63.9 * length_s / max(width, 900) for a, b in pairwise(at))


def test_moments_and_shares_are_told_in_words() -> None:
    told = [moment(s) for s in (0, 59.94, 59.96, 3599.99, 3723.45)]
    assert told == ["0:00.0", "0:59.9", "1:00.0", "1:00:00.0", "1:02:03.4"]
    assert percent(0.8149) == "81\N{NO-BREAK SPACE}%"
    assert percent(None) == ""


def encodable(name: str) -> str:
    """Return a name as the operating system gives it; bytes that are not text are kept."""
    return os.fsdecode(name.encode("utf-8", "surrogatepass"))


names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name.strip(".") != ""
)


@given(st.lists(names, min_size=1, max_size=4), st.lists(names, min_size=1, max_size=4))
def test_a_link_leads_to_the_file_whatever_it_is_called(start: list[str], end: list[str]) -> None:
    from_file, to_file = (Path("/", *map(encodable, parts), "file") for parts in (start, end))
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


def test_from_one_drive_to_another_a_link_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_way(path: Path, start: Path) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(page.os.path, "relpath", no_way)
    assert link(Path("/out/a.html"), Path("/calls/b c.wav")) == "file:///calls/b%20c.wav"


def entry(recording: str, href: str | None = "a.html", **told: object) -> IndexRow:
    common = {"recorded": "2026-11-24 09:15:00", "speakers": "agent", "status": "ok", "length_s": 61.5, "talk_s": 30.0}
    more = {"negative": 0.25, "passage_start_s": 42.0, "passage": "angry 0:07", "note": "", "groups": "queue billing"}
    return IndexRow(recording=recording, href=href, **(common | more | told))  # type: ignore[arg-type]


def test_the_list_holds_every_recording(tmp_path: Path) -> None:
    rows = [entry("one"), entry("two", None, status="failed", length_s=None, talk_s=None, negative=None)]
    write_index(iter(rows), tmp_path / "index", "24 to 25 November")
    parsed = Parsed(tmp_path / "index")
    assert [tuple(row) for row in json.loads(parsed.data)] == [astuple(row) for row in rows]
    assert "24 to 25 November" in parsed.text
    assert [value for tag, name, value in parsed.attributes if (tag, name) == ("a", "href")] == ["a.html"]


def test_a_list_of_nothing_is_one(tmp_path: Path) -> None:
    write_index([], tmp_path / "index", "no recordings yet")
    assert json.loads(Parsed(tmp_path / "index").data) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_the_list_is_taken_for_html(tmp_path: Path, text: str) -> None:
    for name, told in (("harmless", "harmless"), ("hostile", text)):
        row = entry(told, speakers=told, status=told, passage=told, note=told, groups=told)
        write_index([row], tmp_path / name, told)
    harmless, parsed = Parsed(tmp_path / "harmless"), Parsed(tmp_path / "hostile")
    assert parsed.tags == harmless.tags
    assert parsed.script == harmless.script
    assert json.loads(parsed.data)[0][0] == text
    assert "\u2028" not in parsed.data


def test_a_long_list_is_written_as_it_comes(tmp_path: Path) -> None:
    """Rows are written as they arrive, without waiting for the last one."""
    path, seen = tmp_path / "index", []

    def rows() -> Iterator[IndexRow]:
        for k in range(3000):
            seen.append(path.stat().st_size)
            yield entry(f"call {k}")

    write_index(rows(), path, "all")
    assert seen[-1] > 0.8 * 3000 * 100
    parsed = Parsed(path)
    assert len(json.loads(parsed.data)) == 3000
    assert parsed.tags["li",] == 1001
    assert "and 2,000 more" in parsed.text
