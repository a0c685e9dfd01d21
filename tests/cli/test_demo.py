import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import av
import PIL.Image
import PIL.ImageChops
import PIL.ImageStat
import pytest

from kling_async import (
    GATEWAY,
    Image,
    ImageRequest,
    ImageToVideo,
    TaskResult,
    TaskSnapshot,
    TaskStatus,
    TextToVideo,
    VideoModel,
)
from kling_async.cli.demo import file_name, make_requests, next_command, video_from
from kling_async.cli.task_board import TaskRow
from kling_async.media.naming import NameTemplate
from kling_async.wire.endpoints.registry import broken_rules
from tests.cli.conftest import Command, Here, lines_of, on_terminal
from tests.fakes.media_files import image_of
from tests.unit.gallery.conftest import read_data


async def test_demo(command: Command) -> None:
    """
    Without an account or a terminal, twelve prompts and more become pictures that open, and the first of them a video
    with sound; the output is plain lines.
    """
    ended = await command.with_env(FORCE_COLOR="1")("demo", "--latency", "0.1:0.5", "--out", "made")

    paths = sorted((command.folder / "made").glob("*.png"))
    for path in paths:
        with PIL.Image.open(path) as picture:
            picture.verify()
    facts = dict(re.findall(r"^(\w+)  +(.*)$", ended.out, re.MULTILINE))
    assert (0, "") == (ended.code, ended.err)
    assert not set(ended.out) & {"\x1b", "\r", "\x07"}
    assert len(paths) > 12
    assert "16 done" == facts["tasks"]
    assert [str(len(paths)), "1"] == [facts["pictures"], facts["videos"]]
    assert f"{len(paths)} for image generation, 4.5 for image to video" == facts["units"]
    assert re.fullmatch(r"\d+ \(16 submits, \d+ polls, 21 downloads\)", facts["requests"])
    assert ("made", "made/demo.html") == (facts["folder"], facts["gallery"])
    assert float(facts["seconds"]) > 0
    shown = read_data((command.folder / "made" / "demo.html").read_text(encoding="utf-8"))
    assert [*["image"] * len(paths), "video"] == [tile["kind"] for tile in shown]
    assert {"Model", "Aspect ratio", "Took", "Units", "Task", "File"} <= dict(shown[0]["facts"]).keys()
    assert int(facts["connections"]) > 0


async def test_video_begins_with_the_first_picture(command: Command) -> None:
    """
    It has the size and the scene of the picture, it moves, and it is played for five seconds with sound.
    """
    ended = await command.with_env(PICTURE_SCALE="1", PICTURES="drawn")("demo", "--count", "1", "--latency", "0.1")

    path = command.folder / "pictures" / "02-a-lighthouse-on-a-cliff.mp4"
    with av.open(path) as container:
        pictures = [image_of(frame).resize((32, 18)) for frame in container.decode(video=0)]
        lengths = [float(container.duration or 0) / av.time_base, len(pictures), len(container.streams.audio)]
    with PIL.Image.open(path.with_name("01-a-lighthouse-on-a-cliff.png")) as picture:
        first = picture.convert("RGB").resize((32, 18))
    assert (0, "") == (ended.code, ended.err)
    assert [5.0, 120, 1] == lengths
    assert difference(first, pictures[0]) < 4 < difference(first, pictures[-1])


def difference(one: PIL.Image.Image, other: PIL.Image.Image) -> float:
    return PIL.ImageStat.Stat(PIL.ImageChops.difference(one, other).convert("L")).mean[0]


async def test_own_prompts(command: Command) -> None:
    """
    `--prompts` and `--count` take one's own lines, over again where there are too few; names follow the words. With
    `--json` each task is an object on stdout.
    """
    (command.folder / "mine.txt").write_text("\ufeffA fox, in snow\n\nEine Eule über München\n", encoding="utf-8")
    words = ("--prompts", "mine.txt", "-c", "3", "--dialect", "official", "--latency", "0.1", "--json")

    ended = await command("demo", *words)

    names = sorted(path.name for path in (command.folder / "pictures").glob("*.png"))
    assert 0 == ended.code
    assert [
        "01-a-fox-in-snow.png",
        "02-eine-eule-über-münchen.png",
        "03-a-fox-in-snow-0.png",
        "03-a-fox-in-snow-1.png",
    ] == names
    told = [image["path"] for line in lines_of(ended.out) for image in line["images"]]
    assert [f"pictures/{name}" for name in names] == sorted(told)
    *_, last = sorted(lines_of(ended.out), key=lambda line: line["number"])
    assert ("image-to-video", ["pictures/04-a-fox-in-snow.mp4"]) == (
        last["endpoint"],
        [file["path"] for file in last["files"]],
    )


