"""Metadata of recordings, as people and spreadsheets write them."""

import os
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import UsageError
from analyzer.inputs.metadata import MetadataRow, read_metadata
from analyzer.inputs.resolution import MetadataResolver
from analyzer.names import Identity
from analyzer.store.entry import Entry
from tests.helpers.metadata import metadata
from tests.helpers.runs import Analyze, a_call


@pytest.mark.parametrize(
    "key", ["calls/2026/a.wav", "2026/a.wav", "a.wav", " a.wav "], ids=["shown", "below the input", "bare", "spaces"]
)
def test_names_of_a_file(key: str, tmp_path: Path) -> None:
    path = metadata(tmp_path, "file,recorded", f"{key},2020-02-02")
    row = MetadataResolver(metadata=read_metadata(path)).metadata_row(Identity("calls", "2026/a.wav"))
    assert row == MetadataRow("2020-02-02")
    assert MetadataResolver(metadata=read_metadata(path)).metadata_row(Identity("calls", "2026/b.wav")) is None


def test_most_specific_name_applies(tmp_path: Path) -> None:
    path = metadata(
        tmp_path, "file,recorded", "a.wav,2020-01-01", "2026/a.wav,2020-01-02", "calls/2026/a.wav,2020-01-03"
    )
    resolver = MetadataResolver(metadata=read_metadata(path))
    identities = [Identity("calls", "2026/a.wav"), Identity("other", "2026/a.wav"), Identity("calls", "a.wav")]
    assert [row.recorded for identity in identities if (row := resolver.metadata_row(identity))] == [
        "2020-01-03",
        "2020-01-02",
        "2020-01-01",
    ]


@pytest.mark.parametrize("name", [b"caf\xe9.wav", b"a\nb.wav", b"tab\t.wav"])
def test_names_as_shown_in_tables(name: bytes, tmp_path: Path) -> None:
    identity = Identity("calls", os.fsdecode(name))
    path = metadata(tmp_path, "file,recorded", f"{identity.shown},2020-02-02")
    assert MetadataResolver(metadata=read_metadata(path)).metadata_row(identity) == MetadataRow("2020-02-02")


