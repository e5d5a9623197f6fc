"""Timelines in the formats of other tools, read back by third-party readers."""

import html
import json
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
import webvtt
from hypothesis import example, given, settings
from hypothesis import strategies as st
from praatio import textgrid

from analyzer import __version__
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.errors import UsageError
from analyzer.names import show
from analyzer.outputs import TIMELINE_COLUMNS
from analyzer.report import interchange
from analyzer.report.interchange import json_line, label, words
from analyzer.timeline import Row, Timeline, ordered

FORMATS = ("audacity", "textgrid", "webvtt", "rttm", "jsonl", "parquet")
#: A segment in any format: start and end in milliseconds, speaker, emotion (None if the format has no field for it).
Told = tuple[int, int, str, str | None]
DAY_MS = 86_400_000
#: Roles that break a file if they are not escaped.
AWKWARD = (
    "channel 1",
    'the "boss"',
    "<v agent>",
    "R&D --> sales &amp;",
    "a,b;c",
    "=1+1",
    "a\tb",
    "line\nbreak",
    "größer \U0001f600",
    "العميل",
    "\udcff",
    "\x1b[31m",
    "\u2028",
    "x\u00a0y\u3000z",
    "null",
    "%s {x} \\n",
)


def a_row(
    start: float, end: float, channel: int = 1, emotion: str = "angry", sure: float = 0.81, level_db: float = -20.0
) -> Row:
    """Return a segment; if it is `uncertain`, its most probable emotion is sad."""
    likely = "sad" if emotion == UNCERTAIN else emotion
    others = round((1 - sure) / 7, 4)
    return Row(start, end, channel, emotion, tuple(sure if e == likely else others for e in EMOTIONS), level_db)


def masked(start: float, end: float, channel: int = 1) -> Row:
    return Row(start, end, channel, "", (), -30.5)


def a_timeline(*rows: Row, **changes: object) -> Timeline:
    """Return a timeline of an agent, whose emotions are not inferred, and a customer."""
    told = rows or (masked(0.5, 2.25), a_row(2.0, 3.75, 2), a_row(4.0, 5.125, 2, UNCERTAIN, 0.35))
    fields: dict = {
        "recording": "calls/a.wav",
        "length_s": 8.0,
        "speakers": ("agent", "customer"),
        "rows": told,
        "about": {"recorded": "2026-11-24 13:00:00", "queue": "billing"},
    }
    return Timeline(**(fields | changes))


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Any recording of up to a day: channels of consecutive segments, some of them masked; awkward names."""
    names = st.sampled_from(AWKWARD) | st.text(min_size=1, max_size=40).map(str.strip).filter(bool)
    speakers = draw(st.lists(names, min_size=1, max_size=4, unique_by=lambda name: re.sub(r"\s", "_", show(name))))
    rows: list[Row] = []
    for channel in range(1, len(speakers) + 1):
        is_masked = draw(st.booleans())
        bounds = sorted(draw(st.lists(st.integers(0, DAY_MS), max_size=12, unique=True)))
        for start, end in pairwise(bounds):
            if start % 3:  # some segments touch, others have gaps between them
                times = start / 1000, end / 1000
                rows.append(masked(*times, channel) if is_masked else draw(inferred(*times, channel)))
    last = max((row.end for row in rows), default=0.0)
    length_s = max(0.0, last + draw(st.sampled_from((-0.001, 0.0, 0.0004, 0.001, 7.5))))
    recording = draw(st.sampled_from(("calls/a.wav", "calls/a b.wav", *AWKWARD)))
    return Timeline(recording, length_s, tuple(speakers), tuple(ordered(rows)), about={"queue": draw(names)})


@st.composite
def inferred(draw: st.DrawFn, start: float, end: float, channel: int) -> Row:
    """A segment with any probabilities; uncertain if none reaches one half."""
    parts = draw(st.lists(st.integers(1, 1000), min_size=8, max_size=8))
    probabilities = tuple(round(part / sum(parts), 4) for part in parts)
    likely = EMOTIONS[probabilities.index(max(probabilities))]
    emotion = likely if max(probabilities) >= 0.5 else UNCERTAIN
    return Row(start, end, channel, emotion, probabilities, draw(st.integers(-900, 0)) / 10)


def written(timeline: Timeline, name: str, folder: Path) -> Path:
    """Write a timeline in a format, to a path with a neutral suffix, as the temporary file of a run has."""
    path = folder / f"{name}.tmp"
    getattr(interchange, f"write_{name}")(timeline, path)
    return path


def milliseconds(seconds: float | str) -> int:
    return round(float(seconds) * 1000)


def as_field(name: str) -> str:
    return re.sub(r"\s", "_", show(name))


def read_audacity(path: Path, _: Timeline) -> list[Told]:
    """Split three fields at tabs; nothing is quoted, so a CSV reader would fail on a name that begins with a quote."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    labels = [(milliseconds(start), milliseconds(end), *text.rsplit(": ", 1)) for start, end, text in lines]
    return [(start, end, speaker, said.split(" ")[0]) for start, end, speaker, said in labels]


