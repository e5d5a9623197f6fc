"""The command line: options, exit statuses, output, and imports."""

import ast
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import analyzer
from analyzer.commands.main import console, main
from tests.helpers import voices
from tests.helpers.encoders import write_wav
from tests.helpers.runs import Analyze, Run, a_call, contents, read_csv

PACKAGE = Path(analyzer.__file__).parent
#: Packages that only training, tests and examples need.
NOT_FOR_ANALYSIS = (
    *("tensorflow", "keras", "librosa", "scipy", "sklearn", "seaborn", "onnx", "tf2onnx", "tf_keras"),
    *("pydub", "audioop", "hypothesis", "pytest", "nbformat", "ipykernel", "training"),
)
#: Packages that only some formats need; a run without these formats does not import them.
FOR_SOME_FORMATS = ("matplotlib", "jinja2", "pyarrow")


def python(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a separate process."""
    return subprocess.run(
        [sys.executable, *map(os.fspath, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A folder with one call."""
    return write_wav(tmp_path / "calls" / "a.wav", voices.call(2, [(0.3, 1.7)])).parent


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-j", "0"],
        ["-j", "-1"],
        ["-j", "1025"],
        ["-j", "two"],
        ["-j", "1.5"],
        ["--format", "pdf"],
        ["--format", "csv,"],
        ["--format", ""],
        ["--embed-audio"],
        ["--sensitivity", "medium"],
        ["--no-such-option"],
        ["-q", "-v"],
        ["--model"],
    ],
    ids=" ".join,
)
def test_wrong_option_is_a_usage_error(call: Path, options: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["analyze", *([str(call)] if options else []), *options])
    assert ended.value.code == 2
    assert "usage: call-emotions" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["analyse"], ["reports", "x"]])
def test_missing_or_unknown_command_is_an_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_unknown_format_lists_known_formats(call: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["analyze", str(call), "--format", "csv,doc"])
    assert "unknown format 'doc': give some of csv,xlsx" in capsys.readouterr().err


