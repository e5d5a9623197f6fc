"""Page of one recording: timeline drawing, audio player and a table of segments; a single file that works offline.

The drawing and the table are part of the HTML, so that the page prints and reads without scripts. Scripts play, jump,
sort and filter.
"""

import base64
import hashlib
import os
from collections import defaultdict
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

import numpy as np

from analyzer.audio.stream import format_duration
from analyzer.emotions import EMOTIONS, OTHER, UNCERTAIN
from analyzer.report import lanes, palette
from analyzer.report.lanes import MASKED, Lane, kind_of
from analyzer.timeline.channel_statistics import covered
from analyzer.timeline.timeline import Timeline

if TYPE_CHECKING:
    from jinja2 import Environment

#: Minimum width of a drawn timeline: pixels per second, and limits in pixels. One that does not fit is scrolled.
_PX_PER_S, _MIN_WIDTH_PX, _MAX_WIDTH_PX = 2.0, 300, 12_000
#: Maximum number of listed passages, the most negative ones.
_MAX_PASSAGES = 8
#: Height of the loudest sample, large enough for coordinates in whole numbers.
_WAVE_UNITS = 100


def write_page(timeline: Timeline, path: Path, audio: str | None, audio_note: str = "") -> None:
    """Write the page of a recording.

    `audio` is the URL of its audio (see `link`) or a `data:` URI. If it is None, `audio_note` says why.
    """
    length_s = max(timeline.length_s, 0.001)
    width_px = round(min(max(_PX_PER_S * length_s, _MIN_WIDTH_PX), _MAX_WIDTH_PX))
    all_lanes = lanes.lanes(timeline, points=max(2000, width_px // 2))
    full_scale = lanes.scale(all_lanes)
    speaker_passages = [(lane.speaker, passage) for lane in all_lanes for passage in lane.passages]
    overlaps = lanes.both_speaking(timeline.rows)
    kinds = {kind_of(row) for row in timeline.rows}
    write(
        "page.html.j2",
        path,
        timeline=timeline,
        audio=audio,
        audio_note=audio_note,
        drawings=[_drawing(lane, full_scale) for lane in all_lanes],
        passages=sorted(speaker_passages, key=lambda item: -item[1].negative_s),
        both=overlaps,
        both_s=covered(overlaps),
        silences=lanes.silences(timeline),
        kinds=[kind for kind in (*EMOTIONS, UNCERTAIN, MASKED) if kind in kinds],
        ticks=list(lanes.ticks(length_s, width_px)),
        width_px=width_px,
        share=lambda seconds: f"{100 * seconds / length_s:.4f}%",
    )


def _drawing(lane: Lane, full_scale: float) -> dict[str, Any]:
    """Return what the template draws of a lane, with the sample value `full_scale` drawn at full height."""
    talk_s, segments = lane.talk_s, "1 segment" if len(lane.rows) == 1 else f"{len(lane.rows):,} segments"
    shares = defaultdict[str, float](float)  # of the speech, by kind of bar
    for row in lane.rows:
        shares[kind_of(row)] += row.seconds / talk_s
    return {
        "lane": lane,
        "caption": f"speaks {format_duration(talk_s)} in {segments}" if lane.rows else "does not speak",
        "shares": sorted(shares.items(), key=lambda item: -item[1]),
        "wave": _wave(lane.waveform / full_scale),
        "wave_s": len(lane.waveform) * lane.step_s,
    }


def _wave(waveform: np.ndarray) -> str:
    """Return the outline of a waveform shaped (points, 2), between -1 and 1, as SVG points.

    It runs along the maximum samples and back along the minimum ones: x in points of the waveform, y in `_WAVE_UNITS`.
    """
    least, greatest = np.rint(waveform.T * -_WAVE_UNITS).astype(int)  # y grows downwards
    upper = [f"{x},{y}" for x, y in enumerate(greatest)]
    lower = [f"{x},{y}" for x, y in enumerate(least)]
    return " ".join(upper + lower[::-1])


def moment(seconds: float) -> str:
    """Format seconds to a tenth, as m:ss.t, or h:mm:ss.t from an hour on."""
    whole, tenth = divmod(round(seconds * 10), 10)
    return f"{format_duration(whole)}.{tenth}"


def percent(share: float | None) -> str:
    """Format a share as a whole percentage; empty for None."""
    return "" if share is None else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def link(from_file: Path, to_file: Path) -> str:
    """Return the URL of a file relative to another, percent-encoded; it is absolute if they are on different drives."""
    try:
        relative = os.path.relpath(to_file, from_file.parent)
    except ValueError:
        return to_file.absolute().as_uri()
    return quote_from_bytes(os.fsencode(PurePath(relative).as_posix()))


def write(template: str, path: Path, **fields: object) -> None:
    """Render a template to a file, piece by piece; lone surrogates are escaped."""
    pieces = environment().get_template(template).generate(**fields)
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as handle:
        handle.writelines(pieces)


@cache
def environment() -> "Environment":
    """Return the Jinja2 environment with the templates and all that they use."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    jinja_environment = Environment(
        loader=PackageLoader("analyzer.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja_environment.filters.update(
        duration=format_duration, moment=moment, percent=percent, kind=kind_of, word=lanes.word, csp_hash=csp_hash
    )
    jinja_environment.globals.update(
        inlined=_inlined,
        colours={**palette.COLOURS, MASKED: palette.MASKED, OTHER: palette.OTHER, "both": palette.BOTH},
        roomy_px=lanes.ROOMY_PX,
        most_passages=_MAX_PASSAGES,
        wave_units=_WAVE_UNITS,
        long_silence_s=lanes.LONG_SILENCE_S,
    )
    return jinja_environment


def _inlined(name: str) -> str:
    """Return a style sheet or a script of this package, to be inlined in a page as it is."""
    from markupsafe import Markup

    return Markup((Path(__file__).parent / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704


def csp_hash(script: str) -> str:
    """Return the hash of a script for the content security policy, so that a page runs no other script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
