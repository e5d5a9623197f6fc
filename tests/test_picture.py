"""The picture of a recording: colours at positions, texts, and limits."""

import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import pytest
from matplotlib.image import imread

from analyzer.emotions import EMOTIONS, UNCERTAIN
from analyzer.report.palette import BOTH, COLOURS, MASKED
from analyzer.report.picture import STYLE, draw, write_picture
from analyzer.timeline.timeline import Row, Span, Timeline, ordered
from tests.helpers.pages import segment

TRACK, SILENCE, WAVE, PASSAGE = "#EFF1F3", "#EAF1F8", "#8A96A3", "#B3261E"


def a_timeline(rows: list[Row], length_s: float, *speakers: str, name: str = "calls/one.wav", **more: Any) -> Timeline:
    return Timeline(name, length_s, speakers, tuple(ordered(rows)), **more)


def dense_rows(length_s: float, channels: int) -> list[Row]:
    """Consecutive rows on every channel, with all kinds of bars."""
    step, kinds = length_s / 20, (*EMOTIONS, UNCERTAIN, "")
    places = [(n, channel) for n in range(20) for channel in range(1, channels + 1)]
    return [segment(n * step, (n + 0.8) * step, c, kinds[(n + c) % 10], 0.3 + 0.03 * n) for n, c in places]


def lanes_of(timeline: Timeline, folder: Path) -> np.ndarray:
    """Draw the picture; return the pixels of its lanes, shaped (height, width, 3)."""
    write_picture(timeline, folder / "one.png")
    picture, box = np.rint(imread(folder / "one.png")[::-1, :, :3] * 255), draw(timeline).axes[0].bbox
    return picture[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)][::-1]


def coloured(picture: np.ndarray, colour: str) -> np.ndarray:
    """Return a mask of the pixels with exactly that colour, shaped (height, width)."""
    return (picture == np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)).all(axis=2)


def place(lanes: np.ndarray, colour: str) -> tuple[float, float]:
    """Return where columns with that colour begin and end, as shares of the width."""
    columns = np.flatnonzero(coloured(lanes, colour).any(axis=0))
    return columns[0] / lanes.shape[1], (columns[-1] + 1) / lanes.shape[1]


def words(texts: list[Any]) -> list[str]:
    return [text.get_text() for text in texts]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_bar_shows_emotion_time_and_probability(emotion: str, tmp_path: Path) -> None:
    lanes = lanes_of(a_timeline([segment(20, 50, 1, emotion, 0.75)], 100, "agent"), tmp_path)
    assert place(lanes, COLOURS[emotion]) == pytest.approx((0.2, 0.5), abs=0.001)
    column = lanes[:, [round(0.3 * lanes.shape[1])]]
    above, bar = np.flatnonzero(coloured(column, TRACK)), np.flatnonzero(coloured(column, COLOURS[emotion]))
    assert above[-1] + 1 == bar[0]
    assert len(bar) / (len(above) + len(bar)) == pytest.approx(0.75, abs=0.01)


def test_hatched_bars(tmp_path: Path) -> None:
    rows, other = [segment(0, 30, 1, UNCERTAIN, 1), segment(30, 60, 1, "")], (Span(60, 90, 1),)
    timeline = a_timeline(rows, 90, "agent", other=other)
    lanes = lanes_of(timeline, tmp_path)
    for third, colour in zip(np.array_split(lanes[10:70], 3, axis=1), (COLOURS[UNCERTAIN], MASKED, TRACK), strict=True):
        assert 0.3 < coloured(third, colour).mean() < 0.95
    assert not any(coloured(lanes, COLOURS[emotion]).any() for emotion in EMOTIONS)
    assert words(draw(timeline).legends[0].texts) == [UNCERTAIN, "not inferred", "other sound"]


