"""
Inputs with a column "kind": each row is a request of the endpoint that it names.
"""

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from kling_async import (
    GATEWAY,
    Frame,
    ImageRequest,
    ImageToVideo,
    MultiImageToImage,
    OmniVideo,
    Shot,
    TextToAudio,
    TextToVideo,
    VideoToAudio,
)
from kling_async.cli.batch.cost_estimate import CostEstimate
from kling_async.cli.batch.input_parser import InputLine, parse
from kling_async.cli.input_options import Format
from kling_async.cli.json_output import outcome_line
from kling_async.client.outcomes import Failed
from kling_async.errors import TaskFailed
from kling_async.wire.endpoints.base import Endpoint, TaskRequest
from kling_async.wire.endpoints.inputs import FileInput
from kling_async.wire.endpoints.registry import registered

FOLDER = Path("inputs")


@attrs.frozen
class Clip:
    """
    A request of an endpoint that the package does not have.
    """

    first_frame: str | Path
    last_frame: str | Path | None = None
    duration: int = 5
    strength: float | None = None
    is_silent: bool = False
    callback_url: str | None = None
    external_task_id: str | None = None


CLIP = Endpoint(
    name="clip",
    title="clip",
    path="/v1/clips",
    request_class=Clip,
    results=("videos",),
    rules=lambda _request, _dialect, _files: (),
    bucket=lambda _request, _dialect: "clips",
    inputs=(FileInput("first_frame", lambda _: 2**20), FileInput("last_frame", lambda _: 2**20)),
    caption=lambda request: f"clip of {request.first_frame}",
    units=lambda request, _: Decimal(request.duration) if request.is_silent else None,
    unit_price=Decimal("0.14"),
)


@pytest.fixture(autouse=True)
def clips() -> Iterator[None]:
    with registered(CLIP):
        yield


def read(text: str, form: Format) -> list[InputLine]:
    return list(parse(io.BytesIO(text.encode()), form, FOLDER))


def rules_of(line: InputLine) -> list[str]:
    return [f"{broken.field} {broken.value}: {broken.rule}" for broken in line.broken]


def test_table() -> None:
    """
    Cells are read as the fields of the row's endpoint have them; an empty kind is an image generation.
    """
    fox, clip = read(
        "kind,prompt,n,first_frame,last_frame,duration,strength,is_silent\n"
        ",a fox,2,,,,,\n"
        "clip,,,a.png,https://x/b.png,10,0.5,true\n",
        Format.CSV,
    )

    assert ImageRequest("a fox", n=2) == fox.request
    assert Clip(FOLDER / "a.png", "https://x/b.png", 10, 0.5, is_silent=True) == clip.request
    assert () == (*fox.broken, *clip.broken)


def test_unknown_field() -> None:
    """
    The error names the class of the row's endpoint and its fields; an unknown kind names the endpoints.
    """
    in_table = read("kind,first_frame,prompt\nclip,a.png,a fox\n", Format.CSV)
    lines = [{"kind": "clip", "first_frame": "a.png", "size": 1}, {"size": 1, "prompt": "a"}, {"kind": "movie"}]
    clip, fox, movie = read("\n".join(map(json.dumps, lines)), Format.JSONL)

    assert ["prompt 'a fox': is not a field of Clip"] == [rule.partition(".")[0] for rule in rules_of(in_table[0])]
    assert ["size 1: is not a field of Clip"] == [rule.partition(".")[0] for rule in rules_of(clip)]
    assert "Its fields are first_frame, last_frame" in clip.broken[0].rule
    assert clip.broken[0].rule.endswith(", key, kind; to leave it out, use --ignore-columns")
    assert ["size 1: is not a field of ImageRequest"] == [rule.partition(";")[0] for rule in rules_of(fox)]
    assert "is not an endpoint; the endpoints are image-generation, " in movie.broken[0].rule
    assert movie.broken[0].rule.endswith(", clip")
    assert movie.request is None


def test_file_that_is_not_text() -> None:
    """
    Each field that holds a file is checked.
    """
    (line,) = read('{"kind": "clip", "first_frame": 7}', Format.JSONL)

    assert ["first_frame 7: must be a URL, a path or Base64, as text"] == rules_of(line)


