"""No format keeps anything that is masked, must not be inferred, or was pruned."""

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow.parquet
import pytest

from analyzer import relabel
from analyzer.cli import main
from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.formats import EXTENSIONS, FORMATS
from analyzer.ledger import Ledger
from analyzer.report import rendering
from tests.encoders import write_wav
from tests.nights import Analyze, a_call, at_noon, contents, read_csv
from tests.test_masking import NUMBER, PATTERN, holding, private_calls
from tests.test_page import Parsed
from tests.test_relabel import killed_at
from tests.test_roles import BOTH, CUSTOMER, a_dialogue, a_side, analysed, has_emotions

ALL = ("--format", ",".join(FORMATS))


def packed(path: Path) -> Iterator[str | bytes]:
    """Yield the compressed content of a file, which its bytes do not show."""
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            yield from (book.read(name) for name in book.namelist())
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        yield from (str(table.schema.metadata), str(table.to_pylist()))
    if path.suffix == ".png":
        yield from (text for kind, text in chunks(path.read_bytes()) if kind not in (b"IDAT", b"IHDR", b"IEND"))


def chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG file, with texts decompressed."""
    at = 8
    while at < len(picture):
        length, kind = struct.unpack_from(">I4s", picture, at)
        body = picture[at + 8 : at + 8 + length]
        packed_text = body.partition(b"\0")[2].lstrip(b"\0\1") if kind in (b"zTXt", b"iTXt") else b""
        yield kind, body + (zlib.decompress(packed_text) if packed_text[:1] == b"\x78" else b"")
        at += 12 + length


def mentions(output: Path, what: str) -> list[str]:
    """Return where a text occurs below an output folder: in names, bytes, compressed content and the ledger."""
    found = holding(output, what.encode())
    for path in output.rglob("*"):
        told = list(packed(path)) if path.is_file() else []
        found += [f"in {path}" for one in told if (what if isinstance(one, str) else what.encode()) in one]
    return found


def folders(output: Path, found: list[str], how: str = "") -> set[str]:
    """Return the result folders among `found`, limited to file names (how `/`) or file contents (how `in `)."""
    places = [line.split(f"{output}/")[1] for line in found if line.startswith(how) and f"{output}/" in line]
    return {Path(place).parts[0] for place in places}


# Names.


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return private_calls(tmp_path / NUMBER / f"calls-{NUMBER}")


@pytest.fixture
def told(tmp_path: Path) -> list[str]:
    """Options that give a call metadata full of numbers."""
    path = tmp_path / "metadata.csv"
    path.write_text(f"file,channel_1,customer,queue\nin-{NUMBER}.wav,caller {NUMBER},{NUMBER},sales {NUMBER}\n")
    return ["--metadata", str(path), "--name-pattern", PATTERN]


def test_without_masking_the_search_finds_numbers_in_every_format(
    calls: Path, told: list[str], tmp_path: Path, analyze: Analyze
) -> None:
    assert analyze(calls, "-o", tmp_path / "out", *ALL, *told) == 1
    found = mentions(tmp_path / "out", NUMBER)
    assert folders(tmp_path / "out", found, "in ") >= EXTENSIONS.keys() - {"png"}
    assert folders(tmp_path / "out", found, "/") >= EXTENSIONS.keys()


def test_a_masked_run_leaves_a_number_in_no_format(
    calls: Path, told: list[str], tmp_path: Path, analyze: Analyze
) -> None:
    output = tmp_path / "out"
    assert analyze(calls, "-o", output, *ALL, *told, "--mask-names") == 1
    assert mentions(output, NUMBER) == []
    assert all(len(list((output / name).rglob(f"*{extension}"))) >= 3 for name, extension in EXTENSIONS.items())
    assert main(["report", str(output), *ALL, "--match", f"*{NUMBER}*"]) == 0
    assert mentions(output, NUMBER) == []


def test_no_digits_of_seven_or_more_but_dates_are_left_that_stood_in_names(
    calls: Path, told: list[str], tmp_path: Path, analyze: Analyze
) -> None:
    output = tmp_path / "out"
    a_call(calls / "99887766554433" / "5550001.wav", seed=5)
    assert analyze(calls, "-o", output, *ALL, *told, "--mask-names") == 1
    runs = {run for path in calls.rglob("*") for run in re.findall(r"\d{7,}", str(path.relative_to(tmp_path)))}
    assert runs == {NUMBER, "20261124", "99887766554433", "5550001"}
    assert [mentions(output, run) for run in runs - {"20261124"}] == [[], [], []]


@pytest.mark.parametrize("formats", [ALL, ("--format", "csv"), ()], ids=["all", "csv", "default"])
def test_masking_turned_on_later_leaves_a_number_in_no_format(
    calls: Path, told: list[str], tmp_path: Path, analyze: Analyze, formats: tuple[str, ...]
) -> None:
    """Even if formats of earlier runs are no longer requested, or recordings are gone."""
    output = tmp_path / "out"
    a_call(calls / "gone" / f"{NUMBER}.wav", seed=8)
    assert analyze(calls, "-o", output, *ALL, *told) == 1
    (calls / "gone" / f"{NUMBER}.wav").unlink()
    assert analyze(calls, "-o", output, *told, *formats, "--mask-names") == 1
    assert mentions(output, NUMBER) == []
    assert len(list(output.glob("timelines/**/*.csv"))) == 4
    assert len(list(output.glob("html/*/**/*.html"))) == (4 if formats == ALL else 0)


def test_a_number_in_a_folder_above_recordings_is_masked_too(tmp_path: Path, analyze: Analyze) -> None:
    """Links in pages contain the path, even if neither the label nor the names of recordings have the number."""
    calls, output = a_call(tmp_path / f"{NUMBER}" / "x" / "a.wav").parent, tmp_path / "out"
    assert analyze(f"calls={calls}", "-o", output, *ALL) == 0
    assert mentions(output, NUMBER)
    assert analyze(f"calls={calls}", "-o", output, *ALL, "--mask-names") == 0
    assert mentions(output, NUMBER) == []
    assert len(list(output.glob("*/calls/a.wav.*"))) == 1 + len(EXTENSIONS)


@pytest.mark.parametrize("masked_from", [1, 2])
@pytest.mark.parametrize("embed", [[], ["--embed-audio"]])
def test_a_page_of_masked_names_leads_to_no_recording_and_holds_none(
    tmp_path: Path, analyze: Analyze, masked_from: int, embed: list[str]
) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    for night in (1, 2):
        options = ["--mask-names"] if night >= masked_from else []
        assert analyze(calls, "-o", output, "--format", "html", *embed, *options) == 0
    (page,) = output.glob("html/calls/*")
    text = page.read_text(encoding="utf-8")
    assert "<audio" not in text and "src=" not in text
    assert "data:audio/ogg" not in text and "/calls/" not in text
    assert "Names are masked" in Parsed(page).text


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (relabel, "_delete_strays", 1),
        (relabel, "delete_formats", 2),
        (relabel, "_move_timeline", 2),
        (Ledger, "rename", 1),
        (rendering, "write", 2),
    ],
)
def test_masking_that_is_killed_leaves_a_number_in_no_format_after_the_next_run(
    calls: Path, told: list[str], tmp_path: Path, analyze: Analyze, owner: object, name: str, call: int
) -> None:
    output, formats = tmp_path / "out", ("--format", "html,jsonl,xlsx-per-file")
    assert analyze(calls, "-o", output, *formats, *told) == 1
    with killed_at(owner, name, call):
        analyze(calls, "-o", output, *formats, *told, "--mask-names")
    assert analyze(calls, "-o", output, *formats, *told, "--mask-names") == 1
    assert mentions(output, NUMBER) == []
    assert len(list(output.glob("html/*/**/*.html"))) == len(list(output.glob("jsonl/**/*.jsonl"))) == 3


# Emotions.

LABELS = (*EMOTIONS, UNCERTAIN)


def in_audacity(path: Path, role: str) -> list[object]:
    return [said for who, said in re.findall(r"\t([^\t]+): ([^\n]+)\n", path.read_text()) if who == role]


def in_textgrid(path: Path, role: str) -> list[object]:
    tiers = re.split(r"\n    item \[\d+\]:\n", path.read_text())[1:]
    return [text for tier in tiers if f'name = "{role}"' in tier for text in re.findall(r'text = "(.+)"', tier)]


def in_webvtt(path: Path, role: str) -> list[object]:
    return re.findall(f"<v {role}>(.*)</v>", path.read_text())


def in_rttm(path: Path, role: str) -> list[object]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return ["speech" if line[6] == line[8] == line[9] == "<NA>" else line for line in lines if line[7] == role]


def in_rows(rows: list[dict], role: str) -> list[object]:
    """Return the emotions in rows with the columns of a timeline."""
    own = [row for row in rows if row["speaker"] == role]
    told = [{name: row[name] for name in ("emotion", "confidence", *EMOTIONS)} for row in own]
    return ["speech" if {*row.values()} <= {None, "speech"} else row["emotion"] for row in told]


def in_jsonl(path: Path, role: str) -> list[object]:
    return in_rows([json.loads(line) for line in path.read_text().splitlines()], role)


def in_parquet(path: Path, role: str) -> list[object]:
    return in_rows(pyarrow.parquet.read_table(path).to_pylist(), role)


def in_xlsx_per_file(path: Path, role: str) -> list[object]:
    header, *rows = openpyxl.load_workbook(path)["Timeline"].values
    of_it = [header.index(f"negative: {role}")] if f"negative: {role}" in header else []
    named = [dict(zip(header, row, strict=True)) for row in rows]
    return in_rows(named, role) + [row[k] for row in rows for k in of_it]


def in_html(path: Path, role: str) -> list[object]:
    """Return the emotions in the table, the bars of the lane and the text beside them."""
    text, page = path.read_text(encoding="utf-8"), Parsed(path)
    in_table = [cells[3] if not cells[4] else cells[3:5] for _, cells in page.rows if cells[2] == role]
    told = ["speech" if said == "not inferred" else said for said in in_table]
    lanes = re.split(r'<div class="lane[ "]', text.partition('<ul class="legend"')[0])[1:]
    own = [lane for lane in lanes if f"<strong>{role}</strong>" in lane]
    aside = text.partition("<aside>")[2].partition("</aside>")[0]
    own += [section for section in aside.split("<section")[1:] if f">{role}</h2>" in section or f"{role}," in section]
    return told + [word for part in own for word in re.findall(r"[a-z]+", part) if word in (*LABELS, "passage")]


READERS: dict[str, Callable[[Path, str], list[object]]] = {
    "audacity": in_audacity,
    "textgrid": in_textgrid,
    "webvtt": in_webvtt,
    "rttm": in_rttm,
    "jsonl": in_jsonl,
    "parquet": in_parquet,
    "xlsx-per-file": in_xlsx_per_file,
    "html": in_html,
}


def test_every_format_but_pictures_can_be_asked_for_emotions() -> None:
    assert READERS.keys() == EXTENSIONS.keys() - {"png"}


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of an agent and a customer, and one of an unknown speaker."""
    folder = tmp_path_factory.mktemp("private") / "calls"
    a_dialogue(folder / "two.wav")
    write_wav(folder / "mono.wav", a_side(5, 110))
    return at_noon(folder)


