"""Resolve an output path: a regular file, possibly behind a symbolic link, or a pipe or a device.

A link is kept, and its target is written. A pipe or a device is never replaced by a regular file.
"""

import errno
import os
import re
import stat
from pathlib import Path

#: Maximum length of a chain of links, as on Linux.
_MOST_LINKS = 40
#: Folders in which systems expose the open descriptors of a process; /dev/stdout leads there.
_DESCRIPTORS = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd|/dev/fd")
_STANDARD_ERROR = 2
#: Flags to write without waiting for a reader and without taking over a terminal; Windows lacks the last two.
_TO_WRITE = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def regular_file(path: Path) -> Path:
    """Return the regular file, existing or not, to replace when `path` is written: the target if `path` is a link.

    Raises OSError if `path` leads to anything else, or if its link must not be followed.
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
    """Open the pipe or device at `path` for writing; return None if it is a regular file, existing or not.

    If `path` leads to an open descriptor of this process, as /dev/stdout does, a duplicate of it is returned. Opening
    does not wait for a reader. Raises OSError if nothing reads from the pipe, and for folders, sockets and disks.
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
    """Write all of the content to a descriptor from `open_stream`, and close it; raises OSError."""
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    except BlockingIOError as error:
        raise OSError(errno.EAGAIN, "the pipe is full, and what reads from it does not go on") from error
    finally:
        os.close(descriptor)


def _descriptor(path: Path) -> int | None:
    """Return the open descriptor of this process that a path such as /dev/stdout leads to, or None.

    Raises OSError if it is a descriptor of another process.
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
    """Raise OSError for a link that another user created in a folder that all users may write to, such as /tmp.

    The kernel does not follow such links when a file is opened, but does not check them when a file is replaced.
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
