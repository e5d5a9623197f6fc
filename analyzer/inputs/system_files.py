"""Names of files and folders that operating systems, file servers and programs create; they are ignored."""

import re

#: Names that are ignored, in upper or lower case: macOS; Windows; Linux and its desktops; NAS devices and file servers,
#: whose snapshots and recycle bins hold copies of every recording.
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
#: Prefixes of names that are ignored: AppleDouble files of macOS; recycle bins per user; snapshots of Windows shares;
#: files on NFS and FUSE that were deleted while they were open.
BEGINNINGS = ("._", ".trash-", "@gmt-", ".nfs0", ".fuse_hidden")
_IGNORED = re.compile("|".join((f"(?:{'|'.join(map(re.escape, BEGINNINGS))}).+", *map(re.escape, sorted(NAMES)))))


def is_system_file(name: str) -> bool:
    """Whether files and folders of this name are ignored below an input."""
    return _IGNORED.fullmatch(name.casefold()) is not None


def has_system_part(path: str) -> bool:
    """Whether any part of a path is ignored; `/` separates the parts."""
    return any(map(is_system_file, path.split("/")))
