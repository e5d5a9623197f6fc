"""Picture of one recording: its timeline as a PNG, for e-mail and slides."""

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.audio.stream import format_duration
from analyzer.emotions import EMOTIONS, OTHER, UNCERTAIN
from analyzer.names import show
from analyzer.report import lanes, palette
from analyzer.report.lanes import MASKED, Lane, kind_of
from analyzer.timeline.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

#: Pixels per inch, so that a point is two pixels; then pixels: width, margin, header, space below a lane.
_DPI, _WIDTH, _MARGIN, _HEADER, _GAP = 144, 1600, 48, 160, 32
#: Maximum numbers: characters of a recording's name, of the line below it, of a speaker's name; columns of the legend.
_MAX_TITLE, _MAX_DETAILS, _MAX_SPEAKER, _MAX_COLUMNS = 72, 112, 24, 7
_TEXT, _MUTED, _EDGE, _TRACK, _GRID, _WAVE = "#1D2228", "#59626C", "#A9B0B8", "#EFF1F3", "#DDE1E6", "#8A96A3"
_BARS = (*EMOTIONS, UNCERTAIN, MASKED, OTHER)
_BOTH, _PASSAGE, _SILENCE = "both", "passage", "silence"
_MARK_COLOURS = {_BOTH: palette.BOTH, _PASSAGE: "#B3261E", _SILENCE: "#EAF1F8"}
#: Colours and hatches of bars and marks. Edge colours are those of hatches, and of edges in the legend.
_LOOKS: dict[str, dict[str, Any]] = {
    **{kind: {"facecolor": colour, "edgecolor": _EDGE} for kind, colour in (palette.COLOURS | _MARK_COLOURS).items()},
    UNCERTAIN: {"facecolor": palette.COLOURS[UNCERTAIN], "edgecolor": "#7D858E", "hatch": "////"},
    MASKED: {"facecolor": palette.MASKED, "edgecolor": _TRACK, "hatch": "\\\\\\\\"},
    OTHER: {"facecolor": _TRACK, "edgecolor": palette.OTHER, "hatch": "...."},
}
_NOTE = "Bar height = confidence. The model recognises what a voice expresses, not what a person feels."
#: Matplotlib's own style, with a plain legend.
STYLE: list[str | dict[str, Any]] = [
    "default",
    {"hatch.linewidth": 0.8, "legend.frameon": False, "legend.borderpad": 0, "legend.borderaxespad": 0}
    | {"legend.handlelength": 1, "legend.handleheight": 1, "legend.labelcolor": _TEXT},
]


def write_picture(timeline: Timeline, path: Path) -> None:
    """Write the timeline of a recording as a PNG; the user's own Matplotlib style has no effect."""
    # Otherwise Matplotlib warns if it finds no place in the home folder for its font cache.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib.style

    with matplotlib.style.context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the font has a box for it
        draw(timeline).savefig(path, format="png", metadata={"Software": None})