def test_missing_input_ends_with_2(tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    assert analyze(tmp_path / "gone", "-o", tmp_path / "out") == 2
    assert capsys.readouterr().err == f"call-emotions: no such file or folder: {tmp_path / 'gone'}\n"
    assert not (tmp_path / "out").exists()


def test_file_as_output_ends_with_2(call: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    output = call.parent / "out"
    output.touch()
    assert analyze(call, "-o", output) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_unusable_output_ends_with_3(call: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    (call.parent / "file").touch()
    assert analyze(call, "-o", call.parent / "file" / "out") == 3
    assert "cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["no-such-model", "/no/such/model"])
def test_missing_model_ends_with_3(call: Path, model: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["analyze", str(call), "-o", str(call.parent / "out"), "--model", model]) == 3
    assert "no model at" in capsys.readouterr().err
    assert not (call.parent / "out").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_damaged_network_fails_no_recording(
    call: Path, tmp_path: Path, analyze: Analyze, capsys: pytest.CaptureFixture, jobs: int
) -> None:
    from tests.helpers.tiny_model import make_tiny_model

    write_wav(call / "b.wav", voices.call(2, [(0.3, 1.7)]))
    model = make_tiny_model(tmp_path / "broken")
    (model / "network.onnx").write_bytes(b"damaged")
    assert analyze(call, "-o", tmp_path / "out", model=model, jobs=jobs) == 3
    assert "cannot be loaded" in capsys.readouterr().err
    assert read_csv(tmp_path / "out" / "files.csv") == []


def test_mismatched_network_fails_no_recording(call: Path, tmp_path: Path, analyze: Analyze) -> None:
    from tests.helpers.tiny_model import make_tiny_model

    model = make_tiny_model(tmp_path / "five", outputs=5)
    assert analyze(call, "-o", tmp_path / "out", model=model) == 3
    assert "failed" not in {f["status"] for f in read_csv(tmp_path / "out" / "files.csv")}


def test_output_lists_files_to_open(call: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    output = call.parent / "out"
    assert analyze(call, "-o", output) == 0
    title, *paths = capsys.readouterr().out.splitlines()
    assert title == "to open:"
    assert [Path(line.strip()).name for line in paths] == ["summary.xlsx", "recordings.csv", "files.csv", "timelines"]
    assert all(Path(line.strip()).exists() for line in paths)


def test_missing_workbook_is_not_listed(call: Path, analyze: Analyze, capsys: pytest.CaptureFixture) -> None:
    assert analyze(call, "-o", call.parent / "out", "--format", "csv") == 0
    assert "summary.xlsx" not in capsys.readouterr().out


def test_quiet_prints_only_failures(call: Path, tiny_model: Path) -> None:
    arguments = ("-m", "analyzer", "analyze", call, "-o", call.parent / "out", "-q", "--model", tiny_model)
    process = python(*arguments)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    (call / "empty.wav").touch()
    process = python(*arguments)
    assert (process.returncode, process.stdout) == (1, "")
    first, last = process.stderr.splitlines()
    assert first == "calls/empty.wav: failed: the file is empty"
    assert last.endswith("1 failed, 1 unchanged; failed: calls/empty.wav")


def test_verbose_prints_a_line_per_recording(call: Path, tiny_model: Path) -> None:
    process = python(
        "-m", "analyzer", "analyze", call, "-o", call.parent / "out", "-v", "-j", "1", "--model", tiny_model
    )
    assert process.returncode == 0
    lines = process.stderr.splitlines()
    assert lines[0] == "calls/a.wav: ok, 0:02"
    assert lines[-1].startswith("analysed 1 recordings (0.00 hours)")
    assert "%" not in process.stderr


def test_terminal_shows_a_progress_bar(
    call: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    (call / "b.wav").touch()
    assert analyze(call, "-o", call.parent / "out") == 1
    assert "100%" in capsys.readouterr().err


def test_installed_command_is_the_module(call: Path, tiny_model: Path) -> None:
    (entry,) = [e for e in metadata.distribution("call-emotions").entry_points if e.name == "call-emotions"]
    assert entry.load() is console
    assert python("-m", "analyzer", "--version").stdout == f"call-emotions {analyzer.__version__}\n"


def test_default_output_folder_is_reports(call: Path, analyze: Analyze, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(call.parent)
    assert analyze("calls") == 0
    assert (call.parent / "reports" / "recordings.csv").is_file()


def test_recording_name_may_start_with_a_dash(call: Path, tiny_model: Path) -> None:
    (call / "a.wav").rename(call / "-a.wav")
    arguments = ["analyze", "-o", str(call.parent / "out"), "--model", str(tiny_model), "-j", "1", "--"]
    assert main([*arguments, f"{call}/-a.wav"]) == 0
    assert [f["file"] for f in read_csv(call.parent / "out" / "files.csv")] == ["calls/-a.wav"]


def test_names_may_be_invalid_utf_8(tmp_path: Path, tiny_model: Path) -> None:
    calls = tmp_path / os.fsdecode(b"caf\xe9")
    write_wav(calls / "a.wav", voices.call(2, [(0.3, 1.7)]))
    output = tmp_path / os.fsdecode(b"out\xff")
    arguments = ("-m", "analyzer", "analyze", calls, "-o", output, "-v", "-j", "1", "--model", tiny_model)
    process = python(*arguments, PYTHONIOENCODING="utf-8")
    assert (process.returncode, "Traceback" in process.stderr) == (0, False), process.stderr
    assert (output / "summary.xlsx").is_file()


def test_ascii_terminal_is_supported(tmp_path: Path, tiny_model: Path) -> None:
    calls = tmp_path / "Anrufe für 電話"
    write_wav(calls / "größe.wav", voices.call(2, [(0.3, 1.7)]))
    common = ("-m", "analyzer", "analyze", calls, "-o", calls.parent / "ergebnisse-ä", "--model", tiny_model, "-j", "1")
    for option in ("--dry-run", "-v"):
        process = python(*common, option, PYTHONIOENCODING="ascii")
        assert (process.returncode, "Traceback" in process.stderr) == (0, False), process.stderr


# Imports.


def test_help_imports_no_large_package() -> None:
    code = (
        "import sys\nfrom analyzer.commands.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as ended: assert ended.code == 0\n"
        "heavy = {'numpy', 'pandas', 'tensorflow', 'onnxruntime', 'soundfile', 'soxr', 'av', 'joblib', 'tqdm', "
        "'openpyxl', 'sqlite3', 'scipy', 'sklearn'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))"
    )
    for arguments in (["--help"], ["analyze", "--help"], ["--version"]):
        process = python("-c", code, *arguments)
        assert process.stdout.endswith("imported: []\n"), process.stdout + process.stderr


def test_analysis_runs_without_training_packages(good_run: Run, tmp_path: Path, tiny_model: Path) -> None:
    code = (
        "import sys\n"
        f"refused = {NOT_FOR_ANALYSIS + FOR_SOME_FORMATS!r}\n"
        "class Refusal:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in refused: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Refusal())\n"
        "from analyzer.commands.main import main\n"
        "status = main(sys.argv[1:])\n"
        "print('imported:', [name for name in refused if name in sys.modules])\n"
        "sys.exit(status)"
    )
    process = python(
        *("-c", code, "analyze", good_run.calls, "-o", tmp_path / "out", "-j", "1", "--model", tiny_model, "-q")
    )
    assert (process.returncode, process.stdout) == (0, "imported: []\n"), process.stderr
    assert contents(tmp_path / "out") == contents(good_run.output)


def required(name: str, distributions: set[str]) -> set[str]:
    """Return the distributions that `name` requires on this machine without extras, recursively, including itself."""
    from packaging.requirements import Requirement

    if name in distributions:
        return distributions
    distributions.add(name)
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            required(re.sub(r"[-_.]+", "-", requirement.name).lower(), distributions)
    return distributions


def test_tensorflow_is_not_required() -> None:
    distributions = required("call-emotions", set())
    assert {"numpy", "pandas", "onnxruntime", "av", "soundfile", "openpyxl"} <= distributions
    assert not distributions & {
        "tensorflow",
        "tensorflow-cpu",
        "keras",
        "tf2onnx",
        "librosa",
        "scikit-learn",
        "torch",
        "scipy",
    }


def test_training_extra_requires_tensorflow() -> None:
    lines = metadata.requires("call-emotions") or []
    assert any(line.startswith("tensorflow") and "training" in line for line in lines)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_analyzer_never_imports_training(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").partition(".")[0])
    assert not imported & set(NOT_FOR_ANALYSIS)


def test_prior_changes_probabilities(tmp_path: Path, analyze: Analyze) -> None:
    calls, output = a_call(tmp_path / "calls" / "a.wav").parent, tmp_path / "out"
    timeline = output / "timelines" / "calls" / "a.wav.csv"
    assert analyze(calls, "-o", output) == 0
    even = timeline.read_bytes()
    assert analyze(calls, "-o", output, "--prior", "calls") == 0
    assert timeline.read_bytes() != even
    assert analyze(calls, "-o", output, "--prior", "even") == 0
    assert timeline.read_bytes() == even