def test_cost() -> None:
    """
    Each endpoint has its prices; requests without one are counted as such, and each kind of file by its name.
    """
    estimate = CostEstimate(GATEWAY)
    requests: list[TaskRequest] = [
        ImageRequest("a fox", n=2),
        Clip("a.png", is_silent=True),
        Clip("b.png", duration=10),
    ]
    for number, request in enumerate(requests, 1):
        estimate.add(InputLine(number, request))

    head, *_, last = estimate.lines()
    assert head.startswith(
        "3 requests to a gateway service: 2 pictures, 2 videos, about 7 units, $0.707 by the vendor's prices"
    )
    assert head.endswith("; units unknown for 1 request")
    assert "         3  clip of b.png  duration=10 first_frame" == last
    assert ["clip", "image-generation"] == [kind["endpoint"] for kind in estimate.as_json()["kinds"]]


def test_only_unknown_prices() -> None:
    """
    Unknown is not zero.
    """
    estimate = CostEstimate(GATEWAY)
    estimate.add(InputLine(1, Clip("a.png")))

    assert "1 request to a gateway service: 1 video, units unknown" == estimate.lines()[0]
    assert (None, None, 1) == tuple(estimate.as_json()[name] for name in ("units", "dollars", "requests_without_price"))


def test_json_line() -> None:
    """
    A line of `--json` names the endpoint, and shows the caption as prompt.
    """
    line = json.loads(outcome_line(Failed(0, "k", Clip("a.png"), TaskFailed("no", "t-1"))))

    assert ("clip", "clip of a.png", "t-1", []) == tuple(
        line[name] for name in ("endpoint", "prompt", "task_id", "files")
    )


SHOTS = [{"prompt": "a quay", "duration": 2}, {"prompt": "the sea", "duration": 2}]
IMAGES = [{"image": "a.png", "type": "first_frame"}, "b.png", "https://x.example/c.png"]
REQUESTS = [
    OmniVideo(
        "a boat",
        image_list=[Frame(FOLDER / "a.png", "first_frame"), FOLDER / "b.png", "https://x.example/c.png"],
        duration=3,
    ),
    TextToVideo(
        duration=4, multi_shot=True, shot_type="customize", multi_prompt=(Shot("a quay", 2), Shot("the sea", 2))
    ),
    MultiImageToImage([FOLDER / "a.png", FOLDER / "b.png"], prompt="they meet"),
    TextToAudio("waves", duration=3.5),
    VideoToAudio(video_url="https://x.example/a.mp4", asmr_mode=True),
    ImageToVideo(FOLDER / "a.png", image_tail=FOLDER / "b.png", sound=False, element_list=[829836802793406551, 2]),
]


def test_lists_in_lines_of_json() -> None:
    """
    They are lists: of paths and URLs, of objects, of numbers.
    """
    lines = [
        {"kind": "omni-video", "prompt": "a boat", "image_list": IMAGES, "duration": 3},
        {"kind": "text-to-video", "duration": 4, "multi_shot": True, "shot_type": "customize", "multi_prompt": SHOTS},
        {"kind": "multi-image-to-image", "prompt": "they meet", "subject_image_list": ["a.png", "b.png"]},
        {"kind": "text-to-audio", "prompt": "waves", "duration": 3.5},
        {"kind": "video-to-audio", "video_url": "https://x.example/a.mp4", "asmr_mode": True},
        {
            "kind": "image-to-video",
            "image": "a.png",
            "image_tail": "b.png",
            "sound": False,
            "element_list": [829836802793406551, 2],
        },
    ]
    read_lines = read("\n".join(map(json.dumps, lines)), Format.JSONL)

    assert REQUESTS == [line.request for line in read_lines]
    assert [()] * 6 == [line.broken for line in read_lines]


def test_lists_in_cells() -> None:
    """
    Cells are the same as JSON; ids are divided by spaces, and words say yes or no.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, [*dict.fromkeys(name for row in ROWS for name in row)], restval="")
    writer.writeheader()
    writer.writerows(ROWS)
    rows = read(table.getvalue(), Format.CSV)

    assert REQUESTS == [row.request for row in rows]
    assert [()] * 6 == [row.broken for row in rows]


ROWS = [
    {"kind": "omni-video", "prompt": "a boat", "image_list": json.dumps(IMAGES), "duration": "3"},
    {
        "kind": "text-to-video",
        "duration": "4",
        "multi_shot": "yes",
        "shot_type": "customize",
        "multi_prompt": json.dumps(SHOTS),
    },
    {"kind": "multi-image-to-image", "prompt": "they meet", "subject_image_list": '["a.png", "b.png"]'},
    {"kind": "text-to-audio", "prompt": "waves", "duration": "3.5"},
    {"kind": "video-to-audio", "video_url": "https://x.example/a.mp4", "asmr_mode": "true"},
    {
        "kind": "image-to-video",
        "image": "a.png",
        "image_tail": "b.png",
        "sound": "off",
        "element_list": "829836802793406551 2",
    },
]
