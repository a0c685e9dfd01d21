"""
Small pictures to show.
"""

import html
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from PIL import Image

from kling_async.batch.journal import Journal
from kling_async.batch.opening import Account
from kling_async.batch.records import NewRow
from kling_async.errors import SubmissionUncertain, TaskFailed
from kling_async.gallery import GalleryEntry, write_gallery
from kling_async.media.saved_files import SavedFile
from kling_async.wire.dialects import GATEWAY
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import Image as MadeImage, TaskOutput, TaskSnapshot, TaskStatus

Paint: TypeAlias = Callable[..., Path]


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """
    Put a picture of one colour at a path of its own below `tmp_path`.
    """
    return painter(tmp_path)


def painter(folder: Path) -> Paint:
    def paint(name: str, size: tuple[int, int] = (64, 36), colour: str = "teal", **saving: Any) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path, **saving)
        return path

    return paint


def write(folder: Path, *entries: GalleryEntry, title: str = "Pictures") -> str:
    """
    Return the page of *entries* that lies in *folder*.
    """
    write_gallery(entries, folder / "page.html", title=title)
    return (folder / "page.html").read_text(encoding="utf-8")


def read_data(page: str) -> list[dict[str, Any]]:
    """
    Return what the page's script is told of each entry, as a browser reads it.
    """
    return [json.loads(html.unescape(text)) for text in re.findall(r"data-of='([^']*)'", page)]


ACCOUNT: Final = Account("https://api.example", GATEWAY.name, lambda salt: salt)


async def begin_batch(folder: Path, paint: Paint) -> Journal:
    """
    Open a batch at work in *folder*: a fox saved, an owl finished, a bear failed, a newt uncertain, a mole accepted,
    and a hare queued.
    """
    journal = Journal.open(folder / "run.kling", ACCOUNT)
    requests = [
        ImageRequest(prompt, n=2, model_name="kling-v2" if "owl" in prompt else None)
        for prompt in ("a fox", "an owl", "a bear", "a newt", "a mole", "a hare")
    ]
    await journal.add([NewRow(request=request) for request in requests], await journal.begin_input(), 1.0)
    for position in range(5):
        await journal.mark_sending(position, attempt=1, external_task_id=None, submit_key=None, now=2.0)
    for position in (0, 1, 2, 4):
        journal.accept(position, f"task-{position}", 10.0)
    for position in (0, 1):
        await journal.finish(position, success(2), 17.5)
    paths = [paint(f"pictures/fox-{index}.png") for index in range(2)]
    pictures = [SavedFile(index, path, 100, "00") for index, path in enumerate(paths)]
    await journal.save(0, pictures, 18.0, is_all=True)
    await journal.fail(2, TaskFailed("no bears", "task-2"), None, 12.0, may_retry=False)
    await journal.mark_uncertain(3, SubmissionUncertain("nobody knows"))
    return journal


def success(images: int, units: int = 4) -> TaskSnapshot:
    made = tuple(MadeImage(index, f"https://pictures.example/{index}.png") for index in range(images))
    return TaskSnapshot(
        task_id="t",
        task_status=TaskStatus.SUCCEEDED,
        task_result=TaskOutput(made),
        final_unit_deduction=Decimal(units),
    )
