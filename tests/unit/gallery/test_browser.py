"""
The page in a browser, where the system has one.
"""

import asyncio
import functools
import itertools
import re
import shutil
import sys
import wave
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, Route, async_playwright, expect

from kling_async import OFFICIAL, KlingClient, PollPolicy, TextToVideo
from kling_async.emulator import Emulator
from kling_async.gallery import GalleryEntry, read_folder, read_journal, write_gallery
from tests.fakes.media_files import make_video
from tests.unit.gallery.conftest import Paint, begin_batch, painter

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.long,
]

FORMS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "tablet": {"viewport": {"width": 820, "height": 1180}, "has_touch": True, "is_mobile": True},
    "phone": {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True},
}

EAGER: Final = PollPolicy(first_delay=0.02, max_delay=0.05)

in_forms = functools.partial(pytest.mark.parametrize, "page", indirect=True)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A page of two foxes, an owl of another model, and a bear that failed.
    """
    folder = tmp_path_factory.mktemp("animals")
    paint = painter(folder)
    fox = GalleryEntry(prompt="a fox <b>in snow</b>", model_name="kling-v1", units=Decimal(2), task_id="task-of-foxes")
    entries = [
        attrs.evolve(fox, path=paint("fox 0.png", (800, 450), "orange"), index=0),
        attrs.evolve(fox, path=paint("fox 1.png", (800, 450), "red"), index=1),
        GalleryEntry(path=paint("owl.png", (450, 800)), prompt="an owl", model_name="kling-v2", seconds=7.0),
        GalleryEntry(prompt="a bear", model_name="kling-v1", state="failed", error="TaskFailed: no bears"),
    ]
    write_gallery(entries, folder / "gallery.html", title="Animals")
    return folder / "gallery.html"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """
    One for all: it takes a second to start.
    """
    async with async_playwright() as playwright:
        args = ["--no-sandbox", "--process-per-site"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
def contexts() -> dict[str, BrowserContext]:
    """
    One for each form, whose pages share a process.
    """
    return {}


@pytest_asyncio.fixture(loop_scope="module")
async def page(
    request: pytest.FixtureRequest, browser: Browser, contexts: dict[str, BrowserContext], gallery: Path
) -> AsyncIterator[Page]:
    """
    The page, opened from its file; whatever the browser complains of in the end is a failure.
    """
    complaints: list[str] = []
    fetched: list[str] = []
    form = getattr(request, "param", "light")
    if form not in contexts:
        contexts[form] = await browser.new_context(**FORMS[form])
        await (await contexts[form].new_page()).goto(gallery.as_uri())  # the process lives as long as it has a page
    page = await contexts[form].new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))
    await page.goto(gallery.as_uri())
    yield page
    await page.evaluate("localStorage.clear()")
    await page.close()
    assert [] == complaints
    assert {"file", "data"} >= {url.partition(":")[0] for url in fetched}


async def names(page: Page) -> list[str]:
    """
    Return the captions of what is shown.
    """
    return [await item.text_content() or "" for item in await page.locator("#grid > li:visible .caption").all()]


async def test_it_filters(page: Page) -> None:
    """
    By words of the prompt and the facts, by model, by state, and all of them together; then all is shown again.
    """
    await expect(page.locator("#count")).to_have_text("4 entries")

    await page.get_by_role("searchbox").fill("FOX snow")
    assert ["a fox <b>in snow</b>"] * 2 == await names(page)
    await expect(page.locator("#count")).to_have_text("2 of 4")

    await page.get_by_role("searchbox").fill("")
    await page.get_by_label("Model").select_option("kling-v1")
    assert 3 == len(await names(page))
    await page.get_by_label("State").select_option("failed")
    assert ["a bear"] == await names(page)

    await page.get_by_role("searchbox").fill("owl")
    assert [] == await names(page)
    await page.get_by_role("button", name="Show all").click()
    assert 4 == len(await names(page))
    await expect(page.get_by_role("searchbox")).to_be_focused()


@in_forms(["light", "phone"])
async def test_a_picture_opens_with_its_facts(page: Page) -> None:
    """
    The file itself, large, its prompt as text, and all that is known; arrows lead on, Escape leads back to the tile.
    """
    viewer = page.get_by_role("dialog")
    await page.locator(".tile").first.click()

    await expect(viewer).to_be_visible()
    await expect(viewer.get_by_role("heading")).to_have_text("a fox <b>in snow</b>")
    await expect(page.locator("#picture")).to_have_js_property("naturalWidth", 800)
    assert str(await page.locator("#picture").get_attribute("src")).endswith("fox%200.png")
    shown = await facts(page)
    assert ("kling-v1", "2", "task-of-foxes", "0") == tuple(
        shown[label] for label in ("Model", "Units", "Task", "Index")
    )
    await expect(page.get_by_role("button", name="Previous")).to_be_disabled()

    await page.keyboard.press("ArrowRight")
    assert "1" == (await facts(page))["Index"]
    await page.keyboard.press("ArrowRight")
    await expect(viewer.get_by_role("heading")).to_have_text("an owl")
    await page.get_by_role("button", name="Next").click()
    await expect(page.locator("#trouble")).to_have_text("TaskFailed: no bears")
    await expect(page.locator("#picture")).to_be_hidden()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#position")).to_have_text("4 of 4")
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#picture")).to_be_visible()

    await page.keyboard.press("Escape")
    await expect(viewer).to_be_hidden()
    await expect(page.locator(".tile").nth(2)).to_be_focused()


async def facts(page: Page) -> dict[str, str]:
    labels, texts = page.locator("#facts dt"), page.locator("#facts dd")
    return dict(zip(await labels.all_text_contents(), await texts.all_text_contents(), strict=True))


async def test_keys_alone_suffice(page: Page) -> None:
    """
    A slash leads to the search, Enter opens a tile, and what is filtered away is not leafed through.
    """
    await page.keyboard.press("/")
    await page.keyboard.type("a")
    await expect(page.get_by_role("searchbox")).to_have_value("a")
    await page.get_by_role("searchbox").fill("fox")
    await page.locator(".tile").first.focus()
    await page.keyboard.press("Enter")

    await expect(page.locator("#position")).to_have_text("1 of 2")
    await page.keyboard.press("End")
    await expect(page.locator("#position")).to_have_text("2 of 2")
    await page.keyboard.press("Home")
    await expect(page.locator("#position")).to_have_text("1 of 2")


@in_forms(["light", "dark"])
async def test_theme_follows_the_system_until_it_is_chosen(page: Page) -> None:
    """
    The button shows which it is, turns it over, and the choice is remembered.
    """
    button = page.get_by_role("button", name="Dark")
    is_dark = await button.get_attribute("aria-pressed") == "true"
    before = await ground(page)

    await button.click()
    assert before != await ground(page)
    chosen = "light" if is_dark else "dark"
    assert chosen == await page.evaluate("localStorage.getItem('kling-async-theme')")

    await page.add_init_script(f"localStorage.setItem('kling-async-theme', '{chosen}')")  # its way there takes time
    await page.reload()
    await expect(button).to_have_attribute("aria-pressed", "false" if is_dark else "true")
    assert before != await ground(page)


async def ground(page: Page) -> object:
    return await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")


@in_forms(["light", "phone"])
async def test_nothing_is_wider_than_the_window(page: Page) -> None:
    """
    The grid needs no scrolling sideways and an open picture none at all, and tiles have the shape of their pictures.
    """
    too_wide = "document.documentElement.scrollWidth > innerWidth"
    box = await page.locator(".tile").nth(2).bounding_box()

    assert not await page.evaluate(too_wide)
    assert box is not None
    assert 9 / 16 == pytest.approx(box["width"] / box["height"], rel=0.03)
    await page.locator(".tile").nth(2).click()
    assert not await page.evaluate(too_wide)
    box = await page.locator("#picture").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < box["y"] + box["height"] <= 800
    assert 9 / 16 == pytest.approx(box["width"] / box["height"], rel=0.01)


async def test_focus_stays_where_keys_go_on_from(page: Page) -> None:
    """
    At either end, the button that leads no further hands it to the other.
    """
    await page.locator(".tile").first.click()
    await expect(page.get_by_role("button", name="Next")).to_be_focused()

    for _ in range(3):
        await page.keyboard.press("Enter")
    await expect(page.locator("#position")).to_have_text("4 of 4")
    await expect(page.get_by_role("button", name="Previous")).to_be_focused()
    await page.keyboard.press("Home")
    await expect(page.get_by_role("button", name="Next")).to_be_focused()


async def test_prompt_is_copied_or_marked(page: Page) -> None:
    """
    Where the browser forbids copying, the prompt is marked, for the reader to copy.
    """
    button = page.get_by_role("button", name="Copy prompt")
    await page.locator(".tile").first.click()

    await page.evaluate("void (navigator.clipboard.writeText = (text) => { window.copied = text; })")
    await button.click()
    await expect(page.locator("#copy")).to_have_text("Copied")
    assert "a fox <b>in snow</b>" == await page.evaluate("copied")

    await page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error()))")
    await page.locator("#copy").click()
    assert "a fox <b>in snow</b>" == await page.evaluate("getSelection().toString()")


async def test_slow_picture_is_awaited_by_its_own_thumbnail(page: Page) -> None:
    """
    Until a picture is there its thumbnail stands for it, and not the picture before.
    """
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        await arrived.wait()
        await route.continue_()

    await page.route("**/owl.png", hold)
    await page.reload()  # a page that is open already fetches its files unseen
    await page.locator(".tile").nth(1).click()
    await expect(page.locator("#picture")).to_have_js_property("naturalWidth", 800)

    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#picture")).to_have_js_property("naturalWidth", 0)
    thumbnail = await page.locator(".tile img").nth(2).get_attribute("src")
    await expect(page.locator("#picture")).to_have_js_property("style.backgroundImage", f'url("{thumbnail}")')

    arrived.set()
    await expect(page.locator("#picture")).to_have_js_property("naturalWidth", 450)
    await expect(page.locator("#picture")).to_have_js_property("style.backgroundImage", "")


@in_forms(["phone"])
@pytest.mark.parametrize(("way", "position"), [((-120, 10), "2 of 4"), ((-60, 90), "1 of 4"), ((-30, 0), "1 of 4")])
async def test_fingers_leaf(page: Page, way: tuple[int, int], position: str) -> None:
    """
    A stroke across leads on; one that is steep or short does not.
    """
    await page.locator(".tile").first.tap()
    await expect(page.locator("#position")).to_have_text("1 of 4")

    screen = await page.context.new_cdp_session(page)
    await page.evaluate("stage.addEventListener('touchend', () => { stage.dataset.lifted = true; })")
    start = {"x": 250, "y": 150}
    end = {"x": start["x"] + way[0], "y": start["y"] + way[1]}
    for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
        await screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    await expect(page.locator("[data-lifted]")).to_be_attached()

    assert position == await page.locator("#position").text_content()


@in_forms(["light", "tablet", "phone"])
async def test_tiles_keep_to_themselves(page: Page, paint: Paint, tmp_path: Path) -> None:
    """
    Whatever the shape of a picture and the length of a prompt, no tile lies on another one, and none is a mere line.
    """
    prompt = "a prompt of many words " * 100
    entries = [
        GalleryEntry(path=paint("tower.png", (100, 900)), prompt=prompt),
        GalleryEntry(path=paint("panorama.png", (1800, 200)), prompt=prompt),
        GalleryEntry(path=paint("dot.png", (8, 8)), prompt=prompt),
        GalleryEntry(prompt=prompt, state="failed", error="TaskFailed: " + prompt),
        GalleryEntry(path=paint("last.png"), prompt=prompt),
    ]
    write_gallery(entries, tmp_path / "shapes.html")
    await page.goto((tmp_path / "shapes.html").as_uri())

    boxes = [await tile.bounding_box() for tile in await page.locator("a.tile").all()]
    outlines = await page.evaluate(OUTLINES)

    assert [0.5, 3.0, 1.0, 1.78] == [pytest.approx(box["width"] / box["height"], rel=0.03) for box in boxes if box]
    assert 5 == len(outlines)
    assert [] == [pair for pair in itertools.combinations(outlines, 2) if overlap(*pair)]


OUTLINES: Final = """
    () => [...document.querySelectorAll("#grid > li")].map((item) => {
      const boxes = [item, ...item.querySelectorAll("*")].map((part) => part.getBoundingClientRect());
      const seen = boxes.filter(({ width }) => width > 0);
      return {
        left: Math.min(...seen.map(({ left }) => left)), right: Math.max(...seen.map(({ right }) => right)),
        top: Math.min(...seen.map(({ top }) => top)), bottom: Math.max(...seen.map(({ bottom }) => bottom)),
      };
    })