def test_spreadsheet_csv(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes('\ufefffile,recorded,customer\r\n"a, b.wav",2020-02-02 10:00,"Ann ""Ö"""\r\nc.wav\r\n'.encode())
    assert read_metadata(path) == {
        "a, b.wav": MetadataRow("2020-02-02 10:00:00", groups={"customer": 'Ann "Ö"'}),
        "c.wav": MetadataRow(),
    }


BAD = {
    "no column file": (b"name,recorded\na.wav,2020-02-02\n", "no column file"),
    "nothing": (b"", "no column file"),
    "twice": (b"file\na.wav\nb.wav\na.wav\n", "line 4.*a.wav.*twice"),
    "too many cells": (b"file,queue\na.wav,b,c\n", "line 2.*too many cells"),
    "nameless": (b"file,queue\na.wav,b\n,c\n", "line 3.*no file"),
    "no time": (b"file,recorded\na.wav,yesterday\n", "line 2.*'yesterday'"),
    "no such day": (b"file,recorded\na.wav,2020-02-30\n", "line 2.*2020-02-30"),
    "an offset": (b"file,recorded\na.wav,2020-02-02T10:00+01:00\n", "line 2.*offset"),
    "Zulu time": (b"file,recorded\na.wav,2020-02-02T10:00Z\n", "line 2.*offset"),
    "a gap": (b"file,channel_1,channel_2\na.wav,,agent\n", "line 2.*gaps"),
    "a role twice": (b"file,channel_1,channel_2\na.wav,agent,agent\n", "line 2.*twice"),
    "a long role": (b"file,channel_1\na.wav," + b"x" * 41 + b"\n", "line 2.*no role"),
    "two columns of a name": (b"file,queue,queue\na.wav,b,c\n", "two columns called queue"),
    "two columns of a name in another case": (b"file,recorded,Recorded\na.wav,,\n", "two columns called recorded"),
    "a cell below no name": (b"file,,queue\na.wav,b,c\n", "line 2.*too many cells"),
    "other columns": (b"Name;Queue\na.wav;b\n", "no column file: the first row has Name, Queue"),
    "only empty rows": (b",,\n\n,,\n", "no column file: there is no row"),
    "a workbook": (b"PK\x03\x04rest", "cannot be read: it is a workbook"),
    "an old workbook": (b"\xd0\xcf\x11\xe0rest", "cannot be read: it is a workbook"),
    "zero bytes": (b"file\na\0b.wav\n", "cannot be read: it is no text"),
    "half a character of UTF-16": (b"\xff\xfef\0i", "column called file|cannot be read"),
    "no such day, with dots": (b"file,recorded\na.wav,31.2.2026\n", "line 2.*31.2.2026"),
    "after a line for Excel": (b"sep=;\nfile;queue\na.wav;b;c\n", "line 3.*too many cells"),
    "after lines within a cell": (b'file,customer\n"a\nb.wav",x\nb.wav,y,z\n', "line 4.*too many cells"),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_invalid_metadata_are_refused(content: tuple[bytes, str], tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_bytes(content[0])
    with pytest.raises(UsageError, match=f"(?s)metadata.csv.*{content[1]}"):
        read_metadata(path)


@pytest.mark.parametrize("what", ["missing.csv", "calls", "twice.csv"])
def test_unreadable_metadata_are_a_usage_error(
    tmp_path: Path, analyze: Analyze, what: str, capsys: pytest.CaptureFixture
) -> None:
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (tmp_path / "twice.csv").write_text("file\na.wav\na.wav\n")
    assert analyze(calls, "-o", tmp_path / "out", "--metadata", tmp_path / what) == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "out" / "recordings.csv").exists()


@given(
    st.binary(max_size=80).map(lambda rest: b"file,recorded,channel_1,channel_2,x\n" + rest)
    | st.text('file,recorded\n"a.wav2020-', max_size=80).map(str.encode)
)
def test_any_content_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        rows = read_metadata(path)
    except UsageError:
        return
    for row in rows.values():
        assert not row.recorded or datetime.fromisoformat(row.recorded)


@given(st.datetimes())
def test_any_time_is_read_back(tmp_path_factory: pytest.TempPathFactory, moment: datetime) -> None:
    path = tmp_path_factory.getbasetemp() / "moment.csv"
    path.write_text(f"file,recorded\na.wav,{moment.isoformat()}\n")
    (row,) = read_metadata(path).values()
    assert datetime.fromisoformat(row.recorded) == moment.replace(microsecond=0)
    entry = Entry(Identity("calls", "a.wav"), 1, 1, "ok", recorded=row.recorded, recorded_from="metadata")
    assert entry.when(ZoneInfo("UTC")) == (row.recorded, "from the metadata")


# Files of spreadsheets and editors.


def read_content(folder: Path, content: str | bytes, encoding: str = "utf-8") -> dict[str, MetadataRow]:
    path = folder / "metadata.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return read_metadata(path)


MUELLER = {"Müller.wav": MetadataRow("2026-11-24 09:15:00", ("agent", "customer"), {"queue": "Küche"})}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators(tmp_path: Path, encoding: str, end: str, separator: str) -> None:
    rows = ["file,recorded,channel_1,channel_2,queue", "Müller.wav,2026-11-24 09:15,agent,customer,Küche", ""]
    content = end.join(rows).replace(",", separator)
    assert read_content(tmp_path, content, encoding) == MUELLER
    for line in (f"sep={separator}", f'"sep={separator}"', f"SEP={separator}"):
        assert read_content(tmp_path, line + end + content, encoding) == MUELLER


@pytest.mark.parametrize(
    "content",
    [
        "File;Recorded;CHANNEL_1;Channel_2;queue\nMüller.wav;24.11.2026 09:15;agent;customer;Küche",
        '"file";"recorded";"channel_1";"channel_2";"queue"\n'
        '"Müller.wav";"24.11.2026 9:15:00";"agent";"customer";"Küche"',
        "file, recorded, channel_1, channel_2, queue\nMüller.wav, 2026-11-24T09:15, agent, customer, Küche",
        '"file" , "recorded", "channel_1" ,channel_2, queue\n'
        '"Müller.wav" , 2026-11-24T09:15 , "agent", customer , "Küche"',
        "\n,,,,\nfile,recorded,channel_1,channel_2,queue,,\n,,,,,,\n"
        "Müller.wav,2026-11-24 09:15,agent,customer,Küche,,\n,,,,,,\n\n",
        "sep=|\nfile|recorded|channel_1|channel_2|queue\nMüller.wav|2026-11-24 09:15|agent|customer|Küche",
        "queue;x;file;recorded;channel_1;channel_2\nKüche;;Müller.wav;2026-11-24 09:15;agent;customer",
    ],
    ids=["other case", "quoted", "blanks", "blanks and quotes", "empty rows", "a separator of its own", "other order"],
)
def test_layouts_of_rows(tmp_path: Path, content: str) -> None:
    assert read_content(tmp_path, content) == MUELLER


def test_separators_and_lines_in_cells(tmp_path: Path) -> None:
    rows = read_content(tmp_path, 'file;queue\r\n"a;b, c.wav";"x\r\ny"\r\n')
    assert rows == {"a;b, c.wav": MetadataRow(groups={"queue": "x\r\ny"})}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("24.11.2026", "2026-11-24"),
        ("4.3.2026", "2026-03-04"),
        ("24.11.2026 09:15", "2026-11-24 09:15:00"),
        ("4.3.2026 9:15:30", "2026-03-04 09:15:30"),
        ("2026-11-24", "2026-11-24"),
        ("20261124", "2026-11-24"),
        ("2026-11-24T09:15:30", "2026-11-24 09:15:30"),
    ],
)
def test_forms_of_days_and_times(tmp_path: Path, cell: str, expected: str) -> None:
    assert read_content(tmp_path, f"file;recorded\na.wav;{cell}\n")["a.wav"].recorded == expected


visible = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"])


@given(st.text(visible, min_size=1, max_size=9), st.text(visible, min_size=1, max_size=9), st.sampled_from(",;\t"))
def test_any_name_and_group_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, queue: str, separator: str
) -> None:
    quoted = separator.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in (name, queue))
    rows = read_content(tmp_path_factory.getbasetemp(), f"file{separator}queue\n{quoted}\n", "utf-8-sig")
    assert rows == {name: MetadataRow(groups={"queue": queue})}
