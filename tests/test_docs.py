"""README, CONTRIBUTING and pages of docs/ match the program."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from analyzer.commands.main import main
from analyzer.model.classifier import packaged_names
from analyzer.report.views import FILES_COLUMNS, RECORDINGS_COLUMNS
from analyzer.store.formats import EXTENSIONS
from analyzer.store.outputs import TIMELINE_COLUMNS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
COMMAND = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def named_columns(table: str) -> list[str]:
    """Return the columns that a table of docs/results.md explains; `a_x` … `a_y` stands for all between."""
    text = RESULTS.split(f"<!-- columns: {table} -->")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)`|(…)", cell) for name in name if name]


@pytest.mark.parametrize(
    ("table", "columns"),
    [("timeline", TIMELINE_COLUMNS), ("recordings", RECORDINGS_COLUMNS), ("files", FILES_COLUMNS)],
)
def test_results_page_explains_every_column(table: str, columns: tuple[str, ...]) -> None:
    explained: set[str] = set()
    names = named_columns(table)
    for before, name, after in zip(["", *names], names, [*names[1:], ""], strict=False):
        if name == "…":
            explained.update(columns[columns.index(before) : columns.index(after) + 1])
        else:
            explained.add(name)
    assert explained == set(columns)


def test_command_page_shows_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit):
        main(["analyze", "--help"])
    shown = COMMAND.split("<!-- help: analyze -->\n```\n")[1].split("```")[0]
    # Python 3.13 words the head of the help differently, so only the options are compared.
    assert options_of(shown) == options_of(capsys.readouterr().out)


def options_of(text: str) -> list[str]:
    return [line.strip() for line in text.split("options:")[1].splitlines() if line.strip()]


def test_readme_starts_with_two_commands() -> None:
    first_block = README.split("```sh\n")[1].split("```")[0].splitlines()
    assert [line.split()[:2] for line in first_block] == [["make", "analyze"], ["make", "test"]]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name
)
def test_linked_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    in_code = re.findall(r"`((?:analyzer|training|tests|examples|models)/[\w./-]+\.\w+)`", text)
    missing = [name for name in linked if not (page.parent / name).exists()]
    assert not missing + [name for name in in_code if not (ROOT / name).exists()]


REPORTS = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")


def test_reports_page_names_every_format() -> None:
    documented = set(re.findall(r"^\| `([\w-]+)` \| (\.\w+) \|", REPORTS, flags=re.MULTILINE))
    elsewhere = {"html", "xlsx-per-file"}
    assert documented == {(name, ending) for name, ending in EXTENSIONS.items() if name not in elsewhere}
    assert all(f"--format {name}" in REPORTS for name in elsewhere)


def test_reports_page_explains_the_example_sheets() -> None:
    from openpyxl import load_workbook

    documented = re.findall(r"^\| ([A-Z][\w ]+(?:, [A-Z]\w+)?) \|", REPORTS, flags=re.MULTILINE)
    book = load_workbook(ROOT / "docs" / "example.xlsx", read_only=True)
    assert ", ".join(documented).split(", ") == book.sheetnames


def test_package_licence_separates_code_and_models() -> None:
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
def test_clusters_page_uses_valid_dask_options(command: str) -> None:
    documented = {
        option
        for line in CLUSTERS.splitlines()
        if f"dask {command}" in line or f"[dask, {command}" in line
        for option in re.findall(r"--[a-z][a-z-]+", line.partition("call-emotions analyze")[0])
    }
    assert documented
    arguments = [sys.executable, "-m", "dask", command, "--help"]
    process = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert documented <= set(re.findall(r"--[a-z][a-z-]+", process.stdout))


def test_clusters_page_has_valid_yaml() -> None:
    import yaml

    (text,) = re.findall(r"```yaml\n(.*?)```", CLUSTERS, flags=re.DOTALL)
    cluster = yaml.safe_load(text)
    assert cluster["kind"] == "DaskCluster"
    containers = [cluster["spec"][name]["spec"]["containers"][0] for name in ("scheduler", "worker")]
    assert [container["args"][:2] for container in containers] == [["dask", "scheduler"], ["dask", "worker"]]


def test_readme_states_the_measured_speed() -> None:
    import pandas as pd

    measured = pd.read_csv(ROOT / "reports" / "benchmarks" / "speed.csv").set_index(["way", "encoding"])
    table_lines = README.split("<!-- speed -->")[1].split("\n\n")[0].splitlines()[3:]
    for line, method in zip(table_lines, ("default", "accurate", "notebook"), strict=True):
        figures = [cell.strip() for cell in line.split("|")[2:4]]
        assert figures == [f"{measured.loc[(method, encoding), 'times_real_time']:,.0f}" for encoding in ("wav", "mp3")]


def test_clusters_page_states_computed_cores() -> None:
    import pandas as pd

    computed = pd.read_csv(ROOT / "reports" / "benchmarks" / "capacity.csv")
    table_lines = CLUSTERS.split("<!-- capacity -->")[1].split("\n\n")[0].splitlines()[3:]
    for line, (_, row) in zip(table_lines, computed.iterrows(), strict=True):
        model, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        assert model == f"`{row['model']}`"
        assert [float(figure.replace(",", "")) for figure in figures] == row.tolist()[1:]