"""


def overlap(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    return min(across, down) > 1  # pixel


async def test_a_batch_at_work(browser: Browser, paint: Paint, tmp_path: Path) -> None:
    """
    Its rows are filtered by the journal's own words, and a row without a picture tells how it stands.
    """
    journal = await begin_batch(tmp_path, paint)
    write_gallery(read_journal(journal.path), tmp_path / "run.html", note="1 of 6 rows not begun")
    await journal.aclose()
    page = await browser.new_page()
    await page.goto((tmp_path / "run.html").as_uri())

    await expect(page.locator("#aside")).to_have_text("1 of 6 rows not begun")
    states = await page.get_by_label("State").locator("option").all_text_contents()
    assert ["All states", "accepted", "failed", "finished", "saved", "uncertain"] == states
    await page.get_by_label("State").select_option("accepted")
    assert ["a mole"] == await names(page)
    await page.locator(".tile:visible").click()
    shown = await facts(page)
    assert ("accepted", "task-4") == (shown["State"], shown["Task"])
    await expect(page.locator("#note")).to_have_text("There is no file.")
    await page.close()


async def test_a_picture_that_has_gone_shows_its_thumbnail(browser: Browser, paint: Paint, tmp_path: Path) -> None:
    """
    The page alone, sent to somebody, still shows what it has, and says so. Where there is but one state, no choice is
    offered.
    """
    write_gallery([GalleryEntry(path=paint("owl.png"))], tmp_path / "page.html")
    (tmp_path / "owl.png").unlink()
    page = await browser.new_page()
    await page.goto((tmp_path / "page.html").as_uri())
    await expect(page.get_by_role("searchbox")).to_be_visible()
    await expect(page.locator("select:visible")).to_have_count(0)
    await page.locator(".tile").click()

    await expect(page.locator("#note")).to_contain_text("this is its thumbnail")
    thumbnail = await page.locator(".tile img").get_attribute("src")
    await expect(page.locator("#picture")).to_have_attribute("src", str(thumbnail))
    await page.close()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A page of a running fox, a standing fox, rain, and an owl that is a picture.
    """
    folder = tmp_path_factory.mktemp("media")
    (folder / "fox.mp4").write_bytes(make_video((64, 36), 20.0))
    (folder / "tall.webm").write_bytes(make_video((36, 64), 20.0, container="webm"))
    with wave.open(str(folder / "rain.wav"), "wb") as rain:
        rain.setparams((1, 1, 8_000, 0, "NONE", ""))
        rain.writeframes(bytes([128, 200] * 262_000))
    entries = [
        GalleryEntry(path=folder / "fox.mp4", prompt="a running fox", model_name="kling-v2-6"),
        GalleryEntry(path=folder / "tall.webm", prompt="a standing fox", model_name="kling-v2-6"),
        GalleryEntry(path=folder / "rain.wav", prompt="rain"),
        GalleryEntry(path=painter(folder)("owl.png"), prompt="an owl"),
    ]
    write_gallery(entries, folder / "gallery.html", title="Media")
    return folder / "gallery.html"


