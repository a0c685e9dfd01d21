"""
How notebooks show the library's values.
"""

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from kling_async.client.outcomes import Done, Failed
from kling_async.errors import InvalidRequest, SubmissionUncertain
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.library import Element, Voice
from kling_async.wire.notebook_html import html_of
from kling_async.wire.tasks import (
    Audio,
    Image,
    TaskOutput,
    TaskResult,
    TaskSnapshot,
    TaskStatus,
    Video,
)
from tests.fakes.html_reader import HOSTILE, Reader

SIGNED = "https://cdn.klingai.com/0.png?Signature=c2VjcmV0"
SNAPSHOT = TaskSnapshot(
    task_id="t-1",
    task_status=TaskStatus.SUCCEEDED,
    status_word="succeed",
    task_result=TaskOutput((Image(0, SIGNED, SIGNED),)),
    final_unit_deduction=Decimal(8),
)
RESULT = TaskResult("t-1", SNAPSHOT.task_result.images, SNAPSHOT)


def test_result_shows_its_pictures() -> None:
    """
    In a notebook, by their URLs, of which nothing is text.
    """
    page = Reader(RESULT._repr_html_())

    assert [SIGNED] == [image["src"] for image in page.all("img")]
    assert "1 picture · 8 units · task t-1" == page.text


def test_result_without_pictures_is_shown_too() -> None:
    """
    One that was made by hand, or that a service left empty.
    """
    page = Reader(attrs.evolve(RESULT, images=())._repr_html_())

    assert [] == page.all("img")
    assert page.text.startswith("0 files")


def test_many_pictures_are_all_shown() -> None:
    """
    Each is fetched when it comes into sight.
    """
    images = tuple(Image(index, f"https://cdn/{index}.png") for index in range(200))
    page = Reader(attrs.evolve(RESULT, images=images)._repr_html_())

    assert [image.url for image in images] == [image["src"] for image in page.all("img")]


def test_outcome_shows_its_prompt_and_files() -> None:
    """
    The prompt is what each picture is of; a file is named without its folders, which are this machine's affair.
    """
    done = Done(3, "k", ImageRequest(HOSTILE, aspect_ratio="16:9"), RESULT, (Path("/home/me/pictures/t-1-0.png"),))
    page = Reader(done._repr_html_())

    assert [(SIGNED, HOSTILE)] == [(image["src"], image["alt"]) for image in page.all("img")]
    assert f"{HOSTILE}#3 · 16:9 · 1 picture · 8 units · task t-1t-1-0.png" == page.text


def test_failure_shows_what_it_means() -> None:
    """
    The request, the error's class and words, and what the class says of it; no pictures.
    """
    error = SubmissionUncertain("no answer", request_id="r-1")
    page = Reader(Failed(3, None, ImageRequest("a fox"), error)._repr_html_())

    assert [] == page.all("img")
    assert "a fox● SubmissionUncertainno answer (request r-1)#3A submit may have been accepted" in page.text
    assert page.text.endswith(
        "It is never sent again automatically. Look for the task in the vendor's console, or "
        "submit the request again and accept that it may be paid for twice."
    )


@pytest.mark.parametrize(("request_", "title"), [(None, ""), (ImageRequest(5), "5")])  # type: ignore[arg-type]
def test_failure_of_no_request_is_shown_too(request_: ImageRequest | None, title: str) -> None:
    """
    What was asked for may have been no request at all, or one with a prompt that is none.
    """
    page = Reader(Failed(0, None, request_, InvalidRequest(HOSTILE))._repr_html_())

    assert page.text.startswith(f"{title}● InvalidRequest{HOSTILE}")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"task_status": TaskStatus.SUBMITTED, "status_word": "submitted"}, "● submittedtask t-1"),
        ({"task_status": TaskStatus.UNKNOWN, "status_word": "painting"}, "● paintingtask t-1"),
        ({"task_status": TaskStatus.PROCESSING}, "● processingtask t-1"),
        (
            {"task_status": TaskStatus.FAILED, "status_word": "failed", "task_status_msg": "no <foxes>"},
            "● failedno <foxes>after 12.5 stask t-1".replace("stask", "s · task"),
        ),
    ],
)
def test_snapshot_shows_the_state(changes: dict[str, Any], text: str) -> None:
    """
    The service's word, its reason, and how long the task took once that is over.
    """
    start = dt.datetime(2025, 1, 2, tzinfo=dt.UTC)
    bare = TaskSnapshot(
        task_id="t-1",
        task_status=TaskStatus.SUBMITTED,
        created_at=start,
        updated_at=start + dt.timedelta(seconds=12.5),
    )

    assert text == Reader(attrs.evolve(bare, **changes)._repr_html_()).text