def read_textgrid(path: Path, timeline: Timeline) -> list[Told]:
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert list(grid.tierNames) == [show(name) for name in timeline.speakers]
    told = [(tier.name, *entry) for tier in grid.tiers for entry in tier.entries]
    return [(milliseconds(start), milliseconds(end), name, text) for name, start, end, text in told]


def read_webvtt(path: Path, _: Timeline) -> list[Told]:
    cues = webvtt.read(str(path))
    times = [(cue.start_time.in_milliseconds(), cue.end_time.in_milliseconds()) for cue in cues]
    assert [start for start, _ in times] == sorted(start for start, _ in times)
    said = [(html.unescape(cue.voice), cue.text.split(" ")[0]) for cue in cues]
    return [(*at, *what) for at, what in zip(times, said, strict=True)]


def read_rttm(path: Path, timeline: Timeline) -> list[Told]:
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(len(line) == 10 and line[0] == "SPEAKER" for line in lines)
    assert {line[1] for line in lines} <= {as_field(timeline.recording)}
    return [(at := milliseconds(line[3]), at + milliseconds(line[4]), line[7], None) for line in lines]


def read_jsonl(path: Path, timeline: Timeline) -> list[Told]:
    kinds = {"recording": "VARCHAR", **dict.fromkeys(TIMELINE_COLUMNS, "DOUBLE")}
    kinds |= {"channel": "BIGINT", "speaker": "VARCHAR", "emotion": "VARCHAR"}
    return from_duckdb(duckdb.read_json(str(path), format="newline_delimited", columns=kinds), timeline, 1e-9)


def read_parquet(path: Path, timeline: Timeline) -> list[Told]:
    return from_duckdb(duckdb.read_parquet(str(path)), timeline, 1e-6)


def from_duckdb(found: duckdb.DuckDBPyRelation, timeline: Timeline, within: float) -> list[Told]:
    """Return the segments that DuckDB reads; compares every column, probabilities to `within`."""
    assert found.columns == ["recording", *TIMELINE_COLUMNS]
    lines = [dict(zip(found.columns, line, strict=True)) for line in found.fetchall()]
    for line, row in zip(lines, ordered(timeline.rows), strict=True):
        assert (line["recording"], line["channel"]) == (show(timeline.recording), row.channel)
        assert line["emotion"] == (row.emotion or None)
        numbers = [line[column] for column in ("confidence", *EMOTIONS)]
        expected = [row.confidence, *(row.probabilities or [None] * 8)]
        assert numbers == pytest.approx(expected, abs=within) if row.emotion else numbers == expected
        assert line["level_db"] == pytest.approx(row.level_db, abs=1e-4)
    return [
        (milliseconds(line["start"]), milliseconds(line["end"]), line["speaker"], line["emotion"] or "speech")
        for line in lines
    ]


READERS: dict[str, Callable[[Path, Timeline], list[Told]]] = {
    "audacity": read_audacity,
    "textgrid": read_textgrid,
    "webvtt": read_webvtt,
    "rttm": read_rttm,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}


def told(timeline: Timeline, name: str) -> list[Told]:
    """Return the segments that a format must contain for a timeline."""
    called = as_field if name == "rttm" else show
    return [
        (
            milliseconds(row.start),
            milliseconds(row.end),
            called(timeline.speaker(row)),
            None if name == "rttm" else label(row),
        )
        for row in timeline.rows
    ]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40)
@given(timelines())
@example(a_timeline())
@example(a_timeline(rows=()))
@example(a_timeline(rows=(), length_s=0.0))
@example(a_timeline(speakers=AWKWARD, rows=tuple(a_row(k, k + 1, k + 1) for k in range(len(AWKWARD)))))
def test_every_format_tells_the_same_segments_to_the_millisecond(
    tmp_path_factory: pytest.TempPathFactory, name: str, timeline: Timeline
) -> None:
    path = written(timeline, name, tmp_path_factory.getbasetemp())
    assert sorted(READERS[name](path, timeline), key=repr) == sorted(told(timeline, name), key=repr)
    if name != "parquet":
        text = path.read_bytes().decode("utf-8")
        assert "\r" not in text
        assert not text or text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_timeline_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    first = written(a_timeline(), name, tmp_path).read_bytes()
    assert written(a_timeline(), name, tmp_path).read_bytes() == first