async def is_playing(tile: Locator) -> None:
    """
    Wait until the player in *tile* has got on.
    """
    await expect(tile).to_have_attribute("aria-pressed", "true")
    player = tile.locator("video, audio")
    await expect(player).to_have_js_property("paused", False)
    before = await player.evaluate("player => player.currentTime")
    await player.page.wait_for_function(
        "([player, before]) => player.currentTime > before", arg=[await player.element_handle(), before]
    )


@in_forms(["light", "phone"])
async def test_video_plays_in_its_tile(page: Page, media: Path) -> None:
    """
    By a click, which also pauses it; its length is shown and its place while it plays, and no dialog opens.
    """
    await page.goto(media.as_uri())
    tile = page.get_by_role("button", name="Play video: a running fox, 20.0 seconds")
    await expect(tile.locator("time")).to_have_text("0:20")
    await expect(tile.locator("img")).to_have_js_property("naturalWidth", 64)
    await expect(tile.locator("video")).to_have_count(0)

    await tile.click()
    await is_playing(tile)
    await expect(tile.locator("time")).to_have_text(re.compile(r"0:\d\d / 0:20"))
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await tile.click()

    await expect(tile.locator("video")).to_have_js_property("paused", True)
    await expect(tile).to_have_attribute("aria-pressed", "false")


