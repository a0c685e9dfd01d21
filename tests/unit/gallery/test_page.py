import base64
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import attrs
import pytest

from kling_async.gallery import GalleryEntry, write_gallery
from tests.unit.gallery.conftest import Paint, read_data, write

TIMES: Final = "\N{MULTIPLICATION SIGN}"
EVIL: Final = """</script><script>alert(1)</script>'"><img src=x onerror=alert(2)> {{ 7 * 7 }} & \u2028 ü"""


def test_page_needs_nothing_but_itself(paint: Paint, tmp_path: Path) -> None:
    """
    Style, script and thumbnails are inside; no address of another host is in it.
    """
    page = write(tmp_path, GalleryEntry(path=paint("a.png"), prompt="a fox"))

    assert "http" not in page.replace("http-equiv", "")
    assert ['<link rel="icon" href="data:,"'] == re.findall(r"<link[^>]*|@import|\bfetch\(|<iframe|<script src", page)
    assert ['src="data:image/webp;base64'] == re.findall(r'src="[^",]+', page)


def test_policy_allows_this_script_and_style_alone(paint: Paint, tmp_path: Path) -> None:
    """
    The policy has the fingerprints of both, and what it does not name it forbids.
    """
    page = write(tmp_path, GalleryEntry(path=paint("a.png")))
    policy = re.findall(r'Content-Security-Policy" content="(.*?)"', page)[0].replace("&#39;", "'")

    assert policy.startswith("default-src 'none'; ")
    for element, directive in (("style", "style-src-elem"), ("script", "script-src")):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy.split("; ")


def test_prompts_cannot_become_html(paint: Paint, tmp_path: Path) -> None:
    """
    Whatever comes from outside is text: in the tile, in its description and in what the script reads.
    """
    settings = {"image": EVIL}
    entry = GalleryEntry(
        path=paint("a.png"), prompt=EVIL, negative_prompt=EVIL, model_name=EVIL, settings=settings, task_id=EVIL,
        state=EVIL, error=EVIL,
    )  # fmt: skip
    page = write(tmp_path, entry, attrs.evolve(entry, path=None), title=EVIL)

    assert [1, 1] == [page.count("<script>"), page.count("</script>")]
    assert ["img src=", "img id="] == re.findall(r"<(img \w+=)", page)
    for data in read_data(page):
        assert [EVIL] * 4 == [data[name] for name in ("name", "negative", "model", "state")]
        assert ["Image", EVIL] in data["facts"]
        assert EVIL == data["trouble"]


def test_facts_are_told_in_words(paint: Paint, tmp_path: Path) -> None:
    """
    What is known, with its units, and nothing of what is not.
    """
    full = GalleryEntry(
        path=paint("a.png", (640, 360)), prompt="a fox", negative_prompt="snow", model_name="kling-v2", index=1,
        endpoint="image-generation", settings={"aspect_ratio": "16:9", "n": 2}, task_id="t-1",
        seconds=12.34, units=Decimal("2.50"),
    )  # fmt: skip
    page = write(tmp_path, full, GalleryEntry(path=paint("b.png")))
    known, unknown = read_data(page)

    assert {
        "Model": "kling-v2", "Endpoint": "image-generation",
        "Aspect ratio": "16:9", "Pictures": "2", "Size": f"640 {TIMES} 360", "Index": "1",
        "State": "done", "Took": "12.3 s", "Units": "2.5 for 2 pictures", "Task": "t-1", "File": "a.png",
    } == dict(known["facts"])  # fmt: skip
    assert ("a fox", True, "snow", [640, 360]) == tuple(
        known[name] for name in ("name", "is_prompt", "negative", "size")
    )
    assert {"Size": f"64 {TIMES} 36", "State": "done", "File": "b.png"} == dict(unknown["facts"])
    assert ("b.png", False, None) == tuple(unknown[name] for name in ("name", "is_prompt", "negative"))
    assert re.findall(r'alt="([^"]+)"', page) == ["a fox", "b.png"]


def test_bill_counts_each_task_once(paint: Paint, tmp_path: Path) -> None:
    """
    In units and in cash; a page that knows no bill shows none.
    """
    two = GalleryEntry(path=paint("a.png"), task_id="t-1", units=Decimal("16.0"))
    other = GalleryEntry(path=paint("b.png"), task_id="t-2", units=Decimal(8), cash=Decimal("0.028"))
    free = GalleryEntry(path=paint("c.png"), task_id="t-3")
    failed = GalleryEntry(task_id="t-4", units=Decimal(0), state="failed")

    assert '<p id="bill">Billed: 24 units and 0.028 in cash for 3 tasks</p>' in write(
        tmp_path, two, attrs.evolve(two, path=paint("d.png")), other, free, failed
    )
    assert '<p id="bill">' not in write(tmp_path, free, failed)
    assert '"Cash", "0.028"' in write(tmp_path, other)


