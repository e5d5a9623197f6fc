"""Search of a whole output folder: where it contains texts, or emotions of speakers, that must not be there."""

import json
import os
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import openpyxl
import pyarrow.parquet

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.store.formats import EXTENSIONS
from analyzer.store.ledger import FILE_NAME, Ledger
from tests.helpers.pages import Parsed
from tests.helpers.runs import read_csv, read_workbook

#: A file below the output folder, and the part of it, or the emotion in it.
Found = tuple[str, str]
#: Columns of emotions in timelines, in recordings.csv and in the workbook, and further figures in the ledger.
IN_TIMELINES = ("emotion", "confidence", *EMOTIONS)
FIGURES = (
    *(f"share_{emotion}" for emotion in (*EMOTIONS, UNCERTAIN)),
    *(f"mean_{emotion}" for emotion in EMOTIONS),
    *(f"peak_{emotion}_s" for emotion in EMOTIONS),
)
IN_WORKBOOK = (
    *("negative", *EMOTIONS, UNCERTAIN, "negative, first third", "negative, last third", "change"),
    *("negative passages", "strongest at"),
)
MORE_FIGURES = (
    *("first_third", "last_third"),
    *("passages", "passage_start_s", "passage_end_s", "passage_emotion", "passage_negative_s", "passage_mean"),
)

# Texts.


def leaks(output: Path, *texts: str) -> list[Found]:
    """Return where any of these texts occurs: in names, contents, and contents that are packed or in a database."""
    wanted = [text.encode() for text in texts]
    return [
        (str(path.relative_to(output)), part)
        for path in sorted(output.rglob("*"))
        for part, content in _parts(path)
        if any(text in content for text in wanted)
    ]


def _parts(path: Path) -> Iterator[tuple[str, bytes]]:
    yield "name", os.fsencode(path.name)
    if not path.is_file():
        return
    content = path.read_bytes()
    yield "bytes", content
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            yield from ((name, book.read(name)) for name in book.namelist())
    elif path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        yield "rows", str((table.schema.metadata, table.to_pylist())).encode()
    elif path.suffix == ".png":
        yield from _picture_texts(content)
    elif content.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(path)) as database:
            database.text_factory = bytes
            for name in [row[0].decode() for row in database.execute("SELECT name FROM sqlite_master WHERE sql <> ''")]:
                for row in database.execute(f"SELECT * FROM {name}"):
                    yield name, b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in row)


