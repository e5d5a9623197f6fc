"""Tables, workbook and pages, recreated from timelines and ledger alone, and for other selections of recordings."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from analyzer.analysis import recording
from analyzer.audio import reader
from analyzer.batch import batch
from analyzer.commands.main import main
from analyzer.report import opus, tables
from analyzer.runtime.lock import run_lock
from analyzer.runtime.signals import StopSignals
from analyzer.store.formats import EXTENSIONS
from analyzer.store.ledger import Ledger
from tests.helpers.dialogues import analysed
from tests.helpers.kills import killed_at
from tests.helpers.runs import Analyze, a_call, contents, read_csv, read_workbook, states

NUMBER = "0821123456"
PATTERN = r"_(?P<queue>[a-z]+)_(?P<date>\d{8})"
#: Calls of two queues; only the latest two days are within 35 days.
RECORDINGS = (
    *("a_billing_20260810.wav", "b_billing_20261001.wav", "c_sales_20261105.wav", "d_billing_20261124.wav"),
    f"{NUMBER}_sales_20261124.wav",
)
LATEST_CALLS = {"c_sales_20261105.wav", "d_billing_20261124.wav", f"{NUMBER}_sales_20261124.wav"}


def report(output: Path, *options: object, jobs: int = 1) -> int:
    return main(["report", str(output), "-j", str(jobs), *map(str, options)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, analyze: Analyze) -> Path:
    """The results of a run; tests only read them."""
    folder = tmp_path_factory.mktemp("reported")
    for seed, name in enumerate(RECORDINGS):
        a_call(folder / "calls" / name, seed=seed)
    options = ["--name-pattern", PATTERN, "--format", "csv,xlsx,html,jsonl"]
    assert analyze(folder / "calls", "-o", folder / "out", *options) == 0
    shutil.rmtree(folder / "calls")
    return folder / "out"


@pytest.fixture
def output(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `run` for tests that change it. The recordings are deleted, and opening one is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a recording was opened")

    for owner in (reader, batch, opus, recording):
        monkeypatch.setattr(owner, "open_audio", refuse)
    shutil.copytree(run, tmp_path / "out")
    return tmp_path / "out"


def in_workbook(output: Path) -> set[str]:
    rows = read_workbook(output / "summary.xlsx")["Recordings"][1:]
    return {str(row[0]).removeprefix("calls/") for row in rows}


def in_index(output: Path) -> set[str]:
    page = (output / "html" / "index.html").read_text(encoding="utf-8")
    (rows,) = re.findall(r'<script type="application/json" id="rows">(.*?)</script>', page, flags=re.DOTALL)
    return {row[0].removeprefix("calls/") for row in json.loads(rows)}


# Recreated results.


def test_report_recreates_results(run: Path, output: Path) -> None:
    for path in (*output.glob("*.csv"), output / "summary.xlsx", output / "html" / "index.html"):
        path.unlink()
    assert report(output, "--format", "csv,xlsx,html,jsonl") == 0
    assert contents(output, "*.csv") == contents(run, "*.csv")
    assert contents(output, "html/*.html") == contents(run, "html/*.html")
    assert read_workbook(output / "summary.xlsx") == read_workbook(run / "summary.xlsx")


def test_report_leaves_current_files_untouched(output: Path) -> None:
    before = {name: states(output / name) for name in ("timelines", "jsonl", "html/calls")}
    assert report(output) == 0
    assert {name: states(output / name) for name in before} == before


def test_default_formats_are_the_existing_ones(output: Path) -> None:
    folders = {path.name for path in output.iterdir()}
    for path in (output / "summary.xlsx", output / "html" / "index.html"):
        path.write_bytes(b"old")
    assert report(output) == 0
    assert {path.name for path in output.iterdir()} == folders
    assert in_workbook(output) == in_index(output) == LATEST_CALLS
    (output / "summary.xlsx").unlink()
    shutil.rmtree(output / "html")
    (output / "recordings.csv").unlink()
    assert report(output) == 0
    assert {path.name for path in output.iterdir()} == folders - {"summary.xlsx", "html"}


def test_workbook_is_updated_without_csv(output: Path) -> None:
    (output / "recordings.csv").unlink()
    (output / "summary.xlsx").write_bytes(b"old")
    assert report(output) == 0
    assert in_workbook(output) == LATEST_CALLS


def test_all_formats_need_no_audio(output: Path) -> None:
    assert report(output, "--format", ",".join(EXTENSIONS)) == 0
    for name, extension in EXTENSIONS.items():
        names = {path.name for path in (output / name / "calls").iterdir()}
        assert names == {f"{call}{extension}" for call in RECORDINGS}


def test_report_lists_files_to_open(output: Path, capsys: pytest.CaptureFixture) -> None:
    assert report(output) == 0
    printed = capsys.readouterr()
    title, *paths = printed.out.splitlines()
    assert title == "to open:"
    assert [Path(line.strip()) for line in paths] == [
        output / name for name in ("summary.xlsx", "html/index.html", "recordings.csv", "files.csv")
    ]
    assert report(output, "-q") == 0
    assert capsys.readouterr() == ("", "") and printed.err == ""


def test_leftovers_of_killed_run_are_removed(output: Path) -> None:
    leftover = output / "html" / "calls" / ".writing-0123456789abcdef.tmp"
    leftover.write_text("half")
    (output / ".lock").write_text("a process that is gone")
    assert report(output) == 0
    assert not leftover.exists()


# Other selections of recordings.


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "2026-11-10"], {RECORDINGS[3], RECORDINGS[4]}),
        (["--until", "2026-10-01"], {RECORDINGS[0], RECORDINGS[1]}),
        (["--since", "2026-09-01", "--until", "2026-11-05"], {RECORDINGS[1], RECORDINGS[2]}),
        (["--since", "2026-11-05", "--until", "2026-11-05"], {RECORDINGS[2]}),
        (["--since", "2027-01-01"], set()),
        (["--match", "calls/*_billing_*"], {RECORDINGS[3]}),  # only of the latest 35 days
        (["--match", "calls/*_billing_*", "--since", "2000-01-01"], {RECORDINGS[0], RECORDINGS[1], RECORDINGS[3]}),
        (["--match", "calls/*_billing_2026*0*", "--until", "2026-08-31"], {RECORDINGS[0]}),
        (["--match", "nobody"], set()),
    ],
)
def test_selection_filters_workbook_and_index_only(
    run: Path, output: Path, options: list[str], expected: set[str]
) -> None:
    assert report(output, *options) == 0
    assert in_workbook(output) == in_index(output) == expected
    assert contents(output, "*.csv") == contents(run, "*.csv")
    assert {path.name for path in (output / "html" / "calls").iterdir()} == {f"{call}.html" for call in RECORDINGS}


def test_only_files_of_selected_recordings_are_written(output: Path) -> None:
    assert report(output, "--since", "2026-11-01", "--match", "*sales*", "--format", "webvtt") == 0
    assert {path.name for path in (output / "webvtt" / "calls").iterdir()} == {
        f"{RECORDINGS[2]}.vtt",
        f"{RECORDINGS[4]}.vtt",
    }


def test_pattern_selects_its_latest_days(output: Path) -> None:
    assert report(output, "--match", "calls/*_billing_2026*0*") == 0
    assert in_workbook(output) == {RECORDINGS[1]}  # 52 days later than the other


@pytest.fixture
def existing_run(tmp_path: Path, analyze: Analyze) -> tuple[Path, Path, list[str]]:
    """Existing calls of more than a month, their results, and the options of each run."""
    calls, output = tmp_path / "calls", tmp_path / "out"
    for seed, name in enumerate(RECORDINGS[1:4]):
        a_call(calls / name, seed=seed)
    options = ["--name-pattern", PATTERN, "--format", "csv,xlsx,html"]
    assert analyze(calls, "-o", output, *options) == 0
    return calls, output, options


def test_next_run_restores_default_days(
    existing_run: tuple[Path, Path, list[str]], tmp_path: Path, analyze: Analyze
) -> None:
    calls, output, options = existing_run
    index, cells = (output / "html" / "index.html").read_bytes(), read_workbook(output / "summary.xlsx")
    tables_before = states(output, "*.csv")
    assert report(output, "--until", "2026-10-31") == 0
    assert in_workbook(output) == in_index(output) == {RECORDINGS[1]}
    for _ in range(2):
        assert analyze(calls, "-o", output, *options) == 0
        assert analysed(output) == {}
        assert (output / "html" / "index.html").read_bytes() == index
        assert read_workbook(output / "summary.xlsx") == cells
    assert {name: content for name, (_, _, content) in states(output, "*.csv").items()} == {
        name: content for name, (_, _, content) in tables_before.items()
    }


def test_default_report_leaves_nothing_to_next_run(
    existing_run: tuple[Path, Path, list[str]], analyze: Analyze
) -> None:
    calls, output, options = existing_run
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
        (Ledger, "tables_are_fresh"),
    ],
)
def test_run_replaces_killed_report_of_other_days(
    existing_run: tuple[Path, Path, list[str]], analyze: Analyze, owner: object, name: str
) -> None:
    calls, output, options = existing_run
    with killed_at(owner, name, 1):
        report(output, "--until", "2026-10-31")
    assert analyze(calls, "-o", output, *options) == 0
    assert in_workbook(output) == in_index(output) == {RECORDINGS[2], RECORDINGS[3]}


def test_prune_after_report_of_other_days(existing_run: tuple[Path, Path, list[str]]) -> None:
    _, output, _ = existing_run
    assert report(output, "--until", "2026-10-31") == 0
    assert main(["prune", "-o", str(output), "--match", f"*{RECORDINGS[1]}"]) == 0
    assert in_workbook(output) == in_index(output) == {RECORDINGS[2], RECORDINGS[3]}
    assert not [path for path in output.rglob("*") if RECORDINGS[1] in path.name]


def test_report_without_recordings_succeeds(tmp_path: Path, analyze: Analyze) -> None:
    (tmp_path / "calls").mkdir()
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out") == 0
    for options in ([], ["--format", "html,png"], ["--since", "2026-01-01"], ["--match", "*"]):
        assert report(tmp_path / "out", *options) == 0


@pytest.fixture
def masked_output(tmp_path: Path, analyze: Analyze) -> Path:
    for seed, name in enumerate(RECORDINGS[3:]):
        a_call(tmp_path / "calls" / name, seed=seed)
    options = ["--mask-names", "--name-pattern", PATTERN, "--format", "csv,xlsx,html"]
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", *options) == 0
    return tmp_path / "out"


@pytest.mark.parametrize(("pattern", "count"), [(f"*{NUMBER}*", 1), ("*sales*", 1), ("*", 2), ("*0821999999*", 0)])
def test_masked_names_match_their_full_number(masked_output: Path, pattern: str, count: int) -> None:
    assert report(masked_output, "--match", pattern) == 0
    names = in_index(masked_output)
    assert len(names) == count
    assert not any(NUMBER in name for name in names)


@pytest.mark.parametrize(
    ("pattern", "message"), [(f"*{NUMBER[:5]}*", "only a whole number"), ("*nobody*", "no recording")]
)
def test_pattern_without_matches_is_reported(
    masked_output: Path, pattern: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    assert report(masked_output, "--match", pattern) == 0
    assert message in capsys.readouterr().err


def test_pages_with_masked_names_have_no_audio(masked_output: Path) -> None:
    shutil.rmtree(masked_output / "html")
    assert report(masked_output, "--format", "html") == 0
    pages = [path.read_text() for path in (masked_output / "html").glob("calls/*.html")]
    assert len(pages) == 2
    assert not any("<audio" in page or NUMBER in page for page in pages)


# Usage errors and other failures.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--since", "yesterday"], "'yesterday' is not a date: use YYYY-MM-DD"),
        (["--since", "2026-02-30"], "'2026-02-30' is not a date"),
        (["--until", "24.11.2026"], "'24.11.2026' is not a date"),
        (["--since", ""], "'' is not a date"),
        (["--since", "2026-11-24", "--until", "2026-11-23"], "--since is later than --until"),
        (["--format", "pdf"], "unknown format 'pdf': give some of csv,xlsx,html"),
        (["-j", "0"], "'0' is not a number"),
        (["--speakers", "agent"], "unrecognized arguments"),
    ],
)
def test_usage_errors(output: Path, options: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    before = states(output)
    with pytest.raises(SystemExit) as refused:
        main(["report", str(output), *options])
    assert refused.value.code == 2
    errors = capsys.readouterr().err
    assert message in errors.splitlines()[-1]
    assert states(output) == before


def test_folder_is_required(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["report"])
    assert refused.value.code == 2
    assert "DIR" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["empty", "nowhere", "file"])
def test_folder_without_results_is_refused(tmp_path: Path, name: str, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert report(tmp_path / name) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"call-emotions: there are no results in {tmp_path / name}: name the folder")
    assert sorted(tmp_path.rglob("*")) == before


def test_report_respects_the_lock(output: Path, capsys: pytest.CaptureFixture) -> None:
    before = {name: state for name, state in states(output).items() if name != ".lock"}
    with StopSignals() as stop, run_lock(output, 0, stop):
        assert report(output) == 75
        assert "--lock-wait" in capsys.readouterr().err
    assert {name: state for name, state in states(output).items() if name != ".lock"} == before
    assert report(output) == 0


def test_unwritable_format_fails_with_one_line(output: Path, capsys: pytest.CaptureFixture) -> None:
    (output / "rttm").write_text("in the way")
    assert report(output, "--format", "rttm") == 3
    (message,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in message


def test_damaged_ledger_fails(output: Path, capsys: pytest.CaptureFixture) -> None:
    (output / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    assert report(output) == 3
    assert "cannot be read" in capsys.readouterr().err


def test_report_does_not_complete_a_killed_run(tmp_path: Path, analyze: Analyze) -> None:
    """A killed run and the run that resumes it count as one, even with a report in between."""
    calls = a_call(tmp_path / "calls" / "a.wav").parent
    (calls / "empty.wav").touch()
    os.utime(calls / "a.wav", (1, 1))
    for _ in range(4):
        with killed_at(tables, "write_if_stale", 1):
            analyze(calls, "-o", tmp_path / "out")
        assert report(tmp_path / "out", "-q") == 0
    assert {row["file"]: row["status"] for row in read_csv(tmp_path / "out" / "files.csv")} == {
        "calls/a.wav": "ok",
        "calls/empty.wav": "failed",
    }


def test_index_omits_agents(tmp_path: Path, analyze: Analyze) -> None:
    a_call(tmp_path / "calls" / "sales_maria.wav")
    pattern = r"(?P<queue>[a-z]+)_(?P<agent>[a-z]+)\.wav"
    assert analyze(tmp_path / "calls", "-o", tmp_path / "out", "--name-pattern", pattern, "--format", "csv,html") == 0
    index = (tmp_path / "out" / "html" / "index.html").read_text()
    assert "queue sales" in index
    assert "agent maria" not in index
