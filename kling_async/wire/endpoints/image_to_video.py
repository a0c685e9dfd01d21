"""
Image to video: a video that begins with a picture, ends with one, or both.

Facts are from the vendor's reference, capability map and price page of 2026; an end frame together with several shots
is allowed since its change of May 2026.
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
from kling_async.wire.endpoints.new_standard import contents_from, new_standard, new_standard_rules, with_contents
from kling_async.wire.endpoints.rules import (
    address_rules,
    broken,
    element_rules,
    flag_rule,
    image_rules,
    number_rule,
    unicode_rules,
)
from kling_async.wire.endpoints.video_models import UNIT_PRICE, ModelFacts, VideoModel
from kling_async.wire.endpoints.video_rules import (
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
from kling_async.wire.field_metadata import ALWAYS_SENT, ELEMENTS, ON_OR_OFF, SECONDS, WATERMARK, in_items
from kling_async.wire.library import ids_of
from kling_async.wire.redaction import shown_text, shown_url

__all__ = ["IMAGE_TO_VIDEO", "DynamicMask", "ImageToVideo"]


def _image(source: Any) -> Any:
    return take_in(source, "image")


def _image_tail(source: Any) -> Any:
    return take_in(source, "image_tail")


def _mask(source: Any) -> Any:
    return take_in(source, "mask")


@explained
@attrs.frozen
class DynamicMask:
    """
    A part of the picture that moves along a path, with a retired model.

    Attributes:
        mask: A picture in which the part is drawn; all masks have the same size.
        trajectories: 2 to 77 points `{"x": 0, "y": 0}`, in pixels from the bottom left.
    """

    mask: FileSource | None = attrs.field(converter=_mask, repr=describe_source)
    trajectories: tuple[Mapping[str, int], ...] = attrs.field(converter=as_tuple, hash=False)


@explained
@attrs.frozen
class ImageToVideo:
    """
    A video from a picture. Nothing is checked here: `submit` checks it against the dialect before anything is sent.

    Pictures are given as in `ImageRequest.image`: jpg or png, at most 10 MiB, each side at least 300 pixels, their
    sides at most 2.5:1 at OFFICIAL.

    Attributes:
        image: The first frame. It or `image_tail` is required. The video has its ratio.
        prompt: What happens; 2500 characters at most. With several shots it counts only for "intelligence".
        image_tail: The last frame. kling-v3 takes it always; kling-v2-6 in mode pro without sound; kling-v2-5-turbo in
            mode pro.
        negative_prompt: What the video should not show; 2500 characters at most.
        duration: Whole seconds: 3 to 15 with kling-v3, 5 or 10 with the older models.
        mode: "std" (720p), "pro" (1080p) or, with kling-v3, "4k"; None leaves it to the service (std), but for
            kling-v2-6 it is sent as "pro": the service was seen to refuse that model's default.
        sound: Whether the model makes sound: kling-v3, and kling-v2-6 in mode pro. None leaves it to the service (off).
        voice_list: Up to two voices that speak, or their ids, with kling-v2-6 and `sound=True`; the prompt names them
            as `<<<voice_1>>>`. Not together with `element_list`.
        element_list: Up to three elements that appear, or their ids, with kling-v3; the prompt names them as
            `<<<element_1>>>`.
        multi_shot: Whether the video has several shots (kling-v3).
        shot_type: "customize" (you give the shots) or "intelligence" (the model divides the prompt).
        multi_prompt: 1 to 6 shots, for "customize". Their durations add up to `duration`.
        cfg_scale: How strictly a retired model follows the prompt, 0 to 1; gateways may still run those.
        static_mask: With a retired model, a picture in which the parts that do not move are drawn.
        dynamic_masks: With a retired model, up to 6 parts that move along a path.
        camera_control: Camera of a retired model, as the wire's object. Only one of it, the masks and `image_tail`.
        watermark_info: Whether to make a second file with the vendor's watermark.
        model_name: None is the dialect's default. It is always sent, since the service's own default is retired.
        callback_url: Where the service reports changes, sent as it is.
        external_task_id: An id of your own, unique on the account for ever; `submit` makes one if it is None.
    """

    image: FileSource | None = attrs.field(default=None, converter=_image, repr=describe_source)
    prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    image_tail: FileSource | None = attrs.field(default=None, kw_only=True, converter=_image_tail, repr=describe_source)
    negative_prompt: str | None = attrs.field(default=None, kw_only=True, repr=shown_text)
    duration: float = attrs.field(default=5, kw_only=True, metadata=SECONDS | ALWAYS_SENT)
    mode: str | None = attrs.field(default=None, kw_only=True)
    sound: bool | None = attrs.field(default=None, kw_only=True, metadata=ON_OR_OFF)
    voice_list: tuple[str, ...] = attrs.field(
        default=(), kw_only=True, converter=ids_of, metadata=in_items("voice_id", str)
    )
    element_list: tuple[int, ...] = attrs.field(default=(), kw_only=True, converter=ids_of, metadata=ELEMENTS)
    multi_shot: bool | None = attrs.field(default=None, kw_only=True)
    shot_type: str | None = attrs.field(default=None, kw_only=True)
    multi_prompt: tuple[Shot, ...] = attrs.field(default=(), kw_only=True, converter=as_tuple, metadata=SHOTS)
    cfg_scale: float | None = attrs.field(default=None, kw_only=True)
    static_mask: FileSource | None = attrs.field(default=None, kw_only=True, converter=_mask, repr=describe_source)
    dynamic_masks: tuple[DynamicMask, ...] = attrs.field(default=(), kw_only=True, converter=as_tuple)
    camera_control: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True, hash=False)
    watermark_info: bool | None = attrs.field(default=None, kw_only=True, metadata=WATERMARK)
    model_name: str | None = attrs.field(default=None, kw_only=True)
    callback_url: str | None = attrs.field(default=None, kw_only=True, repr=shown_url)
    external_task_id: str | None = attrs.field(default=None, kw_only=True)


_OFFERED: Final = (VideoModel.V3, VideoModel.V2_6, VideoModel.V2_5_TURBO, VideoModel.V3_TURBO)

_NOT_NEW: Final = ("negative_prompt", "cfg_scale", "static_mask", "dynamic_masks", "camera_control")
"""
Fields that the vendor's new standard does not have.
"""

_MASKS_MAX: Final = 6
_POINTS: Final = range(2, 78)


def _rules(request: ImageToVideo, dialect: Dialect, files: Mapping[str, FileFacts]) -> Iterator[BrokenRule]:
    model, facts = facts_for(request, dialect)
    mode = _mode_of(request, model)
    if request.image is None and request.image_tail is None:
        yield broken("image", None, "is required, or image_tail")
    for field in ("image", "image_tail", "static_mask"):
        has_ratio = field == "image"
        yield from image_rules(field, getattr(request, field), files.get(field), dialect, has_ratio=has_ratio)
    yield from prompt_rules(request, is_required=request.multi_shot is True and request.shot_type != "customize")
    yield from unicode_rules(request, ("prompt", "negative_prompt", "model_name", "callback_url"))
    yield from model_choice_rules(request, dialect, _OFFERED, mode)
    if facts is not None:
        yield from _tail_rules(request, facts, model, mode)
        yield from _reference_rules(request, facts, model)
    yield from _retired_rules(request, dialect, files, model)
    yield from new_standard_rules(request, dialect, _NOT_NEW)
    yield from flag_rule("watermark_info", request.watermark_info)
    yield from address_rules(dialect, request)


def _tail_rules(request: ImageToVideo, facts: ModelFacts, model: str, mode: str) -> Iterator[BrokenRule]:
    if request.image_tail is None:
        return
    shown = describe_source(request.image_tail)
    if not facts.tail_modes:
        yield BrokenRule("image_tail", shown, f"is not supported by {model}")
    elif mode not in facts.tail_modes:
        yield BrokenRule("image_tail", shown, f"needs mode {' or '.join(facts.tail_modes)} with {model}")
    if facts.tail_modes and facts.is_tail_silent and request.sound is True:
        yield BrokenRule("image_tail", shown, f"cannot be combined with sound with {model}")


def _reference_rules(request: ImageToVideo, facts: ModelFacts, model: str) -> Iterator[BrokenRule]:
    yield from element_rules(request.element_list)
    voices: Any = request.voice_list
    if not isinstance(voices, tuple):
        yield broken("voice_list", voices, "must be a list of ids")
        return
    for field, most in (("element_list", facts.elements_max), ("voice_list", facts.voices_max)):
        given: Any = getattr(request, field)
        if isinstance(given, tuple) and len(given) > most:
            limit = f"must have at most {most} ids with {model}; it has {len(given)}"
            yield broken(field, list(given), limit if most else f"is not taken by {model}")
    if request.voice_list and request.element_list:
        yield broken("voice_list", list(request.voice_list), "cannot be combined with element_list")
    if request.voice_list and request.sound is not True:
        yield broken("voice_list", list(request.voice_list), "needs sound=True")


def _retired_rules(
    request: ImageToVideo, dialect: Dialect, files: Mapping[str, FileFacts], model: str
) -> Iterator[BrokenRule]:
    yield from only_retired(request, ("cfg_scale", "static_mask", "dynamic_masks", "camera_control"), model)
    yield from number_rule("cfg_scale", request.cfg_scale, 0, 1)
    yield from camera_rules(request.camera_control)
    has_masks = request.static_mask is not None or bool(request.dynamic_masks)
    if sum((request.image_tail is not None, has_masks, request.camera_control is not None)) > 1:
        yield broken("camera_control", request.camera_control, "only one of image_tail, masks and camera_control")
    masks: Any = request.dynamic_masks
    if not isinstance(masks, tuple) or not all(isinstance(mask, DynamicMask) for mask in masks):
        yield broken("dynamic_masks", masks, "must be a list of DynamicMasks")
        return
    if len(masks) > _MASKS_MAX:
        yield broken("dynamic_masks", masks, f"must have at most {_MASKS_MAX} masks; it has {len(masks)}")
    for number, mask in enumerate(masks):
        place = f"dynamic_masks[{number}]"
        yield from image_rules(f"{place}.mask", mask.mask, files.get(f"{place}.mask"), dialect, has_ratio=False)
        if len(mask.trajectories) not in _POINTS:
            count = len(mask.trajectories)
            yield BrokenRule(f"{place}.trajectories", f"{count} points", "must have 2 to 77 points")


def _mode_of(request: ImageToVideo, model: str) -> str:
    # kling-v2-6 refuses its own default: "mode value 'std' is invalid" (reported).
    return request.mode or ("pro" if model == VideoModel.V2_6 else "std")


def _units(request: ImageToVideo, dialect: Dialect) -> Decimal | None:
    model, facts = facts_for(request, dialect)
    mode = _mode_of(request, model)
    price = units_per_second(facts, mode, sound=bool(request.sound), voices=bool(request.voice_list))
    return None if price is None else price * Decimal(str(request.duration))


def _duration_key(request: ImageToVideo) -> Hashable:
    return request.model_name, request.mode, request.duration


def _defaults(request: ImageToVideo, dialect: Dialect) -> Mapping[str, Any]:
    model = model_of(request, dialect)
    mode = "pro" if model == VideoModel.V2_6 and request.mode is None else request.mode
    return {"model_name": model, "mode": mode}


IMAGE_TO_VIDEO: Final = Endpoint(
    name="image-to-video",
    title="image to video",
    path="/v1/videos/image2video",
    request_class=ImageToVideo,
    results=("videos",),
    inputs=(
        FileInput("image", lambda dialect: dialect.image_max_bytes),
        FileInput("image_tail", lambda dialect: dialect.image_max_bytes),
        FileInput("static_mask", lambda dialect: dialect.image_max_bytes),
        FileInput("dynamic_masks", lambda dialect: dialect.image_max_bytes, is_list=True, part="mask"),
    ),
    rules=_rules,
    bucket=bucket_of,
    duration_key=_duration_key,
    units=_units,
    unit_price=UNIT_PRICE,
    new_standard=new_standard("/image-to-video", with_contents, contents_from),
    defaults=_defaults,
    caption=caption_of_shots,
    timeout=1800.0,
)
