"""
`kling-async video`, and `kling-async run` for requests of any endpoint.
"""

from decimal import Decimal

import PIL.Image
import pytest

from kling_async import OFFICIAL
from tests.cli.conftest import Command, Here, lines_of, service


async def test_videos_from_text_and_from_a_picture(command: Command) -> None:
    """
    With a picture it is another endpoint; each video is saved, and its line of JSON says what it is.
    """
    PIL.Image.new("RGB", (400, 300), "teal").save(command.folder / "boat.png")
    async with service(dialect=OFFICIAL) as server:
        call = command.to(server)
        text = await call("video", "--dialect", "official", "--json", "a boat", "a fox", "-d", "3", "--mode", "pro")
        picture = await call("video", "--dialect", "official", "--json", "it sails", "--image", "boat.png")

    lines = [*lines_of(text.out), *lines_of(picture.out)]
    assert (0, 0) == (text.code, picture.code)
    assert ["text-to-video", "text-to-video", "image-to-video"] == [line["endpoint"] for line in lines]
    assert [["video"]] * 3 == [[file["kind"] for file in line["files"]] for line in lines]
    assert all(b"ftyp" == (command.folder / file["path"]).read_bytes()[4:8] for line in lines for file in line["files"])
    assert [Decimal("2.4"), Decimal("2.4"), Decimal("3.0")] == [task.units for task in server.ledger.tasks]


async def test_broken_rules_are_named_by_their_options(command: Command) -> None:
    """
    All of them, and nothing is sent.
    """
    async with service(dialect=OFFICIAL) as server:
        ended = await command.to(server)(
            "video", "--dialect", "official", "a boat", "-d", "20", "--model", "kling-v1", "--aspect-ratio", "4:3"
        )

    assert 2 == ended.code
    assert "--model-name 'kling-v1': is retired" in ended.err
    assert "--aspect-ratio '4:3'" in ended.err
    assert not server.ledger.tasks


async def test_any_endpoint_runs(command: Command) -> None:
    """
    A field that is given several times is a list, and paths are files.
    """
    for name in ("cat", "hat"):
        PIL.Image.new("RGB", (300, 300)).save(command.folder / f"{name}.png")
    fields = ["subject_image_list=cat.png", "subject_image_list=hat.png", "prompt=a cat in a hat", "n=2"]
    async with service(dialect=OFFICIAL) as server:
        ended = await command.to(server)("run", "multi-image-to-image", "--dialect", "official", "--json", *fields)

    (line,) = lines_of(ended.out)
    (task,) = server.ledger.tasks
    assert (0, "multi-image-to-image", 2) == (ended.code, line["endpoint"], len(line["files"]))
    assert ("a cat in a hat", 2) == (task.prompt, task.n)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("custom-voice", ["voice_name=narrator", "voice_url=https://example.org/voice.mp3"]),
        (
            "custom-element",
            ["element_name=cat", "element_description=a cat", "frontal_image=cat.png", "refer_images=cat.png"],
        ),
    ],
)
async def test_voices_and_elements_are_shown_by_their_ids(command: Command, kind: str, fields: list[str]) -> None:
    """
    Other requests need these ids, and there are no files.
    """
    PIL.Image.new("RGB", (300, 300)).save(command.folder / "cat.png")
    async with service() as server:
        ended = await command.to(server)("run", kind, "--json", *fields)

    (line,) = lines_of(ended.out)
    made = {f"voice {voice['voice_id']}" for voice in line.get("voices", ())}
    made |= {f"element {element['element_id']}" for element in line.get("elements", ())}
    assert 1 == len(made)
    assert made.pop() in ended.err


async def test_fields_may_be_json_and_words(command: Command) -> None:
    """
    Lists of objects are JSON; yes and no are words.
    """
    shots = '[{"prompt": "a quay", "duration": 2}, {"prompt": "the sea", "duration": 3}]'
    async with service(dialect=OFFICIAL) as server:
        ended = await command.to(server)(
            *("run", "text-to-video", "--dialect", "official", "--json", "multi_shot=yes", "shot_type=customize"),
            *(f"multi_prompt={shots}", "sound=on"),
        )

    assert 0 == ended.code, ended.err
    assert ["a quay / the sea"] == [task.prompt for task in server.ledger.tasks]
    assert [Decimal("4.5")] == [task.units for task in server.ledger.tasks]


def test_what_is_wrong_with_fields(here: Here) -> None:
    """
    A word that is no field names those that exist; broken rules are named by their fields.
    """
    unknown = here("run", "text-to-video", "size=big")
    broken = here("run", "text-to-video", "--emulator", "prompt=a boat", "duration=soon", "multi_prompt=[{}]")

    assert 2 == unknown.code
    text = " ".join(unknown.err.replace("│", " ").split())
    assert "'size' is not a field of text-to-video; did you mean aspect_ratio? Its fields are prompt" in text
    assert 2 == broken.code
    assert "must be objects with the fields prompt, duration" in " ".join(broken.err.split())


async def test_item_of_a_list_may_be_an_object(command: Command) -> None:
    """
    A field that is given several times has items in any form: paths, objects and numbers.
    """
    for name in ("boat", "quay"):
        PIL.Image.new("RGB", (300, 300)).save(command.folder / f"{name}.png")
    frame = 'image_list={"image": "boat.png", "type": "first_frame"}'
    async with service(dialect=OFFICIAL) as server:
        run = command.to(server)
        framed = await run("run", "omni-video", "--dialect", "official", "prompt=a boat", "image_list=quay.png", frame)
        elements = ["element_list=1", "element_list=2"]
        listed = await run("run", "image-to-video", "--dialect", "official", "image=boat.png", *elements, "mode=slow")

    assert 0 == framed.code, framed.err
    assert ["mode 'slow': must be one of std, pro, 4k"] == [line.strip() for line in listed.err.splitlines()[1:]]


@pytest.mark.parametrize(
    "words",
    [
        ["run", "text-to-video", "prompt=a paper boat", "duration=10", "mode=pro"],
        ["video", "it sails away", "--image", "boat.png", "-d", "10"],
        ["video", "it sails away", "--image", "boat.png", "--tail", "boat.png", "--mode", "pro"],
    ],
)
async def test_examples_of_the_help_work_at_a_gateway(command: Command, words: list[str]) -> None:
    """
    The models that are taken if none is named make what the examples ask for.
    """
    PIL.Image.new("RGB", (300, 300)).save(command.folder / "boat.png")
    async with service() as server:
        ended = await command.to(server)(*words)

    assert 0 == ended.code, ended.err


def test_help_lists_the_fields_of_a_kind(here: Here) -> None:
    """
    What the docstring of its class says.
    """
    ended = here("run", "expand-image", "--help")

    assert 0 == ended.code
    assert "up_expansion_ratio: What is added above" in ended.out
    assert "Exit codes" in ended.out
