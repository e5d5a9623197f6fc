"""The picture of a recording: positions, colours, and that nothing is cut off or overlaps."""

import io
import subprocess
import sys
import warnings
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.report.palette import BOTH, COLOURS, MASKED
from analyzer.report.picture import draw, write_picture
from analyzer.timeline import Row, Span, Timeline, ordered

TRACK, SILENCE, WAVE, PASSAGE = "#EFF1F3", "#EAF1F8", "#8A96A3", "#B3261E"


def row(start: float, end: float, emotion: str, sure: float = 0.8, channel: int = 1) -> Row:
    """A row with an emotion; an empty `emotion` makes a row of a masked channel."""
    likely = EMOTIONS.index(emotion) if emotion in EMOTIONS else 0
    probabilities = tuple(sure if k == likely else (1 - sure) / 7 for k in range(8))
    return Row(start, end, channel, emotion, probabilities if emotion else (), -20.0)


def told(rows: list[Row], length_s: float, *speakers: str, other: tuple[Span, ...] = ()) -> Timeline:
    return Timeline("calls/one.wav", length_s, speakers or ("agent",), tuple(ordered(rows)), other)


def busy(length_s: float, channels: int, count: int) -> list[Row]:
    """Consecutive rows on every channel, with all emotions."""
    step = length_s / count
    labels = (*EMOTIONS, UNCERTAIN, "")
    return [
        row(k * step, (k + 0.8) * step, labels[(k + channel) % 10], 0.3 + 0.07 * (k % 10), channel)
        for channel in range(1, channels + 1)
        for k in range(count)
    ]


def pixels(timeline: Timeline, folder: Path) -> np.ndarray:
    """Draw the picture; return its pixels, shaped (height, width, 3)."""
    path = folder / "one.wav.png.tmp"
    write_picture(timeline, path)
    return np.rint(imread(io.BytesIO(path.read_bytes()))[:, :, :3] * 255).astype(np.uint8)


def where(picture: np.ndarray, colour: str) -> np.ndarray:
    """Return a mask of the pixels with exactly that colour, shaped (height, width)."""
    return (picture == np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)).all(axis=2)


def lane(picture: np.ndarray, lanes: int = 1) -> np.ndarray:
    """Return the part of a picture with the bars of its first lane; the strip for overlaps counts as a lane."""
    runs = where(picture, TRACK)[:, 1551] | where(picture, TRACK)[:, 1540]
    edges = np.flatnonzero(np.diff(runs.astype(int), prepend=0, append=0)).reshape(-1, 2)
    assert len(edges) == lanes
    top, bottom = edges[0]
    columns = np.flatnonzero(where(picture, TRACK)[top:bottom].any(axis=0))
    return picture[top:bottom, columns[0] : columns[-1] + 1]


def test_is_a_png_as_wide_as_a_slide_and_the_higher_the_more_speak(tmp_path: Path) -> None:
    heights = []
    for channels in (1, 2, 32):
        names = [f"channel {k + 1}" for k in range(channels)]
        picture = pixels(told(busy(60, channels, 20), 60, *names), tmp_path)
        assert picture.shape[1] == 1600
        heights.append(len(picture))
    assert 250 < heights[0] < heights[1] < 900 < heights[2] < 3000


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_emotion_has_its_colour_while_it_lasts_as_high_as_it_is_sure(emotion: str, tmp_path: Path) -> None:
    bars = lane(pixels(told([row(20, 50, emotion, 0.75)], 100), tmp_path))
    coloured = where(bars, COLOURS[emotion])
    height, width = coloured.shape
    assert np.flatnonzero(coloured.any(axis=0)) == pytest.approx(np.arange(round(0.2 * width), round(0.5 * width)))
    assert coloured.any(axis=1).sum() == pytest.approx(0.75 * height, abs=1)
    assert coloured[-1].any()  # the bar starts at the bottom of the lane
    assert not where(bars, TRACK)[-1][coloured[-1]].any()


