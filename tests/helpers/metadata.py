"""Files of metadata."""

from pathlib import Path


def metadata(folder: Path, *lines: str) -> Path:
    path = folder / "metadata.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