MEDIA: Final = attrs.evolve(
    RESULT,
    images=(),
    videos=(Video(0, "https://cdn/0.mp4?Signature=secret", duration=5.0),),
    audios=(Audio(0, "https://cdn/0.mp3?Signature=secret"),),
)


def test_unsaved_videos_and_sounds_are_links() -> None:
    """
    Nothing is loaded for them, and their addresses are not text.
    """
    page = Reader(MEDIA._repr_html_())

    assert ["https://cdn/0.mp4?Signature=secret", "https://cdn/0.mp3?Signature=secret"] == [
        link["href"] for link in page.all("a")
    ]
    assert {"noopener noreferrer"} == {link["rel"] for link in page.all("a")}
    assert [] == page.all("video") + page.all("audio") + page.all("img")
    assert page.text.startswith("1 video · 1 sound")
    assert "Open the video5 s" in page.text
    assert "secret" not in page.text


def test_saved_videos_and_sounds_are_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    From the disk, and by their URLs where the page does not find the files. Nothing is loaded before.
    """
    monkeypatch.chdir(tmp_path)
    paths = (tmp_path / "out" / "100% fox.mp4", Path("rain.mp3"))
    page = Reader(Done(0, None, ImageRequest(HOSTILE), MEDIA, paths)._repr_html_())

    assert ["none", "none"] == [each["preload"] for each in page.all("video") + page.all("audio")]
    assert {HOSTILE} == {each["aria-label"] for each in page.all("video") + page.all("audio")}
    assert [
        "out/100%25%20fox.mp4",
        "https://cdn/0.mp4?Signature=secret",
        "rain.mp3",
        "https://cdn/0.mp3?Signature=secret",
    ] == [each["src"] for each in page.all("source")]
    assert "100% fox.mp4" in page.text
    assert "secret" not in page.text
    assert str(tmp_path) not in page.text


@pytest.mark.parametrize("path", ["/elsewhere/fox.mp4", "../fox.mp4", "a/../../fox.mp4"])
def test_file_that_the_page_cannot_reach_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """
    A notebook's page sees what is at or below its folder.
    """
    monkeypatch.chdir(tmp_path)
    page = Reader(Done(0, None, ImageRequest("a fox"), MEDIA, (Path(path),))._repr_html_())

    assert ([], 2) == (page.all("source"), len(page.all("a")))
    assert "fox.mp4" in page.text


def test_voices_and_elements_are_named() -> None:
    """
    In place of files.
    """
    made = TaskOutput(voices=(Voice("v-1", "narrator"),), elements=(Element(7),))
    result = TaskResult.of(attrs.evolve(SNAPSHOT, task_result=made))
    values = (result, result.snapshot, Done(0, None, ImageRequest("a fox"), result))

    pages = [Reader(html_of(value)).text for value in values]

    assert [] == [page for page in pages if "voice v-1 narrator" not in page or "element 7" not in page]
    assert [] == [page for page in pages if "0 files" in page]


def test_value_without_a_drawing_is_its_repr() -> None:
    """
    Escaped, as all text is.
    """
    page = Reader(html_of(HOSTILE))

    assert repr(HOSTILE) == page.text
    assert [] == page.all("script")


def test_drawings_are_loaded_with_the_first_value_that_is_shown() -> None:
    """
    Programs without notebooks load neither the drawings nor what they need; nothing here needs IPython.
    """
    program = """
import sys, kling_async
drawings = "kling_async.integrations.value_cards"
before = drawings in sys.modules
handle = kling_async.TaskHandle("t-1", None, None)
print(before, drawings in sys.modules, "not seen yet" in handle._repr_html_(), "IPython" in sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "False False True False" == shown.stdout.strip()
