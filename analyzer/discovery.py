"""Which files there are: the recordings below the inputs, under names that stay theirs."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from analyzer import storage
from analyzer.audio import is_recording_name, sniff
from analyzer.errors import UnreadableRecording, UsageError
from analyzer.names import Identity, show
from analyzer.storage import Location


@dataclass(frozen=True)
class Input:
    """A folder or a single file to analyse.

    Attributes
    ----------
    label : first part of the names of its recordings.
    folder : what those names are relative to, an absolute path or an address in object storage.
    file : name of the only file in it that is meant, None for all.
    said : whether the user gave the label, as LABEL=FOLDER.
    """

    label: str
    folder: Location
    file: str | None = None
    said: bool = False


@dataclass(frozen=True)
class Found:
    """A file below an input: who it is, where, and as far as known its size in bytes and time of change.

    `problem` says why it cannot be a recording that is read, such as a link that leads nowhere; `is_folder`, that
    it stands for a whole folder that cannot be listed.
    """

    identity: Identity
    path: Location
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
    folder, file = _place(rest if said else argument)
    name = label if said else str(folder).rpartition("/")[2] if isinstance(folder, str) else folder.name
    if not name or name in (".", ".."):
        raise UsageError(f"{show(str(folder))} has no name to call its recordings by: give LABEL={show(argument)}")
    return Input(name, folder, file, said)


def _place(named: str) -> tuple[Location, str | None]:
    """The folder that is meant, and the only file in it where one is named."""
    if storage.is_address(named):
        address = named.rstrip("/")
        if not storage.is_file(address):
            return address, None
        folder, _, file = address.rpartition("/")
        return folder, file
    path = Path(os.path.abspath(named))
    if not os.path.lexists(path):
        raise UsageError(f"no such file or folder: {show(str(path))}")
    return (path, None) if path.is_dir() else (path.parent, path.name)


def walk(source: Input, output: Path) -> Iterator[Found]:
    """Every file below an input, in the order of the bytes of their paths; never what lies in the output folder.

    Raises CannotWork where object storage does not answer: what is not listed must not be taken for gone.
    """
    if isinstance(source.folder, str):
        yield from _walk_storage(source, source.folder, "")
    elif source.file is not None:
        yield _look(source.label, source.folder, source.file)
    else:
        yield from _walk_folder(source.label, source.folder, "", output)


def _walk_storage(source: Input, address: str, below: str) -> Iterator[Found]:
    for one in storage.listing(f"{address}/{below}"):
        if source.file not in (None, one.name):
            continue
        relative = f"{below}{one.name}"
        if one.is_folder:
            yield from _walk_storage(source, address, f"{relative}/")
        else:
            yield Found(Identity(source.label, relative), f"{address}/{relative}", one.size, one.mtime_ns)


def _walk_folder(label: str, root: Path, below: str, output: Path) -> Iterator[Found]:
    folder = root / below
    try:
        names = sorted(os.listdir(folder), key=os.fsencode)
    except OSError as error:
        problem = f"the folder cannot be listed: {_why(error)}"
        yield Found(Identity(label, below or "."), folder, problem=problem, is_folder=True)
        return
    for name in names:
        relative = f"{below}/{name}" if below else name
        path = root / relative
        if _is_folder(path):
            if path == output or _same(path, output):
                continue
            if is_recording_name(name):
                yield Found(Identity(label, relative), path, problem="it is a folder, not a recording")
            yield from _walk_folder(label, root, relative, output)
        else:
            yield _look(label, root, relative)


def _look(label: str, root: Path, relative: str) -> Found:
    identity, path = Identity(label, relative), root / relative
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
        return sniff(storage.head(found.path, 64)) is not None
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
