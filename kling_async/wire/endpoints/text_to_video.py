"""
Text to video: a video from a prompt, or from the prompts of several shots.

Facts are from the vendor's reference, capability map and price page of 2026.
"""

import operator
from collections.abc import Hashable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from kling_async.errors import BrokenRule
from kling_async.wire.constructors import explained
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.base import Endpoint
from kling_async.wire.endpoints.inputs import FileFacts
from kling_async.wire.endpoints.new_standard import new_standard, new_standard_rules, prompt_from, with_prompt
from kling_async.wire.endpoints.rules import (
    address_rules,
    choice_rule,
    flag_rule,
    number_rule,
    unicode_rules,
)
from kling_async.wire.endpoints.video_models import UNIT_PRICE, VideoModel
from kling_async.wire.endpoints.video_rules import (
    RATIOS,
    SHOTS,
    Shot,
    as_tuple,
    bucket_of,
    camera_rules,
    caption_of_shots,
    facts_for,
    model_choice_rules,
    model_of,
    only_retired,
    prompt_rules,
    units_per_second,
)
from kling_async.wire.field_metadata import ALWAYS_SENT, ON_OR_OFF, SECONDS, WATERMARK
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["TEXT_TO_VIDEO", "TextToVideo"]


@explained
@attrs.frozen
class TextToVideo:
    """
    A video from text. Nothing is checked here: `submit` checks it against the dialect before anything is sent.

    Attributes:
        prompt: What the video shows; 2500 characters at most. None only with `shot_type="customize"`.
        negative_prompt: What it should not show; 2500 characters at most.
        duration: Whole seconds: 3 to 15 with kling-v3, 5 or 10 with the older models.
        aspect_ratio: "16:9", "9:16" or "1:1"; None leaves it to the service (16:9).
        mode: "std" (720p), "pro" (1080p) or, with kling-v3, "4k"; None leaves it to the service (std).
        sound: Whether the model makes sound: kling-v3, and kling-v2-6 in mode pro. None leaves it to the service (off).
        multi_shot: Whether the video has several shots (kling-v3); `prompt` then counts only for "intelligence".
        shot_type: "customize" (you give the shots) or "intelligence" (the model divides the prompt).
        multi_prompt: 1 to 6 shots, for "customize". Their durations add up to `duration`.
        cfg_scale: How strictly a retired model follows the prompt, 0 to 1; gateways may still run those.
        camera_control: Camera of the retired model kling-v1, as the wire's object with `type` and `config`.
        watermark_info: Whether to make a second file with the vendor's watermark.
        model_name: None is the dialect's default. It is always sent, since the service's own default is retired.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    prompt: str | None = attrs.field(default=None, repr=shown_text)
    negative_prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    duration: float = attrs.field(default=5, kw_only=True, metadata=SECONDS | ALWAYS_SENT)
    aspect_ratio: str | None = attrs.field(default=None, kw_only=True)
    mode: str | None = attrs.field(default=None, kw_only=True)
    sound: bool | None = attrs.field(default=None, kw_only=True, metadata=ON_OR_OFF)
    multi_shot: bool | None = attrs.field(default=None, kw_only=True)
    shot_type: str | None = attrs.field(default=None, kw_only=True)
    multi_prompt: tuple[Shot, ...] = attrs.field(default=(), kw_only=True, converter=as_tuple, metadata=SHOTS)
    cfg_scale: float | None = attrs.field(default=None, kw_only=True)
    camera_control: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True, hash=False)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


_OFFERED: Final = (VideoModel.V3, VideoModel.V2_6, VideoModel.V2_5_TURBO, VideoModel.V3_TURBO)


def _rules(request: TextToVideo, dialect: Dialect, _: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    yield from prompt_rules(request, is_required=request.shot_type != "customize")
    yield from unicode_rules(request, ("prompt", "negative_prompt", "model_name", "callback_url"))
    yield from model_choice_rules(request, dialect, _OFFERED, request.mode or "std")
    yield from choice_rule("aspect_ratio", request.aspect_ratio, RATIOS, dialect)
    yield from _retired_rules(request, model_of(request, dialect))
    yield from new_standard_rules(request, dialect, ("negative_prompt", "cfg_scale", "camera_control"))
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _retired_rules(request: TextToVideo, model: str) -> Iterator[BrokenRule]:
    yield from only_retired(request, ("cfg_scale", "camera_control"), model)
    yield from number_rule("cfg_scale", request.cfg_scale, 0, 1)
    yield from camera_rules(request.camera_control)


def _units(request: TextToVideo, dialect: Dialect) -> Decimal | None:
    _, facts = facts_for(request, dialect)
    price = units_per_second(facts, request.mode or "std", sound=bool(request.sound))
    return None if price is None else price * Decimal(str(request.duration))


def _duration_key(request: TextToVideo) -> Hashable:
    return request.model_name, request.mode, request.duration


def _defaults(request: TextToVideo, dialect: Dialect) -> Mapping[str, Any]:
    return {"model_name": model_of(request, dialect)}


TEXT_TO_VIDEO: Final = Endpoint(
    name="text-to-video",
    title="text to video",
    path="/v1/videos/text2video",
    request_class=TextToVideo,
    results=("videos",),
    rules=_rules,
    bucket=bucket_of,
    duration_key=_duration_key,
    units=_units,
    price_key=operator.attrgetter("model_name", "mode", "sound", "duration"),
    unit_price=UNIT_PRICE,
    new_standard=new_standard("/text-to-video", with_prompt, prompt_from),
    defaults=_defaults,
    caption=caption_of_shots,
    timeout=1800.0,
)
