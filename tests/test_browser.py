"""The pages in a real browser: drawing, clicks, playback, sorting, filters, narrow screens, dark mode, printing."""

import base64
import io
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from analyzer.emotions import EMOTIONS
from analyzer.report import palette
from analyzer.report.index_page import IndexRow, write_index
from analyzer.report.page import link, write_page
from analyzer.timeline.timeline import Row, Span, Timeline
from tests.helpers import voices
from tests.helpers.pages import HOSTILE, segment

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

#: Timeout in seconds. Only failing tests reach it; on a busy machine a browser takes ten times as long.
TIMEOUT_S = 120
SCREEN_WIDTHS = [1280, 400]
LENGTH_S = 40.0
SEGMENTS = (
    segment(1, 3.5, 1, "neutral", 0.8),
    segment(4, 6, 2, "happy", 0.95, -12.5),
    segment(5.5, 8, 1, "angry", 0.6),
    segment(8, 11, 1, "angry", 0.9),
    segment(20, 22, 1, "uncertain", 0.35),
    segment(30.25, 33, 2, ""),
)
CALL = Timeline(
    "calls/one.wav", LENGTH_S, ("customer", "agent"), SEGMENTS, (Span(24, 26, 1),), about={"queue": "billing"}
)

Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """Return a function that opens a page.

    The fixture fails if a page logs to the console, raises an error, opens a dialog, or requests a file other than its
    own and those that are `allowed`.
    """
    contexts, complaints = [], []

    def open_page(
        path: Path, fragment: str = "", width: int = 1280, allowed: tuple[Path, ...] = (), **options: Any
    ) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_S * 1000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        allowed_urls = {path.as_uri(), *(file.as_uri() for file in allowed)}
        page.on(
            "request", lambda request: request.url.split("#")[0] in allowed_urls or complaints.append(request.url[:200])
        )
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(path.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def two_speaker_audio(kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """Return a file with two speakers on two channels, as long as `CALL`."""
    channels = [voices.call(LENGTH_S, [(1, 10)], seed=1), voices.call(LENGTH_S, [(4, 6), (30, 33)], seed=2)]
    file = io.BytesIO()
    soundfile.write(file, np.stack(channels, axis=1), 8000, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.fixture(scope="module")
def silent_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("silent") / "page.html"
    write_page(CALL, path, None, "The recording lies elsewhere.")
    return path


@pytest.fixture(scope="module")
def sounding_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounding") / "page.html"
    write_page(CALL, path, "data:audio/wav;base64," + base64.b64encode(two_speaker_audio()).decode())
    return path


def audio_property(page: Any, property_name: str) -> Any:
    return page.evaluate(f"document.querySelector('audio').{property_name}")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait in Python: Playwright waits by evaluating text in the page, which the page's security policy forbids."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_slow_motion(page: Any) -> Any:
    """Slow the audio of a page to a sixteenth of its speed, so that a busy machine checks it in time."""
    page.evaluate("document.querySelector('audio').defaultPlaybackRate = 1 / 16")
    page.evaluate("document.querySelector('audio').playbackRate = 1 / 16")
    return page


def assert_plays_from(page: Any, start: float) -> None:
    """Assert that the audio plays and has started at this time."""
    wait_until(lambda: audio_property(page, "currentTime") > start + 0.02)
    assert start + 0.02 < audio_property(page, "currentTime") < start + 5
    assert not audio_property(page, "paused")


def position(page: Any) -> float:
    return float(page.get_attribute(".slider", "aria-valuenow"))


def description(page: Any) -> str:
    return page.get_attribute(".slider", "aria-valuetext").replace("\N{NO-BREAK SPACE}", " ")


def column_texts(page: Any, number: int) -> list[str]:
    return page.eval_on_selector_all(
        "tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent.replace('\\u00a0', ' ').trim())"
    )


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))


@pytest.mark.parametrize("width", SCREEN_WIDTHS)
def test_bars_match_their_segments(visit: Visit, silent_page: Path, width: int) -> None:
    page = visit(silent_page, width=width)
    for channel in (1, 2):
        lane = f'.lane[data-channel="{channel}"] .bars'
        track = page.locator(f"{lane} .track").bounding_box()
        rows = [row for row in SEGMENTS if row.channel == channel]
        bars = page.locator(f"{lane} rect:not(.track, .other)")
        assert bars.count() == len(rows)
        for bar, row in zip(bars.all(), rows, strict=True):
            box = bar.bounding_box()
            assert box["x"] - track["x"] == pytest.approx(row.start / LENGTH_S * track["width"], abs=0.1)
            assert box["width"] == pytest.approx(row.seconds / LENGTH_S * track["width"], abs=0.1)
            assert box["height"] == pytest.approx((row.probability or 1) * track["height"], abs=0.1)
            assert box["y"] + box["height"] == pytest.approx(track["y"] + track["height"], abs=0.1)


def test_bars_have_colours_of_emotions(visit: Visit, silent_page: Path) -> None:
    fills = visit(silent_page).eval_on_selector_all(".bars rect", "all => all.map(bar => getComputedStyle(bar).fill)")
    assert [fill for fill in fills if "url" in fill] == ['url("#other")', 'url("#uncertain")', 'url("#masked")']
    assert {rgb(palette.COLOURS[emotion]) for emotion in ("neutral", "happy", "angry")} <= set(fills)


def test_overlaps_and_silences_are_drawn(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page)
    strip = page.locator(".strip").bounding_box()
    for selector, expected in ((".together .both", [(5.5, 6)]), (".behind .silence", [(11, 20), (33, 40)])):
        boxes = [box.bounding_box() for box in page.locator(selector).all()]
        spans = [((box["x"] - strip["x"]), (box["x"] + box["width"] - strip["x"])) for box in boxes]
        assert [tuple(offset / strip["width"] * LENGTH_S for offset in span) for span in spans] == [
            pytest.approx(span, abs=0.02) for span in expected
        ]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", SCREEN_WIDTHS)
def test_page_fits_screen_and_labels_do_not_overlap(visit: Visit, silent_page: Path, width: int, dark: bool) -> None:
    page = visit(silent_page, width=width, color_scheme="dark" if dark else "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    labels = [box for label in page.locator(".axis span").all() if (box := label.bounding_box())]
    labels.sort(key=lambda box: box["x"])
    assert all(left["x"] + left["width"] + 4 < right["x"] for left, right in pairwise(labels))
    assert len(labels) >= 4


#: The number of visible texts, and their lowest contrast with the background.
CONTRAST = """() => {
  const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => rgb.map(part).reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3) return colour;
    }
  };
  const texts = [...document.querySelectorAll("main *")].filter((element) =>
    element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const contrasts = texts.map((element) => {
    const [a, b] = [numbers(getComputedStyle(element).color).slice(0, 3), behind(element)].map(light);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
  return [contrasts.length, Math.min(...contrasts)];
}"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_contrast(visit: Visit, silent_page: Path, index_file: Path, dark: bool) -> None:
    for path in (silent_page, index_file):
        page = visit(path, color_scheme="dark" if dark else "light")
        count, lowest = page.evaluate(CONTRAST)
        assert count > 40
        assert lowest >= 4.5


def test_click_plays_from_position(visit: Visit, sounding_page: Path) -> None:
    page = in_slow_motion(visit(sounding_page))
    box = page.locator(".slider").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 8.2 / LENGTH_S, box["y"] + 60)
    assert_plays_from(page, 8.2)
    assert description(page).endswith(", customer, angry, 90 %")
    row = page.locator("tr[aria-current]")
    assert row.count() == 1
    assert row.get_attribute("data-start") == "8.000"
    page.evaluate("document.querySelector('audio').currentTime = 15")  # as the controls of the player do
    wait_until(lambda: row.count() == 0)
    assert 15 <= position(page) < 20


def test_playhead_follows_audio(visit: Visit, sounding_page: Path) -> None:
    page = in_slow_motion(visit(sounding_page))
    page.locator("tbody button").nth(1).click()
    assert_plays_from(page, 4)
    page.evaluate("document.querySelector('audio').pause()")
    wait_until(lambda: position(page) == pytest.approx(audio_property(page, "currentTime"), abs=0.01))
    slider, playhead = (page.locator(selector).bounding_box() for selector in (".slider", ".playhead"))
    assert (playhead["x"] + 1 - slider["x"]) / slider["width"] * LENGTH_S == pytest.approx(position(page), abs=0.05)


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "ULAW"), ("OGG", "OPUS")])
def test_page_plays_audio_formats(visit: Visit, tmp_path: Path, kind: str, subtype: str) -> None:
    media_type = "audio/ogg" if kind == "OGG" else "audio/wav"
    address = f"data:{media_type};base64," + base64.b64encode(two_speaker_audio(kind, subtype)).decode()
    write_page(CALL, tmp_path / "page.html", address)
    page = in_slow_motion(visit(tmp_path / "page.html"))
    page.locator("tbody button").nth(4).click()
    assert_plays_from(page, 20)


def test_linked_recording_plays(visit: Visit, tmp_path: Path) -> None:
    recording, path = tmp_path / "calls" / "100% #1 Gespräch?.wav", tmp_path / "out" / "html" / "page.html"
    for file in (recording, path):
        file.parent.mkdir(parents=True)
    recording.write_bytes(two_speaker_audio())
    write_page(CALL, path, link(path, recording))
    page = in_slow_motion(visit(path, allowed=(recording,)))
    assert audio_property(page, "readyState") == 0
    page.locator("tbody button").nth(4).click()
    assert_plays_from(page, 20)
    assert page.locator(".silent").is_hidden()


@pytest.mark.parametrize("file_exists", [False, True])
def test_unplayable_audio_is_reported(browser: Any, tmp_path: Path, file_exists: bool) -> None:
    """Does not use `visit`, because the browser itself logs an error."""
    if file_exists:
        (tmp_path / "one.wav").write_bytes(b"RIFF no sound at all")
    write_page(CALL, tmp_path / "page.html", "one.wav")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.locator("tbody button").nth(4).click()
    page.locator(".silent").wait_for()
    assert "--embed-audio" in page.locator(".silent").inner_text()
    assert description(page) == "0:20, customer, uncertain, 35 %"
    page.close()


def test_keys_move_between_segments(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page)
    page.locator(".slider").focus()
    page.keyboard.press("ArrowRight")
    assert (position(page), description(page)) == (1, "0:01, customer, neutral, 80 %")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert (position(page), description(page)) == (5.5, "0:05, customer, angry, 60 %")
    page.keyboard.press("ArrowLeft")
    assert (position(page), description(page)) == (4, "0:04, agent, happy, 95 %")
    page.keyboard.press("End")
    assert (position(page), description(page)) == (40, "0:40")
    page.keyboard.press("ArrowRight")
    assert position(page) == 40
    page.keyboard.press("ArrowLeft")
    assert (position(page), description(page)) == (30.25, "0:30, agent, not inferred")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert position(page) == 0


def test_keys_play_and_pause(visit: Visit, sounding_page: Path) -> None:
    page = in_slow_motion(visit(sounding_page))
    page.locator(".slider").focus()
    for expected in (1, 4, 5.5):
        page.keyboard.press("ArrowRight")
        assert_plays_from(page, expected)
        page.keyboard.press("Space")
        assert audio_property(page, "paused")
    page.keyboard.press("Space")
    assert not audio_property(page, "paused")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # at the end, it does not start over
    assert position(page) == LENGTH_S
    assert page.evaluate("scrollY") == 0


def test_url_fragment_sets_position(visit: Visit, sounding_page: Path) -> None:
    page = in_slow_motion(visit(sounding_page, "#t=20.5", width=400))
    assert (position(page), audio_property(page, "currentTime")) == (20.5, 20.5)
    assert audio_property(page, "paused")
    page.evaluate("location.hash = '#t=4.25'")
    wait_until(lambda: audio_property(page, "currentTime") == 4.25)
    assert description(page) == "0:04, agent, happy, 95 %"
    page.evaluate("location.hash = '#t=999'")
    wait_until(lambda: position(page) == 40)
    page.locator("aside a").click()
    wait_until(lambda: position(page) == 5.5)


def test_segment_table_sorts_and_filters(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page)
    assert column_texts(page, 0) == ["0:01.0", "0:04.0", "0:05.5", "0:08.0", "0:20.0", "0:30.2"]
    page.get_by_role("button", name="probability").click()
    assert column_texts(page, 4) == ["", "35 %", "60 %", "80 %", "90 %", "95 %"]
    page.get_by_role("button", name="probability").press("Enter")
    assert column_texts(page, 4) == ["95 %", "90 %", "80 %", "60 %", "35 %", ""]
    assert page.get_by_role("columnheader", name="probability").get_attribute("aria-sort") == "descending"
    assert page.locator("th[aria-sort]").count() == 1
    page.get_by_label("speaker").select_option("customer")
    assert column_texts(page, 2) == ["customer"] * 4
    page.get_by_label("emotion").select_option("angry")
    assert column_texts(page, 4) == ["90 %", "60 %"]
    assert page.locator(".count").inner_text() == "2 of 6 segments"
    page.get_by_label("speaker").select_option("agent")
    assert page.get_by_text("None that pass the filters.").is_visible()
    page.locator(".slider").focus()
    page.keyboard.press("ArrowRight")  # to a segment that the filters hide
    page.get_by_label("emotion").select_option("")
    assert column_texts(page, 3) == ["happy", "not inferred"]


def long_call(count: int) -> Timeline:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(8, 0.4), count).round(4).tolist()
    rows = (
        Row(number * 2.0, number * 2.0 + 1.5, 1 + number % 2, EMOTIONS[int(np.argmax(values))], tuple(values), -20.0)
        for number, values in enumerate(probabilities)
    )
    return replace(CALL, rows=tuple(rows), length_s=2.0 * count)


def reload_seconds(page: Any) -> float:
    """Return the CPU time that a reload of the page takes, in seconds."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before, _ = task_seconds(session), page.reload()
    return task_seconds(session) - before


def task_seconds(session: Any) -> float:
    return {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}[
        "TaskDuration"
    ]


@pytest.mark.slow
def test_page_of_eleven_hours_loads_fast(visit: Visit, tmp_path: Path) -> None:
    write_page(long_call(20_000), tmp_path / "page.html", None)
    page = visit(tmp_path / "page.html")
    assert reload_seconds(page) < 8
    assert page.locator("tbody tr").count() == 1000
    page.locator(".slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert description(page).startswith("11:06:38, agent, ")
    assert page.locator(".count").inner_text() == "19,001 to 20,000 of 20,000 segments"
    assert page.locator(".scroller").evaluate("scroller => scroller.scrollLeft") > 10_000
    row, table = page.locator("tr[aria-current]").bounding_box(), page.locator(".table").bounding_box()
    assert table["y"] < row["y"] < table["y"] + table["height"]
    page.get_by_role("button", name="previous").click()
    assert column_texts(page, 0)[0] == "10:00:00.0"
    page.get_by_label("emotion").select_option("angry")
    assert page.locator(".count").inner_text().startswith("1 to 1,000 of ")


def test_page_without_scripts(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page, java_script_enabled=False)
    assert page.locator("tbody tr").count() == 6
    assert page.locator("td", has=page.locator(".masked")).is_visible()
    assert page.locator(".bars .angry").first.is_visible()
    assert page.locator(".filters select").first.is_hidden()
    assert page.locator(".slider").is_hidden()


def test_print_has_all_segments_and_no_controls(visit: Visit, tmp_path: Path) -> None:
    write_page(long_call(1200), tmp_path / "page.html", None)
    page = visit(tmp_path / "page.html", color_scheme="dark")
    page.emulate_media(media="print")
    for selector in (".slider", ".filters label", ".pager", ".player"):
        assert page.locator(selector).first.is_hidden()
    assert page.locator("h2", has_text="Segments").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb("#ffffff")
    assert page.pdf(format="A4").count(b"/Type /Page\n") > 15  # more than the 1,000 rows that the table shows at once
    assert page.locator("tbody tr").count() == 1000


def test_hostile_names_are_harmless(visit: Visit, tmp_path: Path) -> None:
    text = " ".join(HOSTILE)
    rows = (segment(0, 1, 1, "angry"), segment(1, 2, 2, "sad"))
    write_page(Timeline(text, 9.0, (text, text), rows, about={text: text}), tmp_path / "page.html", None, text)
    page = visit(tmp_path / "page.html")
    shown = text.replace("\udc80", "\\udc80")
    assert page.locator("h1").text_content() == shown
    assert column_texts(page, 2) == [shown.replace("\N{NO-BREAK SPACE}", " ")] * 2
    write_index([index_row(1, recording=text, speakers=text, note=text, groups=text)], tmp_path / "index.html", text)
    page = visit(tmp_path / "index.html")
    assert page.locator("tbody a").first.text_content() == text


def index_row(number: int, **changes: Any) -> IndexRow:
    row = IndexRow(
        recording=f"calls/{number:05}.wav",
        href=f"calls/{number:05}.wav.html" if number % 10 else None,
        recorded=f"2026-11-{1 + number % 28:02} 09:15:00" if number % 7 else "",
        speakers="customer, agent",
        status="ok" if number % 10 else "failed",
        length_s=60.0 + number if number % 10 else None,
        talk_s=30.0 + number if number % 10 else None,
        negative=number % 101 / 100 if number % 10 else None,
        passage_start_s=12.5 if number % 50 == 1 else None,
        passage="angry 0:07" if number % 50 == 1 else "",
        note="" if number % 10 else "its header makes no sense",
        groups=f"queue {'sales' if number % 2 else 'Billing'}",
        passage_s=7.0 + number if number % 50 == 1 else None,
    )
    return replace(row, **changes)


@pytest.fixture(scope="module")
def index_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("listing") / "index.html"
    write_index(map(index_row, range(5000)), path, "1 to 28 November 2026")
    return path


@pytest.mark.parametrize("width", SCREEN_WIDTHS)
def test_index_shows_more_on_request(visit: Visit, index_file: Path, width: int) -> None:
    page = visit(index_file, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("th[data-by='recording'] button").click()
    assert page.locator(".count").inner_text() == "5,000 recordings"
    assert page.locator("tbody tr").count() == 200
    page.get_by_role("button", name="Show more (4,800 left)").click()
    assert page.locator("tbody tr").count() == 400
    assert page.evaluate("document.activeElement.textContent") == "calls/00201.wav"
    assert page.locator("tbody tr").nth(1).locator("a").nth(1).get_attribute("href") == "calls/00001.wav.html#t=12.5"
    share = page.locator("tbody .share").nth(49).locator("i")
    bar = share.evaluate("bar => parseFloat(getComputedStyle(bar, '::before').width)")
    assert bar / share.bounding_box()["width"] == pytest.approx(0.55, abs=0.01)


def test_index_filters(visit: Visit, index_file: Path) -> None:
    page = visit(index_file)

    def count() -> str:
        return page.locator(".count").inner_text()

    page.get_by_label("search").fill("billing NO sense")
    assert count() == "500 of 5,000 recordings"
    page.get_by_label("search").fill("04999")
    assert column_texts(page, 0) == ["calls/04999.wavqueue sales"]
    page.get_by_label("search").fill("")
    page.get_by_label("status").select_option("failed")
    assert count() == "500 of 5,000 recordings"
    page.get_by_label("status").select_option("")
    page.get_by_label("with a negative passage").check()
    assert count() == "100 of 5,000 recordings"
    page.get_by_label("from").fill("2026-11-02")
    page.get_by_label("to").fill("2026-11-02")
    days = sum(number % 50 == 1 and number % 28 == 1 and number % 7 > 0 for number in range(5000))
    assert count() == f"{days} of 5,000 recordings"
    page.get_by_label("to").fill("2026-11-01")
    assert page.get_by_text("No matching recordings.").is_visible()


def test_index_starts_with_newest(visit: Visit, index_file: Path) -> None:
    days = [text[:10] for text in column_texts(visit(index_file), 1)]
    assert days[0] == "2026-11-28"
    assert days == sorted(days, reverse=True)


def test_index_sorts_unknown_values_last(visit: Visit, index_file: Path) -> None:
    page = visit(index_file)
    page.get_by_role("button", name="negative passage").click()
    assert column_texts(page, 0)[0].startswith("calls/04951.wav")
    page.get_by_role("button", name="recorded").click()
    assert column_texts(page, 1)[0] == "2026-11-28 09:15:00"
    page.get_by_role("button", name="recorded").click()
    assert column_texts(page, 1)[0] == "2026-11-02 09:15:00"
    page.get_by_role("button", name="length").click()
    assert column_texts(page, 3)[:2] == ["1:24:19", "1:24:18"]
    page.get_by_role("button", name="length").click()
    assert column_texts(page, 3)[:2] == ["1:01", "1:02"]
    page.get_by_label("status").select_option("failed")
    assert column_texts(page, 3)[:2] == ["", ""]


def test_index_without_scripts_has_links(visit: Visit, index_file: Path) -> None:
    page = visit(index_file, java_script_enabled=False)
    assert page.get_by_role("link", name="calls/00001.wav").is_visible()
    assert page.locator("noscript li").last.inner_text() == "and 4,000 more"