def test_overlaps_silences_passages_and_texts(tmp_path: Path) -> None:
    rows = [segment(0, 30, 1, "angry"), segment(20, 40, 2, "calm"), segment(80, 100, 1, "calm")]
    timeline = a_timeline(rows, 100, "agent", "$a$\n", other=(Span(40, 50, 2),), about={"note": "a note"})
    lanes = lanes_of(timeline, tmp_path)
    for colour, expected in ((BOTH, (0.2, 0.3)), (SILENCE, (0.5, 0.8)), (PASSAGE, (0, 0.3))):
        assert place(lanes, colour) == pytest.approx(expected, abs=0.003)
    figure = draw(timeline)
    title, details, _, *names = words(figure.texts)
    assert (title, details) == ("calls/one.wav", "length 1:40  \N{MIDDLE DOT}  a note")
    assert names == ["agent", "speaks 0:50", "$a$\\x0a", "speaks 0:20", "both speaking"]
    assert words(figure.axes[0].get_xticklabels())[::5] == ["0:00", "0:50", "1:40"]
    assert words(figure.legends[0].texts[2:5]) == ["other sound", "both speaking", "negative passage"]


def test_waveform_is_drawn_if_present(tmp_path: Path) -> None:
    envelope = np.zeros((1, 1000, 2), np.float32)
    envelope[0, 200:300] = -0.5, 0.5
    tall = coloured(lanes_of(a_timeline([], 100, "agent", envelope=envelope), tmp_path), WAVE).sum(axis=0) > 20
    assert tall.mean() == pytest.approx(0.1, abs=0.005)
    assert not coloured(lanes_of(a_timeline([], 100, "agent"), tmp_path), WAVE).any()


def test_pixel_shows_longest_emotion(tmp_path: Path) -> None:
    rows = [segment(8 * n, 8 * n + 4, 1, "sad") for n in range(4000)] + [segment(34_000, 34_001, 1, "happy")]
    rows += [segment(8 * n + 4, 8 * n + 7, 1, "angry") for n in range(4000)]
    lanes = lanes_of(a_timeline(rows, 36_000, "agent"), tmp_path)
    shares = [coloured(lanes, COLOURS[emotion]).any(axis=0).mean() for emotion in ("sad", "angry", "happy")]
    assert shares == pytest.approx([32 / 36, 0, 1 / lanes.shape[1]], abs=0.002)
    assert shares[1] == 0 < shares[2]


def test_same_timeline_gives_same_bytes_in_any_style(tmp_path: Path) -> None:
    timeline = a_timeline(dense_rows(60, 2), 60, "agent", "caller")
    style = {"savefig.dpi": 30, "font.size": 40, "font.family": "serif", "text.usetex": True, "path.sketch": (9, 9, 9)}
    write_picture(timeline, tmp_path / "a.tmp")
    with matplotlib.rc_context(style):
        write_picture(timeline, tmp_path / "b.tmp")
    written = (tmp_path / "a.tmp").read_bytes()
    assert written == (tmp_path / "b.tmp").read_bytes()
    assert b"Software" not in written and b"tIME" not in written


NAMES = ("$\\frac{a}$ " + "x" * 300, "\u65e5 <b>\n\u202e\U0001f44d", "CUSTOMER SERVICE CENTRE 1", "$", "", "\udc80\0%s")


@pytest.mark.parametrize(
    ("names", "length_s"),
    [(NAMES, 3700), (tuple(f"channel {n}" for n in range(32)), 36_000), (("a", "b"), 5), (("a",), 0), ((), 60)],
)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_texts_fit_without_overlap(names: tuple[str, ...], length_s: float, name: str) -> None:
    rows = dense_rows(length_s, len(names)) if length_s else []
    about = {"recorded": "2026-03-04 09:12", "note": "truncated: " + "very " * 60}
    timeline = a_timeline(rows, length_s, *names, name=name, about=about, other=(Span(0, length_s / 9, 1),))
    with matplotlib.style.context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Glyph")
        figure = draw(timeline)
        figure.draw_without_rendering()
        texts = [*figure.texts, *figure.legends[0].texts, *figure.axes[0].get_xticklabels()]
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert all(box.x0 >= 20 and box.x1 <= 1580 and box.y0 >= 10 and box.y1 <= figure.bbox.y1 - 10 for box in boxes)
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))
    assert all(text.get_window_extent().x1 < figure.axes[0].bbox.x0 for text in figure.texts[3:])
