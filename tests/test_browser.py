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
from analyzer.timeline import Row, Span, Timeline
from tests import voices
from tests.test_page import HOSTILE, segment

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

#: Timeout in seconds. Only failing tests reach it; on a busy machine a browser takes ten times as long.
LIMIT_S = 120
WIDTHS = [1280, 400]
LENGTH_S = 40.0
ROWS = (
    segment(1, 3.5, 1, "neutral", 0.8),
    segment(4, 6, 2, "happy", 0.95, -12.5),
    segment(5.5, 8, 1, "angry", 0.6),
    segment(8, 11, 1, "angry", 0.9),
    segment(20, 22, 1, "uncertain", 0.35),
    segment(30.25, 33, 2, ""),
)
CALL = Timeline("calls/one.wav", LENGTH_S, ("customer", "agent"), ROWS, (Span(24, 26, 1),), about={"queue": "billing"})

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

    def go(path: Path, part: str = "", width: int = 1280, allowed: tuple[Path, ...] = (), **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LIMIT_S * 1000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        known = {path.as_uri(), *(file.as_uri() for file in allowed)}
        page.on("request", lambda asked: asked.url.split("#")[0] in known or complaints.append(asked.url[:200]))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(path.as_uri() + part)
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def sound(kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """Return a file with two speakers on two channels, as long as `CALL`."""
    said = [voices.call(LENGTH_S, [(1, 10)], seed=1), voices.call(LENGTH_S, [(4, 6), (30, 33)], seed=2)]
    file = io.BytesIO()
    soundfile.write(file, np.stack(said, axis=1), 8000, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.fixture(scope="module")
def silent_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("silent") / "page.html"
    write_page(CALL, path, None, "The recording lies elsewhere.")
    return path


@pytest.fixture(scope="module")
def sounding_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounding") / "page.html"
    write_page(CALL, path, "data:audio/wav;base64," + base64.b64encode(sound()).decode())
    return path


def audio(page: Any, what: str) -> Any:
    return page.evaluate(f"document.querySelector('audio').{what}")


def until(holds: Callable[[], bool]) -> None:
    """Wait in Python: Playwright waits by evaluating text in the page, which the page's security policy forbids."""
    ends = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def slowly(page: Any) -> Any:
    """Slow the sound of a page to a sixteenth of its speed, so that a busy machine checks it in time."""
    page.evaluate("document.querySelector('audio').defaultPlaybackRate = 1 / 16")
    page.evaluate("document.querySelector('audio').playbackRate = 1 / 16")
    return page


def plays_from(page: Any, start: float) -> None:
    """Assert that the sound plays and has started at this time."""
    until(lambda: audio(page, "currentTime") > start + 0.02)
    assert start + 0.02 < audio(page, "currentTime") < start + 5
    assert not audio(page, "paused")


def at(page: Any) -> float:
    return float(page.get_attribute(".slider", "aria-valuenow"))


def told(page: Any) -> str:
    return page.get_attribute(".slider", "aria-valuetext").replace("\N{NO-BREAK SPACE}", " ")


def column(page: Any, number: int) -> list[str]:
    return page.eval_on_selector_all(
        "tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent.replace('\\u00a0', ' ').trim())"
    )


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))


@pytest.mark.parametrize("width", WIDTHS)
def test_bars_stand_where_and_as_high_as_their_segments(visit: Visit, silent_page: Path, width: int) -> None:
    page = visit(silent_page, width=width)
    for channel in (1, 2):
        lane = f'.lane[data-channel="{channel}"] .bars'
        track = page.locator(f"{lane} .track").bounding_box()
        rows = [row for row in ROWS if row.channel == channel]
        bars = page.locator(f"{lane} rect:not(.track, .other)")
        assert bars.count() == len(rows)
        for bar, row in zip(bars.all(), rows, strict=True):
            box = bar.bounding_box()
            assert box["x"] - track["x"] == pytest.approx(row.start / LENGTH_S * track["width"], abs=0.1)
            assert box["width"] == pytest.approx(row.seconds / LENGTH_S * track["width"], abs=0.1)
            assert box["height"] == pytest.approx((row.probability or 1) * track["height"], abs=0.1)
            assert box["y"] + box["height"] == pytest.approx(track["y"] + track["height"], abs=0.1)


def test_bars_have_the_colours_of_the_emotions(visit: Visit, silent_page: Path) -> None:
    fills = visit(silent_page).eval_on_selector_all(".bars rect", "all => all.map(bar => getComputedStyle(bar).fill)")
    assert [fill for fill in fills if "url" in fill] == ['url("#other")', 'url("#uncertain")', 'url("#masked")']
    assert {rgb(palette.COLOURS[emotion]) for emotion in ("neutral", "happy", "angry")} <= set(fills)


def test_who_speaks_together_and_where_nobody_does_is_drawn(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page)
    strip = page.locator(".strip").bounding_box()
    for what, expected in ((".together .both", [(5.5, 6)]), (".behind .silence", [(11, 20), (33, 40)])):
        boxes = [box.bounding_box() for box in page.locator(what).all()]
        spans = [((box["x"] - strip["x"]), (box["x"] + box["width"] - strip["x"])) for box in boxes]
        assert [tuple(x / strip["width"] * LENGTH_S for x in span) for span in spans] == [
            pytest.approx(span, abs=0.02) for span in expected
        ]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen_and_no_label_lies_on_another(
    visit: Visit, silent_page: Path, width: int, dark: bool
) -> None:
    page = visit(silent_page, width=width, color_scheme="dark" if dark else "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    labels = [box for label in page.locator(".axis span").all() if (box := label.bounding_box())]
    labels.sort(key=lambda box: box["x"])
    assert all(a["x"] + a["width"] + 4 < b["x"] for a, b in pairwise(labels))
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
def test_every_text_can_be_read(visit: Visit, silent_page: Path, listing: Path, dark: bool) -> None:
    for path in (silent_page, listing):
        page = visit(path, color_scheme="dark" if dark else "light")
        count, least = page.evaluate(CONTRAST)
        assert count > 40
        assert least >= 4.5


def test_a_click_plays_from_there(visit: Visit, sounding_page: Path) -> None:
    page = slowly(visit(sounding_page))
    box = page.locator(".slider").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 8.2 / LENGTH_S, box["y"] + 60)
    plays_from(page, 8.2)
    assert told(page).endswith(", customer, angry, 90 %")
    row = page.locator("tr[aria-current]")
    assert row.count() == 1
    assert row.get_attribute("data-start") == "8.000"
    page.evaluate("document.querySelector('audio').currentTime = 15")  # as the player's own controls do
    until(lambda: row.count() == 0)
    assert 15 <= at(page) < 20


def test_the_playhead_goes_with_the_sound(visit: Visit, sounding_page: Path) -> None:
    page = slowly(visit(sounding_page))
    page.locator("tbody button").nth(1).click()
    plays_from(page, 4)
    page.evaluate("document.querySelector('audio').pause()")
    until(lambda: at(page) == pytest.approx(audio(page, "currentTime"), abs=0.01))
    slider, head = (page.locator(what).bounding_box() for what in (".slider", ".playhead"))
    assert (head["x"] + 1 - slider["x"]) / slider["width"] * LENGTH_S == pytest.approx(at(page), abs=0.05)


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "ULAW"), ("OGG", "OPUS")])
def test_what_calls_are_recorded_in_and_what_pages_embed_plays(
    visit: Visit, tmp_path: Path, kind: str, subtype: str
) -> None:
    told_as = "audio/ogg" if kind == "OGG" else "audio/wav"
    address = f"data:{told_as};base64," + base64.b64encode(sound(kind, subtype)).decode()
    write_page(CALL, tmp_path / "page.html", address)
    page = slowly(visit(tmp_path / "page.html"))
    page.locator("tbody button").nth(4).click()
    plays_from(page, 20)


