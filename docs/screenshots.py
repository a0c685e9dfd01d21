"""
Makes the screenshots of these pages: the demo and the doctor in a terminal, and galleries of the demo and of videos.

    python docs/screenshots.py

Each command runs in a pseudo terminal. pyte reads its screen, and the system's Chromium draws it and the gallery. The
same seed gives the same images; only the times of a run vary.
"""

import asyncio
import contextlib
import fcntl
import html
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import pyte
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from kling_async import OFFICIAL, Batch, Done, ImageRequest, KlingClient, TextToVideo
from kling_async.emulator import Emulator
from kling_async.emulator.filming.sounds import write_wav
from kling_async.gallery import GalleryEntry, read_journal, write_gallery

IMAGES: Final = Path(__file__).parent / "images"
COLUMNS: Final = 100
LARGEST: Final = 300_000
"""
Maximum bytes of a screenshot.
"""

DEMO: Final = ("demo", "--count", "24", "--seed", "7", "--latency", "1:4")
DOCTOR: Final = ("doctor", "--dialect", "official")
HALF: Final = "12/25 tasks"

DESK: Final = {"width": 1120, "height": 700}
PHONE: Final = {"width": 390, "height": 780}


@attrs.frozen
class Screen:
    """
    The content of a terminal: lines of pieces, each a text and its style as CSS.
    """

    lines: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def text(self) -> str:
        return "\n".join("".join(text for text, _ in line) for line in self.lines)


class _Screen(pyte.Screen):
    """
    Supports dim text, which pyte does not: it is grey here.
    """

    def select_graphic_rendition(self, *codes: int, **private: bool) -> None:
        if not {38, 48} & set(codes):  # they would be part of a colour
            codes = tuple(90 if code == 2 else code for code in codes)
        super().select_graphic_rendition(*codes, **private)


