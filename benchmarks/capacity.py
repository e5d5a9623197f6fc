"""Number of cores that an archive needs, estimated from the measured speed."""

from pathlib import Path

import pandas as pd

FILE = "capacity.csv"
ARCHIVES_H = (10_000, 1_000_000, 100_000_000)
#: Hours that one run may take.
RUN_H = 8


def estimate_capacity(speed: pd.DataFrame) -> pd.DataFrame:
    """Estimate core hours, and the cores for one run of NIGHT_H hours and for one month, per archive size and model.

    `speed` is the table of that name. Only WAV is used, because the encoding of an archive makes little difference.
    """
    measured = speed[speed["encoding"] == "wav"].set_index("way")["audio_h_per_hour_per_core"]
    rows = []
    for model in ("default", "accurate"):
        for hours in ARCHIVES_H:
            core_hours = hours / measured[model]
            rows.append((model, hours, core_hours, core_hours / RUN_H, core_hours / (30 * 24)))
    return pd.DataFrame(
        rows, columns=["model", "hours_of_calls", "core_hours", "cores_for_a_night", "cores_for_a_month"]
    )


def write(folder: Path) -> None:
    """Estimate from the speed table in a folder, if there is one, and write the result beside it."""
    if (folder / "speed.csv").is_file():
        estimate_capacity(pd.read_csv(folder / "speed.csv")).to_csv(folder / FILE, index=False, float_format="%.3g")
