"""
What a task has made, as services list it.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import attrs

from kling_async.wire.library import read_elements, read_voices, write_element, write_voice
from kling_async.wire.scalars import read_decimal, read_id, read_whole
from kling_async.wire.tasks import Audio, Image, TaskOutput, Video

__all__ = ["ADDRESS", "FILES_MAX", "read_image", "read_output", "text_of", "write_output"]

F = TypeVar("F", Image, Video, Audio)

FILES_MAX: Final = 100
"""
Files of each list of an answer that are read; a task makes nine pictures at most. Without a limit, 4 MiB of URLs
would become half a million downloads. `TaskSnapshot.raw` has them all.
"""


ADDRESS: Final = ("url", "image_url")
"""
The names of an item's address.
"""

_WATERMARK: Final = ("watermark_url",)


def text_of(item: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """
    Return the first of the fields *names* that holds text; None if none does.
    """
    for name in names:
        text = item.get(name)
        if isinstance(text, str) and text:
            return text
    return None


_NO_OUTPUT: Final = TaskOutput()


def read_output(value: Any, _: object) -> TaskOutput:
    """
    Read the result of a task. Of more than one list none is left out.
    """
    if not isinstance(value, dict) or not value:  # it is empty while the task runs
        return _NO_OUTPUT
    listed, series = value.get("images"), value.get("series_images")
    images = _read_files(_with_series(listed, series) if series else listed, read_image)
    videos = _read_files(value.get("videos"), _read_video)
    audios = _read_files(value.get("audios"), _read_audio)
    if "voices" in value or "elements" in value:
        kept = TaskOutput(voices=read_voices(value.get("voices")), elements=read_elements(value.get("elements")))
    else:
        kept = _NO_OUTPUT
    if not (images or videos or audios):
        return kept
    is_series = bool(series) or value.get("result_type") == "series"
    return TaskOutput(images, videos, audios, is_series, kept.voices, kept.elements)


def _with_series(items: Any, series: Any) -> Any:
    # The page shows a list of single images beside that of a series, and does not say that one of them is empty.
    if not isinstance(series, list) or not isinstance(items, list):
        return series if isinstance(series, list) else items
    first = items[:FILES_MAX]
    return first + [item for item in series[:FILES_MAX] if item not in first]


def _read_files(items: Any, read: Callable[[Any, int], F | None]) -> tuple[F, ...]:
    # Each item may give its index; otherwise its place in the list counts, for all items if two have the same index:
    # some gateways number every picture 0.
    if not isinstance(items, list):
        return ()
    found: list[tuple[int, F]] = []
    for place, item in enumerate(items):
        if (file := read(item, place)) is not None:
            index = item.get("index") if isinstance(item, dict) else None
            index = index if type(index) is int else read_whole(index)
            found.append((place if index is None or index < 0 else index, file))
        if len(found) == FILES_MAX:
            break
    if len(found) > 1 and len({index for index, _ in found}) < len(found):
        found = [(place, file) for place, (_, file) in enumerate(found)]
    files = [file if file.index == index else attrs.evolve(file, index=index) for index, file in found]
    return tuple(sorted(files, key=operator.attrgetter("index")) if len(files) > 1 else files)


def _read_video(item: Any, place: int) -> Video | None:
    url = text_of(item, ADDRESS) if isinstance(item, dict) else None
    if url is None:
        return None
    watermark_url, duration = text_of(item, _WATERMARK), _read_seconds(item.get("duration"))
    return Video(place, url, watermark_url, read_id(item.get("id")), duration)


def _read_audio(item: Any, place: int) -> Audio | None:
    if not isinstance(item, dict):
        return None
    # The second of two names is the vendor's new standard's.
    wav_url = text_of(item, ["url_wav", "wav_url"])
    url = text_of(item, [*ADDRESS, "url_mp3", "mp3_url"]) or wav_url
    if url is None:
        return None
    names = ("duration", "duration_mp3", "duration_wav", "mp3_duration", "wav_duration")
    durations = (_read_seconds(item.get(name)) for name in names)
    duration = next((seconds for seconds in durations if seconds is not None), None)
    return Audio(place, url, wav_url, read_id(item.get("id")), duration)


def _read_seconds(value: Any) -> float | None:
    seconds = read_decimal(value, Decimal)
    return None if seconds is None or seconds < 0 else float(seconds)


def read_image(item: Any, place: int) -> Image | None:
    """
    Read an item of the list of images, which may be only its URL; *place* is its index if it names none.
    """
    if isinstance(item, str):
        item = {"url": item}
    url = text_of(item, ADDRESS) if isinstance(item, dict) else None
    if url is None:
        return None
    return Image(place, url, text_of(item, _WATERMARK), read_id(item.get("id")))


def write_output(output: TaskOutput) -> dict[str, Any]:
    """
    Write the result of a task, without empty lists.
    """
    lists = {
        "series_images" if output.is_series else "images": [_write_image(image) for image in output.images],
        "videos": [_write_video(video) for video in output.videos],
        "audios": [_write_audio(audio) for audio in output.audios],
        "voices": [write_voice(voice) for voice in output.voices],
        "elements": [write_element(element) for element in output.elements],
    }
    return {name: items for name, items in lists.items() if items}


def _write_image(image: Image) -> dict[str, Any]:
    return _without_none({"index": image.index, "url": image.url, "watermark_url": image.watermark_url, "id": image.id})


def _write_video(video: Video) -> dict[str, Any]:
    item = {"id": video.id, "url": video.url, "watermark_url": video.watermark_url}
    return _without_none({**item, "duration": _write_seconds(video.duration)})


def _write_audio(audio: Audio) -> dict[str, Any]:
    # The vendor names both formats if there are two.
    seconds = _write_seconds(audio.duration)
    if audio.wav_url is None:
        return _without_none({"id": audio.id, "url": audio.url, "duration": seconds})
    item = {"id": audio.id, "url_mp3": audio.url, "url_wav": audio.wav_url}
    return _without_none({**item, "duration_mp3": seconds, "duration_wav": seconds})


def _write_seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:g}"


def _without_none(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value not in (None, "")}