@pytest.fixture(scope="module")
def unmasked(dialogues: Path, analyze: Analyze) -> Path:
    assert analyze(dialogues, "-o", dialogues.parent / "unmasked", *ALL, *BOTH) == 0
    return dialogues.parent / "unmasked"


@pytest.fixture(scope="module")
def masked(dialogues: Path, analyze: Analyze) -> Path:
    assert analyze(dialogues, "-o", dialogues.parent / "masked", *ALL, *CUSTOMER) == 0
    return dialogues.parent / "masked"


def one(output: Path, name: str, recording: str) -> Path:
    (path,) = (output / name).rglob(f"{recording}.*")
    return path


def emotions(output: Path, name: str, recording: str, role: str) -> set[str]:
    """Return what a format says about a role in a recording, except that it speaks."""
    found = READERS[name](one(output, name, recording), role)
    assert found
    return {str(said) for said in found if said != "speech"}


@pytest.mark.parametrize("name", READERS)
def test_a_format_tells_the_customer_s_emotions_and_not_the_agent_s(unmasked: Path, masked: Path, name: str) -> None:
    told = {role: emotions(unmasked, name, "two.wav", role) for role in ("agent", "customer")}
    assert all(told.values()) or name == "rttm"
    assert emotions(masked, name, "two.wav", "agent") == set()
    assert emotions(masked, name, "two.wav", "customer") == told["customer"]
    assert emotions(masked, name, "mono.wav", "mixed") == set()
    assert emotions(unmasked, name, "mono.wav", "mixed") or name == "rttm"