def _picture_texts(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the chunks of a PNG file besides the picture itself, with texts decompressed."""
    at = 8
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + length]
        packed = body.partition(b"\0")[2].lstrip(b"\0\1") if kind in (b"zTXt", b"iTXt") else b""
        if kind not in (b"IDAT", b"IHDR", b"IEND"):
            yield kind.decode(), body + (zlib.decompress(packed) if packed[:1] == b"\x78" else b"")
        at += 12 + length


# Emotions.


def kept_figures(output: Path, role: str) -> list[str]:
    """Return the figures of a role in the ledger, each as its bytes in the file would show it."""
    with closing(Ledger(output, writable=False)) as ledger:
        stored = [channel.columns() for entry in ledger.entries() for channel in (entry.statistics or {}).values()]
    own = [
        figures for figures in stored if figures["speaker"] == role and figures["talk_s"] and "masked" not in figures
    ]
    return [json.dumps({name: figures[name] for name in (*FIGURES, *MORE_FIGURES)})[1:-1] for figures in own]


def emotion_texts(output: Path, *roles: str) -> list[str]:
    """Return the emotions of these roles in timelines and in the ledger, each as the bytes of the file show it."""
    rows = [row for _, row in _timeline_rows(output) if row["speaker"] in roles and row["emotion"]]
    in_timelines = [",".join(row[column] for column in IN_TIMELINES) for row in rows]
    return in_timelines + [figures for role in roles for figures in kept_figures(output, role)]


def emotions(output: Path, *roles: str) -> list[Found]:
    """Return where emotions of these roles occur: in timelines, tables, the ledger, and files of all formats."""
    found = [
        (place, str(row))
        for place, row in _timeline_rows(output)
        if row["speaker"] in roles and _any(row, IN_TIMELINES)
    ]
    rows = read_csv(output / "recordings.csv")
    found += [("recordings.csv", str(row)) for row in rows if row["speaker"] in roles and _any(row, FIGURES)]
    if (output / "summary.xlsx").exists():
        book = read_workbook(output / "summary.xlsx")
        cells = [dict(zip(book["Recordings"][0], row, strict=True)) for row in book["Recordings"][1:]]
        found += [("summary.xlsx", str(row)) for row in cells if row["speaker"] in roles and _any(row, IN_WORKBOOK)]
        at = book["Review first"][0].index("speaker")
        found += [("summary.xlsx", f"to review: {row}") for row in book["Review first"][1:] if row[at] in roles]
    found += [(FILE_NAME, figures) for role in roles for figures in kept_figures(output, role)]
    return found + [(place, text) for place, role, text in _in_formats(output) if role in roles]


def _any(row: dict, columns: tuple[str, ...]) -> bool:
    return any(row[column] not in (None, "") for column in columns)


def _timeline_rows(output: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for path in sorted((output / "timelines").rglob("*.csv")):
        yield from ((str(path.relative_to(output)), row) for row in read_csv(path))


def _in_formats(output: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, speaker and text of every emotion; every speaker of the timeline has to be in the file, too."""
    for name, reader in READERS.items():
        for path in sorted((output / name).glob(f"*/**/*{EXTENSIONS[name]}")):
            recording = str(path.relative_to(output / name)).removesuffix(EXTENSIONS[name])
            by_role = list(reader(path))
            speakers = {row["speaker"] for row in read_csv(output / "timelines" / f"{recording}.csv")}
            assert {role for role, _ in by_role} >= speakers
            yield from ((str(path.relative_to(output)), role, text) for role, text in by_role if text != "speech")


def _in_audacity(path: Path) -> Iterator[Found]:
    yield from re.findall(r"\t([^\t]+): ([^\n]+)\n", path.read_text())


def _in_textgrid(path: Path) -> Iterator[Found]:
    for tier in re.split(r"\n    item \[\d+\]:\n", path.read_text())[1:]:
        yield from ((re.findall('name = "(.+)"', tier)[0], text) for text in re.findall('text = "(.+)"', tier))


def _in_webvtt(path: Path) -> Iterator[Found]:
    yield from re.findall(r"<v ([^>]*)>(.*)</v>", path.read_text())


def _in_rttm(path: Path) -> Iterator[Found]:
    for line in map(str.split, path.read_text().splitlines()):
        yield line[7].replace("_", " "), "speech" if line[6] == line[8] == line[9] == "<NA>" else str(line)


def _in_rows(rows: list[dict]) -> Iterator[Found]:
    """Yield what rows with the columns of a timeline contain."""
    for row in rows:
        values = [row[column] for column in IN_TIMELINES]
        yield row["speaker"], "speech" if {*values} <= {None, "speech"} else str(values)


def _in_jsonl(path: Path) -> Iterator[Found]:
    return _in_rows([json.loads(line) for line in path.read_text().splitlines()])


def _in_parquet(path: Path) -> Iterator[Found]:
    return _in_rows(pyarrow.parquet.read_table(path).to_pylist())


def _in_xlsx_per_file(path: Path) -> Iterator[Found]:
    header, *cells = openpyxl.load_workbook(path)["Timeline"].values
    rows = [dict(zip(header, row, strict=True)) for row in cells]
    yield from _in_rows(rows)
    for name in (name for name in header if name.startswith("negative: ")):
        yield from ((name.removeprefix("negative: "), str(row[name])) for row in rows)


def _in_html(path: Path) -> Iterator[Found]:
    """Yield what the table of a page contains, then its lanes and the text beside them."""
    for attributes, cells in Parsed(path).rows:
        kind = attributes["data-kind"], cells[3], attributes["data-probability"] or cells[4]
        yield cells[2], "speech" if kind == ("masked", "not inferred", "") else str(kind)
    text = path.read_text(encoding="utf-8")
    parts = re.split(r'<div class="lane[ "]', text.partition('<ul class="legend"')[0])[1:]
    aside = text.partition("<aside>")[2].partition("</aside>")[0]
    yield from re.findall(r"</a>\s*([^,<]+), mostly (\w+)", aside)
    for part in (*parts, *aside.split("<section")[1:]):
        role = re.search(r"<strong>(.*?)</strong>|<h2[^>]*>(.*?)</h2>", part)
        for word in re.findall("[a-z]+", part) if role else ():
            if word in (*EMOTIONS, UNCERTAIN, "passage"):
                yield role[1] or role[2], word


#: How emotions are found in each format but pictures.
READERS: dict[str, Callable[[Path], Iterator[Found]]] = {
    "audacity": _in_audacity,
    "textgrid": _in_textgrid,
    "webvtt": _in_webvtt,
    "rttm": _in_rttm,
    "jsonl": _in_jsonl,
    "parquet": _in_parquet,
    "xlsx-per-file": _in_xlsx_per_file,
    "html": _in_html,
}
