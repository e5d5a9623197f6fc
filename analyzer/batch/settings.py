"""Settings of one run, as documented by `call-emotions analyze --help`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analyzer.inputs.name_pattern import NamePattern
from analyzer.store.formats import DEFAULT_FORMATS


@dataclass(frozen=True)
class RunSettings:
    """Settings of one run; the fields are the options of `analyze`.

    `progress` draws a bar on standard error. `formats` is a subset of formats.FORMATS that always includes csv.
    `cluster` is the address of a Dask scheduler; its workers are used instead of `jobs` processes on this machine.
    """

    inputs: Sequence[str]
    output: Path
    jobs: int
    model: str = "default"
    prior: str = "even"
    sensitivity: str = "normal"
    formats: frozenset[str] = DEFAULT_FORMATS
    embed_audio: bool = False
    force: bool = False
    dry_run: bool = False
    progress: bool = False
    cluster: str | None = None
    speakers: tuple[str, ...] = ()
    only: frozenset[str] = frozenset()
    name_pattern: NamePattern | None = None
    metadata: Path | None = None
    mask_names: bool = False
    time_zone: str | None = None
    min_age_s: float = 0.0
    max_hours: float | None = None
    retry_failed: bool = False
    checksum: bool = False
    follow_links: bool = False
    lock_wait_s: float = 0.0
    metrics_file: Path | None = None
