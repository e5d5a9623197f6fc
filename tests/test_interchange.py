"""Timelines in the formats of other tools, read back by third-party readers."""

import html
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import webvtt
from hypothesis import example, given, settings
from praatio import textgrid

from analyzer import __version__
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.errors import UsageError
from analyzer.names import show
from analyzer.report import interchange
from analyzer.report.interchange import json_line, label, words
from analyzer.store.outputs import TIMELINE_COLUMNS
from analyzer.timeline.timeline import Row, Timeline, ordered
from tests.helpers.timelines import AWKWARD_ROLES, a_row, a_timeline, masked, timelines

FORMATS = ("audacity", "textgrid", "webvtt", "rttm", "jsonl", "parquet")
#: A segment in any format: start and end in milliseconds, speaker, emotion (None if the format has no field for it).
SegmentRecord = tuple[int, int, str, str | None]


def write_format(timeline: Timeline, name: str, folder: Path) -> Path:
    """Write a timeline in a format, to a path with a neutral suffix, as the temporary file of a run has."""
    path = folder / f"{name}.tmp"
    getattr(interchange, f"write_{name}")(timeline, path)
    return path


def milliseconds(seconds: float | str) -> int:
    return round(float(seconds) * 1000)


def as_rttm_field(name: str) -> str:
    return re.sub(r"\s", "_", show(name))