def test_a_recording_beside_the_page_plays_whatever_it_is_called(visit: Visit, tmp_path: Path) -> None:
    recording, path = tmp_path / "calls" / "100% #1 Gespräch?.wav", tmp_path / "out" / "html" / "page.html"
    for file in (recording, path):
        file.parent.mkdir(parents=True)
    recording.write_bytes(sound())
    write_page(CALL, path, link(path, recording))
    page = slowly(visit(path, allowed=(recording,)))
    assert audio(page, "readyState") == 0
    page.locator("tbody button").nth(4).click()
    plays_from(page, 20)
    assert page.locator(".silent").is_hidden()


@pytest.mark.parametrize("there", [False, True])
def test_sound_that_a_browser_cannot_play_is_told(browser: Any, tmp_path: Path, there: bool) -> None:
    """Does not use `visit`, because the browser itself logs an error."""
    if there:
        (tmp_path / "one.wav").write_bytes(b"RIFF no sound at all")
    write_page(CALL, tmp_path / "page.html", "one.wav")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.locator("tbody button").nth(4).click()
    page.locator(".silent").wait_for()
    assert "--embed-audio" in page.locator(".silent").inner_text()
    assert told(page) == "0:20, customer, uncertain, 35 %"
    page.close()


def test_keys_go_from_segment_to_segment(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page)
    page.locator(".slider").focus()
    page.keyboard.press("ArrowRight")
    assert (at(page), told(page)) == (1, "0:01, customer, neutral, 80 %")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert (at(page), told(page)) == (5.5, "0:05, customer, angry, 60 %")
    page.keyboard.press("ArrowLeft")
    assert (at(page), told(page)) == (4, "0:04, agent, happy, 95 %")
    page.keyboard.press("End")
    assert (at(page), told(page)) == (40, "0:40")
    page.keyboard.press("ArrowRight")
    assert at(page) == 40
    page.keyboard.press("ArrowLeft")
    assert (at(page), told(page)) == (30.25, "0:30, agent, not inferred")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert at(page) == 0


