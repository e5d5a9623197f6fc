"""Compare the results of two commits: python -m tests.slow.same_results BEFORE AFTER FOLDER...

Each commit is checked out to a temporary folder and analyses the recordings of every folder; all result files are then
compared byte for byte. Files whose wording may change (the workbook and the pages) and files with times of the run
(run.json, the ledger) are listed, but do not count. The exit status is 1 if any other file differs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

FORMATS = "csv,xlsx,html,png,xlsx-per-file,audacity,textgrid,webvtt,rttm,jsonl,parquet"
#: Files that hold words of the report, the version of the tool, or the time of the run.
WORDED = (".xlsx", ".html", ".png", ".sqlite", "run.json", ".lock")


def results(root: Path, commit: str, calls: list[Path], folder: Path) -> dict[str, bytes]:
    """Return the result files of a commit, by path relative to their output folder."""
    checkout = folder / "checkout"
    subprocess.run(
        ["git", "-C", root, "worktree", "add", "--detach", checkout, commit], check=True, capture_output=True
    )
    try:
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        for number, inputs in enumerate(calls):
            output = folder / "out" / str(number)
            command = [sys.executable, "-m", "analyzer", "analyze", inputs, "-o", output, "-q", "--format", FORMATS]
            command += ["--speakers", "agent,customer", "--time-zone", "UTC"]
            status = subprocess.run(command, cwd=checkout, env=environment, check=False).returncode
            if status not in (0, 1):
                sys.exit(f"{commit}: analyze ended with {status}")
    finally:
        subprocess.run(["git", "-C", root, "worktree", "remove", "--force", checkout], check=True)
    out = folder / "out"
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def main() -> int:
    """Compare two commits; print what differs."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    root, (before, after, *calls) = Path(__file__).parents[2], sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("before", "after"):
            (Path(scratch) / name).mkdir()
        inputs = [Path(folder).resolve() for folder in calls]
        old = results(root, before, inputs, Path(scratch) / "before")
        new = results(root, after, inputs, Path(scratch) / "after")
    differing = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    worded = [name for name in differing if name.endswith(WORDED)]
    others = [name for name in differing if name not in worded]
    print(f"{len({*old, *new})} files, {len(others)} differ; of those with wording or times {len(worded)} differ")
    for name in others:
        print(f"  {name}")
    return min(len(others), 1)


if __name__ == "__main__":
    sys.exit(main())
