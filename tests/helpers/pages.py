"""HTML pages: texts that must be escaped, segments to draw, and a parser."""

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from analyzer.emotions import EMOTIONS
from analyzer.timeline.timeline import Row

HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "</noscript><script>alert(1)</script>",
    "{{7*7}}{% raw %}",
    '"\'><b onclick="alert(1)">&amp;</b>',
    "<!-- <script> ]]> \u2028 \udc80",
]
#: HTML elements without an end tag.
VOID = {"meta", "link", "input"}


class Parsed(HTMLParser):
    """A page, parsed as by a browser without scripts.

    `tags` counts elements with their attributes; `rows` are those of the table's body: attributes and cell texts.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: Counter[tuple[str, ...]] = Counter()
        self.open: list[str] = []
        self.rows: list[tuple[dict[str, str | None], list[str]]] = []
        self.script = self.data = self.text = ""
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[(tag, *(name for name, _ in attrs))] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "tr" and "tbody" in self.open:
            self.rows.append((dict(attrs), []))
        if tag == "td":
            self.rows[-1][1].append("")
        if tag == "script":
            self.is_data = ("type", "application/json") in attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            if self.is_data:
                self.data += data
            else:
                self.script += data
        elif "style" not in self.open:
            self.text += data
            if "td" in self.open:
                self.rows[-1][1][-1] += data.strip()


def segment(start: float, end: float, channel: int, emotion: str, sure: float = 0.7, level_db: float = -20.0) -> Row:
    if not emotion:
        return Row(start, end, channel, "", (), level_db)
    rest = round((1 - sure) / 7, 4)
    index = EMOTIONS.index(emotion) if emotion in EMOTIONS else 0
    return Row(start, end, channel, emotion, tuple(sure if k == index else rest for k in range(8)), level_db)
