"""The command `python -m benchmarks`: measure, write the tables as CSV, and plot them."""

import argparse
import platform
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from analyzer.runtime.environment import one_thread_per_process

TABLES = ("start", "speed", "by_stage", "scaling", "length", "many", "report", "clusters")
_ROOT = Path(__file__).parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    one_thread_per_process()
    from benchmarks import calls, capacity, plot, tables

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "machine.txt").write_text(machine(), encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=options.work) as folder:
        speech = calls.speech_of(options.speech)
        material = tables.Material(Path(folder), speech, options.calls, options.minutes, options.many)
        for name in options.only or TABLES:
            measure_table: Callable[[tables.Material], pd.DataFrame] = getattr(tables, name)
            table = measure_table(material)
            table.to_csv(options.out / f"{name}.csv", index=False, float_format="%.4g")
            print(f"{name}\n{table.to_string(index=False, float_format='%.4g')}\n", flush=True)
    capacity.write(options.out)
    plot.draw(options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed and memory.")
    add = parser.add_argument
    add("--out", type=Path, default=_ROOT / "reports" / "benchmarks", metavar="DIR", help="default: reports/benchmarks")
    add(
        "--speech",
        type=Path,
        default=_ROOT / "examples" / "calls",
        metavar="DIR",
        help="recordings of voices",
    )
    add("--work", type=Path, metavar="DIR", help="where calls are made, some 5 GB (default: the system's)")
    add("--calls", type=int, default=60, metavar="N", help="calls of the tables of speed (default: 60)")
    add("--minutes", type=float, default=10, metavar="M", help="their length (default: 10)")
    add("--many", type=int, default=100_000, metavar="N", help="short recordings (default: 100000)")
    add("--only", action="append", choices=TABLES, metavar="TABLE", help=f"some of {', '.join(TABLES)}")
    return parser


def machine() -> str:
    """Describe the hardware and software of the measurements."""
    import onnxruntime
    import psutil

    from training.export.cost import machine as processor

    memory = psutil.virtual_memory().total / (1 << 30)
    versions = f"Python {platform.python_version()}, onnxruntime {onnxruntime.__version__}"
    return f"{processor()}, {psutil.cpu_count()} cores, {memory:.0f} GB\n{platform.system()}, {versions}\n"
