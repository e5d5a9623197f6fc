"""Words of the project's former private vocabulary, which `make lint` refuses: python -m tests.helpers.words."""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

#: A word that is refused, and what to write instead. The first group is refused in identifiers and in texts.
WORDS = {
    "told": "metadata, text, summary, reported", "tells": "says, shows, reports", "heard": "analysed, recognised",
    "hears": "analyses, recognises", "taught": "trained, distilled", "adviser": "teacher",
    "halved": "pruned, half the frame rate", "stranger": "unseen speaker",
    "strangers": "unseen speakers", "ears": "listeners", "wolf": "false alarms", "somebody": "someone, a speaker",
    "whoever": "anyone who", "anew": "again",
}  # fmt: skip
#: Refused in identifiers only.
IDENTIFIERS = {
    "night": "run",
    "nights": "runs",
    "hear": "process",
    "said": "text, segments",
    "advice": "distillation",
    "advised": "distilled",
}
FOLDERS = ("analyzer", "training", "benchmarks", "tests", "docs", "models", "samples", "examples")
SUFFIXES = (".py", ".md", ".j2", ".js", ".toml", ".cron", ".service")
#: Files that need old words: the list itself, a spoken dialogue, and the migration of what older versions stored.
EXEMPT = (
    "tests/helpers/words.py",
    "examples/make_examples.py",
    "analyzer/store/migrations.py",
    "tests/test_migrations.py",
    "tests/data/README.md",
)
_TEXT = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def refused(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line, word and replacement for every refused word in a file."""
    text = path.read_text(encoding="utf-8")
    for match in _TEXT.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[0], WORDS[match[0].lower()]
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                for part in _PARTS.findall(token.string):
                    word = part.lower()
                    if word in IDENTIFIERS or (word in WORDS and not _TEXT.search(token.string)):
                        yield token.start[0], token.string, (IDENTIFIERS | WORDS)[word]


def main() -> int:
    """Print every refused word of the project; return 1 if there is one."""
    root = Path(__file__).parents[2]
    files = [*root.glob("*.md"), *(path for folder in FOLDERS for path in (root / folder).rglob("*"))]
    count = 0
    for path in sorted(files):
        name = path.relative_to(root).as_posix()
        if path.suffix in SUFFIXES and name not in EXEMPT:
            for line, word, instead in refused(path):
                print(f"{name}:{line}: {word}: write {instead}")
                count += 1
    return min(count, 1)


if __name__ == "__main__":
    sys.exit(main())