def test_keys_play_and_pause(visit: Visit, sounding_page: Path) -> None:
    page = slowly(visit(sounding_page))
    page.locator(".slider").focus()
    for expected in (1, 4, 5.5):
        page.keyboard.press("ArrowRight")
        plays_from(page, expected)
        page.keyboard.press("Space")
        assert audio(page, "paused")
    page.keyboard.press("Space")
    assert not audio(page, "paused")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")  # at the end, it does not start over
    assert at(page) == LENGTH_S
    assert page.evaluate("scrollY") == 0


def test_an_address_leads_to_a_moment(visit: Visit, sounding_page: Path) -> None:
    page = slowly(visit(sounding_page, "#t=20.5", width=400))
    assert (at(page), audio(page, "currentTime")) == (20.5, 20.5)
    assert audio(page, "paused")
    page.evaluate("location.hash = '#t=4.25'")
    until(lambda: audio(page, "currentTime") == 4.25)
    assert told(page) == "0:04, agent, happy, 95 %"
    page.evaluate("location.hash = '#t=999'")
    until(lambda: at(page) == 40)
    page.locator("aside a").click()
    until(lambda: at(page) == 5.5)


def test_columns_sort_and_filters_filter(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page)
    assert column(page, 0) == ["0:01.0", "0:04.0", "0:05.5", "0:08.0", "0:20.0", "0:30.2"]
    page.get_by_role("button", name="probability").click()
    assert column(page, 4) == ["", "35 %", "60 %", "80 %", "90 %", "95 %"]
    page.get_by_role("button", name="probability").press("Enter")
    assert column(page, 4) == ["95 %", "90 %", "80 %", "60 %", "35 %", ""]
    assert page.get_by_role("columnheader", name="probability").get_attribute("aria-sort") == "descending"
    assert page.locator("th[aria-sort]").count() == 1
    page.get_by_label("speaker").select_option("customer")
    assert column(page, 2) == ["customer"] * 4
    page.get_by_label("emotion").select_option("angry")
    assert column(page, 4) == ["90 %", "60 %"]
    assert page.locator(".count").inner_text() == "2 of 6 segments"
    page.get_by_label("speaker").select_option("agent")
    assert page.get_by_text("None that pass the filters.").is_visible()
    page.locator(".slider").focus()
    page.keyboard.press("ArrowRight")  # to a segment that the filters hide
    page.get_by_label("emotion").select_option("")
    assert column(page, 3) == ["happy", "not inferred"]


