"""Checks of the installation and the configuration, a line each: before the first run and after a failed one."""

import os
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from analyzer import __version__
from analyzer.audio import storage
from analyzer.errors import AnotherRun, CallEmotionsError
from analyzer.inputs import discovery
from analyzer.inputs.metadata import read_metadata
from analyzer.model.classifier import (
    ModelSettings,
    business_use_in_words,
    find_model,
    is_path,
    load_classifier,
    model_hash,
    packaged_names,
    read_settings,
)
from analyzer.names import show
from analyzer.runtime.lock import run_lock
from analyzer.runtime.signals import StopSignals
from analyzer.runtime.standard_streams import check_printed
from analyzer.store.ledger import FILE_NAME, Ledger

_PACKAGES = ("numpy", "onnxruntime", "soundfile", "av", "soxr", "pandas", "openpyxl", "joblib", "filelock", "psutil")
#: Optional packages, and what each is needed for.
_EXTRAS = {"distributed": "--cluster", "s3fs": "s3:// addresses"}
#: Less free disk space than this (bytes) fails the check.
_LITTLE_ROOM = 1 << 30


def run(
    inputs: Sequence[str],
    output: Path | None,
    model: str,
    written: Sequence[Path] = (),
    programs: Sequence[str] = (),
    metadata_file: Path | None = None,
) -> int:
    """Run all checks and print their findings; return 0 if everything required works, otherwise 3.

    `written` are the files that runs write besides the results, `programs` the programs that they start.
    """
    checks = {  # generators, which check nothing before their lines are read
        "python": _python(),
        "packages": _packages(),
        "machine": _machine(),
        "model": _model(model),
        "business use": _business_use(),
        "decoding": _decoding(),
    }
    if output:
        checks["results"] = _results(output)
    checks |= {
        "recordings": _recordings(inputs),
        "files": _files(written, metadata_file),
        "commands": _programs(programs),
    }
    results = [_run_check(name, lines) for name, lines in checks.items()]
    check_printed()
    return 0 if all(results) else 3


def _run_check(name: str, lines: Iterator[str]) -> bool:
    """Run a check and print what it finds; return whether it passed."""
    try:
        for line in lines:
            print(f"ok    {name}: {line}")
    except Exception as error:  # any error is a finding
        message = str(error) if isinstance(error, CallEmotionsError) else f"{type(error).__name__}: {error}"
        print(f"FAIL  {name}: {show(message)}")
        return False
    return True


def _python() -> Iterator[str]:
    yield f"{platform.python_version()} on {platform.platform()}, call-emotions {__version__}"
    yield f"SQLite {sqlite3.sqlite_version}"


def _packages() -> Iterator[str]:
    yield ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    for name, purpose in _EXTRAS.items():
        try:
            yield f"{name} {metadata.version(name)}, for {purpose}"
        except metadata.PackageNotFoundError:
            yield f"optional package {name} is not installed: only {purpose} needs it"


def _machine() -> Iterator[str]:
    import psutil
    from joblib import cpu_count

    memory = psutil.virtual_memory()
    yield f"{cpu_count()} cores, {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB memory free"


def _model(name: str) -> Iterator[str]:
    folder = find_model(name)
    classifier = load_classifier(folder, "calls")
    front_end = classifier.settings.front_end
    probabilities = classifier.probabilities([np.zeros((front_end.frames, front_end.bands), np.float32)])
    if not np.allclose(probabilities[:, :8].sum(axis=1), 1, atol=1e-3):
        raise ValueError("its probabilities do not sum to 1")
    yield f"{classifier.settings.name}, {model_hash(folder)[:12]}, in {show(str(folder))}"
    if is_path(name):
        yield f"business use of {show(classifier.settings.name)}: {_terms(classifier.settings)}"


def _business_use() -> Iterator[str]:
    """Whether the packaged models may be used for business."""
    for name in packaged_names():
        yield f"{name}: {_terms(read_settings(find_model(name)))}"


def _terms(settings: ModelSettings) -> str:
    return show(business_use_in_words(settings.business_use, settings.licence))


def _decoding() -> Iterator[str]:
    """Write a second of sound in encodings that are common in telephony, and decode it as recordings are decoded."""
    import soundfile

    from analyzer.audio.reader import open_audio

    sound = np.sin(np.arange(8000) * 0.2).astype(np.float32) * 0.5
    encodings = {"wav": ("WAV", "PCM_16"), "ulaw.wav": ("WAV", "ULAW"), "gsm.wav": ("WAV", "GSM610")}
    encodings |= {"flac": ("FLAC", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS")}
    with tempfile.TemporaryDirectory() as folder:
        for name, (container, subtype) in encodings.items():
            path = Path(folder) / f"a.{name}"
            soundfile.write(path, sound, 8000, format=container, subtype=subtype)
            with open_audio(path) as stream:
                decoded = np.concatenate(list(stream.blocks()), axis=1)
            rms = float(np.sqrt(np.square(decoded).mean()))
            if not 0.3 < rms < 0.4:  # that of this sine is 0.35; codecs change single samples
                raise ValueError(f"a {name} file does not come back as it was written")
    import av

    yield f"{', '.join(encodings)} by libsndfile {soundfile.__libsndfile_version__} and FFmpeg"
    yield f"the rest by FFmpeg's libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"


def _results(output: Path) -> Iterator[str]:
    existing = output if output.exists() else next(folder for folder in output.absolute().parents if folder.exists())
    with tempfile.TemporaryFile(dir=existing):
        pass
    free_bytes = shutil.disk_usage(existing).free
    yield f"{show(str(output))} can be written" + ("" if output.exists() else ", and will be made by the first run")
    if free_bytes < _LITTLE_ROOM:
        raise OSError(f"only {free_bytes / 2**20:.0f} MiB are free in {show(str(existing))}")
    yield f"{free_bytes / 2**30:.0f} GiB free there"
    if (output / FILE_NAME).exists():
        ledger = Ledger(output, writable=False)
        yield f"{ledger.count_by_status().total():,} recordings known"
        ledger.close()
        try:
            with run_lock(output, 0, StopSignals()):
                pass
            yield "no run is using it"
        except AnotherRun as error:
            yield str(error)


def _files(written: Sequence[Path], metadata_file: Path | None) -> Iterator[str]:
    for path in written:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise OSError(f"{show(str(path))} cannot be written by this user")
        yield f"{show(str(path))} can be written"
    if metadata_file:
        yield f"{len(read_metadata(metadata_file)):,} recordings in {show(str(metadata_file))}"


def _programs(programs: Sequence[str]) -> Iterator[str]:
    for program in programs:
        if shutil.which(program) is None:
            raise OSError(f"there is no program {show(program)} that this user may start")
        yield f"{show(program)} is there"


def _recordings(inputs: Sequence[str]) -> Iterator[str]:
    for source in discovery.parse_inputs(inputs):
        if storage.mount(source.folder) is None:
            raise OSError(f"{show(str(source.folder))} is empty or cannot be listed: is it mounted?")
        if isinstance(source.folder, Path) and not os.access(source.folder, os.R_OK | os.X_OK):
            raise OSError(f"{show(str(source.folder))} cannot be read by this user")
        yield f"{show(str(source.folder))}, called {show(source.label)}"
