"""Exporters of timelines for other tools: label tracks, tiers, subtitles, lines and tables.

Every format holds the same segments, to the millisecond. Data that a format has no field for is left out; see each
exporter. A segment whose emotion must not be inferred is labelled `speech`. A confidence is given only with an emotion.

Every `write_...` function writes straight to a path, text as UTF-8 with line feeds. The caller must move the finished
file into place if readers must not see a partial one.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from analyzer import __version__
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.errors import UsageError
from analyzer.names import show
from analyzer.store.outputs import TIMELINE_COLUMNS
from analyzer.timeline.timeline import Row, Timeline, ordered

#: Label of a segment whose emotion must not be inferred.
SPEECH = "speech"


def label(row: Row) -> str:
    """Return the emotion of a segment as one word."""
    return row.emotion or SPEECH


def words(row: Row) -> str:
    """Return the emotion of a segment and its probability, such as `angry 81%`; `uncertain` comes without one."""
    if row.probability is None or row.emotion == UNCERTAIN:
        return label(row)
    return f"{row.emotion} {row.probability:.0%}"


def write_audacity(timeline: Timeline, path: Path) -> None:
    """Write a label track for Audacity: start, end and text, separated by tabs."""
    texts = ((row, f"{show(timeline.speaker(row))}: {words(row)}") for row in ordered(timeline.rows))
    _write_lines(path, (f"{row.start:.3f}\t{row.end:.3f}\t{text}" for row, text in texts))


def write_textgrid(timeline: Timeline, path: Path) -> None:
    """Write a TextGrid for Praat in the long text form.

    Each channel has a tier without gaps, with emotions and no confidence.
    """
    # Praat rejects intervals without length, so a recording without audio lasts one millisecond.
    length = max(1, _milliseconds(timeline.length_s), *(_milliseconds(row.end) for row in timeline.rows))
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        *_bounds(0, length),
        "tiers? <exists>",
        f"size = {len(timeline.speakers)}",
        "item []:",
    ]
    for channel, name in zip(timeline.channels, _distinct(map(show, timeline.speakers)), strict=True):
        rows = [row for row in ordered(timeline.rows) if row.channel == channel]
        lines += [f"    item [{channel}]:", *_indented(2, _tier(name, rows, length))]
    _write_lines(path, lines)


def _tier(name: str, rows: Sequence[Row], length: int) -> Iterator[str]:
    """Yield the lines of a tier; `length` is in milliseconds."""
    intervals = list(_intervals(rows, length))
    yield 'class = "IntervalTier"'
    yield f"name = {_quoted(name)}"
    yield from _bounds(0, length)
    yield f"intervals: size = {len(intervals)}"
    for k, (start, end, text) in enumerate(intervals, start=1):
        yield f"intervals [{k}]:"
        yield from _indented(1, (*_bounds(start, end), f"text = {_quoted(text)}"))


def _intervals(rows: Sequence[Row], length: int) -> Iterator[tuple[int, int, str]]:
    """Yield the intervals of a tier, segments and gaps between them: start and end in milliseconds, and text."""
    previous_end = 0
    for row in rows:
        start, end = max(previous_end, _milliseconds(row.start)), _milliseconds(row.end)
        if end <= start:
            continue
        if start > previous_end:
            yield previous_end, start, ""
        yield start, end, label(row)
        previous_end = end
    if previous_end < length:
        yield previous_end, length, ""


def _bounds(start: int, end: int) -> tuple[str, str]:
    """Return the lines that bound an interval, a tier or a file; `start` and `end` are in milliseconds."""
    return f"xmin = {start / 1000:.3f}", f"xmax = {end / 1000:.3f}"


def _indented(levels: int, lines: Iterable[str]) -> Iterator[str]:
    return (" " * 4 * levels + line for line in lines)


def _quoted(text: str) -> str:
    """Return a Praat string: quotes inside it are doubled."""
    return '"' + show(text).replace('"', '""') + '"'


def write_webvtt(timeline: Timeline, path: Path) -> None:
    """Write WebVTT subtitles for audio and video players: speaker, emotion and its probability."""
    lines = ["WEBVTT"]
    for row in ordered(timeline.rows):
        speaker = html.escape(show(timeline.speaker(row)), quote=False)  # escapes > too, so the name cannot contain -->
        lines += ["", f"{_clock(row.start)} --> {_clock(row.end)}", f"<v {speaker}>{words(row)}</v>"]
    _write_lines(path, lines)


def _clock(seconds: float) -> str:
    """Return a time in the form of WebVTT, hh:mm:ss.mmm; hours may have more digits."""
    minutes, milliseconds = divmod(_milliseconds(seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds / 1000:06.3f}"


def write_rttm(timeline: Timeline, path: Path) -> None:
    """Write an RTTM file for diarization tools: who speaks when.

    None of the ten RTTM fields is for emotions, so these are left out. Its confidence field is that of the speaker,
    which is not known. Fields are separated by spaces, so whitespace in names becomes `_`.
    """
    recording, speakers = _field(timeline.recording), _distinct(_field(name) for name in timeline.speakers)
    lines = []
    for row in ordered(timeline.rows):
        onset, end = _milliseconds(row.start), _milliseconds(row.end)
        times = f"{onset / 1000:.3f} {(end - onset) / 1000:.3f}"  # so that onset and duration give the end exactly
        speaker = speakers[row.channel - 1]
        lines.append(f"SPEAKER {recording} {row.channel} {times} <NA> <NA> {speaker} <NA> <NA>")
    _write_lines(path, lines)


def _field(text: str) -> str:
    """Return a text as a single field without whitespace."""
    return re.sub(r"\s", "_", show(text)) or "_"


def write_jsonl(timeline: Timeline, path: Path) -> None:
    """Write JSON Lines: one object per segment, see `json_line`."""
    _write_lines(path, (json_line(timeline.recording, row, timeline.speaker(row)) for row in ordered(timeline.rows)))


def json_line(recording: str | None, row: Row, speaker: str) -> str:
    """Return a segment as a JSON object on one line, with its keys in the order of the timeline columns.

    There is no key `recording` if `recording` is None. Values that must not be inferred are null. Names are escaped as
    in tables, so that the line is valid UTF-8.
    """
    recording_field = {} if recording is None else {"recording": show(recording)}
    return json.dumps(recording_field | _values(row, speaker), ensure_ascii=False, allow_nan=False)


def write_parquet(timeline: Timeline, path: Path) -> None:
    """Write an Apache Parquet table of segments.

    Values that must not be inferred are null. The file metadata holds what else is known about the recording. Raises
    UsageError if PyArrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UsageError("the format parquet needs PyArrow: pip install 'call-emotions[parquet]'") from error
    recording, length_s = show(timeline.recording), f"{timeline.length_s:.3f}"
    column_types = {"recording": pa.string(), **dict.fromkeys(TIMELINE_COLUMNS, pa.float32())}
    column_types |= {"start": pa.float64(), "end": pa.float64(), "channel": pa.int16()}
    column_types |= {"speaker": pa.string(), "emotion": pa.string()}
    file_metadata = timeline.about | {"recording": recording, "length_s": length_s, "call-emotions": __version__}
    schema = pa.schema(column_types.items(), metadata={show(name): show(text) for name, text in file_metadata.items()})
    records = [{"recording": recording, **_values(row, timeline.speaker(row))} for row in ordered(timeline.rows)]
    with open(path, "wb") as handle:  # PyArrow cannot open a path that is not UTF-8
        pq.write_table(pa.Table.from_pylist(records, schema=schema), handle)


def _values(row: Row, speaker: str) -> dict[str, float | str | None]:
    """Return the values of a segment by timeline column, in order and rounded as in the timeline.

    Values that must not be inferred are None.
    """
    inferred: tuple[float | str | None, ...] = (None,) * (2 + len(EMOTIONS))
    if row.confidence is not None:
        inferred = row.emotion, round(row.confidence, 4), *(round(p, 4) for p in row.probabilities)
    times = round(row.start, 3), round(row.end, 3)
    values = (*times, row.channel, show(speaker), *inferred, round(row.level_db, 1))
    return dict(zip(TIMELINE_COLUMNS, values, strict=True))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _distinct(names: Iterable[str]) -> list[str]:
    """Return the names made unique: a second `agent` becomes `agent_2`."""
    distinct: list[str] = []
    for name in names:
        numbered = (name if k == 1 else f"{name}_{k}" for k in range(1, len(distinct) + 2))
        distinct.append(next(candidate for candidate in numbered if candidate not in distinct))
    return distinct


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(f"{line}\n" for line in lines)