async def test_video_plays_by_keys(page: Page, media: Path) -> None:
    """
    The space bar and Enter start and pause it where the focus is; Escape closes it.
    """
    await page.goto(media.as_uri())
    tile = page.get_by_role("button", name="Play video: a running fox")
    await tile.focus()

    await page.keyboard.press("Space")
    await is_playing(tile)
    await page.keyboard.press("Enter")
    await expect(tile.locator("video")).to_have_js_property("paused", True)
    stopped_at = await tile.locator("video").evaluate("video => video.currentTime")
    assert stopped_at > 0
    await page.keyboard.press("Space")
    await is_playing(tile)
    assert stopped_at < await tile.locator("video").evaluate("video => video.currentTime")

    await page.keyboard.press("Escape")
    await expect(tile.locator("video")).to_have_count(0)
    await expect(tile.locator("time")).to_have_text("0:20")
    await expect(tile).to_be_focused()
    await expect(tile).to_have_attribute("aria-pressed", "false")


async def test_video_of_a_task_plays(page: Page, tmp_path: Path) -> None:
    """
    From the request to the page: what the emulator serves is saved, named by its prompt, and seen moving.
    """
    async with (
        Emulator(latency=(0.01, 0.02), picture_scale=0.1, dialect=OFFICIAL) as server,
        KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL, polling=EAGER) as client,
    ):
        result = await client.generate(TextToVideo("a lighthouse", duration=5))
        await client.save(result, tmp_path)
    write_gallery(read_folder(tmp_path), tmp_path / "page.html")
    await page.goto((tmp_path / "page.html").as_uri())
    tile = page.get_by_role("button", name="Play video: a lighthouse, 5.0 seconds")

    await tile.press("Enter")

    await is_playing(tile)
    frames = await tile.locator("video").evaluate("video => video.getVideoPlaybackQuality().totalVideoFrames")
    assert frames > 0


