"""Tables, workbook and pages, recreated from timelines and ledger alone, and for other selections of recordings."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from analyzer import audio, batch, recording
from analyzer.cli import main
from analyzer.formats import EXTENSIONS
from analyzer.ledger import Ledger
from analyzer.lock import held
from analyzer.report import opus, tables
from analyzer.signals import StopSignals
from tests.nights import Analyze, a_call, contents, read_csv, read_workbook, states
from tests.test_relabel import killed_at
from tests.test_roles import analysed

NUMBER = "0821123456"
PATTERN = r"_(?P<queue>[a-z]+)_(?P<date>\d{8})"
#: Calls of two queues; only the latest two days lie within 35 days.
CALLS = (
    *("a_billing_20260810.wav", "b_billing_20261001.wav", "c_sales_20261105.wav", "d_billing_20261124.wav"),
    f"{NUMBER}_sales_20261124.wav",
)
USUAL = {"c_sales_20261105.wav", "d_billing_20261124.wav", f"{NUMBER}_sales_20261124.wav"}


def report(output: Path, *options: object, jobs: int = 1) -> int:
    return main(["report", str(output), "-j", str(jobs), *map(str, options)])


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Path:
    """The results of a run; tests only read them."""
    folder = tmp_path_factory.mktemp("reported")
    for k, name in enumerate(CALLS):
        a_call(folder / "calls" / name, seed=k)
    options = ["--name-pattern", PATTERN, "--format", "csv,xlsx,html,jsonl"]
    assert analyze(folder / "calls", "-o", folder / "out", *options) == 0
    shutil.rmtree(folder / "calls")
    return folder / "out"


@pytest.fixture
def output(night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy for a test that changes it. The recordings are gone, and opening one is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a recording was opened")

    for owner in (audio, batch, opus, recording):
        monkeypatch.setattr(owner, "open_audio", refuse)
    shutil.copytree(night, tmp_path / "out")
    return tmp_path / "out"


def told_in_workbook(output: Path) -> set[str]:
    rows = read_workbook(output / "summary.xlsx")["Recordings"][1:]
    return {str(row[0]).removeprefix("calls/") for row in rows}


def told_in_index(output: Path) -> set[str]:
    page = (output / "html" / "index.html").read_text(encoding="utf-8")
    (rows,) = re.findall(r'<script type="application/json" id="rows">(.*?)</script>', page, flags=re.DOTALL)
    return {row[0].removeprefix("calls/") for row in json.loads(rows)}


# Recreated results.


def test_a_report_makes_what_the_night_made(night: Path, output: Path) -> None:
    for path in (*output.glob("*.csv"), output / "summary.xlsx", output / "html" / "index.html"):
        path.unlink()
    assert report(output, "--format", "csv,xlsx,html,jsonl") == 0
    assert contents(output, "*.csv") == contents(night, "*.csv")
    assert contents(output, "html/*.html") == contents(night, "html/*.html")
    assert read_workbook(output / "summary.xlsx") == read_workbook(night / "summary.xlsx")


def test_a_report_touches_no_file_of_a_recording_that_stands_as_it_is(output: Path) -> None:
    before = {name: states(output / name) for name in ("timelines", "jsonl", "html/calls")}
    assert report(output) == 0
    assert {name: states(output / name) for name in before} == before


def test_without_a_format_it_makes_what_is_there(output: Path) -> None:
    folders = {path.name for path in output.iterdir()}
    for path in (output / "summary.xlsx", output / "html" / "index.html"):
        path.write_bytes(b"old")
    assert report(output) == 0
    assert {path.name for path in output.iterdir()} == folders
    assert told_in_workbook(output) == told_in_index(output) == USUAL
    (output / "summary.xlsx").unlink()
    shutil.rmtree(output / "html")
    (output / "recordings.csv").unlink()
    assert report(output) == 0
    assert {path.name for path in output.iterdir()} == folders - {"summary.xlsx", "html"}


def test_a_workbook_is_there_even_where_no_csv_is(output: Path) -> None:
    (output / "recordings.csv").unlink()
    (output / "summary.xlsx").write_bytes(b"old")
    assert report(output) == 0
    assert told_in_workbook(output) == USUAL


def test_a_report_in_all_formats_makes_them_of_nothing_but_what_is_stored(output: Path) -> None:
    assert report(output, "--format", ",".join(EXTENSIONS)) == 0
    for name, extension in EXTENSIONS.items():
        made = {path.name for path in (output / name / "calls").iterdir()}
        assert made == {f"{call}{extension}" for call in CALLS}


def test_a_report_says_what_to_open(output: Path, capsys: pytest.CaptureFixture) -> None:
    assert report(output) == 0
    said = capsys.readouterr()
    title, *named = said.out.splitlines()
    assert title == "to open:"
    assert [Path(line.strip()) for line in named] == [
        output / name for name in ("summary.xlsx", "html/index.html", "recordings.csv", "files.csv")
    ]
    assert report(output, "-q") == 0
    assert capsys.readouterr() == ("", "") and said.err == ""


def test_what_a_killed_run_left_half_written_is_removed(output: Path) -> None:
    left = output / "html" / "calls" / ".writing-0123456789abcdef.tmp"
    left.write_text("half")
    (output / ".lock").write_text("a process that is gone")
    assert report(output) == 0
    assert not left.exists()


# Other selections of recordings.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--since", "2026-11-10"], {CALLS[3], CALLS[4]}),
        (["--until", "2026-10-01"], {CALLS[0], CALLS[1]}),
        (["--since", "2026-09-01", "--until", "2026-11-05"], {CALLS[1], CALLS[2]}),
        (["--since", "2026-11-05", "--until", "2026-11-05"], {CALLS[2]}),
        (["--since", "2027-01-01"], set()),
        (["--match", "calls/*_billing_*"], {CALLS[3]}),  # only of the latest 35 days
        (["--match", "calls/*_billing_*", "--since", "2000-01-01"], {CALLS[0], CALLS[1], CALLS[3]}),
        (["--match", "calls/*_billing_2026*0*", "--until", "2026-08-31"], {CALLS[0]}),
        (["--match", "nobody"], set()),
    ],
)
def test_workbook_and_index_are_about_the_recordings_asked_for_and_tables_about_all(
    night: Path, output: Path, options: list[str], told: set[str]
) -> None:
    assert report(output, *options) == 0
    assert told_in_workbook(output) == told_in_index(output) == told
    assert contents(output, "*.csv") == contents(night, "*.csv")
    assert {path.name for path in (output / "html" / "calls").iterdir()} == {f"{call}.html" for call in CALLS}


def test_only_files_of_the_recordings_asked_for_are_made(output: Path) -> None:
    assert report(output, "--since", "2026-11-01", "--match", "*sales*", "--format", "webvtt") == 0
    assert {path.name for path in (output / "webvtt" / "calls").iterdir()} == {f"{CALLS[2]}.vtt", f"{CALLS[4]}.vtt"}


def test_a_name_with_the_oldest_days_is_told_of_the_newest_of_them(output: Path) -> None:
    assert report(output, "--match", "calls/*_billing_2026*0*") == 0
    assert told_in_workbook(output) == {CALLS[1]}  # 52 days later than the other


@pytest.fixture
def known(tmp_path: Path, analyze: Analyze) -> tuple[Path, Path, list[str]]:
    """Calls of more than a month that still exist, their results, and the options of every run."""
    calls, output = tmp_path / "calls", tmp_path / "out"
    for k, name in enumerate(CALLS[1:4]):
        a_call(calls / name, seed=k)
    options = ["--name-pattern", PATTERN, "--format", "csv,xlsx,html"]
    assert analyze(calls, "-o", output, *options) == 0
    return calls, output, options


def test_the_next_night_is_about_the_usual_days_again(
    known: tuple[Path, Path, list[str]], tmp_path: Path, analyze: Analyze
) -> None:
    calls, output, options = known
    index, cells = (output / "html" / "index.html").read_bytes(), read_workbook(output / "summary.xlsx")
    csv = states(output, "*.csv")
    assert report(output, "--until", "2026-10-31") == 0
    assert told_in_workbook(output) == told_in_index(output) == {CALLS[1]}
    for _ in range(2):
        assert analyze(calls, "-o", output, *options) == 0
        assert analysed(output) == {}
        assert (output / "html" / "index.html").read_bytes() == index
        assert read_workbook(output / "summary.xlsx") == cells
    assert {name: content for name, (_, _, content) in states(output, "*.csv").items()} == {
        name: content for name, (_, _, content) in csv.items()
    }


def test_a_report_of_the_usual_leaves_nothing_to_the_next_night(
    known: tuple[Path, Path, list[str]], analyze: Analyze
) -> None:
    calls, output, options = known
    assert report(output) == 0
    before = {name: state for name, state in states(output).items() if name.endswith((".csv", ".xlsx", ".html"))}
    assert analyze(calls, "-o", output, *options) == 0
    after = {name: state for name, state in states(output).items() if name.endswith((".csv", ".xlsx", ".html"))}
    assert after == before


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Ledger, "tables_are_stale"),
        (tables, "write"),
        (tables, "_write_csv"),
        (tables, "_write_selected"),
        (Ledger, "views_are_fresh"),
    ],
)
def test_a_report_of_other_days_that_is_killed_is_not_taken_for_the_usual(
    known: tuple[Path, Path, list[str]], analyze: Analyze, owner: object, name: str
) -> None:
    calls, output, options = known
    with killed_at(owner, name, 1):
        report(output, "--until", "2026-10-31")
    assert analyze(calls, "-o", output, *options) == 0
    assert told_in_workbook(output) == told_in_index(output) == {CALLS[2], CALLS[3]}


def test_pruning_after_a_report_of_other_days_leaves_no_mention(known: tuple[Path, Path, list[str]]) -> None:
    _, output, _ = known
    assert report(output, "--until", "2026-10-31") == 0
    assert main(["prune", "-o", str(output), "--match", f"*{CALLS[1]}"]) == 0
    assert told_in_workbook(output) == told_in_index(output) == {CALLS[2], CALLS[3]}
    assert not [path for path in output.rglob("*") if CALLS[1] in path.name]


def test_a_report_without_recordings_is_no_failure(tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "calls").mkdir()
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out") == 0
    for options in ([], ["--format", "html,png"], ["--since", "2026-01-01"], ["--match", "*"]):
        assert report(tmp_path / "out", *options) == 0


@pytest.fixture
def masked(tmp_path: Path, analyze: Analyze) -> Path:
    for k, name in enumerate(CALLS[3:]):
        a_call(tmp_path / "calls" / name, seed=k)
    options = ["--mask-names", "--name-pattern", PATTERN, "--format", "csv,xlsx,html"]
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", *options) == 0
    return tmp_path / "out"


@pytest.mark.parametrize(("pattern", "found"), [(f"*{NUMBER}*", 1), ("*sales*", 1), ("*", 2), ("*0821999999*", 0)])
def test_masked_names_are_found_by_their_whole_number(masked: Path, pattern: str, found: int) -> None:
    assert report(masked, "--match", pattern) == 0
    told = told_in_index(masked)
    assert len(told) == found
    assert not any(NUMBER in name for name in told)


@pytest.mark.parametrize(
    ("pattern", "said"), [(f"*{NUMBER[:5]}*", "only a whole number"), ("*nobody*", "no recording")]
)
def test_names_that_no_recording_has_are_told_of(
    masked: Path, pattern: str, said: str, capsys: pytest.CaptureFixture
) -> None:
    assert report(masked, "--match", pattern) == 0
    assert said in capsys.readouterr().err


def test_a_report_of_masked_names_leads_to_no_recording(masked: Path) -> None:
    shutil.rmtree(masked / "html")
    assert report(masked, "--format", "html") == 0
    pages = [path.read_text() for path in (masked / "html").glob("calls/*.html")]
    assert len(pages) == 2
    assert not any("<audio" in page or NUMBER in page for page in pages)


# Usage errors and obstacles.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--since", "yesterday"], "'yesterday' is no day: give one such as 2026-11-24"),
        (["--since", "2026-02-30"], "'2026-02-30' is no day"),
        (["--until", "24.11.2026"], "'24.11.2026' is no day"),
        (["--since", ""], "'' is no day"),
        (["--since", "2026-11-24", "--until", "2026-11-23"], "--since is later than --until"),
        (["--format", "pdf"], "unknown format 'pdf': give some of csv,xlsx,html"),
        (["-j", "0"], "'0' is not a number"),
        (["--speakers", "agent"], "unrecognized arguments"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_that_says_what_can(
    output: Path, options: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    before = states(output)
    with pytest.raises(SystemExit) as refused:
        main(["report", str(output), *options])
    assert refused.value.code == 2
    said = capsys.readouterr().err
    assert words in said.splitlines()[-1]
    assert states(output) == before


def test_a_folder_has_to_be_named(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["report"])
    assert refused.value.code == 2
    assert "DIR" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["empty", "nowhere", "file"])
def test_where_there_are_no_results_it_ends_with_2_and_leaves_nothing(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert report(tmp_path / name) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"call-emotions: there are no results in {tmp_path / name}: name the folder")
    assert sorted(tmp_path.rglob("*")) == before


def test_another_run_is_not_disturbed(output: Path, capsys: pytest.CaptureFixture) -> None:
    before = {name: state for name, state in states(output).items() if name != ".lock"}
    with StopSignals() as stop, held(output, 0, stop):
        assert report(output) == 75
        assert "--lock-wait" in capsys.readouterr().err
    assert {name: state for name, state in states(output).items() if name != ".lock"} == before
    assert report(output) == 0


def test_what_cannot_be_written_ends_it_with_one_line(output: Path, capsys: pytest.CaptureFixture) -> None:
    (output / "rttm").write_text("in the way")
    assert report(output, "--format", "rttm") == 3
    (said,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in said


def test_a_ledger_that_is_none_ends_it_with_3(output: Path, capsys: pytest.CaptureFixture) -> None:
    (output / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    assert report(output) == 3
    assert "cannot be read" in capsys.readouterr().err


def test_it_does_not_make_a_killed_night_one_that_has_ended(tmp_path: Path, analyze: Analyze) -> None:
    """A killed run and the run that resumes it count as one, even with a report in between."""
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (calls / "empty.wav").touch()
    os.utime(calls / "a.wav", (1, 1))
    for _ in range(4):
        with killed_at(tables, "bring_up_to_date", 1):
            analyze(calls, "-o", tmp_path / "out")
        assert report(tmp_path / "out", "-q") == 0
    assert {row["file"]: row["status"] for row in read_csv(tmp_path / "out" / "files.csv")} == {
        "calls/a.wav": "ok",
        "calls/empty.wav": "failed",
    }


def test_the_index_does_not_say_whose_calls_they_were(tmp_path: Path, analyze: Analyze) -> None:
    a_call(tmp_path / "calls" / "sales_maria.wav")
    pattern = r"(?P<queue>[a-z]+)_(?P<agent>[a-z]+)\.wav"
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "--name-pattern", pattern, "--format", "csv,html") == 0
    index = (tmp_path / "out" / "html" / "index.html").read_text()
    assert "queue sales" in index
    assert "agent maria" not in index