def test_a_segment_is_told_in_words() -> None:
    assert words(a_row(0, 1, sure=0.8149)) == "angry 81%"
    assert words(a_row(0, 1, emotion=UNCERTAIN, sure=0.35)) == "uncertain"
    assert words(masked(0, 1)) == "speech"
    negative = Row(0, 1, 1, "sad", (0.45, 0.0, 0.0, 0.35, 0.2, 0.0, 0.0, 0.0), -20.0)
    assert words(negative) == "sad 35%"  # the probability of sad, not the higher one of neutral


def test_a_label_track_has_a_line_per_segment(tmp_path: Path) -> None:
    assert written(a_timeline(), "audacity", tmp_path).read_text() == (
        "0.500\t2.250\tagent: speech\n2.000\t3.750\tcustomer: angry 81%\n4.000\t5.125\tcustomer: uncertain\n"
    )


def test_label_tracks_are_read_by_crowsetta(tmp_path: Path) -> None:
    from crowsetta.formats.seq import AudSeq

    names = ("größer, <v> & =1+1", 'the "boss"')
    path = written(a_timeline(speakers=names), "audacity", tmp_path).rename(tmp_path / "a.txt")
    track = AudSeq.from_file(path)
    assert [*zip(track.start_times, track.end_times, strict=True)] == [(0.5, 2.25), (2.0, 3.75), (4.0, 5.125)]
    assert list(track.labels) == [f"{names[0]}: speech", f"{names[1]}: angry 81%", f"{names[1]}: uncertain"]


