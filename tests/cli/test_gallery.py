import json
import re
import sys
import webbrowser
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from kling_async import ImageRequest, TaskSnapshot, TaskStatus
from kling_async.batch.journal import Journal
from kling_async.batch.opening import Account
from kling_async.batch.records import NewRow
from kling_async.cli.gallery import entries_of
from kling_async.cli.task_board import TaskBoard
from kling_async.client.handle import TaskHandle
from kling_async.errors import DownloadFailed, NotSent
from kling_async.gallery import GalleryEntry
from kling_async.media.saved_files import SavedFile
from tests.cli.conftest import Command, Here
from tests.unit.gallery.conftest import read_data


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "foxes"
    folder.mkdir()
    Image.new("RGB", (64, 36)).save(folder / "fox.png")
    return folder


async def test_folder_becomes_a_page(command: Command, pictures: Path) -> None:
    """
    Beside its pictures and with the folder's name, and the page's path is all that is printed.
    """
    ended = await command("gallery", "foxes")

    page = (pictures / "gallery.html").read_text(encoding="utf-8")
    assert (0, "foxes/gallery.html\n", "") == (ended.code, ended.out, ended.err)
    assert "<title>foxes</title>" in page
    assert ["fox.png"] == [data["name"] for data in read_data(page)]


def test_page_elsewhere(here: Here, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `--output` and `--title` do as they say, and `--open` shows the page in the browser.
    """
    shown: list[str] = []

    def show(url: str) -> bool:
        shown.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", show)

    ended = here("gallery", "foxes", "--output", "page.html", "--title", "Red <foxes>", "--open")

    page = pictures.parent / "page.html"
    assert (0, "page.html\n", "") == (ended.code, ended.out, ended.err)
    assert [page.as_uri()] == shown
    assert "<title>Red &lt;foxes&gt;</title>" in page.read_text(encoding="utf-8")
    assert 'href="foxes/fox.png"' in page.read_text(encoding="utf-8")


def test_json(here: Here, pictures: Path) -> None:
    """
    With `--json` the output names the page and the number of files.
    """
    ended = here("gallery", "foxes", "--json")

    assert {"path": "foxes/gallery.html", "pictures": 1, "files": 1} == json.loads(ended.out)


def test_no_browser(here: Here, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where none is found the page is there all the same.
    """
    monkeypatch.setattr(webbrowser, "open", lambda _: False)

    ended = here("gallery", "foxes", "--open")

    assert (0, "foxes/gallery.html\n") == (ended.code, ended.out)
    assert "open the page yourself" in ended.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere"], "does not exist"),
        (["empty"], "no picture, video or sound in"),
        (
            ["foxes", "--output", "nowhere/page.html"],
            "the page 'nowhere/page.html' was not written: No such file or directory",
        ),
        (["foxes", "--output", "."], "the page '.' was not written: Is a directory"),
        (["foxes", "--output", ""], "the page '.' was not written: Is a directory"),
        (["foxes", "--output", "empty"], "the page 'empty' was not written: Is a directory"),
    ],
)
def test_wrong_usage(here: Here, pictures: Path, words: list[str], complaint: str) -> None:
    """
    Nothing, a folder without pictures, a page that cannot be written.
    """
    (pictures.parent / "empty").mkdir()

    ended = here("gallery", *words)

    assert (2, "") == (ended.code, ended.out)
    assert complaint in " ".join(ended.err.replace("│", "").split())
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("filters", ["default", "error"])
async def test_large_picture_is_shown_without_a_warning(command: Command, pictures: Path, filters: str) -> None:
    """
    Whatever the process does with warnings.
    """
    Image.new("1", (10_000, 9_500)).save(pictures / "large.png")

    ended = await command.with_env(PYTHONWARNINGS=filters)("gallery", str(pictures))

    assert (0, "") == (ended.code, ended.err)
    page = (pictures / "gallery.html").read_text(encoding="utf-8")
    assert "10000 \\u00d7 9500" in page
    assert "cannot be shown" not in page


async def test_journal_becomes_a_page(here: Here, pictures: Path, tmp_path: Path) -> None:
    """
    Beside it and with its name, and how much has not begun.
    """
    journal = await begin(tmp_path / "foxes.kling", 2)
    await journal.mark_sending(0, attempt=1, external_task_id=None, submit_key=None, now=2.0)
    journal.accept(0, "t", 3.0)
    await journal.finish(0, TaskSnapshot(task_id="t", task_status=TaskStatus.SUCCEEDED), 4.0)
    await journal.save(0, [SavedFile(0, pictures / "fox.png", 100, "00")], 5.0, is_all=True)

    ended = here("gallery", "foxes.kling")  # which is at work

    await journal.aclose()
    page = (tmp_path / "foxes.html").read_text(encoding="utf-8")
    assert (0, "foxes.html\n", "") == (ended.code, ended.out, ended.err)
    assert "<title>foxes</title>" in page
    assert "1 of 2 rows not sent yet" in page
    assert [("fox 0", "saved")] == [(data["name"], data["state"]) for data in read_data(page)]


