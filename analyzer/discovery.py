"""Which files there are: the recordings below the inputs, under names that stay theirs."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from analyzer.audio import is_recording_name, sniff
from analyzer.errors import UnreadableRecording, UsageError
from analyzer.names import Identity, show


@dataclass(frozen=True)
class Input:
    """A folder or a single file to analyse.

    Attributes
    ----------
    label : first part of the names of its recordings.
    folder : absolute path that those names are relative to.
    file : name of the only file in it that is meant, None for all.
    said : whether the user gave the label, as LABEL=FOLDER.
    """

    label: str
    folder: Path
    file: str | None = None
    said: bool = False


@dataclass(frozen=True)
class Found:
    """A file below an input: who it is, where, and as far as known its size in bytes and time of change.

    `problem` says why it cannot be a recording that is read, such as a link that leads nowhere; `is_folder`, that
    it stands for a whole folder that cannot be listed.
    """

    identity: Identity
    path: Path
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""
    is_folder: bool = False

    @property
    def named_as_recording(self) -> bool:
        """Whether its extension says that it is a recording."""
        return is_recording_name(self.identity.path)


def parse_inputs(arguments: Iterable[str]) -> list[Input]:
    """Inputs from the command line; raises UsageError for one that does not exist or a label that is not clear."""
    inputs: list[Input] = []
    for argument in arguments:
        new = _parse_input(argument)
        for other in inputs:
            if other.label == new.label and other.folder != new.folder:
                raise UsageError(
                    f"{show(str(other.folder))} and {show(str(new.folder))} would both be called "
                    f"{show(new.label)}: name one of them with LABEL=FOLDER"
                )
        if new not in inputs:
            inputs.append(new)
    return inputs


def _parse_input(argument: str) -> Input:
    label, separator, rest = argument.partition("=")
    if not argument or (separator and not rest):
        raise UsageError(f"an input is empty ({argument!r}): name a folder or a file")
    said = bool(separator and label) and "/" not in label and os.sep not in label and not os.path.exists(argument)
    path = Path(os.path.abspath(rest if said else argument))
    if not os.path.lexists(path):
        raise UsageError(f"no such file or folder: {show(str(path))}")
    single = not path.is_dir()
    folder = path.parent if single else path
    name = label if said else folder.name
    if not name or name in (".", ".."):
        raise UsageError(f"{show(str(folder))} has no name to call its recordings by: give LABEL={show(argument)}")
    return Input(name, folder, path.name if single else None, said)


def walk(source: Input, output: Path) -> Iterator[Found]:
    """Every file below an input, in the order of the bytes of their paths; never what lies in the output folder."""
    if source.file is not None:
        yield _look(source, source.file)
        return
    yield from _walk_folder(source, "", output)


def _walk_folder(source: Input, below: str, output: Path) -> Iterator[Found]:
    folder = source.folder / below
    try:
        names = sorted(os.listdir(folder), key=os.fsencode)
    except OSError as error:
        problem = f"the folder cannot be listed: {_why(error)}"
        yield Found(Identity(source.label, below or "."), folder, problem=problem, is_folder=True)
        return
    for name in names:
        relative = f"{below}/{name}" if below else name
        path = source.folder / relative
        if _is_folder(path):
            if path == output or _same(path, output):
                continue
            if is_recording_name(name):
                yield Found(Identity(source.label, relative), path, problem="it is a folder, not a recording")
            yield from _walk_folder(source, relative, output)
        else:
            yield _look(source, relative)


def _look(source: Input, relative: str) -> Found:
    identity, path = Identity(source.label, relative), source.folder / relative
    try:
        status = os.stat(path)
    except FileNotFoundError:
        problem = "a link that leads nowhere" if path.is_symlink() else "it vanished before it could be read"
        return Found(identity, path, problem=problem)
    except OSError as error:
        return Found(identity, path, problem=_why(error))
    if stat.S_ISDIR(status.st_mode):
        return Found(identity, path, problem="a link to a folder, which is not followed")
    if not stat.S_ISREG(status.st_mode):
        return Found(identity, path, problem="it is a device or a pipe, not a file")
    return Found(identity, path, status.st_size, status.st_mtime_ns)


def looks_like_audio(found: Found) -> bool:
    """Whether a file's name or its first bytes say that it is audio; raises UnreadableRecording if it can't be read."""
    if found.named_as_recording:
        return True
    try:
        with open(found.path, "rb") as handle:
            return sniff(handle.read(64)) is not None
    except OSError as error:
        raise UnreadableRecording(_why(error)) from error


def _why(error: OSError) -> str:
    return "no permission to read it" if isinstance(error, PermissionError) else (error.strerror or str(error))


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False  # what is wrong with it, the look at it will say


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
