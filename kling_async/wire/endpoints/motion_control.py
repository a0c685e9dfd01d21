"""
Motion control: the character of a picture moves like the one of a video.

Facts are from the vendor's reference and price page of 2026.
"""

from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts, FileInput, FileSource, describe_source, take_in
from kling_async.wire.endpoints.new_standard import RESOLUTIONS, contents_of, new_standard, with_options
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    element_rules,
    flag_rule,
    image_rules,
    text_rule,
    unicode_rules,
)
from kling_async.wire.endpoints.video_models import UNIT_PRICE, VideoModel, model_rules
from kling_async.wire.endpoints.video_rules import PROMPT_MAX
from kling_async.wire.endpoints.video_source import url_of, url_rule
from kling_async.wire.field_metadata import ALWAYS_SENT, ELEMENTS, WATERMARK, YES_OR_NO
from kling_async.wire.library import ids_of
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["MOTION_CONTROL", "MotionControl"]

_OFFERED: Final = (VideoModel.V2_6, VideoModel.V3)
_ORIENTATIONS: Final = ("image", "video")
_MODES: Final = ("std", "pro")
_SECONDS_MAX: Final = {"image": 10, "video": 30}
_PRICES: Final[Mapping[str, Mapping[str, Decimal]]] = {
    VideoModel.V2_6: {"std": Decimal("0.5"), "pro": Decimal("0.8")},
    VideoModel.V3: {"std": Decimal("0.9"), "pro": Decimal("1.2")},
}


def _image(source: Any) -> Any:
    return take_in(source, "image_url")


@explained
@attrs.frozen
class MotionControl:
    """
    A video of a character that moves like another one. Nothing is checked here: `submit` checks it before anything is
    sent.

    Attributes:
        image_url: The character: an http(s) URL, or a file as in `ImageRequest.image`.
        video_url: The motion: an http(s) URL of an mp4 or mov, or a `Video` of a result, whose URL is taken. It has one
            shot, lasts 3 seconds or more, at most 10 with "image" and 30 with "video", and has at most 100 MB and sides
            of 340 to 3850 pixels. The service fetches it.
        character_orientation: "image" faces as in the picture, "video" as in the video.
        mode: "std" (720p) or "pro" (1080p).
        prompt: What else happens; 2500 characters at most.
        element_list: At most one element, or its id, with "video" and kling-v3.
        keep_original_sound: Whether the sound of the video is kept; None leaves it to the service (yes).
        watermark_info: Whether to make a second file with the vendor's watermark.
        model_name: "kling-v2-6" or "kling-v3"; None is "kling-v2-6". It is always sent.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    image_url: FileSource | None = attrs.field(converter=_image, repr=describe_source)
    video_url: str = attrs.field(converter=url_of, repr=describe_source)
    character_orientation: str = attrs.field(default="image", kw_only=True, metadata=ALWAYS_SENT)
    mode: str = attrs.field(default="std", kw_only=True, metadata=ALWAYS_SENT)
    prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    element_list: tuple[int, ...] = attrs.field(default=(), kw_only=True, converter=ids_of, metadata=ELEMENTS)
    keep_original_sound: bool | None = attrs.field(default=None, kw_only=True, metadata=YES_OR_NO)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


def _rules(request: MotionControl, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    if request.image_url is None:
        yield broken("image_url", None, "is required")
    yield from image_rules("image_url", request.image_url, files.get("image_url"), dialect, has_ratio=False)
    yield from url_rule("video_url", request.video_url)
    if request.character_orientation not in _ORIENTATIONS:
        yield broken("character_orientation", request.character_orientation, "must be image or video")
    if request.mode not in _MODES:
        yield broken("mode", request.mode, "must be std or pro")
    yield from text_rule("prompt", request.prompt, PROMPT_MAX)
    yield from unicode_rules(request, ("prompt", "model_name", "callback_url"))
    yield from model_rules(request.model_name, dialect, _OFFERED)
    yield from _element_rules(request)
    yield from flag_rule("keep_original_sound", request.keep_original_sound)
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _element_rules(request: MotionControl) -> Iterator[BrokenRule]:
    elements: Any = request.element_list
    yield from element_rules(elements)
    if isinstance(elements, tuple) and len(elements) > 1:
        yield broken("element_list", elements, "must be a list of at most one id")
    elif elements and request.character_orientation != "video":
        yield broken("element_list", elements, "needs character_orientation='video'")


def _model_of(request: MotionControl) -> str:
    return request.model_name or VideoModel.V2_6


def _units_at_most(request: MotionControl, _: Dialect) -> Decimal | None:
    price = _PRICES.get(_model_of(request), {}).get(request.mode)
    return None if price is None else price * _SECONDS_MAX.get(request.character_orientation, 30)


def _duration_key(request: MotionControl) -> Hashable:
    return request.model_name, request.mode, request.character_orientation


def _defaults(request: MotionControl, _: Dialect) -> Mapping[str, Any]:
    return {"model_name": _model_of(request)}


def _new_body(fields: Mapping[str, Any]) -> dict[str, Any]:
    inputs = [{"type": kind, "url": fields[f"{kind}_url"]} for kind in ("image", "video")]
    settings = {
        "resolution": RESOLUTIONS[fields["mode"]],
        "character_orientation": fields["character_orientation"],
    }
    if "keep_original_sound" in fields:
        settings["audio"] = "original" if fields["keep_original_sound"] == "yes" else "off"
    return with_options({"contents": contents_of(fields, inputs), "settings": settings}, fields)


def _from_new_body(body: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for place, item in enumerate(body.get("contents") or ()):
        match item:
            case {"type": "prompt", "text": text}:
                fields["prompt"] = text
            case {"type": "image" | "video" as kind, "url": url}:
                fields[f"{kind}_url"] = url
            case {"type": "element", "element_id": element_id}:
                fields.setdefault("element_list", []).append({"element_id": element_id})
            case _:
                raise ValueError(f"contents[{place}] is invalid")
    settings = body.get("settings") or {}
    if "character_orientation" in settings:
        fields["character_orientation"] = settings["character_orientation"]
    if "audio" in settings:
        fields["keep_original_sound"] = {"original": "yes", "off": "no"}.get(settings["audio"], settings["audio"])
    return fields


MOTION_CONTROL: Final = Endpoint(
    name="motion-control",
    title="motion control",
    path="/v1/videos/motion-control",
    request_class=MotionControl,
    results=("videos",),
    inputs=(FileInput("image_url", lambda dialect: dialect.image_max_bytes),),
    rules=_rules,
    bucket=lambda request, _: f"video/{_model_of(request)}",
    duration_key=_duration_key,
    units_at_most=_units_at_most,
    unit_price=UNIT_PRICE,
    new_standard=new_standard("/motion-control", _new_body, _from_new_body),
    defaults=_defaults,
    caption=lambda request: request.prompt or "",
    timeout=1800.0,
)
"""
It costs by the second of a video that only the service reads.
"""