async def begin(path: Path, rows: int) -> Journal:
    journal = Journal.open(path, Account("https://api.example", "gateway", lambda salt: salt))
    entries = [NewRow(request=ImageRequest(f"fox {number}")) for number in range(rows)]
    await journal.add(entries, await journal.begin_input(), 1.0)
    return journal


@pytest.mark.parametrize(
    ("source", "nearest"), [("foxes/fox.png", "'foxes'"), ("prompts.txt", "'prompts.txt.kling'"), ("other.txt", None)]
)
def test_file_that_is_no_journal(here: Here, pictures: Path, source: str, nearest: str | None) -> None:
    """
    The command says what it takes: a folder or a journal, and which one is near.
    """
    for name in ("prompts.txt", "prompts.txt.kling", "other.txt"):
        (pictures.parent / name).write_text("a fox\n")

    ended = here("gallery", source)

    told = " ".join(ended.err.replace("│", " ").split())
    assert (2, "") == (ended.code, ended.out)
    assert f"{source!r} is neither a folder with pictures, videos and sounds nor the journal of a batch" in told
    assert ([nearest] if nearest else []) == re.findall(r"did you mean ('[^']*')", told)


def test_journal_that_was_overwritten(here: Here, tmp_path: Path) -> None:
    """
    A file that is named as a journal, and is none, has its own exit code.
    """
    (tmp_path / "run.kling").write_text("a fox\n")

    ended = here("gallery", "run.kling")

    assert (7, "") == (ended.code, ended.out)
    assert "is not a journal of kling_async, or was overwritten" in ended.err


async def test_batch_that_has_not_begun(here: Here, tmp_path: Path) -> None:
    """
    There is nothing to show of it, and no page.
    """
    await (await begin(tmp_path / "run.kling", 1)).aclose()

    ended = here("gallery", "run.kling")

    assert (2, "") == (ended.code, ended.out)
    assert "no row of 'run.kling' has been sent" in ended.err
    assert not (tmp_path / "run.html").exists()


@pytest.mark.parametrize(
    ("module", "words"), [("PIL", ["gallery", "."]), ("jinja2", ["gallery", "."]), ("jinja2", ["demo"])]
)
def test_missing_extra(here: Here, monkeypatch: pytest.MonkeyPatch, module: str, words: list[str]) -> None:
    """
    Without what pages need the commands that write one name the way to get it, before anything is made.
    """
    monkeypatch.setitem(sys.modules, module, None)

    ended = here(*words)

    assert (2, "") == (ended.code, ended.out)
    assert 'pip install "kling-async[cli]"' in ended.err
    assert 1 == len(ended.err.splitlines())


def test_rows_become_entries() -> None:
    """
    An entry for each picture on the disk, and one for each task without; what is known of the task is with all of them.
    """
    times = iter([0.0, 1.0, 3.5, 4.0, 5.0, 6.0])
    requests = [ImageRequest("fox", n=2), ImageRequest("owl", n=2, model_name="kling-v2"), ImageRequest("bear")]
    board = TaskBoard.of(requests, lambda: next(times))
    fox, owl, bear = board.rows
    board.accept(fox, handle("f", Decimal(2)))
    board.finish(fox, {("image", 0): Path("f-0.png"), ("image", 1): Path("f-1.png")})
    board.accept(owl, handle("o", None))
    board.finish(owl, {("image", 1): Path("o-1.png")}, DownloadFailed("gone", "o"))
    board.fail(bear, NotSent("no way there"))

    first, second, saved, lost = entries_of(board.rows, 9.0, "kling-v1")

    assert first == GalleryEntry(
        path=Path("f-0.png"), prompt="fox", model_name="kling-v1", endpoint="image-generation", settings={"n": 2},
        index=0, task_id="f", seconds=2.5, units=Decimal(2),
    )  # fmt: skip
    assert (Path("f-1.png"), 1, Decimal(2)) == (second.path, second.index, second.units)
    assert (Path("o-1.png"), None, "kling-v2", "failed", "DownloadFailed: gone (task o)") == (
        saved.path, saved.index, saved.model_name, saved.state, saved.error
    )  # fmt: skip
    assert lost == GalleryEntry(
        prompt="bear",
        model_name="kling-v1",
        endpoint="image-generation",
        settings={"n": 1},
        state="failed",
        error="NotSent: no way there",
    )


def handle(task_id: str, units: Decimal | None) -> TaskHandle:
    made = TaskHandle(task_id, None, lambda _: None)
    made.apply(TaskSnapshot(task_id=task_id, task_status=TaskStatus.SUCCEEDED, final_unit_deduction=units))
    return made
