"""
The page in a browser, where the system has one.
"""

import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import attrs
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from kling_async.gallery import GalleryEntry, write_gallery
from tests.gallery.conftest import Paint

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system"),
    pytest.mark.asyncio(loop_scope="module"),
]

Scheme = Literal["light", "dark"]


@pytest.fixture
def gallery(paint: Paint, tmp_path: Path) -> Path:
    """
    A page of two foxes, an owl of another model, and a bear that failed.
    """
    fox = GalleryEntry(prompt="a fox <b>in snow</b>", model_name="kling-v1", units=Decimal(2), task_id="task-of-foxes")
    entries = [
        attrs.evolve(fox, path=paint("fox 0.png", (1600, 900), "orange"), index=0),
        attrs.evolve(fox, path=paint("fox 1.png", (1600, 900), "red"), index=1),
        GalleryEntry(path=paint("owl.png", (900, 1600)), prompt="an owl", model_name="kling-v2", seconds=7.0),
        GalleryEntry(prompt="a bear", model_name="kling-v1", state="failed", error="TaskFailed: no bears"),
    ]
    write_gallery(entries, tmp_path / "gallery.html", title="Animals")
    return tmp_path / "gallery.html"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """
    One for all: it takes a second to start.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(
    loop_scope="module",
    params=[("light", 1280), ("dark", 1280), ("light", 390)],
    ids=["light", "dark", "phone"],
)
async def page(request: pytest.FixtureRequest, browser: Browser, gallery: Path) -> AsyncIterator[Page]:
    """
    The page, opened from its file; whatever the browser complains of in the end is a failure.
    """
    scheme: Scheme
    scheme, width = request.param
    complaints: list[str] = []
    fetched: list[str] = []
    context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
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
    await expect(page.locator("#count")).to_have_text("4")

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


async def test_a_picture_opens_with_its_facts(page: Page) -> None:
    """
    The file itself, large, its prompt as text, and all that is known; arrows lead on, Escape leads back to the tile.
    """
    viewer = page.get_by_role("dialog")
    await page.locator(".tile").first.click()

    await expect(viewer).to_be_visible()
    await expect(viewer.get_by_role("heading")).to_have_text("a fox <b>in snow</b>")
    await page.wait_for_function("document.getElementById('large').naturalWidth === 1600")
    assert str(await page.locator("#large").get_attribute("src")).endswith("fox%200.png")
    shown = await facts(page)
    assert ("kling-v1", "2", "task-of-foxes", "0") == tuple(
        shown[label] for label in ("Model", "Units", "Task", "Index")
    )
    await expect(page.get_by_role("button", name="Previous picture")).to_be_hidden()

    await page.keyboard.press("ArrowRight")
    assert "1" == (await facts(page))["Index"]
    await page.keyboard.press("ArrowRight")
    await expect(viewer.get_by_role("heading")).to_have_text("an owl")
    await page.get_by_role("button", name="Next picture").click()
    await expect(page.locator("#trouble")).to_have_text("TaskFailed: no bears")
    await expect(page.locator("#large")).to_be_hidden()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#position")).to_have_text("4 of 4")
    await page.keyboard.press("ArrowLeft")
    await expect(page.locator("#large")).to_be_visible()

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


async def test_theme_follows_the_system_until_it_is_chosen(page: Page) -> None:
    """
    The button shows which it is, turns it over, and the choice is remembered.
    """
    button = page.get_by_role("button", name="Dark")
    is_dark = await button.get_attribute("aria-pressed") == "true"
    before = await ground(page)

    await button.click()
    assert before != await ground(page)
    await page.reload()
    await expect(button).to_have_attribute("aria-pressed", "false" if is_dark else "true")
    assert before != await ground(page)


async def ground(page: Page) -> object:
    return await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")


async def test_nothing_is_wider_than_the_window(page: Page) -> None:
    """
    Neither the grid nor an open picture needs scrolling sideways, and tiles have the shape of their pictures.
    """
    too_wide = "document.documentElement.scrollWidth > innerWidth"
    box = await page.locator(".tile").nth(2).bounding_box()

    assert not await page.evaluate(too_wide)
    assert box is not None
    assert 9 / 16 == pytest.approx(box["width"] / box["height"], rel=0.03)
    await page.locator(".tile").nth(2).click()
    assert not await page.evaluate(too_wide)
    box = await page.locator("#large").bounding_box()
    assert box is not None
    assert 9 / 16 == pytest.approx(box["width"] / box["height"], rel=0.01)


async def test_a_picture_that_has_gone_shows_its_thumbnail(browser: Browser, gallery: Path) -> None:
    """
    The page alone, sent to somebody, still shows what it has, and says so.
    """
    (gallery.parent / "owl.png").unlink()
    page = await browser.new_page()
    await page.goto(gallery.as_uri())
    await page.locator(".tile").nth(2).click()

    await expect(page.locator("#note")).to_contain_text("this is its thumbnail")
    thumbnail = await page.locator(".tile img").nth(2).get_attribute("src")
    await expect(page.locator("#large")).to_have_attribute("src", str(thumbnail))
    await page.close()
