import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from kling_async import Done, Element, Failed, Image, ImageRequest, TaskResult, TaskSnapshot, TaskStatus, Voice
from kling_async.cli.json_output import moment_of, number_of, outcome_line, row_line, seconds_of, status_of, task_facts
from kling_async.cli.task_board import TaskBoard
from kling_async.client.handle import TaskHandle
from kling_async.errors import (
    DownloadFailed,
    KlingError,
    SubmissionUncertain,
    TaskFailed,
    UnexpectedAnswer,
    WaitTimeout,
)
from kling_async.media.saved_files import SavedFile
from kling_async.wire.tasks import Audio, TaskInfo, TaskOutput, Video

NOON: Final = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
FOX: Final = ImageRequest("a fox in München")
SEEN: Final = TaskSnapshot(
    task_id="t-1",
    task_status=TaskStatus.SUCCEEDED,
    status_word="SUCCEED",
    task_status_msg="well done",
    task_result=TaskOutput((Image(0, "http://x/0.png"), Image(1, "http://x/1.png"))),
    task_info=TaskInfo("mine-1"),
    created_at=NOON,
    updated_at=NOON + dt.timedelta(seconds=7.25),
    final_unit_deduction=Decimal("2.5"),
)
RESULT: Final = TaskResult("t-1", SEEN.task_result.images, SEEN)
FACTS: Final[dict[str, Any]] = {
    "endpoint": "image-generation",
    "task_id": "t-1",
    "external_task_id": "mine-1",
    "status": "succeed",
    "message": "well done",
    "created_at": moment_of(NOON.timestamp()),
    "updated_at": moment_of(NOON.timestamp() + 7.25),
    "seconds": 7.25,
    "images": [
        {"index": 0, "url": "http://x/0.png", "path": None},
        {"index": 1, "url": "http://x/1.png", "path": "1.png"},
    ],
    "files": [
        {"kind": "image", "index": 0, "url": "http://x/0.png", "path": None},
        {"kind": "image", "index": 1, "url": "http://x/1.png", "path": "1.png"},
    ],
    "units": 2.5,
    "cash": None,
    "error": None,
}


def test_task() -> None:
    """
    A task is told in one and the same way, whatever was done with it.
    """
    assert FACTS == task_facts("t-1", SEEN, endpoint="image-generation", files={("image", 1): Path("1.png")})


def test_files_of_other_kinds() -> None:
    """
    Videos and sounds are files too, and "images" has none of them.
    """
    output = TaskOutput(videos=(Video(0, "http://x/0.mp4"),), audios=(Audio(0, "http://x/0.mp3"),))
    seen = attrs.evolve(SEEN, task_result=output)
    facts = task_facts("t-1", seen, endpoint="video-to-audio", files={("video", 0): Path("0.mp4")})

    assert [] == facts["images"]
    assert [
        {"kind": "video", "index": 0, "url": "http://x/0.mp4", "path": "0.mp4"},
        {"kind": "audio", "index": 0, "url": "http://x/0.mp3", "path": None},
    ] == facts["files"]


def test_voices_and_elements() -> None:
    """
    They are no files, so they have lists of their own, which other tasks do not have.
    """
    made = TaskOutput(voices=(Voice("v-1", "narrator"),), elements=(Element(829836802793406551, "fox"),))

    facts = json.loads(json.dumps(task_facts("t-1", attrs.evolve(SEEN, task_result=made), endpoint="custom-voice")))

    assert [] == facts["files"]
    assert ("v-1", 829836802793406551) == (facts["voices"][0]["voice_id"], facts["elements"][0]["element_id"])
    assert {"voices", "elements"}.isdisjoint(task_facts("t-1", SEEN, endpoint="image-generation"))


def test_unseen_task() -> None:
    """
    What was never seen has the same fields, and the error tells why.
    """
    facts = task_facts("t-1", None, endpoint="image-generation", error=KlingError("no", "t-1"))

    assert FACTS.keys() == facts.keys()
    assert {"class": "KlingError", "message": "no (task t-1)"} == facts["error"]
    assert {"endpoint", "task_id", "images", "files", "error"} == {
        name for name, value in facts.items() if value is not None
    }


def test_row() -> None:
    """
    A row of a board is its task, with its number and prompt, in ASCII.
    """
    board = TaskBoard.of([FOX])
    (row,) = board.rows
    handle = TaskHandle("t-1", None, lambda _: None)
    handle.apply(SEEN)
    board.accept(row, handle)
    board.finish(row, {("image", 1): Path("1.png")})

    line = row_line(row)

    assert line.isascii()
    assert {"number": 1, "prompt": FOX.prompt, **FACTS} == json.loads(line)


def test_outcome() -> None:
    """
    An outcome of a batch is its task, with its place and key.
    """
    paths = (Path("0.png"), Path("1.png"))
    images = [{**image, "path": str(path)} for image, path in zip(FACTS["images"], paths, strict=True)]
    files = [{"kind": "image", **image} for image in images]

    pictures = tuple(SavedFile(index, path, 100, "00") for index, path in enumerate(paths))
    line = outcome_line(Done(4, "fox", FOX, RESULT, paths, files=pictures))

    assert {"index": 4, "key": "fox", "prompt": FOX.prompt, **FACTS, "images": images, "files": files} == json.loads(
        line
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TaskFailed("no", "t-1", snapshot=SEEN), {"task_id": "t-1", "status": "succeed"}),
        (WaitTimeout("later", "t-1", snapshot=SEEN), {"task_id": "t-1", "status": "succeed"}),
        (
            DownloadFailed("gone", "t-1", paths=(Path("1.png"),)),
            {"images": [{"index": None, "url": None, "path": "1.png"}]},
        ),
        (
            SubmissionUncertain("lost", request=attrs.evolve(FOX, external_task_id="mine-2")),
            {"task_id": None, "external_task_id": "mine-2"},
        ),
        (
            UnexpectedAnswer("no task", urls=("https://x/0.png?Signature=a",)),
            {
                "error": {
                    "class": "UnexpectedAnswer",
                    "message": "no task",
                    "urls": ["https://x/0.png?Signature=a"],
                }
            },
        ),
    ],
)
def test_failed_outcome(error: KlingError, expected: dict[str, Any]) -> None:
    """
    Where it did not end well, all that the error knows is told.
    """
    line = json.loads(outcome_line(Failed(0, None, FOX, error)))

    assert type(error).__name__ == line["error"]["class"]
    assert expected == {name: line[name] for name in expected}


def test_numbers_and_words() -> None:
    """
    Units are whole where they are, and a word that this version does not know is told as it came.
    """
    unknown = TaskSnapshot(task_id="t", task_status=TaskStatus.UNKNOWN, status_word="resting")

    assert (None, 2, 2.5) == (number_of(None), number_of(Decimal("2.0")), number_of(Decimal("2.5")))
    assert (None, "resting", "succeed") == (status_of(None), status_of(unknown), status_of(SEEN))
    assert (None, None, 7.25) == (seconds_of(None), seconds_of(unknown), seconds_of(SEEN))
