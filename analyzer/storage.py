"""Where recordings lie: in folders of this machine, or in object storage under an address such as s3://bucket/calls.

Object storage is read through fsspec, a piece at a time: nothing is copied to a local disk. Which addresses work hangs
on what is installed beside it (s3fs for `s3://`, gcsfs for `gs://`, adlfs for `az://`); keys and endpoints come from
the environment, as those packages and fsspec say.
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

#: A path of this machine, or an address in object storage.
Location = Path | str

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
#: What is fetched at a time: a few minutes of a call.
_FETCHED_BYTES = 8 << 20
#: What kinds of object storage call the time of the last change.
_MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "created")


@dataclass(frozen=True)
class Listed:
    """What stands in a folder of object storage: its name there, and of a file its size and time of change.

    A file below a folder without a name, such as `calls//b.wav`, has a `/` at the beginning of its name.
    """

    name: str
    is_folder: bool
    size: int = 0
    mtime_ns: int = 0


def is_address(text: str) -> bool:
    """Whether a text names a place in object storage."""
    return _ADDRESS.match(text) is not None


def is_file(address: str) -> bool:
    """Whether an address is that of a single file.

    Raises UsageError where there is nothing of that name, or no way to look, and CannotWork where the storage does not
    answer.
    """
    storage, path = _opened(address)
    with _answering(address):
        if storage.isfile(path):
            return True
        if storage.isdir(path):
            return False
    raise UsageError(f"no such file or folder: {show(address)}")


def listing(address: str) -> list[Listed]:
    """What stands in a folder, by the bytes of the names; raises CannotWork where the storage does not answer."""
    storage, path = _opened(address)
    with _answering(address):
        found = storage.ls(path, detail=True)
        unnamed = any(one["name"] == f"{path}/" and one.get("type") == "directory" for one in found)
        # Asked for such a folder itself, clients list the one above it.
        below = storage.find(path, prefix="/", detail=True) if unnamed else {}
    names = [str(one["name"]).rstrip("/") for one in found]
    listed = [_listed(name.rpartition("/")[2], one) for name, one in zip(names, found, strict=True) if name != path]
    listed += [
        _listed(name.removeprefix(f"{path}/"), one)
        for name, one in below.items()
        if name.startswith(f"{path}//") and not name.endswith("/")
    ]
    return sorted((one for one in listed if one.name), key=lambda one: one.name.encode(errors="surrogatepass"))


def look(folder: str, name: str) -> Listed:
    """What is known of a single file without listing its folder; raises CannotWork as `listing` does."""
    address = f"{folder}/{name}"
    storage, path = _opened(address)
    with _answering(address):
        return _listed(name, storage.info(path))


def open_to_read(location: Location) -> BinaryIO:
    """A recording's bytes; raises OSError as `open` does, UnreadableRecording where the storage does not answer."""
    if isinstance(location, Path):
        return open(location, "rb")
    storage, path = _opened(location)
    try:
        return storage.open(path, "rb", block_size=_FETCHED_BYTES, cache_type="readahead")
    except OSError:
        raise
    except Exception as error:  # clients have errors of their own, without a common base
        raise UnreadableRecording(f"it cannot be fetched ({_told(error)})") from error


def head(location: Location, size: int) -> bytes:
    """The first bytes of a file, without fetching more.

    Raises OSError as `open` does, CannotWork where the storage does not answer: what was not looked at is not judged.
    """
    if isinstance(location, Path):
        with open(location, "rb") as handle:
            return handle.read(size)
    storage, path = _opened(location)
    try:
        return storage.cat_file(path, start=0, end=size)
    except OSError:
        raise
    except Exception as error:
        raise CannotWork(f"{show(location)} cannot be fetched ({_told(error)})") from error


def digest(location: Location) -> str:
    """A hash of a file's content; raises OSError and UnreadableRecording as `open_to_read` does."""
    with open_to_read(location) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]  # it has readinto


def mount(folder: Location) -> int | None:
    """Number of the file system that a folder lies on, 0 for object storage; None where it is gone, or empty."""
    try:
        if not isinstance(folder, Path):
            storage, path = _opened(folder)
            return 0 if storage.exists(path) else None
        with os.scandir(folder) as names:
            return os.stat(folder).st_dev if any(True for _ in names) else None
    except Exception:  # clients have errors of their own, without a common base
        return None


def _opened(address: str) -> tuple[Any, str]:
    """The storage of an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        # What was listed is not kept: an archive has more names than a night's memory should hold.
        storage, path = url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        raise UsageError(
            f"{show(address)} needs a package that is not installed: pip install 'call-emotions[s3]' for s3://, or "
            f"what fsspec asks for ({error})"
        ) from error
    except ValueError as error:
        raise UsageError(f"{show(address)} is an address of no kind that is known here: {error}") from error
    return storage, str(path).rstrip("/")


def _listed(name: str, told: dict[str, Any]) -> Listed:
    if told.get("type") == "directory":
        return Listed(name, is_folder=True)
    modified = next((told[key] for key in _MODIFIED if told.get(key) is not None), 0)
    return Listed(name, False, _bytes(told.get("size")), _nanoseconds(modified))


def _bytes(size: object) -> int:
    """A size as a client tells it; 0 where it is none."""
    try:
        return int(size or 0)  # type: ignore[call-overload]
    except (ValueError, OverflowError, TypeError):
        return 0


def _nanoseconds(modified: object) -> int:
    """A time as a client tells it, in nanoseconds since 1970; 0 where it is none, since only changes of it matter."""
    try:
        moment = datetime.fromisoformat(modified) if isinstance(modified, str) else modified
        seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)  # type: ignore[arg-type]
        return round(seconds * 1_000_000) * 1000
    except (ValueError, OverflowError, TypeError):
        return 0


@contextmanager
def _answering(address: str) -> Iterator[None]:
    """Turns whatever a storage's client raises into CannotWork: a listing that is not whole is none."""
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"no such file or folder: {show(address)}") from error
    except Exception as error:  # clients have errors of their own, without a common base
        raise CannotWork(f"{show(address)} cannot be listed ({_told(error)})") from error


def _told(error: BaseException) -> str:
    """What a client says, and what lies at the bottom of it: that nobody listens there, or no name or certificate."""
    bottom = error
    while deeper := bottom.__cause__ or bottom.__context__:
        bottom = deeper
    said = f"{type(error).__name__}: {error}"
    return said if bottom is error else f"{said}; {bottom}"