async def test_a_key_that_is_held_down_starts_once(page: Page, media: Path) -> None:
    """
    A link of its own would follow each repetition.
    """
    await page.goto(media.as_uri())
    tile = page.get_by_role("button", name="Play sound: rain, 65.5 seconds")
    await tile.focus()

    for _ in range(4):  # without a release in between, these are repetitions
        await page.keyboard.down("Enter")

    await is_playing(tile)
    await expect(tile.locator("time")).to_have_text(re.compile(r"0:0\d / 1:06"))


async def test_one_plays_at_a_time(page: Page, media: Path) -> None:
    """
    The next one closes it, as does a filter that hides it and the viewer, which goes on from there.
    """
    await page.goto(media.as_uri())
    fox = page.get_by_role("button", name="Play video: a running fox")
    rain = page.get_by_role("button", name="Play sound: rain")
    await fox.click()
    await is_playing(fox)

    await rain.click()
    await is_playing(rain)
    await expect(fox).to_have_attribute("aria-pressed", "false")
    await expect(page.locator(".tile video")).to_have_count(0)

    await page.get_by_label("Kind").select_option("Videos")
    assert ["a running fox", "a standing fox"] == await names(page)
    await expect(page.locator(".tile audio")).to_have_count(0)

    await fox.click()
    await is_playing(fox)
    await page.get_by_role("button", name="Details: a running fox").click()
    await expect(page.locator(".tile video")).to_have_count(0)
    await expect(page.locator("#video")).to_have_js_property("paused", False)
    assert await page.locator("#video").evaluate("video => video.currentTime") > 0
    shown = await facts(page)
    assert ("64 \N{MULTIPLICATION SIGN} 36", "20.0 s") == (shown["Size"], shown["Length"])