def run_in_terminal(
    words: tuple[str, ...], folder: Path, rows: int, environment: Mapping[str, str], code: int = 0
) -> Iterator[Screen]:
    """
    Run `kling-async` in a terminal with *rows* lines, and yield its screen after each change. It must end with the exit
    *code*.
    """
    screen = _Screen(COLUMNS, rows)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
    ours_alone = {name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV") if name in os.environ}
    with subprocess.Popen(  # noqa: S603 (our own command)
        (sys.executable, "-m", "kling_async", *words),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**ours_alone, **environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    ) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # the end of a terminal
            while data := os.read(ours, 65_536):
                stream.feed(data)
                yield _read(screen)
    os.close(ours)
    assert process.returncode == code, screen.display


def _read(screen: pyte.Screen) -> Screen:
    lines = []
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        lines.append(tuple((cell.data, _style(cell)) for cell in cells))
    while lines and not "".join(text for text, _ in lines[-1]).strip():
        lines.pop()
    return Screen(tuple(lines))


_COLOURS: Final = {
    "default": "#d8d5cf", "black": "#6b6862", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341",
    "blue": "#79c0ff", "magenta": "#d2a8ff", "cyan": "#76d9e6", "white": "#f5f3ef", "brightblack": "#8b8780",
}  # fmt: skip


def _style(cell: pyte.screens.Char) -> str:
    style = f"color:{_COLOURS.get(cell.fg, f'#{cell.fg}')}"
    return style + (";font-weight:bold" if cell.bold else "")


def draw(browser: Browser, command: str, screen: Screen, name: str) -> None:
    """
    Draw *screen* as a window, with the *command* above it.
    """
    typed = f'<span style="color:#7ee787">$</span> {html.escape(command)}'
    lines = ["".join(f'<span style="{style}">{html.escape(text)}</span>' for text, style in _joined(line))
             for line in screen.lines]  # fmt: skip
    page = browser.new_page(device_scale_factor=1.5, viewport={"width": 1000, "height": 800})
    page.set_content(WINDOW.replace("{text}", "\n".join([typed, *lines])))
    keep(page.locator("#window").screenshot(omit_background=True), name, of_text)
    page.close()


def _joined(line: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    text, style = "", ""
    for piece, its_style in line:
        if its_style != style:
            yield text, style
            text, style = "", its_style
        text += piece
    yield text.rstrip(), style


WINDOW: Final = """
<style>
body { margin: 0; background: transparent; }
#window { display: inline-block; margin: 0; border-radius: 12px; background: #1b1b1a; overflow: hidden; }
#bar { height: 34px; background: #2a2a28; }
#bar::before {
  content: ""; position: absolute; margin: 11px 14px; width: 12px; height: 12px; border-radius: 6px;
  background: #e5695e; box-shadow: 20px 0 #e0b04c, 40px 0 #62b455;
}
pre { margin: 0; padding: 14px 20px 20px; color: #d8d5cf; font: 14px/1.36 "DejaVu Sans Mono", monospace; }
</style>
<div id="window"><div id="bar"></div><pre>{text}</pre></div>
"""


def keep(png: bytes, name: str, forms: Callable[[Image.Image], Iterator[Image.Image]]) -> None:
    """
    Save a screenshot in the first of its *forms* that is small enough.
    """
    path = IMAGES / f"{name}.png"
    with Image.open(io.BytesIO(png)) as picture:
        for form in forms(picture):
            form.save(path, optimize=True)
            if path.stat().st_size < LARGEST:
                break
    print(f"{path.name}: {form.width} x {form.height}, {form.mode}, {path.stat().st_size:,} bytes")


def of_text(picture: Image.Image) -> Iterator[Image.Image]:
    yield picture.convert("RGBA").quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def of_pictures(picture: Image.Image) -> Iterator[Image.Image]:
    whole = picture.convert("RGB")
    yield whole
    for colours in (256, 128, 64):
        palette = whole.quantize(colours, Image.Quantize.MEDIANCUT)
        yield whole.quantize(colours, palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def shoot_gallery(browser: Browser, page_path: Path) -> None:
    """
    Take the screenshots of a gallery page.
    """
    with opened(browser, page_path, DESK, "light") as page:
        keep(page.screenshot(), "gallery-light", of_pictures)
        page.locator(".tile").nth(2).click()
        page.wait_for_function('document.querySelector("#viewer img")?.naturalWidth > 0')
        keep(page.screenshot(), "gallery-open", of_pictures)
    with opened(browser, page_path, DESK, "dark") as page:
        keep(page.screenshot(), "gallery-dark", of_pictures)
    with opened(browser, page_path, PHONE, "light", is_phone=True) as page:
        keep(page.screenshot(), "gallery-phone", of_pictures)


FILMS: Final = (
    TextToVideo("a lighthouse at dusk, the camera moves slowly", duration=5),
    TextToVideo("fog between the trees of a forest", duration=5, aspect_ratio="9:16"),
    ImageRequest("an island at dawn"),
    TextToVideo("birds over the sea", duration=10),
    ImageRequest("a meadow in spring", aspect_ratio="1:1"),
)


async def make_films(folder: Path) -> Path:
    """
    Have the emulator make videos and pictures, and return the page that shows them, with a melody among them.
    """
    async with (
        Emulator(dialect=OFFICIAL, latency=(0.05, 0.1), seed=7) as server,
        KlingClient(server.api_key, base_url=server.url, dialect=OFFICIAL) as client,
        Batch(folder / "films.kling", client) as batch,
    ):
        await batch.add(FILMS)
        async for outcome in batch.run(save_to=folder / "films"):
            assert isinstance(outcome, Done), outcome
    melody = folder / "films" / "melody.wav"
    melody.write_bytes(write_wav(8.0, seed=7))
    entries = list(read_journal(folder / "films.kling"))
    entries.insert(4, GalleryEntry(path=melody, prompt="a melody on a plucked string", state="saved"))
    write_gallery(entries, folder / "films.html", title="Videos and sounds")
    return folder / "films.html"


def shoot_films(browser: Browser, page_path: Path) -> None:
    """
    Take the screenshot of a gallery with a video that plays.
    """
    with opened(browser, page_path, DESK, "light") as page:
        page.locator(".media").first.click()
        page.wait_for_function('document.querySelector(".tile video")?.currentTime > 1.5')
        keep(page.screenshot(), "gallery-media", of_pictures)


SHOWN: Final = """
() => [...document.querySelectorAll(".tile img")]
  .filter((image) => image.getBoundingClientRect().top < innerHeight)
  .every((image) => image.complete && image.naturalWidth)
"""


@contextlib.contextmanager
def opened(
    browser: Browser, path: Path, viewport: dict[str, int], scheme: str, *, is_phone: bool = False
) -> Iterator[Page]:
    context = browser.new_context(
        viewport=viewport,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
        is_mobile=is_phone,
        has_touch=is_phone,
        bypass_csp=True,  # the page's policy blocks the script that waits for images
    )
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_function(SHOWN)
    yield page
    context.close()


@contextlib.contextmanager
def emulated() -> Iterator[str]:
    """
    Run the emulator at its default port, with the vendor's dialect.
    """
    words = (sys.executable, "-m", "kling_async", "emulator", "--dialect", "official")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 (our own command)
        assert process.stdout is not None
        greeting = process.stdout.readline()
        yield re.findall(r"http://\S+", greeting)[0]
        process.terminate()


def first(screens: Iterator[Screen], is_it: Callable[[Screen], bool]) -> tuple[Screen, Screen]:
    """
    Return the first screen for which *is_it* is true, and the last one.
    """
    found = None
    last = Screen(())
    for last in screens:
        if found is None and is_it(last):
            found = last
    assert found is not None, last.text
    return found, last


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no Chromium found; install it with the system's package manager")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        films = asyncio.run(make_films(Path(name)))  # before Playwright, which has a loop of its own in this thread
        shoot_all(chromium, Path(name), films)


def shoot_all(chromium: str, folder: Path, films: Path) -> None:
    """
    Take all screenshots; commands run in *folder*.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        command = " ".join(("kling-async", *DEMO))
        at_work, end = first(run_in_terminal(DEMO, folder, 44, {}), lambda screen: HALF in screen.text)
        draw(browser, command, at_work, "demo-at-work")
        draw(browser, command, end, "demo")
        with emulated() as url:
            wrong = {"KLING_BASE_URL": url, "KLING_API_KEY": "sk-of-somebody-else", "KLING_ACCESS_KEY": "half-a-pair"}
            *_, findings = run_in_terminal(DOCTOR, folder, 40, wrong, code=3)
        draw(browser, " ".join(("kling-async", *DOCTOR)), findings, "doctor")
        shoot_gallery(browser, folder / "pictures" / "demo.html")
        shoot_films(browser, films)
        browser.close()


if __name__ == "__main__":
    main()
