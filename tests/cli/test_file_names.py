"""
`--name` of the commands that save files: numbers and words of the prompts, as the demo names its files.
"""

import shlex
from pathlib import Path

import attrs
import pytest

from kling_async.emulator import faults
from tests.cli.conftest import Here, ServedBy
from tests.fakes.batches import files_in

READABLE = "{number:02}-{prompt}-{index}{ext}"


def test_pictures_are_named_by_number_and_prompt(served: ServedBy) -> None:
    """
    In the order of the command line, also for equal prompts.
    """
    kling = served()

    ended = kling("generate", "A fox in snow", "a fox in snow", "", "-n", "2", "--name", READABLE)
    assert (2, "") == (ended.code, ended.out)

    ended = kling("generate", "A fox in snow", "a fox in snow", "-n", "2", "--name", READABLE)

    assert 0 == ended.code
    assert [f"0{number}-a-fox-in-snow-{index}.png" for number in (1, 2) for index in (0, 1)] == files_in(
        Path("pictures")
    )


def test_other_commands_take_it_too(served: ServedBy) -> None:
    """
    The prompt of a task of another run is not known: its id stands for it.
    """
    kling = served()
    kling.has("done-1", "done-2")
    picture = "data:image/png;base64,x"

    ended = [
        kling("run", "image-generation", "prompt=a paper boat", "--name", "{number}-{prompt}{ext}"),
        kling("video", "a paper boat", "-d", "3", "--name", "{prompt}/{number}{ext}"),
        kling("save", "done-1", "done-2", "--name", "{number}-{prompt}-{index}{ext}"),
        kling("wait", "done-2", "--save", "--name", "again-{number}-{prompt}-{index}{ext}"),
        kling("run", "image-generation", "prompt=a boat", f"image={picture}", "--name", "{number}-{seed}{ext}"),
    ]

    assert [0, 0, 0, 0, 2] == [each.code for each in ended]
    assert ["1-a-paper-boat.png"] == files_in(Path("results"))
    assert ["a-paper-boat/1.mp4"] == files_in(Path("videos"))
    assert ["1-done-1-0.png", "2-done-2-0.png", "again-1-done-2-0.png"] == files_in(Path("pictures"))
    assert "{seed}. Its fields are {task_id}, {number}," in " ".join(ended[-1].err.replace("│", "").split())


def test_rows_of_a_batch_are_named_so(served: ServedBy) -> None:
    """
    The number is that of the row, in each run.
    """
    kling = served()
    Path("prompts.txt").write_text("a fox\na dog\n")
    kling("batch", "prompts.txt", "--name", READABLE)
    Path("pictures/02-a-dog-0.png").unlink()
    Path("prompts.txt").write_text("a fox\na dog\na fox\n")

    ended = kling("batch", "prompts.txt", "--name", READABLE)

    assert 0 == ended.code
    assert ["01-a-fox-0.png", "02-a-dog-0.png", "03-a-fox-0.png"] == files_in(Path("pictures"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["generate", "a", "b", "--name", "{prompt}{ext}"], "put {task_id} or {number} into it"),
        (["generate", "a", "-n", "2", "--name", "{number}{ext}"], "put {index} into it"),
        (["generate", "a", "--name", "{promt}{ext}"], "unknown field {promt}; did you mean {prompt}?"),
        (["generate", "a", "--name", "{key}{ext}"], "only rows of a batch have a key"),
        (["video", "a", "--name", "{prompt"], "must be a format string"),
        (["generate", "a", "--name", "cat"], "The name 'cat' has no extension; write 'cat{ext}'"),
        (["generate", "a", "b", "--name", "{number:02}/{task_id}"], "write '{number:02}/{task_id}{ext}'"),
        (["wait", "a", "--name", "{prompt}{ext}"], "it needs --save or --out"),
        (["generate", "a", "--out", "cat.png"], 'to name the file, write --out "." --name "cat{ext}"'),
        (["video", "a", "--out", "made/boat.MP4"], 'to name the file, write --out "made" --name "boat{ext}"'),
        (["generate", "a", "--out", "s3://b/c/cat.png"], 'write --out "s3://b/c" --name "cat{ext}"'),
        (["demo", "--out", "cat.png"], "must be a folder"),
    ],
)
def test_name_that_would_lose_files_is_refused(here: Here, words: list[str], told: str) -> None:
    """
    Before anything is sent; so is a file's name for the folder.
    """
    ended = here(*words)

    assert (2, "") == (ended.code, ended.out)
    assert told in " ".join(ended.err.replace("│", "").split())
    assert [] == list(Path().iterdir())


def test_folder_may_be_called_like_a_file(served: ServedBy) -> None:
    """
    If it is there.
    """
    Path("cat.png").mkdir()

    ended = served()("generate", "a cat", "--out", "cat.png", "--name", "{prompt}{ext}")

    assert 0 == ended.code
    assert ["a-cat.png"] == files_in(Path("cat.png"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("{task_id}/{index}{ext}", " --name '{task_id}/{index}{ext}'"),
        (READABLE, ""),
        ("{number}-{index}{ext}", ""),
        ("{task_id}{ext}", ""),
    ],
)
def test_command_that_saves_the_rest_names_files_alike(served: ServedBy, name: str, shown: str) -> None:
    """
    If the names mean the same there: it knows neither numbers nor prompts, nor how many files a task has.
    """
    kling = served(faults=[faults.status("download", 404)])

    ended = kling("generate", "a fox", "a dog", "--name", name)

    assert 1 == ended.code
    assert f" --out pictures{shown} --base-url" in ended.out
    [line] = [line for line in ended.out.splitlines() if line.startswith("  kling-async save ")]
    kling.server.account.settings = attrs.evolve(kling.server.account.settings, faults=())
    assert 2 != kling.here(*shlex.split(line)[1:]).code
