"""Picture of one recording: its timeline as a PNG, for e-mail and slides.

The layout is in pixels from the top left: a single set of axes covers the figure, and its units are pixels.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import combining, normalize

import numpy as np

from analyzer.emotions import EMOTIONS, OTHER, UNCERTAIN
from analyzer.names import show
from analyzer.passages import passages
from analyzer.report import palette
from analyzer.report.lanes import (
    LONG_SILENCE_S,
    MASKED,
    Lane,
    Stretches,
    both_speaking,
    kind_of,
    lanes,
    scale,
    silences,
    ticks,
    word,
)
from analyzer.stream import clock
from analyzer.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pixels: width of a picture, margin around it, maximum width of names, and space beside them.
_WIDTH, _MARGIN, _NAMES, _BESIDE = 1600, 48, 280, 28
#: Pixels per inch: one point is two pixels.
_DPI = 144
#: Font sizes in pixels.
_TITLE, _NAME, _PLAIN, _SMALL = 32, 22, 20, 18
_INK, _MUTED = "#1D2228", "#59626C"
#: Kinds of bars, in the order of the legend.
_KINDS = (*EMOTIONS, UNCERTAIN, MASKED, OTHER)
#: Kinds of things other than bars.
_BOTH, _PASSAGE, _SILENCE, _TRACK, _GRID, _WAVE, _EDGE = "both", "passage", "silence", "track", "grid", "wave", "edge"
_COLOURS = palette.COLOURS | {
    MASKED: palette.MASKED,
    OTHER: "#EFF1F3",
    _BOTH: palette.BOTH,
    _PASSAGE: "#B3261E",
    _SILENCE: "#EAF1F8",
    _TRACK: "#EFF1F3",
    _GRID: "#DDE1E6",
    _WAVE: "#8A96A3",
    _EDGE: "#A9B0B8",
}
#: Hatch patterns over some of these colours, and the colours of the patterns.
_HATCHES = {UNCERTAIN: ("////", "#7D858E"), MASKED: ("\\\\\\\\", "#EFF1F3"), OTHER: ("....", palette.OTHER)}
_STYLE: list[str | dict[str, float]] = ["default", {"hatch.linewidth": 0.8}]
_NOTE = "The taller a bar, the surer the model. It hears what a voice expresses, not what a person feels."


def write_picture(timeline: Timeline, path: Path) -> None:
    """Write the timeline of a recording as a PNG; the user's own Matplotlib style has no effect."""
    # Otherwise Matplotlib warns if it finds no place in the home folder for its font cache.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib.style

    with matplotlib.style.context(_STYLE):
        draw(timeline).savefig(path, format="png", metadata={"Software": None})


def draw(timeline: Timeline) -> "Figure":
    """Return the timeline of a recording as a figure."""
    paper, drawn = Paper(), lanes(timeline, points=1200)
    together = "both speaking" if len(drawn) == 2 else "two or more speaking"
    told = [paper.width(_talk(lane), _SMALL) for lane in drawn]
    if len(drawn) > 1:
        told.append(paper.width(together, _SMALL))
    names = [paper.width(lane.speaker, _NAME, bold=True) for lane in drawn]
    axis = Axis(_MARGIN + round(min(_NAMES, max(told + names, default=0))) + _BESIDE, max(timeline.length_s, 0.001))
    top = _head(paper, timeline) + 42
    bottom = _lanes(paper, axis, drawn, top + 12, waves=timeline.envelope.size > 0)
    if len(drawn) > 1:
        bottom = _together(paper, axis, both_speaking(timeline.rows), together, bottom)
    _behind(paper, axis, silences(timeline), top, bottom)
    paper.end(_legend(paper, list(_shown(timeline, together)), bottom + 28))
    return paper.figure


@dataclass(frozen=True)
class Axis:
    """The time axis: `left` is a whole pixel, and the recording ends at the right margin."""

    left: int
    length_s: float

    @property
    def width(self) -> int:
        """Width in pixels."""
        return _WIDTH - _MARGIN - self.left

    def at(self, seconds: Any) -> Any:
        """Convert seconds to pixels, of a single number or an array."""
        return self.left + np.asarray(seconds) * (self.width / self.length_s)

    def boxes(self, stretches: Stretches, top: float, bottom: float, least: float = 0) -> np.ndarray:
        """Return boxes of stretches of time for `Paper.fill`, each at least `least` pixels wide."""
        starts, ends = self.at(np.reshape(stretches, (-1, 2))).T
        return boxes(starts, top, np.maximum(ends, starts + least), bottom)


