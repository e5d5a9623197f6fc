"""What an output path really is: a regular file, perhaps behind a symbolic link, or a pipe or a device.

A link is kept, and what it leads to is written. A pipe or a device is never replaced by a regular file.
"""

import errno
import os
import re
import stat
from pathlib import Path

#: Links that may follow one another, as on Linux.
_MOST_LINKS = 40
#: The folders in which systems show the open descriptors of a process: /dev/stdout leads there.
_DESCRIPTORS = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd|/dev/fd")
_STANDARD_ERROR = 2
#: To write without waiting for a reader, and without taking over a terminal; Windows has neither.
_TO_WRITE = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def regular_file(path: Path) -> Path:
    """The regular file, there or not, that is to be replaced when `path` is written: behind a link, its target.

    Raises OSError where `path` leads to anything else, or where its link must not be followed.
    """
    target = path
    if path.is_symlink():
        if _descriptor(path) is not None:
            raise OSError(errno.EINVAL, "it leads to an open descriptor, not to a file")
        _check_owner(path)
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "it is a link into a folder that is not there")
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return target
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {_kind(mode)}, not a file")
    return target


def open_stream(path: Path) -> int | None:
    """A descriptor that writes into the pipe or the device at `path`; None where it is a regular file, there or not.

    It does not wait for a reader. Raises OSError where nothing reads from the pipe, and for folders, sockets and disks.
    """
    number = _descriptor(path)
    if number is not None:
        if number > _STANDARD_ERROR and stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it leads to a file that this program has opened for itself")
        return os.dup(number)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise OSError(errno.EINVAL, f"it is {_kind(mode)}, not a file")
    if path.is_symlink():
        _check_owner(path)
    try:
        descriptor = os.open(path, _TO_WRITE)
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
            raise OSError(errno.ENXIO, "nothing reads from this pipe") from error
        raise
    if stat.S_ISCHR(mode) and hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return descriptor


def write_stream(descriptor: int, content: bytes) -> None:
    """Write all of a content into a descriptor that `open_stream` gave, and close it; raises OSError."""
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except BlockingIOError as error:
        raise OSError(errno.EAGAIN, "the pipe is full, and what reads from it does not go on") from error
    finally:
        os.close(descriptor)


def _descriptor(path: Path) -> int | None:
    """The number of the open descriptor of this process that a path leads to, as /dev/stdout does; else None.

    Raises OSError where it is one of another process.
    """
    for _ in range(_MOST_LINKS):
        match = _DESCRIPTORS.fullmatch(os.path.realpath(path.parent))
        if match and path.name.isdecimal():
            if match[1] not in (None, str(os.getpid())):
                raise OSError(errno.EINVAL, "it leads to an open descriptor of another process")
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / os.readlink(path)
    return None


def _check_owner(link: Path) -> None:
    """Raise OSError for a link that another user has put into a folder in which everyone may write, such as /tmp.

    The kernel does not follow these where a file is opened; where a file is replaced it is not asked.
    """
    folder, owner = os.stat(link.parent), os.lstat(link).st_uid
    shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if shared and owner not in (os.geteuid(), folder.st_uid):
        raise PermissionError(errno.EACCES, "it is a link of another user in a folder of all users")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISLNK: "a link that leads nowhere",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISBLK: "a disk",
    }
    return next((name for is_so, name in kinds.items() if is_so(mode)), "a device")
