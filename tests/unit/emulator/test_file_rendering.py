"""
The files of tasks.
"""

import base64
import io
from typing import Any

import attrs
import pytest
from PIL import Image

from kling_async.emulator import Account, Settings, TaskRecord, file_rendering
from kling_async.emulator.file_rendering import missing_library, render_file, require_pillow, urls_in
from kling_async.emulator.result_files import ResultFile
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileInput
from kling_async.wire.endpoints.registry import registered
from tests.fakes.media_files import images_in, open_media

SETTINGS = Settings(picture_scale=0.1)
VIDEO = ResultFile("videos", 0)


@attrs.frozen(kw_only=True)
class DuetRequest:
    prompt: str = attrs.field(default="a lighthouse", kw_only=False)
    image: str | None = None
    image_tail: str | None = None
    duration: float = 0.25
    sound: bool = False
    callback_url: str | None = None
    external_task_id: str | None = None


def endpoint(*results: Any) -> Endpoint[Any]:
    return Endpoint(
        name="duets",
        title="duets",
        path="/v1/videos/duets",
        request_class=DuetRequest,
        results=results,
        rules=lambda _request, _dialect, _files: (),
        inputs=(FileInput("image", lambda _: 10**6), FileInput("image_tail", lambda _: 10**6)),
        bucket=lambda _request, _dialect: "duets",
    )


def record_of(request: DuetRequest, *results: Any) -> TaskRecord:
    with registered(endpoint(*(results or ("videos",)))):
        return Account(SETTINGS).create(request, 0.0)


def picture(colour: str, size: tuple[int, int] = (400, 400)) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def colours(content: bytes) -> tuple[Any, Any]:
    """
    Return the colours in the middle of the first and the last frame.
    """
    frames = images_in(content)
    middle = frames[0].width // 2, frames[0].height // 2
    return frames[0].getpixel(middle), frames[-1].getpixel(middle)


def near(one: Any, other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 20 for a, b in zip(one, other, strict=True))


def test_pictures_of_the_request_begin_and_end_the_video() -> None:
    """
    Each picture is where its field says.
    """
    both = DuetRequest(image=picture("red"), image_tail=picture("blue"))
    begin, end = colours(render_file(record_of(both), VIDEO, SETTINGS))
    tail = colours(render_file(record_of(attrs.evolve(both, image=None)), VIDEO, SETTINGS))

    assert near(begin, (255, 0, 0))
    assert near(end, (0, 0, 255))
    assert near(tail[1], (0, 0, 255))
    assert not near(tail[0], (255, 0, 0))


def test_link_is_a_frame_if_it_is_known() -> None:
    """
    A URL whose picture is known begins the video; one that is not is only a tint.
    """
    url = "https://x.example/a.png"
    record = record_of(DuetRequest(image=url))
    file = io.BytesIO()
    Image.new("RGB", (300, 300), "red").save(file, "PNG")
    known, unknown = (render_file(record, VIDEO, SETTINGS, links) for links in ({url: file.getvalue()}, {}))

    assert [url] == list(urls_in(record))
    assert near(colours(known)[0], (255, 0, 0))
    assert not near(colours(unknown)[0], (255, 0, 0))


def test_files_of_other_kinds_are_no_frames() -> None:
    """
    A sound among the inputs is not drawn.
    """
    sound = base64.b64encode(b"ID3 and so on").decode()
    begin, end = colours(render_file(record_of(DuetRequest(image=sound, image_tail=picture("blue"))), VIDEO, SETTINGS))

    assert near(end, (0, 0, 255))
    assert not near(begin, (0, 0, 255))


@pytest.mark.parametrize(
    ("request_", "results", "tracks"),
    [
        (DuetRequest(), ("videos",), ["video"]),
        (DuetRequest(sound=True), ("videos",), ["video", "audio"]),
        (DuetRequest(), ("videos", "audios"), ["video", "audio"]),
    ],
)
def test_video_is_heard(request_: DuetRequest, results: tuple[str, ...], tracks: list[str]) -> None:
    """
    A video has a sound track if the request asks for sound, or if the endpoint makes sounds.
    """
    with open_media(render_file(record_of(request_, *results), VIDEO, SETTINGS)) as file:
        assert tracks == [stream.type for stream in file.streams]


def test_sound_is_the_same_in_both_formats() -> None:
    """
    MP3 and WAV are of one length.
    """
    record = record_of(DuetRequest(duration=1.25), "audios")
    for is_wav in (False, True):
        content = render_file(record, ResultFile("audios", 0, is_wav=is_wav), SETTINGS)
        with open_media(content) as file:
            assert 1_250_000 == file.duration


def test_missing_libraries_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without Pillow the emulator says what to install; without PyAV, for what it needs it.
    """
    require_pillow()
    assert missing_library(["images", "videos", "audios"]) is None
    monkeypatch.setattr(file_rendering, "find_spec", lambda _: None)

    assert missing_library(["images"]) is None
    for kind in ("videos", "audios"):
        assert 'pip install "kling-async[video]"' in str(missing_library([kind]))
    with pytest.raises(ImportError, match=r'pip install "kling-async\[emulator\]"'):
        require_pillow()