def boxes(left: Any, top: Any, right: Any, bottom: Any) -> np.ndarray:
    """Return boxes shaped (boxes, 4) from their sides; each side is one number, or one per box."""
    return np.stack(np.broadcast_arrays(left, top, right, bottom), axis=-1).reshape(-1, 4)


class Paper:
    """A canvas with positions in pixels from its top left; its height is set at the end."""

    def __init__(self) -> None:
        from matplotlib import get_data_path
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.font_manager import FontProperties, get_font

        self.figure = Figure((_WIDTH / _DPI, 1), dpi=_DPI, facecolor="white")
        self._renderer = FigureCanvasAgg(self.figure).get_renderer()
        self._axes = self.figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH))
        self._axes.set_axis_off()
        # Font files instead of families, so that the installed fonts make no difference.
        files = [Path(get_data_path(), "fonts", "ttf", name) for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")]
        self._fonts = [FontProperties(fname=file) for file in files]
        self._glyphs = [get_font(file).get_char_index for file in files]

    def end(self, height: float) -> None:
        """Cut the canvas at this height."""
        self.figure.set_size_inches(_WIDTH / _DPI, round(height) / _DPI)
        self._axes.set_ylim(round(height), 0)

    def fill(self, what: np.ndarray, kind: str, *, behind: bool = False) -> None:
        """Fill boxes shaped (boxes, 4), each its left, top, right and bottom, in the style of `kind`."""
        from matplotlib.path import Path as Corners

        corners = what[:, [0, 1, 2, 1, 2, 3, 0, 3, 0, 1]].reshape(-1, 2)
        codes = [Corners.MOVETO, Corners.LINETO, Corners.LINETO, Corners.LINETO, Corners.CLOSEPOLY]
        self._add(Corners(corners, np.tile(codes, len(what))), kind, zorder=0 if behind else 1)

    def outline(self, corners: np.ndarray, kind: str) -> None:
        """Fill a polygon with corners shaped (corners, 2); a thin line keeps a flat one visible."""
        from matplotlib.path import Path as Corners

        self._add(Corners(corners), kind, linewidth=0.5)

    def _add(self, shape: Any, kind: str, linewidth: float = 0, zorder: int = 1) -> None:
        from matplotlib.patches import PathPatch

        hatch, over = _HATCHES.get(kind, (None, _COLOURS[kind]))
        patch = PathPatch(
            shape,
            facecolor=_COLOURS[kind],
            edgecolor=over,
            hatch=hatch,
            linewidth=linewidth,
            zorder=zorder,
        )
        patch.set_snap(False)
        self._axes.add_artist(patch)

    def text(
        self, x: float, y: float, told: str, size: float, *, bold: bool = False, colour: str = _INK, align: str = "left"
    ) -> None:
        """Write a line of text on the baseline `y`; `size` is in pixels."""
        self._axes.text(
            x,
            y,
            self._drawable(told, bold),
            fontproperties=self._font(size, bold),
            color=colour,
            ha=align,
            va="baseline",
            parse_math=False,
        )

    def width(self, told: str, size: float, *, bold: bool = False) -> float:
        """Return the width of a line of text in pixels."""
        line, font = self._drawable(told, bold), self._font(size, bold)
        return float(self._renderer.get_text_width_height_descent(line, font, ismath=False)[0])

    def fitted(self, told: str, room: float, size: float, *, bold: bool = False) -> str:
        """Return a line of text, its middle replaced by an ellipsis if it is wider than `room` pixels."""

        def shortened(kept: int) -> str:
            return f"{told[: kept - kept // 2]}\N{HORIZONTAL ELLIPSIS}{told[len(told) - kept // 2 :]}"

        def width(kept: int) -> float:
            return self.width(shortened(kept), size, bold=bold)

        if self.width(told, size, bold=bold) <= room:
            return told
        return shortened(bisect_right(range(len(told)), room, key=width) - 1)

    def _font(self, size: float, bold: bool) -> Any:
        font = self._fonts[bold].copy()
        font.set_size(size * 72 / _DPI)
        return font

    def _drawable(self, told: str, bold: bool) -> str:
        """Return a text that stays within its line: no stacked accents, and squares for missing glyphs."""
        composed = [one for one in normalize("NFC", show(told)) if not combining(one)]
        return "".join(one if self._glyphs[bold](ord(one)) else "\N{WHITE SQUARE}" for one in composed)


def _head(paper: Paper, timeline: Timeline) -> float:
    """Draw the name and the details of the recording; return the y coordinate of the end."""
    room = _WIDTH - 2 * _MARGIN
    recorded, note = timeline.about.get("recorded"), timeline.about.get("note")
    told = (f"recorded {recorded}" if recorded else "", f"length {clock(timeline.length_s)}", note)
    paper.text(_MARGIN, 70, paper.fitted(timeline.recording, room, _TITLE, bold=True), _TITLE, bold=True)
    line = "  \N{MIDDLE DOT}  ".join(filter(None, told))
    paper.text(_MARGIN, 106, paper.fitted(line, room, _PLAIN), _PLAIN, colour=_MUTED)
    return 110


def _behind(paper: Paper, axis: Axis, silent: Stretches, top: float, bottom: float) -> None:
    """Draw silences and ticks behind the lanes, and the times of the ticks above them."""
    paper.fill(axis.boxes(silent, top, bottom), _SILENCE, behind=True)
    # Half as many as on a page of this width, because the font is twice as large here.
    marks = [mark for mark in ticks(axis.length_s, axis.width // 2) if not mark.fine]
    at = np.minimum(np.rint(axis.at([mark.at for mark in marks])), _WIDTH - _MARGIN - 1)
    paper.fill(boxes(at, top, at + 1, bottom), _GRID, behind=True)
    for mark, x in zip(marks, at, strict=True):
        align = "right" if mark.edge == "end" else "center"
        paper.text(x, top - 10, clock(mark.at), _SMALL, colour=_MUTED, align=align)


def _lanes(paper: Paper, axis: Axis, drawn: Sequence[Lane], top: float, *, waves: bool) -> float:
    """Draw the lanes one below the other, with waveforms if `waves`; return the y coordinate of the end."""
    bar = min(76, max(24, 400 // max(1, len(drawn))))
    wave, full = bar if waves else 0, scale(drawn)
    for lane in drawn:
        _lane(paper, axis, lane, full, top, wave, bar)
        top += wave + bar + 16 + bar // 4
    return top


def _lane(paper: Paper, axis: Axis, lane: Lane, full: float, top: float, wave: float, bar: float) -> None:
    """Draw a lane: waveform, bars and negative passages, and the name of the speaker beside them."""
    middle, bars, base = top + wave / 2, top + wave + 4, top + wave + 4 + bar
    if wave:
        at = axis.at(np.linspace(0, min(len(lane.waveform) * lane.step_s, axis.length_s), len(lane.waveform)))
        least, greatest = (middle - lane.waveform / full * (wave / 2)).T
        paper.outline(np.stack([np.append(at, at[::-1]), np.append(greatest, least[::-1])], axis=1), _WAVE)
    paper.fill(boxes(axis.left, bars, axis.left + axis.width, base), _TRACK)
    for kind, what in _bars(lane, axis, bars, base):
        paper.fill(what, kind)
    paper.fill(axis.boxes([(p.start, p.end) for p in passages(lane.rows)], base + 3, base + 7, least=2), _PASSAGE)
    name = paper.fitted(lane.speaker, _NAMES, _NAME, bold=True)
    if base - top < 64:
        paper.text(_MARGIN, (top + base) / 2 + 8, name, _NAME, bold=True)
    else:
        paper.text(_MARGIN, (top + base) / 2 - 6, name, _NAME, bold=True)
        paper.text(_MARGIN, (top + base) / 2 + 22, _talk(lane), _SMALL, colour=_MUTED)


def _talk(lane: Lane) -> str:
    """Describe how long the speaker of a lane speaks."""
    return f"speaks {clock(sum(row.seconds for row in lane.rows))}" if lane.rows else "does not speak"


def _bars(lane: Lane, axis: Axis, top: float, bottom: float) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the bars of a lane, as their kind and the boxes of that kind."""
    shown, heights = _columns(lane, axis)
    starts = np.flatnonzero(np.diff(shown, prepend=-2) | (np.diff(heights, prepend=-1) != 0))
    ends = np.append(starts[1:], axis.width)
    what = boxes(axis.left + starts, bottom - heights[starts] * (bottom - top), axis.left + ends, bottom)
    for k in np.unique(shown[shown >= 0]):
        yield _KINDS[k], what[shown[starts] == k]


def _columns(lane: Lane, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Return kind and height of the bar in each column of pixels, both shaped (columns,).

    The kind is an index in `_KINDS`, or -1 for none; the height is from 0 to 1. In a long recording many segments share
    a column. It shows the kind that lasts longest there, at its mean probability: drawing all of them over one another
    would mix colours that stand for nothing.
    """
    edges = np.linspace(0, axis.length_s, axis.width + 1)
    pieces = [(kind_of(row), row.start, row.end, row.probability or 1.0) for row in lane.rows]
    pieces += [(OTHER, span.start, span.end, 1.0) for span in lane.other]
    seconds, weighed = np.zeros((2, len(_KINDS), axis.width))
    for k, kind in enumerate(_KINDS):
        of_it = np.array([piece[1:] for piece in pieces if piece[0] == kind]).reshape(-1, 3)
        if len(of_it):
            seconds[k] = _within(of_it[:, :2], np.ones(len(of_it)), edges)
            weighed[k] = _within(of_it[:, :2], of_it[:, 2], edges)
    most = seconds.argmax(axis=0)
    its_seconds, its_weight = (np.take_along_axis(of, most[None], axis=0)[0] for of in (seconds, weighed))
    sounds = its_seconds > 1e-6
    heights = np.divide(its_weight, its_seconds, out=np.zeros(axis.width), where=sounds)
    return np.where(sounds, most, -1), heights.round(4)


def _within(stretches: np.ndarray, weights: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the weighted seconds between adjacent edges, of ordered stretches shaped (stretches, 2)."""
    lengths = weights * (stretches[:, 1] - stretches[:, 0])
    by_then = np.cumsum(np.stack([np.zeros_like(lengths), lengths], axis=1))
    return np.diff(np.interp(edges, stretches.ravel(), by_then))


def _together(paper: Paper, axis: Axis, both: Stretches, called: str, top: float) -> float:
    """Draw where several speakers speak at once; return the y coordinate of the end."""
    paper.text(_MARGIN, top + 13, called, _SMALL, colour=_MUTED)
    paper.fill(boxes(axis.left, top, axis.left + axis.width, top + 14), _TRACK)
    paper.fill(axis.boxes(both, top, top + 14), _BOTH)
    return top + 26


def _shown(timeline: Timeline, together: str) -> Iterator[tuple[str, str]]:
    """Yield the kinds of things that occur in a picture, and their display names."""
    kinds = {kind_of(row) for row in timeline.rows}
    yield from ((kind, word(kind)) for kind in _KINDS if kind in kinds)
    if timeline.other:
        yield OTHER, "other sound"
    if both_speaking(timeline.rows):
        yield _BOTH, together
    if any(passages([row for row in timeline.rows if row.channel == channel]) for channel in timeline.channels):
        yield _PASSAGE, "negative passage"
    if silences(timeline):
        yield _SILENCE, f"silence of {LONG_SILENCE_S:g} s or more"


def _legend(paper: Paper, shown: Sequence[tuple[str, str]], top: float) -> float:
    """Draw the legend, in as many lines as it needs, and a note; return the height of the picture."""
    x, y = float(_MARGIN), top
    for kind, called in shown:
        width = 30 + paper.width(called, _PLAIN)
        if x + width > _WIDTH - _MARGIN:
            x, y = _MARGIN, y + 36
        paper.fill(boxes(x, y, x + 20, y + 20), _EDGE)
        paper.fill(boxes(x + 1, y + 1, x + 19, y + 19), kind)
        paper.text(x + 30, y + 17, called, _PLAIN)
        x += width + 34
    y += 36 if shown else 0
    paper.text(_MARGIN, y + 18, _NOTE, _SMALL, colour=_MUTED)
    return y + 18 + 34
