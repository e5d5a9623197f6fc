"""Access to recordings in local folders, or in object storage at addresses such as s3://bucket/calls.

Object storage is read through fsspec, one piece at a time: nothing is copied to a local disk. The supported addresses
depend on the packages that are installed with it (s3fs for `s3://`, gcsfs for `gs://`, adlfs for `az://`). Keys and
endpoints come from the environment, as those packages and fsspec document.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from analyzer.errors import CannotWork, UnreadableRecording, UsageError
from analyzer.names import show

#: A local path, or an address in object storage.
Location = Path | str

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
#: Bytes that are fetched at a time: a few minutes of a call.
_BLOCK_BYTES = 8 << 20
#: Keys for the modification time in the clients of object storage, in order of preference.
_TIME_KEYS = ("mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class Listed:
    """An item in a folder of object storage: its name there and, for a file, its size in bytes and modification time.

    The name of a file below a folder without a name, such as `calls//b.wav`, begins with `/`.
    """

    name: str
    is_folder: bool
    size: int = 0
    mtime_ns: int = 0


def is_address(text: str) -> bool:
    """Whether a text is an address in object storage."""
    return _ADDRESS.match(text) is not None


def is_file(address: str) -> bool:
    """Whether an address is that of a single file.

    Raises UsageError if nothing exists at the address or such addresses are not supported, CannotWork if the storage
    does not answer.
    """
    storage, path = _opened(address)
    with _translate_errors(address):
        if storage.isfile(path):
            return True
        if storage.isdir(path):
            return False
    raise UsageError(f"no such file or folder: {show(address)}")


def listing(address: str) -> list[Listed]:
    """Return the items of a folder, ordered by the bytes of their names; raises what `is_file` raises."""
    storage, path = _opened(address)
    with _translate_errors(address):
        entries = storage.ls(path, detail=True)
        has_unnamed_folder = any(entry["name"] == f"{path}/" and entry.get("type") == "directory" for entry in entries)
        # For a folder without a name, `ls` of the clients lists its parent.
        files_below = storage.find(path, prefix="/", detail=True) if has_unnamed_folder else {}
    names = [str(entry["name"]).rstrip("/") for entry in entries]
    items = [
        _listed(name.rpartition("/")[2], entry) for name, entry in zip(names, entries, strict=True) if name != path
    ]
    items += [
        _listed(name.removeprefix(f"{path}/"), entry)
        for name, entry in files_below.items()
        if name.startswith(f"{path}//") and not name.endswith("/")
    ]
    return sorted((item for item in items if item.name), key=lambda item: item.name.encode(errors="surrogatepass"))


def look(folder: str, name: str) -> Listed:
    """Return the item of a single file without listing its folder; raises what `is_file` raises."""
    address = f"{folder}/{name}"
    storage, path = _opened(address)
    with _translate_errors(address):
        return _listed(name, storage.info(path))


def open_to_read(location: Location) -> BinaryIO:
    """Open a recording; raises OSError as `open` does, UnreadableRecording if the storage does not answer."""
    if isinstance(location, Path):
        return open(location, "rb")
    storage, path = _opened(location)
    try:
        handle: BinaryIO = storage.open(path, "rb", block_size=_BLOCK_BYTES, cache_type="readahead")
        return handle
    except OSError:
        raise
    except Exception as error:  # the errors of the clients have no common base class
        raise UnreadableRecording(f"it cannot be fetched ({_describe_error(error)})") from error


def head(location: Location, size: int) -> bytes:
    """Return the first `size` bytes of a file, without fetching more.

    Raises OSError as `open` does, CannotWork if the storage does not answer: a file that was not read must not be
    classified.
    """
    if isinstance(location, Path):
        with open(location, "rb") as handle:
            return handle.read(size)
    storage, path = _opened(location)
    try:
        content: bytes = storage.cat_file(path, start=0, end=size)
        return content
    except OSError:
        raise
    except Exception as error:
        raise CannotWork(f"{show(location)} cannot be fetched ({_describe_error(error)})") from error


def digest(location: Location) -> str:
    """Return the SHA-256 hash of a file's content; raises OSError and UnreadableRecording as `open_to_read` does."""
    with open_to_read(location) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto


def mount(folder: Location) -> int | None:
    """Return the device number of a folder's file system, 0 for object storage; None if gone, empty or unreadable."""
    try:
        if not isinstance(folder, Path):
            storage, path = _opened(folder)
            return 0 if storage.exists(path) else None
        with os.scandir(folder) as entries:
            return os.stat(folder).st_dev if any(True for _ in entries) else None
    except Exception:  # the errors of the clients have no common base class
        return None


def _opened(address: str) -> tuple[Any, str]:
    """Return the fsspec file system of an address and the path in it; raises UsageError if it is not supported."""
    try:
        from fsspec.core import url_to_fs

        # Listings are not cached: the names of a large archive would take too much memory.
        storage, path = url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        raise UsageError(
            f"{show(address)} needs a package that is not installed: pip install 'call-emotions[s3]' for s3://, or "
            f"what fsspec asks for ({error})"
        ) from error
    except ValueError as error:
        raise UsageError(f"{show(address)} is not a supported address: {error}") from error
    return storage, str(path).rstrip("/")


def _listed(name: str, info: dict[str, Any]) -> Listed:
    if info.get("type") == "directory":
        return Listed(name, is_folder=True)
    modified = next((info[key] for key in _TIME_KEYS if info.get(key) is not None), 0)
    return Listed(name, False, _parse_size(info.get("size")), _parse_time(modified))


def _parse_size(size: Any) -> int:
    """Convert a size that a client reports; 0 if it is missing or not a number."""
    try:
        return int(size or 0)
    except (ValueError, OverflowError, TypeError):
        return 0


def _parse_time(modified: object) -> int:
    """Convert a time that a client reports to nanoseconds since 1970.

    0 if it is missing or invalid; that is enough, since only changes of the time matter.
    """
    try:
        moment = datetime.fromisoformat(modified) if isinstance(modified, str) else modified
        seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)  # type: ignore[arg-type]
        return round(seconds * 1_000_000) * 1000
    except (ValueError, OverflowError, TypeError):
        return 0


@contextmanager
def _translate_errors(address: str) -> Iterator[None]:
    """Turn any error of a storage client into CannotWork, since an incomplete listing must not be used.

    FileNotFoundError becomes UsageError.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"no such file or folder: {show(address)}") from error
    except Exception as error:  # the errors of the clients have no common base class
        raise CannotWork(f"{show(address)} cannot be listed ({_describe_error(error)})") from error


def _describe_error(error: BaseException) -> str:
    """Format a client's error with its root cause, such as a refused connection or an unknown host or certificate."""
    root_cause = error
    while cause := root_cause.__cause__ or root_cause.__context__:
        root_cause = cause
    text = f"{type(error).__name__}: {error}"
    return text if root_cause is error else f"{text}; {root_cause}"