def test_masked_speech_is_hatched_grey_and_no_emotion_is_seen(tmp_path: Path) -> None:
    timeline = told([row(20, 50, ""), row(60, 70, "")], 100)
    picture = pixels(timeline, tmp_path)
    bars = lane(picture)
    assert where(bars, MASKED)[:, : bars.shape[1] // 2].mean() > 0.1
    assert not any(where(picture, COLOURS[emotion]).any() for emotion in EMOTIONS)
    assert "not inferred" in labels(timeline)


def test_what_is_uncertain_is_hatched(tmp_path: Path) -> None:
    bars = lane(pixels(told([row(20, 50, UNCERTAIN, 0.5)], 100), tmp_path))
    half = bars[len(bars) // 2 + 2 :, round(0.21 * bars.shape[1]) : round(0.49 * bars.shape[1])]
    assert 0.3 < where(half, COLOURS[UNCERTAIN]).mean() < 0.9
    assert len(np.unique(half.reshape(-1, 3), axis=0)) > 2


def test_both_speaking_silences_and_negative_passages_are_where_they_are(tmp_path: Path) -> None:
    rows = [row(0, 30, "angry", 0.9), row(20, 40, "calm", channel=2), row(80, 100, "calm")]
    timeline = told(rows, 100, "agent", "caller", other=(Span(40, 50, 2),))
    picture = pixels(timeline, tmp_path)
    bars = lane(picture, 3)
    left, right = (np.flatnonzero(where(picture, BOTH)[: -len(picture) // 4].any(axis=0))[k] for k in (0, -1))
    start, width = left - round(0.2 * bars.shape[1]), bars.shape[1]
    assert right + 1 - left == pytest.approx(0.1 * width, abs=2)
    for colour, begin, end in ((SILENCE, 0.5, 0.8), (PASSAGE, 0, 0.3)):
        at = np.flatnonzero(where(picture, colour)[: -len(picture) // 4].any(axis=0))
        assert (at[0], at[-1]) == pytest.approx((start + begin * width, start + end * width), abs=3)
    assert labels(timeline) == {
        *("calm", "angry", "other sound", "both speaking", "negative passage", "silence of 5 s or more")
    }


def test_a_waveform_is_drawn_where_it_is_known(tmp_path: Path) -> None:
    loud = np.zeros((1, 1000, 2), np.float32)
    loud[0, 200:300] = -0.5, 0.5
    known = Timeline("calls/one.wav", 100.0, ("agent",), (), envelope=loud)
    tall = where(pixels(known, tmp_path), WAVE).sum(axis=0) > 20
    assert tall.sum() == pytest.approx(0.1 * lane(pixels(known, tmp_path)).shape[1], abs=5)
    assert not where(pixels(told([], 100), tmp_path), WAVE).any()


def test_of_a_day_every_pixel_shows_what_lasts_longest(tmp_path: Path) -> None:
    many = [row(4 * k + 2 * (k % 2), 4 * k + (3 if k % 2 else 2), "angry" if k % 2 else "sad") for k in range(19_000)]
    alone = [row(80_000, 80_001, "happy")]
    bars = lane(pixels(told(many + alone, 86_400), tmp_path))
    assert not where(bars, COLOURS["angry"]).any()
    assert where(bars, COLOURS["sad"])[-1].mean() == pytest.approx(76_000 / 86_400, abs=0.002)
    assert where(bars, COLOURS["happy"])[-1].sum() == 1


def test_the_same_timeline_gives_the_same_bytes_under_any_style(tmp_path: Path) -> None:
    timeline = told(busy(60, 2, 20), 60, "agent", "caller")
    write_picture(timeline, tmp_path / "a.tmp")
    odd = {
        "savefig.facecolor": "red",
        "savefig.dpi": 30,
        "savefig.bbox": "tight",
        "font.size": 40,
        "font.family": "serif",
        "hatch.linewidth": 9,
        "text.antialiased": False,
        "text.usetex": True,
        "axes.facecolor": "black",
        "patch.force_edgecolor": True,
        "path.sketch": (9, 9, 9),
    }
    with matplotlib.rc_context(odd):
        write_picture(timeline, tmp_path / "b.tmp")
        assert matplotlib.rcParams["font.size"] == 40
    written = (tmp_path / "a.tmp").read_bytes()
    assert written == (tmp_path / "b.tmp").read_bytes()
    assert b"Software" not in written and b"tIME" not in written


def test_matplotlib_is_loaded_only_for_pictures_and_no_window_ever(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from analyzer.report.picture import write_picture
from analyzer.timeline import Timeline
assert "matplotlib" not in sys.modules
write_picture(Timeline("a", 1.0, ("x",), ()), Path(sys.argv[1]))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.tmp"], check=True)


def labels(timeline: Timeline) -> set[str]:
    """Return the labels of colours in the legend, without names, times and notes."""
    texts = [text.get_text() for text in draw(timeline).axes[0].texts if text.get_fontsize() == 10]
    return set(texts[1:])  # the first text is the metadata of the recording


def test_the_legend_has_what_occurs_and_nothing_else() -> None:
    assert labels(told([], 3)) == set()
    assert labels(told([row(1, 2, "happy")], 3)) == {"happy"}
    assert labels(told(busy(60, 3, 20), 60, "a", "b", "c")) >= {*EMOTIONS, UNCERTAIN, "not inferred"}
    assert "two or more speaking" in labels(told(busy(60, 3, 20), 60, "a", "b", "c"))


HOSTILE = (
    "$\\frac{a}$ " + "x" * 300,
    "\u65e5\u672c <b>\n\u202e\U0001f44d",
    "W" * 900,
    "$",
    "",
    "a" + "\u0301" * 50,
    "\udc80\0%s{}",
)
ABOUT = {"recorded": "2026-03-04 09:12", "note": "truncated: " + "very " * 60}


@pytest.mark.parametrize(
    ("names", "length_s", "count"),
    [
        (("agent",), 5, 3),
        (("agent", "caller"), 600, 200),
        (tuple(f"channel {k}" for k in range(32)), 900, 30),
        (("A", "B"), 86_400, 2000),
        (("A",), 0.02, 0),
        ((), 60, 0),
        (HOSTILE, 3700, 10),
    ],
)
def test_no_text_is_cut_or_lies_over_another(names: tuple[str, ...], length_s: float, count: int) -> None:
    rows = ordered(busy(length_s, len(names), count)) if count else []
    check_texts(Timeline("calls/one.wav", length_s, names, tuple(rows), about=ABOUT))


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_recording_may_be_called_anything(name: str) -> None:
    check_texts(Timeline(name, 5.0, ("agent",), (), about=ABOUT))


def check_texts(timeline: Timeline) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(timeline)
        figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert all(box.x0 >= 20 and box.x1 <= 1580 and box.y0 >= 10 and box.y1 <= figure.bbox.y1 - 10 for box in boxes)
    assert not any(one.overlaps(another) for one, another in combinations(boxes, 2))


def test_names_are_shown_as_they_are_and_long_ones_without_their_middle() -> None:
    recording = "calls/" + "long " * 200 + "$x_1^2$.wav"
    texts = [text.get_text() for text in draw(Timeline(recording, 9.0, ("50 $ & 60 $",), ())).axes[0].texts]
    assert "50 $ & 60 $" in texts
    title = next(text for text in texts if "\N{HORIZONTAL ELLIPSIS}" in text)
    assert title.startswith("calls/long") and title.endswith("$x_1^2$.wav")
