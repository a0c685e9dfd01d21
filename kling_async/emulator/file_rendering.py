"""
Renders the files of tasks: pictures, videos and sounds. The libraries for it are extras, and take time to import.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Final

from kling_async.emulator.input_files import is_url, picture_of
from kling_async.emulator.picture_size import size_in_pixels
from kling_async.emulator.plain_picture import plain_picture
from kling_async.emulator.result_files import ResultFile
from kling_async.emulator.settings import Settings
from kling_async.emulator.task_record import TaskRecord
from kling_async.emulator.task_snapshot import seconds_of
from kling_async.emulator.video_spec import VideoSpec, asks_for_sound, pictures_of, shots_of, size_of_video

__all__ = ["Links", "missing_library", "render_file", "render_plain", "require_pillow", "urls_in"]

Links = Mapping[str, bytes]
"""
The pictures behind URLs, where they are known.
"""

_NO_LINKS: Final[Links] = {}


def require_pillow() -> None:
    """
    Raises:
        ImportError: Pillow is missing; the message has the command that installs it.
    """
    if find_spec("PIL") is None:
        raise ImportError('the emulator draws with Pillow: pip install "kling-async[emulator]"')


def missing_library(kinds: Iterable[str]) -> str | None:
    """
    Return what has to be installed to render files of these *kinds*; None if it is installed.
    """
    if {"videos", "audios"}.isdisjoint(kinds) or find_spec("av") is not None:
        return None
    return 'the emulator makes videos and sounds with PyAV: pip install "kling-async[video]"'


def urls_in(record: TaskRecord) -> Iterator[str]:
    """
    Yield the pictures of a request, of which some are URLs.
    """
    return (text for _, text in _picture_sources(record))


def render_file(
    record: TaskRecord,
    file: ResultFile,
    settings: Settings,
    links: Links = _NO_LINKS,
    is_stopped: Callable[[], bool] = lambda: False,
) -> bytes:
    """
    Return the content of one file of a task.

    Args:
        links: The pictures behind URLs of the request; others are drawn as a plain colour.
        is_stopped: Whether the file is no longer wanted; asked often, since long videos take seconds.

    Raises:
        VideoStopped: *is_stopped* returned True.
    """
    match file.kind:
        case "images":
            if settings.pictures == "plain":
                return render_plain(record, file, settings.picture_scale)
            return _render_image(record, file, settings.picture_scale, links)
        case "videos":
            from kling_async.emulator.filming.encoding import encode_video  # noqa: PLC0415

            return encode_video(_spec_of(record, file, settings, links), is_stopped)
        case "audios":
            return _render_sound(seconds_of(record, settings), record.seed + file.index, is_wav=file.is_wav)


def render_plain(record: TaskRecord, file: ResultFile, scale: float) -> bytes:
    """
    Return a picture of one colour, with the size that the request asks for. It takes some microseconds.
    """
    copy = ", with watermark" if file.has_watermark else ""
    identity = f"{record.task_id}, seed {record.seed}, picture {file.index}{copy}"
    return plain_picture(size_in_pixels(*_size_of(record), scale), record.endpoint.caption(record.request), identity)


def _render_image(record: TaskRecord, file: ResultFile, scale: float, links: Links) -> bytes:
    from kling_async.emulator.drawing.picture import draw  # noqa: PLC0415

    aspect_ratio, resolution = _size_of(record)
    fidelity = getattr(record.request, "image_fidelity", None)
    return draw(
        record.endpoint.caption(record.request),
        index=file.index,
        seed=record.seed,
        model_name=record.model_name,
        aspect_ratio=aspect_ratio,
        resolution=resolution,
        scale=scale,
        reference=next((picture for _, _, picture in _pictures(record, links)), None),
        fidelity=0.5 if fidelity is None else fidelity,
        has_watermark=file.has_watermark,
    )


def _size_of(record: TaskRecord) -> tuple[str, str]:
    # Other endpoints, and dialects derived with `attrs.evolve`, may allow sizes that cannot be drawn.
    aspect_ratio = getattr(record.request, "aspect_ratio", None)
    aspect_ratio = "16:9" if aspect_ratio in (None, "auto") else aspect_ratio
    resolution = getattr(record.request, "resolution", None) or "1k"
    try:
        size_in_pixels(aspect_ratio, resolution)
    except ValueError:
        return "16:9", "1k"
    return aspect_ratio, resolution


def _spec_of(record: TaskRecord, file: ResultFile, settings: Settings, links: Links) -> VideoSpec:
    request = record.request
    pictures = {place: (text, content) for place, text, content in _pictures(record, links)}
    by_role = {role: pictures[place] for role, place in pictures_of(request, pictures).items()}
    first_frame, last_frame = (_frame(by_role.get(role), links) for role in ("first", "last"))
    width, height = size_of_video(request, _size_in(first_frame or last_frame), settings.picture_scale)
    tint = by_role.get("reference") or by_role.get("first") or by_role.get("last")
    return VideoSpec(
        width=width,
        height=height,
        seconds=seconds_of(record, settings),
        has_sound="audios" in record.endpoint.results or asks_for_sound(request, record.model_name),
        prompt=record.endpoint.caption(request),
        shots=shots_of(request),
        index=file.index,
        seed=record.seed,
        model_name=record.model_name,
        first_frame=first_frame,
        last_frame=last_frame,
        tint=tint[1] if tint else None,
        has_watermark=file.has_watermark,
    )


def _pictures(record: TaskRecord, links: Links) -> Iterator[tuple[str, str, bytes]]:
    # Place, source and content of each picture of the request.
    for place, text in _picture_sources(record):
        picture = links.get(text) or picture_of(text)
        if picture is not None:
            yield place, text, picture


def _picture_sources(record: TaskRecord) -> Iterator[tuple[str, str]]:
    for each in record.endpoint.inputs:
        if each.media == "picture":
            yield from ((place, text) for place, text in each.sources(record.request) if isinstance(text, str))


def _frame(picture: tuple[str, bytes] | None, links: Links) -> bytes | None:
    # The plain colour of a URL is no frame.
    return picture[1] if picture and (picture[0] in links or not is_url(picture[0])) else None


def _size_in(content: bytes | None) -> tuple[int, int] | None:
    from PIL import Image, ImageOps  # noqa: PLC0415

    if content is None:
        return None
    with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
        return ImageOps.exif_transpose(picture).size


def _render_sound(seconds: float, seed: int, *, is_wav: bool) -> bytes:
    if is_wav:
        from kling_async.emulator.filming.sounds import write_wav  # noqa: PLC0415

        return write_wav(seconds, seed)
    from kling_async.emulator.filming.encoding import encode_mp3  # noqa: PLC0415

    return encode_mp3(seconds, seed)
