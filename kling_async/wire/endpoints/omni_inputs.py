"""
The inputs of omni video, and how both of the vendor's standards write them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from kling_async.wire.constructors import explained
from kling_async.wire.endpoints.inputs import FileSource, describe_source, take_in
from kling_async.wire.endpoints.new_standard import contents_of, settings_of, unknown_item, with_options
from kling_async.wire.endpoints.video_source import url_of
from kling_async.wire.field_metadata import WireForm

__all__ = [
    "BASE",
    "FEATURE",
    "FIRST_FRAME",
    "FRAMES",
    "LAST_FRAME",
    "VIDEOS",
    "Frame",
    "InputVideo",
    "as_frames",
    "as_videos",
    "fields_from",
    "new_body",
]

FIRST_FRAME: Final = "first_frame"
LAST_FRAME: Final = "end_frame"
BASE: Final = "base"
FEATURE: Final = "feature"


def _image(source: Any) -> Any:
    return take_in(source, "image_list")


@explained
@attrs.frozen
class Frame:
    """
    An image of an omni video.

    Attributes:
        image: Given as in `ImageRequest.image`.
        type: "first_frame", "end_frame", or None for a reference that the prompt names, such as `<<<image_1>>>`.
    """

    image: FileSource | None = attrs.field(converter=_image, repr=describe_source)
    type: str | None = None


@explained
@attrs.frozen
class InputVideo:
    """
    A video that an omni video is made from.

    Attributes:
        video_url: An http(s) URL that the service can fetch, or a `Video` of a result, whose URL is taken. mp4 or mov,
            3 to 10 seconds (15 with kling-v3-omni), sides of 720 to 2160 pixels, 24 to 60 frames a second, at most
            200 MB.
        refer_type: "base" edits this video; "feature" takes it as a reference.
        keep_original_sound: Whether its sound is kept, at no extra cost; None leaves it to the service.
    """

    video_url: str = attrs.field(converter=url_of, repr=describe_source)
    refer_type: str = BASE
    keep_original_sound: bool | None = None


def as_frames(images: Any) -> Any:
    """
    Return a list of images as a tuple of `Frame`s; those that are none become references. Any other value is kept.
    """
    if not isinstance(images, list | tuple):
        return images
    return tuple(image if isinstance(image, Frame) else Frame(image) for image in images)


def as_videos(videos: Any) -> Any:
    """
    Return a list of videos as a tuple of `InputVideo`s; those that are none are edited. Any other value is kept.
    """
    if not isinstance(videos, list | tuple):
        return videos
    return tuple(video if isinstance(video, InputVideo) else InputVideo(video) for video in videos)


def _write_frames(frames: Any) -> list[dict[str, Any]]:
    return [_without_none({"image_url": frame.image, "type": frame.type}) for frame in frames]


def _read_frames(items: Any) -> tuple[Frame, ...]:
    return tuple(Frame(_text(item, "image_url"), _text(item, "type")) for item in _items(items))


def _write_videos(videos: Any) -> list[dict[str, Any]]:
    return [
        _without_none(
            {
                "video_url": video.video_url,
                "refer_type": video.refer_type,
                "keep_original_sound": {True: "yes", False: "no"}.get(video.keep_original_sound),
            }
        )
        for video in videos
    ]


def _read_videos(items: Any) -> tuple[InputVideo, ...]:
    return tuple(_read_video(item) for item in _items(items))


def _read_video(item: Mapping[str, Any]) -> InputVideo:
    kept = _text(item, "keep_original_sound")
    if kept not in (None, "yes", "no"):
        raise ValueError("must be 'yes' or 'no'")
    sound = None if kept is None else kept == "yes"
    return InputVideo(_text(item, "video_url") or "", _text(item, "refer_type") or BASE, sound)


def _items(items: Any) -> list[Any]:
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise TypeError("must be a list of objects")
    return items


def _text(item: Mapping[str, Any], name: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError("must be text")
    return value or None


def _without_none(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}


FRAMES: Final = WireForm(_write_frames, _read_frames).metadata
VIDEOS: Final = WireForm(_write_videos, _read_videos).metadata
"""
Metadata of a tuple of `Frame`s, and of `InputVideo`s.
"""

_NEW_FRAMES: Final = {FIRST_FRAME: "first_frame", LAST_FRAME: "last_frame", None: "refer_image"}
_NEW_VIDEOS: Final = {BASE: "base_video", FEATURE: "feature_video"}
_NEW_SOUNDS: Final = {"yes": "original", "no": "off"}

_FRAME_TYPES: Final = {kind: type_ for type_, kind in _NEW_FRAMES.items()}
_REFER_TYPES: Final = {kind: type_ for type_, kind in _NEW_VIDEOS.items()}
_SOUNDS: Final = {word: kept for kept, word in _NEW_SOUNDS.items()}


def new_body(fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the body in the new standard for the *fields* of a legacy body.
    """
    settings = settings_of(fields)
    for video in fields.get("video_list", ()):
        if "keep_original_sound" in video:
            settings["audio"] = _NEW_SOUNDS[video["keep_original_sound"]]
    return with_options({"contents": contents_of(fields, _inputs_of(fields)), "settings": settings}, fields)


def _inputs_of(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for image in fields.get("image_list", ()):
        yield {"type": _NEW_FRAMES[image.get("type")], "url": image["image_url"]}
    for video in fields.get("video_list", ()):
        yield {"type": _NEW_VIDEOS[video["refer_type"]], "url": video["video_url"]}


def fields_from(body: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the legacy fields of what `new_body` wrote, except those of its settings and options that are not about the
    inputs.

    Raises:
        ValueError: It has an item of a type that is not known.
    """
    fields: dict[str, Any] = {}
    for place, item in enumerate(body.get("contents") or ()):
        match item:
            case {"type": "prompt", "text": text}:
                fields["prompt"] = text
            case {"type": str(kind), "url": url} if kind in _FRAME_TYPES:
                fields.setdefault("image_list", []).append({"image_url": url, "type": _FRAME_TYPES[kind]})
            case {"type": str(kind), "url": url} if kind in _REFER_TYPES:
                fields.setdefault("video_list", []).append({"video_url": url, "refer_type": _REFER_TYPES[kind]})
            case {"type": "element"}:
                fields.setdefault("element_list", []).append({"element_id": item.get("element_id")})
            case _:
                raise unknown_item(item, place)
    _read_sound(body.get("settings") or {}, fields)
    return fields


def _read_sound(settings: Mapping[str, Any], fields: dict[str, Any]) -> None:
    # With a video the setting is about the video's own sound.
    audio, videos = settings.get("audio"), fields.get("video_list", ())
    if audio == "original" and not videos:
        raise ValueError("audio mode 'original' is not supported by the current model")
    if audio in _SOUNDS and videos:
        fields["sound"] = None
        for video in videos:
            video["keep_original_sound"] = _SOUNDS[audio]
