"""Files and folders that operating systems, file servers and programs leave between recordings: never walked into."""

import re

#: Names that are ignored, in any case: of macOS; of Windows; of Linux and its desktops; of NAS devices and file
#: servers, whose snapshots and recycle bins hold copies of every recording.
NAMES = frozenset(
    name.casefold()
    for name in (
        *(".DS_Store", ".AppleDouble", ".AppleDB", ".AppleDesktop", ".Spotlight-V100", ".fseventsd", ".Trashes"),
        *(".TemporaryItems", ".DocumentRevisions-V100", ".VolumeIcon.icns", ".apdisk", "Network Trash Folder"),
        *("Icon\r", ".localized"),
        *("Thumbs.db", "ehthumbs.db", "desktop.ini", "System Volume Information", "$RECYCLE.BIN"),
        *("lost+found", ".directory", ".Trash", ".recycle"),
        *("@eaDir", "#snapshot", "#recycle", ".snapshot", ".snapshots", "~snapshot", "@Recycle", "@Recently-Snapshot"),
        *("@__thumb", ".@__thumb", ".zfs", ".stversions", ".stfolder", ".sync"),
    )
)
#: Beginnings of names: AppleDouble files of macOS; recycle bins by user; snapshots of Windows shares; what NFS and FUSE
#: call a file that was deleted while it was open.
BEGINNINGS = ("._", ".trash-", "@gmt-", ".nfs0", ".fuse_hidden")
_IGNORED = re.compile("|".join((f"(?:{'|'.join(map(re.escape, BEGINNINGS))}).+", *map(re.escape, sorted(NAMES)))))


def is_system_file(name: str) -> bool:
    """Whether a file or folder of this name is ignored below an input."""
    return _IGNORED.fullmatch(name.casefold()) is not None


def is_below_one(path: str) -> bool:
    """Whether a part of a path, with `/` between its parts, is ignored."""
    return any(map(is_system_file, path.split("/")))
