"""The formats in which results are written: their names, as --format takes them, and their files."""

#: Tables over all recordings; csv also has a timeline for each.
TABLES = frozenset(("csv", "xlsx", "html"))

#: Formats of one file per recording, and what those files end in: OUT/<format>/LABEL/<path><extension>.
EXTENSIONS = {
    "html": ".html",
    "png": ".png",
    "xlsx-per-file": ".xlsx",
    "audacity": ".txt",
    "textgrid": ".TextGrid",
    "webvtt": ".vtt",
    "rttm": ".rttm",
    "jsonl": ".jsonl",
    "parquet": ".parquet",
}

FORMATS = ("csv", "xlsx", *EXTENSIONS)
DEFAULT_FORMATS = frozenset(("csv", "xlsx"))