def draw(timeline: Timeline) -> "Figure":
    """Return the timeline of a recording as a figure with one set of axes, whose y counts pixels from the top."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    all_lanes, end = lanes.lanes(timeline, points=1200), max(timeline.length_s, 0.001)
    names = [_shortened(lane.speaker, _MAX_SPEAKER) for lane in all_lanes]
    overlap_label = "two or more speaking" if len(all_lanes) > 2 else "both speaking"
    entries = _legend(timeline, all_lanes, overlap_label)
    bar = min(76, max(24, 400 // max(1, len(all_lanes))))
    wave, bar = (bar, bar) if timeline.envelope.size else (0, max(48, bar))
    lanes_height = len(all_lanes) * (wave + bar + _GAP)
    full_height = lanes_height + (_GAP if len(all_lanes) > 1 else 1)
    legend_rows = -(-len(entries) // _MAX_COLUMNS)
    footer = 88 + 36 * legend_rows
    height = _HEADER + full_height + footer
    left = _MARGIN + max(20 + 10 * len(overlap_label), 16 * max(map(len, names), default=0))
    figure = Figure((_WIDTH / _DPI, height / _DPI), dpi=_DPI)
    _write(figure, height - 70, _shortened(timeline.recording, _MAX_TITLE), 14, bold=True)
    recorded, note = timeline.about.get("recorded"), timeline.about.get("note")
    details = (recorded and f"recorded {recorded}", f"length {format_duration(timeline.length_s)}", note)
    line = _shortened("  \N{MIDDLE DOT}  ".join(filter(None, details)), _MAX_DETAILS)
    _write(figure, height - 106, line, 10, colour=_MUTED)
    _write(figure, 36, _NOTE, 9, colour=_MUTED)
    place, columns = (_MARGIN / _WIDTH, 72 / height), -(-len(entries) // max(1, legend_rows))
    handles = [Patch(label=label, linewidth=0.5, **_LOOKS[kind]) for kind, label in entries]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=place, ncols=columns, prop=_font(10))
    area = left / _WIDTH, footer / height, 1 - (left + _MARGIN) / _WIDTH, full_height / height
    axes = figure.add_axes(area, xlim=(0, end), ylim=(full_height, 0), yticks=[], frame_on=False)
    _draw_times(axes, timeline)
    full_scale = lanes.scale(all_lanes)
    for number, (lane, name) in enumerate(zip(all_lanes, names, strict=True)):
        top = number * (wave + bar + _GAP)
        if wave:
            times = np.linspace(0, min(len(lane.waveform) * lane.step_s, end), len(lane.waveform))
            low, high = top + wave / 2 * (1 - lane.waveform.T / full_scale)
            axes.fill_between(times, low, high, color=_WAVE, linewidth=0.5)
        _draw_bars(axes, lane, top + wave + 4, top + wave + bar, _WIDTH - _MARGIN - left)
        middle = height - _HEADER - top - (wave + bar) / 2
        _write(figure, middle + 4, name, 10, bold=True)
        talk = f"speaks {format_duration(lane.talk_s)}" if lane.rows else "does not speak"
        _write(figure, middle - 22, talk, 9, colour=_MUTED)
    if len(all_lanes) > 1:
        _write(figure, footer + _GAP - 14, overlap_label, 9, colour=_MUTED)
        _fill(axes, [(0, end)], lanes_height, lanes_height + 14, facecolor=_TRACK)
        _fill(axes, lanes.both_speaking(timeline.rows), lanes_height, lanes_height + 14, snap=False, **_LOOKS[_BOTH])
    return figure


def _draw_times(axes: "Axes", timeline: Timeline) -> None:
    """Draw the time axis above the lanes, and long silences behind them."""
    marks = [mark.at for mark in lanes.ticks(axes.get_xlim()[1], 650) if not mark.fine]
    axes.set_xticks(marks, labels=map(format_duration, marks), font=_font(9), color=_MUTED)
    axes.xaxis.tick_top()
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.tick_params(length=0)
    axes.grid(color=_GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    _fill(axes, lanes.silences(timeline), *axes.get_ylim(), snap=False, zorder=0, **_LOOKS[_SILENCE])


def _write(figure: "Figure", y: float, text: str, size: float, *, bold: bool = False, colour: str = _TEXT) -> None:
    """Write a line of text at the left margin, `y` pixels from the bottom."""
    figure.text(_MARGIN, y, text, transform=None, font=_font(size, bold=bold), color=colour, parse_math=False)


def _font(size: float, *, bold: bool = False) -> "FontProperties":
    """Return the font in a size in points; it is a file, so that installed fonts make no difference."""
    from matplotlib import font_manager, get_data_path

    file = Path(get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return font_manager.FontProperties(fname=file, size=size)


def _shortened(text: str, most: int) -> str:
    """Return a text as printable characters, its middle replaced by an ellipsis if it has more than `most`."""
    shown = show(text)
    return shown if len(shown) <= most else f"{shown[: most // 2]}\N{HORIZONTAL ELLIPSIS}{shown[1 - most // 2 :]}"


def _fill(axes: "Axes", stretches: Any, tops: Any, bottom: float, **look: Any) -> None:
    """Fill boxes over stretches of time; `tops` is one number, or one per box."""
    from matplotlib.collections import PolyCollection

    boxes = [
        [(start, bottom), (start, top), (end, top), (end, bottom)]
        for (start, end), top in zip(stretches, np.broadcast_to(tops, len(stretches)), strict=True)
    ]
    axes.add_collection(PolyCollection(boxes, linewidth=0, **look), autolim=False)


def _draw_bars(axes: "Axes", lane: Lane, top: float, bottom: float, columns: int) -> None:
    """Draw the bars of a lane in columns of pixels, and lines below its negative passages."""
    edges = np.linspace(0, axes.get_xlim()[1], columns + 1)
    kinds, heights = _columns(lane, edges)
    first = np.flatnonzero(np.diff(kinds, prepend=-2) | (np.diff(heights, prepend=-1) != 0))
    stretches = np.stack([edges[first], edges[np.append(first[1:], columns)]], axis=1)
    tops = bottom - heights[first] * (bottom - top)
    _fill(axes, [(0, edges[-1])], top, bottom, facecolor=_TRACK)
    for k in np.unique(kinds[kinds >= 0]):
        _fill(axes, stretches[kinds[first] == k], tops[kinds[first] == k], bottom, **_LOOKS[_BARS[k]])
    negative = [(passage.start, max(passage.end, passage.start + 2 * edges[1])) for passage in lane.passages]
    _fill(axes, negative, bottom + 3, bottom + 7, **_LOOKS[_PASSAGE])


def _columns(lane: Lane, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return kind (index in `_BARS`, or -1) and height (0 to 1) of the bar in each column of pixels.

    Of many segments in a column, it shows the kind that lasts longest, at its mean probability, and mixes no colours.
    """
    pieces = [(kind_of(row), row.start, row.end, row.probability or 1.0) for row in lane.rows]
    pieces += [(OTHER, span.start, span.end, 1.0) for span in lane.other]
    totals = np.zeros((2, len(_BARS), len(edges) - 1))  # seconds in each column, then the same times probability
    for k, kind in enumerate(_BARS):
        of_kind = np.array([(0.0, 0.0, 0.0), *(piece[1:] for piece in pieces if piece[0] == kind)])
        times, seconds = of_kind[:, :2], np.diff(of_kind[:, :2], prepend=of_kind[:, :1])
        for total, weights in zip(totals, (1.0, of_kind[:, 2:]), strict=True):
            total[k] = np.diff(np.interp(edges, times.ravel(), np.cumsum(seconds * weights)))
    longest = totals[0].argmax(axis=0)
    seconds, weighted = totals[:, longest, np.arange(len(longest))]
    return np.where(seconds > 1e-6, longest, -1), (weighted / np.maximum(seconds, 1e-6)).round(4)


def _legend(timeline: Timeline, all_lanes: list[Lane], overlap_label: str) -> list[tuple[str, str]]:
    """Return the kinds of bars and marks that occur, and their labels."""
    kinds = {kind_of(row) for row in timeline.rows}
    marks = (
        (OTHER, "other sound", timeline.other),
        (_BOTH, overlap_label, lanes.both_speaking(timeline.rows)),
        (_PASSAGE, "negative passage", any(lane.passages for lane in all_lanes)),
        (_SILENCE, f"silence of {lanes.LONG_SILENCE_S:g} s or more", lanes.silences(timeline)),
    )
    return [(kind, lanes.word(kind)) for kind in _BARS if kind in kinds] + [mark[:2] for mark in marks if mark[2]]