def test_a_page_on_which_nobody_s_emotions_are_inferred_names_none(unmasked: Path, masked: Path) -> None:
    for output, named in ((unmasked, True), (masked, False)):
        page = Parsed(one(output, "html", "mono.wav"))
        words = {*re.findall("[a-z]+", page.text)}
        kinds = {kind for _, name, value in page.attributes if name == "class" for kind in (value or "").split()}
        assert bool(words & {*LABELS}) == named
        assert bool(kinds & {*LABELS} - {UNCERTAIN}) in (named, False)  # every page has a pattern for uncertain


def test_a_picture_shows_whether_emotions_are_inferred(unmasked: Path, masked: Path) -> None:
    for name in ("two.wav", "mono.wav"):
        assert one(unmasked, "png", name).read_bytes() != one(masked, "png", name).read_bytes()


def made(output: Path) -> dict[str, bytes]:
    return {
        f"{name}/{path}": content for name in EXTENSIONS for path, content in contents(output / name, "**/*.*").items()
    }


def test_a_stricter_rule_leaves_in_every_format_what_a_run_under_it_would_have_left(
    dialogues: Path, unmasked: Path, masked: Path, analyze: Analyze
) -> None:
    output = dialogues.parent / "stricter"
    assert analyze(dialogues, "-o", output, *ALL, *BOTH) == 0
    assert made(output) == made(unmasked)
    assert analyze(dialogues, "-o", output, *ALL, *CUSTOMER) == 0
    assert analysed(output) == {}
    assert made(output) == made(masked)
    assert has_emotions(output, "agent", "mixed") == []