def intervals(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Return all intervals of each tier in the file, including those without text."""
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    for part in path.read_text(encoding="utf-8").split("    item [")[1:]:
        head, *entries = part.split("intervals [")
        name = re.search(r'name = "(.*)"', head)[1]
        assert f"intervals: size = {len(entries)}\n" in head
        found = [re.search(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "(.*)"', entry).groups() for entry in entries]
        tiers[name] = [(float(start), float(end), text) for start, end, text in found]
    return tiers


def test_a_textgrid_has_a_tier_per_channel_without_gaps(tmp_path: Path) -> None:
    assert intervals(written(a_timeline(), "textgrid", tmp_path)) == {
        "agent": [(0, 0.5, ""), (0.5, 2.25, "speech"), (2.25, 8, "")],
        "customer": [(0, 2, ""), (2, 3.75, "angry"), (3.75, 4, ""), (4, 5.125, "uncertain"), (5.125, 8, "")],
    }


@settings(max_examples=40)
@given(timelines())
def test_the_tiers_of_a_textgrid_are_of_one_length_and_have_no_gaps(
    tmp_path_factory: pytest.TempPathFactory, timeline: Timeline
) -> None:
    path = written(timeline, "textgrid", tmp_path_factory.getbasetemp())
    end = float(re.search(r"xmax = (\S+)", path.read_text(encoding="utf-8"))[1])
    assert milliseconds(end) >= max(1, milliseconds(timeline.length_s))
    for entries in intervals(path).values():
        starts, ends = [start for start, _, _ in entries], [end for _, end, _ in entries]
        assert (starts[0], ends[-1], starts[1:]) == (0, end, ends[:-1])
        assert all(start < end for start, end, _ in entries)


@pytest.mark.parametrize("length_s", [3.0, 3.0004, 2.5])
def test_a_textgrid_lasts_until_its_last_segment_ends(tmp_path: Path, length_s: float) -> None:
    timeline = a_timeline(a_row(1, 3), length_s=length_s)
    assert intervals(written(timeline, "textgrid", tmp_path)) == {
        "agent": [(0, 1, ""), (1, 3, "angry")],
        "customer": [(0, 3, "")],
    }


def test_segments_that_overlap_on_one_channel_are_cut_to_fit_a_tier(tmp_path: Path) -> None:
    timeline = a_timeline(a_row(0, 2), a_row(1, 1.5), a_row(1.75, 3, emotion="sad"), length_s=3.0)
    assert intervals(written(timeline, "textgrid", tmp_path))["agent"] == [(0, 2, "angry"), (2, 3, "sad")]


def test_two_channels_of_one_name_are_two_tiers_and_two_speakers(tmp_path: Path) -> None:
    timeline = a_timeline(
        *(a_row(k, k + 1, k) for k in (1, 2, 3, 4)), speakers=("a b", "a b", "a b_2", "a_b"), length_s=5.0
    )
    assert list(intervals(written(timeline, "textgrid", tmp_path))) == ["a b", "a b_2", "a b_2_2", "a_b"]
    turns = written(timeline, "rttm", tmp_path).read_text().splitlines()
    assert len({turn.split()[7] for turn in turns}) == 4


def test_subtitles_say_who_speaks_and_how(tmp_path: Path) -> None:
    timeline = a_timeline(masked(0.5, 2.25), a_row(360_000, 360_001.5, 2), speakers=("<R&D>", "customer"))
    assert written(timeline, "webvtt", tmp_path).read_text() == (
        "WEBVTT\n"
        "\n00:00:00.500 --> 00:00:02.250\n<v &lt;R&amp;D&gt;>speech</v>\n"
        "\n100:00:00.000 --> 100:00:01.500\n<v customer>angry 81%</v>\n"
    )


def test_turns_have_ten_fields(tmp_path: Path) -> None:
    timeline = a_timeline(
        masked(0.1, 0.3), a_row(1.001, 2.0, 2), recording="calls/a b.wav", speakers=("the agent", "c")
    )
    assert written(timeline, "rttm", tmp_path).read_text() == (
        "SPEAKER calls/a_b.wav 1 0.100 0.200 <NA> <NA> the_agent <NA> <NA>\n"
        "SPEAKER calls/a_b.wav 2 1.001 0.999 <NA> <NA> c <NA> <NA>\n"
    )


def test_turns_are_read_by_pyannote(tmp_path: Path) -> None:
    from pyannote.database.util import load_rttm

    timeline = a_timeline(recording="calls/a b.wav", speakers=("größer", "=the, customer"))
    ((recording, turns),) = load_rttm(written(timeline, "rttm", tmp_path)).items()
    assert recording == "calls/a_b.wav"
    found = [(milliseconds(turn.start), milliseconds(turn.end), who) for turn, _, who in turns.itertracks(True)]
    assert found == [(500, 2250, "größer"), (2000, 3750, "=the,_customer"), (4000, 5125, "=the,_customer")]


def test_a_line_of_json_is_a_segment() -> None:
    line = json_line("calls/a.wav", a_row(1, 2.5), "agent")
    assert list(json.loads(line)) == ["recording", *TIMELINE_COLUMNS]
    assert line.startswith(
        '{"recording": "calls/a.wav", "start": 1, "end": 2.5, "channel": 1, "speaker": "agent", "emotion": "angry", '
        '"confidence": 0.81, "neutral": 0.0271, '
    )


def test_a_line_of_json_needs_no_recording() -> None:
    assert list(json.loads(json_line(None, a_row(1, 2), "agent"))) == list(TIMELINE_COLUMNS)


def test_a_line_of_json_has_null_for_what_is_not_inferred() -> None:
    values = json.loads(json_line(None, masked(1, 2), "agent"))
    assert {column for column, value in values.items() if value is None} == {"emotion", "confidence", *EMOTIONS}


def test_a_line_of_json_is_rounded() -> None:
    row = Row(0.1 + 0.2, 1.23456, 1, "calm", (0.123456, *(0.1,) * 7), -20.04)
    values = json.loads(json_line(None, row, "agent"))
    assert (values["start"], values["end"], values["neutral"], values["level_db"]) == (0.3, 1.235, 0.1235, -20.0)


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_a_line_of_json_is_one_line_of_utf8_whatever_the_names(name: str) -> None:
    line = json_line(name, a_row(1, 2), name)
    assert len(line.encode("utf-8").decode("utf-8").splitlines()) == 1
    assert json.loads(line)["speaker"] == show(name)
    assert ("größer" in line) == ("größer" in name)


def test_a_table_says_where_it_is_from(tmp_path: Path) -> None:
    path = written(a_timeline(about={"queue": "größer", "recording": "another"}), "parquet", tmp_path)
    query = f"select decode(key), decode(value) from parquet_kv_metadata('{path}')"
    known = {key: value for key, value in duckdb.sql(query).fetchall() if key != "ARROW:schema"}
    assert known == {
        "queue": "größer",
        "recording": "calls/a.wav",
        "length_s": "8.000",
        "call-emotions": __version__,
    }


def test_a_table_without_segments_has_its_columns(tmp_path: Path) -> None:
    found = duckdb.read_parquet(str(written(a_timeline(rows=()), "parquet", tmp_path)))
    kinds = ["VARCHAR", "DOUBLE", "DOUBLE", "SMALLINT", "VARCHAR", "VARCHAR", *["FLOAT"] * (2 + len(EMOTIONS))]
    assert [str(kind) for kind in found.types] == kinds
    assert found.fetchall() == []


def test_who_lacks_pyarrow_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'call-emotions[parquet]'")):
        written(a_timeline(), "parquet", tmp_path)
