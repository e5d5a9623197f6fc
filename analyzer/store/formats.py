"""Output formats: their names, as --format takes them, and their files."""

#: Formats with a table over all recordings; csv also has a timeline for each recording.
TABLES = frozenset(("csv", "xlsx", "html"))

#: Formats with one file per recording, and the ending of its name: OUT/<format>/LABEL/<path><extension>.
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