def test_a_stricter_rule_leaves_no_file_of_formats_that_are_not_asked_for_any_more(
    dialogues: Path, masked: Path, analyze: Analyze
) -> None:
    output = dialogues.parent / "dropped"
    assert analyze(dialogues, "-o", output, *ALL, *BOTH) == 0
    assert analyze(dialogues, "-o", output, *CUSTOMER) == 0
    assert made(output) == {}
    assert main(["report", str(output), *ALL]) == 0
    assert made(output) == made(masked)


def test_a_stricter_rule_holds_in_every_format_for_recordings_that_are_gone(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    gone = a_dialogue(calls / "two.wav")
    a_dialogue(calls / "stays.wav", seed=1)
    assert analyze(calls, "-o", output, *ALL, *BOTH) == 0
    gone.unlink()
    assert analyze(calls, "-o", output, *ALL, *CUSTOMER) == 0
    for name in READERS:
        assert emotions(output, name, "two.wav", "agent") == set()
        assert emotions(output, name, "two.wav", "customer") or name == "rttm"


@pytest.mark.parametrize(("owner", "name"), [(relabel, "write_timeline"), (Ledger, "amend"), (rendering, "write")])
def test_blanking_that_is_killed_leaves_no_emotion_in_any_format_after_the_next_run(
    tmp_path: Path, analyze: Analyze, owner: object, name: str
) -> None:
    calls, output, formats = tmp_path / "calls", tmp_path / "out", ("--format", "html,jsonl")
    for k, call in enumerate(("two.wav", "other.wav")):
        a_dialogue(calls / call, seed=k)
    assert analyze(calls, "-o", output, *formats, *BOTH) == 0
    with killed_at(owner, name, 2):
        analyze(calls, "-o", output, *formats, *CUSTOMER)
    assert analyze(calls, "-o", output, *formats, *CUSTOMER) == 0
    assert analyze(calls, "-o", tmp_path / "new", *formats, *CUSTOMER) == 0
    assert made(output) == made(tmp_path / "new")


def test_the_index_and_the_workbook_count_no_agent(tmp_path: Path, analyze: Analyze) -> None:
    """Even if emotions of both are inferred, counts over calls are those of the customers."""
    calls = tmp_path / "calls"
    quiet = np.zeros_like(a_side(1, 110))
    write_wav(calls / "agent only.wav", np.stack([a_side(1, 110), quiet]))
    assert analyze(at_noon(calls), "-o", tmp_path / "out", "--format", "xlsx,html", *BOTH) == 0
    page = (tmp_path / "out" / "html" / "index.html").read_text()
    (rows,) = re.findall(r'id="rows">(.*?)</script>', page, flags=re.DOTALL)
    (row,) = json.loads(rows)
    assert "agent" in row[3]
    assert row[7:10] == [None, None, ""]
    cells = openpyxl.load_workbook(tmp_path / "out" / "summary.xlsx")["Days"].values
    header, day = next(cells), next(cells)
    assert {day[header.index(name)] for name in LABELS} == {None}


# Pruning.


@pytest.mark.parametrize("asked_for", [ALL, ()], ids=["all", "default"])
def test_nothing_is_left_of_what_is_pruned_in_any_format(
    tmp_path: Path, analyze: Analyze, asked_for: tuple[str, ...]
) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for k, name in enumerate(("secrets/secret.wav", "b.wav", "c.wav")):
        a_call(calls / name, seed=k)
    assert analyze(calls, "-o", output, *ALL, "--embed-audio") == 0
    assert folders(output, mentions(output, "secret")) >= EXTENSIONS.keys()
    before = {name: content for name, content in made(output).items() if "secret" not in name}
    left = output / "html" / "calls" / ".writing-0123456789abcdef.tmp"
    left.write_text("half a page of secret.wav")  # of a killed run
    assert main(["prune", "-o", str(output), "--match", "*secret*"]) == 0
    assert mentions(output, "secret") == []
    after = made(output)
    index = after.pop("html/index.html"), before.pop("html/index.html")
    assert after == before and index[0] != index[1]
    assert analyze(calls, "-o", output, *asked_for) == 0
    assert main(["report", str(output)]) == 0
    assert mentions(output, "secret") == []


def test_what_is_pruned_is_in_no_workbook_even_where_tables_are_gone(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for k, name in enumerate(("secret.wav", "b.wav")):
        a_call(calls / name, seed=k)
    assert analyze(calls, "-o", output, *ALL) == 0
    (output / "recordings.csv").unlink()
    assert main(["prune", "-o", str(output), "--match", "*secret*"]) == 0
    assert mentions(output, "secret") == []
    assert [row["file"] for row in read_csv(output / "files.csv")] == ["calls/b.wav"]


def test_what_is_pruned_and_still_being_deleted_is_in_no_report(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = tmp_path / "calls", tmp_path / "out"
    for k, name in enumerate(("secret.wav", "b.wav")):
        a_call(calls / name, seed=k)
    assert analyze(calls, "-o", output) == 0
    with closing(Ledger(output)) as ledger:
        ledger.mark_pruned([entry.identity for entry in ledger.entries() if "secret" in entry.identity.path])
    assert main(["report", str(output), *ALL]) == 0
    assert not [path for name in EXTENSIONS for path in (output / name).rglob("*secret*")]
    assert analyze(calls, "-o", output, *ALL) == 0
    assert mentions(output, "secret") == []