def read_audacity(path: Path, _: Timeline) -> list[SegmentRecord]:
    """Split three fields at tabs; nothing is quoted, so a CSV reader would fail on a name that starts with a quote."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    labels = [(milliseconds(start), milliseconds(end), *text.rsplit(": ", 1)) for start, end, text in lines]
    return [(start, end, speaker, content.split(" ")[0]) for start, end, speaker, content in labels]


def read_textgrid(path: Path, timeline: Timeline) -> list[SegmentRecord]:
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert list(grid.tierNames) == [show(name) for name in timeline.speakers]
    intervals = [(tier.name, *entry) for tier in grid.tiers for entry in tier.entries]
    return [(milliseconds(start), milliseconds(end), name, text) for name, start, end, text in intervals]


def read_webvtt(path: Path, _: Timeline) -> list[SegmentRecord]:
    cues = webvtt.read(str(path))
    times = [(cue.start_time.in_milliseconds(), cue.end_time.in_milliseconds()) for cue in cues]
    assert [start for start, _ in times] == sorted(start for start, _ in times)
    contents = [(html.unescape(cue.voice), cue.text.split(" ")[0]) for cue in cues]
    return [(*time, *content) for time, content in zip(times, contents, strict=True)]


def read_rttm(path: Path, timeline: Timeline) -> list[SegmentRecord]:
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(len(line) == 10 and line[0] == "SPEAKER" for line in lines)
    assert {line[1] for line in lines} <= {as_rttm_field(timeline.recording)}
    return [(start := milliseconds(line[3]), start + milliseconds(line[4]), line[7], None) for line in lines]


def read_jsonl(path: Path, timeline: Timeline) -> list[SegmentRecord]:
    column_types = {"recording": "VARCHAR", **dict.fromkeys(TIMELINE_COLUMNS, "DOUBLE")}
    column_types |= {"channel": "BIGINT", "speaker": "VARCHAR", "emotion": "VARCHAR"}
    return segments_from_duckdb(
        duckdb.read_json(str(path), format="newline_delimited", columns=column_types), timeline, 1e-9
    )


def read_parquet(path: Path, timeline: Timeline) -> list[SegmentRecord]:
    return segments_from_duckdb(duckdb.read_parquet(str(path)), timeline, 1e-6)


def segments_from_duckdb(
    relation: duckdb.DuckDBPyRelation, timeline: Timeline, tolerance: float
) -> list[SegmentRecord]:
    """Return the segments that DuckDB reads; compares every column, probabilities to `tolerance`."""
    assert relation.columns == ["recording", *TIMELINE_COLUMNS]
    lines = [dict(zip(relation.columns, line, strict=True)) for line in relation.fetchall()]
    for line, row in zip(lines, ordered(timeline.rows), strict=True):
        assert (line["recording"], line["channel"]) == (show(timeline.recording), row.channel)
        assert line["emotion"] == (row.emotion or None)
        numbers = [line[column] for column in ("confidence", *EMOTIONS)]
        expected = [row.confidence, *(row.probabilities or [None] * 8)]
        assert numbers == pytest.approx(expected, abs=tolerance) if row.emotion else numbers == expected
        assert line["level_db"] == pytest.approx(row.level_db, abs=1e-4)
    return [
        (milliseconds(line["start"]), milliseconds(line["end"]), line["speaker"], line["emotion"] or "speech")
        for line in lines
    ]


READERS: dict[str, Callable[[Path, Timeline], list[SegmentRecord]]] = {
    "audacity": read_audacity,
    "textgrid": read_textgrid,
    "webvtt": read_webvtt,
    "rttm": read_rttm,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}


def expected_segments(timeline: Timeline, name: str) -> list[SegmentRecord]:
    """Return the segments that a format must contain for a timeline."""
    shown_name = as_rttm_field if name == "rttm" else show
    return [
        (
            milliseconds(row.start),
            milliseconds(row.end),
            shown_name(timeline.speaker(row)),
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
@example(
    a_timeline(
        speakers=AWKWARD_ROLES,
        rows=tuple(a_row(number, number + 1, number + 1) for number in range(len(AWKWARD_ROLES))),
    )
)
def test_formats_contain_all_segments(tmp_path_factory: pytest.TempPathFactory, name: str, timeline: Timeline) -> None:
    path = write_format(timeline, name, tmp_path_factory.getbasetemp())
    assert sorted(READERS[name](path, timeline), key=repr) == sorted(expected_segments(timeline, name), key=repr)
    if name != "parquet":
        text = path.read_bytes().decode("utf-8")
        assert "\r" not in text
        assert not text or text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_files_are_reproducible(tmp_path: Path, name: str) -> None:
    first = write_format(a_timeline(), name, tmp_path).read_bytes()
    assert write_format(a_timeline(), name, tmp_path).read_bytes() == first


def test_words_of_a_segment() -> None:
    assert words(a_row(0, 1, sure=0.8149)) == "angry 81%"
    assert words(a_row(0, 1, emotion=UNCERTAIN, sure=0.35)) == "uncertain"
    assert words(masked(0, 1)) == "speech"
    negative = Row(0, 1, 1, "sad", (0.45, 0.0, 0.0, 0.35, 0.2, 0.0, 0.0, 0.0), -20.0)
    assert words(negative) == "sad 35%"  # the probability of sad, not the higher one of neutral


def test_label_track_has_line_per_segment(tmp_path: Path) -> None:
    assert write_format(a_timeline(), "audacity", tmp_path).read_text() == (
        "0.500\t2.250\tagent: speech\n2.000\t3.750\tcustomer: angry 81%\n4.000\t5.125\tcustomer: uncertain\n"
    )


def test_crowsetta_reads_label_tracks(tmp_path: Path) -> None:
    from crowsetta.formats.seq import AudSeq

    names = ("größer, <v> & =1+1", 'the "boss"')
    path = write_format(a_timeline(speakers=names), "audacity", tmp_path).rename(tmp_path / "a.txt")
    track = AudSeq.from_file(path)
    assert [*zip(track.start_times, track.end_times, strict=True)] == [(0.5, 2.25), (2.0, 3.75), (4.0, 5.125)]
    assert list(track.labels) == [f"{names[0]}: speech", f"{names[1]}: angry 81%", f"{names[1]}: uncertain"]


def tier_intervals(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Return all intervals of each tier in the file, including those without text."""
    tiers: dict[str, list[tuple[float, float, str]]] = {}
    for tier in path.read_text(encoding="utf-8").split("    item [")[1:]:
        head, *entries = tier.split("intervals [")
        name = re.search(r'name = "(.*)"', head)[1]
        assert f"intervals: size = {len(entries)}\n" in head
        matches = [re.search(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "(.*)"', entry).groups() for entry in entries]
        tiers[name] = [(float(start), float(end), text) for start, end, text in matches]
    return tiers


def test_textgrid_has_tier_per_channel(tmp_path: Path) -> None:
    assert tier_intervals(write_format(a_timeline(), "textgrid", tmp_path)) == {
        "agent": [(0, 0.5, ""), (0.5, 2.25, "speech"), (2.25, 8, "")],
        "customer": [(0, 2, ""), (2, 3.75, "angry"), (3.75, 4, ""), (4, 5.125, "uncertain"), (5.125, 8, "")],
    }


@settings(max_examples=40)
@given(timelines())
def test_textgrid_tiers_have_no_gaps(tmp_path_factory: pytest.TempPathFactory, timeline: Timeline) -> None:
    path = write_format(timeline, "textgrid", tmp_path_factory.getbasetemp())
    end = float(re.search(r"xmax = (\S+)", path.read_text(encoding="utf-8"))[1])
    assert milliseconds(end) >= max(1, milliseconds(timeline.length_s))
    for entries in tier_intervals(path).values():
        starts, ends = [start for start, _, _ in entries], [end for _, end, _ in entries]
        assert (starts[0], ends[-1], starts[1:]) == (0, end, ends[:-1])
        assert all(start < end for start, end, _ in entries)


@pytest.mark.parametrize("length_s", [3.0, 3.0004, 2.5])
def test_textgrid_includes_last_segment(tmp_path: Path, length_s: float) -> None:
    timeline = a_timeline(a_row(1, 3), length_s=length_s)
    assert tier_intervals(write_format(timeline, "textgrid", tmp_path)) == {
        "agent": [(0, 1, ""), (1, 3, "angry")],
        "customer": [(0, 3, "")],
    }


def test_textgrid_cuts_overlapping_segments(tmp_path: Path) -> None:
    timeline = a_timeline(a_row(0, 2), a_row(1, 1.5), a_row(1.75, 3, emotion="sad"), length_s=3.0)
    assert tier_intervals(write_format(timeline, "textgrid", tmp_path))["agent"] == [(0, 2, "angry"), (2, 3, "sad")]


def test_equal_channel_names_become_unique(tmp_path: Path) -> None:
    timeline = a_timeline(
        *(a_row(number, number + 1, number) for number in (1, 2, 3, 4)),
        speakers=("a b", "a b", "a b_2", "a_b"),
        length_s=5.0,
    )
    assert list(tier_intervals(write_format(timeline, "textgrid", tmp_path))) == ["a b", "a b_2", "a b_2_2", "a_b"]
    turns = write_format(timeline, "rttm", tmp_path).read_text().splitlines()
    assert len({turn.split()[7] for turn in turns}) == 4


def test_subtitles_have_speaker_and_emotion(tmp_path: Path) -> None:
    timeline = a_timeline(masked(0.5, 2.25), a_row(360_000, 360_001.5, 2), speakers=("<R&D>", "customer"))
    assert write_format(timeline, "webvtt", tmp_path).read_text() == (
        "WEBVTT\n"
        "\n00:00:00.500 --> 00:00:02.250\n<v &lt;R&amp;D&gt;>speech</v>\n"
        "\n100:00:00.000 --> 100:00:01.500\n<v customer>angry 81%</v>\n"
    )


def test_rttm_lines_have_ten_fields(tmp_path: Path) -> None:
    timeline = a_timeline(
        masked(0.1, 0.3), a_row(1.001, 2.0, 2), recording="calls/a b.wav", speakers=("the agent", "c")
    )
    assert write_format(timeline, "rttm", tmp_path).read_text() == (
        "SPEAKER calls/a_b.wav 1 0.100 0.200 <NA> <NA> the_agent <NA> <NA>\n"
        "SPEAKER calls/a_b.wav 2 1.001 0.999 <NA> <NA> c <NA> <NA>\n"
    )


def test_pyannote_reads_rttm(tmp_path: Path) -> None:
    from pyannote.database.util import load_rttm

    timeline = a_timeline(recording="calls/a b.wav", speakers=("größer", "=the, customer"))
    ((recording, turns),) = load_rttm(write_format(timeline, "rttm", tmp_path)).items()
    assert recording == "calls/a_b.wav"
    segments = [
        (milliseconds(turn.start), milliseconds(turn.end), speaker) for turn, _, speaker in turns.itertracks(True)
    ]
    assert segments == [(500, 2250, "größer"), (2000, 3750, "=the,_customer"), (4000, 5125, "=the,_customer")]


def test_json_line_has_all_columns() -> None:
    line = json_line("calls/a.wav", a_row(1, 2.5), "agent")
    assert list(json.loads(line)) == ["recording", *TIMELINE_COLUMNS]
    assert line.startswith(
        '{"recording": "calls/a.wav", "start": 1, "end": 2.5, "channel": 1, "speaker": "agent", "emotion": "angry", '
        '"confidence": 0.81, "neutral": 0.0271, '
    )


def test_json_line_without_recording() -> None:
    assert list(json.loads(json_line(None, a_row(1, 2), "agent"))) == list(TIMELINE_COLUMNS)


def test_json_line_of_masked_segment_has_nulls() -> None:
    values = json.loads(json_line(None, masked(1, 2), "agent"))
    assert {column for column, value in values.items() if value is None} == {"emotion", "confidence", *EMOTIONS}


def test_json_line_is_rounded() -> None:
    row = Row(0.1 + 0.2, 1.23456, 1, "calm", (0.123456, *(0.1,) * 7), -20.04)
    values = json.loads(json_line(None, row, "agent"))
    assert (values["start"], values["end"], values["neutral"], values["level_db"]) == (0.3, 1.235, 0.1235, -20.0)


@pytest.mark.parametrize("name", AWKWARD_ROLES, ids=ascii)
def test_json_line_with_awkward_names(name: str) -> None:
    line = json_line(name, a_row(1, 2), name)
    assert len(line.encode("utf-8").decode("utf-8").splitlines()) == 1
    assert json.loads(line)["speaker"] == show(name)
    assert ("größer" in line) == ("größer" in name)


def test_parquet_has_metadata(tmp_path: Path) -> None:
    path = write_format(a_timeline(about={"queue": "größer", "recording": "another"}), "parquet", tmp_path)
    query = f"select decode(key), decode(value) from parquet_kv_metadata('{path}')"
    metadata = {key: value for key, value in duckdb.sql(query).fetchall() if key != "ARROW:schema"}
    assert metadata == {
        "queue": "größer",
        "recording": "calls/a.wav",
        "length_s": "8.000",
        "call-emotions": __version__,
    }


def test_empty_parquet_has_columns(tmp_path: Path) -> None:
    table = duckdb.read_parquet(str(write_format(a_timeline(rows=()), "parquet", tmp_path)))
    column_types = ["VARCHAR", "DOUBLE", "DOUBLE", "SMALLINT", "VARCHAR", "VARCHAR", *["FLOAT"] * (2 + len(EMOTIONS))]
    assert [str(kind) for kind in table.types] == column_types
    assert table.fetchall() == []


def test_missing_pyarrow_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'call-emotions[parquet]'")):
        write_format(a_timeline(), "parquet", tmp_path)
