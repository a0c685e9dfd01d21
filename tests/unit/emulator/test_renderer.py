"""
Where pictures are drawn.
"""

import asyncio
import base64
import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image, ImageChops, ImageStat

from kling_async.emulator import Account, Settings, TaskRecord, renderer
from kling_async.emulator.file_rendering import render_file
from kling_async.emulator.renderer import Renderer
from kling_async.emulator.result_files import ResultFile
from kling_async.wire.dialects import OFFICIAL
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.endpoints.text_to_video import TextToVideo

FIRST = ResultFile("images", 0)


def account() -> Account:
    return Account(Settings(dialect=OFFICIAL, picture_scale=0.05))


@pytest.fixture
async def small() -> AsyncIterator[Renderer]:
    made = Renderer(account())
    yield made
    await made.aclose()


def record_of(request: ImageRequest) -> TaskRecord:
    return account().create(request, 0.0)


async def drawn(request: ImageRequest) -> bytes:
    # A new renderer each time: equal accounts give equal ids, and a renderer caches files by them.
    renderer_ = Renderer(account())
    picture = await renderer_.render(record_of(request), FIRST)
    await renderer_.aclose()
    return picture


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def size(picture: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(picture)) as opened:
        return opened.size


async def test_pictures_of_a_task_differ(small: Renderer) -> None:
    """
    Each index has a picture of its own, always the same.
    """
    record = record_of(ImageRequest("a cat", n=2))
    first, second = await small.render(record, FIRST), await small.render(record, ResultFile("images", 1))

    assert first != second
    assert first is await small.render(record, FIRST)
    assert first == await drawn(record.request)


async def test_size_follows_the_request() -> None:
    """
    Ratio and resolution shape the picture; a size that cannot be drawn becomes the usual one.
    """
    wide = size(await drawn(ImageRequest("x", aspect_ratio="16:9")))
    tall = size(await drawn(ImageRequest("x", aspect_ratio="9:16", resolution="2k")))
    odd = size(await drawn(ImageRequest("x", aspect_ratio="5:4", resolution="16k")))

    assert wide[0] > wide[1]
    assert tall[1] > tall[0]
    assert tall[1] > wide[0]
    assert odd == wide


async def test_reference_shapes_the_picture() -> None:
    """
    A reference, as Base64 or as a URL, changes what is drawn, and its fidelity how much.
    """
    file = io.BytesIO()
    Image.new("RGB", (300, 300), (250, 20, 20)).save(file, format="PNG")
    image = base64.b64encode(file.getvalue()).decode()
    requests = [
        ImageRequest("x"),
        ImageRequest("x", image=image),
        ImageRequest("x", image=image, image_fidelity=0.0),
        ImageRequest("x", image="https://example.com/a.png"),
    ]
    pictures = [await drawn(request) for request in requests]

    assert 4 == len(set(pictures))


async def test_requests_at_the_same_time_share_the_work(small: Renderer) -> None:
    """
    A file is drawn once, even for a client that asks for its parts all at once; one that leaves takes nothing along.
    """
    record = record_of(ImageRequest("a cat"))
    one, two, leaver = (asyncio.create_task(small.render(record, FIRST)) for _ in range(3))
    await asyncio.sleep(0)
    leaver.cancel()

    assert await one is await two


async def test_few_pictures_are_kept(small: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The oldest pictures are forgotten, and drawn again when they are asked for.
    """
    monkeypatch.setattr(renderer, "CACHE_SIZE", 2)
    record = record_of(ImageRequest("a cat", n=3))
    first = await small.render(record, FIRST)
    for index in (1, 2):
        await small.render(record, ResultFile("images", index))
    again = await small.render(record, FIRST)

    assert first is not again
    assert first == again


async def test_closing_waits_for_what_is_being_drawn() -> None:
    """
    A picture that is begun is finished; closing twice is no error.
    """
    renderer_ = Renderer(account())
    drawing = asyncio.ensure_future(renderer_.render(record_of(ImageRequest("a cat")), FIRST))
    await asyncio.sleep(0)
    await renderer_.aclose()
    await renderer_.aclose()

    assert size(await drawing)


async def test_own_picture_by_its_url_is_the_reference() -> None:
    """
    The URL of a picture that the account made stands for the picture; any other URL is only a colour.
    """
    account_ = account()
    first = account_.create(ImageRequest("a red fox"), 0.0)
    url = account_.snapshot_of(first, 100.0).task_result.images[0].url
    again = account_.create(ImageRequest("a red fox", image=url, image_fidelity=1.0), 100.0)
    other = account_.create(
        ImageRequest("a red fox", image="https://elsewhere.example/0.png", image_fidelity=1.0), 100.0
    )
    renderer_ = Renderer(account_)
    pictures = [await renderer_.render(record, FIRST) for record in (first, again, other)]
    await renderer_.aclose()
    one, two, three = (Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures)

    assert mean_difference(one, two) < 12 < mean_difference(one, three)


async def test_closing_stops_videos() -> None:
    """
    A video of an hour is not awaited; whoever waits for it is cancelled, as everything is at that time.
    """
    account_ = account()
    renderer_ = Renderer(account_)
    long = account_.create(TextToVideo("a cat", duration=3600), 0.0)
    filming = asyncio.create_task(renderer_.render(long, ResultFile("videos", 0)))
    await asyncio.sleep(0)
    await renderer_.aclose()

    with pytest.raises(asyncio.CancelledError):
        await filming


async def test_plain_pictures_differ_by_task_index_and_mark() -> None:
    """
    Plain pictures have the sides that the request asks for, and each file of each task is another one, the same for
    whoever asks again. Videos of the same account are filmed.
    """
    settings = Settings(dialect=OFFICIAL, pictures="plain", picture_scale=0.05)
    account_ = Account(settings)
    renderer_ = Renderer(account_)
    request = ImageRequest("a cat", n=2, aspect_ratio="9:16", resolution="2k", watermark_info=True)
    files = [ResultFile("images", index, has_watermark=mark) for index in (0, 1) for mark in (False, True)]
    records = [account_.create(request, 0.0), account_.create(request, 0.0)]
    pictures = [await renderer_.render(record, file) for record in records for file in files]
    again = [render_file(record, file, settings) for record in records for file in files]
    film = await renderer_.render(account_.create(TextToVideo("a cat", duration=5), 0.0), ResultFile("videos", 0))
    await renderer_.aclose()

    assert 8 == len(set(pictures))
    assert pictures == again
    assert {size(await drawn(request))} == {size(picture) for picture in pictures}
    assert film[4:8] == b"ftyp"
