"""Discovery of the files below the inputs, each with a permanent name."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from analyzer.audio import storage
from analyzer.audio.signatures import SNIFFED_BYTES, is_recording_name, sniff, unreadable_content, unreadable_name
from analyzer.audio.storage import Location
from analyzer.errors import IncompleteRecording, UnreadableRecording, UsageError, VanishedRecording
from analyzer.inputs.system_files import has_system_part, is_system_file
from analyzer.names import Identity, show
from analyzer.runtime.isolation import format_error, traceback_of

#: Extensions that copying programs give a file until it is complete.
COPY_EXTENSIONS = frozenset((".part", ".partial", ".tmp", ".filepart", ".crdownload"))
#: Prefix of the reason in the ledger entry of a folder.
NOT_LISTED = "the folder cannot be listed"

Item = TypeVar("Item")


class MissingInput(UsageError):
    """An input does not exist; `label` is the label that its recordings would have."""

    def __init__(self, message: str, label: str) -> None:
        super().__init__(message)
        self.label = label


@dataclass(frozen=True)
class Input:
    """A folder or a single file to analyse.

    Attributes
    ----------
    label : first part of the names of its recordings.
    folder : an absolute path or an address in object storage; the names are relative to it.
    file : name of the only file in the folder to analyse, None for all.
    label_given : whether the user gave the label, as LABEL=FOLDER.
    """

    label: str
    folder: Location
    file: str | None = None
    label_given: bool = False


@dataclass(frozen=True)
class Found:
    """A file below an input: its identity, its location and, if known, its size in bytes and modification time.

    `problem` is the reason why the file cannot be read as a recording, such as a broken link. `is_folder` marks an
    object that represents a whole folder which cannot be listed. `is_link_out` marks a link out of the input that is
    not followed. `traceback` is that of an unexpected problem.
    """

    identity: Identity
    path: Location
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""
    is_folder: bool = False
    is_link_out: bool = False
    traceback: str = ""

    @property
    def named_as_recording(self) -> bool:
        """Whether its extension is that of a recording."""
        return is_recording_name(self.identity.path)


def parse_inputs(arguments: Iterable[str]) -> list[Input]:
    """Parse the inputs of the command line.

    Raises UsageError for an input that does not exist, an ambiguous label, and inputs of which one contains the other.
    """
    inputs: list[Input] = []
    for argument in arguments:
        new = _parse_input(argument)
        if new in inputs:
            continue
        for other in inputs:
            if (new.label, new.folder) != (other.label, other.folder) and overlap(new, other):
                raise UsageError(
                    f"the inputs {show(_full_path(other))} and {show(_full_path(new))} overlap, so that recordings "
                    "would count twice: leave one of them out"
                )
            if other.label == new.label and other.folder != new.folder:
                raise UsageError(
                    f"{show(str(other.folder))} and {show(str(new.folder))} would both be called "
                    f"{show(new.label)}: name one of them with LABEL=FOLDER"
                )
        inputs.append(new)
    return inputs


def overlap(one: Input, other: Input) -> bool:
    """Whether two inputs are the same, or one contains the other, after links are resolved."""
    return _contains(one, other) or _contains(other, one)


def _contains(outer: Input, inner: Input) -> bool:
    outer_path, inner_path = _full_path(outer), _full_path(inner)
    if isinstance(outer.folder, str) or isinstance(inner.folder, str):
        return f"{inner_path}/".startswith(f"{outer_path}/")
    real_path = Path(os.path.realpath(inner_path))
    return any(same(Path(outer_path), path) for path in (real_path, *real_path.parents))


def _full_path(source: Input) -> str:
    """Return the full path or address of an input."""
    if isinstance(source.folder, str):
        return source.folder if source.file is None else f"{source.folder}/{source.file}"
    return str(source.folder / (source.file or ""))


def _parse_input(argument: str) -> Input:
    label, separator, location = argument.partition("=")
    if not argument or (separator and not location):
        raise UsageError(f"an input is empty ({argument!r}): name a folder or a file")
    label_given = (
        bool(separator and label) and "/" not in label and os.sep not in label and not os.path.exists(argument)
    )
    folder, file = _split_location(location, label) if label_given else _split_location(argument)
    name = label if label_given else str(folder).rpartition("/")[2] if isinstance(folder, str) else folder.name
    if not name or name in (".", ".."):
        raise UsageError(f"{show(str(folder))} has no name that could serve as label: give LABEL={show(argument)}")
    return Input(name, folder, file, label_given)


def _split_location(argument: str, label: str = "") -> tuple[Location, str | None]:
    """Return the folder of an input, and the name of the file in it if the input is a single file.

    Raises MissingInput, with `label` or else the last part of the path, if there is no such file or folder.
    """
    if storage.is_address(argument):
        scheme, _, rest = argument.partition("://")
        address = f"{scheme.lower()}://{rest.rstrip('/')}"
        if not storage.is_file(address):
            return address, None
        _reject_web_page(address, argument)
        folder, _, file = address.rpartition("/")
        trimmed_folder = folder.rstrip("/")
        return trimmed_folder, folder[len(trimmed_folder) :] + file  # between two slashes is a folder without a name
    path = Path(os.path.abspath(argument))
    if not os.path.lexists(path):
        raise MissingInput(f"no such file or folder: {show(str(path))}", label or path.name)
    return (path, None) if path.is_dir() else (path.parent, path.name)


def _reject_web_page(address: str, argument: str) -> None:
    """Raise UsageError for a web address that is not that of a single recording."""
    if not address.startswith(("http://", "https://")):
        return
    path = address.partition("?")[0].partition("#")[0]
    try:
        is_audio = not argument.endswith("/") and (
            is_recording_name(path) or sniff(storage.head(address, SNIFFED_BYTES)) is not None
        )
    except OSError:
        is_audio = False
    if not is_audio:
        raise UsageError(
            f"{show(argument)} is no recording, and what a folder of a web server holds cannot be listed: give the "
            "address of each recording, or download them and give their folder"
        )


def walk(source: Input, output: Path, follow_links: bool = False) -> Iterator[Found]:
    """Yield every file below an input except those in the output folder, in the order of the bytes of their paths.

    System files and folders are left out unless they are the input themselves, see `analyzer.inputs.system_files`.
    Links that lead out of the input are followed only if `follow_links` is set or the link itself is the input. Raises
    CannotWork if object storage does not answer: a file that was not listed must not be considered deleted.
    """
    if isinstance(source.folder, str):
        yield from _walk_storage(source, source.folder, "")
        return
    follow = follow_links or source.file is not None  # a link that the user names is followed
    tree = _Tree(source.label, source.folder, Path(os.path.realpath(source.folder)), output, follow)
    if source.file is not None:
        yield from _collect(tree, source.file, _look(tree, source.file))
        return
    folders = [_folder_contents(tree, "", frozenset())]  # a stack, not recursion: any depth works
    while folders:
        item = next(folders[-1], None)
        if item is None:
            folders.pop()
        elif isinstance(item, Found):
            yield item
        else:
            folders.append(item)


def has_system_files(source: Input) -> bool:
    """Whether an input directly contains system files, so that it is not an empty mount point."""
    if isinstance(source.folder, str):
        return any(is_system_file(item.name) for item in storage.listing(source.folder))
    try:
        return any(map(is_system_file, os.listdir(source.folder)))
    except OSError:
        return False


def _walk_storage(source: Input, address: str, prefix: str) -> Iterator[Found]:
    items = storage.listing(f"{address}/{prefix}") if source.file is None else [storage.look(address, source.file)]
    for item in items:
        if source.file is None and has_system_part(item.name):
            continue
        relative = f"{prefix}{item.name}"
        try:
            os.fsencode(relative)  # always possible for local files
        except UnicodeEncodeError:
            identity = Identity(source.label, relative.encode(errors="backslashreplace").decode())
            yield Found(identity, f"{address}/{relative}", problem="its name holds characters that are no text")
            continue
        if item.is_folder:
            yield from _walk_storage(source, address, f"{relative}/")
        else:
            yield Found(Identity(source.label, relative), f"{address}/{relative}", item.size, item.mtime_ns)


@dataclass(frozen=True)
class _Tree:
    """The parameters of a walk: an input, its real path, the folder to leave out, and whether links may lead out."""

    label: str
    root: Path
    real_root: Path
    output: Path
    follow_links: bool

    def leads_out(self, path: Path) -> bool:
        """Whether a link leads out of the input."""
        return not Path(os.path.realpath(path)).is_relative_to(self.real_root)


#: The files of a folder, and the contents of each folder in it, in order.
_Contents: TypeAlias = Iterator["Found | _Contents"]


def _folder_contents(tree: _Tree, below: str, above: frozenset[tuple[int, int]]) -> _Contents:
    """Yield what is in the folder at a path below the input; `above` holds its parents, to detect cycles of links."""
    path = tree.root / below
    try:
        names = sorted(os.listdir(path), key=os.fsencode)
        status = os.stat(path)
    except Exception as error:
        identity = Identity(tree.label, below or ".")
        problem = f"{NOT_LISTED}: {_describe_error(error) if isinstance(error, OSError) else format_error(error)}"
        yield Found(identity, path, problem=problem, is_folder=True, traceback=traceback_of(error))
        return
    above |= {(status.st_dev, status.st_ino)}
    for name in names:
        relative = f"{below}/{name}" if below else name
        yield from _collect(tree, relative, _visit(tree, name, relative, above))


def _visit(tree: _Tree, name: str, relative: str, above: frozenset[tuple[int, int]]) -> _Contents:
    """Yield the file at a path or the contents of the folder there; nothing if it is to be left out."""
    path = tree.root / relative
    if is_system_file(name):
        return
    if not _is_folder(path, tree, above):
        yield from _look(tree, relative)
    elif path != tree.output and not same(path, tree.output):
        if is_recording_name(name):
            yield Found(Identity(tree.label, relative), path, problem="it is a folder, not a recording")
        yield _folder_contents(tree, relative, above)


def _collect(tree: _Tree, relative: str, items: Iterator[Item]) -> "list[Item | Found]":
    """Return the items found at a path; an unexpected error becomes the problem of that file."""
    try:
        return [*items]
    except Exception as error:
        problem, traceback = format_error(error), traceback_of(error)
        return [Found(Identity(tree.label, relative), tree.root / relative, problem=problem, traceback=traceback)]


def _is_folder(path: Path, tree: _Tree, above: frozenset[tuple[int, int]]) -> bool:
    """Whether a path is a folder to walk: a real one, or a link to one that is to be followed.

    Of links, only those that lead out of the input and do not form a cycle are followed.
    """
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            return True
        status = os.stat(path)
    except OSError:
        return False  # `_look` reports what is wrong with it
    is_followed = tree.follow_links and stat.S_ISDIR(status.st_mode) and tree.leads_out(path)
    return is_followed and (status.st_dev, status.st_ino) not in above


def _look(tree: _Tree, relative: str) -> Iterator[Found]:
    """Yield the file at a path; nothing if it was deleted after the folder was listed."""
    identity, path = Identity(tree.label, relative), tree.root / relative
    try:
        status = os.stat(path)
        if not tree.follow_links and path.is_symlink() and tree.leads_out(path):
            yield Found(identity, path, is_link_out=True)
        elif stat.S_ISDIR(status.st_mode):
            yield Found(identity, path, problem="a link to a folder, which is not followed")
        elif not stat.S_ISREG(status.st_mode):
            yield Found(identity, path, problem="it is a device or a pipe, not a file")
        else:
            yield Found(identity, path, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        if path.is_symlink():
            yield Found(identity, path, problem="a link that leads nowhere")
    except OSError as error:
        yield Found(identity, path, problem=_describe_error(error))


def check_unchanged(found: Found) -> None:
    """Check that a file is still as it was found.

    Raises IncompleteRecording if it has changed, VanishedRecording if it is gone, UnreadableRecording if its state
    cannot be read. Does nothing for object storage.
    """
    if not isinstance(found.path, Path):
        return  # objects are written atomically
    try:
        status = os.stat(found.path)
    except FileNotFoundError:
        raise VanishedRecording("the file disappeared before it could be read") from None
    except OSError as error:
        raise UnreadableRecording(_describe_error(error)) from error
    if (status.st_size, status.st_mtime_ns) != (found.size, found.mtime_ns):
        raise IncompleteRecording("it is still being written: it changed while the run was going on")


def copied_name(path: str) -> str | None:
    """Return the final name of an unfinished copy, such as `a.wav` for `a.wav.part`; None for any other file."""
    stem, extension = os.path.splitext(path)
    return stem if extension.lower() in COPY_EXTENSIONS else None


def looks_like_audio(found: Found) -> bool:
    """Whether a file's name or first bytes identify it as audio; raises UnreadableRecording if it cannot be read."""
    return found.named_as_recording or sniff(_read_head(found)) is not None


def unreadable_format(found: Found) -> str | None:
    """Return the format of a recording that this version cannot read, by its content or name; None for other files.

    Raises UnreadableRecording if the file cannot be opened.
    """
    return unreadable_content(_read_head(found)) or unreadable_name(found.identity.path)


def _read_head(found: Found) -> bytes:
    try:
        return storage.head(found.path, SNIFFED_BYTES)
    except OSError as error:
        raise UnreadableRecording(_describe_error(error)) from error


def _describe_error(error: OSError) -> str:
    return "no permission to read it" if isinstance(error, PermissionError) else (error.strerror or str(error))


def same(one: Location, other: Location) -> bool:
    """Whether two paths lead to the same local file or folder, after links are resolved."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
