"""Match rows of the metadata to recordings, also if the names are not exactly equal."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path
from urllib.parse import unquote

from analyzer.audio.signatures import is_recording_name
from analyzer.audio.storage import Location
from analyzer.inputs.discovery import Input
from analyzer.names import Identity

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
#: Levels of a match, the closest first: with or without extension; same case or case-insensitive; and the scope of the
#: name: an absolute path; label and path below it, or that path, or the bare file name; label and path at the end of an
#: absolute path of another machine.
_LEVELS = tuple(product((True, False), (True, False), ("absolute", "relative", "tail")))


@dataclass
class Rows:
    """The rows of the metadata, by the names that they give, and the recordings that they match.

    Attributes
    ----------
    names : the names of all rows.
    used : rows whose name is exactly that of a recording, and the number of recordings of that name.
    matched : by recording, the only row that clearly matches it though its name is written differently.
    ambiguous : rows that match several recordings, or one recording that another row matches, too.
    """

    names: Collection[str]
    used: dict[str, int] = field(default_factory=dict)
    matched: dict[Identity, str] = field(default_factory=dict)
    ambiguous: list[str] = field(default_factory=list)

    @property
    def unmatched(self) -> list[str]:
        """The rows that match no recording, in their order; ambiguous rows are not included."""
        assigned = {*self.used, *self.matched.values(), *self.ambiguous}
        return [name for name in self.names if name not in assigned]

    @property
    def of_several(self) -> list[str]:
        """The rows that match several recordings at once, which have the same name in different folders."""
        return [name for name, count in self.used.items() if count > 1]


def exact_names(*identities: Identity) -> Iterator[str]:
    """Yield the exact names of a recording in a metadata file, the most specific first; also as shown in tables."""
    names = [name for identity in identities for name in (f"{identity.label}/{identity.path}", identity.shown)]
    yield from names
    yield from (name.partition("/")[2] for name in names)
    yield from (name.rpartition("/")[2] for name in names)


def match_rows(names: Collection[str], recordings: Iterable[tuple[Identity, Identity, Input]]) -> Rows:
    r"""Find the recordings that the rows of a metadata file describe.

    `recordings` gives for each recording its file name, its name in results, and its input. A row with the exact name
    of a recording always wins. Otherwise a row matches the only recording whose name differs in no more than, in this
    order: the Unicode form, `\` for `/`, `./` and the path from the root of the file system; upper and lower case; a
    missing extension.
    """
    rows = Rows(names)
    rows_by_key: dict[tuple[int, str], list[str]] = {}
    for name in names:
        for level, key in _row_keys(name):
            rows_by_key.setdefault((level, key), []).append(name)
    candidates = dict[str, dict[int, set[Identity]]]()
    exactly_matched = set[Identity]()
    for identity, result_name, source in recordings:
        exact = next((name for name in exact_names(identity, result_name) if name in names), None)
        if exact is not None:
            rows.used[exact] = rows.used.get(exact, 0) + 1
            exactly_matched.add(identity)
        for level, key in _recording_keys(identity, source):
            for name in rows_by_key.get((level, key), ()):
                matches = candidates.setdefault(name, {}).setdefault(level, set())
                if len(matches) < 2:
                    matches.add(identity)
    _assign_rows(rows, candidates, exactly_matched)
    return rows


def _assign_rows(rows: Rows, candidates: dict[str, dict[int, set[Identity]]], exactly_matched: set[Identity]) -> None:
    """Assign to each recording the only row that matches it, among the rows without an exact match."""
    rows_by_recording = dict[Identity, list[str]]()
    for name in rows.names:
        if name in rows.used or name not in candidates:
            continue
        matches = candidates[name][min(candidates[name])]
        if len(matches) > 1:
            rows.ambiguous.append(name)
        else:
            rows_by_recording.setdefault(next(iter(matches)), []).append(name)
    for identity, names in rows_by_recording.items():
        if len(names) == 1 and identity not in exactly_matched:
            rows.matched[identity] = names[0]
        else:
            rows.ambiguous += names


def _row_keys(name: str) -> Iterator[tuple[int, str]]:
    """Yield the level and key of each possible match of a row; the lower the level, the closer the match."""
    normalised = _normalise(name)
    parts = normalised.split("/")
    tails = ["/".join(parts[k:]) for k in range(1, len(parts) - 1)] if _ABSOLUTE.match(normalised) else []
    for level, (with_extension, same_case, scope) in enumerate(_LEVELS):
        if with_extension or not is_recording_name(normalised):
            for key in tails if scope == "tail" else [normalised]:
                yield level, key if same_case else key.casefold()


def _recording_keys(identity: Identity, source: Input) -> Iterator[tuple[int, str]]:
    """Yield the level and key of each name that a row may give a recording, as in `_row_keys`."""
    relative_path, folders = _normalise(identity.path), _absolute_paths(source.folder)
    labels = dict.fromkeys((_normalise(identity.label), folders[0].rpartition("/")[2]))
    labelled_paths = [f"{label}/{relative_path}" for label in labels]
    names = {
        "absolute": [f"{folder}/{relative_path}" for folder in folders],
        "relative": list(dict.fromkeys((*labelled_paths, relative_path, relative_path.rpartition("/")[2]))),
        "tail": labelled_paths,
    }
    has_extension = is_recording_name(relative_path)
    for level, (with_extension, same_case, scope) in enumerate(_LEVELS):
        if with_extension or has_extension:
            for name in names[scope]:
                key = name if with_extension else os.path.splitext(name)[0]
                yield level, key if same_case else key.casefold()


@lru_cache
def _absolute_paths(folder: Location) -> tuple[str, ...]:
    """Return the absolute paths of an input's folder: as it was named, and with links resolved."""
    real = os.path.realpath(folder) if isinstance(folder, Path) else folder
    return tuple(dict.fromkeys((_normalise(str(folder)), _normalise(str(real)))))


def _normalise(name: str) -> str:
    """Normalise a path or file:// URL: Unicode NFC, `/` between its parts, no empty parts and no `.`."""
    if name[:7].lower() == "file://":
        name = re.sub(r"^/(?=[A-Za-z]:)", "", unquote(name[7:].removeprefix("localhost")))
    scheme, separator, rest = name.rpartition("://")
    parts = unicodedata.normalize("NFC", rest.replace("\\", "/")).split("/")
    kept = [part for k, part in enumerate(parts) if part != "." and (part or k == 0)]
    return scheme.lower() + separator + "/".join(kept)