def long_call(count: int) -> Timeline:
    rng = np.random.default_rng(0)
    told = rng.dirichlet(np.full(8, 0.4), count).round(4).tolist()
    rows = (
        Row(k * 2.0, k * 2.0 + 1.5, 1 + k % 2, EMOTIONS[int(np.argmax(p))], tuple(p), -20.0) for k, p in enumerate(told)
    )
    return replace(CALL, rows=tuple(rows), length_s=2.0 * count)


def busy_s(page: Any) -> float:
    """Return the CPU time that a reload of the page takes, in seconds."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before, _ = task_seconds(session), page.reload()
    return task_seconds(session) - before


def task_seconds(session: Any) -> float:
    return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}["TaskDuration"]


@pytest.mark.slow
def test_eleven_hours_of_segments_open_at_once(visit: Visit, tmp_path: Path) -> None:
    write_page(long_call(20_000), tmp_path / "page.html", None)
    page = visit(tmp_path / "page.html")
    assert busy_s(page) < 8
    assert page.locator("tbody tr").count() == 1000
    page.locator(".slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert told(page).startswith("11:06:38, agent, ")
    assert page.locator(".count").inner_text() == "19,001 to 20,000 of 20,000 segments"
    assert page.locator(".scroller").evaluate("scroller => scroller.scrollLeft") > 10_000
    row, table = page.locator("tr[aria-current]").bounding_box(), page.locator(".table").bounding_box()
    assert table["y"] < row["y"] < table["y"] + table["height"]
    page.get_by_role("button", name="previous").click()
    assert column(page, 0)[0] == "10:00:00.0"
    page.get_by_label("emotion").select_option("angry")
    assert page.locator(".count").inner_text().startswith("1 to 1,000 of ")


def test_without_scripts_all_is_there_but_what_needs_them(visit: Visit, silent_page: Path) -> None:
    page = visit(silent_page, java_script_enabled=False)
    assert page.locator("tbody tr").count() == 6
    assert page.locator("td", has=page.locator(".masked")).is_visible()
    assert page.locator(".bars .angry").first.is_visible()
    assert page.locator(".filters select").first.is_hidden()
    assert page.locator(".slider").is_hidden()


def test_on_paper_there_is_nothing_to_press_and_every_segment(visit: Visit, tmp_path: Path) -> None:
    write_page(long_call(1200), tmp_path / "page.html", None)
    page = visit(tmp_path / "page.html", color_scheme="dark")
    page.emulate_media(media="print")
    for what in (".slider", ".filters label", ".pager", ".player"):
        assert page.locator(what).first.is_hidden()
    assert page.locator("h2", has_text="Segments").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == rgb("#ffffff")
    assert page.pdf(format="A4").count(b"/Type /Page\n") > 15  # more than the 1,000 rows that the table shows at once
    assert page.locator("tbody tr").count() == 1000


def test_hostile_names_do_nothing(visit: Visit, tmp_path: Path) -> None:
    text = " ".join(HOSTILE)
    rows = (segment(0, 1, 1, "angry"), segment(1, 2, 2, "sad"))
    write_page(Timeline(text, 9.0, (text, text), rows, about={text: text}), tmp_path / "page.html", None, text)
    page = visit(tmp_path / "page.html")
    shown = text.replace("\udc80", "\\udc80")
    assert page.locator("h1").text_content() == shown
    assert column(page, 2) == [shown.replace("\N{NO-BREAK SPACE}", " ")] * 2
    write_index([listed(1, recording=text, speakers=text, note=text, groups=text)], tmp_path / "index.html", text)
    page = visit(tmp_path / "index.html")
    assert page.locator("tbody a").first.text_content() == text


def listed(k: int, **told: Any) -> IndexRow:
    row = IndexRow(
        recording=f"calls/{k:05}.wav",
        href=f"calls/{k:05}.wav.html" if k % 10 else None,
        recorded=f"2026-11-{1 + k % 28:02} 09:15:00" if k % 7 else "",
        speakers="customer, agent",
        status="ok" if k % 10 else "failed",
        length_s=60.0 + k if k % 10 else None,
        talk_s=30.0 + k if k % 10 else None,
        negative=k % 101 / 100 if k % 10 else None,
        passage_start_s=12.5 if k % 50 == 1 else None,
        passage="angry 0:07" if k % 50 == 1 else "",
        note="" if k % 10 else "its header makes no sense",
        groups=f"queue {'sales' if k % 2 else 'Billing'}",
        passage_s=7.0 + k if k % 50 == 1 else None,
    )
    return replace(row, **told)


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("listing") / "index.html"
    write_index(map(listed, range(5000)), path, "1 to 28 November 2026")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_shows_some_hundreds_and_more_when_asked(visit: Visit, listing: Path, width: int) -> None:
    page = visit(listing, width=width)
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


def test_the_list_filters(visit: Visit, listing: Path) -> None:
    page = visit(listing)

    def count() -> str:
        return page.locator(".count").inner_text()

    page.get_by_label("search").fill("billing NO sense")
    assert count() == "500 of 5,000 recordings"
    page.get_by_label("search").fill("04999")
    assert column(page, 0) == ["calls/04999.wavqueue sales"]
    page.get_by_label("search").fill("")
    page.get_by_label("status").select_option("failed")
    assert count() == "500 of 5,000 recordings"
    page.get_by_label("status").select_option("")
    page.get_by_label("with a negative passage").check()
    assert count() == "100 of 5,000 recordings"
    page.get_by_label("from").fill("2026-11-02")
    page.get_by_label("to").fill("2026-11-02")
    days = sum(k % 50 == 1 and k % 28 == 1 and k % 7 > 0 for k in range(5000))
    assert count() == f"{days} of 5,000 recordings"
    page.get_by_label("to").fill("2026-11-01")
    assert page.get_by_text("No recording passes the filters.").is_visible()


def test_the_list_begins_with_the_newest(visit: Visit, listing: Path) -> None:
    days = [text[:10] for text in column(visit(listing), 1)]
    assert days[0] == "2026-11-28"
    assert days == sorted(days, reverse=True)


def test_the_list_sorts_and_what_is_not_known_stands_last(visit: Visit, listing: Path) -> None:
    page = visit(listing)
    page.get_by_role("button", name="negative passage").click()
    assert column(page, 0)[0].startswith("calls/04951.wav")
    page.get_by_role("button", name="recorded").click()
    assert column(page, 1)[0] == "2026-11-28 09:15:00"
    page.get_by_role("button", name="recorded").click()
    assert column(page, 1)[0] == "2026-11-02 09:15:00"
    page.get_by_role("button", name="length").click()
    assert column(page, 3)[:2] == ["1:24:19", "1:24:18"]
    page.get_by_role("button", name="length").click()
    assert column(page, 3)[:2] == ["1:01", "1:02"]
    page.get_by_label("status").select_option("failed")
    assert column(page, 3)[:2] == ["", ""]


def test_without_scripts_the_list_has_links(visit: Visit, listing: Path) -> None:
    page = visit(listing, java_script_enabled=False)
    assert page.get_by_role("link", name="calls/00001.wav").is_visible()
    assert page.locator("noscript li").last.inner_text() == "and 4,000 more"