async def test_viewer_shows_videos_and_sounds(page: Page, media: Path) -> None:
    """
    A video has its poster and a name for those who do not see it; it stops as soon as another entry is shown, and keys
    pressed in a player are the player's. What is muted once stays muted.
    """
    await page.goto(media.as_uri())
    await page.get_by_role("button", name="Details: a running fox").click()
    video = page.locator("#video")
    await expect(video).to_have_js_property("duration", 20)
    await expect(video).to_have_attribute("aria-label", "a running fox")
    await expect(video).to_have_attribute("poster", str(await page.locator(".tile img").first.get_attribute("src")))
    await video.evaluate("video => { video.muted = true; return video.play(); }")
    await video.focus()
    await page.keyboard.press("End")
    await expect(page.locator("#position")).to_have_text("1 of 4")

    await page.get_by_role("button", name="Next").click()
    assert await video.evaluate("video => video.paused")
    await page.keyboard.press("ArrowRight")
    await expect(video).to_be_hidden()
    await expect(page.locator("#audio")).to_have_js_property("duration", 65.5)
    await expect(page.locator("#wave")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#picture")).to_have_js_property("naturalWidth", 64)
    await expect(page.locator("#audio")).to_be_hidden()

    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Play sound: rain").click()
    await expect(page.locator(".tile audio")).to_have_js_property("muted", True)


async def test_browser_that_forbids_sound_plays_without(page: Page, media: Path) -> None:
    """
    Some let nothing be heard before the reader has done more than press a key.
    """
    await page.add_init_script("""
        const play = HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () {
          return this.muted ? play.call(this) : Promise.reject(new DOMException("no sound", "NotAllowedError"));
        };
    """)
    await page.goto(media.as_uri())
    tile = page.get_by_role("button", name="Play video: a running fox")

    await tile.click()

    await is_playing(tile)
    await expect(tile.locator("video")).to_have_js_property("muted", True)


async def test_without_pyav_the_browser_finds_still_and_length(
    page: Page, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    While the tile is in view; then it plays as any other.
    """
    monkeypatch.setitem(sys.modules, "av", None)
    entries = [GalleryEntry(path=media.parent / name) for name in ("fox.mp4", "tall.webm")]
    write_gallery(entries, tmp_path / "page.html")
    await page.goto((tmp_path / "page.html").as_uri())
    tall = page.get_by_role("button", name="Play video: tall.webm")

    await expect(tall.locator("video")).to_have_js_property("videoWidth", 36)
    await expect(tall.locator("time")).to_have_text("0:20")
    await page.get_by_role("searchbox").fill("fox")
    await expect(page.locator(".tile video")).to_have_count(1)  # players out of view are given back
    await page.get_by_role("searchbox").fill("")

    await tall.click()
    await expect(tall.locator("video")).to_have_count(2)
    await expect(tall.locator("video").last).to_have_js_property("paused", False)
    await page.keyboard.press("Escape")
    await expect(tall.locator("video")).to_have_count(1)


async def test_a_video_that_has_gone_is_reported(browser: Browser, tmp_path: Path) -> None:
    """
    The page alone says that the file is missing, in the tile and in the viewer.
    """
    (tmp_path / "fox.mp4").write_bytes(make_video())
    write_gallery([GalleryEntry(path=tmp_path / "fox.mp4")], tmp_path / "page.html")
    (tmp_path / "fox.mp4").unlink()
    page = await browser.new_page()
    await page.goto((tmp_path / "page.html").as_uri())
    await expect(page.locator("#count")).to_have_text("1 video")

    await page.locator(".tile").click()
    await expect(page.locator(".tile time")).to_contain_text("Cannot be played")
    await expect(page.locator("#spoken")).to_have_text("Cannot be played: fox.mp4")
    await expect(page.locator(".tile")).to_have_attribute("aria-pressed", "false")

    await page.get_by_role("button", name="Details").click()
    await expect(page.locator("#note")).to_contain_text("this browser cannot play it")
    await page.close()


async def test_buttons_of_videos_can_be_told_apart(page: Page, media: Path) -> None:
    """
    Each says of which entry it is, has a ring when it has the focus, and is large enough for a finger.
    """
    await page.goto(media.as_uri())
    await page.locator(".tile").first.focus()
    order = []
    for _ in range(4):
        focused = page.locator(":focus")
        ring = await focused.evaluate("element => getComputedStyle(element).outlineStyle")
        box = await focused.bounding_box()
        assert box is not None
        assert ("solid", True) == (ring, min(box["width"], box["height"]) >= 24)
        order.append(await focused.get_attribute("aria-label"))
        await page.keyboard.press("Tab")

    assert [
        "Play video: a running fox, 20.0 seconds",
        "Details: a running fox",
        "Play video: a standing fox, 20.0 seconds",
        "Details: a standing fox",
    ] == order


async def test_reduced_motion_has_no_transitions(page: Page, media: Path) -> None:
    """
    And nothing ever plays of itself.
    """
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(media.as_uri())

    moving = await page.evaluate(
        "[...document.querySelectorAll('*')].filter((element) => getComputedStyle(element).transitionDuration !== '0s')"
        ".length"
    )
    assert 0 == moving
    assert 0 == await page.locator(".tile :is(video, audio)").count()