@pytest.mark.parametrize(
    ("name", "page", "shown"),
    [("one/a.png", "page.html", "one/a.png"), ("a.png", "pages/page.html", "a.png"), ("a.png", "page.html", "a.png")],
)
def test_files_below_the_page_are_named_with_their_folders(
    paint: Paint, tmp_path: Path, name: str, page: str, shown: str
) -> None:
    """
    So that a search for a folder finds what is in it; those elsewhere have their bare names.
    """
    (tmp_path / "pages").mkdir()
    write_gallery([GalleryEntry(path=paint(name))], tmp_path / page)

    (data,) = read_data((tmp_path / page).read_text(encoding="utf-8"))

    assert shown == dict(data["facts"])["File"]


def test_failed_task_and_damaged_file_have_a_place(tmp_path: Path) -> None:
    """
    What went wrong is shown where the picture would be.
    """
    (tmp_path / "x.png").write_bytes(b"no picture")

    page = write(tmp_path, GalleryEntry(prompt="a fox", state="failed", error="TaskFailed: no foxes"),
                 GalleryEntry(path=tmp_path / "x.png"))  # fmt: skip

    assert [
        "TaskFailed: no foxes",
        "The file cannot be shown: it is damaged, or not a PNG, JPEG, WebP or GIF picture",
    ] == [data["trouble"] for data in read_data(page)]
    assert 2 == page.count('<button class="tile card"')


@pytest.mark.parametrize(
    ("name", "page", "href"),
    [
        ("a.png", "page.html", "a.png"),
        ("pictures/one/a.png", "page.html", "pictures/one/a.png"),
        ("pictures/a.png", "pages/of/page.html", "../../pictures/a.png"),
        ("100% ü #1?.png", "page.html", "100%25%20%C3%BC%20%231%3F.png"),
        ("javascript:alert(1).png", "page.html", "javascript%3Aalert%281%29.png"),
    ],
)
def test_links_lead_from_the_page_to_the_picture(
    paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, page: str, href: str
) -> None:
    """
    Relative ones, whatever the folder that the program works in, so that page and pictures can move together.
    """
    path = paint(name)
    (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path)

    write_gallery([GalleryEntry(path=path.relative_to(tmp_path))], page)

    assert [href] == re.findall(r'class="tile" href="(.*?)"', Path(page).read_text(encoding="utf-8"))


def test_picture_on_another_drive_shows_its_thumbnail(
    paint: Paint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    On Windows there may be no way from the page to the picture.
    """

    def relpath(*_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", relpath)
    page = write(tmp_path, GalleryEntry(path=paint("a.png")))

    assert 1 == page.count('<button class="tile" type="button"><img src="data:')


def test_order_is_kept_and_entries_are_read_as_they_are_needed(paint: Paint, tmp_path: Path) -> None:
    """
    Any iterable will do; of many entries only some are in memory at a time.
    """
    path = paint("a.png")
    alive, most = 0, 0

    @attrs.frozen(kw_only=True, hash=False)
    class Counted(GalleryEntry):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def entries() -> Iterator[GalleryEntry]:
        nonlocal alive, most
        for number in range(300):
            alive += 1
            most = max(most, alive)
            yield Counted(path=path, prompt=f"fox {number}")

    write_gallery(entries(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert [f"fox {number}" for number in range(300)] == [data["name"] for data in read_data(page)]
    assert most < 100


def test_page_is_whole_or_as_it_was(paint: Paint, tmp_path: Path) -> None:
    """
    Where the entries break off, the page of before stays, and nothing is left beside it.
    """
    path = paint("a.png")
    write(tmp_path, GalleryEntry(path=path, prompt="before"))

    def broken() -> Iterator[GalleryEntry]:
        yield GalleryEntry(path=path)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_gallery(broken(), tmp_path / "page.html")

    assert ["before"] == [data["name"] for data in read_data((tmp_path / "page.html").read_text(encoding="utf-8"))]
    assert {"a.png", "page.html"} == {path.name for path in tmp_path.iterdir()}


def test_text_that_is_no_unicode_is_shown_as_far_as_it_goes(paint: Paint, tmp_path: Path) -> None:
    """
    A prompt with half a character breaks no page of others.
    """
    page = write(tmp_path, GalleryEntry(path=paint("a.png"), prompt="fox \ud83e"))

    assert 'alt="fox ?"' in page


@pytest.mark.parametrize("module", ["jinja2", "PIL"])
def test_missing_extra_names_the_command(module: str) -> None:
    """
    Without what it needs the gallery says how to get it.
    """
    program = f"import sys; sys.modules['{module}'] = None; import kling_async.gallery"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert f'ImportError: the gallery needs {module}: pip install "kling-async[gallery]"' in ended.stderr
