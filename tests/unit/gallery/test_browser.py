"""
The page in a browser, where the system has one.
"""

import asyncio
import functools
import itertools
import shutil
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from kling_async.emulator.filming.sounds import write_wav
from kling_async.gallery import GalleryEntry, read_journal, write_gallery
from tests.fakes.videos import write_mp4
from tests.unit.gallery.conftest import Paint, begin_batch, painter

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system"),
    pytest.mark.asyncio(loop_scope="module"),
]

FORMS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "tablet": {"viewport": {"width": 820, "height": 1180}, "has_touch": True, "is_mobile": True},
    "phone": {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True},
}

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
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(request: pytest.FixtureRequest, browser: Browser, gallery: Path) -> AsyncIterator[Page]:
    """
    The page, opened from its file; whatever the browser complains of in the end is a failure.
    """
    complaints: list[str] = []
    fetched: list[str] = []
    context = await browser.new_context(**FORMS[getattr(request, "param", "light")])
    page = await context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))
    await page.goto(gallery.as_uri())
    yield page
    await context.close()
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


async def test_videos_and_sounds_play(browser: Browser, paint: Paint, tmp_path: Path) -> None:
    """
    The emulator's files play in the page: a video has its first frame for a still, a name for those who do not see it,
    and stops as soon as another entry is shown; keys pressed in a player are the player's.
    """
    frames = [Image.new("RGB", (64, 36), colour) for colour in ("teal", "orange")]
    (tmp_path / "fox.mp4").write_bytes(write_mp4(frames, 2.0))
    (tmp_path / "rain.wav").write_bytes(write_wav(1.5, seed=1))
    write_gallery(
        [
            GalleryEntry(path=tmp_path / "fox.mp4", prompt="a running fox"),
            GalleryEntry(path=tmp_path / "rain.wav", prompt="rain"),
            GalleryEntry(path=paint("owl.png"), prompt="an owl"),
        ],
        tmp_path / "page.html",
    )
    page = await browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto((tmp_path / "page.html").as_uri())
    await expect(page.locator("#count")).to_have_text("3 entries")
    await expect(page.locator(".tile video")).to_have_js_property("videoWidth", 64)

    await page.get_by_role("link", name="Video: a running fox").click()
    await expect(page.locator("#video")).to_have_js_property("duration", 2)
    await expect(page.locator("#video")).to_have_attribute("aria-label", "a running fox")
    assert {"Size": "64 \N{MULTIPLICATION SIGN} 36", "Length": "2.0 s"}.items() <= (await facts(page)).items()
    await page.locator("#video").evaluate("video => video.play()")
    await page.locator("#video").focus()
    await page.keyboard.press("End")
    await expect(page.locator("#position")).to_have_text("1 of 3")

    await page.get_by_role("button", name="Next").click()
    await expect(page.locator("#video")).to_be_hidden()
    assert await page.locator("#video").evaluate("video => video.paused")
    await expect(page.locator("#audio")).to_have_js_property("duration", 1.5)
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#picture")).to_have_js_property("naturalWidth", 64)
    await expect(page.locator("#audio")).to_be_hidden()
    assert [] == complaints
    await page.close()


async def test_a_video_that_has_gone_is_reported(browser: Browser, tmp_path: Path) -> None:
    """
    The page alone says that the file is missing.
    """
    (tmp_path / "fox.mp4").write_bytes(write_mp4([Image.new("RGB", (64, 36))], 1.0))
    write_gallery([GalleryEntry(path=tmp_path / "fox.mp4")], tmp_path / "page.html")
    (tmp_path / "fox.mp4").unlink()
    page = await browser.new_page()
    await page.goto((tmp_path / "page.html").as_uri())
    await expect(page.locator("#count")).to_have_text("1 video")
    await page.locator(".tile").click()

    await expect(page.locator("#note")).to_contain_text("this browser cannot play it")
    await page.close()
