"""README, CONTRIBUTING and pages of docs/ match the program."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from analyzer.classifier import packaged_names
from analyzer.cli import main
from analyzer.formats import EXTENSIONS
from analyzer.outputs import TIMELINE_COLUMNS
from analyzer.report.views import FILES_COLUMNS, RECORDINGS_COLUMNS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def named_columns(table: str) -> list[str]:
    """Return the columns that a table of the README explains; `a_x` … `a_y` stands for all between."""
    text = README.split(f"<!-- columns: {table} -->")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)`|(…)", cell) for name in name if name]


@pytest.mark.parametrize(
    ("table", "columns"),
    [("timeline", TIMELINE_COLUMNS), ("recordings", RECORDINGS_COLUMNS), ("files", FILES_COLUMNS)],
)
def test_the_readme_explains_every_column_and_no_other(table: str, columns: tuple[str, ...]) -> None:
    explained: set[str] = set()
    names = named_columns(table)
    for before, name, after in zip(["", *names], names, [*names[1:], ""], strict=False):
        if name == "…":
            explained.update(columns[columns.index(before) : columns.index(after) + 1])
        else:
            explained.add(name)
    assert explained == set(columns)


def test_the_readme_shows_the_help_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit):
        main(["analyze", "--help"])
    shown = README.split("<!-- help: analyze -->\n```\n")[1].split("```")[0]
    # Python 3.13 words the head of the help differently, so only the options are compared.
    assert options_of(shown) == options_of(capsys.readouterr().out)


def options_of(text: str) -> list[str]:
    return [line.strip() for line in text.split("options:")[1].splitlines() if line.strip()]


def test_the_readme_opens_with_the_two_commands() -> None:
    first_block = README.split("```sh\n")[1].split("```")[0].splitlines()
    assert [line.split()[:2] for line in first_block] == [["make", "analyze"], ["make", "test"]]


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_files_that_the_documents_point_at_are_there(text: str) -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    in_code = re.findall(r"`((?:analyzer|training|tests|examples|models)/[\w./-]+\.\w+)`", text)
    missing = [name for name in (*linked, *in_code) if not (ROOT / name).exists()]
    assert linked or in_code
    assert not missing


REPORTS = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")


def test_the_page_on_reports_names_every_format() -> None:
    told = set(re.findall(r"^\| `([\w-]+)` \| (\.\w+) \|", REPORTS, flags=re.MULTILINE))
    elsewhere = {"html", "xlsx-per-file"}
    assert told == {(name, ending) for name, ending in EXTENSIONS.items() if name not in elsewhere}
    assert all(f"--format {name}" in REPORTS for name in elsewhere)


def test_the_page_on_reports_explains_the_sheets_of_the_example() -> None:
    from openpyxl import load_workbook

    told = re.findall(r"^\| ([A-Z][\w ]+(?:, [A-Z]\w+)?) \|", REPORTS, flags=re.MULTILINE)
    book = load_workbook(ROOT / "docs" / "example.xlsx", read_only=True)
    assert ", ".join(told).split(", ") == book.sheetnames


def test_the_package_claims_mit_for_the_code_alone_in_a_form_that_pip_and_pypi_take() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    about = settings["metadata"]
    expression = canonicalize_license_expression(about["license_expression"])
    assert expression == about["license_expression"] == "MIT AND LicenseRef-call-emotions-models"
    assert "license" not in about
    code, models, attribution = (ROOT / name for name in about["license_files"].split())
    assert "CREMA-D" in attribution.read_text(encoding="utf-8")
    assert "The trained models in models/ are not covered by this licence" in code.read_text(encoding="utf-8")
    assert all(name in models.read_text(encoding="utf-8") for name in packaged_names())


CLUSTERS = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["scheduler", "worker"])
def test_the_page_on_clusters_gives_dask_options_that_it_has(command: str) -> None:
    told = {
        option
        for line in CLUSTERS.splitlines()
        if f"dask {command}" in line or f"[dask, {command}" in line
        for option in re.findall(r"--[a-z][a-z-]+", line.partition("call-emotions analyze")[0])
    }
    assert told
    asked = [sys.executable, "-m", "dask", command, "--help"]
    helped = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert told <= set(re.findall(r"--[a-z][a-z-]+", helped.stdout))


def test_the_page_on_clusters_holds_yaml_that_can_be_read() -> None:
    import yaml

    (text,) = re.findall(r"```yaml\n(.*?)```", CLUSTERS, flags=re.DOTALL)
    cluster = yaml.safe_load(text)
    assert cluster["kind"] == "DaskCluster"
    parts = [cluster["spec"][name]["spec"]["containers"][0] for name in ("scheduler", "worker")]
    assert [part["args"][:2] for part in parts] == [["dask", "scheduler"], ["dask", "worker"]]


def test_the_readme_tells_the_measured_speed() -> None:
    import pandas as pd

    measured = pd.read_csv(ROOT / "reports" / "benchmarks" / "speed.csv").set_index(["way", "encoding"])
    told = README.split("<!-- speed -->")[1].split("\n\n")[0].splitlines()[3:]
    for line, way in zip(told, ("default", "accurate", "notebook"), strict=True):
        figures = [cell.strip() for cell in line.split("|")[2:4]]
        assert figures == [f"{measured.loc[(way, encoding), 'times_real_time']:,.0f}" for encoding in ("wav", "mp3")]


def test_the_page_on_clusters_tells_the_reckoned_cores() -> None:
    import pandas as pd

    reckoned = pd.read_csv(ROOT / "reports" / "benchmarks" / "capacity.csv")
    told = CLUSTERS.split("<!-- capacity -->")[1].split("\n\n")[0].splitlines()[3:]
    for line, (_, row) in zip(told, reckoned.iterrows(), strict=True):
        model, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        assert model == f"`{row['model']}`"
        assert [float(figure.replace(",", "")) for figure in figures] == row.tolist()[1:]