def test_without_pyav(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Before anything is made, the command names what brings the library for videos.
    """
    monkeypatch.setitem(sys.modules, "av", None)

    ended = here("demo")

    assert (2, "") == (ended.code, ended.out)
    assert 'The emulator needs PyAV, which is not installed: pip install "kling-async[cli,video]"' in ended.err
    assert 1 == len(ended.err.splitlines())


async def test_page_that_cannot_be_written(command: Command) -> None:
    """
    It is told, and the pictures are there all the same.
    """
    (command.folder / "pictures" / "demo.html").mkdir(parents=True)

    ended = await command("demo", "--count", "1", "--latency", "0.1")

    assert (0, "") == (ended.code, ended.err)
    assert "the page 'pictures/demo.html' was not written: Is a directory" in ended.out
    assert "2 done" in ended.out
    assert ["01-a-lighthouse-on-a-cliff.png", "02-a-lighthouse-on-a-cliff.mp4", "demo.html"] == sorted(
        path.name for path in command.folder.glob("pictures/*")
    )


async def test_one_is_one(command: Command) -> None:
    """
    Counts agree with their nouns.
    """
    ended = await command("generate", "--emulator", "a fox", "--latency", "0")

    assert re.search(r"\(1 submit, \d+ polls?, 1 download\)$", ended.out, re.MULTILINE)
    assert [] == re.findall(r"\b1 (?:submits|polls|downloads|tasks|pictures)\b", ended.out)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"caf\xe9\n", None], ids=["empty", "blank", "latin-1", "missing"])
def test_bad_prompts_file(here: Here, content: bytes | None) -> None:
    """
    A file without prompts, or that cannot be read, is wrong usage.
    """
    if content is not None:
        Path("mine.txt").write_bytes(content)

    ended = here("demo", "--prompts", "mine.txt")

    assert 2 == ended.code
    assert "mine.txt" in ended.err
    assert "Traceback" not in ended.err


def test_terminal(command: Command) -> None:
    """
    On a terminal the demo moves: a row per task, a bar, the files as they come, and a table at the end.
    """
    words = ("demo", "--count", "3", "--latency", "0.9")

    code, screen = on_terminal(command, *words)

    assert 0 == code
    assert "\x1b[?25l" in screen  # the cursor is hidden while it moves
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l")
    assert re.search("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏].*(submitted|processing)", screen)
    assert "━" in screen
    assert "0/4 tasks" in screen
    assert "1 video" in screen
    assert "✓" in screen
    assert "01-a-lighthouse-on-a-cliff.png" in screen
    assert "04-a-lighthouse-on-a-cliff.mp4" in screen
    assert "4 done" in screen


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color(command: Command, no_color: str) -> None:
    """
    NO_COLOR takes the colours away, and leaves what moves.
    """
    words = ("generate", "--emulator", "a fox", "--latency", "0.5")

    code, screen = on_terminal(command.with_env(NO_COLOR=no_color), *words)

    colours = re.findall(r"\x1b\[(?:\d+;)*(?:3|4|9|10)[0-8](?:;\d+)*m", screen)
    assert 0 == code
    assert bool(no_color) is not bool(colours)
    assert "\x1b[?25l" in screen


def test_interrupted_on_terminal(command: Command) -> None:
    """
    Ctrl-C typed at the terminal leaves the cursor as it was, and says one thing: nothing runs on, or costs anything.
    """
    code, screen = on_terminal(command, "demo", "--count", "2", "--latency", "60", type_at="submitted")

    assert 130 == code
    assert screen.rindex("\x1b[?25h") > screen.rindex("\x1b[?25l")
    left = re.sub(r"\x1b\[[?\d]*[A-Za-z]", "", screen[screen.rindex("\x1b[?25h") :])
    assert "Stopped. The emulator runs inside this command: its tasks end with it and cost nothing." == left.strip()


def test_next_command_is_one_that_the_shell_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The demo is often called by its path, in an environment that is not activated; then so is what it suggests.
    """
    program = tmp_path / "kling-async"
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    not_found = next_command()
    monkeypatch.setenv("PATH", str(tmp_path))
    found = next_command()
    monkeypatch.setattr(sys, "argv", ["/somewhere/kling_async/__main__.py"])

    assert [str(program), "kling-async", "kling-async"] == [not_found, found, next_command()]


def test_prompts_of_the_package() -> None:
    """
    The package brings at least twelve different prompts that every service takes, and some are asked for twice over.
    """
    text = resources.files("kling_async.cli").joinpath("prompts.txt").read_text(encoding="utf-8")
    requests = make_requests(prompts := text.splitlines(), None)

    assert len(set(prompts)) == len(prompts) >= 12
    assert () == tuple(rule for request in requests for rule in broken_rules(GATEWAY, request))
    assert {1, 2} == {request.n for request in requests}


@pytest.mark.parametrize(
    ("prompt", "pictures", "expected"),
    [
        ("A lighthouse on a cliff at dusk", 1, "07-a-lighthouse-on-a-cliff.png"),
        ("../{task_id}?", 2, "07-task-id-0.png"),
        ("???", 1, "07-t.png"),
        ("一只猫", 1, "07-一只猫.png"),
    ],
)
def test_file_name(prompt: str, pictures: int, expected: str) -> None:
    """
    Names are words of the prompt, in whatever script, and never lead out of the folder or name a field.
    """
    images = tuple(Image(index, "http://x/") for index in range(pictures))
    snapshot = TaskSnapshot(task_id="t", task_status=TaskStatus.SUCCEEDED)
    row = TaskRow(7, ImageRequest(prompt), result=TaskResult("t", images, snapshot))
    names = NameTemplate(file_name(row), "t", number=row.number, prompt=row.caption)

    assert expected == str(names.path(0, ".png"))


def test_video_without_a_picture() -> None:
    """
    If the first picture failed, the video is made of its prompt alone, and every service takes the request.
    """
    row = TaskRow(1, ImageRequest("a fox"))
    without = video_from(row)
    snapshot = TaskSnapshot(task_id="t", task_status=TaskStatus.SUCCEEDED)
    row.result = TaskResult("t", (Image(0, "http://x/0.png"), Image(1, "http://x/1.png")), snapshot)
    expected: dict[str, Any] = {"prompt": "a fox", "sound": True, "model_name": VideoModel.V3}

    assert TextToVideo(**expected) == without
    assert ImageToVideo("http://x/0.png", **expected) == video_from(row)
    assert () == broken_rules(GATEWAY, without)


def test_requests_vary() -> None:
    """
    Requests go round the kinds so that no two neighbours look alike.
    """
    requests = make_requests(["a", "b"], 4)

    assert ["a", "b", "a", "b"] == [request.prompt for request in requests]
    assert 4 == len({request.aspect_ratio for request in requests})
